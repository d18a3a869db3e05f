"""Races this library against PyTorch, case by case in one run, and prints one table.

    python benches/race.py [--threads 1,2] [--rounds 7] [--check] [WORDS ...]

needs `pip install torch numpy`. WORDS pick cases by their names. Both sides get the same inputs; a round of one follows a
round of the other, so that what else the machine does meets both. The table holds medians of processor time divided by
the number of threads, their ratio, and the most memory that each side held beyond what it held before the case. With
`--check` both results are compared with PyTorch's in double precision. CELLSEG3D may name a clone of
https://github.com/AdaptiveMotorControlLab/CellSeg3D: its own SoftNCutsLoss is then raced, and trained with.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from build import build


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="texts of names of cases")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--check", action="store_true", help="compare results in double precision")
    parser.add_argument("--binary", help="the bench `race`, built already")
    parser.add_argument("--json", help="a file to write the numbers to")
    return parser.parse_args()


class Ours:
    """The bench `race` as a process that does what it is told."""

    def __init__(self, binary, threads, *options):
        env = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([binary, "--bench", *options], env=env, stdin=pipe, stdout=pipe, text=True)
        self.cases = self.ask("list")

    def ask(self, command):
        print(command, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"race.py: the bench ended at `{command}`")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def timed(call):
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}


def relative_l2(found, expected):
    return float(np.linalg.norm(found.astype(np.float64) - expected) / max(np.linalg.norm(expected), 1e-300))


class Memory:
    """The most memory that a process held since `reset`, in MiB more than when this was made (Linux)."""

    def __init__(self, pid):
        self.process = f"/proc/{pid}"
        self.before = self.read("VmRSS")

    def read(self, key):
        with open(f"{self.process}/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(key))

    def reset(self):
        with open(f"{self.process}/clear_refs", "w") as file:
            file.write("5")

    def peak(self):
        return self.read("VmHWM") - self.before


def race(ours, index, peer, options):
    """The seconds of both sides, in turns."""
    rounds = {"ours": [], "peer": []}
    for _ in range(options.rounds):
        for side, call in (("ours", lambda: ours.ask(f"run {index}")), ("peer", lambda: timed(peer))):
            time.sleep(0.03)  # until the other side's threads have stopped to spin
            rounds[side].append(call())
        if len(rounds["ours"]) >= 2 and sum(r["wall"] for side in rounds.values() for r in side) > 120:
            break
    return rounds


def errors(ours, index, what, peers):
    """Relative l2 errors of both sides against double precision."""
    exact = peers.result(what, double=True)
    with tempfile.NamedTemporaryFile() as file:
        ours.ask(f"save {index} {file.name}")
        mine = np.fromfile(file.name, np.float32)
    return relative_l2(mine, exact), relative_l2(peers.result(what), exact)


def main():
    options = arguments()
    os.environ.setdefault("OMP_NUM_THREADS", max(options.threads.split(","), key=int))
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import peers

    binary = options.binary or build()
    results = []
    print(f"| case | threads | ours, ms | {peers.NAME}, ms | ratio | of wall time | peak MiB | errors |")
    print("|---|---|---|---|---|---|---|---|")
    for threads in map(int, options.threads.split(",")):
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]) if threads == 1 else range(os.cpu_count()))
        peers.set_threads(threads)
        ours = Ours(binary, threads)
        for index, case in enumerate(ours.cases):
            name, what = case["name"], case["what"]
            if options.words and not any(w in name for w in options.words):
                continue
            memory = [Memory(ours.process.pid), Memory(os.getpid())]
            peer = peers.call(what)
            if peer is None:
                continue
            ours.ask(f"run {index}"), peer()
            for side in memory:
                side.reset()
            rounds = race(ours, index, peer, options)
            peaks = [side.peak() for side in memory]
            del peer
            median = {s: {k: statistics.median(r[k] for r in v) for k in ("wall", "processor")} for s, v in rounds.items()}
            mine, theirs = (median[s]["processor"] / threads * 1e3 for s in ("ours", "peer"))
            wall = median["peer"]["wall"] / median["ours"]["wall"]
            found = errors(ours, index, what, peers) if options.check and peers.checks(what) else ()
            ours.ask("stop")
            shown = [" / ".join(f"{p:.0f}" for p in peaks), " / ".join(f"{e:.0e}" for e in found)]
            cells = [name, threads, f"{mine:.3g}", f"{theirs:.3g}", f"{theirs / mine:.2f}x", f"{wall:.2f}x", *shown]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
            results.append({"name": name, "threads": threads, **median, "peak": peaks, "errors": found})
        ours.close()
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
