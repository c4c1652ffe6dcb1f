"""Models that mean harm: files that lie, templates without end, weights that end their engine.
Each costs its own worker at most; the client is told why, and everyone else is served."""

import json
import os
import re
import resource
import struct
import threading
import time

import pytest

import gguf_fixtures as gguf
from conftest import EMBED, TEXT, eventually, is_sanitized, memory_kib, package
from gguf_fixtures import ARRAY, I32, STRING, U16, U32, U64, file, text, tiny
from llama_fixtures import TEXT_GGUF, spawn  # noqa: F401 (a fixture)
from test_lifecycle import CHAT, fake, starts  # noqa: F401 (fixtures)

ARCH = ("general.architecture", STRING, "llama")


START = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k")  # of a file with one key


def one(dims=(32,), kind=0, offset=0, data=bytes(128), **kw):
    return file([ARCH], [("t", dims, kind, offset)], data, **kw)


WHOLE = tiny()
# What our own reader refuses; llama.cpp does not get to see these.
LIES = {
    "empty": (b"", "not a GGUF"),
    "another kind of file": (b"PK\3\4" + bytes(100), "not a GGUF"),
    "a version to come": (one(version=99), "version"),
    "big-endian": (b"GGUF\0\0\0\3" + bytes(64), "big-endian"),
    "cut in its header": (WHOLE[:600], "ends in its header"),
    "cut in its last tensor": (WHOLE[:-1], "is cut"),
    "cut in its first tensor": (WHOLE[:WHOLE.rindex(b"blk.1.ffn_up") + 100], "GGUF"),
    "more tensors than there are": (one(n_tensors=2), "not a valid GGUF"),
    "2^63 tensors": (one(n_tensors=1 << 63), "too many"),
    "65537 tensors": (one(n_tensors=65537), "too many"),
    "2^64-1 keys": (one(n_pairs=(1 << 64) - 1), "too many"),
    "a key of 2^63 bytes": (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 63), "header"),
    "a string of 2^40 bytes": (START + struct.pack("<IQ", STRING, 1 << 40), "header"),
    "an array of 2^61 numbers": (START + struct.pack("<IIQ", ARRAY, U64, 1 << 61), "header"),
    "arrays in arrays": (START + struct.pack("<I", ARRAY) + struct.pack("<IQ", ARRAY, 1) * 100,
                         "deeply"),
    "a value of no type": (START + struct.pack("<IQ", 77, 0), "type"),
    "a key twice": (file([ARCH, ARCH], []), "twice"),
    "alignment 0": (file([ARCH, ("general.alignment", U32, 0)], []), "power of two"),
    "alignment 24": (file([ARCH, ("general.alignment", U32, 24)], []), "power of two"),
    "a tensor of no type": (one(kind=4), "type 4"),
    "a tensor of type 2^31": (one(kind=1 << 31), "type"),
    "a tensor beyond the end": (one(offset=1 << 40), "cut"),
    "an offset that wraps": (one(offset=(1 << 64) - 32), "place"),
    "an offset between": (one(offset=8), "place"),
    "tensors that share bytes": (file([ARCH], [("a", (32,), 0, 0), ("b", (32,), 0, 32)],
                                      bytes(512)), "in another"),
    "dimensions that wrap": (one((1 << 33, 1 << 33)), "too large"),
    "a negative dimension": (one((1 << 63,)), "too large"),
    "a dimension of 0": (one((0, 32)), "empty"),
    "five dimensions": (one((2, 2, 2, 2, 2)), "dimensions"),
    "half a block": (one((33,), kind=2), "shape"),
    "a long name": (file([ARCH], [("n" * 64, (32,), 0, 0)], bytes(128)), "too long"),
    "a name with a NUL": (file([ARCH], [(b"a\0b", (32,), 0, 0)], bytes(128)), "NUL"),
}
# Well formed, and nonsense: llama.cpp may refuse them or take them for impossible.
NONSENSE = {
    "no heads": {"llama.attention.head_count": (U32, 0)},
    "2^31 heads": {"llama.attention.head_count": (U32, 1 << 31)},
    "width 0": {"llama.embedding_length": (U32, 0)},
    "width 2^31": {"llama.embedding_length": (U32, 1 << 31)},
    "no layers": {"llama.block_count": (U32, 0)},
    "2^31 layers": {"llama.block_count": (U32, 1 << 31)},
    "context 2^32-1": {"llama.context_length": (U32, (1 << 32) - 1)},
    "context 0": {"llama.context_length": (U32, 0)},
    "a number that is a string": {"llama.block_count": (STRING, "2")},
    "words that are numbers": {"tokenizer.ggml.tokens": (ARRAY, (I32, [1, 2, 3]))},
    "too few words": {"tokenizer.ggml.tokens": (ARRAY, (STRING, ["a", "b"]))},
    "an end mark of no word": {"tokenizer.ggml.eos_token_id": (U32, 1 << 30)},
    "too few scores": {"tokenizer.ggml.scores": (ARRAY, (gguf.F32, [0.0]))},
    "kinds of words unknown": {"tokenizer.ggml.token_type": (ARRAY, (I32, [99] * gguf.WORDS))},
    "an unknown tokenizer": {"tokenizer.ggml.model": (STRING, "nobody's")},
    "an unknown architecture": {"general.architecture": (STRING, "nobody")},
    "experts": {"llama.expert_count": (U32, 1 << 20), "llama.expert_used_count": (U32, 1 << 30)},
    "a rotation of no size": {"llama.rope.dimension_count": (U32, 0)},
    "keys as long as a book": {"llama.attention.key_length": (U32, 1 << 30),
                               "llama.attention.value_length": (U32, 1 << 30)},
    "a pooling of no kind": {"llama.pooling_type": (U32, 77)},
    "an array where there is a number": {"llama.context_length": (ARRAY, (U32, [1, 2]))},
    "one word only": {"tokenizer.ggml.tokens": (ARRAY, (STRING, ["a"] * gguf.WORDS))},
    "a rotation of no kind": {"llama.rope.scaling.type": (STRING, "nobody's")},
    "an architecture that is a number": {"general.architecture": (U32, 1)},
    "scores that are words": {"tokenizer.ggml.scores": (ARRAY, (STRING, ["a"] * gguf.WORDS))},
    "an alignment that is a string": {"general.alignment": (STRING, "32")},
    "a template that is a number": {"tokenizer.chat_template": (U32, 1)},
}


def failure(m):
    """Why it did not start; all of what its process left."""
    assert m.ready is None, "it started"
    assert m.process.wait(60) != 0
    return m.told[-1]


@pytest.mark.parametrize("name", LIES)
def test_a_file_that_lies_is_refused_before_llama_cpp_sees_it(spawn, tmp_path, name):
    data, words = LIES[name]
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    m = spawn(path, "--log-level", "debug")
    told = failure(m)
    assert told["event"] == "failed" and told["cause"] in ("file", "unsupported")
    assert words in told["message"], told
    assert m.process.returncode == 1
    assert "llama_model_load" not in m.log()


def test_the_whole_file_is_served(spawn, tmp_path):
    """Else the lies above would prove nothing."""
    path = tmp_path / "m.gguf"
    path.write_bytes(WHOLE)
    m = spawn(path, "--log-level", "debug")
    assert m.chat("hi").status_code == 200
    assert "llama_model_load" in m.log()


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_in_a_whole_file_ends_in_words(spawn, tmp_path, name):
    path = tmp_path / "m.gguf"
    path.write_bytes(tiny(NONSENSE[name]))
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    m = spawn(path)
    if m.ready:
        r = m.chat("hi", max_tokens=4)
        assert r.status_code in (200, 400, 422, 500), r.text
        m.stop()
    else:
        told = failure(m)
        assert told["event"] == "failed" and told["cause"] in ("file", "unsupported")
        assert len(told["message"]) > 20 and m.process.returncode == 1
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < began + (2 << 20), "in KiB"


def test_a_shard_whose_number_is_of_another_type_is_told(spawn, tmp_path):
    paths = [tmp_path / f"m-0000{i + 1}-of-00002.gguf" for i in range(2)]
    paths[0].write_bytes(tiny(extra=[("split.count", U16, 2), ("split.no", U16, 0)]))
    paths[1].write_bytes(file([ARCH, ("split.no", U32, 1)], [("t", (32,), 0, 0)], bytes(128)))
    told = failure(spawn(paths[0], "--model", paths[1]))
    assert told["event"] == "failed" and told["cause"] == "file"
    assert "takes what it read for impossible: gguf.cpp:" in told["message"], told


def swap_weights(store, data):
    """Puts other bytes where the chat model's weights lie, as a disk or a stranger might."""
    blob = max((p for p in (store / "blobs" / "sha256").iterdir() if p.is_file()),
               key=lambda p: p.stat().st_size)
    blob.unlink()
    blob.write_bytes(data)


@pytest.mark.parametrize("name", ["cut in its last tensor", "tensors that share bytes",
                                  "2^63 tensors"])
def test_the_client_is_told_and_the_other_model_answers(start, own_store, name):
    data, words = LIES[name]
    swap_weights(own_store, data)
    m = start(own_store)
    embed = {"model": EMBED, "input": "hello"}
    assert m.http.post("/v1/embeddings", json=embed).status_code == 200
    before = m.workers()
    for _ in range(4):
        r = m.http.post("/v1/chat/completions", json=CHAT)
        assert 400 <= r.status_code < 600 and words in r.json()["error"]["message"], r.text
        assert "/" + str(own_store).split("/")[1] not in r.json()["error"]["message"]
    assert m.workers() == before
    assert m.http.post("/v1/embeddings", json=embed).status_code == 200
    assert m.log().count("model loads model=ai/smollm2") <= 3, "it rests after the second"


def test_a_crash_is_told_to_its_client_and_hits_nobody_else(start, models_store):
    # A sanitizer would make a report of its own of a SIGSEGV.
    number, words = (9, "killed .signal 9") if is_sanitized() else (11, "crashed: signal 11")
    m = start(models_store)
    embed = {"model": EMBED, "input": "hello"}
    assert m.http.post("/v1/embeddings", json=embed).status_code == 200
    (other,) = m.workers()
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    (pid,) = set(m.workers()) - {other}
    body = {**CHAT, "stream": True, "max_tokens": 4000, "ignore_eos": True}
    with m.http.stream("POST", "/v1/chat/completions", json=body) as r:
        lines = r.iter_lines()
        while "content" not in next(lines):
            pass
        os.kill(pid, number)
        rest = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert "error" in rest[-1] and re.search(
        "killed|crashed|closed|broke off|ended", rest[-1]["error"]["message"]), rest[-1]
    assert m.workers() == [other]
    assert m.http.post("/v1/embeddings", json=embed).status_code == 200
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    eventually(lambda: re.search(words, m.log()))


def test_an_engine_that_always_ends_is_not_started_again_and_again(fake):
    m = fake({"exit": 7})
    end = time.monotonic() + 2.5
    told = set()
    while time.monotonic() < end:
        r = m.http.post("/v1/chat/completions", json=CHAT)
        assert r.status_code == 502 and "exit status 7" in r.json()["error"]["message"]
        told.add("tried again in" in r.json()["error"]["message"])
    assert told == {True, False}
    assert 3 <= len(starts(m.engine_log)) <= 5
    # Other settings are another matter.
    r = m.http.post("/engines/_configure", json={"model": TEXT, "context-size": 777})
    assert r.status_code == 202
    before = len(starts(m.engine_log))
    m.http.post("/v1/chat/completions", json=CHAT)
    assert len(starts(m.engine_log)) == before + 1
    # They would stay in the store, which is other tests' too.
    assert m.http.delete("/engines/_configure", params={"model": TEXT}).status_code == 200


# ---- templates ----

DOUBLE = "{% set n = namespace(s='aaaaaaaa') %}{% for a in range(N) %}{% set n.s = n.s + n.s %}" \
         "{% endfor %}"
ENDLESS = {
    "loops": ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
              "processor time"),
    "doubles a string": (DOUBLE.replace("N", "60") + "{{ n.s }}", "memory|processor time"),
    "calls itself": ("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
                     "stack|memory|processor time"),
    "writes without end": ("{% for a in range(99999999) %}much text{% endfor %}",
                            "memory|processor time"),
    "nests lists": ("{% set n = namespace(s=[]) %}{% for a in range(9999999) %}"
                    "{% set n.s = [n.s] %}{% endfor %}", "memory|processor time"),
}
# It does its worst when it is told to, so that it can be loaded.
WHEN_TOLD = "{%% if messages[-1].content == 'go' %%}%s{%% endif %%}" \
            "{%% for m in messages %%}{{ m.content }}{%% endfor %%}"


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_without_end_costs_one_request(spawn, tmp_path, name):
    bad, words = ENDLESS[name]
    path = tmp_path / "t.jinja"
    path.write_text(WHEN_TOLD % bad)
    m = spawn(TEXT_GGUF, "--ctx-size", 512, "--chat-template-file", path)
    pid = m.process.pid
    for _ in range(2):
        assert m.chat("hi").status_code == 200
        r = m.chat("go")
        message = r.json()["error"]["message"]
        assert r.status_code == 422 and "was stopped" in message and "send less" in message
        assert re.search(words, message), message
    assert m.chat("hi").status_code == 200 and m.process.pid == pid
    assert memory_kib(pid, "HWM") < (2 << 20)


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_without_end_at_the_load_is_told(spawn, tmp_path, name):
    path = tmp_path / "t.jinja"
    path.write_text(ENDLESS[name][0])
    m = spawn(TEXT_GGUF, "--ctx-size", 512, "--chat-template-file", path)
    told = failure(m)
    assert told["cause"] == "unsupported" and "chat template" in told["message"], told


@pytest.mark.parametrize("bad", [
    "{{ " + "(" * 1000000 + "1" + ")" * 1000000 + " }}", "{{ " + "not " * 300000 + "1 }}",
    "{% if 1 %}" * 100000 + "{% endif %}" * 100000], ids=["parentheses", "not", "if"])
def test_a_template_that_nests_too_deeply_is_told(spawn, tmp_path, bad):
    path = tmp_path / "t.jinja"
    path.write_text(bad)
    m = spawn(TEXT_GGUF, "--ctx-size", 512, "--chat-template-file", path)
    assert m.ready is None
    m.process.wait(60)
    # A sanitizer reports the stack's end itself.
    assert "chat template" in m.told[-1].get("message", "") or "stack-overflow" in m.log()


def test_one_step_that_does_not_end_costs_its_engine(start, own_store, tmp_path):
    """The search of a megabyte in two, all the same letter: nothing is allocated meanwhile."""
    path = tmp_path / "t.jinja"
    path.write_text(WHEN_TOLD % (DOUBLE.replace("N", "18") +
                                 "{{ (n.s + 'b') in (n.s + n.s) }}"))
    m = start(own_store)
    model = tmp_path / "tiny.gguf"
    model.write_bytes(tiny({"tokenizer.chat_template": (STRING, path.read_text())}))
    package(m, model, "ai/searcher")
    embed = {"model": EMBED, "input": "hello"}
    assert m.http.post("/v1/embeddings", json=embed).status_code == 200
    (other,) = m.workers()
    ask = {"model": "ai/searcher", "max_tokens": 4}

    def chat(words):
        return m.http.post("/v1/chat/completions",
                           json={**ask, "messages": [{"role": "user", "content": words}]})

    assert chat("hi").status_code == 200
    answered = []

    def others():
        while not answered or answered[-1] is not None:
            answered.append(m.http.post("/v1/embeddings", json=embed).status_code)
            if done.is_set():
                return

    done = threading.Event()
    thread = threading.Thread(target=others)
    thread.start()
    r = chat("go")
    done.set()
    thread.join()
    assert r.status_code in (422, 502), r.text
    assert set(answered) == {200}
    eventually(lambda: "did not come to an end" in m.log())
    assert other in m.workers()
    assert chat("hi").status_code == 200


# ---- memory ----

def test_a_context_that_fits_nowhere_is_refused_with_both_numbers(spawn, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(tiny({"llama.context_length": (U32, 1 << 30)}))
    m = spawn(path, "--ctx-size", 100000000)
    told = failure(m)
    assert told["cause"] == "memory"
    assert re.search(r"context of 100000000 tokens needs \d+ bytes, and \d+ are left",
                     told["message"])


def test_a_context_that_fits_nowhere_starts_no_worker(start, own_store, tmp_path):
    """The daemon reckons before it starts anything."""
    m = start(own_store)
    model = tmp_path / "m.gguf"
    model.write_bytes(tiny({"llama.context_length": (U32, (1 << 31) - 1)}))
    package(m, model, "ai/endless")
    r = m.http.post("/v1/chat/completions", json={**CHAT, "model": "ai/endless"})
    assert r.status_code in (200, 507), r.text  # by its own choice a smaller one
    if r.status_code == 200:
        (row,) = m.ps()
        assert row.get("context", 0) < 1 << 24
