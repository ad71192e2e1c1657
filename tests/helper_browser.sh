# shellcheck shell=sh
# Pages as a reader's browser sees them. Sourced behind helper_tap.sh; $chromium is empty where there is no browser.

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)

# The browser's errors and those of a page's scripts and styles go to its log.
browse() {
	timeout 60 "$chromium" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --user-data-dir="$dir/browser" \
		--enable-logging=stderr "$@" 2>"$dir/browser.log"
}

# in_browser FILE N: it opens without an error, and has N charts.
in_browser() {
	browse --dump-dom "file://$1" >"$dir/dom" || return 1
	grep CONSOLE "$dir/browser.log" && return 1
	drawn=$(grep -o '<svg class="chart"' "$dir/dom" | wc -l)
	echo "$drawn charts, not $2"
	[ "$drawn" -eq "$2" ] && grep -q "</html>" "$dir/dom"
}
