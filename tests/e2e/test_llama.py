"""modeld-llama by itself: chats, completions, their fields, errors and ends."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

from conftest import eventually, memory_kib, quick
from llama_fixtures import EMBED_GGUF, LLAMA, TEXT_GGUF, launch, llama, spawn  # noqa: F401

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"


def content(chunks):
    return "".join(c["choices"][0]["delta"].get("content") or ""
                   for c in chunks if c["choices"])


def error(r, status, param=None, code=None):
    assert r.status_code == status, r.text
    e = r.json()["error"]
    assert set(e) == {"message", "type", "param", "code"}
    assert e["message"] and "\n" not in e["message"]
    assert e["param"] == param and e["code"] == code, e
    return e


# ---- chats ----

def test_a_chat_has_openais_shape(llama):
    r = llama.chat(model="any/name:tag").json()
    assert r["object"] == "chat.completion" and r["id"].startswith("chatcmpl-")
    assert r["model"] == "any/name:tag"
    choice, = r["choices"]
    assert choice["index"] == 0 and choice["logprobs"] is None
    assert choice["message"]["role"] == "assistant" and choice["message"]["content"]
    u = r["usage"]
    assert u["prompt_tokens"] + u["completion_tokens"] == u["total_tokens"]
    t = r["timings"]
    assert t["predicted_n"] == u["completion_tokens"]
    assert t["prompt_n"] + t["cache_n"] == u["prompt_tokens"]
    assert t["cache_n"] == u["prompt_tokens_details"]["cached_tokens"]


def test_without_a_name_the_model_has_its_alias(llama):
    assert llama.chat().json()["model"] == "smollm2"


def test_a_stream_says_what_the_whole_says(llama):
    ask = dict(messages=[{"role": "user", "content": "Count to five."}],
               temperature=0, max_tokens=24)
    whole = llama.post(CHAT, **ask).json()
    chunks = llama.stream(CHAT, **ask, stream_options={"include_usage": True})
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {c["object"] for c in chunks} == {"chat.completion.chunk"}
    assert len({c["id"] for c in chunks}) == 1
    assert content(chunks) == whole["choices"][0]["message"]["content"]
    assert chunks[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert all(c["usage"] is None for c in chunks[:-1])
    for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert chunks[-1]["usage"][key] == whole["usage"][key]
    assert chunks[-1]["choices"] == [] and chunks[-1]["timings"]


def test_a_stream_without_usage_ends_with_timings(llama):
    chunks = llama.stream(CHAT, messages=[{"role": "user", "content": "Hi"}], max_tokens=4)
    assert all("usage" not in c for c in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"]
    assert chunks[-1]["timings"]["predicted_n"] <= 4


def test_parts_of_text_are_one_message(llama):
    parts = [{"type": "text", "text": "Say"}, {"type": "text", "text": "hello."}]
    one = llama.chat(messages=[{"role": "user", "content": parts}]).json()
    two = llama.chat("Say\nhello.").json()
    assert one["choices"][0]["message"] == two["choices"][0]["message"]


def test_max_completion_tokens_wins(llama):
    r = llama.chat("Tell a long story.", max_tokens=9, max_completion_tokens=3).json()
    assert r["usage"]["completion_tokens"] == 3
    assert r["choices"][0]["finish_reason"] == "length"


def test_the_models_own_end_is_stop(llama):
    r = llama.chat("Say hello.", max_tokens=300).json()
    assert r["choices"][0]["finish_reason"] == "stop"
    assert "<|im_end|>" not in r["choices"][0]["message"]["content"]


def test_a_stop_string_ends_the_answer_before_it(spawn):
    # Alone and without a cache: only then are all bits of a repetition the same.
    m = spawn(TEXT_GGUF, "--ctx-size", 512, "--parallel", 1, "--threads", 1)
    ask = dict(messages=[{"role": "user", "content": "Tell a story."}],
               temperature=0, max_tokens=40, cache_prompt=False)
    full = m.post(CHAT, **ask).json()["choices"][0]["message"]["content"]
    middle = len(full) // 2
    for stop in (full[middle:middle + 9], full[middle:middle + 1]):
        want = full[:full.index(stop)]
        r = m.post(CHAT, **ask, stop=["no such", stop]).json()
        assert r["choices"][0]["message"]["content"] == want
        assert r["choices"][0]["finish_reason"] == "stop"
        assert r["usage"]["completion_tokens"] <= 40
        assert content(m.stream(CHAT, **ask, stop=stop)) == want


def test_a_seed_repeats_the_answer(llama):
    def say(seed):
        return llama.chat("Invent a name.", temperature=1.5, top_k=0, min_p=0, seed=seed,
                          cache_prompt=False).json()["choices"][0]["message"]["content"]
    # Where its state lies moves the rounding (docs/api.md), and with it a near tie.
    assert any(say(7) == say(7) for _ in range(9))
    assert len({say(s) for s in range(4)}) > 1


def test_n_gives_several_answers(llama):
    r = llama.chat("Invent a name.", n=3, temperature=1.2, seed=1).json()
    assert [c["index"] for c in r["choices"]] == [0, 1, 2]
    assert len({c["message"]["content"] for c in r["choices"]}) > 1
    one = llama.chat("Invent a name.").json()
    assert r["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    chunks = llama.stream(CHAT, messages=[{"role": "user", "content": "Hi"}], n=2, max_tokens=5)
    ends = [c["choices"][0]["index"] for c in chunks if c["choices"][0]["finish_reason"]]
    assert sorted(ends) == [0, 1]


def test_logprobs_are_those_of_the_tokens(llama):
    r = llama.chat(logprobs=True, top_logprobs=3, max_tokens=6).json()
    entries = r["choices"][0]["logprobs"]["content"]
    text = b"".join(bytes(e["bytes"]) for e in entries).decode()
    assert text.startswith(r["choices"][0]["message"]["content"])
    for e in entries:
        assert e["logprob"] <= 0 and len(e["top_logprobs"]) == 3
        # Greedy: the token is the likeliest.
        assert e["top_logprobs"][0]["token"] == e["token"]
        assert e["top_logprobs"][0]["logprob"] == pytest.approx(e["logprob"])
        lps = [t["logprob"] for t in e["top_logprobs"]]
        assert lps == sorted(lps, reverse=True)
    chunks = llama.stream(CHAT, messages=[{"role": "user", "content": "Say hello."}],
                          temperature=0, max_tokens=6, logprobs=True)
    streamed = [e["token"] for c in chunks
                for e in (c["choices"][0]["logprobs"] or {"content": []})["content"]]
    assert streamed == [e["token"] for e in entries]


def test_a_bias_bans_and_forces_tokens(llama):
    first = llama.chat(max_tokens=1).json()["choices"][0]["message"]["content"]
    ids = llama.post("/tokenize", content=first).json()["tokens"]
    banned = llama.chat(max_tokens=1, logit_bias={str(ids[0]): -100}).json()
    assert banned["choices"][0]["message"]["content"] != first
    zebra = llama.post("/tokenize", content=" zebra").json()["tokens"]
    forced = llama.chat(max_tokens=3, logit_bias={str(zebra[0]): 100}).json()
    piece = llama.post("/detokenize", tokens=[zebra[0]]).json()["content"]
    assert forced["choices"][0]["message"]["content"] == piece * 3


def test_penalties_change_the_answer(llama):
    plain = llama.chat("Say la la la la.", max_tokens=40).json()
    for field in ({"repeat_penalty": 1.8}, {"presence_penalty": 2.0}, {"frequency_penalty": 2.0}):
        r = llama.chat("Say la la la la.", max_tokens=40, **field).json()
        assert r["choices"][0]["message"] != plain["choices"][0]["message"], field


def test_ignore_eos_goes_on_to_the_limit(llama):
    r = llama.chat("Say hello.", max_tokens=80, ignore_eos=True).json()
    assert r["usage"]["completion_tokens"] == 80
    assert r["choices"][0]["finish_reason"] == "length"


def test_a_begun_answer_is_continued(llama):
    r = llama.chat(messages=[{"role": "user", "content": "Name three colours."},
                             {"role": "assistant", "content": "Red, green and"}]).json()
    assert "Red, green" not in r["choices"][0]["message"]["content"]
    assert r["choices"][0]["message"]["content"]


SCHEMA = {"type": "object", "additionalProperties": False, "required": ["name", "age"],
          "properties": {"name": {"type": "string", "maxLength": 12},
                         "age": {"type": "integer", "minimum": 0, "maximum": 120}}}


def test_a_json_schema_is_kept(llama):
    r = llama.chat("A person as JSON.", max_tokens=100, temperature=1.0, seed=3,
                   response_format={"type": "json_schema",
                                    "json_schema": {"name": "p", "schema": SCHEMA}}).json()
    got = json.loads(r["choices"][0]["message"]["content"])
    assert set(got) == {"name", "age"} and 0 <= got["age"] <= 120


def test_json_object_gives_an_object_streamed(llama):
    chunks = llama.stream(CHAT, messages=[{"role": "user", "content": "A JSON object with a key."}],
                          max_tokens=120, temperature=0, response_format={"type": "json_object"})
    if chunks[-1]["choices"][0]["finish_reason"] == "stop":
        assert isinstance(json.loads(content(chunks)), dict)
    assert content(chunks).lstrip().startswith("{")


WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather in a city",
    "parameters": {"type": "object", "required": ["city"],
                   "properties": {"city": {"type": "string", "maxLength": 16}}}}}
TIME = {"type": "function", "function": {"name": "get_time"}}


TOOLS_TEMPLATE = pathlib.Path(__file__).parents[1] / "data" / "templates" / "chatml_tools.jinja"


@pytest.fixture(scope="module")
def caller(tmp_path_factory):
    """The chat model with a template that knows tool calls; its own does not."""
    m = launch(tmp_path_factory, TEXT_GGUF, "--ctx-size", 2048,
               "--chat-template-file", TOOLS_TEMPLATE)
    yield m
    m.stop()


@pytest.mark.parametrize("choice", ["required",
                                    {"type": "function", "function": {"name": "get_weather"}}])
def test_a_required_tool_is_called(caller, choice):
    llama = caller
    ask = dict(messages=[{"role": "user", "content": "How is the weather in Paris?"}],
               tools=[WEATHER, TIME] if choice != "required" else [WEATHER], tool_choice=choice,
               parallel_tool_calls=False, temperature=0, max_tokens=120)
    r = llama.post(CHAT, **ask).json()
    message = r["choices"][0]["message"]
    assert r["choices"][0]["finish_reason"] == "tool_calls"
    call = message["tool_calls"][0]
    assert call["type"] == "function" and call["id"]
    assert call["function"]["name"] == "get_weather"
    assert "city" in json.loads(call["function"]["arguments"])

    chunks = llama.stream(CHAT, **ask)
    deltas = [d for c in chunks for d in c["choices"][0]["delta"].get("tool_calls", [])]
    assert [d["index"] for d in deltas] == sorted(d["index"] for d in deltas)
    for i, call in enumerate(message["tool_calls"]):
        first, *rest = [d for d in deltas if d["index"] == i]
        assert first["id"] and first["type"] == "function"
        assert first["function"]["name"] == "get_weather"
        assert all("id" not in d and "name" not in d["function"] for d in rest)
        arguments = "".join(d["function"]["arguments"] for d in (first, *rest))
        assert json.loads(arguments) == json.loads(call["function"]["arguments"])
    assert len({d["id"] for d in deltas if "id" in d}) == len(message["tool_calls"])
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("ask", [
    {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    {"tool_choice": "required", "parallel_tool_calls": False}])
def test_one_call_is_made_where_one_is_asked_for(caller, ask):
    """By itself the small model goes on with calls to its limit."""
    question = [{"role": "user", "content": "How is the weather in Paris for 3 days?"}]
    many = {"tool_choice": "required", "parallel_tool_calls": True}
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "required": ["city", "days"], "properties": {
            "city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer"}}}}}

    def calls(**ask):
        r = caller.post(CHAT, messages=question, tools=[tool], temperature=0, max_tokens=120,
                        **ask).json()
        return r["choices"][0]["finish_reason"], r["choices"][0]["message"]["tool_calls"]
    finish, (call,) = calls(**ask)
    assert finish == "tool_calls" and "city" in json.loads(call["function"]["arguments"])
    assert len(calls(**many)[1]) > 1


def test_tool_results_go_into_the_prompt(caller):
    llama = caller
    call = {"id": "call_1", "type": "function",
            "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}}
    r = llama.chat(messages=[
        {"role": "user", "content": "Weather in Paris?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees, sunny"}],
        tools=[WEATHER], tool_choice="none")
    assert r.status_code == 200 and r.json()["choices"][0]["message"]["content"]


def test_a_tool_that_the_template_cannot_call_is_refused(llama):
    e = error(llama.chat(tools=[WEATHER], tool_choice="required"), 400, "tools")
    assert "tool calls" in e["message"]
    assert llama.chat(tools=[WEATHER]).status_code == 200


def test_characters_are_never_cut(llama):
    ask = dict(messages=[{"role": "user", "content": "Write in Chinese and with emoji: 你好 😀"}],
               temperature=1.8, top_k=0, top_p=1, min_p=0, seed=5, max_tokens=80)
    chunks = llama.stream(CHAT, **ask)
    text = [c["choices"][0]["delta"].get("content") or "" for c in chunks]
    assert all(t.encode() for t in text if t)


# ---- completions ----

def test_a_completion_goes_on(llama):
    r = llama.post(TEXT, prompt="One, two, three,", max_tokens=6, temperature=0).json()
    assert r["object"] == "text_completion" and r["id"].startswith("cmpl-")
    assert "four" in r["choices"][0]["text"]
    chunks = llama.stream(TEXT, prompt="One, two, three,", max_tokens=6, temperature=0)
    assert "".join(c["choices"][0]["text"] for c in chunks) == r["choices"][0]["text"]


def test_each_prompt_of_an_array_is_answered(llama):
    prompts = ["One, two, three,", "The capital of France is"]
    tokens = [llama.post("/tokenize", content=p).json()["tokens"] for p in prompts]
    single = [llama.post(TEXT, prompt=p, max_tokens=4, temperature=0).json() for p in prompts]
    want = [s["choices"][0]["text"] for s in single]
    for prompt in (prompts, tokens, [prompts[0], tokens[1]]):
        r = llama.post(TEXT, prompt=prompt, max_tokens=4, temperature=0).json()
        assert [c["text"] for c in r["choices"]] == want
        assert r["usage"]["prompt_tokens"] == sum(s["usage"]["prompt_tokens"] for s in single)
    r = llama.post(TEXT, prompt=tokens[0], max_tokens=4, temperature=0, n=2).json()
    assert [c["text"] for c in r["choices"]] == [want[0]] * 2


def test_echo_repeats_the_prompt(llama):
    ask = dict(prompt="One, two, three,", max_tokens=4, temperature=0)
    plain = llama.post(TEXT, **ask).json()["choices"][0]["text"]
    assert llama.post(TEXT, **ask, echo=True).json()["choices"][0]["text"] == ask["prompt"] + plain
    chunks = llama.stream(TEXT, **ask, echo=True)
    assert "".join(c["choices"][0]["text"] for c in chunks) == ask["prompt"] + plain


def test_echo_with_logprobs_judges_the_prompt(llama):
    prompt = "One, two, three, four, five, six, seven, eight, nine, ten. " * 8
    r = llama.post(TEXT, prompt=prompt, max_tokens=2, temperature=0, echo=True, logprobs=2).json()
    lp = r["choices"][0]["logprobs"]
    n = r["usage"]["prompt_tokens"] + r["usage"]["completion_tokens"]
    assert {len(v) for v in lp.values()} == {n}
    assert lp["token_logprobs"][0] is None and lp["top_logprobs"][0] is None
    assert all(x <= 0 for x in lp["token_logprobs"][1:])
    assert "".join(lp["tokens"]) == r["choices"][0]["text"]
    text = r["choices"][0]["text"]
    for token, offset in zip(lp["tokens"], lp["text_offset"]):
        assert text[offset:offset + len(token)] == token
    only = llama.post(TEXT, prompt=prompt, max_tokens=0, echo=True, logprobs=0).json()
    assert only["usage"]["completion_tokens"] == 0
    assert only["choices"][0]["logprobs"]["token_logprobs"][1:] == pytest.approx(
        lp["token_logprobs"][1:-2], rel=0.05, abs=0.05)


def test_parts_of_characters_have_names_and_places(llama):
    """OpenAI's: a token that is no text by itself is told by its bytes, offsets count characters."""
    prompt = "Emoji: 😀 你好 é."
    p = llama.post(TEXT, prompt=prompt, max_tokens=0, echo=True, logprobs=1).json()[
        "choices"][0]["logprobs"]
    names = [n.encode() if not n.startswith("bytes:") else
             bytes.fromhex(n[6:].replace("\\x", "")) for n in p["tokens"]]
    assert b"".join(names).decode() == prompt and any(n.startswith("bytes:") for n in p["tokens"])
    at = 0
    for name, offset in zip(names, p["text_offset"]):
        whole = len(prompt.encode()[:at].decode(errors="ignore"))
        assert offset == whole, (name, p)
        at += len(name)
    for token, logprob, top in list(zip(p["tokens"], p["token_logprobs"], p["top_logprobs"]))[1:]:
        assert top[token] == pytest.approx(logprob) and 1 <= len(top) <= 2
    none = llama.post(TEXT, prompt="x", max_tokens=1, logprobs=0).json()["choices"][0]["logprobs"]
    assert list(none["top_logprobs"][0]) == none["tokens"]


def test_echo_works_with_the_smallest_batch(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 256, "--batch-size", 1, "--parallel", 2)
    r = m.post(TEXT, prompt="One, two, three,", max_tokens=2, echo=True, logprobs=1).json()
    assert len(r["choices"][0]["logprobs"]["tokens"]) == r["usage"]["total_tokens"]


@pytest.mark.parametrize("splits", [b"smollm", b"tekken", b"falcon"])
def test_a_run_without_end_is_split_in_pieces(spawn, tmp_path, splits):
    """Some vocabularies' regular expressions take stack for each character of a run."""
    model = tmp_path / "model.gguf"
    data = TEXT_GGUF.read_bytes()
    at = data.index(b"smollm", data.index(b"tokenizer.ggml.pre"))
    model.write_bytes(data[:at] + splits + data[at + 6:])
    m = spawn(model, "--ctx-size", 512)

    def tokens(text):
        r = m.post("/tokenize", content=text, add_special=True)
        assert r.status_code == 200, r.text
        return r.json()["tokens"]
    for run in ("a", "!", " ", "1", "é", "\n", "!…", '{"key":[1,"ä"]}', " \u2003"):
        text = "So: " + 200_000 // len(run) * run + " end."
        assert m.post("/detokenize", tokens=tokens(text)).json()["content"] == text
    # Whatever has no such run is not cut anywhere.
    sentence = "The 3 cats, and Zoë's dog!\n"
    assert tokens(sentence * 3000) == tokens(sentence) * 3000


def test_a_batch_has_a_ceiling_whatever_is_asked(spawn):
    def bytes_for(model, batch):
        log = spawn(model, "--ctx-size", 4096, "--batch-size", batch).log()
        return int(re.search(r"compute_bytes=(\d+)", log).group(1))
    for model in (TEXT_GGUF, EMBED_GGUF):
        assert bytes_for(model, 1048576) == bytes_for(model, 2048)


# ---- many at once, and the cache ----

def test_many_at_once_say_what_each_says_alone(llama):
    asks = [f"Tell me about the number {i}." for i in range(8)]

    def say(ask):
        r = llama.chat(ask, max_tokens=6, logprobs=True, top_logprobs=2).json()
        assert r["usage"]["completion_tokens"] <= 6
        return r["choices"][0]["logprobs"]["content"]
    alone = [say(a) for a in asks]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(say, asks))
    for a, b in zip(alone, together):
        for x, y in zip(a, b):
            if x["token"] != y["token"]:
                # Batches of another shape round otherwise: a near tie may turn.
                first, second = (t["logprob"] for t in x["top_logprobs"])
                assert first - second < 0.3, (x, y)
                break
            assert x["logprob"] == pytest.approx(y["logprob"], abs=0.15)


def test_a_conversation_uses_its_cache(llama):
    first = [{"role": "user", "content": "My name is Ada and I like bridges. " * 5}]
    a = llama.chat(messages=first, cache_prompt=False).json()
    assert a["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    then = [*first, {"role": "assistant", "content": a["choices"][0]["message"]["content"]},
            {"role": "user", "content": "Who am I?"}]
    b = llama.chat(messages=then).json()
    cached = b["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert a["usage"]["prompt_tokens"] <= cached < b["usage"]["prompt_tokens"]
    fresh = llama.chat(messages=then, cache_prompt=False).json()
    assert fresh["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    # The first token is the same; later ones may turn where two are nearly tied.
    assert (fresh["choices"][0]["message"]["content"].split()[0]
            == b["choices"][0]["message"]["content"].split()[0])


def owned(m, owner, text, **body):
    """Asks under an owner's name (None: without any); gives usage's cached_tokens."""
    r = m.http.post(TEXT, json={"prompt": text, "max_tokens": 1, "temperature": 0, **body},
                    headers={"Modeld-Cache-Id": owner} if owner is not None else {})
    assert r.status_code == 200, r.text
    usage = r.json()["usage"]
    return usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"]


def test_no_owner_uses_the_cache_of_another(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 2048, "--parallel", 4, "--cache-ram", 0)
    secret = "The password of the safe is sunflower, and it must be kept. " * 20
    assert owned(m, "uid:1000", secret)[0] == 0
    cached, n = owned(m, "uid:1000", secret)
    assert cached == n - 1
    for other in ("uid:100", "uid:1001", "UID:1000", "x" * 128, "", None):
        if other is None:  # no name, and the empty one, are the same
            assert owned(m, other, secret)[0] == n - 1
        else:
            assert owned(m, other, secret)[0] == 0, other
    # Four slots, five owners: the one that was used longest ago had to leave.
    assert owned(m, "x" * 128, secret)[0] == n - 1
    assert owned(m, "uid:1000", secret)[0] == 0


def test_the_time_of_an_answer_does_not_tell_of_another_owners_prompt(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 2048, "--parallel", 4)
    secret = "It was a dark and stormy night, and nobody knew the way home. " * 40

    def computed(owner):
        r = m.http.post(TEXT, json={"prompt": secret, "max_tokens": 1},
                        headers={"Modeld-Cache-Id": owner}).json()
        return r["timings"]["prompt_n"]  # its time is that of so many tokens
    first = computed("a")
    assert first > 500 and computed("a") == 1
    assert computed("b") == first


def test_a_prompt_under_way_is_not_shared_with_another_owner(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 2048, "--parallel", 4)
    text = "There was an old lady who swallowed a fly; I don't know why. " * 20
    with m.client() as c, c.stream("POST", TEXT, headers={"Modeld-Cache-Id": "a"}, json={
            "prompt": text, "max_tokens": 1000, "ignore_eos": True, "stream": True}) as r:
        next(r.iter_lines())
        assert owned(m, "b", text)[0] == 0
        cached, n = owned(m, "a", text)
        assert cached == n - 1


def test_an_owners_name_has_a_ceiling(llama):
    r = llama.http.post(TEXT, json={"prompt": "x", "max_tokens": 1},
                        headers={"Modeld-Cache-Id": "x" * 129})
    assert r.status_code == 400 and "Modeld-Cache-Id" in r.json()["error"]["message"]


def test_more_than_fits_waits_and_is_answered(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 512, "--parallel", 3)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda i: m.post(
            TEXT, prompt=f"Story {i}: " + "word " * 150, max_tokens=120, temperature=0,
            ignore_eos=True).json(), range(6)))
    assert all(g["usage"]["completion_tokens"] == 120 for g in got), got


def test_answers_that_wait_reserve_little_memory(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 512, "--parallel", 1)
    # Each counts all tokens of the vocabulary, once it is its turn.
    body = {"prompt": "Once", "max_tokens": 400, "ignore_eos": True, "n": 128, "top_k": 0,
            "temperature": 1, "presence_penalty": 1, "stream": True}
    before = memory_kib(m.process.pid, "Data")
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(stack.enter_context(m.client()).stream("POST", TEXT, json=body))
        assert m.metric("queued") > 400
        assert memory_kib(m.process.pid, "Data") - before < 400 << 8
    eventually(lambda: m.metric("running") + m.metric("queued") == 0)


def test_a_full_context_ends_with_length(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 256)
    assert m.ready["context"] == 256
    r = m.chat("Tell a story.", max_tokens=-1, ignore_eos=True).json()
    assert r["choices"][0]["finish_reason"] == "length"
    assert r["usage"]["total_tokens"] == 256


def test_a_client_that_leaves_frees_its_place(llama):
    for read_first in (False, True):
        made = llama.metric("generated_tokens_total")
        with llama.client() as c, c.stream("POST", CHAT, json={
                "messages": [{"role": "user", "content": "Tell a story."}],
                "max_tokens": 1500, "ignore_eos": True, "stream": True}) as r:
            if read_first:
                next(r.iter_lines())
        eventually(lambda: llama.metric("running") == 0 and llama.metric("queued") == 0)
        assert llama.metric("generated_tokens_total") - made < 1500


def test_a_client_that_leaves_the_queue_is_forgotten(spawn):
    m = spawn(TEXT_GGUF, "--parallel", 1, "--ctx-size", 2048)
    ask = {"messages": [{"role": "user", "content": "Tell a story."}], "max_tokens": 1500,
           "ignore_eos": True, "stream": True}
    with m.client() as one, one.stream("POST", CHAT, json=ask) as first:
        lines = first.iter_lines()  # kept: httpx ends the answer with its generator
        next(lines)
        with m.client() as two, two.stream("POST", CHAT, json=ask):
            eventually(lambda: m.metric("queued") == 1)
        eventually(lambda: m.metric("queued") == 0)
        assert m.metric("running") == 1
    eventually(lambda: m.metric("running") == 0)


def test_a_reader_that_stalls_stops_the_work(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 8192)
    body = json.dumps({"prompt": "x", "max_tokens": 8000, "ignore_eos": True, "stream": True,
                       "logprobs": 20}).encode()
    s = socket.socket(socket.AF_UNIX)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(m.listen[5:])
    s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
              + body)
    seen = []

    def is_still():
        """Its processor time stands still while the answer is not over."""
        fields = open(f"/proc/{m.process.pid}/stat").read().rsplit(") ", 1)[1].split()
        seen.append(int(fields[11]) + int(fields[12]))
        return len(seen) > 60 and seen[-1] - seen[-50] <= 2
    eventually(is_still)
    assert m.metric("running") == 1
    s.close()
    eventually(lambda: m.metric("running") == 0)


# ---- errors ----

def test_a_prompt_too_long_is_refused_with_both_numbers(llama):
    for r, field in ((llama.chat("word " * 5000), "messages"),
                     (llama.post(TEXT, prompt="word " * 5000), "prompt"),
                     (llama.chat("word " * 5000, stream=True), "messages")):
        e = error(r, 400, field, "context_length_exceeded")
        assert "2048" in e["message"] and "50" in e["message"]
        assert e["type"] == "invalid_request_error"


def test_megabytes_are_refused_without_counting_them(llama):
    for ask in (lambda: llama.chat("word " * 2_000_000),
                lambda: llama.post(TEXT, prompt="word " * 2_000_000)):
        r = quick(3, ask)
        assert r.status_code == 400
        assert r.json()["error"]["code"] == "context_length_exceeded"
    error(llama.post("/tokenize", content="x" * (4 << 20)), 413)


@pytest.mark.parametrize("path,body,param", [
    (CHAT, {}, "messages"),
    (CHAT, {"messages": []}, "messages"),
    (CHAT, {"messages": "hi"}, "messages"),
    (CHAT, {"messages": [{"role": "king", "content": "x"}]}, "messages"),
    (CHAT, {"messages": [{"role": "user"}]}, "messages"),
    (CHAT, {"messages": [{"role": "user", "content": 5}]}, "messages"),
    (CHAT, {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]}, "messages"),
    (CHAT, {"temperature": 3}, "temperature"),
    (CHAT, {"temperature": "hot"}, "temperature"),
    (CHAT, {"max_tokens": -2}, "max_tokens"),
    (CHAT, {"max_tokens": 2147483648}, "max_tokens"),
    (CHAT, {"n": 0}, "n"),
    (CHAT, {"n": 1000}, "n"),
    (CHAT, {"top_logprobs": 2}, "top_logprobs"),
    (CHAT, {"stop": [5]}, "stop"),
    (CHAT, {"stop": ["a"] * 33}, "stop"),
    (CHAT, {"logit_bias": {"x": 1}}, "logit_bias"),
    (CHAT, {"logit_bias": {"99999999": 1}}, "logit_bias"),
    (CHAT, {"logit_bias": {"5": 101}}, "logit_bias"),
    (CHAT, {"stream_options": {"include_usage": True}}, "stream_options"),
    (CHAT, {"tools": [{"type": "x"}]}, "tools"),
    (CHAT, {"tool_choice": "maybe"}, "tool_choice"),
    (CHAT, {"tools": [TIME], "tool_choice": {"type": "function", "function": {"name": "no"}}},
     "tool_choice"),
    (CHAT, {"response_format": {"type": "xml"}}, "response_format"),
    (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
     "response_format"),
    (CHAT, {"response_format": {"type": "json_schema", "json_schema": {
        "name": "x", "schema": {"type": "object", "properties": {"a": {"$ref": "#/no"}}}}}},
     "response_format"),
    (TEXT, {}, "prompt"),
    (TEXT, {"prompt": []}, "prompt"),
    (TEXT, {"prompt": [[]]}, "prompt"),
    (TEXT, {"prompt": [1, "x"]}, "prompt"),
    (TEXT, {"prompt": [999999]}, "prompt"),
    (TEXT, {"prompt": "x", "suffix": "y"}, "suffix"),
    (TEXT, {"prompt": "x", "best_of": 4}, "best_of"),
    (TEXT, {"prompt": "x", "logprobs": 99}, "logprobs"),
    ("/tokenize", {}, "content"),
    ("/detokenize", {"tokens": [-1]}, "tokens"),
])
def test_a_wrong_field_is_named(llama, path, body, param):
    if path == CHAT and "messages" not in body and param != "messages":
        body = {"messages": [{"role": "user", "content": "x"}], **body}
    error(llama.post(path, **body), 400, param)


def test_what_is_no_json_is_refused(llama):
    for body in (b"", b"{", b"[]", b"{\"messages\":1e999}", b"\xff"):
        error(llama.http.post(CHAT, content=body), 400)


def test_a_nul_in_a_text_is_told_in_plain_words(llama):
    e = error(llama.chat("x\0y"), 400)
    assert "\\u0000" in e["message"] and "leave it out" in e["message"]


def test_unknown_paths_and_methods(llama):
    error(llama.http.get("/v1/nothing"), 404)
    r = llama.http.get(CHAT)
    error(r, 405)
    assert r.headers["allow"] == "POST"


def test_a_text_model_makes_no_vectors(llama):
    e = error(llama.post("/v1/embeddings", input="x"), 400, "model")
    assert "text" in e["message"]


# ---- the small endpoints ----

def test_tokens_and_back(llama):
    text = "Hello, wörld 😀 <|im_end|>"
    t = llama.post("/tokenize", content=text).json()["tokens"]
    assert llama.post("/detokenize", tokens=t).json()["content"] == text
    pieces = llama.post("/tokenize", content="Hello", with_pieces=True).json()["tokens"]
    assert "".join(p["piece"] for p in pieces) == "Hello"
    pieces = [p["piece"] for p in llama.post("/tokenize", content="é 😀", with_pieces=True).json()[
        "tokens"]]
    assert b"".join(bytes(p) if isinstance(p, list) else p.encode() for p in pieces
                    ).decode() == "é 😀" and any(isinstance(p, list) for p in pieces)
    letters = llama.post("/tokenize", content="<|im_end|>", parse_special=False).json()["tokens"]
    assert len(letters) > 1 and t[-1] not in letters


def test_the_model_is_listed(llama):
    r = llama.http.get("/v1/models").json()
    model, = r["data"]
    assert model["id"] == "smollm2" and model["object"] == "model"
    assert model["meta"]["context"] == 2048 and model["meta"]["parameters"] > 1e8
    assert llama.http.get("/v1/models/smollm2").json() == model
    error(llama.http.get("/v1/models/other"), 404)


def test_health_and_metrics(llama):
    assert llama.http.get("/health").json() == {"status": "ok"}
    before = llama.metric("generated_tokens_total")
    n = llama.chat(max_tokens=5).json()["usage"]["completion_tokens"]
    assert llama.metric("generated_tokens_total") == before + n


# ---- its life ----

def test_ready_tells_what_is_in_force(llama):
    r = llama.ready
    assert r["context"] == 2048 and r["slots"] == 4 and r["kind"] == "text"
    assert 1 <= r["threads"] <= len(os.sched_getaffinity(0))
    assert r["memory"]["model"] > 9e7 and r["memory"]["context"] > 0
    fractions = [e["fraction"] for e in llama.told if e["event"] == "loading"]
    assert fractions == sorted(fractions) and fractions[-1] == 1


def test_stats_follow_the_work(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 1024)
    assert m.chat("Tell a story.", max_tokens=100, ignore_eos=True).status_code == 200
    told = []
    while not told or told[-1]["running"]:
        told.append(m.event())
    assert any(e["running"] == 1 for e in told[:-1]) or len(told) == 1


def test_it_ends_when_its_parent_does(spawn):
    m = spawn(TEXT_GGUF)
    m.lines.close()
    m.events.close()
    assert m.process.wait(60) == 0


def test_sigterm_lets_answers_finish(spawn):
    m = spawn(TEXT_GGUF)
    with m.http.stream("POST", CHAT, json={
            "messages": [{"role": "user", "content": "Tell a story."}], "temperature": 0,
            "max_tokens": 60, "ignore_eos": True, "stream": True}) as r:
        lines = r.iter_lines()
        next(lines)
        m.process.send_signal(signal.SIGTERM)
        rest = [x for x in lines if x]
    assert rest[-1] == "data: [DONE]" and '"finish_reason":"length"' in rest[-2]
    assert m.process.wait(60) == 0


@pytest.mark.parametrize("make,cause", [
    (lambda f: None, "file"),
    (lambda f: f.write_bytes(b"not a model"), "file"),
    (lambda f: f.write_bytes(TEXT_GGUF.read_bytes()[:3_000_000]), "file"),
    (lambda f: f.write_bytes(TEXT_GGUF.read_bytes()[:50_000_000]), "file"),
])
def test_a_bad_file_is_told(spawn, tmp_path, make, cause):
    path = tmp_path / "bad.gguf"
    make(path)
    m = spawn(path)
    assert m.told[-1]["event"] == "failed" and m.told[-1]["cause"] == cause
    assert m.told[-1]["message"]
    m.stop(expect=1)


def test_an_unknown_architecture_is_unsupported(spawn, tmp_path):
    data = TEXT_GGUF.read_bytes()
    # "general.architecture" and its value, a string of five bytes.
    at = data.index(b"general.architecture") + 20 + 4 + 8
    assert data[at:at + 5] == b"llama"
    path = tmp_path / "new.gguf"
    path.write_bytes(data[:at] + b"lhama" + data[at + 5:])
    m = spawn(path)
    assert m.told[-1]["cause"] == "unsupported", m.told
    m.stop(expect=1)


def test_a_context_beyond_memory_is_refused(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 90000000)
    assert m.told[-1]["cause"] == "memory", m.told
    assert "90000000" in m.told[-1]["message"]
    m.stop(expect=1)


def test_it_listens_on_tcp(spawn):
    m = spawn(TEXT_GGUF, listen="127.0.0.1:0")
    assert m.chat(max_tokens=2).status_code == 200


def test_no_prompt_is_logged(spawn):
    m = spawn(TEXT_GGUF)
    m.chat("The secret is xylophone.", max_tokens=8)
    m.chat("The secret is xylophone.", max_tokens=30, tools=[WEATHER], tool_choice="required")
    m.post(CHAT, messages=[{"role": "user", "content": "xylophone"}], n=0)
    m.chat("xylophone", response_format={"type": "json_object"}, max_tokens=30)
    m.stop()
    assert "xylophone" not in m.log()


@pytest.mark.parametrize("args,status", [
    (["--help"], 0), (["--version"], 0), ([], 2), (["--model", "x"], 2), (["--nonsense"], 2),
    (["--model", "x", "--listen", "unix:/x", "--parallel", "-1"], 2),
    (["--model", "x", "--listen", "unix:/x", "--parallel", "257"], 2),
    (["--model", "x", "--listen"], 2),
    (["--model", "x", "--listen", "unix:/x", "--pooling", "x"], 2),
])
def test_the_command_line(args, status):
    r = subprocess.run([str(LLAMA), *args], capture_output=True, text=True, timeout=60)
    assert r.returncode == status, r
    assert r.stdout if status == 0 else r.stderr.startswith("modeld-llama: ")


def test_a_template_file_replaces_the_models(spawn, tmp_path):
    path = tmp_path / "t.jinja"
    path.write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    m = spawn(TEXT_GGUF, "--chat-template-file", path)
    n = m.chat("One, two, three,").json()["usage"]["prompt_tokens"]
    assert n == len(m.post("/tokenize", content="One, two, three,").json()["tokens"])
    path.write_text("{% for %}")
    bad = spawn(TEXT_GGUF, "--chat-template-file", path)
    assert bad.told[-1]["event"] == "failed"
    bad.stop(expect=1)
