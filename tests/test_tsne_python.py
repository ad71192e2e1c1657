#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The map against numpy's own arithmetic in float64, and, where it is installed, against scikit-learn's exact t-SNE."""
import os
import subprocess
import sys
import tempfile

from helper_tap import finish, result, skip

sys.path.insert(0, os.path.join("build", "python"))
TOOL = os.path.join(os.environ.get("BUILD", "build/release"), "tests", "test_tsne")
try:
    import numpy
except ImportError:
    print("1..0 # SKIP numpy is not installed")
    sys.exit(0)


def ours(rows, perplexity):
    with tempfile.NamedTemporaryFile() as file:
        file.write(rows.astype("<f4").tobytes())
        file.flush()
        run = subprocess.run([TOOL, "--map", file.name, *map(str, rows.shape), str(perplexity)], check=True, stdout=subprocess.PIPE)
    first, *places = run.stdout.decode().splitlines()
    return float(first), numpy.array([[float(number) for number in line.split()] for line in places])


def affinities(rows, perplexity):
    """P as the paper defines it."""
    squares = ((rows[:, None] - rows[None]) ** 2).sum(2)
    n = len(rows)
    p = numpy.zeros((n, n))
    for i in range(n):
        others = numpy.arange(n) != i
        low, high = 0.0, 1e12
        for _ in range(200):
            beta = (low + high) / 2
            weights = numpy.exp(-beta * (squares[i, others] - squares[i, others].min()))
            weights /= weights.sum()
            entropy = -(weights * numpy.log(numpy.maximum(weights, 1e-300))).sum()
            low, high = (beta, high) if entropy > numpy.log(perplexity) else (low, beta)
        p[i, others] = weights
    return (p + p.T) / (2 * n)


def divergence(p, places):
    q = 1 / (1 + ((places[:, None] - places[None]) ** 2).sum(2))
    numpy.fill_diagonal(q, 0)
    q /= q.sum()
    some = p > 1e-12
    return (p[some] * numpy.log(p[some] / q[some])).sum()


def forces(p, places):
    """Attraction and repulsion of every point; at a minimum of the divergence they are equal."""
    towards = places[:, None] - places[None]
    near = 1 / (1 + (towards ** 2).sum(2))
    numpy.fill_diagonal(near, 0)
    pull = ((p * near)[..., None] * towards).sum(1)
    push = ((near / near.sum() * near)[..., None] * towards).sum(1)
    return pull, push


random = numpy.random.default_rng(1)
centres = random.standard_normal((6, 24)) * 1.5
data = centres[numpy.arange(300) % 6] + random.standard_normal((300, 24))
data = data.astype(numpy.float32).astype(numpy.float64)
said, places = ours(data, 25)
joint = affinities(data, 25)
wanted = divergence(joint, places)
result(abs(said - wanted) < 1e-3 * wanted, "the divergence that is told is that of the map", (said, wanted))
attraction, repulsion = forces(joint, places)
left = numpy.linalg.norm(attraction - repulsion) / numpy.linalg.norm(attraction)
result(left < 0.005, "the gradient there is next to nothing", left)
try:
    from sklearn.manifold import TSNE
except ImportError:
    skip("as good as scikit-learn's", "scikit-learn is not installed")
else:
    theirs = TSNE(method="exact", init="pca", perplexity=25, learning_rate="auto", random_state=1).fit(data)
    result(abs(said / theirs.kl_divergence_ - 1) < 0.03, "the divergence is within 3% of scikit-learn's exact t-SNE",
           (said, theirs.kl_divergence_))
finish()
