"""What clients send together though few expect it: an answer that was begun with a call that must
be made, a format with a call, ends forbidden in a format, temperatures near nothing."""

import json

import gguf
import pytest

from conftest import ROOT, is_sanitized, memory_kib
from gguf_fixtures import FIRST_LETTER
from kinds_fixtures import kinds  # noqa: F401
from llama_fixtures import (  # noqa: F401
    TEXT_GGUF, copy_gguf, finish_gguf, launch, llama, spawn)

TOOLS = ROOT / "tests/data/templates/chatml_tools.jinja"
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 10}},
    "required": ["city"]}}}
NAMED = {"type": "function", "function": {"name": "get_weather"}}
FLAG = {"type": "json_schema", "json_schema": {"name": "x", "schema": {
    "type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"],
    "additionalProperties": False}}}
PARIS = {"role": "user", "content": "How is the weather in Paris?"}


@pytest.fixture(scope="module")
def caller(tmp_path_factory):
    m = launch(tmp_path_factory, TEXT_GGUF, "--ctx-size", 1024, "--chat-template-file", TOOLS)
    yield m
    m.stop()


def rss_kib(m):
    return memory_kib(m.process.pid)


def begun(text):
    return [PARIS, {"role": "assistant", "content": text}]


def the_call(r):
    assert r.status_code == 200, r.text
    choice = r.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    call, = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert set(json.loads(call["function"]["arguments"])) == {"city"}
    return choice["message"]


def refused(r, param, *words):
    assert r.status_code == 400, r.text
    e = r.json()["error"]
    assert e["param"] == param and all(w in e["message"] for w in words), e


@pytest.mark.parametrize("choice", ["required", NAMED])
@pytest.mark.parametrize("text", ["I will ask.", "Ich würde fragen:\n"])
def test_a_call_follows_what_was_begun(caller, choice, text):
    message = the_call(caller.chat(messages=begun(text), tools=[WEATHER], tool_choice=choice,
                                   parallel_tool_calls=False, max_tokens=200))
    assert not (message["content"] or "").strip()


def test_a_call_that_was_begun_goes_on(caller):
    start = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Ro'
    r = caller.chat(messages=begun(start), tools=[WEATHER], tool_choice="required",
                    parallel_tool_calls=False, max_tokens=100)
    assert r.status_code == 200, r.text
    call, = r.json()["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"])["city"].startswith("Ro")


def test_what_was_begun_must_fit_the_format(caller):
    r = caller.chat(messages=begun('{"a":'), response_format=FLAG)
    assert isinstance(json.loads('{"a":' + r.json()["choices"][0]["message"]["content"])["a"], bool)
    refused(caller.chat(messages=begun("Sure: "), response_format=FLAG), "messages", "begins",
            "format")


def test_a_beginning_that_does_not_fit_costs_no_memory(caller):
    large = {"type": "json_schema", "json_schema": {"name": "x", "schema": {
        "type": "object", "properties": {f"p{i}": {"enum": [f"v{i}{k}" for k in range(3)]}
                                         for i in range(30 if is_sanitized() else 300)}}}}

    def ask():
        for _ in range(10):
            refused(caller.chat(messages=begun("Sure: "), response_format=large), "messages")
        return rss_kib(caller)

    ask()
    before = ask()
    # What was lost before were 300 KiB each.
    assert min(ask() for _ in range(2)) - before < 1500 or is_sanitized()


@pytest.mark.parametrize("choice", ["required", NAMED])
def test_a_call_that_must_be_made_has_no_format(caller, choice):
    the_call(caller.chat(messages=[PARIS], tools=[WEATHER], tool_choice=choice, max_tokens=200,
                         parallel_tool_calls=False, response_format=FLAG))
    # It is checked all the same.
    bad = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {
        "type": "object", "patternProperties": {"^a": {}}}}}
    refused(caller.chat(messages=[PARIS], tools=[WEATHER], tool_choice=choice,
                        response_format=bad), "response_format", "patternProperties")


def without(m, text):
    """A bias against beginning so."""
    return {str(m.post("/tokenize", content=text).json()["tokens"][0]): -100}


@pytest.mark.parametrize("stream", [False, True])
def test_tools_that_are_offered_beside_a_format(caller, stream):
    """An answer is calls, or in the format, and nothing else."""
    def ask(**more):
        body = dict(messages=[PARIS], tools=[WEATHER], response_format=FLAG, max_tokens=100,
                    parallel_tool_calls=False, temperature=0, **more)
        if not stream:
            choice = caller.chat(**body).json()["choices"][0]
            return choice["finish_reason"], choice["message"]["content"], \
                choice["message"].get("tool_calls")
        choices = [c["choices"][0] for c in caller.stream("/v1/chat/completions", **body)]
        calls = [c for ch in choices for c in ch["delta"].get("tool_calls", [])]
        for more in calls[1:]:
            calls[0]["function"]["arguments"] += more["function"]["arguments"]
        return choices[-1]["finish_reason"], \
            "".join(c["delta"].get("content") or "" for c in choices), calls[:1]
    end, text, calls = ask(logit_bias=without(caller, "{"))
    assert end == "tool_calls" and not text
    call, = calls
    assert call["function"]["name"] == "get_weather" and call["id"].startswith("call_")
    assert set(json.loads(call["function"]["arguments"])) == {"city"}
    for role in ({}, {"tool_choice": "none"}):
        end, text, calls = ask(logit_bias=without(caller, "<tool_call>"), **role)
        assert end == "stop" and not calls
        assert isinstance(json.loads(text)["a"], bool)


def test_a_format_ends_though_ends_are_to_be_ignored(caller):
    r = caller.chat(messages=[PARIS], response_format=FLAG, ignore_eos=True, max_tokens=60)
    choice = r.json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert isinstance(json.loads(choice["message"]["content"])["a"], bool)
    the_call(caller.chat(messages=[PARIS], tools=[WEATHER], tool_choice="required",
                         ignore_eos=True, parallel_tool_calls=False, max_tokens=200))


def test_a_calls_id_is_text_or_nothing(caller):
    def ask(call_id):
        call = {"id": call_id, "type": "function",
                "function": {"name": "get_weather", "arguments": "{}"}}
        return caller.chat(messages=[PARIS, {"role": "assistant", "tool_calls": [call]},
                                     {"role": "tool", "tool_call_id": "1", "content": "sun"}],
                           tools=[WEATHER], max_tokens=2)
    refused(ask(5), "messages", "messages[1]", "'id'")
    assert ask(None).status_code == ask("1").status_code == 200


def test_an_answer_may_come_back_with_all_its_nulls(caller):
    """As model_dump() of OpenAI's SDK, and frameworks' own objects, have it."""
    def ask(nulls):
        call = {"id": "1", "type": "function", "function": {
            "name": "get_weather", "arguments": "{}"}, **({"index": None} if nulls else {})}
        more = dict.fromkeys(["refusal", "annotations", "audio", "function_call", "name",
                              "tool_call_id", "reasoning", "reasoning_content"] if nulls else [])
        return caller.post("/apply-template", tools=[WEATHER], messages=[
            {**PARIS, **({"name": None} if nulls else {})},
            {"role": "assistant", "content": None, "tool_calls": [call], **more},
            {"role": "tool", "tool_call_id": "1", "content": "sun", **more, **{"tool_call_id": "1"}},
            {"role": "assistant", "content": "Sunny.", "tool_calls": None, **more}, PARIS])
    assert ask(True).status_code == 200, ask(True).text
    assert ask(True).json() == ask(False).json()


def test_the_schema_of_an_object_is_one(llama):  # noqa: F811
    for schema in (5, "x", []):
        refused(llama.chat(response_format={"type": "json_object", "schema": schema}),
                "response_format", "schema")


def test_the_coldest_temperatures_are_none(llama):  # noqa: F811
    # A float of 1e-38 made logits infinite, and all the rest noise.
    def said(**kw):
        r = llama.chat(seed=1, cache_prompt=False, logprobs=True, **kw).json()["choices"][0]
        return r["message"]["content"], [t["logprob"] for t in r["logprobs"]["content"]]
    for format in ({}, {"response_format": {"type": "json_object"}}):
        for temperature in (1e-300, 1e-44, 1e-38, 1e-30):
            # Nothing is less likely than what a greedy choice may be at a near tie.
            text, logprobs = said(temperature=temperature, **format)
            assert text.isascii() and (format or max(logprobs) > -3)
            assert min(logprobs) > -12, (temperature, text, logprobs)


def test_llama_servers_words_for_lengths(llama):  # noqa: F811
    def n(**kw):
        r = llama.post("/v1/chat/completions", temperature=0, ignore_eos=True, messages=[PARIS], **kw)
        return r.json()["usage"]["completion_tokens"]
    assert n(n_predict=3) == n(n_predict=3, max_tokens=5) == 3
    assert n(n_predict=3, max_completion_tokens=2) == 2
    # All of the context, for which -1 stands, is more than the last 0.
    def said(last_n):
        return llama.chat(repeat_penalty=5, repeat_last_n=last_n, max_tokens=30, ignore_eos=True,
                          cache_prompt=False).json()["choices"][0]["message"]["content"]
    assert said(-1) != said(0)
    refused(llama.chat(repeat_last_n=-2), "repeat_last_n")


@pytest.fixture
def wordy(spawn, kinds, tmp_path):  # noqa: F811
    """A small model, each of whose letters is spelled with a thousand more."""
    path = tmp_path / "wordy.gguf"
    spelled = gguf.GGUFReader(kinds["plain"]).fields["tokenizer.ggml.tokens"].contents()
    out = copy_gguf(kinds["plain"], path, ("tokenizer.ggml.tokens",))
    out.add_token_list([t + "~" * 1000 + str(i) if i >= FIRST_LETTER else t
                        for i, t in enumerate(spelled)])
    finish_gguf(out)
    return spawn(path, "--ctx-size", 1024, "--threads", 1)


def test_an_answer_that_nobody_would_get_is_not_kept(wordy):
    """Probabilities of a hundred prompts are a gigabyte here, and an answer has 16 MiB."""
    ask = dict(prompt=[FIRST_LETTER + i % 5 for i in range(500)], max_tokens=0, echo=True,
               logprobs=20)
    r = wordy.post("/v1/completions", **ask)
    assert len(r.json()["choices"][0]["logprobs"]["tokens"]) == 500
    before = rss_kib(wordy)
    refused(wordy.post("/v1/completions", **ask, n=100), None, "too large")
    assert rss_kib(wordy) - before < 150 << 10 or is_sanitized()
    # In a stream it would have been half of an event.
    ask["prompt"] *= 2
    refused(wordy.post("/v1/completions", **ask), None, "too large")
    refused(wordy.post("/v1/completions", **ask, stream=True), None, "too large")
