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
# of contrast, the 529 products of a blur and the two passes of a resize are summed in another order.
TOLERANCE = {"flip": 0, "gray": 0, "brightness": 0, "saturation": 0, "hue": 0, "contrast": 1.2e-7, "blur": 2.5e-6,
             "crop": 1.5e-6, "view": 3e-6}
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
