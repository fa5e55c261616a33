"""How long it takes to split and to describe a corpus of MIMIC-III's size: own split, stats, near duplicates.

The split is timed on a label matrix drawn with MIMIC-III's published frequencies (52,726 documents, 8,929 codes); its
evenness is compared with a random split by patient. The rest is timed on a prepared folder: PREPARED if it is given,
else simulated and prepared here, with 5,000 admissions or as many as you say (52,726 take some minutes and 1 GB).

Usage: python benchmarks/stats.py [PREPARED | ADMISSIONS]
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nosology.corpora.stratification import stratified_split

DOCUMENTS, LABELS, MEAN_LABELS = 52_726, 8_929, 15.9
# Documents a code at these shares of the codes, in MIMIC-III full.
SHARES, FREQUENCIES = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1), (1, 1, 2, 6, 28, 137, 1_550, 20_046)
FRACTIONS = {"train": 0.75, "dev": 0.1, "test": 0.15}
BANDS = ((1, 1), (2, 10), (11, 50), (51, 500), (501, DOCUMENTS))
ADMISSIONS = 5_000

Ints = NDArray[np.int64]


def main(arguments: list[str]) -> None:
    time_split()
    given = arguments[0] if arguments else str(ADMISSIONS)
    if not given.isdigit():
        time_stats(Path(given))
        return
    with tempfile.TemporaryDirectory() as folder:
        time_stats(prepared(Path(folder), int(given)))


@contextmanager
def timed(what: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"{what:58} {time.perf_counter() - wall:7.1f} s wall {time.process_time() - cpu:7.1f} s processor")


def label_matrix(seed: int = 0) -> tuple[list[str], Ints, NDArray[np.int32]]:
    """Patients, and labels as rows, of a corpus with MIMIC-III's code frequencies."""
    rng = np.random.default_rng(seed)
    frequencies = np.exp(np.interp(np.sort(rng.random(LABELS)), SHARES, np.log(FREQUENCIES)))
    frequencies *= DOCUMENTS * MEAN_LABELS / frequencies.sum()
    counts = np.clip(np.round(frequencies), 1, DOCUMENTS // 2).astype(np.int64)
    documents = np.concatenate([rng.choice(DOCUMENTS, count, replace=False) for count in counts])
    labels = np.repeat(np.arange(LABELS), counts)
    order = np.lexsort((labels, documents))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(documents, minlength=DOCUMENTS))])
    patients = [f"p{one}" for one in rng.integers(0, int(0.8 * DOCUMENTS), DOCUMENTS)]
    return patients, indptr.astype(np.int64), labels[order].astype(np.int32)


def time_split() -> None:
    patients, indptr, indices = label_matrix()
    print(f"own split: {DOCUMENTS:,} documents of {len(set(patients)):,} patients, {len(indices):,} labels")
    with timed("iterative stratification, patients grouped"):
        ours = stratified_split(patients, indptr, indices, FRACTIONS, seed=0)
    names, members = np.unique(patients, return_inverse=True)
    random = np.random.default_rng(0).choice(3, len(names), p=list(FRACTIONS.values()))[members]
    sizes = ", ".join(f"{name} {size:,}" for name, size in zip(FRACTIONS, np.bincount(ours), strict=True))
    print(f"sizes: {sizes}")
    print("mean |share of a code in a split - due share|, by documents a code:")
    for low, high in BANDS:
        errors = [share_error(split, indptr, indices, low, high) for split in (ours, random)]
        print(f"  {low:>3} to {high:<6} stratified {errors[0]:.4f}   random by patient {errors[1]:.4f}")


def share_error(split: NDArray[np.integer], indptr: Ints, indices: NDArray[np.int32], low: int, high: int) -> float:
    counts = np.zeros((3, LABELS))
    np.add.at(counts, (np.repeat(split, np.diff(indptr)), indices), 1)
    totals = counts.sum(axis=0)
    kept = (totals >= low) & (totals <= high)
    due = np.array(list(FRACTIONS.values()))[:, None]
    return float(np.abs(counts[:, kept] / totals[kept] - due).mean())


def prepared(folder: Path, admissions: int) -> Path:
    """Simulate and prepare MIMIC-III with the commands that anyone would use."""
    steps = (
        ["simulate", "mimic3", "--admissions", str(admissions), "--out", str(folder / "raw")],
        ["prepare", "mimic3", "--raw", str(folder / "raw"), "--out", str(folder / "prepared")],
    )
    for step in steps:
        subprocess.run([sys.executable, "-m", "nosology", *step], check=True, capture_output=True)
    return folder / "prepared"


def time_stats(path: Path) -> None:
    from nosology.codes import FrequencyBands
    from nosology.corpora.near_duplicates import find_near_duplicates
    from nosology.corpora.prepared import open_prepared
    from nosology.corpora.statistics import Wishes, describe_corpus, table_of_folder
    from nosology.corpora.statistics.plots import draw_plots

    with timed("\nreading encounters and labels"):
        table = table_of_folder(open_prepared(path))
    with timed("all figures, words counted"):
        figures = describe_corpus(table, Wishes(FrequencyBands.named("published")))
    words = figures.lengths[0]
    print(f"  {figures.documents:,} documents, {figures.notes:,} notes, {words.tokens / 1e6:.1f} million words")
    with timed("plots"):
        print(f"  {len([figure.canvas.draw() for _, figure in draw_plots(figures)])} plots")
    print(f"peak memory so far {peak():.0f} MB")
    with timed("near duplicates, Jaccard 0.8, runs of 5 words"):
        found = find_near_duplicates(table.texts)
    print(f"  {len(found.pairs):,} pairs in {found.notes:,} notes; peak memory {peak():.0f} MB")


def peak() -> float:
    """Highest resident memory of this process in MB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
