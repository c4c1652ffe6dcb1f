"""Our parsers against llhttp, the parser inside Node.js, in its strict mode.

What we accept, llhttp accepts with the same method, target, fields, body and end;
what llhttp refuses, we refuse. Two parsers that agree leave no room for smuggling.

We refuse more than llhttp does, on purpose: a missing, doubled or malformed Host, CONNECT
and "*" for other methods than OPTIONS, any transfer coding but a single "chunked", any
repeated Content-Length, Expect other than 100-continue, absolute forms that are no URL,
more than one empty line before a request and any before a response, white space that only
a lenient parser takes. We also close sooner: after a 1xx or 204 that announces a body.

We take one thing that llhttp does not: a method that is a token but has no name in llhttp
(it answers 405 or 404 here). Such a message is compared as if it said POST. And
Proxy-Connection, which no RFC has, means nothing to us; llhttp reads it as Connection.
And llhttp before 8 (Node.js 18) looks for a body after a 1xx or a 304.
"""

import json
import pathlib
import shutil
import subprocess

import pytest

import http_corpus as corpus
from conftest import BUILD

TOOLS = pathlib.Path(__file__).resolve().parents[1] / "tools"
NODE = ["node", "--no-warnings", str(TOOLS / "llhttp_probe.js")]
OURS = [str(BUILD / "http_probe")]
KNOWN = {"DELETE", "GET", "HEAD", "POST", "PUT", "OPTIONS", "PATCH"}

pytestmark = pytest.mark.skipif(not shutil.which("node"),
                                reason="node is missing: scripts/setup test installs it")


def llhttp_version():
    return int(subprocess.check_output(
        ["node", "-p", "parseInt(process.versions.llhttp)"]))


def ask(command, kind, messages):
    records = b"".join(b"%s %d\n%s" % (kind.encode(), len(m), m) for m in messages)
    r = subprocess.run(command, input=records, capture_output=True, timeout=120)
    assert r.returncode == 0, r.stderr.decode()
    answers = [json.loads(line) for line in r.stdout.splitlines()]
    assert len(answers) == len(messages)
    return answers


def as_llhttp_knows_it(message, ours):
    """The message with POST for a method of which llhttp may not have heard."""
    method = ours.get("method", "")
    if not method or method in KNOWN:
        return message
    return message.replace(method.encode("latin1"), b"POST", 1)


def refused_later(kind, message, theirs):
    """llhttp ends some heads at CR CR. We look for CR LF CR LF first, and then refuse."""
    head = message[:theirs["used"] - len(theirs["body"])]
    return ask(OURS, kind, [head + b"\r\n\r\n"])[0]["outcome"] == "refused"


def difference(kind, message, sent, ours, theirs):
    """Why two answers to one message are in conflict, or None."""
    if ours["outcome"] != "done":
        if theirs["outcome"] == "done" and ours["outcome"] == "more" and not refused_later(
                kind, message, theirs):
            return "we wait for more than llhttp"
        return None
    if theirs["outcome"] != "done":
        return "we accept, llhttp does not"
    for what in ("minor", "target", "status", "fields", "body"):
        if ours[what] != theirs[what]:
            return f"another {what}"
    if ours["used"] - theirs["used"] != len(message) - len(sent):
        return "another end"
    if message == sent and ours["method"] != theirs["method"]:
        return "another method"
    # llhttp sees no token of Connection that a tab follows.
    if ours["keep_alive"] and not theirs["keep_alive"] and b"\t" not in message:
        return "we keep the connection"
    return None


def without_keep_alive(answer):
    """llhttp asks for the end of a HEAD response's connection where its length is missing."""
    return {**answer, "keep_alive": True}


def compare(kind, messages):
    ours = ask(OURS, kind, messages)
    sent = [as_llhttp_knows_it(m, o) for m, o in zip(messages, ours)]
    theirs = ask(NODE, kind, sent)
    if kind == "response-to-head":
        theirs = [without_keep_alive(t) for t in theirs]
    conflicts = []
    old = llhttp_version() < 8
    for row in zip(messages, sent, ours, theirs):
        if old and (row[2].get("status") == 304 or row[2].get("status", 0) // 100 == 1):
            continue
        why = difference(kind, *row)
        if why:
            conflicts.append(f"{why}: {row[0]!r}\n  ours   {row[2]}\n  llhttp {row[3]}")
    assert not conflicts, f"{len(conflicts)} conflicts\n" + "\n".join(conflicts[:20])
    return ours, theirs


@pytest.mark.parametrize("kind, good", [
    ("request", corpus.GOOD_REQUESTS), ("response", corpus.GOOD_RESPONSES)])
def test_good_messages_are_accepted_alike(kind, good):
    ours, _ = compare(kind, good)
    refused = [m for m, o in zip(good, ours) if o["outcome"] != "done"]
    assert not refused


@pytest.mark.parametrize("kind, bad", [
    ("request", corpus.BAD_REQUESTS), ("response", corpus.BAD_RESPONSES)])
def test_bad_messages_are_refused(kind, bad):
    ours, _ = compare(kind, bad)
    accepted = [m for m, o in zip(bad, ours) if o["outcome"] == "done"]
    assert not accepted


def test_a_response_to_head_has_no_body_for_either():
    ours, _ = compare("response-to-head", corpus.GOOD_RESPONSES)
    assert all(o["outcome"] == "done" and o["body"] == "" for o in ours)


@pytest.mark.parametrize("kind, bases, n", [
    ("request", corpus.GOOD_REQUESTS + corpus.BAD_REQUESTS, 6000),
    ("response", corpus.GOOD_RESPONSES + corpus.BAD_RESPONSES, 3000)])
@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_messages_never_mean_two_things(kind, bases, n, seed):
    ours, _ = compare(kind, list(corpus.mutations(bases, n, seed)))
    # The edits are small enough that a good part of them leaves a good message.
    accepted = sum(o["outcome"] == "done" for o in ours)
    assert n / 20 < accepted < n
