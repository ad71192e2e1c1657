#!/bin/sh
# Supervised training and fine-tuning on the command line: the same bytes for any threads and engine, after kill -9, and for
# each head; what it reports; what it takes over from a run; refusals. The arithmetic is held against PyTorch by
# tests/test_torch_supervised.py. Prints TAP.
# $small is words.
# shellcheck disable=SC2086
set -u

# shellcheck source=tests/helper_tap.sh
. tests/helper_tap.sh

# With replace_shell=exec in the background, so that $! is ringclr. 4 epochs of 5 steps; 12 pixels, so that tiles do not come out even.
small="--size 12 --width 0.125 --batch 32 --epochs 4 --quiet"

train() {
	run=$1
	shift
	${replace_shell:-} "$ringclr" train "$dir/train.ring" -o "$run" --loss cross-entropy $small --warmup-epochs 1 --test "$dir/test.ring" --eval-every 2 "$@"
}

finetune() {
	run=$1
	shift
	"$ringclr" finetune "$dir/start" --train "$dir/train.ring" -o "$run" --batch 16 --quiet "$@"
}

prepare() {
	"$ringclr" synth "$dir/images" --train 170 --test 60 --size 16 &&
		"$ringclr" pack "$dir/images" --root train -o "$dir/train.ring" &&
		"$ringclr" pack "$dir/images" --root test -o "$dir/test.ring" &&
		train "$dir/reference" --threads 1 --loader-threads 1 --io pread &&
		"$ringclr" train "$dir/train.ring" -o "$dir/start" $small --epochs 1 --head-dim 16 --seed 5
}

same() {
	cmp "$1/checkpoint.safetensors" "$2/checkpoint.safetensors" && cmp "$1/metrics.jsonl" "$2/metrics.jsonl"
}

threads() {
	for threads in 2 3 8; do
		train "$dir/threads-$threads" --threads $threads --loader-threads $threads --pin none && same "$dir/reference" "$dir/threads-$threads" || return 1
	done
}

killed_and_resumed() {
	stopped KILL "$dir/killed" train "$dir/killed" --checkpoint-every 1 && train "$dir/killed" --resume && same "$dir/reference" "$dir/killed"
}

fields() {
	cat "$dir/reference/metrics.jsonl"
	[ "$(grep -c '"accuracy": [0-9.e+-]*, "lr"' "$dir/reference/metrics.jsonl")" -eq 4 ] &&
		[ "$(grep -c '"knn": [0-9.]*, "top1": [0-9.]*}' "$dir/reference/metrics.jsonl")" -eq 2 ] || return 1
	! grep -q 'contrast_acc\|linear' "$dir/reference/metrics.jsonl" || return 1
	train "$dir/json" --epochs 1 --json >"$dir/object" && grep -q '"accuracy":.*"knn":.*"top1":' "$dir/object" && ! grep -q contrast_acc "$dir/object"
}

# Far above the tenth that chance gives, on the images trained on as they are.
learns() {
	train "$dir/learned" --views center --width 0.25 --size 16 --epochs 12 --lr 0.1 --lr-scaling constant || return 1
	tail -n 1 "$dir/learned/metrics.jsonl"
	tail -n 1 "$dir/learned/metrics.jsonl" | sed 's/.*"accuracy": \([0-9.]*\).*/\1/' | awk '{ exit !($1 > 60) }'
}

# agree RUN SHARD OPTION...: eval with the shard as kNN's bank finds what the run's last line says.
agree() {
	agree_run=$1
	agree_bank=$2
	shift 2
	"$ringclr" eval "$agree_run" --train "$agree_bank" --test "$dir/test.ring" --json --method knn "$@" >"$dir/result" || return 1
	in_eval=$(sed 's/.*"accuracy":\([0-9.]*\).*/\1/' "$dir/result")
	in_train=$(tail -n 1 "$agree_run/metrics.jsonl" | sed 's/.*"knn": \([0-9.]*\).*/\1/')
	echo "eval $in_eval, train $in_train"
	awk -v a="$in_eval" -v b="$in_train" 'BEGIN { exit !(a - b < 1e-4 && b - a < 1e-4) }'
}

evaluated() {
	agree "$dir/reference" "$dir/train.ring"
}

# The neighbours are the labelled images alone, which are those that pack draws.
subset_bank() {
	"$ringclr" pack "$dir/images" --root train --label-fraction 0.3 -o "$dir/part.ring" &&
		finetune "$dir/bank" --label-fraction 0.3 --epochs 2 --test "$dir/test.ring" --knn-k 5 && agree "$dir/bank" "$dir/part.ring" --knn-k 5 &&
		! agree "$dir/bank" "$dir/train.ring" --knn-k 5
}

shown() {
	train "$dir/shown" --epochs 1 --report "$dir/report.html" --trace "$dir/trace.json" 2>/dev/null &&
		grep -q "cross-entropy, over steps" "$dir/report.html" && grep -q "training accuracy" "$dir/report.html" && grep -q "top-1" "$dir/report.html" &&
		! grep -q "NT-Xent\|ontrastive" "$dir/report.html" && grep -q '"cross-entropy"' "$dir/trace.json" || return 1
	"$ringclr" train "$dir/train.ring" --dry-run --loss cross-entropy $small --json >"$dir/plan" || return 1
	cat "$dir/plan"
	view=$(sed 's/.*"flops_per_view":\([0-9]*\).*/\1/' "$dir/plan")
	step=$(sed 's/.*"flops_per_step":\([0-9]*\).*/\1/' "$dir/plan")
	[ "$step" -eq $((32 * view)) ]
}

# recorded RUN OPTION VALUE: run.json holds it.
recorded() {
	tr -d '\n\t' <"$1/run.json" | grep -q "\"$2\": *{\"value\": *\"\{0,1\}$3[\",]" || {
		echo "run.json does not say $2 = $3"
		return 1
	}
}

defaults() {
	recorded "$dir/reference" optimizer sgd && recorded "$dir/reference" lr 0.1 && recorded "$dir/reference" views crop-flip &&
		recorded "$dir/reference" weight-decay 0.0001 && recorded "$dir/start" optimizer lars && recorded "$dir/start" views simclr &&
		train "$dir/given" --epochs 1 --optimizer lars --lr 0.3 && recorded "$dir/given" optimizer lars && recorded "$dir/given" lr 0.3
}

# The protocol, by itself; model and size from the run.
presets() {
	finetune "$dir/tenth" --label-fraction 0.3 && recorded "$dir/tenth" epochs 30 && recorded "$dir/tenth" lr 0.05 &&
		recorded "$dir/tenth" weight-decay 0 && recorded "$dir/tenth" warmup-epochs 0 && recorded "$dir/tenth" loss cross-entropy &&
		recorded "$dir/tenth" optimizer sgd && recorded "$dir/tenth" width 0.125 && recorded "$dir/tenth" size 12 && recorded "$dir/tenth" stem cifar &&
		finetune "$dir/large" --size 40 --epochs 1 && recorded "$dir/large" lr 0.05 && recorded "$dir/large" weight-decay 0 &&
		recorded "$dir/large" size 40 && finetune "$dir/hundredth" --label-fraction 0.06 --batch 10 && recorded "$dir/hundredth" epochs 60 &&
		[ "$(wc -l <"$dir/tenth/metrics.jsonl")" -eq 30 ] && [ "$(wc -l <"$dir/hundredth/metrics.jsonl")" -eq 60 ] || return 1
	# 17 images of each class by 0.3 of 170: 51, so 3 steps of 16.
	grep -q '"step": 90,' "$dir/tenth/metrics.jsonl"
}

# finetune is train with other defaults; every part of the run goes on from where it was.
as_train() {
	"$ringclr" train "$dir/train.ring" -o "$dir/by-train" --init "$dir/start/checkpoint.safetensors" --loss cross-entropy --label-fraction 0.3 \
		--optimizer sgd --lr 0.05 --weight-decay 0 --warmup-epochs 0 --epochs 30 --batch 16 --quiet && same "$dir/tenth" "$dir/by-train"
}

resumed() {
	# The same start under another name.
	"$ringclr" finetune "$dir/./start" --train "$dir/train.ring" -o "$dir/tenth" --batch 16 --quiet --resume &&
		finetune "$dir/tenth" --resume --label-fraction 0.3 && fails 1 "--label-fraction is 0.2.* now, but was" finetune "$dir/tenth" --resume --label-fraction 0.2 &&
		fails 1 "began from" "$ringclr" finetune "$dir/reference" --train "$dir/train.ring" -o "$dir/tenth" --resume
}

# What a run takes from weights that normalise their input, it keeps.
normalised() {
	"$ringclr" train "$dir/train.ring" -o "$dir/imagenet" $small --epochs 1 --head-dim 16 --input imagenet || return 1
	for run in once twice; do
		set -- "$ringclr" finetune "$dir/imagenet" --train "$dir/train.ring" -o "$dir/$run" --batch 16 --epochs 8 --quiet
		if [ $run = once ]; then
			"$@" || return 1
		else
			stopped KILL "$dir/twice" "$@" --checkpoint-every 1 && "$@" --resume && same "$dir/once" "$dir/twice" || return 1
		fi
	done
	grep -aq '"input_mean":"0.485' "$dir/twice/checkpoint.safetensors"
}

# The test images may have moved; they may not be others.
moved_test() {
	cp -r "$dir/reference" "$dir/moved" && cp "$dir/test.ring" "$dir/elsewhere.ring" && train "$dir/moved" --resume --test "$dir/elsewhere.ring" &&
		fails 1 "holds other images than when this run began" train "$dir/moved" --resume --test "$dir/train.ring" &&
		fails 1 "began without --test" "$ringclr" train "$dir/train.ring" -o "$dir/start" $small --epochs 1 --head-dim 16 --seed 5 --resume --test "$dir/test.ring"
}

# The subset and the start matter, and the seed of the draw.
different() {
	finetune "$dir/other" --label-fraction 0.3 --epochs 2 --split-seed 3 && finetune "$dir/one" --label-fraction 0.3 --epochs 2 &&
		! cmp -s "$dir/other/checkpoint.safetensors" "$dir/one/checkpoint.safetensors"
}

# Batches of an odd number of images.
heads() {
	for threads in 1 3; do
		finetune "$dir/hidden-$threads" --init-from head1 --epochs 2 --batch 33 --threads $threads --test "$dir/test.ring" --precision bf16 || return 1
	done
	same "$dir/hidden-1" "$dir/hidden-3" && grep -aq '"head.0.weight"' "$dir/hidden-1/checkpoint.safetensors" &&
		! grep -aq '"head.3.weight"' "$dir/hidden-1/checkpoint.safetensors" && grep -aq '"fc.bias"' "$dir/hidden-1/checkpoint.safetensors" &&
		"$ringclr" eval "$dir/hidden-1" --train "$dir/train.ring" --test "$dir/test.ring" >/dev/null || return 1
	# From a classifier on a hidden layer to another one, and to a contrastive loss.
	"$ringclr" finetune "$dir/hidden-1" --train "$dir/train.ring" -o "$dir/again" --init-from head1 --epochs 1 --batch 33 --quiet &&
		"$ringclr" train "$dir/train.ring" -o "$dir/contrastive" --init "$dir/hidden-1" --batch 32 --epochs 1 --quiet &&
		recorded "$dir/contrastive" width 0.125
}

unlabelled() {
	mkdir -p "$dir/flat" && cp "$dir"/images/train/disc/*.png "$dir/flat/" && "$ringclr" pack "$dir/flat" -o "$dir/flat.ring" || return 1
	fails 1 "flat.ring: the images have no classes" "$ringclr" train "$dir/flat.ring" -o "$dir/none" --loss cross-entropy --quiet --batch 4 || return 1
	cp -r "$dir/images/train" "$dir/some" && cp "$dir/images/train/disc/"*0.png "$dir/some/" && "$ringclr" pack "$dir/some" -o "$dir/some.ring" || return 1
	fails 1 "some.ring: image '.*png' has no label" "$ringclr" train "$dir/some.ring" -o "$dir/none" --loss cross-entropy --quiet --batch 4 &&
		"$ringclr" train "$dir/some.ring" -o "$dir/labelled" --loss cross-entropy $small --epochs 1 --label-fraction 0.9 || return 1
	# Of the test images too, and before the first step.
	fails 1 "some.ring: image '.*png' has no label, which evaluation needs" "$ringclr" train "$dir/train.ring" -o "$dir/late" $small --test "$dir/some.ring" &&
		[ ! -e "$dir/late/checkpoint.safetensors" ]
}

refused() {
	fails 2 "makes 2 views" train "$dir/refused" --views "2x crop" && fails 2 "must be one of nt-xent" train "$dir/refused" --loss hinge &&
		fails 2 "finetune trains a classifier" finetune "$dir/refused" --loss nt-xent &&
		fails 2 "label-fraction" "$ringclr" train "$dir/train.ring" -o "$dir/refused" --label-fraction 0.5 &&
		fails 2 "init-from" train "$dir/refused" --init-from head1 && fails 2 "already" finetune "$dir/refused" --init "$dir/start" &&
		fails 1 "holds weights of --width 0.125, not 0.25: leave the option out" finetune "$dir/refused" --width 0.25 &&
		fails 1 "holds weights of --model resnet18, not resnet50" finetune "$dir/refused" --model resnet50 &&
		fails 1 "holds weights of --stem cifar, not imagenet" finetune "$dir/refused" --stem imagenet &&
		fails 1 "no hidden layer" "$ringclr" finetune "$dir/reference" --train "$dir/train.ring" -o "$dir/refused" --init-from head1 --quiet &&
		fails 1 "missing.safetensors" "$ringclr" finetune "$dir/missing.safetensors" --train "$dir/train.ring" -o "$dir/refused" --quiet &&
		fails 2 "train SHARD is needed" "$ringclr" finetune "$dir/start" -o "$dir/refused" && [ ! -e "$dir/refused" ]
}

# The file says one depth, a tensor is another's.
tensor_named() {
	sed 's/"layer4.1.conv2.weight"/"layer4.1.conv9.weight"/' "$dir/start/checkpoint.safetensors" >"$dir/spoiled.safetensors"
	fails 1 "tensor 'layer4.1.conv2.weight' is missing" "$ringclr" finetune "$dir/spoiled.safetensors" --train "$dir/train.ring" -o "$dir/spoiled" --batch 16 --quiet
}

other_size() {
	finetune "$dir/larger" --size 20 --epochs 1 && recorded "$dir/larger" size 20
}

ok "synth, pack, train" prepare
ok "2, 3 and 8 threads give the same bytes" threads
ok "killed with -9 and resumed: the same bytes" killed_and_resumed
ok "metrics and --json have accuracy and top1, and nothing contrastive" fields
ok "eval of the run agrees with training's own" evaluated
ok "the kNN of --label-fraction knows the labelled images alone" subset_bank
ok "it learns" learns
ok "--report, --trace and --dry-run speak of cross-entropy" shown
ok "the supervised defaults, and options that are given" defaults
ok "finetune: the protocol's presets" presets
ok "finetune is train with other defaults: the same bytes" as_train
ok "a finished run resumes to itself; not with another start or fraction" resumed
ok "killed and resumed: input that --init's weights normalise" normalised
ok "--resume knows test images that have moved" moved_test
ok "--split-seed draws other images" different
ok "--init-from head1: any threads, bf16, again and on to NT-Xent" heads
ok "another size than the run's" other_size
ok "images without a label are named, or left out by the draw" unlabelled
ok "what makes no sense is refused" refused
ok "a tensor that does not fit is named" tensor_named
tap_end
