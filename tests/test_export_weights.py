#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`ringclr export --to torchvision|onnx`: torchvision loads the one strictly, onnxruntime runs the other, and both compute the features
that `ringclr embed` writes. Prints TAP."""
import json
import os
import sys

sys.dont_write_bytecode = True  # no tests/__pycache__
sys.path[:0] = ["build/python", "tests"]
try:
    import numpy as np
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file
    from helper_weights import (IMAGES, embed, fails, finish, infer, ok, path, pixels, relative, ringclr, run, skip, state,
                                torch_net)
except ImportError as missing:
    print(f"1..1\nok 1 - export of weights # SKIP {missing}")
    sys.exit(0)
try:
    import onnxruntime
except ImportError as missing:
    onnxruntime = None
    no_runtime = missing
try:
    import onnx
except ImportError as missing:
    onnx = None
    no_checker = missing


def onnx_outputs(file, x, *names):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return session.run(list(names), {"image": x})


def checked(file, about):
    if onnx is None:
        return skip(f"onnx's checker: {about}", no_checker)
    try:
        onnx.checker.check_model(file, full_check=True)
        ok(True, f"onnx's checker: {about}")
    except Exception as fault:  # whatever it is, it is the file's
        ok(False, f"onnx's checker: {about}", fault)


def same_features(file, about, theirs, x):
    """Rows may come one at a time, or all at once."""
    if onnxruntime is None:
        return skip(f"onnxruntime: {about}", no_runtime)
    whole, = onnx_outputs(file, x, "features")
    one, = onnx_outputs(file, x[:1], "features")
    error = max(relative(whole, theirs), relative(one, theirs[:1]))
    ok(error < 1e-5, f"onnxruntime: {about}: relative error {error:.1e}")


def train_small():
    """A width that is no fraction of 64, statistics that moved, a head of two layers."""
    ok(run("train", path("train.ring"), "-o", path("run"), "--batch", 5, "--epochs", 2, "--warmup-epochs", 0, "--width", 0.3,
           "--head", "mlp2", "--head-dim", 24, "--quiet"), "a small run")


def run_to_onnx():
    x, ours = pixels(), embed(path("run"))
    done = ringclr("export", path("run"), "--to", "onnx", "-o", path("run.onnx"), "--json")
    told = json.loads(done.stdout or "{}")
    ok(done.returncode == 0 and told["model"] == "resnet18" and told["stem"] == "cifar" and told["size"] == 32 and
       told["tensors"] == 100 and abs(told["width"] - 0.3) < 1e-6, "export tells what net it wrote", done.stdout + done.stderr)
    checked(path("run.onnx"), "ResNet-18 of width 0.3")
    same_features(path("run.onnx"), "ResNet-18 of width 0.3", ours, x)
    if onnx is not None:
        model = onnx.load(path("run.onnx"))
        props = {pair.key: pair.value for pair in model.metadata_props}
        names = {tensor.name for tensor in model.graph.initializer}
        ok("[0,1]" in model.doc_string and "RGB" in model.doc_string and "[0,1]" in props["input"] and
           props["size"] == "32" and props["width"] == "0.300000012" and [o.name for o in model.graph.output] == ["features"] and
           "layer4.0.downsample.1.running_var" in names and not any(name.startswith("head") for name in names),
           "it says how images go in, and has torchvision's names")
    first = open(path("run.onnx"), "rb").read()
    run("export", path("run"), "--to", "onnx", "-o", path("run.onnx"))
    ok(first == open(path("run.onnx"), "rb").read(), "the same bytes again")


def head_to_onnx():
    """z as its definition has it, from the features and the checkpoint's tensors."""
    made = run("export", path("run/checkpoint.safetensors"), "--to", "onnx", "--with-head", "-o", path("head.onnx"))
    checked(path("head.onnx"), "with its head")
    if onnxruntime is None or not made:
        return skip("onnxruntime: z", "no onnxruntime") if made else ok(False, "export with its head")
    h, z = onnx_outputs(path("head.onnx"), pixels(), "features", "z")
    t = {name: tensor.double().numpy() for name, tensor in load_file(path("run/checkpoint.safetensors")).items()}

    def bn(y, name, beta):
        return (y - t[name + ".running_mean"]) / np.sqrt(t[name + ".running_var"] + 1e-5) * t[name + ".weight"] + beta
    hidden = np.maximum(bn(h @ t["head.0.weight"].T, "head.1", t["head.1.bias"]), 0)
    expected = bn(hidden @ t["head.3.weight"].T, "head.4", 0)
    error = relative(z, expected)
    ok(z.shape == (IMAGES, 24) and error < 1e-5, f"onnxruntime: z of the head: relative error {error:.1e}")


def export_read_again():
    """ringclr knows its own export: width, size, features to the last bit."""
    run("export", path("run"), "--to", "torchvision", "-o", path("again.safetensors"))
    ok(np.array_equal(embed(path("again.safetensors")), embed(path("run"))), "ringclr reads its export back, to the bit")


def strict_torchvision():
    """A full-width checkpoint opens in torchvision's net with no key too few or too many, in torchvision's order."""
    x = pixels()
    ok(run("train", path("train.ring"), "-o", path("full"), "--batch", 5, "--epochs", 1, "--warmup-epochs", 0, "--quiet") and
       run("export", path("full"), "--to", "torchvision", "-o", path("full.safetensors")), "a full-width run goes --to torchvision")
    net = torch_net("resnet18", narrow=False)
    tensors = load_file(path("full.safetensors"))
    with safe_open(path("full.safetensors"), "pt") as file:
        metadata = file.metadata()
    ok(sorted(tensors) == sorted(net.state_dict()), "its keys are torchvision's")
    ok(metadata["format"] == "pt" and metadata["model"] == "resnet18" and metadata["stem"] == "cifar", "its metadata says which net")
    net.load_state_dict(tensors, strict=True)
    ok(int(net.bn1.num_batches_tracked) == 2, "its counters of batches are the run's")
    error = relative(infer(net.eval(), x), embed(path("full")))
    ok(error < 1e-5, f"torchvision computes the features of embed: relative error {error:.1e}")


def header_order():
    with open(path("full.safetensors"), "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    ok([name for name in header if name != "__metadata__"] == list(torch_net("resnet18", narrow=False).state_dict()), "and in its order")


def from_torchvision():
    """Bottlenecks, the ImageNet stem, and a file that is not ours, to ONNX and through export."""
    x = pixels()
    for name, cifar, narrow in (("resnet50", False, False), ("resnet34", True, True), ("resnet50", True, True)):
        about = f"{name}, {'3x3' if cifar else '7x7'} stem"
        net = torch_net(name, cifar, narrow=narrow)
        save_file(state(net), path("theirs.safetensors"))
        theirs = infer(net, x)
        run("export", path("theirs.safetensors"), "--to", "onnx", "--size", 32, "-o", path("theirs.onnx"))
        checked(path("theirs.onnx"), about)
        same_features(path("theirs.onnx"), about, theirs, x)
        if onnxruntime is not None:
            error = relative(embed(path("theirs.safetensors"), "h.npy", "--size", 32), theirs)
            ok(error < 1e-5, f"embed: {about}: relative error {error:.1e}")
    os.remove(path("theirs.onnx"))


def classifier():
    """fc goes along, where there is one."""
    x, net = pixels(), torch_net("resnet18", True, 7)
    save_file(state(net), path("classes.safetensors"))
    ok(run("export", path("classes.safetensors"), "--to", "torchvision", "-o", path("fc.safetensors")) and
       sorted(load_file(path("fc.safetensors"))) == sorted(net.state_dict()), "a classifier's fc goes --to torchvision")
    torch_net("resnet18", True, 7).load_state_dict(load_file(path("fc.safetensors")), strict=True)
    run("export", path("classes.safetensors"), "--to", "onnx", "--with-head", "-o", path("fc.onnx"))
    checked(path("fc.onnx"), "a classifier")
    if onnxruntime is None:
        return skip("onnxruntime: logits", no_runtime)
    logits, = onnx_outputs(path("fc.onnx"), x, "logits")
    error = relative(logits, infer(net, x))
    ok(error < 1e-5, f"onnxruntime: logits: relative error {error:.1e}")
    wrong = state(net)
    wrong["fc.weight"] = torch.zeros(7, 63)
    save_file(wrong, path("bad.safetensors"))
    fails(1, "fc.weight", "a classifier of other features is refused", "export", path("bad.safetensors"), "--to", "onnx", "-o", path("none"))


def refused():
    def bad(about, pattern, change):
        tensors = load_file(path("again.safetensors"))
        change(tensors)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path("bad.safetensors"),
                  {"producer": "ringclr 0", "width": "0.3", "size": "32"})
        for to in ("torchvision", "onnx"):
            fails(1, pattern, f"{about}: refused --to {to}", "export", path("bad.safetensors"), "--to", to, "-o", path("none"))
    bad("a missing tensor", "'layer3.1.bn2.running_var' is missing", lambda t: t.pop("layer3.1.bn2.running_var"))
    bad("another shape", "'layer2.0.conv1.weight' has another shape",
        lambda t: t.update({"layer2.0.conv1.weight": t["layer2.0.conv1.weight"][:, :-1]}))
    bad("NaN among the weights", "'layer1.0.conv2.weight' holds nan", lambda t: t["layer1.0.conv2.weight"][1, 2, 0, 1].fill_(float("nan")))
    bad("a variance below 0", "'bn1.running_var' holds -1", lambda t: t["bn1.running_var"][3].fill_(-1))
    with open(path("again.safetensors"), "rb") as whole, open(path("cut.safetensors"), "wb") as cut:
        cut.write(whole.read()[:-100])
    fails(1, "cut.safetensors", "a file that was cut off", "export", path("cut.safetensors"), "--to", "onnx", "-o", path("none"))
    fails(1, "nowhere", "a run that is none", "export", path("nowhere"), "--to", "onnx", "-o", path("none"))
    fails(2, "holds images", "a shard --to onnx", "export", path("test.ring"), "--to", "onnx", "-o", path("none"))
    fails(2, "holds weights", "a run --to webdataset", "export", path("run"), "-o", path("none"))
    fails(2, "holds weights", "weights --to mds", "export", path("again.safetensors"), "--to", "mds", "-o", path("none"))
    fails(2, "takes one run", "two runs", "export", path("run"), path("full"), "--to", "onnx", "-o", path("none"))
    fails(2, "--zstd is for shards", "an option of shards for weights", "export", path("run"), "--to", "onnx", "--zstd", 3, "-o", path("none"))
    fails(2, "--with-head is for --to onnx", "an option of ONNX for a state dict", "export", path("run"), "--to", "torchvision",
          "--with-head", "-o", path("none"))
    fails(2, "--size is for --to onnx", "an option of ONNX for shards", "export", path("test.ring"), "--size", 32, "-o", path("none"))
    fails(2, "has no head", "--with-head without one", "export", path("again.safetensors"), "--to", "onnx", "--with-head", "-o", path("none"))


finish([train_small, run_to_onnx, head_to_onnx, export_read_again, strict_torchvision, header_order, from_torchvision, classifier, refused])
