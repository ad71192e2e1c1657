#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes net.txt: a narrow ResNet-18's blocks, outputs, gradients and losses from PyTorch in float64, for tests/test_net_golden.c.

Weights and data are not stored: both sides compute them from hash_uniform(). Of each tensor a line holds the name, the number of
elements, the norm and eight elements at equal distances (in PyTorch's order).

  /usr/bin/python3 tests/golden/make_net.py > tests/golden/net.txt
"""
import numpy as np
import torch
import torch.nn as nn
from torchvision.models.resnet import BasicBlock

CHANNELS, ROWS, SIZE, DIM, STEPS, RATE = (8, 16, 32, 64), 8, 12, 10, 8, 0.0005


def hash_uniform(index, count):
    """count numbers in [0, 1), from 32-bit integer arithmetic alone."""
    k = np.arange(1, count + 1, dtype=np.uint64)
    mask = np.uint64(0xFFFFFFFF)
    x = (k * np.uint64(2654435761) + np.uint64(index + 1) * np.uint64(2246822519)) & mask
    x ^= x >> np.uint64(15)
    x = (x * np.uint64(2246822519)) & mask
    x ^= x >> np.uint64(13)
    x = (x * np.uint64(3266489917)) & mask
    x ^= x >> np.uint64(16)
    return x.astype(np.float64) / 4294967296.0


def uniform(index, shape, low, high):
    u = hash_uniform(index, int(np.prod(shape))).reshape(shape)
    return torch.from_numpy((low + (high - low) * u).astype(np.float32)).double()


def block(inside, outside, stride):
    down = None
    if stride != 1 or inside != outside:
        down = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
    return BasicBlock(inside, outside, stride, down)


def build():
    net = nn.Sequential()
    net.conv1 = nn.Conv2d(3, CHANNELS[0], 3, 1, 1, bias=False)
    net.bn1 = nn.BatchNorm2d(CHANNELS[0])
    net.relu = nn.ReLU()
    inside = CHANNELS[0]
    for stage, outside in enumerate(CHANNELS):
        layer = nn.Sequential(block(inside, outside, 1 if stage == 0 else 2), block(outside, outside, 1))
        setattr(net, f"layer{stage + 1}", layer)
        inside = outside
    net.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.head = nn.Sequential(
        nn.Linear(inside, inside, bias=False), nn.BatchNorm1d(inside), nn.ReLU(),
        nn.Linear(inside, DIM, bias=False), nn.BatchNorm1d(DIM),
    )
    net.head[4].register_parameter("bias", None)
    for index, (name, p) in enumerate(net.named_parameters()):
        if p.dim() > 1:
            bound = (3.0 * (2.0 if p.dim() == 4 else 1.0) / p[0].numel()) ** 0.5
            p.data = uniform(index, p.shape, -bound, bound)
        elif name.endswith("bias"):
            p.data = uniform(index, p.shape, -0.5, 0.5)
        else:
            p.data = uniform(index, p.shape, 0.5, 1.5)
    return net.double().train()


def line(name, tensor):
    values = tensor.detach().numpy().ravel()
    picked = [values[i * (len(values) - 1) // 7] for i in range(8)]
    print(name, len(values), *(f"{v:.9g}" for v in [np.linalg.norm(values), *picked]))


def main():
    net, blocks = build(), []

    def watch(module, name):
        def keep(_module, _inputs, output):
            blocks.append((name, output))

        module.register_forward_hook(keep)

    for stage in range(1, 5):
        for i, module in enumerate(getattr(net, f"layer{stage}")):
            watch(module, f"block.layer{stage}.{i}")
    x = uniform(1000, (ROWS, SIZE, SIZE, 3), 0.0, 1.0).permute(0, 3, 1, 2)
    target = uniform(1001, (ROWS, DIM), -2.0, 2.0)
    losses = []
    for step in range(STEPS):
        blocks.clear()
        net.zero_grad()
        z = net(x)
        loss = ((z - target) ** 2).sum() / 2 / ROWS
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            for name, out in blocks:
                line(name, out)
            line("output", z)
            for name, p in net.named_parameters():
                line("grad." + name, p.grad)
            for name, b in net.named_buffers():
                if "running" in name:
                    line("buffer." + name, b)
        for p in net.parameters():
            p.data -= RATE * p.grad
    line("losses", torch.tensor(losses))


main()
