"""Small models of random weights, one for each kind of memory: `plain` attention, whose state
can be cut anywhere; a sliding `window`, which forgets; a `recurrent` one, which keeps one state;
and a `hybrid` of that and attention. A letter is a token, and only letters are ever answered."""

import gguf
import numpy as np
import pytest

from gguf_fixtures import FIRST_LETTER, WORDS, add_vocabulary
from llama_fixtures import finish_gguf

KINDS = ("plain", "window", "recurrent", "hybrid")
WIDTH, FEED, LAYERS, HEADS, KV_HEADS, HEAD = 64, 128, 4, 4, 2, 16
WINDOW = 32
CONTEXT = 8192


class Maker:
    def __init__(self, path, arch, seed):
        self.out = gguf.GGUFWriter(path, arch)
        self.random = np.random.default_rng(seed)

    kind = np.float32

    def matrix(self, name, *shape, scale=1.0, suffix=".weight", kind=None):
        """Of a row for each thing that comes out, as numpy has it."""
        x = self.random.normal(0, scale / np.sqrt(shape[-1]), shape)
        self.out.add_tensor(name + suffix, x.astype(kind or self.kind))

    def near_one(self, name, n, suffix=".weight"):
        self.out.add_tensor(name + suffix, self.random.normal(1, 0.1, n).astype(np.float32))

    def words(self):
        out = self.out
        add_vocabulary(out)
        out.add_add_bos_token(True)
        out.add_add_space_prefix(False)
        out.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
        self.matrix("token_embd", WORDS, WIDTH, scale=8)
        x = self.random.normal(0, 6 / np.sqrt(WIDTH), (WORDS, WIDTH)).astype(np.float32)
        x[:FIRST_LETTER] = 0
        out.add_tensor("output.weight", x)

    def finish(self):
        finish_gguf(self.out)


class Packed(Maker):
    """Floats of 16 bits are packed as the model loads, also in rows as short as a state-space
    model has."""
    kind = np.float16


def attention(m, b):
    m.matrix(b + "attn_q", HEADS * HEAD, WIDTH, scale=2)
    m.matrix(b + "attn_k", KV_HEADS * HEAD, WIDTH, scale=2)
    m.matrix(b + "attn_v", KV_HEADS * HEAD, WIDTH)
    m.matrix(b + "attn_output", WIDTH, HEADS * HEAD)


def feed_forward(m, b):
    m.near_one(b + "ffn_norm", WIDTH)
    m.matrix(b + "ffn_gate", FEED, WIDTH)
    m.matrix(b + "ffn_up", FEED, WIDTH)
    m.matrix(b + "ffn_down", WIDTH, FEED)


def common(m, head_count_kv=KV_HEADS):
    out = m.out
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(FEED)
    out.add_head_count(HEADS)
    out.add_head_count_kv(head_count_kv)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(HEAD)
    m.words()


def make_plain(path):
    m = Packed(path, "llama", 1)
    common(m)
    m.near_one("output_norm", WIDTH)
    for i in range(LAYERS):
        b = f"blk.{i}."
        m.near_one(b + "attn_norm", WIDTH)
        attention(m, b)
        feed_forward(m, b)
    m.finish()


def make_window(path):
    """Every second layer sees WINDOW tokens only."""
    m = Packed(path, "gemma3", 2)
    common(m)
    m.out.add_key_length(HEAD)
    m.out.add_value_length(HEAD)
    m.out.add_sliding_window(WINDOW)
    m.out.add_uint32("gemma3.attention.sliding_window_pattern", 2)
    m.near_one("output_norm", WIDTH)
    for i in range(LAYERS):
        b = f"blk.{i}."
        m.near_one(b + "attn_norm", WIDTH)
        attention(m, b)
        for name, n in (("attn_q_norm", HEAD), ("attn_k_norm", HEAD),
                        ("post_attention_norm", WIDTH), ("post_ffw_norm", WIDTH)):
            m.near_one(b + name, n)
        feed_forward(m, b)
    m.finish()


def make_recurrent(path):
    inner, state, rank, kernel = 2 * WIDTH, 8, 4, 4
    m = Packed(path, "mamba", 3)
    out = m.out
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(0)
    out.add_head_count(0)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_ssm_conv_kernel(kernel)
    out.add_ssm_inner_size(inner)
    out.add_ssm_state_size(state)
    out.add_ssm_time_step_rank(rank)
    m.words()
    m.near_one("output_norm", WIDTH)
    for i in range(LAYERS):
        b = f"blk.{i}."
        m.near_one(b + "attn_norm", WIDTH)
        m.matrix(b + "ssm_in", 2 * inner, WIDTH)
        m.matrix(b + "ssm_conv1d", inner, kernel, kind=np.float32)
        m.matrix(b + "ssm_conv1d", inner, suffix=".bias", kind=np.float32)
        m.matrix(b + "ssm_x", rank + 2 * state, inner)
        m.matrix(b + "ssm_dt", inner, rank)
        m.out.add_tensor(b + "ssm_dt.bias", np.full(inner, -3, np.float32))
        # Forgets slowly: what was long ago still counts.
        m.out.add_tensor(b + "ssm_a", -m.random.uniform(0.05, 0.5, (inner, state))
                         .astype(np.float32))
        m.near_one(b + "ssm_d", inner, suffix="")
        m.matrix(b + "ssm_out", WIDTH, inner)
    m.finish()


def make_hybrid(path):
    kernel = 3
    m = Packed(path, "lfm2", 4)
    common(m, head_count_kv=[0, KV_HEADS] * (LAYERS // 2))
    m.out.add_uint32("lfm2.shortconv.l_cache", kernel)
    m.near_one("token_embd_norm", WIDTH)
    for i in range(LAYERS):
        b = f"blk.{i}."
        m.near_one(b + "attn_norm", WIDTH)
        if i % 2:
            attention(m, b)
            m.near_one(b + "attn_q_norm", HEAD)
            m.near_one(b + "attn_k_norm", HEAD)
        else:
            m.matrix(b + "shortconv.conv", WIDTH, kernel, scale=2, kind=np.float32)
            m.matrix(b + "shortconv.in_proj", 3 * WIDTH, WIDTH)
            m.matrix(b + "shortconv.out_proj", WIDTH, WIDTH)
        feed_forward(m, b)
    m.finish()


@pytest.fixture(scope="session")
def kinds(tmp_path_factory):
    """{kind: path}."""
    folder = tmp_path_factory.mktemp("kinds")
    paths = {kind: folder / f"{kind}.gguf" for kind in KINDS}
    for kind, path in paths.items():
        globals()[f"make_{kind}"](path)
    return paths
