"""Run every benchmark of this folder, one after another, and print their tables.

python benchmarks/run.py [NAME ...]

A benchmark is a module here that prints its own table; it says so itself where it needs NOSOLOGY_DATA and has none.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; the exit code is 1 if any of them failed."""
    known = {path.stem: path for path in sorted(FOLDER.glob("*.py")) if path.name != Path(__file__).name}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = [name for name in names or known if not _run(known[name])]
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _run(path: Path) -> bool:
    print(f"\n=== {path.stem} " + "=" * (70 - len(path.stem)), flush=True)
    started = time.perf_counter()
    code = subprocess.run([sys.executable, str(path)], check=False).returncode
    outcome = "" if code == 0 else f", exit code {code}"
    print(f"--- {path.stem}: {time.perf_counter() - started:.0f} s{outcome}", flush=True)
    return code == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
