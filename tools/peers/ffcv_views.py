#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed of FFCV's loader at random resized crop + flip, one worker: images per second, an image being two views.

FFCV decodes an image anew for each view, so two views of an image cost two passes of its pipeline: that is how they
are counted here. Its views stay bytes; ringclr's are floats in [0, 1].

  python3 -m venv ffcv && ffcv/bin/pip install "numpy<2" numba torch torchvision opencv-python-headless assertpy \\
      fastargs matplotlib pandas PyYAML psutil tqdm terminaltables && ffcv/bin/pip install --no-deps --no-build-isolation ffcv
      (needs libopencv-dev and libturbojpeg0-dev)
  taskset -c 0 ffcv/bin/python tools/peers/ffcv_views.py --images FOLDER --mode jpg

FFCV encodes JPEGs anew (quality 90, chroma at half size): fewer bytes than most originals. --export writes those images, so
that another loader can be measured on the same ones.
"""
import argparse, json, pathlib, statistics, time

import numpy
from PIL import Image
from ffcv.fields import IntField, RGBImageField
from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder, encode_jpeg, resizer
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import RandomHorizontalFlip, ToTensor
from ffcv.writer import DatasetWriter

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--images", required=True, help="folder of images, searched recursively")
parser.add_argument("--mode", choices=["jpg", "raw"], default="jpg", help="how the data set keeps them")
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--max-resolution", type=int, default=500, help="longer sides are shrunk to this when packing")
parser.add_argument("--workers", type=int, default=1)
parser.add_argument("--epochs", type=int, default=6, help="the first is not counted")
parser.add_argument("--export", help="write the images as FFCV keeps them to this folder, and stop")
parser.add_argument("--beton", default="peer.beton", help="data set to write, or to use if it exists")
options = parser.parse_args()


class Folder:
    def __init__(self, root):
        self.paths = sorted(p for p in pathlib.Path(root).rglob("*") if p.suffix.lower() in (".jpeg", ".jpg", ".png"))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        if index >= len(self.paths):
            raise IndexError
        return Image.open(self.paths[index]).convert("RGB"), index


if options.export:
    pathlib.Path(options.export).mkdir(parents=True, exist_ok=True)
    for image, index in Folder(options.images):
        jpeg = encode_jpeg(resizer(numpy.array(image), options.max_resolution), 90)
        (pathlib.Path(options.export) / f"{index:05}.jpg").write_bytes(jpeg.tobytes())
    raise SystemExit

if not pathlib.Path(options.beton).exists():
    field = RGBImageField(write_mode=options.mode, max_resolution=options.max_resolution, jpeg_quality=90)
    DatasetWriter(options.beton, {"image": field, "label": IntField()}, num_workers=1).from_indexed_dataset(Folder(options.images))

decoder = RandomResizedCropRGBImageDecoder((options.size, options.size), scale=(0.08, 1))
loader = Loader(options.beton, batch_size=50, num_workers=options.workers, order=OrderOption.RANDOM, os_cache=True, drop_last=False,
                pipelines={"image": [decoder, RandomHorizontalFlip(), ToTensor()], "label": None})
rates = []
for epoch in range(options.epochs):
    start, views = time.perf_counter(), 0
    for batch in loader:
        views += len(batch[0])
    if epoch:
        rates.append(views / 2 / (time.perf_counter() - start))
print(json.dumps({"peer": "ffcv", "mode": options.mode, "size": options.size, "workers": options.workers,
                  "images_per_s": round(statistics.median(rates), 1), "best": round(max(rates), 1)}))
