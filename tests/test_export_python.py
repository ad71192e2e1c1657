#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What `ringclr export` writes is read by those whose formats they are: WebDataset, MosaicML's MDSReader, torchvision."""
import glob
import io
import json
import os
import subprocess
import sys
import tempfile
import types

from helper_tap import finish, result, skip

sys.path.insert(0, os.path.join("build", "python"))
RINGCLR = os.environ.get("RINGCLR", "./ringclr")


def ringclr(*arguments):
    run = subprocess.run([RINGCLR, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.decode())
    return run.stdout.decode()


def files_below(folder):
    found = {}
    for path in glob.glob(folder + "/**/*.*", recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def mosaic():
    """MosaicML's MDS reader. Its package imports all of torch and transformers at its top, which the reader does not
    need, so the packages around the reader are stood in for."""
    place = os.path.join("build", "python", "streaming")
    for name in ("streaming", "streaming.base", "streaming.base.format", "streaming.base.format.base",
                 "streaming.base.format.mds"):
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(place, *name.split(".")[1:])]
        sys.modules[name] = package
    from streaming.base.compression import decompress
    from streaming.base.format.mds.reader import MDSReader
    return MDSReader, decompress


def read_mds(reader, decompress, folder):
    with open(os.path.join(folder, "index.json"), encoding="utf-8") as file:
        index = json.load(file)
    assert index["version"] == 2
    for shard in index["shards"]:
        raw = os.path.join(folder, shard["raw_data"]["basename"])
        if shard["zip_data"]:
            packed = os.path.join(folder, shard["zip_data"]["basename"])
            assert os.path.getsize(packed) == shard["zip_data"]["bytes"]
            with open(packed, "rb") as file:
                content = decompress(shard["compression"], file.read())
            with open(raw, "wb") as file:
                file.write(content)
        assert os.path.getsize(raw) == shard["raw_data"]["bytes"], "size"
        opened = reader.from_json(folder, None, shard)
        for i in range(opened.samples):
            yield opened[i]


def check_webdataset(shard, images, classes, folder):
    name = "WebDataset reads the tars: images byte for byte, classes, keys"
    try:
        import webdataset
    except ImportError as missing:
        return skip(name, f"no webdataset package: {missing}")
    ringclr("export", shard, "--to", "webdataset", "--shard-size", "100K", "--prefix", "w", "-o", folder)
    tars = sorted(glob.glob(folder + "/w-*.tar"))
    seen = {}
    for sample in webdataset.WebDataset(tars, shardshuffle=False, empty_check=False):
        about = json.loads(sample["json"])
        seen[about["key"]] = sample["png"]
        if about["class"] != classes[int(sample["cls"])] or sample["__key__"] + ".png" != about["key"]:
            return result(False, name, about)
    with open(os.path.join(folder, "classes.txt"), encoding="utf-8") as file:
        names = file.read().splitlines()
    result(seen == images and len(tars) > 1 and names == classes, name, f"{len(seen)} samples in {len(tars)} tars")


def check_mds(shard, images, classes, folder):
    name = "MosaicML's MDSReader reads the shards, with and without zstd"
    try:
        reader, decompress = mosaic()
    except ImportError as missing:
        return skip(name, f"no mosaicml-streaming package, or not all that it needs: {missing}")
    for kind in ([], ["--zstd", "3"]):
        out = folder + "-".join(kind)
        ringclr("export", shard, "--to", "mds", "--shard-size", "100K", "-o", out, *kind)
        seen = {}
        for sample in read_mds(reader, decompress, out):
            pixels = io.BytesIO(images[sample["key"]])
            from PIL import Image
            if sample["image"].tobytes() != Image.open(pixels).tobytes():
                return result(False, name, sample["key"])
            seen[sample["key"]] = classes[sample["label"]]
        if seen != {key: key.split("/")[0] for key in images}:
            return result(False, name, f"{len(seen)} of {len(images)} samples")
        if len(glob.glob(out + "/*.mds")) < 2:
            return result(False, name, "one shard")
    result(True, name)


def check_mds_bytes(folder, disc):
    """Images of two kinds are bytes, which need no decoder."""
    name = "MDS of mixed images has their bytes"
    try:
        reader, decompress = mosaic()
        from PIL import Image
    except ImportError as missing:
        return skip(name, f"not all is there: {missing}")
    mixed = os.path.join(folder, "mixed")
    os.makedirs(mixed)
    Image.open(io.BytesIO(disc)).save(os.path.join(mixed, "a.jpg"))
    with open(os.path.join(mixed, "b.png"), "wb") as file:
        file.write(disc)
    ringclr("pack", mixed, "-o", mixed + ".ring")
    ringclr("export", mixed + ".ring", "--to", "mds", "-o", mixed + "-mds")
    seen = {sample["key"]: (sample["image"], sample["label"]) for sample in read_mds(reader, decompress, mixed + "-mds")}
    result(seen == {key: (data, -1) for key, data in files_below(mixed).items()}, name)


def check_folder(shard, images, classes, folder):
    name = "torchvision's ImageFolder finds the images in their classes"
    try:
        from torchvision.datasets import ImageFolder
    except ImportError as missing:
        return skip(name, f"no torchvision: {missing}")
    ringclr("export", shard, "--to", "folder", "-o", folder)
    seen = ImageFolder(folder)
    keys = {os.path.relpath(path, folder): seen.classes[label] for path, label in seen.samples}
    result(seen.classes == classes and keys == {key: key.split("/")[0] for key in images} and
           files_below(folder) == images, name)


def check_folder_names(folder, shard):
    """Keys that do not begin with their class get it as a folder."""
    name = "a class folder is put before keys that lie elsewhere"
    ringclr("merge", shard, "--prefix", "-o", os.path.join(folder, "p.ring"))
    ringclr("export", os.path.join(folder, "p.ring"), "--to", "folder", "--class", "ring", "--limit", "3", "-o",
            os.path.join(folder, "prefixed"))
    found = sorted(files_below(os.path.join(folder, "prefixed")))
    result(len(found) == 3 and all(key.startswith("ring/in/ring/") for key in found), name, found)


def main():
    with tempfile.TemporaryDirectory(prefix="ringclr-test-export.") as folder:
        ringclr("synth", os.path.join(folder, "in"), "--train", "200", "--test", "0", "--size", "24")
        source, shard = os.path.join(folder, "in", "train"), os.path.join(folder, "in.ring")
        ringclr("pack", source, "-o", shard)
        images = files_below(source)
        classes = sorted({key.split("/")[0] for key in images})
        check_webdataset(shard, images, classes, os.path.join(folder, "wds"))
        check_mds(shard, images, classes, os.path.join(folder, "mds"))
        check_mds_bytes(folder, next(iter(images.values())))
        check_folder(shard, images, classes, os.path.join(folder, "folder"))
        check_folder_names(folder, shard)
    finish()


main()
