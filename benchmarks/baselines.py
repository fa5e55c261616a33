"""One logistic regression a code, all codes together, beside scikit-learn's OneVsRestClassifier on the same vectors.

python benchmarks/baselines.py [--labels N] [--notes N --codes N]

Vectors are TF-IDF of train: CodiEsp's Spanish diagnoses where NOSOLOGY_DATA has them (all their codes), and simulated
discharge summaries. Ours fits every code; scikit-learn, which takes minutes to hours for these, fits a random ``N`` of
them (0: all), and both are scored on those codes. F1 is micro-F1 on dev at the best threshold of each, so that nothing
but the regressions differs. Processor time of one thread.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nosology.baselines.logistic import fit_sparse_logistic
from nosology.baselines.vectors import NoteVector, TfidfVectors
from nosology.config import CodiespConfig, CorpusConfig, SimulatedConfig
from nosology.corpora import open_corpus
from nosology.knowledge.stream import build_stream
from nosology.ranking.source import TrainingExample, TrainingSet
from nosology.types import Corpus, Encounter

KEPT = 2000
"""Weights a label that the baseline keeps."""
LARGEST_DIFFERENCE = 0.001
"""Of F1 from a scikit-learn that has converged; with its default tolerance lbfgs stops early."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Vectors and labels of train and dev.

    Args:
        train, dev: sparse ``[encounter, n-gram]``.
        holders: for each label, the training encounters that carry it.
        gold: bool ``[dev encounter, label]``.
    """

    train: Any
    dev: Any
    holders: list[NDArray[np.int64]]
    gold: NDArray[np.bool_]


def make_problem(corpus: Corpus) -> Problem:
    """Vectors of words and word pairs that occur in two training encounters or more."""
    from scipy.sparse import csr_matrix

    train, dev = corpus.split("train"), corpus.split("dev")
    examples = tuple(TrainingExample(build_stream(one), one.codes or ()) for one in train)
    vectors, matrix = TfidfVectors.fit(TrainingSet(examples), 2, 2)
    read: list[NoteVector] = [vectors.read(build_stream(one)) for one in dev]
    pointers = np.cumsum([0, *(len(one.columns) for one in read)])
    values, columns = (
        np.concatenate(parts) for parts in zip(*((one.values, one.columns) for one in read), strict=True)
    )
    codes = sorted({code for one in train for code in one.code_set})
    holders = [np.flatnonzero([code in one.code_set for one in examples]) for code in codes]
    shape = (len(read), matrix.shape[1])
    return Problem(matrix, csr_matrix((values, columns, pointers), shape=shape), holders, gold_of(list(dev), codes))


def gold_of(encounters: Sequence[Encounter], codes: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([[code in one.code_set for code in codes] for one in encounters], dtype=np.bool_)


def best_f1(logits: NDArray[np.float64], gold: NDArray[np.bool_]) -> float:
    """Micro-F1 at the threshold that is best on these very pairs."""
    right = gold.ravel()[np.argsort(-logits.ravel(), kind="stable")]
    return float((2 * np.cumsum(right) / (np.arange(1, len(right) + 1) + gold.sum())).max())


def measure(name: str, problem: Problem, sample: int, strength: float) -> None:
    """Print one block: ours on all labels and on the sample, scikit-learn on the sample."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    n, width = problem.train.shape
    labels = len(problem.holders)
    chosen = np.sort(np.random.default_rng(0).choice(labels, min(sample or labels, labels), replace=False))
    print(f"\n{name}: {n:,} encounters x {width:,} n-grams, {labels:,} labels, C = {strength:g}")
    print(f"{'':<32}{'seconds':>10}{'ms a label':>12}{'F1':>8}")
    started = time.process_time()
    weights, intercepts = fit_sparse_logistic(problem.train, problem.holders, strength=strength, kept=KEPT)
    ours = time.process_time() - started
    kept = problem.dev @ weights[:, chosen].toarray() + intercepts[chosen]
    tell(f"ours, {KEPT:,} weights a label", ours, labels, best_f1(kept, problem.gold[:, chosen]))
    whole, own = fit_sparse_logistic(
        problem.train, [problem.holders[one] for one in chosen], strength=strength, kept=width
    )
    f1 = best_f1(problem.dev @ whole.toarray() + own, problem.gold[:, chosen])
    print(f"{'ours, all weights':<54}{f1:>8.4f}", flush=True)
    targets = np.zeros((n, len(chosen)), dtype=np.int64)
    for column, label in enumerate(chosen.tolist()):
        targets[problem.holders[label], column] = 1
    best, their_f1 = float("inf"), 0.0
    for solver, tolerance in (("liblinear", 1e-4), ("lbfgs", 1e-4), ("lbfgs", 1e-7)):
        model = OneVsRestClassifier(LogisticRegression(C=strength, solver=solver, tol=tolerance, max_iter=5000))
        started = time.process_time()
        model.fit(problem.train, targets)
        theirs = time.process_time() - started
        their_f1 = best_f1(model.decision_function(problem.dev).reshape(len(problem.gold), -1), problem.gold[:, chosen])
        tell(f"OneVsRest, {solver}, tol {tolerance:g}", theirs, len(chosen), their_f1)
        best = min(best, theirs / len(chosen))
    verdict(abs(f1 - their_f1) <= LARGEST_DIFFERENCE, f"F1 within {LARGEST_DIFFERENCE} of the last")
    print(f"{best / (ours / labels):.1f} times the labels a second of the faster of scikit-learn's two")


def tell(name: str, seconds: float, labels: int, f1: float) -> None:
    print(f"{name:<32}{seconds:>10.1f}{1000 * seconds / labels:>12.2f}{f1:>8.4f}", flush=True)


def verdict(good: bool, what: str) -> None:
    print(f"{'ok  ' if good else 'MISS'}  {what}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=300, help="labels that scikit-learn fits; 0: all")
    parser.add_argument("--notes", type=int, default=4000, help="of the simulated corpus")
    parser.add_argument("--codes", type=int, default=2000, help="of the simulated corpus")
    options = parser.parse_args()
    problems: dict[str, CorpusConfig] = {}
    folder = Path(os.environ.get("NOSOLOGY_DATA", ""), "codiesp")
    if os.environ.get("NOSOLOGY_DATA") and folder.is_dir():
        problems["CodiEsp D, Spanish"] = CodiespConfig(path=str(folder))
    problems["simulated"] = SimulatedConfig(encounters=options.notes, codes=options.codes)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        for name, config in problems.items():
            measure(name, make_problem(open_corpus(config)), options.labels, 100.0)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB")


if __name__ == "__main__":
    main()
