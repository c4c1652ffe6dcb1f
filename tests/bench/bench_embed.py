"""Embeddings: modeld-llama against llama-server (make bench ARGS=--llama-server). 256 short texts
in one request, and in 256 requests by 16 clients."""

import contextlib
import os
import time

from bench import BUILD, ROOT, ROUNDS, alternate, free_port, rss_mib, running, table
from load import post, together, wait_healthy, words

SERVER = ROOT / "build" / "llama" / "source" / "bin" / "llama-server"
GGUF = ROOT / "build" / "models" / "all-MiniLM-L6-v2-F16.gguf"
THREADS = len(os.sched_getaffinity(0))
TEXTS = [words(i, 12) for i in range(256)]
COMMANDS = {
    "modeld-llama": [BUILD / "modeld-llama", "--model", GGUF, "--alias", "m", "--listen"],
    "llama-server": [SERVER, "--model", GGUF, "--alias", "m", "--embeddings", "--parallel", 64,
                     "--ctx-size", 16384, "--no-webui", "--port"],
}


def embed(port, texts):
    c, r = post(port, "/v1/embeddings", {"model": "m", "input": texts})
    r.read()
    c.close()
    return True


def in_one(port):
    began = time.monotonic()
    embed(port, TEXTS)
    return (time.monotonic() - began) * 1e3


def by_clients(port):
    began = time.monotonic()
    together([lambda i=i: [embed(port, text) for text in TEXTS[i::16]] for i in range(16)])
    return (time.monotonic() - began) * 1e3


def main():
    with contextlib.ExitStack() as stack:
        cases, pids = {}, {}
        for name, command in COMMANDS.items():
            if not command[0].exists():
                continue
            port = free_port()
            where = port if name == "llama-server" else f"127.0.0.1:{port}"
            pids[name] = stack.enter_context(
                running([*command, where, "--threads", THREADS])).pid
            wait_healthy(port)
            for label, run in ("in one request", in_one), ("by 16 clients", by_clients):
                cases[label, name] = lambda run=run, port=port: run(port)
        got = alternate(cases)
        rows = []
        for label in ("in one request", "by 16 clients"):
            ms = {name: got[label, name] for name in pids}
            rows.append([f"256 texts {label}, ms", *(f"{v:.0f}" for v in ms.values()),
                         f"{ms['llama-server'] / ms['modeld-llama']:.2f}"
                         if "llama-server" in ms else "-"])
        rows.append(["resident memory after, MiB",
                     *(f"{rss_mib(pid):.0f}" for pid in pids.values()), ""])
    table(f"Embeddings ({ROUNDS} rounds, {THREADS} threads)",
          ["", *pids, "times as fast"], rows)


if __name__ == "__main__":
    main()
