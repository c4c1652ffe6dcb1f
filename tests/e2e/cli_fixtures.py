"""What the tests of docker-model need: running it, with and without a terminal, and
a server that makes the faults that a real modeld will not."""

import contextlib
import http.server
import json
import os
import subprocess
import threading

import pexpect

from conftest import BUILD

CLI = str(BUILD / "docker-model")
CLEAN = ("MODEL_RUNNER", "MODELS_PATH", "DOCKER_", "DEFAULT_REGISTRY", "XDG_", "LANG", "LC_")


def environment(home, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(CLEAN)}
    env.update(HOME=str(home), XDG_RUNTIME_DIR=str(home), TERM="xterm", LC_ALL="C.UTF-8",
               ASAN_OPTIONS="detect_leaks=1")
    env.update(more)
    return env


class Cli:
    """docker-model against one server, with a home of its own."""

    def __init__(self, home, url, **env):
        self.home = home
        self.env = environment(home, **({"MODEL_RUNNER_HOST": url} if url else {}), **env)

    def run(self, *args, stdin=subprocess.DEVNULL, text=None, env=None, timeout=60, argv0=CLI):
        return subprocess.run(
            [argv0, *args], env={**self.env, **(env or {})}, capture_output=True,
            timeout=timeout, **({"input": text} if text is not None else {"stdin": stdin}))

    def out(self, *args, **kw):
        """stdout of a command that must succeed, in silence on stderr."""
        r = self.run(*args, **kw)
        assert r.returncode == 0 and r.stderr == b"", r
        return r.stdout.decode()

    def err(self, *args, status=1, **kw):
        """The one line on stderr of a command that must fail."""
        r = self.run(*args, **kw)
        assert r.returncode == status, r
        lines = r.stderr.decode().splitlines()
        assert len(lines) == 1 and lines[0].startswith("docker-model: "), r
        return lines[0]

    def terminal(self, *args, env=None, columns=80):
        """The same at a terminal: a pexpect child."""
        return pexpect.spawn(CLI, list(args), env={**self.env, **(env or {})}, timeout=60,
                             dimensions=(24, columns), encoding="utf-8", echo=False)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        n = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(n)
        path = self.path.split("?")[0]
        self.server.seen.append((self.command, self.path, dict(self.headers), self.body))
        fn = self.server.routes.get(f"{self.command} {path}")
        if fn is None:
            self.reply(404, b'{"error":{"message":"nothing here"}}')
        elif callable(fn):
            fn(self)
        else:
            self.reply(200, fn if isinstance(fn, bytes) else json.dumps(fn).encode())

    do_GET = do_POST = do_DELETE = answer

    def reply(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, *pieces, end=True):
        """An event stream; without `end` the connection is cut in the middle."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for p in pieces:
            p = p if isinstance(p, bytes) else f"data: {json.dumps(p)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(p), p))
            self.wfile.flush()
        if end:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that leaves is part of the tests


@contextlib.contextmanager
def fake_server(routes):
    """`routes`: "GET /path" -> a function of the handler, JSON, or bytes."""
    server = Server(("127.0.0.1", 0), Handler)
    server.routes, server.seen = routes, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def delta(text, **more):
    return {"choices": [{"index": 0, "delta": {"content": text, **more}}]}


STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
DONE = b"data: [DONE]\n\n"
