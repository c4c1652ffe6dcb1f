"""What a request needs before its first token: it stops nobody else, and nobody need wait for it."""

import concurrent.futures as futures
import contextlib
import json
import socket

import pytest
from conftest import eventually
from llama_fixtures import EMBED_GGUF, TEXT_GGUF, spawn  # noqa: F401

CHAT = "/v1/chat/completions"
# It loops when it is told to, until it is stopped.
LOOPS = ("{% if messages[-1].content == 'go' %}{% for a in range(99999) %}{% for b in range(99999) %}"
         "{% endfor %}{% endfor %}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}")
# With that much to render, a template has seconds of processor time.
MUCH = "much text " * 200_000


def go(much=MUCH):
    return {"messages": [{"role": "user", "content": much}, {"role": "user", "content": "go"}],
            "max_tokens": 4}


def texts(n, characters):
    word = "The quick brown fox jumps over the lazy dog and runs away. "
    return [f"{i} {word * (characters // len(word))}" for i in range(n)]


def is_prepared(m):
    """Something is: nothing here waits for a place."""
    return m.metric("queued") > 0


@contextlib.contextmanager
def asked(m, path, body, owner=""):
    """A request that was sent; closed at the end, answered or not."""
    data = json.dumps(body).encode()
    s = socket.socket(socket.AF_UNIX)
    s.connect(m.listen[5:])
    s.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nModeld-Cache-Id: {owner}\r\n"
              f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
    with s:
        yield s


def status_of(s):
    return int(s.recv(100).split()[1])


@pytest.fixture
def looper(spawn, tmp_path):
    path = tmp_path / "t.jinja"
    path.write_text(LOOPS)
    return spawn(TEXT_GGUF, "--ctx-size", 1024, "--chat-template-file", path)


def test_a_stream_begins_and_ends_while_a_template_loops(looper):
    with asked(looper, CHAT, go()) as slow:
        eventually(lambda: is_prepared(looper))
        chunks = looper.stream("/v1/completions", prompt="Once", max_tokens=4, ignore_eos=True)
        assert len(chunks) >= 4
        assert is_prepared(looper)
        assert status_of(slow) == 422
    assert looper.metric("queued") == 0


def test_a_small_chat_does_not_wait_for_anothers_large_ones(looper):
    with contextlib.ExitStack() as all_of_them:
        for _ in range(3):
            all_of_them.enter_context(asked(looper, CHAT, go(), "much"))
        eventually(lambda: looper.metric("queued") == 3)
        assert looper.chat("hi", max_tokens=1).status_code == 200
        assert looper.metric("queued") >= 2
    eventually(lambda: not is_prepared(looper))


def test_short_texts_are_embedded_while_long_ones_are_counted(spawn):
    m = spawn(EMBED_GGUF)
    # A word that is looked for to its end, and then is one token; the last text is none, which
    # is found when all others are read.
    word = "quickbrownfox" * 1500 + "\N{GRINNING FACE}"
    with asked(m, "/v1/embeddings", {"input": [word] * 1000 + [1.5]}) as large:
        eventually(lambda: is_prepared(m))
        assert m.post("/v1/embeddings", input="hello").status_code == 200
        assert is_prepared(m)
        assert status_of(large) == 400


def test_a_long_prompt_is_refused_with_its_number_while_streams_go_on(spawn):
    m = spawn(TEXT_GGUF, "--ctx-size", 2048)
    long = "word " * 400_000
    with m.client() as c, c.stream("POST", CHAT, json={
            "messages": [{"role": "user", "content": "Tell a story."}], "stream": True,
            "max_tokens": 1500, "ignore_eos": True}) as story:
        lines = story.iter_lines()
        next(lines)
        with asked(m, "/v1/completions", {"prompt": long}) as refused:
            eventually(lambda: is_prepared(m))
            assert next(line for line in lines if line.startswith("data: "))
            assert status_of(refused) == 400
        assert any(line.startswith("data: ") for line in lines)


BODIES = {
    "chat": (CHAT, go("")),
    "template": ("/apply-template", go("")),
    "completion": ("/v1/completions", {"prompt": texts(100, 5000)}),
    "tokens": ("/tokenize", {"content": MUCH[:900_000]}),
    "tools": (CHAT, {**go(""), "messages": [{"role": "user", "content": "hi"}],
                     "response_format": {"type": "json_object"}, "n": 128}),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_client_that_leaves_meanwhile_is_forgotten(looper, name):
    path, body = BODIES[name]
    for i in range(6):
        with contextlib.ExitStack() as clients:
            for _ in range(5):
                clients.enter_context(asked(looper, path, body, f"caller {i % 2}"))
            if i % 2:
                eventually(lambda: is_prepared(looper) or looper.metric("running") > 0)
        eventually(lambda: not is_prepared(looper) and looper.metric("running") == 0)
    assert looper.chat("hi", max_tokens=1).status_code == 200


def test_a_client_that_leaves_its_texts_is_forgotten(spawn):
    m = spawn(EMBED_GGUF)
    body = {"input": texts(2048, 1000)}
    for i in range(6):
        with contextlib.ExitStack() as clients:
            for _ in range(3):
                clients.enter_context(asked(m, "/v1/embeddings", body))
            if i % 2:
                eventually(lambda: is_prepared(m))
        eventually(lambda: not is_prepared(m) and m.metric("running") == 0)
    assert m.post("/v1/embeddings", input="hello").status_code == 200


def test_many_at_once_have_their_own_answers(looper):
    """Templates, JSON and tokens of several requests at a time, of many callers."""
    def ask(i):
        text = f"{i} " * (1 + i * 37 % 300)
        if i % 3:
            got = looper.post("/apply-template", messages=[{"role": "user", "content": text}])
            return got.json()["prompt"] == text
        ids = looper.post("/tokenize", content=text).json()["tokens"]
        return looper.post("/detokenize", tokens=ids).json()["content"] == text

    with futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))


def test_sigterm_waits_for_what_is_prepared(looper):
    with asked(looper, CHAT, go("")) as slow:
        eventually(lambda: is_prepared(looper))
        looper.process.terminate()
        assert status_of(slow) == 422
    looper.process.wait(60)
    looper.stop()


def test_sigterm_ends_it_after_clients_left_their_requests(looper):
    with contextlib.ExitStack() as clients:
        for i in range(4):
            clients.enter_context(asked(looper, CHAT, go(""), f"caller {i}"))
        eventually(lambda: looper.metric("queued") >= 2)
    looper.stop()
