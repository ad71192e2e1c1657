#!/bin/sh
# ringclr bench: every mode runs on a tiny net, its figures are there and are possible ones, the same net gives the same
# loss on any number of threads, and mistakes get the exit codes and messages of the other commands.
#
# How fast anything is cannot be tested; that no figure is beyond what a machine can do, can.
set -u
ringclr=$(realpath "${RINGCLR:-./ringclr}")
folder=$(mktemp -d "${TMPDIR:-/tmp}/ringclr-test-bench.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1

number=0
failures=0
result() {
	status=$?
	number=$((number + 1))
	if [ $status -eq 0 ]; then
		echo "ok $number - $1"
	else
		failures=$((failures + 1))
		echo "not ok $number - $1"
		sed 's/^/# /' out err 2>/dev/null
	fi
}

skip() {
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}

# bench EXIT ARGUMENT...
bench() {
	expected=$1
	shift
	"$ringclr" bench "$@" >out 2>err
	code=$?
	if [ $code -ne "$expected" ] || grep -q Sanitizer: err; then
		echo "exit code $code, not $expected: ringclr bench $*" >>err
		return 1
	fi
}

# says FILE TEXT...: every text is in the file.
says() {
	file=$1
	shift
	for text in "$@"; do
		grep -qF -- "$text" "$file" || {
			echo "missing in $file: $text" >>err
			return 1
		}
	done
}

# json CODE: python that gets the object as r, and fails by assert.
if command -v python3 >/dev/null 2>&1; then
	json() {
		python3 -c '
import json, math, sys
r = json.load(open("out"))
def positive(o, *names):
    for name in names:
        value = o[name]
        assert isinstance(value, (int, float)) and math.isfinite(value) and value > 0, (name, value)
exec(sys.argv[1])
' "$1" 2>>err
	}
else
	echo "1..0 # SKIP no python3 to read JSON with"
	exit 0
fi

tiny="--width 0.125 --size 16 --views 8"

echo 1..31

bench 2 && says err "usage: ringclr bench MODE" peak step kernels read && [ ! -s out ]
result "no mode: the three are explained, exit code 2"
bench 0 --help && says out "usage: ringclr bench MODE" "ringclr bench step --model" && [ ! -s err ] && cp out help &&
	"$ringclr" help bench >out 2>err && cmp out help 2>>err && "$ringclr" help >out && says out "  bench "
result "--help, 'ringclr help bench' and the list of commands have it"
bench 2 stpe && says err "no mode 'stpe'; did you mean step?" "kernels" && [ ! -s out ]
result "a mode misspelt: exit code 2 and the near one"
bench 0 peak --help && says out "--buffer SIZE" "Examples:" && bench 0 step --help &&
	says out "--steps N" "--precision fp32|bf16|auto" "--conv auto|direct|winograd" "--[no-]check" "Examples:" &&
	bench 0 kernels --help && says out "--turns N" "Examples:"
result "each mode has help with examples"

bench 0 peak --threads 2 --buffer 8M --json && json '
assert r["threads"] == 2
assert "portable" in r["fp32_gflops"]
for rate in list(r["fp32_gflops"].values()) + list(r["bf16_gflops"].values()): positive(rate, "one", "all")
assert set(r["memory_gb_per_s"]) == {"read", "write", "copy"}
for rate in r["memory_gb_per_s"].values(): positive(rate, "one", "all")
# A thread does between 1 GFLOP/s and what no core does; a loop that was optimised away would be over it.
for rate in r["fp32_gflops"].values(): assert 1 < rate["one"] < 1000, rate
for rate in r["memory_gb_per_s"].values(): assert 0.1 < rate["one"] < 5000, rate'
result "peak --json: multiply-adds and memory, one thread and all"
bench 0 peak --threads 1 --buffer 1M && says out "multiply-add" "portable" "GFLOP/s" "read" "write" "copy" "GB/s" "1 thread"
result "peak prints a table"
if grep -qs avx512_bf16 /proc/cpuinfo; then
	bench 0 peak --threads 1 --buffer 1M --json &&
		json 'assert 1 < r["bf16_gflops"]["avx512bf16"]["one"] < 2000'
	result "peak measures bf16 products where the processor has them"
else
	skip "peak measures bf16 products where the processor has them" "this one has none"
fi

# shellcheck disable=SC2086 # several words
bench 0 step $tiny --steps 3 --threads 1 --json && json '
positive(r, "views_per_s_median", "views_per_s_best", "peak_mib", "plan_mib", "loss", "flops_per_view", "gflops_effective")
assert (r["model"], r["size"], r["views"], r["threads"], r["steps"]) == ("resnet18", 16, 8, 1, 3)
assert (r["precision"], r["conv"]) == ("fp32", "auto")
assert r["views_per_s_best"] >= r["views_per_s_median"]
assert abs(r["gflops_effective"] - r["views_per_s_median"] * r["flops_per_view"] * 1e-9) < 1e-6 * r["gflops_effective"]
c = r["check"]
assert 0 <= c["z_error"] < c["z_error_most"] and 0 <= c["gradient_error"] < c["gradient_error_most"] <= 1e-2, c
assert 0 < c["gradient_error"], "the check compares the reference with itself"
assert c["gradient_worst"]
open("loss1", "w").write(repr(r["loss"]))'
result "step --json: fields are there, agree, and the check has passed"
# The net that the test before left in `out`, counted once more from the shapes of ResNet-18.
json '
def macs(w, size):
    c = [max(8, round(b * w)) for b in (64, 128, 256, 512)]
    total, data, side, cin = size * size * 9 * 3 * c[0], 0, size, c[0]
    first = total
    for stage, cout in enumerate(c):
        for block in range(2):
            stride = 2 if stage > 0 and block == 0 else 1
            side //= stride
            total += side * side * 9 * (cin * cout + cout * cout)
            if stride == 2: total += side * side * cin * cout
            cin = cout
    return 3 * (total + cin * cin + cin * 128) - first
assert r["flops_per_view"] == 2 * macs(0.125, 16), (r["flops_per_view"], 2 * macs(0.125, 16))'
result "flops_per_view counts three passes of every layer but the first one's data gradient"
# shellcheck disable=SC2086
bench 0 step $tiny --steps 3 --threads 2 --json && json 'assert repr(r["loss"]) == open("loss1").read(), r["loss"]'
result "the same loss, bit for bit, with 2 threads as with 1"
# shellcheck disable=SC2086
bench 0 step $tiny --steps 3 --seed 2 --no-check --json &&
	json 'assert repr(r["loss"]) != open("loss1").read(); assert "check" not in r'
result "another seed is another loss; --no-check leaves the check out"
# shellcheck disable=SC2086
bench 0 step $tiny --steps 4 --no-check --json && json 'assert repr(r["loss"]) != open("loss1").read()'
result "weights move from step to step"
# shellcheck disable=SC2086
bench 0 step $tiny --steps 1 && says out "views/s median" "best of 1 steps" "check: " "GFLOP/s" "MiB planned" "loss "
result "step prints text"
bench 0 step --model resnet50 --width 0.125 --size 40 --views 6 --stem imagenet --head mlp3 --head-dim 24 --conv direct \
	--steps 1 --json && json 'assert (r["model"], r["conv"]) == ("resnet50", "direct"); positive(r, "loss")'
result "step with bottlenecks, the large stem and a deeper head"
# shellcheck disable=SC2086
bench 0 step $tiny --isa portable --head none --steps 1 --json && json 'assert r["isa"] == "portable"; positive(r, "loss")'
result "step with the portable kernels and no head"
# shellcheck disable=SC2086
bench 0 step $tiny --steps 1 --precision auto --json && json 'assert r["precision"] in ("fp32", "bf16"); positive(r, "loss")'
result "--precision auto says what it took"

# shellcheck disable=SC2086
bench 0 kernels $tiny --threads 2 --turns 1 --json && json '
positive(r, "peak_gflops_fp32", "ms", "ms_per_view")
layers = r["layers"]
assert sum(l["layers"] for l in layers) == 20 + 2, "20 convolutions and 2 dense layers"
assert any(l["layers"] == 4 and l["in"] == [16, 16, 8] == l["out"] and l["kernel"] == 3 for l in layers)
assert "data" not in layers[0], "nobody wants the gradient of the views"
for l in layers:
    for name in ("forward", "weights") + (("data",) if l is not layers[0] else ()):
        f = l[name]
        positive(f, "ms", "gflops", "share_of_peak", "bytes", "gb_per_s")
        assert f["path"]
        k, o = l["kernel"], l["out"]
        flops = 2 * k * k * l["in"][2] * o[0] * o[1] * o[2] * r["views"]
        assert abs(f["gflops"] * f["ms"] * 1e6 - flops) < 1e-6 * flops, l
for name in ("forward", "data", "weights"):
    total = sum(l["layers"] * l[name]["ms"] for l in layers if name in l)
    assert abs(r["sums"][name]["ms"] - total) < 1e-6 * total
assert abs(r["ms"] - sum(s["ms"] for s in r["sums"].values())) < 1e-6 * r["ms"]
assert abs(r["ms_per_view"] * r["views"] - r["ms"]) < 1e-6 * r["ms"]'
result "kernels --json: all layers, three passes, sums that add up"
# shellcheck disable=SC2086
bench 0 kernels $tiny --turns 1 && says out "16x16x8 -> 16x16x8 3x3/1" " x4 " forward data weights sum "ms a view"
result "kernels prints a table"

# Raw images of 40 x 40 pixels, each in a block of its own.
"$ringclr" synth --train 60 --test 0 --size 40 shapes >out 2>err &&
	"$ringclr" pack shapes/train --codec raw --zstd 0 --block 4K -o large.ring >out 2>err &&
	bench 0 read large.ring --reads 500 --check --json && json '
positive(r, "mb_per_s", "reads_per_s", "latency_us_p50", "latency_us_p99", "mean_depth", "seconds")
assert r["reads"] == 500 and r["bytes"] == 500 * 8192, "4800 bytes and two heads are two pages"
assert r["latency_us_p50"] <= r["latency_us_p99"] and r["mean_depth"] <= 32.5
assert abs(r["mb_per_s"] * r["seconds"] * 1e6 - r["bytes"]) < 1e-6 * r["bytes"]'
result "read --json: so many reads of so many bytes, and no more in flight than asked for"
for how in "--direct" "--io pread --order window --window 7" "--order sequential --cold --depth 1" "--slots 3 --depth 2"; do
	# shellcheck disable=SC2086
	bench 0 read large.ring --reads 130 --check $how && says out "MB/s" "reads/s of 8.0 KiB" "in flight of"
	all_read=$?
	[ $all_read -eq 0 ] || break
done
[ "$all_read" -eq 0 ]
result "read by every engine and order, past the page cache and through it"
cp large.ring damaged.ring && printf x | dd of=damaged.ring bs=1 seek=13000 conv=notrunc 2>err &&
	bench 1 read damaged.ring --order sequential --reads 60 --check && says err damaged.ring &&
	bench 0 read damaged.ring --order sequential --reads 60 && bench 1 read nowhere.ring && bench 2 read
result "read --check finds damage; a file that is not there"

"$ringclr" pack shapes/train --codec webp -o small.ring >out 2>err &&
	bench 0 views small.ring --size 16 --turns 3 --seconds 0.1 --batch 16 --second-view --json && json '
positive(r, "images_per_s", "images_per_s_best", "decode_ms", "augment_ms", "image_bytes", "threads", "size")
assert r["images_per_s"] <= r["images_per_s_best"] and r["size"] == 16 and r["threads"] == 1
assert r["views_per_image"] == 2 and r["views"].startswith("2x crop(") and r["decode"] == "needed"
assert r["second_view_cost"] > -1'
result "views --json: images/s, what they cost, and what a second view costs"
bench 0 views small.ring --size 16 --turns 1 --seconds 0.1 --views "3x crop flip" --isa portable --decode full &&
	says out "an image being 3 views of 16 pixels" "on 1 processor" "ms on decoding"
result "views of another policy, by other kernels"
bench 0 views small.ring --size 8 --views "1x crop(0.9,1)" --quality --quality-images 20 --json && json '
assert r == {"views": 20, "views_equal": 20}, r' && bench 0 views large.ring --quality && says out "are the same floats"
result "views --quality: what is decoded as needed is what a whole image gives"
bench 2 views small.ring --threads 200 && says err "--threads 200" && bench 2 views small.ring --views flop &&
	says err "flop" && bench 1 views nowhere.ring && bench 2 views &&
	bench 2 views small.ring --views "1x crop" --second-view && says err "--second-view" &&
	bench 2 views small.ring --quality --decode full && says err "--quality"
result "views: more threads than processors, a policy and a file that are not there"

bench 2 step --views 7 && says err "ringclr bench step: --views 7 is odd" && bench 2 kernels --views 7
result "an odd number of views"
bench 2 step --model resnet19 && says err "resnet19" && bench 2 kernels --width 0 && bench 2 step --precision fp8 &&
	says err "fp8" && bench 2 step --conv fft && bench 2 step --steps 0 && bench 2 peak --buffer 1K
result "values that make no sense: exit code 2"
bench 2 step --stepz 3 && says err "--stepz" && bench 2 peak more && says err "'more'" && bench 2 peak --views 8
result "options and operands that are not there"
bench 2 step --isa mmx && says err "mmx" && bench 2 peak --pin x
result "an instruction set and processors that are not there"
# shellcheck disable=SC2086
bench 1 step $tiny --no-check --mem 100K && says err "--mem" && bench 1 kernels $tiny --mem 100K
result "--mem refuses a plan that is larger"
printf 'threads = 1\n[bench]\nviews = 4\nwidth = 0.125\nsize = 8\n[train]\nepochs = 3\n' >bench.ini
bench 0 step --config bench.ini --steps 1 --no-check --json && json 'assert (r["views"], r["threads"]) == (4, 1)'
result "--config: modes read the section [bench]"

exit $((failures > 0))
