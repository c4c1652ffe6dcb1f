"""The recorder: what GET /engines/requests and `docker model requests` show, and to whom."""

import http.server
import json
import os
import signal
import socket
import subprocess
import threading

import httpx
import pytest

from conftest import BUILD, EMBED, TEXT, eventually, is_sanitized
from helper_fixtures import helper, listener  # noqa: F401

CHAT = "/engines/v1/chat/completions"
PATH = "/engines/requests"


@pytest.fixture
def begin(start, models_store, fake_engine):
    def go(plan=None, args=(), **kw):
        return start(models_store, *args, llama=fake_engine,
                     env={"FAKE_ENGINE": json.dumps(plan or {})}, **kw)
    return go


def ask(m, text="hello", model=TEXT, **kw):
    return m.http.post(CHAT, json={"model": model, **kw,
                                   "messages": [{"role": "user", "content": text}]})


def groups(m, **params):
    r = m.http.get(PATH, params=params)
    assert r.status_code == 200 and r.headers["content-type"] == "application/json"
    return r.json()


def records(m, **params):
    return [r for g in groups(m, **params) for r in g["records"]]


def model_id(m, tag=TEXT):
    return next(x["id"] for x in m.http.get("/models").json() if f"docker.io/{tag}" in x["tags"])


def test_a_request_and_its_answer_are_kept(begin):
    m = begin()
    assert groups(m) == []
    m.http.headers["User-Agent"] = "tests/1"
    m.http.headers["Origin"] = "http://localhost:3000"
    ask(m)
    got = groups(m)
    assert [set(g) for g in got] == [{"count", "model", "config", "records"}]
    assert got[0]["count"] == 1 and got[0]["model"] == model_id(m)
    r = got[0]["records"][0]
    assert set(r) == {"id", "model", "method", "url", "request", "response", "timestamp",
                      "status_code", "user_agent", "origin", "caller"}
    assert r["id"].startswith(model_id(m) + "_") and r["model"] == TEXT
    assert (r["method"], r["url"], r["status_code"]) == ("POST", CHAT, 200)
    assert json.loads(r["request"])["messages"][0]["content"] == "hello"
    assert json.loads(r["response"])["choices"][0]["message"]["content"] == "xx"
    assert r["user_agent"] == "tests/1" and r["origin"] == "http://localhost:3000"
    assert r["caller"] == f"uid={os.getuid()}"


def test_the_url_is_that_of_the_alias(begin):
    m = begin()
    m.http.post("/v1/chat/completions", json={"model": TEXT})
    m.http.post("/engines/llama.cpp/v1/chat/completions", json={"model": TEXT})
    assert [r["url"] for r in records(m)] == [
        CHAT, "/engines/llama.cpp/v1/chat/completions"]


def test_a_stream_is_folded_into_one_answer(begin):
    m = begin({"chunks": 4})
    with m.http.stream("POST", CHAT, json={"model": TEXT, "stream": True, "messages": []}) as s:
        s.read()
    answer = json.loads(eventually(lambda: records(m))[0]["response"])
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"] == {
        "role": "assistant", "content": "".join(f"{i}xxxxxxxxxx" for i in range(4))}


def test_refusals_and_failures_are_kept_as_errors(begin):
    m = begin({"exit": 3, "say": "cursed"})
    assert ask(m).status_code >= 500
    r = records(m)[0]
    assert r["status_code"] >= 500 and "response" not in r
    assert "cursed" in json.loads(r["error"])["error"]["message"]


def test_who_left_is_told_by_408(begin):
    m = begin({"silent": True})
    with m.connect() as s:
        body = json.dumps({"model": TEXT, "messages": []})
        s.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
                  f"\r\n\r\n{body}".encode())
        eventually(lambda: m.ps() and m.ps()[0].get("in_use"))
    assert eventually(lambda: records(m))[0]["status_code"] == 408


def test_media_are_shown_by_their_beginning(begin):
    m = begin()
    url, data = "data:image/png;base64," + "A" * 5000, "B" * 300
    m.http.post(CHAT, json={"model": TEXT, "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {"type": "text", "text": "C" * 300}]}]})
    parts = json.loads(records(m)[0]["request"])["messages"][0]["content"]
    assert parts[0]["image_url"]["url"] == url[:100] + f"...[truncated {len(url) - 100} chars]"
    assert parts[1]["input_audio"]["data"] == "B" * 100 + "...[truncated 200 chars]"
    assert parts[2]["text"] == "C" * 300


def test_ten_of_a_model_are_kept_by_whatever_name(begin):
    m = begin()
    for i in range(13):
        ask(m, f"question {i}", model=(TEXT, model_id(m))[i % 2])
    got = groups(m)
    assert len(got) == 1 and got[0]["count"] == 10
    texts = [json.loads(r["request"])["messages"][0]["content"] for r in got[0]["records"]]
    assert texts == [f"question {i}" for i in range(3, 13)]


def test_one_model_can_be_asked_for(begin):
    m = begin()
    ask(m)
    m.http.post("/engines/v1/embeddings", json={"model": EMBED, "input": "x"})
    assert len(groups(m)) == 2
    for name in (TEXT, "smollm2:135M-Q4_1", model_id(m)):
        assert [g["model"] for g in groups(m, model=name)] == [model_id(m)], name
    assert groups(m, model="nobody/nothing") == []


def test_memory_is_bounded_by_bytes(begin):
    """Long questions and answers, to two models, many at once."""
    m = begin({"bytes": 3_000_000})
    before = m.rss_kib()
    threads = [threading.Thread(target=lambda: [
        httpx.post(m.url + CHAT, timeout=60, json={"model": TEXT, "messages": [
            {"role": "user", "content": "q" * 3_000_000}]}) for _ in range(6)]) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    got = records(m)
    assert got and all(len(r["request"]) < 1.1 * 2**20 for r in got)
    assert got[-1]["request"].endswith(" bytes]") and "...[truncated " in got[-1]["response"]
    assert sum(len(r["request"]) + len(r["response"]) for r in got) < 17 * 2**20
    if not is_sanitized():
        assert m.rss_kib() - before < 150 * 1024  # bodies under way, then printed once


# ---- as events ----

class Follower:
    """Reads events into a list, as (name, data)."""

    def __init__(self, m, **params):
        self.events = []
        self.client = httpx.Client(base_url=m.url, timeout=60)
        self.stream = self.client.stream("GET", PATH, params=params,
                                         headers={"Accept": "text/event-stream"})
        self.response = self.stream.__enter__()
        assert self.response.headers["content-type"] == "text/event-stream"
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        eventually(lambda: self.events)
        assert self.events[0] == ("connected", {"status": "connected"})

    def read(self):
        name = None
        try:
            for line in self.response.iter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    self.events.append((name, json.loads(line[6:])))
        except httpx.TransportError:
            pass

    def close(self):
        sock = self.response.extensions["network_stream"].get_extra_info("socket")
        sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(60)
        self.client.close()


def test_new_requests_are_told_as_they_end(begin):
    m = begin()
    ask(m, "before")
    f = Follower(m)
    ask(m, "after")
    eventually(lambda: len(f.events) == 2)
    name, data = f.events[1]
    assert name == "new_request"
    assert data[0]["count"] == 1 and data[0]["model"] == TEXT
    assert json.loads(data[0]["records"][0]["request"])["messages"][0]["content"] == "after"
    f.close()
    ask(m)  # nobody listens any more


def test_existing_ones_come_first_if_asked_for(begin):
    m = begin()
    ask(m, "one")
    ask(m, "two")
    f = Follower(m, include_existing="true")
    eventually(lambda: len(f.events) == 3)
    ask(m, "three")
    eventually(lambda: len(f.events) == 4)
    assert [n for n, _ in f.events[1:]] == ["existing_request"] * 2 + ["new_request"]
    f.close()


def test_a_follower_may_want_one_model(begin):
    m = begin()
    f = Follower(m, model=TEXT)
    m.http.post("/engines/v1/embeddings", json={"model": EMBED, "input": "x"})
    ask(m, "mine")
    eventually(lambda: len(f.events) == 2)
    assert f.events[1][1][0]["records"][0]["url"] == CHAT
    f.close()


def test_followers_are_counted_and_let_go_at_the_end(begin):
    m = begin()
    all_ = [Follower(m) for _ in range(16)]
    r = m.http.get(PATH, headers={"Accept": "text/event-stream"})
    assert r.status_code == 429
    all_.pop().close()

    def room():
        with httpx.stream("GET", m.url + PATH, headers={"Accept": "text/event-stream"}) as s:
            return s.status_code == 200
    eventually(room)
    assert m.http.head(PATH, headers={"Accept": "text/event-stream"}).status_code == 200
    m.process.send_signal(signal.SIGTERM)
    for f in all_:
        f.thread.join(60)
        assert not f.thread.is_alive()
        f.client.close()
    assert m.process.wait(60) == 0


# ---- who may see it ----

def test_recording_can_be_off(begin):
    m = begin(args=("--record", "off"))
    ask(m)
    assert groups(m) == []


def test_switching_it_off_forgets(start, models_store, fake_engine):
    m = start(models_store, llama=fake_engine, config={"record": True})
    ask(m, "secret")
    assert len(records(m)) == 1
    m.config.write_text(json.dumps({"record": False}))
    m.process.send_signal(signal.SIGHUP)
    eventually(lambda: "settings read again" in m.log())
    assert groups(m) == []
    ask(m, "secret")
    assert groups(m) == []


def test_a_container_cannot_see_them_and_stands_in_them(begin, helper):
    m = begin(args=("--helper", helper.path))
    at = helper.link().give()
    base, host = f"http://{at[0]}:{at[1]}", {"Host": "model-runner.docker.internal"}
    ask(m, "the host's secret")

    def answered():
        try:
            return httpx.post(base + CHAT, headers=host, json={"model": TEXT}).status_code == 200
        except httpx.TransportError:
            return False
    eventually(answered)
    r = httpx.get(base + PATH, headers=host)
    assert r.status_code == 403 and "secret" not in r.text
    assert records(m)[1]["caller"] == "container=web/5e5e5e5e5e5e"


# ---- the command ----

def command(m, *args, **kw):
    return subprocess.Popen([str(BUILD / "docker-model"), "requests", *args],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "MODEL_RUNNER_HOST": m.url}, **kw)


def test_the_command_shows_them(begin):
    m = begin()
    ask(m)
    out, err = command(m).communicate(timeout=60)
    assert json.loads(out) == groups(m) and not err
    out, _ = command(m, "--model", "nobody/x").communicate(timeout=60)
    assert json.loads(out) == []
    p = command(m, "--include-existing")
    out, err = p.communicate(timeout=60)
    assert p.returncode == 2 and "--follow" in err


def test_the_command_follows_until_ctrl_c(begin):
    m = begin()
    ask(m, "one")
    p = command(m, "-f", "--include-existing", "--model", TEXT)
    assert json.loads(p.stdout.readline())[0]["count"] == 1
    ask(m, "two")
    assert "two" in json.loads(p.stdout.readline())[0]["records"][0]["request"]
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 0 and "Connected to request stream" in err


# ---- ceilings ----

@pytest.fixture
def elsewhere():
    """A server with the OpenAI API that answers at once: its base URL."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_a_hundred_models_are_remembered_and_the_oldest_goes(start, models_store, elsewhere):
    names = [f"m{i}" for i in range(101)]
    m = start(models_store, config={"engines": {"far": {
        "kind": "openai", "url": elsewhere, "models": names}}})
    for name in names[:100]:
        assert ask(m, model=name).status_code == 200
    assert len(groups(m)) == 100
    ask(m, model=names[0])
    ask(m, model=names[100])
    left = {g["model"] for g in groups(m)}
    assert len(left) == 100 and left == set(names) - {names[1]}


def test_a_body_at_the_limit_is_kept_whole_and_one_above_is_cut(start, models_store, elsewhere):
    m = start(models_store, config={"engines": {"far": {
        "kind": "openai", "url": elsewhere, "models": ["m"]}}})
    for more in (0, 1):
        body = b'{"model":"m","prompt":"'
        body += b"p" * (2**20 - len(body) - 2 + more) + b'"}'
        assert m.http.post("/engines/v1/completions", content=body).status_code == 200
        kept = records(m)[-1]["request"]
        assert kept == (body[:2**20].decode() + "...[truncated 1 bytes]" if more else body.decode())
