#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scores features as `ringclr eval --features-train ...` does, by PyTorch in float64: to hold one against the other.

kNN: cosine, votes exp(similarity / 0.1) of the 200 nearest. Linear: multinomial logistic regression on standardised features,
mean cross-entropy + RIDGE |W|^2, L-BFGS until it no longer moves. Prints one line of JSON.

  ringclr embed RUN train.ring -o a.npy --labels b.npy; ringclr embed RUN test.ring -o c.npy --labels d.npy
  ringclr eval --features-train a.npy --labels-train b.npy --features-test c.npy --labels-test d.npy --method linear --json
  python3 tools/peers/score_features.py a.npy b.npy c.npy d.npy --ridge 3.16e-4     # the ridge that eval chose
"""
import argparse
import json

import numpy as np
import torch
import torch.nn.functional as F


def knn(train, train_labels, test, test_labels, k=200, temperature=0.1):
    train, test = F.normalize(train, dim=1), F.normalize(test, dim=1)
    classes, hits = int(train_labels.max()) + 1, 0
    for rows, labels in zip(test.split(500), test_labels.split(500)):
        similarity, index = (rows @ train.T).topk(min(k, len(train)))
        votes = torch.zeros(len(rows), classes, dtype=rows.dtype).scatter_add_(1, train_labels[index], (similarity / temperature).exp())
        hits += int((votes.argmax(1) == labels).sum())
    return 100 * hits / len(test)


def linear(train, train_labels, test, test_labels, ridge):
    mean, deviation = train.mean(0), train.std(0) + 1e-6
    train, test = (train - mean) / deviation, (test - mean) / deviation
    layer = torch.nn.Linear(train.shape[1], int(train_labels.max()) + 1).double()
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=1000, max_eval=4000, line_search_fn="strong_wolfe",
                                  tolerance_grad=1e-9, tolerance_change=1e-12)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(train), train_labels) + ridge * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return 100 * float((layer(test).argmax(1) == test_labels).double().mean())


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for name in ("train", "train_labels", "test", "test_labels"):
    parser.add_argument(name, metavar=name.upper() + ".npy")
parser.add_argument("--ridge", type=float, default=1e-3)
given = parser.parse_args()
data = [torch.from_numpy(np.load(path)) for path in (given.train, given.train_labels, given.test, given.test_labels)]
data = [data[0].double(), data[1].long(), data[2].double(), data[3].long()]
print(json.dumps({"knn": knn(*data), "linear": linear(*data, given.ridge), "ridge": given.ridge}))
