#!/usr/bin/python3
"""ringclr pack's inputs against files of other makers: WebDataset's and MosaicML's own writers (from PyPI, found in
build/python), NumPy's npy and npz, Pillow's and ImageMagick's PPM, GNU tar; and lists, brace ranges, and files that lie.

What was packed is read back by shard_reader.py, which shares no code with the program.
"""
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import types
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.getcwd(), "build", "python")]
PACKAGES = os.path.join(os.getcwd(), "build", "python")
RINGCLR = os.path.abspath(os.environ.get("RINGCLR", "./ringclr"))
count = failures = 0


class Skip(Exception):
    pass


def test(name, body):
    global count, failures
    count += 1
    try:
        body()
        print(f"ok {count} - {name}")
    except Skip as reason:
        print(f"ok {count} - {name} # SKIP {reason}")
    except Exception as problem:
        failures += 1
        print(f"not ok {count} - {name}")
        for line in f"{type(problem).__name__}: {problem}".splitlines()[-30:]:
            print("#", line)
    sys.stdout.flush()


def need(name):
    try:
        return importlib.import_module(name)
    except ImportError as missing:
        raise Skip(f"no Python module {missing.name}")


def run(*arguments, code=0, stdin=b""):
    """The message of a run that must end with that code; after a failure nothing may have been written."""
    if os.path.exists("out.ring"):
        os.unlink("out.ring")
    done = subprocess.run([RINGCLR, "pack", *arguments, "-o", "out.ring"], input=stdin, capture_output=True)
    text = done.stderr.decode()
    assert done.returncode == code, f"exit {done.returncode}, wanted {code}: {arguments}\n{text}"
    assert code == 0 or not os.path.exists("out.ring"), "something was written"
    return text


def records(*arguments, stdin=b""):
    """Packs, and gives (key, class or None, metadata or None, bytes, width, height) of every record."""
    import shard_reader

    run(*arguments, stdin=stdin)
    shard = shard_reader.Shard("out.ring")
    result = []
    for number in range(len(shard.records)):
        entry, image, fields = shard.record(number)
        meta = json.loads(fields["meta"]) if "meta" in fields else None
        label = shard.classes[entry["label"]] if entry["label"] >= 0 else None
        result.append((entry["key"], label, meta, bytes(image), entry["width"], entry["height"]))
    return result


def fails(text, *arguments, stdin=b""):
    message = run(*arguments, code=1, stdin=stdin)
    for part in text.split("|"):
        assert part in message, f"no '{part}' in: {message}"


def image(numpy, seed, height=20, width=30):
    return numpy.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype="uint8")


def jpeg(numpy, pillow, seed):
    out = io.BytesIO()
    pillow.fromarray(image(numpy, seed)).save(out, format="JPEG", quality=90)
    return out.getvalue()


def save_jpegs(folder, total):
    numpy, pillow = need("numpy"), need("PIL.Image")
    os.makedirs(folder, exist_ok=True)
    for i in range(total):
        with open(f"{folder}/{i}.jpg", "wb") as out:
            out.write(jpeg(numpy, pillow, i))


# ---- lists ----


def lists():
    save_jpegs("photos/cat", 3)
    with open("list.tsv", "wb") as out:
        out.write(b"path\tcamera\tlabel\r\nphotos/cat/2.jpg\tLeica \"M\"\tb\r\n\r\n./photos//cat/0.jpg\t\t\r\nphotos/cat/1.jpg\tx\n")
    got = records("list.tsv")
    assert [r[:3] for r in got] == [
        ("photos/cat/2.jpg", "b", {"camera": 'Leica "M"'}),
        ("photos/cat/0.jpg", "photos", None),
        ("photos/cat/1.jpg", "photos", {"camera": "x"}),
    ], got
    assert got[0][3] == open("photos/cat/2.jpg", "rb").read()
    os.makedirs("lists", exist_ok=True)
    with open("lists/plain.txt", "w") as out:
        out.write(f"../photos/cat/0.jpg\tdog\t7\t\u00fc\n{os.getcwd()}/photos/cat/1.jpg\tcat")
    got = records("lists/plain.txt")
    assert [r[:3] for r in got] == [
        ("photos/cat/0.jpg", "dog", {"column3": "7", "column4": "\u00fc"}),
        (os.getcwd().lstrip("/") + "/photos/cat/1.jpg", "cat", None),
    ], got


def standard_input():
    save_jpegs("photos/cat", 3)
    for flag in "-print", "-print0":
        found = subprocess.run(["find", "photos", flag], capture_output=True, check=True).stdout
        assert sorted(r[0] for r in records("-", stdin=found)) == [f"photos/cat/{i}.jpg" for i in range(3)]
        assert records("-", stdin=found)[0][1] == "photos"
    shutil.copy("photos/cat/0.jpg", "photos/cat/new\nline.jpg")
    assert [r[0] for r in records("-", stdin=b"photos/cat/new\nline.jpg\0")] == ["photos/cat/new\nline.jpg"]
    os.unlink("photos/cat/new\nline.jpg")


def bad_lists():
    save_jpegs("photos/cat", 3)
    with open("bad.tsv", "w") as out:
        out.write("photos/cat/0.jpg\tx\nphotos/cat/gone.jpg\tx\n")
    fails("bad.tsv, line 2|photos/cat/gone.jpg|No such file", "bad.tsv")
    fails("standard input, line 1|gone.jpg", "-", stdin=b"gone.jpg\n")
    fails("line 2|3 columns", "-", stdin=b"path\tlabel\nphotos/cat/0.jpg\ta\tb\n")
    fails("'x'", "-", stdin=b"path\tx\tx\n")
    fails("line 1|longer", "-", stdin=b"a" * (2 << 20))
    fails("no path", "-", stdin=b"\tlabel\n")
    fails("photos/cat/0.jpg|unique", "-", stdin=b"photos/cat/0.jpg\n./photos/cat/0.jpg\n")
    fails("metadata", "-", stdin=b"photos/cat/0.jpg\ta\t\xff\xfe\n")
    fails("no images", "-", stdin=b"")


# ---- WebDataset ----


def webdataset():
    numpy, pillow, writer = need("numpy"), need("PIL.Image"), need("webdataset")
    os.makedirs("web", exist_ok=True)
    images = [jpeg(numpy, pillow, i) for i in range(20)]
    with writer.ShardWriter("web/train-%06d.tar", maxcount=7, verbose=0) as sink:
        for i, data in enumerate(images):
            sink.write({"__key__": f"{i:04d}", "jpg": data, "cls": i % 3, "json": {"number": i, "text": "\u00e4\n"}})
    got = records("web/train-{000000..000002}.tar")
    assert [r[:3] for r in got] == [
        (f"{i:04d}.jpg", str(i % 3), {"number": i, "text": "\u00e4\n"}) for i in range(20)
    ], got[:3]
    assert [r[3] for r in got] == images
    assert got == records("web/{train-00000{0,1},{train-000002}}.tar".replace("{train-000002}", "train-000002"))
    fails("web/train-000003.tar", "web/train-{000000..000003}.tar")
    shutil.copy("web/train-000000.tar", "web/again.tar")
    fails("0000.jpg|unique", "web/train-000000.tar", "web/again.tar")
    shutil.copy("web/train-000000.tar", "web/odd{1..2}.tar")
    assert len(records("web/odd{1..2}.tar")) == 7
    subprocess.run(["zstd", "-qf", "web/train-000001.tar"], check=True)
    assert records("web/train-000001.tar.zst") == got[7:14]


# ---- MDS ----


def mds_writer():
    need("typing_extensions")
    base = os.path.join(PACKAGES, "streaming")
    if not os.path.isdir(base):
        raise Skip("no Python package mosaicml-streaming")
    # The packages' __init__ files would import cloud clients and transformers; the writer needs neither.
    for name, folder in (("streaming", base), ("streaming.base", os.path.join(base, "base"))):
        module = types.ModuleType(name)
        module.__path__ = [folder]
        sys.modules.setdefault(name, module)
    return need("streaming.base.format.mds.writer").MDSWriter


def mds():
    numpy, pillow, MDSWriter = need("numpy"), need("PIL.Image"), mds_writer()
    columns = {"image": "jpeg", "label": "int", "caption": "str", "score": "float32", "extra": "json", "big": "uint64",
               "half": "float16", "digits": "str_int", "blob": "bytes", "signed": "int16"}
    images = [jpeg(numpy, pillow, i) for i in range(40)]
    for compression in None, "zstd", "zstd:7":
        folder = f"mds-{compression}".replace(":", "-")
        with MDSWriter(columns=columns, out=folder, compression=compression, size_limit=9000, hashes=["xxh3_64"]) as out:
            for i, data in enumerate(images):
                out.write({"image": data, "label": i % 5 - 1, "caption": f'c{i} \u00fc"', "score": i / 7, "extra": {"a": [i]},
                           "big": 2**63 + i, "half": 0.5 - i, "digits": 10**20 + i, "blob": b"\0\1", "signed": -i})
        assert len(os.listdir(folder)) > 3
        got = records(folder)
        assert [r[3] for r in got] == images
        for i, (key, label, meta, *_) in enumerate(got):
            assert key == f"{folder}/{i:08d}" and label == (str(i % 5 - 1) if i % 5 else None), (key, label)
            assert numpy.float32(meta.pop("score")) == numpy.float32(i / 7)
            assert meta == {"big": 2**63 + i, "caption": f'c{i} \u00fc"', "digits": 10**20 + i, "extra": {"a": [i]},
                            "half": 0.5 - i, "signed": -i}, meta


def mds_pixels():
    numpy, pillow, MDSWriter = need("numpy"), need("PIL.Image"), mds_writer()
    modes = "RGB", "L", "RGBA"
    with MDSWriter(columns={"x": "pil", "class": "str", "path": "str"}, out="mds-pil") as out:
        for i, mode in enumerate(modes):
            out.write({"x": pillow.fromarray(image(numpy, i)).convert(mode), "class": mode, "path": f"a/{i}"})
    for i, (key, label, meta, data, width, height) in enumerate(records("mds-pil")):
        wanted = pillow.fromarray(image(numpy, i)).convert(modes[i]).convert("RGB").tobytes()
        assert (key, label, meta, width, height) == (f"a/{i}", modes[i], None, 30, 20) and data == wanted
    with MDSWriter(columns={"data": "bytes", "y": "uint8"}, out="mds-bytes", compression="zstd") as out:
        for i in range(3):
            out.write({"data": jpeg(numpy, pillow, i), "y": numpy.uint8(i)})
    assert [(r[1], r[3]) for r in records("mds-bytes")] == [(str(i), jpeg(numpy, pillow, i)) for i in range(3)]
    with MDSWriter(columns={"a": "jpeg", "b": "png"}, out="mds-two") as out:
        out.write({"a": pillow.fromarray(image(numpy, 1)), "b": pillow.fromarray(image(numpy, 1))})
    fails("2 columns are images", "mds-two")
    with MDSWriter(columns={"image": "jpeg"}, out="mds-gz", compression="gz") as out:
        out.write({"image": pillow.fromarray(image(numpy, 1))})
    fails("only zstd is read", "mds-gz")


def bad_mds():
    numpy, pillow, MDSWriter = need("numpy"), need("PIL.Image"), mds_writer()
    for folder, compression in ("good", None), ("packed", "zstd"):
        with MDSWriter(columns={"image": "jpeg", "label": "int"}, out=folder, compression=compression) as out:
            for i in range(5):
                out.write({"image": jpeg(numpy, pillow, i), "label": i})

    def broken(text, change, source="good"):
        shutil.rmtree("broken", ignore_errors=True)
        shutil.copytree(source, "broken")
        with open("broken/index.json") as file:
            index = json.load(file)
        name = "broken/" + (index["shards"][0]["zip_data"] or index["shards"][0]["raw_data"])["basename"]
        with open(name, "rb") as file:
            data = bytearray(file.read())
        data = change(index["shards"][0], data) or data
        with open(name, "wb") as file:
            file.write(data)
        with open("broken/index.json", "w") as file:
            json.dump(index, file)
        fails(text, "broken")

    def number(value, at):
        return lambda shard, data: data.__setitem__(slice(at, at + 4), value.to_bytes(4, "little"))

    broken("shard.00000.mds|bytes", lambda shard, data: data[:-100])
    broken("too early", lambda shard, data: data[:-100], "packed")
    broken("outside its folder", lambda shard, data: shard["raw_data"].update(basename="../good/shard.00000.mds"))
    broken("outside its folder", lambda shard, data: shard["raw_data"].update(basename="/etc/passwd"))
    broken("samples", lambda shard, data: shard.update(samples=4))
    broken("samples", lambda shard, data: shard.update(samples=1e300))
    broken("too small", lambda shard, data: shard.update(samples=1 << 20))
    broken("as many elements", lambda shard, data: shard.update(column_sizes=[None]))
    broken("but has 4 bytes", lambda shard, data: shard.update(column_sizes=[None, 4]))
    broken("no column", lambda shard, data: shard.update(column_encodings=["str", "int"]))
    broken("version 2", lambda shard, data: shard.update(version=3))
    broken("sample 0|outside the shard", number(1, 4))
    broken("sample 1|outside the shard", number(0xFFFFFFFF, 12))
    broken("sample 4|outside the shard", number(0xFFFFFFF0, 24))
    with open("good/shard.00000.mds", "rb") as file:
        first = int.from_bytes(file.read(8)[4:], "little")
    broken("sample 0|ends behind its sample", number(0xFFFFFF00, first))
    with open("broken/index.json", "w") as file:
        file.write('{"shards": ' + "[" * 100000)
    fails("not an index", "broken")


# ---- NumPy ----


def arrays():
    numpy = need("numpy")
    rgb = numpy.stack([image(numpy, i) for i in range(6)])
    labels = numpy.arange(6) % 3
    numpy.save("rgb.npy", rgb)
    numpy.save("planes.npy", rgb.transpose(0, 3, 1, 2).copy())
    numpy.save("gray.npy", rgb[..., 1].copy())
    numpy.save("one.npy", rgb[2])
    pixels = [r.tobytes() for r in rgb]
    gray = [numpy.repeat(r[..., 1:2], 3, axis=2).tobytes() for r in rgb]
    assert [r[:3] for r in records("rgb.npy")] == [(f"rgb/{i:08d}", None, None) for i in range(6)]
    for name, wanted in ("rgb", pixels), ("planes", pixels), ("gray", gray), ("one", pixels[2:3]):
        got = records(name + ".npy")
        assert [r[3] for r in got] == wanted and got[0][4:] == (30, 20), name
    for save in numpy.savez, numpy.savez_compressed:
        save("a.npz", images=rgb, labels=labels, ids=numpy.arange(6))
        assert [(r[1], r[3]) for r in records("a.npz")] == [(str(i % 3), pixels[i]) for i in range(6)]
        save("b.npz", rgb.transpose(0, 3, 1, 2), labels.astype("int8").reshape(6, 1) - 1)
        assert [(r[1], r[3]) for r in records("b.npz")] == [(str(i % 3 - 1) if i % 3 else None, pixels[i]) for i in range(6)]
        save("c.npz", x_test=rgb[:2], y_test=labels[:2], x_train=rgb[..., 0], y_train=labels)
        assert [(r[1], len(r[3])) for r in records("c.npz")] == [(str(i % 3), 1800) for i in range(6)]


def bad_arrays():
    numpy = need("numpy")
    rgb = numpy.stack([image(numpy, i) for i in range(3)])

    def refuse(text, array):
        numpy.save("bad.npy", array)
        fails(text, "bad.npy")
        numpy.savez_compressed("bad.npz", images=array)
        fails("bad.npz", "bad.npz")

    refuse("float32", rgb.astype("float32"))
    refuse("uint16", rgb.astype(">u2"))
    refuse("Fortran", numpy.asfortranarray(rgb))
    refuse("3 x 20 x 30 x 2", rgb[..., :2])
    refuse("uint8 5", rgb[0, 0, :5, 0])
    refuse("unknown type", numpy.array([None]))
    numpy.savez("bad.npz", images=rgb, labels=numpy.arange(3, dtype=">i4"))
    fails("big-endian", "bad.npz")
    numpy.savez("bad.npz", images=rgb, labels=numpy.arange(4))
    fails("4 labels|3 images", "bad.npz")
    # Headers that claim more than there is, more than can be, and nothing that can be read.
    for text, shape in (("header|bad.npy", "(3, 20, 30"), ("than there can be", "(99999999999, 99999999999, 2, 3)"),
                        ("MiB", "(9, 65535, 65535, 3)"), ("bytes of pixels", "(4294967295, 20, 30, 3)"),
                        ("bytes of pixels", "(2, 20, 30, 3)"), ("header", "(184467440737095516160, 2, 2, 3)")):
        header = "{'descr': '|u1', 'fortran_order': False, 'shape': " + shape + ", }"
        with open("bad.npy", "wb") as file:
            file.write(b"\x93NUMPY\1\0\x76\0" + header.ljust(117).encode() + b"\n" + rgb.tobytes())
        fails(text, "bad.npy")
        with zipfile.ZipFile("bomb.npz", "w", zipfile.ZIP_DEFLATED) as bomb:
            bomb.write("bad.npy", "images.npy")
        if shape[1] != "2":
            fails("bomb.npz", "bomb.npz")


# ---- PPM, CIFAR ----


def netpbm():
    numpy, pillow = need("numpy"), need("PIL.Image")
    shutil.rmtree("pnm", ignore_errors=True)
    os.makedirs("pnm")
    rgb, gray = image(numpy, 1), image(numpy, 2)[..., 0]
    pillow.fromarray(rgb).save("pnm/a.ppm")
    pillow.fromarray(gray).save("pnm/b.pgm")
    wide = numpy.random.default_rng(3).integers(0, 65536, (20, 30), dtype="uint16")
    with open("pnm/c.pgm", "wb") as out:
        out.write(b"P5 # 16 bits\n30 20\n65535\n" + wide.astype(">u2").tobytes())
    with open("pnm/d.ppm", "w") as out:
        out.write("P3\n# text\n30 20 15\n" + "\n".join(str(v) for v in (rgb // 17).ravel()))
    got = {r[0]: r[3] for r in records("pnm")}
    assert got["a.ppm"] == rgb.tobytes()
    assert got["b.pgm"] == numpy.repeat(gray[..., None], 3, axis=2).tobytes()
    assert got["c.pgm"] == numpy.repeat(numpy.rint(wide / 257).astype("uint8")[..., None], 3, axis=2).tobytes()
    assert got["d.ppm"] == (rgb // 17 * 17).astype("uint8").tobytes()
    if shutil.which("convert"):
        for arguments, key in (["-compress", "none"], "e.ppm"), (["-depth", "16"], "f.ppm"):
            subprocess.run(["convert", "pnm/a.ppm", *arguments, "pnm/" + key], check=True)
        got = {r[0]: r[3] for r in records("pnm")}
        assert got["e.ppm"] == got["f.ppm"] == rgb.tobytes()
    for data in b"P6 30 20 255\n" + b"x" * 1799, b"P6 65535 65535 255\n" + b"x" * 9000, b"P6 0 9 255\n", b"P2 2 1 5 3 9 ":
        with open("pnm/g.ppm", "wb") as out:
            out.write(data)
        fails("g.ppm", "pnm")


def cifar():
    numpy = need("numpy")
    pixels = numpy.random.default_rng(0).integers(0, 256, (10, 3, 32, 32), dtype="uint8")
    with open("data_batch_1.bin", "wb") as out:
        for i in range(10):
            out.write(bytes([9 - i]) + pixels[i].tobytes())
    got = records("data_batch_1.bin")
    assert [(r[1], r[3]) for r in got] == [(str(9 - i), pixels[i].transpose(1, 2, 0).tobytes()) for i in range(10)]


TESTS = (
    ("lists: header, labels, metadata, CRLF, paths of every form", lists),
    ("find writes the list, with -print0 too", standard_input),
    ("lists that are wrong: the line is named", bad_lists),
    ("WebDataset's writer: shards, brace ranges, .cls, .json", webdataset),
    ("MosaicML's writer: MDS, raw and zstd, every kind of column", mds),
    ("MosaicML's writer: PIL pixels, bytes; what cannot be chosen", mds_pixels),
    ("MDS: what is cut short or points elsewhere is refused", bad_mds),
    ("NumPy: npy and npz in every shape", arrays),
    ("NumPy: other types and orders, and headers that lie, are refused", bad_arrays),
    ("PPM and PGM by Pillow and ImageMagick, 8 and 16 bits, binary and text", netpbm),
    ("CIFAR batches", cifar),
)

if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory(prefix="ringclr-test-") as scratch:
        os.chdir(scratch)
        for test_name, test_body in TESTS:
            test(test_name, test_body)
        os.chdir(HERE)
    print(f"1..{count}")
    sys.exit(failures > 0)
