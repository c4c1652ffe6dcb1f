"""HTTP messages, good and bad, and mutations of them, for test_llhttp.py.

Hand-written: each rule of RFC 9112 that two parsers are known to read differently
(request smuggling lives there) has its messages here. Mutated: the same ones with a
few random edits; a seed always gives the same message.
"""

import random

G = b"GET / HTTP/1.1\r\nHost: a\r\n"
P = b"POST /p HTTP/1.1\r\nHost: a\r\n"
R = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
FIVE = b"Content-Length: 5\r\n"
LAST = b"0\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


def each(template, *values):
    return [template.replace(b"@", v) for v in values]


GOOD_REQUESTS = [
    G + b"\r\n",
    b"\r\n" + G + b"\r\n",
    G + b"\r\n" + NEXT,
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /x?y=z HTTP/1.1\r\nHost: a\r\n\r\n",
    b"DELETE /models/ai%2Fx HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
    *each(G + b"Connection: @\r\n\r\n" + NEXT, b"close", b"Close", b"keep-alive", b"x, close",
          b"keep-alive, close", b"close,", b" , close", b"upgrade", b"closed", b"", b"TE"),
    G + b"Connection: keep-alive\r\nConnection: close\r\n\r\n",
    G + b"X:\r\nY: \t \r\nZ:\ta\t\r\n\r\n",
    G + b"X: \x80\xff\r\n\r\n",
    G + b"!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n",
    G + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    G + b"Upgrade: h2c\r\n\r\n" + NEXT,
    P + FIVE + b"\r\nhello" + NEXT,
    P + FIVE + b"Upgrade: x\r\nConnection: upgrade\r\n\r\nhello" + NEXT,
    P + b"Content-Length: 0\r\n\r\n" + NEXT,
    P + b"content-length:5\r\n\r\nhello",
    P + b"Content-Length: \t 5  \r\n\r\nhello",
    P + b"Content-Length: 0005\r\n\r\nhello",
    P + FIVE + b"Expect: 100-continue\r\n\r\nhello",
    P + b"\r\n" + NEXT,
    P + CHUNKED + b"\r\n" + LAST + NEXT,
    P + b"TRANSFER-ENCODING:\tCHUNKED \r\n\r\n" + LAST,
    *each(P + CHUNKED + b"\r\n@" + LAST + NEXT, b"5\r\nhello\r\n", b"1\r\na\r\n2\r\nbc\r\n",
          b"A\r\n0123456789\r\n", b"000a\r\n0123456789\r\n", b"2\r\n\r\n\r\n",
          b"5;x\r\nhello\r\n", b"5;x=y\r\nhello\r\n", b'5;x="y;\\"z"\r\nhello\r\n',
          b"5;x;y=z\r\nhello\r\n", b"3\r\n0\r\n\r\n"),
    P + CHUNKED + b"\r\n0\r\nA: b\r\nC:\r\n\r\n" + NEXT,
    P + CHUNKED + b"\r\n0;x=y\r\n\r\n" + NEXT,
]

BAD_REQUESTS = [
    # The start line.
    b"\n" + G + b"\r\n",
    b"\r" + G + b"\r\n",
    b" " + G + b"\r\n",
    b"\0" + G + b"\r\n",
    b"\xef\xbb\xbf" + G + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    *each(b"GET@/ HTTP/1.1\r\nHost: a\r\n\r\n", b"", b"  ", b"\t", b" \t", b"\x0b", b"\r\n ", b"\0"),
    *each(b"GET /@ HTTP/1.1\r\nHost: a\r\n\r\n", b" ", b"\t", b" x", b"\0", b"\x01", b"\x7f",
          b"\x80", b"\xc3\xa4", b"\r", b"\n", b"\x0b", b"\x0c"),
    *each(b"GET / HTTP/@\r\nHost: a\r\n\r\n", b"1", b"1.", b".1", b"1.1 ", b"1.1\t", b"1.10",
          b"01.1", b"1,1", b"1.2", b"0.9", b"2.0", b"9.9", b"1.1\0", b"1.1 x", b"11", b"+1.1",
          b"1.1\r", b"1.1\n", b"x.y", b" 1.1"),
    *each(b"GET / @\r\nHost: a\r\n\r\n", b"", b"http/1.1", b"HTTP", b"HTTPS/1.1", b"HTP/1.1",
          b"HTTP /1.1", b"ICE/1.0", b"RTSP/1.0"),
    *each(b"@ / HTTP/1.1\r\nHost: a\r\n\r\n", b"", b"G(T", b"G T", b"G\x80T", b"GET,", b'"GET"'),
    b"GET /\r\n\r\n",
    b"GET\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\nhello",
    # Line ends and folding.
    b"GET / HTTP/1.1\nHost: a\n\n",
    G + b"\n",
    *each(G + b"X: y@Z: z\r\n\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r", b"\0", b"\r\n ",
          b"\r\n\t", b"\r\n \r\n", b"\x0b\r\n", b"\x85\n"),
    b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n",
    # Names and values.
    *each(G + b"X@: y\r\n\r\n", b" ", b"\t", b"(", b",", b"\0", b"\x80", b"\x7f", b"/", b"@", b"[",
          b'"', b"{", b"=", b"\x0b", b"\r", b" Y"),
    *each(G + b"X: a@b\r\n\r\n", b"\0", b"\x01", b"\x08", b"\x0b", b"\x0c", b"\x1f", b"\x7f"),
    *each(G + b"@\r\n\r\n", b": y", b"X", b" : y", b"=y"),
    # Host.
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
    G + b"Host: a\r\n\r\n",
    G + b"Host: b\r\n\r\n",
    *each(b"GET / HTTP/1.1\r\nHost: @\r\n\r\n", b"a b", b"a,b", b"u@a", b"a/b", b"a?b", b"a#b",
          b"http://a", b"a:b", b"a:99999", b"[::1", b"::1", b"\x80", b"a%20b"),
    # How long is the body?
    *each(P + b"Content-Length: @\r\n\r\nhello", b"", b"+5", b"-5", b"0x5", b"5a", b"5 5", b"5,5",
          b"5, 5", b"5,", b",5", b"5.0", b"5e0", b'"5"', b"five", b"0b101", b"5\t5", b"5\x0b", b"5\t", b"5 \t",
          b"18446744073709551616", b"99999999999999999999", b"5;x", b"\xd9\xa5", b"5\0", b"0x",
          b"- 5", b"1_0"),
    P + FIVE + FIVE + b"\r\nhello",
    P + FIVE + b"Content-Length: 6\r\n\r\nhello",
    P + FIVE + b"content-length: 0\r\n\r\nhello",
    P + FIVE + CHUNKED + b"\r\n" + LAST,
    P + CHUNKED + FIVE + b"\r\n" + LAST,
    P + CHUNKED + b"Content-Length: 0\r\n\r\n" + LAST,
    P + CHUNKED + CHUNKED + b"\r\n" + LAST,
    P + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n" + LAST,
    P + b"Transfer-Encoding: identity\r\n" + CHUNKED + b"\r\n" + LAST,
    P + b"Transfer-Encoding: gzip\r\n" + CHUNKED + b"\r\n" + LAST,
    b"POST / HTTP/1.0\r\nHost: a\r\n" + CHUNKED + b"\r\n" + LAST,
    *each(P + b"Transfer-Encoding: @\r\n\r\n" + LAST, b"", b"identity", b"gzip", b"gzip, chunked",
          b"chunked, gzip", b"chunked, chunked", b"chunked,", b",chunked", b"xchunked",
          b"chunkedx", b"chunked;q=1", b'"chunked"', b"'chunked'", b"chunked chunked", b"cow",
          b"chunked\0", b"\x0bchunked", b"chunked\x0b", b"chunked\t", b"chunked, identity", b"chun ked",
          b"\x00chunked", b"chunked\r\n chunked", b"chunk\xc3\xa9d"),
    *each(P + b"@ chunked\r\n\r\n" + LAST, b"Transfer-Encoding :", b"Transfer-Encoding\t:",
          b" Transfer-Encoding:", b"Transfer-Encoding\0:", b"Transfer-Encoding", b"\rTransfer-Encoding:",
          b"X: y\nTransfer-Encoding:", b"X: y\rTransfer-Encoding:"),
    *each(P + b"@5\r\n\r\nhello", b"Content-Length : ", b"Content-Length\t: ", b" Content-Length: ",
          b"Content-Length\0: ", b"X: y\nContent-Length: ", b"X: y\rContent-Length: "),
    *each(P + FIVE + b"Expect: @\r\n\r\nhello", b"100", b"continue", b"100-continue, x", b""),
    # Chunks.
    *each(P + CHUNKED + b"\r\n@" + LAST, b"g\r\n", b" 5\r\nhello\r\n", b"5 \r\nhello\r\n",
          b"5\t\r\nhello\r\n", b"+5\r\nhello\r\n", b"-5\r\nhello\r\n", b"0x5\r\nhello\r\n",
          b"5\nhello\r\n", b"5\rhello\r\n", b"5\r\r\nhello\r\n", b"5\r\nhello", b"5\r\nhello\n",
          b"5\r\nhello\r", b"5\r\nhelloX\r\n", b"4\r\nhello\r\n", b"5\r\nhello\n\r\n", b"\r\n",
          b"5;\nhello\r\n", b"5;x\nhello\r\n", b"5;x\rhello\r\n", b"5;x=\"\nhello\r\n",
          b"5;x=\"y\r\nhello\r\n", b"5;\0\r\nhello\r\n", b"5,x\r\nhello\r\n", b"5 ;x\r\nhello\r\n",
          b"5; x\r\nhello\r\n", b"5;x =y\r\nhello\r\n", b"5;x=y z\r\nhello\r\n",
          b"5;=y\r\nhello\r\n", b"5;x=\r\nhello\r\n", b"5;;x\r\nhello\r\n", b"5;\r\nhello\r\n",
          b"10000000000000005\r\nhello\r\n", b"fffffffffffffffff\r\nhello\r\n",
          b"5;x\x80\r\nhello\r\n", b"5\x0b\r\nhello\r\n", b"5h\r\nhello\r\n"),
    *each(P + CHUNKED + b"\r\n0\r\n@\r\n", b"A\r\n", b"A : b\r\n", b": b\r\n", b" A: b\r\n",
          b"A: b\r\n c\r\n", b"A: b\n", b"A: b\0\r\n", b"\n", b"A: b\rC: d\r\n", b"A: \x01\r\n",
          b"Content-Length: 5\r\n", b"transfer-encoding: chunked\r\n"),
    P + CHUNKED + b"\r\n0\n\r\n",
    P + CHUNKED + b"\r\n0\r\n\n",
    P + CHUNKED + b"\r\n0\r\n\rGET",
]

GOOD_RESPONSES = [
    R + FIVE + b"\r\nhello" + R,
    R + b"Content-Length: 0\r\n\r\n" + R,
    R + CHUNKED + b"\r\n5\r\nhello\r\n" + LAST + R,
    R + CHUNKED + b"\r\n0\r\nA: b\r\n\r\n" + R,
    R + b"\r\nuntil the end",
    R + b"Connection: close\r\n\r\nuntil the end",
    R + b"Connection: close\r\n" + FIVE + b"\r\nhello",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + FIVE + b"\r\nhello",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nuntil the end",
    *each(b"HTTP/1.1 @\r\n" + FIVE + b"\r\nhello", b"200 ", b"404 Not  Found", b"200", b"500 \x80",
          b"299 a\tb", b"999 x", b"421 OK", b"200 \xc3\xa4"),
    *each(b"HTTP/1.1 @ x\r\n\r\n" + R, b"100", b"102", b"103", b"204", b"304"),
    b"HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n" + R,
    b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n" + R,
    b"HTTP/1.1 304 x\r\nETag: \"a\"\r\n" + CHUNKED + b"\r\n" + R,
]

BAD_RESPONSES = [
    b"ICY 200 OK\r\n\r\n",
    b"http/1.1 200 OK\r\n\r\n",
    b" " + R + b"\r\n",
    *each(b"HTTP/@ 200 OK\r\n\r\n", b"1", b"1.", b"2.0", b"1.2", b"1.10", b"1,1", b"11", b"1.1 "),
    *each(b"HTTP/1.1@\r\n\r\n", b"", b" ", b" 20 OK", b" 2000 OK", b" 2x0 OK", b" 200OK",
          b"200 OK", b"\t200 OK", b"  200 OK", b" -20 OK", b" OK", b" 200 O\0K", b" 200 O\rK",
          b" 200 O\x01K", b" 200\tOK"),
    b"HTTP/1.1 200 OK\n\n",
    b"HTTP/1.1 200 OK\r\nX: y\n\r\n",
    R + b"X: y\r\n z\r\n\r\n",
    R + b"X : y\r\n\r\n",
    R + b" X: y\r\n\r\n",
    R + b": y\r\n\r\n",
    R + FIVE + FIVE + b"\r\nhello",
    R + FIVE + b"Content-Length: 6\r\n\r\nhello",
    R + FIVE + CHUNKED + b"\r\n" + LAST,
    R + CHUNKED + FIVE + b"\r\n" + LAST,
    *each(R + b"Content-Length: @\r\n\r\nhello", b"5,5", b"+5", b"-5", b"0x5", b"", b"5 5"),
    *each(R + b"Transfer-Encoding: @\r\n\r\n" + LAST, b"gzip", b"gzip, chunked", b"chunked, gzip",
          b"identity", b"chunked, chunked", b"xchunked", b""),
    b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n" + LAST,
    R + CHUNKED + b"\r\n5\nhello\r\n" + LAST,
    R + CHUNKED + b"\r\n5 \r\nhello\r\n" + LAST,
    R + CHUNKED + b"\r\n5\r\nhello" + LAST,
]

BYTES = [b"\0", b"\1", b"\t", b"\n", b"\x0b", b"\r", b" ", b'"', b"%", b"(", b",", b"-", b"/",
         b"0", b"5", b":", b";", b"=", b"?", b"@", b"X", b"a", b"\x7f", b"\x80", b"\xff"]
PIECES = [b"\r\n", b"\r\n\r\n", b"\n\n", b"\r\n ", FIVE, CHUNKED, LAST, NEXT, b"Host: b\r\n",
          b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n", b"chunked", b", ",
          b"Content-Length: ", b"Transfer-Encoding: ", b"5\r\nhello\r\n", b";x=y", b"HTTP/1.0",
          b"Connection: keep-alive\r\n", b"Trailer: A\r\n", b"TE: trailers\r\n", b"204", b"304",
          b"A: b\r\n", b"Expect: 100-continue\r\n"]


def edit(rng, m):
    """One random edit of a message."""
    at = rng.randrange(len(m) + 1)
    kind = rng.randrange(9)
    if kind == 0:
        return m[:at] + rng.choice(BYTES) + m[at:]
    if kind == 1:
        return m[:at] + m[at + 1:]
    if kind == 2:
        return m[:at] + rng.choice(BYTES) + m[at + 1:]
    if kind == 3:
        return m[:at] + rng.choice(PIECES) + m[at:]
    if kind == 4:
        return m[:at] + m[at:at + 1].swapcase() + m[at + 1:]
    if kind == 5:
        return m[:at] + m[rng.randrange(len(m) + 1):]
    lines = m.split(b"\r\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    if kind == 6:
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == 7:
        lines.insert(i, lines[j])
    else:
        lines.insert(i, rng.choice(PIECES).removesuffix(b"\r\n"))
    return b"\r\n".join(lines)


def mutations(bases, n, seed):
    rng = random.Random(seed)
    for _ in range(n):
        m = rng.choice(bases)
        for _ in range(rng.choice((1, 1, 2, 3))):
            m = edit(rng, m)
        yield m
