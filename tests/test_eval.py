#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`ringclr eval` against protocols written anew here, in NumPy and float64, on the features that `ringclr embed` writes: kNN, its
confusion matrix, logistic regression, the head's layers from the checkpoint's tensors; and what its options promise. Prints TAP."""
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError as missing:
    print(f"1..1\nok 1 - evaluation against NumPy # SKIP {missing}")
    sys.exit(0)

RINGCLR = os.environ.get("RINGCLR", "./ringclr")
STARS = [f"train/star/{number:05}.png" for number in (5, 10, 11, 14)]  # of 400 images, the first that 0.3 keeps
folder = tempfile.mkdtemp(prefix="ringclr-eval-")
count = failures = 0


def path(name):
    return os.path.join(folder, name)


def run(*arguments):
    return subprocess.run([RINGCLR, *map(str, arguments)], capture_output=True, text=True)


def need(*arguments):
    done = run(*arguments)
    if done.returncode:
        print("# " + done.stderr.replace("\n", "\n# "))
        raise SystemExit(f"not ok - {' '.join(map(str, arguments[:2]))} failed")
    return done.stdout


def evaluate(*arguments, train="train.ring", test="test.ring"):
    return json.loads(need("eval", *arguments, "--train", path(train), "--test", path(test), "--json"))


def from_files(*arguments, train=("train.npy", "train-labels.npy"), test=("test.npy", "test-labels.npy")):
    names = ["--features-train", path(train[0]), "--labels-train", path(train[1])]
    names += ["--features-test", path(test[0]), "--labels-test", path(test[1])]
    return json.loads(need("eval", *names, "--json", *arguments))


def embed(name, shard, *arguments):
    need("embed", *arguments, path(shard), "-o", path(name + ".npy"), "--labels", path(name + "-labels.npy"))
    return np.load(path(name + ".npy")).astype(np.float64), np.load(path(name + "-labels.npy"))


def ok(passed, name, *details):
    global count, failures
    count += 1
    failures += not passed
    print(f"{'ok' if passed else 'not ok'} {count} - {name}")
    for detail in () if passed else details:
        print(f"# {detail}")


def refused(name, words, *arguments):
    done = run(*arguments)
    ok(done.returncode in (1, 2) and words in done.stderr and not done.stdout, name, done.returncode, done.stderr)


# ---- the protocols ----


def knn(bank, bank_labels, test, k=200):
    """Predictions, and the votes they come of."""
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    similarity = unit(test) @ unit(bank).T
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    votes = np.zeros((len(test), bank_labels.max() + 1))
    for i, row in enumerate(nearest):
        np.add.at(votes[i], bank_labels[row], np.exp(similarity[i, row] / 0.1))
    return votes.argmax(axis=1), votes


def top5(votes, labels):
    ranked = np.argsort(-votes, axis=1, kind="stable")[:, :5]
    return 100 * np.mean([label in row and votes[i, label] > 0 for i, (row, label) in enumerate(zip(ranked, labels))])


def logistic(x, labels, test, ridge):
    """Predictions of the minimum of mean cross-entropy + ridge |W|^2 on standardised columns, by Newton's method."""
    mean, deviation = x.mean(axis=0), x.std(axis=0, ddof=1) + 1e-6
    rows = np.hstack([(x - mean) / deviation, np.ones((len(x), 1))])
    classes, dim = labels.max() + 1, rows.shape[1]
    hot, w = np.eye(classes)[labels], np.zeros((classes, dim))
    penalty = np.full(dim, 2 * ridge)
    penalty[-1] = 0

    def value(w):
        logits = rows @ w.T
        top = logits.max(axis=1)
        loss = np.mean(np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(len(x)), labels])
        return loss + (penalty / 2 * w * w).sum()

    for _ in range(100):
        logits = rows @ w.T
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        gradient = (p - hot).T @ rows / len(x) + penalty * w
        if np.linalg.norm(gradient) < 1e-10:
            break
        hessian = np.zeros((classes, dim, classes, dim))
        for a in range(classes):
            for b in range(a, classes):
                weight = p[:, a] * ((a == b) - p[:, b])
                hessian[a, :, b] = hessian[b, :, a] = (rows * weight[:, None]).T @ rows / len(x)
            hessian[a, np.arange(dim), a, np.arange(dim)] += penalty
        square = hessian.reshape(classes * dim, -1) + 1e-12 * np.eye(classes * dim)  # the biases' sum is free
        step = np.linalg.solve(square, gradient.ravel()).reshape(w.shape)
        size, here = 1.0, value(w)
        while value(w - size * step) > here and size > 1e-6:
            size /= 2
        w -= size * step
    return (np.hstack([(test - mean) / deviation, np.ones((len(test), 1))]) @ w.T).argmax(axis=1)


def percent(predicted, labels):
    return 100 * np.mean(predicted == labels)


def tensors(name):
    """A safetensors file's float32 tensors."""
    with open(name, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    return {
        key: np.frombuffer(data[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"]).astype(np.float64)
        for key, entry in header.items()
        if key != "__metadata__" and entry["dtype"] == "F32"
    }


# ---- what is checked ----


def prepare():
    need("synth", path("images"), "--train", 400, "--test", 150, "--size", 16)
    for split in ("train", "test"):
        need("pack", path("images"), "--root", split, "-o", path(split + ".ring"))
    net = ["--size", 16, "--width", 0.125, "--batch", 50, "--warmup-epochs", 0, "--head-dim", 24, "--quiet"]
    need("train", path("train.ring"), "-o", path("run"), "--epochs", 2, *net)
    need("train", path("train.ring"), "-o", path("headless"), "--epochs", 1, "--head", "none", *net)
    need("train", path("train.ring"), "-o", path("linear"), "--epochs", 1, "--head", "linear", *net)


def check_knn():
    for name, encoder in (("a trained encoder's h", [path("run")]), ("pixels", ["--encoder", "pixels", "--size", "16"])):
        train, train_labels = embed("train", "train.ring", *encoder)
        test, labels = embed("test", "test.ring", *encoder)
        predicted, votes = knn(train, train_labels, test)
        ours = evaluate(*encoder, "--confusion")
        close = abs(ours["accuracy"] - percent(predicted, labels)) < 0.1 and abs(ours["top5"] - top5(votes, labels)) < 0.1
        ok(close, f"kNN of {name} is NumPy's", ours["accuracy"], percent(predicted, labels), ours["top5"], top5(votes, labels))
        confusion = np.zeros((10, 10), int)
        np.add.at(confusion, (labels, predicted), 1)
        ok(ours["confusion"] == confusion.tolist(), f"so is its confusion matrix of {name}", ours["confusion"], confusion.tolist())
        each = 100 * confusion.diagonal() / confusion.sum(axis=1)
        ok(np.allclose(ours["per_class"], each), f"and the accuracy of each class of {name}", ours["per_class"], each)
    few = evaluate("--encoder", "pixels", "--size", 16, "--knn-k", 7)
    ok(abs(few["accuracy"] - percent(knn(train, train_labels, test, 7)[0], labels)) < 0.1, "kNN of 7 neighbours is NumPy's")
    ok("confusion" not in few and len(few["per_class"]) == 10, "per_class is there without --confusion")


def clouds(name, rows, sample, dim=12, classes=5):
    centres = np.random.default_rng(0).normal(size=(classes, dim))
    random = np.random.default_rng(sample)
    labels = random.integers(0, classes, rows)
    features = (0.9 * centres[labels] + random.normal(size=(rows, dim)) * random.uniform(0.5, 2, dim)) @ np.diag(np.arange(1, dim + 1))
    np.save(path(name + ".npy"), features.astype(np.float32))
    np.save(path(name + "-labels.npy"), labels.astype(np.int32))
    return features, labels


def check_logistic():
    train, train_labels = clouds("clouds", 1500, 1)
    test, labels = clouds("clouds-test", 2000, 2)
    ours = from_files("--method", "linear", "--confusion", train=("clouds.npy", "clouds-labels.npy"), test=("clouds-test.npy", "clouds-test-labels.npy"))
    theirs = percent(logistic(train, train_labels, test, ours["ridge"]), labels)
    ok(50 < theirs < 95 and abs(ours["accuracy"] - theirs) <= 0.1, "logistic regression on overlapping clouds is NumPy's", ours["accuracy"], theirs)
    ok(abs(np.trace(ours["confusion"]) / 20 - ours["accuracy"]) < 1e-9 and np.sum(ours["confusion"]) == 2000, "its confusion matrix adds up")
    neighbours = from_files(train=("clouds.npy", "clouds-labels.npy"), test=("clouds-test.npy", "clouds-test-labels.npy"))
    ok(abs(neighbours["accuracy"] - percent(knn(train, train_labels, test)[0], labels)) < 0.1, "kNN on them is too", neighbours["accuracy"])
    train, train_labels = embed("train", "train.ring", path("run"))
    test, labels = embed("test", "test.ring", path("run"))
    ours = evaluate(path("run"), "--method", "linear")
    theirs = percent(logistic(train, train_labels, test, max(ours["ridge"], 1e-6)), labels)
    ok(abs(ours["accuracy"] - theirs) <= 2, "logistic regression on a trained encoder's h is NumPy's to within 3 images", ours, theirs)


def check_files():
    embed("train", "train.ring", path("run"))
    embed("test", "test.ring", path("run"))
    keys = ("accuracy", "top5", "per_class", "confusion", "n", "train_images", "classes", "dim")
    for method in ("knn", "linear"):
        shards, files = evaluate(path("run"), "--method", method, "--confusion"), from_files("--method", method, "--confusion")
        ok(all(shards[key] == files[key] for key in keys), f"{method} of embedded features is {method} of the encoder", shards, files)
    np.save(path("wide.npy"), np.load(path("train.npy")).astype(np.float64))
    for kind in (np.int64, np.uint8, np.int16):
        np.save(path("other-labels.npy"), np.load(path("train-labels.npy")).astype(kind))
        again = from_files("--confusion", train=("wide.npy", "other-labels.npy"))
        ok(again["confusion"] == evaluate(path("run"), "--confusion")["confusion"], f"float64 and {kind.__name__} are read as well")
    refuse_files()


def refuse_files():
    features, labels = np.load(path("train.npy")), np.load(path("train-labels.npy"))
    np.save(path("fortran.npy"), np.asfortranarray(features))
    np.save(path("narrow.npy"), features[:, :-1])
    np.save(path("cube.npy"), features[:, :, None])
    np.save(path("whole.npy"), np.arange(800).reshape(400, 2))
    np.save(path("short-labels.npy"), labels[:-1])
    np.save(path("negative-labels.npy"), np.where(labels == 3, -1, labels))
    broken = features.copy()
    broken[7, 3] = np.nan
    np.save(path("nan.npy"), broken)
    raw = open(path("train.npy"), "rb").read()
    open(path("cut.npy"), "wb").write(raw[:-4])
    open(path("long.npy"), "wb").write(raw + b"\0")
    open(path("text.npy"), "w").write("no array")
    cases = [
        ("fortran", "train", "Fortran"), ("cube", "train", "[rows][columns]"), ("whole", "train", "float32"),
        ("train", "short", "399 labels for 400 rows"), ("train", "negative", "no label"), ("nan", "train", "row 7 is not finite"),
        ("cut", "train", "is it whole"), ("long", "train", "is it whole"), ("text", "train", "not an array"), ("none", "train", "cannot open"),
        ("narrow", "train", "64 columns, and the training features 63"),
    ]
    rest = ["--features-test", path("test.npy"), "--labels-test", path("test-labels.npy")]
    for name, other, words in cases:
        files = ["--features-train", path(name + ".npy"), "--labels-train", path(other + "-labels.npy")]
        refused(f"{name}.npy with {other}-labels.npy is refused", words, "eval", *files, *rest)
    refused("one file alone is refused", "go together", "eval", *rest)
    whole = ["eval", "--features-train", path("train.npy"), "--labels-train", path("train-labels.npy"), *rest]
    refused("files with an encoder are refused", "without an encoder", *whole, path("run"))
    refused("files for the head study are refused", "from files", *whole, "--method", "head-study")
    refused("files for SGD are refused", "from files", *whole, "--method", "linear", "--solver", "sgd")
    refused("neither files nor shards", "are needed", "eval", path("run"))
    refused("files of features that --features would name", "without an encoder, --features", *whole, "--features", "z")
    shards = ["eval", path("run"), "--train", path("train.ring"), "--test", path("test.ring")]
    for words, method in ((["--solver", "sgd"], "linear"), (["--epochs", 3], "linear --solver sgd"), (["--lr", 0.1, "--method", "linear"], "linear --solver sgd"),
                          (["--knn-k", 3, "--method", "linear"], "knn")):
        refused(f"{' '.join(map(str, words))} where it does nothing", f"of --method {method}", *shards, *words)


def check_head():
    weights = tensors(path("run/checkpoint.safetensors"))

    def normalised(x, bn):
        deviation = np.sqrt(weights[bn + ".running_var"] + 1e-5)
        return (x - weights[bn + ".running_mean"]) / deviation * weights[bn + ".weight"] + weights.get(bn + ".bias", 0)

    h, _ = embed("h", "test.ring", path("run"))
    hidden, _ = embed("hidden", "test.ring", path("run"), "--features", "head1")
    z, _ = embed("z", "test.ring", path("run"), "--features", "z")
    wanted_hidden = np.maximum(normalised(h @ weights["head.0.weight"].T, "head.1"), 0)
    wanted_z = normalised(wanted_hidden @ weights["head.3.weight"].T, "head.4")
    close = lambda a, b: a.shape == b.shape and np.linalg.norm(a - b) < 1e-4 * np.linalg.norm(b)
    ok(close(hidden, wanted_hidden) and (hidden == 0).any(), "--features head1 is the checkpoint's first layer, BN and ReLU on h")
    ok(close(z, wanted_z) and z.shape[1] == 24, "--features z is the rest of the head on that")
    for name in ("head1", "z"):
        train, train_labels = embed("train", "train.ring", path("run"), "--features", name)
        test, labels = embed("test", "test.ring", path("run"), "--features", name)
        ours = evaluate(path("run"), "--features", name)
        theirs = percent(knn(train, train_labels, test)[0], labels)
        ok(abs(ours["accuracy"] - theirs) < 0.1 and ours["features"] == name and ours["dim"] == test.shape[1], f"kNN of {name} is NumPy's", ours, theirs)
    shards = ["--train", path("train.ring"), "--test", path("test.ring")]
    refused("z of a net without a head", "no projection head", "eval", path("headless"), "--features", "z", *shards)
    refused("the head study of a net without a head", "no projection head", "eval", path("headless"), "--method", "head-study", *shards)
    refused("head1 of a head of one layer", "none hidden", "eval", path("linear"), "--features", "head1", *shards)
    refused("z of pixels", "no projection head", "eval", "--encoder", "pixels", "--features", "z", *shards)
    ok(evaluate(path("linear"), "--features", "z")["dim"] == 24, "z of a head of one layer")


def check_fraction():
    need("pack", path("images"), "--root", "train", "-o", path("part.ring"), "--label-fraction", 0.3)
    listed = [line.split("\t")[1] for line in need("inspect", "--records", "all", path("part.ring")).splitlines()[1:]]
    stars = sorted(key for key in listed if "star" in key)[:4]
    ok(len(listed) == 120 and stars == STARS, "--label-fraction draws the images that it has always drawn", stars)
    for method in ("knn", "linear"):
        part = evaluate(path("run"), "--method", method, "--confusion", train="part.ring")
        ours = evaluate(path("run"), "--method", method, "--confusion", "--label-fraction", 0.3)
        ok(part == ours and ours["train_images"] == 120, f"--label-fraction 0.3 is what pack draws, by {method}", part, ours)
    sgd = evaluate(path("run"), "--method", "linear", "--solver", "sgd", "--epochs", 2, "--batch", 32, "--label-fraction", 0.3, "--confusion")
    ok(sgd["train_images"] == 120 and abs(np.trace(sgd["confusion"]) / 1.5 - sgd["accuracy"]) < 1e-9, "and by SGD, whose confusion adds up", sgd)
    both = ["--train", path("train.ring"), "--test", path("test.ring"), "--label-fraction"]
    refused("a fraction of nothing", "more than 0", "eval", path("run"), *both, 0)
    refused("two subsets at once", "give one", "eval", path("run"), *both, 0.5, "--limit-images", 10)


def check_study():
    train, _ = embed("gray", "train.ring", "--encoder", "pixels", "--size", 16, "--views", "center gray@0.2", "--seed", 7)
    test, _ = embed("gray-test", "test.ring", "--encoder", "pixels", "--size", 16, "--views", "center gray@0.2", "--seed", 8)
    gray = [(lambda p: (p.max(axis=2) - p.min(axis=2) < 1e-6).all(axis=1))(x.reshape(len(x), -1, 3)) for x in (train, test)]
    words = ["--method", "head-study", "--seed", 7]
    one = evaluate(path("run"), *words, "--threads", 1, "--loader-threads", 1)
    two = evaluate(path("run"), *words, "--threads", 2, "--loader-threads", 3, "--io", "pread")
    ok(one == two, "the head study is the same for any threads", one, two)
    rows = {row["what"]: row for row in one["rows"]}
    ok(list(rows) == ["gray", "rotation", "noise", "sobel"] and one["dim_h"] == 64 and one["dim_z"] == 24, "it asks four questions", one)
    share = 100 * max(np.mean(gray[1]), 1 - np.mean(gray[1]))
    ok(10 < share < 95 and abs(rows["gray"]["chance"] - share) < 1e-6, "chance is the share of the images that are not made gray", rows["gray"], share)
    # What h says of colours, by the same views of the same images, and the regression above.
    h, _ = embed("study", "train.ring", path("run"), "--views", "center gray@0.2", "--seed", 7)
    h_test, _ = embed("study-test", "test.ring", path("run"), "--views", "center gray@0.2", "--seed", 8)
    theirs = percent(logistic(h, gray[0].astype(int), h_test, rows["gray"]["ridge_h"]), gray[1])
    ok(abs(rows["gray"]["h"] - theirs) <= 2, "colour or grayscale from h is NumPy's to within 3 images", rows["gray"], theirs)
    random = {row["what"]: row for row in evaluate("--encoder", "random", "--width", 0.25, "--size", 16, *words)["rows"]}
    ok(random["sobel"]["h"] - random["sobel"]["chance"] > 20, "random convolutions show Sobel's edges", random)
    four = 100 * math.sqrt(0.25 * 0.75 / len(test))  # a share's deviation; chance is the largest of the four
    ok(25 <= random["rotation"]["chance"] < 25 + 4 * four and all(abs(random["rotation"][key] - 25) < 4 * four for key in "hz")
       and random["rotation"]["paper"]["h"] == 67.6, "rotation has four answers", random)
    table = need("eval", path("run"), "--train", path("train.ring"), "--test", path("test.ring"), *words)
    ok(len(table.splitlines()) == 6 and "colour or grayscale" in table and "99.3" in table, "the table has the paper's numbers beside", table)


def check_transfer():
    """Another data set, with other classes and images of another size, through the same encoder at another size."""
    for split, kept in (("train", ("disc", "star", "zigzag")), ("test", ("disc", "star", "zigzag"))):
        for name in kept:
            shutil.copytree(path(f"other/{split}/{name}"), path(f"three/{split}/{name}"))
        need("pack", path("three"), "--root", split, "-o", path(f"three-{split}.ring"))
    for size in (16, 24):
        train, train_labels = embed("other", "three-train.ring", path("run"), "--size", size)
        test, labels = embed("other-test", "three-test.ring", path("run"), "--size", size)
        ours = evaluate(path("run"), "--size", size, train="three-train.ring", test="three-test.ring")
        linear = evaluate(path("run"), "--size", size, "--method", "linear", train="three-train.ring", test="three-test.ring")
        theirs = percent(knn(train, train_labels, test)[0], labels)
        fits = ours["classes"] == linear["classes"] == 3 and ours["n"] == len(labels) and len(linear["per_class"]) == 3
        ok(fits and abs(ours["accuracy"] - theirs) < 0.1, f"transfer to three classes at {size} pixels", ours, linear, theirs)
    refused("shards of different classes", "different classes", "eval", path("run"), "--train", path("train.ring"), "--test", path("three-test.ring"))
    table = need("eval", path("run"), "--train", path("three-train.ring"), "--test", path("three-test.ring"), "--confusion").splitlines()
    ok(len(table) == 5 and table[2].split()[1] == "disc" and "%" in table[4], "--confusion prints a row for each class", *table)


try:
    prepare()
    need("synth", path("other"), "--train", 120, "--test", 60, "--size", 24, "--seed", 3)
    for check in (check_knn, check_logistic, check_files, check_head, check_fraction, check_study, check_transfer):
        check()
finally:
    shutil.rmtree(folder)
print(f"1..{count}")
sys.exit(failures > 0)
