#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ResNets of ours against torchvision's, in float64, from the same weights: every block's output, features, the head's output,
every gradient, running statistics, evaluation mode, and the losses of a few steps of plain SGD.

Tolerances are relative to each tensor's norm: 2e-5, and 2e-4 for gradients (a head's BN over 8 rows divides by little). One ReLU that falls on the other side of zero in float32
moves the gradients behind it by up to a percent. So all cases but one have betas that keep channels clearly above zero, or below it;
the first has ordinary ones, and 2e-2 for its gradients. Channels far above zero make an h whose mean is large; where no BN comes
between it and the loss (fc on h), the BNs before it cancel most of the gradient: 5e-4.
"""
import os
import subprocess
import sys
import tempfile

CASES = [  # name, depth, size, stem (1 cifar, 2 imagenet), head (dense layers; 4: fc, 5: hidden layer and fc), rows, steps, clear of zero
    ("resnet18, cifar stem", 18, 32, 1, 2, 8, 4, False),
    ("resnet18, imagenet stem, clear", 18, 64, 2, 3, 8, 2, True),
    ("resnet50, cifar stem, clear", 50, 16, 1, 2, 12, 2, True),
    ("resnet50, imagenet stem, clear", 50, 48, 2, 1, 8, 2, True),
    ("resnet18, classifier, clear", 18, 32, 1, 4, 8, 2, True),
    ("resnet18, classifier on a hidden layer, clear", 18, 32, 1, 5, 8, 2, True),
]
CHECKS = ["blocks and output", "running statistics and evaluation mode", "gradients", "sgd losses"]
RATE, SEED, DIM = 0.002, 5, 24

try:
    import numpy as np
    import torch
    import torch.nn as nn
    import torchvision
except ImportError as missing:
    print(f"1..{len(CASES) * len(CHECKS)}")
    for number in range(len(CASES) * len(CHECKS)):
        print(f"ok {number + 1} - against PyTorch # SKIP {missing}")
    sys.exit(0)


def build(depth, stem, head, clear):
    encoder = getattr(torchvision.models, f"resnet{depth}")()
    if stem == 1:
        encoder.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        encoder.maxpool = nn.Identity()
    width = encoder.fc.in_features
    encoder.fc = nn.Identity()
    layers = []
    classifier = head > 3
    for i in range(head - 4 if classifier else head):
        out = DIM if not classifier and i == head - 1 else width
        layers += [nn.Linear(width, out, bias=False), nn.BatchNorm1d(out), nn.ReLU()]
    net = nn.Sequential()
    net.encoder, net.head = encoder, nn.Sequential(*(layers if classifier else layers[:-1]))
    if classifier:
        net.fc = nn.Linear(width, DIM)
    else:
        net.head[-1].register_parameter("bias", None)  # no beta
    generator = torch.Generator().manual_seed(SEED)
    last = "bn2" if depth < 50 else "bn3"
    for name, module in net.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            module.weight.data = torch.randn(module.weight.shape, generator=generator) * (2.0 / fan_in) ** 0.5
        if not isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            continue
        joins = name.endswith(last)
        module.weight.data = torch.rand(module.weight.shape, generator=generator) + 0.5
        if joins:  # full residuals of 16 blocks amplify any rounding
            module.weight.data *= 0.3
        if module.bias is None:
            continue
        module.bias.data = torch.rand(module.bias.shape, generator=generator) - 0.5
        if clear:
            module.bias.data = (5 + module.bias.data) * module.weight.data
        if clear and not joins and "downsample" not in name:
            module.bias.data[::4] *= -1
    return net


def name_of(name):
    return name.removeprefix("encoder.")


def run_torch(net, x, target, steps):
    net = net.double().train()
    seen = {}

    def watch(module, name):
        def keep(_module, _inputs, output):
            seen.setdefault(name, output)

        module.register_forward_hook(keep)

    watch(net.encoder.maxpool, "block.stem")
    for stage in range(1, 5):
        for i, block in enumerate(getattr(net.encoder, f"layer{stage}")):
            watch(block, f"block.layer{stage}.{i}")
    watch(net.encoder, "features")
    images, losses = x.permute(0, 3, 1, 2).double(), []
    for step in range(steps):
        net.zero_grad()
        z = net(images)
        loss = ((z - target) ** 2).sum() / 2 / len(x)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            seen["output"] = z
            for name, p in net.named_parameters():
                seen["grad." + name_of(name)] = p.grad.clone()
            for name, b in net.named_buffers():
                if "running" in name:
                    seen["buffer." + name_of(name)] = b.clone()
            with torch.no_grad():
                seen["evaluated"] = net.eval()(images)
            net.train()
        for p in net.parameters():
            p.data -= RATE * p.grad
    seen["losses"] = torch.tensor(losses)
    return {k: (v.permute(0, 2, 3, 1) if k.startswith("block.") else v).detach().numpy() for k, v in seen.items()}


def run_ours(program, net, x, target, case):
    _, depth, size, stem, head, rows, steps, _ = case
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/config", "w") as f:
            f.write(f"{depth} 1.0 {size} {stem} {head} {target.shape[1]} {rows} {steps} {RATE} 2 9\n")
        tensors = {"x": x, "target": target}
        tensors.update({name_of(k): v for k, v in net.named_parameters()})
        for name, tensor in tensors.items():
            tensor.detach().float().contiguous().numpy().tofile(f"{folder}/{name}")
        subprocess.run([program, "--run", folder], check=True, stdout=subprocess.DEVNULL)
        return {
            name: np.fromfile(f"{folder}/{name}", dtype=np.float32).astype(np.float64)
            for name in os.listdir(folder)
            if name not in tensors and name != "config"
        }


def distance(name, ours, theirs):
    scale = np.linalg.norm(theirs[name])
    if name.endswith(".bias"):  # a shift that the next BN takes away has a gradient of zero: gamma's is the scale
        scale = max(scale, np.linalg.norm(theirs[name.replace(".bias", ".weight")]))
    return float(np.linalg.norm(ours[name] - theirs[name].ravel()) / scale)


def compare(ours, theirs, prefixes, most):
    """The names under the prefixes that differ by more than `most`, and all distances."""
    names = [n for n in theirs if n.startswith(prefixes)]
    distances = {n: distance(n, ours, theirs) for n in names}
    return [f"{n} {d:.2g}" for n, d in distances.items() if not d <= most], list(distances.values())


def check(case, program):
    torch.manual_seed(SEED)
    _, depth, size, stem, head, rows, steps, clear = case
    net = build(depth, stem, head, clear)
    x, target = torch.rand(rows, size, size, 3), torch.randn(rows, DIM)
    ours = run_ours(program, net, x, target, case)
    theirs = run_torch(net, x, target, steps)
    missing = sorted(set(theirs) ^ set(ours))
    bad, d = compare(ours, theirs, ("block.", "features", "output"), 2e-5)
    yield missing + bad, d
    yield compare(ours, theirs, ("buffer.", "evaluated"), 2e-5)
    yield compare(ours, theirs, "grad.", (5e-4 if head == 4 else 2e-4) if clear else 2e-2)
    yield compare(ours, theirs, "losses", 1e-5 if clear else 1e-3)


def main():
    program = os.environ.get("BUILD", "build/release") + "/tests/test_net"
    print(f"1..{len(CASES) * len(CHECKS)}")
    number, failed = 0, False
    for case in CASES:
        for what, (bad, d) in zip(CHECKS, check(case, program)):
            number += 1
            failed = failed or bool(bad)
            print(f"{'not ok' if bad else 'ok'} {number} - {case[0]}: {what} (worst {max(d):.1e} of {len(d)})")
            for line in bad[:8]:
                print(f"# {line}")
    return 1 if failed else 0


sys.exit(main())
