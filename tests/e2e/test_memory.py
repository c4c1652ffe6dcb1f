"""What modeld-llama keeps while it has no work: in memory nothing twice and nothing that only lies
there, and no core."""

import pathlib
import re

import numpy as np
import pytest

from conftest import eventually, is_sanitized
from llama_fixtures import EMBED_GGUF, TEXT_GGUF, spawn  # noqa: F401

MIB = 1 << 10  # of KiB
CHAT = "/v1/chat/completions"


def file_kib(m, path):
    """Resident pages of a mapped file."""
    n, inside = 0, False
    with open(f"/proc/{m.process.pid}/smaps") as maps:
        for line in maps:
            if re.match("[0-9a-f]+-", line):
                inside = line.rstrip().endswith(str(path))
            elif inside and line.startswith("Rss:"):
                n += int(line.split()[1])
    return n


def anon_kib(m):
    with open(f"/proc/{m.process.pid}/status") as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read()).group(1))


def packs():
    """Does this processor have what packed weights are for?"""
    with open("/proc/cpuinfo") as f:
        return "avx2" in f.read()


@pytest.mark.parametrize("model", [TEXT_GGUF, EMBED_GGUF])
def test_of_a_file_that_is_packed_little_stays(spawn, model):
    m = spawn(model, "--ctx-size", 512)
    packed = 0.9 if model == TEXT_GGUF else 0.4  # the rest is tables, and read where it lies
    most = model.stat().st_size / 1024 * (1 - packed * packs())
    assert eventually(lambda: file_kib(m, model) < most)


def test_what_use_brings_back_goes_when_there_is_no_work(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 8192)
    ask = {"messages": [{"role": "user", "content": "Count."}], "temperature": 0,
           "max_tokens": 8000, "ignore_eos": True, "stream": True}
    assert eventually(lambda: file_kib(m, TEXT_GGUF) < MIB or not packs())
    for _ in range(2):
        with m.http.stream("POST", CHAT, json=ask) as r:
            next(r.iter_lines())
            assert eventually(lambda: file_kib(m, TEXT_GGUF) > 0)
        assert eventually(lambda: file_kib(m, TEXT_GGUF) < MIB or not packs())


def test_a_context_that_is_not_used_takes_no_memory(spawn):
    small, large = (anon_kib(spawn(TEXT_GGUF, "--ctx-size", n)) for n in (512, 16384))
    assert large - small < 60 * MIB  # it is 349 MiB larger


def test_after_a_rest_answers_are_as_before(spawn):
    m = spawn(EMBED_GGUF)
    idle = anon_kib(m)

    def vectors():
        r = m.post("/v1/embeddings", input=[f"{i} ships on the sea " * 20 for i in range(64)])
        return np.array([row["embedding"] for row in r.json()["data"]])

    first = vectors()
    assert eventually(lambda: anon_kib(m) < idle + 16 * MIB or is_sanitized())
    assert np.allclose(vectors(), first, atol=1e-5)


def test_a_conversation_goes_on_after_a_rest(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 2048)
    ask = dict(max_tokens=32, cache_prompt=False)
    said = m.chat("Name three colours.", **ask).json()["choices"][0]["message"]["content"]
    assert eventually(lambda: file_kib(m, TEXT_GGUF) < MIB or not packs())
    assert m.chat("Name three colours.", **ask).json()["choices"][0]["message"]["content"] == said


def test_after_an_answer_no_core_is_kept_busy(spawn):
    m = spawn(TEXT_GGUF, "--threads", 2)
    task = pathlib.Path(f"/proc/{m.process.pid}")

    def ticks():
        return sum(map(int, (task / "stat").read_text().rsplit(")", 1)[1].split()[11:13]))

    def sleeps():
        return all((t / "stat").read_text().rsplit(")", 1)[1].split()[0] == "S"
                   for t in (task / "task").iterdir())

    def after_an_answer():
        m.chat("Hi", max_tokens=1)
        before = ticks()
        assert eventually(sleeps)
        return ticks() - before

    # By themselves, ggml's threads look for more work for 10 to 20 ticks.
    assert min(after_an_answer() for _ in range(5)) <= 5
