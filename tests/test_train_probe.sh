#!/bin/sh
# The online probe of `ringclr train --probe`: it leaves the encoder alone, is the same for any threads, goes on after a stop, does
# without images that have no label, and is refused where there are no classes at all. Prints TAP.
set -u

# shellcheck source=tests/helper_tap.sh
. tests/helper_tap.sh

# A run of 3 epochs of 5 steps.
train() {
	run=$1
	shift
	${replace_shell:-} "$ringclr" train "$dir/train.ring" -o "$run" --size 16 --width 0.125 --batch 32 --epochs 3 --warmup-epochs 1 --head-dim 16 \
		--quiet "$@"
}

prepare() {
	"$ringclr" synth "$dir/images" --train 170 --test 30 --size 16 &&
		"$ringclr" pack "$dir/images" --root train -o "$dir/train.ring" &&
		"$ringclr" pack "$dir/images" --root test -o "$dir/test.ring" &&
		train "$dir/plain" && train "$dir/probed" --probe --threads 1 --loader-threads 1
}

# without_probe METRICS: its lines less the probe's field, which each of them has.
without_probe() {
	[ "$(grep -c '"probe": [0-9.]*' "$1")" -eq 3 ] && sed 's/, "probe": [0-9.]*//' "$1"
}

# Same numbers, and the same tensors but for the probe's own.
encoder_untouched() {
	without_probe "$dir/probed/metrics.jsonl" >"$dir/rest" && cmp "$dir/rest" "$dir/plain/metrics.jsonl" || return 1
	! grep -q probe "$dir/plain/metrics.jsonl" || return 1
	/usr/bin/env python3 - "$dir/plain/checkpoint.safetensors" "$dir/probed/checkpoint.safetensors" <<'PYTHON'
import json
import struct
import sys


def tensors(name):
    with open(name, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__")
    return {key: data[slice(*entry["data_offsets"])] for key, entry in header.items()}


plain, probed = map(tensors, sys.argv[1:])
own = {key: probed.pop(key) for key in list(probed) if key.startswith("probe.")}
assert sorted(own) == ["probe.bias", "probe.momentum", "probe.weight"], sorted(own)
assert all(any(value) for value in own.values()), "the probe has learned nothing"
assert plain.keys() == probed.keys(), plain.keys() ^ probed.keys()
different = [key for key in plain if plain[key] != probed[key]]
assert not different, different
PYTHON
}

same() {
	cmp "$dir/probed/checkpoint.safetensors" "$1/checkpoint.safetensors" && cmp "$dir/probed/metrics.jsonl" "$1/metrics.jsonl"
}

threads() {
	train "$dir/threads" --probe --threads 3 --loader-threads 2 --io pread && same "$dir/threads"
}

# Killed within an epoch, whose accuracy so far is in the checkpoint.
resumed() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		stopped KILL "$dir/killed" train "$dir/killed" --probe --checkpoint-every 1 || return 1
		within=$(grep -ca '"step":"\([1-46-9]\|1[1-4]\)"' "$dir/killed/checkpoint.safetensors")
		[ "$within" -eq 0 ] || break
	done
	[ "$within" -gt 0 ] || { echo "no run was killed within an epoch"; return 1; }
	fails 1 probe train "$dir/killed" --resume --no-probe || return 1
	train "$dir/killed" --resume && same "$dir/killed"
}

in_result() {
	train "$dir/json" --probe --json >"$dir/object" && wanted=$(tail -n 1 "$dir/json/metrics.jsonl" | sed 's/.*"probe": \([0-9]*\.[0-9][0-9]\).*/\1/') &&
		grep -q "\"probe\":$wanted" "$dir/object"
}

progress() {
	"$ringclr" train "$dir/train.ring" -o "$dir/loud" --size 16 --width 0.125 --batch 32 --epochs 1 --warmup-epochs 0 --head-dim 16 --probe 2>"$dir/lines" || return 1
	cat "$dir/lines"
	grep -q '^epoch 1 .*  probe [0-9.]*%' "$dir/lines"
}

# Images beside the folders of the classes have no label. An epoch is one batch of 68 images, 34 of them with one: two views of
# each are judged, so the share of right answers is a whole number of 68ths.
some_unlabelled() {
	mkdir -p "$dir/mixed" && cp -r "$dir/images/train/disc" "$dir/images/train/star" "$dir/mixed" || return 1
	for class in ring cross; do
		for file in "$dir/images/train/$class"/*; do cp "$file" "$dir/mixed/$class-${file##*/}"; done
	done
	"$ringclr" pack "$dir/mixed" -o "$dir/mixed.ring" || return 1
	"$ringclr" inspect "$dir/mixed.ring" | grep '^classes'
	"$ringclr" inspect "$dir/mixed.ring" | grep -q '^classes  *2, 34 records without' || return 1
	"$ringclr" train "$dir/mixed.ring" -o "$dir/mixed-run" --size 16 --width 0.125 --batch 68 --epochs 2 --warmup-epochs 0 --head-dim 16 --quiet --probe || return 1
	cat "$dir/mixed-run/metrics.jsonl"
	sed 's/.*"probe": \([0-9.]*\).*/\1/' "$dir/mixed-run/metrics.jsonl" |
		awk '{ hits = $1 * 68 / 100; if (hits - int(hits + 0.5) > 1e-4 || int(hits + 0.5) - hits > 1e-4) exit 1 }'
}

no_classes() {
	mkdir "$dir/flat" && cp "$dir"/images/train/disc/* "$dir/flat" && "$ringclr" pack "$dir/flat" -o "$dir/flat.ring" || return 1
	fails 1 'no classes' "$ringclr" train "$dir/flat.ring" -o "$dir/none" --size 16 --width 0.125 --batch 8 --epochs 1 --probe &&
		"$ringclr" train "$dir/flat.ring" -o "$dir/without" --size 16 --width 0.125 --batch 8 --epochs 1 --warmup-epochs 0 --quiet
}

ok "runs with a probe and without" prepare
ok "the encoder's weights and the other metrics are the same bits" encoder_untouched
ok "the same for any threads and read engine" threads
ok "killed and resumed: the same bytes; not resumed without the probe" resumed
ok "--json has its accuracy" in_result
ok "the epoch's line shows it" progress
ok "images without a label are left out" some_unlabelled
ok "a set without classes is refused, and trains without --probe" no_classes
tap_end
