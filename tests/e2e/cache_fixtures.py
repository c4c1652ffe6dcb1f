"""Mixed turns of many clients, each answered with the cache and without, and a model whose
numbers are the same bits either way.

By hand, as long as wanted, and with another model:
    build/venv/bin/python tests/e2e/cache_fixtures.py --clients 8 --turns 1000
"""

import argparse
import bisect
import collections
import concurrent.futures
import http.client
import json
import pathlib
import random
import socket
import string
import tempfile
import threading
import time

import gguf
import numpy as np

from gguf_fixtures import FIRST_LETTER, LETTERS, VOCABULARY, WORDS, add_vocabulary
from llama_fixtures import Llama, finish_gguf

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
CONTEXT, SLOTS, BATCH = 768, 12, 32
OWNERS = ("", "uid:1000", "key:x")

# ---- the model ----

SPOKEN = string.ascii_letters + string.digits
TEMPLATE = ("{% for m in messages %}{{ '[' + m.role + ']' + m.content }}{% endfor %}"
            "{% if add_generation_prompt %}[assistant]{% endif %}")
HEADS, HEAD, FEED, LAYERS = 2, 18, 100, 3
WIDTH = HEADS * HEAD
SHARP = 2000


def make_exact(path, seed=7):
    """A model of random weights whose numbers do not depend on the batch, nor on the cells, in
    which a token is computed: rows of F32 that are no multiple of 8 keep ggml's CPU code from
    its ways for many tokens at once, which round otherwise, and heads that look at one token
    alone sum one term, whatever the order of the cells. A letter is a token."""
    rng = np.random.default_rng(seed)
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("exact")
    out.add_context_length(4096)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(FEED)
    out.add_head_count(HEADS)
    out.add_rope_dimension_count(HEAD)
    out.add_layer_norm_rms_eps(1e-5)
    add_vocabulary(out)
    out.add_add_space_prefix(False)
    out.add_chat_template(TEMPLATE)

    def tensor(name, rows, columns, scale=0.25):
        out.add_tensor(name, rng.uniform(-scale, scale, (rows, columns)).astype(np.float32))

    def norm(name):
        out.add_tensor(name, rng.uniform(0.9, 1.1, WIDTH).astype(np.float32))
    tensor("token_embd.weight", WORDS, WIDTH)
    norm("output_norm.weight")
    # It says letters and figures, and now and then that it has ended.
    rows = rng.uniform(-0.25, 0.25, (WORDS, WIDTH)).astype(np.float32)
    for i in range(WORDS):
        if i != 2 and (i < FIRST_LETTER or VOCABULARY[i] not in SPOKEN):
            rows[i] = 0
    out.add_tensor("output.weight", rows)
    for i in range(LAYERS):
        norm(f"blk.{i}.attn_norm.weight")
        norm(f"blk.{i}.ffn_norm.weight")
        for name, shape, scale in (
                ("attn_q", (WIDTH, WIDTH), SHARP / 2), ("attn_k", (WIDTH, WIDTH), SHARP / 2),
                ("attn_v", (WIDTH, WIDTH), 0.25), ("attn_output", (WIDTH, WIDTH), 0.25),
                ("ffn_gate", (FEED, WIDTH), 0.25), ("ffn_up", (FEED, WIDTH), 0.25),
                ("ffn_down", (WIDTH, FEED), 0.25)):
            tensor(f"blk.{i}.{name}.weight", *shape, scale)
    finish_gguf(out)


# ---- asking ----

class Connection(http.client.HTTPConnection):
    def __init__(self, server):
        super().__init__("llama", timeout=300)
        self.path = server.listen[5:]

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def send_json(self, path, body, owner):
        self.request("POST", path, json.dumps(body), {
            "Content-Type": "application/json", "Modeld-Cache-Id": owner})

    def ask(self, path, body, owner=""):
        self.close()  # a kept one may have been idle for too long
        self.send_json(path, body, owner)
        r = self.getresponse()
        if body.get("stream") and r.status == 200:
            return r.status, whole(list(chunks(r)))
        return r.status, json.loads(r.read())


def chunks(response):
    while line := response.readline():
        if line.startswith(b"data: {"):
            yield json.loads(line[6:])


def whole(told):
    """What the chunks of a stream say, in the shape of an answer in one piece."""
    choices, usage = {}, None
    for chunk in told:
        usage = chunk.get("usage") or usage
        for c in chunk["choices"]:
            to = choices.setdefault(c["index"], {
                "index": c["index"], "text": "", "finish_reason": None, "probs": []})
            to["text"] += c["delta"].get("content") or "" if "delta" in c else c["text"]
            to["probs"] += probs(c)
            to["finish_reason"] = c["finish_reason"] or to["finish_reason"]
    return {"choices": [choices[i] for i in sorted(choices)], "usage": usage}


def probs(choice):
    """A choice's tokens: (token, its logprob, how far the likeliest leads)."""
    lp = choice.get("logprobs")
    if not lp:
        return []
    if "content" in lp:
        return [(t["token"], t["logprob"], lead([x["logprob"] for x in t["top_logprobs"]]))
                for t in lp["content"]]
    return [(t, p, lead(top.values())) for t, p, top in
            zip(lp["tokens"], lp["token_logprobs"], lp["top_logprobs"])]


def lead(logprobs):
    first, second = sorted(logprobs, reverse=True)[:2]
    return first - second


def said(answer):
    """[(text, why it ended, probs)] of an answer, streamed or not."""
    return [(c["text"] if "text" in c else c["message"]["content"], c["finish_reason"],
             c["probs"] if "probs" in c else probs(c)) for c in answer["choices"]]


# ---- turns ----

class Turn:
    """A request; its tokens are a string with a character for each."""

    def __init__(self, kind, path, tokens, /, **body):
        self.kind, self.path, self.tokens = kind, path, tokens
        self.body = {"temperature": 0, "logprobs": 2, **body}
        if path == CHAT:
            self.body.update(logprobs=True, top_logprobs=2)


BOS = "\x01"


def systems(seed):
    r = random.Random(seed)
    return ["".join(r.choices(SPOKEN, k=r.randint(20, 60))) for _ in range(4)]


def rendered(messages):
    """An answer that has begun is continued."""
    begins = "" if messages[-1]["role"] == "assistant" else "[assistant]"
    return BOS + "".join(f"[{m['role']}]{m['content']}" for m in messages) + begins


class Talker:
    """One client: says what it asks next, from what was answered to it."""

    def __init__(self, seed, systems, context=CONTEXT):
        self.random = random.Random(seed)
        self.systems = systems
        self.context = context
        self.talks = []

    def words(self, least, most):
        return "".join(self.random.choices(SPOKEN, k=self.random.randint(least, most)))

    def options(self):
        r = self.random
        more = {"max_tokens": r.choice((0, 1, 1, 2, 3, 5, 8, 12))}
        if r.random() < 0.1:
            more["n"] = r.choice((2, 3))
        if r.random() < 0.15:
            more["stop"] = r.sample(SPOKEN, 4) + [self.words(2, 2)]
        if r.random() < 0.3:
            more["stream"] = True
            more["stream_options"] = {"include_usage": True}
        return more

    def chat(self, kind, messages, **more):
        return Turn(kind, CHAT, rendered(messages), messages=messages,
                    **{**self.options(), **more})

    def new(self):
        messages = [{"role": "user", "content": self.words(1, 60)}]
        if self.random.random() < 0.7:
            messages.insert(0, {"role": "system", "content": self.random.choice(self.systems)})
        self.talks = self.talks[-2:] + [messages]
        return self.chat("new", messages)

    def again(self):
        return self.chat("again", self.random.choice(self.talks))

    def more(self):
        messages = self.random.choice(self.talks)
        if messages[-1]["role"] == "assistant":
            messages.append({"role": "user", "content": self.words(1, 30)})
        return self.chat("more", messages)

    def fork(self):
        messages = self.random.choice(self.talks)
        cut = messages[:self.random.randrange(len(messages))]
        cut = [*cut, {"role": "user", "content": self.words(1, 30)}]
        self.talks = self.talks[-2:] + [cut]
        return self.chat("fork", cut)

    def edit(self):
        messages = [dict(m) for m in self.random.choice(self.talks)]
        m = self.random.choice(messages)
        at = self.random.randrange(len(m["content"]) + 1)
        m["content"] = m["content"][:at] + self.words(1, 3) + m["content"][at + 1:]
        self.talks = self.talks[-2:] + [messages]
        return self.chat("edit", messages)

    def text(self):
        begins = self.random.choice(self.systems)
        prompt = begins[:self.random.randint(1, len(begins))] + self.words(0, 40)
        if self.random.random() < 0.5:
            return Turn("text", TEXT, BOS + prompt, prompt=prompt, **self.options())
        ids = [FIRST_LETTER + LETTERS.index(c) for c in prompt]
        return Turn("tokens", TEXT, prompt, prompt=ids, **self.options())

    def full(self):
        """Near the context's end, and behind it."""
        n = self.context + self.random.choice((-8, -2, -1, 0, 1))
        begins = self.random.choice(self.systems)
        prompt = begins + self.words(n - 1 - len(begins), n - 1 - len(begins))
        return Turn("full", TEXT, BOS + prompt, prompt=prompt,
                    max_tokens=self.random.choice((-1, 20)))

    def leave(self):
        turn = self.more() if self.random.random() < 0.5 else self.text()
        turn.kind = "leave"
        turn.body.update(stream=True, max_tokens=self.random.choice((1, 20, 60)))
        return turn

    def next(self):
        kinds = {self.new: 15, self.text: 15, self.leave: 8, self.full: 1}
        if self.talks:
            kinds.update({self.more: 30, self.fork: 14, self.edit: 8, self.again: 6})
        else:
            kinds = {self.new: 1}
        return self.random.choices(list(kinds), list(kinds.values()))[0]()

    def heard(self, turn, text):
        """The answer becomes part of the talk, where it is one."""
        messages = turn.body.get("messages")
        if messages and messages[-1]["role"] == "user" and turn.kind != "leave" and text:
            messages.append({"role": "assistant", "content": text})
        most = min(self.context - 60, 240)
        self.talks = [t for t in self.talks if len(rendered(t)) < most]


# ---- what may come out of the cache ----

class Known:
    """Every prompt and answer that an owner had computed, or might have had."""

    def __init__(self):
        self.lock = threading.Lock()
        self.of = collections.defaultdict(list)

    def add(self, owner, tokens):
        with self.lock:
            bisect.insort(self.of[owner], tokens)

    def longest(self, owner, prompt, own):
        """The longest beginning of the prompt that begins one of them, but for its own."""
        with self.lock:
            at = bisect.bisect_left(self.of[owner], prompt)
            near = self.of[owner][max(at - 1, 0):at + 2]
        if own in near:
            near.remove(own)
        return max((common(prompt, s) for s in near), default=0)


def common(a, b):
    n = 0
    for x, y in zip(a, b):
        if x != y:
            break
        n += 1
    return n


class Slots:
    """Which tokens are where, as prefix.h has it, for one request at a time and no host memory:
    the exact number that comes out of the cache."""

    class Slot:
        def __init__(self):
            self.owner, self.tokens, self.cells, self.used = None, "", [], 0

        def keep(self, n):
            self.tokens, self.cells = self.tokens[:n], self.cells[:n]

    def __init__(self, slots, cells, batch):
        self.slots = [self.Slot() for _ in range(slots)]
        self.most, self.batch = cells, batch
        self.clock = 0
        self.next_cell = 0
        self.evictions = 0

    def place(self, owner, prompt):
        best, n = None, 0
        for s in self.slots:
            m = min(common(s.tokens, prompt), len(prompt) - 1)
            if s.owner == owner and m > n:
                best, n = s, m
        to = min(self.slots, key=lambda s: (bool(s.tokens), s.used))
        if best and n >= len(best.tokens) // 2:
            to = best
        if to is not best:
            to.owner, to.tokens, to.cells = owner, "", []
            if best:
                to.tokens, to.cells = best.tokens, best.cells
        to.keep(n)
        return to, n

    def touch(self, slot):
        self.clock += 1
        slot.used = self.clock

    def ask(self, owner, prompt, answer):
        """How many tokens come out of the cache; `answer` has those that are computed too."""
        to, cached = self.place(owner, prompt)
        self.touch(to)
        todo = prompt + answer
        while len(to.tokens) < len(todo):
            at = len(to.tokens)
            n = min(self.batch, len(prompt) - at) if at < len(prompt) else 1
            while len(set().union(*(s.cells for s in self.slots))) + n > self.most:
                idle = [s for s in self.slots if s is not to and s.tokens]
                min(idle, key=lambda s: s.used).keep(0)
                self.evictions += 1
            to.cells = to.cells + list(range(self.next_cell, self.next_cell + n))
            self.next_cell += n
            to.tokens = todo[:at + n]
            self.touch(to)
        return cached


def one_at_a_time(server, seed, turns, slots, context, batch):
    """Each answer's cached_tokens is what the model of the slots says."""
    model = Slots(slots, context, batch)
    talkers = [Talker(f"{seed}/{i}", systems(seed), context) for i in range(3)]
    here, r = Connection(server), random.Random(seed)
    counts = collections.Counter()
    for i in range(turns):
        talker = r.choice(talkers)
        turn = talker.next()
        body = {k: v for k, v in turn.body.items()
                if k not in ("n", "stop", "stream", "stream_options")}
        owner = OWNERS[talkers.index(talker) % 2]
        status, got = here.ask(turn.path, body, owner)
        if len(turn.tokens) >= context:
            assert status == 400
            continue
        assert status == 200, got
        (text, why, told), = said(got)
        answer = "".join(t for t, _, _ in told)
        # The last token is computed where it must be known that the end follows it.
        want = model.ask(owner, turn.tokens, answer if why == "stop" else answer[:-1])
        cached = got["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert cached == want, f"seed {seed}, turn {i}, {turn.kind}: {cached}, not {want}\n{body}"
        counts.update(cached=cached, prompt=len(turn.tokens), used_again=cached > 0)
        talker.heard(turn, text)
    return {**counts, "evictions": model.evictions}


# ---- with the cache and without ----

class Differs(AssertionError):
    pass


class Equality:
    """`cached` answers many at once; `alone` one at a time and without a cache. `bound`: how
    far two logprobs of one token may be apart, and how near two tokens must be for either to
    be said. 0, for the exact model: not at all, and its tokens are counted too."""

    def __init__(self, cached, alone, seed, bound=0, context=CONTEXT):
        self.cached, self.alone, self.bound = cached, alone, bound
        self.is_exact = bound == 0
        self.seed, self.context = seed, context
        self.known = Known()
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.furthest = 0
        self.systems = systems(seed)

    def client(self, number, turns):
        owner = OWNERS[number % len(OWNERS)]
        talker = Talker(f"{self.seed}/{number}", self.systems, self.context)
        here, there = Connection(self.cached), Connection(self.alone)
        for i in range(turns):
            turn = talker.next()
            try:
                text = self.turn(turn, owner, here, there)
            except Exception as e:
                raise Differs(f"seed {self.seed}, client {number}, turn {i}, {turn.kind}: {e!r}\n"
                              f"{turn.path} {json.dumps(turn.body)}") from e
            talker.heard(turn, text)

    def count(self, **more):
        with self.lock:
            self.counts.update(more)

    def turn(self, turn, owner, here, there):
        self.count(**{turn.kind: 1}, turns=1)
        asked = {k: v for k, v in turn.body.items() if k not in ("stream", "stream_options")}
        status, want = there.ask(turn.path, {**asked, "cache_prompt": False})
        if self.is_exact and len(turn.tokens) >= self.context:
            got_status, got = here.ask(turn.path, turn.body, owner)
            assert status == got_status == 400, (status, got_status)
            assert got["error"]["code"] == want["error"]["code"] == "context_length_exceeded"
            return None
        assert status == 200, want
        assert not self.is_exact or want["usage"]["prompt_tokens"] == len(turn.tokens)
        assert want["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        answer = "".join(t for t, _, _ in said(want)[0][2])
        if "stop" in asked:  # what it may have gone on to before it was stopped
            del asked["stop"]
            _, longer = there.ask(turn.path, {**asked, "n": 1, "cache_prompt": False})
            answer = "".join(t for t, _, _ in said(longer)[0][2])
        self.known.add(owner, turn.tokens + answer)
        if turn.kind == "leave":
            self.leave(turn, owner)
            return None
        status, got = here.ask(turn.path, turn.body, owner)
        assert status == 200, got
        most = self.known.longest(owner, turn.tokens, turn.tokens + answer)
        most = min(most, len(turn.tokens) - 1)
        return self.compare(want, got, most if self.is_exact else float("inf"))

    def compare(self, want, got, most):
        cached = got["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert cached <= most, f"{cached} tokens from the cache, {most} were ever there"
        self.count(cached=cached, prompt=want["usage"]["prompt_tokens"],
                   answers=len(want["choices"]))
        same = True
        for x, y in zip(said(want), said(got), strict=True):
            same &= self.compare_choice(x, y)
        if same:
            assert got["usage"]["completion_tokens"] == want["usage"]["completion_tokens"]
        assert got["usage"]["prompt_tokens"] == want["usage"]["prompt_tokens"]
        return said(got)[0][0]

    def compare_choice(self, want, got):
        for a, b in zip(want[2], got[2]):
            if a[0] != b[0]:
                tie = max(a[2], b[2])
                assert tie <= self.bound, f"{b} where {a} was expected"
                self.count(near_ties=1)
                return False
            self.furthest = max(self.furthest, abs(a[1] - b[1]))
            assert abs(a[1] - b[1]) <= self.bound, f"{b} where {a} was expected"
        if len(want[2]) != len(got[2]) and self.bound:
            self.count(near_ties=1)  # one of them ended
            return False
        assert want[:2] == got[:2] and len(want[2]) == len(got[2]), (want, got)
        return True

    def leave(self, turn, owner):
        """Goes before the answer, after its first chunk, or later."""
        c = Connection(self.cached)
        c.send_json(turn.path, turn.body, owner)
        n = len(turn.tokens) % 4
        if n:
            r = c.getresponse()
            assert r.status == 200
            for _, _ in zip(range(n), chunks(r)):
                pass
        c.close()

    def run(self, clients, turns):
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            for done in [pool.submit(self.client, i, turns) for i in range(clients)]:
                done.result()
        end = time.monotonic() + 60
        while self.cached.metric("running") or self.cached.metric("queued"):
            assert time.monotonic() < end, "places are not given back"
        return {"seconds": round(time.monotonic() - began), "seed": self.seed,
                "furthest": self.furthest, **dict(sorted(self.counts.items()))}


def servers(folder, model, *args, context=CONTEXT, batch=BATCH):
    """One with the cache, small enough that places and cells run out, and one that has a
    request alone."""
    for name, slots in (("cached", SLOTS), ("alone", 1)):
        (pathlib.Path(folder) / name).mkdir()
        yield Llama(pathlib.Path(folder) / name, model, "--ctx-size", context, "--parallel", slots,
                    "--batch-size", batch, "--threads", 1, "--log-level", "error", *args)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--clients", type=int, default=8)
    p.add_argument("--turns", type=int, default=1000)
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder) / "exact.gguf"
        make_exact(model)
        cached, alone = servers(folder, model)
        try:
            print("seed", o.seed, flush=True)
            print(json.dumps(Equality(cached, alone, o.seed).run(o.clients, o.turns), indent=1))
        finally:
            cached.stop()
            alone.stop()


if __name__ == "__main__":
    main()
