#!/bin/sh
# The main job from end to end on generated data: images, shards, training, evaluation. About five minutes on two cores.
#
#   tools/demo.sh [FOLDER]     FOLDER (default: demo) is made anew each time
set -eu

folder=${1:-demo}
ringclr=${RINGCLR:-./ringclr}
epochs=${DEMO_EPOCHS:-18}
start=$(date +%s)

say() { printf '\n== %s\n' "$1" >&2; }

# Prints the number behind "accuracy" of an evaluation's JSON object.
accuracy() {
	"$ringclr" eval "$@" --train "$folder/train.ring" --test "$folder/test.ring" --json |
		sed -n 's/.*"accuracy":\([-0-9.e+]*\).*/\1/p'
}

row() {
	knn=$(accuracy "$folder/run" --encoder "$1" --method knn)
	linear=$(accuracy "$folder/run" --encoder "$1" --method linear)
	printf '%-16s %7.1f %8.1f\n' "$2" "$knn" "$linear"
}

rm -rf "$folder"
mkdir -p "$folder"

say "1. images: ten classes that neither colour nor raw pixels give away"
"$ringclr" synth "$folder/images"
say "2. shards"
"$ringclr" pack "$folder/images" --root train -o "$folder/train.ring"
"$ringclr" pack "$folder/images" --root test -o "$folder/test.ring"
"$ringclr" preview "$folder/train.ring" -o "$folder/views.png"
say "3. training: ResNet-18 at a quarter of its width, $epochs epochs"
"$ringclr" train "$folder/train.ring" -o "$folder/run" --width 0.25 --epochs "$epochs" --warmup-epochs 2 \
	--test "$folder/test.ring"
say "4. evaluation: test accuracy in percent (chance: 10)"
printf '%-16s %7s %8s\n' encoder kNN linear
row pixels "raw pixels"
row random "random encoder"
row trained "trained encoder"

cat <<END

views the encoder was trained on   $folder/views.png
what happened, epoch by epoch      $folder/run/metrics.jsonl
weights                            $folder/run/checkpoint.safetensors
took                               $(($(date +%s) - start)) s
END
