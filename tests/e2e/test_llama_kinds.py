"""Every kind of memory that models have (attention, a sliding window, a recurrent state, both):
prompts go on from what is there already, in a place or in host memory, and answer as without."""

import concurrent.futures
import json
import random
import subprocess

import pytest

from conftest import BUILD, eventually
from kinds_fixtures import KINDS, kinds  # noqa: F401
from llama_fixtures import TEXT_GGUF, spawn  # noqa: F401

TEXT = "/v1/completions"
PROBE = BUILD / "state_probe"
MIB = 1 << 20
# A prompt's last tokens, before which a part of a state is kept.
TAIL = 8
# Batches of other shapes move the logarithm of a probability by less than 0.02 in these models;
# other histories move it by whole numbers.
NEAR = 0.1


def letters(seed, n):
    r = random.Random(seed)
    return "".join(r.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
                   for _ in range(n))


class Answer:
    def __init__(self, r):
        assert r.status_code == 200, r.text
        j = r.json()
        self.text = j["choices"][0]["text"]
        self.lines = j["choices"][0]["logprobs"]
        self.n_prompt = j["usage"]["prompt_tokens"]
        self.n_made = j["usage"]["completion_tokens"]
        self.cached = j["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert j["timings"]["cache_n"] == self.cached
        assert j["timings"]["prompt_n"] == self.n_prompt - self.cached


def ask(m, prompt, owner=None, made=12, **body):
    """A token a letter, and one before them."""
    a = Answer(m.http.post(TEXT, headers={"Modeld-Cache-Id": owner} if owner else {}, json={
        "prompt": prompt, "max_tokens": made, "temperature": 0, "ignore_eos": True, "logprobs": 2,
        **body}))
    assert a.n_prompt == 1 + len(prompt)
    return a


def is_like(a, b):
    """Do they say the same, as surely? Where two tokens are as likely, they may part."""
    for i, (x, y) in enumerate(zip(a.lines["token_logprobs"], b.lines["token_logprobs"])):
        if a.lines["tokens"][i] != b.lines["tokens"][i]:
            first, second = sorted(a.lines["top_logprobs"][i].values())[::-1][:2]
            return first - second < NEAR
        if abs(x - y) > NEAR:
            return False
    return True


def check(m, a, prompt):
    """What it answered is what it answers when it computes everything."""
    b = ask(m, prompt, made=a.n_made, cache_prompt=False)
    assert b.cached == 0 and is_like(a, b), (a.lines, b.lines)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def start(spawn, kinds, kind):
    """start(*args): batches are small, so that windows move on within a test; and a second
    thread only makes such models slower."""
    def begin(*args, slots=4):
        return spawn(kinds[kind], "--ctx-size", 4096, "--batch-size", 64, "--parallel", slots,
                     "--threads", 1, *args)
    return begin


def test_another_history_gives_another_answer(start):
    """Else the other tests would not notice a state that is wrong."""
    m = start()
    end = letters(9, 20)
    assert not is_like(ask(m, letters(1, 300) + end), ask(m, letters(2, 300) + end))


def test_states_come_back_as_they_went(kinds, kind):
    r = subprocess.run([PROBE, kinds[kind]], capture_output=True, text=True, timeout=120)
    assert r.returncode == 0, r.stderr
    got = json.loads(r.stdout)
    assert got["whole_same"] and got["parts_same"], got
    assert got["cells"] == got["held"] > 300 and got["whole_bytes"] > 0
    assert (got["parts"] > 0) == (kind != "plain"), got


def test_a_conversation_goes_on_where_it_was(start):
    m = start()
    prompt, held = letters(1, 300), 0
    for turn in range(6):
        a = ask(m, prompt, made=40)
        assert a.cached == held, turn
        check(m, a, prompt)
        held = a.n_prompt + a.n_made - 1  # the last token was never put in
        prompt += a.text + letters(100 + turn, 70)


def test_the_same_prompt_again(start, kind):
    m = start(slots=1)
    prompt = letters(2, 600)
    one = ask(m, prompt, made=300)
    two = ask(m, prompt, made=300)
    # Its window has gone on by then.
    assert two.cached == (one.n_prompt - 1 if kind == "plain" else one.n_prompt - TAIL)
    assert is_like(one, two)


def test_a_last_message_that_is_changed(start, kind):
    m = start()
    one = ask(m, letters(3, 200), made=400)
    before = letters(3, 200) + one.text
    first = ask(m, before + "A" + letters(4, 300))
    assert first.cached == one.n_prompt + one.n_made - 1
    again = ask(m, before + "B" + letters(5, 300))
    # The answer's last token was computed with the first message only.
    assert again.cached == one.n_prompt + one.n_made - (kind != "plain")
    check(m, again, before + "B" + letters(5, 300))


def test_prompts_that_begin_alike_are_computed_once(start):
    """Eight at once; and then again, when the first are gone."""
    m = start(slots=8)
    shared = letters(6, 400)
    prompts = [shared + mark + letters(i, 60) for i, mark in enumerate("ABCDEFGH")]
    r = m.post(TEXT, prompt=prompts, max_tokens=8, temperature=0, ignore_eos=True,
               logprobs=2).json()
    # The last few of them are sooner computed than waited for.
    cached = r["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert 7 * (len(shared) - 31) < cached <= 7 * (1 + len(shared))
    whole = [ask(m, p, made=8, cache_prompt=False) for p in prompts]
    assert [c["text"] for c in r["choices"]] == [w.text for w in whole]
    for i, mark in enumerate("IJ"):
        prompt = shared + mark + letters(20 + i, 60)
        a = ask(m, prompt)
        assert a.cached == 1 + len(shared)
        check(m, a, prompt)


def test_one_begins_like_another_that_goes_on(start, kind):
    m = start()
    prompt = letters(7, 400)
    with m.client() as c, c.stream("POST", TEXT, json={
            "prompt": prompt, "max_tokens": 3000, "ignore_eos": True, "stream": True}) as r:
        lines = r.iter_lines()  # kept: httpx ends the answer with its generator
        next(lines)
        a = ask(m, prompt)
        assert m.metric("running") == 1
        assert a.cached in ((len(prompt),) if kind == "plain" else
                            (len(prompt), 1 + len(prompt) - TAIL))
        b = ask(m, prompt + letters(8, 100))
        assert b.cached >= 1 + len(prompt) - TAIL
    check(m, a, prompt)
    check(m, b, prompt + letters(8, 100))


def is_new(held, a):
    """All texts begin with the same token, and some with the same letter or two."""
    return held == 0 and a.cached <= 4


def talk(m, i, turns=4):
    """A conversation of one's own; gives what came of each turn."""
    prompt, told = letters(1000 + i, 250), []
    for turn in range(turns):
        a = ask(m, prompt, owner=f"caller-{i % 3}", made=24)
        told.append((prompt, a))
        prompt += a.text + letters(2000 + 10 * i + turn, 60)
    return told


def test_eight_conversations_at_once(start):
    m = start(slots=8)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda i: talk(m, i), range(8)))
    for turns in told:
        held = 0
        for prompt, a in turns:
            assert a.cached == held or is_new(held, a)
            check(m, a, prompt)
            held = a.n_prompt + a.n_made - 1


def test_conversations_that_lost_their_place_come_back(start):
    """Nine, and two places: each loses its own between two turns."""
    m = start(slots=2)
    told = {i: ("", None) for i in range(9)}
    for turn in range(3):
        for i, (prompt, a) in told.items():
            if a:
                prompt += a.text + letters(10 * i + turn, 60)
            else:
                prompt = letters(1000 + i, 250)
            held = a.n_prompt + a.n_made - 1 if a else 0
            a = ask(m, prompt, made=24)
            assert a.cached == held or is_new(held, a), (turn, i)
            told[i] = prompt, a
    assert m.metric("restored_states_total") >= 18
    for prompt, a in told.values():
        check(m, a, prompt)


def test_what_is_in_memory_is_its_owners(start):
    m = start(slots=1)
    secret = letters(11, 500)
    one = ask(m, secret, owner="uid:1000")
    ask(m, letters(12, 500), owner="uid:1001")
    assert m.metric("kept_states") > 0
    for other in ("uid:100", "UID:1000", None):
        assert ask(m, secret + "x", owner=other).cached == 0
    assert ask(m, secret + "x", owner="uid:1001").cached <= 1  # all begin with the same token
    again = ask(m, secret + one.text + "x", owner="uid:1000")
    assert again.cached == one.n_prompt + one.n_made - 1


def test_a_ceiling_of_memory_holds(start):
    m = start("--cache-ram", 1, slots=2)
    most = 0
    prompts = [letters(3000 + i, 700) for i in range(30)]
    for i, prompt in enumerate(prompts):
        a = ask(m, prompt)
        most = max(most, m.metric("kept_bytes"))
        assert most <= MIB
        if i % 10 == 9:
            check(m, a, prompt)
    assert most > MIB / 2
    # The last come back, the first are gone.
    assert ask(m, prompts[-3] + "x").cached > 600
    assert ask(m, prompts[0] + "x").cached <= 1


def test_without_memory_a_conversation_still_goes_on(start):
    m = start("--cache-ram", 0, slots=1)
    prompt = letters(13, 300)
    one = ask(m, prompt)
    two = ask(m, prompt + one.text + letters(14, 50))
    assert two.cached == one.n_prompt + one.n_made - 1
    check(m, two, prompt + one.text + letters(14, 50))
    ask(m, letters(15, 300))
    assert ask(m, prompt).cached <= 1
    assert m.metric("kept_states_total") == m.metric("kept_bytes") == 0


def test_clients_that_leave_do_no_harm(start):
    """While a prompt is computed, with its parts, and while its answer is made."""
    m = start(slots=2)
    for i in range(6):
        body = {"prompt": letters(4000 + i // 2, 3000), "max_tokens": 900, "ignore_eos": True,
                "stream": True}
        with m.client() as c, c.stream("POST", TEXT, json=body) as r:
            if i % 2:
                next(r.iter_lines())
            else:
                eventually(lambda: m.metric("running") + m.metric("queued") > 0
                           or m.metric("generated_tokens_total") > 0)
        eventually(lambda: m.metric("running") == m.metric("queued") == 0)
        prompt = letters(4000 + i // 2, 3000)[:500 + 100 * i]
        check(m, ask(m, prompt), prompt)


def test_a_full_context_makes_room_by_memory(start):
    """Prompts whose cells do not fit together."""
    m = start(slots=4)
    prompts = [letters(5000 + i, 1300) for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda p: ask(m, p, made=30), prompts))
    for prompt, a in zip(prompts, told):
        check(m, a, prompt)
        again = ask(m, prompt + a.text + "x")
        assert again.cached in (a.n_prompt + a.n_made - 1, 0, 1)
        check(m, again, prompt + a.text + "x")


def test_a_real_models_states_come_back_as_they_went():
    r = subprocess.run([PROBE, TEXT_GGUF], capture_output=True, text=True, timeout=300)
    assert r.returncode == 0, r.stderr
    got = json.loads(r.stdout)
    assert got["whole_same"] and got["cells"] == got["held"] > 300, got
