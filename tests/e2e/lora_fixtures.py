"""LoRA adapters of fixed random weights, and models with an adapter merged into their weights by
numpy: what the engine with the adapter must answer like."""

import gguf
import numpy as np
import pytest

from llama_fixtures import EMBED_GGUF, TEXT_GGUF, copy_gguf, finish_gguf, launch

RANK, ALPHA = 4, 8.0
TEXT_PARTS = ("attn_q", "attn_v", "attn_output", "ffn_down")
EMBED_PARTS = ("attn_q", "attn_v", "ffn_up")


def pairs(model, parts, seed, size):
    """{tensor: (A, B)}: what is added to the weight is B @ A * alpha / rank."""
    random = np.random.default_rng(seed)
    out = {}
    for t in gguf.GGUFReader(model).tensors:
        name = t.name.split(".")
        if name[0] == "blk" and name[2] in parts and name[-1] == "weight":
            n_in, n_out = map(int, t.shape)
            out[t.name] = (random.normal(0, size, (RANK, n_in)).astype(np.float32),
                           random.normal(0, size, (n_out, RANK)).astype(np.float32))
    assert out
    return out


def make_adapter(path, model=TEXT_GGUF, parts=TEXT_PARTS, seed=1, size=0.08, *, arch=None,
                 kind="lora", type_="adapter", change=None):
    """`change(writer, tensors)` may spoil it."""
    arch = arch or gguf.GGUFReader(model).fields["general.architecture"].contents()
    out = gguf.GGUFWriter(path, arch)
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


def merge(path, model, parts, scale, seed=1, size=0.08):
    """The model with so much of the adapter in its weights, which are F32 then; with 0, the model
    itself with those weights as F32."""
    weights = {t.name: gguf.quants.dequantize(t.data, t.tensor_type)
               for t in gguf.GGUFReader(model).tensors}
    finish_gguf(copy_gguf(model, path, instead={
        name: (weights[name] + b @ a * (ALPHA / RANK * scale)).astype(np.float32)
        for name, (a, b) in pairs(model, parts, seed, size).items()}))
    return path


@pytest.fixture(scope="session")
def adapters(tmp_path_factory):
    """Two for the chat model."""
    folder = tmp_path_factory.mktemp("adapters")
    return (make_adapter(folder / "one.gguf", seed=1), make_adapter(folder / "two.gguf", seed=2))


@pytest.fixture(scope="session")
def adapted(tmp_path_factory, adapters):
    """The chat model with `one` in use unless a request says otherwise, and `second` not."""
    m = launch(tmp_path_factory, TEXT_GGUF, "--ctx-size", 2048, "--threads", 1,
               "--lora", adapters[0], "--lora-scaled", f"second={adapters[1]}:0")
    yield m
    m.stop()
