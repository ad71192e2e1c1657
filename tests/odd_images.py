#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Images for tests/test_odd_images.c, by programs that are not ours, and what Pillow sees in them.

    odd_images.py make FOLDER    writes images and FOLDER/list.txt: name, codec, width, height, tolerance, orientation,
                                 and whether a lossless turn must succeed ("yes", "no", "-": do not ask); width 0 means
                                 that the image is to be refused. NAME.rgb are Pillow's pixels, NAME.up those turned
                                 the right way up. Makers that are absent are named on standard output.
    odd_images.py read FOLDER    for each image of FOLDER/written.txt, its pixels to NAME.rgb and a line in
                                 FOLDER/read.txt: name, width, height, orientation, JPEG sampling (as Pillow numbers it)
"""
import ctypes
import ctypes.util
import io
import os
import shutil
import struct
import subprocess
import sys

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin

folder = sys.argv[2]
lines = []
CONVERT = "/usr/bin/convert" if os.path.exists("/usr/bin/convert") else shutil.which("convert")
CWEBP = shutil.which("cwebp")


def place(name):
    return os.path.join(folder, name)


def picture(width, height, seed=0):
    """Smooth colour, an edge and some texture."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    noise = np.random.default_rng(seed).normal(0, 8, (height, width))
    red = 128 + 100 * np.sin(x / 5 + seed) * np.cos(y / 7)
    blue = np.where(x + y > (width + height) / 2, 220, 30) + noise
    return Image.fromarray(np.clip(np.rint(np.stack([red, 255 * x / width, blue], -1)), 0, 255).astype(np.uint8))


def add(name, codec, tolerance=0, pixels=None, orientation=1, lossless="-"):
    image = Image.open(place(name))
    if pixels is None:
        pixels = np.asarray(image.convert("RGB"))
    height, width = pixels.shape[:2]
    pixels.tofile(place(name + ".rgb"))
    assert image.getexif().get(0x112, 1) == orientation, name
    turned = Image.fromarray(pixels)
    turned.getexif()[0x112] = orientation
    np.asarray(ImageOps.exif_transpose(turned)).tofile(place(name + ".up"))
    lines.append(f"{name} {codec} {width} {height} {tolerance} {orientation} {lossless}")


def refuse(name, codec):
    lines.append(f"{name} {codec} 0 0 0 1 -")


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def magick(name, codec, *options, source="rgba.png", **more):
    """By ImageMagick; `to` is its name for the kind of file."""
    to = more.pop("to", "")
    run(CONVERT, place(source), *options, to + place(name))
    add(name, codec, **more)


def pngs():
    for depth in "1", "2", "4", "8":
        magick(f"gray{depth}.png", "png", "-colorspace", "Gray", "-depth", depth, "-define", "png:color-type=0",
               source="rgb.png")
        magick(f"palette{depth}.png", "png", "-colors", str(2 ** int(depth) - 1), "-depth", depth, "-define",
               "png:color-type=3", source="rgb.png")
        magick(f"adam7_{depth}.png", "png", "-colorspace", "Gray", "-interlace", "PNG", "-depth", depth, "-define",
               "png:color-type=0", source="rgb.png")
    magick("trns.png", "png", "-colors", "100", to="png8:", source="holes.png")
    magick("rgb48.png", "png", "-depth", "16", "-blur", "0x2", "-alpha", "off", to="png48:")
    magick("rgb64.png", "png", "-depth", "16", "-blur", "0x2", to="png64:")
    magick("gray_alpha.png", "png", "-colorspace", "Gray", "-define", "png:color-type=4")
    magick("gray_alpha16.png", "png", "-colorspace", "Gray", "-depth", "16", "-define", "png:color-type=4")
    magick("rgba_adam7.png", "png", "-interlace", "PNG", to="png32:")
    # Pillow clips 16-bit grays where ours, as with colours, are the upper 8 bits.
    run(CONVERT, place("rgb.png"), "-colorspace", "Gray", "-blur", "0x2", "-depth", "16", "-define",
        "png:color-type=0", "-define", "png:bit-depth=16", place("gray16.png"))
    gray = np.asarray(Image.open(place("gray16.png")))
    assert gray.max() > 255
    add("gray16.png", "png", pixels=np.repeat((gray >> 8).astype(np.uint8)[..., None], 3, -1))


def jpegs():
    for name, sampling in ("444", "1x1"), ("422", "2x1"), ("420", "2x2"), ("411", "4x1"), ("440", "1x2"):
        magick(f"{name}.jpg", "jpeg", "-sampling-factor", sampling, source="rgb.png")
    magick("progressive.jpg", "jpeg", "-interlace", "JPEG", "-quality", "80", source="rgb.png")
    magick("gray.jpg", "jpeg", "-colorspace", "Gray", source="rgb.png")
    # ImageMagick inverts inks and says so in Adobe's marker: transform 2 (YCCK) by itself, 0 (CMYK) when asked.
    magick("ycck.jpg", "jpeg", "-colorspace", "CMYK", "-quality", "92", source="rgb.png", tolerance=1)
    picture(45, 33).convert("CMYK").save(place("cmyk.jpg"), quality=92)
    add("cmyk.jpg", "jpeg", tolerance=1)
    for name, adobe in ("ycck.jpg", 2), ("cmyk.jpg", 0):
        data = open(place(name), "rb").read()
        assert data[data.index(b"Adobe") + 11] == adobe, name
    data = open(place("420.jpg"), "rb").read()
    for name, odd in {
        "garbage.jpg": data + b"<html>\xff\xd8\xff\xda" + bytes(1000),
        "padded.jpg": data[:2] + b"\xff\xff" + data[2:],
        "comments.jpg": data[:2] + 3 * (b"\xff\xfe\xff\xff" + bytes(65533)) + data[2:],
    }.items():
        open(place(name), "wb").write(odd)
        add(name, "jpeg")
    picture(45, 33).save(place("pair.jpg"), "MPO", save_all=True, append_images=[picture(45, 33, 1)])
    add("pair.jpg", "jpeg")


def turbojpegs():
    """TurboJPEG takes restart intervals and arithmetic coding from its environment alone."""
    library = ctypes.CDLL(ctypes.util.find_library("turbojpeg"))
    library.tjInitCompress.restype = ctypes.c_void_p
    rgb = picture(75, 61).tobytes()
    for name, setting in ("restart_rows", "TJ_RESTART=1"), ("restart_blocks", "TJ_RESTART=2B"), \
            ("arithmetic", "TJ_ARITHMETIC=1"):
        library.setenv(setting.split("=")[0].encode(), setting.split("=")[1].encode(), 1)
        out, size = ctypes.c_void_p(), ctypes.c_ulong()
        code = library.tjCompress2(ctypes.c_void_p(library.tjInitCompress()), rgb, 75, 0, 61, 0, ctypes.byref(out),
                                   ctypes.byref(size), 2, 85, 0)
        library.unsetenv(setting.split("=")[0].encode())
        assert code == 0
        data = ctypes.string_at(out.value, size.value)
        assert (b"\xff\xdd" in data) == (name != "arithmetic") and (b"\xff\xc9" in data) == (name == "arithmetic")
        open(place(name + ".jpg"), "wb").write(data)
        add(name + ".jpg", "jpeg")


def webps():
    for name, options in {
        "lossy": ("-q", "70"), "sharp": ("-q", "90", "-sharp_yuv"), "lossless": ("-lossless",),
        "near": ("-near_lossless", "40"), "alpha": ("-q", "80", "-alpha_q", "50"),
    }.items():
        source = "rgba.png" if name in ("lossless", "alpha") else "rgb.png"
        run(CWEBP, "-exact", *options, place(source), "-o", place(name + ".webp"))
        add(name + ".webp", "webp")
    frames = [picture(20, 20, seed) for seed in range(3)]
    frames[0].save(place("animated.webp"), save_all=True, append_images=frames[1:])
    refuse("animated.webp", "webp")


def long_sides():
    for width, height in (65500, 16), (16, 65500):
        image = picture(width, height)
        for name, options in ("", {}), ("_444", {"subsampling": 0}), ("_progressive", {"progressive": True}):
            image.save(place(f"long{name}{width}.jpg"), **options)
            add(f"long{name}{width}.jpg", "jpeg")
        image.save(place(f"long{width}.png"), compress_level=1)
        add(f"long{width}.png", "png")
        image = picture(min(width, 16383), min(height, 16383))
        image.save(place(f"long{width}.webp"), method=0)
        add(f"long{width}.webp", "webp")


def exif(orientation, order):
    """One directory: a text, then the orientation."""
    entries = struct.pack(order + "HHI4s", 0x10f, 2, 4, b"abc\0") + struct.pack(order + "HHIHH", 0x112, 3, 1,
                                                                               orientation, 0)
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 2) + entries + bytes(4)


def orientations():
    mcus = {0: (8, 8), 1: (16, 8), 2: (16, 16)}
    for orientation in range(1, 9):
        for sampling, (across, down) in mcus.items():
            for width, height in (48, 32), (37, 32), (48, 23), (37, 23):
                # Which edges come first, of the stored image: 2 mirrors columns, and so on.
                right, below = orientation in (2, 3, 7, 8), orientation in (3, 4, 6, 7)
                possible = not (right and width % across) and not (below and height % down)
                name = f"turned{orientation}_{sampling}_{width}x{height}.jpg"
                picture(width, height).save(place(name), quality=90, subsampling=sampling,
                                            exif=b"Exif\0\0" + exif(orientation, "<>"[orientation % 2]))
                add(name, "jpeg", orientation=orientation, lossless="yes" if possible else "no")
        image, data = picture(37, 23), exif(orientation, "><"[orientation % 2])
        for name, options in {
            f"turned{orientation}.png": {}, f"turned{orientation}.webp": {"lossless": True},
            f"turned{orientation}_lossy.webp": {},
        }.items():
            image.save(place(name), exif=b"Exif\0\0" + data if name.endswith("webp") else data, **options)
            add(name, name.rsplit(".")[-1], orientation=orientation)
        image.convert("CMYK").resize((32, 16)).save(place(f"turned{orientation}_cmyk.jpg"),
                                                    exif=b"Exif\0\0" + data)
        add(f"turned{orientation}_cmyk.jpg", "jpeg", tolerance=1, orientation=orientation, lossless="yes")
        image.resize((48, 32)).save(place(f"turned{orientation}_progressive.jpg"), progressive=True,
                                    exif=b"Exif\0\0" + data)
        add(f"turned{orientation}_progressive.jpg", "jpeg", orientation=orientation, lossless="yes")


def make():
    picture(45, 33).save(place("rgb.png"))
    rgba = picture(45, 33).convert("RGBA")
    rgba.putalpha(Image.fromarray(np.full((33, 45), 200, np.uint8)))
    rgba.save(place("rgba.png"))
    holes = picture(45, 33).convert("RGBA")
    holes.putalpha(Image.fromarray(np.where(np.arange(45 * 33).reshape(33, 45) % 3 > 0, 255, 0).astype(np.uint8)))
    holes.save(place("holes.png"))
    if CONVERT:
        pngs()
        jpegs()
    else:
        print("# no ImageMagick: its images are left out")
    if ctypes.util.find_library("turbojpeg"):
        turbojpegs()
    else:
        print("# no libturbojpeg: arithmetic coding and restart intervals are left out")
    if CWEBP:
        webps()
    else:
        print("# no cwebp: its images are left out")
    long_sides()
    orientations()
    open(place("list.txt"), "w").write("\n".join(lines) + "\n")


def read():
    for name in open(place("written.txt")).read().split():
        image = Image.open(io.BytesIO(open(place(name), "rb").read()))
        np.asarray(image.convert("RGB")).tofile(place(name + ".rgb"))
        lines.append(f"{name} {image.width} {image.height} {image.getexif().get(0x112, 1)} "
                     f"{JpegImagePlugin.get_sampling(image)}")
    open(place("read.txt"), "w").write("\n".join(lines) + "\n")


{"make": make, "read": read}[sys.argv[1]]()
