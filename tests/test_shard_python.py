#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shards by this program, read by tests/shard_reader.py, which was made from docs/SHARD_FORMAT.md."""
import glob
import os
import subprocess
import sys
import tempfile

from helper_tap import finish, result, skip

sys.dont_write_bytecode = True
try:
    import shard_reader
except OSError:  # it loads libzstd and libxxhash
    shard_reader = None

WRITER = os.path.join(os.environ.get("BUILD", "build/release"), "tests", "test_shard")
READER = [sys.executable, os.path.join("tests", "shard_reader.py")]


def read(*arguments):
    return subprocess.run(READER + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def read_blocks(shard):
    """The blocks' own entries, found without index and footer."""
    opened = shard_reader.Shard(shard)
    at, entries = opened.first_block, []
    while opened.file[at : at + 8] in (b"RINGBLK\n", b"RINGDIC\n"):
        if opened.file[at : at + 8] == b"RINGBLK\n":
            entries += [entry for entry, _, _ in opened.block(at)]
        at += shard_reader.up(int.from_bytes(opened.file[at + 12 : at + 16], "little"))
    return entries


def check_golden(shard):
    """A shard of an older version: exactly the listing that is kept beside it."""
    with open(shard[: -len("ring")] + "txt", encoding="utf-8") as file:
        expected = file.read()
    opened = shard_reader.Shard(shard)
    got = read(shard)
    records = [line.split(" ", 2) for line in got.stdout.decode().splitlines()]
    listed = "".join(f"class {i} {name}\n" for i, name in enumerate(opened.classes))
    listed += "".join(f"{number} {rest}\n" for number, _, rest in records)
    result(got.returncode == 0 and listed == expected, f"{os.path.basename(shard)} is read as it was", got.stderr.decode() + listed)


def check_shard(folder, shard):
    name = os.path.basename(shard)
    stem = shard[: -len(".ring")]
    with open(stem + ".txt", encoding="utf-8", errors="surrogateescape") as file:
        expected = file.read()
    got = read(shard)
    lines = [line.split(" ", 3) for line in got.stdout.decode(errors="surrogateescape").splitlines()]
    listed = "".join(f"{number} {rest}\n" for number, _, _, rest in lines)
    result(got.returncode == 0 and listed == expected, f"{name} lists its records", got.stderr.decode())
    wrong, opened = [], shard_reader.Shard(shard)
    result(read_blocks(shard) == [entry for _, _, _, entry in opened.records], f"{name} has the same records in its blocks")
    for number in range(len(expected.splitlines())):
        with open(f"{stem}.{number}", "rb") as file:
            image = file.read()
        got = opened.record(number)[1]
        if got != image:
            wrong.append(f"record {number}: {len(got)} bytes for {len(image)}")
    result(not wrong, f"{name} gives its images", "\n".join(wrong))
    first = read(shard, "0")
    result(first.returncode == 0 and first.stdout == opened.record(0)[1], f"{name} gives an image on standard output")


def check_damage(shard):
    """The reader does check: a flipped byte in each part is refused."""
    with open(shard, "rb") as file:
        sound = file.read()
    offset = int.from_bytes(sound[-72:-64], "little")
    for part, at in {"header": 70, "class table": 4097, "block": 8192 + 70, "index": offset, "footer": len(sound) - 100}.items():
        broken = bytearray(sound)
        broken[at] ^= 1
        with open(shard, "wb") as file:
            file.write(broken)
        result(read(shard, "0").returncode != 0, f"a damaged {part} is refused")


def check_dictionary(shard):
    """The last shard has a dictionary, and the reader needs it."""
    opened = shard_reader.Shard(shard)
    with open(shard, "rb") as file:
        sound = file.read()
    marked = sum(sound[at + 28] == 2 for at in {record[1] for record in opened.records})
    result(opened.dictionary and marked > 0, "a shard has a dictionary, and blocks that are compressed with it")
    at = sound.index(opened.dictionary)
    with open(shard, "wb") as file:
        file.write(sound[: at + 20] + bytes([sound[at + 20] ^ 1]) + sound[at + 21 :])
    result(b"dictionary" in read(shard, "0").stderr, "a damaged dictionary is refused")


def main():
    if shard_reader is None:
        print("1..0 # SKIP no libzstd or libxxhash that Python can load")
        return 0
    golden = sorted(glob.glob(os.path.join("tests", "golden", "shard-*.ring")))
    result(len(golden) == 4, "shards of each version of the format are kept")
    for shard in golden:
        check_golden(shard)
    if not os.access(WRITER, os.X_OK):
        skip("shards by this program", f"{WRITER} is not built")
        finish()
    with tempfile.TemporaryDirectory(prefix="ringclr-shard.") as folder:
        subprocess.run([WRITER, "--write", folder], check=True)
        shards = sorted(glob.glob(os.path.join(folder, "*.ring")))
        result(len(shards) == 5, "shards are written")
        for shard in shards:
            check_shard(folder, shard)
        check_damage(shards[0])
        check_dictionary(shards[4])
    finish()


if __name__ == "__main__":
    sys.exit(main())
