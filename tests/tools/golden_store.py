#!/usr/bin/env python3
"""golden_store.py FOLDER - writes the store of tests/data/store/golden as Docker Model Runner
would leave it: layout, key order, annotations and modes by its documentation. What it wrote is
kept, and the tests compare with that; this says how it came to be."""

import hashlib
import json
import pathlib
import struct
import sys

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.ai."
CNCF = "application/vnd.cncf.model."
CREATED = "2026-01-02T03:04:05.123456789Z"


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def gguf(name):
    """A GGUF file without tensors."""
    pairs = [text("general.architecture") + struct.pack("<I", 8) + text("llama"),
             text("general.name") + struct.pack("<I", 8) + text(name),
             text("general.file_type") + struct.pack("<II", 4, 3)]
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)


def safetensors():
    head = json.dumps({"__metadata__": {"format": "pt"},
                       "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(8)


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Store:
    def __init__(self, folder):
        self.folder, self.models = folder, []
        for sub in ("blobs", "manifests"):
            (folder / sub / "sha256").mkdir(parents=True)
        (folder / "layout.json").write_text('{\n  "version": "1.0.0"\n}')

    def put(self, kind, data):
        (self.folder / kind / "sha256" / digest(data)[7:]).write_bytes(data)
        return digest(data)

    def layer(self, media_type, path, data):
        meta = {"name": path.rsplit("/", 1)[-1], "mode": 420, "uid": 0, "gid": 0,
                "size": len(data), "mtime": "2026-01-02T03:04:05Z", "typeflag": 0}
        return {"mediaType": media_type, "size": len(data), "digest": self.put("blobs", data),
                "annotations": {
                    "org.cncf.model.file.mediatype.untested": "false",
                    "org.cncf.model.file.metadata+json": compact(meta).decode(),
                    "org.cncf.model.filepath": path}}

    def add(self, tags, config_type, config, layers, **more):
        data = compact(config([x["digest"] for x in layers]))
        manifest = compact({
            "schemaVersion": 2, "mediaType": OCI, **more,
            "config": {"mediaType": config_type, "size": len(data),
                       "digest": self.put("blobs", data)}, "layers": layers})
        self.models.append({"id": self.put("manifests", manifest), "tags": tags,
                            "files": [x["digest"] for x in layers] + [digest(data)]})

    def write_index(self):
        (self.folder / "models.json").write_text(json.dumps({"models": self.models}, indent=2))


def docker(config):
    return lambda layers: {"config": config, "descriptor": {"created": CREATED},
                           "rootfs": {"type": "rootfs", "diff_ids": layers}}


def main(folder):
    s = Store(folder)
    head = {"general.architecture": "llama", "general.file_type": "3"}

    def plain(name):
        return docker({"format": "gguf", "quantization": "MOSTLY_Q4_1", "parameters": "0",
                       "architecture": "llama", "size": "0B",
                       "gguf": {**head, "general.name": name}, "context_size": 2048})
    licence = s.layer(DOCKER + "license", "LICENSE", b"Do as you like.\n")
    one = s.layer(DOCKER + "gguf.v3", "one.gguf", gguf("one"))
    s.add(["docker.io/ai/one:latest", "localhost:5000/team/one:v1"],
          DOCKER + "model.config.v0.1+json", plain("one"), [one, licence])
    # Layers of one content keep their places in the index.
    s.add(None, DOCKER + "model.config.v0.1+json", plain("twice"),
          [one, s.layer(DOCKER + "gguf.v3", "two.gguf", gguf("two")), one,
           s.layer(DOCKER + "chat.template.jinja", "t.jinja", b"{{ messages }}")])
    s.add(["huggingface.co/org/repo:Q4_K_M"], DOCKER + "model.config.v0.2+json",
          docker({"format": "safetensors", "quantization": "F32", "parameters": "2.00",
                  "size": "100.00B", "safetensors": {"format": "pt", "tensor_count": "1"},
                  "context_size": 2048}),
          [s.layer(DOCKER + "safetensors", "model.safetensors", safetensors()),
           s.layer(DOCKER + "model.file", "tokenizer/config.json", b"{}\n")])
    s.add(["docker.io/ai/pack:latest"], CNCF + "config.v1+json",
          lambda layers: {"descriptor": {"createdAt": CREATED, "family": "llama"},
                          "modelfs": {"type": "layers", "diffIds": layers},
                          "config": {"architecture": "llama", "format": "gguf",
                                     "paramSize": "183", "quantization": "Unknown"}},
          [s.layer(CNCF + "weight.v1.raw", "one.gguf", gguf("one")),
           s.layer(CNCF + "doc.v1.raw", "LICENSE", b"Do as you like.\n")],
          artifactType=CNCF + "manifest.v1+json")
    s.write_index()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
