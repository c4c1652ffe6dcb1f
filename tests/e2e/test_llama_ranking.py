"""modeld-llama with a model for ranking: /rerank and /score."""

import concurrent.futures

import gguf
import numpy as np
import pytest

from llama_fixtures import (  # noqa: F401
    EMBED_GGUF, TEXT_GGUF, bert_states, copy_gguf, embedder, finish_gguf, llama, ranker,
    ranker_gguf, spawn)

QUERY = "What do cats eat?"
TEXTS = ["Cats eat fish and mice.", "The stock market fell.", "", "Dogs eat meat; a cat does too."]


def error(r, param, code=None):
    assert r.status_code == 400, r.text
    e = r.json()["error"]
    assert e["param"] == param and e["code"] == code, e
    return e["message"]


def ids_of(m, text):
    return m.post("/tokenize", content=text, add_special=False).json()["tokens"]


@pytest.fixture(scope="module")
def score(ranker, ranker_gguf):
    """What the weights in the file say, by numpy."""
    t = {x.name: np.array(x.data, dtype=np.float32) for x in gguf.GGUFReader(ranker_gguf).tensors
         if x.name.startswith("cls")}
    cls, sep = ranker.post("/tokenize", content="", add_special=True).json()["tokens"]

    def of(query, text):
        ids = [cls, *ids_of(ranker, query), sep, *ids_of(ranker, text), sep]
        x = bert_states(ranker_gguf, ids)[0]
        x = np.tanh(t["cls.weight"] @ x + t["cls.bias"])
        return float(t["cls.output.weight"].reshape(-1) @ x + t["cls.output.bias"][0])
    return of


def test_the_scores_are_the_models(ranker, score):
    r = ranker.post("/v1/rerank", query=QUERY, documents=TEXTS)
    assert r.status_code == 200, r.text
    got = {x["index"]: x["relevance_score"] for x in r.json()["results"]}
    assert sorted(got) == [0, 1, 2, 3]
    for i, text in enumerate(TEXTS):
        assert got[i] == pytest.approx(score(QUERY, text), abs=0.02)


def test_the_shape_is_jinas_the_best_first(ranker):
    r = ranker.post("/rerank", model="my/name", query=QUERY, documents=TEXTS).json()
    assert set(r) == {"object", "model", "results", "usage"}
    assert r["object"] == "list" and r["model"] == "my/name"
    scores = [x["relevance_score"] for x in r["results"]]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 4
    assert all(set(x) == {"index", "relevance_score"} for x in r["results"])
    n = sum(3 + len(ids_of(ranker, QUERY)) + len(ids_of(ranker, t)) for t in TEXTS)
    assert r["usage"] == {"prompt_tokens": n, "total_tokens": n}


def test_top_n_and_documents(ranker):
    every = ranker.post("/rerank", query=QUERY, documents=TEXTS).json()["results"]
    got = ranker.post("/rerank", query=QUERY, top_n=2, return_documents=True,
                      documents=[{"text": t, "id": 7} for t in TEXTS]).json()["results"]
    assert [x["index"] for x in got] == [x["index"] for x in every[:2]]
    assert [x["relevance_score"] for x in got] == pytest.approx(
        [x["relevance_score"] for x in every[:2]], abs=1e-4)
    assert [x["document"] for x in got] == [{"text": TEXTS[x["index"]]} for x in got]
    assert len(ranker.post("/rerank", query=QUERY, documents=TEXTS, top_n=99).json()["results"]) == 4


def test_scores_come_in_the_order_given(ranker):
    best = ranker.post("/v1/rerank", query=QUERY, documents=TEXTS).json()["results"]
    want = [x["relevance_score"] for x in sorted(best, key=lambda x: x["index"])]
    for path in ("/score", "/v1/score"):
        r = ranker.post(path, text_1=QUERY, text_2=TEXTS).json()
        assert [x["index"] for x in r["data"]] == [0, 1, 2, 3] and r["object"] == "list"
        assert {x["object"] for x in r["data"]} == {"score"}
        assert [x["score"] for x in r["data"]] == pytest.approx(want, abs=0.01)
    pairs = ranker.post("/score", text_1=[QUERY, "x"], text_2=TEXTS[:2]).json()["data"]
    assert pairs[0]["score"] == pytest.approx(want[0], abs=0.01)
    assert pairs[1]["score"] != pytest.approx(want[1], abs=0.01)
    assert len(ranker.post("/score", text_1="a", text_2="b").json()["data"]) == 1
    jina = ranker.post("/score", query=QUERY, documents=TEXTS).json()["data"]
    assert [x["score"] for x in jina] == pytest.approx(want, abs=0.01)


def test_many_are_each_their_own(ranker):
    texts = [f"Sentence {i} of " + "many words " * (i % 7) for i in range(150)]

    def ask(i):
        return ranker.post("/score", text_1=QUERY, text_2=texts[i]).json()["data"][0]["score"]

    together = [x["score"] for x in ranker.post("/score", text_1=QUERY, text_2=texts).json()["data"]]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        alone = list(pool.map(ask, range(0, 150, 10)))
    assert together[::10] == pytest.approx(alone, abs=0.02)


def test_a_document_too_long_is_named(ranker):
    message = error(ranker.post("/rerank", query=QUERY, documents=["ok", "word " * 600]), "documents",
                    "context_length_exceeded")
    assert "documents[1]" in message and "512" in message and "608" in message
    message = error(ranker.post("/rerank", query=QUERY, documents=["ok", "ok", "word " * 900000]),
                    "documents", "context_length_exceeded")
    assert "documents[2]" in message
    assert ranker.post("/rerank", query=QUERY, documents=["word " * 500]).status_code == 200


@pytest.mark.parametrize("path,body,param", [
    ("/rerank", {"documents": ["x"]}, "query"), ("/rerank", {"query": "", "documents": ["x"]}, "query"),
    ("/rerank", {"query": 7, "documents": ["x"]}, "query"), ("/rerank", {"query": "x"}, "documents"),
    ("/rerank", {"query": "x", "documents": []}, "documents"),
    ("/rerank", {"query": "x", "documents": "x"}, "documents"),
    ("/rerank", {"query": "x", "documents": ["x", 7]}, "documents"),
    ("/rerank", {"query": "x", "documents": [{"title": "x"}]}, "documents"),
    ("/rerank", {"query": "x", "documents": ["x"] * 2049}, "documents"),
    ("/rerank", {"query": "x", "documents": ["x"], "top_n": 0}, "top_n"),
    ("/rerank", {"query": "x", "documents": ["x"], "return_documents": 1}, "return_documents"),
    ("/score", {"text_1": "x"}, "text_2"), ("/score", {"text_2": "x"}, "text_1"),
    ("/score", {"text_1": ["a", "b"], "text_2": ["a", "b", "c"]}, "text_2"),
    ("/score", {"text_1": [], "text_2": []}, "text_2"), ("/score", {}, "text_1"),
])
def test_a_wrong_field_is_named(ranker, path, body, param):
    error(ranker.post(path, **body), param)


def test_a_score_that_is_no_number_is_null(spawn, ranker_gguf, tmp_path):
    path = tmp_path / "broken.gguf"
    finish_gguf(copy_gguf(ranker_gguf, path,
                          instead={"cls.output.bias": np.array([np.nan], np.float32)}))
    m = spawn(path)
    r = m.post("/rerank", query=QUERY, documents=TEXTS).json()["results"]
    assert [(x["index"], x["relevance_score"]) for x in r] == [(i, None) for i in range(4)]
    r = m.post("/score", text_1=QUERY, text_2=TEXTS).json()["data"]
    assert [x["score"] for x in r] == [None] * 4


def test_a_model_says_what_it_can(ranker, embedder, llama, spawn):
    ask = {"query": QUERY, "documents": TEXTS}
    assert "makes embeddings and cannot rank" in error(embedder.post("/v1/rerank", **ask), "model")
    assert "makes text and cannot rank" in error(llama.post("/v1/rerank", **ask), "model")
    assert "/v1/rerank" in error(ranker.post("/v1/embeddings", input="x"), "model")
    assert "/v1/rerank" in error(ranker.post("/v1/completions", prompt="x"), "model")
    assert ranker.ready["kind"] == "ranking"
    for model in (EMBED_GGUF, TEXT_GGUF):
        m = spawn(model, "--pooling", "rank")
        assert m.told[-1]["event"] == "failed" and "no head for ranking" in m.told[-1]["message"]
        m.stop(1)
