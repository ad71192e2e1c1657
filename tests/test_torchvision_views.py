#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pixel operations and whole views against torchvision at fixed parameters, pixel by pixel, and the resize against
Pillow's on bytes. Runs the program test_views of the build folder with --apply. Prints TAP."""
import itertools
import os
import subprocess
import sys
import tempfile

BUILD = os.environ.get("BUILD", "build/release")
PROGRAM = os.path.join(BUILD, "tests", "test_views")
VIEW_PARAMS = os.path.join(BUILD, "tests", "test_view_params")

try:
    import numpy as np
    import torch
    import torchvision
    from PIL import Image
except ImportError as error:
    print(f"1..1\nok 1 - equal to torchvision # SKIP {error} (needs python3-torch, python3-torchvision, python3-pil)")
    sys.exit(0)

sys.path.insert(0, "tests/golden")
from make_views import BYTES, TOLERANCE, request, torch_result  # noqa: E402

torch.set_num_threads(1)
results = []


def check(name, ok, detail=""):
    results.append(ok)
    print(f"{'ok' if ok else 'not ok'} {len(results)} - {name}")
    if detail:
        print(f"# {detail}")


def scene(width, height, seed):
    """Like a photograph to these operations: noise with the 1/f spectrum of natural images, three correlated channels,
    flat patches with sharp edges, some pixels at 0 and 255."""
    rng = np.random.default_rng(seed)
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    amplitude = 1 / np.maximum(np.hypot(fx, fy), 1 / max(width, height))
    layers = [np.fft.ifft2(amplitude * np.exp(2j * np.pi * rng.random((height, width)))).real for _ in range(4)]
    layers = [layer / layer.std() for layer in layers]
    image = np.stack([128 + 45 * layers[0] + 25 * layers[c + 1] for c in range(3)], -1)
    for _ in range(12):
        x, y = rng.integers(0, width), rng.integers(0, height)
        image[y : y + rng.integers(1, height // 3 + 2), x : x + rng.integers(1, width // 3 + 2)] = rng.integers(0, 256, 3)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def apply(cases):
    """Runs [(op, array, args)] through the C program; returns its float images."""
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for number, (op, array, args) in enumerate(cases):
            array.tofile(f"{folder}/{number}.in")
            lines.append(f"{folder}/{number}.in {folder}/{number}.out {request(op, array, args)}")
        subprocess.run([PROGRAM, "--apply"], input="\n".join(lines) + "\n", text=True, check=True)
        return [np.fromfile(f"{folder}/{number}.out", np.float32) for number in range(len(cases))]


def compare(name, cases, tolerance):
    worst, where = 0.0, None
    for case, found in zip(cases, apply(cases)):
        difference = float(np.abs(found - torch_result(*case).ravel()).max())
        if not difference <= worst:
            worst, where = difference, case
    at = f" at {request(*where)}" if where else ""
    check(f"{name} ({len(cases)} cases, {tolerance:g})", worst <= tolerance, f"largest difference {worst:.2g}{at}")


def single_operations():
    rng = np.random.default_rng(3)
    images = [scene(64, 48, 1).astype(np.float32) / 255, scene(224, 224, 2).astype(np.float32) / 255,
              rng.random((33, 57, 3)).astype(np.float32), (rng.integers(0, 3, (40, 40, 3)) / 2).astype(np.float32),
              np.full((20, 30, 3), 0.3, np.float32), np.zeros((5, 7, 3), np.float32)]
    for op in ("flip", "gray"):
        compare(op, [(op, image, ()) for image in images], TOLERANCE[op])
    factors = [0, 0.2, 0.613, 1, 1.337, 1.8]
    for op in ("brightness", "contrast", "saturation"):
        compare(op, [(op, image, (f,)) for image in images for f in factors], TOLERANCE[op])
    shifts = [-0.5, -0.2, -0.1234, -1e-9, 0, 0.0421, 0.2, 0.5]
    compare("hue", [("hue", image, (s,)) for image in images for s in shifts], TOLERANCE["hue"])
    squares = [images[1], rng.random((33, 33, 3)).astype(np.float32), rng.random((6, 6, 3)).astype(np.float32)]
    for op in ("vflip", "sobel"):
        compare(op, [(op, image, ()) for image in images], TOLERANCE[op])
    compare("rotate90", [("rotate90", image, (q,)) for image in squares for q in (1, 2, 3)], TOLERANCE["rotate90"])
    compare("solarize", [("solarize", image, (t,)) for image in images for t in (0, 0.3, 0.5, 1)],
            TOLERANCE["solarize"])
    holes = [(0, 0, 1, 1), (3, 2, 4, 3), (0, 0, 7, 5)]
    compare("cutout", [("cutout", image, hole) for image in images for hole in holes], TOLERANCE["cutout"])
    noises = [(0.01, 1, 2), (0.1, 999999999, 0), (1, 0, 0)]
    compare("noise", [("noise", image, n) for image in images for n in noises], TOLERANCE["noise"])
    blurs = [(taps, sigma) for taps in (3, 9, 23) for sigma in (0.1, 0.77, 2.0)]
    compare("blur", [("blur", image, b) for image in images[:4] for b in blurs], TOLERANCE["blur"])


def crops():
    cases = [("crop", scene(500, 375, 4), (x, y, w, h, s, s))
             for s in (32, 96, 224) for x, y, w, h in ((0, 0, 500, 375), (17, 31, 224, 224), (100, 50, 333, 301),
                                                       (490, 370, 10, 5), (3, 4, 96, 300), (499, 374, 1, 1))]
    cases += [("crop", scene(32, 32, s), (s, 2 * s, 32 - 3 * s, 32 - 2 * s, 32, 32)) for s in range(10)]
    cases += [("crop", scene(1, 90, 1), (0, 10, 1, 40, 32, 32)), ("crop", scene(90, 1, 1), (10, 0, 40, 1, 32, 24)),
              ("crop", scene(1600, 1200, 5), (0, 0, 1600, 1200, 224, 224)),
              ("crop", scene(20000, 7, 6), (1, 0, 19999, 7, 64, 32))]
    compare("resized crop", cases, TOLERANCE["crop"])


def whole_views():
    image = scene(90, 70, 7)
    factors = (1.31, 0.64, 1.52, 0.137)
    cases = []
    for order in itertools.permutations(range(4)):
        for flip, gray in ((0, 0), (1, 1)):
            cases.append(("view", image, (32, 11, 7, 70, 55, flip, 1, *order, *factors, gray, 0)))
    compare("all orders of colours at 32 pixels", cases, TOLERANCE["view"])
    rng = np.random.default_rng(11)
    photo, cases = scene(400, 300, 8), []
    for order in itertools.permutations(range(4)):
        w, h = int(rng.integers(40, 401)), int(rng.integers(40, 301))
        x, y = int(rng.integers(0, 401 - w)), int(rng.integers(0, 301 - h))
        factor = [*rng.uniform(0.2, 1.8, 3), rng.uniform(-0.2, 0.2)]
        cases.append(("view", photo, (224, x, y, w, h, *rng.integers(0, 2, 2), *order, *factor, rng.random() < 0.2,
                                      rng.uniform(0.1, 2))))
    compare("random views with blur at 224 pixels", cases, TOLERANCE["view"])


def pillow():
    # Pillow rounds and clips to bytes after each of the two passes. Without the ends of the range nothing is clipped, and
    # our bytes may be off by one, from its first rounding.
    image = scene(300, 200, 9) // 2 + 64
    boxes = [(0, 0, 300, 200), (13, 7, 180, 190), (100, 100, 20, 25)]
    cases = [("crop", image, (*box, s, s)) for box in boxes for s in (32, 224)]
    worst = 0.0
    for (_, _, (x, y, w, h, s, _)), found in zip(cases, apply(cases)):
        box = (x, y, x + w, y + h)
        expected = np.asarray(Image.fromarray(image).crop(box).resize((s, s), Image.Resampling.BICUBIC), np.float64)
        ours = np.rint(found.astype(np.float64).reshape(s, s, 3) * 255)
        worst = max(worst, float(np.abs(ours - expected).max()))
    check("resize like Pillow's on bytes (within 1/255)", worst <= 1.0, f"largest difference {worst:g}/255")


def fallback_crops():
    """Images so long that no try can succeed: the crop is then a function of the size alone."""
    sizes = [(1, n) for n in range(40, 400, 7)] + [(n, 3) for n in range(100, 4000, 97)] + [(65535, 11), (5, 65535)]
    text = "".join(f"{w} {h}\n" for w, h in sizes)
    output = subprocess.run([VIEW_PARAMS, "--draw"], input=text, text=True, check=True, stdout=subprocess.PIPE).stdout
    found = [tuple(map(int, line.split())) for line in output.splitlines()]
    expected = []
    for w, h in sizes:
        i, j, ch, cw = torchvision.transforms.RandomResizedCrop.get_params(
            torch.empty(1, 1, 1).expand(3, h, w), (0.08, 1.0), (3 / 4, 4 / 3))
        expected.append((j, i, cw, ch))
    wrong = [(size, a, b) for size, a, b in zip(sizes, found, expected) if a != b]
    check(f"fallback of the random crop ({len(sizes)} sizes)", len(found) == len(sizes) and not wrong, str(wrong[:2]))


def main():
    print("1..18")
    single_operations()
    crops()
    whole_views()
    pillow()
    fallback_crops()
    assert len(results) == 18
    sys.exit(0 if all(results) else 1)


main()
