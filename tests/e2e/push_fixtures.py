"""What stands between modeld and a registry that it pushes to, and what every test of pushes
does."""

import json
import socket
import threading

import pytest

from registry_fixtures import Registry, check_stored, model, pull, push


class Relay:
    """Passes bytes on to a registry, counts those that go there, and can cut connections after
    so many of them."""

    def __init__(self, port):
        self.to = port
        self.sent = 0
        self.cut_every = None  # bytes to the registry, of one connection
        self.cut_before = None  # what a request begins with, in a connection that was used
        self.cuts = 0
        self.max_cuts = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        self.closed = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.to))
        except OSError:
            client.close()
            return
        threading.Thread(target=self.pump, args=(server, client), daemon=True).start()
        n = 0
        try:
            while data := client.recv(1 << 16):
                with self.lock:
                    if self.cuts < self.max_cuts and (
                            (self.cut_every and n + len(data) > self.cut_every) or
                            (self.cut_before and n and data.startswith(self.cut_before))):
                        self.cuts += 1
                        break
                    self.sent += len(data)
                n += len(data)
                server.sendall(data)
        except OSError:
            pass
        for s in (client, server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    @staticmethod
    def pump(source, to):
        try:
            while data := source.recv(1 << 16):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def stop(self):
        self.listener.close()


@pytest.fixture
def other(store):
    """A second registry, empty."""
    r = Registry(store.parent / "other")
    yield r
    r.stop()


@pytest.fixture
def relay(other):
    r = Relay(other.port)
    yield r
    r.stop()


def send(modeld, name, body=b"", json_lines=True, timeout=120):
    """(status, events or text) of a push."""
    with modeld.http.stream("POST", f"/models/{name}/push", content=body, timeout=timeout,
                            headers={"Accept": "application/json" if json_lines else "*/*"}) as r:
        text = r.read().decode()
        if r.status_code != 200 or not json_lines:
            return r.status_code, text
        return 200, [json.loads(line) for line in text.splitlines()]


def tag(modeld, source, target):
    repo, _, t = target.rpartition(":")
    r = modeld.http.post(f"/models/{source}/tag", params={"repo": repo, "tag": t})
    assert r.status_code == 201, r.text


def have(modeld, registry, target, m, name="ai/start"):
    """The model is in the store by the name `target`, by way of a pull from `registry`."""
    push(registry.url, name, "v1", m)
    source = f"{registry.host}/{name}:v1"
    status, events = pull(modeld, source)
    assert status == 200 and events[-1]["type"] == "success", events
    tag(modeld, source, target)
    return m


def arrives(modeld, ref, **kw):
    status, events = send(modeld, ref, **kw)
    assert status == 200 and events[-1]["type"] == "success", events
    assert events[-1]["message"] == "Model pushed successfully"
    return events


def check_arrived(start, store, ref, m, **kw):
    """An empty store gets the same bytes back."""
    fresh = start(store, **kw)
    status, events = pull(fresh, ref)
    assert status == 200 and events[-1]["type"] == "success", events
    check_stored(store, m, ref)
    fresh.stop()


def uploads(registry, since=0):
    """(method, path, status) of what was sent to it, without looks."""
    return [(m, p, s) for m, p, s, _ in registry.requests()[since:] if m not in ("GET", "HEAD")]
