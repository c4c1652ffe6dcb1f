"""Clients of a language model server, as many at once as a benchmark wants, and the texts they
send: words by a seed, so that every server gets the same ones and none has seen them before."""

import contextlib
import http.client
import json
import random
import threading
import time

WORDS = ("the river mill stone wood light year hand house road night water story child letter "
         "window garden winter summer market horse bread paper ship sea wind field bird song "
         "friend mother father king door table morning evening answer question music").split()


def words(seed, n):
    """About `n` tokens."""
    pick = random.Random(seed)
    return " ".join(pick.choice(WORDS) for _ in range(n))


class Answer:
    """A streamed answer: when it was asked for, when each piece came, and its text."""

    def __init__(self):
        self.asked = None
        self.at = []
        self.text = ""
        self.usage = {}

    @property
    def first(self):
        return self.at[0] - self.asked

    @property
    def gaps(self):
        return [b - a for a, b in zip(self.at, self.at[1:])]


def post(port, path, body):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    c.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    r = c.getresponse()
    if r.status != 200:
        raise SystemExit(f"{path}: {r.status} {r.read()[:300]}")
    return c, r


def chat(port, messages, tokens, answer=None):
    a = answer or Answer()
    a.asked = time.monotonic()
    c, r = post(port, "/v1/chat/completions", {
        "model": "m", "messages": messages, "max_tokens": tokens, "temperature": 0,
        "stream": True, "ignore_eos": True, "stream_options": {"include_usage": True}})
    for line in r:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        a.usage = event.get("usage") or a.usage
        for choice in event.get("choices", []):
            if choice["delta"].get("content"):
                a.at.append(time.monotonic())
                a.text += choice["delta"]["content"]
    c.close()
    return a


def together(jobs):
    """Runs all at once; their results in order."""
    results = [None] * len(jobs)

    def work(i):
        results[i] = jobs[i]()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if any(r is None for r in results):
        raise SystemExit("a client failed")
    return results


def pace(answers):
    """Tokens a second of all, while all of them ran."""
    begin = max(a.at[0] for a in answers)
    end = min(a.at[-1] for a in answers)
    return sum(begin < t <= end for a in answers for t in a.at) / (end - begin)


def wait_healthy(port):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            c.request("GET", "/health")
            if c.getresponse().status == 200:
                return
        time.sleep(0.002)
    raise SystemExit("the server does not get ready")
