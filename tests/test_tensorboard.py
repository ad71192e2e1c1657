#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""train --tensorboard: what the file holds by its format's own rules, after a kill too, and as the tensorboard package reads it."""
import glob
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from helper_tap import finish, result, skip

sys.path.insert(0, os.path.join("build", "python"))
RINGCLR = os.environ.get("RINGCLR", "./ringclr")
NAME = "events.out.tfevents.0.ringclr"


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def fields(data):
    """(number, value) of a message's fields: an int, or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            value |= (data[at] & 127) << shift
            at += 1
            if data[at - 1] < 128:
                return value
            shift += 7

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        else:
            size = {1: 8, 5: 4}.get(tag & 7) or varint()
            yield tag >> 3, data[at:at + size]
            at += size


def read(path):
    """[(step, {tag: value}, wall time)] of a file, whose checksums must hold; the version first."""
    with open(path, "rb") as file:
        data = file.read()
    events, at = [], 0
    while at < len(data):
        length, crc = struct.unpack_from("<QI", data, at)
        event = data[at + 12:at + 12 + length]
        assert crc == masked(data[at:at + 8]) and struct.unpack_from("<I", data, at + 12 + length)[0] == masked(event)
        at += 16 + length
        message = dict(fields(event))
        if 3 in message:
            assert message[3] == b"brain.Event:2" and at == 16 + length
            continue
        scalars = {}
        for number, value in fields(message[5]):
            assert number == 1
            inner = dict(fields(value))
            scalars[inner[1].decode()] = struct.unpack("<f", inner[2])[0]
        events.append((message[2], scalars, struct.unpack("<d", message[1])[0]))
    return events


def train(folder, run, *options, **more):
    return subprocess.Popen([RINGCLR, "train", f"{folder}/train.ring", "-o", f"{folder}/{run}", "--size", "16", "--width", "0.125", "--batch", "16",
                             "--epochs", "4", "--warmup-epochs", "1", "--head-dim", "16", "--test", f"{folder}/test.ring", "--eval-every", "2", "--quiet",
                             "--checkpoint-every", "3", "--tensorboard", *options], **more)


def near(a, b):
    return abs(a - b) <= 1e-6 * max(1, abs(b))


def check_run(folder, run, name):
    events = read(f"{folder}/{run}/{NAME}")
    with open(f"{folder}/{run}/metrics.jsonl", encoding="utf-8") as file:
        epochs = [json.loads(line) for line in file]
    steps = [(step, scalars) for step, scalars, _ in events if "train/loss" in scalars]
    ends = {step: scalars for step, scalars, _ in events if "epoch/loss" in scalars}
    per_epoch = epochs[0]["step"]
    good = [step for step, _ in steps] == list(range(1, 4 * per_epoch + 1)) and len(ends) == 4 == len(epochs)
    for epoch in epochs:
        of_epoch = [scalars for step, scalars in steps if epoch["step"] - per_epoch < step <= epoch["step"]]
        end = ends.get(epoch["step"], {})
        good = good and all(near(end.get(tag, -1), epoch[field]) for tag, field in
                            (("epoch/loss", "loss"), ("epoch/contrast_acc", "contrast_acc"), ("epoch/lr", "lr")))
        good = good and near(sum(s["train/loss"] for s in of_epoch) / per_epoch, epoch["loss"])
        good = good and (("eval/knn" in end) == ("knn" in epoch)) and near(end.get("eval/knn", 0), epoch.get("knn", 0))
        good = good and near(end.get("eval/linear", 0), epoch.get("linear", 0))
    walls = [wall for _, _, wall in events]
    good = good and walls == sorted(walls) and abs(walls[-1] - time.time()) < 600
    result(good, name, events[-3:])
    return events


def without_time(events):
    return [(step, scalars) for step, scalars, _ in events]


def killed(folder, whole):
    """Killed at some step after the first checkpoint, resumed: every step stands once, and with the same values."""
    path = f"{folder}/killed/{NAME}"
    for _ in range(10):  # it may be over before the moment comes
        shutil.rmtree(f"{folder}/killed", ignore_errors=True)
        run = train(folder, "killed")
        while run.poll() is None:
            if os.path.exists(f"{folder}/killed/checkpoint.safetensors") and os.path.getsize(path) > os.path.getsize(f"{folder}/run/{NAME}") // 3:
                break
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
        if run.wait() == -signal.SIGKILL:
            break
    result(run.returncode == -signal.SIGKILL, "a run is killed under way", run.returncode)
    with open(path, "ab") as file:
        file.write(b"\x20\0\0\0torn")
    resumed = train(folder, "killed", "--resume").wait()
    result(resumed == 0 and without_time(read(path)) == without_time(whole), "killed, torn and resumed: every step once, with its values")
    result(len(glob.glob(f"{folder}/killed/*tfevents*")) == 1, "in one file")


def every_metric(folder, run, name):
    """An epoch's scalars are what metrics.jsonl has, in its units, and no others."""
    ends = {step: scalars for step, scalars, _ in read(f"{folder}/{run}/{NAME}") if "epoch/loss" in scalars}
    wrong = []
    with open(f"{folder}/{run}/metrics.jsonl", encoding="utf-8") as file:
        for epoch in map(json.loads, file):
            wanted = {("eval/" if field in ("knn", "linear", "top1") else "epoch/") + field: value
                      for field, value in epoch.items() if field not in ("epoch", "step")}
            got = ends.get(epoch["step"], {})
            if got.keys() != wanted.keys() or not all(near(got[tag], wanted[tag]) for tag in wanted):
                wrong.append((wanted, got))
    result(len(ends) == 4 and not wrong, name, wrong)


def as_tensorboard(folder, events):
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as why:
        skip("read by TensorBoard", why)
        return
    seen = EventAccumulator(f"{folder}/run", size_guidance={"scalars": 0}).Reload()
    tags = sorted({tag for _, scalars, _ in events for tag in scalars})
    result(sorted(seen.Tags()["scalars"]) == tags and len(tags) == 14, "TensorBoard finds every tag", (seen.Tags(), tags))
    same = all([(e.step, e.value, e.wall_time) for e in seen.Scalars(tag)] == [(step, scalars[tag], wall) for step, scalars, wall in events if tag in scalars]
               for tag in tags)
    result(same, "TensorBoard reads every step, value and time")


scratch = tempfile.mkdtemp(prefix="ringclr-test-tensorboard.")
try:
    subprocess.run([RINGCLR, "synth", f"{scratch}/images", "--train", "130", "--test", "40", "--size", "16"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    for part in ("train", "test"):
        subprocess.run([RINGCLR, "pack", f"{scratch}/images", "--root", part, "-o", f"{scratch}/{part}.ring"], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    result(train(scratch, "run", stderr=subprocess.DEVNULL).wait() == 0, "a run with --tensorboard")
    written = check_run(scratch, "run", "every step and epoch stands there, with the numbers of metrics.jsonl")
    killed(scratch, written)
    train(scratch, "both", "--report", f"{scratch}/page.html", stderr=subprocess.DEVNULL).wait()
    check_run(scratch, "both", "beside --report too")
    result(os.path.getsize(f"{scratch}/page.html") > 1000, "which is written as ever")
    as_tensorboard(scratch, written)
    every_metric(scratch, "run", "each number of an epoch, as metrics.jsonl has it")
    train(scratch, "labels", "--loss", "cross-entropy", "--probe", stderr=subprocess.DEVNULL).wait()
    every_metric(scratch, "labels", "of a supervised run with a probe too")
finally:
    shutil.rmtree(scratch)
finish()
