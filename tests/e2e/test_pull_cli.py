"""docker-model pull, when what it relies on breaks in the middle."""

import json
import os
import signal
import subprocess

import pytest

from cli_fixtures import Cli, fake_server
from conftest import BUILD, Modeld
from registry_fixtures import check_stored, memory, model, push, registry, store

MB = 1 << 20
CHUNK = 32 * MB


class Pull:
    """A pull by the command line, through the daemon's socket, which outlives the daemon."""

    def __init__(self, modeld, ref):
        self.process = subprocess.Popen(
            [str(BUILD / "docker-model"), "pull", ref], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "MODEL_RUNNER_HOST": f"unix:{modeld.socket}"})

    def until(self, bytes_there):
        """Reads what it shows until so many bytes are there."""
        while line := self.process.stdout.readline():
            number = line.split()[1]
            for unit, n in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
                if number.endswith(unit) and float(number[:-2]) * n >= bytes_there:
                    return
        raise AssertionError(f"it ended: {self.process.stderr.read()}")

    def end(self):
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


@pytest.fixture
def server(tmp_path, store):
    """server() starts a daemon on the same socket each time."""
    (tmp_path / "m").mkdir()
    started = []

    def begin():
        started.append(Modeld(tmp_path / "m", store))
        return started[-1]
    yield begin
    for m in started:
        m.http.close()
        if m.process.poll() is None:
            m.stop()


def test_it_goes_on_whenever_the_daemon_comes_back(registry, server, store):
    """More often than it tries in a row, since each time some more has come."""
    size, kills = 700 * MB, 6
    m = model(size, 5 * MB, seed="cli goes on")
    push(registry.url, "ai/goes-on", "v1", m)
    before = len(registry.requests())
    modeld = server()
    p = Pull(modeld, f"{registry.host}/ai/goes-on:v1")
    for i in range(kills):
        p.until((i + 1) * 90 * MB)
        modeld.process.send_signal(signal.SIGTERM if i == kills // 2 else signal.SIGKILL)
        modeld.process.wait(60)
        modeld = server()
    code, out, err = p.end()
    assert code == 0, err
    assert out.splitlines()[-1] == "Model pulled successfully"
    assert err.count("Retrying download (attempt 1/4) in 1s...") == kills, err
    assert err.count("the connection broke in the middle of the answer") == kills - 1
    assert err.count("modeld stops; what was fetched is kept") == 1
    check_stored(store, m)
    fetched = sum(n for method, path, _, n in registry.requests()[before:]
                  if method == "GET" and path.endswith(m.names[0]))
    assert fetched <= size + kills * CHUNK


def test_a_daemon_that_stays_away_is_told_with_what_to_do(registry, server, store):
    m = model(400 * MB, seed="cli stays away")
    push(registry.url, "ai/away", "v1", m)
    modeld = server()
    p = Pull(modeld, f"{registry.host}/ai/away:v1")
    p.until(40 * MB)
    modeld.process.kill()
    modeld.process.wait(60)
    code, out, err = p.end()
    assert code == 1 and "successfully" not in out
    assert "Retrying download (attempt 4/4) in 8s..." in err
    last = err[err.index("docker-model: pull "):]
    assert "download failed after 4 retries; what is done is kept, the same command goes on" in last
    # And so it does.
    modeld = server()
    p = Pull(modeld, f"{registry.host}/ai/away:v1")
    assert p.end()[0] == 0
    check_stored(store, m)


def lines(*events):
    return b"".join(json.dumps(e).encode() + b"\n" for e in events)


@pytest.mark.parametrize("retry", [True, False])
def test_an_error_in_the_stream_is_tried_again_if_it_may_pass(tmp_path, retry):
    asked = []

    def create(h):
        asked.append(h.path)
        if len(asked) == 1:
            error = {"type": "error", "message": "Error: the registry went away"}
            h.reply(200, lines({**error, **({"retry": True} if retry else {})}))
        else:
            h.reply(200, lines({"type": "success", "message": "Model pulled successfully"}))
    with fake_server({"GET /version": b"{}", "POST /models/create": create}) as s:
        r = Cli(tmp_path, s.url).run("pull", "x")
    assert "Error: the registry went away" in r.stderr.decode()
    assert (r.returncode, len(asked)) == ((0, 2) if retry else (1, 1))
