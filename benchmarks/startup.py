"""How long the command takes to start: the wall time of fresh processes, best and median; target for --help 0.4 s.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

REPEATS = 9
HELP_TARGET_SECONDS = 0.4
CALLS = {
    "python -c pass": ["-c", "pass"],
    "import nosology": ["-c", "import nosology"],
    "nosology --help": ["-m", "nosology", "--help"],
    "nosology train --help": ["-m", "nosology", "train", "--help"],
    "nosology codes show I10": ["-m", "nosology", "codes", "show", "I10"],
}


def main() -> None:
    """Time every call and print the table."""
    print(f"{'call':<26} {'best s':>7} {'median s':>9}")
    for name, arguments in CALLS.items():
        seconds = [_seconds(arguments) for _ in range(REPEATS + 1)][1:]  # the first fills the file cache
        print(f"{name:<26} {min(seconds):>7.2f} {statistics.median(seconds):>9.2f}{_verdict(name, seconds)}")


def _seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _verdict(name: str, seconds: list[float]) -> str:
    if name != "nosology --help":
        return ""
    reached = statistics.median(seconds) < HELP_TARGET_SECONDS
    return f"  target < {HELP_TARGET_SECONDS} s: {'reached' if reached else 'MISSED'}"


if __name__ == "__main__":
    main()
