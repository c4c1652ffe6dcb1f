"""LoRA adapters of fixed random weights for the real models, and models with such an adapter
merged into them by numpy: what modeld-llama with the adapter must answer like."""

import gguf
import numpy as np
import pytest

from llama_fixtures import EMBED_GGUF, TEXT_GGUF, copy_gguf, finish_gguf

RANK, ALPHA = 4, 8.0
TEXT_PARTS = ("attn_q", "attn_v", "attn_output", "ffn_down")
EMBED_PARTS = ("attn_q", "attn_v", "ffn_up")


def targets(model, parts):
    return [t for t in gguf.GGUFReader(model).tensors
            if t.name.startswith("blk.") and t.name.split(".")[2] in parts
            and t.name.endswith(".weight")]


def pairs(model, parts, seed, size):
    """{tensor: (A, B)}, as a LoRA is: what is added to the weight is B @ A * alpha / rank."""
    random = np.random.default_rng(seed)
    out = {}
    for t in targets(model, parts):
        n_in, n_out = int(t.shape[0]), int(t.shape[1])
        out[t.name] = (random.normal(0, size, (RANK, n_in)).astype(np.float32),
                       random.normal(0, size, (n_out, RANK)).astype(np.float32))
    assert out
    return out


def make_adapter(path, model=TEXT_GGUF, parts=TEXT_PARTS, seed=1, size=0.08, *, arch=None,
                 kind="lora", type_="adapter", extra=None, tensors=None):
    arch = arch or gguf.GGUFReader(model).fields["general.architecture"].contents()
    out = gguf.GGUFWriter(path, arch)
    out.add_string("general.type", type_)
    out.add_string("adapter.type", kind)
    out.add_float32("adapter.lora.alpha", ALPHA)
    if extra:
        extra(out)
    for name, (a, b) in (pairs(model, parts, seed, size) if tensors is None else tensors).items():
        out.add_tensor(name + ".lora_a", a)
        out.add_tensor(name + ".lora_b", b)
    finish_gguf(out)
    return path


def merge(path, scale, model=TEXT_GGUF, parts=TEXT_PARTS, seed=1, size=0.08):
    """The model with that much of the adapter in its weights."""
    changed = pairs(model, parts, seed, size)
    source = gguf.GGUFReader(model)
    out = gguf.GGUFWriter(path, source.fields["general.architecture"].contents())
    for name, field in source.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind, sub = field.types[0], field.types[-1] if len(field.types) > 1 else None
        out.add_key_value(name, field.contents(), kind, sub)
    for t in source.tensors:
        if t.name not in changed:
            out.add_tensor(t.name, np.array(t.data), raw_dtype=t.tensor_type)
            continue
        a, b = changed[t.name]
        w = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
        out.add_tensor(t.name, w + b @ a * np.float32(ALPHA / RANK * scale))
    finish_gguf(out)
    return path


@pytest.fixture(scope="session")
def adapters(tmp_path_factory):
    """Two for the chat model: (one, two)."""
    folder = tmp_path_factory.mktemp("adapters")
    return (make_adapter(folder / "one.gguf", seed=1), make_adapter(folder / "two.gguf", seed=2))


@pytest.fixture(scope="session")
def embed_adapter(tmp_path_factory):
    return make_adapter(tmp_path_factory.mktemp("adapters") / "vectors.gguf", EMBED_GGUF,
                        EMBED_PARTS, size=0.1)
