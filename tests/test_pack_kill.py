#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments: `pack --resume` ends in the same bytes as a run that nobody stopped.

Each round starts a pack and kills it after a random time, again and again with --resume, until one run ends by itself; then
every file is compared. At no moment is there an output that is not whole: what is there verifies. RINGCLR_KILL_ROUNDS=200 for more rounds.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = int(os.environ.get("RINGCLR_KILL_ROUNDS", "20"))
RINGCLR = os.environ.get("RINGCLR", "./ringclr")
SEED = int(os.environ.get("RINGCLR_KILL_SEED", str(time.time_ns() % 1000000)))

# What is written before the end: everything from the first image on where nothing is measured, from 8 MiB on else.
WAYS = {
    "one shard": ["folder", "--bad", "skip", "--codec", "raw", "--zstd", "6", "--block", "64K", "--dictionary", "none"],
    "many shards": [
        "folder", "--bad", "skip", "--codec", "raw", "--zstd", "6", "--block", "64K", "--dictionary", "none", "--shard-size", "300K"],
    "chosen by measurement, from an archive, shuffled, with validation": [
        "archive.tar", "--codec", "raw", "--shard-size", "2M", "--shuffle", "3", "--validation", "0.2", "--dedupe", "drop"],
    "WebP": [
        "folder", "--bad", "skip", "--codec", "webp", "--zstd", "3", "--block", "4K", "--dictionary", "none", "--shard-size", "100K"],
}


def pack(way, folder, *more):
    return [RINGCLR, "pack", *WAYS[way], "-o", str(folder / "t.ring"), "--json", *more]


def contents(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def check_whole(folder):
    """What has its name is whole; unfinished work has another name."""
    there = [str(p) for p in sorted(folder.iterdir()) if p.suffix == ".json" or p.name in ("t.ring", "t-validation.ring")]
    if there:
        subprocess.run([RINGCLR, "verify", *there], check=True, stdout=subprocess.DEVNULL)


def pack_until_it_ends(chance, way, longest, folder):
    """Kills the pack and resumes it until a run ends by itself. Returns (times killed, records which that run found there)."""
    killed = 0
    while True:
        run = subprocess.Popen(pack(way, folder, "--resume"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = run.communicate(timeout=chance.uniform(0.005, longest))
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.communicate()
            killed += 1
            longest *= 1.2  # whatever else the machine does: some run gets to the end
            check_whole(folder)
            continue
        if run.returncode != 0:
            raise AssertionError(f"{way}: exit {run.returncode}: {err.decode()}")
        return killed, json.loads(out)["resumed"]


def one_round(chance, way, whole, seconds, folder):
    """Returns (times killed, at least 1, and records that the run which ended found there)."""
    while True:
        folder.mkdir()
        killed, resumed = pack_until_it_ends(chance, way, seconds, folder)
        got = contents(folder)
        if got != whole:
            different = [n for n in sorted(set(got) | set(whole)) if got.get(n) != whole.get(n)][:5]
            raise AssertionError(f"{way}: other bytes after {killed} kills: {different}")
        if killed > 0:
            return killed, resumed
        shutil.rmtree(folder)  # it was done before the moment came: again, with sooner moments
        seconds /= 2


def main():
    ringclr = Path(RINGCLR).resolve()
    globals()["RINGCLR"] = str(ringclr)
    chance = random.Random(SEED)
    failures = 0
    with tempfile.TemporaryDirectory(prefix="ringclr-kill.") as name:
        os.chdir(name)
        subprocess.run([RINGCLR, "synth", "images", "--train", "1200", "--test", "0", "--size", "64"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run(["tar", "-cf", "archive.tar", "-C", "images/train", "."], check=True)
        Path("folder").mkdir()
        for place in sorted(Path("images/train").iterdir())[:4]:
            place.rename(Path("folder") / place.name)
        for image in sorted(Path("folder").glob("*/*.png"))[::40]:
            image.with_name(image.stem + "-cut.png").write_bytes(image.read_bytes()[:500])
        print(f"1..{len(WAYS)}", flush=True)
        for number, way in enumerate(WAYS, 1):
            rounds = (ROUNDS + len(WAYS) - number) // len(WAYS)
            folder = Path(f"whole-{number}")
            folder.mkdir()
            start = time.monotonic()
            subprocess.run(pack(way, folder), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seconds = time.monotonic() - start
            whole = contents(folder)
            killed, resumed, done, fault = 0, 0, 0, ""
            try:
                # More rounds than asked where no run was killed late enough to leave something: going on is what this is about.
                while done < rounds or (resumed == 0 and done < 10 * rounds):
                    more = one_round(chance, way, whole, seconds, Path(f"round-{number}-{done}"))
                    killed, resumed, done = killed + more[0], resumed + more[1], done + 1
                if resumed == 0:
                    fault = f"{killed} runs were killed, and none left anything to go on with"
            except (AssertionError, subprocess.CalledProcessError) as error:
                fault = str(error)
            failures += fault != ""
            if fault:
                print(f"# seed {SEED}: {fault}")
            print(f"{'not ok' if fault else 'ok'} {number} - {way}: {done} rounds end in the same bytes", flush=True)
            print(f"# {killed} kills, {resumed} records found by the runs that ended", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
