#!/bin/sh
# The loader as an installed library: what `make install` puts where, that programs build against it through pkg-config, with the shared
# and the static library, in C and as C++, and that it shows no other symbols than its header's. Prints TAP.
set -u

build=${BUILD:?the folder of the build}
command -v pkg-config >/dev/null 2>&1 || { echo "1..0 # SKIP pkg-config is not installed"; exit 0; }
# shellcheck source=tests/helper_tap.sh
. tests/helper_tap.sh

# The compiler and the sanitizers of the build.
compiler=$(sed 's/ .*//' "$build/flags")
sanitize=$(tr ' ' '\n' <"$build/flags" | grep -E '^-f(no-)?sanitize' | tr '\n' ' ')
warnings="-Wall -Wextra -Wconversion -Wshadow -Wpedantic -Werror"
example=docs/examples/count_labels.c
prefix=/opt/ringclr

installed() {
	make --no-print-directory BUILD="$build" DESTDIR="$dir/root" PREFIX=$prefix install-files &&
		make --no-print-directory BUILD="$build" DESTDIR="$dir/static" PREFIX=$prefix install-files &&
		rm "$dir/static$prefix/lib/"*.so* &&
		(cd "$dir/root$prefix" && find . ! -type d ! -path './share/*' | sort) >"$dir/files" &&
		printf '%s\n' ./bin/ringclr ./include/ringclr.h ./lib/libringclr.a ./lib/libringclr.so ./lib/libringclr.so.0 \
			./lib/pkgconfig/ringclr.pc | diff - "$dir/files" &&
		(cd "$dir/root$prefix/share" && [ -s man/man1/ringclr-pack.1 ] && [ -s ringclr/studies/temperature.ini ] && [ -s bash-completion/completions/ringclr ] && [ -s zsh/site-functions/_ringclr ])
}

# package ROOT OPTION...: pkg-config for what is installed below ROOT.
package() {
	root=$1
	shift
	PKG_CONFIG_PATH="$root$prefix/lib/pkgconfig" pkg-config --define-variable=prefix="$root$prefix" "$@" ringclr
}

# compile WITH OUTPUT ROOT OPTION...: the example. Lists of words are left unquoted.
compile() {
	with=$1
	output=$2
	root=$3
	shift 3
	# shellcheck disable=SC2046,SC2086
	$with $sanitize $warnings -o "$output" "$example" $(package "$root" --cflags "$@" --libs)
}

# The symbols that a library shows, but for those of sanitizers.
shown() {
	nm "$@" --defined-only | awk 'NF >= 3 && $2 ~ /[A-Z]/ && $3 !~ /^(__asan|__ubsan|__tsan|__odr_asan|__sancov|_init|_fini|asan\.|tsan\.)/ { print $3 }' | sort -u
}

declared() {
	sed -n 's/^RINGCLR_API .*[ *]\(ringclr_[a-z_]*\)(.*/\1/p' stages/ringclr.h | sort
}

symbols_are_those_of_the_header() {
	declared >"$dir/declared"
	[ "$(wc -l <"$dir/declared")" -ge 10 ] && shown "$@" | diff "$dir/declared" -
}

needs_little() {
	ldd "$dir/root$prefix/lib/libringclr.so.0" >"$dir/needed" || return 1
	! grep -E 'openblas|archive|gd\.|inih|lbfgs' "$dir/needed"
}

# run PROGRAM: goes through the shard, 40 images of 10 classes.
run() {
	LD_LIBRARY_PATH="$dir/root$prefix/lib" "$1" "$dir/train.ring" >"$dir/printed" || return 1
	cat "$dir/printed"
	grep -q '^40 images, 2 views of 32x32 each: [0-9]* images/s$' "$dir/printed" &&
		[ "$(awk 'NR > 1 { sum += $1 } END { print sum }' "$dir/printed")" = 40 ] && [ "$(wc -l <"$dir/printed")" -gt 3 ]
}

complains() {
	! LD_LIBRARY_PATH="$dir/root$prefix/lib" "$dir/shared" "$dir/nothing.ring" >"$dir/printed" 2>&1 || return 1
	cat "$dir/printed"
	grep -q "^count_labels: .*nothing.ring" "$dir/printed"
}

prepare() {
	"$ringclr" synth "$dir/images" --train 40 --test 10 --size 40 && "$ringclr" pack "$dir/images" --root train -o "$dir/train.ring"
}

# valgrind sees what is lost and what is read before it is written. Of a stripped library: it does not read all of clang's DWARF.
leaks_nothing() {
	mkdir "$dir/stripped" && strip -g -o "$dir/stripped/libringclr.so.0" "$dir/root$prefix/lib/libringclr.so.0" || return 1
	LD_LIBRARY_PATH="$dir/stripped" valgrind -q --leak-check=full --errors-for-leak-kinds=definite,indirect,possible \
		--error-exitcode=9 "$dir/shared" "$dir/train.ring"
}

uninstalled() {
	make --no-print-directory BUILD="$build" DESTDIR="$dir/root" PREFIX=$prefix uninstall &&
		[ -z "$(find "$dir/root" ! -type d)" ]
}

ok "a shard to load" prepare
ok "program, header, libraries, pkg-config file, manual pages and completions are installed" installed
ok "the shared library shows what the header declares" symbols_are_those_of_the_header -D "$dir/root$prefix/lib/libringclr.so.0"
ok "so does the static library" symbols_are_those_of_the_header "$dir/root$prefix/lib/libringclr.a"
ok "the shared library's name is libringclr.so.0" \
	sh -c "readelf -d '$dir/root$prefix/lib/libringclr.so' | grep -q 'SONAME.*\\[libringclr.so.0\\]'"
ok "it needs nothing of training and packing" needs_little
ok "the example builds with the shared library" compile "$compiler -std=c99 -D_GNU_SOURCE" "$dir/shared" "$dir/root"
ok "and runs" run "$dir/shared"
ok "it says what is wrong with a file that is not there" complains
ok "the example builds with the static library" compile "$compiler -std=c17 -D_GNU_SOURCE" "$dir/alone" "$dir/static" --static
ok "and runs" run "$dir/alone"
ok "which needs no libringclr.so" sh -c "! ldd '$dir/alone' | grep libringclr"
for other in g++ clang-14; do
	language=$([ $other = g++ ] && echo "-x c++" || echo "-x c")
	if command -v $other >/dev/null 2>&1; then
		# shellcheck disable=SC2046,SC2086
		ok "$other takes header and example" $other $language $warnings -D_GNU_SOURCE -fsyntax-only $(package "$dir/root" --cflags) $example
	else
		skip "$other takes header and example" "$other is not installed"
	fi
done
if [ -n "$sanitize" ]; then
	skip "no memory is lost" "under a sanitizer, which looks itself"
elif command -v valgrind >/dev/null 2>&1; then
	ok "no memory is lost" leaks_nothing
else
	skip "no memory is lost" "valgrind is not installed"
fi
ok "everything goes away again" uninstalled

tap_end
