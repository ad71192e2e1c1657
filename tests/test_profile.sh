#!/bin/sh
# profile: what --json holds and how it adds up, --target's exit code, --trace, --report in a browser, --check-predictions, and that
# --autotune changes no byte. Prints TAP.
set -u

command -v python3 >/dev/null 2>&1 || { echo "1..0 # SKIP python3, which reads the results, is not installed"; exit 0; }
# shellcheck source=tests/helper_tap.sh
. tests/helper_tap.sh
# shellcheck source=tests/helper_browser.sh
. tests/helper_browser.sh

profile() {
	"$ringclr" profile "$dir/train.ring" --size 16 --batch 32 --seconds 0.3 "$@"
}

# A key that HTML and JSON must escape; made of a picture that lies first among them.
strange='<img src=x onerror="1">&'"'"'.png'
prepare() {
	"$ringclr" synth "$dir/images" --train 130 --test 20 --size 16 || return 1
	mkdir -p "$dir/images/train/disc" && cp "$(find "$dir/images/train" -name '*.png' | sort | head -n 1)" "$dir/images/train/disc/$strange" &&
		"$ringclr" pack "$dir/images" --root train -o "$dir/train.ring" &&
		profile --cache none --json --images 960 --seconds 20 --loader-threads 2 --trace "$dir/trace.json" --report "$dir/report.html" \
			--target 1 >"$dir/result.json"
}

cat >"$dir/look.py" <<'PYTHON'
import json
import re
import sys
from collections import Counter, defaultdict
from html.parser import HTMLParser

folder = sys.argv[1]
strange = sys.argv[3]


def load(name):
    with open(f"{folder}/{name}", encoding="utf-8") as file:
        return json.load(file)


def near(a, b):
    assert abs(a - b) <= 1e-6 * max(abs(a), abs(b)), (a, b)


def schema():
    result = load("result.json")
    assert [s["name"] for s in result["stages"]] == ["read", "unpack", "copy", "decode", "augment"]
    assert result["bottleneck"] in [s["name"] for s in result["stages"]]
    assert result["images"] >= 960 and result["images"] % 32 == 0
    near(result["images_per_s"], result["images"] / result["seconds"])
    assert result["keeps_up"] is True
    near(result["headroom"], result["images_per_s"] - 1)
    assert 0 < result["overhead"] < 1
    assert [r["name"] for r in result["rings"]] == ["block ring", "sample ring", "batch ring"]
    assert result["memory"]["planned_bytes"] >= sum(result["memory"]["class_bytes"].values()) > 0
    assert result["memory"]["most_bytes"] > 1 << 20


def histograms():
    """Percentiles follow from the buckets, which hold every item."""
    result = load("result.json")
    for stage in result["stages"] + [result["reading"]]:
        assert sum(n for _, n in stage["histogram"]) == stage.get("items", sum(n for _, n in stage["histogram"])), stage["name"]
        assert [b for b, _ in stage["histogram"]] == sorted(b for b, _ in stage["histogram"])
        assert stage["p50_ms"] <= stage["p90_ms"] <= stage["p99_ms"] <= stage["max_ms"]
        total, seen = sum(n for _, n in stage["histogram"]), 0
        for start, n in stage["histogram"]:
            seen += n
            if seen >= 0.9 * total:
                assert start <= stage["p90_ms"] + 1e-9 and stage["p90_ms"] <= max(start * 17 / 16, start + 1e-6), stage
                break
    by_name = {s["name"]: s for s in result["stages"]}
    assert by_name["decode"]["items"] >= result["images"]
    assert by_name["copy"]["items"] >= by_name["decode"]["items"] >= by_name["augment"]["items"] >= result["images"]
    assert by_name["decode"]["threads"] == 2 and by_name["decode"]["stage"] == by_name["augment"]["stage"] == "decode"
    # Every read was timed, and the stage that waits for them saw as many.
    assert sum(n for _, n in result["reading"]["histogram"]) == by_name["read"]["items"] >= by_name["unpack"]["items"]
    assert 0 < result["reading"]["mean_depth"] <= result["reading"]["depth"]


def shares():
    for stage in load("result.json")["stages"]:
        parts = [stage["busy"], stage["waiting_upstream"], stage["waiting_downstream"]]
        assert all(0 <= p <= 1 for p in parts) and sum(parts) <= 1 + 1e-9, stage
    stages = {s["name"]: s for s in load("result.json")["stages"]}
    for one, other in (("unpack", "copy"), ("decode", "augment")):
        waits = stages[one]["waiting_upstream"] + stages[one]["waiting_downstream"]
        assert abs(stages[one]["busy"] + stages[other]["busy"] + waits - 1) < 1e-6 or waits > 1


def over_time():
    result = load("result.json")
    points = result["over_time"]
    assert 2 <= len(points["seconds"]) <= 2000
    assert points["seconds"] == sorted(points["seconds"]) and points["images"] == sorted(points["images"])
    assert points["images"][-1] >= result["images"], "the last look comes after the run"
    for ring in result["rings"]:
        full = points["full"][ring["name"]]
        assert len(full) == len(points["seconds"]) and all(0 <= n <= ring["slots"] for n in full)


def slowest():
    slow = load("result.json")["slowest"]
    assert len(slow) == 10 and len({s["key"] for s in slow}) == 10
    times = [s["decode_ms"] + s["augment_ms"] for s in slow]
    assert times == sorted(times, reverse=True)
    stages = {s["name"]: s for s in load("result.json")["stages"]}
    assert all(s["codec"] == "png" and s["width"] == s["height"] == 16 and s["bytes"] > 50 for s in slow)
    assert max(s["augment_ms"] for s in slow) <= stages["augment"]["max_ms"]
    assert max(max(s["augment_ms"] for s in slow) - stages["augment"]["max_ms"],
               max(s["decode_ms"] for s in slow) - stages["decode"]["max_ms"]) <= 0
    assert times[0] >= stages["augment"]["max_ms"], "the slowest augmentation is missing"


def model():
    """The predictions of threads and of decoded images follow from the model in the file."""
    result = load("result.json")
    base = result["model"]

    def rate(**change):
        stages = {name: dict(base[name]) for name in ("read", "unpack", "decode")}
        for name, edit in change.items():
            stages[name].update(edit(stages[name]))
        cpu = sum(s["cpu_s"] for s in stages.values())
        bounds = [s["threads"] / s["cost_s"] for s in stages.values() if s["cost_s"] > 0]
        return min(bounds + [base["processors"] / cpu])

    near(rate(), base["images_per_s"])
    scale = result["images_per_s"] / base["images_per_s"]
    by_what = {p["what"]: p for p in result["predictions"]}
    near(by_what["decode: 3 threads"]["images_per_s"], scale * rate(decode=lambda s: {"threads": 3}))
    near(by_what["unpack: 2 threads"]["images_per_s"], scale * rate(unpack=lambda s: {"threads": 2}))
    nothing = {"cost_s": 0, "cpu_s": 0}
    left = 1 - base["decode_share"]
    decoded = rate(read=lambda s: nothing, unpack=lambda s: nothing,
                   decode=lambda s: {"cost_s": left * s["cost_s"], "cpu_s": left * s["cpu_s"]})
    near(by_what["decoded images kept in memory"]["images_per_s"], scale * decoded)
    assert Counter(p["change"] for p in result["predictions"]) == {"thread": 2, "codec": 3, "size": 2, "decoded": 1}
    assert by_what["views of 8 pixels"]["images_per_s"] > by_what["views of 32 pixels"]["images_per_s"]


def trace():
    events = load("trace.json")["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    # On a busy machine a decode thread may come too late to do anything, and then has no track; a thread of the compute team may start
    # so late that its first look round is in it.
    assert len(set(names.values())) == len(names), names
    known = {n for n in names.values() if not n.startswith("team-")}
    assert known - {"decode-1", "decode-0"} == {"consume", "read", "unpack"} and len(known) > 3, names
    tracks, seen = defaultdict(list), Counter()
    for e in events:
        if e["ph"] == "X":
            tracks[e["tid"]].append((round(e["ts"] * 1000), round((e["ts"] + e["dur"]) * 1000)))
            seen[e["name"]] += e["cat"] == "stage"
            if e["cat"] == "stage":
                assert e["name"].endswith(f" {e['args']['sequence']}"), e
    for i in range(960):
        assert seen[f"copy {i}"] == seen[f"decode {i}"] == seen[f"augment {i}"] == 1, i
    for track in tracks.values():
        end = 0
        for start, stop in sorted(track):
            assert start >= end, "slices of one thread overlap"
            end = stop


class Parser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.stack, self.text, self.tags, self.outside = [], [], Counter(), []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and value != "data:,":
                self.outside.append((tag, name, value))
            assert not name.startswith("on"), (tag, name)
        if tag not in ("meta", "link", "br", "img"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1

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
    assert not parser.stack, parser.stack
    assert not parser.outside and "http" not in source and "url(" not in source, parser.outside
    assert parser.tags["script"] == parser.tags["img"] == 0
    assert not re.search(r"\b(nan|inf)\b", source)
    return parser


def report():
    parser, result = parse("report.html"), load("result.json")
    text = "\n".join(parser.text)
    # Shares, rate, rings, latency, predictions, and the times of five kinds of work.
    assert parser.tags["svg"] == 10, parser.tags
    for word in [s["key"] for s in result["slowest"]] + [p["what"] for p in result["predictions"]] + ["--seconds", "batch ring"]:
        assert word in text, word
    assert f"The loader gives {result['images_per_s']:.1f} images/s" in text
    assert "It keeps up with 1.0 images/s, with a headroom of" in text


def escaped():
    parser = parse("strange.html")
    assert strange in "\n".join(parser.text)


def train():
    parser = parse("train.html")
    text = "\n".join(parser.text)
    assert parser.tags["svg"] == 6 and "Trained to step 8 of 8." in text and "forward_backward" in text


def checked():
    result = load("checked.json")
    for p in result["predictions"]:
        assert ("measured_images_per_s" in p) == (p["change"] != "decoded"), p
        assert p.get("measured_images_per_s", 1) > 0


globals()[sys.argv[2]]()
PYTHON

look() {
	python3 "$dir/look.py" "$dir" "$1" "$strange"
}

too_slow() {
	profile --target 1e9 >"$dir/slow"
	code=$?
	cat "$dir/slow"
	[ $code -eq 3 ] && grep -q "^It does not keep up with 1000000000.0 images/s: it lacks 100.0%.$" "$dir/slow" || return 1
	profile --target 1e9 --json >"$dir/slow"
	[ $? -eq 3 ] && grep -q '"keeps_up":false' "$dir/slow" && "$ringclr" profile --help | tr '\n' ' ' | tr -s ' ' | grep -q "exit code 3"
}

# Of the strange record alone: it is among the slowest.
report_of_strange() {
	mkdir -p "$dir/odd" && cp "$dir/images/train/disc/$strange" "$dir/odd/" && "$ringclr" pack "$dir/odd" -o "$dir/odd.ring" &&
		"$ringclr" profile "$dir/odd.ring" --size 16 --seconds 0.1 --report "$dir/strange.html" && look escaped
}

unwritable() {
	profile --report "$dir/no/such/folder/report.html" >"$dir/stdout" 2>"$dir/stderr"
	code=$?
	cat "$dir/stderr"
	[ $code -eq 1 ] && grep -q "no/such/folder/report.html" "$dir/stderr" && [ ! -s "$dir/stdout" ]
}

train() {
	run=$1
	shift
	"$ringclr" train "$dir/train.ring" -o "$run" --size 16 --width 0.25 --batch 32 --epochs 2 --warmup-epochs 1 --head-dim 16 "$@"
}

same_weights() {
	train "$dir/plain" --quiet && train "$dir/tuned" --autotune --report "$dir/train.html" 2>"$dir/stderr" || return 1
	cat "$dir/stderr"
	grep -q -- "--loader-threads [0-9]* --unpack-threads [0-9]*: .* images/s at most" "$dir/stderr" &&
		cmp "$dir/plain/checkpoint.safetensors" "$dir/tuned/checkpoint.safetensors" &&
		cmp "$dir/plain/metrics.jsonl" "$dir/tuned/metrics.jsonl" &&
		train "$dir/other" --quiet --unpack-threads 3 --batch-slots 7 &&
		cmp "$dir/plain/checkpoint.safetensors" "$dir/other/checkpoint.safetensors"
}

autotuned() {
	profile --autotune >"$dir/tuned.txt" || return 1
	cat "$dir/tuned.txt"
	grep -q "^autotune: an image costs " "$dir/tuned.txt" && grep -q "^  --depth " "$dir/tuned.txt" && grep -q "^  --batch-slots " "$dir/tuned.txt"
}

# What --autotune takes fits under --mem, with all that is drawn beside it.
under_limit() {
	"$ringclr" profile "$dir/train.ring" --size 64 --batch 128 --seconds 0.2 --autotune --mem 40M >"$dir/limited.txt" || return 1
	cat "$dir/limited.txt"
	grep -q "^  cut to what --mem leaves" "$dir/limited.txt" && grep -q "^  --batch-slots 2: " "$dir/limited.txt"
}

# A script that fails is seen: the check above can fail.
sees_errors() {
	echo '<!doctype html><svg class="chart"></svg><script>nothing.there()</script>' >"$dir/bad.html"
	! in_browser "$dir/bad.html" 1 && grep -q "CONSOLE.*nothing is not defined" "$dir/browser.log"
}

picture() {
	browse --hide-scrollbars --window-size=1120,1400 --screenshot="$dir/report.png" "file://$dir/report.html" &&
		[ "$(head -c 4 "$dir/report.png" | tail -c 3)" = PNG ] && [ "$(wc -c <"$dir/report.png")" -gt 20000 ]
}

ok "synth, pack, profile with every output" prepare
ok "the result has its parts" look schema
ok "histograms hold every item, percentiles follow from them" look histograms
ok "a stage's shares make up its time" look shares
ok "rings and images over time" look over_time
ok "the slowest records, slowest first" look slowest
ok "predictions follow from the model" look model
ok "the trace: a track a thread, every item once" look trace
ok "the report is one file, well-formed, and holds the result" look report
ok "keys are escaped in the report" report_of_strange
ok "--target that is not reached: exit code 3" too_slow
ok "two outputs of one name" fails 2 "--trace and --report are the same file" "$ringclr" profile "$dir/some.ring" \
	--trace "$dir/one" --report "$dir/one"
ok "a report that cannot be written is named" unwritable
ok "--autotune says what it chose" autotuned
ok "--autotune keeps to --mem" under_limit
ok "--autotune, threads and slots change no weight" same_weights
ok "train --report is one file, well-formed" look train
ok "--check-predictions measures every change" profile --check-predictions --seconds 0.1 --json --report "$dir/checked.html"
cp "$dir/output" "$dir/checked.json"
ok "what was measured stands beside what was predicted" look checked
if [ -n "$chromium" ]; then
	ok "profile's report opens in a browser without an error" in_browser "$dir/report.html" 10
	ok "train's report opens in a browser without an error" in_browser "$dir/train.html" 6
	ok "an error would be seen" sees_errors
	ok "the browser draws it" picture
else
	skip "the reports open in a browser" "chromium is not installed"
fi
tap_end
