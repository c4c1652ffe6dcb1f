"""LoRA adapters of fixed random weights, and models with an adapter merged into their weights by
numpy: what the engine with the adapter must answer like."""

import functools

import gguf
import numpy as np
import pytest

from gguf_fixtures import tiny
from llama_fixtures import copy_gguf, finish_gguf, launch

RANK, ALPHA = 4, 8.0
TEXT_PARTS = ("attn_q", "attn_v", "attn_output", "ffn_down")
EMBED_PARTS = ("attn_q", "attn_v", "ffn_up")


@functools.cache
def shapes(model):
    """(architecture, {tensor: (in, out)} of the layers); large vocabularies take seconds to read."""
    r = gguf.GGUFReader(model)
    return r.fields["general.architecture"].contents(), {
        t.name: tuple(map(int, t.shape)) for t in r.tensors
        if t.name.startswith("blk.") and t.name.endswith(".weight")}


def pairs(model, parts, seed, size):
    """{tensor: (A, B)}: what is added to the weight is B @ A * alpha / rank."""
    random = np.random.default_rng(seed)
    out = {}
    for name, shape in shapes(model)[1].items():
        if name.split(".")[2] in parts:
            out[name] = (random.normal(0, size, (RANK, shape[0])).astype(np.float32),
                         random.normal(0, size, (shape[1], RANK)).astype(np.float32))
    assert out
    return out


def make_adapter(path, model, parts=TEXT_PARTS, seed=1, size=0.1, *, arch=None,
                 kind="lora", type_="adapter", change=None):
    """`change(writer, tensors)` may spoil it."""
    out = gguf.GGUFWriter(path, arch or shapes(model)[0])
    tensors = {f"{name}.lora_{x}": t for name, both in pairs(model, parts, seed, size).items()
               for x, t in zip("ab", both)}
    if type_:
        out.add_string("general.type", type_)
    out.add_string("adapter.type", kind)
    out.add_float32("adapter.lora.alpha", ALPHA)
    if change:
        change(out, tensors)
    for name, t in tensors.items():
        out.add_tensor(name, t)
    finish_gguf(out)
    return path


def merge(path, model, parts, scale, seed=1, size=0.1):
    """The model with so much of the adapter in its weights, which are F32 then; with 0, the model
    itself with those weights as F32."""
    weights = {t.name: gguf.quants.dequantize(t.data, t.tensor_type)
               for t in gguf.GGUFReader(model).tensors}
    finish_gguf(copy_gguf(model, path, instead={
        name: (weights[name] + b @ a * (ALPHA / RANK * scale)).astype(np.float32)
        for name, (a, b) in pairs(model, parts, seed, size).items()}))
    return path


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A small model of text whose weights are random F32: what it says is nonsense that a sum in
    another order does not change."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "tiny.gguf").write_bytes(tiny())
    random = np.random.default_rng(5)
    finish_gguf(copy_gguf(folder / "tiny.gguf", folder / "base.gguf", instead={
        t.name: random.normal(t.data.ndim == 1, 0.2, t.data.shape).astype(np.float32)
        for t in gguf.GGUFReader(folder / "tiny.gguf").tensors}))
    return folder / "base.gguf"


@pytest.fixture(scope="session")
def adapters(tmp_path_factory, base):
    """Two for it."""
    folder = tmp_path_factory.mktemp("adapters")
    return (make_adapter(folder / "one.gguf", base), make_adapter(folder / "two.gguf", base, seed=2))


@pytest.fixture(scope="session")
def adapted(tmp_path_factory, base, adapters):
    """It with `one` in use unless a request says otherwise, and `second` not."""
    m = launch(tmp_path_factory, base, "--ctx-size", 4096, "--threads", 1,
               "--lora", adapters[0], "--lora-scaled", f"second={adapters[1]}:0")
    yield m
    m.stop()
