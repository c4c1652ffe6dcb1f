"""A stand-in for `modeld-docker listen`, for what the real one will not do: it hands over
what it likes, answers late, or talks rubbish."""

import json
import os
import socket
import threading

import pytest

WEB = "5e" * 32  # a container's id


def listener(address=("127.0.0.1", 0)):
    s = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(address)
    s.listen(64)
    return s


class Link:
    """One connection from modeld. `who` answers its questions: a function from the question
    to the answer's members, or None for silence."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(60)
        self.lines = sock.makefile("r")
        self.hello = json.loads(self.lines.readline())
        assert self.hello["type"] == "hello"
        self.asked = []
        self.who = lambda q: {"address": "172.17.0.5", "container": WEB, "name": "web"}
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        try:
            for line in self.lines:
                q = json.loads(line)
                self.asked.append(q)
                facts = self.who(q)
                if facts is not None:
                    self.send(type="who", id=q["id"], **facts)
        except (OSError, ValueError):
            pass

    def raw(self, data, fds=()):
        socket.send_fds(self.sock, [data], list(fds)) if fds else self.sock.sendall(data)

    def send(self, fds=(), **message):
        self.raw(json.dumps(message).encode() + b"\n", fds)

    def give(self, way="containers", sock=None):
        """Hands a listener over and closes the own copy; gives its address."""
        s = sock or listener()
        at = s.getsockname()
        self.send([s.fileno()], type="listen", way=way, address=f"{at[0]}:{at[1]}")
        s.close()
        return at

    def ended(self):
        """Waits until modeld has closed it."""
        self.thread.join(60)
        assert not self.thread.is_alive()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


class Helper:
    def __init__(self, path):
        self.path = str(path)
        self.links = []
        self.open()

    def open(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen(8)
        self.server.settimeout(60)

    def link(self):
        self.links.append(Link(self.server.accept()[0]))
        return self.links[-1]

    def close(self):
        self.server.close()
        for link in self.links:
            link.close()


@pytest.fixture
def helper(tmp_path):
    h = Helper(tmp_path / "helper.sock")
    yield h
    h.close()
