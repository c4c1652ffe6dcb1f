"""Many at once: modeld-llama against llama-server (make bench ARGS=--llama-server), same model,
threads and context. Distinct streams, a shared prefix, conversations, a long prompt that comes
between running answers, a core that another program keeps busy. Draws docs/streams.svg."""

import contextlib
import multiprocessing
import os
import statistics
import time

import chart
from bench import ROOT, ROUNDS, TEXT_GGUF, BUILD, free_port, rss_mib, running, table
from load import chat, pace, together, wait_healthy, words

SERVER = ROOT / "build" / "llama" / "source" / "bin" / "llama-server"
THREADS = len(os.sched_getaffinity(0))
SLOTS = 16
CONTEXT = 32768
STREAMS = (1, 2, 4, 8, 16)
COMMANDS = {
    "modeld-llama": [BUILD / "modeld-llama", "--model", TEXT_GGUF, "--alias", "m", "--listen"],
    "llama-server": [SERVER, "--model", TEXT_GGUF, "--alias", "m", "--no-webui", "--jinja",
                     "--cache-reuse", "256", "--port"],
}


def user(text):
    return [{"role": "user", "content": text}]


def seeds(*key):
    """Texts that no round has seen, the same ones for each server."""
    return "-".join(map(str, key))


def distinct(port, key, n, tokens=64):
    got = together([lambda i=i: chat(port, user(words(seeds(key, "d", n, i), 60)), tokens)
                    for i in range(n)])
    return pace(got), statistics.median(a.first for a in got) * 1e3


def shared_prefix(port, key):
    prefix = words(seeds(key, "prefix"), 1000)
    got = together([lambda i=i: chat(port, user(f"{prefix} {i} {words(i, 20)}"), 8)
                    for i in range(8)])
    return statistics.median(a.first for a in got) * 1e3


def conversation(port, key, who):
    messages, firsts = user(words(seeds(key, who, 0), 100)), []
    for turn in range(6):
        a = chat(port, messages, 24)
        firsts.append(a.first)
        messages += [{"role": "assistant", "content": a.text},
                     *user(words(seeds(key, who, turn + 1), 30))]
    return firsts


def conversations(port, key):
    got = together([lambda i=i: conversation(port, key, i) for i in range(8)])
    return statistics.median(t for firsts in got for t in firsts[1:]) * 1e3


def long_prompt(port, key):
    """(99th percentile of the four streams' token gaps, time to the long one's first token)."""
    def late():
        time.sleep(1)
        return chat(port, user(words(seeds(key, "long"), 2000)), 4)
    *streams, late = together(
        [lambda i=i: chat(port, user(words(seeds(key, "s", i), 30)), 400) for i in range(4)]
        + [late])
    gaps = sorted(gap for a in streams for t, gap in zip(a.at[1:], a.gaps)
                  if late.asked <= t <= late.at[0] + gap)
    return gaps[int(len(gaps) * 0.99)] * 1e3, late.first * 1e3


def spin():
    while True:
        pass


def beside_a_busy_core(port, key):
    other = multiprocessing.Process(target=spin, daemon=True)
    other.start()
    try:
        return distinct(port, seeds(key, "busy"), 1)[0]
    finally:
        other.kill()
        other.join()


def cases(port):
    for n in STREAMS:
        yield f"{n} streams, tokens/s", lambda key, n=n: distinct(port, key, n)
    yield "8 with a shared prefix of 1,000 tokens, p50 to first token, ms", \
        lambda key: (shared_prefix(port, key),)
    yield "8 conversations of 6 turns, p50 to first token, ms", \
        lambda key: (conversations(port, key),)
    yield "a prompt of 2,000 tokens beside 4 streams: their p99 gap, ms", \
        lambda key: long_prompt(port, key)
    yield "1 stream beside a busy core, tokens/s", \
        lambda key: (beside_a_busy_core(port, key),)


def measure(servers):
    """{case: {server: [medians]}}"""
    seen = {}
    for turn in range(ROUNDS):
        runs = [list(cases(port)) for port in servers.values()]
        for row in zip(*runs):
            for server, (case, run) in zip(servers, row):
                seen.setdefault(case, {}).setdefault(server, []).append(run(seeds("round", turn)))
    return {case: {server: [statistics.median(v) for v in zip(*values)]
                   for server, values in by.items()} for case, by in seen.items()}


def ratio(got, i):
    if "llama-server" not in got:
        return "-"
    return f"{got['modeld-llama'][i] / got['llama-server'][i]:.2f}"


def main():
    with contextlib.ExitStack() as stack:
        servers, pids = {}, {}
        for name, command in COMMANDS.items():
            if not command[0].exists():
                continue
            port = free_port()
            where = port if name == "llama-server" else f"127.0.0.1:{port}"
            p = stack.enter_context(running([
                *command, where, "--ctx-size", CONTEXT, "--parallel", SLOTS,
                "--threads", THREADS]))
            wait_healthy(port)
            servers[name], pids[name] = port, p.pid
        idle = {name: rss_mib(pid) for name, pid in pids.items()}
        got = measure(servers)
        after = {name: rss_mib(pid) for name, pid in pids.items()}
    rows = []
    for case, by in got.items():
        rows.append([case, *(f"{v[0]:.1f}" for v in by.values()), ratio(by, 0)])
        if "prompt of" in case:
            rows.append(["  and its own time to first token, ms",
                         *(f"{v[1]:.0f}" for v in by.values()), ratio(by, 1)])
    for what, mib in ("resident memory idle, MiB", idle), ("after these runs, MiB", after):
        rows.append([what, *(f"{v:.0f}" for v in mib.values()),
                     ratio({k: [v] for k, v in mib.items()}, 0)])
    table(f"Many at once ({ROUNDS} rounds, {THREADS} threads, {SLOTS} slots, "
          f"context {CONTEXT})", ["", *servers, "ratio"], rows)
    chart.draw(ROOT / "docs" / "streams.svg", STREAMS, [
        ("tokens/s of all streams", {s: [got[f"{n} streams, tokens/s"][s][0] for n in STREAMS]
                                     for s in servers}),
        ("ms to the first token, median", {s: [got[f"{n} streams, tokens/s"][s][1]
                                               for n in STREAMS] for s in servers})])


if __name__ == "__main__":
    main()
