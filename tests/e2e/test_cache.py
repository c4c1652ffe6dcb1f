"""What the cache may change: how soon an answer comes, and nothing else.

cache_fixtures.py is also the long run: 8 clients with 1,000 turns each, or as many as wanted.
"""
import contextlib
import json
import random

import pytest

from cache_fixtures import (CHAT, OWNERS, TEXT, Connection, Equality, chunks, make_exact,
                            one_at_a_time, servers)
from conftest import eventually
from llama_fixtures import TEXT_GGUF, spawn  # noqa: F401

# How far logprobs of SmolLM2 with Q4_1 weights may be apart when the same tokens were computed
# in batches of other shapes; docs/api.md says why they are at all.
NOISE = 0.5


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    path = tmp_path_factory.mktemp("exact") / "exact.gguf"
    make_exact(path)
    return path


@pytest.fixture
def seed():
    """Another in each run; a failure prints it."""
    n = random.SystemRandom().randrange(1 << 32)
    print("seed", n)
    return n


@contextlib.contextmanager
def pair(folder, model, *args, **kw):
    both = list(servers(folder, model, *args, **kw))
    try:
        yield both
    finally:
        for m in both:
            m.stop()


@pytest.mark.parametrize("args", [(), ("--cache-ram", 0)], ids=["", "slots only"])
def test_mixed_turns_are_answered_bit_for_bit_as_without_a_cache(tmp_path, exact, seed, args):
    with pair(tmp_path, exact, *args) as (cached, alone):
        got = Equality(cached, alone, seed).run(clients=8, turns=40)
    print(json.dumps(got))
    assert got["turns"] == 320 and got["furthest"] == 0
    assert got["cached"] > got["prompt"] / 20 and got["leave"] > 0


def test_a_real_model_says_the_same_but_for_near_ties(tmp_path, seed):
    with pair(tmp_path, TEXT_GGUF, context=2048, batch=512) as (cached, alone):
        got = Equality(cached, alone, seed, bound=NOISE, context=160).run(clients=3, turns=3)
    print(json.dumps(got))
    assert got["furthest"] <= NOISE
    assert got.get("near_ties", 0) <= got["answers"] / 4


def test_cached_tokens_are_exact(spawn, exact, seed):
    m = spawn(exact, "--ctx-size", 256, "--parallel", 4, "--batch-size", 32, "--threads", 1,
              "--cache-ram", 0, "--spec-type", "none", "--log-level", "error")
    got = one_at_a_time(m, seed, 250, 4, 256, 32)
    print(json.dumps(got))
    assert got["evictions"] > 10 and got["used_again"] > 50


# ---- a cancel, seen from outside; decode_test.c counts the batches ----

def test_a_client_that_leaves_a_long_prompt_stops_its_work(spawn, exact):
    m = spawn(exact, "--ctx-size", 3072, "--parallel", 1, "--batch-size", 32, "--threads", 1)
    prompt = "".join(random.Random(1).choices("abcdefgh", k=3000))
    c = Connection(m)
    c.send_json(TEXT, {"prompt": prompt, "max_tokens": 1}, "")
    eventually(lambda: m.metric("running") == 1)
    c.close()
    eventually(lambda: m.metric("running") == 0)
    # What was computed by then is all there is: whole batches, and not the prompt.
    status, r = Connection(m).ask(TEXT, {"prompt": prompt, "max_tokens": 1})
    cached = r["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert status == 200 and cached < 2976 and cached % 32 == 0


def test_another_caller_waits_for_one_answer_and_not_for_all(spawn, exact):
    m = spawn(exact, "--ctx-size", 1024, "--parallel", 1, "--threads", 1)
    body = {"prompt": "abc", "max_tokens": 300, "logit_bias": {"2": -100}}
    crowd = [Connection(m) for _ in range(20)]
    for c in crowd:
        c.send_json(TEXT, {**body, "stream": True}, OWNERS[1])
    eventually(lambda: m.metric("running") + m.metric("queued") == 20)
    status, r = Connection(m).ask(TEXT, {**body, "max_tokens": 1}, OWNERS[2])
    assert status == 200 and r["usage"]["completion_tokens"] == 1
    assert m.metric("queued") >= 10
    for c in crowd:
        c.close()
    eventually(lambda: m.metric("running") + m.metric("queued") == 0)


def test_who_fills_the_queue_leaves_the_others_a_part(spawn, exact):
    m = spawn(exact, "--ctx-size", 1024, "--parallel", 1, "--threads", 1)
    body = {"prompt": "abc", "max_tokens": 900, "logit_bias": {"2": -100}, "n": 128}
    crowd = [Connection(m) for _ in range(8)]
    for c in crowd:
        c.send_json(TEXT, {**body, "stream": True}, OWNERS[1])
    eventually(lambda: m.metric("running") + m.metric("queued") > 1000)
    status, r = Connection(m).ask(TEXT, body, OWNERS[1])
    assert status == 503 and "128 more are too many" in r["error"]["message"], r
    # More than there is room for, too, if it has nothing else here.
    others = [Connection(m) for _ in range(2)]
    others[0].send_json(TEXT, {**body, "n": 60, "stream": True}, OWNERS[2])
    others[1].send_json(TEXT, {**body, "n": 60, "stream": True}, OWNERS[2])
    assert [c.getresponse().status for c in others] == [200, 200]
    status, r = Connection(m).ask(TEXT, {**body, "n": 20}, OWNERS[2])
    assert status == 503, r
    for c in (*crowd, *others):
        c.close()
    eventually(lambda: m.metric("running") + m.metric("queued") == 0)


# ---- the context is full ----

@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_fills_the_context_is_refused_before_any_work(spawn, exact, stream):
    m = spawn(exact, "--ctx-size", 256, "--parallel", 2)
    c = Connection(m)
    for path, body, field in (
            (TEXT, {"prompt": "a" * 255}, "prompt"),
            (TEXT, {"prompt": "a" * 255, "n": 2}, "prompt"),
            (TEXT, {"prompt": ["a", "a" * 255]}, "prompt"),
            (TEXT, {"prompt": [300] * 256}, "prompt"),
            (CHAT, {"messages": [{"role": "user", "content": "a" * 255}]}, "messages")):
        c.send_json(path, {**body, "stream": stream}, "")
        r = c.getresponse()
        e = json.loads(r.read())["error"]
        assert r.status == 400 and r.getheader("Content-Type") == "application/json"
        assert (e["code"], e["param"]) == ("context_length_exceeded", field)
        assert "256" in e["message"]
    assert m.metric("prompt_tokens_total") == m.metric("generated_tokens_total") == 0
    assert not any(s["n_tokens"] for s in m.http.get("/slots").json())


@pytest.mark.parametrize("length", [1, 200, 255])
@pytest.mark.parametrize("asked", [-1, 1000])
def test_an_answer_ends_where_the_context_does(spawn, exact, length, asked):
    m = spawn(exact, "--ctx-size", 256, "--parallel", 2)
    body = {"prompt": [300] * length, "max_tokens": asked, "temperature": 0,
            "logit_bias": {"2": -100}, "logprobs": 0}
    c = Connection(m)
    status, r = c.ask(TEXT, body)
    choice, = r["choices"]
    assert status == 200 and choice["finish_reason"] == "length"
    assert r["usage"]["total_tokens"] == 256
    # Nothing was dropped to go on: one more token would not have fitted.
    longer = [300] * length + [m.post("/tokenize", content=t).json()["tokens"][-1]
                               for t in choice["logprobs"]["tokens"]]
    assert len(longer) == 256 and c.ask(TEXT, {**body, "prompt": longer})[0] == 400
    c.send_json(TEXT, {**body, "stream": True}, "")
    told = list(chunks(c.getresponse()))
    assert told[-1]["choices"][0]["finish_reason"] == "length"
    assert "".join(t["choices"][0]["text"] for t in told) == choice["text"]
