"""Engines as processes: one load, survival, death, idling, draining."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import subprocess
import time

import httpx
import pytest

from conftest import BUILD, TEXT, eventually, is_sanitized

CHAT = {"model": TEXT, "messages": [{"role": "user", "content": "Say hi."}],
        "max_tokens": 8, "temperature": 0}


def starts(path):
    return [line for line in path.read_text().splitlines() if line.startswith("start")]


@pytest.fixture
def fake(start, models_store, fake_engine, tmp_path):
    """fake({...plan}, *args) starts a modeld whose engine behaves by the plan."""
    log = tmp_path / "engine.log"
    log.touch()

    def begin(plan, *args, **kw):
        m = start(models_store, *args, llama=fake_engine,
                  env={"FAKE_ENGINE": json.dumps(plan), "FAKE_ENGINE_LOG": str(log)}, **kw)
        m.engine_log = log
        return m

    return begin


def test_fifty_first_requests_make_one_load(fake):
    m = fake({"load_s": 0.5})
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: m.http.post("/v1/chat/completions", json=CHAT),
                                range(50)))
    assert [a.status_code for a in answers] == [200] * 50
    assert len(starts(m.engine_log)) == 1
    assert m.metric("modeld_model_loads_total") == 1


def test_a_load_survives_the_client_that_asked_for_it(fake):
    m = fake({"load_s": 1})
    with pytest.raises(httpx.ReadTimeout):
        m.http.post("/v1/chat/completions", json=CHAT, timeout=0.2)
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    assert len(starts(m.engine_log)) == 1


def test_a_streaming_client_hears_within_a_second_or_so_while_the_model_loads(fake):
    m = fake({"load_s": 6})
    began = time.monotonic()
    with m.http.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as r:
        assert r.status_code == 200
        assert r.headers["content-type"] == "text/event-stream"
        assert time.monotonic() - began < 6
        text = r.read().decode()
    assert text.startswith(": the model loads")
    assert text.endswith("data: [DONE]\n\n")
    assert '"content": "0' in text


@pytest.mark.parametrize("cause,status", [("memory", 507), ("unsupported", 422), ("file", 500),
                                          ("bug", 502)])
def test_the_cause_of_a_failed_load_is_told(fake, cause, status):
    m = fake({"fail": {"cause": cause, "message": f"because of {cause}"}})
    r = m.http.post("/v1/chat/completions", json=CHAT)
    assert r.status_code == status
    assert f"because of {cause}" in r.json()["error"]["message"]
    assert m.metric("modeld_model_load_failures_total") == 1


def test_a_failed_load_in_a_begun_stream_is_an_error_event(fake):
    m = fake({"load_s": 1.5, "fail": {"cause": "memory", "message": "too big"}})
    r = m.http.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert r.status_code == 200
    events = [json.loads(line[6:]) for line in r.text.splitlines()
              if line.startswith("data: {")]
    assert "too big" in events[-1]["error"]["message"]
    assert r.text.endswith("data: [DONE]\n\n")


def test_an_exit_while_loading_quotes_the_last_line_of_its_log(fake):
    m = fake({"exit": 7})
    r = m.http.post("/v1/chat/completions", json=CHAT)
    assert r.status_code == 502
    message = r.json()["error"]["message"]
    assert "exit status 7" in message and "the model is cursed" in message


def test_a_missing_engine_program_is_told(start, models_store, tmp_path):
    m = start(models_store, llama=tmp_path / "nothing")
    r = m.http.post("/v1/chat/completions", json=CHAT)
    assert r.status_code in (500, 502)
    assert "nothing" in r.json()["error"]["message"]


def test_kill_9_in_a_stream_is_an_error_event_and_the_next_request_works(fake):
    m = fake({"chunks": 5, "die_after": 2})
    r = m.http.post("/v1/chat/completions", json={**CHAT, "stream": True})
    events = [json.loads(line[6:]) for line in r.text.splitlines()
              if line.startswith("data: {")]
    assert len(events) == 3 and "choices" in events[1]
    assert events[2]["error"]["type"] == "engine_error"
    assert r.text.endswith("data: [DONE]\n\n")
    again = m.http.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert again.status_code == 200 and "0x" in again.text


def test_a_request_right_after_kill_9_is_answered_by_a_new_process(fake):
    """It was a 502 as long as the death of the old process had not been noticed."""
    m = fake({})
    for _ in range(20):
        assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
        os.kill(m.workers()[0], signal.SIGKILL)
        r = m.http.post("/v1/chat/completions", json=CHAT)
        assert r.status_code == 200, r.text


def test_kill_9_before_the_answer_is_a_502(fake):
    m = fake({"die_after": 0})
    r = m.http.post("/v1/chat/completions", json=CHAT)
    assert r.status_code == 502
    # The last: it was asked once more while its end was not yet known.
    assert re.search("killed|closed|broke off|takes no connections",
                     r.json()["error"]["message"])


@pytest.mark.parametrize("garbage", ["", "hello\r\n\r\n", "HTTP/1.1 200 OK\r\n",
                                     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
                                     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
                                     "Content-Length: 2\r\n\r\nab"])
def test_an_engine_that_talks_nonsense_never_looks_like_success(fake, garbage):
    m = fake({"garbage": garbage})
    try:
        r = m.http.post("/v1/chat/completions", json=CHAT)
    except httpx.RemoteProtocolError:
        return  # cut in the middle: the client can tell
    assert r.status_code == 502
    assert r.json()["error"]["type"] == "engine_error"


def test_an_idle_model_leaves_and_comes_back(fake):
    m = fake({}, "--keep-alive", "300ms")
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    assert len(m.workers()) == 1
    eventually(lambda: not m.workers())
    assert m.ps() == []
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    assert len(starts(m.engine_log)) == 2


def test_unload_lets_a_running_answer_finish(fake, tmp_path):
    m = fake({"hold": str(tmp_path / "go")})
    with m.http.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as r:
        lines = r.iter_lines()
        next(lines)
        n = httpx.post(m.url + "/engines/unload", json={"all": True}).json()
        assert n == {"unloaded_runners": 0}
        (tmp_path / "go").touch()
        assert list(lines)[-2] == "data: [DONE]"
    eventually(lambda: not m.workers())


def test_a_client_that_leaves_is_seen_by_the_engine_at_once(fake):
    m = fake({"silent": True})
    s = m.connect()
    body = json.dumps(CHAT).encode()
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
              b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    eventually(lambda: "request" in m.engine_log.read_text())
    s.close()
    eventually(lambda: "client closed" in m.engine_log.read_text())


def test_a_stalled_reader_stops_the_engine_and_costs_bounded_memory(fake):
    m = fake({"chunks": 4000, "pad": 50000})
    m.http.get("/models")
    before = m.rss_kib()
    s = socket.create_connection(("127.0.0.1", m.port))
    body = json.dumps({**CHAT, "stream": True}).encode()
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
              b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def sent():
        return m.engine_log.read_text().count("sent")

    eventually(sent)
    last = [-1, 0.0]

    def has_stopped():
        now = sent()
        if now != last[0]:
            last[:] = [now, time.monotonic()]
        return time.monotonic() - last[1] > 0.7

    eventually(has_stopped)
    assert sent() < 1000, "200 MB were promised; the engine must be held back"
    # A sanitizer keeps what was freed for a while.
    assert m.rss_kib() - before < (16384 if is_sanitized() else 4096)
    s.close()
    eventually(lambda: "client gone" in m.engine_log.read_text())


def test_sigterm_lets_running_answers_finish(fake, tmp_path):
    m = fake({"hold": str(tmp_path / "go")})
    with m.http.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as r:
        lines = r.iter_lines()
        next(lines)
        m.process.send_signal(signal.SIGTERM)
        eventually(lambda: "stops open=1" in m.log())
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", m.port), timeout=1)
        (tmp_path / "go").touch()
        assert list(lines)[-2] == "data: [DONE]"
    assert m.process.wait(60) == 0
    assert not m.socket.exists()


def test_a_second_sigterm_ends_at_once(fake):
    m = fake({"silent": True})
    s = m.connect()
    body = json.dumps(CHAT).encode()
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
              b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    eventually(lambda: "request" in m.engine_log.read_text())
    m.process.send_signal(signal.SIGTERM)
    eventually(lambda: "stops open=1" in m.log())
    m.process.send_signal(signal.SIGTERM)
    assert m.process.wait(60) == 0


def test_workers_end_when_modeld_is_killed(fake):
    m = fake({})
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    (worker,) = m.workers()
    m.process.kill()
    m.process.wait()

    def is_gone():
        try:
            with open(f"/proc/{worker}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    eventually(is_gone)


def test_only_as_many_models_leave_as_must(start, own_store, fake_engine, tmp_path):
    """Room for one model: asking for the other makes the idle one leave, ever again."""
    log = tmp_path / "engine.log"
    log.touch()
    m = start(own_store, "--memory", "700MiB", llama=fake_engine,
              env={"FAKE_ENGINE": "{}", "FAKE_ENGINE_LOG": str(log)})
    for name in (TEXT, "ai/minilm", TEXT, "ai/minilm"):
        r = m.http.post("/v1/chat/completions", json={**CHAT, "model": name})
        assert r.status_code == 200, r.text
    assert len(starts(log)) in (2, 4)
    assert len(m.ps()) in (1, 2)


def test_what_can_never_fit_is_refused_with_both_numbers(fake):
    m = fake({}, "--memory", "100MiB")
    r = m.http.post("/v1/chat/completions", json=CHAT)
    assert r.status_code == 507
    assert "100 MiB" in r.json()["error"]["message"]
    assert m.engine_log.read_text() == ""


def test_a_busy_port_names_its_holder_and_the_socket_still_works(start, models_store):
    first = start(models_store)
    second = start(models_store, "--port", str(first.port))
    assert f"{first.process.pid}" in second.log()
    transport = httpx.HTTPTransport(uds=str(second.socket))
    with httpx.Client(transport=transport, base_url="http://localhost") as c:
        assert c.get("/healthz").status_code == 200


def test_sighup_reads_the_settings_again(start, models_store):
    m = start(models_store, config={"log_level": "info"})
    page = {"Origin": "https://my.app"}
    assert m.http.get("/models", headers=page).status_code == 403
    m.config.write_text(json.dumps({"origins": "https://my.app"}))
    m.process.send_signal(signal.SIGHUP)
    eventually(lambda: "settings read again" in m.log())
    assert m.http.get("/models", headers=page).status_code == 200
    m.config.write_text("{")
    m.process.send_signal(signal.SIGHUP)
    eventually(lambda: "settings not read again" in m.log())
    assert m.http.get("/models", headers=page).status_code == 200


@pytest.mark.parametrize("args,text", [
    (["--prot", "1"], "there is no option '--prot'"),
    (["--port", "70000"], "'70000' is not a port"),
    (["--port"], "needs a value"),
    (["--bind", "0.0.0.0"], "docker model key add"),
    (["--bind", "everywhere"], "not an address"),
    (["--keep-alive", "5 parsecs"], "not a duration"),
    (["--memory", "lots"], "not a size"),
    (["--log-level", "loud"], "not a log level"),
    (["--config", "/nonexistent/x.json"], "No such file"),
    (["--containers", "some"], "not off, inference or full"),
    (["serve"], "not an option"),
])
def test_wrong_usage_is_one_line_and_exit_2(args, text):
    r = subprocess.run([str(BUILD / "modeld"), *args], capture_output=True, text=True, timeout=60)
    assert r.returncode == (1 if "nonexistent" in str(args) else 2), r.stderr
    assert text in r.stderr
    assert r.stderr.count("\n") == 1


def test_a_wrong_configuration_names_the_setting(tmp_path):
    for bad, text in [({"prot": 1}, "there is no setting 'prot'"),
                      ({"port": "x"}, "'x' is not a port"),
                      ({"engines": {"e": {"kind": "openai"}}}, "'url' is missing"),
                      ({"engines": {"e": {"kind": "openai", "url": "http://a", "urls": 1}}},
                       "there is no setting 'urls'"),
                      ({"engines": {"e": {"kind": "openai", "url": "http://a", "timeout_s": 0}}},
                       "'timeout_s' must be from 1"),
                      ({"engines": {"e": {"kind": "magic"}}}, "'kind' must be"),
                      ({"engines": {"v1": {"kind": "openai", "url": "http://a"}}}, "called 'v1'")]:
        config = tmp_path / "c.json"
        config.write_text(json.dumps(bad))
        r = subprocess.run([str(BUILD / "modeld"), "--config", str(config), "--port", "0",
                            "--socket", str(tmp_path / "s"), "--store", str(tmp_path / "st")],
                           capture_output=True, text=True, timeout=60,
                           env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)})
        assert r.returncode != 0 and text in r.stderr, r.stderr


def test_help_and_version():
    out = subprocess.run([str(BUILD / "modeld"), "--help"], capture_output=True, text=True)
    assert out.returncode == 0 and "--ready-fd" in out.stdout
    out = subprocess.run([str(BUILD / "modeld"), "--version"], capture_output=True, text=True)
    assert out.returncode == 0 and out.stdout.startswith("modeld ")
