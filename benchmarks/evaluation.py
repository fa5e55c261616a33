"""How fast everything is measured, and in how much memory, beside scikit-learn's calls for the same figures.

Each case runs in a process of its own, so that its peak memory is its own. Scores and gold codes are made up: code
frequencies fall as in MIMIC-III, gold codes score higher than others on average.

Usage: python benchmarks/evaluation.py [--small]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

from nosology.evaluation import BootstrapPlan, Judgements, evaluate_judged, judge_dense, judge_file
from nosology.evaluation.draws import draw_groups
from nosology.evaluation.figures import figure_replicates
from nosology.evaluation.judgements import judge
from nosology.types import Encounter, GoldCode, Note

DENSE, SPARSE, TOP = (3372, 8921), (20_000, 70_000), 200
CODES_PER_NOTE = 15.9
Pairs = tuple[np.ndarray, np.ndarray]
BOOTSTRAPPED = ["micro.f1", *(f"macro.f1.{name}" for name in ("caml", "all_labels", "labels_in_split"))]
LIMITS = {"dense": (5.0, 1.5), "bootstrap": (5.0, 1.5), "sparse": (30.0, 3.0), "file": (30.0, 3.0)}
TITLES = {
    "dense": "all figures, dense scores",
    "sklearn": "the same figures by scikit-learn",
    "bootstrap": "1,000 replicates of micro- and macro-F1",
    "sparse": f"all figures, {TOP} scores a note",
    "file": f"all figures from a predictions file, {TOP} scores a note",
}


# --- data -----------------------------------------------------------------------------------------------------------


def gold_pairs(n_notes: int, n_labels: int, rng: np.random.Generator) -> Pairs:
    """Rows and columns, no pair twice; label frequencies fall as 1 / rank."""
    weight = 1.0 / np.arange(1, n_labels + 1)
    drawn = rng.choice(n_labels, size=int(n_notes * CODES_PER_NOTE * 1.15), p=weight / weight.sum())
    keys = np.unique(rng.integers(0, n_notes, len(drawn)) * n_labels + drawn)
    return keys // n_labels, keys % n_labels


def dense_case(n_notes: int, n_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Gold (boolean) and scores (single precision)."""
    rng = np.random.default_rng(0)
    rows, columns = gold_pairs(n_notes, n_labels, rng)
    gold = np.zeros((n_notes, n_labels), dtype=np.bool_)
    gold[rows, columns] = True
    score = rng.standard_normal((n_notes, n_labels), dtype=np.float32)
    score[rows, columns] += np.float32(3.0)
    score -= np.float32(3.5)
    score *= np.float32(-2.0)
    np.exp(score, out=score)
    score += np.float32(1.0)
    np.reciprocal(score, out=score)  # the sigmoid of 2 (z - 3.5), z normal, 3 higher for gold
    return gold, score


def sparse_case(
    n_notes: int, n_labels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Rows, columns and scores of the best candidates, and gold pairs, four in five of them among the candidates."""
    rng = np.random.default_rng(0)
    gold = gold_pairs(n_notes, n_labels, rng)
    found = rng.random(len(gold[0])) < 0.8
    others = rng.integers(0, n_notes * n_labels, n_notes * TOP)
    keys = np.concatenate([(gold[0] * n_labels + gold[1])[found], others])
    score = np.concatenate([0.2 + 0.7 * rng.random(found.sum()), 0.6 * rng.random(len(others)) ** 3])
    keys, first = np.unique(keys, return_index=True)
    rows, columns, score = keys // n_labels, keys % n_labels, score[first]
    order = np.lexsort((-score, rows))
    rows, columns, score = rows[order], columns[order], score[order]
    kept = np.arange(len(rows)) - np.searchsorted(rows, rows) < TOP
    return rows[kept], columns[kept], score[kept], gold


def names(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}{i}" for i in range(count))


# --- cases: each returns seconds of wall time and of the processor ---------------------------------------------------


def clocked(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def run_dense(size: tuple[int, int]) -> tuple[float, float]:
    gold, score = dense_case(*size)
    assigned = score > 0.5
    counts = {str(i): int(n) for i, n in enumerate(gold.sum(axis=0))}
    return clocked(lambda: evaluate_judged(judge_dense(gold, score, assigned), intervals=False, train_counts=counts))


def run_bootstrap(size: tuple[int, int]) -> tuple[float, float]:
    gold, score = dense_case(*size)
    judged = judge_dense(gold, score, score > 0.5)
    plan = BootstrapPlan(replicates=1000)
    return clocked(lambda: figure_replicates(judged, draw_groups(judged.encounter_ids, plan), BOOTSTRAPPED))


def run_sparse(size: tuple[int, int]) -> tuple[float, float]:
    rows, columns, score, gold = sparse_case(*size)

    def judged() -> Judgements:
        return judge(
            names("e", size[0]), names("c", size[1]),
            candidates=(rows, columns), score=score, assigned=score > 0.5, gold=gold,
        )  # fmt: skip

    counts = dict.fromkeys(names("c", size[1]), 1)
    return clocked(lambda: evaluate_judged(judged(), intervals=False, train_counts=counts))


def run_file(size: tuple[int, int]) -> tuple[float, float]:
    rows, columns, score, gold = sparse_case(*size)
    codes: list[list[GoldCode]] = [[] for _ in range(size[0])]
    for row, column in zip(*(array.tolist() for array in gold), strict=True):
        codes[row].append(GoldCode(f"c{column}", "made up"))
    encounters = [Encounter(f"e{i}", (Note(f"n{i}", ""),), tuple(own)) for i, own in enumerate(codes)]
    counts = dict.fromkeys(names("c", size[1]), 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "predictions.jsonl")
        write_lines(path, rows, columns, score)
        del rows, columns, score, codes
        return clocked(
            lambda: evaluate_judged(
                judge_file(path, encounters, train_counts=counts), encounters, intervals=False, train_counts=counts
            )
        )


def write_lines(path: Path, rows: np.ndarray, columns: np.ndarray, score: np.ndarray) -> None:
    starts = np.searchsorted(rows, np.arange(rows[-1] + 2))
    with path.open("w", encoding="utf-8") as stream:
        for row, (first, last) in enumerate(pairwise(starts)):
            pairs = zip(columns[first:last].tolist(), score[first:last].tolist(), strict=True)
            listed = [{"code": f"c{c}", "probability": p, "assigned": p > 0.5} for c, p in pairs]
            stream.write(json.dumps({"id": f"e{row}", "codes": listed}) + "\n")


def run_sklearn(size: tuple[int, int]) -> tuple[float, float]:
    """scikit-learn's own function for each figure it has one for; labels without gold or without others left out."""
    from scipy.sparse import csr_array
    from sklearn import metrics

    warnings.simplefilter("ignore")
    gold, score = dense_case(*size)
    assigned = score > 0.5
    with_gold = gold.any(axis=0) & ~gold.all(axis=0)
    # laid out row by row: scikit-learn would otherwise copy the whole array for every label
    truth_rows, score_rows = (np.ascontiguousarray(array[:, with_gold]) for array in (gold, score))

    def work() -> None:
        truth, decided = csr_array(gold), csr_array(assigned)
        for average in ("micro", "macro", "weighted", "samples"):
            metrics.precision_recall_fscore_support(truth, decided, average=average, zero_division=0)
        for average in ("micro", "macro"):
            metrics.jaccard_score(truth, decided, average=average, zero_division=0)
            metrics.roc_auc_score(truth_rows, score_rows, average=average)
            metrics.average_precision_score(truth_rows, score_rows, average=average)
        metrics.accuracy_score(truth, decided)
        metrics.label_ranking_average_precision_score(gold, score)
        for k in (5, 8, 15):
            metrics.ndcg_score(gold, score, k=k)

    return clocked(work)


CASES: dict[str, Callable[[tuple[int, int]], tuple[float, float]]] = {
    "dense": run_dense,
    "sklearn": run_sklearn,
    "bootstrap": run_bootstrap,
    "sparse": run_sparse,
    "file": run_file,
}


# --- table ----------------------------------------------------------------------------------------------------------


def size_of(case: str, small: bool) -> tuple[int, int]:
    n_notes, n_labels = SPARSE if case in ("sparse", "file") else DENSE
    return (n_notes // 10, n_labels // 10) if small else (n_notes, n_labels)


def in_own_process(case: str, small: bool) -> tuple[float, float, float]:
    """Seconds of wall time, of the processor, and GB at the peak."""
    command = [sys.executable, __file__, "--case", case, *(["--small"] if small else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall, cpu, peak = json.loads(done.stdout.splitlines()[-1])
    return wall, cpu, peak


def main(arguments: list[str]) -> None:
    small = "--small" in arguments
    if "--case" in arguments:
        case = arguments[arguments.index("--case") + 1]
        seconds = CASES[case](size_of(case, small))
        print(json.dumps([*seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]))
        return
    print(f"{'':52} {'notes x labels':>16} {'s':>7} {'cpu s':>7} {'peak GB':>8}")
    found = dict[str, tuple[float, float, float]]()
    for case, title in TITLES.items():
        found[case] = in_own_process(case, small)
        wall, cpu, peak = found[case]
        n_notes, n_labels = size_of(case, small)
        limit = LIMITS.get(case)
        told = f"  (at most {limit[0]:g} s, {limit[1]:g} GB)" if limit and not small else ""
        print(f"{title:52} {f'{n_notes:,} x {n_labels:,}':>16} {wall:7.2f} {cpu:7.2f} {peak:8.2f}{told}", flush=True)
    ratio = found["sklearn"][1] / found["dense"][1]
    print(f"scikit-learn takes {ratio:.0f} times the processor time (at least 10 wanted)")


if __name__ == "__main__":
    main(sys.argv[1:])
