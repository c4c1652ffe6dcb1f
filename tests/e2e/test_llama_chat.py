"""modeld-llama's chats and completions, what test_llama.py leaves: reasoning and its budget, roles,
strict schemas, filling in, template variables, broken history."""

import concurrent.futures
import datetime
import json
import re

import pytest

from conftest import ROOT, eventually, memory_kib
from llama_fixtures import INFILL_MARKS, TEXT_GGUF, launch, llama, make_infiller, spawn  # noqa: F401

USER = {"role": "user", "content": "Which is larger, 3 or 5?"}
THINKING = ROOT / "tests/data/templates/thinking.jinja"
TOOLS = ROOT / "tests/data/templates/chatml_tools.jinja"


def message(r):
    assert r.status_code == 200, r.text
    return r.json()["choices"][0]["message"]


def refused(r, param):
    assert r.status_code == 400, r.text
    e = r.json()["error"]
    assert e["param"] == param, e
    return e["message"]


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    m = launch(tmp_path_factory, TEXT_GGUF, "--ctx-size", 2048, "--chat-template-file", THINKING)
    yield m
    m.stop()


@pytest.fixture(scope="module")
def caller(tmp_path_factory):
    m = launch(tmp_path_factory, TEXT_GGUF, "--ctx-size", 1024, "--chat-template-file", TOOLS)
    yield m
    m.stop()


def test_reasoning_is_set_apart_and_ends_with_its_budget(thinker):
    for budget in (4, 12):
        r = thinker.chat(messages=[USER], max_tokens=40, reasoning_budget=budget, ignore_eos=True)
        got = message(r)
        n = len(thinker.post("/tokenize", content=got["reasoning_content"]).json()["tokens"])
        assert 0 < n <= budget and got["content"]
        assert "</think>" not in got["content"] + got["reasoning_content"]
        # A stream says the same, in the two places, but for near ties (docs/api.md).
        def streamed():
            deltas = [c["choices"][0]["delta"] for c in thinker.stream(
                "/v1/chat/completions", messages=[USER], max_tokens=40, temperature=0,
                reasoning_budget=budget, ignore_eos=True) if c["choices"]]
            return ["".join(d.get(part) or "" for d in deltas)
                    for part in ("reasoning_content", "content")]
        eventually(lambda: streamed() == [got["reasoning_content"], got["content"]])


def test_without_a_budget_it_may_reason_to_the_end(thinker):
    got = message(thinker.chat(messages=[USER], max_tokens=30, ignore_eos=True))
    assert got["reasoning_content"] and not got["content"]


def test_no_reasoning_at_all(thinker):
    rendered = "<think>\n\n</think>"
    for body in ({"reasoning_budget": 0}, {"reasoning_effort": "none"},
                 {"chat_template_kwargs": {"enable_thinking": False}}):
        got = message(thinker.chat(messages=[USER], max_tokens=20, **body))
        assert not got.get("reasoning_content") and got["content"]
        assert rendered in thinker.post("/apply-template", messages=[USER], **body).json()["prompt"]
    kept = {"reasoning_budget": 0, "chat_template_kwargs": {"enable_thinking": True}}
    assert rendered not in thinker.post("/apply-template", messages=[USER], **kept).json()["prompt"]


def test_a_budget_may_be_the_default(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 512, "--chat-template-file", THINKING, "--defaults",
              '{"reasoning_budget":3,"max_tokens":20,"temperature":0}')
    r = m.post("/v1/chat/completions", messages=[USER], ignore_eos=True)
    assert message(r)["reasoning_content"] and message(r)["content"]
    assert r.json()["usage"]["completion_tokens"] == 20


def test_wrong_defaults_end_the_start(spawn):
    for text in ("{", "[]", '{"temperature":3}', '{"max_tokens":"x"}'):
        m = spawn(TEXT_GGUF, "--defaults", text)
        assert m.told[-1]["event"] == "failed" and "--defaults" in m.told[-1]["message"]
        m.stop(2)


def test_history_with_reasoning_goes_to_the_template(thinker):
    messages = [USER, {"role": "assistant", "content": "5", "reasoning_content": "5 > 3"}, USER]
    assert "<think>\n5 > 3\n</think>" in thinker.post(
        "/apply-template", messages=messages).json()["prompt"]


def test_reasoning_is_counted(thinker):
    ask = dict(messages=[USER], max_tokens=40, reasoning_budget=8, ignore_eos=True)
    got = thinker.chat(**ask).json()
    n = got["usage"]["completion_tokens_details"]["reasoning_tokens"]
    text = got["choices"][0]["message"]["reasoning_content"]
    told = len(thinker.post("/tokenize", content=text).json()["tokens"])
    assert told <= n <= told + 8  # with the marks, and spaces beside them
    streamed = thinker.stream("/v1/chat/completions", **ask, temperature=0,
                              stream_options={"include_usage": True})[-1]["usage"]
    assert 0 < streamed["completion_tokens_details"]["reasoning_tokens"] <= 20
    none = thinker.chat(messages=[USER], max_tokens=8, reasoning_budget=0).json()["usage"]
    assert none["completion_tokens_details"] == {"reasoning_tokens": 0}


@pytest.mark.parametrize("said,seen", [
    ({"content": "5", "refusal": None, "audio": None, "function_call": None, "tool_calls": None,
      "annotations": None}, "5"),
    ({"content": None}, ""), ({}, ""), ({"content": []}, ""),
    ({"content": [{"type": "refusal", "refusal": "Never."}]}, "Never."),
    ({"content": "5", "reasoning": "5 > 3"}, "<think>\n5 > 3\n</think>\n\n5")])
def test_answers_come_back_as_clients_have_them(thinker, said, seen):
    prompt = thinker.post("/apply-template", messages=[
        USER, {"role": "assistant", **said}, USER]).json()["prompt"]
    assert f"<|im_start|>assistant\n{seen}<|im_end|>" in prompt


@pytest.mark.parametrize("message,word", [
    ({"role": "user", "content": "x", "name": 5}, "'name'"),
    ({"role": "assistant", "content": "x", "tool_calls": {}}, "'tool_calls'"),
    ({"role": "assistant", "content": "x", "tool_calls": "f"}, "'tool_calls'"),
    ({"role": "assistant", "tool_calls": [{"type": "custom", "custom": {}}]}, "'tool_calls'"),
    ({"role": "assistant", "function_call": {"name": "f", "arguments": ""}}, "'tool_calls'"),
    ({"role": "tool", "tool_call_id": "1", "content": None}, "'content'"),
    ({"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}, "refusal")])
def test_a_wrong_message_is_named(llama, message, word):
    said = refused(llama.chat(messages=[USER, message, USER]), "messages")
    assert said.startswith("messages[1]") and word in said


def test_an_answer_begun_with_nothing_is_not_begun(llama):
    def prompt(*messages):
        return llama.post("/apply-template", messages=[USER, *messages]).json()["prompt"]
    for content in ("", None, []):
        assert prompt({"role": "assistant", "content": content}) == prompt()


@pytest.mark.parametrize("content", ["", None, []])
def test_a_chat_without_any_text_is_refused(llama, content):
    said = refused(llama.chat(messages=[{"role": "assistant", "content": content}]), "messages")
    assert "empty" in said
    # But a text may begin from nothing.
    r = llama.post("/v1/completions", prompt="", max_tokens=1).json()
    assert r["usage"]["prompt_tokens"] == 1


@pytest.mark.parametrize("field", [
    {"functions": [{"name": "f"}]}, {"function_call": "auto"}, {"web_search_options": {}},
    {"audio": {"voice": "x", "format": "wav"}}, {"modalities": ["text", "audio"]},
    {"grammar": 'root ::= "x"'}, {"json_schema": {}}])
def test_what_would_be_a_broken_promise_is_refused(llama, field):
    refused(llama.chat(**field), *field)
    if set(field) & {"grammar", "json_schema"}:
        refused(llama.post("/v1/completions", prompt="x", **field), *field)
    else:
        assert llama.post("/v1/completions", prompt="x", max_tokens=1, **field).status_code == 200
    assert llama.chat(**{name: None for name in field}, max_tokens=1).status_code == 200


def function(name, **more):
    return {"type": "function", "function": {"name": name, **more}}


def test_a_tool_may_say_null_but_has_a_name(caller):
    null = function("f", description=None, parameters=None, strict=None)
    assert caller.chat(tools=[null], max_tokens=2).status_code == 200
    for name in ("", "a b", 'a"b', "a\n", "<f>", "a\\"):
        assert "tools[1]" in refused(caller.chat(tools=[null, function(name)]), "tools")
    assert "tools[0]" in refused(caller.chat(tools=[function("f", description=5)]), "tools")
    assert caller.chat(tools=[function("server.find/it-1_ü")], max_tokens=2).status_code == 200


def test_some_of_the_tools_may_be_allowed(caller):
    tools = [function(name, parameters={"type": "object", "properties": {}}) for name in "abc"]

    def allow(mode, *names):
        return {"type": "allowed_tools", "allowed_tools": {
            "mode": mode, "tools": [function(n) for n in names]}}
    prompt = caller.post("/apply-template", messages=[USER], tools=tools,
                         tool_choice=allow("auto", "c", "a")).json()["prompt"]
    assert [f'"name": "{n}"' in prompt for n in "abc"] == [True, False, True]
    got = message(caller.chat(tools=tools, tool_choice=allow("required", "b"), max_tokens=60,
                              parallel_tool_calls=False))
    assert [c["function"]["name"] for c in got["tool_calls"]] == ["b"]
    for wrong in (allow("auto", "d"), allow("none", "a"), allow("auto"),
                  {"type": "allowed_tools", "allowed_tools": {}}):
        refused(caller.chat(tools=tools, tool_choice=wrong), "tool_choice")


def test_roles_and_parts_reach_the_template(llama):
    prompt = llama.post("/apply-template", messages=[
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]},
        {"role": "assistant", "content": "Yes."}, USER]).json()["prompt"]
    assert "Be brief." in prompt and "One." in prompt and "Two." in prompt
    assert prompt.index("Be brief.") < prompt.index("One.") < prompt.index("Yes.")
    assert prompt.endswith("<|im_start|>assistant\n")


def test_a_prefill_is_left_open(llama):
    prompt = llama.post("/apply-template", messages=[
        USER, {"role": "assistant", "content": "The larger one is"}]).json()["prompt"]
    assert prompt.endswith("<|im_start|>assistant\nThe larger one is")


def test_variables_reach_the_template(spawn, tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text("{{ mood }}:{% for m in messages %}{{ m.content }}{% endfor %}")
    m = spawn(TEXT_GGUF, "--ctx-size", 512, "--chat-template-file", template, "--defaults",
              '{"chat_template_kwargs":{"mood":"calm"}}')
    ask = {"messages": [USER]}
    assert m.post("/apply-template", **ask).json()["prompt"].startswith("calm:Which")
    assert m.post("/apply-template", **ask, chat_template_kwargs={"mood": "wild"}).json()[
        "prompt"].startswith("wild:Which")


def test_names_for_the_user_and_the_cache_are_taken(llama):
    ask = dict(messages=[USER], max_tokens=4)
    assert message(llama.chat(**ask)) == message(llama.chat(
        **ask, user="u-1", prompt_cache_key="k", store=False, metadata={"a": "b"},
        service_tier="auto", safety_identifier="x"))


@pytest.mark.parametrize("arguments", ["{\"city\": ", "not JSON", "", "[1]", "7", "null", "\"x\""])
def test_broken_arguments_in_history_are_passed_on_as_text(caller, arguments):
    history = [USER, {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": arguments}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "no such city"}]
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}}}}]
    r = caller.post("/apply-template", messages=history, tools=tools)
    assert r.status_code == 200, r.text
    assert "no such city" in r.json()["prompt"] and "weather" in r.json()["prompt"]
    assert arguments.strip('"') in r.json()["prompt"].replace('\\"', '"')
    assert caller.chat(messages=history, tools=tools, max_tokens=4).status_code == 200


STRICT = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12},
                                           "size": {"type": "integer", "minimum": 1, "maximum": 9}},
          "required": ["city", "size"], "additionalProperties": False}


def strict(schema, **more):
    return {"response_format": {"type": "json_schema", "json_schema": {
        "name": "p", "strict": True, "schema": schema, **more}}}


def test_a_strict_schema_that_is_taken_is_kept(llama):
    for seed in range(6):
        r = llama.chat("Name a city and a size.", max_tokens=200, temperature=1.5, seed=seed,
                       **strict(STRICT))
        if r.json()["choices"][0]["finish_reason"] == "length":
            continue
        got = json.loads(message(r)["content"])
        assert set(got) == {"city", "size"} and len(got["city"]) <= 12 and 1 <= got["size"] <= 9


@pytest.mark.parametrize("pattern", [
    "^.{1,6}$", '^[^a-z]{2,4}$', r"^\d{3}-\w$", r'^(say "no"|\\|\S{3})$', "[0-9]$", "^a+?b|^é$"])
def test_a_pattern_is_kept_and_the_answer_is_json(llama, pattern):
    """The tokens that would end the string too early are made the likeliest."""
    quotes = [llama.post("/tokenize", content=c).json()["tokens"] for c in ('"', "\\", '""')]
    r = llama.chat(n=6, max_tokens=60, temperature=1.5, seed=1, **strict(
        {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}},
         "required": ["a"], "additionalProperties": False}),
        logit_bias={str(q[0]): 5 for q in quotes if len(q) == 1})
    assert r.status_code == 200, r.text
    for c in r.json()["choices"]:
        if c["finish_reason"] == "stop":
            assert re.search(pattern, json.loads(c["message"]["content"])["a"]), c


def test_made_values_are_ones_that_programs_can_hold(llama):
    ask = dict(n=6, max_tokens=40, temperature=1.5, seed=3)
    dates = llama.chat(**ask, **strict({"type": "string", "format": "date"})).json()["choices"]
    for c in dates:
        datetime.date.fromisoformat(json.loads(c["message"]["content"]))
    first = 9007199254740993  # no double is this one
    for c in llama.chat(**ask, **strict({"type": "integer", "minimum": first})).json()["choices"]:
        if c["finish_reason"] == "stop":
            assert int(c["message"]["content"]) >= first
    for bound, least, most in (("minimum", 1000, 10 ** 19), ("maximum", -10 ** 19, -31)):
        r = llama.chat(**ask, **strict({"type": "integer", bound: least if least > 0 else most}))
        for c in r.json()["choices"]:
            if c["finish_reason"] == "stop":
                assert least <= json.loads(c["message"]["content"]) <= most
    # Half a character, as an escape, is none.
    half = llama.post("/tokenize", content="\\u").json()["tokens"]
    if len(half) == 1:
        for c in llama.chat(**ask, logit_bias={str(half[0]): 9}, **strict(
                {"type": "string", "maxLength": 4})).json()["choices"]:
            if c["finish_reason"] == "stop":
                json.loads(c["message"]["content"]).encode()


def test_a_schema_may_hold_itself(llama):
    tree = {"type": "object", "properties": {"of": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/n"}]}},
            "required": ["of"], "additionalProperties": False, "$defs": {"n": {"type": "null"}}}
    for c in llama.chat("A tree.", n=4, max_tokens=60, temperature=1.2, seed=5,
                        **strict(tree)).json()["choices"]:
        if c["finish_reason"] == "stop":
            got = json.loads(c["message"]["content"])
            while got is not None:
                assert set(got) == {"of"}
                got = got["of"]


@pytest.mark.parametrize("schema", [
    {"type": "string", "minLength": 5, "maxLength": 3},
    {"type": "array", "items": {}, "minItems": 5, "maxItems": 3},
    {"type": "integer", "minimum": 5, "maximum": 3},
    {"type": "string", "minLength": 3000},
    # A reference may name any place.
    {"$ref": "#/x/y", "x": {"y": {"type": "string", "minLength": 5, "maxLength": 3}}}])
@pytest.mark.parametrize("place", ["format", "tool"])
def test_a_schema_that_nothing_fits_takes_no_memory(llama, caller, schema, place):
    m = llama if place == "format" else caller
    ask = {"response_format": {"type": "json_schema", "json_schema": {
        "name": "x", "schema": schema}}}
    if place == "tool":
        ask = {"tools": [{"type": "function", "function": {"name": "f", "parameters": {
            "type": "object", "properties": {"a": schema}}}}], "tool_choice": "required"}
        if "$ref" in schema:
            schema["$ref"] = "#/properties/a/x/y"
    r = m.chat(**ask, max_tokens=4)
    assert r.status_code == 400 and r.json()["error"]["type"] == "invalid_request_error", r.text
    assert memory_kib(m.process.pid, "HWM") < 2 << 20


def test_a_pattern_that_takes_for_ever_ends_and_others_are_answered(llama):
    slow = strict({"type": "string", "pattern": "^((a?){30}){30}$"})
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        hostile = pool.submit(lambda: llama.chat(**slow, ignore_eos=True, max_tokens=900))
        other = pool.submit(lambda: llama.chat(max_tokens=4))
        assert other.result().status_code == 200
        assert "takes too long" in hostile.result().json()["error"]["message"]
    assert hostile.result().status_code == 400


@pytest.mark.parametrize("schema,word", [
    ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    ({"type": "string", "pattern": "^(?=a)b$"}, "(?=a)"),
    ({"type": "number", "minimum": 0}, "minimum"), ({"not": {}}, "not"),
    ({"type": "object", "properties": {"a": {"type": "string", "format": "email"}}}, "email")])
def test_a_strict_schema_that_cannot_be_kept_is_refused_before_any_token(llama, schema, word):
    before = llama.metric("generated_tokens_total")
    assert word in refused(llama.chat(**strict(schema)), "response_format")
    assert word in refused(llama.chat(**strict(schema), stream=True), "response_format")
    assert llama.metric("generated_tokens_total") == before
    loose = strict(schema)
    loose["response_format"]["json_schema"]["strict"] = False
    if word != "not":
        assert llama.chat(**loose, max_tokens=4).status_code == 200


def test_a_strict_tool_is_checked_too(llama):
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {
        "type": "object", "minProperties": 1}}}
    assert "minProperties" in refused(llama.chat(tools=[tool], tool_choice="none"), "tools")
    tool["function"]["strict"] = "yes"
    assert "true or false" in refused(llama.chat(tools=[tool]), "tools")


@pytest.fixture(scope="module")
def infiller(tmp_path_factory):
    path = tmp_path_factory.mktemp("infill") / "infill.gguf"
    make_infiller(path)
    m = launch(tmp_path_factory, path, "--ctx-size", 1024)
    yield m
    m.stop()


def test_a_gap_is_filled_in(infiller):
    before, after = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"

    def ids(text):
        return infiller.post("/tokenize", content=text, parse_special=False).json()["tokens"]

    pre, suf, mid = INFILL_MARKS
    tokens = [pre, *ids(before), suf, *ids(after), mid]
    ask = dict(max_tokens=8, temperature=0, seed=1)
    whole = infiller.post("/v1/completions", prompt=before, suffix=after, **ask).json()
    assert whole["usage"]["prompt_tokens"] == len(tokens)

    def is_as_whole(**more):
        """Near ties may go either way (docs/api.md)."""
        texts = {infiller.post("/v1/completions", **ask, **more).json()["choices"][0]["text"]
                 for _ in range(3)}
        return whole["choices"][0]["text"] in texts
    assert eventually(lambda: is_as_whole(prompt=tokens))
    # The marks in a client's own text are only its letters.
    n = infiller.post("/v1/completions", prompt="x", suffix="<reponame>", **ask).json()["usage"]
    assert n["prompt_tokens"] > 5
    # Nothing before is nothing, not the mark of a text's beginning.
    n = infiller.post("/v1/completions", prompt="", suffix=after, **ask).json()["usage"]
    assert n["prompt_tokens"] == 3 + len(ids(after))
    two = infiller.post("/v1/completions", prompt=[before, "x"], suffix=after, **ask).json()
    assert [c["index"] for c in two["choices"]] == [0, 1]
    assert eventually(lambda: is_as_whole(prompt=[before, "x"], suffix=after))


def test_filling_in_has_its_limits(llama, infiller):
    assert "not taught" in refused(llama.post("/v1/completions", prompt="x", suffix="y"), "suffix")
    assert llama.post("/v1/completions", prompt="x", suffix="", max_tokens=1).status_code == 200
    refused(infiller.post("/v1/completions", prompt="x", suffix="y", echo=True), "suffix")
    r = infiller.post("/v1/completions", prompt="x", suffix="word " * 2000)
    assert r.json()["error"]["code"] == "context_length_exceeded"
    assert "best_of" in refused(llama.post("/v1/completions", prompt="x", best_of=2), "best_of")
