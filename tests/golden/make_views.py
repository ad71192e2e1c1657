#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What torchvision makes of small pictures: tests/golden/views.txt (a request a line, with its tolerance in front; see
tests/test_views.c) and views.bin (for each line the input, then torchvision's output as floats).

    /usr/bin/python3 tests/golden/make_views.py         # from the root of the checkout; needs torch and torchvision

tests/test_torchvision_views.py uses torch_result() too, on larger pictures.
"""
import os
import sys

import numpy as np
import torch
import torchvision.transforms.functional as F
from torchvision.transforms import InterpolationMode

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from make_images import picture  # noqa: E402

# The largest difference allowed, per operation: most take the same steps as torch and agree to the last bit. The mean
# of contrast, the 529 products of a blur, the two passes of a resize and the 9 products of an edge are summed in another
# order; noise is computed in double precision by another library.
TOLERANCE = {"flip": 0, "gray": 0, "brightness": 0, "saturation": 0, "hue": 0, "contrast": 1.2e-7, "blur": 2.5e-6,
             "crop": 1.5e-6, "view": 3e-6, "vflip": 0, "rotate90": 0, "solarize": 0, "cutout": 0, "sobel": 1.2e-6, "noise": 1.2e-7}
BYTES = ("crop", "view")


def resized_crop(image, x, y, width, height, out_width, out_height):
    out = F.resized_crop(image, y, x, height, width, [out_height, out_width], InterpolationMode.BICUBIC, antialias=True)
    return out.clamp(0, 1)


def view(image, size, x, y, width, height, flip, jitter, order, factors, gray, sigma):
    image = resized_crop(image, x, y, width, height, size, size)
    if flip:
        image = F.hflip(image)
    adjust = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for op in order if jitter else ():
        image = adjust[op](image, factors[op])
    if gray:
        image = F.rgb_to_grayscale(image, 3)
    if sigma > 0:
        taps = int(size * 0.1) // 2 * 2 + 1
        image = F.gaussian_blur(image, [taps, taps], [sigma, sigma])
    return image


def sobel(image):
    """TensorFlow's image.sobel_edges, by conv2d: the length of both derivatives of each channel."""
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    padded = torch.nn.functional.pad(image[:, None], (1, 1, 1, 1), mode="reflect")
    dx, dy = (torch.nn.functional.conv2d(padded, k[None, None])[:, 0] for k in (kernel, kernel.T))
    return torch.sqrt(dx * dx + dy * dy).clamp(0, 1)


def philox4x32(counter, key):
    """Ten rounds, from the definition (Salmon et al., 2011). counter: [n][4], key: [2], of uint64 below 2^32."""
    c, k, low = [counter[:, j].copy() for j in range(4)], [np.uint64(v) for v in key], np.uint64(0xffffffff)
    for _ in range(10):
        p, q = np.uint64(0xd2511f53) * c[0], np.uint64(0xcd9e8d57) * c[2]
        c = [(q >> np.uint64(32)) ^ c[1] ^ k[0], q & low, (p >> np.uint64(32)) ^ c[3] ^ k[1], p & low]
        k = [(k[0] + np.uint64(0x9e3779b9)) & low, (k[1] + np.uint64(0xbb67ae85)) & low]
    return np.stack(c, 1)


def noise(image, sigma, key):
    """Box-Muller of Philox's words, two numbers of two words, along the floats of [h][w][3]."""
    flat = image.permute(1, 2, 0).reshape(-1).numpy()
    counter = np.zeros(((flat.size + 3) // 4, 4), np.uint64)
    counter[:, 0] = np.arange(len(counter))
    words = philox4x32(counter, key).astype(np.float64).reshape(-1, 2)
    radius, angle = np.sqrt(-2 * np.log((words[:, 0] + 1) / 2**32)), 2 * np.pi * words[:, 1] / 2**32
    normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[: flat.size].astype(np.float32)
    result = np.clip(flat + np.float32(sigma) * normal, 0, 1)
    return torch.from_numpy(result).reshape(image.shape[1], image.shape[2], 3).permute(2, 0, 1)


def torch_result(op, array, args):
    """array: [h][w][3], uint8 for crop and view, else float32. Numbers in args pass through float32, as in C."""
    image = torch.from_numpy(array.copy()).permute(2, 0, 1).contiguous()
    if op in BYTES:
        image = image.float() / 255
    f = [float(np.float32(a)) for a in args]
    i = [int(a) for a in args]
    if op == "crop":
        image = resized_crop(image, *i)
    elif op == "view":
        image = view(image, i[0], *i[1:5], i[5], i[6], i[7:11], f[11:15], i[15], f[16])
    elif op == "flip":
        image = F.hflip(image)
    elif op == "gray":
        image = F.rgb_to_grayscale(image, 3)
    elif op == "vflip":
        image = F.vflip(image)
    elif op == "rotate90":
        image = torch.rot90(image, i[0], (1, 2))
    elif op == "solarize":
        image = F.solarize(image, f[0])
    elif op == "cutout":
        image = F.erase(image, i[1], i[0], i[3], i[2], torch.zeros(1))
    elif op == "sobel":
        image = sobel(image)
    elif op == "noise":
        image = noise(image, f[0], i[1:3])
    elif op == "blur":
        image = F.gaussian_blur(image, [i[0], i[0]], [f[1], f[1]])
    else:
        image = getattr(F, "adjust_" + op)(image, f[0])
    return image.permute(1, 2, 0).contiguous().numpy()


def request(op, array, args):
    return " ".join([op, str(array.shape[1]), str(array.shape[0])] + [f"{a:.9g}" for a in args])


def cases():
    """Small ones, for the stored files."""
    pixels = picture(23, 17, 5)
    floats = (np.random.default_rng(1).random((9, 11, 3))).astype(np.float32)
    floats[0] = np.eye(3, dtype=np.float32)[np.arange(11) % 3]  # pure colours
    floats[1] = np.linspace(0, 1, 11, dtype=np.float32)[:, None]  # grays
    for args in ((0, 0, 23, 17, 8, 8), (3, 2, 11, 13, 16, 16), (5, 1, 8, 8, 8, 8), (22, 0, 1, 17, 6, 6)):
        yield "crop", pixels, args
    yield "flip", floats, ()
    yield "gray", floats, ()
    for factor in (0.2, 0.9, 1.8):
        for op in ("brightness", "contrast", "saturation"):
            yield op, floats, (factor,)
    for shift in (-0.5, -0.2, -0.01, 0.1, 0.37):
        yield "hue", floats, (shift,)
    yield "blur", floats, (3, 0.7)
    yield "blur", floats, (7, 1.9)
    yield "view", pixels, (12, 4, 3, 15, 11, 1, 1, 0, 1, 2, 3, 1.3, 0.7, 1.5, 0.15, 0, 0)
    yield "view", pixels, (12, 1, 0, 20, 17, 0, 1, 3, 2, 1, 0, 0.5, 1.6, 0.4, -0.2, 0, 0)
    yield "view", pixels, (12, 0, 5, 9, 12, 1, 0, 0, 1, 2, 3, 1, 1, 1, 0, 1, 0)
    square = np.random.default_rng(2).random((7, 7, 3)).astype(np.float32)
    yield "vflip", floats, ()
    for quarters in (1, 2, 3):
        yield "rotate90", square, (quarters,)
    yield "solarize", floats, (0.5,)
    yield "cutout", floats, (3, 2, 5, 4)
    yield "sobel", floats, ()
    yield "noise", floats, (0.2, 123456789, 987654321)
    yield "view", pixels, (40, 2, 2, 20, 14, 1, 1, 2, 0, 3, 1, 1.1, 1.2, 0.8, 0.05, 0, 1.4)


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(f"{folder}/views.txt", "w") as text, open(f"{folder}/views.bin", "wb") as data:
        for op, array, args in cases():
            text.write(f"{TOLERANCE[op]:g} {request(op, array, args)}\n")
            data.write(array.tobytes())
            data.write(torch_result(op, array, args).tobytes())


if __name__ == "__main__":
    main()
