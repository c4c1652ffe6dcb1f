"""A registry that lies. Each lie ends in a clear error, nothing wrong is stored, and no
request goes where it must not."""

import ctypes
import http.server
import json
import re
import subprocess
import threading
import time

import pytest

from conftest import eventually
from registry_fixtures import (INDEX, MANIFEST, blob_path, check_stored, digest, memory, model,
                               pull, store)

MB = 1 << 20


class Liar(http.server.ThreadingHTTPServer):
    """Serves `models` {name: Model} as a registry does. `lie(handler)` may answer in its
    place: it gives True when it did."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address="127.0.0.1", lie=None):
        self.models = {}
        self.lie = lie or (lambda h: False)
        self.asked = []  # (method, path, Range, Authorization)
        self.sent = 0
        super().__init__((address, 0), Handler)
        self.host = f"{address}:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def add(self, m, name="ai/x", tag="v1"):
        self.models[f"{name}:{tag}"] = m
        return m

    def handle_error(self, *a):
        pass

    def paths(self):
        return [p for _, p, _, _ in self.asked]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def send(self, status, body=b"", **fields):
        self.send_response(status)
        fields.setdefault("Content_Length", str(len(body)))
        for k, v in fields.items():
            if v is not None:
                self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.server.sent += len(body)

    def blob(self):
        """The blob that is asked for, or None."""
        d = self.path.rsplit("/", 1)[1].split("?")[0]
        for m in self.server.models.values():
            for b in m.blobs():
                if digest(b) == d:
                    return b
        return None

    def serve_blob(self, body=None):
        body = self.blob() if body is None else body
        m = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not m:
            return self.send(200, body)
        a, b = int(m[1]), int(m[2] or len(body) - 1)
        return self.send(206, body[a:b + 1], Content_Range=f"bytes {a}-{b}/{len(body)}")

    def do_GET(self):
        self.server.asked.append((self.command, self.path, self.headers.get("Range"),
                                  self.headers.get("Authorization")))
        if self.server.lie(self):
            return
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/?]+)(\?.*)?", self.path)
        if found and found[2] == "manifests":
            for key, m in self.server.models.items():
                if found[3] == m.id or key == f"{found[1]}:{found[3]}":
                    return self.send(200, m.manifest, Content_Type=MANIFEST,
                                     Docker_Content_Digest=m.id)
        elif found and self.blob() is not None:
            return self.serve_blob()
        self.send(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}')

    do_HEAD = do_GET
    do_POST = do_GET


@pytest.fixture
def liar():
    made = []

    def make(*args, **kw):
        made.append(Liar(*args, **kw))
        return made[-1]
    yield make
    for s in made:
        s.shutdown()
        s.server_close()


def small(seed=0):
    return model(2 * MB, 500, seed=f"hostile{seed}")


def fails(modeld, ref, *words, status=500, **kw):
    """The pull fails, before or after the first byte, in these words; and nothing is stored
    that was not asked for."""
    got, answer = pull(modeld, ref, **kw)
    if got == 200:
        assert answer[-1]["type"] == "error", answer[-1]
        text = answer[-1]["message"]
        assert text.startswith("Error: ")
    else:
        assert got == status, answer
        text = answer
    for w in words:
        assert w in text, text
    assert "Traceback" not in text and "\x1b" not in text
    assert modeld.http.get("/models").json() == []
    return text


def is_blob(h):
    return "/blobs/" in h.path


# ---- what comes is not what was said ----

def test_an_honest_one_first(liar, start, store):
    s = liar()
    m = s.add(small())
    modeld = start(store)
    assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
    check_stored(store, m)


def test_a_manifest_that_is_another(liar, start, store):
    m, other = small(), small(1)

    def lie(h):
        if "/manifests/" in h.path:
            h.send(200, other.manifest, Content_Type=MANIFEST, Docker_Content_Digest=m.id)
            return True
    s = liar(lie=lie)
    s.add(m), s.add(other, tag="v2")
    modeld = start(store)
    fails(modeld, f"{s.host}/ai/x:v1", "digest mismatch")
    fails(modeld, f"{s.host}/ai/x@{m.id}", "digest mismatch")
    assert not any("/blobs/" in p for p in s.paths())


@pytest.mark.parametrize("size", [2 * MB, 70 * MB])
def test_a_layer_of_other_bytes_is_never_stored(liar, start, store, size):
    m = model(size, seed="other bytes")
    blob = m.layers[0][1]
    bad = blob[:-1] + bytes([blob[-1] ^ 1])
    s = liar(lie=lambda h: h.path.endswith(digest(blob)) and not h.serve_blob(bad))
    s.add(m)
    modeld = start(store)
    fails(modeld, f"{s.host}/ai/x:v1", "digest mismatch", digest(blob))
    assert not blob_path(store, digest(blob)).exists()
    assert not list(store.rglob("*.incomplete"))
    s.lie = lambda h: False
    assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
    check_stored(store, m)


@pytest.mark.parametrize("change", [-1, 1, 10 * MB])
def test_a_layer_of_another_length(liar, start, store, change):
    m = small()
    blob = m.layers[0][1]
    long = (blob + bytes(10 * MB))[:len(blob) + change]
    s = liar(lie=lambda h: h.path.endswith(digest(blob)) and not h.send(200, long))
    s.add(m)
    modeld = start(store)
    fails(modeld, f"{s.host}/ai/x:v1", str(len(blob)), "it should have")
    assert not blob_path(store, digest(blob)).exists()


def chunked(h, pieces):
    h.send_response(200)
    h.send_header("Transfer-Encoding", "chunked")
    h.end_headers()
    for p in pieces:
        h.wfile.write(b"%x\r\n%s\r\n" % (len(p), p))
        h.server.sent += len(p)
    h.wfile.write(b"0\r\n\r\n")
    return True


def endless(h):
    try:
        chunked(h, (bytes(65536) for _ in range(100000)))
    except OSError:
        pass
    return True


def test_endless_bodies_are_cut(liar, start, store):
    m = small()
    for what in ("/manifests/", digest(m.config), m.names[0]):
        s = liar(lie=lambda h, w=what: w in h.path and endless(h))
        s.add(m)
        modeld = start(store / what[-8:].strip("/"))
        before = time.monotonic()
        fails(modeld, f"{s.host}/ai/x:v1")
        assert time.monotonic() - before < 60
        assert s.sent < 64 * MB


def test_endless_errors_and_redirects_are_cut(liar, start, store):
    def lie(h):
        if "/manifests/" not in h.path:
            return False
        h.send_response(h.server.status)
        h.send_header("Location", "/elsewhere")
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        try:
            for _ in range(100000):
                h.wfile.write(b"10000\r\n%s\r\n" % bytes(65536))
        except OSError:
            pass
        return True
    for status, want in ((404, 404), (418, 500), (302, 404), (401, 401)):
        s = liar(lie=lie)
        s.status = status
        modeld = start(store / str(status))
        before = time.monotonic()
        fails(modeld, f"{s.host}/ai/x:v1", status=want)
        assert time.monotonic() - before < 60


def test_heads_without_end_are_cut(liar, start, store):
    def lie(h):
        h.wfile.write(b"HTTP/1.1 200 OK\r\n")
        try:
            for i in range(100000):
                h.wfile.write(b"X-%d: %s\r\n" % (i, b"y" * 1000))
        except OSError:
            pass
        h.close_connection = True
        return True
    modeld = start(store)
    s = liar(lie=lie)
    fails(modeld, f"{s.host}/ai/x:v1")


def test_huge_manifests_and_huge_numbers(liar, start, store):
    m = small()
    modeld = start(store)
    good = json.loads(m.manifest)
    cases = [(b"{" + b" " * (5 << 20), "larger than"), (b"[" * 100000, ""), (b"", ""),
             (b"\xff\xfe", ""), (b'{"a":1,"a":2}', "")]
    for n in (-1, 1 << 63, 1 << 60, 0.5, "5"):
        bad = json.loads(m.manifest)
        bad["layers"][0]["size"] = n
        cases.append((json.dumps(bad).encode(), ""))
    many = dict(good, layers=good["layers"] * 6000)
    cases.append((json.dumps(many).encode(), ""))
    names = json.loads(m.manifest)
    names["layers"][0]["digest"] = "sha256:../../../../etc/passwd"
    cases.append((json.dumps(names).encode(), ""))
    names["layers"][0]["digest"] = "sha256:" + "A" * 64
    cases.append((json.dumps(names).encode(), ""))
    for body, words in cases:
        s = liar(lie=lambda h, b=body: "/manifests/" in h.path
                 and not h.send(200, b, Content_Type=MANIFEST))
        s.add(m)
        status, text = pull(modeld, f"{s.host}/ai/x:v1")
        assert status in (422, 500), (body[:80], status, text)
        assert words in text
        assert not any("/blobs/" in p for p in s.paths())
    assert modeld.http.get("/models").json() == []


def test_annotations_that_leave_the_folder_change_no_path(liar, start, store):
    m = small()
    bad = json.loads(m.manifest)
    bad["layers"][0]["annotations"] = {"org.cncf.model.filepath": "../../../evil.gguf"}
    m.manifest = json.dumps(bad).encode()
    m.id = digest(m.manifest)
    s = liar()
    s.add(m)
    modeld = start(store)
    assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
    assert not list(store.parent.rglob("evil*"))


def test_indexes_in_indexes_end(liar, start, store):
    inner = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
    outer = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": digest(inner), "size": 1}]}).encode()

    def lie(h):
        body = inner if digest(inner) in h.path else outer
        h.send(200, body, Content_Type=INDEX)
        return True
    s = liar(lie=lie)
    modeld = start(store)
    assert pull(modeld, f"{s.host}/ai/x:v1")[0] == 422
    assert len(s.asked) <= 3


# ---- ranges ----

def test_ranges_that_lie(liar, start, store):
    m = model(70 * MB, seed="ranges")
    blob = m.layers[0][1]

    def other_range(h):
        h.send(206, blob[5:100 + 5], Content_Range=f"bytes 5-104/{len(blob)}")

    def other_total(h):
        a, b = map(int, re.match(r"bytes=(\d+)-(\d+)", h.headers["Range"]).groups())
        h.send(206, blob[a:b + 1], Content_Range=f"bytes {a}-{b}/{len(blob) + 1}")

    def no_field(h):
        h.send(206, blob)

    def unsatisfied(h):
        h.send(416)
    for i, how in enumerate((other_range, other_total, no_field, unsatisfied)):
        s = liar(lie=lambda h, f=how: h.path.endswith(digest(blob)) and not f(h))
        s.add(m)
        modeld = start(store / str(i))
        fails(modeld, f"{s.host}/ai/x:v1")
        assert not blob_path(store / str(i), digest(blob)).exists()


def test_a_registry_without_ranges_serves_large_layers_too(liar, start, store):
    m = model(70 * MB, seed="no ranges")
    s = liar(lie=lambda h: is_blob(h) and not h.send(200, h.blob()))
    s.add(m)
    modeld = start(store)
    assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
    check_stored(store, m)
    assert len([p for p in s.paths() if p.endswith(m.names[0])]) == 1


def test_ranges_that_end_in_the_middle_of_a_pull(liar, start, store):
    """206 at first, then 200 for everything: it is read on from the prefix."""
    m = model(150 * MB, seed="turncoat")
    blob = m.layers[0][1]
    count = [0]

    def lie(h):
        if not h.path.endswith(digest(blob)):
            return False
        count[0] += 1
        if count[0] <= 2:
            return False
        h.send(200, blob)
        return True
    s = liar(lie=lie)
    s.add(m)
    modeld = start(store)
    assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
    check_stored(store, m)


# ---- cuts ----

def cut(h, body, n):
    h.send_response(200 if not h.headers.get("Range") else 206)
    m = re.match(r"bytes=(\d+)-(\d+)", h.headers.get("Range", ""))
    a, b = (int(m[1]), int(m[2])) if m else (0, len(body) - 1)
    if m:
        h.send_header("Content-Range", f"bytes {a}-{b}/{len(body)}")
    h.send_header("Content-Length", str(b - a + 1))
    h.end_headers()
    h.wfile.write(body[a:min(b + 1, a + n)])
    h.server.sent += min(b + 1 - a, n)
    h.close_connection = True
    return True


def test_cuts_are_gone_on_from(liar, start, store):
    """Each answer ends after 3 MB; little is asked for twice."""
    m = model(40 * MB, seed="cuts")
    blob = m.layers[0][1]
    s = liar(lie=lambda h: h.path.endswith(digest(blob)) and cut(h, blob, 3 * MB))
    s.add(m)
    modeld = start(store)
    assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
    check_stored(store, m)
    assert s.sent < 2 * len(blob)


def test_cuts_without_progress_are_given_up_and_taken_up_later(liar, start, store):
    m = model(8 * MB, seed="stuck")
    blob = m.layers[0][1]
    s = liar(lie=lambda h: h.path.endswith(digest(blob)) and cut(h, blob, 1000))
    s.add(m)
    modeld = start(store)
    before = time.monotonic()
    fails(modeld, f"{s.host}/ai/x:v1")
    assert 5 < time.monotonic() - before < 120
    tries = [r for _, p, r, _ in s.asked if p.endswith(digest(blob))]
    assert len(tries) == 6
    s.lie = lambda h: False
    assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
    check_stored(store, m)


def test_errors_that_pass_are_waited_for(liar, start, store):
    m = small()
    left = {"/manifests/": 2, m.names[0]: 3}

    def lie(h):
        for k in left:
            if k in h.path and left[k]:
                left[k] -= 1
                h.send(503 if left[k] else 429, b"", Retry_After="1" if not left[k] else None)
                return True
        return False
    s = liar(lie=lie)
    s.add(m)
    modeld = start(store)
    assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
    check_stored(store, m)


def test_a_registry_that_hangs_is_told_when_the_client_leaves(liar, start, store):
    held = threading.Event()
    s = liar(lie=lambda h: held.wait(60))
    modeld = start(store)
    with pytest.raises(Exception):
        pull(modeld, f"{s.host}/ai/x:v1", timeout=1)
    eventually(lambda: not established(s.server_port, modeld.process.pid))
    held.set()


def established(port, pid):
    """Connections of the process to this port, as the kernel has them."""
    found = []
    for line in open(f"/proc/{pid}/net/tcp").read().splitlines()[1:]:
        parts = line.split()
        if int(parts[2].split(":")[1], 16) == port and parts[3] == "01":
            found.append(parts[1])
    return found


# ---- where it leads ----

def redirect(to, status=307):
    def lie(h):
        if is_blob(h):
            h.send(status, Location=to(h) if callable(to) else to)
            return True
    return lie


def test_redirects_to_the_same_place_carry_no_credentials_elsewhere(liar, start, store):
    m = small()
    cdn = liar()
    cdn.add(m)
    s = liar(lie=redirect(lambda h: f"http://127.0.0.1:{cdn.server_port}{h.path}"))
    s.add(m)
    modeld = start(store)
    token = {"bearer-token": "secret"}
    assert pull(modeld, f"{s.host}/ai/x:v1", **token)[1][-1]["type"] == "success"
    check_stored(store, m)
    assert all(a == "Bearer secret" for *_, a in s.asked)
    assert len(cdn.asked) == 3 and all(a is None for *_, a in cdn.asked)


def test_redirects_without_end(liar, start, store):
    s = liar(lie=redirect(lambda h: h.path + "x"))
    s.add(small())
    modeld = start(store)
    fails(modeld, f"{s.host}/ai/x:v1", "redirects")
    assert len(s.asked) < 20


@pytest.mark.parametrize("to", [
    "http://169.254.169.254/latest/meta-data", "http://127.0.0.2:1/", "http://10.255.255.1/",
    "http://[fe80::1]/", "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:1/_x",
    "http://user:pass@127.0.0.1/", "http://127.0.0.1:1/\x0b", "//", "http://"])
def test_redirects_that_lead_nowhere_good(liar, start, store, to):
    s = liar(lie=redirect(to))
    s.add(small())
    modeld = start(store)
    before = time.monotonic()
    fails(modeld, f"{s.host}/ai/x:v1")
    assert time.monotonic() - before < 8


def challenge(value):
    def lie(h):
        if "/v2/" in h.path and not h.headers.get("Authorization"):
            h.send(401, WWW_Authenticate=value)
            return True
    return lie


@pytest.mark.parametrize("realm", [
    "http://169.254.169.254/token", "http://127.0.0.2:1/token", "http://10.255.255.1/token",
    "http://192.168.255.254/", "http://[fd00::1]/", "file:///etc/passwd", "", "x", "//x",
    "http://a@127.0.0.1/", "http://127.0.0.1:1\\@evil/"])
def test_realms_that_lead_nowhere_good(liar, start, store, realm):
    s = liar(lie=challenge(f'Bearer realm="{realm}",service="x"'))
    s.add(small())
    modeld = start(store)
    before = time.monotonic()
    status, text = pull(modeld, f"{s.host}/ai/x:v1")
    assert status in (401, 500), text
    assert time.monotonic() - before < 8


def test_a_realm_that_redirects_inside(liar, start, store):
    def lie(h):
        if h.path.startswith("/token"):
            h.send(302, Location="http://169.254.169.254/latest")
            return True
        return challenge(f'Bearer realm="http://{h.headers["Host"]}/token"')(h)
    s = liar(lie=lie)
    s.add(small())
    modeld = start(store)
    fails(modeld, f"{s.host}/ai/x:v1", "169.254.169.254")


def test_tokens_that_cannot_be_one(liar, start, store):
    for i, body in enumerate((b"", b"[]", b'{"token":"a\\r\\nX: y"}', b"x" * (2 << 20))):
        def lie(h, b=body):
            if h.path.startswith("/token"):
                h.send(200, b)
                return True
            return challenge(f'Bearer realm="http://{h.headers["Host"]}/token"')(h)
        s = liar(lie=lie)
        s.add(small())
        modeld = start(store / str(i))
        fails(modeld, f"{s.host}/ai/x:v1", "token server")


def test_challenges_without_end(liar, start, store):
    """It refuses whatever it is given."""
    count = [0]

    def lie(h):
        if h.path.startswith("/token"):
            count[0] += 1
            h.send(200, json.dumps({"token": f"t{count[0]}"}).encode())
            return True
        h.send(401, WWW_Authenticate=f'Bearer realm="http://{h.headers["Host"]}/token"')
        return True
    s = liar(lie=lie)
    modeld = start(store)
    fails(modeld, f"{s.host}/ai/x:v1", "Unauthorized", status=401)
    assert len(s.asked) < 10


def test_words_of_a_registry_are_cut_and_cleaned(liar, start, store):
    words = json.dumps({"errors": [{"code": "X" * 1000, "message": "\x1b[2J" * 500}]}).encode()
    s = liar(lie=lambda h: not h.send(403, words))
    modeld = start(store)
    status, text = pull(modeld, f"{s.host}/ai/x:v1")
    assert status == 401 and len(text) < 600


# ---- a registry with a public address ----

OUTSIDE, PRIVATE = "203.0.113.7", "10.99.99.9"  # the first is documentation's, so nobody's


def in_own_net(test):
    """Runs the test in a network namespace that has these addresses."""
    def run():
        try:
            assert ctypes.CDLL(None, use_errno=True).unshare(0x40000000) == 0  # CLONE_NEWNET
            for command in ("link set lo up", f"addr add {OUTSIDE}/32 dev lo",
                            f"addr add {PRIVATE}/32 dev lo"):
                subprocess.run(["ip", *command.split()], check=True)
            test()
        except BaseException as e:
            failed.append(e)
    failed = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def test_a_public_registry_cannot_lead_inside(liar, start, store):
    """Redirects and realms to services that listen on loopback and private addresses: not
    one connection comes."""
    m = small()

    def test():
        inside, private = liar(), liar(PRIVATE)
        inside.add(m)
        private.add(m)
        port = inside.server_port
        modeld = start(store, "--insecure-registry", "true")
        for t in (f"http://127.0.0.1:{port}", f"http://localhost:{port}", f"http://0.0.0.0:{port}",
                  f"http://2130706433:{port}", f"http://[::ffff:127.0.0.1]:{port}",
                  f"http://{PRIVATE}:{private.server_port}"):
            s = liar(OUTSIDE, lie=redirect(lambda h, t=t: t + h.path))
            s.add(m)
            fails(modeld, f"{s.host}/ai/x:v1", "address inside")
            s = liar(OUTSIDE, lie=challenge(f'Bearer realm="{t}/token"'))
            s.add(m)
            fails(modeld, f"{s.host}/ai/x:v1", "address inside")
        assert inside.asked == [] and private.asked == []
        s = liar(OUTSIDE)
        s.add(m)
        assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
    in_own_net(test)


def test_a_private_registry_may_use_its_network_but_not_this_machine(liar, start, store):
    """A registry on 10.x with its token realm and storage on its own host works."""
    m = small()

    def test():
        local = liar()
        local.add(m)
        storage = liar(PRIVATE)
        storage.add(m)
        modeld = start(store, "--insecure-registry", PRIVATE)
        s = liar(PRIVATE, lie=redirect(lambda h: f"http://127.0.0.1:{local.server_port}{h.path}"))
        s.add(m)
        fails(modeld, f"{s.host}/ai/x:v1", "address inside")
        assert local.asked == []

        def lie(h):
            if h.path.startswith("/token"):
                return not h.send(200, b'{"token":"t"}')
            return challenge(f'Bearer realm="http://{PRIVATE}:{s.server_port}/token"')(h) or \
                redirect(lambda h: f"http://{storage.host}{h.path}")(h)
        s.lie = lie
        assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
        assert all(a is None for *_, a in storage.asked)
    in_own_net(test)


def test_a_kept_connection_of_one_pull_is_no_way_in_for_another(liar, start, store):
    """A local registry was used just now; a public one that redirects to it finds no open
    door."""
    m = small()

    def test():
        local = liar()
        local.add(m)
        s = liar(OUTSIDE, lie=redirect(lambda h: f"http://127.0.0.1:{local.server_port}{h.path}"))
        s.add(small(9))
        modeld = start(store, "--insecure-registry", "true")
        assert pull(modeld, f"{local.host}/ai/x:v1")[1][-1]["type"] == "success"
        n = len(local.asked)
        status, text = pull(modeld, f"{s.host}/ai/x:v1")
        assert status == 500 and "address inside" in text
        assert len(local.asked) == n
    in_own_net(test)


def test_a_server_that_dribbles_is_left(liar, start, store):
    """Less than LIMIT_TRANSFER_SLOW_BYTES a second for LIMIT_TRANSFER_SLOW_MS; then the rest
    is asked for anew."""
    m = model(2 * MB, seed="dribble")
    blob = m.layers[0][1]
    count = [0]

    def lie(h):
        if not h.path.endswith(digest(blob)) or count[0]:
            return False
        count[0] += 1
        h.send_response(200)
        h.send_header("Content-Length", str(len(blob)))
        h.end_headers()
        try:
            for i in range(4000):
                h.wfile.write(blob[i * 20:i * 20 + 20])
                time.sleep(0.1)  # the slowness itself is what is tested
        except OSError:
            pass
        h.close_connection = True
        return True
    s = liar(lie=lie)
    s.add(m)
    modeld = start(store)
    before = time.monotonic()
    assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
    assert 25 < time.monotonic() - before < 200
    check_stored(store, m)


def test_a_place_that_expires_is_asked_for_anew(liar, start, store):
    """Signed URLs live for minutes; a large layer takes longer. Here each serves twice."""
    m = model(150 * MB, seed="expires")
    uses = []

    def storage(h):
        n = int(h.path.rpartition("=")[2])
        uses[n] += 1
        return uses[n] > 2 and not h.send(403, b"<Error>expired</Error>")
    cdn = liar(lie=storage)
    cdn.add(m)

    def lie(h):
        if h.path.endswith(m.names[0]):
            uses.append(0)
            return not h.send(307,
                              Location=f"http://{cdn.host}{h.path}?signature={len(uses) - 1}")
    s = liar(lie=lie)
    s.add(m)
    modeld = start(store)
    assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
    check_stored(store, m)
    assert 2 <= len(uses) <= 10 and max(uses) > 2
