"""modeld-llama by itself, on a Unix or TCP socket, with the real models.

MODELD_LLAMA, TEXT_GGUF and EMBED_GGUF name other files than those in build/."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess

import gguf
import httpx
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MODELD_BUILD", ROOT / "build" / "release"))
LLAMA = pathlib.Path(os.environ.get("MODELD_LLAMA", BUILD / "modeld-llama"))
MODELS = ROOT / "build" / "models"
TEXT_GGUF = pathlib.Path(os.environ.get(
    "TEXT_GGUF", MODELS / "SmolLM2-135M-Instruct-Q4_1.gguf"))
EMBED_GGUF = pathlib.Path(os.environ.get(
    "EMBED_GGUF", MODELS / "all-MiniLM-L6-v2-F16.gguf"))


class Llama:
    """A running modeld-llama. `ready` is its ready event."""

    def __init__(self, folder, model, *args, listen=None, preexec_fn=None):
        self.folder = pathlib.Path(folder)
        self.listen = listen or f"unix:{self.folder / 'llama.sock'}"
        self.log_path = self.folder / "log"
        self.events, theirs = socket.socketpair()
        self.events.settimeout(120)
        self.lines = self.events.makefile("r")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(LLAMA), "--model", str(model), "--listen", self.listen,
                 "--events-fd", str(theirs.fileno()), *map(str, args)],
                stdout=log, stderr=log, pass_fds=[theirs.fileno()], preexec_fn=preexec_fn)
        theirs.close()
        self.told = []
        self.ready = None
        for line in self.lines:
            self.told.append(json.loads(line))
            if self.told[-1]["event"] in ("ready", "failed"):
                break
        if self.told and self.told[-1]["event"] == "ready":
            self.ready = self.told[-1]
            self.http = self.client()

    def client(self):
        if self.listen.startswith("unix:"):
            return httpx.Client(transport=httpx.HTTPTransport(uds=self.listen[5:]),
                                base_url="http://llama", timeout=120)
        port = re.search(r"ready address=\S+ port=(\d+)", self.log()).group(1)
        return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def event(self):
        """The next event; None at the end."""
        line = self.lines.readline()
        return json.loads(line) if line else None

    def post(self, path, **body):
        return self.http.post(path, json=body)

    def chat(self, text="Say hello.", **body):
        body.setdefault("messages", [{"role": "user", "content": text}])
        body.setdefault("temperature", 0)
        body.setdefault("max_tokens", 16)
        return self.post("/v1/chat/completions", **body)

    def stream(self, path, **body):
        """The chunks of a streamed answer; checks its framing."""
        body["stream"] = True
        chunks, done = [], False
        with self.http.stream("POST", path, json=body) as r:
            assert r.status_code == 200, r.read()
            assert r.headers["content-type"].startswith("text/event-stream")
            for line in r.iter_lines():
                if not line or line.startswith(":"):
                    continue
                assert line.startswith("data: ") and not done
                done = line == "data: [DONE]"
                if not done:
                    chunks.append(json.loads(line[6:]))
        assert done
        return chunks

    def metric(self, name):
        for line in self.http.get("/metrics").text.splitlines():
            if line.startswith(f"modeld_llama_{name} "):
                return float(line.split()[1])
        raise KeyError(name)

    def stop(self, expect=0):
        # One that failed ends by itself.
        if self.ready and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.events.close()
        assert code == expect, f"exit status {code}: {self.log()}"
        assert "Sanitizer" not in self.log() and "runtime error" not in self.log()


def launch(tmp_path_factory, model, *args, **kw):
    if not LLAMA.exists() or (model in (TEXT_GGUF, EMBED_GGUF) and not model.exists()):
        pytest.fail(f"{LLAMA} or {model} is missing: run `make test`, which brings it")
    return Llama(tmp_path_factory.mktemp("llama"), model, *args, **kw)


def bert_states(path, ids):
    """BERT's forward pass in numpy, from the weights in the GGUF file: a row a token."""
    t = {x.name: np.array(x.data, dtype=np.float32)
         for x in gguf.GGUFReader(path).tensors}

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * t[name + ".weight"] + t[name + ".bias"]

    def linear(x, name):
        return x @ t[name + ".weight"].T + t[name + ".bias"]

    def heads(x):
        return x.reshape(len(x), 12, 32).transpose(1, 0, 2)

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))

    x = norm(t["token_embd.weight"][ids] + t["position_embd.weight"][:len(ids)]
             + t["token_types.weight"][0], "token_embd_norm")
    for i in range(6):
        b = f"blk.{i}."
        q, k, v = (heads(linear(x, b + "attn_" + n)) for n in "qkv")
        s = q @ k.transpose(0, 2, 1) / np.sqrt(32)
        s = np.exp(s - s.max(-1, keepdims=True))
        a = (s / s.sum(-1, keepdims=True)) @ v
        a = a.transpose(1, 0, 2).reshape(len(x), 384)
        x = norm(x + linear(a, b + "attn_output"), b + "attn_output_norm")
        x = norm(x + linear(gelu(linear(x, b + "ffn_up")), b + "ffn_down"),
                 b + "layer_output_norm")
    return x


def copy_gguf(source, path, but=(), instead=()):
    """A writer with all that is in `source`, but for these keys and with these tensors
    {name: array} in place of its own, to be added to and finished."""
    source = gguf.GGUFReader(source)
    out = gguf.GGUFWriter(path, source.fields["general.architecture"].contents())
    for name, field in source.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", *but):
            continue
        kind, sub = field.types[0], field.types[-1] if len(field.types) > 1 else None
        out.add_key_value(name, field.contents(), kind, sub)
    for t in source.tensors:
        if t.name in instead:
            out.add_tensor(t.name, instead[t.name])
        else:
            out.add_tensor(t.name, np.array(t.data), raw_dtype=t.tensor_type)
    return out


def finish_gguf(out):
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def make_infiller(path):
    """The chat model, some of whose unused marks mean what fill-in models' marks do."""
    out = copy_gguf(TEXT_GGUF, path)
    for name, token in zip(("fim_pre", "fim_suf", "fim_mid"), INFILL_MARKS):
        out.add_uint32(f"tokenizer.ggml.{name}_token_id", token)
    finish_gguf(out)


INFILL_MARKS = (3, 4, 5)


def make_ranker(path):
    """all-MiniLM-L6-v2 with a head for ranking, of fixed random weights: a real BERT, and an
    order that only numpy can tell beforehand."""
    out = copy_gguf(EMBED_GGUF, path, ("bert.pooling_type",))
    out.add_pooling_type(gguf.PoolingType.RANK)
    random = np.random.default_rng(7)
    for name, shape in (("cls.weight", (384, 384)), ("cls.bias", (384,)),
                        ("cls.output.weight", (1, 384)), ("cls.output.bias", (1,))):
        out.add_tensor(name, random.normal(0, 0.2, shape).astype(np.float32))
    finish_gguf(out)


@pytest.fixture(scope="session")
def ranker_gguf(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranker") / "ranker.gguf"
    make_ranker(path)
    return path


@pytest.fixture(scope="session")
def ranker(tmp_path_factory, ranker_gguf):
    m = launch(tmp_path_factory, ranker_gguf, "--alias", "ranker")
    yield m
    m.stop()


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """The chat model, with a context small enough to be filled by tests."""
    m = launch(tmp_path_factory, TEXT_GGUF, "--ctx-size", 2048, "--alias", "smollm2")
    yield m
    m.stop()


@pytest.fixture(scope="session")
def embedder(tmp_path_factory):
    m = launch(tmp_path_factory, EMBED_GGUF, "--alias", "minilm")
    yield m
    m.stop()


@pytest.fixture
def spawn(tmp_path_factory):
    """spawn(model, *args) gives a Llama of one's own; stopped at the end."""
    started = []

    def begin(model=TEXT_GGUF, *args, **kw):
        started.append(launch(tmp_path_factory, model, *args, **kw))
        return started[-1]

    yield begin
    for m in started:
        if m.process.returncode is None:
            m.stop()
