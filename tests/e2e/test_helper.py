"""The link between modeld and its root helper: the ways in that it opens, who calls, and
that a helper gone mad harms nobody."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import httpx
import pytest

from conftest import BUILD, TEXT, eventually, quick
from helper_fixtures import WEB, helper, listener  # noqa: F401
from host_fixtures import bare_host, host  # noqa: F401

NAME = "model-runner.docker.internal"
CHAT = "/v1/chat/completions"
ASK = {"model": TEXT, "messages": [{"role": "user", "content": "Hello."}]}
NOBODY = 65534


@pytest.fixture
def begin(start, models_store, fake_engine, tmp_path):
    """begin(*args, plan) starts modeld beside a stand-in for the engine."""
    def go(*args, plan=None, helper=tmp_path / "helper.sock"):
        m = start(models_store, "--helper", str(helper), "--log-level", "debug", *args,
                  llama=fake_engine, env={"FAKE_ENGINE": json.dumps(plan or {}),
                                          "FAKE_ENGINE_LOG": str(tmp_path / "engine.log")})
        m.fields = lambda: re.findall(
            r"^field (.*)$", (tmp_path / "engine.log").read_text(), re.M)
        return m
    return go


def ask(at, path="/v1/models", **kw):
    host = f"[{at[0]}]" if ":" in at[0] else at[0]
    kw.setdefault("headers", {}).setdefault("Host", NAME)
    return httpx.request(kw.pop("method", "GET"), f"http://{host}:{at[1]}{path}",
                         timeout=60, **kw)


def chat(at, headers=None, **body):
    r = ask(at, CHAT, method="POST", json={**ASK, **body}, headers=headers or {})
    assert r.status_code == 200, r.text
    return r


def refused(at):
    s = socket.socket()
    try:
        return s.connect_ex(at) != 0
    finally:
        s.close()


def as_user(uid, *command):
    """Output of a command run under another user."""
    r = subprocess.run(["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups",
                        *command], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    return r.stdout


# ---- ways in ----

def test_without_a_helper_modeld_works_and_is_silent(begin):
    m = begin()
    before = m.log()
    time.sleep(0.8)  # several tries; silence is what is tested
    assert m.http.get("/v1/models").status_code == 200
    new = m.log().removeprefix(before)
    assert "helper" not in new and "warn" not in new and "error" not in new, new


def test_containers_come_in_by_a_socket_that_the_helper_hands_over(begin, helper):
    m = begin()
    link = helper.link()
    assert link.hello["port"] == m.port
    at, at6 = link.give(), link.give(sock=listener(("::1", 0)))
    for a in (at, at6):
        eventually(lambda: ask(a).status_code == 200)
    urls = m.http.get("/version").json()["listen"]
    assert f"http://127.0.0.1:{at[1]}" in urls and f"http://[::1]:{at6[1]}" in urls
    assert ask(at, "/models/create", method="POST", json={"from": "x"}).status_code == 403
    assert ask(at, headers={"Host": "evil.example"}).status_code == 403


def test_without_a_host_port_the_helper_is_told_so(begin, helper):
    begin("--port", "off")
    assert helper.link().hello["port"] == 0


def test_the_log_names_container_and_request(begin, helper):
    m = begin()
    link = helper.link()
    at = link.give()
    # The first may come before the helper has said who it is.
    eventually(lambda: ask(at).status_code == 200 and f"container=web/{WEB[:12]}" in m.log())
    q = link.asked[0]
    assert q["local"] == f"127.0.0.1:{at[1]}" and re.fullmatch(r"127\.0\.0\.1:\d+", q["peer"])


def test_when_the_helper_ends_its_ways_in_close_and_answers_go_on(begin, helper):
    m = begin(plan={"chunks": 20, "pause_s": 0.1})
    link = helper.link()
    at = link.give()
    with httpx.stream("POST", f"http://127.0.0.1:{at[1]}{CHAT}", headers={"Host": NAME},
                      json={**ASK, "stream": True}, timeout=60) as r:
        lines = r.iter_lines()
        assert next(lines).startswith("data:")
        link.close()
        eventually(lambda: refused(at))
        assert f"http://127.0.0.1:{at[1]}" not in m.http.get("/version").json()["listen"]
        assert [line for line in lines if line][-1] == "data: [DONE]"
    # And it comes back.
    at = helper.link().give()
    eventually(lambda: ask(at).status_code == 200)


def test_a_helper_that_comes_and_goes_leaves_nothing_behind(begin, helper):
    m = begin()
    fds = pathlib.Path(f"/proc/{m.process.pid}/fd")
    counts = []
    for _ in range(6):
        link = helper.link()
        at = link.give()
        link.send(type="bridges", names=["docker0", "br-1"])
        eventually(lambda: ask(at).status_code == 200)
        link.close()
        eventually(lambda: refused(at))
        counts.append(len(list(fds.iterdir())))
    eventually(lambda: len(list(fds.iterdir())) <= counts[1])


def test_a_helper_that_starts_later_is_found(begin, helper):
    helper.close()
    os.unlink(helper.path)
    m = begin()
    time.sleep(0.5)  # long enough for pauses to grow
    helper.open()
    at = helper.link().give()
    eventually(lambda: ask(at).status_code == 200)
    assert "warn" not in m.log()


def test_a_refusal_is_told_once(begin, helper):
    m = begin()
    for _ in range(3):
        link = helper.link()
        link.send(type="refused", reason="another modeld has it")
        link.close()
    eventually(lambda: "another modeld has it" in m.log())
    assert m.log().count("another modeld has it") == 1
    at = helper.link().give()
    eventually(lambda: ask(at).status_code == 200)


@pytest.mark.parametrize("args", [("--containers", "off"), ("--helper", "off")])
def test_switched_off_nobody_is_asked(begin, helper, args):
    begin(*args)
    helper.server.settimeout(1)
    with pytest.raises(TimeoutError):
        helper.link()


def test_a_reload_follows_what_containers_may_do(begin, helper, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"containers": "inference"}))
    m = begin("--config", str(config))
    link = helper.link()
    at = link.give()
    eventually(lambda: ask(at).status_code == 200)
    config.write_text(json.dumps({"containers": "off"}))
    m.process.send_signal(signal.SIGHUP)
    eventually(lambda: refused(at))
    config.write_text(json.dumps({"containers": "full"}))
    m.process.send_signal(signal.SIGHUP)
    at = helper.link().give()
    eventually(lambda: ask(at).status_code == 200)
    assert ask(at, "/engines/ps").status_code == 200


def test_a_helper_that_is_not_root_is_not_believed(begin, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    for parent in folder.parents:
        if parent.stat().st_uid == os.getuid() and str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o111)
    path = folder / "helper.sock"
    script = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); "
              "s.listen(); print('up', flush=True)\n"
              "while True: print(len(s.accept()[0].recv(100)), flush=True)")
    liar = subprocess.Popen(
        ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups",
         "/usr/bin/python3", "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert liar.stdout.readline() == "up\n"
        m = begin(helper=path)
        eventually(lambda: "only user 0 is believed" in m.log())
        assert liar.stdout.readline() == "0\n"  # not even a hello
        assert liar.stdout.readline() == "0\n"
        assert m.log().count("only user 0 is believed") == 1
    finally:
        liar.kill()
        liar.wait()


# ---- who calls ----

def test_a_request_of_a_container_carries_its_identity(begin, helper):
    m = begin()
    link = helper.link()

    def late(q):
        time.sleep(0.05)
        return {"address": "172.17.0.5", "container": WEB, "name": "web"}
    link.who = late
    at = link.give()
    # Each request is the first of its connection, so each has to wait; on a machine that is
    # too busy for the limit of this wait, one of several gets there.
    eventually(lambda: chat(at) and m.fields()[-1] == f"Modeld-Cache-Id: container={WEB}")
    assert set(m.fields()) <= {f"Modeld-Cache-Id: {i}" for i in (
        f"container={WEB}", "way=containers")}


@pytest.mark.parametrize("facts", [None, {}, {"address": "172.17.0.9"}])
def test_a_container_that_nobody_knows_is_answered_soon(begin, helper, facts):
    m = begin()
    link = helper.link()
    chat(("127.0.0.1", m.port))  # the engine runs
    link.who = lambda q: facts
    at = link.give()
    began = time.monotonic()
    with httpx.Client(base_url=f"http://127.0.0.1:{at[1]}", headers={"Host": NAME},
                      timeout=60) as c:
        c.post(CHAT, json=ASK)
        assert time.monotonic() - began >= (0.19 if facts is None else 0)
        # One wait for a connection, not one each.
        quick(0.19, lambda: c.post(CHAT, json=ASK), 100)
    assert set(m.fields()[1:]) == {"Modeld-Cache-Id: way=containers"}


def test_a_helper_that_dies_while_asked_holds_nobody_up(begin, helper):
    m = begin()
    link = helper.link()
    at = link.give()
    link.who = lambda q: link.close()
    chat(at)
    assert m.fields() == ["Modeld-Cache-Id: way=containers"]


def test_clients_that_leave_while_they_are_asked_for_are_forgotten(begin, helper):
    m = begin()
    link = helper.link()
    link.who = lambda q: None
    at = link.give()
    eventually(lambda: not refused(at))
    body = json.dumps(ASK).encode()
    for i in range(600):  # more than LIMIT_HELPER_ASKED
        s = socket.create_connection(at)
        s.sendall(b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s" % (
            CHAT.encode(), NAME.encode(), len(body), body if i % 2 else body[:10]))
        s.close()
    eventually(lambda: len(link.asked) >= 512)
    link.who = lambda q: {"container": WEB}
    for q in link.asked[:512]:
        link.send(type="who", id=q["id"], container=WEB)
    eventually(lambda: ask(at).status_code == 200)
    eventually(lambda: f"container=/{WEB[:12]}" in m.log())


def test_a_user_of_loopback_is_known(begin):
    m = begin()
    chat(("127.0.0.1", m.port))
    as_user(NOBODY, "curl", "-sf", "-d", json.dumps(ASK), f"http://127.0.0.1:{m.port}{CHAT}")
    as_user(1234, "curl", "-sf", "-g", "-d", json.dumps(ASK), f"http://[::1]:{m.port}{CHAT}")
    assert m.fields() == [f"Modeld-Cache-Id: uid={u}" for u in (0, NOBODY, 1234)]
    assert f"uid={NOBODY}" in m.log()


LIES = {"Modeld-Cache-Id": "uid=4321", "Modeld-Caller": "uid=4321 pid=1", "MODELD-cache-id": "x"}


def test_no_client_says_by_tcp_who_it_is(begin, helper):
    m = begin()
    at = helper.link().give()
    chat(("127.0.0.1", m.port), headers=LIES)
    eventually(lambda: chat(at, headers=LIES)
               and m.fields()[-1] == f"Modeld-Cache-Id: container={WEB}")
    assert {f.split("=")[0] for f in m.fields()} <= {
        f"Modeld-Cache-Id: {kind}" for kind in ("uid", "container", "way")}
    assert m.fields()[0] == "Modeld-Cache-Id: uid=0"
    assert "4321" not in m.log() and "4321" not in str(m.fields())


def test_the_front_speaks_for_its_clients_and_nobody_else_does(begin):
    m = begin()
    for folder in (m.folder, *m.folder.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o111)
    m.socket.chmod(0o666)
    front = ["curl", "-sf", "--unix-socket", str(m.socket), "-d", json.dumps(ASK),
             "-H", "Modeld-Caller: uid=4321 pid=99", "-H", "Modeld-Cache-Id: uid=7",
             f"http://localhost{CHAT}"]
    subprocess.run(front, check=True, capture_output=True)
    assert m.fields() == ["Modeld-Cache-Id: uid=4321"]
    assert "uid=4321 pid=99" in m.log()
    as_user(NOBODY, *front)
    assert m.fields()[1:] == [f"Modeld-Cache-Id: uid={NOBODY}"]
    assert m.log().count("uid=4321") == 1


@pytest.mark.parametrize("text", ["uid=", "uid=-1 pid=2", "uid=1000", "pid=1 uid=1",
                                  "uid=99999999999 pid=1", "uid=1 pid=1 x", "uid=4294967295 pid=1"])
def test_what_the_front_says_has_a_form(begin, text):
    m = begin()
    subprocess.run(["curl", "-sf", "--unix-socket", str(m.socket), "-d", json.dumps(ASK),
                    "-H", f"Modeld-Caller: {text}", f"http://localhost{CHAT}"],
                   check=True, capture_output=True)
    # Whoever it was, it was not the front itself.
    assert m.fields() == ["Modeld-Cache-Id: way=docker"]


def test_one_cache_for_all_if_the_administrator_says_so(begin, helper):
    m = begin("--share-cache", "on")
    at = helper.link().give()
    chat(at)
    chat(("127.0.0.1", m.port), headers=LIES)
    assert m.fields() == []


def test_engines_elsewhere_are_told_nothing(begin, start, models_store, tmp_path):
    far = begin()
    near = start(models_store, config={"engines": {"far": {
        "kind": "openai", "url": f"http://127.0.0.1:{far.port}/v1", "models": [TEXT]}}})
    r = near.http.post(f"/engines/far{CHAT}", json=ASK, headers=LIES)
    assert r.status_code == 200
    # What the far one tells its worker is its own view of the near one.
    assert far.fields() == ["Modeld-Cache-Id: uid=0"]


@pytest.fixture
def real(start, models_store, helper):
    """begin() with the real engine; gives it and a link."""
    def go(*args):
        m = start(models_store, "--helper", helper.path, "--log-level", "debug", *args)
        return m, helper.link()
    return go


def known(m, at, letter):
    """A connection of a container that modeld knows by now, however busy this machine is."""
    c = httpx.Client(base_url=f"http://127.0.0.1:{at[1]}", headers={"Host": NAME}, timeout=120)
    eventually(lambda: c.get("/v1/models").status_code == 200
               and f"container=/{letter * 12}" in m.log())
    return c


def cached(client, text):
    r = client.post("/v1/completions", json={
        "model": TEXT, "prompt": text, "max_tokens": 1, "temperature": 0})
    assert r.status_code == 200, r.text
    return r.json()["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_a_container_learns_nothing_of_anothers_prompt(real):
    m, link = real()
    names = {}
    link.who = lambda q: {"container": names[q["local"]] * 64}
    ways = {letter: link.give() for letter in "ab"}
    names.update({f"{at[0]}:{at[1]}": letter for letter, at in ways.items()})
    a, b = (known(m, at, letter) for letter, at in ways.items())
    secret = "The key is under the third stone from the gate. " * 15
    assert cached(a, secret) == 0
    assert cached(a, secret) > 100
    assert cached(b, secret) == 0
    assert cached(m.http, secret) == 0
    assert cached(b, secret) > 100


def test_with_a_shared_cache_it_does(real):
    m, link = real("--share-cache", "on")
    link.who = lambda q: {"container": "w" * 64}
    secret = "The key is under the third stone from the gate. " * 15
    assert cached(known(m, link.give(), "w"), secret) == 0
    assert cached(m.http, secret) > 100


# ---- a helper gone mad ----

def pipe_end():
    r, w = os.pipe()
    os.close(w)
    return r


def some_socket(family=socket.AF_INET, kind=socket.SOCK_STREAM, listens=False):
    s = socket.socket(family, kind)
    if family == socket.AF_UNIX:
        s.bind("")  # an abstract name of the kernel's choice
    if listens:
        s.listen()
    return s.detach()


LISTEN = b'{"type":"listen","way":"containers","address":"x"}\n'
MAD = {
    "rubbish": (b"\x00\xff\x80rubbish\n", []),
    "no JSON": (b"{]\n", []),
    "an array": (b"[]\n", []),
    "a number": (b"7\n", []),
    "a type that is none": (b'{"type":7}\n', []),
    "deep": (b"[" * 3000 + b"\n", []),
    "a line too long": (b"x" * 5000 + b"\n", []),
    "a line without end": (b"x" * 100000, []),
    "no way": (b'{"type":"listen"}\n', [some_socket]),
    "a way that is none": (b'{"type":"listen","way":"socket"}\n', [some_socket]),
    "no descriptor": (LISTEN, []),
    "a pipe": (LISTEN, [pipe_end]),
    "not listening": (LISTEN, [some_socket]),
    "a datagram socket": (LISTEN, [lambda: some_socket(kind=socket.SOCK_DGRAM)]),
    "a Unix socket": (LISTEN, [lambda: some_socket(socket.AF_UNIX, listens=True)]),
    "gateway by IPv6": (LISTEN.replace(b"containers", b"gateway"),
                        [lambda: some_socket(socket.AF_INET6, listens=True)]),
    "too many descriptors": (LISTEN, [pipe_end] * 40),
    "bridges that are none": (b'{"type":"bridges","names":[1]}\n', []),
    "a bridge with a long name": (b'{"type":"bridges","names":["0123456789abcdef"]}\n', []),
    "a who with a wrong id": (b'{"type":"who","id":"x"}\n', []),
    "a name for the log": (b'{"type":"who","id":1,"name":"x uid=0"}\n', []),
    "a long container": (b'{"type":"who","id":1,"container":"%s"}\n' % (b"a" * 65), []),
}


def send_all(link, data, makers):
    """Gives (device, inode) of each descriptor sent along; we keep none."""
    sent = [make() for make in makers]
    inodes = {(s.st_dev, s.st_ino) for s in map(os.fstat, sent)}
    link.raw(data, sent)
    for fd in sent:
        os.close(fd)
    return inodes


def held(m, inodes):
    """Those that modeld has open."""
    found = set()
    for fd in pathlib.Path(f"/proc/{m.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            s = os.stat(fd)
            found.add((s.st_dev, s.st_ino))
    return found & inodes


@pytest.mark.parametrize("what", MAD)
def test_a_helper_gone_mad_is_left_and_tried_again(begin, helper, what):
    m = begin()
    first = helper.link()
    inodes = send_all(first, *MAD[what])
    first.ended()
    second = helper.link()
    eventually(lambda: not held(m, inodes))
    at = second.give()
    eventually(lambda: ask(at).status_code == 200)
    assert m.http.get("/v1/models").status_code == 200


HARMLESS = {
    "a descriptor for no line": (b'{"type":"bridges","names":["br0"]}\n', [pipe_end] * 3),
    "an answer nobody asked for": (b'{"type":"who","id":99,"container":"%s"}\n' % (b"a" * 64), []),
    "a who without id": (b'{"type":"who"}\n', []),
    "something new": (b'{"type":"weather","is":"fine"}\n', [pipe_end]),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_only_odd_is_passed_over(begin, helper, what):
    m = begin()
    link = helper.link()
    inodes = send_all(link, *HARMLESS[what])
    at = link.give()
    eventually(lambda: ask(at).status_code == 200)
    eventually(lambda: not held(m, inodes))


def test_a_helper_that_ends_inside_a_line_is_tried_again(begin, helper):
    begin()
    link = helper.link()
    s = listener()
    link.raw(LISTEN[:20], [s.fileno()])
    link.close()
    s.close()
    at = helper.link().give()
    eventually(lambda: ask(at).status_code == 200)


def test_a_helper_that_gives_too_much_is_left(begin, helper):
    begin()
    link = helper.link()
    first = link.give()
    with pytest.raises(OSError):
        for _ in range(100):
            link.give()
            time.sleep(0.01)  # so that it is seen: the kernel buffers what is sent
    eventually(lambda: refused(first))


def test_a_flood_delays_nobody(begin, helper):
    m = begin()
    link = helper.link()
    stop = threading.Event()

    def flood():
        try:
            while not stop.is_set():
                link.raw(b'{"type":"weather"}\n' * 1000)
        except OSError:
            pass
    t = threading.Thread(target=flood)
    t.start()
    try:
        for _ in range(50):
            quick(1, lambda: m.http.get("/v1/models").raise_for_status())
        assert m.rss_kib() < (1 << 20)
    finally:
        stop.set()
        link.close()
        t.join()


# ---- by which interface ----

# The other side of the helper's socket, on a host of namespaces.
GATEWAY = r"""
import json, socket, sys
IP_PKTINFO, IP_FREEBIND = 8, 15
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
s.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
s.bind(("172.17.0.1", 12434)); s.listen()
u = socket.socket(socket.AF_UNIX); u.bind("/run/helper.sock"); u.listen()
c = u.accept()[0]
c.recv(4096)
c.sendall(json.dumps({"type": "bridges", "names": ["docker0", "br-two"]}).encode() + b"\n")
socket.send_fds(c, [b'{"type":"listen","way":"gateway","address":"172.17.0.1:12434"}\n'], [s.fileno()])
s.close()
print("given", flush=True)
while c.recv(4096): pass
"""


def test_the_gateway_is_for_containers_and_this_machine(bare_host, models_store, tmp_path):
    h = bare_host
    lan = h.lan()
    for bridge, net in (("docker0", "172.17.0"), ("br-two", "172.18.0"), ("virbr0", "172.19.0")):
        h.sh(f"""set -e; ip link add {bridge} type bridge; ip addr add {net}.1/16 dev {bridge}
            ip link set {bridge} up; ip netns add in-{bridge}
            ip link add v{bridge} type veth peer name eth0 netns in-{bridge}
            ip link set v{bridge} master {bridge} up
            ip -n in-{bridge} addr add {net}.2/16 dev eth0; ip -n in-{bridge} link set eth0 up
            ip -n in-{bridge} link set lo up; ip -n in-{bridge} route add default via {net}.1""")
    fake = h.popen("/usr/bin/python3", "-c", GATEWAY, stdout=subprocess.PIPE, text=True)

    h.ready(BUILD / "modeld", "--port", "0", "--socket", "/run/m.sock", "--store", models_store,
            "--helper", "/run/helper.sock", "--log-level", "debug", log=tmp_path / "log")
    assert fake.stdout.readline() == "given\n"
    curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "10", "-H",
            f"Host: {NAME}", "http://172.17.0.1:12434/v1/models"]

    def status(*where):
        return h.run(*where, *curl, check=False).stdout
    eventually(lambda: status() == "200")  # this machine itself
    for bridge in ("docker0", "br-two"):
        assert status("ip", "netns", "exec", f"in-{bridge}") == "200", bridge
    for away in (lan, ("ip", "netns", "exec", "in-virbr0")):
        assert status(*away) == "000", away
    log = (tmp_path / "log").read_text()
    assert "connection closed interface=lan0" in log
    assert "connection closed interface=virbr0" in log
