"""Who has the name of the Docker socket: taken while the front works, never missing, given
back whatever happens; and `modeld-docker run`, which keeps it all going without systemd."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from conftest import BUILD, eventually
from host_fixtures import bare_host, fresh_host  # noqa: F401

NAME = "/run/docker.sock"
ENGINE = "/run/docker-engine.sock"
FRONT = "/run/modeld-docker/docker.sock"
TOOL = BUILD / "modeld-docker"
SOCKETS = "stat -c '%n %i %a %U %G' /run/*.sock /run/docker-engine*; true"


def ping(host, path=NAME):
    """What answers at the name: "front", "engine" or None."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        try:
            s.connect(f"/proc/{host.pid}/root{path}")
            s.sendall(b"GET /exp/vDD4.40/models HTTP/1.1\r\nHost: x\r\n\r\n")
            got = s.recv(65536)
        except OSError:
            return None
    return {b"503": "front", b"404": "engine"}.get(got[9:12])


def docker_works(host):
    return host.run("timeout", "10", "docker", "ps", check=False).returncode == 0


class Taken:
    def __init__(self, host, folder):
        self.host = host
        self.log = folder / "log"
        self.front = host.ready(TOOL, "front", log=self.log)
        self.take = host.ready(TOOL, "take", log=self.log)

    def restart_front(self):
        self.front = self.host.ready(TOOL, "front", log=self.log)


@pytest.fixture
def taken(fresh_host, tmp_path):
    return Taken(fresh_host, tmp_path)


def test_taking_and_giving_back_leaves_everything_as_it_was(fresh_host, tmp_path):
    before = fresh_host.snapshot()
    names = fresh_host.sh("ls -a /run | grep sock")
    pid = fresh_host.sh("pgrep -x dockerd")
    t = Taken(fresh_host, tmp_path)
    stats = fresh_host.sh(SOCKETS)
    assert ping(fresh_host) == "front" and ping(fresh_host, ENGINE) == "engine"
    own, engine = (re.search(rf"{re.escape(p)} \d+ (.*)", stats)[1] for p in (NAME, ENGINE))
    assert own == engine == "660 root docker"
    assert fresh_host.docker("run", "--rm", "bb", "echo", "hi") == "hi\n"
    assert fresh_host.stop(t.take) == 0
    assert ping(fresh_host) == "engine"
    # The front has clients still, who find the Engine under its own name.
    assert fresh_host.docker("-H", f"unix://{FRONT}", "ps")
    assert fresh_host.stop(t.front) == 0
    assert fresh_host.snapshot() == before and fresh_host.sh("pgrep -x dockerd") == pid
    assert fresh_host.sh("ls -a /run | grep sock") == names


def test_the_name_is_never_missing(taken):
    """Taken and released over and over, while clients connect."""
    host = taken.host

    def over_and_over():
        for _ in range(4):
            host.stop(taken.take)
            taken.take = host.ready(TOOL, "take", log=taken.log)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        takes = pool.submit(over_and_over)
        answers = [ping(host)]
        while not takes.done():
            answers.append(ping(host))
        takes.result()
    assert set(answers) == {"front", "engine"}


def test_it_refuses_without_a_front(fresh_host):
    before = fresh_host.sh(SOCKETS)
    r = fresh_host.run(TOOL, "take", check=False, timeout=60)
    assert r.returncode == 1 and "front does not answer" in r.stderr
    # Something else answers there.
    fresh_host.sh("mkdir -p /run/modeld-docker")
    other = fresh_host.popen("socat", f"UNIX-LISTEN:{FRONT},fork", f"UNIX-CONNECT:{NAME}")
    eventually(lambda: ping(fresh_host, FRONT))
    r = fresh_host.run(TOOL, "take", check=False, timeout=60)
    assert r.returncode == 1
    fresh_host.stop(other)
    assert fresh_host.sh(SOCKETS) == before and docker_works(fresh_host)


@pytest.mark.parametrize("spoil, says", [
    ("rm {name}; mkdir {name}", "is no socket"),
    ("rm {name}; ln -s /run/elsewhere.sock {name}", "symbolic link"),
    ("mkdir /run/open; chmod 777 /run/open", "others than root"),
])
def test_it_refuses_what_is_no_docker_socket(bare_host, tmp_path, spoil, says):
    bare_host.sh(spoil.format(name=NAME).replace("rm ", "rm -f "))
    bare_host.ready(TOOL, "front", log=tmp_path / "log")
    flags = ["--docker", "/run/open/docker.sock"] if "open" in spoil else []
    r = bare_host.run(TOOL, "take", *flags, check=False, timeout=60)
    assert r.returncode == 1 and says in r.stderr


def test_another_file_system_is_refused(fresh_host, tmp_path):
    fresh_host.sh("mkdir -p /run/modeld-docker; mount -t tmpfs tmpfs /run/modeld-docker")
    fresh_host.ready(TOOL, "front", log=tmp_path / "log")
    r = fresh_host.run(TOOL, "take", check=False, timeout=60)
    assert r.returncode == 1 and "one file system" in r.stderr
    assert docker_works(fresh_host) and ping(fresh_host) == "engine"


def test_var_run_may_be_a_link(fresh_host, tmp_path):
    fresh_host.sh("mkdir -p /run/v; ln -s /run /run/v/run")
    fresh_host.ready(TOOL, "front", log=tmp_path / "log")
    take = fresh_host.ready(TOOL, "take", "--docker", "/run/v/run/docker.sock",
                            log=tmp_path / "log")
    assert ping(fresh_host) == "front"
    fresh_host.stop(take)
    assert ping(fresh_host) == "engine"


def test_an_engine_that_starts_anew_is_taken_again(taken):
    host = taken.host
    host.stop_dockerd()
    eventually(lambda: host.run("sh", "-c", f"test -S {NAME}", check=False).returncode == 0)
    r = host.run("docker", "ps", check=False)
    assert "Is the docker daemon running?" in r.stderr
    for _ in range(2):
        host.start_dockerd()
        eventually(lambda: ping(host) == "front")
        assert host.docker("run", "--rm", "bb", "echo", "hi") == "hi\n"
        assert host.sh(f"stat -c %a:%G {NAME}") == "660:docker\n"
        host.stop_dockerd()
    host.start_dockerd()
    eventually(lambda: ping(host) == "front")
    # A container that mounted the name has the front's socket, whatever the Engine does.
    name = host.docker("run", "-d", "-v", f"{NAME}:/docker.sock", "bb", "sleep", "600").strip()
    pid = host.inspect(name, ".State.Pid")
    assert ping(host, f"/proc/{pid}/root/docker.sock") == "front"
    host.stop(taken.take)
    assert ping(host) == "engine"
    assert ping(host, f"/proc/{pid}/root/docker.sock") == "front"


def test_a_front_that_dies_or_hangs_loses_the_name_and_gets_it_again(taken):
    host = taken.host

    def seconds_without(number):
        pid = int(host.sh("pgrep -f '[m]odeld-docker front'").split()[0])
        host.sh(f"kill -{int(number)} {pid}")
        began = time.monotonic()
        eventually(lambda: docker_works(host) and ping(host) == "engine")
        took = time.monotonic() - began
        if number == signal.SIGKILL:
            taken.front.wait(60)
            taken.restart_front()
        else:
            host.sh(f"kill -CONT {pid}")
            os.kill(taken.front.pid, signal.SIGCONT)  # nsenter stops with it
        eventually(lambda: ping(host) == "front")
        return took
    for number in (signal.SIGKILL, signal.SIGSTOP):
        assert any(seconds_without(number) < 2.5 for _ in range(10))


def test_release_undoes_it_after_everything_was_killed(taken):
    host = taken.host
    host.stop(taken.take, signal.SIGKILL)
    host.stop(taken.front, signal.SIGKILL)
    assert not docker_works(host)
    host.run(TOOL, "release")
    assert docker_works(host)
    before = host.sh(SOCKETS)
    host.run(TOOL, "release")  # once more changes nothing
    assert host.sh(SOCKETS) == before
    assert "engine.sock" not in before


def test_release_knows_ours_when_its_files_are_gone(taken):
    host = taken.host
    host.stop(taken.take, signal.SIGKILL)
    host.stop(taken.front, signal.SIGKILL)
    host.sh(f"rm -r /run/modeld-docker {ENGINE}.front")
    host.run(TOOL, "release")
    assert docker_works(host)


def test_a_new_front_takes_over_from_a_dead_one(taken):
    """Its socket is another; the name that the dead one had is not the Engine's."""
    host = taken.host
    host.stop(taken.take, signal.SIGKILL)
    host.stop(taken.front, signal.SIGKILL)
    taken.restart_front()
    take = host.ready(TOOL, "take", log=taken.log)
    assert ping(host) == "front" and ping(host, ENGINE) == "engine"
    assert host.docker("run", "--rm", "bb", "echo", "hi") == "hi\n"
    host.stop(take)
    assert docker_works(host)


def test_the_front_finds_an_engine_that_was_not_taken_again(taken):
    host = taken.host
    host.stop(taken.take, signal.SIGKILL)
    host.restart_dockerd()
    assert ping(host) == "engine"
    assert host.docker("-H", f"unix://{FRONT}", "run", "--rm", "bb", "echo", "hi") == "hi\n"


def test_an_engine_s_name_that_was_removed_is_reported(taken):
    taken.host.sh(f"rm {ENGINE}")
    eventually(lambda: "was removed: restart Docker Engine" in taken.log.read_text())
    taken.host.restart_dockerd()
    eventually(lambda: ping(taken.host) == "front" and docker_works(taken.host))


def test_without_an_engine_it_waits_for_one(bare_host, tmp_path):
    bare_host.ready(TOOL, "front", log=tmp_path / "log")
    take = bare_host.ready(TOOL, "take", log=tmp_path / "log")
    bare_host.start_dockerd()
    eventually(lambda: ping(bare_host) == "front")
    bare_host.stop_dockerd()
    bare_host.stop(take)
    assert bare_host.sh("ls /run/*.sock; true") == ""


# ---- run ----

def start_run(host, folder, *flags):
    return host.ready(TOOL, "run", *flags, log=folder / "log")


def front_pid(host):
    return int(host.sh("pgrep -f '^modeld-docker front'").split()[0])


def test_run_keeps_it_all_and_undoes_it_all(fresh_host, tmp_path):
    before = fresh_host.snapshot()
    run = start_run(fresh_host, tmp_path)
    eventually(lambda: ping(fresh_host) == "front")
    r = fresh_host.run(TOOL, "run", check=False, timeout=60)
    pid = fresh_host.sh("cat /run/modeld-docker/run.pid").strip()
    assert r.returncode == 1 and f"process {pid}" in r.stderr
    assert fresh_host.docker("run", "--rm", "bb", "echo", "hi") == "hi\n"
    assert fresh_host.stop(run) == 0
    assert fresh_host.snapshot() == before
    assert fresh_host.run("pgrep", "-x", "modeld-docker", check=False).stdout == ""


HOLDER = """import fcntl, sys, time
held = []
for path in sys.argv[1:]:
    try:
        held.append(open(path))
        fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pass
print(len(held), flush=True)
time.sleep(1000)"""


def test_no_other_user_can_hold_the_locks(fresh_host, tmp_path):
    run = start_run(fresh_host, tmp_path)
    eventually(lambda: ping(fresh_host) == "front")
    fresh_host.stop(run, signal.SIGKILL)
    eventually(lambda: fresh_host.run("pgrep", "-x", "modeld-docker", check=False).stdout == "")
    left = fresh_host.sh("ls -d /run/netns /run/modeld-docker/*").split()
    holder = fresh_host.popen("setpriv", "--reuid=4242", "--regid=4242", "--clear-groups",
                              sys.executable, "-c", HOLDER, *left, stdout=subprocess.PIPE)
    assert int(holder.stdout.readline()) >= 2
    run = start_run(fresh_host, tmp_path)
    eventually(lambda: ping(fresh_host) == "front")
    assert fresh_host.stop(run) == 0
    assert not fresh_host.sh("ls /run/netns")
    fresh_host.stop(holder, signal.SIGKILL)


def test_a_run_that_is_killed_takes_all_along(fresh_host, tmp_path):
    run = start_run(fresh_host, tmp_path)
    eventually(lambda: ping(fresh_host) == "front")
    fresh_host.stop(run, signal.SIGKILL)
    eventually(lambda: docker_works(fresh_host) and ping(fresh_host) == "engine")
    eventually(lambda: fresh_host.run("pgrep", "-x", "modeld-docker",
                                      check=False).stdout == "")
    run = start_run(fresh_host, tmp_path)
    eventually(lambda: ping(fresh_host) == "front")
    fresh_host.stop(run)


def test_a_hundred_kills_of_the_front_lose_no_call(fresh_host, tmp_path):
    """run holds the socket: who comes after a kill waits for the next front."""
    run = start_run(fresh_host, tmp_path)
    eventually(lambda: ping(fresh_host) == "front")
    sleeper = fresh_host.docker("run", "-d", "bb", "sleep", "600").strip()
    for i in range(100):
        old = front_pid(fresh_host)
        fresh_host.sh(f"kill -9 {old}")
        calls = [fresh_host.popen("docker", "exec", sleeper, "echo", "hi", stdout=subprocess.PIPE)
                 for _ in range(0 if i % 10 else 4)]
        assert ping(fresh_host) == "front", i
        new = front_pid(fresh_host)
        assert new != old
        assert [(c.communicate(timeout=60)[0], c.returncode) for c in calls] == \
            [(b"hi\n", 0)] * len(calls)
        time.sleep(0.3)  # one that lives shorter counts as one that cannot start
    assert "does not stay up" not in (tmp_path / "log").read_text()
    fresh_host.docker("rm", "-f", sleeper)
    fresh_host.stop(run)


def test_a_front_that_cannot_start_gives_docker_back(fresh_host, tmp_path):
    run = start_run(fresh_host, tmp_path)
    eventually(lambda: ping(fresh_host) == "front")
    settings = "/run/modeld-docker/run.json"
    good = fresh_host.sh(f"cat {settings}")

    def seconds_without():
        fresh_host.sh(f"echo broken >{settings}; kill -9 {front_pid(fresh_host)}")
        began = time.monotonic()
        eventually(lambda: docker_works(fresh_host) and ping(fresh_host) == "engine")
        took = time.monotonic() - began
        assert "Docker goes on without it" in (tmp_path / "log").read_text()
        fresh_host.run("tee", settings, input=json.dumps(json.loads(good)))
        eventually(lambda: ping(fresh_host) == "front")
        return took
    assert any(seconds_without() < 2 for _ in range(10))
    assert fresh_host.stop(run) == 0
    assert ping(fresh_host) == "engine"


def test_run_can_leave_the_name_to_the_engine(fresh_host, tmp_path):
    run = start_run(fresh_host, tmp_path, "--take", "off")
    assert ping(fresh_host) == "engine" and ping(fresh_host, FRONT) == "front"
    fresh_host.stop(run)
