#!/bin/sh
# pack, killed with SIGKILL at random moments and started again with --resume, ends with the same bytes. KILL_ROUNDS rounds (20) in
# each of three ways to pack; KILL_SEED chooses the moments.
set -u
. tests/helper_tap.sh
case $ringclr in /*) ;; *) ringclr=$PWD/$ringclr ;; esac
python=/usr/bin/python3
if ! $python -c 'import PIL, numpy' 2>/dev/null; then
	echo "1..0 # SKIP no PIL for $python"
	exit 0
fi
cd "$dir" || exit 1

$python - <<'PY'
import os, numpy as np
from PIL import Image
rng = np.random.default_rng(2)
os.makedirs("images/a"), os.makedirs("images/b")
for i in range(60):
    data = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(data).save(f"images/{'ab'[i % 2]}/{i:04d}.png")
for i in range(0, 60, 10):
    data = open(f"images/a/{i:04d}.png", "rb").read()
    open(f"images/b/{i:04d}twin.png", "wb").write(data)
    open(f"images/a/{i:04d}cut.png", "wb").write(data[:999])
PY
find images -name '*.png' | LC_ALL=C sort | tar -cf images.tar -T -

cat >rounds.py <<'PY'
# rounds.py RINGCLR ROUNDS SEED ARGUMENTS...: kills and resumes, and compares every file of the output.
import glob, os, random, shutil, subprocess, sys, time
ringclr, rounds, seed, arguments = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
for folder in ("whole", "made"):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
start = time.monotonic()
subprocess.run([ringclr, "pack", *arguments, "-o", "whole/x.ring"], check=True, **quiet)
span = time.monotonic() - start
def contents(folder):
    return {os.path.basename(path): open(path, "rb").read() for path in glob.glob(folder + "/*") if os.path.isfile(path)}
whole, kills, taken_up = contents("whole"), 0, 0
random.seed(seed)
for number in range(rounds):
    shutil.rmtree("made"), os.makedirs("made")
    # A run that has come to its end is not started again: it would make the set anew, under new names. It may have been killed
    # while it tidied up.
    finished = lambda: (os.path.exists("made/x.ring") or os.path.exists("made/x.json")) and not (
        glob.glob("made/*.partial/commit.json") or glob.glob("made/*.partial/*.part")
    )
    for attempt in range(2):
        if finished():
            break
        run = subprocess.Popen([ringclr, "pack", *arguments, "--resume", "-o", "made/x.ring"], **quiet)
        try:
            run.wait(random.uniform(0, span))
        except subprocess.TimeoutExpired:
            run.kill()
            kills += 1
        run.wait()
    taken_up += len(glob.glob("made/*.partial")) > 0
    if not finished():
        subprocess.run([ringclr, "pack", *arguments, "--resume", "-o", "made/x.ring"], check=True, **quiet)
        assert not glob.glob("made/*.partial"), number
    made = contents("made")
    assert made.keys() == whole.keys(), (number, made.keys(), whole.keys())
    assert all(made[name] == whole[name] for name in whole), number
assert kills >= rounds // 2, f"{kills} kills"
print(f"{kills} kills, {taken_up} times there was something to go on with")
PY
common="--codec webp-lossless --bad skip --zstd 0 --block 8K --dictionary none"
rounds() {
	# shellcheck disable=SC2086 # options
	$python rounds.py "$ringclr" "${KILL_ROUNDS:-20}" "${KILL_SEED:-1}" $common "$@"
}
ok "a folder" rounds images
ok "a shuffled archive without duplicates, with a validation part" rounds images.tar --shuffle 4 --dedupe drop --validation 0.3
ok "a set of shards" rounds images --shuffle 5 --shard-size 30K

tap_end
