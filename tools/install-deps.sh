#!/bin/sh
# Installs the Debian packages that ringclr needs and that are missing.
#
#   tools/install-deps.sh           what the build and the unit tests need
#   tools/install-deps.sh --check   the same, and what `make check` and the comparison tests need
#   tools/install-deps.sh --list    prints both lists and installs nothing
#
# As root it calls apt-get; as a plain user it calls apt-get through sudo; on a system without apt-get it prints the
# list, so that the packages can be installed by that system's own means.
set -eu

build="gcc make pkg-config libc6-dev liburing-dev libopenblas-pthread-dev libwebp-dev libjpeg-dev libturbojpeg0-dev libspng-dev libzstd-dev
libarchive-dev libxxhash-dev libcjson-dev libhwloc-dev liblbfgs-dev libgd-dev libinih-dev libcmocka-dev"
check="clang-14 libclang-rt-14-dev clang-format-14 clang-tidy-14 cppcheck shellcheck spin python3 python3-venv python3-pip
python3-numpy python3-pil python3-torch python3-torchvision zstd zip webp imagemagick g++ valgrind chromium man-db mandoc zsh"

want=$build
case "${1:-}" in
"") ;;
--check) want="$build $check" ;;
--list)
	# shellcheck disable=SC2086 # unquoted: joined by single spaces
	echo build: $build
	# shellcheck disable=SC2086
	echo check: $check
	exit 0
	;;
*)
	echo "usage: tools/install-deps.sh [--check|--list]" >&2
	exit 2
	;;
esac

if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-query >/dev/null 2>&1; then
	# Not a Debian system: say what is needed and let the build find out whether it is there.
	# shellcheck disable=SC2086
	echo "install-deps: no apt-get here; ringclr needs these (Debian's names):" $want >&2
	exit 0
fi

missing=""
for package in $want; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		echo "install-deps: not root and no sudo; ask an administrator to run: apt-get install$missing" >&2
		exit 1
	fi
	as_root=sudo
fi

echo "install-deps: installing$missing" >&2
# An up-to-date package list is only fetched when the one at hand does not do: most machines have one.
# shellcheck disable=SC2086
install_missing() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}
if ! install_missing >/dev/null 2>&1; then
	$as_root apt-get update -q >&2
	if ! install_missing >&2; then
		echo "install-deps: apt-get could not install:$missing; see its message above" >&2
		exit 1
	fi
fi
