#!/bin/sh
# The command line of training and evaluation, on a small generated data set: the same bytes for any threads and engine, after
# kill -9 and after Ctrl-C; refusals; the floors. Prints TAP.
set -u

# shellcheck source=tests/helper_tap.sh
. tests/helper_tap.sh

# A run of 4 epochs of 5 steps, small enough for the sanitizers. In the background with replace_shell=exec, so that $! is ringclr.
train() {
	run=$1
	shift
	# A shell starts background commands with SIGINT ignored; Ctrl-C is to be tested.
	${replace_shell:-} env --default-signal=INT "$ringclr" train "$dir/train.ring" -o "$run" --size 16 --width 0.125 --batch 32 --epochs 4 --warmup-epochs 1 --head-dim 16 \
		--test "$dir/test.ring" --eval-every 2 --quiet "$@"
}

same() {
	cmp "$dir/reference/checkpoint.safetensors" "$1/checkpoint.safetensors" &&
		cmp "$dir/reference/metrics.jsonl" "$1/metrics.jsonl"
}

same_as_reference() {
	run=$dir/run-$count
	train "$run" "$@" && same "$run"
}

prepare() {
	"$ringclr" synth "$dir/images" --train 170 --test 60 --size 16 &&
		"$ringclr" pack "$dir/images" --root train -o "$dir/train.ring" &&
		"$ringclr" pack "$dir/images" --root test -o "$dir/test.ring" &&
		train "$dir/reference" --threads 1 --loader-threads 1 --io pread
}

four_lines() {
	[ "$(wc -l <"$dir/reference/metrics.jsonl")" -eq 4 ] &&
		[ "$(grep -c '"knn"' "$dir/reference/metrics.jsonl")" -eq 2 ] &&
		[ "$(wc -l <"$dir/reference/timings.jsonl")" -eq 4 ]
}

# Kills the run again and again, a little later each time, until one ends by itself.
killed_and_resumed() {
	run=$dir/killed
	delay=1
	while [ "$delay" -lt 60 ]; do
		replace_shell="exec" train "$run" --resume --checkpoint-every 2 --threads 2 --loader-threads 2 &
		pid=$!
		sleep "$(echo "$delay" | awk '{ printf "%.2f", $1 / 20 }')"
		if kill -9 "$pid" 2>/dev/null; then
			wait "$pid" 2>/dev/null
			echo "killed after $delay/20 s"
		else
			break
		fi
		delay=$((delay * 5 / 4 + 1))
	done
	wait "$pid" 2>/dev/null
	train "$run" --resume --checkpoint-every 2 && same "$run"
}

interrupted_and_resumed() {
	run=$dir/interrupted
	stopped INT "$run" train "$run" --checkpoint-every 1 || return 1
	[ "$code" -eq 130 ] || { echo "exit $code, wanted 130"; return 1; }
	train "$run" --resume && same "$run"
}

# A checkpoint that cannot be written (here: over a limit on file sizes) leaves the last good one.
full_disk() {
	run=$dir/full
	stopped KILL "$run" train "$run" --checkpoint-every 1 || return 1
	cp "$run/checkpoint.safetensors" "$dir/kept"
	(
		trap '' XFSZ
		ulimit -f 8
		fails 1 checkpoint.safetensors train "$run" --resume --checkpoint-every 1
	) || return 1
	cmp "$dir/kept" "$run/checkpoint.safetensors" && train "$run" --resume && same "$run"
}

unwritable() {
	touch "$dir/file"
	fails 1 "$dir/file" train "$dir/file"
	fails 1 "no/such/folder" train "$dir/no/such/folder/run"
}

one_object() {
	train "$dir/json" --epochs 1 --json >"$dir/object" 2>/dev/null &&
		[ "$(wc -l <"$dir/object")" -eq 1 ] && grep -q '^{.*"loss":.*"knn":.*}$' "$dir/object"
}

evaluate() {
	"$ringclr" eval --train "$dir/train.ring" --test "$dir/test.ring" --json "$@" >"$dir/result" || return 1
	cat "$dir/result"
	grep -q '^{.*"accuracy":[0-9.e+]*,"top5":.*"n":60.*}$' "$dir/result"
}

# The last line of metrics.jsonl and a fresh evaluation are about the same weights.
evaluation_agrees() {
	"$ringclr" eval "$dir/reference" --train "$dir/train.ring" --test "$dir/test.ring" --json --method knn >"$dir/result" || return 1
	in_eval=$(sed 's/.*"accuracy":\([0-9.]*\).*/\1/' "$dir/result")
	in_train=$(tail -n 1 "$dir/reference/metrics.jsonl" | sed 's/.*"knn": \([0-9.]*\).*/\1/')
	echo "eval $in_eval, train $in_train"
	awk -v a="$in_eval" -v b="$in_train" 'BEGIN { exit !(a - b < 1e-4 && b - a < 1e-4) }'
}

unlabelled() {
	mkdir -p "$dir/flat" && cp "$dir"/images/train/disc/*.png "$dir/flat/" &&
		"$ringclr" pack "$dir/flat" -o "$dir/flat.ring" || return 1
	fails 1 "no classes" "$ringclr" eval "$dir/reference" --train "$dir/flat.ring" --test "$dir/test.ring"
}

embedded() {
	"$ringclr" embed "$dir/reference" "$dir/test.ring" -o "$dir/h.npy" --labels "$dir/y.npy" &&
		[ "$(wc -c <"$dir/h.npy")" -eq $((128 + 60 * 64 * 4)) ] && [ "$(wc -c <"$dir/y.npy")" -eq $((128 + 60 * 4)) ] &&
		head -c 6 "$dir/h.npy" | tail -c 5 | grep -q NUMPY
}

profiled() {
	"$ringclr" profile "$dir/train.ring" --size 16 --batch 32 --seconds 0.5 --json >"$dir/result" 2>/dev/null || return 1
	cat "$dir/result"
	grep -q '^{"images_per_s":[0-9.]*,.*"bottleneck":"\(read\|unpack\|copy\|decode\|augment\)".*}$' "$dir/result"
}

embed() {
	"$ringclr" embed "$dir/reference" "$dir/test.ring" -o "$dir/$1" --views "$2" --seed "${3:-1}" --loader-threads "${4:-1}"
}

# One view where one is encoded; as many as are wanted where they are thrown away.
other_views() {
	embed v1.npy center && cmp "$dir/v1.npy" "$dir/h.npy" && embed v2.npy "crop flip" 1 3 && embed v3.npy "crop flip" &&
		embed v4.npy "crop flip" 2 && cmp "$dir/v2.npy" "$dir/v3.npy" || return 1
	! cmp -s "$dir/v3.npy" "$dir/v4.npy" && ! cmp -s "$dir/v3.npy" "$dir/v1.npy" || return 1
	fails 2 "makes 2 views of an image, and this command takes one" embed v5.npy "2x crop" &&
		evaluate "$dir/reference" --method linear --solver sgd --epochs 1 --batch 64 --views "crop gray@1" &&
		fails 2 "no operation called 'flap'" "$ringclr" profile "$dir/train.ring" --views "crop flap" &&
		"$ringclr" profile "$dir/train.ring" --size 16 --batch 32 --seconds 0.1 --views "simclr | 2x crop blur | center" |
		grep -q "(4 views each)"
}

# What the same data seen through other photos' eyes would give: the same classes, other images.
other_data() {
	"$ringclr" synth "$dir/other" --train 170 --test 10 --size 16 --seed 2 &&
		"$ringclr" pack "$dir/other" --root train -o "$dir/other.ring" || return 1
	fails 1 "other data" "$ringclr" train "$dir/other.ring" -o "$dir/reference" --resume
}

# A run with policies of its own, stopped after two of its epochs' checkpoints and resumed without naming them.
with_views() {
	views="simclr cutout(0.25) noise(0.05) | crop flip rotate90 solarize@0.5 sobel@0.2"
	train "$dir/views" --views "$views" --loader-threads 1 && train "$dir/views-3" --views "$views" --loader-threads 3 --threads 1 &&
		cmp "$dir/views/checkpoint.safetensors" "$dir/views-3/checkpoint.safetensors" || return 1
	grep -A 1 '"views"' "$dir/views/run.json" | grep -qF "$views" || { echo "not in run.json"; return 1; }
	! cmp -s "$dir/views/checkpoint.safetensors" "$dir/reference/checkpoint.safetensors" || { echo "the same as without"; return 1; }
	stopped KILL "$dir/views-3" train "$dir/views-3" --views "$views" --checkpoint-every 1 || return 1
	fails 1 "--views is simclr now" train "$dir/views-3" --resume --views simclr &&
		train "$dir/views-3" --resume &&
		cmp "$dir/views/checkpoint.safetensors" "$dir/views-3/checkpoint.safetensors"
}

# What the recipe comes to at 16 pixels, written out.
views_written_out() {
	same_as_reference --views "2x crop(0.08,1) flip@0.5 color(0.4,0.1)@0.8 gray@0.2"
}

wrong_views() {
	fails 2 "no operation called 'flop' (did you mean 'flip'?)" train "$dir/none" --views "crop flop" &&
		fails 2 "makes 3 views of an image, and this command takes exactly two" train "$dir/none" --views "3x simclr" &&
		fails 2 "makes 1 view of an image" train "$dir/none" --views "1x simclr" && [ ! -e "$dir/none" ]
}

ok "synth, pack and train" prepare
ok "metrics and timings have a line an epoch" four_lines
ok "loader threads 2 give the same bytes" same_as_reference --loader-threads 2
ok "loader threads 5 give the same bytes" same_as_reference --loader-threads 5 --depth 3
ok "compute threads 2 and 3 give the same bytes" same_as_reference --threads 3 --pin none
if "$ringclr" profile "$dir/train.ring" --size 16 --batch 32 --seconds 0.1 --io uring >/dev/null 2>&1; then
	ok "io_uring gives the same bytes as pread" same_as_reference --io uring --depth 7
	ok "O_DIRECT gives the same bytes" same_as_reference --io uring --direct
else
	count=$((count + 1))
	echo "ok $count - io_uring gives the same bytes as pread # SKIP the kernel refuses io_uring here"
fi
ok "killed with -9 at many points and resumed: the same bytes" killed_and_resumed
ok "Ctrl-C saves, exits 130, and resumes to the same bytes" interrupted_and_resumed
ok "a run that is there is not overwritten" fails 2 "--resume" train "$dir/reference"
ok "a finished run resumes to itself" train "$dir/reference" --resume
ok "... and keeps its lines" four_lines
ok "resuming on other data is refused" other_data
ok "--views: any threads, recorded, resumed; another is refused" with_views
ok "--views with the recipe written out gives the same bytes" views_written_out
ok "--views: a mistake is told, and nothing made" wrong_views
ok "resuming with another model is refused" fails 1 width train "$dir/reference" --resume --width 0.25
ok "a batch larger than the data is refused" fails 1 "--batch 500" train "$dir/large" --batch 500
ok "a loss that is no number stops the run" fails 1 "finite" train "$dir/nan" --optimizer sgd --lr 1000 --lr-scaling constant --weight-decay 1
ok "an unknown option is a usage error" fails 2 "temperature" train "$dir/typo" --temprature 1
ok "a nonsense value is a usage error" fails 2 "width" train "$dir/typo" --width -1
ok "a missing shard is named" fails 1 "missing.ring" "$ringclr" train "$dir/missing.ring" -o "$dir/none"
ok "a run's folder that cannot be made is named" unwritable
ok "a checkpoint that cannot be written leaves the last good one" full_disk
ok "--json prints one object" one_object
ok "eval: kNN" evaluate "$dir/reference" --method knn
ok "eval: linear by L-BFGS" evaluate "$dir/reference" --method linear
ok "eval: linear by SGD on crops and flips" evaluate "$dir/reference" --method linear --solver sgd --epochs 2 --batch 64
ok "eval: random encoder" evaluate --encoder random --size 16 --width 0.125
ok "eval: pixels" evaluate --encoder pixels --size 16
ok "eval of the last checkpoint agrees with training's own" evaluation_agrees
ok "eval without labels is refused" unlabelled
ok "eval without an encoder is a usage error" fails 2 "encoder" "$ringclr" eval --train "$dir/train.ring" --test "$dir/test.ring"
ok "embed writes features and labels" embedded
ok "profile names a bottleneck" profiled
ok "--views of embed, eval and profile" other_views
tap_end
