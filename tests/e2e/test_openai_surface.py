"""OpenAI's surface, call by call, with the official SDK through modeld."""

import math
import re

import openai
import pydantic
import pytest

from conftest import EMBED, TEXT

HELLO = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def client(modeld):
    return openai.OpenAI(base_url=modeld.url + "/v1", api_key="x", max_retries=0)


@pytest.fixture(scope="module")
def chat(client):
    def ask(**kw):
        kw = {"model": TEXT, "messages": HELLO, "temperature": 0, "max_tokens": 12, **kw}
        return client.chat.completions.create(**kw)
    return ask


def text(r):
    return r.choices[0].message.content


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(
        sum(x * x for x in a) * sum(y * y for y in b))


def refused(call, param):
    with pytest.raises(openai.BadRequestError) as e:
        call()
    assert e.value.param == param
    return str(e.value)


# ---- chats ----

def test_content_in_parts_is_the_same_content(chat):
    parts = [{"role": "user", "content": [{"type": "text", "text": "Say "},
                                          {"type": "text", "text": "hello."}]}]
    assert chat(messages=parts).usage.prompt_tokens > 0
    assert "image_url" in refused(lambda: chat(messages=[{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]), "messages")


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_count(chat, role):
    said = [{"role": role, "content": "You are a pirate."}, *HELLO]
    assert chat(messages=said).usage.prompt_tokens != chat().usage.prompt_tokens


def test_max_completion_tokens(chat):
    assert chat(max_completion_tokens=3, max_tokens=9).usage.completion_tokens == 3


@pytest.mark.parametrize("seed", [7, -7])
def test_seed_repeats_and_differs(chat, seed):
    ask = dict(temperature=1.2, max_tokens=16)
    same = [text(chat(seed=seed, **ask)) for _ in range(2)]
    assert same[0] == same[1]
    assert len({text(chat(seed=s, **ask)) for s in range(6)}) > 1


def test_n_choices(chat):
    r = chat(n=3, temperature=1.2, seed=1)
    assert [c.index for c in r.choices] == [0, 1, 2]
    assert len({c.message.content for c in r.choices}) > 1


def test_stop_across_token_borders(chat):
    whole = text(chat(max_tokens=24))
    # From the middle of a word to the middle of the next.
    at = whole.index(" ", 2)
    word = whole[at - 1:at + 2]
    r = chat(max_tokens=24, stop=[word])
    assert text(r) == whole[:whole.index(word)] and r.choices[0].finish_reason == "stop"
    streamed = "".join(c.choices[0].delta.content or "" for c in chat(
        max_tokens=24, stop=word, stream=True) if c.choices)
    assert streamed == whole[:whole.index(word)]


def test_logprobs(chat):
    r = chat(logprobs=True, top_logprobs=2, max_tokens=4)
    entries = r.choices[0].logprobs.content
    assert len(entries) == r.usage.completion_tokens
    for x in entries:
        assert x.logprob <= 0 and len(x.top_logprobs) == 2
        assert x.top_logprobs[0].token == x.token
        assert bytes(x.bytes).decode(errors="replace") == x.token or x.bytes
    assert "".join(x.token for x in entries).startswith(text(r)[:3])


def test_an_answer_without_words_has_lists_without_probabilities(client, chat):
    first = text(chat(max_tokens=1))
    assert chat(logprobs=True, stop=[first]).choices[0].logprobs.content == []
    assert chat(stop=[first]).choices[0].logprobs is None
    r = complete(client, prompt="x", logprobs=1, max_tokens=0)
    assert r.choices[0].logprobs.tokens == r.choices[0].logprobs.text_offset == []


def test_logit_bias(client, chat, modeld):
    first = chat(logprobs=True, max_tokens=1).choices[0].logprobs.content[0].token
    ids = modeld.http.post("/tokenize", json={"model": TEXT, "content": first}).json()["tokens"]
    assert len(ids) == 1
    banned = chat(logprobs=True, max_tokens=1, logit_bias={str(ids[0]): -100})
    assert banned.choices[0].logprobs.content[0].token != first


def test_an_answer_begun_is_continued(chat):
    r = chat(messages=[*HELLO, {"role": "assistant", "content": "Hello, my dear"}], max_tokens=4)
    assert text(r) and not text(r).startswith("Hello, my dear")


def test_usage_in_a_stream_and_timings_beside(chat):
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.completion_tokens > 0 and not chunks[-1].choices
    assert chunks[-1].model_extra["timings"]["predicted_n"] == chunks[-1].usage.completion_tokens
    assert chat().model_extra["timings"]["predicted_per_second"] > 0


def test_a_prompt_seen_before_is_cached(chat):
    messages = [{"role": "user", "content": "A story of a fox and a hen, and a barn. " * 20}]
    first = chat(messages=messages, max_tokens=1)
    again = chat(messages=messages, max_tokens=1, user="u", prompt_cache_key="k")
    assert first.usage.prompt_tokens == again.usage.prompt_tokens
    assert again.usage.prompt_tokens_details.cached_tokens == again.usage.prompt_tokens - 1


def test_json_and_strict_schemas(chat):
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}},
              "required": ["a"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    assert '"a"' in text(chat(response_format=form, max_tokens=40))
    schema["properties"]["a"] = {"type": "array", "uniqueItems": True}
    assert "uniqueItems" in refused(lambda: chat(response_format=form), "response_format")


class Badge(pydantic.BaseModel):
    code: str = pydantic.Field(pattern=r"^[A-Z]{2}\d{2}$")
    level: int = pydantic.Field(gt=0, lt=4)


def test_a_class_is_parsed(client):
    r = client.chat.completions.parse(model=TEXT, messages=HELLO, response_format=Badge,
                                      temperature=1.2, seed=4, max_tokens=120)
    badge = r.choices[0].message.parsed
    assert re.fullmatch(r"[A-Z]{2}\d{2}", badge.code) and 0 < badge.level < 4
    assert r.usage.completion_tokens_details.reasoning_tokens == 0


# ---- completions ----

def complete(client, **kw):
    return client.completions.create(**{"model": TEXT, "temperature": 0, "max_tokens": 6, **kw})


def test_prompts_in_every_form(client, modeld):
    prompt = "The sky is"
    ids = modeld.http.post("/tokenize", json={"model": TEXT, "content": prompt}).json()["tokens"]
    # One token: which others share the batch moves the last bits of later ones.
    def complete_one(p):
        return complete(client, prompt=p, max_tokens=1)

    said = complete_one(prompt).choices[0].text
    assert complete_one(ids).choices[0].text == said
    for many in ([prompt, "One two"], [ids, ids]):
        r = complete_one(many)
        assert [c.index for c in r.choices] == [0, 1] and r.choices[0].text == said


def test_echo_and_logprobs(client):
    r = complete(client, prompt="The sky is", echo=True, logprobs=2, max_tokens=2)
    c = r.choices[0]
    assert c.text.startswith("The sky is")
    assert c.logprobs.token_logprobs[0] is None and c.logprobs.token_logprobs[-1] <= 0
    assert len(c.logprobs.tokens) == r.usage.total_tokens
    assert "".join(c.logprobs.tokens) == c.text


def test_what_a_model_or_we_cannot_is_said(client):
    assert "not taught" in refused(lambda: complete(client, prompt="x", suffix="y"), "suffix")
    assert "best_of" in refused(lambda: complete(client, prompt="x", best_of=3), "best_of")


# ---- embeddings ----

def embed(client, value, **kw):
    r = client.embeddings.create(model=EMBED, input=value, **kw)
    assert [d.index for d in r.data] == list(range(len(r.data)))
    return [d.embedding for d in r.data]


def test_inputs_in_every_form(client, modeld):
    texts = ["A cat sits on the mat.", "The market fell."]
    ids = [modeld.http.post("/tokenize", json={
        "model": EMBED, "content": t, "add_special": True}).json()["tokens"] for t in texts]
    want = embed(client, texts)
    for got in (embed(client, texts[0]), embed(client, ids), embed(client, ids[0])):
        for g, w in zip(got, want):
            assert cosine(g, w) > 0.9999
    # The SDK asks for base64 by itself; as numbers they are the same.
    assert cosine(embed(client, texts[0], encoding_format="float")[0], want[0]) > 0.99999


def test_dimensions_are_cut_and_scaled(client):
    whole, short = embed(client, "A cat.")[0], embed(client, "A cat.", dimensions=32)[0]
    assert len(short) == 32 and sum(x * x for x in short) == pytest.approx(1, abs=1e-4)
    assert cosine(short, whole[:32]) > 0.9999
    refused(lambda: embed(client, "x", dimensions=385), "dimensions")


def test_more_than_one_batch_is_split_well(client):
    texts = [f"Text {i}: " + "many different words here " * (i % 40) for i in range(300)]
    got = embed(client, texts)
    for i in (0, 39, 150, 299):
        assert cosine(got[i], embed(client, texts[i])[0]) > 0.999


def test_an_input_too_long_is_named(client):
    for n in (600, 900000):
        said = refused(lambda: embed(client, ["ok", "fine", "word " * n]), "input")
        assert "input[2]" in said
