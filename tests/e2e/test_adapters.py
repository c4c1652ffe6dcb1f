"""LoRA adapters through modeld: models of the store that a model is set up with by its settings,
and that requests choose from."""

import json
import os
import subprocess

import openai
import pytest

from cli_fixtures import CLI
from conftest import TEXT, eventually, package
from lora_fixtures import adapters, base, make_adapter  # noqa: F401

BASE, ONE, TWO = "ai/tiny", "ai/one", "team/sub:v2"
PATH = "/engines/_configure"


@pytest.fixture
def m(start, tmp_path, base, adapters):
    """modeld with the small model and its two adapters."""
    d = start(tmp_path / "store")
    for path, name in ((base, BASE), (adapters[0], ONE), (adapters[1], TWO)):
        package(d, path, name)
    return d


def configure(m, *flags, model=BASE, **body):
    return m.http.post(PATH, json={"model": model, "runtime-flags": flags, **body})


def say(m, model=BASE, **body):
    r = m.http.post("/v1/completions", json={
        "model": model, "prompt": "abc", "max_tokens": 16, "temperature": 0, **body})
    assert r.status_code == 200, r.text
    return r.json()["choices"][0]["text"]


def refused(r, status, text):
    assert r.status_code == status and text in r.text, (r.status_code, r.text)


def test_a_request_chooses_by_name_with_the_official_sdk(m):
    alone = say(m)
    assert configure(m, "--lora", ONE, "--lora-scaled", f"second={TWO}:0").status_code == 202
    client = openai.OpenAI(base_url=m.url + "/engines/v1", api_key="x", max_retries=0)

    def ask(lora):
        r = client.completions.create(model=BASE, prompt="abc", max_tokens=16, temperature=0,
                                      extra_body={"lora": lora})
        return r.choices[0].text

    got = [ask(x) for x in ([], [{"name": "one"}], [{"name": "second", "scale": 1}])]
    assert got[0] == alone and len(set(got)) == 3
    assert say(m) == got[1] and ask([{"id": 0, "scale": 1}]) == got[1]
    with pytest.raises(openai.BadRequestError) as e:
        ask([{"name": "third"}])
    assert e.value.param == "lora" and "no adapter 'third'" in str(e.value)
    chat = client.chat.completions.create(
        model=BASE, messages=[{"role": "user", "content": "x"}], max_tokens=4, stream=True,
        extra_body={"lora": [{"name": "second", "scale": 0.5}]})
    assert list(chat)[-1].choices[0].finish_reason
    # Who may ask may see the list; no path of this machine is in it.
    for form in ("/lora-adapters", "/engines/lora-adapters", "/engines/llama.cpp/lora-adapters"):
        r = m.http.get(form, params={"model": BASE})
        assert r.json() == [{"id": 0, "name": "one", "scale": 1},
                            {"id": 1, "name": "second", "scale": 0}]
    # A model without settings is not touched.
    refused(m.http.post("/v1/completions", json={"model": ONE, "prompt": "x"}), 422,
            "is an adapter and no model")


def test_settings_with_adapters_outlive_a_restart(m, start, tmp_path):
    assert configure(m, "--lora", f"x={ONE}").status_code == 202
    with_it = say(m)
    assert say(m, lora=[]) != with_it
    entry, = m.http.get(PATH).json()
    assert entry["Config"] == {"runtime-flags": ["--lora", f"x={ONE}"]}
    m.stop()
    again = start(tmp_path / "store")
    assert say(again) == with_it
    assert again.http.delete(PATH, params={"model": BASE}).status_code == 200
    assert say(again) == say(again, lora=[]) != with_it


def test_none_is_in_use_unless_asked_for_when_it_is_said_so(m):
    alone = say(m)
    assert configure(m, "--lora-init-without-apply", "--lora", ONE).status_code == 202
    assert say(m) == alone != say(m, lora=[{"name": "one"}])


def test_one_that_is_gone_is_told_to_who_asks(m):
    assert configure(m, "--lora", ONE).status_code == 202
    say(m)
    assert m.http.delete(f"/models/{ONE}").status_code == 200
    # What is in memory stays.
    say(m)
    m.http.post("/engines/unload", json={"all": True})
    eventually(lambda: not m.ps())
    refused(m.http.post("/v1/completions", json={"model": BASE, "prompt": "x"}), 409,
            f"adapter '{ONE}' that this model is set up with is not in the store")
    assert configure(m).status_code == 202
    say(m)


@pytest.mark.parametrize("flags,status,text", [
    (["--lora", "ai/nothing"], 404, "ai/nothing"), (["--lora", "/etc/passwd"], 404, "not found"),
    (["--lora", "x=../../etc/passwd"], 404, "not found"), (["--lora", "x=FILE"], 404, "not found"),
    (["--lora", BASE], 400, "is a model and no adapter"),
    (["--lora", "ai/other"], 400, "architecture 'gemma', and this one's is 'llama'"),
    (["--lora", ONE, "--lora", "team/one"], 400, "two adapters are called 'one'"),
    (["--lora-scaled", ONE + ":99"], 400, "scale from -10 to 10"),
    (["--lora"], 400, "[NAME=]MODEL"),
])
def test_what_is_no_adapter_of_the_store_is_refused(m, tmp_path, base, adapters, flags, status,
                                                    text):
    if "ai/other" in flags:
        package(m, make_adapter(tmp_path / "other.gguf", base, arch="gemma"), "ai/other")
    r = configure(m, *(f.replace("FILE", str(adapters[0])) for f in flags))
    refused(r, status, text)
    assert m.http.get(PATH).json() == []


def test_a_key_sets_up_only_with_models_of_its_own(start, m, tmp_path):
    m.stop()
    keys = tmp_path / "keys"
    made = subprocess.run([str(CLI), "key", "add", "k", "--file", str(keys), "--classes", "manage",
                           "--models", f"{BASE},{ONE}"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    key = made.stdout.split()[-1]
    d = start(tmp_path / "store", "--keys", str(keys))
    d.http.headers["Authorization"] = f"Bearer {key}"
    assert configure(d, "--lora", ONE).status_code == 202
    refused(configure(d, "--lora", TWO), 403, TWO)


def test_the_command(m):
    r = subprocess.run([str(CLI), "configure", BASE, "--", "--lora", f"p={ONE}"],
                       capture_output=True, text=True, timeout=120,
                       env={**os.environ, "MODEL_RUNNER_HOST": m.url})
    assert (r.returncode, r.stderr) == (0, "")
    assert say(m, lora=[{"name": "p"}]) == say(m) != say(m, lora=[])
    assert json.loads(m.http.get("/lora-adapters", params={"model": BASE}).text)[0]["name"] == "p"
