"""A draft model that a model is set up with, by HTTP and by the CLI, in Docker Model Runner's
words: found in the store, handed to the engine, counted, and refused where it cannot draft."""

import hashlib
import json
import os
import pathlib
import subprocess

from conftest import BUILD, EMBED, TEXT, eventually

PATH = "/engines/_configure"


def configure(m, **body):
    return m.http.post(PATH, json={"model": TEXT, **body})


def command_lines(m):
    """Of the engines that run."""
    return [pathlib.Path(f"/proc/{p}/cmdline").read_bytes().decode().split("\0")
            for p in m.workers()]


def loaded(m):
    def check():
        row = next((r for r in m.ps() if r["model_name"] == TEXT), None)
        return row if row and not row.get("loading") and not row.get("in_use") else None
    return eventually(check)


def after(line, option):
    return [line[i + 1] for i, word in enumerate(line) if word == option]


def test_a_draft_model_of_the_store_is_used_and_shown(start, own_store):
    m = start(own_store)
    asked = {"draft_model": TEXT, "num_tokens": 3, "min_acceptance_rate": 0.25}
    assert configure(m, **{"context-size": 512}, speculative=asked).status_code == 202
    loaded(m)
    line, = command_lines(m)
    assert after(line, "--model-draft") == after(line, "--model")
    assert after(line, "--spec-draft-n-max") == ["3"]
    assert after(line, "--spec-draft-p-min") == ["0.2500"]
    entry, = m.http.get(PATH).json()
    assert entry["Config"]["speculative"] == asked
    r = m.http.post("/v1/completions", json={
        "model": TEXT, "prompt": "One two three", "max_tokens": 4, "temperature": 0})
    assert r.status_code == 200 and r.json()["usage"]["completion_tokens"] == 4
    # Killed, it knows it again; and each call replaces all.
    m.process.kill()
    m.process.wait()
    m = start(own_store)
    assert m.http.get(PATH).json()[0]["Config"]["speculative"] == asked
    assert configure(m, **{"context-size": 512}).status_code == 202
    loaded(m)
    line, = command_lines(m)
    assert not after(line, "--model-draft")


def test_the_draft_models_memory_counts(start, own_store):
    """A budget that one of them fits into, and two do not."""
    def load(m):
        return m.http.post("/v1/completions", json={"model": TEXT, "prompt": "a", "max_tokens": 1})
    m = start(own_store, "--memory", "400MiB")
    assert configure(m, **{"context-size": 2048}).status_code == 202
    assert load(m).status_code == 200
    eventually(lambda: not m.ps() or not m.ps()[0].get("in_use"))
    assert configure(m, **{"context-size": 2048},
                     speculative={"draft_model": TEXT}).status_code == 202
    r = load(m)
    assert r.status_code >= 400 and "memory" in r.text


def test_what_cannot_draft_is_refused(start, own_store):
    m = start(own_store)
    for draft, status, said in ((EMBED, 400, "cannot draft"), ("ai/absent", 404, "ai/absent"),
                                ("/etc/passwd", 404, "not found"), ("", 202, "")):
        r = configure(m, speculative={"draft_model": draft})
        assert r.status_code == status and said in r.text, (draft, r.status_code, r.text)
    for wrong in (3, [], {"draft_model": 3}, {"num_tokens": -1}, {"min_acceptance_rate": 2}):
        r = configure(m, speculative=wrong)
        assert r.status_code == 400, (wrong, r.text)


def test_a_draft_model_that_is_gone_is_told(start, own_store):
    m = start(own_store)
    assert m.http.post(f"/models/{TEXT}/tag?repo=ai/draft&tag=one").status_code in (200, 201)
    assert configure(m, speculative={"draft_model": "ai/draft:one"}).status_code == 202
    loaded(m)
    m.http.post("/engines/unload", json={"all": True})
    eventually(lambda: not m.ps())
    assert m.http.delete("/models/ai/draft:one").status_code == 200
    r = m.http.post("/v1/completions", json={"model": TEXT, "prompt": "a", "max_tokens": 1})
    assert r.status_code == 409 and "ai/draft:one" in r.text


def test_the_cli_sets_it(start, own_store):
    m = start(own_store)
    done = subprocess.run(
        [str(BUILD / "docker-model"), "configure", "--context-size", "512",
         "--speculative-draft-model", TEXT, "--speculative-num-tokens", "4",
         "--speculative-min-acceptance-rate", "0.5", TEXT],
        capture_output=True, text=True, env={**os.environ, "MODEL_RUNNER_HOST": m.url})
    assert done.returncode == 0, done.stderr
    loaded(m)
    entry, = m.http.get(PATH).json()
    assert entry["Config"]["speculative"] == {
        "draft_model": TEXT, "num_tokens": 4, "min_acceptance_rate": 0.5}
    assert after(command_lines(m)[0], "--model-draft")


def test_who_may_not_use_a_model_cannot_have_it_draft(start, own_store, tmp_path):
    key = "mdk_" + "k" * 43
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [{
        "hash": "sha256:" + hashlib.sha256(key.encode()).hexdigest(), "name": "k",
        "classes": ["manage"], "models": [TEXT]}]}))
    keys.chmod(0o600)
    m = start(own_store, "--keys", str(keys))
    headers = {"Authorization": "Bearer " + key}
    for draft, status in ((TEXT, 202), (EMBED, 403)):
        r = m.http.post(PATH, headers=headers, json={
            "model": TEXT, "speculative": {"draft_model": draft}})
        assert r.status_code == status, r.text
