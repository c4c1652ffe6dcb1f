"""The kernel holds a worker to a multiple of what its model should need: one that lies about it
fails by itself, in words, and none that is honest comes near."""

import pathlib
import re
import resource

import httpx
import pytest

from conftest import EMBED, eventually, is_sanitized, memory_kib, package
from gguf_fixtures import U32, tiny
from llama_fixtures import TEXT_GGUF, spawn  # noqa: F401
from test_lifecycle import CHAT

MIB = 1 << 20
LIAR = "ai/liar"


def counted(pid):
    """What the kernel counts of a process, and the most that it lets it have."""
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    most = re.search(r"Max data size\s+(\w+)\s+(\w+)", limits)
    assert most.group(1) == most.group(2), "the worker could raise it"
    return memory_kib(pid, "Data") << 10, None if most.group(1) == "unlimited" else int(most.group(1))


def test_honest_models_stay_far_below(start, models_store):
    m = start(models_store)
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    assert m.http.post("/v1/embeddings", json={"model": EMBED, "input": "a"}).status_code == 200
    for pid in m.workers():
        data, most = counted(pid)
        assert most is None if is_sanitized() else 3 * data < most < 32 << 30


@pytest.fixture
def liar(start, tmp_path):
    """What was packaged says that its cache is small, and what lies in its place now needs 2 GiB
    for that of the same context."""
    said, store = tmp_path / "tiny.gguf", tmp_path / "store"
    said.write_bytes(tiny({"llama.context_length": (U32, 100000)}))

    def begin(*args):
        m = start(store, "--memory", "320MiB", *args)
        if not any(LIAR in t for r in m.http.get("/models").json() for t in r["tags"]):
            package(m, said, LIAR)
            (blob,) = [p for p in (store / "blobs/sha256").iterdir()
                       if p.read_bytes()[:4] == b"GGUF"]
            blob.unlink()
            blob.write_bytes(TEXT_GGUF.read_bytes())
        r = m.http.post("/engines/_configure", json={"model": LIAR, "context-size": 100000})
        assert r.status_code == 202, r.text
        return m, m.http.post("/v1/chat/completions", json={**CHAT, "model": LIAR})

    return begin


def test_a_model_that_takes_far_more_than_it_says_is_refused(liar):
    m, r = liar()
    if is_sanitized():  # which would not run below a ceiling
        assert r.status_code == 200, r.text
        return
    assert r.status_code == 507 and "far more than it should need" in r.text, r.text
    assert "insufficient memory" in r.text and m.workers() == []


def test_out_of_the_sandbox_there_is_no_ceiling(liar):
    m, r = liar("--sandbox", "off")
    assert r.status_code == 200, r.text
    (pid,) = m.workers()
    assert counted(pid)[1] is None


@pytest.mark.parametrize("most", [20, 100, 200, 300])
def test_what_does_not_fit_below_it_is_told(spawn, most):
    m = spawn(TEXT_GGUF, "--ctx-size", 8192, "--memory-most", most)
    if is_sanitized():
        assert m.ready
        return
    assert m.ready is None and m.process.wait(60) == 1, m.log()
    told = m.told[-1]
    assert told["cause"] == "memory" and f"may take {most} MiB" in told["message"], told
    m.events.close()


def test_one_that_meets_it_later_says_so(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 8192, "--memory-most", 4096)
    if is_sanitized():
        assert m.ready
        return
    data, most = counted(m.process.pid)
    assert most == 4096 * MIB
    # No test makes llama.cpp take gigabytes more; so the ceiling comes down.
    resource.prlimit(m.process.pid, resource.RLIMIT_DATA, (data + 2 * MIB,) * 2)
    with pytest.raises(httpx.RemoteProtocolError):
        m.chat("word " * 1000)
    assert m.process.wait(60) == 12
    eventually(lambda: "out of memory: the engine may take 4096 MiB" in m.log())
    m.events.close()
