#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning against PyTorch in float64, from files alone: the classifier starts from just the encoder of a run (or its hidden layer
too), the losses and accuracies of a few steps are those of torchvision's net under torch.optim.SGD, and so are the weights and the
top-1 of the test images afterwards. A batch is the whole data set, seen as it is: order and augmentation play no part. Prints TAP."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

from helper_tap import finish, result as ok

try:
    import numpy as np
    import torch
    import torchvision
    from PIL import Image
except ImportError as missing:
    print(f"1..1\nok 1 - fine-tuning against PyTorch # SKIP {missing}")
    sys.exit(0)

RINGCLR = os.environ.get("RINGCLR", "./ringclr")
SIZE, IMAGES, TEST, STEPS = 16, 30, 30, 3
torch.set_num_threads(1)
folder = tempfile.mkdtemp(prefix="ringclr-supervised-")


def path(name):
    return os.path.join(folder, name)


def run(*arguments):
    done = subprocess.run([RINGCLR, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        print("# " + done.stderr.replace("\n", "\n# "))
    return done.returncode == 0


def checkpoint(name):
    """Its tensors as float64, and its metadata."""
    with open(path(name) + "/checkpoint.safetensors", "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        body = f.read()
    about = header.pop("__metadata__")
    tensors = {}
    for key, entry in header.items():
        first, end = entry["data_offsets"]
        if entry["dtype"] == "F32":
            array = np.frombuffer(body[first:end], np.float32).reshape(entry["shape"])
            tensors[key] = torch.from_numpy(array.astype(np.float64))
    return tensors, about


def metrics(name):
    with open(path(name) + "/metrics.jsonl") as f:
        return [json.loads(line) for line in f]


def images(split):
    root = path("images") + "/" + split
    classes = sorted(os.listdir(root))
    names = sorted((c, f) for c in classes for f in os.listdir(os.path.join(root, c)))
    x = np.stack([np.asarray(Image.open(os.path.join(root, *n)).convert("RGB")) for n in names])
    y = torch.tensor([classes.index(c) for c, _ in names])
    return torch.from_numpy(x).permute(0, 3, 1, 2).double() / 255, y


def build(tensors, hidden):
    net = torchvision.models.resnet18(num_classes=10)
    net.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.maxpool = torch.nn.Identity()
    state = {k: v for k, v in tensors.items() if not k.startswith(("momentum.", "head."))}
    if hidden:
        net.fc = torch.nn.Sequential(torch.nn.Linear(512, 512, bias=False), torch.nn.BatchNorm1d(512), torch.nn.ReLU(),
                                     torch.nn.Linear(512, 10))
        state = {k.replace("fc.", "fc.3."): v for k, v in state.items()}
        state.update({"fc." + k.removeprefix("head."): v for k, v in tensors.items() if k.startswith("head.")})
    net.double()
    missing, foreign = net.load_state_dict(state, strict=False)
    missing = [k for k in missing if not k.endswith("num_batches_tracked")]
    return net, missing + foreign


def start(name, hidden, pre):
    """A step at rate 0: every weight is still the first one. Returns them, with the running statistics of the start."""
    arguments = ["--init-from", "head1"] if hidden else []
    made = run("finetune", path("pre"), "--train", path("train.ring"), "-o", path(name), "--batch", IMAGES, "--epochs", 1,
               "--lr", 0, "--views", "center", "--quiet", *arguments)
    if not made:
        return None
    tensors, about = checkpoint(name)
    weights = {k: v for k, v in tensors.items() if not k.startswith("momentum.") and "running" not in k}
    taken = [k for k in weights if not k.startswith("fc.")]
    wanted = [k for k in pre if not k.startswith(("momentum.", "head.")) and "running" not in k]
    if hidden:
        wanted += ["head.0.weight", "head.1.weight", "head.1.bias"]
    ok(sorted(taken) == sorted(wanted) and all(torch.equal(weights[k], pre[k]) for k in taken),
       f"{name}: encoder{' and hidden layer' if hidden else ''} are the run's, bit for bit, and nothing else is taken")
    fc = weights["fc.weight"]
    ok(fc.shape == (10, 512) and abs(fc.std().item() / 0.01 - 1) < 0.05 and not weights["fc.bias"].any() and
       about["head"] == ("5" if hidden else "4") and about["head_dim"] == "10", f"{name}: fc begins as N(0, 0.01), its bias as 0")
    for key, value in pre.items():
        if "running" in key and (key in tensors):
            tensors[key] = value
    return tensors


def against_torch(name, hidden, pre):
    tensors = start(name + " at rest", hidden, pre)
    if tensors is None:
        return ok(False, f"{name}: runs")
    arguments = ["--init-from", "head1"] if hidden else []
    made = run("finetune", path("pre"), "--train", path("train.ring"), "--test", path("test.ring"), "-o", path(name), "--batch", IMAGES,
               "--epochs", STEPS, "--lr", 0.2, "--lr-scaling", "constant", "--weight-decay", 0.01, "--views", "center", "--quiet", *arguments)
    ours = metrics(name) if made else []
    ok(len(ours) == STEPS, f"{name}: {STEPS} steps")
    net, wrong = build(tensors, hidden)
    ok(not wrong, f"{name}: torchvision's names and shapes {wrong[:3]}")
    decayed = [p for p in net.parameters() if p.dim() > 1]
    others = [p for p in net.parameters() if p.dim() == 1]
    optimizer = torch.optim.SGD([{"params": decayed, "weight_decay": 0.01}, {"params": others}], lr=1, momentum=0.9, nesterov=True)
    x, y = images("train")
    net.train()
    for line in ours:
        for group in optimizer.param_groups:
            group["lr"] = line["lr"]
        optimizer.zero_grad()
        logits = net(x)
        loss = torch.nn.functional.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        accuracy = 100 * (logits.argmax(1) == y).double().mean().item()
        error = abs(line["loss"] / loss.item() - 1)
        # An image on the edge between two classes may fall on either side.
        ok(error < 1e-5 and abs(line["accuracy"] - accuracy) < 100.5 / IMAGES,
           f"{name}: step {line['step']}: loss {line['loss']:.6f}, relative error {error:.1e}; accuracy {line['accuracy']:.1f}, {accuracy:.1f}")
    trained, _ = checkpoint(name)
    net_weights, _ = build(trained, hidden)
    theirs = dict(net.named_parameters())
    worst = max((p - theirs[k]).norm().item() / theirs[k].norm().clamp(min=1e-3).item() for k, p in net_weights.named_parameters())
    ok(worst < 1e-3, f"{name}: weights afterwards: worst relative error {worst:.1e}")
    x, y = images("test")
    with torch.no_grad():
        logits = net_weights.eval()(x)
    top1 = 100 * (logits.argmax(1) == y).double().mean().item()
    ok(abs(ours[-1]["top1"] - top1) < 100.5 / TEST, f"{name}: top1 {ours[-1]['top1']:.2f}, by torch from the same weights {top1:.2f}")


try:
    made = run("synth", path("images"), "--train", IMAGES, "--test", TEST, "--size", SIZE) and \
        run("pack", path("images"), "--root", "train", "-o", path("train.ring")) and \
        run("pack", path("images"), "--root", "test", "-o", path("test.ring")) and \
        run("train", path("train.ring"), "-o", path("pre"), "--size", SIZE, "--batch", 10, "--epochs", 1, "--warmup-epochs", 0, "--quiet")
    ok(made, "data, and a run to start from")
    if made:
        before, _ = checkpoint("pre")
        against_torch("fine-tuning h", False, before)
        against_torch("fine-tuning head1", True, before)
finally:
    shutil.rmtree(folder)
finish()
