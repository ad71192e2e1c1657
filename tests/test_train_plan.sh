#!/bin/sh
# What a training run settles before it starts: the precision and the choice of convolution, which the record holds and
# --resume and the checkpoint keep; the plan that --dry-run prints; the limit of --mem. Prints TAP.
set -u

# shellcheck source=tests/helper_tap.sh
. tests/helper_tap.sh

# A run of 2 epochs of 2 steps.
train() {
	run=$1
	shift
	"$ringclr" train "$dir/train.ring" -o "$run" --size 16 --width 0.125 --batch 32 --epochs 2 --warmup-epochs 1 --head-dim 16 \
		--quiet "$@"
}

prepare() {
	"$ringclr" synth "$dir/images" --train 70 --test 10 --size 16 &&
		"$ringclr" pack "$dir/images" --root train -o "$dir/train.ring" &&
		"$ringclr" pack "$dir/images" --root test -o "$dir/test.ring"
}

# recorded RUN OPTION VALUE: run.json holds it.
recorded() {
	tr -d '\n\t' <"$1/run.json" | grep -q "\"$2\": *{\"value\": *\"$3\"" || {
		echo "run.json does not say $2 = $3"
		return 1
	}
}

defaults() {
	train "$dir/default" && recorded "$dir/default" precision fp32 && recorded "$dir/default" conv auto
}

# Which word the kernels in force make of auto.
auto_precision() {
	train "$dir/portable" --isa portable --precision auto && recorded "$dir/portable" precision fp32 || return 1
	wanted=fp32
	grep -q avx512_bf16 /proc/cpuinfo && wanted=bf16
	train "$dir/auto" --precision auto && recorded "$dir/auto" precision $wanted &&
		train "$dir/auto" --precision auto --resume
}

# bytes FILE WORD: the checkpoint's metadata holds it.
in_checkpoint() {
	head -c 4096 "$1/checkpoint.safetensors" | tr -d '\0' | grep -aq "\"$2\": *\"$3\""
}

kept_in_checkpoint() {
	train "$dir/bf16" --precision bf16 --conv direct && in_checkpoint "$dir/bf16" precision bf16 &&
		in_checkpoint "$dir/bf16" conv direct
}

evaluated() {
	for precision in file fp32 bf16 auto; do
		"$ringclr" eval "$dir/bf16" --train "$dir/train.ring" --test "$dir/test.ring" --precision $precision --conv winograd || return 1
	done
	"$ringclr" embed "$dir/bf16" "$dir/test.ring" -o "$dir/h.npy" --precision fp32
}

# number NAME: the first number of that name in the plan's JSON.
number() {
	sed 's/.*"'"$1"'":\([-0-9.e+]*\).*/\1/' "$dir/plan"
}

planned() {
	train "$dir/none" --dry-run --json "$@" >"$dir/plan" || return 1
	cat "$dir/plan"
	[ ! -e "$dir/none" ] || { echo "the run's folder was made"; return 1; }
}

# Counted here by hand, from the layers' shapes: forward, data gradient (but the stem's) and weight gradient.
work() {
	planned || return 1
	awk -v view="$(number flops_per_view)" -v step="$(number flops_per_step)" -v epoch="$(number flops_per_epoch)" \
		-v steps="$(number steps_per_epoch)" 'BEGIN {
		stem = 256 * 9 * 3 * 8
		sum = stem + 4 * 256 * 9 * 8 * 8
		for (c = 8; c < 64; c *= 2) {
			pixels = 256 / (c / 4) ^ 2
			sum += pixels * (9 * c * 2 * c + 3 * 9 * 2 * c * 2 * c + c * 2 * c)
		}
		sum += 64 * 64 + 64 * 16
		wanted = 2 * (3 * sum - stem)
		print "wanted", wanted, "a view, got", view
		exit !(view == wanted && step == 64 * view && steps == 2 && epoch == 2 * step)
	}'
}

sums_up() {
	planned && sed 's/.*"class_bytes":{\([^}]*\)}.*/\1/' "$dir/plan" | tr ',' '\n' |
		awk -F: -v total="$(number total_bytes)" '{ sum += $2 } END { print sum, total; exit !(sum == total && sum > 0) }'
}

# A run may use what the plan says, and not a byte less.
# With the default cache the plan holds what was left over for it, so a run gets on with less.
exact() {
	planned --cache none || return 1
	total=$(number total_bytes)
	train "$dir/exact" --cache none --mem "$total" && train "$dir/less" --mem "$total" &&
		fails 1 "over the limit" train "$dir/short" --mem "$((total - 1))"
}

# The message says which buffers, how much they need, what the limit is, and what helps.
over_limit() {
	fails 1 "activations and their gradients needs [0-9]* MiB beyond the [0-9]* MiB drawn so far, over the limit of 2 MiB" train "$dir/small" --mem 2M &&
		grep -q "lower --batch.*--precision bf16" "$dir/stderr"
}

# The plan is printed whole all the same.
plan_over_limit() {
	train "$dir/none" --dry-run --mem 2M >"$dir/stdout" 2>"$dir/stderr"
	code=$?
	cat "$dir/stdout" "$dir/stderr"
	[ $code -eq 1 ] && grep -q "^  report ring " "$dir/stdout" && grep -q "of --mem's 2;" "$dir/stdout" &&
		grep -q "needs [0-9]* MiB, over the limit of 2 MiB: lower --batch.*--precision bf16" "$dir/stderr"
}

predicted() {
	planned && awk -v rate="$(number views_per_s)" -v step="$(number step_s)" -v run="$(number run_s)" 'BEGIN {
		exit !(step > 0 && rate * step > 63.9 && rate * step < 64.1 && run > 3.9 * step && run < 4.1 * step)
	}' && grep -q '"from":"2 steps of the whole batch' "$dir/plan"
}

# Words, and no folder is needed.
in_words() {
	"$ringclr" train "$dir/train.ring" --dry-run --size 16 --width 0.125 --batch 32 >"$dir/stdout" || return 1
	cat "$dir/stdout"
	grep -q "predicted from 2 steps of the whole batch" "$dir/stdout" && grep -q "^  views/s " "$dir/stdout" &&
		grep -q "^  parameters  *[0-9]*$" "$dir/stdout"
}

# On a run that is there nothing changes, and only the steps to go count.
plan_to_resume() {
	train "$dir/half" && find "$dir/half" -type f -exec cksum {} + >"$dir/before" &&
		train "$dir/half" --dry-run --resume --json >"$dir/plan" || return 1
	find "$dir/half" -type f -exec cksum {} + | cmp - "$dir/before" &&
		[ "$(number first_step)" -eq 4 ]
}

ok "synth, pack" prepare
ok "fp32 and auto are the defaults and are recorded" defaults
ok "auto precision is settled by the kernels, and recorded as it was settled" auto_precision
ok "the checkpoint says its precision and convolutions" kept_in_checkpoint
ok "resuming in another precision is refused" fails 1 "--precision is fp32 now, but was bf16" train "$dir/bf16" --resume --precision fp32
ok "resuming with other convolutions is refused" fails 1 "--conv is winograd now, but was direct" train "$dir/bf16" --resume --conv winograd
ok "resuming without a word keeps both" train "$dir/bf16" --resume
ok "an unknown precision is a usage error" fails 2 "fp32|bf16|auto" train "$dir/typo" --precision half
ok "eval and embed take a precision" evaluated
ok "--dry-run counts the operations" work
ok "--dry-run: the classes of buffers sum up to the total" sums_up
ok "the plan's total is what a run needs, to the byte" exact
ok "over --mem: the message names buffers, need, limit and ways out" over_limit
ok "--dry-run over --mem prints the whole plan and fails" plan_over_limit
ok "--dry-run predicts from timed steps" predicted
ok "--dry-run in words, without a folder" in_words
ok "--dry-run --resume changes nothing" plan_to_resume
ok "a run needs a folder" fails 2 "--output RUN is needed" "$ringclr" train "$dir/train.ring"
tap_end
