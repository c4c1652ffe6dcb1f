"""A photograph reaches the model as its camera was held, whatever way it lies in its file."""

import pytest

from images_fixtures import image, make_seeing, text, user
from llama_fixtures import launch
from photo_fixtures import STORED, grey, jpeg, png, webp

# The cache holds 16-bit numbers, and sums depend on the sizes of batches.
CLOSE = 0.02


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """Its tokens are as many as the picture is wide and high, and each has its place."""
    model, sight = make_seeing("qwen2vl", tmp_path_factory.mktemp("photos"))
    m = launch(tmp_path_factory, model, "--mmproj", sight, "--ctx-size", 2048)
    yield m
    m.stop()


def seen(m, data):
    r = m.chat(messages=user(text("See"), image(data), text("and tell.")), max_tokens=4,
               temperature=0, logprobs=True, cache_prompt=False)
    assert r.status_code == 200, r.text
    return [t["logprob"] for t in r.json()["choices"][0]["logprobs"]["content"]]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_photograph_is_seen_upright(eyes, tmp_path, kind):
    def file(pixels, orientation=None):
        return webp(pixels, tmp_path, orientation) if kind == "webp" else {
            "png": png, "jpeg": jpeg}[kind](pixels, orientation)

    shades = grey(1, 128, 64)
    upright = seen(eyes, png(shades))
    for orientation, stored in STORED.items():
        lying = stored(shades)
        assert seen(eyes, file(lying, orientation)) == pytest.approx(upright, abs=CLOSE), orientation
        told_nothing = seen(eyes, file(lying))
        assert (told_nothing == pytest.approx(upright, abs=CLOSE)) == (orientation == 1), orientation


def test_exif_that_makes_no_sense_changes_nothing(eyes):
    shades = grey(3, 64, 64)
    good = jpeg(shades, 5)
    for bad in (good.replace(b"\x01\x12\0\3", b"\x01\x12\0\4"), jpeg(shades, 9),
                good.replace(b"\0\0\0\x08", b"\xff\xff\xff\xff"), jpeg(shades, 0x7fff)):
        assert seen(eyes, bad) == pytest.approx(seen(eyes, png(shades)), abs=CLOSE)
