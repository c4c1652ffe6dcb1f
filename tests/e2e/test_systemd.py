"""connect and disconnect with a real systemd, which runs Docker Engine and our units.
The tests of this file are one story, in the order of the file."""

import json
import re
import subprocess
import time

import pytest

from conftest import eventually
from host_fixtures import ADDRESS, NAME
from machine_fixtures import machine  # noqa: F401

CLI = "/usr/local/bin/docker-model"
URL = f"http://{NAME}/engines/v1/models"
EXP = "http://localhost/exp/vDD4.40/engines/v1/models"
UNITS = ["modeld-net.service", "modeld-listen.service", "modeld-names.service",
         "modeld-docker.socket", "modeld-docker.service", "modeld-take.service"]


def ask_socket(m):
    return m.run("curl", "-s", "--unix-socket", "/run/docker.sock", EXP, check=False).stdout


def works(m):
    eventually(lambda: '"list"' in ask_socket(m))
    got = m.docker("run", "--rm", "bb", "wget", "-q", "-O", "-", URL)
    assert json.loads(got)["object"] == "list"
    assert json.loads(m.out("curl", "-s", URL))["object"] == "list"


def docker_pids(m):
    return m.main_pid("docker.service"), m.sh(
        "docker ps -q --no-trunc | sort | xargs -r docker inspect -f '{{.State.Pid}}'")


def states(m):
    return m.sh(f"systemctl is-active {' '.join(UNITS)} || true").split()


@pytest.fixture(scope="module")
def story(machine):  # noqa: F811
    """What the tests of this file hand on."""
    machine.docker("run", "-d", "--name", "old", "bb", "sleep", "100000")
    machine.docker("run", "-d", "--name", "boots", "--restart", "always", "bb", "sh", "-c",
                   f"wget -q -O /dev/null {URL} && echo REACHED || echo MISSED; sleep 100000")
    return {"before": machine.snapshot(), "pids": docker_pids(machine)}


def test_the_installed_units_are_right(machine):  # noqa: F811
    m = machine
    names = m.sh("cd /usr/local/lib/systemd/system && ls modeld*").split()
    assert set(names) == {*UNITS, "modeld.service", "modeld.target", "modeld-release.service",
                          "modeld-dns.service"}
    got = m.run("systemd-analyze", "verify", "--man=no", *names, check=False)
    assert (got.returncode, got.stdout, got.stderr) == (0, "", "")
    for unit in names:
        if unit.endswith(".service"):
            said = m.sh(f"systemd-analyze security --no-pager {unit} | tail -1")
            level = float(re.search(r"level for \S+: ([\d.]+)", said)[1])
            # The two that work on the network cannot be without its rights.
            assert level <= (5.0 if unit == "modeld-net.service" else 4.0), said


def test_connect_starts_all_and_touches_nothing_of_dockers(machine, story):  # noqa: F811
    m = machine
    said = m.out(CLI, "connect")
    assert "modeld.target is enabled and started" in said
    assert "started, now and at every boot" in said
    assert states(m) == ["active"] * 6
    works(m)
    assert docker_pids(m) == story["pids"]
    assert json.loads(m.docker("exec", "old", "wget", "-q", "-O", "-", URL))["object"] == "list"
    again = m.out(CLI, "connect")
    assert "as before" in again and docker_pids(m) == story["pids"]
    doctor = m.run(CLI, "doctor", check=False)
    assert doctor.returncode == 0, doctor.stdout
    assert "OK   helper: 6 units are active" in doctor.stdout


def test_modeld_has_no_rights_and_restarts_without_docker(machine):  # noqa: F811
    m = machine
    pid = m.main_pid("modeld.service")
    status = m.sh(f"cat /proc/{pid}/status")
    assert not re.search(r"^Uid:\s+0\s", status, re.M)
    for name in ("Eff", "Prm", "Bnd", "Inh", "Amb"):
        assert re.search(rf"^Cap{name}:\s+0+$", status, re.M), status
    others = [m.main_pid(u) for u in UNITS if u.endswith("e") and "net" not in u]
    before = docker_pids(m)
    m.run("systemctl", "restart", "modeld.service")
    works(m)
    assert docker_pids(m) == before
    assert [m.main_pid(u) for u in UNITS if u.endswith("e") and "net" not in u] == others


@pytest.mark.parametrize("what", [
    "daemon-reload", "restart docker.service", "restart docker.socket docker.service",
    "stop docker.service docker.socket; systemctl start docker.socket docker.service"])
def test_docker_may_be_restarted_in_every_way(machine, what):  # noqa: F811
    m = machine
    inode = m.sh("stat -c %i /run/modeld-docker/docker.sock")
    m.sh(f"systemctl {what}")
    eventually(lambda: m.run("docker", "version", check=False).returncode == 0)
    works(m)
    assert m.sh("stat -c %i /run/docker.sock") == inode
    if "docker.service" in what:
        # Docker started it again, before it answered itself.
        eventually(lambda: m.docker("logs", "--tail", "1", "boots") == "REACHED\n")


def test_what_is_killed_comes_back(machine):  # noqa: F811
    m = machine
    before = docker_pids(m)
    for unit in ("modeld-listen", "modeld-names", "modeld-docker", "modeld-take"):
        pid = m.main_pid(f"{unit}.service")
        m.run("kill", "-9", pid)
        eventually(lambda: m.main_pid(f"{unit}.service") not in (0, pid))
    works(m)
    assert docker_pids(m) == before and states(m) == ["active"] * 6


def test_dns_is_there_for_those_who_want_it(machine):  # noqa: F811
    m = machine
    assert m.sh("systemctl is-active modeld-dns || true").strip() == "inactive"
    m.sh("systemctl enable --now modeld-dns")
    got = m.docker("run", "--rm", "--dns", ADDRESS, "bb", "nslookup", "-type=a", NAME)
    assert f"Address: {ADDRESS}\n" in got
    m.sh("systemctl disable --now modeld-dns")
    works(m)


def test_a_front_killed_under_load_loses_no_call(machine, tmp_path):  # noqa: F811
    """But those that it was answering at that moment."""
    m = machine
    log = tmp_path / "calls"
    with open(log, "w") as out:
        load = m.popen("sh", "-c", "until [ -e /tmp/enough ]; do a=$(date +%s.%N); docker version "
                       ">/dev/null 2>&1; echo $a $? $(date +%s.%N); done", stdout=out)
    kills = []
    while len(kills) < 6:
        pid = m.main_pid("modeld-docker.service")
        before = time.time()
        m.run("kill", "-9", pid)
        kills.append((before, time.time()))
        # Those that come while no front runs wait for the next one, in any number.
        late = [m.popen("docker", "version", stdout=subprocess.DEVNULL) for _ in range(4)]
        assert [call.wait(60) for call in late] == [0] * 4
        eventually(lambda: m.main_pid("modeld-docker.service") not in (0, pid))
        # At most one call of the load meets a kill.
        many = len(log.read_text().splitlines()) + 5
        eventually(lambda: len(log.read_text().splitlines()) >= many)
    m.sh("touch /tmp/enough")
    assert load.wait(60) == 0
    calls = [line.split() for line in log.read_text().splitlines()]
    free = [status for a, status, b in calls
            if not any(start <= float(b) and float(a) <= end for start, end in kills)]
    assert len(free) >= 20 and set(free) == {"0"}, (calls, kills)
    works(m)
    assert states(m) == ["active"] * 6


def test_a_front_that_cannot_start_gives_docker_its_socket_back(machine):  # noqa: F811
    m = machine
    m.sh("mkdir -p /run/systemd/system/modeld-docker.service.d && printf "
         "'[Service]\\nExecStart=\\nExecStart=/bin/false\\n' "
         ">/run/systemd/system/modeld-docker.service.d/broken.conf && systemctl daemon-reload")
    m.run("kill", "-9", m.main_pid("modeld-docker.service"))
    start = time.monotonic()
    # Who came in the first second waits a while, and is told that it failed.
    early = m.popen("docker", "version", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: m.run("timeout", "5", "docker", "version", check=False).returncode == 0)
    assert time.monotonic() - start < 60
    early.wait(60)
    assert "page not found" in ask_socket(m)
    eventually(lambda: states(m)[4] == "failed")
    doctor = m.run(CLI, "doctor", check=False)
    assert doctor.returncode == 1
    assert re.search("FAIL helper: modeld-docker.service is failed", doctor.stdout)
    m.sh("rm -r /run/systemd/system/modeld-docker.service.d; systemctl daemon-reload")
    m.out(CLI, "connect")
    works(m)
    assert states(m) == ["active"] * 6


def test_after_a_reboot_all_is_there(machine):  # noqa: F811
    m = machine
    m.power_off()
    m.boot()
    eventually(lambda: states(m) == ["active"] * 6)
    assert "ordering cycle" not in m.sh("journalctl -b -o cat")
    works(m)
    # Docker started it before it answered itself.
    eventually(lambda: m.docker("logs", "--tail", "1", "boots") == "REACHED\n")


def test_without_the_socket(machine):  # noqa: F811
    m = machine
    said = m.out(CLI, "connect", "--no-socket")
    assert "Docker socket" not in said
    assert states(m) == ["active"] * 3 + ["inactive"] * 3
    assert "page not found" in ask_socket(m)
    assert json.loads(m.docker("run", "--rm", "bb", "wget", "-q", "-O", "-", URL))
    m.out(CLI, "disconnect")


def test_disconnect_leaves_nothing(machine, story):  # noqa: F811
    m = machine
    before = m.snapshot()
    m.out(CLI, "connect")
    works(m)
    pids = docker_pids(m)
    m.sh("kill -9 $(pgrep -x modeld-docker)")
    said = m.out(CLI, "disconnect")
    assert "modeld.target is stopped and disabled" in said and "modeld          goes on" in said
    assert m.snapshot() == before and docker_pids(m) == pids
    assert m.sh("systemctl is-enabled modeld.target modeld-take.service modeld-docker.socket || "
                "true").split() == ["disabled"] * 3
    assert m.sh("systemctl is-active modeld.service").strip() == "active"
    assert not m.sh("ls /run/modeld-docker 2>/dev/null || true")
    assert m.out(CLI, "disconnect").startswith("nothing is connected\n")
    m.out(CLI, "connect")
    m.run("systemctl", "disable", "--now", "modeld.target")
    eventually(lambda: m.snapshot() == before)
