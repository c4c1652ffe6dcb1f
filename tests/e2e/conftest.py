"""Fixtures: every test talks to a real modeld, started in a folder of its own.

MODELD_BUILD names the build folder (default build/release). Nothing here sleeps for
a fixed time: readiness comes over --ready-fd, and other waits have a deadline.
"""

import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time

import httpx
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MODELD_BUILD", ROOT / "build" / "release"))
MODELS = ROOT / "build" / "models"
TEXT_GGUF = MODELS / "SmolLM2-135M-Instruct-Q4_1.gguf"
EMBED_GGUF = MODELS / "all-MiniLM-L6-v2-F16.gguf"
FAKE_ENGINE = pathlib.Path(__file__).with_name("fake_engine.py")

# A shell that started us in the background had SIGINT ignored, which children would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Read once: each client would take 20 ms for them.
CERTIFICATES = ssl.create_default_context()

TEXT = "ai/smollm2:135M-Q4_1"
EMBED = "ai/minilm"


def eventually(check, seconds=60):
    """Waits until check() is true and gives what it gave; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        got = check()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {check}")
        time.sleep(0.01)


def memory_kib(pid, what="RSS"):
    """Of a process: RSS, HWM (the most that it ever had), Data; see proc_pid_status(5)."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"Vm{what}:\s+(\d+)", status).group(1))


def quick(seconds, action, tries=10):
    """What takes less than this where there is time for it. On a machine that is busy with
    other things one try says nothing, so one of several is enough; gives what that one gave."""
    took = []
    while len(took) < tries:
        began = time.monotonic()
        got = action()
        took.append(time.monotonic() - began)
        if took[-1] < seconds:
            return got
    raise AssertionError(f"took {took} s, never less than {seconds}")


def is_sanitized():
    """Is this a build whose memory and pace say nothing about ours?"""
    cache = (BUILD / "CMakeCache.txt").read_text()
    return bool(re.search(r"^SANITIZE:STRING=.", cache, re.M))


class Modeld:
    """A running daemon; stop() ends it and checks that it ended well. `wrap` is a command
    that becomes it."""

    def __init__(self, folder, store, *args, env=None, llama=None, config=None, wrap=()):
        self.folder = pathlib.Path(folder)
        self.socket = self.folder / "m.sock"
        self.log_path = self.folder / "log"
        self.config = self.folder / "config.json"
        if config is not None:
            self.config.write_text(json.dumps(config))
            args = ("--config", str(self.config), *args)
        r, w = os.pipe()
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith(("MODEL_RUNNER", "MODELS_PATH", "DMR_", "XDG_"))}
        clean.update(env or {})
        clean.setdefault("XDG_RUNTIME_DIR", str(self.folder))
        clean.setdefault("HOME", str(self.folder))
        self.command = [
            *wrap, str(BUILD / "modeld"), "--port", "0", "--socket", str(self.socket),
            "--store", str(store), "--ready-fd", str(w),
            "--llama", str(llama or BUILD / "modeld-llama"), *args]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, pass_fds=[w], env=clean)
        os.close(w)
        ready = os.read(r, 1)
        os.close(r)
        if ready != b"\n":
            self.process.wait(60)
            raise RuntimeError(f"modeld did not start: {self.log()}")
        ports = re.findall(r"listens address=127\.0\.0\.1:(\d+)", self.log())
        self.port = int(ports[0]) if ports else None
        self.url = f"http://127.0.0.1:{self.port or 0}"
        self.http = httpx.Client(base_url=self.url, timeout=120, verify=CERTIFICATES)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def ps(self):
        return self.http.get("/engines/ps").json()

    def workers(self):
        """Process ids of its modeld-llama (or fake engine) children."""
        out = subprocess.run(["pgrep", "-P", str(self.process.pid)],
                             capture_output=True, text=True).stdout
        return [int(p) for p in out.split()]

    def metric(self, text):
        for line in self.http.get("/metrics").text.splitlines():
            if line.startswith(text):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def rss_kib(self):
        return memory_kib(self.process.pid)

    def stop(self, expect=0):
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert code == expect, f"exit status {code}: {self.log()}"
        log = self.log()
        assert "Sanitizer" not in log and "runtime error" not in log, log


@pytest.fixture
def start(tmp_path):
    """start(store, ...) gives a Modeld; all are stopped at the end."""
    started = []

    def begin(store, *args, **kw):
        folder = tmp_path / f"d{len(started)}"
        folder.mkdir()
        started.append(Modeld(folder, store, *args, **kw))
        return started[-1]

    yield begin
    for m in started:
        if m.process.returncode is None:
            m.stop()


def package(modeld, gguf, name):
    subprocess.run(
        [str(BUILD / "docker-model"), "package", "--gguf", str(gguf), name],
        env={**os.environ, "MODEL_RUNNER_HOST": modeld.url}, check=True,
        capture_output=True, timeout=300)


@pytest.fixture(scope="session")
def models_store(tmp_path_factory):
    """A store with the real models; tests that change a store copy it."""
    for gguf in (TEXT_GGUF, EMBED_GGUF):
        if not gguf.exists():
            pytest.fail(f"{gguf} is missing: run `make test`, which fetches it")
    folder = tmp_path_factory.mktemp("store")
    m = Modeld(tmp_path_factory.mktemp("packer"), folder)
    package(m, TEXT_GGUF, TEXT)
    package(m, EMBED_GGUF, EMBED)
    m.stop()
    return folder


@pytest.fixture
def own_store(models_store, tmp_path):
    """A copy that the test may change; blobs are hard links."""
    copy = tmp_path / "store"
    subprocess.run(["cp", "-rl", str(models_store), str(copy)], check=True)
    index = copy / "models.json"
    text = index.read_bytes()
    index.unlink()
    index.write_bytes(text)
    return copy


@pytest.fixture(scope="session")
def modeld(models_store, tmp_path_factory):
    """One daemon with the real models, for tests that only ask."""
    m = Modeld(tmp_path_factory.mktemp("modeld"), models_store)
    yield m
    m.stop()


@pytest.fixture(scope="session")
def fake_engine(tmp_path_factory):
    """A program in modeld-llama's place that makes the faults a real one will not."""
    path = tmp_path_factory.mktemp("fake") / "modeld-llama"
    path.write_text(f"#!/bin/sh\nexec {sys.executable} {FAKE_ENGINE} \"$@\"\n")
    path.chmod(0o755)
    return path
