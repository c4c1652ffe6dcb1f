"""With networking off, all that is local works and asks for no name. The network namespace has
only its loopback, and there the one server for names never answers: it notes who asks."""

import ctypes
import http.client
import json
import os
import socket
import subprocess
import threading

import pytest

from conftest import BUILD, EMBED, EMBED_GGUF, Modeld

OFFLINE = ["unshare", "--net", "--mount", "sh", "-ec", """
    mount --make-rprivate /
    mount --bind "$1" /etc/resolv.conf
    ip link set lo up
    shift
    exec "$@"
    """, "sh"]
CLONE_NEWNET = 0x40000000


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def socket_in(pid):
    """A server for names in a process's network; only this thread goes there."""
    made = []

    def make():
        with open(f"/proc/{pid}/ns/net") as ns:
            assert ctypes.CDLL(None, use_errno=True).setns(ns.fileno(), CLONE_NEWNET) == 0
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("127.0.0.1", 53))
        made.append(s)
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


@pytest.fixture
def offline(own_store, tmp_path):
    """A modeld that reaches nobody; it is asked by its socket."""
    folder = tmp_path / "offline"
    folder.mkdir()
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    m = Modeld(folder, own_store, wrap=[*OFFLINE, str(folder / "resolv.conf")])
    m.enter = ["nsenter", "-t", str(m.process.pid), "-n", "-m", "--"]
    names = socket_in(m.process.pid)
    names.setblocking(False)
    yield m
    with pytest.raises(BlockingIOError):
        names.recv(512)
    # It would have noted it.
    names.settimeout(60)
    with subprocess.Popen([*m.enter, "getent", "ahosts", "registry.example.com"],
                          stdout=subprocess.DEVNULL) as asks:
        assert b"registry" in names.recv(512)
        asks.kill()
    names.close()
    m.stop()


def ask(m, method, path, body=None):
    c = Unix(m.socket)
    c.request(method, path, body=body if body is None or isinstance(body, bytes)
              else json.dumps(body))
    r = c.getresponse()
    data = r.read()
    assert r.status < 300, (path, r.status, data)
    return data


def test_the_api_needs_no_network(offline, own_store):
    models = json.loads(ask(offline, "GET", "/models"))
    assert len(models) == 2
    one = json.loads(ask(offline, "GET", f"/models/{EMBED}"))
    ask(offline, "POST", f"/models/{EMBED}/tag?repo=registry.example.com/x/y&tag=v1")
    ask(offline, "POST", f"/models/{EMBED}/repackage", {"target": "ai/wide", "context_size": 128})
    tar = ask(offline, "GET", f"/models/{EMBED}/export")
    assert json.loads(ask(offline, "POST", "/models/load", tar))["layer"]["id"] == one["id"]
    vector = json.loads(ask(offline, "POST", "/v1/embeddings",
                            {"model": "registry.example.com/x/y:v1", "input": "x"}))
    assert len(vector["data"][0]["embedding"]) == 384
    ask(offline, "DELETE", "/models/registry.example.com/x/y:v1")
    for path in ("/engines/ps", "/engines/status", "/engines/df", "/v1/models", "/version"):
        ask(offline, "GET", path)
    ask(offline, "POST", "/models/prune")
    assert b'"bad":0' in ask(offline, "POST", "/models/verify")


def test_the_command_line_needs_no_network(offline, tmp_path):
    env = {**os.environ, "MODEL_RUNNER_HOST": f"unix://{offline.socket}", "HOME": str(tmp_path)}
    file = tmp_path / "m.tar"
    for args in (["list"], ["inspect", EMBED], ["tag", EMBED, "example.com/a/b:v1"],
                 ["package", "--gguf", str(EMBED_GGUF), "example.com/a/c:v1"],
                 ["export", EMBED, "-o", str(file)], ["load", "-i", str(file)],
                 ["rm", "example.com/a/b:v1"], ["df"], ["ps"], ["verify"], ["status"]):
        r = subprocess.run([*offline.enter, BUILD / "docker-model", *args], env=env,
                           capture_output=True, text=True, timeout=60)
        assert r.returncode == 0, (args, r)
