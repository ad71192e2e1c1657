#!/bin/sh
# Training by each loss: it falls, the metrics are in every place that reports them, combinations that mean nothing are refused, and
# a run from before the metrics is gone on with. Prints TAP.
set -u

# shellcheck source=tests/helper_tap.sh
. tests/helper_tap.sh

# Views that resemble each other, so that a few steps show.
train() {
	run=$1
	shift
	"$ringclr" train "$dir/train.ring" -o "$run" --size 16 --width 0.125 --batch 32 --epochs 6 --warmup-epochs 1 --head-dim 16 \
		--strength 0.1 --area-min 0.5 --optimizer adam --lr-scaling constant --lr 3e-3 --quiet "$@"
}

prepare() {
	"$ringclr" synth "$dir/images" --train 170 --test 20 --size 16 && "$ringclr" pack "$dir/images" --root train -o "$dir/train.ring"
}

# falls SHARE OPTION...: the last epoch's loss is below that share of the first's, and the views have come closer.
falls() {
	share=$1
	shift
	rm -rf "$dir/run"
	train "$dir/run" --json "$@" >"$dir/result" || return 1
	cat "$dir/run/metrics.jsonl"
	python3 - "$dir/run/metrics.jsonl" "$dir/result" "$share" <<'END'
import json
import math
import sys
lines = [json.loads(line) for line in open(sys.argv[1])]
result = json.load(open(sys.argv[2]))
first, last = lines[0], lines[-1]
assert len(lines) == 6, len(lines)
assert last["loss"] < float(sys.argv[3]) * first["loss"], (first["loss"], last["loss"])
assert last["alignment"] < 0.9 * first["alignment"]
for line in lines:
    assert 0 < line["entropy"] <= math.log(63) and 0 <= line["alignment"] <= 4 and -8 <= line["uniformity"] <= 0, line
for name in ("loss", "contrast_acc", "entropy", "alignment", "uniformity"):
    assert math.isclose(result[name], last[name], rel_tol=1e-12), name  # cJSON rounds to 15 digits
END
}

# The epoch's line on stderr.
told() {
	train "$dir/told" --no-quiet 2>"$dir/lines" || return 1
	grep -q '^epoch 6  loss .*  acc .*  entropy [0-9.]*  alignment [0-9.]*  uniformity -[0-9.]*  ' "$dir/lines"
}

# A run that stopped within an epoch, its checkpoint and record as they were before losses and metrics: that epoch's line lacks them, the next ones not.
older_checkpoint() {
	step=0
	for every in 2 3 4 6 7 8 9 2 3 4; do
		stopped INT "$dir/old" env --default-signal=INT "$ringclr" train "$dir/train.ring" -o "$dir/old" --size 16 --width 0.125 --batch 32 \
			--epochs 12 --warmup-epochs 1 --head-dim 16 --quiet --json --checkpoint-every "$every" >"$dir/stopped" 2>/dev/null || return 1
		step=$(sed -n 's/.*"step": *\([0-9]*\).*/\1/p' "$dir/stopped" | tail -n 1)
		[ "${step:-0}" -gt 0 ] && [ "$step" -lt 50 ] && [ $((step % 5)) -ne 0 ] && break
		step=0
	done
	[ "$step" -gt 0 ] || { echo "no run stopped within an epoch"; return 1; }
	python3 - "$dir/old/checkpoint.safetensors" "$dir/old/run.json" <<'END' || return 1
import json
import struct
import sys
data = open(sys.argv[1], "rb").read()
size, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + size])
for name in ("entropy", "alignment", "uniformity"):
    del header["__metadata__"]["epoch_%s_sum" % name]
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + data[8 + size:])
record = json.load(open(sys.argv[2]))
for name in ("loss", "negatives", "normalize", "margin"):
    del record["options"][name]
json.dump(record, open(sys.argv[2], "w"))
END
	"$ringclr" train "$dir/train.ring" -o "$dir/old" --resume --quiet || return 1
	cat "$dir/old/metrics.jsonl"
	python3 - "$dir/old/metrics.jsonl" "$step" <<'END'
import json
import sys
broken = int(sys.argv[2]) // 5 + 1
for line in open(sys.argv[1]):
    line = json.loads(line)
    for name in ("entropy", "alignment", "uniformity"):
        assert (name in line) == (line["epoch"] != broken), line
END
}

ok "a shard" prepare
ok "NT-Xent falls" falls 0.97 --loss nt-xent
ok "NT-Xent of z as it is falls" falls 0.9 --loss nt-xent --no-normalize --temperature 2
ok "NT-Logistic falls" falls 0.97 --loss nt-logistic
ok "NT-Logistic with semi-hard negatives falls" falls 0.98 --loss nt-logistic --negatives semi-hard --margin 1.6
ok "the margin loss falls" falls 0.9 --loss margin
ok "the margin loss with semi-hard negatives falls" falls 0.98 --loss margin --negatives semi-hard --margin 1
ok "the epoch's line says the metrics" told
ok "a run from before the metrics is gone on with" older_checkpoint
ok "semi-hard negatives of NT-Xent are refused" fails 2 "leave it out, or choose" train "$dir/no" --negatives semi-hard
ok "so are those within no margin" fails 2 "give a margin over 0" train "$dir/no" --loss margin --negatives semi-hard --margin 0
ok "and a margin that nothing asks for" fails 2 "leave it out, or choose" train "$dir/no" --loss nt-logistic --margin 0.5
ok "and another loss on resuming" fails 1 "nt-xent when this run began" train "$dir/told" --resume --loss margin
ok "a refusal leaves no folder" test ! -e "$dir/no"
tap_end
