"""Pulls, pushes and other bulk work stand still while a request is with an engine, and have
their share all the same."""

import concurrent.futures
import contextlib
import http.server
import json
import threading

import pytest

from conftest import TEXT, eventually
from push_fixtures import other, send, tag
from registry_fixtures import check_stored, memory, model, pull, push, registry, store

MB = 1 << 20
# Two lanes of a pull, each with what it had begun to write: LIMIT_PULL_WRITE_BYTES, and what came
# before the pause took hold.
BEGUN = 2 * (512 + 2 * 128) * 1024
LARGE = 192 * MB


@pytest.fixture(scope="module")
def large(registry):
    m = model(LARGE, seed="gives way")
    push(registry.url, "ai/large", "v1", m)
    push(registry.url, "ai/asked", "v1", model(MB, seed="asked"))
    return m


@pytest.fixture
def quiet(registry, large, start, fake_engine, store):
    """A modeld with a model whose engine never answers."""
    m = start(store, llama=fake_engine, env={"FAKE_ENGINE": json.dumps({"silent": True})})
    m.asked, m.large = f"{registry.host}/ai/asked:v1", f"{registry.host}/ai/large:v1"
    assert pull(m, m.asked)[0] == 200
    return m


@contextlib.contextmanager
def held(m):
    """A request is with the engine as long as the block lasts."""
    body = json.dumps({"model": m.asked, "messages": []}).encode()
    with m.connect() as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                  b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        eventually(lambda: m.metric("modeld_requests_running") == 1)
        yield


def brake(m):
    """(held now, windows so far)"""
    seen = dict(line.rsplit(" ", 1) for line in m.http.get("/metrics").text.splitlines()
                if line.startswith("modeld_bulk_"))
    return seen["modeld_bulk_held"] == "1", int(seen["modeld_bulk_windows_total"])


def written(store):
    """Bytes of the blob that is being fetched; None between one and the next."""
    with contextlib.suppress(FileNotFoundError):
        for path in (store / "blobs/sha256").glob("*.incomplete"):
            if ".map" not in path.name:
                return path.stat().st_blocks * 512
    return None


def test_no_bytes_flow_between_two_windows(quiet, store):
    ended = []

    def pull_on_and_on():
        while not ended:
            assert pull(quiet, quiet.large)[1][-1]["type"] == "success"
            quiet.http.delete(f"/models/{quiet.large}").raise_for_status()

    seen = {}  # window: what was written at each look until the next one

    def looked_enough():
        before, n, after = brake(quiet), written(store), brake(quiet)
        if n is not None and before == after and before[0]:
            seen.setdefault(before[1], []).append(n)
        return sum(len(looks) > 1 for looks in seen.values()) >= 10

    with held(quiet), concurrent.futures.ThreadPoolExecutor(1) as pool:
        pulling = pool.submit(pull_on_and_on)
        try:
            eventually(lambda: pulling.done() or looked_enough(), 60)
        finally:
            ended.append(True)
        pulling.result()
    for looks in seen.values():
        assert max(looks) - min(looks) <= BEGUN


def test_a_pull_ends_under_a_request_that_does_not(quiet, large, store):
    with held(quiet):
        status, events = pull(quiet, quiet.large)
        assert status == 200 and events[-1]["type"] == "success"
        _, windows = brake(quiet)
    assert windows > 0
    assert quiet.metric("modeld_bulk_waits_total") > 0
    assert written(store) is None


def test_a_pull_ends_while_answers_are_made_without_end(registry, large, start, own_store):
    m = start(own_store)
    over = threading.Event()

    def ask():
        n = 0
        while not over.is_set():
            r = m.http.post("/v1/chat/completions", json={
                "model": TEXT, "max_tokens": 8, "temperature": 0,
                "messages": [{"role": "user", "content": "Say hi."}]})
            assert r.status_code == 200 and r.json()["usage"]["completion_tokens"] > 0
            n += 1
        return n

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            eventually(lambda: m.metric("modeld_model_loaded") == 1, 60)
            status, events = pull(m, f"{registry.host}/ai/large:v1")
        finally:
            over.set()
        assert all(a.result() for a in asking)
    assert status == 200 and events[-1]["type"] == "success"
    assert m.metric("modeld_bulk_waits_total") > 0
    check_stored(own_store, large)


def test_where_nobody_asks_nothing_waits(quiet, large, store):
    assert pull(quiet, quiet.large)[0] == 200
    check_stored(store, large)
    assert quiet.metric("modeld_bulk_waits_total") == 0


def verify(m):
    last = m.http.post("/models/verify").text.splitlines()[-1]
    assert json.loads(last)["bad"] == 0


def export(m):
    with m.http.stream("GET", f"/models/{m.large}/export") as r:
        assert sum(len(piece) for piece in r.iter_raw()) > LARGE


def load(m):
    tar = m.http.get(f"/models/{m.large}/export").content
    m.http.delete(f"/models/{m.large}").raise_for_status()
    before = m.metric("modeld_bulk_waits_total")
    m.http.post("/models/load", content=tar).raise_for_status()
    assert m.metric("modeld_bulk_waits_total") > before


def push_it(m):
    tag(m, m.large, m.there)
    status, events = send(m, m.there)
    assert status == 200 and events[-1]["type"] == "success"


@pytest.mark.parametrize("work", [verify, export, load, push_it])
def test_all_other_bulk_work_gives_way_and_ends(work, quiet, other):
    quiet.there = f"{other.host}/me/large:v1"
    assert pull(quiet, quiet.large)[0] == 200
    with held(quiet):
        before = quiet.metric("modeld_bulk_waits_total")
        work(quiet)
        assert quiet.metric("modeld_bulk_waits_total") > before


def test_an_engine_elsewhere_stops_no_pull(registry, large, start, store):
    asked = threading.Event()
    over = threading.Event()

    class Engine(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.set()
            over.wait(60)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *a):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    m = start(store, config={"engines": {"far": {
        "kind": "openai", "url": f"http://127.0.0.1:{server.server_port}/v1", "models": ["x"]}}})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(m.http.post, "/v1/chat/completions",
                             json={"model": "x", "messages": []})
        try:
            assert asked.wait(60)
            assert pull(m, f"{registry.host}/ai/large:v1")[0] == 200
            assert m.metric("modeld_bulk_waits_total") == 0
        finally:
            over.set()
        assert answer.result().status_code == 200
    server.shutdown()
