#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Weights go both ways between ringclr and torchvision, by name, through real safetensors files: the features that `ringclr embed`
writes are those that torchvision's network computes with the same weights on the same pixels. Prints TAP."""
import os
import shutil
import subprocess
import sys
import tempfile

from helper_tap import finish, result as ok

sys.path.insert(0, "build/python")
try:
    import numpy as np
    import torch
    import torchvision
    from PIL import Image
    from safetensors.torch import load_file, save_file
except ImportError as missing:
    print(f"1..1\nok 1 - weights to and from torchvision # SKIP {missing}")
    sys.exit(0)

RINGCLR = os.environ.get("RINGCLR", "./ringclr")
folder = tempfile.mkdtemp(prefix="ringclr-torch-")


def run(*arguments):
    done = subprocess.run([RINGCLR, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        print("# " + done.stderr.replace("\n", "\n# "))
    return done.returncode == 0


def path(name):
    return os.path.join(folder, name)


def pixels(split, size):
    """The packed images in the shard's order (sorted by path), as torch wants them. Images of the network's own size are not resized."""
    root = path("images") + "/" + split
    names = sorted(os.path.join(c, f) for c in os.listdir(root) for f in os.listdir(os.path.join(root, c)))
    images = np.stack([np.asarray(Image.open(os.path.join(root, n)).convert("RGB")) for n in names])
    assert images.shape[1] == size
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def encoder(name, cifar):
    net = getattr(torchvision.models, name)()
    if cifar:
        net.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        net.maxpool = torch.nn.Identity()
    net.fc = torch.nn.Identity()
    return net.eval()


def relative(ours, theirs):
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def ours_to_torchvision():
    """A trained checkpoint (with running statistics that moved) opens in torchvision's ResNet-18."""
    trained = run("train", path("train.ring"), "-o", path("run"), "--batch", 8, "--epochs", 1, "--warmup-epochs", 0, "--quiet")
    ok(trained, "a full-width ResNet-18 trains")
    state = load_file(path("run/checkpoint.safetensors"))
    net = encoder("resnet18", cifar=True)
    missing, unexpected = net.load_state_dict(state, strict=False)
    foreign = [k for k in unexpected if not k.startswith(("head.", "momentum."))]
    ok(not missing and not foreign, f"its tensors have torchvision's names and shapes (missing {missing[:3]}, foreign {foreign[:3]})")
    moved = not torch.equal(state["bn1.running_mean"], torch.zeros(64))
    ok(moved and int(state["bn1.num_batches_tracked"]) == 2, "running statistics were saved")
    with torch.no_grad():
        theirs = net(pixels("test", 32)).numpy()
    embedded = run("embed", path("run"), path("test.ring"), "-o", path("ours.npy"))
    error = relative(np.load(path("ours.npy")), theirs) if embedded else float("inf")
    ok(error < 1e-5, f"features agree with torchvision's: relative error {error:.1e}")


def torchvision_to_ours(name, cifar):
    """torchvision's file, with statistics that are not those of a new net, is recognised and gives the same features."""
    torch.manual_seed(3)
    net = encoder(name, cifar)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, path("theirs.safetensors"))
    with torch.no_grad():
        theirs = net(pixels("test", 32)).numpy()
    embedded = run("embed", path("theirs.safetensors"), path("test.ring"), "-o", path("h.npy"), "--size", 32)
    error = relative(np.load(path("h.npy")), theirs) if embedded else float("inf")
    ok(error < 1e-5, f"torchvision's {name}, {'3x3' if cifar else '7x7'} stem: features agree: relative error {error:.1e}")


def refused():
    save_file({"conv1.weight": torch.zeros(64, 3, 3, 3)}, path("part.safetensors"))
    done = subprocess.run([RINGCLR, "embed", path("part.safetensors"), path("test.ring"), "-o", path("none.npy")],
                          capture_output=True, text=True)
    ok(done.returncode == 1 and "part.safetensors" in done.stderr and not os.path.exists(path("none.npy")),
       "a file that is no ResNet is refused by name")


try:
    made = run("synth", path("images"), "--train", 20, "--test", 30) and \
        run("pack", path("images"), "--root", "train", "-o", path("train.ring")) and \
        run("pack", path("images"), "--root", "test", "-o", path("test.ring"))
    ok(made, "data")
    ours_to_torchvision()
    for name, cifar in (("resnet18", True), ("resnet18", False), ("resnet50", True), ("resnet50", False)):
        torchvision_to_ours(name, cifar)
    refused()
finally:
    shutil.rmtree(folder)
finish()
