# SPDX-License-Identifier: Apache-2.0
"""What the tests of weights in and out share: TAP, the program, a small data set as NumPy sees it, torchvision's nets with statistics
that are not those of a new net. Import it after torch: it needs torch, torchvision and Pillow."""
import os
import shutil
import subprocess
import sys
import tempfile

import helper_tap
from helper_tap import result as ok, skip  # noqa: F401, for those that import this

import numpy as np
import torch
import torchvision
from PIL import Image

RINGCLR = os.environ.get("RINGCLR", "./ringclr")
SIDE = 32
IMAGES = 12
folder = tempfile.mkdtemp(prefix="ringclr-weights-")


def path(name):
    return os.path.join(folder, name)


def ringclr(*arguments):
    return subprocess.run([RINGCLR, *map(str, arguments)], capture_output=True, text=True)


def run(*arguments):
    done = ringclr(*arguments)
    if done.returncode:
        print("# " + done.stderr.replace("\n", "\n# "))
    return done.returncode == 0


def fails(code, pattern, name, *arguments):
    """The command exits so, names what is wrong, and leaves nothing at path('none')."""
    done = ringclr(*arguments)
    ok(done.returncode == code and pattern in done.stderr and not os.path.exists(path("none")), name,
       f"exit {done.returncode}, wanted {code}, '{pattern}' in: {done.stderr}")


def relative(ours, theirs):
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def make_data():
    """train.ring and test.ring of images of the net's own size, which no view resizes."""
    return run("synth", path("images"), "--train", 10, "--test", IMAGES) and \
        run("pack", path("images"), "--root", "train", "-o", path("train.ring")) and \
        run("pack", path("images"), "--root", "test", "-o", path("test.ring"))


def pixels():
    """test.ring's images in its order (by path), float32 [N][3][S][S] in [0,1]."""
    root = path("images/test")
    names = sorted(os.path.join(c, f) for c in os.listdir(root) for f in os.listdir(os.path.join(root, c)))
    images = np.stack([np.asarray(Image.open(os.path.join(root, n)).convert("RGB")) for n in names])
    assert images.shape == (IMAGES, SIDE, SIDE, 3)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32) / 255


def embed(weights, name="h.npy", *options):
    """The features that ringclr computes; of no shape that fits when it fails."""
    if run("embed", weights, path("test.ring"), "-o", path(name), *options):
        return np.load(path(name))
    return np.zeros(0)


class Narrow(torchvision.models.ResNet):
    """With an eighth of the channels, in every layer: small files."""

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        if planes == 64:
            self.inplanes = 8
        return super()._make_layer(block, planes // 8, blocks, stride, dilate)


def torch_net(name, cifar=True, classes=0, narrow=True):
    """A resnet18, 34 or 50 with running statistics, gamma and beta of all sizes. classes 0: without classifier."""
    torch.manual_seed(3)
    net = getattr(torchvision.models, name)()
    if narrow:
        blocks = [len(layer) for layer in (net.layer1, net.layer2, net.layer3, net.layer4)]
        net = Narrow(type(net.layer1[0]), blocks)
        net.conv1 = torch.nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        net.bn1 = torch.nn.BatchNorm2d(8)
        net.fc.in_features //= 8
    if cifar:
        net.conv1 = torch.nn.Conv2d(3, net.conv1.out_channels, 3, 1, 1, bias=False)
        net.maxpool = torch.nn.Identity()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
    net.fc = torch.nn.Linear(net.fc.in_features, classes) if classes else torch.nn.Identity()
    return net.eval()


def state(net):
    return {name: tensor.contiguous() for name, tensor in net.state_dict().items()}


def infer(net, x):
    with torch.no_grad():
        return net(torch.from_numpy(x)).numpy()


def finish(tests):
    """Runs them and ends the program."""
    try:
        ok(make_data(), "data")
        for test in tests:
            test()
    finally:
        shutil.rmtree(folder)
    helper_tap.finish()
