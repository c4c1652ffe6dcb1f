"""Registries that lie to a push, or break. Each lie ends in a clear error, no request goes where
it must not, and what is sent again after a cut is counted."""

import http.server
import json
import re
import socket
import threading
import time
import urllib.parse

import pytest

from conftest import eventually
from push_fixtures import arrives, have, send, tag
from registry_fixtures import (MANIFEST, blob_path, check_stored, digest, memory, model, registry,
                               store)
from test_pull_hostile import OUTSIDE, PRIVATE, in_own_net

MB = 1 << 20


class Sink(http.server.ThreadingHTTPServer):
    """Takes pushes as the specification has it, and keeps what came of a chunk that was cut.
    `lie(handler)` may answer in its place: it gives True when it did."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address="127.0.0.1", lie=None):
        self.lie = lie or (lambda h: False)
        self.blobs = {}      # (repository, digest) -> bytes
        self.manifests = {}  # (repository, tag or digest) -> bytes
        self.uploads = {}    # number -> bytearray
        self.asked = []      # (method, path, Content-Range, Authorization)
        self.got = 0         # bytes of bodies
        self.cut_after = []  # of the next bodies, so many bytes are read
        self.at_work = 0     # requests that it reads or answers
        self.lock = threading.Lock()
        super().__init__((address, 0), Handler)
        self.host = f"{address}:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *a):
        pass

    def sent(self):
        return [(m, p) for m, p, _, _ in self.asked if m not in ("GET", "HEAD")]

    def has(self, m, repository="me/x", name="v1"):
        return (self.manifests.get((repository, name)) == m.manifest and
                all(self.blobs.get((repository, d)) == b for b, d in zip(m.blobs(), m.names)))


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
        return True

    def pieces(self):
        """The body as it comes; it may be cut."""
        left = int(self.headers.get("Content-Length") or 0)
        s = self.server
        stop = s.cut_after.pop(0) if left and s.cut_after else None
        while left:
            n = min(left, 1 << 16)
            if stop is not None and stop < n:
                data = self.rfile.read(stop)
                s.got += len(data)
                yield data
                self.close_connection = True
                self.connection.close()
                raise ConnectionError
            data = self.rfile.read(n)
            s.got += len(data)
            yield data
            if len(data) < n:
                self.close_connection = True
                raise ConnectionError
            left -= n
            stop = stop - n if stop is not None else None

    def drain(self):
        for _ in self.pieces():
            pass

    def refuse(self, status, code):
        self.drain()
        return self.send(status, json.dumps({"errors": [{"code": code, "message": "no"}]}).encode())

    def location(self, number):
        return f"/upload/{number}?state={len(self.server.uploads[number])}"

    def progress(self, status, number):
        n = len(self.server.uploads[number])
        return self.send(status, Location=self.location(number), Range=f"0-{max(n - 1, 0)}")

    def begin(self, repository, query):
        s = self.server
        key = (query.get("from", [""])[0], query.get("mount", [""])[0])
        if key in s.blobs:
            s.blobs[repository, key[1]] = s.blobs[key]
            return self.send(201, Location=f"/v2/{repository}/blobs/{key[1]}")
        number = len(s.uploads)
        s.uploads[number] = bytearray()
        s.repository = repository
        return self.progress(202, number)

    def upload(self, number, query):
        data = self.server.uploads.get(number)
        if data is None:
            return self.refuse(404, "BLOB_UPLOAD_UNKNOWN")
        if self.command == "GET":
            return self.progress(204, number)
        part = re.fullmatch(r"(\d+)-(\d+)", self.headers.get("Content-Range", ""))
        if part and int(part[1]) != len(data):
            return self.refuse(416, "BLOB_UPLOAD_INVALID")
        for piece in self.pieces():
            data += piece
        if self.command == "PATCH":
            return self.progress(202, number)
        want = query["digest"][0]
        del self.server.uploads[number]
        self.server.uploads[number] = None
        if digest(data) != want:
            return self.send(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}')
        self.server.blobs[self.server.repository, want] = bytes(data)
        return self.send(201, Docker_Content_Digest=want, Location="/blob")

    def manifest(self, repository, name):
        s = self.server
        if self.command == "PUT":
            body = b"".join(self.pieces())
            for b in [json.loads(body)["config"]] + json.loads(body)["layers"]:
                if (repository, b["digest"]) not in s.blobs:
                    return self.send(400, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}')
            s.manifests[repository, name] = s.manifests[repository, digest(body)] = body
            return self.send(201, Docker_Content_Digest=digest(body))
        body = s.manifests.get((repository, name))
        if body is None:
            return self.refuse(404, "MANIFEST_UNKNOWN")
        return self.send(200, body, Content_Type=MANIFEST, Docker_Content_Digest=digest(body))

    def serve(self):
        path, _, query = self.path.partition("?")
        query = urllib.parse.parse_qs(query)
        upload = re.fullmatch(r"/upload/(\d+)", path)
        if upload:
            return self.upload(int(upload[1]), query)
        found = re.fullmatch(r"/v2/(.+)/(blobs|manifests)/([^/]+|uploads/)", path)
        if found and found[3] == "uploads/" and self.command == "POST":
            return self.begin(found[1], query)
        if found and found[2] == "manifests":
            return self.manifest(found[1], found[3])
        blob = self.server.blobs.get((found[1], found[3])) if found else None
        if blob is not None:
            return self.send(200, blob)
        return self.refuse(404, "BLOB_UNKNOWN")

    def do_GET(self):
        self.server.asked.append((self.command, self.path, self.headers.get("Content-Range"),
                                  self.headers.get("Authorization")))
        self.count(1)
        try:
            if not self.server.lie(self):
                self.serve()
        except (OSError, ValueError):
            self.close_connection = True
        finally:
            self.count(-1)

    def count(self, n):
        with self.server.lock:
            self.server.at_work += n

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET


@pytest.fixture
def sink():
    made = []

    def make(*args, **kw):
        made.append(Sink(*args, **kw))
        return made[-1]
    yield make
    for s in made:
        s.shutdown()
        s.server_close()


def small(seed=0):
    return model(2 * MB, 500, seed=f"push hostile{seed}")


def ready(modeld, registry, s, m=None):
    """The model is in the store by a name at `s`."""
    m = have(modeld, registry, f"{s.host}/me/x:v1", m or small(),
             name=f"ai/hostile{s.server_port}")
    return m, f"{s.host}/me/x:v1"


def fails(modeld, ref, *words, status=(500, 503), **kw):
    """In these words, before or after the first byte; and the store is as it was."""
    got, answer = send(modeld, ref, **kw)
    if got == 200:
        assert answer[-1]["type"] == "error", answer[-1]
        text = answer[-1]["message"]
        assert text.startswith("Error: ")
    else:
        assert got in status, answer
        text = answer
    for w in words:
        assert w in text, text
    assert "Traceback" not in text and "\x1b" not in text
    assert ref in [t for x in modeld.http.get("/models").json() for t in x["tags"]]
    return text


# ---- honest ones of several kinds ----

def test_an_honest_one_first(sink, registry, start, store):
    s = sink()
    modeld = start(store)
    m, ref = ready(modeld, registry, s, model(150 * MB, 500, seed="honest"))
    arrives(modeld, ref)
    assert s.has(m)
    ranges = [r for a, _, r, _ in s.asked if a == "PATCH"]
    assert ranges == [f"{a * MB}-{b * MB - 1}" for a, b in ((0, 64), (64, 128), (128, 150))]


def test_one_that_wants_large_chunks(sink, registry, start, store):
    s = sink(lie=lambda h: h.path.endswith("/uploads/") and h.server.uploads.update(
        {len(h.server.uploads): bytearray()}) is None and h.server.__setattr__(
        "repository", "me/x") is None and h.send(
        202, Location=h.location(len(h.server.uploads) - 1), OCI_Chunk_Min_Length=str(100 * MB)))
    modeld = start(store)
    m, ref = ready(modeld, registry, s, model(150 * MB, 90 * MB, seed="large chunks"))
    arrives(modeld, ref)
    assert s.has(m)
    assert [r for a, _, r, _ in s.asked if a == "PATCH"] == [
        f"0-{100 * MB - 1}", f"{100 * MB}-{150 * MB - 1}"]


@pytest.mark.parametrize("status", [405, 400, 501])
def test_one_without_chunks(sink, registry, start, store, status):
    s = sink(lie=lambda h: h.command == "PATCH" and h.refuse(status, "UNSUPPORTED"))
    modeld = start(store)
    m, ref = ready(modeld, registry, s, model(70 * MB, seed="no chunks"))
    if status == 501:  # may pass, so it is tried a few times
        fails(modeld, ref, "501")
        return
    arrives(modeld, ref)
    assert s.has(m)
    assert len([1 for a, p in s.sent() if a == "PATCH"]) == 1


def test_one_that_mounts_nothing_and_one_that_knows_no_head(sink, registry, start, store):
    def lie(h):
        if h.command == "HEAD" and s.strict:
            return h.send(405)
        if "mount=" in h.path and not s.strict:
            return h.refuse(403, "DENIED")
    s = sink(lie=lie)
    s.strict = False
    modeld = start(store)
    m, ref = ready(modeld, registry, s)
    arrives(modeld, ref)
    tag(modeld, ref, f"{s.host}/me/y:v1")
    arrives(modeld, f"{s.host}/me/y:v1")
    assert s.has(m, "me/y")
    s.strict = True
    tag(modeld, ref, f"{s.host}/me/z:v1")
    arrives(modeld, f"{s.host}/me/z:v1")
    assert s.has(m, "me/z")


# ---- cuts ----

def test_cuts_are_gone_on_from(sink, registry, start, store):
    """In the middle of chunks, of a whole blob, of the manifest: little is sent twice."""
    s = sink()
    modeld = start(store)
    m, ref = ready(modeld, registry, s, model(150 * MB, seed="sink cuts"))
    s.cut_after = [30 * MB, 5 * MB, 3 * MB, 63 * MB, 1]
    arrives(modeld, ref)
    assert s.has(m)
    again = s.got - sum(len(b) for b in m.blobs()) - len(m.manifest)
    print(f"taken again in 5 cuts: {again} bytes")
    assert again <= MB and s.cut_after == []


def leave(modeld, ref, s):
    """A push whose client leaves in the second chunk."""
    gate = threading.Event()

    def hold(h):
        if h.command == "PATCH" and not h.headers["Content-Range"].startswith("0-"):
            gate.wait(60)
    s.lie = hold
    with modeld.http.stream("POST", f"/models/{ref}/push",
                            headers={"Accept": "application/json"}) as r:
        for line in r.iter_lines():
            if json.loads(line)["layer"]["current"] > 64 * MB:
                break
    eventually(lambda: re.search(r"path=\S+/push", modeld.log()))  # modeld saw it leave
    gate.set()
    s.lie = lambda h: False
    eventually(lambda: not s.at_work)  # two writers of an upload would mix their bytes


def test_what_a_client_left_is_gone_on_with_by_the_next_push(sink, registry, start, store):
    s = sink()
    modeld = start(store)
    m, ref = ready(modeld, registry, s, model(150 * MB, seed="sink leaves"))
    leave(modeld, ref, s)
    arrives(modeld, ref)
    assert s.has(m)
    # The chunk that was under way may have come or not.
    assert s.got - 150 * MB < 65 * MB
    assert [a for a, p, _, _ in s.asked if a == "POST"] == ["POST"] * 2  # the layer, the config


def test_what_a_client_left_may_come_late_between_chunks(sink, registry, start, store):
    s = sink()
    modeld = start(store)
    m, ref = ready(modeld, registry, s, model(150 * MB, seed="sink comes late"))
    leave(modeld, ref, s)
    late = [b"of the chunk that was left"]

    def come(h):
        if h.command == "PATCH" and late:
            s.uploads[0] += late.pop() + b"".join(h.pieces())
            return h.progress(202, 0)
    s.lie = come
    arrives(modeld, ref)
    assert s.has(m) and not late
    assert "of another writer" in modeld.log()


def test_cuts_without_progress_are_given_up(sink, registry, start, store):
    s = sink()
    modeld = start(store)
    m, ref = ready(modeld, registry, s)
    s.cut_after = [0] * 1000
    before = time.monotonic()
    fails(modeld, ref)
    assert time.monotonic() - before < 90
    assert len(s.asked) < 60
    s.cut_after = []
    arrives(modeld, ref)
    assert s.has(m)


def test_errors_that_pass_are_waited_for(sink, registry, start, store):
    left = {"HEAD": 1, "POST": 2, "PUT": 3}

    def lie(h):
        if left.get(h.command):
            left[h.command] -= 1
            h.drain()
            return h.send(503 if left[h.command] else 429, b"",
                          Retry_After="1" if not left[h.command] else None)
    s = sink(lie=lie)
    modeld = start(store)
    m, ref = ready(modeld, registry, s)
    arrives(modeld, ref)
    assert s.has(m)


def test_an_upload_that_is_forgotten_begins_anew(sink, registry, start, store):
    def lie(h):
        if h.command == "PATCH" and not s.forgot:
            s.forgot = True
            s.uploads[int(re.search(r"/upload/(\d+)", h.path)[1])] = None
    s = sink(lie=lie)
    s.forgot = False
    modeld = start(store)
    m, ref = ready(modeld, registry, s, model(70 * MB, seed="forgets"))
    arrives(modeld, ref)
    assert s.has(m) and s.forgot


def test_a_registry_that_loses_a_blob_before_the_manifest(sink, registry, start, store):
    def lie(h):
        if h.command == "PUT" and "/manifests/" in h.path and not s.lost:
            s.lost = s.blobs.pop(("me/x", m.names[0]))
    s = sink(lie=lie)
    s.lost = None
    modeld = start(store)
    m, ref = ready(modeld, registry, s)
    arrives(modeld, ref)
    assert s.has(m) and s.lost


def test_a_reader_that_stands_still_is_left(sink, registry, start, store):
    """Less than LIMIT_TRANSFER_SLOW_BYTES a second for LIMIT_TRANSFER_SLOW_MS."""
    held = threading.Event()

    def lie(h):
        if h.command == "PATCH" and not s.stood:
            s.stood = True
            held.wait(300)
            h.close_connection = True
            return True
    s = sink(lie=lie)
    s.stood = False
    modeld = start(store)
    m, ref = ready(modeld, registry, s, model(70 * MB, seed="stands still"))
    before = time.monotonic()
    arrives(modeld, ref)
    held.set()
    assert 25 < time.monotonic() - before < 200
    assert s.has(m)


STAGES = {
    "a look for a blob": ("HEAD", "/blobs/"),
    "an upload begins": ("POST", "/uploads/"),
    "a chunk": ("PATCH", "/upload/"),
    "the end of the chunks": ("PUT", "/upload/"),
    "a look for the manifest": ("HEAD", "/manifests/"),
    "the manifest": ("PUT", "/manifests/"),
}


@pytest.mark.parametrize("how", ["the client leaves", "modeld ends"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_push_may_end_at_any_stage(sink, registry, start, store, stage, how):
    asked, go_on = threading.Event(), threading.Event()

    def hang(h):
        if (h.command == STAGES[stage][0] and STAGES[stage][1] in h.path and
                not go_on.is_set()):
            asked.set()
            go_on.wait(60)
        return False
    s = sink(lie=hang)
    modeld = start(store)
    m, ref = ready(modeld, registry, s, model(70 * MB, 500, seed="any stage"))
    c = modeld.connect()
    c.sendall(b"POST /models/%s/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
              % ref.encode())
    assert asked.wait(60)
    if how == "modeld ends":
        modeld.stop()
        got = b"".join(iter(lambda: c.recv(65536), b""))
        assert b"modeld stops" in got
        go_on.set()
        modeld = start(store)
    else:
        c.close()
        go_on.set()
    arrives(modeld, ref)
    assert s.has(m)
    modeld.stop()


# ---- lies ----

@pytest.mark.parametrize("said", ["0-999999999999", "0-18446744073709551614"])
def test_ranges_that_say_more_than_was_sent(sink, registry, start, store, said):
    def lie(h):
        if h.command == "PATCH":
            h.drain()
            return h.send(202, Location=h.path, Range=said)
    s = sink(lie=lie)
    modeld = start(store)
    _, ref = ready(modeld, registry, s, model(70 * MB, seed="more"))
    fails(modeld, ref, "bytes, of which")
    assert not s.manifests


def test_ranges_that_never_grow(sink, registry, start, store):
    def lie(h):
        if h.command == "PATCH":
            h.drain()
            return h.send(202, Location=h.path, Range="0-0")
        if h.command == "GET":
            return h.send(204, Location=h.path, Range="0-0")
    s = sink(lie=lie)
    modeld = start(store)
    _, ref = ready(modeld, registry, s, model(70 * MB, seed="never grows"))
    fails(modeld, ref, "fewer than")
    assert len([1 for a, _ in s.sent() if a == "PATCH"]) <= 6


def test_chunks_taken_before_they_came(sink, registry, start, store):
    """Thanks, and a closed connection: that is no progress, and no reason to go on for ever,
    also if it takes more each time."""
    def lie(h):
        if h.command == "PATCH":
            h.rfile.read(2 * MB * len([1 for a, _ in s.sent() if a == "PATCH"]))
            h.send(202, Location=h.path, Connection="close")
            h.connection.shutdown(socket.SHUT_RDWR)
            h.close_connection = True
            return True
    s = sink(lie=lie)
    modeld = start(store)
    _, ref = ready(modeld, registry, s, model(70 * MB, seed="taken before"))
    fails(modeld, ref)
    assert len([1 for a, _ in s.sent() if a == "PATCH"]) <= 6


def test_stored_but_not_there(sink, registry, start, store):
    def blob(h):
        if h.command == "PUT" and h.path.startswith("/upload/"):
            h.drain()
            return h.send(201)

    def other_blob(h):
        if h.command == "PUT" and h.path.startswith("/upload/"):
            h.drain()
            return h.send(201, Docker_Content_Digest=digest(b"other"))

    def mounted(h):
        return h.command == "POST" and h.send(201)

    def manifest(h):
        if h.command == "PUT" and "/manifests/" in h.path:
            h.drain()
            return h.send(201)

    def other_manifest(h):
        if h.command == "PUT" and "/manifests/" in h.path:
            h.drain()
            return h.send(201, Docker_Content_Digest=digest(b"other"))
    modeld = start(store)
    for how, words in ((blob, "does not have it"), (other_blob, "another blob"),
                       (mounted, "does not have it"), (manifest, "does not have it"),
                       (other_manifest, "digest mismatch")):
        s = sink(lie=how)
        _, ref = ready(modeld, registry, s)
        fails(modeld, ref, words)


def test_a_blob_of_another_length_is_not_ours(sink, registry, start, store):
    """A HEAD that lies sends us to upload, and a registry that goes on lying is told so."""
    s = sink(lie=lambda h: h.command == "HEAD" and "/blobs/" in h.path and
             h.send(200, Content_Length="5"))
    modeld = start(store)
    _, ref = ready(modeld, registry, s)
    fails(modeld, ref, "does not have it")


def test_endless_answers_are_cut(sink, registry, start, store):
    def endless(status):
        def lie(h):
            if h.command not in ("POST", "PUT"):
                return False
            h.drain()
            h.send_response(status)
            h.send_header("Location", "/upload/0")
            h.send_header("Transfer-Encoding", "chunked")
            h.end_headers()
            for _ in range(20000):
                h.wfile.write(b"10000\r\n%s\r\n" % bytes(65536))
                s.answered += 65536
            return True
        return lie
    modeld = start(store)
    for status in (400, 500):
        s = sink(lie=endless(status))
        s.answered = 0
        _, ref = ready(modeld, registry, s)
        before = time.monotonic()
        fails(modeld, ref)
        assert time.monotonic() - before < 60 and s.answered < 200 * MB


def test_words_of_a_registry_are_cut_and_cleaned(sink, registry, start, store):
    words = json.dumps({"errors": [{"code": "X" * 1000, "message": "\x1b[2J" * 500}]}).encode()
    s = sink(lie=lambda h: h.command == "POST" and h.send(403, words))
    modeld = start(store)
    _, ref = ready(modeld, registry, s)
    text = fails(modeld, ref, "Unauthorized", "docker login", status=(401,))
    assert len(text) < 600


# ---- where it leads ----

@pytest.mark.parametrize("to", [
    "http://169.254.169.254/latest", "http://127.0.0.2:1/", "http://10.255.255.1/",
    "http://[fe80::1]/", "file:///etc/passwd", "gopher://127.0.0.1:1/_x",
    "http://user:pass@127.0.0.1/", "http://127.0.0.1:1/\x0b", "//", "http://", None])
def test_locations_that_lead_nowhere_good(sink, registry, start, store, to):
    s = sink(lie=lambda h: h.command == "POST" and h.send(202, Location=to))
    modeld = start(store)
    _, ref = ready(modeld, registry, s)
    before = time.monotonic()
    fails(modeld, ref)
    assert time.monotonic() - before < 8


def test_a_later_location_that_leads_inside(sink, registry, start, store):
    def lie(h):
        if h.command == "PATCH":
            h.drain()
            return h.send(202, Location="http://169.254.169.254/x", Range=f"0-{64 * MB - 1}")
    s = sink(lie=lie)
    modeld = start(store)
    _, ref = ready(modeld, registry, s, model(70 * MB, seed="later"))
    fails(modeld, ref, "169.254.169.254")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_of_a_body(sink, registry, start, store, status):
    """307 and 308 keep the method and the body, to another place without credentials; the
    others would make a GET of it."""
    storage = sink()
    storage.repository = "me/x"
    storage.uploads = {i: bytearray() for i in range(9)}

    def lie(h):
        if h.command == "PUT" and h.path.startswith("/upload/"):
            h.drain()
            return h.send(status, Location=f"http://127.0.0.1:{storage.server_port}{h.path}")
    s = sink(lie=lie)
    s.blobs = storage.blobs
    modeld = start(store)
    m, ref = ready(modeld, registry, s)
    token = json.dumps({"bearer-token": "secret"})
    if status < 307:
        fails(modeld, ref, str(status), body=token)
        assert storage.asked == []
        return
    arrives(modeld, ref, body=token)
    assert s.has(m)
    assert storage.asked and all(a is None for *_, a in storage.asked)
    assert all(a == "Bearer secret" for *_, a in s.asked)


def test_an_upload_at_another_place_gets_no_credentials(sink, registry, start, store):
    storage = sink()
    storage.repository = "me/x"

    def lie(h):
        if h.command == "POST":
            n = len(storage.uploads)
            storage.uploads[n] = bytearray()
            return h.send(202, Location=f"http://127.0.0.1:{storage.server_port}/upload/{n}")
    s = sink(lie=lie)
    s.blobs = storage.blobs
    modeld = start(store)
    m, ref = ready(modeld, registry, s)
    arrives(modeld, ref, body=b'{"bearer-token":"secret"}')
    assert s.has(m)
    assert storage.asked and all(a is None for *_, a in storage.asked)


def test_a_challenge_at_another_place_is_not_answered(sink, registry, start, store):
    storage = sink(lie=lambda h: h.drain() or h.send(
        401, WWW_Authenticate=f'Bearer realm="http://127.0.0.1:{storage.server_port}/token"'))

    def lie(h):
        if h.command == "POST":
            return h.send(202, Location=f"http://127.0.0.1:{storage.server_port}/upload/0")
    s = sink(lie=lie)
    modeld = start(store)
    _, ref = ready(modeld, registry, s)
    fails(modeld, ref, status=(401,))
    assert not any("/token" in p for _, p, _, _ in storage.asked)


def test_a_public_registry_cannot_lead_inside(sink, registry, start, store):
    """By Location or by redirect: not one connection comes."""
    def test():
        inside, private = sink(), sink(PRIVATE)
        modeld = start(store, "--insecure-registry", "true")
        m = None
        for t in (f"http://127.0.0.1:{inside.server_port}", f"http://localhost:{inside.server_port}",
                  f"http://{PRIVATE}:{private.server_port}"):
            for how in ("location", "redirect"):
                def lie(h, t=t, how=how):
                    if h.command == "POST":
                        return h.send(202 if how == "location" else 307, Location=t + "/upload/0")
                s = sink(OUTSIDE, lie=lie)
                if m is None:
                    from registry_fixtures import Registry, pull, push
                    r = Registry(store.parent / "inner")
                    m = small("public")
                    push(r.url, "ai/p", "v1", m)
                    pull(modeld, f"{r.host}/ai/p:v1")
                    source = f"{r.host}/ai/p:v1"
                tag(modeld, source, f"{s.host}/me/x:v1")
                fails(modeld, f"{s.host}/me/x:v1", "address inside")
        assert inside.asked == [] and private.asked == []
        s = sink(OUTSIDE)
        tag(modeld, source, f"{s.host}/me/x:v1")
        arrives(modeld, f"{s.host}/me/x:v1")
        assert s.has(m)
        r.stop()
    in_own_net(test)
