"""A round trip from a container to modeld: by the container address, by Docker's gateway, and
next to them from the host over loopback. One small request, keep-alive and a connection each."""

import pathlib
import sys
import tempfile

from bench import BUILD, ROOT, alternate, table

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from host_fixtures import ADDRESS, Host  # noqa: E402

CLIENT = r"""
import socket, statistics, sys, time
address, kept = (sys.argv[1], int(sys.argv[2])), sys.argv[3] == "kept"
ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
def once(s):
    s.sendall(ask)
    while b"\r\n\r\n" not in s.recv(4096):
        pass
times, s = [], socket.create_connection(address)
for _ in range(3000 if kept else 500):
    began = time.perf_counter()
    if kept:
        once(s)
    else:
        with socket.create_connection(address) as new:
            once(new)
    times.append(time.perf_counter() - began)
print(statistics.median(times) * 1e6)
"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        host = Host(pathlib.Path(folder, "host"))
        try:
            host.start_dockerd()
            host.make_image()
            host.ready(BUILD / "modeld", "--store", f"{folder}/store",
                       "--socket", "/run/modeld/modeld.sock", log=f"{folder}/modeld.log")
            host.ready(BUILD / "modeld-docker", "run", "--user", "root",
                       log=f"{folder}/docker.log")
            measure(host, folder)
        finally:
            host.close()


def measure(host, folder):
    client = pathlib.Path(folder, "client.py")
    client.write_text(CLIENT)
    box = host.docker("run", "-d", "--rm", "bb", "sleep", "1000").strip()
    pid = host.inspect(box, ".State.Pid")
    inside = ("nsenter", "-t", pid, "-n")  # its network, our Python

    def ask(where, address, port, kept):
        return lambda: float(host.out(*where, sys.executable, client, address, port, kept))

    places = {"host, 127.0.0.1:12434": ((), "127.0.0.1", 12434),
              f"container, {ADDRESS}:80": (inside, ADDRESS, 80),
              "container, 172.17.0.1:12434": (inside, "172.17.0.1", 12434)}
    kept, new = (alternate({name: ask(*where, how) for name, where in places.items()})
                 for how in ("kept", "new"))
    table("A round trip to modeld (GET /healthz, p50)", ["from", "keep-alive", "new connection"],
          [[name, f"{kept[name]:.0f} us", f"{new[name]:.0f} us"] for name in places])


main()
