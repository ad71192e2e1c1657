#!/bin/sh
# What a training run settles before it starts: the precision and the choice of convolution, which the record holds and
# --resume and the checkpoint keep. Prints TAP.
set -u

ringclr=${RINGCLR:-./ringclr}
dir=$(mktemp -d "${TMPDIR:-/tmp}/ringclr-plan.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
count=0
failures=0

# ok DESCRIPTION COMMAND...: one test; the command's output is shown when it fails.
ok() {
	description=$1
	shift
	count=$((count + 1))
	if "$@" >"$dir/output" 2>&1; then
		echo "ok $count - $description"
	else
		failures=$((failures + 1))
		echo "not ok $count - $description"
		sed 's/^/# /' "$dir/output"
	fi
}

# fails CODE PATTERN COMMAND...: the command exits with CODE and says PATTERN on stderr, and nothing on stdout.
fails() {
	wanted=$1
	pattern=$2
	shift 2
	"$@" >"$dir/stdout" 2>"$dir/stderr"
	got=$?
	cat "$dir/stderr"
	[ "$got" -eq "$wanted" ] || { echo "exit $got, wanted $wanted"; return 1; }
	grep -q -- "$pattern" "$dir/stderr" || { echo "no '$pattern' in the message"; return 1; }
	[ ! -s "$dir/stdout" ] || { echo "something on stdout"; return 1; }
}

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

ok "synth, pack" prepare
ok "fp32 and auto are the defaults and are recorded" defaults
ok "auto precision is settled by the kernels, and recorded as it was settled" auto_precision
ok "the checkpoint says its precision and convolutions" kept_in_checkpoint
ok "resuming in another precision is refused" fails 1 "--precision is fp32 now, but was bf16" train "$dir/bf16" --resume --precision fp32
ok "resuming with other convolutions is refused" fails 1 "--conv is winograd now, but was direct" train "$dir/bf16" --resume --conv winograd
ok "resuming without a word keeps both" train "$dir/bf16" --resume
ok "an unknown precision is a usage error" fails 2 "fp32|bf16|auto" train "$dir/typo" --precision half
ok "eval and embed take a precision" evaluated
echo "1..$count"
[ "$failures" -eq 0 ]
