"""Races the program `cellseg` against a script of PyTorch and MONAI, whole processes, from a TIFF to class probabilities.

    python benches/volume.py VOLUME.tif [--weights W.pth] [--threads 1,2] [--rounds 3] [--isa avx2]

needs `pip install torch monai tifffile imagecodecs numpy`, and the program built by `cargo build --release`. Both sides
look at windows of 64^3 voxels that overlap by a quarter, through a WNet3D of full width with the same weights (random
ones unless a file with a state dict is given), and write the probabilities of both classes as a NumPy file. Printed are
medians of wall and processor time and of peak memory, their ratios, and how many voxels change their class between them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EDGE, OVERLAP, SIGMA = 64, 0.25, 0.25


def monai(volume, weights, out):
    """The peer: what a user of MONAI writes."""
    import numpy
    import tifffile
    import torch
    from monai.inferers import sliding_window_inference

    from peers import UNet

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    network = UNet(1, 2, 64).eval()
    state = torch.load(weights, weights_only=True)
    network.load_state_dict({name.removeprefix("encoder."): t for name, t in state.items()})
    x = torch.from_numpy(tifffile.imread(volume).astype(numpy.float32))[None, None]
    with torch.inference_mode():
        classes = lambda x: torch.softmax(network(x), 1)
        maps = sliding_window_inference(x, (EDGE,) * 3, 1, classes, OVERLAP, mode="gaussian", sigma_scale=SIGMA)
    numpy.save(out, maps[0].numpy())


def run(command, threads, isa):
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    if isa:
        env["CELLSEG_ISA"] = isa
        env["ONEDNN_MAX_CPU_ISA"] = isa
    start = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"volume.py: {command[0]} failed")
    return {"wall": wall, "processor": usage.ru_utime + usage.ru_stime, "MiB": usage.ru_maxrss / 1024}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volume")
    parser.add_argument("--weights")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--isa", help="the instruction set of both sides")
    parser.add_argument("--program", default=os.path.join(ROOT, "target/release/cellseg"))
    options = parser.parse_args()

    import numpy

    with tempfile.TemporaryDirectory() as folder:
        weights = options.weights
        if weights is None:
            import torch

            from peers import UNet

            torch.manual_seed(0)
            weights = os.path.join(folder, "weights.pth")
            torch.save({f"encoder.{name}": t for name, t in UNet(1, 2, 64).state_dict().items()}, weights)
        ours, theirs = (os.path.join(folder, name) for name in ("ours.npy", "theirs.npy"))
        sides = {
            "cellseg": [options.program, "predict", options.volume, "--model", "wnet3d", "--weights", weights]
            + ["--window", str(EDGE), "--output", ours, "--force"],
            "PyTorch + MONAI": [sys.executable, os.path.abspath(__file__), "--monai", options.volume, weights, theirs],
        }
        print("| threads | | wall, s | processor, s | peak MiB |\n|---|---|---|---|---|")
        for threads in map(int, options.threads.split(",")):
            rounds = {side: [] for side in sides}
            for _ in range(options.rounds):
                for side, command in sides.items():
                    rounds[side].append(run(command, threads, options.isa))
            median = {s: {k: statistics.median(r[k] for r in v) for k in v[0]} for s, v in rounds.items()}
            for side, m in median.items():
                print(f"| {threads} | {side} | {m['wall']:.2f} | {m['processor']:.2f} | {m['MiB']:.0f} |", flush=True)
            mine, peer = median.values()
            print(f"| {threads} | ratio | " + " | ".join(f"{peer[k] / mine[k]:.2f}x" for k in mine) + " |", flush=True)
        a, b = numpy.load(ours), numpy.load(theirs)
        changed = a.argmax(0) != b.argmax(0)
        margin = numpy.abs(b[0] - b[1])[changed].max() if changed.any() else 0.0
        print(f"\n{changed.sum()} of {changed.size} voxels change their class; the largest margin of one is {margin:.1e}; "
              f"probabilities differ by at most {numpy.abs(a - b).max():.1e}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--monai"]:
        monai(*sys.argv[2:])
    else:
        main()
