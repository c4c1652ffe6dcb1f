"""Models that see, made here: real architectures with few and random weights, and pictures."""

import base64
import struct
import zlib

import gguf
import numpy as np
import pytest
from gguf_fixtures import WORDS, add_vocabulary
from llama_fixtures import TEXT_GGUF, finish_gguf, launch

VIEW, PATCH = 32, 8  # a picture as the encoder sees it, and a part of it


def png(pixels, depth=8, size=None):
    """A picture from rows of (r, g, b); `size` is what its head says instead."""
    height, width = len(pixels), len(pixels[0])
    rows = b"".join(b"\0" + bytes(c for p in row for c in p) for row in pixels)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(
            ">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", *(size or (width, height)), depth, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9))
            + chunk(b"IEND", b""))


def picture(seed, width=VIEW, height=VIEW):
    """Coloured noise, so that each seed looks different all over."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return png(pixels.tolist())


def url(data, kind="image/png"):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image(data, **more):
    return {"type": "image_url", "image_url": {"url": url(data), **more}}


def text(words):
    return {"type": "text", "text": words}


def user(*parts):
    return [{"role": "user", "content": list(parts)}]


# ---- projectors: what makes embeddings of pictures ----

def vision_encoder(out, kind, projected, random, width=16, feed=32, view=VIEW, layers=2):
    """Keys and layers that all of them have."""
    out.add_bool("clip.has_vision_encoder", True)
    out.add_string("clip.projector_type", kind)
    for key, value in (("image_size", view), ("patch_size", PATCH), ("embedding_length", width),
                       ("feed_forward_length", feed), ("block_count", layers),
                       ("projection_dim", projected), ("attention.head_count", 2)):
        out.add_uint32(f"clip.vision.{key}", value)
    out.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    out.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    out.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    out.add_bool("clip.use_gelu", True)

    def add(name, *shape, scale=0.3, is_norm=False):
        made = random.normal(1 if is_norm else 0, 0.1 if is_norm else scale, shape)
        out.add_tensor(name, made.astype(np.float32))

    for i in range(layers):
        b = f"v.blk.{i}."
        for n in ("attn_q", "attn_k", "attn_v", "attn_out"):
            add(b + n + ".weight", width, width)
            add(b + n + ".bias", width)
        for n in ("ln1", "ln2"):
            add(b + n + ".weight", width, is_norm=True)
            add(b + n + ".bias", width)
        add(b + "ffn_up.weight", feed, width)
        add(b + "ffn_up.bias", feed)
        add(b + "ffn_down.weight", width, feed)
        add(b + "ffn_down.bias", width)
    add("v.patch_embd.weight", width, 3, PATCH, PATCH)
    return add


def make_llava(path, projected, word=None, seed=1, view=VIEW, layers=2):
    """LLaVA's: 16 tokens a picture. With `word`, every token is that embedding, whatever the
    picture shows. A large `view` has many layers work on many tokens."""
    random, width = np.random.default_rng(seed), 16
    out = gguf.GGUFWriter(path, "clip")
    add = vision_encoder(out, "mlp", projected, random, view=view, layers=layers)
    add("v.position_embd.weight", (view // PATCH) ** 2, width)
    add("v.pre_ln.weight", width, is_norm=True)
    add("v.pre_ln.bias", width)
    add("mm.0.weight", projected, width)
    add("mm.0.bias", projected)
    if word is None:
        add("mm.2.weight", projected, projected, scale=0.02)
        add("mm.2.bias", projected, scale=0.02)
    else:
        out.add_tensor("mm.2.weight", np.zeros((projected, projected), np.float32))
        out.add_tensor("mm.2.bias", word.astype(np.float32))
    finish_gguf(out)


def make_qwen2vl(path, projected, seed=1):
    """Qwen2-VL's: as many tokens as the picture is large, with positions in rows and columns."""
    random, width = np.random.default_rng(seed), 16
    out = gguf.GGUFWriter(path, "clip")
    add = vision_encoder(out, "qwen2vl_merger", projected, random)
    add("v.patch_embd.weight.1", width, 3, PATCH, PATCH)
    add("v.post_ln.weight", width, is_norm=True)
    add("v.post_ln.bias", width)
    add("mm.0.weight", 4 * width, 4 * width)
    add("mm.0.bias", 4 * width)
    add("mm.2.weight", projected, 4 * width)
    add("mm.2.bias", projected)
    finish_gguf(out)


def make_gemma3(path, projected, seed=1):
    """Gemma 3's: 4 tokens a picture that all see each other."""
    random, width = np.random.default_rng(seed), 16
    out = gguf.GGUFWriter(path, "clip")
    add = vision_encoder(out, "gemma3", projected, random)
    out.add_uint32("clip.vision.projector.scale_factor", 2)
    add("v.position_embd.weight", (VIEW // PATCH) ** 2, width)
    add("v.post_ln.weight", width, is_norm=True)
    add("v.post_ln.bias", width)
    add("mm.input_projection.weight", width, projected)
    add("mm.soft_emb_norm.weight", width, is_norm=True)
    finish_gguf(out)


# ---- small models of text for them ----

WIDTH, FEED, HEADS = 64, 128, 4
TEMPLATE = "{% for m in messages %}{{ m.role }}:{{ m.content }}|{% endfor %}assistant:"
MARKS = {"llama": [], "qwen2vl": ["<|vision_start|>", "<|vision_end|>"],
         "gemma3": ["<start_of_image>", "<end_of_image>"]}


def make_text(path, arch, context=2048, seed=2):
    """A model of two layers that says nothing sensible."""
    random, head = np.random.default_rng(seed), WIDTH // HEADS
    out = gguf.GGUFWriter(path, arch)
    out.add_context_length(context)
    out.add_embedding_length(WIDTH)
    out.add_block_count(2)
    out.add_feed_forward_length(FEED)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    add_vocabulary(out, MARKS[arch])
    out.add_chat_template(TEMPLATE)

    def add(name, *shape, is_norm=False):
        made = random.normal(1 if is_norm else 0, 0.1 if is_norm else 0.15, shape)
        out.add_tensor(name, made.astype(np.float32))

    if arch == "qwen2vl":
        out.add_rope_dimension_sections([2, 3, 3, 0])
    if arch == "gemma3":
        out.add_key_length(head)
        out.add_value_length(head)
        out.add_sliding_window(64)
    add("token_embd.weight", WORDS + len(MARKS[arch]), WIDTH)
    add("output_norm.weight", WIDTH, is_norm=True)
    for i in range(2):
        b = f"blk.{i}."
        for n in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(b + n + ".weight", WIDTH, WIDTH)
            if arch == "qwen2vl" and n != "attn_output":
                add(b + n + ".bias", WIDTH)
        norms = ["attn_norm", "ffn_norm"]
        if arch == "gemma3":
            norms += ["post_attention_norm", "post_ffw_norm"]
            add(b + "attn_q_norm.weight", head, is_norm=True)
            add(b + "attn_k_norm.weight", head, is_norm=True)
        for n in norms:
            add(b + n + ".weight", WIDTH, is_norm=True)
        add(b + "ffn_gate.weight", FEED, WIDTH)
        add(b + "ffn_up.weight", FEED, WIDTH)
        add(b + "ffn_down.weight", WIDTH, FEED)
    finish_gguf(out)


# ---- what tests ask ----

def embedding_of(token, path):
    """A row of the table of a model that make_text() made."""
    for t in gguf.GGUFReader(path).tensors:
        if t.name == "token_embd.weight":
            return np.array(t.data[token])
    raise KeyError("token_embd.weight")


CHAT_WIDTH = 576  # SmolLM2's


@pytest.fixture(scope="session")
def projector(tmp_path_factory):
    path = tmp_path_factory.mktemp("projector") / "mmproj.gguf"
    make_llava(path, CHAT_WIDTH)
    return path


@pytest.fixture(scope="session")
def seeing(tmp_path_factory, projector):
    """The chat model with eyes that see something, though nothing that it knows."""
    m = launch(tmp_path_factory, TEXT_GGUF, "--mmproj", projector, "--ctx-size", 4096, "--alias",
               "eyes")
    yield m
    m.stop()


def make_seeing(kind, folder):
    """A small model of this kind as (text, projector)."""
    text_path, sight_path = folder / f"{kind}.gguf", folder / f"mmproj-{kind}.gguf"
    make_text(text_path, kind)
    {"qwen2vl": make_qwen2vl, "gemma3": make_gemma3}[kind](sight_path, WIDTH)
    return text_path, sight_path
