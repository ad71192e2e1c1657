# SPDX-License-Identifier: Apache-2.0
"""TAP for Python tests, as helper_tap.sh is for shell scripts: a line a result, finish() last."""
import sys

count = failures = 0


def result(passed, name, why=""):
    """why: shown when it has failed, its last lines."""
    global count, failures
    count += 1
    failures += not passed
    print(f"{'ok' if passed else 'not ok'} {count} - {name}")
    if not passed and why:
        print("\n".join("# " + line for line in str(why).splitlines()[-30:]))


def skip(name, why):
    global count
    count += 1
    print(f"ok {count} - {name} # SKIP {why}")


def finish():
    print(f"1..{count}")
    sys.exit(failures > 0)
