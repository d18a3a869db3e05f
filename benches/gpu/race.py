"""Races this library against PyTorch on one GPU, case by case in one run, and prints one table.

    python race.py --binary RACE [--dtypes bf16,f16,f32] [--rounds 15] [--check] [--json FILE] [WORDS ...]

A round of one side follows a round of the other; both are timed by events on the device. PyTorch keeps volumes in
`channels_last_3d`, its convolutions may use TF32 where numbers are `f32`, as this library's do, and cuDNN searches for its
fastest algorithm; the second ratio is against `torch.compile`, where that works. Before the cases the card's rates of a copy
and of a matrix product are measured: the floor of a case is its arithmetic at the one, or its bytes at the other, whichever
is longer; of what is no product of matrices, its bytes. `--check` compares both sides with PyTorch in double precision, and
fails where this library's error is more than twice PyTorch's and than what rounding to the type may cost. CELLSEG3D may name a clone of https://github.com/AdaptiveMotorControlLab/CellSeg3D, whose loss is then raced.

Without a CUDA build of PyTorch its side runs on the CPU, and the numbers mean nothing: for trying this script out.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
import warnings

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]

import peers
from race import Ours, relative_l2

DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
# Computed in f32 whatever the others are: raced once. Neither goes through the matrix units.
SINGLE = ("adam", "soft_ncuts")
# Relative l2 errors that are right beside any peer's: four units of rounding of a type, of tf32 for f32.
ROUNDING = {"bf16": 2**-6, "f16": 2**-9, "f32": 2**-9}
GPU = torch.cuda.is_available()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="texts of names of cases")
    parser.add_argument("--binary", required=True, help="the bench `race`")
    parser.add_argument("--device", default="cuda:0", help="of this library")
    parser.add_argument("--dtypes", default="bf16,f16,f32")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--check", action="store_true", help="compare results with double precision; wrong ones fail")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--json", help="a file to write the numbers to")
    return parser.parse_args()


def seconds(call):
    """What a call takes, by the device's clock."""
    if not GPU:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def least(call, rounds=20):
    for _ in range(3):
        call()
    return min(seconds(call) for _ in range(rounds))


def rates():
    """Bytes a second of a copy, read and written ones counted, and operations a second of a matrix product by type."""
    device, scale = ("cuda", 1) if GPU else ("cpu", 16)
    a = torch.empty(2**30 // scale, dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    found = {"copy": 2 * a.numel() / least(lambda: b.copy_(a))}
    del a, b
    torch.backends.cuda.matmul.allow_tf32 = True
    n = 8192 // scale
    for name, dtype in DTYPES.items():
        x, y = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        found[name] = 2 * n**3 / least(lambda: x @ y)
    return found


def peer_of(what, dtype, compiled):
    """PyTorch's call, warm, or nothing where there is none, and why."""
    peers.use("cuda" if GPU else "cpu", torch.channels_last_3d, compiled)
    torch.compiler.reset()
    try:
        call = peers.call(what, dtype)
        for _ in range(3 if call else 0):
            call()
        return call, ""
    except Exception as why:
        return None, f"{type(why).__name__}: {str(why).splitlines()[0] if str(why) else ''}"


def memory_of(call):
    """The most bytes of tensors during a call, its inputs counted."""
    if not GPU or not call:
        return 0
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


def bytes_of(case, size):
    """Bytes of inputs and outputs, each moved once."""
    what = case["what"]
    if "bytes" in case:
        return case["bytes"] * (1 if what["operation"] in SINGLE else size / 4)
    return size * sum(math.prod(what[name]) for name in ("x", "w", "y") if name in what)


def race(ours, index, calls, rounds):
    """Medians of seconds of each side, in turns; fewer rounds of what takes long."""
    sides = {"ours": [], **{name: [] for name, call in calls.items() if call}}
    start = time.perf_counter()
    for _ in range(rounds):
        sides["ours"].append(ours.ask(f"run {index}")["device"])
        for name, call in calls.items():
            if call:
                sides[name].append(seconds(call))
        if len(sides["ours"]) >= 3 and time.perf_counter() - start > 60:
            break
    return {name: statistics.median(times) for name, times in sides.items()}


def errors(ours, index, what, dtype):
    """Relative l2 errors of both sides against double precision."""
    peers.use("cuda" if GPU else "cpu", torch.contiguous_format, False)
    exact = peers.result(what, double=True)
    run, arrange = peers.BUILDERS[what["operation"]](what, dtype)
    theirs = arrange(run()).detach().float().cpu().numpy().ravel()
    file = f"/dev/shm/cellseg-race-{os.getpid()}" if os.path.isdir("/dev/shm") else f"/tmp/cellseg-race-{os.getpid()}"
    try:
        ours.ask(f"save {index} {file}")
        mine = np.fromfile(file, np.float32)
    finally:
        if os.path.exists(file):
            os.remove(file)
    return relative_l2(mine, exact), relative_l2(theirs, exact)


def is_wrong(mine, theirs, dtype):
    """Whether our error is too large; one that is no number is."""
    return not mine <= max(ROUNDING[dtype], 2 * theirs)


def row(case, dtype, times, floor, limit, peaks, found):
    cell = lambda name: f"{times[name] * 1e3:.3g}" if name in times else "-"
    ratio = lambda name: f"{times[name] / times['ours']:.2f}x" if name in times else "-"
    rate = f"{case['flops'] / times['ours'] / 1e12:.3g} TFLOP/s" if "flops" in case else ""
    moved = f"{bytes_of(case, DTYPES[dtype].itemsize) / times['ours'] / 1e9:.0f} GB/s"
    share = f"{floor * 1e3:.3g} ({limit}), {floor / times['ours']:.0%}"
    cells = [case["name"], dtype, cell("ours"), cell("eager"), cell("compiled"), ratio("eager"), ratio("compiled"), rate, moved,
             share, " / ".join(f"{p / 2**20:.0f}" for p in peaks), " / ".join(f"{e:.0e}" for e in found)]
    return f"| {' | '.join(cells)} |"


def main():
    options = arguments()
    warnings.filterwarnings("ignore")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = True
    import torch._functorch.config as functorch

    functorch.donated_buffer = False  # gradients are asked for more than once
    card = rates()
    results = {"card": card, "torch": torch.__version__, "cases": []}
    name = torch.cuda.get_device_name() if GPU else "no GPU: PyTorch on the CPU, numbers without meaning"
    print(f"\n{name}; {peers.NAME}; copy {card['copy'] / 1e9:.0f} GB/s; products "
          + ", ".join(f"{d} {card[d] / 1e12:.3g} TFLOP/s" for d in DTYPES) + "\n")
    print("| case | type | ours, ms | PyTorch, ms | compiled, ms | ratio | to compiled | arithmetic | traffic "
          "| floor, ms, and share reached | peak MiB | errors |")
    print("|" + "---|" * 12)
    notes, wrong, to_check = [], [], 0
    for position, dtype in enumerate(options.dtypes.split(",")):
        ours = Ours(options.binary, os.cpu_count(), "--device", options.device, "--dtype", dtype)
        if position == 0:
            results["device"] = ours.ask("device")["name"]
        for index, case in enumerate(ours.cases):
            what = case["what"]
            if options.words and not any(word in case["name"] for word in options.words):
                continue
            if position and what["operation"] in SINGLE:
                continue
            eager, why = peer_of(what, DTYPES[dtype], False)
            if why:
                notes.append(f"{case['name']}, {dtype}: PyTorch does not run it ({why})")
            peaks = [0, memory_of(eager)]
            compiled, why = (None, "") if options.no_compile or not eager else peer_of(what, DTYPES[dtype], True)
            if why:
                notes.append(f"{case['name']}, {dtype}: torch.compile does not take it ({why})")
            for _ in range(3):
                ours.ask(f"run {index}")
            times = race(ours, index, {"eager": eager, "compiled": compiled}, options.rounds)
            checks = options.check and peers.checks(what)
            to_check += checks
            found = errors(ours, index, what, DTYPES[dtype]) if checks and eager else ()
            if found and is_wrong(*found, dtype):
                wrong.append(f"{case['name']}, {dtype}: our error is {found[0]:.1e}, PyTorch's {found[1]:.1e}")
            peaks[0] = ours.ask("stop")["peak"]
            arithmetic = 0 if what["operation"] in SINGLE else case.get("flops", 0) / card[dtype]
            traffic = bytes_of(case, DTYPES[dtype].itemsize) / card["copy"]
            floor, limit = max((arithmetic, "arithmetic"), (traffic, "memory"))
            print(row(case, dtype, times, floor, limit, peaks, found), flush=True)
            results["cases"].append({"name": case["name"], "dtype": dtype, "seconds": times, "floor": floor, "limit": limit,
                                     "peak": peaks, "errors": found})
            del eager, compiled
            if GPU:
                torch.cuda.empty_cache()
        ours.close()
    print("\n".join(["", *notes]))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)
    if to_check and not any(case["errors"] for case in results["cases"]):
        wrong.append("PyTorch ran none of the cases that were to be checked")
    if wrong:
        print("\n".join(["FAILED:", *wrong]))
        sys.exit(1)


if __name__ == "__main__":
    main()
