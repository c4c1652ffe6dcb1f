"""A store of Docker Model Runner opens as it is, and what modeld makes of the same input has
the same bytes. tests/data/store/README says where the files are from."""

import hashlib
import io
import json
import os
import shutil
import tarfile

import pytest

from conftest import EMBED_GGUF, ROOT, TEXT_GGUF
from store_fixtures import check_whole, index, listed, names_in, on_disk, verify

DATA = ROOT / "tests/data/store"
GOLDEN = DATA / "golden"
ONE, TWICE, TENSORS, PACK = json.loads((GOLDEN / "models.json").read_text())["models"]


def read(kind, name):
    return (GOLDEN / kind / "sha256" / name.partition(":")[2]).read_bytes()


def files(store):
    """{path: (bytes, mode)} of what both programs have."""
    return {str(p.relative_to(store)): (p.read_bytes(), p.stat().st_mode & 0o777)
            for p in store.rglob("*") if p.is_file() and p.name[0] != "."}


@pytest.fixture
def theirs(tmp_path):
    """The golden store, with a bundle as the first use of a model leaves it, and half a pull."""
    store = tmp_path / "theirs"
    shutil.copytree(GOLDEN, store)
    bundle = store / "bundles/sha256" / ONE["id"][7:]
    (bundle / "model").mkdir(parents=True)
    os.link(store / "blobs/sha256" / ONE["files"][0][7:], bundle / "model/model.gguf")
    (bundle / "config.json").write_bytes(
        json.dumps(json.loads(read("blobs", ONE["files"][-1]))["config"]).encode() + b"\n")
    (store / "blobs/sha256" / ("ab" * 32 + ".incomplete")).write_bytes(b"half")
    return store


def test_the_golden_files_are_what_their_names_say():
    for path in GOLDEN.glob("*/sha256/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def test_their_store_opens_without_a_change(theirs, start):
    before = files(theirs)
    m = start(theirs)
    models = m.http.get("/models").json()
    assert [(x["id"], x.get("tags")) for x in models] == [
        (x["id"], x["tags"]) for x in (ONE, TWICE, TENSORS, PACK)]
    for model, entry in zip(models[:3], (ONE, TWICE, TENSORS)):
        assert model["config"] == json.loads(read("blobs", entry["files"][-1]))["config"]
        assert model["created"] == 1767323045
    assert [x["config"]["format"] for x in models] == ["gguf", "gguf", "safetensors", "gguf"]
    assert models[3]["config"]["architecture"] == "llama"
    for name, entry in (("one", ONE), ("localhost:5000/team/one:v1", ONE), ("ai/pack", PACK),
                        ("hf.co/org/repo:Q4_K_M", TENSORS), (TWICE["id"], TWICE),
                        (TWICE["id"][7:19], TWICE)):
        r = m.http.get(f"/models/{name}")
        assert r.status_code == 200 and r.json()["id"] == entry["id"], name
    assert verify(m) == []
    assert files(theirs) == before
    m.stop()
    assert files(theirs) == before


def test_their_store_is_changed_as_they_would_change_it(theirs, start):
    m = start(theirs)
    want = json.loads((theirs / "models.json").read_text())
    assert m.http.post(f"/models/{TWICE['id']}/tag",
                       params={"repo": "ai/one", "tag": "latest"}).status_code == 201
    want["models"][0]["tags"] = ["localhost:5000/team/one:v1"]
    want["models"][1]["tags"] = ["docker.io/ai/one:latest"]
    assert (theirs / "models.json").read_text() == json.dumps(want, indent=2)
    # The last tag takes the model, its bundle, and the blobs that no other has.
    assert m.http.delete("/models/localhost:5000/team/one:v1").status_code == 200
    del want["models"][0]
    assert (theirs / "models.json").read_text() == json.dumps(want, indent=2)
    assert names_in(theirs / "bundles/sha256") == set()
    assert ONE["files"][0][7:] in on_disk(theirs)[0]  # TWICE's too
    for model in (TWICE, TENSORS, PACK):
        assert m.http.delete(f"/models/{model['id']}").status_code == 200
    assert (theirs / "models.json").read_text() == '{\n  "models": null\n}'
    check_whole(m, theirs)


def tar_of(entry):
    """As `docker model package` sends it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        blobs = [(f"blobs/sha256/{d[7:]}", read("blobs", d)) for d in entry["files"]]
        for name, data in [*blobs, ("manifest.json", read("manifests", entry["id"]))]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_the_same_models_make_the_same_store_byte_for_byte(tmp_path, start):
    old = os.umask(0o022)
    try:
        m = start(tmp_path / "ours")
    finally:
        os.umask(old)
    for entry in (ONE, TWICE, TENSORS, PACK):
        r = m.http.post("/models/load", content=tar_of(entry))
        assert r.status_code == 200 and r.json()["layer"]["id"] == entry["id"], r.text
        for tag in entry["tags"] or []:
            repo, _, version = tag.rpartition(":")
            assert m.http.post(f"/models/{entry['id']}/tag",
                               params={"repo": repo, "tag": version}).status_code == 201
    ours = files(tmp_path / "ours")
    assert {mode for _, mode in ours.values()} == {0o644}
    assert {p: data for p, (data, _) in ours.items()} == {
        p: data for p, (data, _) in files(GOLDEN).items()}
    folders = [p for p in (tmp_path / "ours").rglob("*") if p.is_dir()]
    assert {p.stat().st_mode & 0o777 for p in folders} == {0o755}


def test_a_model_that_they_stored_is_served_where_it_lies(tmp_path, start):
    """The index, manifest and config that Docker Model Runner wrote for SmolLM2; its licence
    is not among what was kept of it."""
    store = tmp_path / "store"
    for kind in ("blobs", "manifests"):
        (store / kind / "sha256").mkdir(parents=True)
    shutil.copy(DATA / "models.json", store)
    (entry,) = json.loads((store / "models.json").read_text())["models"]
    weights, licence, config = (store / "blobs/sha256" / f[7:] for f in entry["files"])
    weights.symlink_to(TEXT_GGUF)
    shutil.copy(DATA / "config-smollm2.json", config)
    shutil.copy(DATA / "manifest.json", store / "manifests/sha256" / entry["id"][7:])
    m = start(store)
    (model,) = m.http.get("/models").json()
    assert model["tags"] == ["localhost:5000/ai/smollm2:135M-Q4_1"]
    assert model["config"]["context_size"] == 8192
    r = m.http.post("/v1/chat/completions", json={
        "model": model["tags"][0], "max_tokens": 4,
        "messages": [{"role": "user", "content": "Hello"}]})
    assert r.status_code == 200 and r.json()["usage"]["completion_tokens"] == 4, r.text
    bad = m.http.post("/models/verify").text
    assert licence.name in bad and "it is missing" in bad
    assert not EMBED_GGUF.samefile(weights) and index(store) == listed(m)
