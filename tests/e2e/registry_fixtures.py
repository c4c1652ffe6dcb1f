"""Debian's real docker-registry on a loopback port, models made for it, and what stands
around registries: a token server, Basic auth, certificates, a proxy."""

import base64
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import httpx
import pytest

from conftest import eventually

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.docker.ai.model.config.v0.1+json"
GGUF = "application/vnd.docker.ai.gguf.v3"
LICENSE = "application/vnd.docker.ai.license"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def noise(size, seed):
    """Bytes that no two models share, made quickly."""
    block = hashlib.shake_256(str(seed).encode()).digest(1 << 20)
    whole = b"".join(i.to_bytes(8, "big") + block[8:] for i in range(size >> 20))
    return whole + block[:size & ((1 << 20) - 1)]


class Model:
    """A model as blobs and a manifest; layers are (media type, bytes)."""

    def __init__(self, layers, config_type=CONFIG, size="1.00MiB"):
        self.layers = layers
        names = [digest(b) for _, b in layers]
        self.config = json.dumps({
            "config": {"format": "gguf", "quantization": "Unknown", "parameters": "183",
                       "architecture": "llama", "size": size},
            "descriptor": {"created": "2026-01-02T03:04:05Z"},
            "rootfs": {"type": "rootfs", "diff_ids": names}}).encode()
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": config_type, "size": len(self.config),
                       "digest": digest(self.config)},
            "layers": [{"mediaType": t, "size": len(b), "digest": d}
                       for (t, b), d in zip(layers, names)]}, separators=(",", ":")).encode()
        self.id = digest(self.manifest)
        self.names = names + [digest(self.config)]

    def blobs(self):
        return [b for _, b in self.layers] + [self.config]


def model(*sizes, seed=0):
    return Model([(GGUF if i == 0 else LICENSE, noise(n, f"{seed}-{i}"))
                  for i, n in enumerate(sizes)])


def pieces(blob):
    for i in range(0, len(blob), 1 << 20):
        yield blob[i:i + (1 << 20)]


def push(url, name, tag, m, **client):
    """As `docker push` does it: blobs, then the manifest."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False, **client) as c:
        for blob, d in zip(m.blobs(), m.names):
            r = c.post(f"/v2/{name}/blobs/uploads/")
            assert r.status_code == 202, r.text
            at = r.headers["location"]
            r = c.put(at + ("&" if "?" in at else "?") + "digest=" + d, content=pieces(blob),
                      headers={"Content-Length": str(len(blob))})
            assert r.status_code == 201, r.text
        r = c.put(f"/v2/{name}/manifests/{tag}", content=m.manifest,
                  headers={"Content-Type": MANIFEST})
        assert r.status_code == 201, r.text
        assert r.headers["docker-content-digest"] == m.id


class Registry:
    """A docker-registry process; requests() reads its access log."""

    def __init__(self, folder, address="127.0.0.1", enter=None, config=None, scheme="http"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.host = f"{address}:{self.port}"
        self.url = f"{scheme}://{self.host}"
        self.log_path = self.folder / "log"
        settings = {
            "version": "0.1", "log": {"level": "info", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
            "http": {"addr": f"{address}:{self.port}", "secret": "x"}}
        for key, value in (config or {}).items():
            settings.setdefault(key, {}).update(value)
        path = self.folder / "config.yml"
        path.write_text(json.dumps(settings))  # JSON is YAML
        command = ["docker-registry", "serve", str(path)]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(enter(*command) if enter else command,
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        eventually(lambda: "listening on" in self.log() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def requests(self):
        """(method, path, status, bytes) in the order they ended."""
        return [(m[1], m[2], int(m[3]), int(m[4])) for m in re.finditer(
            r'"(GET|HEAD|PUT|POST|PATCH) (\S+) HTTP/1\.1" (\d+) (\d+)', self.log())]

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture(scope="session")
def memory(tmp_path_factory):
    """A folder in memory: gigabytes come and go, and the disk is not what is tested."""
    folder = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    yield pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def registry(memory):
    r = Registry(memory / "registry")
    yield r
    r.stop()


@pytest.fixture
def store(memory):
    """A folder for a store, in memory; gone after the test."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=memory))
    yield folder / "store"
    shutil.rmtree(folder, ignore_errors=True)


def blob_path(store, d):
    return pathlib.Path(store) / "blobs/sha256" / d.split(":")[1]


def check_stored(store, m, tag=None):
    """All of the model is in the store, byte for byte, and nothing is left over."""
    for blob, d in zip(m.blobs(), m.names):
        with open(blob_path(store, d), "rb") as f:
            for piece in pieces(blob):
                assert f.read(len(piece)) == piece
            assert not f.read(1)
    hexes = m.id.split(":")[1]
    assert (pathlib.Path(store) / "manifests/sha256" / hexes).read_bytes() == m.manifest
    index = json.loads((pathlib.Path(store) / "models.json").read_text())
    found = [e for e in index["models"] or [] if e["id"] == m.id]
    assert len(found) == 1
    assert found[0]["files"] == m.names
    if tag:
        assert tag in found[0]["tags"]
    assert not list(pathlib.Path(store).rglob("*.incomplete"))
    assert not list(pathlib.Path(store).rglob("*.tmp-*"))


def pull(modeld, ref, json_lines=True, timeout=120, **body):
    """(status, events or text)"""
    with modeld.http.stream("POST", "/models/create", json={"from": ref, **body}, timeout=timeout,
                            headers={"Accept": "application/json" if json_lines else "*/*"}) as r:
        text = r.read().decode()
        if r.status_code != 200 or not json_lines:
            return r.status_code, text
        return 200, [json.loads(line) for line in text.splitlines()]
