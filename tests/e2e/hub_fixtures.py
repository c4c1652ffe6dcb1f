"""A stand-in for Hugging Face: the API's shapes (revisions, trees by pages with Link fields,
redirects to a CDN at another port, gated and private repositories), and files made for it."""

import hashlib
import http.server
import json
import pathlib
import re
import threading
import urllib.parse

import gguf
import numpy
import pytest

from registry_fixtures import noise

CHANGED = "2026-02-03T04:05:06.000Z"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git_hash(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def commit(text):
    return hashlib.sha1(text.encode()).hexdigest()


def make_gguf(folder, seed=0, size=1 << 16, ftype=15, split=None, arch="llama", template=None):
    """A small valid GGUF file with one tensor of noise, as bytes; split=(i, n): a shard."""
    path = pathlib.Path(folder) / "made.gguf"
    w = gguf.GGUFWriter(path, arch)
    w.add_file_type(ftype)
    w.add_context_length(4096)
    if template:
        w.add_chat_template(template)
    if split:
        w.add_uint16("split.no", split[0] - 1)
        w.add_uint16("split.count", split[1])
    w.add_tensor(f"t{seed}", numpy.frombuffer(noise(size, seed), dtype=numpy.int8))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    data = path.read_bytes()
    path.unlink()
    return data


class Repo:
    """files: {path: bytes}; what ends in one of LFS is kept there, as the hub does it."""

    LFS = (".gguf", ".safetensors")

    def __init__(self, files, changed=CHANGED, **how):
        self.files = dict(files)
        self.changed = changed
        self.gated = self.private = False
        self.__dict__.update(how)
        self.sha = commit(repr(sorted((p, sha256(b)) for p, b in files.items())) + changed)

    def is_lfs(self, path):
        return path.endswith(self.LFS)

    def entries(self):
        folders = {str(f) for p in self.files for f in pathlib.PurePosixPath(p).parents} - {"."}
        for f in sorted(folders):
            yield {"type": "directory", "oid": commit(f), "size": 0, "path": f}
        for p, b in self.files.items():
            e = {"type": "file", "oid": git_hash(b), "size": len(b), "path": p}
            if self.is_lfs(p):
                e["oid"] = commit("pointer " + p)
                e["lfs"] = {"oid": sha256(b), "size": len(b), "pointerSize": 134}
                e["xetHash"] = sha256(b"xet" + b)
            yield e


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, handler, address="127.0.0.1"):
        self.asked = []  # (method, path, Range, Authorization)
        self.sent = 0
        self.lie = lambda h: False
        super().__init__((address, 0), handler)
        self.host = f"{address}:{self.server_port}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *a):
        pass

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def send(self, status, body=b"", **fields):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        fields.setdefault("Content_Length", str(len(body)))
        for k, v in fields.items():
            if v is not None:
                self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.server.sent += len(body)

    def do_GET(self):
        self.server.asked.append((self.command, self.path, self.headers.get("Range"),
                                  self.headers.get("Authorization")))
        if not self.server.lie(self):
            self.answer()

    do_HEAD = do_POST = do_GET


class CdnHandler(Handler):
    def answer(self):
        self.server.active += 1
        try:
            self.serve()
        finally:
            self.server.active -= 1

    def serve(self):
        body = self.server.blobs.get(self.path.split("/")[-1].split("?")[0])
        if body is None or f"sig={self.server.signature}" not in self.path:
            return self.send(403, b"<Error><Code>AccessDenied</Code></Error>")
        m = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        a, b = (int(m[1]), int(m[2] or len(body) - 1)) if m else (0, len(body) - 1)
        part = body[a:b + 1]
        self.send_response(206 if m else 200)
        self.send_header("Content-Length", str(len(part)))
        if m:
            self.send_header("Content-Range", f"bytes {a}-{b}/{len(body)}")
        self.end_headers()
        for i in range(0, len(part), 1 << 16):
            if self.server.left is not None and self.server.left <= 0:
                self.close_connection = True
                self.connection.close()
                return
            self.wfile.write(part[i:i + (1 << 16)])
            self.server.sent += len(part[i:i + (1 << 16)])
            if self.server.left is not None:
                self.server.left -= 1 << 16
            self.server.on_piece()


class HubHandler(Handler):
    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        m = re.fullmatch(r"/api/models/(.+?)/(revision|tree)/([^/]+)", path)
        r = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if not m and not r:
            return self.refuse(404, None, "Sorry, we can't find the page you are looking for.")
        name = (m or r)[1]
        key = {k.lower(): k for k in self.server.repos}.get(name.lower())
        repo = self.server.repos.get(key)
        token = self.headers.get("Authorization")
        if token and token != f"Bearer {self.server.token}":
            return self.refuse(401, None, "Invalid credentials in Authorization header")
        if not repo or (repo.private and not token):
            return self.refuse(404 if token else 401, "RepoNotFound", "Repository not found")
        if key != name:
            to = self.path.replace(name, key, 1)
            return self.send(307, b"", Location=to)
        repo = repo.at.get((m[3] if m else r[2]), None) if hasattr(repo, "at") else \
            repo if (m[3] if m else r[2]) in ("main", repo.sha) else None
        if not repo:
            return self.refuse(404, "RevisionNotFound", "Invalid rev id")
        if m and m[2] == "revision":
            return self.send(200, {"_id": "65", "id": key, "sha": repo.sha,
                                   "lastModified": repo.changed, "gated": repo.gated},
                             Content_Type="application/json")
        if m:
            return self.tree(repo, url)
        return self.resolve(key, repo, r[3], token)

    def refuse(self, status, code, message):
        self.send(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    def tree(self, repo, url):
        query = urllib.parse.parse_qs(url.query)
        assert query["recursive"] == ["true"]
        entries = list(repo.entries())
        at = int(query.get("cursor", ["0"])[0])
        size, link = self.server.page, None
        if at + size < len(entries):
            link = (f"<{self.server.link_base}{url.path}?recursive=true&cursor={at + size}>; "
                    'rel="next"')
        self.send(200, entries[at:at + size], Content_Type="application/json", Link=link)

    def resolve(self, name, repo, path, token):
        if repo.gated and (not token or repo.gated == "refused"):
            return self.refuse(403 if token else 401, "GatedRepo",
                               f"Access to model {name} is restricted.")
        body = repo.files.get(path)
        if body is None:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        if not repo.is_lfs(path):
            return self.send(200, body, ETag=f'"{git_hash(body)}"', X_Repo_Commit=repo.sha)
        cdn = self.server.cdn
        cdn.blobs[sha256(body)] = self.server.served.get(path, body)
        self.send(302, b"Found", X_Repo_Commit=repo.sha, X_Linked_Size=str(len(body)),
                  X_Linked_ETag=f'"{sha256(body)}"', ETag=f'"{sha256(body)}"',
                  Location=f"{cdn.url}/repos/ab/{sha256(body)}?sig={cdn.signature}")


@pytest.fixture
def hub():
    cdn = Server(CdnHandler)
    cdn.blobs, cdn.left, cdn.signature, cdn.on_piece = {}, None, "s1", lambda: None
    cdn.active = 0
    s = Server(HubHandler)
    s.repos, s.served, s.cdn, s.page, s.token = {}, {}, cdn, 1000, "hf_" + "x" * 34
    s.link_base = s.url
    s.env = {"HF_ENDPOINT": s.url, "HF_TOKEN": "", "HF_HOME": ""}
    yield s
    s.stop()
    cdn.stop()

