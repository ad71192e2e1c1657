#!/bin/sh
# ringclr append: images join a shard or a set in one step, or nothing changes.
set -u
. tests/helper_tap.sh
case $ringclr in /*) ;; *) ringclr=$PWD/$ringclr ;; esac
cd "$dir" || exit 1

"$ringclr" synth images --train 60 --test 20 >/dev/null 2>&1 || exit 1
mkdir old new
for class in images/train/*; do
	name=$(basename "$class")
	mkdir "old/$name" "new/$name"
	n=0
	for image in "$class"/*; do
		n=$((n + 1))
		if [ $((n % 2)) -eq 0 ]; then cp "$image" "new/$name/"; else cp "$image" "old/$name/"; fi
	done
done
quiet() { "$ringclr" "$@" >out 2>err || { cat err; return 1; }; }
quiet pack old -o old.ring && quiet pack new -o new.ring && quiet pack images/train -o whole.ring || exit 1

joins_shard() {
	cp old.ring a.ring
	if ! quiet append a.ring new --json || ! grep -q '"added":30' out || ! grep -q '"records":60' out; then
		cat out
		return 1
	fi
	quiet verify --full a.ring && quiet diff a.ring whole.ring
}
joins_set() {
	mkdir -p set
	quiet pack old -o set/t.ring --shard-size 20K && quiet append set/t.json new --shard-size 20K || return 1
	quiet verify --full set/t.json && quiet diff set/t.json whole.ring || return 1
	[ ! -e set/t.ring.partial ] && [ ! -e set/t.json.partial ]
}
comes_back() {
	quiet extract a.ring -o back && diff -r back images/train
}
# A folder to which images have come, packed again.
only_new() {
	cp old.ring b.ring
	quiet append b.ring images/train --existing skip && quiet diff b.ring whole.ring || return 1
	cp b.ring before
	fails 1 "nothing to add" "$ringclr" append b.ring images/train --existing skip && cmp b.ring before
}
unchanged() {
	cp old.ring c.ring
	"$@" && cmp old.ring c.ring && [ -z "$(find . -maxdepth 1 -name '*.partial')" ]
}
class_unknown() {
	mkdir -p dragons/dragon && cp images/train/disc/*0.png dragons/dragon/
	fails 1 "class 'dragon' is not in c.ring" "$ringclr" append c.ring dragons
}
key_there() { fails 1 "has an image of that key" "$ringclr" append c.ring old; }
image_bad() {
	mkdir -p bad/disc && printf 'no image' >bad/disc/x.png
	fails 1 "disc/x.png in bad" "$ringclr" append c.ring bad
}
meta_refused() {
	printf '{"key": "%s", "by": "me"}\n' "$(cd new && find disc -type f | head -n 1)" >meta.jsonl
	fails 1 "no-meta" "$ringclr" append c.ring new --meta meta.jsonl
}
full_disk() {
	(ulimit -f 40 && fails 1 "cannot write" "$ringclr" append c.ring new)
}
no_set() { fails 1 "nowhere.ring" "$ringclr" append nowhere.ring new; }
no_input() { fails 2 "" "$ringclr" append c.ring; }

ok "images join a shard: the records are those of all packed at once" joins_shard
ok "images join a set as further shards" joins_set
ok "extract gives old and new files" comes_back
ok "--existing skip adds what has come to a folder" only_new
ok "a class that the set does not have is refused" unchanged class_unknown
ok "a key that the set has is refused" unchanged key_there
ok "a bad image changes nothing" unchanged image_bad
ok "metadata for a shard without is refused" unchanged meta_refused
ok "a full disk changes nothing" unchanged full_disk
ok "a set that is not there is an error" no_set
ok "inputs are needed" no_input
tap_end
