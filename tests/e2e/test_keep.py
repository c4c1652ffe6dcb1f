"""A store is kept: exported and loaded, pruned, verified, purged."""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

import gguf
import numpy as np
import pytest

from cli_fixtures import CLI
from conftest import Modeld, eventually, package

TEXT = "ai/small:v1"


@pytest.fixture(scope="module")
def small_store(tmp_path_factory):
    """Two models of a few hundred kB."""
    folder = tmp_path_factory.mktemp("small")
    m = Modeld(tmp_path_factory.mktemp("packer"), folder / "store")
    for name, rows in ((TEXT, 1000), ("ai/other", 10)):
        writer = gguf.GGUFWriter(folder / "m.gguf", "llama")
        writer.add_tensor("t", np.arange(rows * 256, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        package(m, folder / "m.gguf", name)
    m.stop()
    return folder / "store"


@pytest.fixture(scope="module")
def modeld(small_store, tmp_path_factory):
    m = Modeld(tmp_path_factory.mktemp("modeld"), small_store)
    yield m
    m.stop()


@pytest.fixture
def own_store(small_store, tmp_path):
    shutil.copytree(small_store, tmp_path / "store")
    return tmp_path / "store"


def blobs(store):
    return {p.name for p in (store / "blobs" / "sha256").iterdir()}


def export(m, query=""):
    r = m.http.get(f"/models/{TEXT}/export{query}")
    assert r.status_code == 200 and r.headers["content-type"] == "application/x-tar"
    return r


def names(tar):
    return tarfile.open(fileobj=io.BytesIO(tar)).getnames()


def test_a_model_goes_out_as_a_tar_and_comes_in_elsewhere(modeld, start, tmp_path):
    want = modeld.http.get(f"/models/{TEXT}").json()["id"]
    for query in ("", "?format=docker", "?format=oci"):
        r = export(modeld, query)
        assert r.headers["content-disposition"] == \
            'attachment; filename="ai_small_v1.tar"'
        files = names(r.content)
        assert ("index.json" in files) == (query == "?format=oci")
        other = start(tmp_path / f"other{len(query)}")
        loaded = other.http.post("/models/load", content=r.content)
        assert loaded.status_code == 200 and loaded.json()["layer"]["id"] == want
        assert other.http.get(f"/models/{want}").json()["config"]["format"] == "gguf"


def test_an_oci_layout_is_one_by_the_letter(modeld):
    tar = tarfile.open(fileobj=io.BytesIO(export(modeld, "?format=oci").content))
    read = lambda name: tar.extractfile(name).read()  # noqa: E731
    assert json.loads(read("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    [entry] = json.loads(read("index.json"))["manifests"]
    manifest = read("blobs/sha256/" + entry["digest"].partition(":")[2])
    assert len(manifest) == entry["size"]
    assert "sha256:" + hashlib.sha256(manifest).hexdigest() == entry["digest"]
    for blob in json.loads(manifest)["layers"]:
        data = read("blobs/sha256/" + blob["digest"].partition(":")[2])
        assert len(data) == blob["size"]


def test_what_cannot_be_exported_is_said(modeld):
    r = modeld.http.get("/models/nope/export")
    assert r.status_code == 404 and "model not found" in r.text
    r = modeld.http.get(f"/models/{TEXT}/export?format=zip")
    assert r.status_code == 400 and "oci" in r.text


def test_a_client_that_leaves_an_export_leaves_nothing(start, own_store):
    m = start(own_store)
    for _ in range(5):
        s = m.connect()
        s.sendall(f"GET /models/{TEXT}/export HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert s.recv(65536)
        s.close()

    def blob_fds():
        links = pathlib.Path(f"/proc/{m.process.pid}/fd")
        found = []
        for f in links.iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found += [f] if "blobs" in os.readlink(f) else []
        return found
    eventually(lambda: not blob_fds())


def test_prune_leaves_what_tags_reach(start, own_store):
    m = start(own_store)
    before = blobs(own_store)
    junk = own_store / "blobs" / "sha256" / hashlib.sha256(b"junk").hexdigest()
    junk.write_bytes(b"junk")
    r = m.http.post("/models/prune").json()
    assert r["files"] == 1 and r["deleted"] == [] and r["reclaimed_bytes"] >= 4
    assert blobs(own_store) == before
    # A model without a tag goes, and from memory too.
    tar = export(m).content
    m.http.delete(f"/models/{TEXT}")
    untagged = m.http.post("/models/load", content=tar).json()["layer"]["id"]
    assert m.http.post("/models/prune").json()["deleted"] == [untagged]
    assert m.http.get(f"/models/{untagged}").status_code == 404
    assert len(m.http.get("/models").json()) == 1


def test_verify_tells_what_changed(start, own_store):
    m = start(own_store)

    def verify():
        r = m.http.post("/models/verify")
        assert r.status_code == 200
        return [json.loads(line) for line in r.text.splitlines()]
    *files, end = verify()
    assert end["bad"] == 0 and end["files"] == end["of"] == len(files)
    assert end["bytes"] == sum(f["bytes"] for f in files)
    victim = min((own_store / "blobs" / "sha256").iterdir(), key=lambda p: p.stat().st_size)
    text = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(text[:-1] + bytes([text[-1] ^ 1]))
    *files, end = verify()
    assert end["bad"] == 1
    [bad] = [f for f in files if "problem" in f]
    assert bad["digest"] == "sha256:" + victim.name and "changed" in bad["problem"]
    victim.unlink()
    assert [f["problem"] for f in verify()[:-1] if "problem" in f] == ["it is missing"]


def test_a_purge_leaves_an_empty_store(start, own_store):
    m = start(own_store)
    r = m.http.delete("/models/purge")
    assert (r.status_code, r.content) == (200, b"")
    assert m.http.get("/models").json() == [] and blobs(own_store) == set()


def cli(m, *args, code=0, **kw):
    r = subprocess.run([CLI, *args], capture_output=True, timeout=60,
                       env={**os.environ, "MODEL_RUNNER_HOST": m.url}, **kw)
    assert r.returncode == code, r
    return r


def test_a_model_is_carried_by_the_command_line(modeld, start, tmp_path):
    other = start(tmp_path / "other")
    file = tmp_path / "m.tar"
    cli(modeld, "export", TEXT, "-o", file)
    assert cli(other, "load", "-i", file, "copy/of:it").stdout == b"Loaded model: copy/of:it\n"
    assert [p.name for p in tmp_path.glob("m.tar*")] == ["m.tar"]
    # Through a pipe, as over ssh.
    tar = cli(modeld, "export", "--format", "oci", "ai/other").stdout
    want = modeld.http.get("/models/ai/other").json()["id"]
    out = cli(other, "load", input=tar).stdout.decode()
    assert out == f"Loaded model: {want}\n"
    assert other.http.get("/models/copy/of:it").status_code == 200
    r = cli(modeld, "export", "nope", "-o", tmp_path / "n.tar", code=1)
    assert b"not found" in r.stderr and not list(tmp_path.glob("n.tar*"))
    r = cli(modeld, "export", TEXT, "--format", "zip", "-o", tmp_path / "z.tar", code=1)
    assert b"'format' must be" in r.stderr


def test_an_export_replaces_no_pipe_and_no_device(modeld, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        try:
            cli(modeld, "export", "ai/other", "-o", pipe)
            assert pipe.is_fifo() and "manifest.json" in names(reader.stdout.read())
        finally:
            reader.kill()
    assert list(tmp_path.iterdir()) == [pipe]


def test_what_is_lost_is_asked_about_first(start, own_store):
    m = start(own_store)
    assert b"cancelled" in cli(m, "purge", input=b"n\n").stdout
    assert b"--force" in cli(m, "purge", input=b"", code=2).stderr
    assert len(m.http.get("/models").json()) == 2
    assert b"reclaimed space: 0.00B" in cli(m, "prune", input=b"y\n").stdout
    assert b"file(s)" in cli(m, "verify").stdout
    victim = max((own_store / "blobs" / "sha256").iterdir(), key=lambda p: p.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    r = cli(m, "verify", code=1)
    assert victim.name.encode() in r.stdout and b"1 file(s) are damaged" in r.stderr
    cli(m, "purge", "--force")
    assert m.http.get("/models").json() == []


def test_a_variant_shares_the_layers(start, own_store):
    m = start(own_store)
    before = blobs(own_store)
    r = m.http.post(f"/models/{TEXT}/repackage", json={"target": "ai/wide", "context_size": 512})
    assert r.status_code == 201 and r.json() == {
        "message": 'Model repackaged successfully as "ai/wide"', "source": TEXT,
        "target": "ai/wide"}
    old, new = (m.http.get(f"/models/{n}").json() for n in (TEXT, "ai/wide"))
    assert new["config"] == {**old["config"], "context_size": 512} and old["id"] != new["id"]
    assert len(blobs(own_store) - before) == 1  # its config
    for body, status, words in (
            ({"context_size": 1}, 400, "target is required"),
            ({"target": "a/b"}, 400, "context_size is required"),
            ({"target": "a/b", "context_size": -1}, 400, "context_size"),
            ({"target": "sha256:" + "a" * 64, "context_size": 1}, 400, "is an id"),
            ({"target": 1}, 400, "invalid request body")):
        r = m.http.post(f"/models/{TEXT}/repackage", json=body)
        assert (r.status_code, words in r.text) == (status, True), r.text
    assert m.http.post("/models/nope/repackage",
                       json={"target": "a/b", "context_size": 1}).status_code == 404
