#!/bin/sh
# ringclr preview: sheets of the right size from a small packed set, the views of training, and exit codes.
set -u
ringclr=$(realpath "${RINGCLR:-./ringclr}")
folder=$(mktemp -d "${TMPDIR:-/tmp}/ringclr-test-preview.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1

number=0
failures=0
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

# preview EXIT ARGUMENT...
preview() {
	expected=$1
	shift
	"$ringclr" preview "$@" >report 2>&1
	[ $? -eq "$expected" ]
}

# The size in a PNG's header, as WIDTHxHEIGHT; nothing when it is not a PNG.
png_size() {
	[ "$(head -c 8 "$1" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ] || return 1
	# shellcheck disable=SC2046 # eight numbers
	set -- $(head -c 24 "$1" | tail -c 8 | od -An -tu1)
	echo "$((($1 * 256 + $2) * 65536 + $3 * 256 + $4))x$((($5 * 256 + $6) * 65536 + $7 * 256 + $8))"
}
png_width() { png_size "$1" | sed 's/x.*//'; }
png_height() { png_size "$1" | sed 's/.*x//'; }

echo 1..19

{ "$ringclr" synth set --train 40 --test 0 && "$ringclr" pack set --root train -o set.ring; } >report 2>&1
result "a small shard to show"

preview 0 set.ring -o sheet.png --rows 4 && grep -q "$(png_size sheet.png)" report
result "writes a PNG file and says its size"

# Three cells of at least 128 pixels and margins; a row is a cell with its text.
[ "$(png_width sheet.png)" -ge 384 ] && [ "$(png_width sheet.png)" -le 800 ] &&
	[ "$(png_height sheet.png)" -ge 600 ] && [ "$(png_height sheet.png)" -le 1400 ]
result "small images are enlarged"

preview 0 set.ring -o again.png --rows 4 && cmp sheet.png again.png >>report
result "same options, same bytes"

# views ARGUMENT...: the parameters of every view, one line each.
views() {
	preview 0 set.ring -o views.png --rows 4 --json "$@" && grep -o '"crop [^"]*"' report
}

views >one && views --seed 1 >again && views --seed 2 >two && [ "$(wc -l <one)" -eq 8 ] && cmp one again >>report &&
	! cmp -s one two && [ "$(sort -u one | wc -l)" -eq 8 ]
result "--seed changes the views; no two of a sheet are the same"

views --strength 0 --rows 40 >zero && grep -q ' b1.00 ' zero && ! grep -qE ' [bcs](0|1\.[0-9]*[1-9])' zero
result "--strength 0 leaves colours as they are"

views --views crop-flip >flip && ! grep -vE '^"crop [0-9]+,[0-9]+ [0-9]+x[0-9]+( flip)?"$' flip >>report &&
	views --views center >same && [ "$(sort -u same)" = '"crop 0,0 32x32"' ]
result "--views: crop and flip alone, or the test image"

views --rows 3 --views "simclr | 2x crop vflip@1 rotate90 | center sobel noise | whole cutout(0.5)" >many &&
	[ "$(wc -l <many)" -eq 15 ] && [ "$(grep -c ' vflip' many)" -eq 6 ] && [ "$(grep -c ' sobel noise 0.100"' many)" -eq 3 ] &&
	[ "$(grep -cE ' cutout [0-9]+,[0-9]+ [0-9]+x[0-9]+"' many)" -eq 3 ] && [ "$(png_width views.png)" -ge 960 ]
result "--views: several views, each with its own policy"

views >one && views --views "crop(0.08,1) flip color(0.4,0.1) gray" >two && cmp one two >>report &&
	views --views "2x simclr" >two && cmp one two >>report
result "--views: the recipe written out is the recipe"

preview 2 set.ring -o none.png --views "crop flop" && grep -q "did you mean 'flip'" report &&
	preview 2 set.ring -o none.png --views "17x crop" && [ ! -e none.png ] &&
	preview 0 --help && grep -q "rotate90" report && grep -q "DeVries" report
result "--views: mistakes and help"

preview 0 set.ring -o large.png --rows 2 --size 224 && [ "$(png_width large.png)" -ge 672 ]
result "--size makes larger cells"

preview 0 set.ring -o all.png --rows 200 && grep -q '40 rows' report
result "more rows than records show every record once"

views --rows 3 --record 39 >record && [ "$(sort -u record | wc -l)" -eq 6 ] &&
	[ "$(grep -o '"record":39,"key":"[^"]*","epoch":[012]' report | wc -l)" -eq 3 ]
result "--record shows one record at several epochs"

preview 2 set.ring -o none.png --record 40 && grep -q 'records 0 to 39' report && [ ! -e none.png ]
result "a record that is not there"

preview 1 missing.ring -o none.png && grep -q 'missing.ring' report && [ ! -e none.png ]
result "a file that is not there"

preview 1 sheet.png -o none.png && grep -q 'sheet.png' report && [ ! -e none.png ]
result "a file that is no shard"

preview 2 && preview 2 set.ring && preview 2 set.ring -o none.png --size 4 && preview 2 set.ring -o none.png --views x &&
	preview 2 set.ring -o none.png --rows 0 && [ ! -e none.png ]
result "wrong usage is exit code 2"

preview 1 set.ring -o no/such/folder.png && grep -q 'no/such/folder.png' report
result "a folder that is not there"

# The first block begins at 8192, behind header and class table.
cp set.ring damaged.ring
printf 'XXXXXXXXXXXXXXXX' | dd of=damaged.ring bs=1 seek=12000 conv=notrunc 2>/dev/null
cp sheet.png kept.png
preview 1 damaged.ring -o sheet.png && grep -q 'damaged.ring' report && cmp sheet.png kept.png >>report
result "a damaged shard is an error and the old sheet stays"

exit $((failures > 0))
