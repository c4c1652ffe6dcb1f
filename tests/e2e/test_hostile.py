"""Peers that do not mean well, on raw sockets: each is told what was wrong, none is served
what it should not be, and the server stays as it was."""

import concurrent.futures
import json
import re
import socket
import time

import pytest

from conftest import BUILD, eventually, quick

HEAD = b"Host: localhost\r\n"


def talk(m, data, end=True):
    """Sends bytes, and gives all that comes until the server closes (or a second passes)."""
    s = m.connect()
    s.sendall(data)
    if end:
        s.shutdown(socket.SHUT_WR)
    out = b""
    s.settimeout(3)
    try:
        while piece := s.recv(65536):
            out += piece
    except TimeoutError:
        pass
    except ConnectionResetError:
        pass
    s.close()
    return out


def statuses(answer):
    return [int(x) for x in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]


@pytest.mark.parametrize("data,status", [
    (b"GET /version HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\n\r\n", 400),
    (b"GET /version HTTP/2.0\r\n" + HEAD + b"\r\n", 505),
    (b"GET /version\r\n\r\n", 400),
    (b"GET  /version HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
    (b"GET /version HTTP/1.1\n" + HEAD + b"\r\n", 400),
    (b"GET /ver\x00sion HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
    (b"GET /%00 HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
    (b"GET /version HTTP/1.1\r\n" + HEAD + b"X : y\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\n" + HEAD + b"X: a\r\n b\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\n" + HEAD + b"X: a\x00b\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 40000 + b"\r\n\r\n", 431),
    (b"GET /version HTTP/1.1\r\n" + HEAD + b"X: a\r\n" * 200 + b"\r\n", 431),
    (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 414),
    (b"POST /models/load HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    (b"POST /models/load HTTP/1.1\r\n" + HEAD + b"Content-Length: 5, 5\r\n\r\n", 400),
    (b"POST /models/load HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n", 400),
    (b"POST /models/load HTTP/1.1\r\n" + HEAD + b"Content-Length: 0x10\r\n\r\n", 400),
    (b"POST /models/load HTTP/1.1\r\n" + HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    (b"POST /v1/completions HTTP/1.1\r\n" + HEAD +
     b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST /v1/completions HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    (b"POST /v1/completions HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
    (b"POST /v1/completions HTTP/1.1\r\n" + HEAD +
     b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", 400),
    (b"POST /v1/completions HTTP/1.1\r\n" + HEAD + b"Expect: tea\r\nContent-Length: 1\r\n\r\n", 417),
    (b"POST /v1/completions HTTP/1.1\r\n" + HEAD + b"Content-Length: 99999999999\r\n\r\n", 413),
])
def test_bad_messages(modeld, data, status):
    answer = talk(modeld, data)
    assert statuses(answer) == [status], answer
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert body["error"]["message"]


def test_smuggled_second_requests_are_not_served(modeld):
    inner = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = talk(modeld, b"POST /v1/completions HTTP/1.1\r\n" + HEAD +
                  b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner)
    assert statuses(answer) == [400]


def test_pipelined_requests_are_answered_in_order(modeld):
    one = b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
    data = one % (b"/version", b"") + one % (b"/nothing", b"") + \
        one % (b"/healthz", b"Connection: close\r\n")
    assert statuses(talk(modeld, data, end=False)) == [200, 404, 200]


def test_a_request_byte_by_byte(modeld):
    s = modeld.connect()
    body = b'{"model":"x"}'
    for b in (b"POST /v1/completions HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n%s"
              % (len(body), body)):
        s.sendall(bytes([b]))
    assert statuses(s.recv(65536)) == [404]


def test_expect_continue(modeld):
    body = b'{"model":"x"}'
    s = modeld.connect()
    s.sendall(b"POST /v1/completions HTTP/1.1\r\n" + HEAD +
              b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
    assert s.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    s.sendall(body)
    assert statuses(s.recv(65536)) == [404]
    s = modeld.connect()
    s.sendall(b"POST /nothing HTTP/1.1\r\n" + HEAD +
              b"Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
    assert statuses(s.recv(65536)) == [404], "refused without asking for the body"


def test_chunked_requests(modeld):
    answer = talk(modeld, b"POST /v1/completions HTTP/1.1\r\n" + HEAD +
                  b'Transfer-Encoding: chunked\r\n\r\n5;a=b\r\n{"mod\r\n8\r\nel":"x"}\r\n'
                  b"0\r\nX-Trailer: y\r\n\r\n", end=False)
    assert statuses(answer) == [404]


def test_a_body_at_the_limit_and_one_above(modeld):
    limit = 64 << 20
    for size, status in ((limit, 404), (limit + 1, 413)):
        pad = b'{"model":"x","pad":"'
        s = modeld.connect()
        s.sendall(b"POST /v1/completions HTTP/1.1\r\n" + HEAD +
                  b"Content-Length: %d\r\n\r\n" % size)
        if size == limit:
            s.sendall(pad + b"a" * (size - len(pad) - 2) + b'"}')
        assert statuses(s.recv(65536)) == [status]
        s.close()
    eventually(lambda: modeld.metric("modeld_http_exchanges_open") == 1)


def test_half_a_request_then_silence_is_a_408(start, models_store):
    m = start(models_store)
    s = m.connect()
    s.settimeout(60)
    s.sendall(b"GET /version HTTP/1.1\r\nHo")
    began = time.monotonic()
    answer = s.recv(65536)
    assert statuses(answer) == [408]
    assert 5 < time.monotonic() - began < 60


def test_a_half_closing_client_gets_its_answer(modeld):
    s = modeld.connect()
    s.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
    s.shutdown(socket.SHUT_WR)
    assert statuses(s.recv(65536)) == [200]
    assert s.recv(65536) == b""


def test_a_thousand_at_once(start, models_store):
    m = start(models_store)
    socks = [m.connect() for _ in range(1000)]
    for s in socks:
        s.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert all(statuses(s.recv(4096)) == [200] for s in socks)
    idle = m.rss_kib()
    for s in socks:
        s.close()
    # ASan's shadow and red zones are not modeld's.
    assert idle < (60000 if BUILD.name == "asan" else 20000), "a thousand idle connections"
    eventually(lambda: m.metric("modeld_http_exchanges_open") == 1)


def test_a_thousand_halves_do_not_stop_the_others(start, models_store):
    m = start(models_store)
    socks = [m.connect() for _ in range(1000)]
    for i, s in enumerate(socks):
        s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
                  [:1 + i % 90])
    assert quick(1, lambda: m.http.get("/version")).status_code == 200
    for s in socks:
        s.close()


def test_noise(modeld):
    import random
    rng = random.Random(7)

    def one(seed):
        r = random.Random(seed)
        data = bytes(r.randrange(256) for _ in range(r.randrange(2000)))
        if r.random() < 0.5:
            data = b"POST /v1/completions HTTP/1.1\r\n" + HEAD + data
        return talk(modeld, data)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for answer in pool.map(one, [rng.random() for _ in range(200)]):
            assert not answer or statuses(answer)[0] >= 400
    assert modeld.http.get("/version").status_code == 200
