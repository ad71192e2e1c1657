# shellcheck shell=sh
# What shell tests share: a folder of their own in $dir, and TAP. Sourced from the root of the checkout, where tests run; the
# test ends with `tap_end`.

ringclr=${RINGCLR:-./ringclr}
dir=$(mktemp -d "${TMPDIR:-/tmp}/ringclr-test.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
count=0
failures=0

# ok DESCRIPTION COMMAND...: one test; the command's output is shown when it fails. Status 77: skipped, for the reason in its
# last line.
ok() {
	description=$1
	shift
	count=$((count + 1))
	"$@" >"$dir/output" 2>&1
	case $? in
	0) echo "ok $count - $description" ;;
	77) echo "ok $count - $description # SKIP $(tail -n 1 "$dir/output")" ;;
	*)
		failures=$((failures + 1))
		echo "not ok $count - $description"
		sed 's/^/# /' "$dir/output"
		;;
	esac
}

skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# fails CODE PATTERN COMMAND...: the command exits with CODE and says PATTERN on stderr, and nothing on stdout.
fails() {
	wanted=$1
	pattern=$2
	shift 2
	"$@" >"$dir/stdout" 2>"$dir/stderr"
	got=$?
	cat "$dir/stderr"
	[ "$got" -eq "$wanted" ] || { echo "exit $got, wanted $wanted"; return 1; }
	grep -q -- "$pattern" "$dir/stderr" || { echo "no '$pattern' in the message"; return 1; }
	[ ! -s "$dir/stdout" ] || { echo "something on stdout"; return 1; }
}

# stopped SIGNAL RUN COMMAND...: starts the command, a training run into RUN, and stops it once it has saved. Several tries, since a
# run may be over by then; fails when none was stopped. The exit code is in $code. A function that puts ${replace_shell:-} before
# the program's name can be the command, so that the signal is the program's.
stopped() {
	stop_signal=$1
	stop_run=$2
	shift 2
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		rm -rf "$stop_run"
		replace_shell="exec" "$@" &
		pid=$!
		while [ ! -e "$stop_run/checkpoint.safetensors" ] && kill -0 "$pid" 2>/dev/null; do
			sleep 0.01
		done
		kill "-$stop_signal" "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
		code=$?
		[ "$code" -eq 0 ] || return 0
	done
	echo "ten runs ended before they could be stopped"
	return 1
}

tap_end() {
	echo "1..$count"
	[ "$failures" -eq 0 ]
}
