"""Every field of every request, from the one table of them: wrong values are refused by name,
whatever they are, and the process goes on."""

import json
import re

import pytest

from conftest import ROOT
from llama_fixtures import embedder, llama, ranker, ranker_gguf  # noqa: F401
from lora_fixtures import adapted, adapters, base  # noqa: F401

MACROS = {"GENERATE": ["CHAT", "COMPLETION"], "RANKING": ["RERANK", "SCORE"],
          "ALL": ["CHAT", "COMPLETION", "EMBEDDING", "TOKENIZE", "DETOKENIZE", "RERANK", "SCORE"]}
LIMITS = dict(re.findall(r"#define (LIMIT_\w+) (\d+)\b", (ROOT / "src/base/limits.h").read_text()))
NAMED = {"INT32_MAX": 2 ** 31 - 1, "INT64_MIN": -2 ** 63, "INT64_MAX": 2 ** 63 - 1}
USER = [{"role": "user", "content": "x"}]
PLACES = {"CHAT": ("llama", "/v1/chat/completions", {"messages": USER, "max_tokens": 1}),
          "COMPLETION": ("llama", "/v1/completions", {"prompt": "x", "max_tokens": 1}),
          "EMBEDDING": ("embedder", "/v1/embeddings", {"input": "x"}),
          "TOKENIZE": ("llama", "/tokenize", {"content": "x"}),
          "DETOKENIZE": ("llama", "/detokenize", {"tokens": [1]}),
          "RERANK": ("ranker", "/rerank", {"query": "x", "documents": ["x"]}),
          "SCORE": ("ranker", "/score", {"query": "x", "documents": ["x"]}),
          # One object of the array "lora", each of whose fields is a field of its own.
          "LORA": ("adapted", "/v1/completions", {"id": 0})}


def number(text):
    text = text.strip()
    if text.startswith("-LIMIT"):
        return -float(LIMITS[text[1:]])
    return NAMED.get(text, LIMITS.get(text)) if text in NAMED or text in LIMITS else float(text)


def fields():
    rows = []
    text = (ROOT / "src/llama/params_fields.h").read_text()
    for kind, args in re.findall(r"^(INT|NUM|BOOL|TEXT|TREE)\((.*)\)$", text, re.M):
        parts = [a.strip() for a in args.split(",")]
        name, where = parts[1].strip('"'), parts[2]
        for macro, words in MACROS.items():
            where = re.sub(rf"\b{macro}\b", " | ".join(words), where)
        bounds = [float(number(p)) for p in parts[3:5]] if kind in ("INT", "NUM") else None
        shapes = parts[3] if kind == "TREE" else ""
        for place in re.findall(r"[A-Z]+", where.replace("PARAMS_", "")):
            rows.append(pytest.param(place, name, kind, bounds, shapes, id=f"{place}-{name}-{kind}"))
    assert len(rows) > 60
    return rows


def wrong_values(kind, bounds, shapes):
    """As JSON text, so that what no Python number can say is sent too."""
    out = ["true", '"7"', "[]", "{}"]
    if kind in ("INT", "NUM"):
        numbers = ["-1", "-2147483649", "2147483648", "9223372036854775808", "-9223372036854775809",
                   "18446744073709551616", "1e300", "-1e300", "1" + "0" * 400, "0.5", "-0.5"]
        least, most = bounds
        # 2^63 is no 64-bit number, although a float says that it is the last.
        out += [n for n in numbers if not least <= float(n) <= most or float(n) >= 2.0 ** 63
                or (kind == "INT" and "." in n)]
    elif kind == "BOOL":
        out = ['"true"', "1", "0", "[]", "{}"]
    elif kind == "TEXT":
        out = ["1", "true", "[]", "{}", "2147483648", "9223372036854775808"]
    else:
        out = ["1", "true", "2147483648", "9223372036854775808"]
        out += [v for v, word in (('"x"', "STRING"), ("[]", "ARRAY"), ("{}", "OBJECT"))
                if word not in shapes]
    return out


@pytest.mark.parametrize("place,name,kind,bounds,shapes", fields())
def test_a_wrong_value_is_refused_by_name(request, place, name, kind, bounds, shapes):
    fixture, path, body = PLACES[place]
    m = request.getfixturevalue(fixture)

    def send(text):
        if place == "LORA":
            text = f'{{"prompt": "x", "max_tokens": 1, "lora": [{text}]}}'
        return m.http.post(path, content=text)

    for value in wrong_values(kind, bounds, shapes):
        rest = {k: v for k, v in body.items() if k != name}
        text = json.dumps(rest)[:-1] + f'{", " if rest else ""}"{name}": {value}}}'
        r = send(text)
        assert r.status_code == 400, (name, value, r.text)
        e = r.json()["error"]
        # The number of 400 digits is no JSON that anybody reads.
        if len(value) < 100:
            assert e["param"] == ("lora" if place == "LORA" else name), (name, value, e)
            assert f"'{name}'" in e["message"] or place != "LORA"
        assert e["type"] == "invalid_request_error" and e["message"]
    # NaN is no JSON.
    text = json.dumps(body)[:-1] + f', "{name}x": NaN}}'
    assert send(text).status_code == 400
    assert send(json.dumps(body)).status_code == 200
    assert m.process.poll() is None
