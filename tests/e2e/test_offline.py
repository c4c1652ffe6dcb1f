"""Without a network, and with one whose resolver never answers: what is here works, what is
not is told in words, and nothing waits for names."""

import concurrent.futures
import contextlib
import ctypes
import json
import pathlib
import socket
import subprocess
import threading
import time

import httpx
import pytest

from conftest import Modeld, eventually
from registry_fixtures import Registry, memory, model, push, store

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
NOWHERE = "registry.example.com"


class Host:
    """A thread with a network and mounts of its own: `run` runs there. Its resolver is a
    socket that reads questions; `asked` are their bytes."""

    def __init__(self, folder, has_resolver):
        self.folder = folder
        self.asked = []
        self.resolver = None
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.run(self.begin, has_resolver)

    def run(self, fn, *args):
        return self.pool.submit(fn, *args).result(120)

    def begin(self, has_resolver):
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS | CLONE_NEWNET):
            raise OSError("unshare")
        conf = self.folder / "resolv.conf"
        conf.write_text("nameserver 127.0.0.1\n")
        nss = self.folder / "nsswitch.conf"
        nss.write_text("hosts: files dns\n")
        for command in (["mount", "--make-rprivate", "/"], ["ip", "link", "set", "lo", "up"],
                        ["mount", "--bind", conf, "/etc/resolv.conf"],
                        ["mount", "--bind", nss, "/etc/nsswitch.conf"]):
            subprocess.run(command, check=True)
        if has_resolver:
            self.resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.resolver.bind(("127.0.0.1", 53))
            threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        with contextlib.suppress(OSError):
            while question := self.resolver.recv(512):
                self.asked.append(question)

    def names(self):
        """First letters of what was asked for; each name is asked for twice, A and AAAA."""
        return {question[13:14] for question in self.asked}

    def close(self):
        if self.resolver:
            with contextlib.suppress(OSError):
                self.resolver.shutdown(socket.SHUT_RDWR)
            self.resolver.close()
        self.pool.shutdown()


@pytest.fixture
def host(tmp_path):
    made = []

    def make(has_resolver):
        folder = tmp_path / f"host{len(made)}"
        folder.mkdir()
        made.append(Host(folder, has_resolver))
        return made[-1]
    yield make
    for h in made:
        h.close()


@pytest.fixture
def start_in(tmp_path):
    """A daemon inside a Host; asked through its socket, which is a file to all."""
    started = []

    def begin(host, store, *args, **kw):
        folder = tmp_path / f"m{len(started)}"
        folder.mkdir()
        m = host.run(lambda: Modeld(folder, store, *args, **kw))
        m.http = client(m)
        started.append(m)
        return m
    yield begin
    for m in started:
        if m.process.returncode is None:
            m.stop()


def client(m):
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(m.socket)),
                        base_url="http://localhost", timeout=120)


def pull(m, ref):
    with client(m) as c, c.stream("POST", "/models/create", json={"from": ref},
                                  headers={"Accept": "application/json"}) as r:
        text = r.read().decode()
        return r.status_code, [json.loads(x) for x in text.splitlines()] \
            if r.status_code == 200 else text


@pytest.fixture
def filled(start, store):
    """A store with a model of a registry whose name nobody knows any more."""
    r = Registry(store.parent / "registry")
    m = model(1 << 20, seed="offline")
    push(r.url, "ai/here", "v1", m)
    modeld = start(store)
    assert modeld.http.post("/models/create", json={"from": f"{r.host}/ai/here:v1"}).is_success
    repo = f"{NOWHERE}/ai/here"
    assert modeld.http.post(f"/models/{r.host}/ai/here:v1/tag?repo={repo}&tag=v1").is_success
    modeld.stop()
    r.stop()
    return store


@pytest.mark.parametrize("has_resolver", [False, True])
def test_without_names_what_is_here_is_used_and_the_rest_is_told(host, start_in, filled,
                                                                 has_resolver):
    h = host(has_resolver)
    m = start_in(h, filled)
    began = time.monotonic()
    status, events = pull(m, f"{NOWHERE}/ai/here:v1")
    assert status == 200 and [e["type"] for e in events] == ["warning", "success"], events
    assert f"{NOWHERE} cannot be reached" in events[0]["message"]
    assert "the model that is here is used" in events[0]["message"]
    status, text = pull(m, f"{NOWHERE}/ai/there:v1")
    assert status == 500 and f"{NOWHERE} cannot be reached" in text
    # The bound on a connection is 10 s, and there is one try: twice, with room for the machine.
    assert time.monotonic() - began < 60
    assert bool(h.asked) == has_resolver


def test_a_resolver_that_never_answers_delays_nobody_else(host, start_in, filled):
    h = host(True)
    m = start_in(h, filled)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pulls = [pool.submit(pull, m, f"{name}.example.com/ai/x:v1") for name in ("a", "b")]
        eventually(lambda: len(h.names()) >= 2)
        asked, worst = 0, 0.0
        while not any(p.done() for p in pulls):
            for path in ("/models", "/healthz", f"/models/{NOWHERE}/ai/here:v1"):
                began = time.monotonic()
                assert m.http.get(path).status_code == 200
                worst = max(worst, time.monotonic() - began)
                asked += 1
        # While a look-up of 10 s hangs, a daemon that waited for it would have answered little.
        print(f"{asked} answers meanwhile, the slowest in {worst:.3f} s")
        assert worst < 8 and asked > 30
        assert all("cannot be reached" in p.result()[1] for p in pulls)


def test_a_client_that_leaves_does_not_wait_for_a_name(host, start_in, filled):
    h = host(True)
    m = start_in(h, filled)
    for i in range(5):
        with pytest.raises(httpx.ReadTimeout), client(m) as c:
            c.post("/models/create", json={"from": f"gone{i}.example.com/ai/x:v1"}, timeout=0.5)
        began = time.monotonic()
        assert m.http.get("/models").status_code == 200
        assert time.monotonic() - began < 8


@pytest.mark.parametrize("n", [1, 2])
def test_sigterm_does_not_wait_for_a_name(host, start_in, filled, n):
    h = host(True)
    m = start_in(h, filled)
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        pulls = [pool.submit(pull, m, f"{name}.example.com/ai/x:v1") for name in "ab"[:n]]
        eventually(lambda: len(h.names()) >= n)
        began = time.monotonic()
        m.process.terminate()
        assert m.process.wait(60) == 0
        # A look-up is given up by the C library after 10 s at the earliest.
        assert time.monotonic() - began < 8
        for p in pulls:
            assert p.result()[0] == 503 and "modeld stops" in p.result()[1]


def test_an_engine_elsewhere_whose_name_hangs_delays_nobody_else(host, start_in, filled):
    h = host(True)
    m = start_in(h, filled, config={"engines": {"far": {
        "kind": "openai", "url": "http://far.example.com/v1", "models": ["far"]}}})

    def ask():
        with client(m) as c:
            return c.post("/v1/chat/completions", json={
                "model": "far", "messages": [{"role": "user", "content": "Hi."}]})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        eventually(lambda: h.asked)
        began = time.monotonic()
        assert m.http.get("/models").status_code == 200
        assert m.http.post("/models/prune").status_code == 200  # a job on the disk
        assert time.monotonic() - began < 8
        assert asked.result().status_code in (502, 504)
