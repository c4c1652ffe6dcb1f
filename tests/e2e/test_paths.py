"""Routes, methods, names, access: what each wrong request is told."""

import json

import httpx
import pytest

from conftest import EMBED, TEXT


def error_of(r):
    e = r.json()["error"]
    assert set(e) == {"message", "type", "param", "code"}
    return e


@pytest.mark.parametrize("method,path,status,text", [
    ("GET", "/nothing", 404, "nothing at '/nothing'"),
    ("POST", "/v1/responses", 404, "there are chat/completions, completions"),
    ("POST", "/v1/audio/speech", 404, "/v1/audio/speech"),
    ("GET", "/v1/chat/completions", 405, "POST"),
    ("PUT", "/models", 405, "GET"),
    ("POST", "/engines/nope/v1/chat/completions", 404, "no engine 'nope'"),
    ("GET", "/engines/nope/v1/models", 404, "no engine 'nope'"),
    ("GET", "/v1/models/ai/nothing", 404, "ai/nothing"),
])
def test_unknown_things_have_their_own_error_object(modeld, method, path, status, text):
    r = modeld.http.request(method, path)
    assert r.status_code == status
    assert text in error_of(r)["message"]
    if status == 405:
        assert text in r.headers["allow"]


@pytest.mark.parametrize("body,text", [
    (b"", "object was expected"), (b"{", "JSON"), (b"[]", "object"), (b"{}", "'model'"),
    (b'{"model":7}', "'model' must be a string"), (b'{"model":""}', "'model'"),
    (b'{"model":"a","model":"b"}', "twice"), (b'{"model":"\xff"}', "UTF-8"),
    (b'{"model":"a"} x', "more text"), (b'{"a":' + b"[" * 300, "deep"),
])
def test_bodies_that_are_no_request(modeld, body, text):
    r = modeld.http.post("/v1/chat/completions", content=body)
    assert r.status_code == 400
    assert text in error_of(r)["message"]


@pytest.mark.parametrize("name,strict", [
    (TEXT, True), ("docker.io/" + TEXT, True), ("index.docker.io/" + TEXT, True),
    ("smollm2:135M-Q4_1", True), ("SmolLM2:135M-Q4_1", True), ("ID", True), ("SHORT", True),
    ("sha256:ID", True), ("whatever@sha256:ID", True), ("minilm", True),
    ("smollm2:135m-q4_1", None), ("smollm2", False),
])
def test_names_are_found_by_the_rules(modeld, name, strict):
    """strict None: never found; False: only where the bare repository name counts."""
    ids = {t: m["id"] for m in modeld.http.get("/models").json() for t in m["tags"]}
    hexid = ids["docker.io/" + TEXT].removeprefix("sha256:")
    name = name.replace("SHORT", hexid[:12]).replace("ID", hexid)
    inspect = modeld.http.get(f"/models/{name}").status_code
    openai = modeld.http.get(f"/v1/models/{name}").status_code
    ask = modeld.http.post("/v1/completions", json={"model": name, "prompt": "x",
                                                    "max_tokens": 1})
    if strict is None:
        assert (inspect, openai, ask.status_code) == (404, 404, 404)
    elif strict:
        assert (inspect, openai) == (200, 200)
        if "minilm" not in name:
            assert ask.status_code == 200 and ask.json()["model"] == name
    else:
        assert (inspect, openai, ask.status_code) == (200, 404, 404)


def test_percent_escapes_in_names(modeld):
    name = TEXT.replace("/", "%2F").replace(":", "%3A")
    assert modeld.http.get(f"/models/{name}").status_code == 200
    assert modeld.http.get(f"/v1/models/{name}").status_code == 200
    assert modeld.http.get(f"{modeld.url}//models//{name}").status_code == 200


def test_head_is_get_without_a_body(modeld):
    got, head = modeld.http.get("/version"), modeld.http.head("/version")
    assert head.status_code == 200 and head.content == b""
    assert head.headers["content-length"] == str(len(got.content))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:12434", "169.254.169.254", ""])
def test_a_foreign_host_is_refused_before_the_body_is_read(modeld, host):
    s = modeld.connect()
    s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\n"
              "Content-Length: 1000000\r\n\r\n".encode())
    answer = s.recv(65536)
    assert answer.startswith(b"HTTP/1.1 403 ")
    s.close()


@pytest.mark.parametrize("origin,status", [
    ("http://localhost:3000", 200), ("http://127.0.0.1", 200), ("https://[::1]:8443", 200),
    ("http://evil.example", 403), ("null", 403), ("http://localhost.evil.example", 403)])
def test_pages(modeld, origin, status):
    r = modeld.http.get("/v1/models", headers={"Origin": origin})
    assert r.status_code == status
    if status == 200:
        assert r.headers["access-control-allow-origin"] == origin
        assert "origin" in r.headers["vary"].lower()
        assert "access-control-allow-credentials" not in r.headers


def test_preflight(modeld):
    ask = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST",
           "Access-Control-Request-Headers": "authorization,content-type"}
    r = modeld.http.options("/v1/chat/completions", headers=ask)
    assert r.status_code == 204
    assert "POST" in r.headers["access-control-allow-methods"]
    assert r.headers["access-control-allow-headers"] == "authorization,content-type"
    assert modeld.http.options("/v1/chat/completions", headers={
        **ask, "Origin": "http://evil.example"}).status_code == 403


def test_extra_origins(start, models_store):
    m = start(models_store, env={"DMR_ORIGINS": "https://my.app"})
    assert m.http.get("/models", headers={"Origin": "https://my.app"}).status_code == 200
    assert m.http.get("/models", headers={"Origin": "https://mine.app"}).status_code == 403
    m = start(models_store, env={"DMR_ORIGINS": "*"})
    assert m.http.get("/models", headers={"Origin": "https://any.app"}).status_code == 200


def test_every_route_answers_on_tcp_and_socket(modeld):
    """The table, method by method: nothing of it is a 404 of the router or a 5xx."""
    transport = httpx.HTTPTransport(uds=str(modeld.socket))
    socket = httpx.Client(transport=transport, base_url="http://localhost", timeout=60)
    rows = [("GET", p) for p in (
        "/", "/healthz", "/readyz", f"/readyz?model={TEXT}", "/version", "/metrics", "/logs",
        "/models", f"/models/{TEXT}", "/engines/v1/models", "/engines/llama.cpp/v1/models",
        "/v1/models", f"/v1/models/{TEXT}", f"/engines/v1/models/{TEXT}",
        f"/engines/llama.cpp/v1/models/{TEXT}", "/engines/status", "/engines/ps",
        "/engines/df", "/engines/_configure")]
    for form in ("", "/engines", "/engines/llama.cpp"):
        rows += [("POST", f"{form}/v1/{p}") for p in
                 ("chat/completions", "completions", "embeddings", "rerank", "score")]
        rows += [("POST", f"{form}/{p}") for p in
                 ("rerank", "score", "tokenize", "detokenize", "apply-template")]
    rows += [("POST", "/engines/unload"), ("POST", "/engines/_configure"),
             ("POST", "/engines/llama.cpp/_configure"), ("POST", f"/models/{TEXT}/tag")]
    for client in (modeld.http, socket):
        for method, path in rows:
            r = client.request(method, path)
            if method == "GET":
                assert r.status_code in (200, 503), (path, r.text)
            else:
                assert r.status_code == 400, (path, r.text)
    socket.close()


def test_preload_loads_and_says_nothing(modeld):
    r = modeld.http.post("/v1/chat/completions", headers={"X-Preload-Only": "true"},
                         json={"model": TEXT})
    assert r.status_code == 200 and r.content == b""
    assert modeld.http.get("/readyz", params={"model": TEXT}).status_code == 200
    rows = [r for r in modeld.ps() if r["model_name"] == TEXT]
    assert rows and rows[0]["mode"] == "completion" and rows[0]["backend_name"] == "llama.cpp"


def test_metrics_count_requests_and_tokens(modeld):
    ask = {"model": TEXT, "prompt": "a b c", "max_tokens": 4, "temperature": 0}
    label = '{model="%s"}' % TEXT
    before = modeld.metric("modeld_completion_tokens_total" + label)
    used = modeld.http.post("/v1/completions", json=ask).json()["usage"]
    after = modeld.metric("modeld_completion_tokens_total" + label)
    assert after - before == used["completion_tokens"]
    modeld.http.post("/v1/completions", json={**ask, "stream": True})
    assert modeld.metric("modeld_completion_tokens_total" + label) - after == \
        used["completion_tokens"]
    assert modeld.metric('modeld_http_requests_total{route="/v1/completions",method="POST",'
                         'status="200"}') >= 2
    text = modeld.http.get("/metrics").text
    assert 'modeld_http_first_byte_seconds_bucket{route="/v1/completions",method="POST",le="+Inf"}' in text
    assert modeld.metric("modeld_engine_memory_bytes{") > 50e6
    for line in text.splitlines():
        if not line.startswith("#"):
            float(line.rsplit(" ", 1)[1])


def test_metrics_can_be_switched_off(start, models_store):
    m = start(models_store, env={"DISABLE_METRICS": "1"})
    assert m.http.get("/metrics").status_code == 404


def test_no_prompt_is_logged_at_the_default_level(modeld):
    canary = "xylophone-canary-7719"
    modeld.http.post("/v1/completions", json={"model": TEXT, "prompt": canary, "max_tokens": 2})
    modeld.http.post("/v1/chat/completions", json={"model": canary})
    modeld.http.post("/v1/embeddings", json={"model": EMBED, "input": canary})
    assert f'"{canary}"' not in modeld.log()
    assert canary not in "\n".join(
        line for line in modeld.log().splitlines() if "model=" + canary not in line)
    assert canary not in modeld.http.get("/logs").text


def test_logs_follow(modeld):
    with modeld.http.stream("GET", "/logs", params={"follow": "1"}) as r:
        assert r.status_code == 200
        first = next(r.iter_lines())
        assert "modeld" in first
    assert modeld.http.get("/logs", params={"follow": "xyz"}).status_code == 400


def test_engine_status(modeld):
    status = modeld.http.get("/engines/status").json()
    assert status["llama.cpp"].startswith("Running")


def test_answers_are_json_with_a_type(modeld):
    r = modeld.http.get("/models")
    assert r.headers["content-type"] == "application/json"
    model = next(m for m in r.json() if "docker.io/" + TEXT in m["tags"])
    assert model["config"]["format"] == "gguf"
    assert model["config"]["gguf"]["llama.block_count"] == "30"
    one = modeld.http.get(f"/models/{TEXT}").json()
    assert json.dumps(one, sort_keys=True) == json.dumps(model, sort_keys=True)
