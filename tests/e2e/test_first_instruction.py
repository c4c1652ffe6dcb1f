"""The whole chain at once: real modeld, `modeld-docker run`, real containers whose first
instruction is a request by the name."""

import concurrent.futures
import signal

import pytest

from conftest import BUILD
from host_fixtures import *  # noqa: F403  (fixtures)
from host_fixtures import NAME

URL = f"http://{NAME}/engines/v1/models"
EMPTY = '{"object":"list","data":[]}'


@pytest.fixture(scope="module")
def connected(host):
    h = host
    h.ready(BUILD / "modeld", "--store", h.folder / "store", "--socket", "/run/modeld/modeld.sock",
            log=h.folder / "modeld.log")
    h.ready(BUILD / "modeld-docker", "run", "--user", "root", log=h.folder / "docker.log")
    h.docker("network", "create", "mine")
    h.docker("network", "create", "--internal", "inner")
    return h


def ask(h, *args):
    """The first instruction of a new container."""
    return h.docker("run", "--rm", *args, "bb", "wget", "-qO-", URL).strip()


@pytest.mark.parametrize("network", ["bridge", "mine", "host"])
def test_the_first_instruction_gets_an_answer(connected, network):
    for _ in range(5):
        assert ask(connected, "--network", network) == EMPTY


@pytest.mark.parametrize("second", ["mine", "inner"])
def test_so_it_does_on_two_networks(connected, second):
    box = connected.docker("create", "--network", "bridge", "bb", "wget", "-qO-", URL).strip()
    connected.docker("network", "connect", second, box)
    assert connected.docker("start", "-a", box).strip() == EMPTY
    connected.docker("rm", box)


def test_thirty_starts_at_once_on_a_busy_machine_miss_nothing(connected):
    burners = [connected.popen("sh", "-c", "while :; do :; done") for _ in range(2)]
    try:
        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            got = list(pool.map(lambda i: ask(connected, "--network", ("bridge", "mine")[i % 2]),
                                range(30)))
    finally:
        for burner in burners:
            connected.stop(burner, signal.SIGKILL)
    assert got == [EMPTY] * 30


def test_a_container_that_docker_restarts_gets_an_answer_each_time(connected):
    h = connected
    script = f"(wget -qO- {URL} || echo miss) >>/log; echo >>/log; exec sleep 1000"
    box = h.docker("run", "-d", "--restart", "always", "bb", "sh", "-c", script).strip()
    for _ in range(3):
        h.restart_dockerd()
    lines = h.docker("exec", box, "cat", "/log").split()
    assert len(lines) >= 4 and set(lines) == {EMPTY}
    h.docker("rm", "-f", box)
