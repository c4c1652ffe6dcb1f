"""modeld-docker names: the hosts files of real containers and builds, and what a hostile
container can do to its own."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from conftest import BUILD, eventually, memory_kib
from host_fixtures import ADDRESS, NAME, bare_host, fresh_host, host  # noqa: F401

PROGRAM = BUILD / "modeld-docker"
LINE = f"{ADDRESS}\t{NAME}\n"
MARKED = f"{ADDRESS}\t{NAME} # modeld\n"
# What a first instruction says: the address that the C library finds for the name.
LOOK_UP = f"ping -c 1 -W 1 {NAME} 2>&1 | sed -n 's/^PING [^(]*(\\([^)]*\\)).*/\\1/p;s/^.*bad.*$/miss/p'"


started = []


def start(h, *args, log=None):
    child = h.ready(PROGRAM, "names", "--log-level", "debug", *args,
                    log=log or h.folder / "names.log")
    started.append((h, child))
    return child


@pytest.fixture(autouse=True)
def no_leftovers():
    """A test that failed leaves no follower for the next one to meet."""
    yield
    while started:
        h, child = started.pop()
        if child.poll() is None:
            h.stop(child, signal.SIGKILL)


@pytest.fixture
def names(host):
    child = start(host)
    yield host
    assert host.stop(child) == 0


def hosts_files(h):
    """Every hosts file of Docker's, by path: its bytes."""
    files = [*h.data_root.glob("containers/*/hosts"), *h.data_root.glob("buildkit/executor/hosts*"),
             h.folder / "hosts"]
    return {f: f.read_bytes() for f in files}


def hosts_of(h, container):
    name = h.docker("inspect", "-f", "{{.Id}}", container).strip()
    return h.data_root / "containers" / name / "hosts"


def remove_all(h):
    h.sh("docker ps -aq | xargs -r docker rm -f")


# ---- 1: the first instruction ----

@pytest.mark.parametrize("network", ["bridge", "user", "host"])
def test_first_instruction(names, network):
    names.sh("docker network create user >/dev/null 2>&1 || true")
    for _ in range(3):
        assert names.docker("run", "--rm", "--network", network, "bb", "sh", "-c", LOOK_UP) \
            == f"{ADDRESS}\n"


@pytest.mark.parametrize("second", ["bridges", "internal"])
def test_first_instruction_on_two_networks(names, second):
    names.sh(f"""set -e; docker network create one-{second}
        docker network create {'--internal' if second == 'internal' else ''} two-{second}
        docker create --name two --network one-{second} bb sh -c "{LOOK_UP.replace('$', chr(92) + '$')}"
        docker network connect two-{second} two""")
    assert names.docker("start", "-a", "two") == f"{ADDRESS}\n"
    names.docker("network", "disconnect", f"two-{second}", "two")
    assert names.docker("start", "-a", "two") == f"{ADDRESS}\n"
    names.docker("rm", "two")


def test_thirty_at_once_under_load(names):
    burners = [names.popen("sh", "-c", "while :; do :; done") for _ in range(2)]
    try:
        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            said = list(pool.map(
                lambda _: names.docker("run", "--rm", "bb", "sh", "-c", LOOK_UP, timeout=300),
                range(30)))
    finally:
        for b in burners:
            names.stop(b, signal.SIGKILL)
    assert said == [f"{ADDRESS}\n"] * 30


# ---- 2 and 3: restarts, and containers older than we ----

def test_restart_always_over_engine_restarts(fresh_host, tmp_path):
    h = fresh_host
    said = tmp_path / "said"
    said.mkdir()
    child = start(h)
    for i in range(3):
        h.docker("run", "-d", "--restart=always", "-v", f"{said}:/said", "bb", "sh", "-c",
                 f"{LOOK_UP} >>/said/{i}; exec sleep 1000")
    for restarts in range(4):
        eventually(lambda: all((said / str(i)).is_file() and
                               len((said / str(i)).read_text().split()) > restarts
                               for i in range(3)))
        if restarts < 3:
            h.restart_dockerd()
    for i in range(3):
        assert (said / str(i)).read_text() == f"{ADDRESS}\n" * 4
    assert h.stop(child) == 0


def test_a_crash_looping_container_has_it_at_every_start(names, tmp_path):
    names.docker("run", "-d", "--name", "loop", "--restart=always", "-v", f"{tmp_path}:/said",
                 "bb", "sh", "-c", f"{LOOK_UP} >>/said/loop; exit 1")
    eventually(lambda: (tmp_path / "loop").exists() and
               len((tmp_path / "loop").read_text().split()) >= 5)
    names.docker("rm", "-f", "loop")
    assert set((tmp_path / "loop").read_text().split()) == {ADDRESS}


def test_started_before_the_engine_it_follows_the_remembered_folder(fresh_host):
    """As at boot: the Engine's containers start before its API answers."""
    h = fresh_host
    h.docker("run", "-d", "--name", "old", "--restart=always", "bb", "sleep", "1000")
    path = hosts_of(h, "old")
    child = start(h)
    assert path.read_text().endswith(LINE)
    assert h.stop(child) == 0
    assert NAME not in path.read_text()
    h.stop_dockerd()
    child = start(h)
    assert path.read_text().endswith(LINE)
    h.start_dockerd(*h.dockerd_args)
    assert h.docker("run", "--rm", "bb", "sh", "-c", LOOK_UP) == f"{ADDRESS}\n"
    assert h.stop(child) == 0


def test_another_root_is_followed_when_the_engine_says_so(bare_host):
    h = bare_host
    old = h.folder / "old"
    (old / "containers" / ("a" * 64)).mkdir(parents=True)
    old_file = old / "containers" / ("a" * 64) / "hosts"
    old_file.write_text("127.0.0.1\tlocalhost\n")
    h.sh(f"""printf '{{"root":"{old}"}}' >/var/lib/modeld-docker/names.json""")
    child = start(h)
    eventually(lambda: old_file.read_text().endswith(LINE))
    h.start_dockerd()
    h.make_image()
    eventually(lambda: NAME not in old_file.read_text())
    assert h.docker("run", "--rm", "bb", "sh", "-c", LOOK_UP) == f"{ADDRESS}\n"
    assert h.stop(child) == 0
    assert json.loads(h.sh("cat /var/lib/modeld-docker/names.json"))["root"] == str(h.data_root)


def test_containers_older_than_we_have_it_at_once(host):
    for i in range(3):
        host.docker("run", "-d", "--name", f"older{i}", "bb", "sleep", "1000")
    before = hosts_files(host)
    child = start(host)
    for i in range(3):
        assert host.docker("exec", f"older{i}", "sh", "-c", LOOK_UP) == f"{ADDRESS}\n"
    assert MARKED in host.sh("cat /etc/hosts")
    assert host.stop(child) == 0
    assert hosts_files(host) == before
    for i in range(3):
        assert NAME not in host.docker("exec", f"older{i}", "cat", "/etc/hosts")
    remove_all(host)


# ---- 4: builds, Compose, swarm ----

def docker_with_buildkit():
    """A docker CLI that speaks to BuildKit itself: until 20.10 it is built in."""
    for folder in os.environ["PATH"].split(":"):
        cli = pathlib.Path(folder) / "docker"
        if cli.exists() and " 20.10." in subprocess.run(
                [cli, "--version"], capture_output=True, text=True).stdout:
            return cli
    pytest.fail("no docker 20.10, whose CLI has BuildKit built in (Debian's docker.io has it)")


@pytest.mark.parametrize("network", ["default", "host"])
@pytest.mark.parametrize("buildkit", [0, 1], ids=["classic", "buildkit"])
def test_build_steps(names, tmp_path, network, buildkit):
    (tmp_path / "Dockerfile").write_text(
        f"FROM bb\nARG N\nRUN {LOOK_UP} >/said\nRUN {LOOK_UP} >>/said\n")
    for n in range(2):
        names.run(docker_with_buildkit(), "build", "-q", "--no-cache", "--network", network,
                  "--build-arg", f"N={n}", "-t", "built", tmp_path,
                  env={**os.environ, "DOCKER_BUILDKIT": str(buildkit)}, timeout=300)
        assert names.docker("run", "--rm", "built", "cat", "/said") == f"{ADDRESS}\n" * 2


@pytest.mark.parametrize("buildkit", [0, 1], ids=["classic", "buildkit"])
def test_add_host_of_a_build_wins(names, tmp_path, buildkit):
    (tmp_path / "Dockerfile").write_text(f"FROM bb\nRUN grep {NAME} /etc/hosts >/said\n")
    names.run(docker_with_buildkit(), "build", "-q", "--no-cache", "--add-host",
              f"{NAME}:10.9.8.7", "-t", "built", tmp_path,
              env={**os.environ, "DOCKER_BUILDKIT": str(buildkit)}, timeout=300)
    assert names.docker("run", "--rm", "built", "cat", "/said").split() == ["10.9.8.7", NAME]


COMPOSE = f"""
version: "2.4"
services:
  plain:
    image: bb
    command: ["sh", "-c", "{LOOK_UP.replace(chr(92), chr(92) * 2).replace('$', '$$')}; exec sleep 1000"]
  own:
    image: bb
    command: ["sleep", "1000"]
    extra_hosts: ["{NAME}:10.9.8.7"]
"""


def test_compose(names, tmp_path):
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)

    def compose(*args):
        return names.out("docker-compose", "-p", "proj", "-f", tmp_path / "docker-compose.yml",
                         *args, timeout=300)
    compose("up", "-d")
    try:
        eventually(lambda: ADDRESS in compose("logs", "--no-color", "plain"))
        assert compose("exec", "-T", "plain", "sh", "-c", LOOK_UP) == f"{ADDRESS}\n"
        assert compose("run", "--rm", "-T", "plain", "sh", "-c", LOOK_UP) == f"{ADDRESS}\n"
        assert compose("exec", "-T", "own", "sh", "-c", LOOK_UP) == "10.9.8.7\n"
        assert compose("run", "--rm", "-T", "own", "sh", "-c", LOOK_UP) == "10.9.8.7\n"
    finally:
        compose("down")
    assert "proj" not in names.docker("network", "ls")


def test_a_swarm_task_on_an_overlay(fresh_host):
    h = fresh_host
    probe = h.run("ip", "link", "add", "vx", "type", "vxlan", "id", "1", "dstport", "4789",
                  check=False)
    if probe.returncode:
        pytest.skip("the kernel has no vxlan: " + probe.stderr)
    h.docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    child = start(h)
    h.docker("network", "create", "-d", "overlay", "over")
    h.docker("service", "create", "-d", "--name", "task", "--network", "over", "bb", "sh", "-c",
             f"{LOOK_UP}; exec sleep 1000", timeout=300)
    try:
        eventually(lambda: h.docker("service", "logs", "--raw", "task").strip())
        assert h.docker("service", "logs", "--raw", "task") == f"{ADDRESS}\n"
    finally:
        h.docker("service", "rm", "task")
        h.docker("swarm", "leave", "--force")
    assert h.stop(child) == 0


# ---- 8: what is the user's ----

def test_the_users_own_entry_wins(names):
    for entry, wanted in ((f"{NAME}:10.9.8.7", "10.9.8.7"),
                          (f"{NAME.upper()}:10.9.8.6", "10.9.8.6")):
        assert names.docker("run", "--rm", "--add-host", entry, "bb", "sh", "-c", LOOK_UP) \
            == f"{wanted}\n"


def test_the_users_entry_that_reads_like_ours_stays_after_us(host):
    host.docker("run", "-d", "--name", "same", "--add-host", f"{NAME}:{ADDRESS}", "bb",
                "sleep", "1000")
    path = hosts_of(host, "same")
    before = path.read_bytes()
    child = start(host)
    assert path.read_bytes() == before
    assert host.stop(child) == 0
    assert path.read_bytes() == before
    remove_all(host)


def test_a_mounted_hosts_file_is_untouched(names, tmp_path):
    mine = tmp_path / "hosts"
    mine.write_bytes(b"127.0.0.1 localhost\r\n10.0.0.1 x")
    was = mine.stat()
    said = names.docker("run", "--rm", "-v", f"{mine}:/etc/hosts", "bb", "cat", "/etc/hosts")
    names.docker("run", "--rm", "-v", f"{mine}:/etc/hosts", "bb", "sh", "-c", "echo >>/etc/hosts")
    assert NAME not in said
    assert mine.read_bytes() == b"127.0.0.1 localhost\r\n10.0.0.1 x\n"
    assert mine.stat().st_ino == was.st_ino


def test_network_connect_and_disconnect_keep_it(names):
    names.docker("network", "create", "later")
    names.docker("run", "-d", "--name", "moves", "bb", "sleep", "1000")
    for _ in range(3):
        for verb in ("connect", "disconnect"):
            names.docker("network", verb, "later", "moves")
            eventually(lambda: names.docker("exec", "moves", "sh", "-c", LOOK_UP)
                       == f"{ADDRESS}\n")
    text = hosts_of(names, "moves").read_text()
    assert text.count(NAME) == 1
    remove_all(names)
    names.docker("network", "rm", "later")


def test_inspect_shows_nothing_of_us(names):
    names.docker("run", "-d", "--name", "plain", "bb", "sleep", "1000")
    assert "modeld" not in names.docker("inspect", "plain")
    assert NAME not in names.docker("inspect", "plain")
    remove_all(names)


# ---- taking it out ----

def test_the_end_leaves_every_file_as_it_was(host):
    host.docker("network", "create", "other")
    for i, network in enumerate(("bridge", "other", "host", "none")):
        host.docker("run", "-d", "--name", f"c{i}", "--network", network, "bb", "sleep", "1000")
    host.docker("create", "--name", "never-ran", "bb", "true")
    # A file without a newline at its end; the container's own doing.
    host.docker("exec", "c0", "sh", "-c", "printf '10.1.1.1 no-newline' >>/etc/hosts")
    (host.folder / "hosts").write_bytes((host.folder / "hosts").read_bytes() + b"10.2.2.2 y")
    before = hosts_files(host)
    inodes = {f: f.stat().st_ino for f in before}
    child = start(host)
    for i in (0, 1, 3):
        assert NAME in host.docker("exec", f"c{i}", "cat", "/etc/hosts")
    host.docker("run", "-d", "--name", "during", "--network", "host", "bb", "sleep", "1000")
    assert NAME in hosts_of(host, "during").read_text()
    assert host.stop(child) == 0
    after = hosts_files(host)
    assert NAME not in after.pop(hosts_of(host, "during")).decode()
    assert after == before
    assert {f: f.stat().st_ino for f in before} == inodes
    remove_all(host)
    host.docker("network", "rm", "other")
    (host.folder / "hosts").write_bytes(before[host.folder / "hosts"][:-len(b"10.2.2.2 y")])


def test_a_killed_one_leaves_what_the_next_one_keeps_or_takes_out(host):
    host.docker("run", "-d", "--name", "stays", "bb", "sleep", "1000")
    before = hosts_files(host)
    for _ in range(3):
        host.stop(start(host), signal.SIGKILL)
        assert hosts_of(host, "stays").read_text().count(NAME) == 1
        assert host.sh("cat /etc/hosts").count(NAME) == 1
    # Killed in the middle of many starts.
    child = start(host)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(host.docker, "run", "-d", "--label", "many", "bb", "sleep", "1000")
                for _ in range(8)]
        eventually(lambda: sum(r.done() for r in runs) >= 3)
        host.stop(child, signal.SIGKILL)
        ids = [r.result().strip() for r in runs]
    # Another address and another name meanwhile: the old lines are known all the same.
    child = start(host, "--address", "169.254.255.91", "--name", "other.internal")
    for name in ids:
        text = (host.data_root / "containers" / name / "hosts").read_text()
        assert NAME not in text and "169.254.255.91\tother.internal\n" in text
    host.stop(child, signal.SIGKILL)
    child = start(host)
    for name in ids:
        text = (host.data_root / "containers" / name / "hosts").read_text()
        assert text.count(LINE) == 1 and "other.internal" not in text
    host.stop(child, signal.SIGKILL)
    host.run(PROGRAM, "names", "remove")
    after = hosts_files(host)
    assert {f: after[f] for f in before} == before
    assert not any(NAME.encode() in text for text in after.values())
    assert not host.sh("ls -A /var/lib/modeld-docker")
    remove_all(host)


def test_two_followers_do_not_fight(names):
    other = names.run(PROGRAM, "names", check=False)
    assert other.returncode == 1 and "another 'modeld-docker names' is running" in other.stderr
    other = names.run(PROGRAM, "names", "remove", check=False)
    assert other.returncode == 1 and "end that one" in other.stderr


def test_what_cannot_be_undone_is_an_error(host):
    child = start(host)
    host.run("mount", "-o", "remount,ro,bind", "/etc/hosts")
    host.stop(child)
    got = host.run(PROGRAM, "names", "remove", check=False)
    assert got.returncode == 1 and "1 hosts files could not be changed" in got.stderr
    assert NAME in host.sh("cat /etc/hosts")
    host.run("mount", "-o", "remount,rw,bind", "/etc/hosts")
    host.run(PROGRAM, "names", "remove")
    assert NAME not in host.sh("cat /etc/hosts")
    assert not host.sh("ls -A /var/lib/modeld-docker")


# ---- the host's own file ----

def test_the_hosts_own_file(host, tmp_path):
    log = tmp_path / "log"
    path = host.folder / "hosts"  # mounted at /etc/hosts
    before = path.read_bytes()
    child = start(host, log=log)
    assert path.read_bytes() == before + MARKED.encode()
    assert host.sh(f"getent hosts {NAME}").split()[0] == ADDRESS
    # Rewritten by somebody who does not know of us.
    path.write_bytes(before)
    eventually(lambda: path.read_bytes() == before + MARKED.encode())
    # The administrator's own line wins, and stays.
    path.write_bytes(before + b"10.9.9.9 " + NAME.encode() + b"\n")
    eventually(lambda: "left alone" in log.read_text())
    assert host.stop(child) == 0
    assert path.read_bytes() == before + b"10.9.9.9 " + NAME.encode() + b"\n"
    path.write_bytes(before)
    child = start(host, "--hosts", "off")
    assert path.read_bytes() == before
    assert host.stop(child) == 0


def test_an_editor_that_renames_is_followed(host, tmp_path):
    path = tmp_path / "etc-hosts"
    path.write_text("127.0.0.1 localhost\n")
    child = start(host, "--hosts", path)
    assert path.read_text() == "127.0.0.1 localhost\n" + MARKED
    for i in range(3):
        (tmp_path / "new").write_text(f"127.0.0.1 localhost x{i}\n")
        (tmp_path / "new").rename(path)
        eventually(lambda: path.read_text() == f"127.0.0.1 localhost x{i}\n" + MARKED)
    assert host.stop(child) == 0
    assert path.read_text() == "127.0.0.1 localhost x2\n"


# ---- internal networks that were let in ----

def test_an_internal_network_that_was_let_in_has_its_gateway(host, tmp_path):
    host.docker("network", "create", "--internal", "inside")
    host.docker("network", "create", "--internal", "shut")
    gateway = json.loads(host.docker("network", "inspect", "inside"))[0]["IPAM"]["Config"][0]["Gateway"]
    config = tmp_path / "docker.json"
    config.write_text(json.dumps({"internal": ["inside"]}))
    log = tmp_path / "log"
    child = start(host, "--config", config, log=log)
    assert host.docker("run", "--rm", "--network", "shut", "bb", "sh", "-c", LOOK_UP) \
        == f"{ADDRESS}\n"
    host.docker("run", "-d", "--name", "in", "--network", "inside", "bb", "sleep", "1000")
    eventually(lambda: host.docker("exec", "in", "sh", "-c", LOOK_UP) == f"{gateway}\n")
    assert host.docker("run", "--rm", "--network", "inside", "bb", "sh", "-c", LOOK_UP) \
        == f"{gateway}\n"
    # With a way out it has the address; without, the gateway again.
    host.docker("network", "connect", "bridge", "in")
    eventually(lambda: host.docker("exec", "in", "sh", "-c", LOOK_UP) == f"{ADDRESS}\n")
    # Engine 20.10 leaves the address in the file until the container starts again.
    host.docker("network", "disconnect", "bridge", "in")
    host.docker("restart", "-t", "0", "in")
    eventually(lambda: host.docker("exec", "in", "sh", "-c", LOOK_UP) == f"{gateway}\n")
    path = hosts_of(host, "in")
    assert path.read_text().count(NAME) == 1
    assert host.stop(child) == 0
    assert NAME not in path.read_text()
    remove_all(host)
    host.docker("network", "rm", "inside", "shut")


# ---- folders that come and go, links, rubbish: without an Engine ----

class Tree:
    """Docker's data folder, made by hand."""

    def __init__(self, h):
        self.h = h
        self.root = h.folder / "away" / "docker"

    def container(self, digit, text="127.0.0.1\tlocalhost\n"):
        folder = self.root / "containers" / (digit * 64)
        folder.mkdir(parents=True, exist_ok=True)
        if text is not None:
            (folder / "hosts").write_text(text)
        return folder / "hosts"

    def step(self, name):
        """A file of BuildKit's, which writes another one and gives that the name."""
        folder = self.root / "buildkit" / "executor"
        (folder / f"{name}.tmp").write_text("1.1.1.1 x\n")
        return (folder / f"{name}.tmp").rename(folder / name)


@pytest.fixture
def tree(bare_host):
    return Tree(bare_host)


def has_line(path):
    return eventually(lambda: path.read_text().endswith(LINE))


def test_folders_come_and_go(tree):
    h = tree.h
    child = start(h, "--root", tree.root)
    has_line(tree.container("a"))
    has_line(tree.container("b"))
    executor = tree.root / "buildkit" / "executor"
    executor.mkdir(parents=True)
    for name in ("hosts", "hosts.abc"):
        has_line(tree.step(name))
    half = executor / "hosts.abc.tmp"
    half.write_text("1.1.1.1 x\n")
    # All of it goes and comes again, also under another inode.
    for _ in range(3):
        shutil.rmtree(tree.root.parent)
        has_line(tree.container("a"))
        executor.mkdir(parents=True)
        has_line(tree.step("hosts"))
        tree.root.rename(tree.root.with_name("moved"))
        has_line(tree.container("a"))
        shutil.rmtree(tree.root)
        tree.root.with_name("moved").rename(tree.root)
        has_line(tree.container("c"))
    # A file system mounted over it is not told by inotify.
    h.sh(f"mount -t tmpfs tmpfs {tree.root} && mkdir -p {tree.root}/containers/{'d' * 64} && "
         f"echo 1.1.1.1 x >{tree.root}/containers/{'d' * 64}/hosts")
    eventually(lambda: NAME in h.sh(f"cat {tree.root}/containers/{'d' * 64}/hosts"))
    h.sh(f"umount {tree.root}")
    has_line(tree.container("e"))
    assert h.stop(child) == 0
    assert half.exists() is False
    assert NAME not in (tree.root / "containers" / ("e" * 64) / "hosts").read_text()


def test_links_and_other_kinds_of_files_are_left_alone(tree):
    h = tree.h
    secret = h.folder / "secret"
    secret.write_text("127.0.0.1\tlocalhost\n")
    tree.container("a", None).symlink_to(secret)
    os.mkfifo(tree.container("b", None))
    tree.container("c", None).mkdir()
    elsewhere = h.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "hosts").write_text("1.1.1.1 x\n")
    (tree.root / "containers" / ("d" * 64)).symlink_to(elsewhere)
    (tree.root / "containers" / "network-db").mkdir()
    (tree.root / "containers" / "network-db" / "hosts").write_text("1.1.1.1 x\n")
    with open(tree.container("e", None), "wb") as f:
        f.truncate(1 << 40)
    good = tree.container("f")
    child = start(h, "--root", tree.root)
    assert has_line(good)
    os.mkfifo(tree.container("1", None))
    tree.container("2", None).symlink_to(secret)
    assert has_line(tree.container("3"))
    assert h.stop(child) == 0
    assert secret.read_text() == "127.0.0.1\tlocalhost\n"
    for kept in (elsewhere / "hosts", tree.root / "containers" / "network-db" / "hosts"):
        assert kept.read_text() == "1.1.1.1 x\n"
    assert "not a regular file" in (h.folder / "names.log").read_text()


def test_a_queue_that_ran_over_loses_nobody(tree):
    h = tree.h
    child = start(h, "--root", tree.root)
    files = [tree.container(c) for c in "ab"]
    for f in files:
        has_line(f)
    pid = int(proc(child).name)
    os.kill(pid, signal.SIGSTOP)
    events = int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for _ in range(events // 2 + 100):
        for f in files:
            with open(f, "ab"):
                pass
    late = [tree.container(c) for c in "cdef"]
    files[0].write_text("1.1.1.1 again\n")
    for stopped in (pid, child.pid):  # nsenter stops when what it started does
        os.kill(stopped, signal.SIGCONT)
    for f in late + files:
        has_line(f)
    assert h.stop(child) == 0


# ---- a hostile container ----

def proc(child):
    """nsenter only waits for what it started."""
    kids = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children")
    return pathlib.Path("/proc") / kids.read_text().split()[0]


def sanitizer_cost(child):
    """About how much more AddressSanitizer makes everything cost."""
    return 4 if "asan" in (proc(child) / "maps").read_text() else 1


def cpu_ms(child):
    fields = (proc(child) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def peak_mb(child):
    return memory_kib(proc(child).name, "HWM") / 1024


HOSTILE = {
    # Appends without end: more than any hosts file has, in the end.
    "appends": "while :; do echo 1.1.1.1 x >>/etc/hosts; done",
    # Takes our line out as soon as it is there.
    "removes": f"while :; do printf '1.1.1.1 x\\n' >/etc/hosts; done",
    # Large, and touched all the time.
    "large": "head -c 8000000 /dev/urandom >/etc/hosts; while :; do echo >>/etc/hosts; done",
    "lines": "yes '1.1.1.1 a b c d e f' | head -c 8000000 >/etc/hosts; "
             "while :; do : >>/etc/hosts; done",
    "sparse": "dd if=/dev/zero of=/etc/hosts bs=1 seek=1000000000000 count=1; "
              "while :; do : >>/etc/hosts; done",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_container_that_fights_costs_next_to_nothing(host, kind, tmp_path):
    log = tmp_path / "log"
    child = start(host, log=log)
    host.docker("run", "-d", "--name", "bad", "bb", "sh", "-c", HOSTILE[kind])
    eventually(lambda: host.docker("inspect", "-f", "{{.State.Running}}", "bad") == "true\n")
    # Silence is what is tested: so much processor time in three seconds.
    time.sleep(1)
    before = cpu_ms(child)
    time.sleep(3)
    spent = (cpu_ms(child) - before) / sanitizer_cost(child)
    # The others have what they had.
    for _ in range(2):
        assert host.docker("run", "--rm", "bb", "sh", "-c", LOOK_UP) == f"{ADDRESS}\n"
    host.docker("rm", "-f", "bad")
    assert host.stop(child) == 0
    assert spent <= 150, f"{spent} ms of 3000"
    assert log.stat().st_size < 20000, log.read_text()[-2000:]


def test_memory_is_bounded(tree):
    h = tree.h
    child = start(h, "--root", tree.root)
    def at_once(digit, text):
        """Docker's files are small; of a large one no half is to be seen."""
        path = tree.container(digit, None)
        path.with_name("new").write_text(text)
        return path.with_name("new").rename(path)
    big = at_once("a", "1.1.1.1 x\n" * 700000)
    has_line(big)
    at_once("b", "1.1.1.1 x\n" * 900000)
    has_line(tree.container("c"))
    assert peak_mb(child) / sanitizer_cost(child) < 40
    assert h.stop(child) == 0
    assert hashlib.sha256(big.read_bytes()).digest() == \
        hashlib.sha256(b"1.1.1.1 x\n" * 700000).digest()
