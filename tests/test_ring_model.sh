#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Model-checks the ring's slot protocol (tests/model/ring.pml) with spin: the protocol holds, and every broken variant is
# found broken. SKIPs without spin (Debian package spin) or a C compiler.
set -u

model=$PWD/tests/model/ring.pml
cc=${CC:-gcc}
folder=$(mktemp -d "${TMPDIR:-/tmp}/ringclr-model.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM HUP

# expected errors (0: holds, 1: broken) | model's flags | what it shows
cases='0|-DSLOTS=2 -DITEMS=3|items arrive once, in two slots over two laps
0|-DSLOTS=1 -DITEMS=2 -DLOWER=1|a second, lower close at any moment
0|-DSLOTS=1 -DITEMS=2 -DPOISON|poison at any moment
1|-DSLOTS=1 -DITEMS=2 -DNO_RECHECK|found: no test after setting WAITER
1|-DSLOTS=1 -DITEMS=2 -DNO_WAKE|found: no wake-up
1|-DSLOTS=1 -DITEMS=2 -DWAKE_ONE|found: only one sleeper woken
1|-DSLOTS=1 -DITEMS=2 -DLATE_READ|found: wakes read after the test
1|-DSLOTS=1 -DITEMS=2 -DLOWER=0 -DSLEEP_ON_WORD|found: sleeping on the word itself
1|-DSLOTS=1 -DITEMS=2 -DLOWER=0 -DNO_CLOSED_WAKE|found: close without a wake-up'
count=$(printf '%s\n' "$cases" | wc -l)

why=
command -v spin >/dev/null || why="spin is not installed (Debian package spin)"
command -v "$cc" >/dev/null || why="no C compiler ($cc)"

# check NUMBER EXPECTED FLAGS NAME: one TAP line goes to $folder/NUMBER.tap.
check() {
	place=$folder/$1
	mkdir "$place"
	optimise=-O0
	[ "$2" = 1 ] || optimise=-O2 # a long search is worth it
	(
		cd "$place" || exit 1
		# shellcheck disable=SC2086
		spin -a $3 "$model" && "$cc" $optimise -w -DSAFETY -o pan pan.c && ./pan -m100000 -w23
	) >"$place/log" 2>&1
	# A search that was cut short proves nothing.
	if grep -q "errors: $2\$" "$place/log" && ! grep -q "max search depth too small\|out of memory" "$place/log"; then
		echo "ok $1 - $4" >"$place.tap"
	else
		echo "not ok $1 - $4" >"$place.tap"
		sed 's/^/# /' "$place/log" | grep -v unreached | head -40 >>"$place.tap"
	fi
	rm -rf "$place"
}

echo "1..$count"
number=0
failed=0
printf '%s\n' "$cases" >"$folder/cases"
while IFS='|' read -r expected flags name; do
	number=$((number + 1))
	if [ -n "$why" ]; then
		echo "ok $number - $name # SKIP $why"
		continue
	fi
	check $number "$expected" "$flags" "$name" &
	# Two at a time.
	[ $((number % 2)) = 1 ] || wait
done <"$folder/cases"
wait
[ -n "$why" ] && exit 0
number=0
while [ $number -lt "$count" ]; do
	number=$((number + 1))
	cat "$folder/$number.tap"
	grep -q "^ok" "$folder/$number.tap" || failed=1
done
exit $failed
