"""Chats with images: a real encoder with random weights, in front of real models."""

import base64
import concurrent.futures
import json
import os
import re
import socket
import struct
import subprocess
import zlib

import openai
import pytest
from gguf import GGUFValueType as T
from conftest import BUILD, eventually, memory_kib
from images_fixtures import (WIDTH, embedding_of, image, make_llava, make_seeing,  # noqa: F401
                             make_text, picture, png, projector, seeing, text, url, user)
from llama_fixtures import (ROOT, TEXT_GGUF, copy_gguf, finish_gguf, launch, llama,  # noqa: F401
                            spawn)

PHOTO = ROOT / "build" / "llama" / "src" / "tools" / "mtmd" / "test-1.jpeg"
TOKENS = 16  # of a picture, by make_llava()
WORD = 300
# The cache holds 16-bit numbers, and sums depend on the sizes of batches.
CLOSE = 0.02


def ask(m, messages, n=6, **more):
    r = m.chat(messages=messages, max_tokens=n, logprobs=True, **more)
    assert r.status_code == 200, r.text
    return r.json()


def logprobs(answer):
    return [t["logprob"] for t in answer["choices"][0]["logprobs"]["content"]]


def content(answer):
    return answer["choices"][0]["message"]["content"]


def cached(answer):
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def counted(answer):
    return answer["usage"]["prompt_tokens"]


def refused(m, messages, words, status=400):
    r = m.chat(messages=messages, max_tokens=1)
    assert r.status_code == status, r.text
    error = r.json()["error"]
    assert words in error["message"] and error["param"] == "messages", error
    return error


# ---- what a picture is to the model ----

@pytest.fixture(scope="module")
def word_eyes(tmp_path_factory, spawn_module):
    """Each of its pictures is TOKENS times the word WORD."""
    folder = tmp_path_factory.mktemp("word")
    model, sight = folder / "m.gguf", folder / "mmproj.gguf"
    make_text(model, "llama")
    make_llava(sight, WIDTH, word=embedding_of(WORD, model))
    return spawn_module(model, "--mmproj", sight, "--ctx-size", 2048)


@pytest.fixture(scope="module")
def spawn_module(tmp_path_factory):
    started = []

    def begin(*args):
        started.append(launch(tmp_path_factory, *args))
        return started[-1]

    yield begin
    for m in started:
        m.stop()


@pytest.fixture(scope="module", params=["qwen2vl", "gemma3"])
def small(request, tmp_path_factory, spawn_module):
    """Models whose positions and attention are special for pictures, with weights of 32 bits."""
    model, sight = make_seeing(request.param, tmp_path_factory.mktemp("small"))
    return spawn_module(model, "--mmproj", sight, "--ctx-size", 2048)


def tokens_of(m, messages):
    """The prompt's tokens, with WORDs where the pictures are."""
    prompt = m.post("/apply-template", messages=messages).json()["prompt"]
    pieces = re.split(r"<__image_[0-9a-f]{32}_[0-9]{2}__>", prompt)
    out = []
    for i, piece in enumerate(pieces):
        if i:
            out += [WORD] * TOKENS
        if piece:
            out += m.post("/tokenize", content=piece, add_special=not i).json()["tokens"]
    return out


@pytest.mark.parametrize("parts", [
    "tp", "pt", "tpt", "tptpt", "pp", "ptp"], ids=lambda p: p)
def test_a_picture_stands_where_it_was_put(word_eyes, parts):
    words = iter(["What is in it?", "And then there was this one,", "so tell me."])
    messages = user(*(image(picture(1)) if p == "p" else text(next(words)) for p in parts))
    prompt = tokens_of(word_eyes, messages)
    assert prompt.count(WORD) == TOKENS * parts.count("p")
    seen = ask(word_eyes, messages, cache_prompt=False)
    r = word_eyes.post("/v1/completions", prompt=prompt, max_tokens=6, temperature=0, logprobs=1,
                       cache_prompt=False)
    read = r.json()
    assert counted(seen) == counted(read) == len(prompt)
    assert logprobs(seen) == pytest.approx(
        read["choices"][0]["logprobs"]["token_logprobs"], abs=CLOSE)


def test_the_same_picture_is_cached_and_another_is_not(seeing):
    def messages(n):
        return user(text("What do you see here?"), image(picture(n)), text("Say it in a word."))

    first, again, other = (ask(seeing, messages(n)) for n in (1, 1, 2))
    assert cached(again) == counted(again) - 1
    assert logprobs(again)[0] == pytest.approx(logprobs(first)[0], abs=0.3)  # rounded weights
    before = ask(seeing, user(text("What do you see here?")), n=1)
    assert 0 < cached(other) <= counted(before)
    assert cached(other) < counted(other) - TOKENS
    assert abs(logprobs(other)[0] - logprobs(first)[0]) > 1e-3
    assert seeing.http.get("/props").json()["modalities"]["vision"] is True


def test_one_picture_is_no_two(small):
    two = user(image(picture(1)), image(picture(1)), text("Which?"))
    one = user(image(picture(1)), text("Which?"))
    a, b = ask(small, two), ask(small, one)
    assert counted(a) > counted(b)
    assert abs(logprobs(a)[0] - logprobs(b)[0]) > CLOSE
    assert cached(b) < counted(b)
    assert logprobs(ask(small, one, cache_prompt=False)) == pytest.approx(logprobs(b), abs=CLOSE)


def test_the_cache_changes_no_answer(small):
    """A conversation with pictures of several sizes, against one that computes all of it."""
    messages = []
    for turn, (n, size) in enumerate([(1, (32, 32)), (2, (160, 96)), (3, (64, 200))]):
        messages += user(text(f"Turn {turn}, see"), image(picture(n, *size)), text("and tell."))
        got = ask(small, messages)
        fresh = ask(small, messages, cache_prompt=False)
        assert logprobs(got) == pytest.approx(logprobs(fresh), abs=CLOSE)
        assert cached(fresh) == 0
        again = ask(small, messages)
        assert logprobs(again) == pytest.approx(logprobs(fresh), abs=CLOSE)
        assert cached(again) == counted(again) - 1
        if turn:
            assert cached(got) >= total
        total = counted(got)
        messages.append({"role": "assistant", "content": "I see."})


def test_other_pictures_behind_the_same_beginning(small):
    first = [text("Compare"), image(picture(1, 96, 96)), text("with")]
    a = ask(small, user(*first, image(picture(2, 96, 96)), text("now")))
    b = ask(small, user(*first, image(picture(3, 96, 96)), text("now")))
    assert 0 < cached(b) < counted(b) - 1
    fresh = ask(small, user(*first, image(picture(3, 96, 96)), text("now")), cache_prompt=False)
    assert logprobs(b) == pytest.approx(logprobs(fresh), abs=CLOSE)
    assert logprobs(a)[0] != pytest.approx(logprobs(b)[0], abs=CLOSE)


def test_several_answers_see_the_same(small):
    messages = user(text("See"), image(picture(5, 96, 64)))
    answer = ask(small, messages, n=1, cache_prompt=False)
    r = small.chat(messages=messages, max_tokens=1, n=3, logprobs=True)
    first = [c["logprobs"]["content"][0]["logprob"] for c in r.json()["choices"]]
    assert first == pytest.approx([logprobs(answer)[0]] * 3, abs=CLOSE)


# ---- beside others ----

def test_pictures_beside_streams_and_each_other(small):
    alone = [ask(small, user(text("Beside"), image(picture(n, 160, 160)), text("?")))
             for n in range(10, 14)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        streams = [pool.submit(small.stream, "/v1/chat/completions", temperature=0,
                               messages=user(text("Count to a hundred.")), max_tokens=100,
                               ignore_eos=True, cache_prompt=False) for _ in range(3)]
        asked = [pool.submit(ask, small, user(text("Beside"), image(picture(n, 160, 160)),
                                              text("?")), cache_prompt=False)
                 for n in range(10, 14)]
        for was, now in zip(alone, asked):
            assert logprobs(now.result())[0] == pytest.approx(logprobs(was)[0], abs=CLOSE)
        for s in streams:
            assert s.result()[-1]["timings"]["predicted_n"] == 100


def test_who_leaves_before_the_picture_is_seen_leaves_nothing(seeing):
    for _ in range(5):
        with pytest.raises(Exception):
            seeing.http.post("/v1/chat/completions", timeout=0.01, json={
                "messages": user(image(picture(20, 1500, 1500)), text("?")), "max_tokens": 500})
    eventually(lambda: not any(s["is_processing"] for s in seeing.http.get("/slots").json()))
    eventually(lambda: seeing.metric("running") == 0)
    assert content(ask(seeing, user(image(picture(21)), text("Still there?"))))


def test_nobody_waits_for_the_encoder_of_who_has_left(spawn, tmp_path):
    """It would take a minute."""
    slow = tmp_path / "slow.gguf"
    make_llava(slow, 576, view=384, layers=100)
    m = spawn(TEXT_GGUF, "--mmproj", slow, "--ctx-size", 4096, "--log-level", "debug",
              "--threads", 1)

    body = json.dumps({"messages": user(image(picture(1)), text("?"))}).encode()

    def leave():
        before = m.log().count("image begins")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(m.listen.removeprefix("unix:"))
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: "
                      b"%d\r\n\r\n" % len(body) + body)
            eventually(lambda: m.log().count("image begins") > before)

    leave()
    eventually(lambda: "image left" in m.log())
    leave()
    eventually(lambda: m.log().count("image left") == 2)
    assert m.chat("Still there?").status_code == 200
    assert "image encoded" not in m.log()


# ---- what is refused ----

def bomb():
    """A PNG whose few bytes unpack to a gigabyte."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(
            ">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def rss(m):
    return memory_kib(m.process.pid, "HWM") << 10


WHOLE = picture(1)


@pytest.mark.parametrize("data,words", [
    (b"", "no PNG, JPEG, WebP or GIF"),
    (b"hello", "no PNG, JPEG, WebP or GIF"),
    (WHOLE[:20], "cannot be read"),
    (WHOLE[:200], "cannot be read"),
    (b"\xff\xd8\xff" + bytes(100), "cannot be read"),
    (b"GIF89a" + bytes(100), "pixels"),
    (png([[(1, 2, 3)]], size=(100000, 100000)), "cannot be read"),
    (png([[(1, 2, 3)]], size=(16385, 10)), "cannot be read"),
    (png([[(1, 2, 3)]], size=(16000, 16000)), "make it smaller"),
    (png([[(1, 2, 3)] * 202] * 2), "one side may be"),
    (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(30), "head is broken"),
    (b"RIFF\x24\0\0\0WAVEfmt " + bytes(30), "no PNG, JPEG, WebP or GIF"),
    (b"RIFF\x24\0\0\0WEBP", "head is broken")],
    ids=lambda p: p if isinstance(p, str) else f"{len(p)} bytes")
def test_broken_pictures_are_the_clients_fault(seeing, data, words):
    refused(seeing, user(image(data), text("What?")), words)
    refused(seeing, user(image(WHOLE), image(data)), "image 2: ")


def test_a_picture_that_unpacks_to_a_gigabyte_takes_no_memory(seeing):
    was = rss(seeing)
    refused(seeing, user(image(bomb())), "cannot be read")
    assert rss(seeing) - was < 200 << 20


@pytest.mark.parametrize("where,words", [
    ("http://127.0.0.1:1/x.png", "not fetched from the web"),
    ("https://example.com/x.png", "not fetched from the web"),
    ("file:///etc/passwd", "must be data:image/png"),
    ("data:image/png,abc", "must be data:image/png"),
    ("data:image/png;base64", "must be data:image/png"),
    ("", "must be data:image/png"),
    ("data:image/png;base64,iVBORw0K!!", "base64"),
    ("data:image/png;base64,iVBOR", "base64 is cut"),
    ({"no": "url"}, "must have 'image_url'"),
    (None, "must have 'image_url'"),
    (7, "must have 'image_url'")])
def test_other_urls_are_refused(seeing, where, words):
    part = {"type": "image_url", "image_url": where if isinstance(where, dict) else {"url": where}}
    refused(seeing, user(text("See"), part), words)


def test_a_file_that_is_too_large(seeing):
    big = WHOLE + bytes((20 << 20) - len(WHOLE))
    assert content(ask(seeing, user(image(big)), n=1)) is not None
    refused(seeing, user(image(big + b"\0")), "bytes")
    refused(seeing, user(image(big + bytes(1 << 20))), "bytes")


def test_so_many_and_no_more(word_eyes):
    many = [image(picture(n)) for n in range(32)]
    assert counted(ask(word_eyes, user(*many), n=1)) > 32 * TOKENS
    refused(word_eyes, user(*many, image(picture(1))), "may have 32 images, not 33")


def test_a_prompt_that_pictures_make_too_long(spawn, projector):
    m = spawn(TEXT_GGUF, "--mmproj", projector, "--ctx-size", 128)
    r = m.chat(messages=user(*[image(picture(n)) for n in range(8)]))
    assert r.status_code == 400
    assert re.search(r"the prompt has 1[3-9]\d tokens", r.json()["error"]["message"])
    assert r.json()["error"]["code"] == "context_length_exceeded"
    # One that fits is answered up to where the context ends.
    answer = ask(m, user(*[image(picture(n)) for n in range(5)]), n=100, ignore_eos=True)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] == 128


def test_sound_is_refused(seeing):
    part = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    refused(seeing, user(part), "takes text and images only, not a part of type 'input_audio'")


def test_a_model_without_eyes_says_so(llama):
    error = refused(llama, user(text("What is this?"), image(picture(1))),
                    "this model takes text only")
    assert error["type"] == "invalid_request_error"
    assert llama.http.get("/props").json()["modalities"]["vision"] is False


def test_a_template_that_drops_pictures(spawn, projector, tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text("{% for m in messages %}{{ m.role }}{% endfor %}")
    m = spawn(TEXT_GGUF, "--mmproj", projector, "--ctx-size", 512, "--chat-template-file",
              template)
    refused(m, user(image(picture(1)), text("?")), "chat template leaves images out")
    template.write_text("{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}")
    m = spawn(TEXT_GGUF, "--mmproj", projector, "--ctx-size", 512, "--chat-template-file",
              template)
    refused(m, user(image(picture(1)), text("?")), "chat template leaves images out")


def test_a_mark_in_a_text_is_text(seeing):
    words = "<__media__> <__image_00000000000000000000000000000000_00__>"
    r = seeing.post("/apply-template", messages=user(text(words), image(picture(1))))
    assert words in r.json()["prompt"]
    assert content(ask(seeing, user(text(words), image(picture(1)))))


# ---- kinds of pictures ----

GIF = base64.b64decode("R0lGODlhAgACAPAAAP8AAAAA/yH5BAAAAAAALAAAAAACAAIAAAICRF4AOw==")


@pytest.mark.parametrize("data", [
    PHOTO.read_bytes() if PHOTO.exists() else b"", GIF, picture(3, 700, 500),
    png([[(1, 2, 3)]])], ids=["jpeg", "gif", "large", "pixel"])
def test_pictures_of_each_kind(seeing, data):
    assert data, f"{PHOTO} is missing: run `make test`, which brings it"
    answer = ask(seeing, user(image(data, detail="low"), text("What is it?")))
    assert content(answer) and counted(answer) > TOKENS


def webp(data, *how):
    return subprocess.run(["cwebp", "-quiet", *how, "-o", "-", "--", "-"], input=data,
                          capture_output=True, check=True).stdout


def test_a_webp_file_is_the_picture_that_was_put_in_it(word_eyes, small):
    first = picture(3, 200, 120)
    as_png = ask(small, user(image(first), text("What is it?")), cache_prompt=False)
    as_webp = ask(small, user(image(webp(first, "-lossless")), text("What is it?")),
                  cache_prompt=False)
    assert counted(as_webp) == counted(as_png)
    # Tokens after the first are attended one by one, of which ggml sums heads of 16 numbers in
    # 16 bits, in the order of their cells.
    assert logprobs(as_webp)[0] == pytest.approx(logprobs(as_png)[0], abs=1e-4)
    assert logprobs(as_webp) == pytest.approx(logprobs(as_png), abs=CLOSE)
    for how in (("-q", "90"), ("-q", "1", "-m", "6"), ("-alpha_q", "10")):
        assert content(ask(word_eyes, user(image(webp(first, *how)), text("?")))) is not None


def test_webp_files_that_are_refused(seeing, tmp_path):
    whole = webp(picture(3, 200, 120), "-lossless")
    refused(seeing, user(image(whole[:-2000])), "cut or broken")
    refused(seeing, user(image(webp(png([[(1, 2, 3)] * 202] * 2), "-lossless"))),
            "one side may be")
    # VP8L: the width and height less one, 14 bits each, behind its signature.
    huge = bytearray(whole)
    struct.pack_into("<I", huge, 21, 16382 | 16382 << 14)
    was = rss(seeing)
    refused(seeing, user(image(bytes(huge))), "make it smaller")
    assert rss(seeing) - was < 50 << 20
    for n in range(2):
        (tmp_path / f"{n}.png").write_bytes(picture(n))
    subprocess.run(["img2webp", "-o", tmp_path / "moving.webp", tmp_path / "0.png",
                    tmp_path / "1.png"], check=True, capture_output=True)
    refused(seeing, user(image((tmp_path / "moving.webp").read_bytes())), "is an animation")


def test_a_url_that_is_no_object(seeing):
    part = {"type": "image_url", "image_url": url(picture(1))}
    a = ask(seeing, user(part, text("What?")))
    b = ask(seeing, user(image(picture(1)), text("What?")))
    assert cached(b) == counted(b) - 1 == counted(a) - 1


def test_openais_sdk(seeing):
    client = openai.OpenAI(base_url="http://llama/v1", api_key="none", http_client=seeing.http,
                           max_retries=0)
    messages = [{"role": "system", "content": "You see."},
                *user(text("What is in this image?"), image(picture(1), detail="auto"))]
    whole = client.chat.completions.create(model="eyes", messages=messages, max_tokens=8,
                                           temperature=0)
    stream = client.chat.completions.create(model="eyes", messages=messages, max_tokens=8,
                                            temperature=0, stream=True,
                                            stream_options={"include_usage": True})
    chunks = list(stream)
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said and said.split()[0] == whole.choices[0].message.content.split()[0]
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens > TOKENS
    with pytest.raises(openai.BadRequestError, match="not fetched from the web"):
        client.chat.completions.create(model="eyes", max_tokens=8, messages=user(
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}))


# ---- projectors that do not fit ----

def test_projectors_that_do_not_fit(spawn, tmp_path, projector):
    other = tmp_path / "other.gguf"
    make_llava(other, 64)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(projector.read_bytes()[:-1000])
    for path, words in ((other, "mismatch"), (cut, "cut.gguf"), (TEXT_GGUF, "is no projector"),
                        (tmp_path / "nowhere", "No such file")):
        m = spawn(TEXT_GGUF, "--mmproj", path, "--ctx-size", 512)
        failed = m.told[-1]
        assert failed["event"] == "failed" and words in failed["message"], failed
        # Of one of a wrong width libmtmd frees nothing; the process ends all the same.
        if path == other:
            assert m.process.wait(60) != 0
            m.events.close()
        else:
            m.stop(expect=1)


@pytest.mark.parametrize("key,value,kind", [
    ("clip.has_vision_encoder", 1, T.UINT32), ("clip.projector_type", 7, T.UINT32),
    ("clip.vision.block_count", "2", T.STRING), ("clip.vision.image_size", 32.0, T.FLOAT32),
    ("clip.vision.attention.layer_norm_epsilon", 1, T.UINT32), ("clip.use_gelu", "y", T.STRING),
    ("clip.vision.patch_size", 0, T.UINT32), ("clip.vision.image_mean", 0.5, T.FLOAT32)])
def test_a_projector_of_other_types_is_told(spawn, tmp_path, projector, key, value, kind):
    path = tmp_path / "other.gguf"
    out = copy_gguf(projector, path, but=(key,))
    out.add_key_value(key, value, kind)
    finish_gguf(out)
    m = spawn(TEXT_GGUF, "--mmproj", path, "--ctx-size", 512)
    assert m.ready is None and m.process.wait(60) == 1, m.log()
    assert m.told[-1]["event"] == "failed" and m.told[-1]["cause"] in ("file", "unsupported")
    m.events.close()


# ---- by modeld ----

def test_modeld_gives_a_models_projector_to_its_engine(start, projector, tmp_path):
    daemon, name = start(tmp_path / "store"), "ai/eyes"
    subprocess.run([BUILD / "docker-model", "package", "--gguf", TEXT_GGUF, "--mmproj", projector,
                    name], env={**os.environ, "MODEL_RUNNER_HOST": daemon.url}, check=True,
                   capture_output=True)
    r = daemon.http.post("/engines/v1/chat/completions", json={
        "model": name, "max_tokens": 4, "temperature": 0,
        "messages": user(text("What is this?"), image(picture(1)))})
    assert r.status_code == 200, r.text
    assert r.json()["usage"]["prompt_tokens"] > TOKENS
    r = daemon.http.post("/engines/v1/chat/completions", json={
        "model": name, "messages": user(image(b"nothing"))})
    assert r.status_code == 400
    assert "no PNG, JPEG, WebP or GIF" in json.dumps(r.json())
