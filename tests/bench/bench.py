"""What the benchmarks share: starting the parts, alternating, medians, tables."""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MODELD_BUILD", ROOT / "build" / "release"))
TEXT_GGUF = ROOT / "build" / "models" / "SmolLM2-135M-Instruct-Q4_1.gguf"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))


def need(program):
    path = shutil.which(program)
    if not path:
        raise SystemExit(f"{program} is missing: apt-get install {program}")
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.005)
    raise SystemExit(f"nothing listens on port {port}")


@contextlib.contextmanager
def running(command, port=None, **kw):
    """A program as long as the block lasts; its output goes to a file."""
    with tempfile.TemporaryFile() as log:
        p = subprocess.Popen([str(c) for c in command], stdout=log, stderr=log, **kw)
        try:
            if port:
                wait_for_port(port)
            yield p
        finally:
            p.terminate()
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


@contextlib.contextmanager
def modeld(store, *args, config=None, env=None):
    """A daemon that is ready; gives (process, port, seconds that the start took)."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [BUILD / "modeld", "--port", port, "--socket", f"{folder}/s",
                   "--store", store, *args]
        if config:
            pathlib.Path(folder, "c.json").write_text(config)
            command += ["--config", f"{folder}/c.json"]
        r, w = os.pipe()
        began = time.monotonic()
        with running([*command, "--ready-fd", w], pass_fds=[w],
                     env={**os.environ, "XDG_RUNTIME_DIR": folder, **(env or {})}) as p:
            os.close(w)
            if os.read(r, 1) != b"\n":
                raise SystemExit("modeld did not start")
            took = time.monotonic() - began
            os.close(r)
            yield p, port, took


def rss_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


def alternate_rows(cases, rounds=ROUNDS):
    """Runs every case once a round, so that a noisy minute hits all; gives the median of each
    number in their rows."""
    seen = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            seen[name].append(run())
    return {name: [statistics.median(column) for column in zip(*rows)]
            for name, rows in seen.items()}


def alternate(cases, rounds=ROUNDS):
    """The same of cases that give one number."""
    rows = alternate_rows({name: lambda run=run: [run()] for name, run in cases.items()}, rounds)
    return {name: row[0] for name, row in rows.items()}


def table(title, head, rows):
    print(f"\n### {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(x) for x in row) + " |")
