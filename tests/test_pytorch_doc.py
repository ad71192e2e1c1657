#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/PYTORCH.md does what it says: its programs are run in its order, in a folder with a small run, a shard and a .pth file, and the
features they compute are those of `ringclr embed`. Prints TAP."""
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True  # no tests/__pycache__
sys.path[:0] = [os.path.abspath("build/python"), "tests"]
try:
    import numpy as np
    import torch
    import torchvision
    import safetensors.torch
    import helper_weights as helper
    from helper_weights import embed, finish, infer, ok, path, pixels, relative, run, skip, state, torch_net
except ImportError as missing:
    print(f"1..1\nok 1 - docs/PYTORCH.md # SKIP {missing}")
    sys.exit(0)

helper.RINGCLR = os.path.abspath(helper.RINGCLR)
with open("docs/PYTORCH.md", encoding="utf-8") as document:
    programs = re.findall(r"^```(sh|python)\n(.*?)^```$", document.read(), re.M | re.S)


def shell(program):
    """In the test's folder, with ringclr found by its name."""
    os.makedirs(path("bin"), exist_ok=True)
    if not os.path.exists(path("bin/ringclr")):
        os.symlink(helper.RINGCLR, path("bin/ringclr"))
    return subprocess.run(["sh", "-eu", "-c", program], capture_output=True, text=True, cwd=helper.folder,
                          env={**os.environ, "PATH": path("bin") + ":" + os.environ["PATH"]})


def image_names():
    root = path("images/test")
    return [f"{root}/{name}" for name in sorted(os.path.join(c, f) for c in os.listdir(root) for f in os.listdir(os.path.join(root, c)))]


def take(kind, words):
    """The next program of the document, which must be of that kind and about that."""
    found, program = programs.pop(0) if programs else ("", "")
    ok(found == kind and words in program, f"the document goes on with {words}", program)
    return program


def from_ringclr():
    ok(run("train", path("train.ring"), "-o", path("run"), "--batch", 5, "--epochs", 1, "--warmup-epochs", 0, "--quiet"), "a run")
    done = shell(take("sh", "--to torchvision"))
    ok(done.returncode == 0, "the run is exported", done.stderr)
    names = {"names": image_names()}
    load, show = take("python", "load_state_dict"), take("python", "center_crop")
    os.chdir(helper.folder)
    exec(load, names)
    exec(show, names)
    ok(np.array_equal(names["images"].numpy(), pixels()), "its images are the packed ones")
    error = relative(names["features"].numpy(), embed(path("run")))
    ok(error < 1e-5, f"PyTorch's features are embed's: relative error {error:.1e}")
    larger = torch.stack([names["view"](names["Image"].open(name), size=48) for name in names["names"]])
    with torch.no_grad():
        error = relative(names["encoder"](larger).numpy(), embed(path("run"), "larger.npy", "--size", 48))
    ok(error < 1e-3, f"and of images that are cropped and resized: relative error {error:.1e}")
    done = shell(take("sh", "--to onnx"))
    ok(done.returncode == 0, "the run is exported as ONNX", done.stderr)
    program = take("python", "onnxruntime")
    try:
        import onnxruntime
    except ImportError as missing:
        return skip("onnxruntime's features are embed's", missing)
    exec(program, names)
    error = relative(names["features"], embed(path("run")))
    ok(error < 1e-5, f"onnxruntime's features are embed's: relative error {error:.1e}")


def to_ringclr():
    net = torch_net("resnet18", False, narrow=False)
    expected = infer(net, torchvision.transforms.functional.normalize(torch.from_numpy(pixels()), (0.485, 0.456, 0.406),
                                                                      (0.229, 0.224, 0.225)).numpy())
    convert, feed = take("python", "torch.load"), take("sh", "ringclr import")
    for about, data in (("a state dict", state(net)), ("a training's checkpoint",
                                                      {"epoch": 3, "state_dict": {"module." + k: v for k, v in state(net).items()}})):
        torch.save(data, path("weights.pth"))
        exec(convert, {})
        done = shell(feed)
        features = np.load(path("features.npy")) if done.returncode == 0 else np.zeros(0)
        error = relative(features, expected)
        ok(error < 1e-5, f"{about} comes over: relative error {error:.1e}", done.stderr)
    ok(not programs, "no program of the document is left untested")


def imported_to_pytorch():
    """The document's loader understands the normalisation that import has put into a checkpoint."""
    names = {}
    run("export", path("imported.safetensors"), "--to", "torchvision", "-o", path("encoder.safetensors"))
    exec(loader, names)
    error = relative(infer(names["encoder"], pixels()), np.load(path("features.npy")))
    ok(error < 1e-5, f"imported and exported again: relative error {error:.1e}")


loader = programs[1][1]
finish([from_ringclr, to_ringclr, imported_to_pytorch])
