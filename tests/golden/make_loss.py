#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/loss_golden.h: NT-Xent, LARS, SGD and Adam as PyTorch computes them in float64.

  /usr/bin/python3 tests/golden/make_loss.py > tests/golden/loss_golden.h

Inputs are not stored: C and Python make the same numbers (helper_next() in tests/helper_train.c).
"""
import torch
import torch.nn.functional as F


def fill(count, seed):
    out, state = [], seed
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append((state >> 8) / 8388608 - 1)
    return torch.tensor(out, dtype=torch.float64)


def numbers(values):
    return "{" + ", ".join("%.17g" % v for v in values.flatten().tolist()) + "}"


def ntxent(z, temperature):
    u = F.normalize(z, dim=1)
    logits = u @ u.t() / temperature
    logits.fill_diagonal_(-1e9)
    target = torch.arange(len(z)).roll(len(z) // 2)
    return F.cross_entropy(logits, target), (logits.argmax(1) == target).double().mean()


def lars(w, v, g, rate):
    """Recipe: weight decay 1e-3 and trust 0.001 on tensors of two or more dimensions."""
    trust = 1.0
    if w.ndim > 1:
        g = g + 1e-3 * w
        trust = 0.001 * w.norm() / g.norm() if w.norm() > 0 and g.norm() > 0 else 1.0
    v.mul_(0.9).add_(rate * trust * g)
    w.sub_(v)


def train(kind, shape, seed):
    """100 steps; step s has gradient fill(seed + 1 + s) and rate 0.1 (1 + s % 7)."""
    count = torch.Size(shape).numel()
    w = fill(count, seed).reshape(shape).requires_grad_()
    v, decay = torch.zeros(shape, dtype=torch.float64), 1e-3 if len(shape) > 1 else 0
    if kind == "SGD":
        optimizer = torch.optim.SGD([w], lr=1, momentum=0.9, nesterov=True, weight_decay=decay)
    else:
        optimizer = torch.optim.Adam([w], lr=1, weight_decay=decay)
    for step in range(100):
        w.grad = fill(count, seed + 1 + step).reshape(shape)
        rate = 0.1 * (1 + step % 7)
        if kind == "LARS":
            with torch.no_grad():
                lars(w, v, w.grad, rate)
        else:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
    return w.detach()


print("""/* SPDX-License-Identifier: Apache-2.0 */
/* Made by tests/golden/make_loss.py; do not edit. */
/* clang-format off */
#ifndef RINGCLR_TESTS_GOLDEN_LOSS_GOLDEN_H
#define RINGCLR_TESTS_GOLDEN_LOSS_GOLDEN_H

#include <stdbool.h>
#include <stdint.h>

struct golden_ntxent {
	uint32_t rows;
	unsigned dim;
	double temperature;
	uint32_t seed;
	double loss, accuracy;
	double gradient[60];
};

__attribute__((unused)) static const struct golden_ntxent golden_ntxent[] = {""")
for rows, dim, temperature, seed in ((4, 3, 0.5, 7), (8, 4, 1.0, 11), (12, 5, 0.1, 13), (10, 6, 0.5, 17)):
    z = fill(rows * dim, seed).reshape(rows, dim).requires_grad_()
    loss, accuracy = ntxent(z, temperature)
    loss.backward()
    print("\t{%d, %d, %r, %d, %.17g, %.17g,\n\t %s}," % (rows, dim, temperature, seed, loss, accuracy, numbers(z.grad)))
print("""};

struct golden_train {
	const char *kind;
	bool adapt; /* two dimensions */
	uint32_t seed;
	double value[12]; /* after 100 steps */
};

__attribute__((unused)) static const struct golden_train golden_train[] = {""")
for kind in ("LARS", "SGD", "Adam"):
    for shape, seed in (((3, 4), 1000), ((12,), 2000)):
        print('\t{"%s", %s, %d,\n\t %s},' % (kind, "true" if len(shape) > 1 else "false", seed,
                                           numbers(train(kind, shape, seed))))
print("};\n\n#endif")
