"""Engines elsewhere: a base URL as an engine, tested against a second modeld-llama."""

import json
import os
import socket
import subprocess
import threading

import openai
import pytest

from conftest import BUILD, TEXT, TEXT_GGUF, eventually

CHAT = {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 4}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A stand-alone modeld-llama on a Unix socket and on TCP."""
    folder = tmp_path_factory.mktemp("elsewhere")
    r, w = os.pipe()
    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    started = []
    for listen in (f"unix:{folder}/e.sock", f"127.0.0.1:{port}"):
        with open(folder / "log", "ab") as log:
            started.append(subprocess.Popen(
                [str(BUILD / "modeld-llama"), "--model", str(TEXT_GGUF), "--listen", listen,
                 "--alias", "far", "--ctx-size", "2048"], stdout=log, stderr=log))
    os.close(r)
    os.close(w)

    def is_up():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            s = socket.socket(socket.AF_UNIX)
            s.connect(f"{folder}/e.sock")
            s.close()
            return True
        except OSError:
            return False

    eventually(is_up)
    yield {"unix": f"unix:{folder}/e.sock", "tcp": f"http://127.0.0.1:{port}/v1"}
    for p in started:
        p.terminate()
        p.wait(60)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_configured_engine_answers_under_its_name_and_for_its_models(
        start, models_store, elsewhere, kind):
    m = start(models_store, config={"engines": {
        "other": {"kind": "openai", "url": elsewhere[kind], "models": ["far"]}}})
    for base in ("/engines/other/v1", "/engines/v1", "/v1"):
        client = openai.OpenAI(base_url=m.url + base, api_key="x", max_retries=0)
        r = client.chat.completions.create(model="far", **CHAT)
        assert r.model == "far" and r.choices[0].message.content
        text = "".join(c.choices[0].delta.content or "" for c in
                       client.chat.completions.create(model="far", stream=True, **CHAT)
                       if c.choices)
        assert text
        assert "far" in [x.id for x in client.models.list()]
        assert client.models.retrieve("far").owned_by == "other"
    with pytest.raises(openai.NotFoundError):
        openai.OpenAI(base_url=m.url + "/engines/other/v1", api_key="x",
                      max_retries=0).chat.completions.create(model=TEXT, **CHAT)
    assert m.workers() == []
    assert m.metric('modeld_completion_tokens_total{model="far"}') > 0


class Upstream(threading.Thread):
    """A server that answers each connection with what it is told to, for faults."""

    def __init__(self, handle):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        self.handle, self.heads, self.connections = handle, [], 0
        self.start()

    def run(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        with conn:
            while True:
                data = b""
                while b"\r\n\r\n" not in data:
                    piece = conn.recv(65536)
                    if not piece:
                        return
                    data += piece
                head, _, body = data.partition(b"\r\n\r\n")
                length = int([x for x in head.lower().split(b"\r\n")
                              if x.startswith(b"content-length")][0].split(b":")[1])
                while len(body) < length:
                    body += conn.recv(65536)
                self.heads.append(head.decode())
                if not self.handle(conn):
                    return


def answer(conn):
    body = b'{"model":"far","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}'
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                 b"Access-Control-Allow-Origin: *\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return True


def start_with(start, models_store, url, **more):
    return start(models_store, config={"engines": {"far": {
        "kind": "openai", "url": url, "models": ["far"], **more}}})


def test_connections_are_kept_and_the_key_is_ours_not_the_clients(start, models_store, tmp_path):
    up = Upstream(answer)
    key = tmp_path / "key"
    key.write_text("sk-secret\n")
    m = start_with(start, models_store, up.url, key_file=str(key))
    for _ in range(5):
        r = m.http.post("/v1/chat/completions", json={"model": "far", **CHAT},
                        headers={"Authorization": "Bearer client", "Cookie": "a=b",
                                 "Origin": "http://localhost:3000"})
        assert r.status_code == 200
        assert r.headers.get_list("access-control-allow-origin") == ["http://localhost:3000"]
    assert up.connections == 1
    for head in up.heads:
        assert "Bearer sk-secret" in head and "client" not in head and "a=b" not in head
        assert head.startswith("POST /v1/chat/completions HTTP/1.1\r\n")
    assert "sk-secret" not in m.log()


def test_nobody_there_is_a_502(start, models_store):
    s = socket.create_server(("127.0.0.1", 0))
    port = s.getsockname()[1]
    s.close()
    m = start_with(start, models_store, f"http://127.0.0.1:{port}/v1")
    r = m.http.post("/v1/chat/completions", json={"model": "far", **CHAT})
    assert r.status_code == 502
    assert r.json()["error"]["type"] == "engine_error"


def test_an_engine_that_hangs_is_a_504(start, models_store):
    def hang(conn):
        conn.recv(1)
        return False

    m = start_with(start, models_store, Upstream(hang).url, timeout_s=1)
    r = m.http.post("/v1/chat/completions", json={"model": "far", **CHAT})
    assert r.status_code == 504
    assert r.json()["error"]["type"] == "engine_timeout_error"


def test_an_error_of_the_engine_passes_as_it_is(start, models_store):
    body = b'{"error":{"message":"no","type":"x","param":null,"code":"y"}}'

    def refuse(conn):
        conn.sendall(b"HTTP/1.1 418 I'm a teapot\r\nContent-Type: application/json\r\n"
                     b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return True

    m = start_with(start, models_store, Upstream(refuse).url)
    r = m.http.post("/v1/chat/completions", json={"model": "far", **CHAT})
    assert r.status_code == 418 and r.content == body


def test_an_idle_connection_that_the_engine_closed_is_replaced_unseen(start, models_store):
    def once(conn):
        answer(conn)
        return False

    up = Upstream(once)
    m = start_with(start, models_store, up.url)
    for _ in range(10):
        assert m.http.post("/v1/chat/completions",
                           json={"model": "far", **CHAT}).status_code == 200


def test_models_of_the_engine_are_listed_with_ours(start, models_store):
    m = start_with(start, models_store, "http://127.0.0.1:1/v1")
    ids = [x["id"] for x in m.http.get("/v1/models").json()["data"]]
    assert "far" in ids and f"docker.io/{TEXT}" in ids
    only = [x["id"] for x in m.http.get("/engines/far/v1/models").json()["data"]]
    assert only == ["far"]
    assert json.loads(m.http.get("/engines/status").text)["far"].startswith("Running")
