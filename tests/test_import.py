#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`ringclr import`: weights as torchvision, timm and others write them become checkpoints whose features are PyTorch's, on the images
that the weights were trained on; what is no such ResNet is refused by name. Prints TAP."""
import json
import sys

sys.dont_write_bytecode = True  # no tests/__pycache__
sys.path[:0] = ["build/python", "tests"]
try:
    import numpy as np
    import torch
    import torchvision
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file
    from helper_weights import (embed, fails, finish, infer, ok, path, pixels, relative, ringclr, run, skip, state, torch_net)
except ImportError as missing:
    print(f"1..1\nok 1 - import of weights # SKIP {missing}")
    sys.exit(0)

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalized(x, mean=MEAN, deviation=DEVIATION):
    return torchvision.transforms.functional.normalize(torch.from_numpy(x), mean, deviation).numpy()


def imported(tensors, *options, metadata=None):
    """What import says as JSON; {} when it fails."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path("in.safetensors"), metadata)
    done = ringclr("import", path("in.safetensors"), "-o", path("out.safetensors"), "--json", *options)
    if done.returncode:
        print("# " + done.stderr)
    return json.loads(done.stdout) if done.returncode == 0 else {}, done.stderr


def normalization():
    """ImageNet's mean and deviation unless said otherwise, to the border of the picture, for both stems."""
    x = pixels()
    for name, cifar, narrow in (("resnet18", False, True), ("resnet18", True, True), ("resnet50", False, True), ("resnet34", False, False)):
        net = torch_net(name, cifar, narrow=narrow)
        told, _ = imported(state(net), "--size", 32)
        error = relative(embed(path("out.safetensors")), infer(net, normalized(x)))
        ok(told.get("input_mean") == list(MEAN) and told.get("input_deviation") == list(DEVIATION) and error < 1e-5,
           f"{name}, {'3x3' if cifar else '7x7'} stem: features of normalised images: relative error {error:.1e}", told)
    told, _ = imported(state(net), "--size", 32, "--input", "unit")
    error = relative(embed(path("out.safetensors")), infer(net, x))
    ok("input_mean" not in told and error < 1e-5, f"--input unit: features of images in [0,1]: relative error {error:.1e}")
    imported(state(net), "--size", 32, "--mean", "0.5,0.25,0.125", "--deviation", "0.5,1,2")
    error = relative(embed(path("out.safetensors")), infer(net, normalized(x, (0.5, 0.25, 0.125), (0.5, 1, 2))))
    ok(error < 1e-5, f"--mean and --deviation: relative error {error:.1e}")


def folding_is_not_exact():
    """Why the net normalises: the weights alone cannot, because the border is padded with 0."""
    x, net = pixels(), torch_net("resnet18", False)
    expected = infer(net, normalized(x))
    first = net.conv1
    deviation, mean = torch.tensor(DEVIATION).view(1, 3, 1, 1), torch.tensor(MEAN).view(1, 3, 1, 1)
    folded = torch.nn.Conv2d(3, 8, 7, 2, 3)
    folded.weight.data = first.weight.data / deviation
    folded.bias.data = -(first.weight.data * mean / deviation).sum((1, 2, 3))
    net.conv1 = folded
    error = relative(infer(net, x), expected)
    ok(error > 1e-2, f"folded into the first convolution: relative error {error:.1e}")


def to_other_formats():
    """The normalisation goes with the checkpoint into every format."""
    x, net = pixels(), torch_net("resnet18", True)
    imported(state(net))
    theirs = infer(net, normalized(x))
    run("export", path("out.safetensors"), "--to", "torchvision", "-o", path("tv.safetensors"))
    with safe_open(path("tv.safetensors"), "pt") as file:
        mean = [np.float32(v) for v in file.metadata()["input_mean"].split(",")]
    ok(mean == [np.float32(v) for v in MEAN], "its mean stands in the state dict's metadata")
    ok(np.array_equal(embed(path("tv.safetensors")), embed(path("out.safetensors"))), "ringclr reads it there")
    told, _ = imported(load_file(path("tv.safetensors")), metadata={"producer": "ringclr 0.1.0", "width": "0.125", "size": "32"})
    ok(told.get("model") == "resnet18" and "input_mean" not in told, "--input auto believes ringclr's own export")
    run("export", path("out.safetensors"), "--to", "onnx", "-o", path("unit.onnx"))
    imported(state(net))
    run("export", path("out.safetensors"), "--to", "onnx", "-o", path("out.onnx"))
    try:
        import onnxruntime
    except ImportError as missing:
        return skip("onnxruntime: the graph normalises", missing)
    h, = onnxruntime.InferenceSession(path("out.onnx"), providers=["CPUExecutionProvider"]).run(["features"], {"image": x})
    error = relative(h, theirs)
    ok(error < 1e-5, f"onnxruntime: the graph takes [0,1] and normalises: relative error {error:.1e}")
    h, = onnxruntime.InferenceSession(path("unit.onnx"), providers=["CPUExecutionProvider"]).run(["features"], {"image": x})
    ok(relative(h, infer(net, x)) < 1e-5, "and one that does not, does not")


def trained():
    """train --input imagenet: what PyTorch computes with the checkpoint's weights, on normalised images."""
    made = run("train", path("train.ring"), "-o", path("run"), "--batch", 5, "--epochs", 1, "--warmup-epochs", 0, "--width", 0.125,
               "--input", "imagenet", "--quiet") and run("export", path("run"), "--to", "torchvision", "-o", path("run.safetensors"))
    net = torch_net("resnet18")
    net.load_state_dict(load_file(path("run.safetensors")))
    error = relative(embed(path("run")), infer(net, normalized(pixels())))
    ok(made and error < 1e-5, f"train --input imagenet normalises, and its checkpoint says so: relative error {error:.1e}")
    other = ringclr("train", path("train.ring"), "-o", path("run"), "--input", "unit", "--resume", "--quiet")
    ok(other.returncode != 0 and "--input is unit now" in other.stderr, "a run that is resumed keeps its --input", other.stderr)


def prefixes():
    """What others put in front comes off; heads are left out, and named."""
    x, net = pixels(), torch_net("resnet18")
    theirs = infer(net, normalized(x))
    for prefix in ("module.", "encoder.", "backbone.", "module.base_encoder.", "x_y/0."):
        tensors = {prefix + name: tensor for name, tensor in state(net).items()}
        tensors.update({prefix + "fc.0.weight": torch.zeros(9, 512), "projector.weight": torch.zeros(3), "queue": torch.zeros(2, 2)})
        told, said = imported(tensors)
        same = relative(embed(path("out.safetensors")), theirs) < 1e-5
        ok(same and told["prefix"] == prefix and told["ignored"] == 3 and f"'{prefix}'" in said and "projector.weight" in said,
           f"'{prefix}' comes off, heads are left out", said)
    both = {f"module.encoder_{side}.{name}": tensor if side == "q" else tensor * 2
            for side in "qk" for name, tensor in state(net).items()}
    save_file(both, path("moco.safetensors"))
    fails(2, "module.encoder_k.", "two encoders: which?", "import", path("moco.safetensors"), "-o", path("none"))
    ok(run("import", path("moco.safetensors"), "--prefix", "module.encoder_q.", "-o", path("out.safetensors")) and
       relative(embed(path("out.safetensors")), theirs) < 1e-5, "--prefix chooses one")
    fails(1, "module.x.conv1.weight", "a prefix that is none", "import", path("moco.safetensors"), "--prefix", "module.x.", "-o", path("none"))


def types():
    """Every finite float16 comes over exactly; bfloat16 and float64 as PyTorch converts them."""
    net = torch_net("resnet18")
    halves = torch.from_numpy(np.arange(65536, dtype=np.uint16).view(np.float16).copy())
    halves = halves[torch.isfinite(halves)]
    tensors = state(net)
    tensors["layer4.0.conv2.weight"] = halves[:36864].reshape(64, 64, 3, 3).clone()
    tensors["layer4.1.conv1.weight"] = torch.cat([halves[36864:], halves[:36864 - (len(halves) - 36864)]]).reshape(64, 64, 3, 3)
    for name in ("bn1.weight", "layer2.0.conv1.weight"):
        tensors[name] = tensors[name].bfloat16()
    tensors["layer3.0.conv1.weight"] = tensors["layer3.0.conv1.weight"].double() / 3
    told, said = imported(tensors)
    out = load_file(path("out.safetensors"))
    same = all(out[name].dtype == torch.float32 and torch.equal(out[name], tensor.float())
               for name, tensor in tensors.items() if not name.endswith("tracked"))
    ok(same and told["converted"] == 5 and "made float32: 5" in said, "float16, bfloat16 and float64 become float32", said)
    whole, _ = imported({name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state(net).items()})
    half = net.half().float()
    error = relative(embed(path("out.safetensors")), infer(half, normalized(pixels())))
    ok(whole["converted"] == 100 and error < 1e-5, f"a file of float16: relative error {error:.1e}")


def refused():
    small = torch_net("resnet18")

    def bad(about, pattern, tensors, code=1):
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path("bad.safetensors"))
        fails(code, pattern, about, "import", path("bad.safetensors"), "-o", path("none"))

    def changed(change, net=small):
        tensors = dict(state(net))
        change(tensors)
        return tensors
    bad("a missing tensor", "'layer4.1.bn2.bias' is missing", changed(lambda t: t.pop("layer4.1.bn2.bias")))
    bad("another shape", "'layer3.0.bn1.weight' has another shape", changed(lambda t: t.update({"layer3.0.bn1.weight": torch.ones(9)})))
    bad("NaN weights", "'layer2.1.conv2.weight' holds nan",
        changed(lambda t: t.update({"layer2.1.conv2.weight": torch.full((16, 16, 3, 3), float("nan"))})))
    bad("an infinite float16", "'bn1.weight' holds inf", changed(lambda t: t.update({"bn1.weight": torch.full((8,), float("inf")).half()})))
    bad("a float64 too large", "'bn1.bias' holds -inf", changed(lambda t: t.update({"bn1.bias": torch.full((8,), -1e300, dtype=torch.float64)})))
    bad("whole numbers for weights", "'bn1.weight' has another shape or type", changed(lambda t: t.update({"bn1.weight": torch.ones(8).long()})))
    bad("an SE-ResNet", "'layer1.0.se.fc1.weight' has no place in ResNet-18", changed(lambda t: t.update({"layer1.0.se.fc1.weight": torch.ones(4)})))
    bad("convolutions with a bias", "'conv1.bias' has no place", changed(lambda t: t.update({"conv1.bias": torch.ones(8)})))
    bad("a deep stem", "deep stem", changed(lambda t: (t.pop("conv1.weight"), t.update({"conv1.0.weight": torch.ones(32, 3, 3, 3)}))))
    bad("other numbers of blocks", "neither a checkpoint", changed(lambda t: t.update({"layer1.2.conv1.weight": torch.ones(64, 64, 3, 3)})))
    shapes = {name: torch.zeros(1) for name in torchvision.models.resnet50().state_dict()}
    shapes.update({"conv1.weight": torch.zeros(64, 3, 7, 7), "layer1.0.conv1.weight": torch.zeros(128, 64, 1, 1)})
    bad("a ResNeXt", "ResNeXt", {**shapes, "layer1.0.conv2.weight": torch.zeros(128, 4, 3, 3)})
    bad("a Wide ResNet", "Wide ResNet", {**shapes, "layer1.0.conv2.weight": torch.zeros(128, 128, 3, 3)})
    bad("a VGG", "AlexNet or VGG", {"features.0.weight": torch.ones(64, 3, 11, 11)})
    bad("a vision transformer", "vision transformer", {"cls_token": torch.ones(1), "patch_embed.proj.weight": torch.ones(8, 3, 4, 4)})
    bad("nothing known", "'a.b'", {"a.b": torch.ones(1)})
    bad("no tensors", "0 tensors", {})
    ours = {"producer": "ringclr 0.1.0", "width": "0.125", "size": "32", "input_mean": "0.5,0.5,0.5", "input_deviation": "1,1,1"}
    for key, value in (("input_mean", "0.5,0.5"), ("input_mean", "0.5,0.5,nan"), ("input_deviation", "1,0,1"), ("input_deviation", "1,1,1,1"),
                       ("input_deviation", None), ("width", "wide"), ("width", "0"), ("size", "-3")):
        metadata = {name: text for name, text in {**ours, key: value}.items() if text is not None}
        save_file(state(small), path("bad.safetensors"), metadata)
        fails(1, "metadata", f"metadata {key} {value}", "embed", path("bad.safetensors"), path("test.ring"), "-o", path("none"))
    save_file(state(small), path("good.safetensors"), ours)
    error = relative(embed(path("good.safetensors")), infer(small, normalized(pixels(), (0.5,) * 3, (1,) * 3)))
    ok(error < 1e-5, f"and metadata that is right: relative error {error:.1e}")
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state(small).items()}
    save_file(halves, path("bad.safetensors"))
    fails(1, "ringclr import", "embed of float16 points at import", "embed", path("bad.safetensors"), path("test.ring"), "-o", path("none"))
    save_file({"module." + name: tensor for name, tensor in state(small).items()}, path("bad.safetensors"))
    fails(1, "ringclr import", "embed of prefixed names too", "embed", path("bad.safetensors"), path("test.ring"), "-o", path("none"))
    save_file(state(small), path("whole.safetensors"))
    with open(path("whole.safetensors"), "rb") as whole, open(path("cut.safetensors"), "wb") as cut:
        cut.write(whole.read()[:100000])
    fails(1, "cut.safetensors", "a file that was cut off", "import", path("cut.safetensors"), "-o", path("none"))
    for given in (("--mean", "0,0,0"), ("--mean", "0,0", "--deviation", "1,1,1"), ("--mean", "0,0,0", "--deviation", "1,0,1"),
                  ("--mean", "0,0,0,0", "--deviation", "1,1,1"), ("--mean", "0,0,0", "--deviation", "1,1,1", "--input", "unit")):
        fails(2, "--mean", " ".join(given), "import", path("whole.safetensors"), "-o", path("none"), *given)


def pickles():
    """The message about a .pth file carries the Python that converts it: run it."""
    net = torch_net("resnet18")
    torch.save({"state_dict": {"module." + name: tensor for name, tensor in net.state_dict().items()}, "epoch": 3}, path("IN.pth"))
    torch.save(net.state_dict(), path("OLD.pth"), _use_new_zipfile_serialization=False)
    for name in ("IN.pth", "OLD.pth"):
        done = ringclr("import", path(name), "-o", path("none"))
        code = done.stderr.split("Python: ")[-1].strip()
        ok(done.returncode == 1 and "torch.save()" in done.stderr, f"{name} is told to be PyTorch's", done.stderr)
        try:
            exec(code.replace("IN.pth", path(name)).replace("OUT.safetensors", path("OUT.safetensors")), {})
        except Exception as fault:
            ok(False, f"{name}: the message's Python runs", f"{code}\n{fault}")
            continue
        done = run("import", path("OUT.safetensors"), "-o", path("out.safetensors"))
        error = relative(embed(path("out.safetensors")), infer(net, normalized(pixels())))
        ok(done and error < 1e-5, f"{name}: converted as the message says: relative error {error:.1e}")


finish([normalization, folding_is_not_exact, to_other_formats, trained, prefixes, types, refused, pickles])
