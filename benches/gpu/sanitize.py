"""Runs a small set of a test program's trials under compute-sanitizer: one of each operation, in bf16 where it has that.

    python sanitize.py PROGRAM [--tools memcheck,racecheck] [--log FOLDER]
"""

import argparse
import os
import re
import subprocess
import sys


def chosen(program):
    """A trial for each first word of the names, the last one in bf16 or the last one of all: tables begin with the smallest."""
    listed = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout
    names = re.findall(r"^(.*): test$", listed, re.MULTILINE)
    found = {}
    for name in names:
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
    for number, trial in enumerate(chosen(options.program)):
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
