"""What the front costs Docker: each call through it and directly, alternating, with a real
Docker Engine on a host of namespaces."""

import contextlib
import http.client
import io
import json
import os
import pathlib
import socket
import statistics
import sys
import tarfile
import tempfile
import time

from bench import BUILD, ROOT, ROUNDS, alternate, table

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from host_fixtures import Host  # noqa: E402

SOCKETS = {"directly": "/run/docker.sock", "through the front": "/run/modeld-docker/docker.sock"}
CALLS = 2000
MIB = 1 << 20
OUTPUT = 400 * MIB
CONTEXT = 128 * MIB


class Client:
    """A client of one of the two sockets, from outside the host's mounts."""

    def __init__(self, host, path):
        self.path = f"/proc/{host.pid}/root{path}"
        self.buffer = bytearray(MIB)

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.path)
        return s

    def ask(self, method, target, body=None):
        c = http.client.HTTPConnection("x")
        c.sock = self.connect()
        with contextlib.closing(c):
            c.request(method, target, body=body and json.dumps(body),
                      headers={"Content-Type": "application/json"})
            r = c.getresponse()
            text = r.read()
            if r.status >= 400:
                raise SystemExit(f"{target}: {text}")
            return json.loads(text or b"null")

    def pings(self):
        """Microseconds of one call on a kept connection."""
        request = b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
        took = []
        with self.connect() as s:
            for _ in range(CALLS):
                began = time.perf_counter()
                s.sendall(request)
                s.recv(65536)
                took.append(time.perf_counter() - began)
        return statistics.median(took) * 1e6

    def new_pings(self):
        """The same, each on a connection of its own."""
        took = []
        for _ in range(CALLS // 4):
            began = time.perf_counter()
            with self.connect() as s:
                s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
                s.recv(65536)
            took.append(time.perf_counter() - began)
        return statistics.median(took) * 1e6

    def drain(self, s, least):
        """Reads to the end; gives MiB a second."""
        total, began = 0, time.perf_counter()
        while n := s.recv_into(self.buffer):
            total += n
        if total < least:
            raise SystemExit(f"{total} bytes of {least} came")
        return total / MIB / (time.perf_counter() - began)

    def exec(self, name):
        made = self.ask("POST", f"/containers/{name}/exec", {
            "AttachStdout": True, "Cmd": ["dd", "if=/dev/zero", "bs=1M",
                                          f"count={OUTPUT // MIB}"]})
        body = b'{"Detach":false,"Tty":false}'
        with self.connect() as s:
            s.sendall(f"POST /exec/{made['Id']}/start HTTP/1.1\r\nHost: x\r\nContent-Type: "
                      "application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return self.drain(s, OUTPUT)

    def archive(self, name):
        """docker cp out of a container: large, and little work for the Engine."""
        with self.connect() as s:
            s.sendall(f"GET /containers/{name}/archive?path=/big HTTP/1.1\r\nHost: x\r\n"
                      "Connection: close\r\n\r\n".encode())
            return self.drain(s, OUTPUT)

    def logs(self, name):
        with self.connect() as s:
            s.sendall(f"GET /containers/{name}/logs?stdout=1 HTTP/1.1\r\nHost: x\r\n"
                      "Connection: close\r\n\r\n".encode())
            return self.drain(s, 30 * MIB)

    def upload(self, target, data):
        with self.connect() as s:
            began = time.perf_counter()
            s.sendall(f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: "
                      f"application/x-tar\r\nContent-Length: {len(data)}\r\n\r\n".encode())
            s.sendall(data)
            answer = b""
            # The Engine may leave the end of an archive unread when it closes.
            with contextlib.suppress(ConnectionResetError):
                while piece := s.recv(65536):
                    answer += piece
            took = time.perf_counter() - began
        if b"200 OK" not in answer[:20] or b'"error"' in answer:
            raise SystemExit(f"{target}: {answer[-500:]}")
        return len(data) / MIB / took


def tar_of(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def measure(host):
    clients = {name: Client(host, path) for name, path in SOCKETS.items()}
    busy = host.docker("run", "-d", "bb", "sh", "-c",
                       f"dd if=/dev/zero of=/big bs=1M count={OUTPUT // MIB}; exec sleep 6000"
                       ).strip()
    logged = host.docker("run", "bb", "sh", "-c", "yes abcdefghijklmnopqrstuvwxyz0123456789 | "
                         "head -n 1000000", timeout=300) and host.docker("ps", "-lq").strip()
    context = tar_of(Dockerfile=b"FROM bb\nCMD true\n", data=os.urandom(CONTEXT))
    image = pathlib.Path(host.folder, "tar")
    host.sh(f"docker save bb >{image}")
    rows = [
        ("GET /_ping, connection kept", "us", lambda c: c.pings()),
        ("GET /_ping, new connection", "us", lambda c: c.new_pings()),
        ("exec, output", "MiB/s", lambda c: c.exec(busy)),
        ("cp out of a container", "MiB/s", lambda c: c.archive(busy)),
        ("logs", "MiB/s", lambda c: c.logs(logged)),
        ("build, context of 128 MiB", "MiB/s", lambda c: c.upload("/build?q=1", context)),
        ("load", "MiB/s", lambda c: c.upload("/images/load?quiet=1", image.read_bytes())),
    ]
    for what, unit, run in rows:
        got = alternate({name: lambda c=c: run(c) for name, c in clients.items()}, ROUNDS)
        direct, front = got["directly"], got["through the front"]
        cost = f"{front - direct:+.0f} us" if unit == "us" else f"{front / direct:.2f}"
        yield what, f"{direct:.0f} {unit}", f"{front:.0f} {unit}", cost


def main():
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        host = Host(f"{folder}/host")
        stack.callback(host.close)
        host.start_dockerd()
        host.make_image()
        front = host.ready(BUILD / "modeld-docker", "front")
        stack.callback(host.stop, front)
        table("Docker's socket through the front", ["", *SOCKETS, "cost, or share kept"],
              list(measure(host)))


main()
