"""Schemas of realistic size: large enums, many members, many tools. What is made validates, what is
too large is refused before any token, and nothing of a schema reaches the log."""

import json
import random
import re

import pytest

from conftest import ROOT
from kinds_fixtures import kinds  # noqa: F401
from llama_fixtures import TEXT_GGUF, launch, llama, spawn  # noqa: F401

TOOLS = ROOT / "tests/data/templates/chatml_tools.jinja"


@pytest.fixture(scope="module")
def caller(tmp_path_factory):
    m = launch(tmp_path_factory, TEXT_GGUF, "--ctx-size", 8192, "--chat-template-file", TOOLS)
    yield m
    m.stop()


def same(a, b):
    """In JSON: 1 is not true."""
    return json.dumps(a) == json.dumps(b)


KINDS = {"boolean": bool, "string": str, "array": list, "object": dict, "null": type(None)}


def fits(v, s):
    """Only the keywords that this file uses."""
    if "anyOf" in s:
        return any(fits(v, x) for x in s["anyOf"])
    if "enum" in s or "const" in s:
        return any(same(v, x) for x in s.get("enum", [s.get("const")]))
    if not isinstance(v, KINDS[s["type"]]):
        return False
    if s["type"] == "string":
        return re.search(s.get("pattern", ""), v) is not None
    if s["type"] == "array":
        return s["minItems"] <= len(v) <= s["maxItems"] and all(fits(x, s["items"]) for x in v)
    return s["type"] != "object" or (
        set(s["required"]) <= set(v) <= set(s["properties"]) and
        all(fits(x, s["properties"][k]) for k, x in v.items()))


def form(schema, strict=True):
    return {"response_format": {"type": "json_schema", "json_schema": {
        "name": "s", "strict": strict, "schema": schema}}}


def record(members, required=None):
    return {"type": "object", "properties": members, "additionalProperties": False,
            "required": list(members) if required is None else required}


def words(n, seed=1):
    r = random.Random(seed)
    made = {}
    while len(made) < n:
        made["".join(r.choice("bcdfgklmnprst") + r.choice("aeiou") for _ in range(r.randint(2, 4)))] = 1
    return list(made)


def refused(r, param):
    assert r.status_code == 400, r.text
    e = r.json()["error"]
    assert e["type"] == "invalid_request_error" and e["param"] == param, e
    assert "template" not in e["message"], e
    return e["message"]


LARGE = {
    "words": {"enum": words(1000)},
    "codes": {"enum": [f"country_code_{i:04d}" for i in range(1000)]},
    "prefixes": {"enum": ["a" * i for i in range(200)]},
    "mixed": {"enum": ["", "a", "ab", 'say "no"', "back\\slash", "two\nlines", "日本", "é", "😀",
                       "(a|b)*", "[x]", "tab\t", 1, -1.5, None, True, {"x": [1, "a"]}, [], {}]},
    "thousands": {"enum": list(range(5000))},
    "kinds": {"anyOf": [record({"kind": {"const": w}, "value": {"enum": [w + "1", w + "2"]}})
                        for w in words(300, 2)]},
    "late": {"anyOf": [record({"value": {"type": "boolean"}, "kind": {"const": w}})
                       for w in words(300, 3)]},
    "nullable": record({w: {"anyOf": [{"type": "boolean"}, {"type": "null"}]}
                        for w in words(8, 4)}),
    "words by pattern": {"type": "string", "pattern": "^(" + "|".join(words(300, 5)) + ")$"},
    "list": {"type": "array", "items": record({"x": {"enum": words(400, 6)}}), "minItems": 1,
             "maxItems": 2000},
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_strict_schema_is_kept(llama, name):
    schema = record({"a": LARGE[name]})
    r = llama.chat(n=2, max_tokens=200, temperature=1, seed=3, **form(schema))
    assert r.status_code == 200, r.text
    whole = [c for c in r.json()["choices"] if c["finish_reason"] == "stop"]
    for c in whole:
        assert fits(json.loads(c["message"]["content"]), schema), c
    assert whole or name == "list", r.json()


def test_members_that_may_be_left_out_come_in_their_order(llama):
    schema = record({w: {"type": "boolean"} for w in words(120, 7)}, [])
    r = llama.chat(n=4, max_tokens=120, temperature=1.5, seed=5, **form(schema, strict=False))
    seen = set()
    for c in r.json()["choices"]:
        if c["finish_reason"] == "stop":
            got = json.loads(c["message"]["content"])
            assert fits(got, schema), got
            assert list(got) == [w for w in schema["properties"] if w in got]
            seen |= set(got)
    assert seen, r.text


def place(where, schema):
    """The request with this schema, and the field that an error shall name."""
    if where == "format":
        return form(schema, strict=False), "response_format"
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": record(
        {"a": schema})}}], "tool_choice": "required"}, "tools"


SECRET = "kohlrabi"
TOO_MUCH = [
    (record({f"{SECRET}{i}": {"type": "string"} for i in range(1000)}, []), "'required'"),
    ({"enum": [f"{SECRET}{i}" for i in range(5001)]}, "5001 values"),
    ({"$ref": "#/nowhere"}, "'#/nowhere' leads nowhere"),
    ({"enum": []}, "enum"),
    ({"type": SECRET}, "unrecognized type"),
    ({"anyOf": [{"$ref": "#/$defs/x"}], "properties": 7, "type": "object"}, ""),
    (record({"_" * 300000: {"type": "null"}}), "300000 bytes"),
    ({"$ref": "#/$defs/" + "_" * 300000, "$defs": {"_" * 300000: {}}}, "300000 bytes"),
    (record({"k" * 50000: {"type": "null"}}) | {"additionalProperties": True}, "50000 bytes"),
    ({"enum": [SECRET * 40000 + str(i) for i in range(8)]}, "too large"),
]


@pytest.mark.parametrize("where", ["format", "tool"])
@pytest.mark.parametrize("i", range(len(TOO_MUCH)))
def test_what_is_too_much_is_refused_by_name(llama, caller, where, i):
    schema, word = TOO_MUCH[i]
    m = llama if where == "format" else caller
    ask, param = place(where, schema)
    assert word in refused(m.chat(**ask), param)
    assert m.chat(max_tokens=2).status_code == 200
    assert SECRET not in m.log()


@pytest.mark.parametrize("schema", [
    record({"a]b": {"type": "string"}, SECRET: {"type": "null"}}, []) | {"additionalProperties": True},
    {"type": "array", "items": record({SECRET: {"enum": ["a", "b"]}}), "maxItems": 2000},
    {"type": "string", "pattern": f"^({SECRET}){{1000}}$"},
    {"type": "string", "pattern": f"(?={SECRET})"},
])
def test_nothing_of_a_schema_is_logged(llama, schema):
    r = llama.chat(max_tokens=20, **form(schema, strict=False))
    assert r.status_code in (200, 400), r.text
    assert SECRET not in llama.log() and "::=" not in llama.log()


@pytest.mark.parametrize("names, word", [
    (["a_b", "a-b"], "rename one"), (["名前", "値段"], "rename one"), (["f" * 257], "257 bytes"),
    (["_" * 300000], "300000 bytes"), (["a b"], "without spaces")])
def test_a_function_that_could_not_be_called_is_refused(caller, names, word):
    tools = [{"type": "function", "function": {"name": n}} for n in names]
    assert word in refused(caller.chat(tools=tools), "tools")


@pytest.mark.parametrize("kind", ["string", "array"])
def test_a_function_takes_an_object(caller, kind):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": kind}}}]
    assert "object" in refused(caller.chat(tools=tools), "tools")


NUMBERS, LETTERS = {"enum": [1, 2]}, {"enum": ["a", "b"]}
ALIKE = [("a_b", "a-b"), ("地址", "姓名"), ("a.b", "a b")]


@pytest.mark.parametrize("one, other", ALIKE)
def test_definitions_with_names_alike_are_two(llama, one, other):
    schema = record({"x": {"$ref": f"#/$defs/{one}"}, "y": {"$ref": f"#/$defs/{other}"}})
    schema["$defs"] = {one: NUMBERS, other: LETTERS}
    r = llama.chat(n=4, max_tokens=60, temperature=1.5, seed=4, **form(schema))
    whole = [c for c in r.json()["choices"] if c["finish_reason"] == "stop"]
    assert whole, r.text
    for c in whole:
        got = json.loads(c["message"]["content"])
        assert fits(got["x"], NUMBERS) and fits(got["y"], LETTERS), got


def test_tools_may_have_definitions_of_one_name_and_are_shown_as_they_came(caller):
    tools = [{"type": "function", "function": {"name": name, "strict": True, "parameters": record(
        {"x": {"$ref": "#/$defs/T"}, "y": {"type": "string", "pattern": "^[p-q]$"}}) | {
            "$defs": {"T": kind}}}} for name, kind in (("one", NUMBERS), ("two", LETTERS))]
    for tool, kind in zip(tools, (NUMBERS, LETTERS)):
        r = caller.chat(tools=tools, n=2, max_tokens=80, temperature=1.5, seed=4, tool_choice={
            "type": "function", "function": {"name": tool["function"]["name"]}})
        calls = [k for c in r.json()["choices"] if c["finish_reason"] == "tool_calls"
                 for k in c["message"]["tool_calls"]]
        r = caller.chat(tools=tools, n=6, max_tokens=80, temperature=1.5, seed=4,
                        tool_choice="required")
        calls += [k for c in r.json()["choices"] if c["finish_reason"] == "tool_calls"
                  for k in c["message"]["tool_calls"]
                  if k["function"]["name"] == tool["function"]["name"]]
        assert calls, r.text
        for call in calls:
            got = json.loads(call["function"]["arguments"])
            assert fits(got["x"], kind) and got["y"] in "pq", call
    shown = caller.post("/apply-template", messages=[{"role": "user", "content": "x"}],
                        tools=tools).json()["prompt"]
    assert "^[p-q]$" in shown and shown.count("#/$defs/T") == 2, shown


@pytest.mark.parametrize("names", [["]"], ["^"], ["\\"], ['"'], [""], ["a", "-", "z"]])
def test_members_of_other_names_are_json(llama, names):
    schema = record({n: NUMBERS for n in names}) | {"additionalProperties": {"type": "boolean"}}
    marks = {c: llama.post("/tokenize", content=c).json()["tokens"] for c in ('"', "\\", ",")}
    bias = {str(t[0]): 6 for t in marks.values() if len(t) == 1}
    r = llama.chat(n=8, max_tokens=60, temperature=1.5, seed=4, logit_bias=bias, **form(schema))
    assert r.status_code == 200, r.text
    for c in r.json()["choices"]:
        if c["finish_reason"] == "stop":
            got = json.loads(c["message"]["content"])
            assert all(fits(v, NUMBERS) if k in names else v in (True, False)
                       for k, v in got.items()), got


def test_bytes_that_are_no_character_are_not_in_a_string(spawn, kinds):
    m = spawn(kinds["plain"])
    byte = 3  # the first token of a byte
    bias = {str(byte + b): 30 for b in (0xb1, 0xc0, 0xed, 0xf4, 0xf5, 0xfd, 0xff, ord('"'))}
    r = m.chat(n=32, temperature=2, seed=1, max_tokens=100, logit_bias=bias, **form(
        {"type": "string", "minLength": 2, "maxLength": 3}))
    whole = [json.loads(c["message"]["content"]) for c in r.json()["choices"]
             if c["finish_reason"] == "stop"]
    assert whole, r.text
    for text in whole:
        assert 2 <= len(text) <= 3 and "\ufffd" not in text, ascii(text)
