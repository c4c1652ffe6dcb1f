"""The endpoints beside OpenAI's, through modeld: ranking, tokens, templates, and what a model's
process tells of itself."""

import json
import threading

import pytest

from conftest import EMBED, TEXT, Modeld, eventually, package
from llama_fixtures import ranker_gguf  # noqa: F401

RANKER = "ai/ranker"
FORMS = ["", "/engines", "/engines/llama.cpp"]


@pytest.fixture(scope="module")
def server(tmp_path_factory, ranker_gguf):
    """A daemon with a model of text, one of vectors, and one that ranks."""
    from conftest import EMBED_GGUF, TEXT_GGUF
    m = Modeld(tmp_path_factory.mktemp("modeld"), tmp_path_factory.mktemp("store"))
    for gguf, name in ((TEXT_GGUF, TEXT), (EMBED_GGUF, EMBED), (ranker_gguf, RANKER)):
        package(m, gguf, name)
    yield m
    m.stop()


def post(m, path, status=200, **body):
    r = m.http.post(path, json=body)
    assert r.status_code == status, r.text
    return r.json()


@pytest.mark.parametrize("form", FORMS)
def test_a_ranking(server, form):
    texts = ["Cats eat fish.", "The stock market fell.", "Dogs bark."]
    ask = {"model": RANKER, "query": "What do cats eat?", "documents": texts}
    for path in ("/rerank", "/v1/rerank"):
        r = post(server, form + path, **ask)
        assert sorted(x["index"] for x in r["results"]) == [0, 1, 2] and r["model"] == RANKER
        scores = [x["relevance_score"] for x in r["results"]]
        assert scores == sorted(scores, reverse=True)
    for path in ("/score", "/v1/score"):
        got = post(server, form + path, model=RANKER, text_1=ask["query"], text_2=texts)["data"]
        assert sorted((x["score"] for x in got), reverse=True) == pytest.approx(scores, abs=0.01)
    row, = (x for x in server.ps() if x["model_name"] == RANKER)
    assert row["mode"] == "reranking"


def test_a_ranking_is_counted_and_recorded(server):
    label = '{model="%s"}' % RANKER
    before = server.metric("modeld_prompt_tokens_total" + label)
    used = post(server, "/rerank", model=RANKER, query="a", documents=["b", "c"])["usage"]
    assert server.metric("modeld_prompt_tokens_total" + label) - before == used["prompt_tokens"] > 0
    group, = (g for g in server.http.get("/engines/requests", params={"model": RANKER}).json())
    assert group["records"][-1]["url"] == "/engines/rerank"


def test_models_that_cannot_rank_say_so(server):
    for model in (TEXT, EMBED):
        e = post(server, "/rerank", 400, model=model, query="a", documents=["b"])["error"]
        assert e["param"] == "model" and "cannot rank" in e["message"]
    assert "/v1/rerank" in post(server, "/v1/embeddings", 400, model=RANKER,
                                input="x")["error"]["message"]
    assert post(server, "/rerank", 404, model="nope", query="a", documents=[])


@pytest.mark.parametrize("form", FORMS)
def test_tokens_and_back(server, form):
    text = "Hello, wörld! 你好"
    for model in (TEXT, EMBED):
        ids = post(server, form + "/tokenize", model=model, content=text)["tokens"]
        assert ids and all(isinstance(i, int) for i in ids)
        pieces = post(server, form + "/tokenize", model=model, content=text, with_pieces=True)
        assert [p["id"] for p in pieces["tokens"]] == ids
    ids = post(server, form + "/tokenize", model=TEXT, content=text)["tokens"]
    assert post(server, form + "/detokenize", model=TEXT, tokens=ids) == {"content": text}


@pytest.mark.parametrize("form", FORMS)
def test_a_template_is_applied(server, form):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <|im_end|>"}]
    r = post(server, form + "/apply-template", model=TEXT, messages=messages)
    assert r == {"prompt": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <|im_end|>"
                           "<|im_end|>\n<|im_start|>assistant\n"}
    # As many tokens as the chat itself counts.
    n = post(server, "/tokenize", model=TEXT, content=r["prompt"])["tokens"]
    used = post(server, "/v1/chat/completions", model=TEXT, messages=messages, max_tokens=1)["usage"]
    assert used["prompt_tokens"] == len(n)


def test_wrong_chats_and_models_have_no_template(server):
    assert post(server, "/apply-template", 400, model=TEXT)["error"]["param"] == "messages"
    assert post(server, "/apply-template", 400, model=TEXT, messages=[{}])["error"]["param"] == "messages"
    assert post(server, "/apply-template", 400, model=EMBED,
                messages=[{"role": "user", "content": "x"}])["error"]["param"] == "model"
    assert post(server, "/tokenize", 400, model=TEXT)["error"]["param"] == "content"
    assert post(server, "/tokenize", 400, model=TEXT, content=7)["error"]["param"] == "content"
    for tokens in ([-1], [10 ** 9], [2 ** 31], [2 ** 63], ["x"], [1.5]):
        assert post(server, "/detokenize", 400, model=TEXT, tokens=tokens)["error"]["param"] == "tokens"


@pytest.mark.parametrize("form", FORMS)
def test_what_is_in_force_is_told(server, form):
    post(server, "/v1/completions", model=TEXT, prompt="x", max_tokens=1)
    r = server.http.get(form + "/props", params={"model": TEXT})
    assert r.status_code == 200
    p = r.json()
    context = next(x for x in server.ps() if x["model_name"] == TEXT)["context_size"]
    assert p["default_generation_settings"]["n_ctx"] == context and p["total_slots"] == 4
    assert p["default_generation_settings"]["params"]["temperature"] == pytest.approx(0.8)
    assert p["model_alias"] == TEXT and p["kind"] == "text" and "<|im_start|>" in p["chat_template"]
    assert p["eos_token"] == "<|im_end|>"
    # Nothing of the host's files.
    assert str(server.folder) not in r.text and "sha256" not in r.text and ".gguf" not in r.text


def test_slots_tell_how_busy_and_not_with_what(server):
    secret = "zanzibar-4711"
    post(server, "/v1/completions", model=TEXT, prompt=secret, max_tokens=1)

    def slots():
        r = server.http.get("/slots", params={"model": TEXT})
        assert r.status_code == 200 and secret not in r.text
        assert all(set(s) == {"id", "n_ctx", "is_processing", "n_tokens"} for s in r.json())
        return r.json()

    eventually(lambda: not any(s["is_processing"] for s in slots()))
    assert [s["id"] for s in slots()] == [0, 1, 2, 3] and any(s["n_tokens"] for s in slots())
    with server.http.stream("POST", "/v1/completions", json={
            "model": TEXT, "prompt": secret, "stream": True, "max_tokens": 2000,
            "ignore_eos": True}) as s:
        next(s.iter_lines())
        eventually(lambda: any(s["is_processing"] for s in slots()))
    eventually(lambda: not any(s["is_processing"] for s in slots()))


def test_looking_loads_nothing(server):
    server.http.post("/engines/unload", json={"all": True})
    eventually(lambda: not server.ps())
    for path in ("/props", "/slots"):
        r = server.http.get(path, params={"model": TEXT})
        assert r.status_code == 503 and "not loaded" in r.json()["error"]["message"]
        assert server.http.get(path).json()["error"]["param"] == "model"
        assert server.http.get(path, params={"model": "nope"}).status_code == 404
        assert server.http.get("/engines/nope" + path, params={"model": TEXT}).status_code == 404
    assert not server.ps()


def test_looking_asks_the_process_of_the_mode(server):
    """A model of text with settings for vectors has two."""
    server.http.post("/engines/unload", json={"all": True})
    r = server.http.post("/engines/_configure", json={
        "model": TEXT, "mode": "embedding", "context-size": 512})
    assert r.status_code == 202, r.text

    def context(status=200, **mode):
        r = server.http.get("/props", params={"model": TEXT, **mode})
        assert r.status_code == status, r.text
        return r.json()["default_generation_settings"]["n_ctx"] if status == 200 else r.text
    eventually(lambda: [not x.get("is_loading") and x["mode"] for x in server.ps()] == ["embedding"])
    for mode in ({}, {"mode": "embedding"}):
        eventually(lambda: server.http.get("/props", params={"model": TEXT, **mode}).is_success)
        assert context(**mode) == 512
    assert "not loaded" in context(503, mode="completion")
    assert len(server.ps()) == 1
    post(server, "/v1/completions", model=TEXT, prompt="x", max_tokens=1)
    assert context(mode="embedding") == 512 < context() == context(mode="completion")
    assert "'mode' must be" in context(400, mode="both")
    assert server.http.delete("/engines/_configure", params={"model": TEXT}).is_success


def test_what_the_process_has_beside_is_not_reached(server):
    """/health and /metrics of modeld-llama are for modeld alone."""
    for path in ("/health", "/engines/llama.cpp/health", "/engines/llama.cpp/metrics",
                 "/engines/llama.cpp/v1/tokenize"):
        for r in (server.http.get(path, params={"model": TEXT}),
                  server.http.post(path, json={"model": TEXT})):
            assert r.status_code == 404, (path, r.text)


def test_tokens_are_counted_for_many_at_once(server):
    """Tokenising does not hold up an answer under way."""
    got = []

    def count():
        got.append(len(post(server, "/tokenize", model=TEXT, content="word " * 20000)["tokens"]))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for t in threads:
        t.start()
    post(server, "/v1/completions", model=TEXT, prompt="x", max_tokens=8)
    for t in threads:
        t.join()
    assert len(set(got)) == 1 and got[0] > 20000 - 1
    assert server.http.post("/tokenize", content=json.dumps(
        {"model": TEXT, "content": "x" * (5 << 20)})).status_code == 413
