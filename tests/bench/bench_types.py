"""What the type of the weights does: modeld-llama against llama-server on a model of the shape of
Llama 3.2 1B with half its layers, random weights and SmolLM2's words, in types that users have
(make bench ARGS='--llama-server types'). Makes its models in build/bench."""

import contextlib
import os
import subprocess
import time

import gguf
import numpy as np

from bench import BUILD, ROOT, TEXT_GGUF, alternate, free_port, running, table
from load import post, together, wait_healthy

SERVER = ROOT / "build" / "llama" / "source" / "bin" / "llama-server"
FOLDER = ROOT / "build" / "bench"
THREADS = len(os.sched_getaffinity(0))
WIDTH, LAYERS, FEED, HEADS, KV_HEADS, WORDS = 2048, 8, 8192, 32, 8, 49152
# llama.cpp's numbers of them (enum llama_ftype)
TYPES = {"Q4_0": 2, "Q8_0": 7, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18}


def make_model(path):
    w = gguf.GGUFWriter(path, "llama")
    for f in gguf.GGUFReader(TEXT_GGUF).fields.values():
        if f.name.startswith("tokenizer."):
            add = w.add_array if f.types[0] == gguf.GGUFValueType.ARRAY else \
                lambda name, value, kind=f.types[0]: w.add_key_value(name, value, kind)
            add(f.name, f.contents())
    w.add_context_length(8192)
    w.add_embedding_length(WIDTH)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(FEED)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_dimension_count(WIDTH // HEADS)
    w.add_file_type(1)
    rng = np.random.default_rng(1)

    def tensor(name, rows, columns=WIDTH):
        w.add_tensor(f"{name}.weight", (rng.standard_normal((rows, columns), dtype=np.float32)
                                        * columns ** -0.5).astype(np.float16))

    def norm(name):
        w.add_tensor(f"{name}_norm.weight", np.ones(WIDTH, np.float32))

    tensor("token_embd", WORDS)
    norm("output")
    for i in range(LAYERS):
        b = f"blk.{i}."
        norm(b + "attn")
        norm(b + "ffn")
        for name in "attn_q", "attn_output":
            tensor(b + name, WIDTH)
        for name in "attn_k", "attn_v":
            tensor(b + name, WIDTH // HEADS * KV_HEADS)
        for name in "ffn_gate", "ffn_up":
            tensor(b + name, FEED)
        tensor(b + "ffn_down", WIDTH, FEED)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def model(kind):
    FOLDER.mkdir(exist_ok=True)
    whole, path = FOLDER / "F16.gguf", FOLDER / f"{kind}.gguf"
    if not path.exists():
        if not whole.exists():
            make_model(whole)
        part = path.with_suffix(".part")
        subprocess.run([BUILD / "bench_quantize", whole, part, str(TYPES[kind])], check=True,
                       stdout=subprocess.DEVNULL)
        part.rename(path)
    return path


def command(name, path, port):
    if name == "llama-server":
        return [SERVER, "--model", path, "--port", port, "--no-webui", "--parallel", 8]
    return [BUILD / "modeld-llama", "--model", path, "--listen", f"127.0.0.1:{port}",
            "--spec-type", "none"]  # what such a model says repeats itself


def complete(port, first, n_prompt, n_tokens):
    c, r = post(port, "/v1/completions", {
        "model": "m", "prompt": [first + i for i in range(n_prompt)], "max_tokens": n_tokens,
        "temperature": 0, "ignore_eos": True})
    r.read()
    c.close()
    return True


def seconds(jobs):
    began = time.monotonic()
    together(jobs)
    return time.monotonic() - began


class Cases:
    """Prompts begin with a token that none began with before."""

    def __init__(self, port):
        self.port = port
        self.first = 1000

    def ask(self, n_prompt, n_tokens):
        self.first += 1
        return lambda first=self.first: complete(self.port, first, n_prompt, n_tokens)

    def one(self):
        return 64 / seconds([self.ask(4, 64)])

    def eight(self):
        return 8 * 32 / seconds([self.ask(4, 32) for _ in range(8)])

    def prompt(self):
        return 512 / seconds([self.ask(512, 1)])


def main():
    names = ["modeld-llama"] + ["llama-server"] * SERVER.exists()
    rows = []
    for kind in TYPES:
        path = model(kind)
        with contextlib.ExitStack() as stack:
            runs = {}
            for name in names:
                port = free_port()
                stack.enter_context(running([*command(name, path, port), "--ctx-size", 8192,
                                             "--threads", THREADS]))
                wait_healthy(port)
                c = Cases(port)
                for case, run in (("1 stream", c.one), ("8 streams", c.eight),
                                  ("a prompt of 512", c.prompt)):
                    runs[case, name] = run
            got = alternate(runs)
        for case in "1 stream", "8 streams", "a prompt of 512":
            both = [got[case, name] for name in names]
            rows.append([kind, case, *(f"{v:.1f}" for v in both),
                         f"{both[0] / both[1]:.2f}" if len(both) > 1 else "-"])
    table(f"Types of weights, tokens/s ({THREADS} threads)",
          ["type", "work", *names, "ratio"], rows)


if __name__ == "__main__":
    main()
