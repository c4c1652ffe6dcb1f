"""modeld-docker net and listen on a host with a real Docker Engine: containers, the host and
nobody else reach the address. modeld's own part is played by tools/helper_peer.py, which
answers each request with what the helper said about its caller."""

import json
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT, eventually
from host_fixtures import ADDRESS, bare_host, fresh_host, host  # noqa: F401

MODELD_DOCKER = BUILD / "modeld-docker"
ADDRESS6 = "fd6d:6f64:656c::80"
OUTER = "169.254.255.80"
PORT = 12434
HELPER = "/run/modeld-docker/helper.sock"
URL = f"http://{ADDRESS}/"


class Net:
    """The way in on one host, with the stand-in for modeld behind it."""

    def __init__(self, h, folder, *args):
        self.h = h
        self.args = args
        self.folder = pathlib.Path(folder)
        self.log = self.folder / "listen.log"
        self.said = self.folder / "said"
        self.listen = self.peer = None
        self.program = MODELD_DOCKER

    def up(self):
        return self.h.run(self.program, "net", "up", *self.args)

    def down(self):
        return self.h.run(self.program, "net", "down", *self.args)

    def start_listen(self, *args):
        self.listen = self.h.ready(self.program, "listen", "--log-level", "debug", *self.args,
                                   *args, log=self.log)

    def start_peer(self, *prefix, port=PORT):
        self.peer = self.h.popen(*prefix, sys.executable, ROOT / "tests/tools/helper_peer.py",
                                 HELPER, port, self.said)

    def start(self):
        self.said.unlink(missing_ok=True)
        self.up()
        self.start_listen()
        self.start_peer()
        self.wait("containers")
        self.wait("gateway")
        return self

    def lines(self):
        if not self.said.exists():
            return []
        return [json.loads(line) for line in self.said.read_text().splitlines()]

    def wait(self, way, count=1):
        """Until so many listeners of this kind were handed over in all."""
        eventually(lambda: sum(m.get("way") == way for m in self.lines()) >= count)

    def bridges(self):
        return [m for m in self.lines() if m["type"] == "bridges"][-1]["names"]

    def stop(self, *children):
        for child in children or (self.peer, self.listen):
            if child.poll() is None:
                status = self.h.stop(child, signal.SIGKILL if child is self.peer
                                     else signal.SIGTERM)
                assert child is self.peer or status == 0, self.log.read_text()

    def get(self, *prefix, url=URL, seconds=60, check=True):
        """The stand-in's answer to a wget by whatever `prefix` starts."""
        # Not wget's own limit: with -T this busybox crashes. A shell stays the first
        # process, since the kernel lets nobody end that one.
        r = self.h.run(*prefix, "busybox", "sh", "-c",
                       f"busybox timeout {seconds} busybox wget -q -O - {url}; exit $?",
                       check=check)
        return json.loads(r.stdout) if r.returncode == 0 and r.stdout else None

    def run(self, *args, url=URL, **kw):
        """The same from a container of its own, as its first instruction."""
        return self.get("docker", "run", "--rm", *args, "bb", url=url, **kw)

    def connects(self, *prefix, url=URL, seconds=3):
        return self.get(*prefix, url=url, seconds=seconds, check=False) is not None


@pytest.fixture(scope="module")
def net(host, tmp_path_factory):
    n = Net(host, tmp_path_factory.mktemp("net")).start()
    yield n
    n.stop()
    n.down()


@pytest.fixture
def fresh_net(fresh_host, tmp_path):
    n = Net(fresh_host, tmp_path)
    yield n
    print(n.log.read_text() if n.log.exists() else "")


# ---- reach (tests 1, 5, 6, 7, 9) ----

@pytest.fixture(scope="module")
def networks(net):
    d = net.h.docker
    d("network", "create", "user")
    d("network", "create", "second")
    d("network", "create", "--internal", "inner")
    d("network", "create", "-o", "com.docker.network.bridge.name=mybridge0", "custom")
    d("network", "create", "-o", "com.docker.network.bridge.enable_ip_masquerade=false", "plain")
    return net


@pytest.mark.parametrize("network", ["bridge", "user", "custom", "plain", "host"])
def test_the_first_instruction_of_a_container_reaches_the_address(networks, network):
    assert networks.run("--network", network)["way"] == "containers"


@pytest.mark.parametrize("pair", [("user", "second"), ("inner", "user"), ("user", "inner")])
def test_a_container_on_two_networks_reaches_the_address(networks, pair):
    d = networks.h.docker
    name = "two"
    d("create", "--name", name, "--network", pair[0], "bb", "sleep", "1000")
    d("network", "connect", pair[1], name)
    d("start", name)
    got = networks.get("docker", "exec", name)
    assert got["who"]["name"] == name
    d("rm", "-f", name)


def test_a_network_that_is_made_now_works_at_once(networks):
    d = networks.h.docker
    for i in range(3):
        d("network", "create", "-o", "com.docker.network.bridge.enable_ip_masquerade=false",
          "-o", f"com.docker.network.bridge.name=late{i}", f"late{i}")
        assert networks.run("--network", f"late{i}")
        assert f"late{i}" in networks.bridges()
        d("network", "rm", f"late{i}")
    eventually(lambda: "late0" not in networks.bridges())


def test_the_host_reaches_the_address(networks):
    got = networks.get()
    assert got == {"way": "containers",
                   "who": {"type": "who", "id": got["who"]["id"], "address": OUTER}}
    assert networks.get(url=f"http://[{ADDRESS6}]/")["way"] == "containers"


def test_internal_and_none_are_refused_at_once(networks):
    for network in "inner", "none":
        r = networks.h.run("docker", "run", "--rm", "--network", network, "bb", "sh", "-c",
                           f"time -p timeout 9 wget -q -O - {URL}", check=False)
        assert r.returncode != 0 and "timed out" not in r.stderr
        assert float(re.search(r"real ([\d.]+)", r.stderr)[1]) < 8, r.stderr


def test_the_gateway_listens_too_and_sees_the_container_itself(networks):
    d = networks.h.docker
    gateway = "172.17.0.1"
    for network in "bridge", "user":
        got = networks.run("--network", network, "--name", "gw", url=f"http://{gateway}:{PORT}/")
        assert got["way"] == "gateway" and got["who"]["name"] == "gw", got
    got = networks.run("--add-host", "up:host-gateway", url=f"http://up:{PORT}/")
    assert got["way"] == "gateway"
    assert {"docker0", "mybridge0"} <= set(networks.bridges())
    inner = d("network", "inspect", "-f", "{{.Id}}", "inner")[:12]
    assert f"br-{inner}" not in networks.bridges()


def test_containers_with_only_ipv6_come_by_the_ula(networks):
    """The Engine here gives every network IPv4 too: the IPv6 path alone is tried."""
    d = networks.h.docker
    d("network", "create", "--ipv6", "--subnet", "fd00:77::/64", "six")
    got = networks.run("--network", "six", "--name", "sixth", url=f"http://[{ADDRESS6}]/")
    assert got["who"]["name"] == "sixth", got
    assert got["who"]["address"].startswith("fd00:77::")
    d("network", "rm", "six")


# ---- who ----

@pytest.mark.parametrize("network", ["bridge", "user"])
def test_thirty_containers_at_once_are_told_apart(networks, network):
    h = networks.h
    names = [f"c{network}{i}" for i in range(30)]
    children = [(name, h.popen("docker", "run", "--rm", "--name", name, "--network", network,
                               "bb", "sh", "-c", f"timeout 60 wget -q -O - {URL}; exit $?",
                               stdout=subprocess.PIPE, text=True)) for name in names]
    for name, child in children:
        out = child.communicate(timeout=120)[0]
        assert child.returncode == 0, name
        assert json.loads(out)["who"]["name"] == name


def test_an_address_that_changed_hands_names_the_new_holder(networks):
    for i in range(5):
        got = networks.run("--name", f"heir{i}", "--ip", "172.28.0.9", "--network", "heirs") \
            if i else None
        if i == 0:
            networks.h.docker("network", "create", "--subnet", "172.28.0.0/24", "heirs")
            continue
        assert got["who"]["address"] == "172.28.0.9" and got["who"]["name"] == f"heir{i}"
        assert len(got["who"]["container"]) == 64
    networks.h.docker("network", "rm", "heirs")


# ---- the helper socket ----

def test_a_second_modeld_is_refused(networks):
    r = networks.h.run(sys.executable, ROOT / "tests/tools/helper_peer.py", HELPER, PORT,
                       "/dev/null", check=False)
    assert r.returncode == 1 and "another modeld is served" in r.stderr
    assert networks.get()


def test_another_user_is_refused(networks):
    r = networks.h.run("setpriv", "--reuid", "4242", "--regid", "4242", "--clear-groups",
                       sys.executable, ROOT / "tests/tools/helper_peer.py", HELPER, PORT,
                       "/dev/null", check=False)
    assert r.returncode == 1 and "only modeld's account is served here" in r.stderr
    assert networks.get()


def test_nonsense_ends_the_connection_and_not_the_helper(networks):
    script = r"""
import socket, sys
for text in sys.argv[2:]:
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(5)
    s.sendall(text.encode().decode("unicode_escape").encode("latin-1"))
    try:
        while s.recv(100): pass
    except TimeoutError:
        sys.exit("it is still served: " + text)
"""
    networks.stop(networks.peer)
    networks.h.run(sys.executable, "-c", script, HELPER, "{}\\n", "[]\\n", "\\xff\\n",
                   '{"type":"hello"}\\n', '{"type":"hello","port":70000}\\n',
                   '{"type":"who","id":1,"peer":"1.2.3.4:5","local":"1.2.3.4:5"}\\n',
                   '{"type":"hello","port":0}\\n{"type":"hello","port":0}\\n',
                   '{"type":"hello","port":0}\\n{"type":"who","id":1,"peer":"x","local":""}\\n',
                   "x" * 5000)
    count = sum(m.get("way") == "containers" for m in networks.lines())
    networks.start_peer()
    networks.wait("containers", count + 1)
    assert networks.get()


def test_a_dead_modeld_is_refused_at_once_and_the_next_one_serves(networks):
    networks.stop(networks.peer)
    script = f"""
import socket, time
t = time.monotonic()
try:
    socket.create_connection(("{ADDRESS}", 80), 5)
except ConnectionRefusedError:
    print(time.monotonic() - t)
"""
    assert float(networks.h.out(sys.executable, "-c", script)) < 1
    count = len([m for m in networks.lines() if m.get("way") == "gateway"])
    networks.start_peer()
    networks.wait("gateway", count + 1)
    assert networks.run()["way"] == "containers"


# ---- beside others (tests 10, 11) ----

NGINX = """
daemon off; master_process off; pid %(folder)s/nginx.pid; error_log %(folder)s/error.log;
events {}
http {
    access_log off;
    client_body_temp_path %(folder)s; proxy_temp_path %(folder)s; fastcgi_temp_path %(folder)s;
    uwsgi_temp_path %(folder)s; scgi_temp_path %(folder)s;
    server { listen 0.0.0.0:80; listen [::]:80; location / { return 200 "nginx\\n"; } }
}
"""


def answer_of(h, url):
    return h.run("busybox", "wget", "-q", "-O", "-", url, check=False).stdout


class Nginx:
    """nginx on a host, on every address at port 80."""

    def __init__(self, h):
        self.h = h
        self.conf = h.folder / "nginx.conf"
        self.conf.write_text(NGINX % {"folder": h.folder})
        self.child = h.popen("nginx", "-c", self.conf, "-e", h.folder / "error.log")
        eventually(lambda: self.child.poll() is not None or self.answers())
        assert self.child.poll() is None, (self.h.folder / "error.log").read_text()

    def answers(self):
        return all(answer_of(self.h, f"http://{a}/") == "nginx\n" for a in ("127.0.0.1", "[::1]"))

    def stop(self):
        assert self.h.stop(self.child) == 0


class Published:
    """A container with the host's port 80."""

    def __init__(self, h):
        self.h = h
        h.docker("run", "-d", "--name", "web", "-p", "80:80", "bb", "sh", "-c",
                 "echo published >/tmp/index.html; exec httpd -f -h /tmp")
        eventually(self.answers)

    def answers(self):
        return answer_of(self.h, "http://127.0.0.1/") == "published\n"

    def stop(self):
        self.h.docker("rm", "-f", "web")


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("server", [Nginx, Published])
def test_who_has_port_80_of_the_host_keeps_it_and_we_answer_at_ours(fresh_net, server, order):
    n, h = fresh_net, fresh_net.h
    h.docker("network", "create", "user")  # a published container is on the default bridge
    theirs = server(h) if order == "before" else None
    n.start()
    theirs = theirs or server(h)

    def both_answer():
        for network in "bridge", "user", "host":
            assert n.run("--network", network)["way"] == "containers"
        assert n.get()["way"] == "containers"
        assert n.get(url=f"http://[{ADDRESS6}]/")["way"] == "containers"
        assert theirs.answers()
    both_answer()
    # Either may begin again beside the other.
    n.stop()
    n.down()
    assert theirs.answers()
    n.start()
    both_answer()
    theirs.stop()
    theirs = server(h)
    both_answer()
    theirs.stop()
    assert not theirs.answers() and n.get()["way"] == "containers"
    n.stop()


# ---- who may not (tests 11, 13) ----

def test_a_firewall_that_drops_all_input_and_strict_reverse_paths_do_not_matter(fresh_net):
    n, h = fresh_net, fresh_net.h
    n.start()
    h.docker("network", "create", "user")
    h.sh("""set -e
        for i in docker0 br-+; do iptables -I INPUT -i $i -j DROP; done
        iptables -P INPUT DROP; iptables -I INPUT -i lo -j ACCEPT
        iptables -I INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
        for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 >$f; done""")
    for network in "bridge", "user", "host":
        assert n.run("--network", network)["way"] == "containers"
    assert n.get()["way"] == "containers"
    n.stop()


def test_other_machines_get_no_answer(fresh_net):
    n, h = fresh_net, fresh_net.h
    n.start()
    lan = h.lan()
    h.sh("iptables -P FORWARD ACCEPT; iptables -I FORWARD -j ACCEPT")
    # By a route through this host (lan() makes its default route one).
    assert not n.connects(*lan), "static route"
    h.sh("ip -n lan -6 route add default dev eth0; sysctl -qw net.ipv6.conf.all.forwarding=1")
    assert not n.connects(*lan, url=f"http://[{ADDRESS6}]/")
    # As a neighbour who takes 169.254/16 for the cable's own.
    h.sh("ip -n lan addr add 169.254.7.7/16 dev eth0")
    assert not n.connects(*lan), "on-link"
    # docker0's gateway is this host's address: a packet gets there. The device that it came
    # by is modeld's to look at; nothing of its name is among the bridges.
    assert "lan0" not in n.bridges()
    assert n.get()["way"] == "containers"
    n.stop()


def test_a_guest_that_is_masqueraded_here_gets_no_answer(fresh_net):
    n, h = fresh_net, fresh_net.h
    n.start()
    guest = h.lan("guest", "198.18.6")
    h.sh("""iptables -P FORWARD ACCEPT; iptables -I FORWARD -j ACCEPT
        iptables -t nat -I POSTROUTING -s 198.18.6.0/24 -j MASQUERADE""")
    assert not n.connects(*guest)
    # It is the guard that keeps it out.
    h.sh("nft insert rule inet modeld allow iifname guest0 accept")
    assert n.connects(*guest)
    n.up()
    assert not n.connects(*guest), "net up puts the rules right"
    n.stop()


# ---- the address is away (test 15) ----

LEAKS = r"""
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.settimeout(0.5)
print("ready", flush=True)
found = 0
address = [socket.inet_aton("%s"), socket.inet_pton(socket.AF_INET6, "%s")]
while True:
    try:
        packet = s.recv(65535)
    except TimeoutError:
        if sys.stdin.readline() == "":
            break
        continue
    found += any(a in packet for a in address)
print(found)
""" % (ADDRESS, ADDRESS6)


def test_no_request_leaves_the_machine_when_the_link_is_away(fresh_net):
    n, h = fresh_net, fresh_net.h
    # The kernel sends a host few "unreachable" a second; here it has three outages in a row.
    h.sh("sysctl -qw net.ipv4.icmp_ratelimit=0")
    lan = h.lan()
    h.sh("ip route add default via 198.18.5.2; ip -n lan addr add fd00:5::2/64 dev eth0 nodad;"
         "ip addr add fd00:5::1/64 dev lan0 nodad; ip -6 route add default via fd00:5::2")
    ear = h.popen(*lan, sys.executable, "-c", LEAKS, stdin=subprocess.PIPE,
                  stdout=subprocess.PIPE, text=True)
    assert ear.stdout.readline() == "ready\n"

    def refused(reason):
        script = f"""
import errno, socket, time
for a in ("{ADDRESS}", "{ADDRESS6}"):
    t = time.monotonic()
    try:
        socket.create_connection((a, 80), 5)
    except OSError as e:
        print(errno.errorcode[e.errno], time.monotonic() - t < 2)
"""
        assert h.out(sys.executable, "-c", script) == f"{reason} True\n" * 2
        r = h.run("docker", "run", "--rm", "bb", "sh", "-c",
                  f"timeout 5 wget -O - {URL}; exit $?", check=False)
        assert r.returncode == 1, r.stderr

    n.up()
    refused("ECONNREFUSED")  # nobody listens
    h.sh("ip link set modeld0 down")
    refused("EHOSTUNREACH")
    n.up()
    refused("ECONNREFUSED")
    h.sh("ip netns del modeld")  # the cable goes with it
    eventually(lambda: h.run("ip", "link", "show", "modeld0", check=False).returncode)
    refused("EHOSTUNREACH")
    n.up()
    h.sh("ip link del modeld0")
    refused("EHOSTUNREACH")
    assert ear.communicate(timeout=60)[0] == "0\n"  # the end of its input ends it


def test_a_leak_would_be_seen(fresh_net):
    """The same ear hears what goes out when nothing of us is there."""
    n, h = fresh_net, fresh_net.h
    lan = h.lan()
    h.sh("ip route add default via 198.18.5.2")
    ear = h.popen(*lan, sys.executable, "-c", LEAKS, stdin=subprocess.PIPE,
                  stdout=subprocess.PIPE, text=True)
    assert ear.stdout.readline() == "ready\n"
    n.connects(seconds=1)
    assert int(ear.communicate(timeout=60)[0]) > 0


# ---- repair ----

def test_what_others_take_away_comes_back(fresh_net):
    n, h = fresh_net, fresh_net.h
    n.start()
    before = h.snapshot()

    def works():
        eventually(lambda: n.connects(seconds=1) and n.connects(url=f"http://[{ADDRESS6}]/"))
        eventually(lambda: h.snapshot() == before)
    works()
    h.sh("ip link set modeld0 down; ip link set modeld0 up")
    works()
    h.sh(f"ip route del {ADDRESS}/32 dev modeld0; ip route del unreachable {ADDRESS}")
    works()
    h.sh(f"ip addr flush dev modeld0")
    works()
    h.sh("nft delete table inet modeld")
    works()
    n.stop()


def test_a_namespace_that_is_remade_gets_new_listeners(fresh_net):
    n = fresh_net.start()
    n.down()
    n.up()
    n.wait("containers", 4)
    assert n.get()["way"] == "containers"
    n.stop()


def test_docker_may_come_later_and_go(fresh_net):
    n, h = fresh_net, fresh_net.h
    h.docker("network", "create", "-o", "com.docker.network.bridge.name=mybridge0", "custom")
    h.stop_dockerd()
    n.up()
    n.start_listen()
    n.start_peer()
    n.wait("containers", 2)
    assert n.get()["way"] == "containers"
    h.start_dockerd()
    n.wait("gateway")
    for i in range(2):
        assert n.run("--network", "custom", "--name", "cc")["who"]["name"] == "cc"
        h.restart_dockerd()
    # Another subnet for docker0: the listener moves.
    h.stop_dockerd()
    h.sh("ip link del docker0")
    h.start_dockerd("--bip", "172.31.9.1/24")
    n.wait("gateway", 2)
    assert n.run(url=f"http://172.31.9.1:{PORT}/")["way"] == "gateway"
    n.stop()


def test_listen_begins_before_the_network_stands(fresh_net):
    n = fresh_net
    n.start_listen()
    n.start_peer()
    n.wait("gateway")
    n.up()
    n.wait("containers")
    assert n.get()["way"] == "containers"
    n.stop()


# ---- internal networks that are opened ----

def test_an_internal_network_that_the_settings_open_comes_by_its_gateway(fresh_net):
    n, h = fresh_net, fresh_net.h
    (h.folder / "etc-modeld" / "docker.json").write_text('{"internal": ["inner"]}')
    n.start()
    gateways = {}
    for name in "inner", "closed":
        h.docker("network", "create", "--internal", name)
        gateways[name] = h.docker("network", "inspect", "-f",
                                  "{{(index .IPAM.Config 0).Gateway}}", name).strip()
    got = n.run("--network", "inner", "--name", "inside", url=f"http://{gateways['inner']}/")
    assert got["way"] == "gateway" and got["who"]["name"] == "inside"
    assert not n.connects("docker", "run", "--rm", "--network", "closed", "bb",
                          url=f"http://{gateways['closed']}/")
    inner = h.docker("network", "inspect", "-f", "{{.Id}}", "inner")[:12]
    closed = h.docker("network", "inspect", "-f", "{{.Id}}", "closed")[:12]
    assert f"br-{inner}" in n.bridges() and f"br-{closed}" not in n.bridges()
    # Port 80 of another bridge's gateway is not ours.
    assert not n.connects("docker", "run", "--rm", "--network", "bridge", "bb",
                          url=f"http://{gateways['inner']}/")
    n.stop()


# ---- a kernel without nftables ----

NO_NFT = r"""
int nft_run_cmd_from_buffer(void *nft, const char *text);
int nft_run_cmd_from_buffer(void *nft, const char *text) { return nft != text; }
"""


def test_without_nftables_iptables_does_the_same(fresh_net, tmp_path):
    """nftables is taken away from our programs alone, so Docker's rules are another kind."""
    n, h = fresh_net, fresh_net.h
    (tmp_path / "no.c").write_text(NO_NFT)
    library = tmp_path / "no.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "no.c"], check=True)
    program = tmp_path / "modeld-docker"
    program.write_text(f'#!/bin/sh\nexec env LD_PRELOAD={library} '
                       f'ASAN_OPTIONS=verify_asan_link_order=0 {MODELD_DOCKER} "$@"\n')
    program.chmod(0o755)
    h.docker("network", "create", "-o", "com.docker.network.bridge.name=mybridge0",
             "-o", "com.docker.network.bridge.enable_ip_masquerade=false", "custom")
    # Loads the tables, which stay when they are empty.
    h.sh("for t in raw nat filter; do iptables-legacy -t $t -S; ip6tables-legacy -t $t -S; done")

    def look():
        legacy = h.sh("iptables-legacy-save; ip6tables-legacy-save")
        return h.snapshot() + re.sub(r"^#.*\n|\[.*\]", "", legacy, flags=re.M)
    before = look()
    n.program = program
    n.start()
    assert "MODELD-GUARD" in h.sh("iptables-legacy -t raw -S")
    assert "modeld" not in h.sh("nft list tables")
    for network in "bridge", "custom":
        assert n.run("--network", network, "--name", "cc")["who"]["name"] == "cc"
    guest = h.lan("guest", "198.18.6")
    h.sh("""iptables -P FORWARD ACCEPT; iptables -I FORWARD -j ACCEPT
        iptables -t nat -I POSTROUTING -s 198.18.6.0/24 -j MASQUERADE""")
    assert not n.connects(*guest)
    h.sh("""iptables -D FORWARD -j ACCEPT; ip netns del guest
        iptables -t nat -D POSTROUTING -s 198.18.6.0/24 -j MASQUERADE""")
    n.stop()
    n.down()
    assert look().splitlines() == before.splitlines()


# ---- undo (test 21) ----

@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_down_leaves_the_host_as_it_was(fresh_net, how):
    n, h = fresh_net, fresh_net.h
    h.docker("network", "create", "user")
    h.docker("network", "create", "--internal", "inner")
    h.docker("run", "-d", "--name", "old", "--network", "user", "bb", "sleep", "1000")
    before = h.snapshot()
    n.start()
    assert n.get("docker", "exec", "old")["way"] == "containers"
    if how == "stopped":
        n.stop()
    else:
        h.stop(n.listen, signal.SIGKILL)
        # A new one begins over what the killed one left; a modeld that still has its
        # listeners is no reason not to end.
        n.start_listen()
        n.wait("gateway", 2)
        assert n.get("docker", "exec", "old")["who"]["name"] == "old"
        h.stop(n.listen, signal.SIGKILL)
    n.down()
    n.down()
    eventually(lambda: h.snapshot() == before)
    assert h.inspect("old", ".State.Running") == "true"
    if how == "killed":
        n.stop(n.peer)


def test_down_is_fine_with_nothing_there(bare_host):
    before = bare_host.snapshot()
    bare_host.run(MODELD_DOCKER, "net", "down")
    assert bare_host.snapshot() == before
