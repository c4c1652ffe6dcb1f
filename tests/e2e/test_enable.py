"""`docker model enable`: a setting that lasts and takes effect at once."""

import json
import os
import signal
import socket
import subprocess

import httpx
import pytest

from conftest import BUILD, eventually


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(port, ip="127.0.0.1"):
    try:
        socket.create_connection((ip, port), timeout=5).close()
        return True
    except ConnectionRefusedError:
        return False


class Daemon:
    """A modeld whose port its configuration file decides, and a CLI that finds it."""

    def __init__(self, folder, *args, env=None, config=None):
        self.folder = folder
        self.config = folder / "config.json"
        self.port = free_port()
        self.config.write_text(json.dumps(config or {"keep_alive": "7m", "port": self.port}))
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("MODEL_RUNNER", "XDG_"))}
        self.env |= {"HOME": str(folder), "MODEL_RUNNER_SOCK": str(folder / "m.sock")}
        r, w = os.pipe()
        with open(folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(BUILD / "modeld"), "--store", str(folder / "store"), "--config",
                 str(self.config), "--ready-fd", str(w), *args],
                pass_fds=[w], env={**self.env, **(env or {})}, stdout=log, stderr=log)
        os.close(w)
        assert os.read(r, 1) == b"\n", (folder / "log").read_text()
        os.close(r)

    def enable(self, *args):
        return subprocess.run([str(BUILD / "docker-model"), "enable", *args], text=True,
                              capture_output=True, env=self.env, timeout=60)

    def read(self):
        return json.loads(self.config.read_text())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0
        log = (self.folder / "log").read_text()
        assert "Sanitizer" not in log and "runtime error" not in log, log


@pytest.fixture
def daemon(tmp_path):
    started = []

    def begin(*args, **kw):
        started.append(Daemon(tmp_path, *args, **kw))
        return started[-1]
    yield begin
    for d in started:
        d.stop()


def test_the_port_moves_at_once_and_stays_after_a_restart(daemon):
    d = daemon()
    new = free_port()
    got = d.enable("--tcp", str(new))
    assert (got.returncode, got.stderr) == (0, "")
    assert got.stdout == f"saved in {d.config}\nmodeld does so now\n"
    assert listens(new) and listens(new, "::1")
    eventually(lambda: not listens(d.port))
    assert d.read() == {"keep_alive": "7m", "port": new}
    listen = httpx.get(f"http://127.0.0.1:{new}/version").json()["listen"]
    assert listen == [f"unix:{d.folder}/m.sock", f"http://127.0.0.1:{new}",
                      f"http://[::1]:{new}"]
    d.stop()
    again = daemon(config=d.read())
    assert listens(new) and not listens(again.port)
    again.stop()
    d.stop = again.stop = lambda: None


@pytest.mark.parametrize("more", [("--tls-port", "0"), ("--bind", "0.0.0.0", "--keys", "{keys}")])
def test_the_port_moves_beside_tls_and_on_every_address(daemon, tmp_path, more):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [{"name": "k", "hash": "sha256:" + "0" * 64}]}))
    keys.chmod(0o600)
    d = daemon(*(x.format(keys=keys) for x in more))
    new = free_port()
    for text in (str(new), "off", str(d.port)):
        got = d.enable("--tcp", text)
        assert (got.returncode, got.stderr) == (0, "")
        assert listens(new) == (text == str(new)) and listens(d.port) == (text == str(d.port))


def test_off_closes_the_port_and_a_number_opens_it_again(daemon):
    d = daemon()
    assert d.enable("--tcp", "off").returncode == 0
    assert not listens(d.port) and not listens(d.port, "::1")
    assert d.read()["port"] == "off"
    assert d.enable(f"--tcp={d.port}").returncode == 0
    assert listens(d.port) and listens(d.port, "::1")


def test_an_answer_that_runs_on_the_old_port_finishes(daemon):
    d = daemon()
    with socket.create_connection(("127.0.0.1", d.port), timeout=60) as s:
        body = json.dumps({"model": "x" * 2000}).encode()
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                  b"Content-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body[:1000])
        assert d.enable("--tcp", str(free_port())).returncode == 0
        s.sendall(body[1000:])
        assert s.recv(65536).startswith(b"HTTP/1.1 4")


def test_a_port_that_is_taken_leaves_the_old_one(daemon):
    d = daemon()
    with socket.socket() as taken, socket.socket(socket.AF_INET6) as taken6:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        taken6.bind(("::1", port))
        taken6.listen()
        got = d.enable("--tcp", str(port))
        assert got.returncode == 1 and "did not follow" in got.stderr
        assert listens(d.port)
    # What failed once is tried again.
    assert d.enable("--tcp", str(port)).returncode == 0
    assert listens(port)


def test_a_flag_or_variable_that_wins_is_named(daemon, tmp_path):
    port = free_port()
    d = daemon("--port", str(port))
    got = d.enable("--tcp", "7")
    assert got.returncode == 1
    assert "was started with --port, which wins" in got.stderr
    assert d.read()["port"] == 7 and listens(port)


def test_a_variable_that_wins_is_named(daemon):
    d = daemon(env={"MODEL_RUNNER_PORT": str(free_port())})
    got = d.enable("--tcp", "7")
    assert got.returncode == 1
    assert "has MODEL_RUNNER_PORT in its environment, which wins" in got.stderr


def test_without_a_daemon_it_is_saved_for_later(tmp_path):
    env = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "cfg"),
           "MODEL_RUNNER_SOCK": str(tmp_path / "none.sock"), "CONFIGURATION_DIRECTORY":
           str(tmp_path / "unit")}
    got = subprocess.run([str(BUILD / "docker-model"), "enable", "--tcp", "12000"], env=env,
                         capture_output=True, text=True, timeout=60)
    assert got.returncode == 0, got.stderr
    assert "it will do so when it starts" in got.stdout
    assert json.loads((tmp_path / "unit/config.json").read_text()) == {"port": 12000}


@pytest.mark.parametrize("args", [(), ("--tcp", "0"), ("--tcp", "65536"), ("--tcp", "x"),
                                  ("--tcp", ""), ("--containers", "some")])
def test_what_is_no_setting_changes_nothing(daemon, args):
    d = daemon()
    before = d.config.read_text()
    got = d.enable(*args)
    assert got.returncode == 2 and got.stderr.count("\n") == 1
    assert d.config.read_text() == before


def test_a_broken_file_is_not_written_over(daemon):
    d = daemon()
    d.config.write_text('{"port": 1,}')
    got = d.enable("--tcp", "12000")
    assert got.returncode == 1 and str(d.config) in got.stderr
    assert d.config.read_text() == '{"port": 1,}'
