#!/bin/sh
# What pack chooses, reorders and keeps with records: bad images and their quarantine, cut JPEGs, duplicates, shuffling,
# validation parts, labelled subsets, labels by regular expression, metadata. Images are PIL's.
set -u
. tests/helper_tap.sh
case $ringclr in /*) ;; *) ringclr=$PWD/$ringclr ;; esac
python=/usr/bin/python3
if ! $python -c 'import PIL, numpy' 2>/dev/null; then
	echo "1..0 # SKIP no PIL for $python"
	exit 0
fi
root=$PWD
cd "$dir" || exit 1

# 4 classes of 10, 20, 30 and 40 images, each of noise of its own.
$python - <<'PY'
import os, numpy as np
from PIL import Image
rng = np.random.default_rng(1)
for name, count in (("ant", 10), ("bee", 20), ("cat", 30), ("dog", 40)):
    os.makedirs("images/" + name)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).save(f"images/{name}/{name}_{i:02d}.png")
big = np.kron(rng.integers(0, 255, (16, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
Image.fromarray(big).save("whole.jpg", quality=80)
data = open("whole.jpg", "rb").read()
open("cut.jpg", "wb").write(data[: len(data) * 2 // 3])
PY
find images -name '*.png' | LC_ALL=C sort | sed 's|^images/||' >names
tar -C images -cf images.tar -T names

# pack ARGUMENTS: what it says stays in out and err.
pack() {
	"$ringclr" pack "$@" >out 2>err || { cat err; return 1; }
}
# keys SHARD: in order, with labels
keys() {
	"$ringclr" inspect --list 1000 "$1" | sed -n 's/^[0-9]*  .*bytes  block [^ ]*  *label \([-0-9]*\)  *\(.*\)$/\2 \1/p'
}

# ---- bad images ----
mkdir -p bad/x bad/y
cp images/ant/ant_00.png bad/x/1.png && head -c 300 images/ant/ant_01.png >bad/x/2.png && cp cut.jpg bad/y/3.jpg
cp images/ant/ant_02.png "bad/y/tab	here.png" && printf 'no image' >"bad/y/tab	there.png"

quarantine() {
	pack bad -o bad.ring --bad quarantine --quarantine aside --bad-report bad.tsv --json || return 1
	grep -q '"records":2' out && grep -q '"skipped":3' out && cmp aside/x/2.png bad/x/2.png && cmp aside/y/3.jpg cut.jpg &&
		cmp "aside/y/tab	there.png" "bad/y/tab	there.png" && [ "$(find aside -type f | wc -l)" -eq 3 ] &&
		[ "$(head -n 1 bad.tsv)" = "key	input	reason" ] && [ "$(wc -l <bad.tsv)" -eq 4 ] &&
		grep -q '^x/2.png	bad	.' bad.tsv && grep -q '^y/tab\\tthere.png	bad	.' bad.tsv
}
ok "bad images go to the quarantine, byte by byte, and into the report" quarantine
jobs_agree() {
	for jobs in 1 3; do
		pack bad -o jobs$jobs.ring --bad skip --bad-report jobs$jobs.tsv --jobs $jobs || return 1
	done
	cmp jobs1.ring jobs3.ring && cmp jobs1.tsv jobs3.tsv && cmp jobs1.tsv bad.tsv
}
ok "the report is the same for any --jobs" jobs_agree
escape() {
	$python - <<'PY'
import io, os, tarfile
with tarfile.open("escape.tar", "w") as tar:
    def add(name, data):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    add("a/good.png", open("images/ant/ant_00.png", "rb").read())
    for name in ("a/../../outside.png", "/etc/../rooted.png", "link/through.png", "a/.hidden.png"):
        add(name, b"bad bytes of " + name.encode())
os.makedirs("jail/link_target")
os.makedirs("jail/aside")
os.symlink("../link_target", "jail/aside/link")
PY
	rm -f outside.png
	fails 1 "link/through.png" "$ringclr" pack escape.tar -o e.ring --bad quarantine --quarantine jail/aside || return 1
	rm jail/aside/link
	pack escape.tar -o e.ring --bad quarantine --quarantine jail/aside || return 1
	[ -z "$(find jail/link_target -type f)" ] && [ ! -e outside.png ] && [ ! -e jail/outside.png ] &&
		[ -f jail/aside/link/through.png ] && [ ! -e rooted.png ]
}
ok "no path and no link leads out of the quarantine" escape
ok "the quarantine must be given for --bad quarantine" \
	fails 2 "quarantine DIR go together" "$ringclr" pack bad -o x.ring --bad quarantine
ok "a report makes no sense with --bad fail" fails 2 "bad-report needs" "$ringclr" pack bad -o x.ring --bad-report r.tsv
no_report() {
	fails 1 "nowhere" "$ringclr" pack bad -o nowhere/x.ring --bad skip --bad-report fail.tsv && [ ! -e fail.tsv ] || return 1
	fails 1 "not one image" "$ringclr" pack bad/y -o x.ring --bad skip --bad-report fail.tsv --max-pixels 1 && [ ! -e fail.tsv ] &&
		[ ! -e x.ring ]
}
ok "after a failure there is no report" no_report
max_pixels() {
	fails 1 "16x12 pixels" "$ringclr" pack images -o x.ring --max-pixels 191 && [ ! -e x.ring ] && pack images -o x.ring --max-pixels 192
}
ok "--max-pixels is the limit of one image" max_pixels

truncated() {
	fails 1 "y/3.jpg\|cut" "$ringclr" pack cutdir -o cut.ring || return 1
	pack cutdir -o cut.ring --allow-truncated --json && grep -q '"truncated":1' out && "$ringclr" verify cut.ring >/dev/null &&
		pack cutdir -o cutraw.ring --allow-truncated --codec raw && "$ringclr" verify cutraw.ring >/dev/null
}
mkdir cutdir && cp cut.jpg cutdir/y3.jpg && cp whole.jpg cutdir/whole.jpg
ok "a cut JPEG is bad, unless --allow-truncated" truncated

# ---- duplicates ----
mkdir -p twins/a twins/b
cp images/ant/ant_00.png twins/a/1.png && cp images/ant/ant_01.png twins/a/2.png && cp images/ant/ant_00.png twins/b/3.png
cp images/ant/ant_00.png twins/b/4.png && cp images/ant/ant_02.png twins/b/5.png
dedupe() {
	pack twins -o twins.ring --json && grep -q '"records":5' out && grep -q '"duplicates":0' out || return 1
	pack twins -o twins.ring --dedupe report && printf 'b/3.png\ta/1.png\nb/4.png\ta/1.png\n' | cmp - out || return 1
	"$ringclr" inspect twins.ring --json | grep -q '"records":5' || return 1
	pack twins -o drop.ring --dedupe drop --json && grep -q '"records":3' out && grep -q '"duplicates":2' out &&
		grep -q '{"key":"b/3.png","first":"a/1.png"}' out || return 1
	pack twins -o drop.ring --dedupe drop --validation-match ^b/ --json &&
		grep -q '"records":2,' out && grep -q '"validation":{"output":"drop-validation.ring","records":1,' out
}
ok "duplicates are kept, reported or dropped, across both outputs" dedupe
twice() {
	tar -cf twice.tar images/ant/ant_01.png images/ant/ant_01.png
	fails 1 "images/ant/ant_01.png" "$ringclr" pack twice.tar -o x.ring
}
ok "a key twice is an error" twice

# ---- order ----
shuffle() {
	pack images -o plain.ring && keys plain.ring >plain && [ "$(wc -l <plain)" -eq 100 ] || return 1
	for jobs in 1 4; do
		pack images -o f$jobs.ring --shuffle 7 --jobs $jobs && pack images.tar -o t$jobs.ring --shuffle 7 --jobs $jobs || return 1
	done
	cmp f1.ring f4.ring && cmp t1.ring t4.ring && keys f1.ring >f && keys t1.ring >t && cmp f t && ! cmp -s f plain || return 1
	LC_ALL=C sort f >sorted && LC_ALL=C sort plain | cmp - sorted && "$ringclr" verify t1.ring >/dev/null || return 1
	pack images -o other.ring --shuffle 8 && keys other.ring >other && ! cmp -s other f
}
ok "--shuffle: a permutation by its seed, of a folder as of an archive, for any --jobs" shuffle
spread() {
	$python - <<'PY'
names = [line.split("/")[0] for line in open("f")]
# 40 dogs of 100: in a random order no fifth has fewer than 1 or more than 17 of them (p < 1e-6).
assert all(1 <= names[i : i + 20].count("dog") <= 17 for i in range(0, 100, 20)), names
PY
}
ok "shuffled classes are mixed" spread
ok "a seed that is none" fails 2 "must be a number" "$ringclr" pack images -o x.ring --shuffle often

# ---- parts ----
split() {
	pack images -o train.ring --validation 0.2 --json && grep -q '"records":80,' out && grep -q '"records":20,' out || return 1
	keys train.ring >train && keys train-validation.ring >val && LC_ALL=C sort train val | cmp - sorted || return 1
	[ "$(cut -d/ -f1 val | uniq -c | tr -s ' \n' ' ')" = " 2 ant 4 bee 6 cat 8 dog " ] || { cat val; return 1; }
	"$ringclr" inspect train.ring --json >a && "$ringclr" inspect train-validation.ring --json >b &&
		grep -q '"class_names":\["ant","bee","cat","dog"\]' a && grep -q '"class_names":\["ant","bee","cat","dog"\]' b
}
ok "--validation: an exact fraction of each class; both have the same labels" split
stable() {
	mkdir fewer && cp -r images/* fewer && rm fewer/dog/dog_03.png fewer/cat/cat_11.png
	pack fewer -o fewer.ring --validation 0.2 --validation-output fewer-val.ring && keys fewer-val.ring >val2 || return 1
	[ "$(LC_ALL=C sort val val2 | uniq -u | wc -l)" -le 4 ] || return 1
	pack images -o seed.ring --validation 0.2 --split-seed 1 && keys seed-validation.ring >val3 && ! cmp -s val val3
}
ok "images that leave move few others; another --split-seed draws others" stable
by_class() {
	pack images -o c.ring --validation-classes bee,dog && keys c-validation.ring | cut -d/ -f1 | sort -u | tr '\n' ' ' | grep -qx 'bee dog ' &&
		keys c.ring | cut -d/ -f1 | sort -u | tr '\n' ' ' | grep -qx 'ant cat ' || return 1
	fails 2 "no class 'cow'" "$ringclr" pack images -o x.ring --validation-classes bee,cow || return 1
	pack images -o c.ring --validation-match '_0[0-4]' && [ "$(keys c-validation.ring | wc -l)" -eq 20 ]
}
ok "validation by classes and by pattern" by_class
subset() {
	pack images -o few.ring --label-fraction 0.2 && keys few.ring >few && [ "$(cut -d/ -f1 few | uniq -c | tr -s ' \n' ' ')" = " 5 ant 5 bee 5 cat 5 dog " ] || return 1
	pack images -o most.ring --label-fraction 0.8 && keys most.ring | cut -d/ -f1 | uniq -c | tr -s ' \n' ' ' | grep -qx ' 10 ant 20 bee 20 cat 20 dog ' || return 1
	pack images -o s.ring --label-fraction 0.2 --validation 0.5 && [ "$(keys s-validation.ring | wc -l)" -eq 50 ] &&
		keys s.ring | cut -d/ -f1 | uniq -c | tr -s ' \n' ' ' | grep -qx ' 3 ant 3 bee 3 cat 3 dog '
}
ok "--label-fraction: as many of each class; the validation part stays whole" subset
dry() {
	pack images -o dry.ring --dry-run --validation 0.1 --json && [ ! -e dry.ring ] &&
		grep -qF '{"classes":[{"name":"ant","records":9,"validation_records":1},{"name":"bee","records":18,"validation_records":2}' out || return 1
	pack images -o dry.ring --dry-run && grep -q '^ *40  dog$' out && grep -q '^ *100  all$' out && [ ! -e dry.ring ]
}
ok "--dry-run counts classes and writes nothing" dry

# ---- labels and metadata ----
regex() {
	pack images -o r.ring --label-regex '_([0-9])[0-9]\.png$' && "$ringclr" inspect r.ring --json | grep -q '"class_names":\["0","1","2","3"\],"class_counts":\[40,30,20,10\]' || return 1
	pack images -o r.ring --label-regex '^(ant|bee)/' && "$ringclr" inspect r.ring --json | grep -q '"class_names":\["ant","bee"\],"class_counts":\[10,20\],"unlabeled":70' &&
		grep -q "70 keys" err || return 1
	fails 2 "group" "$ringclr" pack images -o x.ring --label-regex ant || return 1
	fails 2 "label-regex (" "$ringclr" pack images -o x.ring --label-regex '(' || return 1
	fails 1 "matches no key" "$ringclr" pack images -o x.ring --label-regex '(wolf)'
}
ok "--label-regex: the first group is the class" regex

# metas SHARD: key and metadata of the records that have some, by a reader that is not ours
metas() {
	$python "$root/tests/shard_reader.py" "$1" | sed -n 's/^.* \([^ 	]*\)	\(.*\)$/\1 \2/p'
}
webdataset() {
	mkdir web && for i in 0 1 2; do
		cp images/ant/ant_0$i.png web/0$i.png && printf '{"n": %s, "big": 12345678901234567890, "s": "\\u00e4"}' $i >web/0$i.json && echo $i >web/0$i.cls
	done
	rm web/01.json && echo '[1, 2]' >web/notes.json
	tar -cf web.tar -C web 00.json 00.png 00.cls 01.png 01.cls 02.cls 02.png 02.json notes.json
	pack web.tar -o web.ring --json && grep -q '"ignored":1' out && metas web.ring >got || return 1
	printf '%s\n' '00.png {"n": 0, "big": 12345678901234567890, "s": "\u00e4"}' '02.png {"n": 2, "big": 12345678901234567890, "s": "\u00e4"}' | cmp - got || return 1
	pack web.tar -o web.ring --no-meta && [ -z "$(metas web.ring)" ] || return 1
	echo '{"broken": ' >web/00.json && tar -cf broken.tar -C web 00.json 00.png &&
		fails 1 "00.png.*JSON" "$ringclr" pack broken.tar -o broken.ring && [ ! -e broken.ring ] &&
		head -c 2000000 /dev/zero | tr '\0' ' ' >web/00.json && tar -cf broken.tar -C web 00.json 00.png &&
		fails 1 "00.png.*larger" "$ringclr" pack broken.tar -o broken.ring
}
ok "JSON beside images in a WebDataset is their metadata, digit by digit" webdataset
meta_file() {
	printf '%s\n' '{"key": "ant/ant_03.png", "who": "A"}' '' '{"key":"./dog//dog_00.png","x":[1,{"y":1e400}]}' '{"key":"wolf/1.png"}' >meta.jsonl
	pack images -o m.ring --meta meta.jsonl --shuffle 3 && grep -q "1 lines of meta.jsonl" err && metas m.ring | LC_ALL=C sort >got || return 1
	printf '%s\n' 'ant/ant_03.png {"key": "ant/ant_03.png", "who": "A"}' 'dog/dog_00.png {"key":"./dog//dog_00.png","x":[1,{"y":1e400}]}' | cmp - got || return 1
	echo '{"key":"ant/ant_03.png"}' >>meta.jsonl && fails 1 "line 5: a second line for ant/ant_03.png" "$ringclr" pack images -o x.ring --meta meta.jsonl || return 1
	echo '{"name":"ant/ant_03.png"}' >meta.jsonl && fails 1 'line 1: has no "key"' "$ringclr" pack images -o x.ring --meta meta.jsonl || return 1
	echo 'ant/ant_03.png' >meta.jsonl && fails 1 'line 1' "$ringclr" pack images -o x.ring --meta meta.jsonl
}
ok "--meta: one JSON object a line, by key" meta_file

# ---- pixels ----
cat >pixels.py <<'PY'
import io, subprocess, sys
import numpy as np
from PIL import Image, ImageOps
reader, shard = sys.argv[1:3]
for i, line in enumerate(subprocess.run([sys.executable, reader, shard], check=True, capture_output=True, text=True).stdout.splitlines()):
    key = line.split("\t")[0].split(" ")[-1]
    stored = subprocess.run([sys.executable, reader, shard, str(i)], check=True, capture_output=True).stdout
    got = Image.open(io.BytesIO(stored))
    assert got.getexif().get(0x112, 1) == 1, (key, got.getexif().get(0x112))
    want = ImageOps.exif_transpose(Image.open(sys.argv[3] + "/" + key))
    assert got.size == want.size, (key, got.size, want.size)
    error = np.abs(np.asarray(got.convert("RGB"), float) - np.asarray(want.convert("RGB"), float))
    assert error.mean() <= float(sys.argv[4]), (key, error.mean())
    assert sys.argv[5] in ("any", got.format), (key, got.format)
PY
exif() {
	$python - <<'PY'
import os, numpy as np
from PIL import Image
os.makedirs("turned")
x, y = np.meshgrid(np.arange(48), np.arange(32))
for orientation in range(1, 9):
    picture = np.stack([x * 5, y * 7, (x * y) % 256], -1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(picture).save(f"turned/{orientation}.jpg", quality=90, exif=exif)
    Image.fromarray(picture[:, :41]).save(f"turned/odd{orientation}.jpg", quality=95, exif=exif)
    Image.fromarray(picture).save(f"turned/{orientation}.png", exif=exif)
    Image.fromarray(picture).save(f"turned/{orientation}.webp", lossless=True, exif=exif)
PY
	pack turned -o turned.ring --json && grep -q '"turned":0,"not_turned":28' out || return 1
	[ "$(grep -c 'exif apply turns them' err)" -eq 1 ] || return 1
	pack turned -o turned.ring --exif apply --json && grep -q '"turned":28,"not_turned":0' out &&
		"$ringclr" verify turned.ring >/dev/null && $python pixels.py "$root/tests/shard_reader.py" turned.ring turned 4 any || return 1
	pack turned -o turned.ring --exif apply --codec webp-lossless && $python pixels.py "$root/tests/shard_reader.py" turned.ring turned 1 WEBP
}
ok "--exif: as PIL turns them; ignored ones are told once" exif
jpeg() {
	pack turned -o j.ring --exif apply --codec jpeg --quality 95 && $python pixels.py "$root/tests/shard_reader.py" j.ring turned 4 JPEG || return 1
	pack turned -o j1.ring --codec jpeg --resize-short 16 --jobs 1 && pack turned -o j3.ring --codec jpeg --resize-short 16 --jobs 3 && cmp j1.ring j3.ring &&
		"$ringclr" inspect j1.ring --json | grep -q '"codecs":{"jpeg":32}.*"height":{"min":16,"median":16,"max":16}'
}
ok "--codec jpeg" jpeg

# ---- sets, and runs that were killed ----
shards() {
	pack images -o set.ring --shard-size 20K --block 4096 --zstd 0 --json && [ -f set.json ] && [ ! -e set.ring ] &&
		grep -q '"records":100,"shards":\([3-9]\|[1-9][0-9]\),' out || return 1
	for file in set-*-of-*.ring; do
		$python "$root/tests/shard_reader.py" "$file" >>listed || return 1
	done
	[ "$(wc -l <listed)" -eq 100 ]
}
ok "--shard-size makes a set with a manifest" shards
# killed OPTIONS: the same bytes from a run that is killed and resumed as from one that is not
killed() {
	rm -rf whole.* killed.* whole-* killed-*
	pack slow -o whole.ring "$@" || return 1
	kills=0
	for delay in 0.05 0.15 0.1 0.25 0.2; do
		"$ringclr" pack slow -o killed.ring --resume "$@" >out 2>err &
		child=$!
		sleep $delay
		kill -9 $child 2>/dev/null && kills=$((kills + 1))
		wait $child 2>/dev/null
		[ ! -e killed.ring ] || break
	done
	pack slow -o killed.ring --resume --json "$@" || return 1
	[ $kills -gt 0 ] || return 1
	for file in whole*.*; do
		other=killed${file#whole}
		[ "$file" = "${file%.json}" ] || continue
		cmp "$file" "$other" || return 1
	done
	[ ! -e killed.ring.partial ]
}
$python - <<'PY'
import os, numpy as np
from PIL import Image
rng = np.random.default_rng(2)
os.makedirs("slow/a"), os.makedirs("slow/b")
for i in range(150):
    data = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(data).save(f"slow/{'ab'[i % 2]}/{i:04d}.png")
for i in range(0, 150, 30):
    data = open(f"slow/a/{i:04d}.png", "rb").read()
    open(f"slow/b/{i:04d}twin.png", "wb").write(data)
    open(f"slow/a/{i:04d}cut.png", "wb").write(data[:999])
PY
ok "killed and resumed: the same bytes" killed --codec webp-lossless --bad skip --zstd 0 --block 16K --dictionary none
ok "... shuffled, without duplicates, with a validation part" \
	killed --codec webp-lossless --bad skip --zstd 0 --block 16K --dictionary none --shuffle 4 --dedupe drop --validation 0.3
resumed() {
	rm -rf killed.*
	"$ringclr" pack slow -o killed.ring --codec webp-lossless --bad skip --zstd 0 --block 16K --dictionary none --jobs 1 >out 2>err &
	child=$!
	until [ "$(du -sk killed.ring.partial 2>/dev/null | cut -f1)0" -ge 2000 ]; do
		kill -0 $child || { echo "it was done before it could be killed"; return 77; }
	done
	kill -9 $child
	wait $child 2>/dev/null
	cp -r killed.ring.partial kept.partial
	pack slow -o killed.ring --resume --codec webp-lossless --bad skip --zstd 0 --block 16K --dictionary none --json &&
		! grep -q '"resumed":0,' out && grep -q '"records":155,' out && grep -q '"skipped":5,' out || { cat out; return 1; }
	rm killed.ring && mv kept.partial killed.ring.partial
	fails 1 "resume" "$ringclr" pack slow -o killed.ring --resume --codec webp-lossless --bad skip --zstd 0 --block 16K --dictionary none --shuffle 1
}
ok "--resume takes what is there, and refuses other options" resumed

tap_end
