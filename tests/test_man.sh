#!/bin/bash
# Manual pages and completions, which come from the same tables as --help: a page of every command, as man and mandoc like them,
# with every option; and what a real bash and a real zsh complete.
set -u
ringclr=${RINGCLR:-./ringclr}
case $ringclr in /*) ;; *) ringclr=$PWD/$ringclr ;; esac
RINGCLR=$ringclr
. tests/helper_tap.sh
cd "$dir" || exit 1
export LC_ALL=C
PATH=$(dirname "$ringclr"):$PATH
export PATH

commands=$(ringclr --help | sed -n 's/^  \([a-z]*\)  .*/\1/p')
modes=$(ringclr bench --help | sed -n 's/^  \([a-z]*\)  .*/\1/p')
ringclr man -o pages || exit 1

page_of_each() {
	[ -n "$modes" ] && [ -s pages/ringclr.1 ] || return 1
	for name in $commands; do [ -s "pages/ringclr-$name.1" ] || { echo "no page of $name"; return 1; }; done
	for mode in $modes; do [ -s "pages/ringclr-bench-$mode.1" ] || { echo "no page of bench $mode"; return 1; }; done
	[ "$(find pages -type f | wc -l)" -eq $(($(echo "$commands $modes" | wc -w) + 1)) ] || { ls pages; return 1; }
}

# A line of help begins with the option in a column; a page has it with roff's hyphens.
options_in_pages() {
	for page in pages/*.1; do
		name=${page#pages/ringclr}
		name=${name%.1}
		words=${name//-/ }
		# shellcheck disable=SC2086 # a command and its mode
		for option in $(ringclr $words --help | sed -n 's/^  \(-.,\|   \) --\(\[no-\]\)\{0,1\}\([a-z0-9-]*\).*/\3/p'); do
			grep -qF -- "${option//-/\\-}\\f" "$page" || { echo "$page: no --$option"; return 1; }
		done
	done
}

same_again() {
	ringclr man -o again && diff -r pages again && ringclr man pack >pack.1 && cmp pack.1 pages/ringclr-pack.1 &&
		ringclr man bench read >read.1 && cmp read.1 pages/ringclr-bench-read.1
}

groff_likes() {
	command -v man >/dev/null || { echo "no man"; return 77; }
	for page in pages/*.1; do
		LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null | tee -a warnings
	done
	[ ! -s warnings ]
}

mandoc_likes() {
	command -v mandoc >/dev/null || { echo "no mandoc"; return 77; }
	# Pages have no date, on purpose.
	mandoc -Tlint -W warning pages/*.1 2>&1 | grep -v 'missing date, using ""' | tee lint
	[ ! -s lint ]
}

shows_text() {
	command -v man >/dev/null || { echo "no man"; return 77; }
	LC_ALL=C.UTF-8 MANWIDTH=100 man -l pages/ringclr-pack.1 | col -b >text
	grep -q "^SYNOPSIS" text || { cat text; return 1; }
	grep -q "ringclr pack \[OPTION\]... IN... --output FILE" text || { cat text; return 1; }
	grep -q "'_(\[a-z\]+)\[0-9\]\*\\\\.jpg\\$'" text || { cat text; return 1; }
}

# completes EXPECTED WORD...: with the last word half typed, bash offers just these (sorted, separated by spaces).
ringclr completion bash >ringclr.bash
completes() {
	expected=$1
	shift
	got=$(bash --norc --noprofile -c '
		. ./ringclr.bash
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_ringclr
		printf "%s\n" "${COMPREPLY[@]}"' bash "$@" | sort -u | tr '\n' ' ')
	[ "$got" = "$expected " ] || { echo "got '$got', not '$expected '"; return 1; }
}
touch a.ring set.json notes.txt
mkdir folder

bash_sound() {
	bash -n ringclr.bash
}
bash_commands() { completes "export extract" ringclr ex && completes "repair report reshuffle" ringclr re; }
bash_options() { completes "--jobs --json" ringclr pack --j && completes "--full" ringclr verify --f; }
bash_choices() { completes "webp webp-lossless" ringclr pack --codec w && completes "fail" ringclr pack --bad = f && completes "auto none" ringclr pack --dictionary ""; }
bash_files() { completes "a.ring again folder pages set.json" ringclr verify "" && completes "notes.txt" ringclr pack -o no; }
bash_modes() { completes "kernels" ringclr bench k && completes "--depth --direct" ringclr bench read --d; }

zsh_sound() {
	command -v zsh >/dev/null || { echo "no zsh"; return 77; }
	ringclr completion zsh >_ringclr && zsh -n _ringclr
}
# A zsh on a terminal of its own, at which Tab is pressed twice.
zsh_completes() {
	command -v zsh >/dev/null || { echo "no zsh"; return 77; }
	cat >driver.zsh <<'Z'
zmodload zsh/zpty || exit 77
zpty shell zsh -f -i
zpty -w shell "PS1='> ' fpath=($PWD \$fpath) && autoload -Uz compinit && compinit -u -d $PWD/dump && zstyle ':completion:*' list-colors '' && print ready"
sleep 2
zpty -n -w shell "$1"$'\t\t'
sleep 2
while zpty -r -t shell part; do print -rn -- "$part"; done
zpty -d shell
Z
	zsh -f driver.zsh 'ringclr resh' >seen 2>&1
	grep -q 'ringclr resh.*uffle' seen || { cat -v seen; return 1; }
	zsh -f driver.zsh 'ringclr pack --cod' >seen 2>&1
	grep -q -- '--codec' seen || { cat -v seen; return 1; }
}

wrong_usage() {
	fails 2 "no page of" ringclr man frobnicate && fails 2 "one for bash and one for zsh" ringclr completion fish
}

ok "every command and mode has a page, and there are no others" page_of_each
ok "every option of --help is in the page" options_in_pages
ok "pages are the same bytes each time" same_again
ok "groff has nothing to warn of" groff_likes
ok "mandoc has nothing to warn of" mandoc_likes
ok "man shows usage and examples as they are typed" shows_text
ok "the completion for bash is sound" bash_sound
ok "bash completes commands" bash_commands
ok "bash completes options" bash_options
ok "bash completes words that options take" bash_choices
ok "bash completes shards, sets and files" bash_files
ok "bash completes modes and their options" bash_modes
ok "the completion for zsh is sound" zsh_sound
ok "zsh completes commands and options" zsh_completes
ok "what there is no page or completion of is refused" wrong_usage
tap_end
