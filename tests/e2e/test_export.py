"""An export goes on to its end, whatever becomes of the model meanwhile."""

import contextlib
import http.client
import io
import json
import os
import shutil
import subprocess
import tarfile

import gguf
import numpy as np
import pytest

from conftest import BUILD, Modeld, eventually, is_sanitized

BIG, OTHER = "ai/big:v1", "ai/other:v1"
# Far more than the buffers between server and client hold, so that the licence, which comes
# after the weights, is not opened for long.
BYTES = 48 << 20


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled")
    m = Modeld(tmp_path_factory.mktemp("packer"), folder / "store")
    for name, size in ((BIG, BYTES), (OTHER, 1 << 20)):
        writer = gguf.GGUFWriter(folder / "m.gguf", "llama")
        writer.add_tensor("t", np.arange(size // 4, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        (folder / "licence").write_text(f"Licence of {name}. " * 4096)
        subprocess.run(
            [BUILD / "docker-model", "package", "--gguf", folder / "m.gguf", "--license",
             folder / "licence", name], check=True, capture_output=True,
            env={**os.environ, "MODEL_RUNNER_HOST": m.url})
    m.stop()
    return folder / "store"


@pytest.fixture
def store(filled, tmp_path):
    shutil.copytree(filled, tmp_path / "store")
    return tmp_path / "store"


def blobs(store):
    return {p.name for p in (store / "blobs" / "sha256").iterdir()}


@contextlib.contextmanager
def exporting(m, query=""):
    """An export whose first bytes have come, and nothing after them is read yet."""
    c = http.client.HTTPConnection("127.0.0.1", m.port, timeout=60)
    c.request("GET", f"/models/{BIG}/export{query}")
    r = c.getresponse()
    assert r.status == 200 and r.length > BYTES
    first = r.read(1000)
    try:
        yield lambda: first + r.read()
    finally:
        c.close()


def id_of(m, name):
    return m.http.get(f"/models/{name}").json()["id"]


def is_whole(start, tmp_path, tar, want):
    """It loads elsewhere, which hashes every byte."""
    other = start(tmp_path / "other")
    r = other.http.post("/models/load", content=tar)
    assert r.status_code == 200 and r.json()["layer"]["id"] == want, r.text


@pytest.mark.parametrize("query", ["", "?format=oci"])
def test_a_deletion_does_not_cut_an_export(start, store, tmp_path, query):
    m = start(store)
    want, before = id_of(m, BIG), blobs(store)
    with exporting(m, query) as rest:
        assert m.http.delete(f"/models/{BIG}").status_code == 200
        assert m.http.get(f"/models/{BIG}").status_code == 404
        assert m.http.get(f"/models/{BIG}/export").status_code == 404
        tar = rest()
    is_whole(start, tmp_path, tar, want)
    # What the deletion had to leave goes when the export is over.
    kept = json.loads((store / "models.json").read_text())["models"][0]["files"]
    eventually(lambda: blobs(store) == {d.removeprefix("sha256:") for d in kept})
    assert blobs(store) < before


def test_a_model_that_is_replaced_is_exported_as_it_was(start, store, tmp_path):
    m = start(store)
    want = id_of(m, BIG)
    with exporting(m) as rest:
        r = m.http.post(f"/models/{OTHER}/tag?repo=ai/big&tag=v1")
        assert r.status_code == 201 and id_of(m, BIG) == id_of(m, OTHER) != want
        assert m.http.post("/models/prune").json()["deleted"] == [want]
        tar = rest()
    is_whole(start, tmp_path, tar, want)
    eventually(lambda: len(blobs(store)) == 3)


def test_a_client_that_leaves_lets_go_of_a_deleted_model(start, store):
    m = start(store)
    with exporting(m), exporting(m):
        m.http.delete(f"/models/{BIG}")
        assert len(blobs(store)) > 3
    eventually(lambda: len(blobs(store)) == 3)


def test_a_purge_does_not_cut_an_export(start, store, tmp_path):
    m = start(store)
    want = id_of(m, BIG)
    with exporting(m) as rest:
        assert m.http.delete("/models/purge").status_code == 200
        tar = rest()
    is_whole(start, tmp_path, tar, want)
    eventually(lambda: not blobs(store))


def test_clients_that_read_nothing_cost_a_piece_each(start, store):
    m = start(store)
    m.http.get(f"/models/{BIG}/export")
    before = m.rss_kib()
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(exporting(m))
        assert m.http.get("/models").status_code == 200
        grown = m.rss_kib() - before
    assert is_sanitized() or grown < BYTES >> 10, f"{grown} KiB"


def test_asking_for_the_head_reads_no_model(start, store):
    """The answer has the length and no more, and the connection goes on."""
    m = start(store)
    whole = m.http.get(f"/models/{BIG}/export")
    head = m.http.head(f"/models/{BIG}/export")
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.headers["content-type"] == "application/x-tar" and not head.content
    assert tarfile.open(fileobj=io.BytesIO(whole.content)).getnames()
    assert m.http.get("/models").status_code == 200


def test_a_damaged_store_cuts_the_export_instead_of_lying(start, store):
    m = start(store)
    [big] = [p for p in (store / "blobs" / "sha256").iterdir() if p.stat().st_size > BYTES]
    with exporting(m) as rest:
        with open(big, "r+b") as f:
            f.truncate(BYTES // 2)
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            rest()
    eventually(lambda: "answer cut path=" in m.log())
