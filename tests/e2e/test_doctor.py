"""`docker-model doctor`: all well, then each thing broken in turn is found and named."""

import os
import re
import signal
import subprocess

import pytest

from conftest import BUILD, eventually
from host_fixtures import ADDRESS, NAME, bare_host, host  # noqa: F401

CLI = BUILD / "docker-model"
CLEAN = {k: v for k, v in os.environ.items()
         if not k.startswith(("MODEL_RUNNER", "SUDO_", "XDG_"))}


def doctor(h, *prefix, env=None):
    got = h.run(*prefix, CLI, "doctor", check=False, env={**CLEAN, **(env or {})})
    lines = got.stdout.splitlines()
    assert all(re.match(r"(OK  |FAIL|--  ) \S", line) for line in lines), got.stdout
    failed = [line[5:] for line in lines if line.startswith("FAIL")]
    # What is wrong, a colon, and what to do.
    assert all(": " in line for line in failed)
    assert got.returncode == (1 if failed else 0), got.stdout + got.stderr
    assert ("failed" in got.stderr) == bool(failed)
    return failed, lines


def start_modeld(h, *args, folder="store", env=None):
    return h.ready(BUILD / "modeld", "--store", h.folder / folder, *args,
                   log=h.folder / "modeld.log", env={**CLEAN, **(env or {})})


@pytest.fixture
def well(host):  # noqa: F811
    """A connected host with a modeld; whatever a test broke is made again."""
    host.run(CLI, "disconnect", env=CLEAN)
    h = host
    h.modeld = start_modeld(h)
    h.run(CLI, "connect", env=CLEAN)
    yield h
    h.stop(h.modeld, signal.SIGKILL)
    h.run(CLI, "disconnect", env=CLEAN)


def only(failed, *patterns):
    assert len(failed) == len(patterns), failed
    for line, pattern in zip(failed, patterns):
        assert re.search(pattern, line), (line, pattern)


def images(h):
    return h.docker("images", "-q") + h.docker("ps", "-aq")


def test_all_is_well_and_nothing_is_left(well):
    before = images(well)
    failed, lines = doctor(well)
    assert failed == [], failed
    for what in ("modeld 0", "port: http://127.0.0.1:12434", "port: http://[::1]:12434",
                 "configuration", "models: 0", "disk", "engine: modeld-llama", "memory",
                 "Docker Engine 20.10", "helper: modeld-docker run", f"address: http://{ADDRESS}",
                 "address: http://[fd6d", f"route: {ADDRESS} by modeld0", f"name: {NAME}",
                 "firewall", "Docker socket: /exp/vDD4.40",
                 f"a container reaches http://{NAME} ({ADDRESS} 200)"):
        assert any(line.startswith("OK   " + what) for line in lines), (what, lines)
    assert images(well) == before


def test_what_is_not_connected_is_no_failure(well):
    well.run(CLI, "disconnect", env=CLEAN)
    failed, lines = doctor(well)
    assert failed == []
    for what in ("helper", "address", "route", "name", "firewall", "Docker socket",
                 "a container"):
        assert f"--   {what}: not connected: docker model connect" in lines


def test_a_user_without_rights_sees_what_he_may(well):
    failed, lines = doctor(well, "setpriv", "--reuid=4321", "--clear-groups",
                           env={"HOME": "/nonexistent"})
    assert failed == [], failed
    assert "--   firewall: only root may look; run this with sudo" in lines
    assert any(line.startswith("--   Docker Engine: you may not use") for line in lines)
    assert f"OK   address: http://{ADDRESS} answers" in lines


def test_modeld_down(well):
    well.stop(well.modeld)
    failed, lines = doctor(well)
    assert "modeld does not answer" in failed[0] and "systemctl start modeld" in failed[0]
    assert "OK   port 12434 is free" in lines
    assert any("modeld does not run: start it" in line for line in failed)
    well.modeld = start_modeld(well)
    eventually(lambda: doctor(well)[0] == [])


def test_the_port_is_held_by_another_program(well):
    well.stop(well.modeld)
    thief = well.popen("python3", "-c", "import socket, time\n"
                       "s = socket.create_server(('127.0.0.1', 12434)); time.sleep(1000)")
    eventually(lambda: "12434" in well.sh("ss -ltn"))
    # It holds one of the two addresses; modeld goes on with the rest.
    well.modeld = start_modeld(well)
    well.stop(well.modeld)
    failed, _ = doctor(well)
    assert any(re.search(r"port 12434 is held by python3 \(process \d+\)", f) for f in failed)
    well.stop(thief)
    well.modeld = start_modeld(well)


@pytest.mark.parametrize("args, says", [
    (("--port", "off", "--tls-port", "12434"), "https://127.0.0.1:12434"),
    (("--bind", "0.0.0.0", "--keys", "{keys}"), "http://0.0.0.0:12434")])
def test_a_port_with_tls_or_for_all_is_modelds_own(well, args, says):
    keys = well.folder / "keys.json"
    keys.write_text('{"keys": [{"name": "k", "hash": "sha256:%s"}]}' % ("0" * 64))
    keys.chmod(0o600)
    well.stop(well.modeld)
    well.modeld = start_modeld(well, *(a.format(keys=keys) for a in args))
    _, lines = doctor(well)
    assert f"OK   port: {says}" in lines, lines
    assert not any("is held by" in line for line in lines)
    status = well.out(CLI, "status", env=CLEAN)
    assert f"OpenAI API:    {says}/v1\n" in status


def test_a_broken_configuration(well):
    config = well.folder / "etc-modeld/config.json"
    config.write_text('{"port": }')
    failed, _ = doctor(well)
    config.unlink()
    only(failed, r"configuration: /etc/modeld/config.json: .*correct it")


def test_a_broken_store(well):
    index = well.folder / "store/models.json"
    index.write_text("{not json")
    failed, _ = doctor(well)
    index.unlink()
    only(failed, r"models in .*/store: .*: restore models.json",
         "a new container reaches modeld and gets status 500")


def test_a_full_disk(well):
    well.stop(well.modeld)
    well.sh(f"mkdir -p {well.folder}/small && mount -t tmpfs -o size=8m tmpfs {well.folder}/small")
    well.modeld = start_modeld(well, folder="small")
    failed = eventually(lambda: [f for f in doctor(well)[0] if "disk" in f])
    only(failed, r"disk: only [\d.]+MB free at .*/small: remove models")
    well.stop(well.modeld)
    well.sh(f"umount {well.folder}/small")
    well.modeld = start_modeld(well)


@pytest.mark.parametrize("program, says", [("/nothing", "is not there"),
                                           ("/bin/false", "does not start")])
def test_an_engine_program_that_does_not_start(well, program, says):
    well.stop(well.modeld)
    well.modeld = start_modeld(well, "--llama", program)
    failed = eventually(lambda: [f for f in doctor(well)[0] if "engine" in f])
    only(failed, rf"engine: {program} {says}.*: install modeld again")


@pytest.mark.parametrize("rule", [
    "iptables -I DOCKER-USER -d 169.254.0.0/16 -j DROP",
    "iptables -t raw -I PREROUTING -i docker0 -d 169.254.0.0/16 -j DROP",
    "nft add table ip mine && nft 'add chain ip mine c "
    "{ type filter hook forward priority -10; }' && "
    "nft add rule ip mine c ip daddr 169.254.0.0/16 drop"])
def test_a_firewall_rule_against_link_local_addresses(well, rule):
    well.sh(rule)
    failed, _ = doctor(well)
    undo = rule.replace(" -I ", " -D ") if rule.startswith("iptables") \
        else "nft delete table ip mine"
    well.sh(undo)
    only(failed, r"firewall: a rule stops containers .*169\.254\.0\.0/16.*: let that address",
         r"a new container knows the name, but cannot connect")
    assert doctor(well)[0] == []


def test_a_rule_that_lets_the_address_through_first_is_fine(well):
    well.sh(f"iptables -I DOCKER-USER -d 169.254.0.0/16 -j DROP; "
            f"iptables -I DOCKER-USER -d {ADDRESS} -j ACCEPT")
    failed, _ = doctor(well)
    well.sh(f"iptables -D DOCKER-USER -d 169.254.0.0/16 -j DROP; "
            f"iptables -D DOCKER-USER -d {ADDRESS} -j ACCEPT")
    assert failed == []


def test_the_helper_was_killed(well):
    pids = well.sh("pgrep modeld-docker").split()
    well.run("kill", "-STOP", *pids)
    well.run("kill", "-9", *pids)
    failed, lines = doctor(well)
    assert any(re.search("helper: it does not run, but .* is there", f) for f in failed), failed
    assert any("Docker Engine" in f and "disconnect" in f for f in failed), failed
    well.run(CLI, "disconnect", env=CLEAN)
    assert doctor(well)[0] == []
    assert not well.sh("ls -d /run/modeld-docker /run/*.sock* 2>/dev/null | grep -vx "
                       "/run/docker.sock || true")


def test_a_helper_that_hangs(well):
    """All of it stands still: the sockets accept and nobody answers."""
    pids = well.sh("pgrep -f '[m]odeld-docker (front|take)'").split()
    well.run("kill", "-STOP", *pids)
    failed, _ = doctor(well)
    well.run("kill", "-CONT", *pids)
    assert any("Docker" in f for f in failed), failed


def test_the_address_is_gone(well):
    well.sh("ip netns del modeld")
    failed, lines = doctor(well)
    repaired = any(line.startswith("OK   address") for line in lines)
    assert repaired or any("network namespace /run/netns/modeld is gone" in f for f in failed)


def test_a_route_is_gone(well):
    well.run("kill", "-STOP", *well.sh("pgrep modeld-docker").split())
    well.sh(f"ip route del unreachable {ADDRESS}")
    got = well.run("timeout", "60", CLI, "doctor", check=False, env=CLEAN).stdout
    well.run("kill", "-CONT", *well.sh("pgrep modeld-docker").split())
    assert "FAIL route: the second, unreachable, route" in got


def test_the_hosts_line_is_gone(well):
    well.run("kill", "-STOP", *well.sh("pgrep -f '[m]odeld-docker names'").split())
    text = well.sh("cat /etc/hosts")
    well.sh("cat >/etc/hosts", input="127.0.0.1 localhost\n10.9.9.9 " + NAME + "\n")
    failed, _ = doctor(well)
    well.sh("cat >/etc/hosts", input="127.0.0.1 localhost\n")
    missing, _ = doctor(well)
    well.sh("cat >/etc/hosts", input=text)
    well.run("kill", "-CONT", *well.sh("pgrep -f '[m]odeld-docker names'").split())
    assert any(f"{NAME} is 10.9.9.9 on this host" in f for f in failed), failed
    assert any("this host does not know" in f for f in missing), missing
    assert any("a new container does not know" in f for f in missing), missing


def test_ctrl_c_leaves_no_container_and_no_image(well):
    """The container hangs in its look-up; the interrupt comes while it runs."""
    before = images(well)
    well.run("kill", "-STOP", *well.sh("pgrep -f '[m]odeld-docker names'").split())
    child = well.popen(CLI, "doctor", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env=CLEAN)
    eventually(lambda: "modeld-doctor-" in well.docker("ps", "-a", "--format", "{{.Names}}"))
    assert well.stop(child, signal.SIGINT) != 0
    well.run("kill", "-CONT", *well.sh("pgrep -f '[m]odeld-docker names'").split())
    assert images(well) == before


def test_without_docker_and_modeld(bare_host):  # noqa: F811
    failed, lines = doctor(bare_host)
    only(failed, "modeld does not answer")
    assert "--   Docker Engine: not here (there is no /run/docker.sock)" in lines
