"""LoRA adapters: named when modeld-llama starts, chosen by each request."""

import concurrent.futures
import threading

import gguf
import numpy as np
import pytest

from llama_fixtures import (EMBED_GGUF, TEXT_GGUF, embedder, llama, ranker,  # noqa: F401
                            ranker_gguf, spawn)
from gguf_fixtures import WIDTH, WORDS
from lora_fixtures import (EMBED_PARTS, TEXT_PARTS, adapted, adapters, base,  # noqa: F401
                           make_adapter, merge)

ONE, SECOND = [{"id": 0, "scale": 1}], [{"name": "second"}]


def probabilities(m, text="Say hello.", **body):
    """Of the first token: {token: logarithm}, the likeliest 20."""
    r = m.chat(text, max_tokens=2, logprobs=True, top_logprobs=20, ignore_eos=True,
               cache_prompt=False, **body)
    assert r.status_code == 200, r.text
    first = r.json()["choices"][0]["logprobs"]["content"][0]
    return {tuple(t["bytes"]): t["logprob"] for t in first["top_logprobs"]}


def distance(a, b):
    """The largest difference at a token of both; infinite if they have few in common."""
    both = set(a) & set(b)
    return max(abs(a[t] - b[t]) for t in both) if len(both) > 15 else np.inf


def say(m, lora=None, text="Tell a story.", **body):
    if lora is not None:
        body["lora"] = lora
    body.setdefault("max_tokens", 24)
    r = m.chat(text, cache_prompt=False, ignore_eos=True, **body)
    assert r.status_code == 200, r.text
    return r.json()["choices"][0]["message"]["content"]


# ---- what they do ----

def test_the_list_has_names_and_no_path(adapted, llama):
    r = adapted.http.get("/lora-adapters")
    assert r.status_code == 200
    assert r.json() == [{"id": 0, "name": "one", "scale": 1},
                        {"id": 1, "name": "second", "scale": 0}]
    assert llama.http.get("/lora-adapters").json() == []
    assert adapted.http.post("/lora-adapters", json=[{"id": 0, "scale": 0}]).status_code == 405


@pytest.mark.parametrize("scale", [1, 0.5, -1])
def test_an_adapter_is_what_it_would_be_merged_into_the_weights(spawn, adapted, base, tmp_path,
                                                                scale):
    merged = spawn(merge(tmp_path / "merged.gguf", base, TEXT_PARTS, scale))
    ask = [{"id": 0, "scale": scale}]
    want = probabilities(merged)
    assert distance(probabilities(adapted, lora=ask), want) < 0.01
    assert distance(probabilities(adapted, lora=[]), want) > 0.1
    assert say(adapted, ask) == say(merged)


def test_two_at_once_add_up(spawn, adapted, base, tmp_path):
    merge(tmp_path / "half.gguf", base, TEXT_PARTS, 1)
    both = spawn(merge(tmp_path / "both.gguf", tmp_path / "half.gguf", TEXT_PARTS, 0.5, seed=2))
    want = probabilities(both)
    assert distance(probabilities(adapted, lora=[{"id": 0}, {"id": 1, "scale": 0.5}]), want) < 0.01
    assert distance(probabilities(adapted, lora=ONE), want) > 0.1


def test_a_real_model_takes_one(spawn, llama, tmp_path):
    m = spawn(TEXT_GGUF, "--ctx-size", 2048, "--lora",
              make_adapter(tmp_path / "a.gguf", TEXT_GGUF))
    alone = probabilities(llama)
    # Its cache is as large, but sums may come in another order.
    assert distance(probabilities(m, lora=[]), alone) < 0.2
    assert distance(probabilities(m), alone) > 0.4


def test_without_the_field_the_scales_of_the_start_hold(adapted, spawn, base):
    alone, one, second = (probabilities(adapted, lora=x) for x in ([], ONE, SECOND))
    assert probabilities(adapted) == one
    assert distance(probabilities(spawn(base, "--threads", 1)), alone) < 0.01
    for a, b in ((alone, one), (alone, second), (one, second)):
        assert distance(a, b) > 0.1


def test_a_scale_of_0_is_the_model_alone(adapted):
    alone = probabilities(adapted, lora=[])
    assert probabilities(adapted, lora=[{"id": 0, "scale": 0}]) == alone
    assert probabilities(adapted, lora=[{"name": "one", "scale": -0.0},
                                        {"name": "second", "scale": 0.0}]) == alone
    assert probabilities(adapted, lora=None) != alone


def test_completions_have_them_too(adapted):
    def text(lora):
        return adapted.post("/v1/completions", prompt="Once upon a time", temperature=0,
                            max_tokens=12, lora=lora).json()["choices"][0]["text"]
    assert len({text([]), text(ONE), text(SECOND)}) == 3


# ---- many at once ----

def test_requests_with_different_adapters_at_once_get_what_each_gets_alone(adapted):
    asks = [[], ONE, SECOND, [{"id": 0, "scale": 0.3}]]
    alone = [say(adapted, a) for a in asks]
    assert len(set(alone)) == 4
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(lambda a: say(adapted, a), asks)) == alone


def test_what_was_computed_with_some_is_used_again_with_the_same_only(adapted):
    def cached(lora):
        r = adapted.post("/v1/completions", prompt="why? " * 50, max_tokens=1, lora=lora).json()
        u = r["usage"]
        assert r["timings"]["cache_n"] == u["prompt_tokens_details"]["cached_tokens"]
        return u["prompt_tokens_details"]["cached_tokens"], u["prompt_tokens"]

    # Other tests' texts began with the same few tokens.
    assert cached(ONE)[0] < 8
    got, n = cached([{"name": "one", "scale": 1.0}])
    assert got == n - 1 > 200
    assert cached([])[0] < 8 and cached(SECOND)[0] < 8
    assert cached([{"id": 0, "scale": 0.999}])[0] == 0
    # Each is still there.
    for lora in (None, SECOND, [], [{"id": 0, "scale": 0}]):
        assert cached(lora)[0] == n - 1


def test_a_prompt_that_is_being_computed_is_taken_over_by_the_same_only(adapted):
    def cached(lora):
        r = adapted.post("/v1/completions", prompt="0123456789" * 90, max_tokens=1, lora=lora)
        return r.json()["usage"]["prompt_tokens_details"]["cached_tokens"]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        got = list(pool.map(cached, [ONE, [], ONE, []]))
    # One of each computes, the other takes over what it has computed.
    for a, b in ((got[0], got[2]), (got[1], got[3])):
        assert min(a, b) < 8 and max(a, b) > 800


def test_a_short_request_is_answered_while_a_long_one_with_others_runs(adapted):
    body = {"messages": [{"role": "user", "content": "Tell a story."}], "stream": True,
            "max_tokens": 1500, "ignore_eos": True, "lora": ONE}
    with adapted.http.stream("POST", "/v1/chat/completions", json=body) as long:
        lines = long.iter_lines()
        next(lines)
        say(adapted, SECOND)
        say(adapted, [])
        # It is not at its end yet, and goes on.
        assert any('"finish_reason":"length"' in line for line in lines)
    assert adapted.metric("running") == 0


def test_a_stream_goes_on_while_others_keep_coming_with_ever_new_adapters(adapted):
    over = threading.Event()

    def pester(k):
        n = 0
        while not over.is_set():
            n += 1
            r = adapted.chat("Hi", max_tokens=1, lora=[{"id": k, "scale": n % 997 / 1000}])
            assert r.status_code == 200, r.text
        return n

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        pests = [pool.submit(pester, k % 2) for k in range(3)]
        try:
            assert len(say(adapted, [])) > 0
        finally:
            over.set()
        assert all(p.result() > 0 for p in pests)


# ---- vectors and rankings ----

def embed(m, texts, **body):
    r = m.post("/v1/embeddings", input=texts, **body)
    assert r.status_code == 200, r.text
    return [np.array(d["embedding"]) for d in r.json()["data"]]


def test_vectors_have_them_too(spawn, embedder, tmp_path):
    m = spawn(EMBED_GGUF, "--lora", make_adapter(tmp_path / "v.gguf", EMBED_GGUF, EMBED_PARTS))
    merged = spawn(merge(tmp_path / "merged.gguf", EMBED_GGUF, EMBED_PARTS, 1))
    texts = [f"Sentence number {i} about many things" for i in range(8)]
    base, want = embed(embedder, texts), embed(merged, texts)
    asks = {"default": {}, "half": {"lora": [{"id": 0, "scale": 0.5}]}, "none": {"lora": []}}
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        got = {k: pool.submit(embed, m, texts, **a) for k, a in (*asks.items(), *asks.items())}
        got = {k: f.result() for k, f in got.items()}
    for i in range(8):
        assert got["default"][i] @ want[i] > 0.9999 and got["none"][i] @ base[i] > 0.9999
        assert base[i] @ want[i] < 0.99 and got["half"][i] @ want[i] < 0.999
    e = m.post("/v1/embeddings", input="x", lora=[{"id": 1}]).json()["error"]
    assert e["param"] == "lora" and "this model has 1" in e["message"]


def test_rankings_have_them_too(spawn, ranker, ranker_gguf, tmp_path):
    m = spawn(ranker_gguf, "--lora", make_adapter(tmp_path / "r.gguf", EMBED_GGUF, EMBED_PARTS))

    def scores(m, **body):
        r = m.post("/score", text_1="a cat", text_2=["a kitten", "a stone"], **body)
        assert r.status_code == 200, r.text
        return [d["score"] for d in r.json()["data"]]

    assert scores(m, lora=[]) == pytest.approx(scores(ranker), abs=1e-3)
    assert scores(m) != pytest.approx(scores(ranker), abs=1e-2)


# ---- what is wrong ----

@pytest.mark.parametrize("lora,text", [
    ("one", "'lora' must be an array"), ({"id": 0}, "'lora' must be an array"),
    ([7], "lora[0]: must be an object"), ([{}], "lora[0]: 'id' or 'name'"),
    ([{"id": 2}], "lora[0]: there is no adapter 2: this model has 2"),
    ([{"id": -1}], "lora[0]: 'id'"), ([{"name": "three"}], "no adapter 'three'"),
    ([{"id": 0, "name": "one"}], "give one"), ([{"id": 0}, {"name": "one"}], "lora[1]: 'one' is"),
    ([{"id": 0, "scale": 10.5}], "lora[0]: 'scale'"), ([{"id": 0, "scale": "1"}], "'scale'"),
    ([{"id": 0}] * 5000, "lora[1]: 'one' is there twice"),
])
def test_a_wrong_choice_is_refused_before_the_work(adapted, lora, text):
    for path, body in (("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
                       ("/v1/completions", {"prompt": "x"})):
        r = adapted.post(path, lora=lora, **body)
        assert r.status_code == 400, r.text
        e = r.json()["error"]
        assert e["param"] == "lora" and text in e["message"], e


def test_a_model_without_adapters_takes_none(llama):
    assert llama.chat(max_tokens=1, lora=[]).status_code == 200
    e = llama.chat(max_tokens=1, lora=[{"id": 0}]).json()["error"]
    assert e["param"] == "lora" and "has no adapters" in e["message"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def shape(out, tensors):
    name = next(iter(tensors))
    tensors[name] = tensors[name][:, :-8].copy()


def lonely(out, tensors):
    del tensors[next(iter(tensors))]


def stranger(out, tensors):
    tensors.update({k.replace("blk.0", "blk.77"): v for k, v in tensors.items() if "blk.0." in k})


def activated(out, tensors):
    out.add_key_value("adapter.alora.invocation_tokens", [1, 2], gguf.GGUFValueType.ARRAY,
                      gguf.GGUFValueType.UINT32)


def typed(key, value, *types):
    def change(out, tensors):
        out.kv_data[0].pop(key, None)
        out.add_key_value(key, value, *types)
    return dict(change=change)


def deep(out, tensors):
    tensors.update({k: np.stack([t] * 3) for k, t in tensors.items()})


def of_experts(out, tensors):
    deep(out, tensors)
    tensors.update({k.replace("attn_q", "ffn_up_exps"): t for k, t in tensors.items()})


def of_integers(out, tensors):
    tensors.update({k: t.astype(np.int32) for k, t in tensors.items()})


def of_two_ranks(out, tensors):
    tensors["token_embd.weight.lora_a"] = np.ones((WORDS, 4), np.float32)
    tensors["token_embd.weight.lora_b"] = np.ones((WIDTH, 8), np.float32)


T = gguf.GGUFValueType


@pytest.mark.parametrize("how,text", [
    (typed("adapter.lora.alpha", "8", T.STRING), "alpha must be of the type f32, not str"),
    (typed("adapter.lora.alpha", [8.0, 8.0], T.ARRAY, T.FLOAT32), "type f32, not arr"),
    (typed("adapter.lora.alpha", 8, T.UINT32), "type f32, not u32"),
    (typed("adapter.type", ["lora"], T.ARRAY, T.STRING), "adapter.type must be of the type str"),
    (typed("adapter.type", 7, T.UINT32), "of the kind '7'"),
    (typed("general.architecture", 7, T.UINT32), "for models of the architecture '7'"),
    (dict(change=deep), "incorrect shape"), (dict(change=of_experts), "incorrect shape"),
    (dict(change=of_integers), "not for weights"),
    (dict(change=of_two_ranks), "do not fit each other"),
    (dict(type_="model"), "this is a model and not an adapter"),
    (dict(type_=None), "this is a model and not an adapter"),
    (dict(kind="control"), "of the kind 'control'"),
    (dict(arch="gemma"), "for models of the architecture 'gemma', and this one's is 'llama'"),
    (dict(change=shape), "incorrect shape"), (dict(change=lonely), "missing one component"),
    (dict(change=stranger), "does not exist in base model"), (dict(change=activated), "aLoRA"),
    (cut, ""), (None, "No such file"),
])
def test_a_wrong_adapter_is_no_start(spawn, base, adapters, tmp_path, how, text):
    path = tmp_path / "bad.gguf"
    if how is not None:
        make_adapter(path, base, ("attn_q",), **(how if isinstance(how, dict) else {}))
    if how is cut:
        cut(path)
    m = spawn(base, "--lora", f"good={adapters[0]}", "--lora", f"bad={path}")
    assert m.ready is None
    e = m.told[-1]
    assert e["event"] == "failed" and e["cause"] in ("file", "unsupported")
    assert "adapter 'bad': " in e["message"] and text in e["message"], e
    assert m.process.wait(60) == 1


def test_an_adapter_is_no_model(spawn, adapters):
    m = spawn(adapters[0])
    assert m.told[-1]["event"] == "failed" and "is an adapter and no model" in m.told[-1]["message"]
    assert m.process.wait(60) == 1


def test_numbers_that_overflow_end_nothing(spawn, base, tmp_path):
    m = spawn(base, "--threads", 1, "--lora-scaled",
              f"wild={make_adapter(tmp_path / 'wild.gguf', base, size=1e18)}:0")
    alone = probabilities(m)
    for more in ({}, {"temperature": 1}, {"stream": True}, {"logprobs": True, "top_logprobs": 5},
                 {"response_format": {"type": "json_object"}}):
        r = m.chat("Say hello.", max_tokens=8, lora=[{"id": 0, "scale": 10}], **more)
        assert r.status_code in (200, 502), r.text
    assert probabilities(m) == alone and m.process.poll() is None
