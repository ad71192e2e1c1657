#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""verify in its three depths and inspect, against tests/shard_reader.py (which was made from docs/SHARD_FORMAT.md) and PIL."""
import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

from helper_tap import finish, result

sys.dont_write_bytecode = True
try:
    import shard_reader
    from PIL import Image
except (OSError, ImportError) as missing:
    print(f"1..0 # SKIP {missing}")
    sys.exit()

RINGCLR = os.environ.get("RINGCLR", "./ringclr")
COLOURS = {"ant": (200, 30, 30), "bee": (30, 180, 40), "cat": (20, 40, 210)}


def ringclr(*arguments):
    return subprocess.run([RINGCLR, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def xxh(data):
    return struct.pack("<Q", shard_reader.XXH.XXH3_64bits(bytes(data), len(data)))


def encoded(draw, colour, kind, width, height):
    """A picture of one colour with a little noise in its corner."""
    picture = Image.new("RGB", (width, height), colour)
    for i in range(8):
        picture.putpixel((i, 0), tuple(draw.randrange(256) for _ in range(3)))
    data = io.BytesIO()
    picture.save(data, kind)
    return data.getvalue()


def make_set(folder, name, seed):
    draw = random.Random(seed)
    for label, images in (("ant", 30), ("bee", 7), ("cat", 15)):
        os.makedirs(os.path.join(folder, name, label))
        for i in range(images):
            kind, ending = draw.choice([("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
            data = encoded(draw, COLOURS[label], kind, draw.randrange(20, 400), draw.randrange(20, 300))
            with open(os.path.join(folder, name, label, f"{name}-{i:02}.{ending}"), "wb") as file:
                file.write(data)
    shard = os.path.join(folder, name + ".ring")
    packed = ringclr("pack", os.path.join(folder, name), "-o", shard, "--zstd", "0", "--block", "16K")
    assert packed.returncode == 0, packed.stderr
    return shard


def listing(shard):
    return [{**entry, "block": block, "at": at, "place": place} for block, at, place, entry in shard.records]


def entry_of(shard, number):
    """Where in the file a record's entry and its image lie."""
    record = listing(shard)[number]
    (records,) = struct.unpack_from("<I", shard.file, record["at"] + 20)
    entries, images = shard_reader.record_entries(shard.file, record["at"] + 64, records)
    before = entries[: record["place"]]
    start = record["at"] + 64 + sum(24 + len(entry["key"].encode()) for entry in before)
    return start, images + sum(entry["bytes"] for entry in before)


def break_image(path, number, to):
    """Damages a stored image, and makes every hash right again: the record's, the block's, the index's, the footer's."""
    shard = shard_reader.Shard(path)
    record, data = listing(shard)[number], bytearray(shard.file)
    block, (disk_bytes,) = record["at"], struct.unpack_from("<I", shard.file, record["at"] + 12)
    entry, image = entry_of(shard, number)
    end = image + record["bytes"]
    data[image + 20 : end] = bytes(record["bytes"] - 20)
    old = {bytes(data[entry : entry + 8]): xxh(data[image:end])}
    data[entry : entry + 8] = xxh(data[image:end])
    data[block + 48 : block + 56] = xxh(data[block + 64 : block + disk_bytes])
    old[bytes(data[block + 56 : block + 64])] = xxh(data[block : block + 56])
    data[block + 56 : block + 64] = xxh(data[block : block + 56])
    compression, offset, size = struct.unpack_from("<IQQ", data, len(data) - 76)
    assert compression == 0
    index = bytes(data[offset : offset + size])
    for was, becomes in old.items():
        assert index.count(was) == 1
        index = index.replace(was, becomes)
    data[offset : offset + size] = index
    data[-48:-40] = xxh(index)
    data[-8:] = xxh(data[-128:-8])
    with open(to, "wb") as file:
        file.write(data)
    return record["key"]


def spread(values):
    values = sorted(values)
    return {"min": values[0], "median": values[(len(values) - 1) // 2], "max": values[-1]}


def check_numbers(paths):
    shards = [shard_reader.Shard(path) for path in paths]
    records = [record for shard in shards for record in listing(shard)]
    told = json.loads(ringclr("inspect", "--json", *paths).stdout)
    of = {"jpeg": 1, "webp": 2, "png": 3}
    short = [min(r["width"], r["height"]) for r in records]
    expected = {
        "records": len(records),
        "class_names": shards[0].classes,
        "class_counts": [sum(r["label"] == label for r in records) for label in range(3)],
        "unlabeled": 0,
        "image_bytes": sum(r["bytes"] for r in records),
        "file_bytes": sum(len(shard.file) for shard in shards),
        "blocks": sum(shard.records[-1][0] + 1 for shard in shards),
        "codecs": {name: sum(r["codec"] == codec for r in records) for name, codec in of.items()},
        "codec_bytes": {name: sum(r["bytes"] for r in records if r["codec"] == codec) for name, codec in of.items()},
        "width": spread(r["width"] for r in records),
        "height": spread(r["height"] for r in records),
        "record_bytes": spread(r["bytes"] for r in records),
        "meta": None,
    }
    wrong = [f"{key}: {told.get(key)}, not {value}" for key, value in expected.items() if told.get(key) != value]
    sides = told["short_sides"]
    wrong += [f"{side}" for side in sides if side["count"] != sum(side["from"] <= s <= side["to"] for s in short)]
    if sum(side["count"] for side in sides) != len(records) or [f["path"] for f in told["files"]] != paths:
        wrong.append(f"{sides} {told['files']}")
    result(not wrong, f"inspect's numbers of {len(paths)} shards are those of another reader's listing", "\n".join(wrong))


def check_records(paths):
    expected = [("number", "key", "class", "label", "width", "height", "codec", "bytes", "block", "hash", "file")]
    for path in paths:
        shard = shard_reader.Shard(path)
        for r in listing(shard):
            expected.append((str(len(expected) - 1), r["key"], shard.classes[r["label"]], str(r["label"]), str(r["width"]),
                             str(r["height"]), shard_reader.CODECS[r["codec"]], str(r["bytes"]), str(r["block"]),
                             f"{r['hash']:016x}", path))
    got = [tuple(line.split("\t")) for line in ringclr("inspect", "--records", "all", *paths).stdout.splitlines()]
    result(got == expected, "--records lists what another reader lists")
    lines = [json.loads(line) for line in ringclr("inspect", "--records", "all", "--json", *paths).stdout.splitlines()]
    result([tuple(str(line[key]) for key in expected[0]) for line in lines] == expected[1:], "so does --records --json")
    few = ringclr("inspect", "--records", "5", *paths).stdout.splitlines()
    result([tuple(line.split("\t")) for line in few] == expected[:6], "--records 5 lists the first five")


def check_sheet(folder, shards):
    path = os.path.join(folder, "sheet.png")
    made = ringclr("inspect", *shards, "--sheet", path, "--sheet-images", "22")
    with Image.open(path) as file:
        sheet = file.convert("RGB")
    # 22 of 60, 14 and 30: 7 of each, and one more of the first. Ten cells of 112 pixels in a row, 10 apart; two lines below each.
    top, step = sheet.height - 16 - 3 * 152 + 10, 122
    result(made.returncode == 0 and file.format == "PNG" and sheet.width == 32 + 10 * step - 10 and 30 < top < 60,
           "the sheet is a PNG of the size that its cells need", f"{sheet.size} {made.stderr}")
    expected = ["ant"] * 8 + ["bee"] * 7 + ["cat"] * 7
    wrong = []
    for i, label in enumerate(expected):
        colour = sheet.getpixel((16 + i % 10 * step + 56, top + i // 10 * 152 + 56))
        if max(abs(a - b) for a, b in zip(colour, COLOURS[label])) > 8:  # lossy codecs
            wrong.append(f"cell {i}: {colour} is no {label}")
    corner = sheet.getpixel((16 + 2 * step + 56, top + 2 * 152 + 56))
    result(not wrong and min(corner) > 240, "it shows each class in its place, and nothing behind the last", "\n".join(wrong) + str(corner))
    captions = sheet.crop((16, top + 114, 128, top + 142)).getcolors(1 << 16)
    result(len(captions) > 1, "there is text below a picture")


def check_depths(folder, shard):
    broken = os.path.join(folder, "broken.ring")
    wrong = []
    for number in (0, 17, 51):
        key = break_image(shard, number, broken)
        found = {depth: ringclr("verify", *depth, broken) for depth in ((), ("--index",), ("--full",))}
        full = found.pop(("--full",))
        if any(run.returncode != 0 for run in found.values()) or full.returncode != 1:
            wrong.append(f"{key}: {full.stdout} {found}")
        elif f"record {number} ('{key}')" not in full.stdout or "does not decode" not in full.stdout:
            wrong.append(full.stdout)
    result(not wrong, "an image that does not decode under right hashes: --full alone finds and names it", "\n".join(wrong))
    sheet = ringclr("inspect", broken, "--sheet", os.path.join(folder, "broken.png"))
    result(sheet.returncode == 0 and "record 51" in sheet.stderr, "the sheet is drawn without it", sheet.stderr)


def check_flips(folder, shard):
    flipped, draw = os.path.join(folder, "flipped.ring"), random.Random(3)
    with open(shard, "rb") as file:
        sound = file.read()
    blocks, index = shard_reader.Shard(shard).first_block, struct.unpack_from("<Q", sound, len(sound) - 72)[0]
    wrong = []
    for at in [draw.randrange(blocks, index) for _ in range(25)] + [draw.randrange(blocks) for _ in range(5)] + [index + 40, len(sound) - 60]:
        with open(flipped, "wb") as file:
            file.write(sound[:at] + bytes([sound[at] ^ 4]) + sound[at + 1 :])
        codes = [ringclr("verify", *depth, flipped).returncode for depth in ((), ("--index",), ("--full",))]
        if codes != [1, 0 if blocks <= at < index else 1, 1]:
            wrong.append(f"byte {at}: {codes}")
    result(not wrong, "a flipped byte anywhere is found; --index looks around the blocks alone", "\n".join(wrong))


def check_jobs(folder, sound):
    """Of noise, so large that every thread has something to do."""
    draw, place, shard = random.Random(5), os.path.join(folder, "noise"), os.path.join(folder, "noise.ring")
    os.mkdir(place)
    for i in range(40):
        Image.frombytes("RGB", (200, 200), draw.randbytes(120000)).save(os.path.join(place, f"{i:02}.png"), compress_level=1)
    assert ringclr("pack", place, "-o", shard).returncode == 0
    with open(shard, "r+b") as file:
        data = bytearray(file.read())
        for at in range(20000, len(data) - 20000, 250000):
            data[at] ^= 1
        file.seek(0)
        file.write(data)
    for depth in ((), ("--full",)):
        outputs = {ringclr("verify", *depth, "--json", "--jobs", jobs, shard, sound).stdout for jobs in ("1", "2", "4", "7")}
        damages = json.loads(min(outputs))["files"][0]["damages"]
        result(len(data) > 4 << 20 and len(outputs) == 1 and len(damages) >= 15,
               f"the same report for any --jobs ({' '.join(depth) or 'by default'})", "\n".join(outputs))


with tempfile.TemporaryDirectory(prefix="ringclr-test-verify.") as place:
    sets = [make_set(place, "first", 1), make_set(place, "second", 2)]
    check_numbers(sets[:1])
    check_numbers(sets)
    check_records(sets)
    check_sheet(place, sets)
    check_depths(place, sets[0])
    check_flips(place, sets[0])
    check_jobs(place, sets[0])
finish()
