"""POST, GET and DELETE /engines/_configure, and `docker model configure`: what is set is in force,
is shown, and stays."""

import json
import os
import subprocess

import pytest

from conftest import BUILD, EMBED, TEXT, eventually

PATH = "/engines/_configure"


def configure(m, path=PATH, **body):
    return m.http.post(path, json={"model": TEXT, **body})


def shown(m, **params):
    r = m.http.get(PATH, params=params)
    assert r.status_code == 200 and r.headers["content-type"] == "application/json"
    return r.json()


def row(m, model=TEXT, mode=None):
    return next((r for r in m.ps() if r["model_name"] == model and mode in (None, r["mode"])), None)


def loaded(m, **kw):
    def check():
        r = row(m, **kw)
        return r if r and not r.get("loading") and not r.get("in_use") else None
    return eventually(check)


def complete(m, **body):
    r = m.http.post("/v1/completions", json={"model": TEXT, "prompt": "One two three", **body})
    assert r.status_code == 200, r.text
    return r.json()


def command(m, *args):
    return subprocess.run([str(BUILD / "docker-model"), *args], capture_output=True, text=True,
                          env={**os.environ, "MODEL_RUNNER_HOST": m.url}, timeout=120)


def test_settings_are_in_force_shown_and_kept(start, own_store):
    m = start(own_store)
    assert shown(m) == []
    r = configure(m, **{"context-size": 512, "keep_alive": "90m",
                        "runtime-flags": ["--parallel", "2", "-n", "3", "--temp=0", "--cache-ram",
                                          "9"]})
    assert r.status_code == 202 and r.content == b""
    # It is loaded ahead, as it was set up.
    got = loaded(m)
    assert got["context_size"] == 512 and got["keep_alive"] == "1h30m0s"
    config = {"context-size": 512, "keep_alive": "1h30m0s",
              "runtime-flags": ["--parallel", "2", "-n", "3", "--temp=0", "--cache-ram", "9"]}
    entry, = shown(m)
    assert entry == {"Backend": "llama.cpp", "Model": "docker.io/" + TEXT, "ModelID": entry["ModelID"],
                     "Mode": "completion", "Config": config}
    assert entry["ModelID"].startswith("sha256:")
    assert shown(m, model=TEXT) == [entry] and shown(m, model=EMBED) == []
    assert shown(m, model="nothing") == []
    # What a request does not say is as it was set; what it says holds.
    assert complete(m)["usage"]["completion_tokens"] == 3
    assert complete(m, max_tokens=5)["usage"]["completion_tokens"] == 5
    assert len({complete(m, max_tokens=8)["choices"][0]["text"] for _ in range(4)}) <= 2
    log = m.log()
    assert "context=512 slots=2" in log and f"cache_bytes={9 << 20}" in log
    group, = m.http.get("/engines/requests").json()
    assert group["config"] == config
    # Killed, it knows them again.
    m.process.kill()
    m.process.wait()
    m = start(own_store)
    assert shown(m) == [entry]
    complete(m)
    assert row(m)["context_size"] == 512


def test_an_idle_model_starts_again_and_a_busy_one_is_left_alone(start, own_store):
    m = start(own_store)
    complete(m, max_tokens=1)
    before = m.workers()
    with m.http.stream("POST", "/v1/completions", json={
            "model": TEXT, "prompt": "x", "stream": True, "max_tokens": 4000, "ignore_eos": True}) as s:
        next(s.iter_lines())
        r = configure(m, **{"context-size": 300})
        assert r.status_code == 409 and "already active" in r.text
        assert shown(m) == []
    eventually(lambda: not row(m).get("in_use"))
    assert configure(m, **{"context-size": 300}).status_code == 202
    assert loaded(m)["context_size"] == 300
    eventually(lambda: set(m.workers()).isdisjoint(before))
    # The same again changes nothing.
    same = m.workers()
    assert configure(m, **{"context-size": 300}).status_code == 202
    loaded(m)
    assert m.workers() == same
    # Each call replaces all of it.
    assert configure(m, keep_alive="-1").status_code == 202
    got = loaded(m)
    assert got["context_size"] != 300 and got["keep_alive"] == "-1"


def test_settings_changed_while_the_model_loads_for_them_count(start, own_store):
    m = start(own_store)
    for n in (300, 400, 500):
        assert configure(m, **{"context-size": n}).status_code == 202
    assert loaded(m)["context_size"] == 500
    assert [e["Config"] for e in shown(m)] == [{"context-size": 500}]
    eventually(lambda: len(m.workers()) == 1)


def test_settings_are_removed_when_asked_and_not_by_unload(start, own_store):
    m = start(own_store)
    configure(m, **{"context-size": 300})
    loaded(m)
    m.http.post("/engines/unload", json={"all": True})
    eventually(lambda: not m.ps())
    assert len(shown(m)) == 1
    assert m.http.delete(PATH, params={"model": TEXT, "mode": "embedding"}).status_code == 200
    assert len(shown(m)) == 1
    assert m.http.delete(PATH, params={"model": TEXT}).status_code == 200
    assert shown(m) == []
    complete(m, max_tokens=1)
    assert row(m)["context_size"] != 300
    m.stop()
    assert shown(start(own_store)) == []


def test_keep_alive_of_one_model(start, own_store):
    m = start(own_store)
    assert configure(m, keep_alive="0").status_code == 202
    m.http.post("/v1/embeddings", json={"model": EMBED, "input": "x"})
    complete(m, max_tokens=1)
    eventually(lambda: not row(m))
    assert row(m, EMBED)


def test_a_model_of_text_may_make_vectors_beside(start, own_store):
    m = start(own_store)
    ask = {"model": TEXT, "input": "hello"}
    r = m.http.post("/v1/embeddings", json=ask)
    assert r.status_code == 400 and "makes text" in r.text
    assert configure(m, mode="embedding", **{"context-size": 256}).status_code == 202
    assert loaded(m, mode="embedding")["context_size"] == 256
    r = m.http.post("/v1/embeddings", json=ask)
    assert r.status_code == 200 and len(r.json()["data"][0]["embedding"]) == 576
    complete(m, max_tokens=1)
    assert sorted(r["mode"] for r in m.ps()) == ["completion", "embedding"]
    assert m.http.post("/engines/unload", json={"models": [TEXT]}).json() == {"unloaded_runners": 2}


def test_a_model_of_vectors_needs_no_mode(start, own_store):
    m = start(own_store)
    # As Compose does: it knows of no modes.
    r = m.http.post(PATH, json={"model": EMBED, "context-size": 128, "keep_alive": "1m"})
    assert r.status_code == 202
    got = loaded(m, model=EMBED)
    assert got["mode"] == "embedding" and got["context_size"] == 128
    assert shown(m)[0]["Mode"] == "embedding"
    r = m.http.post("/v1/embeddings", json={"model": EMBED, "input": "word " * 200})
    assert r.status_code == 400 and "128" in r.text


def test_whether_it_reasons_is_a_setting(start, own_store):
    m = start(own_store)
    assert configure(m, llamacpp={"reasoning-budget": 0}).status_code == 202
    loaded(m)
    assert shown(m)[0]["Config"] == {"llamacpp": {"reasoning-budget": 0}}


@pytest.mark.parametrize("path,body,status,text", [
    (PATH, b"{x", 400, "JSON"), (PATH, b"", 400, ""), (PATH, {"model": ""}, 400, "'model'"),
    (PATH, {"model": "nope"}, 404, "nope"), (PATH, {"mode": "foo"}, 400, "mode"),
    (PATH, {"mode": "reranking"}, 400, "cannot rank"), (PATH, {"keep_alive": "foo"}, 400, "keep_alive"),
    (PATH, {"keep_alive": 5}, 400, "keep_alive"), (PATH, {"context-size": -5}, 400, "context-size"),
    (PATH, {"context-size": 100000001}, 400, "context-size"),
    (PATH, {"runtime-flags": ["--log-file", "x"]}, 400, '"--log-file" is not allowed'),
    (PATH, {"raw-runtime-flags": "--temp /x"}, 400, "paths are not allowed"),
    (PATH, {"speculative": {"draft_model": "x"}}, 404, "the draft model"),
    ("/engines/nope/_configure", {}, 404, "no engine 'nope'"),
])
def test_what_is_wrong_is_refused_and_changes_nothing(modeld, path, body, status, text):
    if isinstance(body, dict):
        body = json.dumps({"model": TEXT, **body}).encode()
    r = modeld.http.post(path, content=body)
    assert r.status_code == status and text in r.text, r.text
    assert r.headers["content-type"].startswith("text/plain")
    assert shown(modeld) == []


def test_an_engine_elsewhere_is_set_up_there(start, own_store):
    m = start(own_store, config={"engines": {"far": {
        "kind": "openai", "url": "http://127.0.0.1:9/v1", "models": ["m"]}}})
    r = configure(m, "/engines/far/_configure")
    assert r.status_code == 400 and "elsewhere" in r.text
    assert configure(m, "/engines/llama.cpp/_configure", keep_alive="1m").status_code == 202


def test_a_setting_that_makes_no_start_is_told_to_who_asks(start, own_store):
    m = start(own_store, "--memory", "700MiB")
    assert configure(m, **{"context-size": 100000000}).status_code == 202
    r = m.http.post("/v1/completions", json={"model": TEXT, "prompt": "x"})
    assert r.status_code == 507 and "MiB" in r.text
    assert m.http.delete(PATH, params={"model": TEXT}).status_code == 200
    complete(m, max_tokens=1)


def test_a_file_that_is_not_ours_is_no_reason_to_fail(start, own_store):
    (own_store / "modeld-settings.json").write_text('[{"ModelID":"sha256:x"},7,{"ModelID":"sha256:'
                                                    + "0" * 64 + '","Mode":"completion","Config":'
                                                    '{"runtime-flags":["--log-file","/x"]}}]')
    m = start(own_store)
    assert shown(m) == [] and m.log().count("settings are not used") == 3
    assert configure(m, **{"context-size": 300}).status_code == 202
    assert len(json.loads((own_store / "modeld-settings.json").read_text())) == 1


def test_settings_of_a_model_that_is_gone_are_not_shown(start, own_store):
    m = start(own_store)
    configure(m, **{"context-size": 300})
    loaded(m)
    assert m.http.delete(f"/models/{TEXT}").status_code == 200
    assert shown(m) == []


def test_the_command(start, own_store):
    m = start(own_store)
    r = command(m, "configure", TEXT, "--context-size", "512", "--keep-alive", "1h", "--think=false",
                "--", "--temp", "0.2", "-t", "1")
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")
    r = command(m, "configure", "show", TEXT)
    assert r.returncode == 0 and r.stdout.startswith('[\n  {\n    "Backend": "llama.cpp"')
    config = {"context-size": 512, "runtime-flags": ["--temp", "0.2", "-t", "1"],
              "keep_alive": "1h0m0s", "llamacpp": {"reasoning-budget": 0}}
    assert [e["Config"] for e in json.loads(r.stdout)] == [config]
    assert json.loads(command(m, "config", "show").stdout) == shown(m)
    for args, text in ((("nope",), "nope"), ((TEXT, "--", "--log-file", "x"), "not allowed"),
                       ((TEXT, "--speculative-draft-model", "nope"), "nope"),
                       ((TEXT, "--gpu-memory-utilization", "0.5"), "vllm"),
                       ((TEXT, "--hf_overrides", '{"a":1}'), "vllm")):
        r = command(m, "configure", *args)
        assert r.returncode == 1 and text in r.stderr, r.stderr
    assert command(m, "configure", TEXT, "--hf_overrides", "x").returncode == 2
    assert command(m, "configure", "show", "a", "b").returncode == 2
    assert command(m, "configure", TEXT, "--reset").returncode == 0
    assert shown(m) == []
