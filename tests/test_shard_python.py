#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shards by this program, read by tests/shard_reader.py, which was made from docs/SHARD_FORMAT.md."""
import glob
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
try:
    import shard_reader
except OSError:  # it loads libzstd and libxxhash
    shard_reader = None

WRITER = os.path.join(os.environ.get("BUILD", "build/release"), "tests", "test_shard")
READER = [sys.executable, os.path.join("tests", "shard_reader.py")]
count = failures = 0


def result(passed, name, why=""):
    global count, failures
    count += 1
    failures += not passed
    print(f"{'ok' if passed else 'not ok'} {count} - {name}")
    if not passed and why:
        print("\n".join("# " + line for line in why.splitlines()[:20]))


def read(*arguments):
    return subprocess.run(READER + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def check_shard(folder, shard):
    name = os.path.basename(shard)
    stem = shard[: -len(".ring")]
    with open(stem + ".txt", encoding="utf-8") as file:
        expected = file.read()
    for option in ([], ["--blocks"]):
        got = read(*option, shard)
        lines = [line.split(" ", 2) for line in got.stdout.decode().splitlines()]
        listed = "".join(f"{number} {rest}\n" for number, _, rest in lines)
        result(got.returncode == 0 and listed == expected, " ".join([name, "lists its records"] + option), got.stderr.decode())
    wrong, opened = [], shard_reader.Shard(shard)
    for number in range(len(expected.splitlines())):
        with open(f"{stem}.{number}", "rb") as file:
            image = file.read()
        got = opened.image(number)
        if got != image:
            wrong.append(f"record {number}: {len(got)} bytes for {len(image)}")
    result(not wrong, f"{name} gives its images", "\n".join(wrong))
    first = read(shard, "0")
    result(first.returncode == 0 and first.stdout == opened.image(0), f"{name} gives an image on standard output")


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
    marked = sum(sound[at + 28] == 2 for at in {record["at"] for record in opened.records})
    result(opened.dictionary is not None and marked > 0, "a shard has a dictionary, and blocks that are compressed with it")
    at = sound.index(opened.dictionary)
    with open(shard, "wb") as file:
        file.write(sound[: at + 20] + bytes([sound[at + 20] ^ 1]) + sound[at + 21 :])
    result(b"dictionary" in read(shard, "0").stderr, "a damaged dictionary is refused")


def main():
    if not os.access(WRITER, os.X_OK):
        print(f"1..0 # SKIP {WRITER} is not built")
        return 0
    if shard_reader is None:
        print("1..0 # SKIP no libzstd or libxxhash that Python can load")
        return 0
    with tempfile.TemporaryDirectory(prefix="ringclr-shard.") as folder:
        subprocess.run([WRITER, "--write", folder], check=True)
        shards = sorted(glob.glob(os.path.join(folder, "*.ring")))
        result(len(shards) == 5, "shards are written")
        for shard in shards:
            check_shard(folder, shard)
        check_damage(shards[0])
        check_dictionary(shards[4])
    print(f"1..{count}")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
