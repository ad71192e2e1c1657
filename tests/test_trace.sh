#!/bin/sh
# train --trace: a file that trace viewers read, in which every thread has a track, slices nest, and the optimizer works while backward
# goes on; a table of where the time went; the same weights as without. Prints TAP.
set -u

command -v python3 >/dev/null 2>&1 || { echo "1..0 # SKIP python3, which reads the trace, is not installed"; exit 0; }
# shellcheck source=tests/helper_tap.sh
. tests/helper_tap.sh

# A run of 2 epochs of 4 steps, wide enough that backward takes a while.
train() {
	run=$1
	shift
	"$ringclr" train "$dir/train.ring" -o "$run" --size 16 --width 0.25 --batch 32 --epochs 2 --warmup-epochs 1 --head-dim 16 \
		--threads 2 --loader-threads 2 --quiet "$@"
}

prepare() {
	"$ringclr" synth "$dir/images" --train 130 --test 20 --size 16 &&
		"$ringclr" pack "$dir/images" --root train -o "$dir/train.ring" &&
		"$ringclr" pack "$dir/images" --root test -o "$dir/test.ring" &&
		train "$dir/plain" && train "$dir/traced" --trace "$dir/trace.json" 2>"$dir/table"
}

cat >"$dir/look.py" <<'PYTHON'
import json
import sys
from collections import Counter, defaultdict

STEPS, BATCH = 8, 32
with open(sys.argv[1], encoding="utf-8") as file:
    trace = json.load(file)
events = trace["traceEvents"]
names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
tracks = defaultdict(list)
for e in events:
    if e["ph"] == "X":
        # Nanoseconds: the file has three decimals of a microsecond.
        start = round(e["ts"] * 1000)
        tracks[e["tid"]].append((start, start + round(e["dur"] * 1000), e["cat"], e["name"], e.get("args", {}).get("sequence")))
for track in tracks.values():
    track.sort(key=lambda s: (s[0], -s[1]))


def of(thread, category, name=None):
    return [s for tid, t in tracks.items() if names[tid] == thread for s in t if s[2] == category and (name is None or s[3] == name)]


def parses():
    assert trace["otherData"]["dropped"] == 0
    assert all(s[1] >= s[0] >= 0 for t in tracks.values() for s in t)


def threads():
    wanted = {"read", "unpack", "decode-0", "decode-1", "forward_backward", "optimize", "report", "team-1"}
    assert wanted == set(names.values()), sorted(names.values())
    assert set(names) == set(tracks), "tracks without slices"
    assert len(names) == len(wanted), "two tracks of one name"


def nest():
    for tid, track in tracks.items():
        stack = []
        for s in track:
            while stack and stack[-1][1] <= s[0]:
                stack.pop()
            assert not stack or s[1] <= stack[-1][1], (names[tid], stack[-1], s)
            stack.append(s)


def items():
    """Every item of every stage once, by stage and number."""
    seen = Counter(s[3] for t in tracks.values() for s in t if s[2] == "stage")
    for stage, number in [("forward_backward", STEPS), ("decode", STEPS * BATCH), ("augment", STEPS * BATCH), ("copy", STEPS * BATCH),
                          ("report", STEPS + 2)]:
        for i in range(number):
            assert seen.pop(f"{stage} {i}", 0) == 1, f"{stage} {i}"
    assert {n.split()[0] for n in seen} == {"read", "unpack"}, seen


def layers():
    forward = Counter((s[3], s[4]) for s in of("forward_backward", "forward convolution"))
    weight = Counter((s[3], s[4]) for s in of("forward_backward", "weight gradient"))
    data = Counter((s[3], s[4]) for s in of("forward_backward", "data gradient"))
    # 20 convolutions and two dense layers; the images' gradient nobody wants.
    assert len(forward) == 22 * STEPS and forward == weight, (len(forward), len(weight))
    assert {k for k in forward if k not in data} == {("conv1.weight", i) for i in range(STEPS)}
    assert ("layer4.1.conv2.weight", STEPS - 1) in forward
    for category, number in [("join", 9), ("pool", 2), ("loss", 1)]:
        assert len(of("forward_backward", category)) == number * STEPS, category
    steps = {s[4]: s for s in of("forward_backward", "stage")}
    for category in ("forward convolution", "data gradient", "weight gradient", "loss"):
        for s in of("forward_backward", category):
            assert steps[s[4]][0] <= s[0] and s[1] <= steps[s[4]][1], s


def waits():
    rings = {s[3] for t in tracks.values() for s in t if s[2] == "wait"}
    assert {"gradient ring", "report ring"} <= rings, rings


def overlap():
    backward = {s[4]: s for s in of("forward_backward", "pass", "backward")}
    assert sorted(backward) == list(range(STEPS))
    updates = of("optimize", "optimizer")
    assert len(updates) % STEPS == 0 and len(updates) > 60 * STEPS
    inside = 0
    for start, end, _, name, step in updates:
        assert start > backward[step][0], "an update before its gradient"
        assert step + 1 == STEPS or end < backward[step + 1][0], "an update after the next step's forward began"
        inside += end <= backward[step][1]
    print(f"{inside} of {len(updates)} updates lie inside the backward of their step")
    assert inside > len(updates) / 2


globals()[sys.argv[2]]()
PYTHON

look() {
	python3 "$dir/look.py" "$dir/trace.json" "$1"
}

same_weights() {
	cmp "$dir/plain/checkpoint.safetensors" "$dir/traced/checkpoint.safetensors" && cmp "$dir/plain/metrics.jsonl" "$dir/traced/metrics.jsonl"
}

# The shares sum up to the whole.
table() {
	cat "$dir/table"
	grep -q "^optimizer: .* a step, [0-9.]*% of it during backward$" "$dir/table" &&
		grep -q "^  forward convolution " "$dir/table" && grep -q "^  weight gradient " "$dir/table" &&
		awk '/^  [a-z]/ { sum += $NF } END { exit !(sum > 99 && sum < 101) }' "$dir/table"
}

# An evaluation's threads have tracks too, and the steps' table leaves its time out.
evaluated() {
	train "$dir/evaluated" --test "$dir/test.ring" --eval-every 1 --trace "$dir/evaluated.json" 2>"$dir/table" &&
		python3 "$dir/look.py" "$dir/evaluated.json" nest && python3 "$dir/look.py" "$dir/evaluated.json" parses && table
}

# Where the trace cannot be written, that is said before the run begins, and no run is left.
unwritable() {
	train "$dir/unwritable" --trace "$dir/no/such/folder/trace.json" 2>"$dir/stderr"
	code=$?
	cat "$dir/stderr"
	[ $code -eq 1 ] && grep -q "no/such/folder/trace.json" "$dir/stderr" && [ ! -e "$dir/unwritable" ]
}

ok "synth, pack, train with and without a trace" prepare
ok "the trace is JSON and whole" look parses
ok "every thread has a track by its name" look threads
ok "slices nest" look nest
ok "every item of every stage is there once" look items
ok "every layer's passes are there, inside their step" look layers
ok "waiting on rings is there" look waits
ok "the optimizer works while backward goes on" look overlap
ok "a trace changes no result" same_weights
ok "a table says where the time went" table
ok "evaluations are traced too" evaluated
ok "a trace that cannot be written is named before the run" unwritable
tap_end
