"""Runs a small set of a test program's trials under compute-sanitizer: one of each operation, in bf16 where it has that.
Fails where one of them does, or where the program has none that runs on this machine.

    python sanitize.py PROGRAM [--tools memcheck,racecheck] [--log FOLDER]
"""

import argparse
import os
import re
import subprocess
import sys


def chosen(program):
    """For each first word of the names its last trial in bf16, or its last one: what comes first in a table is the smallest,
    and leaves most of a kernel out."""

    def names(*options):
        listed = subprocess.run([program, "--list", *options], check=True, capture_output=True, text=True).stdout
        return re.findall(r"^(.*): test$", listed, re.MULTILINE)

    ignored = set(names("--ignored"))
    found = {}
    for name in names():
        if name in ignored:
            continue
        word = re.search(r"[A-Za-z_]+", name)[0]
        if "BF16" in name or "BF16" not in found.get(word, ""):
            found[word] = name
    return list(found.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--tools", default="memcheck,racecheck")
    parser.add_argument("--log", default="results")
    options = parser.parse_args()
    failed = 0
    trials = chosen(options.program)
    if not trials:
        sys.exit(f"FAILED: {options.program} has no trial that runs here")
    for number, trial in enumerate(trials):
        for tool in options.tools.split(","):
            command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", options.program, "--exact", trial]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            verdict = "ok"
            if done.returncode:
                failed += 1
                log = os.path.join(options.log, f"{tool}-{os.path.basename(options.program)}-{number}.txt")
                with open(log, "w") as file:
                    file.write(done.stdout)
                verdict = f"FAILED, see {log}"
            print(f"{tool}: {trial}: {verdict}", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
