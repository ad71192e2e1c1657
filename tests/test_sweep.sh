#!/bin/sh
# ringclr sweep: a small study whose rows do not depend on --jobs, on kill -9 or on Ctrl-C; cells that fail; what must not change
# when a sweep goes on; mistakes in studies; the studies that come with the program. Prints TAP.
set -u

# shellcheck source=tests/helper_tap.sh
. tests/helper_tap.sh

sweep() {
	env --default-signal=INT "$ringclr" sweep "$@" --train "$dir/train.ring" --test "$dir/test.ring" --quiet
}

prepare() {
	"$ringclr" synth "$dir/images" --train 100 --test 40 --size 16 &&
		"$ringclr" pack "$dir/images" --root train -o "$dir/train.ring" &&
		"$ringclr" pack "$dir/images" --root test -o "$dir/test.ring" || return 1
	cat >"$dir/grid.ini" <<'END'
# Two by two, seconds.
[study]
title = Two by two
seeds = 1, 2
[figure]
kind = lines
x = temperature
series = look
value = near
log_x = yes
[labels]
near = nearest neighbours, %
[base]
views = {look}
size = 16
width = 0.125
batch = 16
epochs = 3
warmup-epochs = 1
head-dim = 8
order = full
limit-images = 64
[tiny]
width = 0.0625
[grid]
temperature = 0.1, 0.5
look = plain, strong
[axis look]
plain = crop flip
strong = --views "crop flip color gray" --strength 1
[evaluate]
near = eval --method knn --knn-k 20
linear =
[paper numbers tiny]
caption = made up
0.1, plain = 12.5
END
}

# What rows say, but for the time they took.
values() {
	sed 's/,"seconds":[0-9.e+-]*//' "$1/rows.jsonl"
}

same_rows() {
	values "$1" >"$dir/got" && values "$dir/reference" >"$dir/wanted" && diff "$dir/wanted" "$dir/got"
}

reference() {
	sweep "$dir/grid.ini" -o "$dir/reference" >"$dir/table" || return 1
	cat "$dir/table"
	[ "$(grep -c . "$dir/table")" -eq 5 ] && [ "$(wc -l <"$dir/reference/rows.jsonl")" -eq 8 ] &&
		[ "$(grep -c '"status":"done"' "$dir/reference/rows.jsonl")" -eq 8 ] || return 1
	grep -qF '{"cell":{"temperature":"0.1","look":"strong"},"seed":2,"status":"done","values":{' "$dir/reference/rows.jsonl" &&
		grep -qF '"run":"runs/temperature=0.1,look=strong,seed=2"' "$dir/reference/rows.jsonl"
}

# Values in rows are those that the run and the evaluation gave.
true_values() {
	run="$dir/reference/runs/temperature=0.5,look=plain,seed=1"
	loss=$(tail -n 1 "$run/metrics.jsonl" | sed 's/.*"loss": \([0-9.]*\).*/\1/')
	near=$("$ringclr" eval "$run" --train "$dir/train.ring" --test "$dir/test.ring" --knn-k 20 --json |
		sed 's/.*"accuracy":\([0-9.]*\).*/\1/')
	row=$(grep -F '"0.5","look":"plain"},"seed":1' "$dir/reference/rows.jsonl")
	echo "loss $loss, near $near: $row"
	echo "$row" | grep -qF "\"near\":$near" || return 1
	echo "$row" | sed 's/.*"loss":\([0-9.]*\).*/\1/' | awk -v a="$loss" '{ exit !($1 - a < 1e-12 && a - $1 < 1e-12) }'
}

csv() {
	head -n 1 "$dir/reference/rows.csv" | grep -q '^temperature,look,seed,status,near,linear,.*loss.*,seconds$' &&
		[ "$(wc -l <"$dir/reference/rows.csv")" -eq 9 ] && grep -q '^0.5,strong,2,done,[0-9.]*,[0-9.]*,' "$dir/reference/rows.csv"
}

study_json() {
	command -v python3 >/dev/null || { echo "no python3"; return 77; }
	python3 - "$dir/reference/study.json" <<'END'
import json, sys
s = json.load(open(sys.argv[1]))
assert s["format"] == "ringclr study" and s["name"] == "grid" and s["title"] == "Two by two" and s["size"] == "tiny", s
assert s["figure"] == {"kind": "lines", "x": "temperature", "y": None, "series": "look", "value": "near",
                       "x_label": "temperature", "value_label": "nearest neighbours, %", "log_x": True}, s["figure"]
assert s["axes"] == [{"name": "temperature", "label": "temperature", "values": ["0.1", "0.5"]},
                     {"name": "look", "label": "look", "values": ["plain", "strong"]}], s["axes"]
assert s["seeds"] == [1, 2]
assert s["paper"] == {"caption": "made up", "points": [{"temperature": "0.1", "look": "plain", "value": 12.5}]}, s["paper"]
assert s["values"][0] == {"name": "near", "label": "nearest neighbours, %"}
options = {c["name"]: c["options"] for c in s["runs"]["cells"]}
assert options["temperature=0.1,look=strong"] == {"views": "crop flip color gray", "size": "16", "width": "0.0625", "batch": "16",
    "epochs": "3", "warmup-epochs": "1", "head-dim": "8", "order": "full", "limit-images": "64", "temperature": "0.1",
    "strength": "1"}, options
assert options["temperature=0.5,look=plain"]["views"] == "crop flip"
END
}

two_jobs() {
	sweep "$dir/grid.ini" -o "$dir/two" --jobs 2 >/dev/null && same_rows "$dir/two"
}

# Only the encoder is kept, and evaluates to the same; with none nothing is.
kept() {
	small="$dir/two/runs/temperature=0.1,look=plain,seed=1/checkpoint.safetensors"
	! grep -aq '"momentum\.' "$small" && grep -aq '"conv1.weight"' "$small" || return 1
	sweep "$dir/grid.ini" -o "$dir/all" --keep all --seeds 1 --set epochs=1 >/dev/null &&
		grep -aq '"momentum\.' "$dir/all/runs/temperature=0.1,look=plain,seed=1/checkpoint.safetensors" || return 1
	sweep "$dir/grid.ini" -o "$dir/nothing" --keep none --seeds 1 --set epochs=1 >/dev/null &&
		[ ! -e "$dir/nothing/runs/temperature=0.1,look=plain,seed=1/checkpoint.safetensors" ] &&
		values "$dir/all" >"$dir/a" && values "$dir/nothing" | diff "$dir/a" -
}

# No run of the sweep in that folder is at work, after at most a second.
none_left() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		left=0
		for process in /proc/[0-9]*; do
			tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -q "ringclr [a-z]* .*$1/runs/" && left=$process
		done
		[ "$left" != 0 ] || return 0
		sleep 0.1
	done
	echo "$left outlived its sweep"
	return 1
}

# Runs that would take hours.
dies_with_it() {
	out=$dir/hours
	"$ringclr" sweep "$dir/grid.ini" -o "$out" --train "$dir/train.ring" --test "$dir/test.ring" --quiet --jobs 2 \
		--set epochs=1000000 >/dev/null 2>&1 &
	pid=$!
	while [ "$(find "$out/runs" -name metrics.jsonl 2>/dev/null | wc -l)" -lt 2 ] && kill -0 "$pid" 2>/dev/null; do
		sleep 0.05
	done
	! none_left "$out" && kill -9 "$pid" && ! wait "$pid" && none_left "$out"
}

# Kills the sweep again and again, a little later each time, until one ends by itself. What was running dies with it.
killed() {
	out=$dir/killed
	delay=4
	while [ "$delay" -lt 400 ]; do
		"$ringclr" sweep "$dir/grid.ini" -o "$out" --train "$dir/train.ring" --test "$dir/test.ring" --quiet --jobs 2 >/dev/null 2>&1 &
		pid=$!
		sleep "$(echo "$delay" | awk '{ printf "%.2f", $1 / 20 }')"
		kill -9 "$pid" 2>/dev/null || break
		wait "$pid" 2>/dev/null
		echo "killed after $delay/20 s with $(wc -l <"$out/rows.jsonl") rows"
		# A row whose writing a kill cut short.
		[ "$delay" -ne 4 ] || printf '{"cell":{"temp' >>"$out/rows.jsonl"
		delay=$((delay * 3 / 2 + 2))
	done
	wait "$pid" 2>/dev/null
	sweep "$dir/grid.ini" -o "$out" >/dev/null && same_rows "$out"
}

interrupted() {
	out=$dir/interrupted
	env --default-signal=INT "$ringclr" sweep "$dir/grid.ini" -o "$out" --train "$dir/train.ring" --test "$dir/test.ring" --quiet \
		>/dev/null &
	pid=$!
	while [ ! -s "$out/rows.jsonl" ] && kill -0 "$pid" 2>/dev/null; do
		sleep 0.01
	done
	kill -INT "$pid" 2>/dev/null
	wait "$pid"
	code=$?
	[ "$code" -eq 130 ] || { echo "exit $code, wanted 130"; return 1; }
	none_left "$out" && ! grep failed "$out/rows.jsonl" || return 1
	rows=$(wc -l <"$out/rows.jsonl")
	echo "$rows rows when it was stopped"
	[ "$rows" -ge 1 ] && [ "$rows" -lt 8 ] && sweep "$dir/grid.ini" -o "$out" >/dev/null && same_rows "$out"
}

# A finished sweep runs nothing again.
finished() {
	before=$(stat -c %Y.%i "$dir/reference/runs/temperature=0.1,look=plain,seed=1/run.json")
	cp "$dir/reference/rows.jsonl" "$dir/before" && rm "$dir/reference/runs/temperature=0.1,look=plain,seed=1/metrics.jsonl" &&
		sweep "$dir/grid.ini" -o "$dir/reference" >/dev/null && cmp "$dir/before" "$dir/reference/rows.jsonl" &&
		[ "$before" = "$(stat -c %Y.%i "$dir/reference/runs/temperature=0.1,look=plain,seed=1/run.json")" ]
}

# Another seed and another value are added to what is there.
extended() {
	sed 's/^temperature = .*/temperature = 0.1, 0.5, 1/' "$dir/grid.ini" >"$dir/wider/grid.ini" &&
		cp -r "$dir/two" "$dir/more" && sweep "$dir/wider/grid.ini" -o "$dir/more" --seeds 1,2,3 >/dev/null || return 1
	[ "$(wc -l <"$dir/more/rows.jsonl")" -eq 18 ] && values "$dir/two" >"$dir/old" && values "$dir/more" >"$dir/new" &&
		[ "$(grep -cxFf "$dir/old" "$dir/new")" -eq 8 ]
}

# A cell that cannot be trained is recorded, stops no other, and is tried again.
failing() {
	sed 's/^temperature = .*/batch = 16, 500/; s/^batch = 16$//; s/^x = .*/x = batch/; s/^0.1, plain/16, plain/' "$dir/grid.ini" >"$dir/failing.ini"
	sweep "$dir/failing.ini" -o "$dir/failing" --json >"$dir/result" 2>"$dir/stderr"
	code=$?
	cat "$dir/result" "$dir/stderr"
	[ "$code" -eq 1 ] && grep -q '"runs":8,"done":4,"failed":4,"interrupted":false' "$dir/result" || return 1
	[ "$(grep -c '"status":"done"' "$dir/failing/rows.jsonl")" -eq 4 ] &&
		[ "$(grep -c '"status":"failed","values":{},"message":"ringclr train: .*batch 500' "$dir/failing/rows.jsonl")" -eq 4 ] &&
		grep -q '^500,plain,1,failed,,' "$dir/failing/rows.csv" || return 1
	fails 1 "4 of 8 runs failed" sh -c '"$@" >/dev/null' sh "$ringclr" sweep "$dir/failing.ini" -o "$dir/failing" --quiet \
		--train "$dir/train.ring" --test "$dir/test.ring" && [ "$(wc -l <"$dir/failing/rows.jsonl")" -eq 8 ]
}

# A run that cells start from: trained once a seed, and a failure of it is theirs. Two axes of pairs.
pairs_and_prepared() {
	cat >"$dir/pairs.ini" <<'END'
[study]
pairs = first, second
[base]
size = 16
width = 0.0625
batch = 16
epochs = 1
warmup-epochs = 0
head-dim = 8
views = center | {first} {second}
test-folder = no
[grid]
first = crop, cutout, noise
second = crop, cutout, noise
[axis first]
cutout = center cutout
noise = center noise
[figure]
kind = heatmap
x = second
y = first
END
	fails 2 "pairs.ini:11: \[base\]: --test-folder: no such option" sweep "$dir/pairs.ini" -o "$dir/pairs" || return 1
	sed -i '/^test-folder/d' "$dir/pairs.ini"
	sweep "$dir/pairs.ini" -o "$dir/pairs" --jobs 2 >"$dir/table" || return 1
	cat "$dir/table"
	[ "$(wc -l <"$dir/pairs/rows.jsonl")" -eq 9 ] && [ "$(grep -c '"mirrored":true' "$dir/pairs/rows.jsonl")" -eq 3 ] &&
		[ "$(find "$dir/pairs/runs" -name checkpoint.safetensors | wc -l)" -eq 6 ] || return 1
	options=$("$ringclr" sweep "$dir/pairs.ini" --dry-run | sed -n "s/.*'--views=\(.*\)'.*/\1/p")
	[ "$options" = "center | crop
center | crop cutout
center | crop noise
center | center cutout
center | center cutout noise
center | center noise" ] || { echo "$options"; return 1; }
	one=$(grep -F '{"first":"cutout","second":"noise"}' "$dir/pairs/rows.jsonl" | sed 's/.*"values":\({[^}]*}\).*/\1/')
	grep -F '{"first":"noise","second":"cutout"}' "$dir/pairs/rows.jsonl" | grep -F "$one" | grep -qF 'first=cutout,second=noise'
}

prepared() {
	cat >"$dir/prepared.ini" <<'END'
[study]
seeds = 1, 2
[base]
size = 16
width = 0.0625
batch = 16
epochs = 1
warmup-epochs = 0
head-dim = 8
[prepare start]
epochs = 2
[grid]
from = start, nothing
strength = 0.25, 1
[axis from]
start = --report {start}.html
nothing =
END
	fails 2 "prepared.ini:16: .*--report is the sweep's own" sweep "$dir/prepared.ini" -o "$dir/prepared" || return 1
	sed -i 's/--report {start}.html/--weight-decay {start}/' "$dir/prepared.ini"
	"$ringclr" sweep "$dir/prepared.ini" --dry-run -o D >"$dir/plan" || return 1
	cat "$dir/plan"
	[ "$(grep -c '^ringclr train' "$dir/plan")" -eq 10 ] && head -n 1 "$dir/plan" | grep -q -- '--output=D/runs/start,seed=1 .*--epochs=2' &&
		grep -q -- '--seed=2 .*--weight-decay=D/runs/start,seed=2' "$dir/plan" || return 1
	# No option of train takes a folder that any could be, so those cells fail; but after the run that they name.
	sweep "$dir/prepared.ini" -o "$dir/prepared" >/dev/null 2>&1
	[ -e "$dir/prepared/runs/start,seed=2/checkpoint.safetensors" ] &&
		[ "$(grep -c '"status":"failed".*--weight-decay' "$dir/prepared/rows.jsonl")" -eq 4 ] &&
		[ "$(grep -c '"status":"done"' "$dir/prepared/rows.jsonl")" -eq 4 ] || return 1
	sed -i 's/^epochs = 2/batch = 500/' "$dir/prepared.ini"
	sweep "$dir/prepared.ini" -o "$dir/prepared2" >/dev/null 2>&1
	[ "$(grep -c 'the run that it starts from has failed' "$dir/prepared2/rows.jsonl")" -eq 4 ]
}

changed() {
	mkdir -p "$dir/wider"
	refused() {
		sed "$1" "$dir/grid.ini" >"$dir/wider/grid.ini"
		shift
		pattern=$1
		shift
		fails 1 "$pattern" sweep "$dir/wider/grid.ini" -o "$dir/two" "$@"
	}
	refused 's/^batch = 16/batch = 32/' "cell temperature=0.1,look=plain: --batch is 32 now, but was 16 when" &&
		refused '' "cell .*: --epochs is 4 now, but was 3" --set epochs=4 &&
		refused 's/^temperature = .*/temperature = 0.1/' "cell temperature=0.5,look=plain was part of the study" &&
		refused 's/--knn-k 20/--knn-k 10/' "\[evaluate\] near is not as it was" &&
		refused '' "seed 1 was one of the sweep's" --seeds 2 &&
		refused '' "the folder holds study 'grid', size tiny; this is 'grid', size paper" --size paper || return 1
	cp "$dir/grid.ini" "$dir/other.ini"
	fails 1 "the folder holds study 'grid'" sweep "$dir/other.ini" -o "$dir/two" || return 1
	fails 1 "holds other images than" "$ringclr" sweep "$dir/grid.ini" --train "$dir/test.ring" --test "$dir/test.ring" -o "$dir/two"
	# What changes no result may change.
	sweep "$dir/grid.ini" -o "$dir/two" --set threads=1 --set cache=none >/dev/null && same_rows "$dir/two"
}

wrong_study() {
	# Each: an edit of the study, and what is said.
	while IFS='|' read -r edit pattern; do
		sed "$edit" "$dir/grid.ini" >"$dir/wrong.ini"
		fails 2 "$pattern" "$ringclr" sweep "$dir/wrong.ini" --dry-run >"$dir/said" || { echo "after $edit:"; cat "$dir/said"; return 1; }
	done <<'END'
s/^\[labels\]/[lables]/|wrong.ini:12: \[lables\]: a study has no such section; did you mean \[labels\]
s/^\[labels\]/[labels big]/|wrong.ini:12: \[labels big\]: a section is labels alone
s/^\[axis look\]/[axis]/|wrong.ini:29: \[axis\]: a section is axis with a name
s/^size = 16/sise = 16/|wrong.ini:15: \[base\]: --sise: no such option; did you mean --size
s/^batch = 16/batch = many/|wrong.ini:17: \[base\]: --batch many: must be a whole number
s/^batch = 16/seed = 16/|wrong.ini:17: \[base\]: --seed is the sweep's own
s/^temperature = .*/temperature = /|wrong.ini:26: \[grid\] axis temperature has no values
s/^temperature = .*/temperature = 0.1,, 0.5/|wrong.ini:26: axis temperature has an empty value
s/^temperature = .*/temperature = 0.1, 0.1/|wrong.ini:26: axis temperature has the value '0.1' twice
s/^temperature = .*/temperature = 0.1, warm/|wrong.ini:26: .*--temperature warm: must be a number
s/^temperature = .*/heat = 0.1, 0.5/|wrong.ini:26: .*train has no option --heat.*\[axis heat\]
s/^x = .*/x = heat/|wrong.ini:7: \[figure\] x = heat: no such axis; there are (temperature, look)
s/^series = .*/series = temperature/|wrong.ini:8: \[figure\] series = temperature: is x or y already
s/^value = .*/value = loss/|wrong.ini:9: \[figure\] value = loss: is not measured; \[evaluate\] has (near, linear)
s/^kind = .*/kind = pie/|wrong.ini:6: \[figure\] kind = pie: must be lines, bars or heatmap
s/^kind = .*/kind = heatmap/|\[figure\] y .*the rows of a heatmap
s/^log_x = .*/log_y = yes/|wrong.ini:10: log_y = yes: \[figure\] has no such line; did you mean log_x
s/^plain = .*/plian = crop/|wrong.ini:29: \[axis look\]: no value 'plian'
s/^plain = .*/plain = crop flop/|cell temperature=0.1,look=plain: --views.*no operation called 'flop'
s/--strength 1/--strength/|wrong.ini:30: \[axis look\] strong: --strength needs a value
s/gray" /gray /|wrong.ini:30: .*a " is not closed
s/{look}/{look} {lock}/|wrong.ini: --views of cell .*{lock} is no axis and no run to prepare
s/--knn-k 20/--knn-k 20 --features {lock}/|wrong.ini: --features of \[evaluate\] near: {lock} is no axis
s/^near = eval/ne\/ar = eval/|wrong.ini:32: a value is called by letters, digits, - and _, not 'ne\/ar'
s/^\[paper .*/[prepare ..]/|wrong.ini:35: a run to prepare is called by letters
s/^\[paper .*/[prepare start]/;s/^caption.*/views = crop/;s/^0.1, plain = .*/init = {look}/|--init of \[prepare\] start: {look} is an axis, and this run is of no cell
s/^\[paper .*/[paper numbers large]/|wrong.ini:35: \[paper numbers large\]
s/eval --method/evaluate --method/|wrong.ini:32: \[evaluate\] near: 'evaluate --method.* is neither
s/--knn-k 20/--knn 20/|wrong.ini:32: \[evaluate\] near: --knn: no such option; did you mean --knn-k
s/^0.1, plain = 12.5/0.2, plain = 12.5/|wrong.ini:36: .*axis temperature has no value '0.2'
s/^0.1, plain = 12.5/0.1 = 12.5/|wrong.ini:36: .*must be a value of each of the 2 axes
s/^title = .*/seeds = 3/|wrong.ini:4: seeds = 1, 2: already set in line 3
s/^seeds = .*/seeds = one/|wrong.ini:4: seeds = one: 'one' is no seed
s/^seeds = .*/pairs = look, temperature/|wrong.ini:4: .*must list the same values
s/^\[labels\]/[ ]/|wrong.ini:12: \[ \]: a study has no such section
s/^\[study\]//|wrong.ini:3: title = Two by two stands above the first
s/^log_x = yes/what is this/|wrong.ini:10: must be
END
}

wrong_usage() {
	fails 2 "no study of that name" "$ringclr" sweep temprature --dry-run &&
		fails 1 "cannot open the study $dir/none.ini" "$ringclr" sweep "$dir/none.ini" --dry-run &&
		fails 2 "--train SHARD is needed" "$ringclr" sweep "$dir/grid.ini" -o "$dir/none" &&
		fails 2 "--output DIR is needed" sweep "$dir/grid.ini" &&
		fails 2 "--set temperature: the axis temperature sets it" sweep "$dir/grid.ini" -o "$dir/none" --set temperature=1 &&
		fails 2 "must be name=value" sweep "$dir/grid.ini" -o "$dir/none" --set epochs &&
		fails 2 "--seeds 1,x: 'x' is no seed" sweep "$dir/grid.ini" -o "$dir/none" --seeds 1,x &&
		fails 1 "missing.ring" "$ringclr" sweep "$dir/grid.ini" --train "$dir/missing.ring" --test "$dir/test.ring" -o "$dir/none" &&
		[ ! -e "$dir/none" ] || return 1
	mkdir -p "$dir/used/runs" && fails 2 "no study.json" sweep "$dir/grid.ini" -o "$dir/used"
}

# Two sweeps do not share a folder.
locked() {
	command -v flock >/dev/null || { echo "no flock"; return 77; }
	fails 2 "another sweep is at work" flock "$dir/two/.lock" env "$ringclr" sweep "$dir/grid.ini" -o "$dir/two" --quiet \
		--train "$dir/train.ring" --test "$dir/test.ring"
}

# Every option of every study that comes with the program is one that train and eval have, at both sizes.
shipped() {
	found=0
	for study in tools/studies/*.ini; do
		for size in tiny paper; do
			"$ringclr" sweep "$study" --size "$size" --dry-run >"$dir/plan" || return 1
			tail -n 1 "$dir/plan"
			[ "$(grep -c '^ringclr train' "$dir/plan")" -ge 4 ] || { echo "$study has hardly a cell"; return 1; }
		done
		found=$((found + 1))
	done
	[ "$found" -ge 8 ] || return 1
	"$ringclr" sweep "$(basename "$study" .ini)" --dry-run >/dev/null
}

ok "synth and pack" prepare
ok "a study is run: a row for each cell and seed" reference
ok "rows hold what the runs measured" true_values
ok "rows.csv" csv
ok "study.json is what was planned" study_json
ok "two jobs give the same rows" two_jobs
ok "--keep" kept
ok "nothing outlives a sweep that is killed" dies_with_it
ok "killed with -9 at many points: the same rows" killed
ok "Ctrl-C exits 130, and the sweep goes on to the same rows" interrupted
ok "a finished sweep runs nothing again" finished
ok "a changed study, changed options, other data are refused by name" changed
ok "cells and seeds can be added" extended
ok "a cell that fails is recorded and stops no other" failing
ok "pairs without order are run once and shown twice" pairs_and_prepared
ok "runs to start from come first" prepared
ok "mistakes in a study are told with file and line" wrong_study
ok "mistakes in options" wrong_usage
ok "a folder is one sweep's at a time" locked
ok "the studies that come with ringclr are sound" shipped
tap_end
