"""API keys: who may do what, how much of it, and what the OpenAI SDK makes of a refusal."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import time

import httpx
import openai
import pytest

from conftest import BUILD, EMBED, TEXT, eventually, is_sanitized

GOOD = "mdk_" + "g" * 43
OTHER = "mdk_" + "o" * 43
ADMIN = "mdk_" + "a" * 43


def hash_of(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """A key file and the daemon that reads it."""

    def __init__(self, path):
        self.path = path

    def write(self, *keys, mode=0o600):
        self.path.write_text(json.dumps({"keys": [
            {"hash": hash_of(k.pop("key")), **k} for k in map(dict, keys)]}))
        self.path.chmod(mode)

    def reload(self, modeld, expect="settings read again"):
        before = modeld.log().count("read again")
        modeld.process.send_signal(signal.SIGHUP)
        eventually(lambda: modeld.log().count("read again") > before)
        assert expect in modeld.log().splitlines()[-1], modeld.log()


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path / "keys.json")


@pytest.fixture
def keyed(start, models_store, fake_engine, keys):
    """keyed(key, ..., plan={}) starts a daemon with these keys and the fake engine."""
    def begin(*some, plan=None, args=(), store=models_store):
        keys.write(*some)
        return start(store, "--keys", str(keys.path), *args, llama=fake_engine,
                     env={"FAKE_ENGINE": json.dumps(plan or {})})
    return begin


def sdk(modeld, key, **kw):
    return openai.OpenAI(base_url=modeld.url + "/engines/v1", api_key=key, max_retries=0, **kw)


def ask(client, model=TEXT, **kw):
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "hello"}], **kw)


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def get(modeld, path, key=None, method="GET", **kw):
    return modeld.http.request(method, path, headers=bearer(key) if key else {}, **kw)


def error_of(r):
    e = r.json()["error"]
    assert set(e) == {"message", "type", "param", "code"}
    return e


# ---- who is let in ----

def test_the_sdk_with_its_key_is_answered(keyed):
    m = keyed({"name": "ci", "key": GOOD})
    assert ask(sdk(m, GOOD)).choices[0].message.content == "xx"
    assert [x.id for x in sdk(m, GOOD).models.list()]


@pytest.mark.parametrize("field", ["Authorization", "x-api-key", "api-key"])
def test_a_key_may_come_in_the_field_of_any_sdk(keyed, field):
    m = keyed({"name": "ci", "key": GOOD})
    value = "Bearer " + GOOD if field == "Authorization" else GOOD
    assert m.http.get("/v1/models", headers={field: value}).status_code == 200
    assert m.http.get("/v1/models", headers={field: value + "x"}).status_code == 401


def test_without_a_key_only_life_is_told(keyed):
    m = keyed({"name": "ci", "key": GOOD})
    for path in ("/", "/healthz", "/readyz"):
        assert get(m, path).status_code == 200
    assert set(get(m, "/version").json()) == {"version"}
    r = get(m, "/readyz?model=" + TEXT)
    assert r.status_code == 401
    for method, path in [("GET", "/v1/models"), ("GET", "/models"), ("GET", "/metrics"),
                         ("POST", "/v1/chat/completions"), ("DELETE", "/models/x"),
                         ("GET", "/nothing"), ("PUT", "/models")]:
        r = get(m, path, method=method)
        assert r.status_code == 401, path
        assert r.headers["www-authenticate"] == 'Bearer realm="modeld"'
        e = error_of(r)
        assert e["code"] == "invalid_api_key" and "docker model key add" in e["message"]


def test_a_pages_preflight_needs_no_key(keyed):
    m = keyed({"name": "ci", "key": GOOD})
    r = m.http.options("/v1/models", headers={
        "Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization"})
    assert r.status_code == 204
    assert r.headers["access-control-allow-headers"] == "authorization"


def test_a_wrong_key_is_told_so_and_stands_in_no_log(keyed):
    m = keyed({"name": "ci", "key": GOOD}, args=("--log-level", "debug"))
    with pytest.raises(openai.AuthenticationError) as e:
        ask(sdk(m, OTHER))
    assert e.value.status_code == 401 and e.value.code == "invalid_api_key"
    assert e.value.response.headers["www-authenticate"].endswith('error="invalid_token"')
    assert ask(sdk(m, GOOD))
    assert "wrong API key address=127.0.0.1" in m.log()
    assert OTHER not in m.log() and GOOD not in m.log()


def test_two_different_keys_are_no_key(keyed):
    m = keyed({"name": "ci", "key": GOOD}, {"name": "b", "key": OTHER})
    r = m.http.get("/v1/models", headers={**bearer(GOOD), "x-api-key": OTHER})
    assert r.status_code == 400
    assert 'error="invalid_request"' in r.headers["www-authenticate"]
    assert m.http.get("/v1/models", headers={**bearer(GOOD), "x-api-key": GOOD}).is_success


def test_local_sockets_need_no_key(keyed):
    m = keyed({"name": "ci", "key": GOOD})
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(m.socket))) as local:
        assert local.get("http://d/v1/models").status_code == 200
        assert local.get("http://d/metrics").status_code == 200
        assert "listen" in local.get("http://d/version").json()


def test_an_expired_key_is_told_so(keyed):
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    m = keyed({"name": "old", "key": GOOD, "expires": "2020-01-01T00:00:00+01:00"},
              {"name": "short", "key": OTHER, "expires": soon})
    with pytest.raises(openai.AuthenticationError, match="'old' has expired"):
        ask(sdk(m, GOOD))
    eventually(lambda: get(m, "/v1/models", OTHER).status_code == 401)
    assert "has expired" in get(m, "/v1/models", OTHER).text


# ---- classes ----

def test_a_key_may_do_what_its_classes_say(keyed, own_store):
    m = keyed({"name": "ci", "key": GOOD},
              {"name": "admin", "key": ADMIN, "classes": ["manage", "inspect"]},
              store=own_store)
    r = get(m, f"/models/{TEXT}", GOOD, "DELETE")
    assert r.status_code == 403 and "'manage'" in error_of(r)["message"]
    assert r.headers["www-authenticate"] == (
        'Bearer realm="modeld", error="insufficient_scope", scope="manage"')
    assert get(m, "/metrics", GOOD).status_code == 403
    with pytest.raises(openai.PermissionDeniedError, match="'infer'"):
        ask(sdk(m, ADMIN))
    assert get(m, "/metrics", ADMIN).status_code == 200
    assert "listen" in get(m, "/version", ADMIN).json()
    assert set(get(m, "/version", GOOD).json()) == {"version"}
    assert get(m, f"/models/{TEXT}?force=1", ADMIN, "DELETE").status_code == 200


def test_who_changed_something_stands_in_the_log(keyed, own_store):
    m = keyed({"name": "admin", "key": ADMIN, "classes": ["manage", "infer"]}, store=own_store)
    assert get(m, f"/models/{TEXT}/tag?repo=x/y&tag=z", ADMIN, "POST").status_code == 201
    get(m, "/v1/models", ADMIN)
    lines = [x for x in m.log().splitlines() if " request " in x]
    assert len(lines) == 1 and "info" in lines[0]
    assert f"uid={os.getuid()}" in lines[0] and "key=admin" in lines[0]
    assert "method=POST" in lines[0] and "status=201" in lines[0]


# ---- models ----

def test_a_key_sees_and_uses_only_its_models(keyed):
    m = keyed({"name": "ci", "key": GOOD, "models": ["ai/smollm2", "team/*"]},
              {"name": "all", "key": OTHER})
    ids = {t: x["id"] for x in get(m, "/models", OTHER).json() for t in x["tags"]}
    assert len(ids) == 2
    assert [x.id for x in sdk(m, GOOD).models.list()] == ["docker.io/" + TEXT]
    assert [t for x in get(m, "/models", GOOD).json() for t in x["tags"]] == ["docker.io/" + TEXT]
    assert len(get(m, "/engines/llama.cpp/v1/models", GOOD).json()["data"]) == 1
    hidden = ids[f"docker.io/{EMBED}:latest"]
    for name in (EMBED, "minilm", "docker.io/" + EMBED, hidden, hidden[7:19],
                 "x@" + hidden, "ai/not-there", "other/not-there"):
        with pytest.raises(openai.PermissionDeniedError) as e:
            ask(sdk(m, GOOD), model=name)
        assert e.value.code == "model_not_allowed" and e.value.param == "model"
        assert "ai/smollm2, team/*" in e.value.message
        assert get(m, f"/v1/models/{name}", GOOD).status_code == 403
        assert get(m, f"/models/{name}", GOOD).status_code == 403
        assert get(m, f"/readyz?model={name}", GOOD).status_code == 403
    for name in (TEXT, "smollm2:135M-Q4_1", ids["docker.io/" + TEXT]):
        assert ask(sdk(m, GOOD), model=name)
        assert get(m, f"/models/{name}", GOOD).status_code == 200
    assert get(m, "/v1/models/team/x", GOOD).status_code == 404


def test_a_managers_key_reaches_no_other_model(keyed, own_store):
    m = keyed({"name": "t", "key": GOOD, "classes": ["infer", "manage"],
               "models": ["team/*", "ai/minilm"]},
              {"name": "all", "key": OTHER, "classes": ["infer", "manage"]}, store=own_store)
    ids = {t: x["id"] for x in get(m, "/models", OTHER).json() for t in x["tags"]}
    text_id = ids["docker.io/" + TEXT]
    for method, path in [
            ("DELETE", f"/models/{TEXT}"), ("DELETE", f"/models/{text_id}?force=1"),
            ("POST", f"/models/{TEXT}/tag?repo=team/mine&tag=x"),
            ("POST", f"/models/{EMBED}/tag?repo=ai/smollm2&tag=135M-Q4_1"),
            ("GET", f"/models/{TEXT}/export"), ("POST", "/models/create"),
            ("POST", f"/models/{TEXT}/repackage"), ("POST", f"/models/{EMBED}/repackage")]:
        r = get(m, path, GOOD, method, json={"from": "ai/smollm2", "context_size": 9,
                                             "target": "sales/x" if EMBED in path else "team/x"})
        assert r.status_code == 403 and "team/*, ai/minilm" in r.text, path
    for method, path in [("DELETE", "/models/purge"), ("POST", "/models/prune"),
                         ("POST", "/models/verify"), ("POST", "/models/load")]:
        r = get(m, path, GOOD, method)
        assert r.status_code == 403 and "about all of them" in r.text
    for body in ({"all": True}, {"models": [TEXT]}):
        assert get(m, "/engines/unload", GOOD, "POST", json=body).status_code == 403
    assert get(m, f"/models/{EMBED}/tag?repo=team/mine&tag=x", GOOD, "POST").status_code == 201
    assert get(m, "/models/team/mine:x", GOOD).status_code == 200
    # It is team's now by one name; the other name is still not theirs to take.
    assert get(m, f"/models/{EMBED}/tag?repo=sales/theirs&tag=x", OTHER, "POST").is_success
    assert get(m, "/models/sales/theirs:x", GOOD, "DELETE").status_code == 403
    embed = ids[f"docker.io/{EMBED}:latest"]
    assert get(m, f"/models/{embed}?force=1", GOOD, "DELETE").status_code == 403
    for r in (get(m, f"/models/{embed}", GOOD), get(m, "/models", GOOD),
              get(m, "/v1/models", GOOD), get(m, f"/v1/models/{embed}", GOOD)):
        assert r.status_code == 200 and "theirs" not in r.text
    assert get(m, "/models/team/mine:x", GOOD, "DELETE").status_code == 200
    assert set(t for x in get(m, "/models", OTHER).json() for t in x["tags"]) == {
        "docker.io/" + TEXT, f"docker.io/{EMBED}:latest", "docker.io/sales/theirs:x"}


def test_a_key_hears_of_no_other_models_requests(keyed):
    m = keyed({"name": "ci", "key": GOOD, "classes": ["inspect"], "models": ["team/*"]},
              {"name": "all", "key": OTHER, "classes": ["inspect"]},
              {"name": "asks", "key": "infer"})
    sse = {"Accept": "text/event-stream"}
    for path in ("/engines/requests", f"/engines/requests?model={TEXT}"):
        assert get(m, path, OTHER).status_code == 200
        assert get(m, path, GOOD).status_code == 403
        assert m.http.get(path, headers={**bearer(GOOD), **sse}).status_code == 403
    assert get(m, "/engines/requests?model=team/x", GOOD).json() == []
    assert get(m, "/logs", GOOD).status_code == 403
    assert ask(sdk(m, "infer"))
    assert len(get(m, "/engines/ps", OTHER).json()) == 1
    assert get(m, "/engines/ps", GOOD).json() == []


# ---- limits ----

def test_requests_per_minute(keyed):
    m = keyed({"name": "ci", "key": GOOD, "requests_per_minute": 30}, {"name": "b", "key": OTHER})
    client = sdk(m, GOOD)
    began = time.monotonic()
    for left in range(29, -1, -1):
        r = client.models.with_raw_response.list()
        assert r.headers["x-ratelimit-limit-requests"] == "30"
        more = (time.monotonic() - began) / 2  # one comes back every two seconds
        assert 0 <= int(r.headers["x-ratelimit-remaining-requests"]) - left <= 1 + more
        assert "x-ratelimit-limit-tokens" not in r.headers
    while True:
        got = get(m, "/v1/models", GOOD)
        if got.status_code == 429:
            break
        assert time.monotonic() - began < 10
    with pytest.raises(openai.RateLimitError) as e:
        ask(client)
    assert e.value.code == "rate_limit_exceeded" and e.value.type == "rate_limit_error"
    wait = int(e.value.response.headers["retry-after"])
    assert 1 <= wait <= 2
    assert e.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert e.value.response.headers["x-ratelimit-reset-requests"] in ("59s", "1m0s")
    assert get(m, "/v1/models", OTHER).status_code == 200
    time.sleep(wait)  # what Retry-After says must be true
    assert ask(client)


def test_the_sdk_waits_as_it_is_told(keyed):
    m = keyed({"name": "ci", "key": GOOD, "requests_per_minute": 60})
    client = openai.OpenAI(base_url=m.url + "/engines/v1", api_key=GOOD, max_retries=2)
    while get(m, "/v1/models", GOOD).status_code != 429:
        pass
    assert client.models.list().data


def test_tokens_are_charged_when_the_answer_ends(keyed):
    m = keyed({"name": "ci", "key": GOOD, "tokens_per_minute": 20})  # an answer takes 7
    client = sdk(m, GOOD)
    left = []
    for _ in range(3):
        r = client.chat.completions.with_raw_response.create(
            model=TEXT, messages=[{"role": "user", "content": "hello"}])
        assert r.headers["x-ratelimit-limit-tokens"] == "20"
        left.append(int(r.headers["x-ratelimit-remaining-tokens"]))
    assert left[0] == 20 and left[1] in (13, 14) and left[2] in (6, 7, 8)
    with pytest.raises(openai.RateLimitError, match="20 tokens per minute") as e:
        ask(client)
    assert 3 <= int(e.value.response.headers["retry-after"]) <= 6


def test_a_stream_that_is_cut_off_is_charged_all_the_same(keyed):
    m = keyed({"name": "ci", "key": GOOD, "tokens_per_minute": 50},
              plan={"chunks": 200, "pause_s": 0.01})
    client = sdk(m, GOOD)
    with ask(client, stream=True) as stream:
        for i, _ in enumerate(stream):
            if i == 99:
                break

    def spent():
        return int(get(m, "/v1/models", GOOD).headers["x-ratelimit-remaining-tokens"]) == 0
    eventually(spent)
    with pytest.raises(openai.RateLimitError):
        ask(client)


def test_parallel_is_released_whatever_happens(keyed):
    m = keyed({"name": "ci", "key": GOOD, "parallel": 2},
              plan={"chunks": 2000, "pause_s": 0.01})
    client = sdk(m, GOOD)
    one, two = ask(client, stream=True), ask(client, stream=True)
    next(iter(one)), next(iter(two))
    with pytest.raises(openai.RateLimitError, match="2 requests open") as e:
        client.models.list()
    assert e.value.response.headers["retry-after"] == "1"
    one.close()
    eventually(lambda: get(m, "/v1/models", GOOD).status_code == 200)
    # A body that never comes, a refusal, an engine that dies: all give it back.
    with m.connect() as s:
        s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                  f"Authorization: Bearer {GOOD}\r\nContent-Length: 100\r\n"
                  f"Expect: 100-continue\r\n\r\n".encode())
        assert s.recv(1000).startswith(b"HTTP/1.1 100")  # it is in
        assert get(m, "/v1/models", GOOD).status_code == 429
    eventually(lambda: get(m, "/v1/models", GOOD).status_code == 200)
    for _ in range(5):
        assert get(m, "/v1/chat/completions", GOOD, "POST", content=b"{").status_code == 400
    for pid in m.workers():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises((openai.APIError, httpx.HTTPError)):
        for _ in two:
            pass
    streams = [eventually(lambda: try_stream(client)) for _ in range(2)]
    assert get(m, "/v1/models", GOOD).status_code == 429
    for s in streams:
        s.close()


def try_stream(client):
    try:
        return ask(client, stream=True)
    except openai.RateLimitError:
        return None


# ---- the file ----

def test_a_reload_follows_the_file_and_keeps_what_was_used(keyed, keys):
    m = keyed({"name": "ci", "key": GOOD, "requests_per_minute": 100, "parallel": 9})
    for _ in range(50):
        get(m, "/v1/models", GOOD)
    keys.write({"name": "ci", "key": GOOD, "requests_per_minute": 60},
               {"name": "new", "key": OTHER})
    keys.reload(m)
    assert 8 <= int(get(m, "/v1/models", GOOD).headers["x-ratelimit-remaining-requests"]) <= 20
    assert get(m, "/v1/models", OTHER).status_code == 200
    keys.write({"name": "new", "key": OTHER})
    keys.reload(m)
    assert get(m, "/v1/models", GOOD).status_code == 401


@pytest.mark.parametrize("change,reason", [
    (lambda k: k.path.write_text("{"), "JSON"),
    (lambda k: k.path.write_text('{"keys":[{"name":"x","hash":"sha256:' + "0" * 64 +
                                 '","request_per_minute":1}]}'), "request_per_minute"),
    (lambda k: k.path.chmod(0o604), "everybody"),
    (lambda k: k.path.unlink(), "no file of API keys"),
])
def test_a_wrong_file_changes_nothing_and_stops_no_start(keyed, keys, change, reason):
    m = keyed({"name": "ci", "key": GOOD})
    change(keys)
    keys.reload(m, expect="settings not read again")
    assert reason in m.log().splitlines()[-1]
    assert get(m, "/v1/models", GOOD).status_code == 200
    assert get(m, "/v1/models").status_code == 401
    got = subprocess.run([*m.command[:-2], "--socket", "off", "--keys", str(keys.path)],
                         capture_output=True, text=True, timeout=60, pass_fds=())
    assert got.returncode in (1, 2) and reason in got.stderr
    assert len(got.stderr.strip().splitlines()) == 1


def test_a_configuration_that_is_gone_opens_nothing(start, models_store, keys, tmp_path):
    keys.write({"name": "ci", "key": GOOD})
    home = tmp_path / "config"
    (home / "modeld").mkdir(parents=True)
    file = home / "modeld" / "config.json"
    file.write_text(json.dumps({"keys": str(keys.path)}))
    m = start(models_store, env={"CONFIGURATION_DIRECTORY": str(home / "modeld")})
    assert get(m, "/v1/models").status_code == 401
    file.rename(tmp_path / "aside")
    keys.reload(m, expect="settings not read again")
    assert "is gone" in m.log().splitlines()[-1]
    assert get(m, "/v1/models").status_code == 401
    (tmp_path / "aside").rename(file)
    keys.reload(m)


def test_keys_can_be_switched_off_and_on(start, models_store, keys):
    keys.write({"name": "ci", "key": GOOD})
    m = start(models_store, config={})
    assert get(m, "/v1/models").status_code == 200
    m.config.write_text(json.dumps({"keys": str(keys.path)}))
    keys.reload(m)
    assert get(m, "/v1/models").status_code == 401
    assert get(m, "/v1/models", GOOD).status_code == 200
    m.config.write_text("{}")
    keys.reload(m)
    assert get(m, "/v1/models").status_code == 200


# ---- guessing ----

def test_who_guesses_waits_and_locks_out_nobody_who_knew(keyed):
    m = keyed({"name": "ci", "key": GOOD}, {"name": "late", "key": OTHER})
    assert get(m, "/v1/models", GOOD).status_code == 200
    codes = [get(m, "/v1/models", f"guess{i}").status_code for i in range(40)]
    assert codes[:10] == [401] * 10 and 429 in codes
    r = get(m, "/v1/models", "guess")
    while r.status_code != 429:
        r = get(m, "/v1/models", "guess")
    assert 1 <= int(r.headers["retry-after"]) <= 6 and error_of(r)["code"] == "rate_limit_exceeded"
    assert get(m, "/v1/models", OTHER).status_code == 429  # a right guess must not show
    assert get(m, "/v1/models", GOOD).status_code == 200
    with httpx.Client(base_url=m.url.replace("127.0.0.1", "[::1]")) as elsewhere:
        assert elsewhere.get("/v1/models", headers=bearer(OTHER)).status_code == 200


def test_guessing_makes_nothing_grow(keyed):
    m = keyed({"name": "ci", "key": GOOD})
    for i in range(200):
        get(m, "/v1/models", f"guess{i}")
    before = m.rss_kib()
    for i in range(3000):
        get(m, "/v1/models", f"{'guess' * 40}{i}")
    assert m.rss_kib() - before < 512 or is_sanitized()


# ---- beyond loopback ----

def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing
            return s.getsockname()[0]
        except OSError:
            return "127.0.0.2"


def test_no_other_address_without_keys(models_store, tmp_path):
    for bind in ("0.0.0.0", "::", "192.0.2.7"):
        got = subprocess.run([str(BUILD / "modeld"), "--port", "0", "--socket", "off", "--store",
                              str(models_store), "--bind", bind],
                             capture_output=True, text=True, timeout=60)
        assert got.returncode == 2
        assert "docker model key add" in got.stderr and len(got.stderr.splitlines()) == 1


def test_other_addresses_by_key_and_by_their_own_names(keyed):
    m = keyed({"name": "ci", "key": GOOD},
              args=("--bind", "0.0.0.0", "--names", "models.example.com"))
    port = int(m.log().split("listens address=0.0.0.0:")[1].split()[0])
    ours = own_address()
    with httpx.Client(base_url=f"http://{ours}:{port}") as client:
        assert client.get("/v1/models").status_code == 401
        for host in (ours, f"{ours}:{port}", "models.example.com", "localhost:1",
                     "MODELS.example.com:443"):
            r = client.get("/v1/models", headers={**bearer(GOOD), "Host": host})
            assert r.status_code == 200, host
        for host in ("evil.example.com", "192.0.2.99", "models.example.com.evil", "0.0.0.0"):
            r = client.get("/v1/models", headers={**bearer(GOOD), "Host": host})
            assert r.status_code == 403, host


def test_names_at_the_limit_are_taken_and_none_above(keyed, models_store, keys):
    m = keyed({"name": "ci", "key": GOOD}, args=("--names", ",".join(f"n{i}" for i in range(64))))
    r = m.http.get("/v1/models", headers={**bearer(GOOD), "Host": "n63"})
    assert r.status_code == 200
    got = subprocess.run([str(BUILD / "modeld"), "--port", "0", "--socket", "off", "--names",
                          ",".join(f"n{i}" for i in range(65))],
                         capture_output=True, text=True, timeout=60)
    assert got.returncode == 2 and "64 names" in got.stderr


# ---- the command ----

def key_command(*args, env=None):
    return subprocess.run([str(BUILD / "docker-model"), "key", *args], capture_output=True,
                          text=True, timeout=60, env={**os.environ, **(env or {})})


def test_the_command_makes_a_key_that_works(start, models_store, tmp_path):
    path = tmp_path / "k.json"
    got = key_command("add", "ci", "--file", str(path), "--classes", "infer,inspect", "--models",
                      "ai/*", "--expires", "30d", "--requests-per-minute", "60",
                      "--tokens-per-minute", "1000", "--parallel", "4")
    assert got.returncode == 0, got.stderr
    key = got.stdout.strip()
    assert key.startswith("mdk_") and len(key) == 47 and key not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    made = json.loads(path.read_text())["keys"][0]
    expires = made.pop("expires")
    assert made == {"name": "ci", "hash": hash_of(key), "classes": ["infer", "inspect"],
                    "models": ["ai/*"], "requests_per_minute": 60, "tokens_per_minute": 1000,
                    "parallel": 4}
    assert abs(time.mktime(time.strptime(expires, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
               - time.time() - 30 * 86400) < 60
    m = start(models_store, "--keys", str(path))
    assert get(m, "/metrics", key).status_code == 200
    assert get(m, "/models/x", key, "DELETE").status_code == 403
    listed = key_command("list", "--file", str(path)).stdout.splitlines()
    assert listed[0].split()[:3] == ["NAME", "CLASSES", "MODELS"]
    assert listed[1].split() == ["ci", "infer,inspect", "ai/*", expires, "60", "1000", "4"]
    assert key_command("rm", "ci", "--file", str(path)).returncode == 0
    assert json.loads(path.read_text()) == {"keys": []}


@pytest.mark.parametrize("args,status,words", [
    (["add"], 2, "add NAME"), (["add", "a b"], 2, "not a name"), (["add", ""], 2, "not a name"),
    (["add", "there"], 2, "already"), (["rm", "nobody"], 1, "no key 'nobody'"),
    (["add", "x", "--classes", "infer,root"], 2, "'root'"),
    (["add", "x", "--models", "a b"], 2, "not a model"),
    (["add", "x", "--expires", "yesterday"], 2, "neither"),
    (["add", "x", "--parallel", "0"], 2, "--parallel"), (["make", "x"], 2, "takes"),
])
def test_the_command_says_what_is_wrong_and_changes_nothing(tmp_path, args, status, words):
    path = tmp_path / "k.json"
    assert key_command("add", "there", "--file", str(path)).returncode == 0
    before = path.read_bytes()
    got = key_command(*args, "--file", str(path))
    assert got.returncode == status and words in got.stderr
    assert len(got.stderr.strip().splitlines()) == 1 and not got.stdout
    assert path.read_bytes() == before


def test_the_commands_file_lies_beside_the_configuration(tmp_path):
    env = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path),
           "CONFIGURATION_DIRECTORY": str(tmp_path / "modeld")}
    assert key_command("add", "ci", env=env).returncode == 0
    assert (tmp_path / "modeld" / "keys.json").exists()


def test_many_at_once_lose_no_key(tmp_path):
    path = tmp_path / "k.json"
    running = [subprocess.Popen([str(BUILD / "docker-model"), "key", "add", f"k{i}", "--file",
                                 str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
               for i in range(20)]
    for p in running:
        assert p.wait(60) == 0, p.stderr.read()
        p.stderr.close()
    names = [k["name"] for k in json.loads(path.read_text())["keys"]]
    assert sorted(names) == sorted(f"k{i}" for i in range(20))
