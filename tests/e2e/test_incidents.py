"""Bugs that were, each named after what one saw of it; the line above says what went wrong."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from conftest import BUILD, EMBED_GGUF, TEXT, TEXT_GGUF, eventually, memory_kib, package, quick
from test_hostile import statuses, talk
from test_lifecycle import CHAT, fake  # noqa: F401 (a fixture)

HOST = b"Host: localhost\r\n"


def post(path, body, *fields, host=HOST):
    return (b"POST %s HTTP/1.1\r\n" % path + host + b"".join(f + b"\r\n" for f in fields) +
            b"Content-Length: %d\r\n\r\n" % len(body) + body)


class Upstream:
    """A server elsewhere that answers every request with these bytes, after `gate` opens."""

    def __init__(self, answer):
        self.answer = answer
        self.gate = threading.Event()
        self.asked = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        data = b""
        while b"}" not in data:
            piece = s.recv(65536)
            if not piece:
                return
            data += piece
        self.asked.set()
        self.gate.wait(60)
        s.sendall(self.answer)
        s.close()


def upstream_answer(body, status=b"200 OK", fields=b""):
    return (b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\n" + fields +
            b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)


def reload(m, config):
    m.config.write_text(json.dumps(config))
    count = m.log().count("read again")
    m.process.send_signal(signal.SIGHUP)
    eventually(lambda: m.log().count("read again") > count)


# The stream had begun while the model loaded, and was begun again for the empty answer.
def test_a_preload_with_stream_that_takes_seconds_does_not_end_the_server(fake):
    m = fake({"load_s": 2})
    r = m.http.post("/v1/chat/completions", json={**CHAT, "stream": True},
                    headers={"X-Preload-Only": "true"})
    assert r.status_code == 200 and r.content == b""
    assert m.http.get("/healthz").status_code == 200


# Only the field's presence was looked at.
def test_preload_only_false_is_answered(fake):
    m = fake({})
    r = m.http.post("/v1/chat/completions", json=CHAT, headers={"X-Preload-Only": "false"})
    assert r.json()["choices"]
    r = m.http.post("/v1/chat/completions", json=CHAT, headers={"X-Preload-Only": "True"})
    assert r.status_code == 200 and r.content == b""


# What was kept of a pipelining client was taken for no larger than one read.
def test_a_load_pipelined_behind_another_request_does_not_end_the_server(fake):
    m = fake({"answer_s": 1})
    body = b"x" * 300000
    load = b"POST /models/load HTTP/1.1\r\n" + HOST + b"Content-Length: 300000\r\n\r\n"
    s = m.connect()
    s.settimeout(60)
    s.sendall(post(b"/v1/chat/completions", json.dumps(CHAT).encode()) + load + body[:30000])
    eventually(lambda: m.metric("modeld_requests_running") == 1)
    s.sendall(body[30000:])
    out = b""
    while len(statuses(out)) < 2 and (piece := s.recv(65536)):
        out += piece
    s.close()
    assert statuses(out)[0] == 200 and statuses(out)[1] >= 400
    assert m.http.get("/healthz").status_code == 200


# The engine was kept from the head to the end of the body without a lease.
def test_an_engine_retired_while_a_body_comes_is_not_used(start, models_store):
    up = Upstream(upstream_answer(b'{"ok":1}'))
    up.gate.set()
    config = {"engines": {"far": {"kind": "openai", "url": up.url}}}
    m = start(models_store, config=config)
    body = b'{"model":"x"}'
    s = m.connect()
    request = post(b"/engines/far/v1/chat/completions", body)
    s.sendall(request[:-1])
    eventually(lambda: m.metric("modeld_http_exchanges_open") == 2)
    reload(m, {"engines": {}})
    s.sendall(request[-1:])
    s.settimeout(60)
    answer = s.recv(65536)
    assert statuses(answer) == [404] and b"far" in answer
    m.http.get("/healthz")


def test_an_engine_retired_in_the_middle_of_an_answer_ends_it(start, models_store):
    up = Upstream(upstream_answer(b'{"ok":1}'))
    m = start(models_store, config={"engines": {"far": {"kind": "openai", "url": up.url}}})
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        got = pool.submit(m.http.post, "/engines/far/v1/chat/completions", json={"model": "x"})
        up.asked.wait(60)
        reload(m, {"engines": {}})
        up.gate.set()
        assert got.result().json() == {"ok": 1}
    assert m.http.get("/engines/far/v1/models").status_code == 404


# The old engines were gone before the new ones were looked at.
def test_a_wrong_engine_at_a_reload_changes_nothing(start, models_store):
    good = {"engines": {"far": {"kind": "openai", "url": "http://127.0.0.1:1/v1",
                                "models": ["m"]}}}
    m = start(models_store, config=good)
    m.config.write_text(json.dumps({"engines": {
        "new": {"kind": "openai", "url": "http://127.0.0.1:2/v1"},
        "far": {"kind": "openai", "url": "ftp://x"}}}))
    m.process.send_signal(signal.SIGHUP)
    eventually(lambda: "not read again" in m.log())
    status = m.http.get("/engines/status").json()
    assert "far" in status and "new" not in status
    assert m.http.get("/v1/models/m").status_code == 200


def series(text):
    return [line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")]


# Rows of one path and several methods had the same labels: Prometheus refuses the page.
def test_no_series_stands_twice_in_the_metrics(start, own_store):
    m = start(own_store)
    m.http.get(f"/models/{TEXT}")
    m.http.delete("/models/nothing")
    m.http.post("/models/nothing/x")
    m.http.put("/models/nothing")
    all = series(m.http.get("/metrics").text)
    assert len(all) == len(set(all))


# The last place for statuses took the name of whatever came last.
def test_many_statuses_do_not_turn_one_counter_into_another(start, models_store):
    up = Upstream(b"")
    up.gate.set()
    m = start(models_store, config={"engines": {"far": {"kind": "openai", "url": up.url}}})
    for status in [*range(430, 450), 429]:
        up.answer = upstream_answer(b"{}", b"%d X" % status)
        m.http.post("/engines/far/v1/completions", json={"model": "x"})
    text = m.http.get("/metrics").text
    rows = re.findall(r'http_requests_total\{route="/engines/\{engine\}/v1/completions",'
                      r'method="POST",status="(\w+)"\} (\d+)', text)
    assert sum(int(n) for _, n in rows) == 21
    assert len(rows) <= 13
    assert all(n == "1" for status, n in rows if status != "other")


# An engine that takes any name made the metrics grow until they could not be shown.
def test_long_model_names_do_not_fill_the_metrics(start, models_store):
    usage = b'{"usage":{"prompt_tokens":1,"completion_tokens":1}}'
    up = Upstream(upstream_answer(usage))
    up.gate.set()
    m = start(models_store, config={"engines": {"far": {"kind": "openai", "url": up.url}}})
    for i in range(300):
        name = f"{i:04}" + "\x01\"\\\n" * 255
        r = m.http.post("/engines/far/v1/completions", json={"model": name})
        assert r.status_code == 200
    r = m.http.post("/engines/far/v1/completions", json={"model": "x" * 1025})
    assert r.status_code == 400 and r.json()["error"]["param"] == "model"
    r = m.http.get("/metrics")
    assert r.status_code == 200 and len(r.content) < 16 << 20
    assert 'completion_tokens_total{model="other"} 44' in r.text


def has_path(text, m, store):
    return [p for p in (str(store), str(m.folder), "/tmp/", "/blobs/") if p in text]


# llama.cpp and the system name the file that they could not read.
@pytest.mark.parametrize("plan", [
    {"fail": {"cause": "file", "message": "open /var/lib/x/blobs/sha256/abc: No such file"}},
    {"fail": {"cause": "unsupported", "message": "'/tmp/a b/blobs/q' has (/tmp/blobs/z)"}},
    {"exit": 3, "say": "main: cannot load model=/tmp/store/blobs/sha256/abc, sorry"},
])
def test_no_path_of_the_host_reaches_a_client(fake, models_store, plan):
    m = fake(plan)
    for stream in (False, True):
        r = m.http.post("/v1/chat/completions", json={**CHAT, "stream": stream})
        assert r.status_code >= 400
        assert not has_path(r.text, m, models_store), r.text
    assert "/blobs/" in m.log()


def test_a_broken_model_file_is_told_without_its_path(start, own_store):
    m = start(own_store)
    model = m.http.get(f"/models/{TEXT}").json()
    largest = max((own_store / "blobs" / "sha256").iterdir(), key=lambda p: p.stat().st_size)
    largest.unlink()
    r = m.http.post("/v1/chat/completions", json=CHAT)
    assert r.status_code >= 500 and not has_path(r.text, m, own_store), r.text
    manifest = own_store / "manifests" / "sha256" / model["id"].removeprefix("sha256:")
    text = manifest.read_bytes()
    manifest.unlink()
    manifest.write_bytes(text + b" ")
    m.stop()
    m = start(own_store)
    for path in (f"/models/{TEXT}", f"/v1/models/{TEXT}", f"/readyz?model={TEXT}"):
        r = m.http.get(path)
        assert r.status_code == 500 and "has changed" in r.text, path
        assert not has_path(r.text, m, own_store), r.text


def test_a_missing_engine_is_told_without_its_path(start, models_store, tmp_path):
    m = start(models_store, llama=tmp_path / "nothing")
    for r in (m.http.post("/v1/chat/completions", json=CHAT), m.http.get("/engines/status")):
        assert "nothing" in r.text and not has_path(r.text, m, tmp_path), r.text
    assert m.http.get("/engines/status").json()["llama.cpp"].startswith("Not Installed")


# A list of models was read on a thread of the pool, and its warning went out from there.
def test_warnings_from_jobs_reach_followers_on_the_loop(start, own_store):
    m = start(own_store)
    model = m.http.get(f"/models/{TEXT}").json()
    m.stop()
    (own_store / "manifests" / "sha256" / model["id"].removeprefix("sha256:")).unlink()
    m = start(own_store, "--log-level", "debug")
    with m.http.stream("GET", "/logs?follow=true") as r:
        lines = r.iter_lines()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: m.http.get("/models"), range(64)))
        assert any("left out of the list" in next(lines) for _ in range(1000))
    assert m.http.get("/logs").text.count("left out of the list") == 64


# The head of an answer that follows has no end, and none was given.
def test_head_of_logs_that_follow_ends(modeld):
    out = talk(modeld, b"HEAD /logs?follow=true HTTP/1.1\r\n" + HOST + b"\r\n" +
               b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", end=False)
    assert statuses(out) == [200, 200]


# A tree of 40 bytes a number was built to find one member, on the loop.
def test_a_large_request_that_waits_for_a_load_costs_little(fake):
    m = fake({"load_s": 3})
    before = m.rss_kib()
    body = (b'{"model":"%s","stream":true,"x":[' % TEXT.encode() + b"0," * (16 << 20) + b"0]}")
    s = m.connect()
    s.sendall(post(b"/v1/chat/completions", body))
    peak = eventually(lambda: m.metric("modeld_requests_queued") == 1 and m.rss_kib())
    peak = memory_kib(m.process.pid, "HWM")
    s.close()
    assert peak - before < 250 << 10


# 250,000 names were each looked up while everybody else waited.
def test_a_list_of_models_to_unload_has_a_ceiling(modeld):
    r = quick(2, lambda: modeld.http.post("/engines/unload", json={"models": ["a"] * 200000}))
    assert r.status_code == 400 and "1000" in r.text
    r = modeld.http.post("/engines/unload", json={"models": ["a"] * 1000})
    assert r.json() == {"unloaded_runners": 0}


def socket_folder(m):
    """Where its workers' sockets lie: it holds a lock on that."""
    found = []
    for fd in pathlib.Path(f"/proc/{m.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(fd))
    found = [p for p in found if "/workers-" in p]
    assert len(found) == 1
    return pathlib.Path(found[0])


# Folders of daemons that were killed stayed for ever.
def test_folders_of_killed_daemons_are_swept(start, models_store):
    alive = start(models_store)
    dead = start(models_store)
    left = socket_folder(dead)
    (left / "w0.sock").touch()
    dead.process.kill()
    dead.process.wait()
    assert left.exists()
    third = start(models_store)
    assert not left.exists()
    assert socket_folder(alive).exists()
    mine = socket_folder(third)
    third.stop()
    assert not mine.exists()


@pytest.mark.parametrize("args,text", [
    (["--socket", ""], "--socket"),
    (["--store", ""], "--store"),
    (["--keep-alive", ""], "--keep-alive"),
])
def test_an_empty_value_is_wrong_usage(args, text):
    out = subprocess.run([str(BUILD / "modeld"), "--port", "0", *args], capture_output=True,
                         text=True, timeout=60)
    assert out.returncode == 2 and text in out.stderr and out.stderr.count("\n") == 1


@pytest.mark.parametrize("config,text", [
    ({"engines": []}, "engines"),
    ({"store": True}, "store"),
    ({"engines": {"": {"kind": "openai", "url": "http://127.0.0.1:1"}}}, "engine"),
])
def test_settings_of_a_wrong_type_are_named(tmp_path, config, text):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(config))
    out = subprocess.run([str(BUILD / "modeld"), "--port", "0", "--socket", "off", "--config",
                          str(path)], capture_output=True, text=True, timeout=60,
                         env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)})
    assert out.returncode == 2 and text in out.stderr, out.stderr
    assert "there is no setting" not in out.stderr


# The removed folder was kept open, so nothing could be stored until a restart.
def test_a_store_that_was_removed_is_made_again(start, own_store):
    m = start(own_store)
    assert m.http.get("/models").json()
    shutil.rmtree(own_store)
    assert m.http.get("/models").json() == []
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 404
    package(m, EMBED_GGUF, "ai/again")
    assert m.http.get("/models").json()[0]["tags"] == ["docker.io/ai/again:latest"]
    assert (own_store / "layout.json").exists()


# The connection was reset while the client still sent, and took the answer with it.
def test_a_refusal_in_the_middle_of_an_upload_is_read(start, own_store):
    shutil.rmtree(own_store / "blobs")
    (own_store / "blobs").write_text("in the way")
    m = start(own_store)
    for _ in range(5):
        r = subprocess.run([str(BUILD / "docker-model"), "package", "--gguf", str(TEXT_GGUF),
                            "ai/x"], env={**os.environ, "MODEL_RUNNER_HOST": m.url},
                           capture_output=True, text=True, timeout=60)
        assert r.returncode == 1 and "Not a directory" in r.stderr, r.stderr
