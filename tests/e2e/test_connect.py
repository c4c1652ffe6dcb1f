"""`docker-model connect` and `disconnect` on a host without systemd: the real modeld, the
real Docker Engine, real containers."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import BUILD, eventually
from host_fixtures import ADDRESS, NAME, bare_host, fresh_host  # noqa: F401

CLI = BUILD / "docker-model"
URL = f"http://{NAME}/engines/v1/models"
EXP = "http://localhost/exp/vDD4.40/engines/v1/models"
CLEAN = {k: v for k, v in os.environ.items()
         if not k.startswith(("MODEL_RUNNER", "SUDO_", "XDG_"))}


class Connected:
    """A host with modeld, and what the tests of this file do with it."""

    def __init__(self, h):
        self.h = h
        self.modeld = None

    def start_modeld(self, *args):
        self.modeld = self.h.ready(
            BUILD / "modeld", "--store", self.h.folder / "store", "--port", "12434", *args,
            log=self.h.folder / "modeld.log", env=CLEAN)

    def cli(self, *args, check=True, **kw):
        return self.h.run(CLI, *args, check=check, env=CLEAN, **kw)

    def connect(self, *args):
        return self.cli("connect", *args).stdout

    def disconnect(self, *args):
        return self.cli("disconnect", *args).stdout

    def in_container(self, *args, url=URL):
        """What a new container's first instruction gets."""
        return self.h.docker("run", "--rm", *args, "bb", "wget", "-q", "-O", "-", url)

    def exp(self):
        return self.h.out("curl", "-s", "--unix-socket", "/run/docker.sock", EXP)

    def helpers(self):
        """{first words: pid on the host} of all modeld-docker processes."""
        out = self.h.sh("pgrep -a modeld-docker || true")
        return {" ".join(line.split()[2:4]): int(line.split()[0]) for line in out.splitlines()}

    def docker_pids(self):
        return self.h.sh("pgrep -x dockerd; pgrep -x containerd; "
                         "docker ps -q --no-trunc | sort | xargs -r docker inspect -f "
                         "'{{.State.Pid}} {{.RestartCount}} {{.State.StartedAt}}'").split("\n")


@pytest.fixture
def host(fresh_host):  # noqa: F811
    c = Connected(fresh_host)
    c.start_modeld()
    yield c
    log = (fresh_host.folder / "modeld.log").read_text()
    assert "Sanitizer" not in log and "runtime error" not in log, log


def works(c):
    assert json.loads(c.in_container())["object"] == "list"
    assert json.loads(c.exp())["object"] == "list"


def test_connect_brings_the_three_ways_and_disconnect_leaves_nothing(host):
    h = host.h
    h.docker("network", "create", "mynet")
    h.docker("run", "-d", "--name", "old", "bb", "sleep", "1000")
    h.docker("run", "-d", "--name", "user", "--network", "mynet", "bb", "sleep", "1000")
    before, pids = h.snapshot(), host.docker_pids()
    etc = sorted(os.listdir(h.folder / "etc-modeld"))
    said = host.connect()
    assert f"http://{NAME}/v1" in said and "http://127.0.0.1:12434/v1" in said
    assert "/exp/vDD4.40/v1" in said
    works(host)
    for args in ((), ("--network", "mynet"), ("--network", "host")):
        assert json.loads(host.in_container(*args))["object"] == "list"
    for old in ("old", "user"):
        got = h.docker("exec", old, "wget", "-q", "-O", "-", URL)
        assert json.loads(got)["object"] == "list"
    assert json.loads(h.out("curl", "-s", URL))["object"] == "list"
    assert host.docker_pids() == pids
    # Again: nothing is done twice, nothing is broken.
    helpers = host.helpers()
    said = host.connect()
    assert "as before" in said and host.helpers() == helpers
    works(host)
    said = host.disconnect()
    assert re.search(r"Docker socket .*own again", said)
    assert re.search(r"name .*out of all hosts files", said)
    assert re.search(r"address .*gone", said)
    assert h.snapshot() == before and host.docker_pids() == pids
    assert host.helpers() == {} and not h.sh("ls -A /run/modeld-docker 2>/dev/null; true")
    assert sorted(os.listdir(h.folder / "etc-modeld")) == etc
    assert host.disconnect().startswith("nothing is connected\n")
    assert h.snapshot() == before
    # modeld itself goes on.
    assert host.modeld.poll() is None
    assert "Docker Model Runner" in h.out("curl", "-s", "http://localhost:12434/")


def test_the_serving_process_is_the_same_and_has_no_capabilities_of_ours(host):
    """Acceptance test 16, as far as one machine without systemd shows it: nothing of the
    helper's rights reaches modeld, which runs as an account of its own."""
    h = host.h
    h.stop(host.modeld)
    h.sh("mkdir -p /run/m && chown 1234:1234 /run/m")
    host.modeld = h.ready(
        "setpriv", "--reuid=1234", "--regid=1234", "--clear-groups", "--inh-caps=-all",
        "--bounding-set=-all", "--no-new-privs", BUILD / "modeld", "--store",
        "/run/m/store", "--socket", "/run/m/modeld.sock",
        log=h.folder / "modeld.log", env={**CLEAN, "HOME": "/nonexistent"})
    said = host.connect("--modeld", "/run/m/modeld.sock")
    assert "/run/m/modeld.sock, user 1234" in said
    works(host)
    saved = json.loads((h.folder / "etc-modeld/docker.json").read_text())
    assert (saved["modeld"], saved["user"]) == ("/run/m/modeld.sock", "1234")
    pid = h.sh("pgrep -x modeld").strip()
    status = h.sh(f"cat /proc/{pid}/status")
    assert re.search(r"^Uid:\s+1234\s+1234", status, re.M)
    assert re.search(r"^CapEff:\s+0+$", status, re.M)
    assert re.search(r"^CapBnd:\s+0+$", status, re.M)
    host.disconnect()
    assert not (h.folder / "etc-modeld/docker.json").exists()


def test_options_are_kept_and_disconnect_forgets_them(host):
    h = host.h
    config = h.folder / "etc-modeld/docker.json"
    inode = h.sh("stat -c %i /run/docker.sock")
    said = host.connect("--no-socket", "--address", "169.254.255.91")
    assert "/etc/modeld/docker.json" in said and "Docker socket" not in said
    assert json.loads(host.in_container())["object"] == "list"
    assert "169.254.255.91" in h.docker("run", "--rm", "bb", "cat", "/etc/hosts")
    assert h.sh("stat -c %i /run/docker.sock") == inode
    assert "404" in h.out("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                          "--unix-socket", "/run/docker.sock", EXP)
    # As after a reboot: everything has gone, and connect is called without options.
    for pid in host.helpers().values():
        h.run("kill", "-9", pid, check=False)
    eventually(lambda: not host.helpers())
    host.connect()
    assert "169.254.255.91" in h.docker("run", "--rm", "bb", "cat", "/etc/hosts")
    assert json.loads(host.in_container())["object"] == "list"
    assert h.sh("stat -c %i /run/docker.sock") == inode
    host.disconnect()
    assert not config.exists()
    # What the administrator wrote himself is kept.
    config.write_text('{"address": "169.254.255.93"}')
    host.connect()
    assert "169.254.255.93" in h.docker("run", "--rm", "bb", "cat", "/etc/hosts")
    works(host)
    host.disconnect()
    assert config.read_text() == '{"address": "169.254.255.93"}'


def test_a_changed_option_takes_effect_without_a_disconnect(host):
    host.connect()
    works(host)
    said = host.connect("--address", "169.254.255.91")
    assert "started" in said
    works(host)
    assert "169.254.255.91" in host.h.docker("run", "--rm", "bb", "cat", "/etc/hosts")


@pytest.mark.parametrize("how", ["everything at once", "the supervisor alone"])
def test_disconnect_undoes_also_what_a_kill_left(host, how):
    h = host.h
    h.docker("run", "-d", "--name", "old", "bb", "sleep", "1000")
    before, pids = h.snapshot(), host.docker_pids()
    host.connect()
    works(host)
    # Stopped first, so that none sees another die.
    victims = host.helpers()
    if how != "everything at once":
        victims = {k: v for k, v in victims.items() if k.startswith("run")}
    assert victims
    h.run("kill", "-STOP", *victims.values())
    h.run("kill", "-9", *victims.values())
    said = host.disconnect()
    assert "nothing is connected" not in said
    assert h.snapshot() == before and host.docker_pids() == pids
    assert host.helpers() == {}
    h.docker("run", "--rm", "bb", "true")


@pytest.mark.parametrize("step", ["net up", "names", "take"])
def test_disconnect_undoes_a_half_done_connect(host, step):
    """Only one of the parts was made, by a program that was then killed."""
    h = host.h
    h.docker("run", "-d", "--name", "old", "bb", "sleep", "1000")
    before = h.snapshot()
    program = BUILD / "modeld-docker"
    if step == "net up":
        h.run(program, "net", "up")
    else:
        children = [h.ready(program, "front")] if step == "take" else []
        children.append(h.ready(program, step))
        for child in children:
            h.stop(child, signal.SIGKILL)
    assert h.snapshot() != before
    host.disconnect()
    assert h.snapshot() == before
    h.docker("run", "--rm", "bb", "true")


def test_connect_after_a_kill_is_whole_again(host):
    host.connect()
    # Some end with another that is killed before them.
    host.h.run("kill", "-9", *host.helpers().values(), check=False)
    eventually(lambda: not host.helpers())
    host.connect()
    works(host)
    host.disconnect()


def test_ports_80_of_others_do_not_matter(host):
    """Acceptance test 10, from both sides."""
    h = host.h
    h.docker("run", "-d", "--name", "web", "-p", "80:80", "bb", "sh", "-c",
             "mkdir /www && echo theirs >/www/index.html && httpd -f -p 80 -h /www")
    host.connect()
    works(host)
    eventually(lambda: h.run("curl", "-s", "http://127.0.0.1/", check=False).stdout == "theirs\n")
    h.docker("rm", "-f", "web")
    h.docker("run", "-d", "--name", "web", "-p", "80:80", "bb", "sh", "-c",
             "mkdir /www && echo theirs >/www/index.html && httpd -f -p 80 -h /www")
    eventually(lambda: h.run("curl", "-s", "http://127.0.0.1/", check=False).stdout == "theirs\n")
    h.docker("network", "create", "other")
    for args in ((), ("--network", "other"), ("--network", "host")):
        assert json.loads(host.in_container(
            *args, url=f"http://{ADDRESS}/engines/v1/models"))["object"] == "list"


def test_docker_works_as_before(host):
    """Acceptance test 12: nothing of us shows, nothing of us is in the way."""
    h = host.h
    host.connect()
    h.docker("network", "create", "n")
    h.docker("run", "-d", "--name", "one", "--network", "n", "bb", "sleep", "1000")
    assert NAME not in h.docker("inspect", "one") and "modeld" not in h.docker("inspect", "n")
    h.docker("rm", "-f", "one")
    h.docker("network", "rm", "n")
    h.docker("system", "prune", "-f")
    works(host)


def test_another_host_name_is_refused(host):
    """Acceptance test 14."""
    h = host.h
    host.connect()
    def status(*args):
        return h.out("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *args)
    for url in (f"http://{ADDRESS}/engines/v1/models", "http://localhost:12434/engines/v1/models"):
        assert status(url) == "200"
        assert status("-H", "Host: evil.example", url) == "403"
        assert status("-H", "Origin: http://evil.example", url) == "403"
    for name in ("d", "_", ""):
        assert status("--unix-socket", "/run/docker.sock", "-H", f"Host: {name}", EXP) == "200"


def test_dockerd_may_restart_and_everything_stays(host):
    """Acceptance test 19, without systemd: the Engine makes its socket anew."""
    h = host.h
    host.connect()
    for _ in range(2):
        h.restart_dockerd()
        eventually(lambda: '"list"' in h.run(
            "curl", "-s", "--unix-socket", "/run/docker.sock", EXP, check=False).stdout)
        works(host)


def test_a_killed_front_loses_no_call_and_comes_back(host):
    """Acceptance test 20; the supervisor holds the socket. A front that ends too often in a
    short time loses the name for a while, and Docker goes on."""
    h = host.h
    host.connect()
    for _ in range(5):
        old = host.helpers()["front --config"]
        h.run("kill", "-9", old)
        h.docker("version")
        eventually(lambda: host.helpers().get("front --config", old) != old)
    eventually(lambda: '"list"' in host.exp())
    works(host)


def test_modeld_may_come_later_and_come_again(host):
    h = host.h
    h.stop(host.modeld)
    said = host.connect()
    assert "is not running" in said and "when modeld runs" in said
    host.start_modeld()
    eventually(lambda: host.h.run("curl", "-s", URL, check=False).returncode == 0)
    works(host)
    h.stop(host.modeld, signal.SIGKILL)
    host.start_modeld()
    eventually(lambda: host.h.run("curl", "-s", URL, check=False).returncode == 0)
    works(host)


def test_a_dry_run_changes_nothing(host):
    h = host.h
    before = h.snapshot()
    said = host.connect("--dry-run", "--address", "169.254.255.91")
    assert "would be" in said
    assert h.snapshot() == before and host.helpers() == {}
    assert os.listdir(h.folder / "etc-modeld") == []


@pytest.mark.parametrize("command", ["connect", "disconnect"])
def test_only_root_may(host, command):
    got = host.h.run("setpriv", "--reuid=1234", "--clear-groups", CLI, command, check=False)
    assert got.returncode == 1
    assert f"sudo docker model {command}" in got.stderr and got.stderr.count("\n") == 1


@pytest.mark.parametrize("args, says", [
    (("--address", "169.254.255.90"), "must be odd"),
    (("--address", "here"), "not an IPv4 address"),
    (("--docker-host", "/nothing.sock"), "--docker-host"),
    (("--docker-host", "/etc/hosts"), "not a socket"),
    (("--modeld", "/nothing.sock"), "nobody listens there")])
def test_wrong_options_change_nothing(host, args, says):
    before = host.h.snapshot()
    got = host.cli("connect", *args, check=False)
    assert got.returncode in (1, 2) and says in got.stderr
    assert got.stderr.count("\n") == 1
    assert host.h.snapshot() == before and host.helpers() == {}
    assert os.listdir(host.h.folder / "etc-modeld") == []


def test_an_address_in_use_is_said_and_leaves_nothing(host):
    h = host.h
    h.sh("ip link add x0 type veth peer name x1; ip addr add 169.254.255.81/24 dev x0; "
         "ip link set x0 up")
    before = h.snapshot()
    got = host.cli("connect", check=False)
    assert got.returncode == 1, got.stdout
    host.disconnect()
    assert h.snapshot() == before


def test_without_docker_it_says_so(bare_host):  # noqa: F811
    h = bare_host
    h.sh("mount -t tmpfs tmpfs /usr/sbin")
    got = h.run("env", "PATH=/nowhere", CLI, "connect", check=False, env=CLEAN)
    assert got.returncode == 1 and "there is no Docker Engine here" in got.stderr


def test_the_plugin_is_the_same(host):
    h = host.h
    h.sh(f"mkdir -p {h.folder}/home/.docker/cli-plugins && "
         f"cp {CLI} {BUILD}/modeld-docker {h.folder}/home/.docker/cli-plugins/")
    env = {**CLEAN, "HOME": str(h.folder / "home")}
    assert f"http://{NAME}/v1" in h.out("docker", "model", "connect", env=env)
    works(host)
    assert "own again" in h.out("docker", "model", "disconnect", env=env)


def test_status_shows_each_way_in(host):
    def ways():
        return {w["way"]: (w["url"], w["state"])
                for w in json.loads(host.cli("status", "--json").stdout)["ways"]}
    got = ways()
    assert got["host"] == ("http://[::1]:12434", "open")
    assert got["socket"] == ("unix:/run/modeld/modeld.sock", "open")
    assert got["containers"][1] == got["Docker socket"][1] \
        == "not connected: docker model connect"
    host.connect()
    got = ways()
    assert got["containers"][0] == f"http://{NAME}" and got["containers"][1].startswith("open")
    assert got["Docker socket"] == ("unix:/run/docker.sock:/exp/vDD4.40", "open")
    assert got["gateway"][0] == "http://172.17.0.1:12434"
    text = host.cli("status").stdout
    assert re.search(rf"^containers +http://{NAME} +open, at http://{ADDRESS}:80", text, re.M)


def test_what_containers_may_changes_at_once_and_for_good(host):
    host.connect()
    def reaches():
        return host.h.run("curl", "-s", f"http://{ADDRESS}/engines/v1/models",
                          check=False).returncode == 0
    assert reaches()
    for what in ("off", "full"):
        assert "modeld does so now" in host.cli("enable", "--containers", what).stdout
        eventually(lambda: reaches() == (what == "full"))
        doctor = host.cli("doctor", check=False).stdout
        assert ("a container: off for containers" in doctor) == (what == "off")
        assert "FAIL" not in doctor.replace("FAIL engine", "")
        ways = json.loads(host.cli("status", "--json").stdout)["ways"]
        state = next(w["state"] for w in ways if w["way"] == "containers")
        assert state.startswith("off" if what == "off" else "open")
        if what == "off":
            assert "in containers     off" in host.connect()
    assert json.loads((host.h.folder / "etc-modeld/config.json").read_text()) == {
        "containers": "full"}
