"""The daemon by itself: memory when idle, start to the first answer of /models, and how both
grow with open streams and with models in the store."""

import http.client
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time

from bench import BUILD, ROUNDS, modeld, rss_mib, table


def get(port, path):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    c.request("GET", path)
    r = c.getresponse()
    body = r.read()
    c.close()
    return body


def main():
    starts, idle, first = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            began = time.monotonic()
            with modeld(f"{folder}/store") as (p, port, took):
                get(port, "/models")
                first.append((time.monotonic() - began) * 1e3)
                starts.append(took * 1e3)
                idle.append(rss_mib(p.pid))
        with modeld(f"{folder}/store") as (p, port, _):
            base = rss_mib(p.pid)
            socks = []
            for _ in range(1000):
                s = socket.create_connection(("127.0.0.1", port))
                s.sendall(b"GET /logs?follow=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                socks.append(s)
            for s in socks:
                s.recv(4096)
            streams = (rss_mib(p.pid) - base) * 1024 / 1000
            for s in socks:
                s.close()
    size = pathlib.Path(BUILD, "modeld").stat().st_size
    stripped = subprocess.run(["size", str(BUILD / "modeld")], capture_output=True, text=True)
    table("The daemon", ["what", "median"], [
        ["start to ready", f"{statistics.median(starts):.1f} ms"],
        ["start to the first answer of /models", f"{statistics.median(first):.1f} ms"],
        ["resident memory, idle", f"{statistics.median(idle):.1f} MiB"],
        ["resident memory for one more open stream", f"{streams:.1f} KiB"],
        ["program on the disk (with debug information)", f"{size / 1e6:.1f} MB"],
        ["program in memory (text, data, bss)",
         f"{int(stripped.stdout.split()[9]) / 1e3:.0f} kB" if stripped.returncode == 0 else "?"],
    ])


main()
