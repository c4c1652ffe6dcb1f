"""An Engine that fails to answer is asked again: nothing happens in Docker meanwhile that would
be a reason to look. The Engine is real, behind a relay that fails the first question."""

import json
import sys
import time

import pytest

from conftest import BUILD, ROOT, eventually
from host_fixtures import ADDRESS, NAME, host  # noqa: F401
from test_docker_net import PORT, Net

PROGRAM = BUILD / "modeld-docker"
AGAIN_SECONDS = 5  # LIMIT_DOCKERD_AGAIN_MS
RELAY = "/run/engine-relay.sock"


class Relay:
    """The Engine of a host at RELAY, which fails the first GET of a path, and answers the next
    when go_on() was called."""

    def __init__(self, h, folder, how, path):
        self.h = h
        self.path = path
        self.log = folder / "relay.log"
        self.gate = folder / "relay.log.go"
        h.sh(f"rm -f {RELAY}")
        self.child = h.popen(sys.executable, ROOT / "tests/tools/engine_relay.py", RELAY,
                             "/run/docker.sock", self.log, how, 1, path)
        eventually(lambda: h.run("test", "-S", RELAY, check=False).returncode == 0)

    def go_on(self):
        self.gate.touch()

    def tries(self):
        """(second, failed or passed) of each question for the path."""
        asked = [line.split() for line in self.log.read_text().splitlines()]
        return [(float(at), how) for at, path, how in asked if path == self.path]

    def check_tries(self):
        """It failed once and was asked once more, when it was time."""
        (one, failed), (two, passed) = self.tries()
        assert (failed, passed) == ("failed", "passed")
        assert two - one > AGAIN_SECONDS - 0.1


@pytest.fixture
def relay(host, tmp_path):  # noqa: F811
    started = []

    def begin(how, path):
        started.append(Relay(host, tmp_path, how, path))
        return started[-1]
    yield begin
    for r in started:
        host.stop(r.child)


@pytest.mark.parametrize("how", ["error", "silence"])
def test_listen_has_the_gateway_by_the_second_try(relay, host, tmp_path, how):  # noqa: F811
    r = relay(how, "/networks")
    n = Net(host, tmp_path)
    n.up()
    n.start_listen("--docker", RELAY)
    n.start_peer()
    n.wait("containers")
    eventually(lambda: r.tries())
    assert not any(m.get("way") == "gateway" for m in n.lines())
    r.go_on()
    n.wait("gateway")
    r.check_tries()
    got = n.run("--name", "asker", url=f"http://172.17.0.1:{PORT}/")
    assert got["way"] == "gateway" and got["who"]["name"] == "asker"
    assert n.log.read_text().count("Docker's networks are not known") == 1
    n.stop()
    n.down()


def hosts_file(h, container):
    name = h.docker("inspect", "-f", "{{.Id}}", container).strip()
    return h.data_root / "containers" / name / "hosts"


@pytest.fixture
def start_names(host, tmp_path):  # noqa: F811
    def begin(*args):
        # Else the folder that an earlier one remembers is followed at once.
        host.sh("rm -rf /var/lib/modeld-docker/*")
        children.append(host.ready(PROGRAM, "names", "--log-level", "debug", "--docker", RELAY,
                                   *args, log=tmp_path / "names.log"))
    children = []
    yield begin
    assert [host.stop(c) for c in children] == [0]
    host.docker("rm", "-f", "old")


@pytest.mark.parametrize("how", ["error", "silence"])
def test_names_finds_dockers_folder_by_the_second_try(
        relay, start_names, host, how):  # noqa: F811
    host.docker("run", "-d", "--name", "old", "bb", "sleep", "1000")
    path = hosts_file(host, "old")
    r = relay(how, "/info")
    start_names()
    eventually(lambda: r.tries())
    assert NAME not in path.read_text()
    r.go_on()
    eventually(lambda: path.read_text().endswith(f"\n{ADDRESS}\t{NAME}\n"))
    r.check_tries()


def test_names_lets_an_internal_network_in_by_the_second_try(
        relay, start_names, host, tmp_path):  # noqa: F811
    host.docker("network", "create", "--internal", "inside")
    inside = json.loads(host.docker("network", "inspect", "inside"))[0]
    gateway = inside["IPAM"]["Config"][0]["Gateway"]
    made = time.time()
    host.docker("run", "-d", "--name", "old", "--network", "inside", "bb", "sleep", "1000")
    path = hosts_file(host, "old")
    # The Engine tells what happened since this whole second: that would be a reason to look.
    eventually(lambda: int(time.time()) > made)
    config = tmp_path / "docker.json"
    config.write_text(json.dumps({"internal": ["inside"]}))
    r = relay("error", "/networks")
    start_names("--config", config)
    eventually(lambda: path.read_text().endswith(f"\n{ADDRESS}\t{NAME}\n"))
    r.go_on()
    eventually(lambda: f"\n{gateway}\t{NAME}" in path.read_text())
    assert ADDRESS not in path.read_text()
    r.check_tries()
