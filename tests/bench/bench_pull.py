"""Pulls from registries on this machine: pace and processor time next to curl and sha256sum of
the same blob, memory during a pull of 10 GB, and what others notice of four pulls at once.

BENCH_PULL=pace, memory or others runs one part only."""

import concurrent.futures
import contextlib
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from bench import (BUILD, ROOT, TEXT_GGUF, alternate_rows, free_port, modeld, need, running,
                   table)

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from registry_fixtures import GGUF, MANIFEST, Model, Registry, digest, noise, push  # noqa: E402

MIB, GB = 1 << 20, 1e9
BLOB = 1 << 30
LARGE = 10_000_000_000
MEMORY_GOAL_MIB = 32
PULLS = 4
OTHERS_SECONDS = 10
TICK = os.sysconf("SC_CLK_TCK")


# ---- registries ----

def layout(folder, name, m):
    """A model as files that a plain web server can serve as a registry."""
    root = pathlib.Path(folder, "v2", name)
    (root / "manifests").mkdir(parents=True)
    (root / "blobs").mkdir()
    (root / "manifests/v1").write_bytes(m.manifest)
    for d, blob in zip(m.names, m.blobs()):
        (root / "blobs" / d).write_bytes(blob)


def nginx(folder, root, port):
    conf = pathlib.Path(folder, "nginx.conf")
    conf.write_text(f"""
worker_processes 1; daemon off; error_log stderr crit; pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
  fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; root {root};
    location ~ /manifests/ {{ default_type {MANIFEST}; }} }}
}}""")
    return running([need("nginx"), "-p", folder, "-c", str(conf)], port)


class Generator(http.server.BaseHTTPRequestHandler):
    """A registry of one model whose layer is made as it is sent: one block again and again,
    each time with its number at the front."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def start(self, status, length, **fields):
        self.send_response(status)
        for k, v in {"Content-Length": length, **fields}.items():
            self.send_header(k.replace("_", "-"), str(v))
        self.end_headers()

    def do_GET(self):
        model = self.server.model
        if "/manifests/" in self.path:
            self.start(200, len(model.manifest), Content_Type=MANIFEST,
                       Docker_Content_Digest=model.id)
            self.wfile.write(model.manifest)
        elif self.path.endswith(digest(model.config)):
            self.start(200, len(model.config))
            self.wfile.write(model.config)
        else:
            self.serve_layer(model)

    def serve_layer(self, model):
        asked = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2])) if asked else (0, model.size - 1)
        self.start(206 if asked else 200, last - first + 1,
                   Content_Range=f"bytes {first}-{last}/{model.size}")
        while first <= last:
            block = model.piece(first // MIB)[first % MIB:]
            self.wfile.write(block[:last - first + 1])
            first += len(block)


class Generated(Model):
    def __init__(self, size):
        super().__init__([])
        self.size = size
        self.block = noise(MIB, "generated")
        whole = hashlib.sha256()
        for i in range(-(-size // MIB)):
            whole.update(self.piece(i))
        d = "sha256:" + whole.hexdigest()
        config = json.loads(self.config)
        config["rootfs"]["diff_ids"] = [d]
        self.config = json.dumps(config).encode()
        manifest = json.loads(self.manifest)
        manifest["config"].update(size=len(self.config), digest=digest(self.config))
        manifest["layers"] = [{"mediaType": GGUF, "size": size, "digest": d}]
        self.manifest = json.dumps(manifest).encode()
        self.id = digest(self.manifest)

    def piece(self, i):
        return (i.to_bytes(8, "big") + self.block[8:])[:self.size - i * MIB]


# ---- measuring ----

def cpu_s(pid):
    """Of a process and its children that live."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    kids = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / TICK + sum(cpu_s(int(k)) for k in kids)


def pull(port, ref, on_bytes=lambda n: None):
    """Tells on_bytes of the bytes as they come."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    c.request("POST", "/models/create", json.dumps({"from": ref}),
              {"Accept": "application/json"})
    r = c.getresponse()
    line, there = b"", {}
    while r.status == 200 and (more := r.readline()):
        line = more
        layer = json.loads(line).get("layer", {})
        if "id" in layer:
            on_bytes(layer["current"] - there.get(layer["id"], 0))
            there[layer["id"]] = layer["current"]
    if r.status != 200 or json.loads(line)["type"] != "success":
        raise SystemExit(f"{ref}: {r.status} {(line or r.read()).decode()}")
    c.close()


def pull_once(folder, host, server):
    """(MB a second, processor seconds a GB here, and in the registry)."""
    store = tempfile.mkdtemp(dir=folder)
    try:
        with modeld(f"{store}/store", env={"HOME": store}) as (p, port, _):
            before, began = cpu_s(server.pid), time.monotonic()
            pull(port, f"{host}/ai/x:v1")
            took = time.monotonic() - began
            return (BLOB / 1e6 / took, cpu_s(p.pid) / (BLOB / GB),
                    (cpu_s(server.pid) - before) / (BLOB / GB))
    finally:
        shutil.rmtree(store)


def shell_once(folder, script, server):
    """The same of a shell script."""
    def used():
        u = resource.getrusage(resource.RUSAGE_CHILDREN)
        return u.ru_utime + u.ru_stime
    before, own, began = cpu_s(server.pid), used(), time.monotonic()
    subprocess.run(["bash", "-euc", "set -o pipefail; " + script], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL)
    took = time.monotonic() - began
    pathlib.Path(folder, "file").unlink(missing_ok=True)
    return (BLOB / 1e6 / took, (used() - own) / (BLOB / GB),
            (cpu_s(server.pid) - before) / (BLOB / GB))


def pace(folder):
    m = Model([(GGUF, noise(BLOB, "pace"))])
    layout(f"{folder}/root", "ai/x", m)
    port = free_port()
    registry = Registry(f"{folder}/registry")
    push(registry.url, "ai/x", "v1", m)
    blob = f"v2/ai/x/blobs/{m.names[0]}"
    del m
    try:
        with nginx(folder, f"{folder}/root", port) as server:
            servers = {"docker-registry": (registry.host, registry.process),
                       "nginx": (f"127.0.0.1:{port}", server)}
            cases = {}
            for name, (host, process) in servers.items():
                url = f"http://{host}/{blob}"
                for what, script in (
                        ("curl to a file, sync, sha256sum",
                         f"curl -sfo file {url}; sync file; sha256sum file"),
                        ("curl into sha256sum, nothing kept", f"curl -sf {url} | sha256sum")):
                    cases[name, what] = lambda s=script, p=process: shell_once(folder, s, p)
                cases[name, "modeld"] = lambda h=host, p=process: pull_once(folder, h, p)
            got = alternate_rows(cases)
    finally:
        registry.stop()
    rows = []
    for (name, what), (rate, ours, theirs) in got.items():
        base = got[name, "curl to a file, sync, sha256sum"]
        rows.append([name, what, f"{rate:.0f} MB/s", f"{rate / base[0]:.2f}",
                     f"{ours:.2f} s", f"{theirs:.2f} s"])
    table("A pull of 1 GiB", ["registry", "", "pace", "of curl, sync, sha256sum",
                              "its processor time per GB", "the registry's"], rows)


def memory(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Generator)
    server.daemon_threads = True
    server.model = Generated(LARGE)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with modeld(f"{folder}/store") as (p, port, _):
        began = time.monotonic()
        pull(port, f"127.0.0.1:{server.server_port}/ai/x:v1")
        took = time.monotonic() - began
        status = pathlib.Path(f"/proc/{p.pid}/status").read_text()
    server.shutdown()
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
    table("A pull of 10 GB", ["what", "measured", "goal"], [
        ["most resident memory (VmHWM)", f"{peak:.1f} MiB", f"{MEMORY_GOAL_MIB} MiB"],
        ["pace (the server makes the bytes as it sends them)", f"{LARGE / 1e6 / took:.0f} MB/s",
         ""]])
    if peak >= MEMORY_GOAL_MIB:
        raise SystemExit(f"{peak:.1f} MiB of memory in a pull of 10 GB")


# ---- others ----

class Asker:
    """Asks for the same again and again, on a kept connection."""

    def __init__(self, port, seconds):
        self.port = port
        self.until = time.monotonic() + seconds
        self.took = {"list": [], "inspect": [], "first token of a chat": []}

    def get(self, c, path):
        began = time.monotonic()
        c.request("GET", path)
        r = c.getresponse()
        r.read()
        if r.status != 200:
            raise SystemExit(f"{path}: {r.status}")
        return time.monotonic() - began

    def first_token(self, c):
        began = time.monotonic()
        c.request("POST", "/v1/chat/completions", json.dumps({
            "model": "m", "messages": [{"role": "user", "content": "Say hi."}],
            "max_tokens": 4, "temperature": 0, "stream": True}),
            {"Content-Type": "application/json"})
        r = c.getresponse()
        line = b""
        while b'"content":"' not in line or b'"content":""' in line:
            line = r.readline()
            if not line:
                raise SystemExit("a stream without a token")
        took = time.monotonic() - began
        r.read()
        return took

    def questions(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while time.monotonic() < self.until:
            self.took["list"].append(self.get(c, "/models"))
            self.took["inspect"].append(self.get(c, "/models/m"))
            time.sleep(0.001)

    def chats(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while time.monotonic() < self.until:
            self.took["first token of a chat"].append(self.first_token(c))

    def run(self):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(self.questions), pool.submit(self.chats)]:
                future.result()
        return self.took


def pull_on_and_on(port, host, i, over, on_bytes):
    while not over.is_set():
        pull(port, f"{host}/ai/x{i}:v1", on_bytes)
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        c.request("DELETE", f"/models/{host}/ai/x{i}:v1?force=1")
        c.getresponse().read()
        c.close()


def others(folder):
    for i in range(PULLS):
        layout(f"{folder}/root", f"ai/x{i}", Model([(GGUF, noise(BLOB // 4, f"others{i}"))]))
    server_port = free_port()
    with contextlib.ExitStack() as stack:
        stack.enter_context(nginx(folder, f"{folder}/root", server_port))
        _, port, _ = stack.enter_context(modeld(f"{folder}/store"))
        subprocess.run([str(BUILD / "docker-model"), "package", "--gguf", str(TEXT_GGUF), "m"],
                       env={**os.environ, "MODEL_RUNNER_HOST": f"http://127.0.0.1:{port}"},
                       check=True, capture_output=True)
        Asker(port, 2).run()  # the model comes into memory
        quiet = Asker(port, OTHERS_SECONDS).run()
        over = threading.Event()
        came = [0]

        def on_bytes(n):
            came[0] += n

        with concurrent.futures.ThreadPoolExecutor(PULLS) as pool:
            host = f"127.0.0.1:{server_port}"
            pulls = [pool.submit(pull_on_and_on, port, host, i, over, on_bytes)
                     for i in range(PULLS)]
            time.sleep(1)
            before = came[0]
            time.sleep(OTHERS_SECONDS)
            alone = came[0] - before
            before = came[0]
            busy = Asker(port, OTHERS_SECONDS).run()
            beside = came[0] - before
            over.set()
            for p in pulls:
                p.result()

    def ms(values, share):
        return f"{sorted(values)[int(len(values) * share)] * 1e3:.1f} ms"
    table(f"Others during {PULLS} pulls", ["", "alone, p50", "p99", "during the pulls, p50", "p99"],
          [[what, ms(quiet[what], 0.5), ms(quiet[what], 0.99), ms(busy[what], 0.5),
            ms(busy[what], 0.99)] for what in quiet])
    table("The pulls meanwhile", ["alone", "beside answers without end"],
          [[f"{n / 1e6 / OTHERS_SECONDS:.0f} MB/s" for n in (alone, beside)]])


def main():
    need("curl")
    parts = {"pace": pace, "memory": memory, "others": others}
    only = os.environ.get("BENCH_PULL")
    for name in [only] if only else parts:
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder).chmod(0o755)
            parts[name](folder)


main()
