"""GGUF files made by hand, right and wrong ones."""

import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64 = range(11)
FORMS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?",
         U64: "Q"}


def text(s):
    raw = s.encode() if isinstance(s, str) else s
    return struct.pack("<Q", len(raw)) + raw


def value(kind, v):
    if kind == STRING:
        return text(v)
    if kind == ARRAY:
        inner, items = v
        return struct.pack("<IQ", inner, len(items)) + b"".join(value(inner, i) for i in items)
    return struct.pack("<" + FORMS[kind], v)


def pair(key, kind, v):
    return text(key) + struct.pack("<I", kind) + value(kind, v)


def tensor(name, dims, kind, offset):
    return text(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims) + \
        struct.pack("<IQ", kind, offset)


def file(pairs, tensors, data=b"", *, magic=b"GGUF", version=3, n_tensors=None, n_pairs=None,
         alignment=32):
    head = magic + struct.pack("<IQQ", version,
                               len(tensors) if n_tensors is None else n_tensors,
                               len(pairs) if n_pairs is None else n_pairs)
    head += b"".join(pair(*p) for p in pairs) + b"".join(tensor(*t) for t in tensors)
    return head + bytes(-len(head) % alignment) + data


WIDTH, FEED = 64, 128
LETTERS = [chr(c) for c in range(33, 127)]
VOCABULARY = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)] + LETTERS
TOKEN_TYPES = [2, 3, 3] + [6] * 256 + [1] * len(LETTERS)
FIRST_LETTER = 3 + 256
WORDS = len(VOCABULARY)


def add_vocabulary(out, marks=()):
    """Gives it to a gguf.GGUFWriter's model. A letter is a token; `marks` are some of control
    behind the letters."""
    out.add_tokenizer_model("llama")
    out.add_token_list(VOCABULARY + list(marks))
    out.add_token_scores([-float(i) for i in range(WORDS + len(marks))])
    out.add_token_types(TOKEN_TYPES + [3] * len(marks))
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)


def tiny(changes=None, *, extra=(), drop=(), rename=None):
    """A whole llama model of two layers that says nothing sensible. `changes` are
    {key: (kind, value)}; the model is as large as WIDTH and so on say, whatever they claim."""
    pairs = {
        "general.architecture": (STRING, "llama"), "general.name": (STRING, "tiny"),
        "llama.context_length": (U32, 256), "llama.embedding_length": (U32, WIDTH),
        "llama.block_count": (U32, 2), "llama.feed_forward_length": (U32, FEED),
        "llama.attention.head_count": (U32, 4), "llama.attention.head_count_kv": (U32, 4),
        "llama.rope.dimension_count": (U32, WIDTH // 4),
        "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
        "tokenizer.ggml.model": (STRING, "llama"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, VOCABULARY)),
        "tokenizer.ggml.scores": (ARRAY, (F32, [-float(i) for i in range(WORDS)])),
        "tokenizer.ggml.token_type": (ARRAY, (I32, TOKEN_TYPES)),
        "tokenizer.ggml.bos_token_id": (U32, 1), "tokenizer.ggml.eos_token_id": (U32, 2),
        "tokenizer.chat_template": (STRING, "{% for m in messages %}{{ m.content }}{% endfor %}"),
    }
    pairs.update(changes or {})
    shapes = [("token_embd.weight", (WIDTH, WORDS)), ("output_norm.weight", (WIDTH,)),
              ("output.weight", (WIDTH, WORDS))]
    for i in range(2):
        shapes += [(f"blk.{i}.{n}.weight", s) for n, s in (
            ("attn_norm", (WIDTH,)), ("attn_q", (WIDTH, WIDTH)), ("attn_k", (WIDTH, WIDTH)),
            ("attn_v", (WIDTH, WIDTH)), ("attn_output", (WIDTH, WIDTH)),
            ("ffn_norm", (WIDTH,)), ("ffn_gate", (WIDTH, FEED)), ("ffn_down", (FEED, WIDTH)),
            ("ffn_up", (WIDTH, FEED)))]
    tensors, data = [], b""
    for name, dims in shapes:
        if name in drop:
            continue
        count = 1
        for d in dims:
            count *= d
        tensors.append(((rename or {}).get(name, name), dims, 0, len(data)))
        data += struct.pack(f"<{count}f", *(((i * 7919) % 97 - 48) / 500 for i in range(count)))
        data += bytes(-len(data) % 32)
    return file([(k, *v) for k, v in pairs.items() if k not in drop] + list(extra), tensors, data)
