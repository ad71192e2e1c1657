#!/bin/sh
# Weights after 50 steps (10 under a sanitizer) are the same bits for 1, 2, 3 and 8 compute threads, with every precision and choice of
# convolution. Prints TAP.
set -u

# shellcheck source=tests/helper_tap.sh
. tests/helper_tap.sh

# Epochs of 5 steps. A sanitizer is slow, and what it looks for happens at every step.
epochs=10
case ${BUILD:-} in
*-thread* | *-address*) epochs=2 ;;
esac

# 12 pixels: maps of 12, 6, 3 and 2, so that tiles do not come out even.
train() {
	run=$1
	shift
	"$ringclr" train "$dir/train.ring" -o "$run" --size 12 --width 0.125 --batch 16 --epochs $epochs --warmup-epochs 1 --head-dim 16 \
		--loader-threads 1 --pin none --quiet "$@"
}

prepare() {
	"$ringclr" synth "$dir/images" --train 90 --test 1 --size 16 &&
		"$ringclr" pack "$dir/images" --root train -o "$dir/train.ring"
}

# same_bits PRECISION CONV
same_bits() {
	train "$dir/one-$1-$2" --threads 1 --precision "$1" --conv "$2" 2>"$dir/stderr"
	code=$?
	cat "$dir/stderr"
	grep -q "lacks\|unsupported\|not supported" "$dir/stderr" && return 77
	[ $code -eq 0 ] || return 1
	grep -q "\"step\": $((5 * epochs))," "$dir/one-$1-$2/metrics.jsonl" || { echo "not $epochs epochs of 5 steps"; return 1; }
	for threads in 2 3 8; do
		rm -rf "$dir/many"
		train "$dir/many" --threads $threads --precision "$1" --conv "$2" || return 1
		for file in checkpoint.safetensors metrics.jsonl; do
			cmp "$dir/one-$1-$2/$file" "$dir/many/$file" || { echo "$threads threads"; return 1; }
		done
	done
}

# What training learns shows in the weights: they are not those of the first step.
learns() {
	first=$(head -n 1 "$dir/one-fp32-auto/metrics.jsonl" | sed 's/.*"loss": \([0-9.]*\).*/\1/')
	last=$(tail -n 1 "$dir/one-fp32-auto/metrics.jsonl" | sed 's/.*"loss": \([0-9.]*\).*/\1/')
	echo "loss $first, then $last"
	awk -v a="$first" -v b="$last" 'BEGIN { exit !(b < a) }'
}

ok "synth, pack" prepare
for precision in fp32 bf16; do
	for conv in auto direct winograd; do
		ok "$precision, $conv convolutions: the same bits for 1, 2, 3 and 8 threads" same_bits $precision $conv
	done
done
[ "$epochs" -lt 10 ] || ok "the loss falls meanwhile" learns
tap_end
