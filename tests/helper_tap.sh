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

tap_end() {
	echo "1..$count"
	[ "$failures" -eq 0 ]
}
