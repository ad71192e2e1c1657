#!/bin/sh
# extract, merge, split, filter, reshuffle, diff and export on a small set of drawn images: what comes out are the bytes that
# went in. GNU tar reads the tars; `cmp` and `diff -r` compare files.
# shellcheck disable=SC2317 # functions are called by `ok`
set -u
. tests/helper_tap.sh

"$ringclr" synth "$dir/in" --train 300 --test 20 --size 24 --json >"$dir/log" 2>&1 || cat "$dir/log"
"$ringclr" pack "$dir/in/train" -o "$dir/all.ring" >"$dir/log" 2>&1 || cat "$dir/log"

quiet() { "$ringclr" "$@" 2>"$dir/stderr" || { cat "$dir/stderr"; return 1; }; }
same() { "$ringclr" diff "$1" "$2"; }
records() { "$ringclr" inspect --json "$1" | sed 's/.*"records":\([0-9]*\).*/\1/'; }
names_in() { find "$1" -mindepth 1 -maxdepth 1 -printf '%f\n' | LC_ALL=C sort; }
nothing_new() { names_in "$dir" | cmp - "$dir/listing"; }
listing() { : >"$dir/listing"; names_in "$dir" >"$dir/listing"; }

extract_folder() {
	quiet extract "$dir/all.ring" -o "$dir/out" && diff -r "$dir/in/train" "$dir/out"
}
ok "extract gives the files back" extract_folder

extract_tar() {
	quiet extract "$dir/all.ring" -o "$dir/out.tar" && mkdir "$dir/tar" && tar -C "$dir/tar" -xf "$dir/out.tar" &&
		diff -r "$dir/in/train" "$dir/tar" && quiet extract "$dir/all.ring" -o "$dir/again.tar" &&
		cmp "$dir/out.tar" "$dir/again.tar" && [ "$(tar -tf "$dir/out.tar" | wc -l)" -eq 300 ]
}
ok "a tar that GNU tar takes, the same each time" extract_tar

names_beyond_ascii() {
	long=$(printf 'long%.0s' 1 2 3 4 5 6 7 8 9 10 11 12)
	mkdir -p "$dir/odd/caf\303\251 ü/$long/$long/$long/$long" || return 1
	cp "$dir/in/train/disc/"*0.png "$dir/odd/caf\303\251 ü/$long/$long/$long/$long/"
	quiet pack "$dir/odd" -o "$dir/odd.ring" && quiet extract "$dir/odd.ring" -o "$dir/odd.tar" && mkdir "$dir/odd-out" &&
		tar -C "$dir/odd-out" -xf "$dir/odd.tar" 2>"$dir/stderr" && diff -r "$dir/odd" "$dir/odd-out" &&
		[ ! -s "$dir/stderr" ]
}
ok "long names and names beyond ASCII in a tar" names_beyond_ascii

extract_some() {
	(cd "$dir/in/train" && find . -type f) | sed 's|^./||' | sort | sed -n '3p;77p;200p' >"$dir/keys"
	quiet extract "$dir/all.ring" --list "$dir/keys" -o "$dir/some" &&
		(cd "$dir/some" && find . -type f | sed 's|^./||' | sort) | cmp - "$dir/keys" || return 1
	quiet extract "$dir/all.ring" --class 'd*,ring' --limit 7 -o "$dir/seven" && [ "$(find "$dir/seven" -type f | wc -l)" -eq 7 ] &&
		quiet extract "$dir/all.ring" --key '*/*00.png' -o "$dir/key" &&
		[ "$(find "$dir/key" -type f ! -name '*00.png' | wc -l)" -eq 0 ] && [ -n "$(find "$dir/key" -type f)" ]
}
ok "by list, class, key and number" extract_some

refusals() {
	listing
	fails 1 "is not empty" "$ringclr" extract "$dir/all.ring" -o "$dir/in" &&
		fails 1 "no such class" "$ringclr" extract "$dir/all.ring" --class cat -o "$dir/new" || return 1
	echo nix >"$dir/keys"
	fails 1 "'nix'" "$ringclr" extract "$dir/all.ring" --list "$dir/keys" -o "$dir/new" &&
		fails 1 "all.ring.*crescent/00" "$ringclr" merge "$dir/all.ring" "$dir/all.ring" -o "$dir/new.ring" &&
		fails 2 "one of" "$ringclr" split "$dir/all.ring" -o "$dir/new" &&
		fails 1 "no record" "$ringclr" split "$dir/all.ring" --parts 301 -o "$dir/new" &&
		fails 2 "more than 1" "$ringclr" split "$dir/all.ring" --fractions 0.9,0.2 -o "$dir/new" &&
		fails 1 "is wanted" "$ringclr" filter "$dir/all.ring" --min-side 25 -o "$dir/new.ring" &&
		fails 2 "match" "$ringclr" filter "$dir/all.ring" --match '(' -o "$dir/new.ring" && rm -f "$dir/stdout"
	failed=$?
	touch "$dir/stdout"
	[ $failed -eq 0 ] && nothing_new
}
: >"$dir/stdout"
ok "what makes no sense is refused, and nothing is left" refusals

damaged() {
	cp "$dir/all.ring" "$dir/bad.ring" && printf 'XXXX' | dd of="$dir/bad.ring" bs=1 seek=100000 conv=notrunc 2>"$dir/log" || return 1
	listing
	for command in "extract -o $dir/new" "extract -o $dir/new.tar" "export -o $dir/new" "export --to mds -o $dir/new" \
		"split --parts 3 -o $dir/new" "merge -o $dir/new.ring" "reshuffle -o $dir/new.ring" "filter -o $dir/new.ring"; do
		# shellcheck disable=SC2086 # words
		fails 1 "bad.ring" "$ringclr" ${command%% *} "$dir/bad.ring" ${command#* } || return 1
	done
	nothing_new
}
ok "a damaged shard stops all of them, and nothing is left" damaged

full_disk() {
	listing
	# shellcheck disable=SC3045 # ulimit -f: dash and bash have it
	for command in "extract -o $dir/new.tar" "export -o $dir/new" "export --to mds -o $dir/new" "split --parts 3 -o $dir/new"; do
		# shellcheck disable=SC2086 # words
		(trap '' XFSZ; ulimit -f 40; fails 1 "new.*File too large" "$ringclr" ${command%% *} "$dir/all.ring" ${command#* }) || return 1
	done
	nothing_new
}
ok "a file that cannot be written on is named, and nothing is left" full_disk

split_and_merge() {
	quiet split "$dir/all.ring" --fractions 0.7,0.2,0.1 --names a,b,c --seed 5 -o "$dir/parts" || return 1
	[ "$(records "$dir/parts/a.ring") $(records "$dir/parts/b.ring") $(records "$dir/parts/c.ring")" = "210 60 30" ] || return 1
	"$ringclr" verify "$dir"/parts/*.ring || return 1
	quiet merge "$dir/parts/c.ring" "$dir/parts/a.ring" "$dir/parts/b.ring" -o "$dir/merged.ring" --shard-size 20K || return 1
	same "$dir/all.ring" "$dir/merged.json" && quiet extract "$dir/merged.json" -o "$dir/back" && diff -r "$dir/in/train" "$dir/back"
}
ok "merge of a split, extracted: the bytes that were packed" split_and_merge

stratified() {
	# 30 images of each of ten classes: 21, 6 and 3 of each.
	for part in a:21 b:6 c:3; do
		"$ringclr" inspect --json "$dir/parts/${part%:*}.ring" |
			grep -q "\"class_counts\":\[$(printf "${part#*:},%.0s" 1 2 3 4 5 6 7 8 9)${part#*:}\]" || return 1
	done
	quiet split "$dir/merged.json" --fractions 0.7,0.2,0.1 --names a,b,c --seed 5 -o "$dir/parts2" &&
		same "$dir/parts/a.ring" "$dir/parts2/a.ring" && same "$dir/parts/c.ring" "$dir/parts2/c.ring" || return 1
	quiet split "$dir/all.ring" --fractions 0.7,0.2 --seed 6 -o "$dir/parts3" &&
		! same "$dir/parts/a.ring" "$dir/parts3/part-0.ring" && [ "$(records "$dir/parts3/part-1.ring")" -eq 60 ]
}
ok "fractions of each class, by key and seed whatever the order" stratified

other_splits() {
	quiet split "$dir/all.ring" --parts 40 -o "$dir/forty" && [ "$(find "$dir/forty" -name '*.ring' | wc -l)" -eq 40 ] || return 1
	set --
	i=0
	while [ $i -lt 40 ]; do
		set -- "$@" "$dir/forty/part-$i.ring"
		i=$((i + 1))
	done
	quiet merge "$@" -o "$dir/forty.ring" && quiet extract "$dir/forty.ring" -o "$dir/forty.tar" &&
		cmp "$dir/forty.tar" "$dir/out.tar" || return 1 # the order of records, too
	quiet split "$dir/all.ring" --by-class --shard-size 10K -o "$dir/classes" &&
		[ "$(find "$dir/classes" -name '*.json' | wc -l)" -eq 10 ] && quiet extract "$dir/classes/disc.json" -o "$dir/discs" &&
		diff -r "$dir/in/train/disc" "$dir/discs/disc" && [ "$(ls "$dir/discs")" = disc ]
}
ok "parts in order, and by class" other_splits

united_classes() {
	quiet pack "$dir/in/train/star" -o "$dir/flat.ring" || return 1 # no classes
	mkdir "$dir/x" "$dir/y" && cp -r "$dir/in/train/ring" "$dir/in/train/disc" "$dir/x" && cp -r "$dir/in/train/zigzag" "$dir/y" &&
		cp -r "$dir/in/test/disc" "$dir/y" || return 1
	quiet pack "$dir/x" -o "$dir/x.ring" && quiet pack "$dir/y" -o "$dir/y.ring" || return 1
	fails 1 "both.*x.ring.*y.ring" "$ringclr" merge "$dir/x.ring" "$dir/y.ring" -o "$dir/xy.ring" || return 1
	quiet merge "$dir/x.ring" "$dir/y.ring" "$dir/flat.ring" --prefix -o "$dir/xy.ring" || return 1
	"$ringclr" inspect --json "$dir/xy.ring" | grep -q '"class_names":\["disc","ring","zigzag"\],"class_counts":\[32,30,30\],"unlabeled":30' &&
		quiet extract "$dir/xy.ring" -o "$dir/xy" && diff -r "$dir/x" "$dir/xy/x" && diff -r "$dir/y" "$dir/xy/y" &&
		diff -r "$dir/in/train/star" "$dir/xy/flat"
}
ok "classes are united by name, prefixes keep keys apart" united_classes

filters() {
	quiet filter "$dir/all.ring" --not-class '*s*' --limit-per-class 4 -o "$dir/f.ring" || return 1
	"$ringclr" inspect --json "$dir/f.ring" | grep -q '"records":12,' || { "$ringclr" inspect "$dir/f.ring"; return 1; }
	quiet filter "$dir/all.ring" --match '^(disc|star)/[0-9]*[02468].png$' -o "$dir/f2.ring" &&
		quiet extract "$dir/f2.ring" -o "$dir/f2" && [ "$(names_in "$dir/f2" | tr '\n' ' ')" = "disc star " ] &&
		[ -z "$(find "$dir/f2" -name '*[13579].png')" ] && diff -r "$dir/f2/disc" "$dir/in/train/disc" | grep -qv '[02468].png$' &&
		! diff -r "$dir/f2/disc" "$dir/in/train/disc" | grep -q 'differ'
}
ok "filters by class, number and pattern" filters

shuffles() {
	quiet reshuffle "$dir/all.ring" --seed 1 -o "$dir/s1.ring" && quiet reshuffle "$dir/all.ring" --seed 2 -o "$dir/s2.ring" || return 1
	same "$dir/all.ring" "$dir/s1.ring" && same "$dir/s1.ring" "$dir/s2.ring" || return 1
	quiet extract "$dir/s1.ring" -o "$dir/s1.tar" && quiet extract "$dir/s2.ring" -o "$dir/s2.tar" || return 1
	! cmp -s "$dir/s1.tar" "$dir/out.tar" && ! cmp -s "$dir/s1.tar" "$dir/s2.tar" || return 1
	# An input in which records lie otherwise gives another order; one of the same records in blocks of another size does not.
	quiet filter "$dir/all.ring" --block 4K -o "$dir/small.ring" && quiet reshuffle "$dir/small.ring" --seed 1 -o "$dir/s3.ring" &&
		quiet extract "$dir/s3.ring" -o "$dir/s3.tar" && cmp "$dir/s1.tar" "$dir/s3.tar"
}
ok "an order by seed, with every record once" shuffles

windows() {
	"$ringclr" synth "$dir/large" --train 60 --test 0 --size 256 >"$dir/log" 2>&1 && quiet pack "$dir/large/train" -o "$dir/l.ring" --codec raw || return 1
	quiet reshuffle "$dir/l.ring" --seed 1 -o "$dir/l1.ring" --json | grep -q '"passes":1' &&
		quiet reshuffle "$dir/l.ring" --seed 1 --mem 1M -o "$dir/l2.ring" --json | grep -q '"passes":12' &&
		cmp "$dir/l1.ring" "$dir/l2.ring" && same "$dir/l.ring" "$dir/l2.ring"
}
ok "the order is the same in however little memory" windows

differences() {
	quiet filter "$dir/all.ring" --class '[!r]*' -o "$dir/less.ring" || return 1
	"$ringclr" diff "$dir/all.ring" "$dir/less.ring" --json >"$dir/json"
	[ $? -eq 1 ] && grep -q '"same":false,"equal":270,"only_a":30,"only_b":0,"changed":0' "$dir/json" || return 1
	"$ringclr" diff "$dir/less.ring" "$dir/all.ring" --list all >"$dir/text"
	[ $? -eq 1 ] && [ "$(grep -c "^only in $dir/all.ring: ring/" "$dir/text")" -eq 30 ] || return 1
	first=$(names_in "$dir/in/train/disc" | head -n 1)
	other=$(names_in "$dir/in/train/star" | head -n 1)
	cp -r "$dir/in/train" "$dir/changed" && cp "$dir/in/train/star/$other" "$dir/changed/disc/$first" || return 1
	quiet pack "$dir/changed" -o "$dir/changed.ring" || return 1
	"$ringclr" diff "$dir/all.ring" "$dir/changed.ring" >"$dir/text"
	[ $? -eq 1 ] && grep -qx "changed: disc/$first (image)" "$dir/text" && [ "$(wc -l <"$dir/text")" -eq 2 ] || return 1
	"$ringclr" diff "$dir/all.ring" "$dir/none.ring" 2>"$dir/stderr"
	[ $? -eq 2 ] && grep -q "none.ring" "$dir/stderr"
}
ok "diff tells what is missing and what changed; 0, 1 and 2" differences

raw_pixels() {
	quiet extract "$dir/l.ring" -o "$dir/png" && quiet extract "$dir/l.ring" --raw-as ppm -o "$dir/ppm" || return 1
	quiet pack "$dir/png" --codec raw -o "$dir/l3.ring" && same "$dir/l.ring" "$dir/l3.ring" || return 1
	ppm=$(find "$dir/ppm" -type f | head -n 1)
	[ "$(head -c 15 "$ppm" | tr '\n' ' ')" = "P6 256 256 255 " ] && [ "$(wc -c <"$ppm")" -eq $((15 + 256 * 256 * 3)) ] &&
		[ "$(find "$dir/ppm" -name '*.png.ppm' | wc -l)" -eq 60 ]
}
ok "raw pixels as PNG and PPM" raw_pixels

samples_apart() {
	mkdir -p "$dir/two/disc" "$dir/one/disc" && cp "$(find "$dir/in/train/disc" -type f | head -n 1)" "$dir/one/disc/1.png" &&
		cp "$(find "$dir/ppm" -type f | head -n 1)" "$dir/two/disc/1.ppm" || return 1
	quiet pack "$dir/one" -o "$dir/one.ring" && quiet pack "$dir/two" --codec raw -o "$dir/two.ring" &&
		quiet merge "$dir/one.ring" "$dir/two.ring" -o "$dir/both.ring" || return 1
	# As files they are two; as a sample they would be one.
	quiet extract "$dir/both.ring" --raw-as ppm -o "$dir/both" &&
		fails 1 "both be the file 'disc/1.json'" "$ringclr" export "$dir/both.ring" --to webdataset --raw-as ppm -o "$dir/both-wds" &&
		[ ! -e "$dir/both-wds" ] && [ ! -e "$dir/both-wds.partial" ]
}
ok "two records of one stem are no sample of WebDataset" samples_apart

dictionary_alone() {
	quiet pack "$dir/in/train" --dictionary 1K --block 4K --zstd 6 --codec raw -o "$dir/dict.ring" || return 1
	"$ringclr" inspect --json "$dir/dict.ring" | tee "$dir/json"
	grep -q '"dictionary_bytes":[1-9]' "$dir/json" && grep -q '"version":"1.2"' "$dir/json" &&
		quiet export "$dir/dict.ring" --to mds -o "$dir/dict-mds" && ! grep -q meta "$dir/dict-mds/index.json" &&
		quiet merge "$dir/dict.ring" -o "$dir/undict.ring" --dictionary none && "$ringclr" inspect --json "$dir/undict.ring" | grep -q '"version":"1.0"'
}
ok "a dictionary is no metadata" dictionary_alone

# Two records, one of a name that would be a line of its own.
odd_keys() {
	mkdir "$dir/odd2" && cp "$(find "$dir/in/train/disc" -type f | head -n 1)" "$dir/odd2/x
other.ring: sound.png" && cp "$dir/in/train/disc/"*1.png "$dir/odd2/" && quiet pack "$dir/odd2" -o "$dir/odd2.ring" &&
		quiet pack "$dir/in/train/star" -o "$dir/star.ring" || return 1
	"$ringclr" diff "$dir/odd2.ring" "$dir/star.ring" --list all | tee "$dir/text"
	grep -qx "only in $dir/odd2.ring: x\\\\nother.ring: sound.png" "$dir/text" && ! grep -q '^other' "$dir/text" || return 1
	mkdir "$dir/odd3" && cp "$dir/odd2"/* "$dir/odd3/" || return 1
	for file in "$dir/odd2"/*; do cp "$file" "$dir/odd3/twice ${file##*/}" || return 1; done
	quiet pack "$dir/odd3" --dedupe report -o "$dir/odd3.ring" | tee "$dir/text"
	! grep -v '	' "$dir/text" | grep -q . && grep -qF 'x\nother.ring' "$dir/text"
}
ok "keys are no lines of reports" odd_keys

many_shards() {
	quiet pack "$dir/in/train" -o "$dir/many.ring" --block 4K --shard-size 4K || return 1
	shards=$(find "$dir" -maxdepth 1 -name 'many-*.ring' | wc -l)
	[ "$shards" -gt 30 ] || { echo "only $shards shards"; return 1; }
	# shellcheck disable=SC3045 # ulimit -S, -H: dash and bash have them
	(ulimit -S -n 20 && quiet pack "$dir/in/train" -o "$dir/many2.ring" --block 4K --shard-size 4K && same "$dir/many.json" "$dir/many2.json") &&
		(ulimit -n 20 && fails 2 "ulimit -n" "$ringclr" diff "$dir/many.json" "$dir/many2.json") &&
		(ulimit -n 20 && quiet pack "$dir/in/train" -o "$dir/many3.ring" --block 4K --shard-size 4K) && same "$dir/many.json" "$dir/many3.json"
}
ok "more shards than files may be open" many_shards

tap_end
