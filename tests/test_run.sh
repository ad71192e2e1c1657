#!/bin/sh
# tests/run must not be fooled: each case gives it a made-up checkout with one program and checks the last line, the
# exit status and, where it matters, a line of the report.
set -u
runner=$(pwd)/tests/run
folder=$(mktemp -d "${TMPDIR:-/tmp}/ringclr-test-run.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/tests" "$folder/build/tests"
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
		sed 's/^/# /' report
	fi
}

# program BODY: the made-up cmocka program is a shell script.
program() {
	touch tests/test_made_up.c
	{ echo '#!/bin/sh' && printf '%s\n' "$1"; } >build/tests/test_made_up
	chmod +x build/tests/test_made_up
}

# expect EXIT LAST-LINE: runs the runner.
expect() {
	TEST_TIMEOUT=${limit:-20} "$runner" build ${filter:+"$filter"} >report 2>&1
	code=$?
	[ "$code" -eq "$1" ] && [ "$(tail -n 1 report)" = "$2" ]
}

echo 1..18

program 'echo 1..2; echo "ok 1 - a"; echo "ok 2 - b"'
expect 0 "2 passed, 0 failed, 0 skipped"
result "a passing program"

program 'echo 1..2; echo "ok 1 - a"; echo "not ok 2 - b"; echo "# 0x1 != 0x2"; echo "# not ok - group"; exit 1'
expect 1 "1 passed, 1 failed, 0 skipped" && grep -q '| # 0x1 != 0x2' report
result "a failing program, its output shown"

program 'echo 1..2; echo "ok 1 - a"; echo "needs more memory"; echo "not ok 2 # SKIP b"; echo "# ok - group"'
expect 0 "1 passed, 0 failed, 1 skipped" && grep -q 'skipped: b: needs more memory' report
result "a skip as cmocka 1.1.5 prints it, with the reason printed before"

program 'echo 1..2; echo "ok 1 - a # SKIP no torch here"; echo "ok 2 - b"'
expect 0 "1 passed, 0 failed, 1 skipped" && grep -q 'skipped: a: no torch here' report
result "a skip as TAP has it"

program 'echo "1..0 # SKIP no such hardware"'
expect 0 "0 passed, 0 failed, 1 skipped" && grep -q 'no such hardware' report
result "a program that skips everything"

program 'echo 1..3; echo "ok 1 - a"; kill -SEGV $$'
expect 1 "1 passed, 1 failed, 0 skipped" && grep -q 'killed by signal 11' report
result "a crash"

program 'echo 1..3; echo "ok 1 - a"; exit 0'
expect 1 "1 passed, 1 failed, 0 skipped" && grep -q 'printed 1 results of 3' report
result "a program that ends early with status 0"

program 'echo "all is well"'
expect 1 "0 passed, 1 failed, 0 skipped" && grep -q 'no TAP plan' report
result "a program without TAP"

program 'echo 1..1; echo "ok 1 - a"; exit 66'
expect 1 "1 passed, 1 failed, 0 skipped" && grep -q 'exit status 66' report
result "a sanitizer's exit status after passing tests"

program 'echo 1..1; echo "not ok 1 - a"; exit 0'
expect 1 "0 passed, 2 failed, 0 skipped"
result "a failed test with status 0"

program 'echo 1..1; sleep 60'
limit=1 expect 1 "0 passed, 1 failed, 0 skipped" && grep -q 'stopped after 1 s' report
result "a hang"

program 'trap "echo 1..1; echo \"ok 1 - interrupted\"; exit 0" INT; kill -INT $$; exit 1'
expect 0 "1 passed, 0 failed, 0 skipped"
result "SIGINT is not ignored inside a test"

# shellcheck disable=SC2016 # expands in the program
program 'echo 1..2; for v in "$BUILD" "$RINGCLR"; do [ -n "$v" ] && echo "ok - set"; done | sed "s/^ok/ok 1/"'
expect 0 "2 passed, 0 failed, 0 skipped"
result "BUILD and RINGCLR are set"

filter=nothing_like_it
expect 1 "0 passed, 0 failed, 0 skipped" && grep -q 'no test matches' report
result "nothing ran"
filter=""

rm build/tests/test_made_up
expect 1 "0 passed, 1 failed, 0 skipped" && grep -q 'not built' report
result "a test that was not built"

rm tests/test_made_up.c
program 'echo 1..1; echo "ok 1 - stale"'
rm tests/test_made_up.c
printf '#!/bin/sh\necho 1..1\necho "ok 1 - script"\n' >tests/test_script.sh
chmod +x tests/test_script.sh
expect 0 "1 passed, 0 failed, 0 skipped" && grep -q '^test_script.sh ' report
result "a script runs; a program without a source does not"

chmod -x tests/test_script.sh
expect 1 "0 passed, 1 failed, 0 skipped" && grep -q 'not executable' report
result "a script that is not executable"

"$runner" /nonexistent >report 2>&1
[ $? -eq 2 ]
result "a build folder that is not there"

exit $((failures > 0))
