"""modeld-docker dns: real questions by UDP and TCP, from this host and from containers,
and upstream servers that lie, dribble or stay silent."""

import concurrent.futures
import contextlib
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from conftest import BUILD, eventually, memory_kib, quick
from host_fixtures import ADDRESS, NAME, bare_host, fresh_host, host  # noqa: F401

PROGRAM = BUILD / "modeld-docker"
A, NS, SOA, TXT, AAAA, OPT, ANY = 1, 2, 6, 16, 28, 41, 255
FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 1, 2, 3, 4, 5
AT = ("127.0.0.3", 5300)  # where the responder answers in tests without containers


# ---- messages ----

def qname(name):
    return b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"


def query(name, kind=A, ident=0x4242, edns=None, flags=0x0100):
    extra = b"" if edns is None else b"\0" + struct.pack(">HHIH", OPT, edns, 0, 0)
    return struct.pack(">6H", ident, flags, 1, 0, 0, 1 if extra else 0) + qname(name) + \
        struct.pack(">2H", kind, 1) + extra


class Answer:
    def __init__(self, data):
        self.data = data
        self.id, self.flags, self.qd, self.an, self.ns, self.ar = struct.unpack(">6H", data[:12])
        self.rcode = self.flags & 15
        self.tc = bool(self.flags & 0x200)
        self.aa = bool(self.flags & 0x400)


def answer_to(data, address="192.0.2.7", rcode=0, tc=False):
    """What an honest server says: the address, in answer to this question."""
    end = data.index(b"\0", 12) + 5
    head = data[:2] + struct.pack(">5H", 0x8180 | rcode | (0x200 if tc else 0), 1,
                                  0 if rcode or tc else 1, 0, 0)
    rr = b"" if rcode or tc else b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 60, 4) + \
        socket.inet_aton(address)
    return head + data[12:end] + rr


# ---- the network namespace of the host, for sockets of this process ----

@contextlib.contextmanager
def inside(h):
    """Sockets opened in here are on that host."""
    libc = __import__("ctypes").CDLL(None, use_errno=True)
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/proc/{h.pid}/ns/net", os.O_RDONLY)
    try:
        assert libc.setns(there, 0) == 0
        yield
    finally:
        assert libc.setns(back, 0) == 0
        os.close(back)
        os.close(there)


def udp(h, data=None, at=AT, wait=60):
    with inside(h):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with s:
        s.settimeout(wait)
        s.connect(at)
        s.send(data)
        return Answer(s.recv(65535))


def tcp_socket(h, at=AT):
    with inside(h):
        s = socket.socket()
    s.settimeout(60)
    s.connect(at)
    return s


def frame(data):
    return struct.pack(">H", len(data)) + data


def read_frame(s):
    def exactly(n):
        got = b""
        while len(got) < n:
            piece = s.recv(n - len(got))
            if not piece:
                raise EOFError
            got += piece
        return got
    return exactly(struct.unpack(">H", exactly(2))[0])


class Upstream:
    """A DNS server on the host whose behaviour is a function: (data, address, is_tcp) gives
    the messages to send. Counts what it was asked."""

    def __init__(self, h, answer=lambda data, _from, _tcp: [answer_to(data)], at=("127.0.0.9", 53)):
        self.answer, self.asked = answer, []
        with inside(h):
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.udp.bind(at)
        self.tcp.bind(at)
        self.tcp.listen(50)
        for serve in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                data, peer = self.udp.recvfrom(65535)
                if not peer:
                    return  # closed
                self.asked.append((data, peer, False))
                for m in self.answer(data, peer, False):
                    self.udp.sendto(m, peer)

    def serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                s, peer = self.tcp.accept()
                threading.Thread(target=self.serve_one, args=(s, peer), daemon=True).start()

    def serve_one(self, s, peer):
        with s, contextlib.suppress(OSError, EOFError):
            while True:
                data = read_frame(s)
                self.asked.append((data, peer, True))
                for m in self.answer(data, peer, True):
                    s.sendall(frame(m))

    def close(self):
        for s in (self.udp, self.tcp):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()


@pytest.fixture
def upstream(bare_host):
    u = Upstream(bare_host)
    yield u
    u.close()


@pytest.fixture
def dns(bare_host, upstream):
    """The responder on this host's loopback, with a server that the test can make lie."""
    bare_host.upstream = upstream
    child = bare_host.ready(PROGRAM, "dns", "--dns-address", "%s:%d" % AT, "--upstream",
                            "127.0.0.9", "--log-level", "debug", log=bare_host.folder / "dns.log")
    bare_host.responder = child
    yield bare_host
    assert bare_host.stop(child) == 0, (bare_host.folder / "dns.log").read_text()[-3000:]


def udp_again(h, data):
    """As resolvers do: a lost packet is sent again."""
    for _ in range(4):
        with contextlib.suppress(TimeoutError):
            return udp(h, data, wait=2)
    raise TimeoutError


def both(h, data):
    """The answers by UDP and by TCP."""
    yield udp(h, data)
    with tcp_socket(h) as s:
        s.sendall(frame(data))
        yield Answer(read_frame(s))


def pid_of(child):
    """nsenter only waits for what it started."""
    kids = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children")
    return kids.read_text().split()[0]


def peak_mb(child):
    """The most memory that it ever had; what AddressSanitizer adds is taken off roughly."""
    pid = pid_of(child)
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    return memory_kib(pid, "HWM") / 1024 / (4 if "asan" in maps else 1)


# ---- the one name ----

def test_the_name_and_its_types(dns):
    for name in (NAME, NAME.upper()):
        for kind in (A, ANY):
            for a in both(dns, query(name, kind)):
                assert (a.rcode, a.an, a.aa, a.id) == (0, 1, True, 0x4242)
                assert a.data.endswith(socket.inet_aton(ADDRESS))
                assert qname(name) in a.data
    for kind in (AAAA, TXT, NS, SOA, 65):
        for a in both(dns, query(NAME, kind)):
            assert (a.rcode, a.an, a.ns, a.aa) == (0, 0, 1, True)
    a = udp(dns, query(NAME, edns=4096))
    assert a.ar == 1
    assert not dns.upstream.asked


def test_others_are_passed_on_unmodified(dns):
    for i, data in enumerate((query("example.com"), query("x." + NAME), query("internal", AAAA),
                              query("example.com", edns=1400), query("example.com", 99, flags=0x0130))):
        a = list(both(dns, data))
        assert [x.data for x in a] == [answer_to(data)] * 2
        (by_udp, _, _), (by_tcp, _, is_tcp) = dns.upstream.asked[2 * i:]
        assert is_tcp and by_udp[2:] == by_tcp[2:] == data[2:]


def test_ids_and_ports_are_fresh_each_time(dns):
    for i in range(40):
        udp(dns, query(f"n{i}.example"))
    ids = {data[:2] for data, _, _ in dns.upstream.asked}
    ports = {peer[1] for _, peer, _ in dns.upstream.asked}
    assert len(ids) > 35 and len(ports) > 35


def test_a_cut_answer_sends_the_client_to_tcp(dns):
    dns.upstream.answer = lambda data, _, is_tcp: [answer_to(data, tc=not is_tcp)]
    by_udp, by_tcp = both(dns, query("large.example"))
    assert by_udp.tc and not by_tcp.tc and by_tcp.an == 1


def test_no_such_name_is_passed_on_as_it_is(dns):
    dns.upstream.answer = lambda data, *_: [answer_to(data, rcode=NXDOMAIN)]
    assert [a.rcode for a in both(dns, query("gone.example"))] == [NXDOMAIN] * 2


# ---- upstream servers that lie, dribble or stay silent ----

def test_lies_are_not_believed(dns):
    """Wrong id, wrong name, wrong type, an id right and no question; then the truth."""
    def lies(data, _from, _tcp):
        other = answer_to(query("evil.example", ident=struct.unpack(">H", data[:2])[0]), "6.6.6.6")
        wrong_id = bytes([data[0] ^ 1]) + answer_to(data, "6.6.6.6")[1:]
        wrong_case = answer_to(data, "6.6.6.6").replace(b"example", b"Example")
        wrong_type = answer_to(data[:-4] + struct.pack(">2H", AAAA, 1), "6.6.6.6")
        empty = data[:2] + struct.pack(">5H", 0x8180, 0, 0, 0, 0)
        return [other, wrong_id, wrong_case, wrong_type, empty, data, b"", b"x", answer_to(data)]
    dns.upstream.answer = lies
    assert udp(dns, query("true.example")).data == answer_to(query("true.example"))


def test_answers_from_elsewhere_are_not_believed(dns):
    def elsewhere(data, peer, _tcp):
        with inside(dns):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with s:
            s.bind(("127.0.0.66", 53))
            s.sendto(answer_to(data, "6.6.6.6"), peer)
        return [answer_to(data)]
    dns.upstream.answer = elsewhere
    assert udp(dns, query("true.example")).data == answer_to(query("true.example"))


def test_a_guesser_is_cut_off(dns):
    dns.upstream.answer = lambda data, *_: [
        struct.pack(">H", i) + answer_to(data, "6.6.6.6")[2:] for i in range(200)
        if struct.pack(">H", i) != data[:2]] + [answer_to(data, "6.6.6.6")]
    assert udp(dns, query("true.example")).rcode == SERVFAIL


def test_by_tcp_a_lie_is_a_failure(dns):
    dns.upstream.answer = lambda data, *_: [answer_to(query("evil.example"), "6.6.6.6")]
    with tcp_socket(dns) as s:
        s.sendall(frame(query("true.example")))
        assert Answer(read_frame(s)).rcode == SERVFAIL


def test_silence_is_a_failure_before_the_client_gives_up(dns):
    dns.upstream.answer = lambda *_: []

    def fail():
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            by_udp = pool.submit(udp, dns, query("silent.example"))
            with tcp_socket(dns) as s:
                s.sendall(frame(query("silent.example")))
                assert Answer(read_frame(s)).rcode == SERVFAIL
            assert by_udp.result().rcode == SERVFAIL
        assert time.monotonic() - began > 3
    quick(5, fail)
    # Meanwhile and after, our own name.
    assert udp(dns, query(NAME)).an == 1


def test_a_server_that_dribbles_is_a_failure(dns):
    def dribble(data, _from, is_tcp):
        for _ in range(100 if is_tcp else 0):
            time.sleep(0.1)
            yield b""
    dns.upstream.answer = dribble
    with tcp_socket(dns) as s:
        s.sendall(frame(query("slow.example")))
        assert Answer(read_frame(s)).rcode == SERVFAIL


def test_nobody_listens_upstream(bare_host):
    h = bare_host
    child = h.ready(PROGRAM, "dns", "--dns-address", "%s:%d" % AT, "--upstream", "127.0.0.55",
                    log=h.folder / "dns.log")
    answers = quick(3, lambda: both(h, query("none.example")))
    assert [a.rcode for a in answers] == [SERVFAIL] * 2
    assert h.stop(child) == 0


def test_the_same_question_goes_out_once(dns):
    gate = threading.Event()

    def later(data, *_):
        gate.wait(3)
        return [answer_to(data)]
    dns.upstream.answer = later
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(udp, dns, query("busy.example", ident=i)) for i in range(20)]
        eventually(lambda: dns.upstream.asked)
        time.sleep(0.3)  # that no second one comes is what is tested
        assert len(dns.upstream.asked) == 1
        gate.set()
        assert sorted(w.result().id for w in waiting) == list(range(20))


def test_more_questions_than_there_is_room_for(dns):
    """Thousands that nobody answers: the newest still get through, memory stays."""
    dns.upstream.answer = lambda data, *_: [answer_to(data)] if b"good" in data else []
    with inside(dns):
        flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with flood:
        flood.connect(AT)
        for i in range(5000):
            flood.send(query(f"n{i}.silent.example"))
            if i % 500 == 0:
                eventually(lambda i=i: udp_again(dns, query(f"good{i}.example")).an == 1)
    eventually(lambda: udp_again(dns, query("good.example")).an == 1)
    assert len(os.listdir(f"/proc/{pid_of(dns.responder)}/fd")) < 1100
    assert peak_mb(dns.responder) < 60


# ---- clients that misbehave ----

def test_malformed_questions(dns):
    head = struct.pack(">6H", 0x4242, 0x0100, 1, 0, 0, 0)
    for data in (head, head + b"\x05ab", head + b"\xc0\x0c\0\1\0\1", head + b"\x80" * 200,
                 struct.pack(">6H", 0x4242, 0x0100, 2, 0, 0, 0) + qname(NAME) + b"\0\1\0\1",
                 head + qname(NAME)):
        assert [a.rcode for a in both(dns, data)] == [FORMERR] * 2
    assert udp(dns, query(NAME, flags=0x2800)).rcode == NOTIMP
    # What is no question gets no answer: an answer, half a head.
    for data in (query(NAME, flags=0x8180), b"", b"\0" * 11):
        with pytest.raises(TimeoutError):
            udp(dns, data, wait=0.3)
    for junk in range(200):
        with contextlib.suppress(TimeoutError):
            udp(dns, os.urandom(junk), wait=0.005)
    assert udp(dns, query(NAME)).an == 1


def test_many_questions_on_one_connection(dns):
    with tcp_socket(dns) as s:
        s.sendall(b"".join(frame(query(NAME if i % 2 else f"n{i}.example", ident=i))
                           for i in range(200)))
        s.shutdown(socket.SHUT_WR)
        got = {}
        with contextlib.suppress(EOFError):
            while True:
                a = Answer(read_frame(s))
                got[a.id] = a
    assert sorted(got) == list(range(200)) and all(a.an == 1 for a in got.values())


def test_a_question_in_pieces_and_one_that_never_ends(dns):
    data = frame(query(NAME))
    with tcp_socket(dns) as s, tcp_socket(dns) as never:
        never.sendall(data[:5])
        never.settimeout(60)
        for i in range(len(data)):
            s.sendall(data[i:i + 1])
        assert Answer(read_frame(s)).an == 1
        assert never.recv(1) == b""  # it has 10 s


def test_a_client_that_does_not_read_holds_nobody_up(dns):
    big = b"".join(frame(query(NAME)) for _ in range(40000))
    with tcp_socket(dns) as s:
        s.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < len(big):
                sent += s.send(big[sent:])
        assert udp_again(dns, query(NAME)).an == 1
    assert peak_mb(dns.responder) < 40


def test_too_many_connections(dns):
    held = [tcp_socket(dns) for _ in range(160)]
    assert udp(dns, query(NAME)).an == 1
    for s in held:
        s.close()

    def answers():
        with contextlib.suppress(EOFError, OSError), tcp_socket(dns) as s:
            s.sendall(frame(query(NAME)))
            return Answer(read_frame(s)).an == 1
    eventually(answers)


# ---- where questions go, and whose are taken ----

def test_resolv_conf_is_followed(bare_host):
    h = bare_host
    resolv = h.folder / "resolv.conf"
    resolv.write_text("# nobody\nsearch example\n")
    h.sh(f"mount --bind {resolv} /etc/resolv.conf")
    child = h.ready(PROGRAM, "dns", "--dns-address", "127.0.0.3:53", log=h.folder / "dns.log")
    at = ("127.0.0.3", 53)
    assert udp(h, query("x.example"), at).rcode == SERVFAIL
    assert udp(h, query(NAME), at).an == 1
    first, second = Upstream(h), Upstream(h, at=("127.0.0.10", 53))
    try:
        # Ourselves are left out, or we would ask ourselves for ever.
        resolv.write_text("nameserver 127.0.0.3\nnameserver 127.0.0.9 # first\n")
        eventually(lambda: udp(h, query("y.example"), at).an == 1)
        assert first.asked and not second.asked
        resolv.write_text("nameserver\t127.0.0.10\n")
        eventually(lambda: udp(h, query("z.example"), at).an and second.asked)
    finally:
        first.close()
        second.close()
    assert h.stop(child) == 0


def test_a_loop_of_servers_ends(bare_host):
    """Our upstream asks us: by an honest forwarder, as dnsmasq or systemd-resolved is one."""
    h = bare_host

    def forward(data, _from, _tcp):
        with contextlib.suppress(TimeoutError):
            ident = os.urandom(2)
            return [data[:2] + udp(h, ident + data[2:], wait=5).data[2:]]
        return []
    u = Upstream(h, forward)
    child = h.ready(PROGRAM, "dns", "--dns-address", "%s:%d" % AT, "--upstream", "127.0.0.9",
                    log=h.folder / "dns.log")
    assert udp(h, query("loop.example")).rcode == SERVFAIL
    assert len(u.asked) <= 3
    assert udp(h, query(NAME)).an == 1
    u.close()
    assert h.stop(child) == 0


def test_strangers_are_refused(bare_host):
    h = bare_host
    lan = h.lan()
    u = Upstream(h)
    child = h.ready(PROGRAM, "dns", "--dns-address", "198.18.5.1:53", "--upstream", "127.0.0.9",
                    log=h.folder / "dns.log")
    assert udp(h, query("example.com"), ("198.18.5.1", 53)).an == 1
    for name in (NAME, "example.com"):
        r = h.run(*lan, "busybox", "nslookup", name, "198.18.5.1", check=False)
        assert "REFUSED" in r.stdout + r.stderr
    assert len(u.asked) == 1
    u.close()
    assert h.stop(child) == 0


@pytest.mark.parametrize("args,says", [
    (["--dns-address", "0.0.0.0:53"], "name one address"),
    (["--dns-address", "localhost:53"], "is no address"),
    (["--dns-address", "127.0.0.1:99999"], "is no address"),
    (["--dns-address", "127.0.0.1:53", "--upstream", "127.0.0.1"], "name another"),
    (["--dns-address", "127.0.0.1:53", "--upstream", "8.8.8.8:x"], "is no address"),
    (["--dns-address", "10.11.12.13:53", "--upstream", "127.0.0.9"], "cannot assign|Cannot assign"),
    ([], "net up"),
])
def test_wrong_settings_say_what_to_do(bare_host, args, says):
    r = bare_host.run(PROGRAM, "dns", *args, check=False)
    assert r.returncode in (1, 2)
    assert any(s in r.stderr for s in says.split("|")), r.stderr


# ---- containers, by glibc's resolver and by musl's ----

PROBE = r"""
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_family = argc > 2 ? AF_INET : AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *a;
	int r = getaddrinfo(argv[1], "80", &hints, &a);
	if (r)
		return printf("%s\n", gai_strerror(r)), 1;
	for (; a; a = a->ai_next) {
		char ip[INET6_ADDRSTRLEN];
		printf("%s\n", inet_ntop(a->ai_family, a->ai_family == AF_INET
			? (void *)&((struct sockaddr_in *)a->ai_addr)->sin_addr
			: (void *)&((struct sockaddr_in6 *)a->ai_addr)->sin6_addr, ip, sizeof ip));
	}
}
"""


@pytest.fixture(scope="module")
def served(host, tmp_path_factory):
    """The responder at its usual place, an honest server behind it, and two static programs
    that look up a name: one with glibc, one with musl."""
    folder = tmp_path_factory.mktemp("probes")
    (folder / "probe.c").write_text(PROBE)
    for cc in ("gcc", "musl-gcc"):
        subprocess.run([cc, "-static", "-w", "-o", folder / cc, folder / "probe.c"], check=True)
    host.probes = folder
    host.run(PROGRAM, "net", "up")
    u = Upstream(host)
    host.upstream = u
    child = host.ready(PROGRAM, "dns", "--upstream", "127.0.0.9", "--log-level", "debug",
                       log=host.folder / "dns.log")
    yield host
    assert host.stop(child) == 0
    host.run(PROGRAM, "net", "down")
    u.close()


@pytest.mark.parametrize("network", ["bridge", "user", "host"])
@pytest.mark.parametrize("libc", ["gcc", "musl-gcc"])
def test_containers_with_dns(served, network, libc):
    served.sh("docker network create user >/dev/null 2>&1 || true")
    run = ("run", "--rm", "--network", network, "--dns", ADDRESS, "-v",
           f"{served.probes}:/probes:ro", "bb")
    assert served.docker(*run, f"/probes/{libc}", NAME).split() == [ADDRESS]
    assert served.docker(*run, f"/probes/{libc}", NAME, "4").split() == [ADDRESS]
    # The server gives an IPv4 address for both types; glibc and musl drop the wrong one.
    assert "192.0.2.7" in served.docker(*run, f"/probes/{libc}", "example.com", "4").split()


@pytest.mark.parametrize("network", ["bridge", "user"])
def test_nslookup_in_a_container(served, network):
    served.sh("docker network create user >/dev/null 2>&1 || true")
    said = served.docker("run", "--rm", "--network", network, "--dns", ADDRESS, "bb",
                         "nslookup", NAME)
    assert f"Address: {ADDRESS}" in said and "NXDOMAIN" not in said


def test_a_large_answer_reaches_a_container_by_tcp(served):
    served.upstream.answer = lambda data, _, is_tcp: [answer_to(data, tc=not is_tcp)]
    run = ("run", "--rm", "--dns", ADDRESS, "-v", f"{served.probes}:/probes:ro", "bb")
    try:
        assert served.docker(*run, "/probes/gcc", "big.example", "4").split() == ["192.0.2.7"]
    finally:
        served.upstream.answer = lambda data, *_: [answer_to(data)]


def test_a_killed_responder_can_start_again(bare_host):
    h = bare_host
    h.run(PROGRAM, "net", "up")
    for _ in range(3):
        child = h.ready(PROGRAM, "dns", log=h.folder / "dns.log")
        assert h.run("busybox", "nslookup", NAME, ADDRESS).stdout.count(ADDRESS) >= 2
        h.stop(child, signal.SIGKILL)
