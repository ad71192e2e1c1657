#!/bin/sh
# report: pages of runs and of sweeps hold the numbers of their inputs, are well-formed whatever is in them, open in a browser, and what
# is no run or sweep is refused by file and line. Prints TAP.
set -u

command -v python3 >/dev/null 2>&1 || { echo "1..0 # SKIP python3, which reads the pages, is not installed"; exit 0; }
# shellcheck source=tests/helper_tap.sh
. tests/helper_tap.sh
# shellcheck source=tests/helper_browser.sh
. tests/helper_browser.sh

train() {
	"$ringclr" train "$dir/train.ring" -o "$@" --size 16 --width 0.125 --batch 32 --warmup-epochs 1 --head-dim 16 --quiet
}

prepare() {
	"$ringclr" synth "$dir/images" --train 150 --test 60 --size 16 && "$ringclr" pack "$dir/images" --root train -o "$dir/train.ring" &&
		"$ringclr" pack "$dir/images" --root test -o "$dir/test.ring" &&
		train "$dir/run" --epochs 3 --test "$dir/test.ring" --eval-every 2 && train "$dir/other" --epochs 2 --temperature 0.1 &&
		python3 "$dir/look.py" "$dir" make
}

report() {
	"$ringclr" report "$@"
}

cat >"$dir/look.py" <<'PYTHON'
import base64
import json
import os
import re
import struct
import sys
import zlib
from collections import Counter
from html.parser import HTMLParser

folder = sys.argv[1]
strange = "<script>alert(\"x\")</script>&'"


def write(name, text):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


OPS = ["crop", "cutout", "colour", strange]
SHARES = [20.5, 40.25, 61.125]


def study(kind, x, axes, **more):
    return {"format": "ringclr study", "name": kind, "title": f"A study: {kind} {strange}", "size": "tiny",
            "figure": {"kind": kind, "x": x, "y": None, "series": None, "value": "linear", "x_label": x,
                       "value_label": "linear, %", "log_x": False, **more},
            "axes": axes, "seeds": [1, 2], "paper": None,
            "values": [{"name": "linear", "label": "linear, %"}, {"name": "loss", "label": "loss"}]}


def make():
    """Sweeps made by hand, and folders that are none."""
    heat = study("heatmap", "second", [{"name": "first", "label": "first", "values": OPS}, {"name": "second", "label": "second", "values": OPS}],
                 y="first")
    heat["paper"] = {"caption": "Figure 5, ImageNet top-1, %",
                     "points": [{"first": a, "second": b, "value": 10 * i + k + 0.5} for i, a in enumerate(OPS) for k, b in enumerate(OPS)]}
    rows = [{"cell": {"first": a, "second": b}, "seed": seed, "status": "done", "run": f"runs/{i}-{k}-{seed}", "seconds": 2.5,
             "values": {"linear": 20 + 10 * i + k + seed * 0.25, "loss": 5.5}} for i, a in enumerate(OPS) for k, b in enumerate(OPS) for seed in (1, 2)]
    rows[3] = {"cell": rows[3]["cell"], "seed": 2, "status": "failed", "run": "runs/failed", "error": strange}
    write("heat/study.json", json.dumps(heat))
    write("heat/rows.jsonl", lines(rows))
    drawn = study("lines", "temperature", [{"name": "temperature", "label": "temperature", "values": ["0.05", "0.1", "0.5"]},
                                           {"name": "norm", "label": "norm", "values": ["l2", "none"]}], series="norm", log_x=True)
    drawn["paper"] = {"caption": "Table 5", "points": [{"temperature": "0.05", "norm": "l2", "value": 59.7}, {"temperature": 0.1, "norm": "l2", "value": 64.4},
                                                       {"temperature": 0.5, "norm": "l2", "value": 60.7}, {"temperature": 10, "norm": "none", "value": 57.2}]}
    write("lines/study.json", json.dumps(drawn))
    write("lines/rows.jsonl", lines({"cell": {"temperature": t, "norm": n}, "seed": s, "status": "done",
                                     "values": {"linear": SHARES[i] + s - (n == "none")}}
                                    for i, t in enumerate(["0.05", "0.1", "0.5"]) for n in ("l2", "none") for s in (1, 2, 3)))
    bars = study("bars", "epochs", [{"name": "batch", "label": "batch", "values": ["32", "64"]}, {"name": "epochs", "label": "epochs", "values": ["5", "10"]}])
    bars["paper"] = {"caption": "Figure 9", "points": [{"batch": "256", "epochs": "100", "value": 57.5}, {"batch": "8192", "epochs": "100", "value": 64.8}]}
    write("bars/study.json", json.dumps(bars))
    write("bars/rows.jsonl", lines({"cell": {"batch": b, "epochs": e}, "seed": 1, "status": "done", "values": {"linear": v}}
                                   for b, e, v in (("32", "5", 30.5), ("32", "10", 33.5), ("64", "5", 31.5), ("64", "10", 36.5))))
    write("early/study.json", json.dumps(bars))
    write("early/rows.jsonl", "")
    write("kind/study.json", json.dumps({**bars, "figure": {"kind": "pie"}}))
    write("kind/rows.jsonl", "")
    write("axes/study.json", json.dumps({**bars, "axes": []}))
    write("axes/rows.jsonl", "")
    write("cells/study.json", json.dumps(bars))
    write("cells/rows.jsonl", '{"status": "done"}\n')
    write("cut/study.json", '{"format": "ringclr')
    write("nothing/readme", "")
    # Runs.
    record = json.dumps({"options": {"epochs": {"value": 4, "origin": "flag"}, "views": {"value": strange, "origin": strange}}, "machine": {"processor": strange}})
    good = {"epoch": 1, "step": 4, "loss": 5.25, "contrast_acc": 0.125, "lr": 0.5}
    for name in ("empty", "torn", "wrong", "strange", "record"):
        write(f"{name}/run.json", record if name != "record" else "{}")
    write("empty/metrics.jsonl", "")
    write("torn/metrics.jsonl", lines([good, good]) + json.dumps(good)[:30])
    write("wrong/metrics.jsonl", lines([good]) + "[1, 2]\n" + lines([good]))
    write("record/metrics.jsonl", lines([good]))
    write("strange/metrics.jsonl", lines([{**good, strange: 7.5, "entropy": 4.125}, {**good, "epoch": 2, "loss": 4.75, strange: 8.5, "entropy": 4.0625}]))


class Parser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.stack, self.text, self.tags, self.outside, self.pictures, self.classes = [], [], Counter(), [], [], Counter()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and not value.startswith("data:"):
                self.outside.append((tag, name, value))
            if tag == "image" and name == "href":
                self.pictures.append(value)
            if name == "class":
                self.classes.update(value.split())
            assert not name.startswith("on"), (tag, name)
        if tag not in ("meta", "link", "br", "img"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "link", "br", "img"):
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.stack and self.stack[-1] == tag, (tag, self.stack)
        self.stack.pop()

    def handle_data(self, data):
        self.text.append(data)


def parse(name):
    with open(f"{folder}/{name}", encoding="utf-8") as file:
        source = file.read()
    parser = Parser()
    parser.feed(source)
    parser.close()
    assert not parser.stack, parser.stack
    assert not parser.outside and "http" not in source and "url(" not in source, parser.outside
    assert parser.tags["script"] == parser.tags["img"] == 0
    assert not re.search(r"[^a-z](nan|inf)[^a-z]", re.sub(r"base64,[^\"]*", "", source))
    parser.all = "\n".join(parser.text)
    return parser


def has(parser, *words):
    for word in words:
        assert word in parser.text or word in parser.all, word


def png_size(uri):
    data = base64.b64decode(uri.split(",", 1)[1], validate=True)
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND"
    assert struct.unpack(">I", data[29:33])[0] == zlib.crc32(data[12:29])
    return struct.unpack(">II", data[16:24])


def metrics(name):
    with open(f"{folder}/{name}/metrics.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def one():
    page, rows = parse("one.html"), metrics("run")
    scores = [row for row in rows if "knn" in row][-1]
    has(page, f"{rows[-1]['loss']:.4f}", f"{100 * rows[-1]['contrast_acc']:.2f}", f"{scores['knn']:.2f}", f"{scores['linear']:.2f}")
    has(page, "Loss", "Contrastive accuracy, %", "kNN, %", "Linear probe, %", "Learning rate", "Images/s", "Sample views", "Nearest neighbours",
        "Map of the features", "Confusion of kNN", "--temperature", "processor")
    # Each point of a curve can be read off: every epoch's loss.
    for row in rows:
        assert f"run, {row['epoch']}: {row['loss']:.6g}" in page.all, row
    # Two sample rows of an image and its two views; three queries with six neighbours.
    assert len(page.pictures) == 2 * 3 + 3 * 7, len(page.pictures)
    assert all(png_size(uri) == (16, 16) for uri in page.pictures)
    assert page.classes["right"] + page.classes["wrong"] == 3 * 6


def confusion():
    """The confusion's share of hits is that of kNN with the same bank, and its rows add up to the classes' images."""
    page = parse("all.html")
    said = re.search(r"200 neighbours|(\d+) neighbours of (\d+) training images vote for each of (\d+) test images: ([\d.]+)% right, and ([\d.]+)% by", page.all)
    assert said.group(2) == "150" and said.group(3) == "60", said.group(0)
    knn = metrics("run")[-1]["knn"]
    assert abs(float(said.group(4)) - knn) < 0.01, (said.group(4), knn)
    with open(f"{folder}/floor.json", encoding="utf-8") as file:
        assert abs(float(said.group(5)) - json.load(file)["accuracy"]) < 0.01, said.group(5)
    cells = [int(n) for n in re.findall(r": (\d+) images$", "\n".join(page.text), re.M)]
    classes = int(len(cells) ** 0.5)
    assert classes ** 2 == len(cells) and sum(cells) == 60
    right = sum(cells[i * classes + i] for i in range(classes))
    assert abs(100 * right / 60 - knn) < 0.01
    # The map has a mark for each test image.
    points = page.tags["circle"]
    assert points >= 60, points


def two():
    page = parse("two.html")
    has(page, "Options that differ", "--temperature", "--epochs", "other", "run", "0.1", "0.5")
    assert "--momentum" in page.all.split("Options and machine")[1] and "--momentum" not in page.all.split("Options and machine")[0]
    for name in ("run", "other"):
        for row in metrics(name):
            assert f"{name}, {row['epoch']}: {row['loss']:.6g}" in page.all, row
    assert len(page.pictures) == 0


def unusual():
    page = parse("strange.html")
    has(page, strange, "8.5", "4.7500", "4.0625", "12.50", "2 of 4", "Left out: run.json names no training images; name some with --data SHARD.")


def missing():
    page = parse("missing.html")
    has(page, "Left out: ", "no/such.ring")
    assert len(page.pictures) == 6 * 3


def heat():
    page = parse("heat.html")
    has(page, strange, "Figure 5, ImageNet top-1, %", "The paper's numbers", "31 runs done, 1 failed")
    # Means over the two seeds, the spread, and the one seed that is left of the failed cell.
    has(page, f"colour, cutout: {20 + 20 + 1 + 0.375:.1f} ({41.25:.1f} to {41.5:.1f})", "crop, cutout: 21.2", f"crop, crop: {0.5:.1f}", "41.375 (41.25 to 41.5)")
    assert f"Highest linear, %: {20 + 33 + 0.375:.2f}" in page.all, page.all[:600]
    # Ranks as the paper's: all rise with 10 i + k.
    has(page, "over the 16 cells that both have: 1.00")
    assert page.tags["svg"] == 3 and page.tags["rect"] == 3 * 16
    assert page.all.count("failed") >= 2


def drawn():
    page = parse("lines.html")
    has(page, "norm l2, 0.05: 22.5 (21.5 to 23.5)", "norm none, 0.5: 62.125 (61.125 to 63.125)", "norm l2, 0.1: 64.4", "norm none, 10: 57.2")
    assert page.classes["band"] == 2 and page.tags["svg"] == 2
    has(page, "over the 3 cells that both have: 0.50")


def barred():
    page = parse("bars.html")
    has(page, "batch 32, 5: 30.5", "batch 64, 10: 36.5", "batch 8192, 100: 64.8", "(the axis starts at 50)")
    assert page.tags["rect"] == 4 + 2


def early():
    has(parse("early.html"), "There are no results yet.", "0 runs done, 0 failed")


globals()[sys.argv[2]]()
PYTHON

look() {
	python3 "$dir/look.py" "$dir" "$1"
}

page() {
	name=$1
	shift
	report "$@" -o "$dir/$name.html" --quiet && [ -s "$dir/$name.html" ]
}

refused() {
	code=$1
	pattern=$2
	shift 2
	fails "$code" "$pattern" "$ringclr" report "$@" -o "$dir/refused.html" && [ ! -e "$dir/refused.html" ]
}

# Same inputs, same bytes, for any number of threads. (Features do not depend on it either.)
same_page() {
	page threads "$dir/run" --samples 2 --queries 3 --threads 3 --loader-threads 2 && cmp "$dir/threads.html" "$dir/one.html"
}

one_page() {
	page one "$dir/run" --samples 2 --queries 3 --threads 1 && look one
}

ok "synth, pack, train twice, sweeps by hand" prepare
ok "one run: its numbers, its pictures" one_page
ok "threads change no byte of the page" same_page
ok "the confusion is that of kNN" page all "$dir/run" --no-quiet
"$ringclr" eval "$dir/run" --encoder random --train "$dir/train.ring" --test "$dir/test.ring" --json >"$dir/floor.json"
ok "... and its rows add up" look confusion
ok "two runs in the same charts" page two "$dir/run" "$dir/other" --no-pictures
ok "... with what differs" look two
ok "strange names and fields are escaped and shown" page strange "$dir/strange"
ok "... as they are" look unusual
ok "test images that are gone: a line says so" page missing "$dir/run" --test no/such.ring
ok "... and the rest is there" look missing
ok "a heat map" page heat "$dir/heat"
ok "... of means, with the spread, beside the paper's" look heat
ok "lines" page lines "$dir/lines"
ok "... with bands, on the paper's axis too" look drawn
ok "bars" page bars "$dir/bars"
ok "... beside the paper's other values" look barred
ok "a sweep that has no results yet" page early "$dir/early"
ok "... says so" look early
ok "a title" page titled "$dir/bars" --title "My <title>"
ok "... is escaped" grep -q "<title>My &lt;title&gt;</title>" "$dir/titled.html"

ok "no run: named" refused 2 "nothing: neither a run (no run.json in it) nor a sweep" "$dir/nothing"
ok "no such folder: named" refused 2 "no/such/folder: neither a run" no/such/folder
ok "an empty metrics.jsonl: named" refused 1 "empty/metrics.jsonl: is empty: no epoch has ended yet" "$dir/empty"
ok "a torn line: by number" refused 1 "torn/metrics.jsonl:3: not a JSON object (the line is not whole)" "$dir/torn"
ok "a line that is no object: by number" refused 1 "wrong/metrics.jsonl:2: not a JSON object;" "$dir/wrong"
ok "run.json without options" refused 1 "record/run.json: not a run's record" "$dir/record"
ok "study.json that is cut" refused 1 "cut/study.json: does not hold one JSON object" "$dir/cut"
ok "an unknown figure" refused 1 "kind/study.json: figure.kind is \"pie\"" "$dir/kind"
ok "a study without axes" refused 1 "axes/study.json: has no axes" "$dir/axes"
ok "a row without a cell" refused 1 "cells/rows.jsonl:1: has no \"cell\"" "$dir/cells"
ok "a sweep with a run" refused 2 "heat: is a sweep, which has a page of its own" "$dir/run" "$dir/heat"
ok "nine runs" refused 2 "only 8 RUN" "$dir/run" "$dir/run" "$dir/run" "$dir/run" "$dir/run" "$dir/run" "$dir/run" "$dir/run" "$dir/run"
ok "a page that cannot be written" fails 1 "no/such/page.html" "$ringclr" report "$dir/run" -o no/such/page.html
if [ -n "$chromium" ]; then
	ok "a run's page opens in a browser without an error" in_browser "$dir/all.html" 11
	ok "a sweep's does" in_browser "$dir/heat.html" 3
else
	skip "the pages open in a browser" "chromium is not installed"
fi
tap_end
