#!/bin/sh
# ringclr synth and folders: what it writes, writes again, finishes, and refuses to touch.
set -u
ringclr=$(realpath "${RINGCLR:-./ringclr}")
folder=$(mktemp -d "${TMPDIR:-/tmp}/ringclr-test-synth.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1

number=0
failures=0
# result NAME: ok when the command before it succeeded; report holds what the program said.
result() {
	status=$?
	number=$((number + 1))
	if [ $status -eq 0 ]; then
		echo "ok $number - $1"
	else
		failures=$((failures + 1))
		echo "not ok $number - $1"
		sed 's/^/# /' report
	fi
}

# synth EXIT ARGUMENT...
synth() {
	expected=$1
	shift
	"$ringclr" synth "$@" >report 2>&1
	[ $? -eq "$expected" ]
}

# One line that depends on every name and every byte of the images below a folder.
digest() { (cd "$1" && find . -name "*.png" | sort | xargs cat && find . -name "*.png" | sort) | cksum; }

echo 1..20

synth 0 a/b --train 200 --test 50 --threads 2
result "writes a data set, with the folder's parents"

[ "$(find a/b/train -name '*.png' | wc -l)" -eq 200 ] && [ "$(find a/b/test -name '*.png' | wc -l)" -eq 50 ]
result "as many images as asked for"

for split in train:20 test:5; do
	for class in disc ring square triangle star cross crescent stripes zigzag dots; do
		[ "$(find "a/b/${split%:*}/$class" -name '*.png' | wc -l)" -eq "${split#*:}" ] || echo "$split $class"
	done
done >report
[ ! -s report ]
result "every class has its share"

# The first bytes of a PNG: signature, then IHDR with width and height.
head -c 24 a/b/test/star/00004.png | od -An -tx1 | tr -d ' \n' >report
[ "$(cat report)" = 89504e470d0a1a0a0000000d494844520000002000000020 ]
result "images are PNG files of 32x32 pixels"

"$ringclr" pack a/b --root train -o train.ring >report 2>&1 &&
	"$ringclr" preview train.ring -o sheet.png --rows 200 >report 2>&1
result "every training image decodes"

synth 0 again --train 200 --test 50 --threads 1 && [ "$(digest a/b/train)" = "$(digest again/train)" ] &&
	[ "$(digest a/b/test)" = "$(digest again/test)" ]
result "same options, same bytes, for one thread and two"

synth 0 fewer --train 40 --test 0 && cmp fewer/train/ring/00003.png a/b/train/ring/00003.png >>report
result "an image does not depend on how many there are"

synth 0 other --train 200 --test 50 --seed 2 && ! cmp -s other/train/ring/00003.png a/b/train/ring/00003.png
result "another seed, other bytes"

! cmp -s a/b/train/ring/00003.png a/b/test/ring/00003.png
result "test images are not the training images"

synth 0 large --train 10 --test 0 --size 96 &&
	[ "$(head -c 24 large/train/dots/00000.png | tail -c 8 | od -An -tx1 | tr -d ' \n')" = 0000006000000060 ]
result "--size"

touch -d 2000-01-01 again/train/ring/00000.png
synth 0 again --train 200 --test 50 && grep -q 'already complete' report &&
	[ -n "$(find again/train/ring/00000.png -not -newermt 2001-01-01)" ]
result "a complete data set is left as it is"

synth 1 again --train 200 --test 50 --seed 3 && grep -q 'made with other options.*--seed' report
result "other options for a folder that holds a data set are refused"

before=$(digest again)
sed -i 's/"complete":.*true/"complete": false/' again/.synth.json
rm again/train/star/00002.png
printf 'cut' >again/test/disc/00001.png
synth 0 again --train 200 --test 50 && [ "$(digest again)" = "$before" ]
result "an unfinished data set is finished to the same bytes"

mkdir full
echo precious >full/file
synth 2 full && grep -q 'not empty' report && [ "$(ls -A full)" = file ]
result "a folder with other files is refused and left alone"

echo '{' >full/.synth.json
synth 1 full --train 10 && grep -q 'damaged' report && [ ! -e full/train ]
result "a damaged marker is refused"

sed 's/"version":.*1/"version": 99/' again/.synth.json >full/.synth.json
synth 1 full --train 10 && grep -q 'version 99' report
result "a data set of another generator's version is refused"

synth 1 full/file && grep -q 'full/file' report
result "a file where the folder should be"

synth 2 && synth 2 x --train 0 && synth 2 x --size 8 && synth 2 x y && synth 2 x --sed 4 && [ ! -e x ]
result "wrong usage is exit code 2 and makes nothing"

synth 0 j --train 20 --test 10 --seed 18446744073709551615 --json && [ "$(wc -l <report)" -eq 1 ] &&
	grep -q '"train":20,"test":10,"size":32,"seed":18446744073709551615,' report
result "--json"

# A disk that fills up: a small tmpfs where the kernel and the user's rights allow one.
if unshare -rm sh -c 'mkdir small && mount -t tmpfs -o size=256k tmpfs small' 2>/dev/null; then
	rmdir small 2>/dev/null
	# shellcheck disable=SC2016 # expands in the inner shell
	unshare -rm sh -c 'mkdir -p small && mount -t tmpfs -o size=256k tmpfs small || exit 9
		"$1" synth small/d --train 600 && exit 8
		grep -q "\"complete\":.*false" small/d/.synth.json || exit 7' sh "$ringclr" >report 2>&1 &&
		grep -q 'cannot write small/d/train/.*png: No space left' report
	result "a full disk is an error, and the data set stays marked as unfinished"
else
	number=$((number + 1))
	echo "ok $number - a full disk # SKIP no right to mount a small tmpfs here"
fi

exit $((failures > 0))
