"""modeld and its engine against llama-server (built from the same source: make bench
ARGS=--llama-server) and against a bare loop over libllama: one stream's pace, and a cold model
to its first token."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from bench import (BUILD, ROOT, ROUNDS, TEXT_GGUF, alternate, free_port, modeld, rss_mib, running,
                   table)
from load import wait_healthy

SERVER = ROOT / "build" / "llama" / "source" / "bin" / "llama-server"
THREADS = len(os.sched_getaffinity(0))
CONTEXT = 4096
TOKENS = 128
PROMPT = [{"role": "user", "content": "Write a long story about a ship and the sea."}]


def stream(port, model, tokens, path="/v1/chat/completions"):
    """(time to the first token, tokens a second after it)."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    began = time.monotonic()
    c.request("POST", path, json.dumps({
        "model": model, "messages": PROMPT, "max_tokens": tokens, "temperature": 0,
        "stream": True, "ignore_eos": True}), {"Content-Type": "application/json"})
    first = last = None
    n = 0
    r = c.getresponse()
    if r.status != 200:
        raise SystemExit(r.read())
    for line in r:
        if line.startswith(b"data: {") and b'"content":"' in line.replace(b": ", b":") \
                and b'"content":""' not in line:
            last = time.monotonic()
            first = first or last
            n += 1
    c.close()
    return first - began, (n - 1) / (last - first)


def llama_server(port):
    return [SERVER, "--model", TEXT_GGUF, "--port", port, "--ctx-size", CONTEXT, "--threads",
            THREADS, "--no-webui", "--jinja"]


def own_server(port):
    return [BUILD / "modeld-llama", "--model", TEXT_GGUF, "--listen", f"127.0.0.1:{port}",
            "--ctx-size", CONTEXT, "--threads", THREADS]


def resident(pid):
    """After a moment without work, in which modeld-llama gives memory back."""
    time.sleep(2)
    return f"{rss_mib(pid):.0f} MiB"


def bare_loop():
    out = subprocess.run([str(BUILD / "llama_loop"), str(TEXT_GGUF), str(TOKENS), str(THREADS)],
                         capture_output=True, text=True, check=True).stdout
    return float(re.findall(r"[\d.]+", out)[-1])


def pace():
    with contextlib.ExitStack() as stack:
        cases, pids, idle = {}, {}, {}
        if (BUILD / "llama_loop").exists():
            cases["bare loop over libllama"] = bare_loop
        commands = {"modeld-llama": own_server}
        if SERVER.exists():
            commands["llama-server"] = llama_server
        for name, command in commands.items():
            port = free_port()
            pids[name] = stack.enter_context(running(command(port))).pid
            wait_healthy(port)
            idle[name] = resident(pids[name])
            stream(port, "m", 8)
            cases[name] = lambda port=port: stream(port, "m", TOKENS)[1]
        got = alternate(cases)
        base = got.get("llama-server")
        table(f"One stream, {TOKENS} tokens, {THREADS} threads",
              ["", "tokens/s", "of llama-server", "resident memory, idle", "after"],
              [[n, f"{v:.1f}", f"{v / base:.2f}" if base else "-",
                idle.get(n, "-"), resident(pids[n]) if n in pids else "-"]
               for n, v in got.items()])


def touch_memory():
    """A virtual machine's host may have taken its free memory back, and gives it again page by
    page, a millisecond or more each MiB: whoever starts first would pay that."""
    subprocess.run([sys.executable, "-c", """
import mmap
m = mmap.mmap(-1, 1 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.madvise(mmap.MADV_HUGEPAGE)
for i in range(0, len(m), 4096):
    m[i] = 1
"""], check=True)


def cold_server(command):
    port = free_port()
    touch_memory()
    began = time.monotonic()
    with running(command(port)):
        wait_healthy(port)
        stream(port, "m", 2)
        return time.monotonic() - began


def cold():
    with tempfile.TemporaryDirectory() as folder:
        with modeld(f"{folder}/store") as (_, port, _):
            subprocess.run([str(BUILD / "docker-model"), "package", "--gguf", str(TEXT_GGUF), "m"],
                           env={**os.environ, "MODEL_RUNNER_HOST": f"http://127.0.0.1:{port}"},
                           check=True, capture_output=True)

            def through_modeld():
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                c.request("POST", "/engines/unload", '{"all": true}')
                c.getresponse().read()
                end = time.monotonic() + 10
                while time.monotonic() < end and subprocess.run(
                        ["pgrep", "-x", "modeld-llama"], capture_output=True).stdout:
                    time.sleep(0.01)
                touch_memory()
                return stream(port, "m", 2)[0]

            cases = {"modeld, model not in memory": through_modeld,
                     "modeld-llama, from its start": lambda: cold_server(own_server)}
            if SERVER.exists():
                cases["llama-server, from its start"] = lambda: cold_server(llama_server)
            got = alternate(cases)
    base = got.get("llama-server, from its start")
    table("A cold model (its file in the page cache) to the first token",
          ["", "ms", "of llama-server"],
          [[n, f"{v * 1e3:.0f}", f"{v / base:.2f}" if base else "-"] for n, v in got.items()])


print(f"\n{ROUNDS} rounds, medians")
pace()
cold()
