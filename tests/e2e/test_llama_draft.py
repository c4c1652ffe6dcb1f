"""Speculation in modeld-llama: with drafts looked up in the text or made by a draft model, answers
are what they are without. Greedy answers may part only where two tokens are as good as equally
likely, since a batch of another size rounds otherwise."""

import json
import threading

import pytest

import gguf_fixtures
from kinds_fixtures import HEAD, HEADS, KV_HEADS, LAYERS, WIDTH, Maker, common, feed_forward
from llama_fixtures import EMBED_GGUF, TEXT_GGUF, launch, spawn  # noqa: F401

WORDS = ("The quick brown fox jumps over the lazy dog near the river bank, while seven wise owls "
         "watch from the old oak tree and count the stars above the silent village.")
COPY = f"Repeat this text exactly:\n\n{WORDS}\n\n{WORDS}\n\n"


def make_repeating(path):
    """A small model of random weights that hardly looks back: what it writes soon repeats itself,
    in runs that are long enough to be looked up."""
    m = Maker(path, "llama", 6)
    common(m)
    m.near_one("output_norm", WIDTH)
    for i in range(LAYERS):
        b = f"blk.{i}."
        m.near_one(b + "attn_norm", WIDTH)
        m.matrix(b + "attn_q", HEADS * HEAD, WIDTH)
        m.matrix(b + "attn_k", KV_HEADS * HEAD, WIDTH)
        m.matrix(b + "attn_v", KV_HEADS * HEAD, WIDTH)
        m.matrix(b + "attn_output", WIDTH, HEADS * HEAD, scale=0.05)
        feed_forward(m, b)
    m.finish()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("repeating") / "repeating.gguf"
    make_repeating(path)
    return path


def module_llama(*args):
    @pytest.fixture(scope="module")
    def begin(tmp_path_factory, model):
        m = launch(tmp_path_factory, model, "--ctx-size", 1024, "--log-level", "debug",
                   *(model if a is None else a for a in args))
        yield m
        m.stop()
    return begin


plain = module_llama("--spec-type", "none")
looks_up = module_llama("--spec-type", "ngram-simple", "--spec-adaptive", "off")
# The model drafts for itself: nearly all is taken.
modelled = module_llama("--spec-type", "draft-simple", "--spec-adaptive", "off", "-md", None,
                        "--draft-max", 4)


@pytest.fixture(params=["looks_up", "modelled"])
def drafting(request):
    m = request.getfixturevalue(request.param)
    m.kind = request.param
    return m


def complete(m, prompt="Sing!", **body):
    body = {"max_tokens": 80, "temperature": 0, "ignore_eos": True, "cache_prompt": False,
            "logprobs": 2, **body}
    r = m.post("/v1/completions", prompt=prompt, **body)
    assert r.status_code == 200, r.text
    return r.json()


def check_same(got, want, near=0.01):
    """The same tokens with nearly the same probabilities. Where the two likeliest are nearer to
    each other than that, either may win, and the texts part; says how many are the same."""
    a, b = got["logprobs"], want["logprobs"]
    for i, (x, y) in enumerate(zip(a["tokens"], b["tokens"])):
        if x != y:
            best, second = sorted(b["top_logprobs"][i].values(), reverse=True)[:2]
            assert best - second < near, (i, x, y, b["top_logprobs"][i])
            return i
        assert a["token_logprobs"][i] == pytest.approx(b["token_logprobs"][i], abs=near)
        assert list(a["top_logprobs"][i].values()) == \
            pytest.approx(list(b["top_logprobs"][i].values()), abs=near)
    assert got["text"] == want["text"] and got["finish_reason"] == want["finish_reason"]
    return len(a["tokens"])


def n_same(a, b):
    """How many tokens are: at the very border of two the sampler may take the other."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), len(a))


def taken(answer):
    t = answer["timings"]
    assert t["draft_n"] >= t["draft_n_accepted"] >= 0
    return t["draft_n_accepted"]


def test_answers_are_the_same_and_drafts_are_taken(plain, drafting):
    for prompt in ("Sing!", "Tell", "a", "zzz"):
        want, got = complete(plain, prompt), complete(drafting, prompt)
        assert "draft_n" not in want["timings"]
        assert taken(got) > 20
        assert check_same(got["choices"][0], want["choices"][0]) >= 20


def test_with_a_real_model_too(spawn):
    want = complete(spawn(TEXT_GGUF, "--ctx-size", 512, "--spec-type", "none"), COPY, max_tokens=24)
    got = complete(spawn(TEXT_GGUF, "--ctx-size", 512, "--spec-adaptive", "off"), COPY,
                   max_tokens=24)
    assert taken(got) > 0
    # Its weights have 4 bits, and products in batches of other sizes are rounded otherwise.
    check_same(got["choices"][0], want["choices"][0], 0.5)


def test_a_models_own_drafts_are_nearly_all_taken(modelled):
    t = complete(modelled)["timings"]
    assert t["draft_n"] > 50 and t["draft_n_accepted"] > 0.9 * t["draft_n"]


def test_drafts_in_vain_change_nothing(plain, looks_up):
    """Every token that was seen gets unlikely: what followed before never follows again."""
    body = {"frequency_penalty": 2, "presence_penalty": 2, "max_tokens": 60}
    prompt = complete(plain)["choices"][0]["text"]
    want, got = complete(plain, prompt, **body), complete(looks_up, prompt, **body)
    a, b = (x["choices"][0]["logprobs"] for x in (got, want))
    n = n_same(a["tokens"], b["tokens"])
    assert n >= 40 and a["token_logprobs"][:n] == pytest.approx(b["token_logprobs"][:n], abs=0.01)


def test_any_number_of_tokens_can_be_asked_for(plain, drafting):
    whole = complete(plain)["choices"][0]["text"]
    for n in (1, 2, 3, 5, *range(40, 60)):
        got = complete(drafting, max_tokens=n)
        choice, = got["choices"]
        assert got["usage"]["completion_tokens"] == n == len(choice["logprobs"]["tokens"])
        assert choice["finish_reason"] == "length" and choice["text"] == whole[:n]


def test_a_stop_string_in_a_drafted_run_ends_the_answer(plain, drafting):
    whole = complete(plain)["choices"][0]["text"]
    for at in range(30, 76, 3):
        stop = whole[at:at + 3]
        for m in (plain, drafting):
            choice, = complete(m, stop=[stop])["choices"]
            assert choice["text"] == whole[:whole.index(stop)] and choice["finish_reason"] == "stop"


def test_a_schema_binds_drafted_runs_too(plain, drafting):
    schema = {"type": "object", "additionalProperties": False, "required": ["names"],
              "properties": {"names": {"type": "array", "minItems": 6, "maxItems": 6, "items": {
                  "type": "object", "additionalProperties": False, "required": ["first", "last"],
                  "properties": {"first": {"enum": ["Ann"]}, "last": {"enum": ["Lee"]}}}}}}
    body = {"messages": [{"role": "user", "content": "Six names."}], "temperature": 0,
            "max_tokens": 600, "response_format": {
                "type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}
    want, got = (m.post("/v1/chat/completions", **body).json() for m in (plain, drafting))
    text = got["choices"][0]["message"]["content"]
    assert text == want["choices"][0]["message"]["content"]
    assert json.loads(text) == {"names": [{"first": "Ann", "last": "Lee"}] * 6}
    assert got["choices"][0]["finish_reason"] == "stop"
    assert got["usage"]["completion_tokens"] == want["usage"]["completion_tokens"]
    # The draft model knows nothing of schemas.
    assert drafting.kind == "modelled" or taken(got) > 0


def test_streams_and_whole_answers_say_the_same(drafting):
    body = {"prompt": "Sing!", "max_tokens": 90, "temperature": 0, "ignore_eos": True,
            "cache_prompt": False}
    chunks = drafting.stream("/v1/completions", **body)
    whole = drafting.post("/v1/completions", **body).json()
    assert "".join(c["choices"][0]["text"] for c in chunks) == whole["choices"][0]["text"]
    t = chunks[-1]["timings"]
    assert t["predicted_n"] == 90 and t["draft_n_accepted"] > 0


def test_several_answers_at_once(plain, drafting):
    prompts = ["Sing!", "Tell", "a", "zzz", "b", "cd"]
    want = [complete(plain, p, max_tokens=200) for p in prompts]
    got = [None] * len(prompts)

    def ask(i):
        got[i] = complete(drafting, prompts[i], max_tokens=200)
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(prompts))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for g, w in zip(got, want):
        assert g["usage"]["completion_tokens"] == 200 and taken(g) > 0
        check_same(g["choices"][0], w["choices"][0])


def test_n_answers_with_a_seed_are_what_they_would_be(plain, drafting):
    # Each token is one draw, whether it was drafted or not: the same draws, the same answers.
    body = {"n": 3, "seed": 5, "temperature": 0.3, "max_tokens": 60}
    want, got = complete(plain, **body), complete(drafting, **body)
    for g, w in zip(got["choices"], want["choices"]):
        assert n_same(g["logprobs"]["tokens"], w["logprobs"]["tokens"]) >= 30
    assert got["usage"]["completion_tokens"] == 180 and taken(got) > 0


def test_what_was_refused_leaves_nothing_in_the_cache(plain, drafting):
    """A text goes on from its cells: they are counted, and right."""
    cached = {}
    for m in (plain, drafting):
        for n in (37, 50, 63):
            prompt = f"{n}{drafting.kind}!"
            first = complete(m, prompt, max_tokens=n, cache_prompt=True)
            longer = prompt + first["choices"][0]["text"] + "again"
            again = complete(m, longer, cache_prompt=True)
            cached.setdefault(n, []).append(
                again["usage"]["prompt_tokens_details"]["cached_tokens"])
            check_same(again["choices"][0], complete(m, longer)["choices"][0])
            assert cached[n][0] == first["usage"]["total_tokens"] - 1
    assert all(a == b for a, b in cached.values())


def test_a_client_that_leaves_frees_its_place(drafting):
    body = {"prompt": "Sing!", "max_tokens": 900, "temperature": 0, "ignore_eos": True,
            "stream": True}
    for _ in range(6):
        with drafting.http.stream("POST", "/v1/completions", json=body) as r:
            next(r.iter_lines())
    assert complete(drafting)["usage"]["completion_tokens"] == 80


def test_the_end_of_the_context_ends_a_drafted_run(spawn, model):
    m = spawn(model, "--ctx-size", 150, "--parallel", 2, "-md", model, "--spec-adaptive", "off")
    for prompt in ("Sing!", "Tell", "a", "bc"):
        r = m.post("/v1/completions", prompt=prompt, temperature=0, ignore_eos=True).json()
        assert r["usage"]["total_tokens"] == 150 and taken(r) > 0
        assert r["choices"][0]["finish_reason"] == "length"


def test_where_there_is_no_room_for_drafts_answers_go_on(spawn, model, plain):
    """Two answers that together fill the context: the cells of drafts were those of answers."""
    m = spawn(model, "--ctx-size", 200, "--parallel", 2, "-md", model, "--spec-adaptive", "off")
    got = [None, None]

    def ask(i):
        got[i] = complete(m, "ab"[i], max_tokens=95)
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i in range(2):
        check_same(got[i]["choices"][0], complete(plain, "ab"[i], max_tokens=95)["choices"][0])


def test_by_default_drafts_are_adaptive_and_harmless(spawn, model, plain):
    m = spawn(model, "--ctx-size", 1024, "-md", model)
    for prompt in ("Sing!", "Tell", "a"):
        for n in (60, 300):
            check_same(complete(m, prompt, max_tokens=n)["choices"][0],
                       complete(plain, prompt, max_tokens=n)["choices"][0])
    # Drafts leave an answer's cells as they are.
    first = complete(m, "fox", cache_prompt=True)
    again = complete(m, "fox", cache_prompt=True)
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == \
        first["usage"]["prompt_tokens"] - 1
    check_same(again["choices"][0], first["choices"][0])


def test_the_log_says_what_drafts_were_worth(looks_up):
    complete(looks_up)
    assert "drafted=" in looks_up.log() and "accepted=" in looks_up.log()


@pytest.mark.parametrize("file,said", [
    (EMBED_GGUF, "cannot draft"), ("absent.gguf", "absent.gguf"), ("torn", "draft model"),
    ("other", "its vocabulary is not the model's")])
def test_a_draft_model_that_does_not_fit_is_refused_at_the_start(tmp_path, spawn, model, file, said):
    if file == "other":
        file = tmp_path / "other.gguf"
        words = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
        file.write_bytes(gguf_fixtures.tiny({"tokenizer.ggml.tokens": (
            gguf_fixtures.ARRAY,
            (gguf_fixtures.STRING, words + gguf_fixtures.LETTERS[::-1]))}))
    elif file == "torn":
        file = tmp_path / "torn.gguf"
        file.write_bytes(model.read_bytes()[:10_000])
    m = spawn(model, "--ctx-size", 512, "--model-draft", file)
    assert m.ready is None and m.told[-1]["event"] == "failed"
    assert said in m.told[-1]["message"]
    m.stop(expect=1)


@pytest.mark.parametrize("args", [
    ["--spec-type", "ngram-mod"], ["--spec-draft-n-max", "0"], ["--spec-draft-n-max", "17"],
    ["--spec-draft-p-min", "1.5"], ["--spec-draft-p-min", "nan"], ["-md"]])
def test_wrong_options_are_told(spawn, model, args):
    m = spawn(model, *args)
    assert m.process.wait(60) == 2 and m.ready is None
