"""How long the code index takes to build, to open cold, and to answer; prints one table.

python benchmarks/codes_index.py
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nosology.codes import SYSTEMS, CodeSystem, map_code, open_code_system

_COLD_START = """
import time
start = time.perf_counter()
from nosology.codes import open_code_system
imported = time.perf_counter()
open_code_system({name!r}).description('I10')
print(imported - start, time.perf_counter() - imported)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NOSOLOGY_CACHE"] = folder
        print(f"{'system':<10} {'nodes':>8} {'build s':>8} {'MB':>6} {'import s':>9} {'open s':>8}")
        for name in SYSTEMS:
            build_seconds = _seconds(lambda name=name: open_code_system(name))
            imported, opened = _cold_start(name)
            size = sum(path.stat().st_size for path in Path(folder).glob(f"{name}-*")) / 1e6
            count = len(open_code_system(name))
            print(f"{name:<10} {count:>8,} {build_seconds:>8.2f} {size:>6.1f} {imported:>9.3f} {opened:>8.4f}")
        print()
        _time_queries(open_code_system("icd10cm"))


def _time_queries(system: CodeSystem) -> None:
    codes = random.Random(0).sample([code for code, _, _ in system.entries()], 2000)
    map_code("I10", "icd10cm", "icd9cm")  # the maps' own index is built on first use
    mapped = [code for code in codes if "-" not in code]
    for name, call, items in (
        ("get", system.get, codes),
        ("description", system.description, codes),
        ("ancestors", system.ancestors, codes),
        ("siblings", system.siblings, codes),
        ("map_code", lambda code: map_code(code, "icd10cm", "icd9cm"), mapped),
        ("search, 2 words", system.search, ["heart failure", "hip fracture", "type 2 diabetes", "renal calculus"] * 10),
    ):
        print(f"{name:<16} {_median_microseconds(call, items):>9.1f} µs (median of {len(items)})")
    print(f"{'entries()':<16} {_seconds(lambda: list(system.entries())):>9.3f} s for all")


def _cold_start(name: str) -> tuple[float, float]:
    """Seconds to import and to open and query, in a new process; the best of three."""
    runs: list[tuple[float, float]] = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", _COLD_START.format(name=name)], capture_output=True, text=True, check=True
        )
        imported, opened = done.stdout.split()
        runs.append((float(imported), float(opened)))
    return min(runs, key=sum)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _median_microseconds(call: Callable[[str], object], items: list[str]) -> float:
    return 1e6 * statistics.median(_seconds(lambda item=item: call(item)) for item in items)


if __name__ == "__main__":
    main()
