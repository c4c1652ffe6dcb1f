"""modeld-llama with a model for embeddings."""

import base64
import concurrent.futures
import struct

import numpy as np
import pytest

from conftest import eventually
from llama_fixtures import (EMBED_GGUF, TEXT_GGUF, bert_states, embedder, ranker,  # noqa: F401
                            ranker_gguf, spawn)

CAT = "A cat sits on the mat."
KITTEN = "A kitten rests on a rug."
MARKET = "The stock market fell sharply today."


def embed(m, value, **body):
    r = m.post("/v1/embeddings", input=value, **body)
    assert r.status_code == 200, r.text
    return [np.array(d["embedding"]) for d in r.json()["data"]]


def error(r, param, code=None):
    assert r.status_code == 400, r.text
    e = r.json()["error"]
    assert e["param"] == param and e["code"] == code, e
    return e


def reference(ids):
    v = bert_states(EMBED_GGUF, ids).mean(0)
    return v / np.linalg.norm(v)


def test_the_vectors_are_the_models(embedder):
    for text in (CAT, "Unbelievable antidisestablishmentarianism, naïve café!"):
        ids = embedder.post("/tokenize", content=text, add_special=True).json()["tokens"]
        assert embed(embedder, text)[0] @ reference(ids) > 0.999


def test_alike_is_closer_than_unlike(embedder):
    cat, kitten, market = embed(embedder, [CAT, KITTEN, MARKET])
    assert cat @ kitten > 0.5 > 0.3 > cat @ market
    assert np.linalg.norm(cat) == pytest.approx(1, abs=1e-5)


def test_the_shape_is_openais(embedder):
    r = embedder.post("/v1/embeddings", input=[CAT, KITTEN], model="my/name").json()
    assert r["object"] == "list" and r["model"] == "my/name"
    assert [d["index"] for d in r["data"]] == [0, 1]
    assert {d["object"] for d in r["data"]} == {"embedding"}
    n = sum(len(embedder.post("/tokenize", content=t, add_special=True).json()["tokens"])
            for t in (CAT, KITTEN))
    assert r["usage"] == {"prompt_tokens": n, "total_tokens": n}


def test_tokens_say_what_their_text_says(embedder):
    ids = [embedder.post("/tokenize", content=t, add_special=True).json()["tokens"]
           for t in (CAT, KITTEN)]
    text = embed(embedder, [CAT, KITTEN])
    for got in (embed(embedder, ids), embed(embedder, ids[0]), embed(embedder, [CAT, ids[1]])):
        for g, t in zip(got, text):
            assert g @ t > 0.9999


def test_base64_holds_the_same_floats(embedder):
    r = embedder.post("/v1/embeddings", input=CAT, encoding_format="base64").json()
    raw = base64.b64decode(r["data"][0]["embedding"], validate=True)
    assert np.array(struct.unpack(f"<{len(raw) // 4}f", raw)) @ embed(embedder, CAT)[0] > 0.99999


def test_fewer_dimensions_are_the_first_ones_rescaled(embedder):
    full, = embed(embedder, CAT)
    short, = embed(embedder, CAT, dimensions=64)
    assert len(full) == 384 and len(short) == 64
    assert short == pytest.approx(full[:64] / np.linalg.norm(full[:64]), abs=1e-5)


def test_many_inputs_are_each_their_own(embedder):
    texts = [f"Sentence number {i} about " + "many things " * (i % 9) for i in range(200)]
    together = embed(embedder, texts)
    assert len(together) == 200
    for i in (0, 77, 199):
        assert together[i] @ embed(embedder, texts[i])[0] > 0.999


def test_many_clients_at_once(embedder):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda i: embed(embedder, f"Text {i % 8}")[0], range(64)))
    for i, v in enumerate(got):
        assert v @ got[i % 8] > 0.999


def test_many_texts_of_many_clients_at_once(embedder):
    """Who indexes documents sends a thousand texts in a request, and several requests."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        got = list(pool.map(lambda i: embedder.post(
            "/v1/embeddings", input=[str(i)] * 800, encoding_format="base64"), range(2)))
    assert [g.status_code for g in got] == [200] * 2


@pytest.mark.parametrize("kind", ["embeddings", "rerank"])
def test_another_caller_waits_for_no_more_than_a_part_of_many_texts(request, kind):
    m = request.getfixturevalue("embedder" if kind == "embeddings" else "ranker")

    def ask(owner, texts):
        body = {"input": texts} if kind == "embeddings" else {"query": "a", "documents": texts}
        return m.client().post(f"/v1/{kind}", json=body, headers={"Modeld-Cache-Id": owner})

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        many = pool.submit(ask, "many", ["words and more words " * 60] * 16)
        eventually(lambda: m.metric("running") > 0)
        assert ask("one", ["hello"]).status_code == 200
        assert not many.done()
        assert ask("x" * 129, ["hello"]).status_code == 400
        assert many.result().status_code == 200


def test_an_input_too_long_names_its_place_and_both_numbers(embedder):
    e = error(embedder.post("/v1/embeddings", input=["ok", "word " * 600]), "input",
              "context_length_exceeded")
    assert "input[1]" in e["message"] and "602" in e["message"] and "512" in e["message"]
    embed(embedder, "word " * 510)


@pytest.mark.parametrize("body,param", [
    ({}, "input"), ({"input": ""}, "input"), ({"input": []}, "input"), ({"input": [[]]}, "input"),
    ({"input": {"a": 1}}, "input"), ({"input": [1.5]}, "input"), ({"input": [-1]}, "input"),
    ({"input": [99999999]}, "input"), ({"input": ["x"] * 2049}, "input"),
    ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
    ({"input": "x", "dimensions": 0}, "dimensions"),
    ({"input": "x", "dimensions": 385}, "dimensions"),
    ({"input": "x", "dimensions": "9"}, "dimensions"),
])
def test_a_wrong_field_is_named(embedder, body, param):
    error(embedder.post("/v1/embeddings", **body), param)


def test_it_makes_no_text(embedder):
    for path, body in (("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
                       ("/v1/completions", {"prompt": "x"})):
        assert "embeddings" in error(embedder.post(path, **body), "model")["message"]
    assert embedder.ready["kind"] == "embedding"


def test_a_text_model_can_be_made_to_pool(spawn):
    m = spawn(TEXT_GGUF, "--pooling", "mean", "--ctx-size", 512)
    cat, kitten, market = embed(m, [CAT, KITTEN, MARKET])
    assert len(cat) == 576
    assert cat @ kitten > cat @ market


def test_a_context_behind_the_table_of_positions_ends_where_it_does(spawn):
    m = spawn(EMBED_GGUF, "--ctx-size", 2048)
    assert m.ready["context"] == 512
    r = m.post("/v1/embeddings", input="cat " * 1000)
    assert "512" in error(r, "input", "context_length_exceeded")["message"]
    assert np.linalg.norm(embed(m, "cat " * 500)[0]) == pytest.approx(1, abs=1e-5)
