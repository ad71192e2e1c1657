#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Files go both ways between this program and the safetensors package for Python."""
import json
import os
import struct
import subprocess
import sys
import tempfile

from helper_tap import finish, result

sys.path.insert(0, os.path.join("build", "python"))
TOOL = os.path.join(os.environ.get("BUILD", "build/release"), "tests", "test_safetensors")
# Numbers of enum safetensors_type.
TYPES = ["F32", "F64", "F16", "BF16", "I64", "I32", "U8", "BOOL"]


def printed(path):
    """What test_safetensors --print sees: {name: (type, shape, bytes)}, and the metadata under "key"."""
    run = subprocess.run([TOOL, "--print", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.returncode != 0:
        return {"error": run.stderr.decode()}, None
    *lines, metadata = run.stdout.decode().splitlines()
    tensors = {}
    for line in lines:
        name, kind, shape, *data = line.split(" ")
        tensors[bytes.fromhex(name).decode()] = (TYPES[int(kind)], json.loads(shape), bytes.fromhex("".join(data)))
    return tensors, metadata


def ours_to_python(folder):
    path = os.path.join(folder, "ours.safetensors")
    subprocess.run([TOOL, "--write", path], check=True)
    with open(path, "rb") as file:
        content = file.read()
    theirs = {}
    for name, tensor in safetensors.deserialize(content):
        theirs[name] = (tensor["dtype"], list(tensor["shape"]), bytes(tensor["data"]))
    ours, _ = printed(path)
    result(len(ours) == 11 and theirs == ours, "tensors of every type are the same there", theirs)
    result(theirs.get("encoder.conv1.weight", (0, 0, b""))[2] == struct.pack("<6f", 1, -2, 3.5, 1e-30, 1e30, 0), "values")
    with safetensors.safe_open(path, framework="np") as file:
        result(file.metadata() == {"format": "pt", "ringclr.step": '12 "x"', "empty": ""}, "metadata", file.metadata())
        result(file.get_tensor("encoder.conv1.weight").shape == (1, 2, 3, 1), "a tensor opens as an array")


def python_to_ours(folder):
    path = os.path.join(folder, "theirs.safetensors")
    random = numpy.random.default_rng(1)
    arrays = {
        "layer.weight é": random.standard_normal((3, 4, 5)).astype(numpy.float32),
        "f64": random.standard_normal(7),
        "f16": random.standard_normal((2, 2)).astype(numpy.float16),
        "i64": numpy.array([-(2**63), 2**63 - 1]),
        "i32": numpy.arange(5, dtype=numpy.int32),
        "u8": numpy.arange(3, dtype=numpy.uint8),
        "bool": numpy.array([True, False, True]),
        "scalar": numpy.array(2.5, dtype=numpy.float32),
        "empty": numpy.zeros((0, 3), dtype=numpy.float32),
    }
    names = {"float32": "F32", "float64": "F64", "float16": "F16", "int64": "I64", "int32": "I32", "uint8": "U8", "bool": "BOOL"}
    save_file(arrays, path, metadata={"key": "value with \"quotes\""})
    expected = {name: (names[str(array.dtype)], list(array.shape), array.tobytes()) for name, array in arrays.items()}
    got, metadata = printed(path)
    result(got == expected, "arrays of every type are the same here", got)
    result(metadata == 'key=value with "quotes"', "their metadata", metadata)
    save_file({"int8": numpy.arange(3, dtype=numpy.int8)}, path)
    got, _ = printed(path)
    result("type that is unknown" in got.get("error", ""), "a type that we do not have is refused by name", got)


def both_refuse(folder):
    """Files that break the format are refused by the package, and so must be here."""
    path = os.path.join(folder, "broken.safetensors")
    entry = '{"dtype":"F32","shape":[%d],"data_offsets":[%d,%d]}'
    cases = {
        "hole": '{"a":' + entry % (1, 0, 4) + ',"b":' + entry % (1, 8, 12) + "}",
        "overlap": '{"a":' + entry % (2, 0, 8) + ',"b":' + entry % (2, 4, 12) + "}",
        "outside": '{"a":' + entry % (4, 0, 16) + "}",
        "too few": '{"a":' + entry % (2, 0, 8) + "}",
        "size": '{"a":' + entry % (2, 0, 12) + "}",
        "no JSON": '{"a":',
    }
    for name, header in cases.items():
        content = struct.pack("<Q", len(header)) + header.encode() + bytes(12)
        with open(path, "wb") as file:
            file.write(content)
        try:
            safetensors.deserialize(content)
            theirs = False
        except safetensors.SafetensorError:
            theirs = True
        got, _ = printed(path)
        result(theirs and "error" in got, f"both refuse: {name}", f"package {theirs}, here {got}")


if __name__ == "__main__":
    try:
        import numpy
        import safetensors
        from safetensors.numpy import save_file
    except ImportError as missing:
        print(f"1..0 # SKIP {missing}")
        sys.exit(0)
    if not os.access(TOOL, os.X_OK):
        print(f"1..0 # SKIP {TOOL} is not built")
        sys.exit(0)
    with tempfile.TemporaryDirectory(prefix="ringclr-safetensors.") as scratch:
        ours_to_python(scratch)
        python_to_ours(scratch)
        both_refuse(scratch)
    finish()
