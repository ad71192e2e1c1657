#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/images: small files of every kind that the codecs must read, written by Pillow, cwebp and
ImageMagick's convert, and pixels.rgb: what Pillow decodes from them, one after the other.

    /usr/bin/python3 tests/golden/make_images.py        # from the root of the checkout; needs Pillow, webp, imagemagick

list.txt says for the test: file, codec, width, height, and "ok" or "refuse" (no pixels). The pixels are Pillow's
Image.open(f).convert("RGB"), except for 16-bit gray PNG: Pillow clips those to 255 (a white picture), ours are the
upper 8 bits.
"""
import math
import os
import struct
import subprocess
import tempfile
import zlib

import numpy as np
from PIL import Image

OUT = "tests/golden/images"
lines = []
decoded = []


def picture(width, height, seed=0):
    """Smooth colour, an edge, some texture: something of all that codecs treat differently."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    rng = np.random.default_rng(seed)
    r = 128 + 100 * np.sin(x / 5 + seed) * np.cos(y / 7)
    g = 255 * x / max(width - 1, 1)
    b = np.where(x + y > (width + height) / 2, 220, 30) + rng.normal(0, 8, (height, width))
    return np.clip(np.rint(np.stack([r, g, b], -1)), 0, 255).astype(np.uint8)


def record(name, codec, expected=None, refuse=False):
    path = os.path.join(OUT, name)
    image = Image.open(path)
    width, height = image.size
    if not refuse:
        pixels = np.asarray(image.convert("RGB")) if expected is None else expected
        assert pixels.shape == (height, width, 3) and pixels.dtype == np.uint8
        decoded.append(pixels.tobytes())
    lines.append(f"{name} {codec} {width} {height} {'refuse' if refuse else 'ok'}")


def run(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def jpegs(tmp):
    rgb = Image.fromarray(picture(37, 23))
    for name, options in {
        "420.jpg": dict(quality=85, subsampling=2),
        "422.jpg": dict(quality=85, subsampling=1),
        "444.jpg": dict(quality=92, subsampling=0),
        "progressive.jpg": dict(quality=80, progressive=True),
        "quality1.jpg": dict(quality=1),
    }.items():
        rgb.save(f"{OUT}/{name}", **options)
        record(name, "jpeg")
    rgb.convert("L").save(f"{OUT}/gray.jpg", quality=90)
    record("gray.jpg", "jpeg")
    Image.fromarray(picture(1, 1)).save(f"{OUT}/1x1.jpg")
    record("1x1.jpg", "jpeg")
    Image.fromarray(picture(3, 41)).save(f"{OUT}/3x41.jpg", subsampling=2)
    record("3x41.jpg", "jpeg")
    cmyk = Image.fromarray(np.concatenate([picture(29, 19), picture(29, 19, 3)[..., :1] // 2], -1), "CMYK")
    cmyk.save(f"{OUT}/cmyk.jpg", quality=92)
    record("cmyk.jpg", "jpeg")
    # YCCK with Adobe's marker (transform 2), restart intervals and arithmetic coding come from other encoders.
    cmyk.save(f"{tmp}/cmyk.tif")
    run("/usr/bin/convert", f"{tmp}/cmyk.tif", "-quality", "90", f"{OUT}/ycck.jpg")
    data = open(f"{OUT}/ycck.jpg", "rb").read()
    at = data.find(b"Adobe")
    assert data[at + 11] == 2, "not YCCK"
    record("ycck.jpg", "jpeg")
    Image.fromarray(picture(37, 23)).save(f"{tmp}/rgb.png")
    run("/usr/bin/convert", f"{tmp}/rgb.png", "-sampling-factor", "4x1,1x1,1x1", "-quality", "75", f"{OUT}/411.jpg")
    record("411.jpg", "jpeg")
    run("/usr/bin/convert", f"{tmp}/rgb.png", "-colorspace", "RGB", "-set", "colorspace", "RGB", "-quality", "95",
        f"{OUT}/magick.jpg")
    record("magick.jpg", "jpeg")


def webps(tmp):
    Image.fromarray(picture(37, 23)).save(f"{tmp}/rgb.png")
    alpha = np.concatenate([picture(33, 21, 1), picture(33, 21, 2)[..., 1:2]], -1)
    Image.fromarray(alpha, "RGBA").save(f"{tmp}/rgba.png")
    Image.fromarray(picture(1, 1)).save(f"{tmp}/one.png")
    for name, source, options in (
        ("lossy.webp", "rgb", ["-q", "75"]),
        ("lossy_sharp.webp", "rgb", ["-q", "95", "-sharp_yuv"]),
        ("lossless.webp", "rgb", ["-lossless"]),
        ("palette.webp", "rgb", ["-lossless", "-near_lossless", "0"]),
        ("alpha_lossy.webp", "rgba", ["-q", "80"]),
        ("alpha_lossless.webp", "rgba", ["-lossless", "-exact"]),
        ("1x1.webp", "one", ["-q", "75"]),
    ):
        run("cwebp", *options, f"{tmp}/{source}.png", "-o", f"{OUT}/{name}")
        record(name, "webp")
    frames = [Image.fromarray(picture(16, 12, s)) for s in range(2)]
    frames[0].save(f"{OUT}/animated.webp", save_all=True, append_images=frames[1:], duration=50)
    record("animated.webp", "webp", refuse=True)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def write_png(name, width, height, depth, colour, rows, extra=b"", interlace=0):
    """rows: bytes of the raw scanlines, filter byte included. For kinds that Pillow does not write."""
    with open(f"{OUT}/{name}", "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)))
        f.write(extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def pngs(tmp):
    rgb = Image.fromarray(picture(37, 23))
    rgb.save(f"{OUT}/rgb.png")
    rgb.convert("L").save(f"{OUT}/gray.png")
    rgb.quantize(200).save(f"{OUT}/palette8.png")
    rgb.quantize(11).save(f"{OUT}/palette4.png", bits=4)
    rgb.convert("1").save(f"{OUT}/gray1.png")
    Image.fromarray(picture(1, 1)).save(f"{OUT}/1x1.png")
    Image.fromarray(np.concatenate([picture(33, 21, 1), picture(33, 21, 2)[..., 1:2]], -1), "RGBA").save(f"{OUT}/rgba.png")
    Image.fromarray(np.stack([picture(33, 21, 1)[..., 0], picture(33, 21, 2)[..., 1]], -1), "LA").save(f"{OUT}/gray_alpha.png")
    rgb.quantize(30).save(f"{OUT}/palette_trns.png", transparency=3)
    rgb.save(f"{OUT}/rgb_trns.png", transparency=(30, 0, 30))
    rgb.save(f"{tmp}/rgb.png")
    run("/usr/bin/convert", f"{tmp}/rgb.png", "-interlace", "PNG", f"PNG24:{OUT}/interlaced.png")
    assert open(f"{OUT}/interlaced.png", "rb").read()[28] == 1
    run("/usr/bin/convert", f"{tmp}/rgb.png", "-gamma", "1.3", "-depth", "16", f"PNG48:{OUT}/rgb16.png")
    assert open(f"{OUT}/rgb16.png", "rb").read()[24] == 16
    for name in ("rgb", "gray", "palette8", "palette4", "gray1", "1x1", "rgba", "gray_alpha", "palette_trns",
                 "rgb_trns", "interlaced", "rgb16"):
        record(f"{name}.png", "png")
    width, height = 13, 9
    wide = (np.arange(width * height, dtype=np.uint32).reshape(height, width) * 541 % 65536).astype(">u2")
    write_png("gray16.png", width, height, 16, 0, b"".join(b"\0" + row.tobytes() for row in wide))
    record("gray16.png", "png", expected=np.repeat((wide.astype(np.uint16) >> 8).astype(np.uint8)[..., None], 3, -1))
    for depth in (2, 4):
        levels = np.arange(width * height).reshape(height, width) % (1 << depth)
        rows = b""
        for row in levels:
            bits = "".join(format(v, f"0{depth}b") for v in row)
            bits += "0" * (-len(bits) % 8)
            rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
        write_png(f"gray{depth}.png", width, height, depth, 0, rows)
        record(f"gray{depth}.png", "png")
    # A gamma chunk and a comment, which change nothing; RGBA of 16 bits.
    four = (np.arange(width * height * 4, dtype=np.uint32) * 7919 % 65536).astype(">u2").reshape(height, width, 4)
    extra = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"tEXt", b"Comment\0" + b"x" * 40)
    write_png("rgba16.png", width, height, 16, 6, b"".join(b"\0" + row.tobytes() for row in four), extra)
    record("rgba16.png", "png")


def main():
    os.makedirs(OUT, exist_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        jpegs(tmp)
        webps(tmp)
        pngs(tmp)
    with open(f"{OUT}/list.txt", "w") as f:
        f.write("".join(line + "\n" for line in lines))
    with open(f"{OUT}/pixels.rgb", "wb") as f:
        f.write(b"".join(decoded))


if __name__ == "__main__":
    main()
