#!/bin/sh
# ringclr repair, from the command line: exit codes, what it says, and that the original stays as it is.
set -u
. tests/helper_tap.sh

golden=tests/golden/shard-1.1.ring
cp "$golden" "$dir/sound.ring"
size=$(wc -c <"$golden")

# records FILE: all that the listing says of its records, but not in which block they are.
records() {
	python3 tests/shard_reader.py "$1" | cut -d' ' -f1,3-
}

repairs_sound() {
	"$ringclr" repair "$dir/sound.ring" -o "$dir/same.ring" >"$dir/said" || return 1
	grep "same.ring: 60 records of 14 blocks$" "$dir/said" || return 1
	cmp "$golden" "$dir/sound.ring" && records "$dir/same.ring" >"$dir/got" && records "$golden" | cmp - "$dir/got"
}
ok "a sound shard: the same records" repairs_sound

repairs_footer() {
	head -c $((size - 128)) "$golden" >"$dir/cut.ring"
	"$ringclr" repair "$dir/cut.ring" -o "$dir/whole.ring" --json >"$dir/said" || return 1
	python3 - "$dir/said" <<'END' || return 1
import json, sys
said = json.load(open(sys.argv[1]))
assert said["whole"] and said["records"] == 60 and said["lost"] == [] and not said["index_rebuilt"], said
assert any("footer" in note for note in said["notes"]), said
END
	"$ringclr" verify "$dir/whole.ring" && records "$dir/whole.ring" >"$dir/got" && records "$golden" | cmp - "$dir/got"
}
ok "without its footer: all is there, exit 0" repairs_footer

repairs_middle() {
	cp "$golden" "$dir/hole.ring"
	dd if=/dev/urandom of="$dir/hole.ring" bs=4096 seek=8 count=3 conv=notrunc 2>/dev/null
	cp "$dir/hole.ring" "$dir/hole.before"
	"$ringclr" repair "$dir/hole.ring" -o "$dir/rest.ring" >"$dir/said" 2>"$dir/told"
	[ $? -eq 1 ] || { echo "wrong exit code"; return 1; }
	grep "not all was there: .*'$dir/rest.ring' has the rest" "$dir/told" || return 1
	cmp "$dir/hole.ring" "$dir/hole.before" || return 1
	"$ringclr" verify "$dir/rest.ring" || return 1
	# What is lost and what is left are the records there were.
	{ sed -n 's/^lost: record [0-9]* (block [0-9]*): //p' "$dir/said"; records "$dir/rest.ring" | cut -d' ' -f8-; } | sort >"$dir/got"
	records "$golden" | cut -d' ' -f8- | sort | cmp - "$dir/got" && grep -q "^lost: record" "$dir/said"
}
ok "with a hole: the rest, the lost by key, exit 1" repairs_middle

same_file() {
	fails 2 "same file" "$ringclr" repair "$dir/sound.ring" -o "$dir/sound.ring" && cmp "$golden" "$dir/sound.ring"
}
ok "IN and OUT the same file: refused" same_file

nothing() {
	head -c 100000 /dev/urandom >"$dir/noise.ring"
	"$ringclr" repair "$dir/noise.ring" -o "$dir/none.ring" >/dev/null 2>"$dir/told"
	[ $? -eq 1 ] && grep "nothing can be salvaged" "$dir/told" && [ ! -e "$dir/none.ring" ]
}
ok "no shard at all: exit 1, and no output" nothing

# The header and the class table are overwritten, and the footer.
names_lost() {
	cp "$golden" "$dir/ends.ring"
	dd if=/dev/urandom of="$dir/ends.ring" bs=4096 count=2 conv=notrunc 2>/dev/null
	dd if=/dev/urandom of="$dir/ends.ring" bs=1 seek=$((size - 128)) count=128 conv=notrunc 2>/dev/null
	"$ringclr" inspect "$golden" --json | python3 -c 'import json, sys; print(*json.load(sys.stdin)["class_names"], sep="\n")' >"$dir/names"
	[ "$(wc -l <"$dir/names")" -eq 10 ] || { cat "$dir/names"; return 1; }
	head -n 9 "$dir/names" >"$dir/nine"
	"$ringclr" repair "$dir/ends.ring" -o "$dir/named.ring" --classes "$dir/nine" >"$dir/said" 2>"$dir/told"
	[ $? -eq 1 ] && grep "of its 10 classes only 9 are named" "$dir/told" && [ ! -e "$dir/named.ring" ] || return 1
	"$ringclr" repair "$dir/ends.ring" -o "$dir/named.ring" --classes "$dir/names" >"$dir/said" 2>"$dir/told"
	grep "those given take their place" "$dir/said" || return 1
	records "$dir/named.ring" >"$dir/got" && records "$golden" | cmp - "$dir/got"
}
ok "lost class names: those of --classes" names_lost

tap_end
