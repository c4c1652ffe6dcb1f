"""Speculation: what the default (drafts looked up in the text, only where that pays) and a draft
model cost on text that hardly repeats itself (a small model at temperature 1; at temperature 0 it soon
does), and what they bring on text that does. Each number is the pace of one stream; all cases take
turns, each one first as often as the others, so that a noisy minute hits all. `accepted` is of all
tokens drafted in all rounds."""

import contextlib
import json
import os
import statistics

from bench import BUILD, ROUNDS, TEXT_GGUF, free_port, running, table
from load import post, wait_healthy, words

THREADS = len(os.sched_getaffinity(0))
TOKENS = int(os.environ.get("BENCH_TOKENS", "128"))
CASES = {
    "no drafts": ["--spec-type", "none"],
    "the default": [],
    "always, looked up": ["--spec-adaptive", "off"],
    "the model drafts for itself, where that pays": ["--model-draft", TEXT_GGUF],
}


def copying(key):
    """A text twice, and the beginning of its third time."""
    lines = words(key, 100)
    return f"{lines}\n{lines}\n{' '.join(lines.split()[:8])}"


def telling(key):
    return f"A story about {words(key, 20)}.\n\n"


TEXTS = [("a story at temperature 1", telling, 1), ("a story at temperature 0", telling, 0),
         ("a text once more", copying, 0)]


def complete(port, prompt, temperature=0):
    c, r = post(port, "/v1/completions", {
        "model": "m", "prompt": prompt, "max_tokens": TOKENS, "temperature": temperature,
        "seed": 1, "ignore_eos": True})
    t = json.loads(r.read())["timings"]
    c.close()
    return t["predicted_per_second"], t.get("draft_n", 0), t.get("draft_n_accepted", 0)


def main():
    seen = {}
    with contextlib.ExitStack() as stack:
        ports = {}
        for name, args in CASES.items():
            port = ports[name] = free_port()
            stack.enter_context(running([
                BUILD / "modeld-llama", "--model", TEXT_GGUF, "--listen", f"127.0.0.1:{port}",
                "--ctx-size", 4096, "--threads", THREADS, *args]))
            wait_healthy(port)
            complete(port, telling(name))  # nobody's first answer is measured
        for turn in range(ROUNDS):
            for title, text, temperature in TEXTS:
                names = list(ports)
                for name in names[turn % len(names):] + names[:turn % len(names)]:
                    seen.setdefault((title, name), []).append(
                        complete(ports[name], text(turn), temperature))
    rows = []
    for title, *_ in TEXTS:
        base = [row[0] for row in seen[title, "no drafts"]]
        for name in CASES:
            got = seen[title, name]
            ratio = statistics.median(row[0] / b for row, b in zip(got, base))
            drafted, accepted = (sum(row[i] for row in got) for i in (1, 2))
            rows.append([title, name, f"{statistics.median(row[0] for row in got):.1f}",
                         f"{ratio:.3f}", f"{accepted}/{drafted}"])
    table(f"Speculation, one stream, {TOKENS} tokens, {THREADS} threads ({ROUNDS} rounds, medians)",
          ["text", "drafts", "tokens/s", "of no drafts", "accepted"], rows)


if __name__ == "__main__":
    main()
