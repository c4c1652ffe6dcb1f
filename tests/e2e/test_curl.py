"""curl, as the README shows it, over TCP on both loopback addresses and over the socket."""

import json
import subprocess

import pytest

from conftest import TEXT

ASK = {"model": TEXT, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5,
       "temperature": 0}


def curl(*args, **ask):
    r = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "60", *args,
                        "--header", "Content-Type: application/json", "--data", "@-"],
                       input=json.dumps({**ASK, **ask}), capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return r.stdout


@pytest.fixture(params=["127.0.0.1", "[::1]", "localhost", "socket"])
def where(request, modeld):
    if request.param == "socket":
        return ["--unix-socket", str(modeld.socket), "http://localhost/engines/v1/chat/completions"]
    return [f"http://{request.param}:{modeld.port}/engines/v1/chat/completions"]


def test_curl(where):
    answer = json.loads(curl(*where))
    assert answer["choices"][0]["message"]["content"]


def test_curl_streams(where):
    lines = [x for x in curl("--no-buffer", *where, stream=True).split("\n\n") if x]
    assert lines[-1] == "data: [DONE]"
    assert all(x.startswith("data: ") for x in lines)


def test_curl_sends_large_bodies_with_expect(where):
    """Above 1 MiB curl asks first: Expect: 100-continue."""
    answer = json.loads(curl("--header", "Expect: 100-continue", *where,
                             messages=[{"role": "user", "content": "x"}],
                             metadata={"pad": "y" * 2_000_000}))
    assert answer["choices"]
