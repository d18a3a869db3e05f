"""Counts instructions of small cases of `race` with callgrind, and compares them with what `instructions.json` says.

    python3 benches/instructions.py [--record] [--binary target/release/deps/race-...]

needs valgrind. An instruction count is the same however busy the machine is, so it tells a slower kernel from a noisy
neighbour. It is that of one thread and of AVX2, the widest set that valgrind knows, and of a whole round: what a gradient
needs from the forward pass is counted with it. A case fails where it takes over 3 % more instructions than recorded;
`--record` writes the counts of now. Counts belong to one compiler: with another one nothing is compared.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

from build import ROOT, build

RECORD = os.path.join(ROOT, "benches", "instructions.json")
TOLERANCE = 0.03
# Texts of names: each picks cases that valgrind runs within seconds.
CASES = ["conv3d 64->64 3x3x3 /1,1,1 at 16x16x16", "conv_transpose3d 64->32", "soft_ncuts approximate"]


def instructions(binary, index, calls):
    """Instructions of the whole process that does one case so many times."""
    env = {**os.environ, "RAYON_NUM_THREADS": "1", "CELLSEG_ISA": "avx2"}
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", binary, "--bench"]
        done = subprocess.run(command, env=env, input=f"run {index}\n" * calls, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        sys.exit(f"instructions.py: valgrind failed\n{done.stderr[-2000:]}")
    return int(found[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--binary", help="the bench `race`, built already")
    options = parser.parse_args()
    binary = options.binary or build()
    listed = subprocess.run([binary, "--bench"], input="list\n", check=True, capture_output=True, text=True).stdout
    names = [case["name"] for case in json.loads(listed)]
    chosen = [(i, name) for i, name in enumerate(names) if any(text in name for text in CASES)]
    # What the second and third call add is free of the start of the process and of first-time work.
    counts = {name: (instructions(binary, i, 3) - instructions(binary, i, 1)) // 2 for i, name in chosen}
    compiler = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if options.record:
        with open(RECORD, "w") as file:
            json.dump({"compiler": compiler, "instructions": counts}, file, indent=1)
            file.write("\n")
    if not os.path.exists(RECORD):
        sys.exit("nothing is recorded yet: run with --record")
    with open(RECORD) as file:
        recorded = json.load(file)
    if recorded["compiler"] != compiler:
        print(f"not compared: recorded with {recorded['compiler']}, this is {compiler}")
        recorded["instructions"] = {}
    worse = []
    for name, count in counts.items():
        before = recorded["instructions"].get(name)
        change = f"{count / before - 1:+.1%}" if before else "not recorded"
        print(f"{count:>14,}  {change:>12}  {name}")
        if before and count > before * (1 + TOLERANCE):
            worse.append(name)
    if worse:
        sys.exit("more instructions than recorded; if that is meant, run with --record and say why in the commit")


if __name__ == "__main__":
    main()
