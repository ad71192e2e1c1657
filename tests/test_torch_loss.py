#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Loss, optimizers and probes against PyTorch. The C test programs write their inputs and results (--dump DIR)."""
import os
import subprocess
import sys
import tempfile

BUILD = os.environ.get("BUILD", "build/release")
NAMES = ("ntxent", "losses and their metrics", "lars", "sgd", "adam", "softmax minimum", "logistic accuracy", "knn")

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError as missing:
    print("1..%d" % len(NAMES))
    for number, name in enumerate(NAMES, 1):
        print("ok %d - %s # SKIP %s" % (number, name, missing))
    sys.exit(0)

torch.set_num_threads(2)
torch.manual_seed(0)


def load(folder, name, kind=np.float32):
    return np.fromfile(os.path.join(folder, name), kind)


def relative(ours, theirs):
    ours, theirs = ours.double(), theirs.double()
    return ((ours - theirs).norm() / theirs.norm().clamp_min(1e-30)).item()


def near(what, ours, theirs, limit):
    """A problem in words, or none."""
    return [] if abs(ours - theirs) <= limit else ["%s: %.9g, PyTorch %.9g" % (what, ours, theirs)]


def ntxent(folder):
    problems = []
    for case in range(5):
        rows, dim, temperature, loss, accuracy = load(folder, "ntxent_%d.meta" % case, np.float64)
        z, dz = (torch.from_numpy(load(folder, "ntxent_%d.%s" % (case, part))).double().reshape(int(rows), int(dim))
                 for part in ("z", "dz"))
        z.requires_grad_()
        u = F.normalize(z, dim=1)
        logits = u @ u.t() / temperature
        logits.fill_diagonal_(-1e9)
        target = torch.arange(len(z)).roll(len(z) // 2)
        theirs = F.cross_entropy(logits, target)
        theirs.backward()
        what = "case %d (%d rows, t = %g)" % (case, rows, temperature)
        problems += near(what + " loss", loss, theirs.item(), 1e-7 / temperature)
        problems += near(what + " accuracy", accuracy, (logits.argmax(1) == target).double().mean().item(), 1e-12)
        if rows == 2:  # a single pair has no gradient
            problems += near(what + " gradient", dz.abs().max().item(), 0, 0)
        elif not relative(dz, z.grad) <= 5e-6:
            problems.append(what + " gradient is off by %.2g" % relative(dz, z.grad))
    return problems


def contrastive(z, kind, semi_hard, normalize, temperature, margin):
    """The loss, and accuracy, entropy, alignment and uniformity."""
    rows = len(z)
    unit = F.normalize(z, dim=1)
    u = unit if normalize else z
    c = u @ u.t()
    positive = torch.arange(rows).roll(rows // 2)
    itself = torch.eye(rows, dtype=torch.bool)
    logits = (c / temperature).masked_fill(itself, -torch.inf)
    near = c[torch.arange(rows), positive]
    negative = ~(itself | itself[positive])
    if semi_hard:
        negative = negative & (c < near[:, None]) & (c > near[:, None] - margin)
    weight = negative / negative.sum(1, keepdim=True).clamp_min(1)
    if kind == 0:
        loss = F.cross_entropy(logits, positive)
    elif kind == 1:
        loss = -(F.logsigmoid(near / temperature) + (weight * F.logsigmoid(-c / temperature)).sum(1)).mean()
    else:
        loss = (weight * F.relu(c - near[:, None] + margin)).sum(1).mean()
    with torch.no_grad():
        entropy = torch.distributions.Categorical(logits=logits).entropy().mean()
        alignment = (unit[:rows // 2] - unit[rows // 2:]).square().sum(1).mean()
        uniformity = torch.pdist(unit).square().mul(-2).exp().mean().log()
        accuracy = (logits.argmax(1) == positive).double().mean()
    return loss, (accuracy.item(), entropy.item(), alignment.item(), uniformity.item())


def losses(folder):
    problems = []
    for case in range(40):
        meta = load(folder, "kinds_%d.meta" % case, np.float64)
        kind, semi_hard, normalize, rows, dim = (int(number) for number in meta[:5])
        temperature, margin, loss = meta[5:8]
        z, dz = (torch.from_numpy(load(folder, "kinds_%d.%s" % (case, part))).double().reshape(rows, dim)
                 for part in ("z", "dz"))
        z.requires_grad_()
        theirs, metrics = contrastive(z, kind, semi_hard, normalize, temperature, margin)
        theirs.backward()
        what = "case %d (kind %d, semi-hard %d, normalize %d, %d rows)" % (case, kind, semi_hard, normalize, rows)
        scale = (1 if normalize else 8) / temperature
        problems += near(what + " loss", loss, theirs.item(), 3e-7 * scale)
        for name, mine, other in zip(("accuracy", "entropy", "alignment", "uniformity"), meta[8:], metrics):
            problems += near("%s %s" % (what, name), mine, other, 1e-12 if name == "accuracy" else 1e-6 * scale)
        # A large normalised case may have a semi-hard negative on an edge, which float32 takes and float64 does not.
        limit = 2e-3 if semi_hard and normalize and rows > 200 else 3e-6 * scale
        if z.grad.norm() < 1e-12:
            problems += near(what + " gradient", dz.abs().max().item(), 0, 1e-7)
        elif not relative(dz, z.grad) <= limit:
            problems.append(what + " gradient is off by %.2g" % relative(dz, z.grad))
    return problems


class Lars:
    """v = 0.9 v + rate trust (g + wd w); w -= v. Tensors of one dimension get neither decay nor trust."""

    def __init__(self, w):
        self.w, self.v = w, torch.zeros_like(w)

    @torch.no_grad()
    def step(self, rate):
        g, trust = self.w.grad, 1.0
        if self.w.ndim > 1:
            g = g + 1e-3 * self.w
            norm_w, norm_g = self.w.norm(), g.norm()
            trust = torch.where((norm_w > 0) & (norm_g > 0), 0.001 * norm_w / norm_g, torch.ones_like(norm_w))
        self.v.mul_(0.9).add_(rate * trust * g)
        self.w.sub_(self.v)


def optimizer(folder, kind):
    problems = []
    for dims in (1, 2):
        start, grads, end = (torch.from_numpy(load(folder, "%s_%d.%s" % (kind, dims, part)))
                             for part in ("start", "grads", "end"))
        shape = (len(start),) if dims == 1 else (6, len(start) // 6)
        w = start.reshape(shape).clone().requires_grad_()
        decay = 1e-3 if dims > 1 else 0
        if kind == "lars":
            theirs = Lars(w)
        elif kind == "sgd":
            theirs = torch.optim.SGD([w], lr=1, momentum=0.9, nesterov=True, weight_decay=decay)
        else:
            theirs = torch.optim.Adam([w], lr=1, weight_decay=decay)
        for step, grad in enumerate(grads.reshape(100, *shape)):
            w.grad = grad.clone()
            rate = 0.1 * (1 + step % 7)
            if kind == "lars":
                theirs.step(rate)
            else:
                theirs.param_groups[0]["lr"] = rate
                theirs.step()
        off = relative(end - start, w.detach().flatten() - start)
        if not off <= 5e-6:
            problems.append("%d dimensions: the way of 100 steps is off by %.2g" % (dims, off))
    return problems


class Probe:
    def __init__(self, folder):
        dim = 24
        self.train, self.test = (torch.from_numpy(load(folder, "probe." + part)).reshape(-1, dim)
                                 for part in ("train", "test"))
        self.labels, self.test_labels = (torch.from_numpy(load(folder, "probe." + part, np.int32)).long()
                                         for part in ("labels", "test_labels"))
        self.knn1, self.knn5, self.minimum, self.weak, self.strong = load(folder, "probe.scores", np.float64)


def fit(features, labels, ridge):
    """Softmax regression by torch's L-BFGS; returns the classifier and the minimum."""
    w = torch.nn.Linear(features.shape[1], int(labels.max()) + 1).double()
    lbfgs = torch.optim.LBFGS(w.parameters(), max_iter=500, tolerance_grad=1e-9, tolerance_change=1e-14,
                              line_search_fn="strong_wolfe")

    def closure():
        lbfgs.zero_grad()
        loss = F.cross_entropy(w(features), labels) + ridge * w.weight.square().sum()
        loss.backward()
        return loss

    lbfgs.step(closure)
    return w, closure().item()


def softmax_minimum(folder):
    probe = Probe(folder)
    return near("minimum", probe.minimum, fit(probe.train.double(), probe.labels, 0.01)[1], 1e-8)


def logistic_accuracy(folder):
    probe, problems = Probe(folder), []
    mean, deviation = probe.train.double().mean(0), probe.train.double().std(0) + 1e-6
    train, test = (probe.train.double() - mean) / deviation, (probe.test.double() - mean) / deviation
    for ridge, ours in ((0.001, probe.weak), (0.01, probe.strong)):
        w, _ = fit(train, probe.labels, ridge)
        theirs = 100 * (w(test).argmax(1) == probe.test_labels).double().mean().item()
        problems += near("ridge %g" % ridge, ours, theirs, 1e-9)
    return problems


def knn(folder):
    probe = Probe(folder)
    bank, test = F.normalize(probe.train.double(), dim=1), F.normalize(probe.test.double(), dim=1)
    similarity, index = (test @ bank.t()).topk(200)
    votes = torch.zeros(len(test), 7, dtype=torch.float64)
    votes.scatter_add_(1, probe.labels[index], (similarity / 0.1).exp())
    top5 = (votes.topk(5).indices == probe.test_labels[:, None]).any(1)
    top1 = votes.argmax(1) == probe.test_labels
    return (near("top-1", probe.knn1, 100 * top1.double().mean().item(), 1e-9)
            + near("top-5", probe.knn5, 100 * top5.double().mean().item(), 1e-9))


def main():
    failed = 0
    checks = (ntxent, losses, lambda f: optimizer(f, "lars"), lambda f: optimizer(f, "sgd"), lambda f: optimizer(f, "adam"),
              softmax_minimum, logistic_accuracy, knn)
    with tempfile.TemporaryDirectory(prefix="ringclr-torch-") as folder:
        for program in ("test_loss", "test_loss_kinds", "test_optimizer", "test_probe"):
            subprocess.run([os.path.join(BUILD, "tests", program), "--dump", folder], check=True)
        print("1..%d" % len(NAMES))
        for number, (name, check) in enumerate(zip(NAMES, checks), 1):
            problems = check(folder)
            failed += bool(problems)
            print("%sok %d - %s" % ("not " if problems else "", number, name))
            for problem in problems:
                print("# " + problem)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
