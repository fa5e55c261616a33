"""Writes a simulated release and prints time, memory, size and how its code frequencies compare with MIMIC-III's.

    python benchmarks/simulate.py --admissions 52726 --out SOMEWHERE [--plot frequencies.png]

SOMEWHERE must not exist, or be empty; it is removed at the end unless ``--keep``. Reads the files back to count what
they hold, so that the table speaks of the release and not of a plan.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np

from nosology.corpora.preparation.folder import building_folder
from nosology.corpora.simulation.release import Release, ReleaseConfig
from nosology.corpora.simulation.release.frequencies import (
    MIMIC3_DOCUMENTS,
    frequency_rows,
    frequency_table,
    plot_frequencies,
)
from nosology.corpora.simulation.release.settings import Form


def main() -> None:
    """Write, measure, read back, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--admissions", type=int, default=MIMIC3_DOCUMENTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--words", type=int, default=1500)
    parser.add_argument("--workers", type=int, default=0, help="0: one a core")
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", action="store_true", help="leave the release there")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    begin = time.perf_counter()
    release = Release(ReleaseConfig(Form.MIMIC3, options.admissions, options.seed, words_per_note=options.words))
    drawn = time.perf_counter() - begin
    with building_folder(options.out, lambda _: False) as building:
        written = release.write(building, compress=options.gzip, workers=options.workers)
    _print_costs(options.workers or os.cpu_count() or 1, drawn, time.perf_counter() - begin, written.size_bytes)
    if not options.gzip:
        _print_files(options.out)
    if options.plot is not None:
        scale = options.admissions / MIMIC3_DOCUMENTS
        plot_frequencies(release.code_counts(), options.plot, f"{options.admissions:,} simulated admissions", scale)
    if not options.keep:
        shutil.rmtree(options.out)


def _print_costs(workers: int, drawn: float, seconds: float, size: int) -> None:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    print(f"{seconds:.0f} s ({drawn:.0f} s of them to draw patients and codes), {processor:.0f} s of processor time, ")
    print(f"{workers} workers, {size / 1e6:,.0f} MB written, {size / 1e6 / seconds:.0f} MB/s; ", end="")
    print(f"at most {own.ru_maxrss / 1e3:.0f} MB of memory, {children.ru_maxrss / 1e3:.0f} MB in a worker\n")


def _print_files(folder: Path) -> None:
    csv.field_size_limit(10**8)
    kinds: Counter[tuple[str, str]] = Counter()
    words = 0
    summaries: set[str] = set()
    with (folder / "NOTEEVENTS.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            kinds[row["CATEGORY"], row["DESCRIPTION"]] += 1
            if row["DESCRIPTION"] == "Report" and row["CATEGORY"] == "Discharge summary":
                summaries.add(row["HADM_ID"])
                words += len(row["TEXT"].split())
    print(frequency_table(frequency_rows(_code_counts(folder, summaries), len(summaries))))
    others = sum(count for (category, _), count in kinds.items() if category != "Discharge summary")
    addenda = kinds["Discharge summary", "Addendum"]
    print(
        f"\n{len(summaries):,} summaries of {words / len(summaries):,.0f} words, {addenda:,} addenda, "
        f"{others:,} other notes ({others / len(summaries):.1%})"
    )


def _code_counts(folder: Path, admissions: set[str]) -> np.ndarray:
    counts: Counter[tuple[str, str]] = Counter()
    for name in ("DIAGNOSES_ICD", "PROCEDURES_ICD"):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
            counts.update((name, row["ICD9_CODE"]) for row in csv.DictReader(lines) if row["HADM_ID"] in admissions)
    return np.array(list(counts.values()), dtype=np.int64)


if __name__ == "__main__":
    main()
