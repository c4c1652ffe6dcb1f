"""The Docker socket through the front: what the docker CLI and other clients do gives
the same through it as it does directly, and models answer on the same socket."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time

import httpx
import pytest

from conftest import BUILD, TEXT, eventually
from host_fixtures import host  # noqa: F401

DOCKERD = "/run/docker.sock"
FRONT = "/run/modeld-docker/docker.sock"
# The CLI of the Engine's own release has BuildKit's client in it; newer ones need a plugin.
OLD_CLI = "/usr/bin/docker"


class Ways:
    """A host with Docker Engine and the front beside it; each check asks both sockets."""

    def __init__(self, host, log):
        self.host = host
        self.log = log

    def cli(self, path, *args, cli="docker", env=None, **kw):
        env = {**os.environ, "DOCKER_CONFIG": str(self.host.folder), **(env or {})}
        return self.host.run(cli, "-H", f"unix://{path}", *args, env=env, **kw)

    def outside(self, path):
        """The socket's path for a client outside the host's mounts."""
        return f"/proc/{self.host.pid}/root{path}"

    def connect(self, path):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(self.outside(path))
        return s

    def http(self, path):
        c = http.client.HTTPConnection("x")
        c.sock = self.connect(path)
        return c

    def dockerd_pid(self):
        return int(self.host.sh("pgrep -x dockerd"))

    def dockerd_fds(self):
        pid = self.dockerd_pid()
        return int(self.host.sh(f"ls /proc/{pid}/fd | wc -l"))


@pytest.fixture(scope="module")
def ways(host, models_store, tmp_path_factory, fake_engine):
    import conftest
    folder = tmp_path_factory.mktemp("front")
    modeld = conftest.Modeld(folder, models_store, llama=fake_engine,
                             env={"FAKE_ENGINE": '{"chunks": 5, "pause_s": 0.05}'})
    log = folder / "front.log"
    front = host.ready(BUILD / "modeld-docker", "front", "--modeld", modeld.socket, log=log)
    yield Ways(host, log)
    assert host.stop(front) == 0
    assert "Sanitizer" not in log.read_text(), log.read_text()
    modeld.stop()


@pytest.fixture(scope="module", autouse=True)
def silence(ways):
    """Commands that say nothing for 75 s, started first and looked at last."""
    def run(path, *args):
        began = time.monotonic()
        r = ways.cli(path, *args, check=False, timeout=200, input="x\n")
        return r.returncode, r.stdout, time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        ways.cli(DOCKERD, "run", "-d", "--name", "quiet", "bb", "sleep", "600")
        yield [pool.submit(run, path, *args) for path in (DOCKERD, FRONT) for args in (
            ("run", "--rm", "-i", "bb", "sh", "-c", "sleep 75; cat; echo late"),
            ("exec", "-i", "quiet", "sh", "-c", "sleep 75; cat; echo late"))]
    ways.cli(DOCKERD, "rm", "-f", "quiet")


def same(ways, *args, but=None, **kw):
    """The command gives the same on both sockets; gives what it gave."""
    got = [ways.cli(path, *args, **kw) for path in (DOCKERD, FRONT)]
    out = [(r.returncode, *(re.sub(but, "", s) if but else s for s in (r.stdout, r.stderr)))
           for r in got]
    assert out[0] == out[1]
    return out[1]


def raw(ways, path, request):
    """Sends bytes and gives all that comes, with the date taken out."""
    with ways.connect(path) as s:
        s.sendall(request)
        got = b""
        while piece := s.recv(65536):
            got += piece
    return re.sub(rb"Date: [^\r]*\r\n", b"", got)


# ---- heads and bodies, byte for byte ----

@pytest.mark.parametrize("request_text", [
    "GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    "HEAD /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    "GET /_ping HTTP/1.0\r\n\r\n",
    "GET /_ping HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
    "GET /_ping HTTP/1.1\r\nHost: %2Frun%2Fdocker.sock\r\nConnection: close\r\n\r\n",
    "GET /v1.41/version HTTP/1.1\r\nHost: api.moby.localhost\r\nConnection: close\r\n\r\n",
    "GET /v9.99/version HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    "GET /containers/none/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    "GET /exp/vDD4.40 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    "GET /no/such/page HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    "OPTIONS /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    "GET /_ping HTTP/1.1\r\nConnection: close\r\n\r\n",
    "POST /containers/none/wait?condition=removed HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n"
    "Connection: close\r\n\r\n",
    "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\nGET /version HTTP/1.1\r\nHost: d\r\n"
    "Connection: close\r\n\r\n",
    "POST /auth HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nConnection: close\r\n"
    "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n",
])
def test_answers_are_the_same_byte_for_byte(ways, request_text):
    text = request_text.encode()
    direct = raw(ways, DOCKERD, text)
    assert direct.startswith(b"HTTP/1.")
    assert raw(ways, FRONT, text) == direct


def test_a_large_head_reaches_the_engine(ways):
    big = "".join(f"X-Registry-Config-{i}: {'x' * 900}\r\n" for i in range(900))
    text = f"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{big}\r\n".encode()
    assert raw(ways, FRONT, text) == raw(ways, DOCKERD, text)


def test_what_could_be_read_in_two_ways_is_refused(ways):
    got = raw(ways, FRONT, b"POST /auth HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 400 ")


def test_version_and_info_are_the_same(ways):
    same(ways, "version")
    code, out, _ = same(ways, "info", "--format", "{{json .Driver}} {{json .Images}} {{.ID}}")
    assert code == 0 and "vfs" in out


# ---- containers ----

def test_run(ways):
    assert same(ways, "run", "--rm", "bb", "echo", "hi") == (0, "hi\n", "")
    r = same(ways, "run", "--rm", "bb", "sh", "-c", "echo err >&2; exit 7", check=False)
    assert r == (7, "", "err\n")


def test_run_i_gets_what_comes_after_the_end_of_its_input(ways):
    got = same(ways, "run", "-i", "--rm", "bb", "sh", "-c", "cat; sleep 1; echo late",
               input="early\n")
    assert got == (0, "early\nlate\n", "")


def test_50_mb_go_in_and_out(ways):
    count = 50 << 20
    data = os.urandom(1 << 20) * 50
    for path in (DOCKERD, FRONT):
        r = ways.cli(path, "run", "-i", "--rm", "bb", "wc", "-c", input=data, text=False)
        assert int(r.stdout) == count
        r = ways.cli(path, "run", "-i", "--rm", "bb", "cat", input=data, text=False)
        assert r.stdout == data


def on_terminal(ways, path, *args, keys):
    """Runs docker at a terminal of its own, types, and gives what the screen saw."""
    leader, follower = pty.openpty()
    child = ways.host.popen("docker", "-H", f"unix://{path}", *args, stdin=follower,
                            stdout=follower, stderr=follower, start_new_session=True)
    os.close(follower)
    seen = b""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([leader], [], [], 0.1)[0]:
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        while keys and keys[0][0] in seen:
            os.write(leader, keys.pop(0)[1])
    os.close(leader)
    return child.wait(60), seen


def test_run_it_has_a_terminal(ways):
    for path in (DOCKERD, FRONT):
        code, seen = on_terminal(
            ways, path, "run", "-it", "--rm", "bb", "sh", "-c",
            "tty; echo ready; read x; echo got $x; read y; exit 3",
            keys=[(b"ready", b"word\r"), (b"got word", b"\r")])
        assert code == 3 and b"/dev/pts/" in seen and b"got word" in seen, (path, seen)


def test_exec(ways):
    assert same(ways, "exec", "quiet", "echo", "hi") == (0, "hi\n", "")
    assert same(ways, "exec", "-i", "quiet", "sh", "-c", "cat; sleep 1; echo late",
                input="in\n") == (0, "in\nlate\n", "")
    assert same(ways, "exec", "quiet", "false", check=False)[0] == 1


def test_logs_f_and_attach_and_wait(ways):
    for path in (DOCKERD, FRONT):
        # Made so that its input ends with the first client's.
        name = ways.cli(path, "create", "-i", "bb", "sh", "-c",
                        "for i in 1 2 3; do echo $i; sleep 0.3; done; cat; exit 4"
                        ).stdout.strip()
        ways.cli(path, "start", name)
        attach = ways.host.popen("docker", "-H", f"unix://{path}", "attach", name,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        waiting = ways.host.popen("docker", "-H", f"unix://{path}", "wait", name,
                                  stdout=subprocess.PIPE, text=True)
        logs = ways.host.popen("docker", "-H", f"unix://{path}", "logs", "-f", name,
                               stdout=subprocess.PIPE, text=True)
        out = attach.communicate("bye\n", timeout=60)[0]
        assert out.endswith("3\nbye\n"), out
        assert logs.communicate(timeout=60)[0] == "1\n2\n3\nbye\n"
        assert waiting.communicate(timeout=60)[0] == "4\n"
        ways.cli(path, "rm", name)


def test_events_come_as_they_happen(ways):
    for path in (DOCKERD, FRONT):
        events = ways.host.popen("docker", "-H", f"unix://{path}", "events", "--filter",
                                 "event=die", stdout=subprocess.PIPE, text=True)
        # It listens when an event reaches it.
        stop = threading.Event()

        def make():
            while not stop.is_set():
                ways.cli(path, "run", "--rm", "bb", "true")
        maker = threading.Thread(target=make)
        maker.start()
        line = events.stdout.readline()
        stop.set()
        maker.join()
        ways.host.stop(events)
        assert "container die" in line


def test_stats(ways):
    code, out, _ = same(ways, "stats", "--no-stream", "--format", "{{.Name}}", "quiet")
    assert code == 0 and out == "quiet\n"
    stream = ways.host.popen("docker", "-H", f"unix://{FRONT}", "stats", "--format",
                             "{{.Name}}", "quiet", stdout=subprocess.PIPE, text=True)
    seen = "".join(stream.stdout.readline() for _ in range(3))
    ways.host.stop(stream, signal.SIGKILL)  # it waits for a last answer at SIGTERM
    assert seen.count("quiet") >= 2


def test_cp_both_ways(ways, tmp_path):
    data = os.urandom(3 << 20)
    (tmp_path / "in").write_bytes(data)
    for path in (DOCKERD, FRONT):
        ways.cli(path, "cp", tmp_path / "in", "quiet:/tmp/there")
        ways.cli(path, "cp", "quiet:/tmp/there", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == data
        size = ways.cli(path, "exec", "quiet", "wc", "-c", "/tmp/there").stdout
        assert int(size.split()[0]) == len(data)


# ---- images ----

def test_import_save_load(ways, tmp_path):
    files = ways.host.folder / "image"
    for path in (DOCKERD, FRONT):
        socket_url = f"unix://{path}"
        ways.host.sh(f"""set -e
            tar -C {files} -c . | docker -H {socket_url} import - copy
            docker -H {socket_url} save copy >{tmp_path}/tar
            docker -H {socket_url} rmi copy
            docker -H {socket_url} save bb | docker -H {socket_url} load
            docker -H {socket_url} load <{tmp_path}/tar""")
        assert ways.cli(path, "run", "--rm", "copy", "echo", "x").stdout == "x\n"
        ways.cli(path, "rmi", "copy")


def test_a_client_may_wait_for_100_continue(ways, tmp_path):
    ways.host.sh(f"docker -H unix://{DOCKERD} save bb >{tmp_path}/tar")
    for path in (DOCKERD, FRONT):
        out = ways.host.run("curl", "-sv", "--unix-socket", path, "-H", "Expect: 100-continue",
                            "-H", "Content-Type: application/x-tar", "--data-binary",
                            f"@{tmp_path}/tar", "http://x/images/load?quiet=1")
        assert "100 Continue" in out.stderr and "Loaded image" in out.stdout


def context(folder, big=False):
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(
        "FROM bb\nCOPY data /data\nRUN wc -c /data && echo built-$((6 * 7))\n")
    (folder / "data").write_bytes(os.urandom(20 << 20 if big else 100))
    return folder


def test_a_classic_build(ways, tmp_path):
    for path in (DOCKERD, FRONT):
        r = ways.cli(path, "build", "--no-cache", "-t", "classic", context(tmp_path / "c", True),
                     env={"DOCKER_BUILDKIT": "0"})
        assert "built-42" in r.stdout


def test_a_buildkit_build(ways, tmp_path):
    assert pathlib.Path(OLD_CLI).exists(), "the Engine's own CLI has BuildKit's client"
    for path in (DOCKERD, FRONT):
        r = ways.cli(path, "build", "--no-cache", "--progress=plain", "-t", "kit",
                     context(tmp_path / "c", True), cli=OLD_CLI, env={"DOCKER_BUILDKIT": "1"})
        assert "built-42" in r.stderr and "exporting" in r.stderr, r.stderr


def test_compose(ways, tmp_path):
    (tmp_path / "docker-compose.yml").write_text("""
version: "3"
services:
  web: {image: bb, command: ["sh", "-c", "echo web-$$((6*7)); sleep 60"], stop_grace_period: 0s}
  job: {image: bb, command: ["echo", "job-done"], depends_on: [web]}
""")
    for path in (DOCKERD, FRONT):
        env = {**os.environ, "DOCKER_HOST": f"unix://{path}"}

        def compose(*args):
            return ways.host.run("docker-compose", "-p", "proj", "-f",
                                 tmp_path / "docker-compose.yml", *args, env=env)
        compose("up", "-d")
        eventually(lambda: "job-done" in compose("logs", "--no-color").stdout)
        assert "web-42" in compose("logs", "--no-color").stdout
        assert compose("exec", "-T", "web", "echo", "inside").stdout == "inside\n"
        compose("down", "-t", "0")
        assert "proj" not in ways.cli(path, "ps", "-a").stdout


# ---- what naive proxies break ----

def test_a_raw_hijack_without_upgrade(ways):
    for path in (DOCKERD, FRONT):
        name = ways.cli(path, "create", "-i", "bb", "sh", "-c", "cat; echo late").stdout.strip()
        with ways.connect(path) as s:
            s.sendall(f"POST /containers/{name}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\n"
                      "Host: x\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head:
                head += s.recv(65536)
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert b"raw-stream" in head
            ways.cli(path, "start", name)
            s.sendall(b"typed\n")
            s.shutdown(socket.SHUT_WR)
            got = b""
            while piece := s.recv(65536):
                got += piece
        assert b"typed\n" in got and b"late\n" in got, got
        ways.cli(path, "rm", "-f", name)


def test_docker_and_models_on_one_connection(ways):
    c = ways.http(FRONT)
    s = c.sock
    for _ in range(3):
        c.request("GET", "/_ping")
        assert c.getresponse().read() == b"OK"
        c.request("GET", "/exp/vDD4.40/engines/v1/models")
        models = json.loads(c.getresponse().read())
        assert TEXT in json.dumps(models) or "docker.io/" + TEXT in json.dumps(models)
        c.request("GET", "/version")
        assert b"ApiVersion" in c.getresponse().read()
    assert c.sock is s, "the connection was not kept"


def test_a_chat_is_streamed(ways):
    with httpx.Client(transport=httpx.HTTPTransport(uds=ways.outside(FRONT)),
                      base_url="http://x/exp/vDD4.40/engines/v1", timeout=60) as c:
        assert c.get("/models").status_code == 200
        times = []
        with c.stream("POST", "/chat/completions", json={
                "model": TEXT, "stream": True,
                "messages": [{"role": "user", "content": "hi"}]}) as r:
            assert r.status_code == 200
            for line in r.iter_lines():
                if line.startswith("data:"):
                    times.append(time.monotonic())
        assert len(times) >= 5 and times[-1] - times[0] > 0.1, "it came in one piece"


def test_a_client_cannot_say_who_it_is(ways):
    c = ways.http(FRONT)
    c.request("GET", "/exp/vDD4.40/engines/v1/models",
              headers={"Modeld-Caller": "uid=0 pid=1 " + "x" * 5000})
    assert c.getresponse().status == 200


def test_a_client_that_leaves_takes_its_follower_with_it(ways):
    before = ways.dockerd_fds()
    left = []
    for path in ("/events", "/containers/quiet/logs?follow=1&stdout=1",
                 "/containers/quiet/stats?stream=1"):
        for _ in range(5):
            s = ways.connect(FRONT)
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert s.recv(12) == b"HTTP/1.1 200"
            left.append(s)
    assert ways.dockerd_fds() >= before + 15
    for s in left:
        s.close()
    eventually(lambda: ways.dockerd_fds() <= before + 2)


def test_what_a_client_asked_before_it_left_is_done(ways):
    for path in (DOCKERD, FRONT):
        name = ways.cli(path, "create", "bb", "true").stdout.strip()
        with ways.connect(path) as s:
            s.sendall(f"DELETE /containers/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        eventually(lambda: name not in ways.cli(
            path, "ps", "-aq", "--no-trunc").stdout)


def test_a_client_that_does_not_read_holds_the_engine_back(ways):
    """Output of 200 MB: the front must not gather it."""
    pid = int(ways.host.sh("pgrep -xf '.*modeld-docker front.*'").split()[0])
    with ways.connect(FRONT) as s:
        s.sendall(b"POST /containers/quiet/exec HTTP/1.1\r\nHost: x\r\nContent-Type: "
                  b"application/json\r\nContent-Length: 76\r\n\r\n"
                  b'{"AttachStdout":true,"Cmd":["dd","if=/dev/zero","bs=1M","count=200"]}       ')
        answer = b""
        while b'"Id"' not in answer or b"}" not in answer:
            answer += s.recv(65536)
        exec_id = re.search(rb'"Id":"(\w+)"', answer)[1].decode()
    with ways.connect(FRONT) as s:
        body = b'{"Detach":false,"Tty":false}'
        s.sendall(f"POST /exec/{exec_id}/start HTTP/1.1\r\nHost: x\r\nContent-Type: "
                  "application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                  f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert s.recv(12) == b"HTTP/1.1 101"
        time.sleep(1)  # what would be gathered is gathered now
        rss = int(ways.host.sh(f"grep VmRSS /proc/{pid}/status").split()[1])
        total = 0
        while piece := s.recv(1 << 20):
            total += len(piece)
    assert total > 200 << 20
    limit = 200_000 if "asan" in str(BUILD) else 20_000
    assert rss < limit, f"{rss} KiB"


@pytest.mark.parametrize("pause", [0, 0.7])
def test_an_early_answer_reaches_a_client_that_still_sends(ways, pause):
    """dockerd refuses the body at its beginning, and closes after half a second."""
    piece = b"this is no tar !" * 4096
    for path in (DOCKERD, FRONT):
        with ways.connect(path) as s:
            s.sendall(b"PUT /containers/none/archive?path=/ HTTP/1.1\r\nHost: x\r\n"
                      b"Content-Length: 100000000\r\n\r\n" + piece)
            time.sleep(pause)
            got = b""
            with contextlib.suppress(BrokenPipeError):
                for _ in range(1500):
                    s.sendall(piece)
            with contextlib.suppress(ConnectionResetError):
                while data := s.recv(65536):
                    got += data
        assert got.startswith(b"HTTP/1.1 404 ") and b"No such container" in got, path


def test_two_hundred_runs_lose_no_output(ways):
    def one(i):
        r = ways.cli(FRONT, "run", "--rm", "bb", "sh", "-c", f"echo out-{i}; echo err-{i} >&2",
                     check=False)
        return (r.returncode, r.stdout, r.stderr) == (0, f"out-{i}\n", f"err-{i}\n") or r

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        wrong = [r for r in pool.map(one, range(200)) if r is not True]
    assert not wrong, wrong[:3]


def test_thousands_of_idle_connections_are_small(ways):
    pid = int(ways.host.sh("pgrep -xf '.*modeld-docker front.*'").split()[0])

    def rss():
        return int(ways.host.sh(f"grep VmRSS /proc/{pid}/status").split()[1])

    before = rss()
    many = []
    try:
        for _ in range(1500):
            s = ways.connect(FRONT)
            s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            many.append(s)
        for s in many:
            assert s.recv(15) == b"HTTP/1.1 200 OK"
        if "asan" not in str(BUILD):
            assert (rss() - before) / 1500 < 6, "KiB a connection"
        assert ways.cli(FRONT, "run", "--rm", "bb", "echo", "hi").stdout == "hi\n"
    finally:
        for s in many:
            s.close()
    eventually(lambda: int(ways.host.sh(f"ls /proc/{pid}/fd | wc -l")) < 100)


def test_out_of_descriptors_clients_wait(ways):
    """Nobody is cut off: who does not fit yet is served when another has gone."""
    path = "/run/modeld-docker/small.sock"
    front = ways.host.ready("prlimit", "--nofile=62:62", BUILD / "modeld-docker", "front",
                            "--listen", path)
    try:
        many = [ways.connect(path) for _ in range(60)]
        for s in many:
            s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for s in many:
            got = b""
            while piece := s.recv(65536):
                got += piece
            assert got.endswith(b"OK"), got
            s.close()
    finally:
        ways.host.stop(front)


def test_75_s_of_silence_change_nothing(silence):
    for future in silence:
        code, out, took = future.result(200)
        assert (code, out) == (0, "x\nlate\n") and took > 75
