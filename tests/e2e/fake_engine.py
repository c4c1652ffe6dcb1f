"""A stand-in for modeld-llama that fails on command.

The behaviour is read from FAKE_ENGINE (JSON): "load_s" seconds of loading, "fail" an
event to fail with, "exit" a status to leave with instead of loading (and "say" before),
"die_after" bytes
of an answer, "chunks"/"pause_s" for streams, "hold" a file that the second event of a stream
waits for, "bytes" for large answers, "silent".
Every start appends a line to FAKE_ENGINE_LOG, so that loads can be counted; so does every
field of a request that is spoken between our own programs.
"""

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("--model", action="append")
parser.add_argument("--listen")
parser.add_argument("--events-fd", type=int)
parser.add_argument("--alias")
parser.add_argument("--ctx-size")
parser.add_argument("--chat-template-file")
args, _ = parser.parse_known_args()
plan = json.loads(os.environ.get("FAKE_ENGINE", "{}"))
log_path = os.environ.get("FAKE_ENGINE_LOG")
events = os.fdopen(args.events_fd, "wb", buffering=0)


def note(text):
    if log_path:
        with open(log_path, "a") as f:
            f.write(text + "\n")


def tell(**event):
    events.write(json.dumps(event).encode() + b"\n")


def parent_watch():
    while os.read(args.events_fd, 1):
        pass
    os._exit(3)


def read_request(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = conn.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower().startswith(b"modeld-"):
            note(f"field {line.decode()}")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += conn.recv(65536)
    return head, body


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer_stream(conn):
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n")
    pad = "x" * plan.get("pad", 10)
    for i in range(plan.get("chunks", 3)):
        if i == plan.get("die_after"):
            os.kill(os.getpid(), signal.SIGKILL)
        event = json.dumps({"choices": [{"index": 0, "delta": {"content": f"{i}{pad}"}}]})
        conn.sendall(chunk(f"data: {event}\n\n".encode()))
        note(f"sent {i}")
        time.sleep(plan.get("pause_s", 0))
        while "hold" in plan and not os.path.exists(plan["hold"]):
            time.sleep(0.01)
    conn.sendall(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def answer(conn, body):
    ask = json.loads(body)
    note("request")
    if plan.get("silent"):
        conn.recv(1)
        note("client closed")
        return
    if ask.get("stream"):
        answer_stream(conn)
        return
    time.sleep(plan.get("answer_s", 0))
    if "die_after" in plan:
        os.kill(os.getpid(), signal.SIGKILL)
    if "garbage" in plan:
        conn.sendall(plan["garbage"].encode())
        conn.close()
        return
    text = json.dumps({
        "model": ask["model"], "choices": [{"index": 0, "message": {
            "role": "assistant", "content": "x" * plan.get("bytes", 2)}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}).encode()
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                 b"Content-Length: %d\r\n\r\n%s" % (len(text), text))


def serve(conn):
    try:
        while True:
            request = read_request(conn)
            if not request:
                return
            answer(conn, request[1])
    except OSError as e:
        note(f"client gone {type(e).__name__}")
    finally:
        conn.close()


note(f"start {os.getpid()}")
threading.Thread(target=parent_watch, daemon=True).start()
if "exit" in plan:
    print(plan.get("say", "out of luck: the model is cursed"), file=sys.stderr, flush=True)
    sys.exit(plan["exit"])
steps = 10
for step in range(steps):
    tell(event="loading", fraction=step / steps)
    time.sleep(plan.get("load_s", 0) / steps)
if "fail" in plan:
    tell(event="failed", **plan["fail"])
    sys.exit(1)
listener = socket.socket(socket.AF_UNIX)
listener.bind(args.listen.removeprefix("unix:"))
listener.listen(128)
tell(event="ready", context=int(args.ctx_size or 4096), slots=4, threads=2, kind="text", memory={})
signal.signal(signal.SIGTERM, lambda *a: os._exit(0))
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
