"""What changes the store: load, tag, delete. Each test has a store of its own."""

import hashlib
import io
import json
import subprocess
import tarfile

import pytest

from conftest import BUILD, EMBED, EMBED_GGUF, TEXT, eventually, package


def names(m):
    return sorted(t for model in m.http.get("/models").json() for t in model.get("tags", []))


def test_tag_and_delete(start, own_store):
    m = start(own_store)
    r = m.http.post(f"/models/{EMBED}/tag", params={"repo": "my/embed", "tag": "v1"})
    assert r.status_code == 201
    assert r.json()["target"] == "my/embed:v1"
    assert "docker.io/my/embed:v1" in names(m)
    assert m.http.delete("/models/my/embed:v1").json() == [{"Untagged": "docker.io/my/embed:v1"}]
    model = m.http.get(f"/models/{EMBED}").json()
    assert m.http.delete(f"/models/{EMBED}").json() == [
        {"Untagged": f"docker.io/{EMBED}:latest"}, {"Deleted": model["id"]}]
    assert names(m) == [f"docker.io/{TEXT}"]
    assert m.http.delete(f"/models/{EMBED}").status_code == 404


def test_delete_by_id_needs_force_for_several_tags(start, own_store):
    m = start(own_store)
    m.http.post(f"/models/{EMBED}/tag", params={"repo": "my/embed", "tag": "v1"})
    model = m.http.get(f"/models/{EMBED}").json()
    short = model["id"][7:19]
    r = m.http.delete(f"/models/{short}")
    assert r.status_code == 409 and short in r.text and "must be forced" in r.text
    r = m.http.delete(f"/models/{short}", params={"force": "true"})
    assert [list(x)[0] for x in r.json()] == ["Untagged", "Untagged", "Deleted"]


def test_a_deleted_model_leaves_memory(start, own_store):
    m = start(own_store)
    ask = {"model": EMBED, "input": "x"}
    assert m.http.post("/v1/embeddings", json=ask).status_code == 200
    assert m.http.delete(f"/models/{EMBED}").status_code == 200
    eventually(lambda: not m.workers())
    assert m.http.post("/v1/embeddings", json=ask).status_code == 404


@pytest.mark.parametrize("params,status,text", [
    ({}, 400, "missing repo or tag"), ({"repo": "x"}, 400, "missing repo or tag"),
    ({"repo": "UP x", "tag": "v1"}, 400, "invalid"),
    ({"repo": "x", "tag": "a/b"}, 400, "invalid")])
def test_wrong_tags(start, own_store, params, status, text):
    m = start(own_store)
    r = m.http.post(f"/models/{EMBED}/tag", params=params)
    assert r.status_code == status and text in r.text


def test_unknown_models_and_actions(start, own_store):
    m = start(own_store)
    r = m.http.post("/models/nope/tag", params={"repo": "x", "tag": "y"})
    assert (r.status_code, r.text) == (404, "model not found\n")
    r = m.http.post("/models/nope/frob")
    assert (r.status_code, r.text) == (404, 'unknown action "frob"\n')
    assert m.http.get("/models/nope").text == "model not found\n"


def test_a_package_has_the_same_id_everywhere(start, tmp_path):
    ids = []
    for i in range(2):
        m = start(tmp_path / f"store{i}")
        package(m, EMBED_GGUF, "x/y:z")
        (model,) = m.http.get("/models").json()
        assert model["tags"] == ["docker.io/x/y:z"]
        ids.append(model["id"])
    assert ids[0] == ids[1]


def test_what_was_stored_is_there_after_kill_9(start, tmp_path):
    m = start(tmp_path / "store")
    package(m, EMBED_GGUF, "x/y:z")
    m.process.kill()
    m.process.wait()
    again = start(tmp_path / "store")
    assert names(again) == ["docker.io/x/y:z"]


def make_tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def blob(data):
    return "blobs/sha256/" + hashlib.sha256(data).hexdigest(), data


def hostile_tars():
    good = blob(b"hello")
    config = blob(b'{"config":{"format":"gguf"},"rootfs":{"type":"rootfs","diff_ids":[]}}')
    yield "empty", b"", 400
    yield "noise", b"x" * 5000, 400
    yield "no manifest", make_tar([good]), 400
    yield "wrong digest", make_tar([("blobs/sha256/" + "0" * 64, b"hello")]), 400
    yield "dot dot", make_tar([("../../etc/passwd", b"hello")]), 400
    yield "cut", make_tar([good, ("manifest.json", b"{}")])[:700], 400
    yield "manifest is no JSON", make_tar([good, ("manifest.json", b"{")]), 400
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.docker.ai.model.config.v0.1+json",
                           "size": len(config[1]),
                           "digest": "sha256:" + config[0].rsplit("/", 1)[1]},
                "layers": [{"mediaType": "application/vnd.docker.ai.gguf.v3", "size": 5,
                            "digest": "sha256:" + "1" * 64}]}
    yield "layer is missing", make_tar([config, ("manifest.json",
                                                  json.dumps(manifest).encode())]), 400


@pytest.mark.parametrize("name,tar,status", [pytest.param(*t, id=t[0]) for t in hostile_tars()])
def test_a_wrong_tar_stores_no_model(start, tmp_path, name, tar, status):
    m = start(tmp_path / "store")
    r = m.http.post("/models/load", content=tar)
    assert 400 <= r.status_code < 600, name
    assert r.text.startswith("error while loading model: ")
    assert m.http.get("/models").json() == []
    assert not (tmp_path / "etc").exists()


def test_a_load_cut_in_the_middle_stores_nothing(start, tmp_path):
    m = start(tmp_path / "store")
    s = m.connect()
    s.sendall(b"POST /models/load HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" +
              make_tar([blob(b"a" * 20000)])[:5000])
    s.close()
    eventually(lambda: m.metric("modeld_http_exchanges_open") == 1)
    assert m.http.get("/models").json() == []


def test_a_store_of_another_program_opens_as_it_is(start, tmp_path, own_store):
    """Index forms that Docker Model Runner writes: null, no file, no tags."""
    m = start(own_store)
    before = (own_store / "models.json").read_text()
    m.http.get("/models")
    assert (own_store / "models.json").read_text() == before
    for text in ('{\n  "models": null\n}', '{"models":[]}', None):
        folder = tmp_path / f"s{hash(text)}"
        folder.mkdir()
        if text:
            (folder / "models.json").write_text(text)
        assert start(folder).http.get("/models").json() == []


def test_df_counts_what_du_counts(start, own_store):
    m = start(own_store)
    du = subprocess.run(["du", "-s", "--block-size=1", str(own_store)], capture_output=True,
                        text=True, check=True).stdout.split()[0]
    usage = m.http.get("/engines/df").json()["models_disk_usage"]
    assert usage == pytest.approx(int(du), rel=0.01)


def test_docker_model_is_there():
    assert subprocess.run([str(BUILD / "docker-model"), "version"],
                          capture_output=True).returncode == 0
