"""Photographs, made here: pictures that say how their camera was held."""

import struct
import subprocess
import zlib

import numpy as np

BLOCK = 8  # pixels; a JPEG keeps one whole if it has one shade

# How each number's picture lies in the file, when it is `seen` (EXIF 2.32, 4.6.4).
STORED = {
    1: lambda seen: seen,
    2: np.fliplr,
    3: lambda seen: np.rot90(seen, 2),
    4: np.flipud,
    5: np.transpose,
    6: np.rot90,
    7: lambda seen: np.rot90(seen, 2).transpose(),
    8: lambda seen: np.rot90(seen, -1),
}


def grey(seed, width, height):
    """Blocks of noise, as rows of shades."""
    shades = np.random.default_rng(seed).integers(0, 256, (height // BLOCK, width // BLOCK))
    return np.kron(shades, np.ones((BLOCK, BLOCK), int))


def exif(orientation):
    order = "<>"[orientation % 2]
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(
        order + "IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


def png(pixels, orientation=None):
    height, width = pixels.shape

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(
            ">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + bytes(row.tolist()) for row in pixels)
    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
            + (chunk(b"eXIf", exif(orientation)) if orientation else b"")
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def jpeg(pixels, orientation=None):
    """Every block is one shade, which is its first coefficient; all others are 0."""
    def segment(marker, data):
        return struct.pack(">BBH", 0xff, marker, 2 + len(data)) + data

    height, width = pixels.shape
    bits, last = "", 128
    for shade in pixels[::BLOCK, ::BLOCK].flatten().tolist():
        step, last = shade - last, shade
        size = abs(step).bit_length()
        bits += f"{size:04b}"  # the code of a size is its number
        if size:
            bits += f"{step if step > 0 else step + (1 << size) - 1:0{size}b}"
        bits += "0"  # no other coefficients
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return (b"\xff\xd8"
            + (segment(0xe1, b"Exif\0\0" + exif(orientation)) if orientation else b"")
            + segment(0xdb, bytes([0] + [8] * 64))
            + segment(0xc0, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0))
            + segment(0xc4, bytes([0x00, 0, 0, 0, 10] + [0] * 12 + [*range(10)]))
            + segment(0xc4, bytes([0x10, 1] + [0] * 15 + [0]))
            + segment(0xda, bytes([1, 1, 0, 0, 63, 0])) + scan + b"\xff\xd9")


def webp(pixels, folder, orientation=None):
    made = folder / f"{orientation}.webp"
    subprocess.run(["cwebp", "-quiet", "-lossless", "-o", made, "--", "-"], input=png(pixels),
                   check=True)
    if orientation:
        (folder / "exif").write_bytes(exif(orientation))
        subprocess.run(["webpmux", "-set", "exif", folder / "exif", made, "-o", made], check=True,
                       capture_output=True)
    return made.read_bytes()
