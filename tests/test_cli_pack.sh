#!/bin/sh
# pack, inspect and verify from the command line. Small images come from the base64 below, so that nothing but a shell,
# tar and coreutils is needed; what needs zip, zstd or python3 says SKIP without it. RINGCLR_CIFAR10 may name an archive
# of CIFAR-10 with train/ and test/ folders, to be packed as well.
set -u
RINGCLR=${RINGCLR:-./ringclr}
RINGCLR=$(cd "$(dirname "$RINGCLR")" && pwd)/$(basename "$RINGCLR")
folder=$(mktemp -d "${TMPDIR:-/tmp}/ringclr-test-pack.XXXXXX") || exit 1
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder" || exit 1

number=0
failures=0
# result NAME: ok when the command before it succeeded.
result() {
	status=$?
	number=$((number + 1))
	if [ $status -eq 0 ]; then
		echo "ok $number - $1"
	else
		failures=$((failures + 1))
		echo "not ok $number - $1"
		sed 's/^/# out: /' out 2>/dev/null
		sed 's/^/# err: /' err 2>/dev/null
	fi
}

skip() {
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}

# expect EXIT ARGUMENTS...: runs ringclr, output in out and err.
expect() {
	want=$1
	shift
	"$RINGCLR" "$@" >out 2>err
	code=$?
	if [ $code -ne "$want" ] || grep -q Sanitizer: err; then
		echo "exit code $code, not $want: ringclr $*" >>err
		return 1
	fi
}

# says FILE TEXT...: every text is in the file.
says() {
	file=$1
	shift
	for text in "$@"; do
		grep -qF -- "$text" "$file" || {
			echo "missing in $file: $text" >>err
			return 1
		}
	done
}

# records SHARD: what is in it, but for provenance and the file's own name.
records() {
	"$RINGCLR" inspect "$1" | sed -e 1d -e '/^origin/d' -e '/^decompress/d'
	"$RINGCLR" inspect "$1" --records all | cut -f 1-10
}

# tell SHARD: what inspect says in JSON, of the shard and of each record, in out.
tell() {
	expect 0 inspect "$1" --json && cp out told && expect 0 inspect "$1" --json --records all && cat told >>out
}

# No file, not even a temporary one, is in the folder `made`.
nothing_made() {
	[ -z "$(ls -A made)" ] || {
		ls -A made >>err
		return 1
	}
}

decode() {
	base64 -d >"$1"
}
mkdir made images
decode a.jpg <<'END'
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8ybqm
x5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/wAARCAAQABgD
ASIAAhEBAxEB/8QAGAAAAwEBAAAAAAAAAAAAAAAAAAQFAgP/xAAbEAABBQEBAAAAAAAAAAAAAAAAAQMEEUECMf/EABYBAQEBAAAAAAAAAAAAAAAA
AAEDBf/EAB0RAAEEAgMAAAAAAAAAAAAAAAEAAgMEETESEyH/2gAMAwEAAhEDEQA/AJvEdOU8NozeD6M3h3ZiXgz2zKeDNKME+PSkWYl4BbbjJyng
C3rYMO2tRtkkL//Z
END
decode b.jpg <<'END'
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8ybqm
x5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/wAARCAAwAEAD
ASIAAhEBAxEB/8QAGAABAAMBAAAAAAAAAAAAAAAAAwABBQT/xAAaEAADAQEBAQAAAAAAAAAAAAAAAQIDEXIj/8QAFwEBAQEBAAAAAAAAAAAAAAAA
BAIDBf/EABwRAAICAwEBAAAAAAAAAAAAAAADAgQBESJCIf/aAAwDAQACEQMRAD8AyZjiI0I0Uo6xli1rmBS8hKOsbPIXPIdRxGSFb7mJwwJRxFNC
tFKOsmxa8QEryBrHcr8s4c8jZrL435ZwqOI0pq+ZnMJeZ1ERR1jZ5CZ5DqOIwQrfcznYYEo4iNCNFKOsmxa8QEryGo6xs8hc8hlHEQhXuYnDANY5
jflmU0bG6+N+WZcx1lztb3CAS3nqJoqOIjQjRFHWZWLXiBzl5CUdY2eQueQyjiIQr3MThgajiKaEaIo6zOxa3zASvIGkdyvyzhzyNmsvjflnCp4j
amrWMzmEvM6if//Z
END
decode c.png <<'END'
iVBORw0KGgoAAAANSUhEUgAAAAwAAAAMBAMAAACkW0HUAAAAGFBMVEXKygl/yi4qyp2qf1gqf+mqP6iqC90qKtwAfJaiAAAAPUlEQVR4nB3FUQ0A
IAgFwFfBCJLAjQaOBowIEkHqi+/nDlU3M8GiqzzshMPMwpUpU12dtLA9B4AtTGSw+XvdGBHJAPnXxwAAAABJRU5ErkJggg==
END
decode d.webp <<'END'
UklGRloAAABXRUJQVlA4IE4AAACwAQCdASoQABAAA4BaJbACdACyOaQAAP7p/Tu3Ua9lUg39LHfSCFvvxDP/8b0mvye7SjwcItvhQRwVDpW6QGwN
cb39Tfj38Gdcb39QAAA=
END
# PNGs whose headers claim 60000x60000 and 65536x1 pixels.
decode huge.png <<'END'
iVBORw0KGgoAAAANSUhEUgAA6mAAAOpgCAIAAAAPsOIVAAAADElEQVR4nGNgoD0AAABkAAGGZDw1AAAAAElFTkSuQmCC
END
decode wide.png <<'END'
iVBORw0KGgoAAAANSUhEUgABAAAAAAABCAIAAADkEHSPAAAADElEQVR4nGNgoD0AAABkAAGGZDw1AAAAAElFTkSuQmCC
END

# 60 images in 3 classes, with a non-ASCII name, a misleading extension, and files that are no images.
for class in ant bee "c at"; do
	mkdir "images/$class"
	for i in 1 2 3 4 5; do
		cp a.jpg "images/$class/a$i.jpg"
		cp b.jpg "images/$class/b$i.JPEG"
		cp c.png "images/$class/c$i.png"
		cp d.webp "images/$class/d$i.webp"
	done
done
mv images/ant/a1.jpg images/ant/ä1.jpg
mv images/bee/c1.png images/bee/c1.jpg
echo notes >images/README.txt
echo notes >images/bee/notes
cp a.jpg images/bee/._a1.jpg
cp a.jpg images/.hidden.jpg
find images -type f | sed 's|^images/||' | LC_ALL=C sort >names

echo 1..61

expect 0 pack images -o folder.ring --json
result "a folder is packed"
says out '"records":60' '"classes":3' '"ignored":4' '"skipped":0'
result "the summary counts records, classes and what was ignored"
expect 0 verify folder.ring && says out "folder.ring: sound"
result "the shard is sound"
tell folder.ring && says out '"class_names":["ant","bee","c at"],"class_counts":[20,20,20]' \
	'"codecs":{"jpeg":30,"webp":15,"png":15}' '"unlabeled":0' '"width":{"min":12,"median":16,"max":64}' \
	'"height":{"min":12,"median":16,"max":48}' '"key":"ant/ä1.jpg","label":0,"width":24,"height":16,"codec":"jpeg","bytes":348' \
	'"key":"bee/c1.jpg","label":1,"width":12,"height":12,"codec":"png","bytes":154' '"version":"1.0"'
result "inspect --json has classes, codecs, sizes and records"
says out '"ratio":0.' '"decompress_mb_per_s":' '"dictionary_bytes":0' '"stored_blocks":' '"codec_bytes":{"jpeg":'
result "inspect --json has the ratio, the speed of decompression, and what is stored"
# The same JPEG, with noise of its own behind its end.
# shellcheck disable=SC2016 # split knows the name
mkdir alike && (cd alike && head -c 300000 /dev/urandom | split -a 4 -b 200 --filter='cat ../b.jpg - >"$FILE.jpg"')
expect 0 pack alike -o alike.ring --dictionary 2K && says err "chosen on the first 1500 images: blocks of " "dictionary of 2.0 KB" &&
	expect 0 verify alike.ring && expect 0 inspect alike.ring --json &&
	says out '"version":"1.2"' '"stored_blocks":0' && ! says out '"dictionary_bytes":0' &&
	expect 0 inspect alike.ring && says out "dictionary    " "decompress    "
result "a dictionary is trained, told and read"
cp alike.ring first.ring && expect 0 pack alike -o alike.ring --dictionary 2K --jobs 2 && cmp alike.ring first.ring
result "the same images get the same dictionary and choice"
expect 0 pack alike -o plain.ring --dictionary none --block 64K --zstd 3 && ! says err "chosen" &&
	expect 0 inspect plain.ring --json && says out '"version":"1.0"' '"dictionary_bytes":0' &&
	expect 0 pack alike -o plain.ring --dictionary 1K --block 4K && expect 0 inspect plain.ring && says out "(shard format 1.2)" &&
	expect 2 pack alike -o plain.ring --dictionary some && says err "--dictionary some" "a size in bytes" "auto|none"
result "--dictionary none, a size, and what is neither"
expect 0 inspect folder.ring && says out "jpeg 30 webp 15 png 15" "12 to 64, median 16" && [ ! -s err ]
result "inspect for people prints on stdout"
records folder.ring >want
"$RINGCLR" inspect folder.ring --records all | sed 1d | cut -f 2 >keys
[ "$(wc -l <keys)" -eq 60 ] && LC_ALL=C sort -c keys
result "a folder's records are in order of their paths"

expect 0 pack images/ -o jobs1.ring --jobs 1 && expect 0 pack images -o jobs3.ring --jobs 3 && cmp jobs1.ring jobs3.ring
result "the bytes are the same for --jobs 1 and 3"
expect 0 pack images -o raw1.ring --codec raw --jobs 1 && expect 0 pack images -o raw3.ring --codec raw --jobs 3 &&
	cmp raw1.ring raw3.ring && expect 0 inspect raw1.ring --json && says out '"codecs":{"raw":60}' \
	"\"image_bytes\":$((15 * 3 * (24 * 16 + 64 * 48 + 12 * 12 + 16 * 16)))"
result "--codec raw holds pixels, the same for any --jobs"
expect 0 pack images -o webp1.ring --codec webp --quality 50 --resize-short 12 --jobs 1 &&
	expect 0 pack images -o webp3.ring --codec webp --quality 50 --resize-short 12 --jobs 3 &&
	cmp webp1.ring webp3.ring && expect 0 inspect webp1.ring --json &&
	says out '"codecs":{"webp":60}' '"width":{"min":12,"median":12,"max":18}' '"height":{"min":12,"median":12,"max":12}'
result "--resize-short shrinks to that short side and keeps the aspect"
expect 0 pack images -o raw16.ring --codec raw --resize-short 16 && expect 0 inspect raw16.ring --json &&
	says out '"height":{"min":12,"median":16,"max":16}' '"width":{"min":12,"median":16,"max":24}'
result "--resize-short does not enlarge"
expect 0 pack images -o lossless.ring --codec webp-lossless && expect 0 inspect lossless.ring --json && says out '"webp":60'
result "--codec webp-lossless"

# The archives list the same files in the folder's order, but for the name that tar would put elsewhere.
pack_archive() {
	expect 0 pack "$1" -o archive.ring --json && says out '"records":60' && records archive.ring >got && cmp want got &&
		expect 0 verify archive.ring
}
tar -C images -cf images.tar -T names && pack_archive images.tar
result "tar gives the folder's records"
gzip -k images.tar && pack_archive images.tar.gz
result "tar.gz gives the folder's records"
(cd images && sed 's|^|./|' ../names | tar -cf ../dots.tar -T -) && pack_archive dots.tar
result "names that begin with ./ are the same names"
if command -v zstd >/dev/null 2>&1; then
	zstd -q images.tar && pack_archive images.tar.zst
	result "tar.zst gives the folder's records"
else
	skip "tar.zst gives the folder's records" "no zstd"
fi
if command -v zip >/dev/null 2>&1; then
	(cd images && zip -q ../images.zip -@ <../names) && pack_archive images.zip
	result "zip gives the folder's records"
	(cd images && zip -q - -@ <../names | cat >../stream.zip) && pack_archive stream.zip
	result "a zip written to a pipe gives them too"
else
	skip "zip gives the folder's records" "no zip"
	skip "a zip written to a pipe gives them too" "no zip"
fi

mkdir -p split/train split/test/ant && cp -r images/ant images/bee split/train && cp a.jpg split/test/ant/other.jpg
expect 0 pack split --root train -o root.ring --json && says out '"records":40' '"classes":2' &&
	expect 0 inspect root.ring --records 1 && says out "train/ant/" "$(printf '\tant\t0\t')"
result "--root keeps what is below it and takes classes from there"
tar -cf split.tar split && expect 0 pack split.tar --root ./split/train/ -o root2.ring --json &&
	says out '"records":40' '"classes":2'
result "--root in an archive may have several parts"
expect 0 pack split -o deep.ring && says err "--root" "test/ant/other.jpg"
result "classes above the class folders are pointed out"
expect 1 pack split --root nowhere -o made/x.ring && says err "no images below nowhere" && nothing_made
result "--root that matches nothing"

mkdir flat && cp a.jpg flat/1.jpg && cp b.jpg flat/2.jpg
expect 0 pack flat -o flat.ring && expect 0 inspect flat.ring --json && says out '"classes":0' '"unlabeled":2'
result "a flat folder has no labels"
ln -s ../a.jpg flat/link.jpg && expect 0 pack flat -o flat.ring --json && says out '"records":3'
result "links are followed"
rm flat/link.jpg && ln -s .. flat/loop && expect 1 pack flat -o made/x.ring && says err "flat/loop" && nothing_made
result "a loop of links is an error"
rm flat/loop

printf 'c at\nbee\nant\nzebra\n' >classes.txt
expect 0 pack images --classes classes.txt -o classes.ring && tell classes.ring &&
	says out '"class_names":["c at","bee","ant","zebra"]' '"key":"ant/a2.jpg","label":2'
result "--classes gives the order of labels"
echo ant >classes.txt && expect 1 pack images --classes classes.txt -o made/x.ring &&
	says err "'bee'" "classes.txt" && nothing_made
result "--classes must have every class"

mkdir web
for i in 0 1 2 3; do
	cp a.jpg web/00$i.jpg
	echo $((i * 3)) >web/00$i.cls
	echo '{}' >web/00$i.json
done
cp c.png web/002.mask.png
cp c.png web/004.png
(cd web && tar -cf ../web.tar 000.cls 000.jpg 001.jpg 001.cls 002.jpg 002.mask.png 002.json 002.cls 003.json 003.jpg 003.cls 004.png)
expect 0 pack web.tar -o web.ring --json && says out '"records":6' '"classes":10' '"ignored":0' &&
	tell web.ring && says out '"key":"001.jpg","label":3' '"key":"002.jpg","label":6' \
	'"key":"002.mask.png","label":6' '"key":"003.jpg","label":9' '"key":"004.png","label":-1' '"unlabeled":1'
result "WebDataset: numbers in .cls are the labels"
printf 'wolf' >web/000.cls && printf 'fox\r\n' >web/001.cls && printf -- '-1\n' >web/002.cls && echo wolf >web/003.cls
expect 0 pack web -o web.ring && tell web.ring &&
	says out '"class_names":["fox","wolf"],"class_counts":[1,2]' '"unlabeled":3' '"key":"001.jpg","label":0'
result "WebDataset: names in .cls, -1 for none; in a folder too"
printf 'two\nlines\n' >web/000.cls && expect 1 pack web -o made/x.ring && says err "000.cls" && nothing_made
result "a .cls file of several lines is an error that names it"

# cifar LABELS IMAGES: IMAGES records, labels counted 0 1 2 3 0 ..., red from the number (@, A, B...), green G, blue B.
cifar() {
	i=0
	while [ $i -lt "$2" ]; do
		[ "$1" -eq 1 ] || printf '\004'
		# shellcheck disable=SC2059 # an octal escape
		printf "\\00$((i % 4))"
		head -c 1024 /dev/zero | tr '\0' "\\10$((i % 8))"
		head -c 1024 /dev/zero | tr '\0' G
		head -c 1024 /dev/zero | tr '\0' B
		i=$((i + 1))
	done
}
cifar 1 6 >batch_1.bin && cifar 1 3 >batch_2.bin
expect 0 pack batch_1.bin batch_2.bin -o cifar.ring --json && says out '"records":9' &&
	tell cifar.ring && says out '"codecs":{"raw":9}' '"class_names":["0","1","2","3"]' \
	'"key":"batch_1/00005","label":1,"width":32,"height":32' '"key":"batch_2/00002","label":2'
result "CIFAR-10 binary batches, without names"
expect 0 pack batch_1.bin --zstd 0 -o cifar.ring && grep -qa '@GB@GB@GB' cifar.ring && grep -qa 'EGBEGBEGB' cifar.ring
result "CIFAR's planes become RGB pixels"
seq -f 'name%g' 0 9 >batches.meta.txt && expect 0 pack batch_1.bin -o cifar.ring --codec webp-lossless &&
	expect 0 inspect cifar.ring --json && says out '"class_names":["name0","name1","name2","name3"]' '"webp":6'
result "CIFAR-10 with its names"
cifar 2 5 >train.bin && expect 0 pack train.bin -o cifar.ring && tell cifar.ring &&
	says out '"key":"train/00003","label":3'
result "CIFAR-100 takes the fine label"
head -c 3000 batch_1.bin >short.bin && expect 1 pack short.bin -o made/x.ring && says err "short.bin" && nothing_made
result "a cut CIFAR batch is refused"

mkdir -p bad/x && cp a.jpg bad/x/1.jpg && head -c 300 b.jpg >bad/x/2.jpg && cp c.png bad/x/3.png
expect 1 pack bad -o made/x.ring && says err "x/2.jpg" "--bad skip" && [ ! -s out ] && nothing_made
result "a cut image stops packing and is named"
for jobs in 1 3; do
	expect 0 pack bad -o skip$jobs.ring --bad skip --json --jobs $jobs || break
done
[ "$code" -eq 0 ] && says err "x/2.jpg" && says out '"records":2' '"skipped":1' '"key":"x/2.jpg"' &&
	cmp skip1.ring skip3.ring && expect 0 verify skip1.ring
result "--bad skip leaves it out, says so, and the rest is packed"
: >bad/x/2.jpg && expect 1 pack bad -o made/x.ring && says err "x/2.jpg" && nothing_made
result "an empty file with an image's name is a bad image"
cp huge.png bad/x/2.png && rm bad/x/2.jpg && expect 1 pack bad -o made/x.ring &&
	says err "x/2.png" "60000x60000" && nothing_made
result "a header that claims 3600 megapixels is refused"
cp wide.png bad/x/2.png && expect 1 pack bad -o made/x.ring && says err "x/2.png" "65536x1" && nothing_made
result "a side over 65535 is refused"
rm bad/x/1.jpg bad/x/3.png && expect 1 pack bad -o made/x.ring --bad skip && says err "not one image" && nothing_made
result "only bad images: nothing is written"

expect 1 pack nowhere -o made/x.ring && says err "nowhere" "No such file" && nothing_made
result "a missing folder"
mkdir empty && expect 1 pack empty -o made/x.ring && says err "empty: no images" && nothing_made
result "an empty folder"
: >empty.tar && expect 1 pack empty.tar -o made/x.ring && says err "empty.tar" && nothing_made
result "an empty file"
head -c 9000 images.tar >cut.tar && expect 1 pack cut.tar -o made/x.ring && says err "cut.tar" "runcated" && nothing_made
result "a cut archive"
tar -cf twice.tar images/ant/a2.jpg images/ant/a2.jpg && expect 1 pack twice.tar -o made/x.ring &&
	says err "ant/a2.jpg" "unique" && nothing_made
result "two images of one name"
expect 1 pack images -o nowhere/x.ring && says err "nowhere" && expect 1 pack images -o made && says err "folder" &&
	expect 1 pack images -o /dev/null && says err "device" && [ -c /dev/null ] && nothing_made
result "an output that cannot be written"
(ulimit -f 8 && expect 1 pack images --zstd 0 -o made/x.ring) && says err "made/x.ring" "File too large" && nothing_made
result "a full disk: the message names the file, nothing is left"
cp folder.ring made/old.ring && (ulimit -f 8 && expect 1 pack images --zstd 0 -o made/old.ring)
cmp folder.ring made/old.ring && [ "$(ls -A made)" = old.ring ] && rm made/old.ring
result "a failure leaves the old file as it was"

head -c 92190000 /dev/zero >slow.bin
"$RINGCLR" pack slow.bin --codec webp-lossless -o made/x.ring >out 2>err &
child=$!
sleep 0.5
kill -INT $child
wait $child
[ $? -eq 130 ] && says err interrupted && nothing_made
result "Ctrl-C: exit 130, nothing is left"
rm slow.bin

for arguments in "pack images" "pack -o x.ring" "pack images -o x.ring --codec tiff" "pack images -o x.ring --resize-short 8" \
	"pack images -o x.ring --quality 50" "pack images -o x.ring --jobs 1000" "pack images -o x.ring --blok 64K" \
	"pack folder.ring images -o folder.ring" "inspect" "verify" "verify --index --full folder.ring" "frobnicate" ""; do
	# shellcheck disable=SC2086 # words
	expect 2 $arguments || break
done
[ "$code" -eq 2 ] && cmp -s jobs1.ring folder.ring
result "usage errors: exit 2"
expect 2 pack images -o x.ring --blok 64K && says err "ringclr pack: --blok" "did you mean --block?" &&
	expect 2 pack images -o x.ring --jobs 1000 && says err "--jobs 1000" "0 to 240" &&
	expect 2 pak && says err "did you mean pack?"
result "they name the option, the range, the nearest name"
expect 0 --help && says out "verify" && expect 0 help pack && says out "--resize-short" && cp out help.txt &&
	expect 0 pack --help && cmp out help.txt && expect 0 --version && says out "ringclr "
result "--help, help pack, --version"

# flip FILE OFFSET: changes one byte.
flip() {
	byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
	# shellcheck disable=SC2059 # an octal escape
	printf "\\$(printf %03o $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
expect 0 pack images --zstd 0 --block 4096 -o stored.ring && at=$(grep -abo RIFF stored.ring | head -n 1 | cut -d: -f1) &&
	flip stored.ring $((at + 60)) && expect 1 verify stored.ring && says out "stored.ring" "block 1 " &&
	[ "$(wc -l <out)" -eq 2 ]
result "a changed byte: verify names the block"
expect 1 verify --json folder.ring stored.ring && says out '"sound":false' '"path":"folder.ring","damages":[],"sound":true' &&
	[ "$(wc -l <out)" -eq 1 ]
result "verify --json of a sound and a damaged shard"
head -c 8000 folder.ring >made/cut.ring && expect 1 verify made/cut.ring && says out "made/cut.ring" &&
	expect 1 inspect made/cut.ring && says err "made/cut.ring" && expect 1 inspect images.tar && says err "images.tar" &&
	expect 1 verify images.tar && expect 1 inspect nowhere.ring && says err "No such file"
result "a cut shard, a file that is none, a missing one"
rm -f made/cut.ring

if command -v python3 >/dev/null 2>&1; then
	whole() {
		expect "$@" && python3 -c 'import json,sys; assert isinstance(json.load(open("out")), dict)' 2>>err
	}
	whole 0 pack images -o x.ring --json && whole 0 inspect x.ring --json && whole 1 verify stored.ring --json
	result "--json prints exactly one object"
else
	skip "--json prints exactly one object" "no python3"
fi

if [ -n "${RINGCLR_CIFAR10:-}" ]; then
	expect 0 pack "$RINGCLR_CIFAR10" --root train -o x.ring --json && says out '"records":50000' '"classes":10'
	result "CIFAR-10"
else
	skip "CIFAR-10" "RINGCLR_CIFAR10 names no archive"
fi
[ $failures -eq 0 ]
