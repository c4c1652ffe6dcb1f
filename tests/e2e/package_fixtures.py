"""What packages are made of: safetensors files, folders with a model in them."""

import json
import os
import pathlib
import struct

DOCKER = "application/vnd.docker.ai."
CNCF = "application/vnd.cncf.model."


def safetensors(tensors, metadata=None, header=None):
    """A file with these tensors: {name: (dtype, shape, bytes)}."""
    head, at = {}, 0
    if metadata is not None:
        head["__metadata__"] = metadata
    for name, (dtype, shape, size) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head, separators=(",", ":")).encode() if header is None else header
    return struct.pack("<Q", len(text)) + text + b"\7" * at


WEIGHTS = safetensors({"a": ("F32", [2, 2], 16), "b": ("F16", [2], 4)}, {"format": "pt"})

# In the order in which a folder is walked.
FILES = {
    "LICENSE": b"do as you like\n",
    "README.md": b"# A model\n",
    "chat_template.jinja": b"{{ messages[0].content }}",
    "config.json": b'{"model_type":"llama","max_position_embeddings":2048}',
    "extra/vocab.json": b"{}",
    "model.safetensors": WEIGHTS,
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
}


def folder(path, files=FILES, backwards=False):
    """Writes the files, with what must not matter: hidden files, links, an empty folder."""
    path = pathlib.Path(path)
    path.mkdir(parents=True, exist_ok=True)
    for name in sorted(files, reverse=backwards):
        at = path / name
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(files[name])
    (path / ".git").mkdir(exist_ok=True)
    (path / ".git/HEAD").write_text("x")
    (path / ".hidden.safetensors").write_bytes(b"x")
    (path / "empty").mkdir(exist_ok=True)
    if not os.path.islink(path / "link.safetensors"):
        (path / "link.safetensors").symlink_to("/etc/passwd")
    return path


def manifest(store, id):
    return json.loads((pathlib.Path(store) / "manifests/sha256" / id[7:]).read_bytes())


def config(store, id):
    digest = manifest(store, id)["config"]["digest"]
    return json.loads((pathlib.Path(store) / "blobs/sha256" / digest[7:]).read_bytes())


def layers(store, id):
    """[(type without its common beginning, path)]"""
    return [(x["mediaType"].removeprefix("application/vnd."),
             x["annotations"]["org.cncf.model.filepath"]) for x in manifest(store, id)["layers"]]
