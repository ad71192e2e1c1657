#!/bin/sh
# The source tree keeps its own rules: which folder may include which, headers that compile alone, unique file names, no
# exit() in library code, nothing of one machine in any file, a licence line and a bounded length for every C file.
#
# Each rule is a function that prints one line per violation in the tree it stands in. The rules are run on this
# checkout, and, to show that they can fail, on small made-up trees with one violation each.
#
# shellcheck disable=SC2317 # rules are called by a name put together from parts
set -u
: "${CC:=gcc}"
root=$(pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/ringclr-test-tree.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT

# Files of the project below the current folder: what git tracks or would track; without git, all but build outputs.
list_files() {
	if [ -e .git ] && command -v git >/dev/null 2>&1; then
		git -c core.quotePath=false ls-files --cached --others --exclude-standard
	else
		find . -type f ! -path './build/*' ! -path './.git/*' ! -path './demo/*' ! -name ringclr | sed 's|^\./||'
	fi | while IFS= read -r file; do
		[ -f "$file" ] && printf '%s\n' "$file"
	done | sort
}

list_sources() { list_files | grep -E '\.[ch]$'; }

# pipeline <- io, pipeline <- model, {pipeline, io, model} <- stages <- tools; tests see all; examples in docs see what is installed.
rule_folder_graph() {
	list_sources | while IFS= read -r file; do
		awk -v file="$file" '
		BEGIN {
			may["pipeline"] = " pipeline "
			may["io"] = " pipeline io "
			may["model"] = " pipeline model "
			may["stages"] = " pipeline io model stages "
			may["tools"] = " pipeline io model stages tools "
			may["tests"] = " pipeline io model stages tools tests "
			may["docs"] = " "
			folder = file; sub(/\/.*/, "", folder)
			if (!(folder in may)) print file ": C files live in pipeline, io, model, stages, tools, tests or docs"
		}
		/^[ \t]*#[ \t]*include[ \t]*"/ {
			path = $0; sub(/^[^"]*"/, "", path); sub(/".*/, "", path)
			target = path; sub(/\/.*/, "", target)
			where = file ":" FNR ": "
			if (index(path, "/") == 0 || path ~ /\.\./)
				print where "\"" path "\": include paths start at the root of the tree"
			else if (index(may[folder], " " target " ") == 0)
				print where folder "/ must not include \"" path "\""
		}' "$file"
	done
}

# With warnings as errors, included twice (the guard), under CC and under clang-14 where it is installed.
rule_headers_alone() {
	packages=$(sed -n 's/^PACKAGES *:= *//p' "$root/Makefile")
	# shellcheck disable=SC2086 # a list of words
	flags="-I. -D_GNU_SOURCE -std=gnu17 -Wall -Wextra -Werror $(pkg-config --cflags $packages 2>/dev/null)"
	for compiler in "$CC" clang-14; do
		command -v "${compiler%% *}" >/dev/null 2>&1 || continue
		list_files | grep '\.h$' | while IFS= read -r header; do
			# shellcheck disable=SC2086 # lists of words
			printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
				$compiler $flags -DISA=portable -DISA_portable=1 -fsyntax-only -x c - >"$scratch/log" 2>&1 ||
				echo "$header: does not compile alone with $compiler: $(grep -m1 -E 'error' "$scratch/log")"
		done
	done
}

# Aside from settings that tools look for by name (.ci/..., tests/.clang-tidy).
rule_unique_names() {
	list_files | grep -vE '(^|/)\.' | awk -F/ '{
		if ($NF in first) print $0 ": same file name as " first[$NF]
		else first[$NF] = $0
	}'
}

# Comments and strings are blanked first, line by line, so that prose may say "exit (2)".
rule_no_exit() {
	list_sources | grep -E '^(pipeline|io|model|stages)/' | while IFS= read -r file; do
		awk -v file="$file" '
		{
			line = $0; code = ""
			while (line != "") {
				if (inside) {
					at = index(line, "*/")
					if (!at) break
					line = substr(line, at + 2); inside = 0
				} else if (match(line, /^"([^"\\]|\\.)*"/) || match(line, /^\047([^\047\\]|\\.)*\047/)) {
					line = substr(line, RLENGTH + 1)
				} else if (substr(line, 1, 2) == "//") {
					break
				} else if (substr(line, 1, 2) == "/*") {
					line = substr(line, 3); inside = 1
				} else {
					code = code substr(line, 1, 1); line = substr(line, 2)
				}
			}
			if (match(code, /(^|[^A-Za-z0-9_])(exit|_exit|_Exit|quick_exit|abort)[ \t]*\(/))
				print file ":" FNR ": library code returns an error instead of ending the program"
		}' "$file"
	done
}

# Paths of one machine and references to a tracker. Written so that this file does not match itself.
rule_no_machine() {
	list_files | while IFS= read -r file; do
		grep -InHiE '(^|[^A-Za-z0-9_.~])/(wor[k]|hom[e]|roo[t]|User[s])(/|[^A-Za-z0-9_]|$)|issu[e] ?#[0-9]*' "$file"
	done | sed 's/$/   <- names a machine or a tracker/'
}

rule_licence_line() {
	list_sources | while IFS= read -r file; do
		[ "$(head -n 1 "$file")" = "/* SPDX-License-Identifier: Apache-2.0 */" ] ||
			echo "$file:1: the first line must be the SPDX licence line"
	done
}

rule_length() {
	list_sources | while IFS= read -r file; do
		lines=$(wc -l <"$file")
		[ "$lines" -lt 700 ] || echo "$file: $lines lines; split it below 700"
	done
}

number=0
failures=0
# result NAME [REPORT]: TAP for the status of the command before it; the report is shown when it failed.
result() {
	status=$?
	number=$((number + 1))
	if [ $status -eq 0 ]; then
		echo "ok $number - $1"
	else
		failures=$((failures + 1))
		echo "not ok $number - $1"
		printf '%s\n' "${2:-}" | sed 's/^/# /'
	fi
}

# holds RULE TEXT: this checkout has no violation.
holds() {
	report=$("rule_$1")
	[ -z "$report" ]
	result "$2" "$report"
}

# catches RULE FILE CONTENT...: a made-up tree, clean but for FILE, is found guilty, and of FILE alone.
catches() {
	rule=$1
	file=$2
	shift 2
	made_up
	mkdir -p "$(dirname "$file")"
	printf '%s\n' "$@" >"$file"
	report=$("rule_$rule")
	case $report in
	"$file:"*) true ;;
	*) false ;;
	esac
	result "$rule finds: $file: $(printf '%s' "$*" | tail -c 50 | tr '\n#' '  ')" "$report"
	cd "$root" || exit 1
}

spdx='/* SPDX-License-Identifier: Apache-2.0 */'
# Enters a fresh made-up tree that keeps every rule, with what a careless rule would trip over.
made_up() {
	rm -rf "$scratch/tree"
	mkdir -p "$scratch/tree/pipeline" "$scratch/tree/io" "$scratch/tree/tools" "$scratch/tree/docs"
	cd "$scratch/tree" || exit 1
	printf '%s\n' "$spdx" '#ifndef A' '#define A' '#include <stdint.h>' 'uint32_t clean(uint32_t x);' '#endif' >pipeline/clean.h
	printf '%s\n' "$spdx" '#include "pipeline/clean.h"' '/* it may exit (2) here,' ' * or abort() */' \
		'const char *text(void);' 'const char *text(void) { return "say \"exit(2)\""; } // exit(1)' \
		'int my_exit(int); int on_exit_(void); /* a network/worker */' >io/reader.c
	printf '%s\n' "$spdx" '#include <stdlib.h>' 'int main(void) { exit(0); }' >tools/main.c
	printf '%s\n' 'A frame/work of /workers; the issue is that ./home and ~/work differ: /tmp/x.' >docs/words.md
}

echo 1..23
holds folder_graph "folders include only what they may"
holds headers_alone "each header compiles alone ($CC and clang-14)"
holds unique_names "file names are unique"
holds no_exit "library folders never call exit() or abort()"
holds no_machine "no file names a machine or a tracker"
holds licence_line "C files open with the licence line"
holds length "C files stay under 700 lines"

made_up
report=$(for rule in folder_graph headers_alone unique_names no_exit no_machine licence_line length; do "rule_$rule"; done)
[ -z "$report" ]
result "a clean made-up tree passes every rule" "$report"
cd "$root" || exit 1

catches folder_graph pipeline/low.c "$spdx" '#include "io/reader.h"'
catches folder_graph io/io.c "$spdx" '#include "model/net.h"'
catches folder_graph model/net.h "$spdx" '#include "io/shard.h"'
catches folder_graph stages/read.c "$spdx" '  #  include  "tools/options.h"'
catches folder_graph tools/pack.c "$spdx" '#include "options.h"'
catches folder_graph docs/examples/example.c "$spdx" '#include "stages/loader.h"'
catches headers_alone io/needs_more.h "$spdx" 'size_t needs_stddef(void);'
catches headers_alone io/no_guard.h "$spdx" 'struct twice { int x; };'
catches unique_names tools/reader.c "$spdx"
catches no_exit io/quits.c "$spdx" '/* why */ void f(void) { if (1) exit (2); }'
catches no_exit model/dies.c "$spdx" 'abort();'
catches no_machine docs/notes.md "see /wor""k/main for more"
catches no_machine tools/tool.sh "# fixes issu""e #12"
catches licence_line io/bare.c '#include <stdio.h>'
catches length io/long.c "$spdx" "$(yes '' | head -n 705 | sed 's/$/;/')"

exit $((failures > 0))
