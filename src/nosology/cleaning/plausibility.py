"""How likely an encounter is to carry a code, judged by everything but that code's own entry.

Pairs of encounter and code become rows: how near the note comes to what the code is called, raw and against the code's
own distribution over encounters with and without it; what word regressions say; the same for its nearest relatives;
what the patient's other encounters and the encounter's other codes say. Boosted trees learn from other patients' rows
whether the code stands there. All statistics of a row come from the other folds.

Reference: Northcutt, Jiang and Chuang, 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels",
arXiv:1911.00068: out-of-sample probabilities find label errors. Differs from the paper: a label space of thousands, one
model for all codes, and swaps are looked for between relatives only (``findings``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nosology.ranking.parallel import single_threaded

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Progress = Callable[[str, float], None]

_CANDIDATES = 40  # of each kind and encounter, whose rows are all learnt from
_SAMPLED = 0.05  # of all other pairs
_LEAST_SPREAD = 0.02
_NO_RELATIVE = -3.0, -8.0  # similarity in deviations, log-odds
_CLIPPED = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known of every pair; ``[encounter, code]``.

    Args:
        carries: which code stands there.
        similarity: to what the code is called, one array an encoder.
        logits: of the word regressions.
        folds: of each encounter; no patient is in two.
        groups: the patient of each encounter, as a number.
        relatives: the nearest relatives of each code, as columns.
    """

    carries: Bools
    similarity: tuple[Floats, ...]
    logits: Floats
    folds: Ints
    groups: Ints
    relatives: Sequence[Ints]


def plausibilities(evidence: Evidence, seed: int, tell: Progress) -> Floats:
    """The probability that the code stands there; float32 ``[encounter, code]``, 0 for pairs that nothing speaks for.

    Args:
        evidence: of every pair.
        seed: of the trees and of the pairs that are sampled.
        tell: told how far it is.
    """
    tell("weighing similarities", -1.0)
    own = [_of_similarity(one, evidence) for one in evidence.similarity]
    tops = [evidence.logits, *(columns[1] for columns in own)]
    columns = [evidence.logits, *(column for part in own for column in part), *_context(evidence)]
    likely = np.zeros(evidence.carries.shape, dtype=np.bool_)
    for scores in tops:
        likely |= _best_of_row(scores, _CANDIDATES)
    likely |= evidence.carries
    drawn = np.random.default_rng(seed).random(likely.shape, dtype=np.float32) < _SAMPLED
    rows = np.nonzero(likely | drawn)
    weights = np.where(likely[rows], 1.0, 1.0 / _SAMPLED)
    features = np.stack([column[rows] for column in columns], axis=1).astype(np.float32)
    found = _cross_fitted(features, evidence.carries[rows], weights, evidence.folds[rows[0]], seed, tell)
    result = np.zeros(likely.shape, dtype=np.float32)
    result[rows] = np.clip(found, _CLIPPED, 1.0 - _CLIPPED)
    return result


def _cross_fitted(
    features: Floats, carries: Bools, weights: NDArray[np.float64], folds: Ints, seed: int, tell: Progress
) -> NDArray[np.float64]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    build: Any = HistGradientBoostingClassifier

    found = np.zeros(len(features))
    every = np.unique(folds).tolist()
    with single_threaded():
        for done, fold in enumerate(every, 1):
            learnt, held = folds != fold, folds == fold
            if len(np.unique(carries[learnt])) < 2:
                found[held] = carries[learnt].mean() if learnt.any() else 0.5
                continue
            model = build(
                max_iter=80, learning_rate=0.1, max_leaf_nodes=15, min_samples_leaf=40, l2_regularization=5.0,
                early_stopping=False, random_state=seed,
            )  # fmt: skip
            model.fit(features[learnt], carries[learnt], weights[learnt])
            found[held] = cast(NDArray[np.float64], model.predict_proba(features[held]))[:, 1]
            tell("weighing pairs of encounter and code", done / len(every))
    return found


def _of_similarity(similarity: Floats, evidence: Evidence) -> list[Floats]:
    """Raw; in deviations from encounters without the code; its rank among these and among those with it; against the
    nearest relative's; the code's place among the encounter's."""
    deviations, rank, quantile = (np.zeros_like(similarity, dtype=np.float32) for _ in range(3))
    for fold in np.unique(evidence.folds).tolist():
        held, learnt = evidence.folds == fold, evidence.folds != fold
        known, carries = similarity[learnt], evidence.carries[learnt]
        without = np.where(carries, 0.0, known)
        many = np.maximum((~carries).sum(axis=0), 1)
        mean = without.sum(axis=0) / many
        variance = np.where(carries, 0.0, (known - mean) ** 2).sum(axis=0) / many
        deviations[held] = (similarity[held] - mean) / (np.sqrt(variance) + _LEAST_SPREAD)
        for code in range(similarity.shape[1]):
            asked, has = similarity[held, code], carries[:, code]
            none, some = np.sort(known[~has, code]), np.sort(known[has, code])
            above = len(none) - np.searchsorted(none, asked, side="left")
            rank[held, code] = np.log((above + 1) / (len(none) + 1))
            quantile[held, code] = (np.searchsorted(some, asked, side="right") + 1) / (len(some) + 2)
    against = deviations - best_of_relatives(deviations, evidence.relatives, _NO_RELATIVE[0])
    return [similarity, deviations, rank, quantile, against, _place_in_row(deviations)]


def _context(evidence: Evidence) -> list[Floats]:
    """Frequency; the patient's other encounters; the other codes; relatives; place and lead of the regression."""
    carries, folds = evidence.carries, evidence.folds
    prior, together = (np.zeros(carries.shape, dtype=np.float32) for _ in range(2))
    codes = carries.sum(axis=1, keepdims=True, dtype=np.float32)
    for fold in np.unique(folds).tolist():
        held, known = folds == fold, carries[folds != fold].astype(np.float32)
        count = known.sum(axis=0)
        prior[held] = np.log((count + 0.5) / (len(known) + 1.0))
        lift = np.log((known.T @ known + 1.0) / (np.outer(count, count) / max(1, len(known)) + 1.0))
        np.fill_diagonal(lift, 0.0)
        together[held] = carries[held].astype(np.float32) @ lift / (codes[held] + 1.0)
    by_group = np.zeros((int(evidence.groups.max(initial=-1)) + 1, carries.shape[1]), dtype=np.float32)
    np.add.at(by_group, evidence.groups, carries)
    elsewhere = by_group[evidence.groups] - carries
    others = np.bincount(evidence.groups)[evidence.groups].astype(np.float32)[:, None] - 1.0
    relative_coded = best_of_relatives(carries.astype(np.float32), evidence.relatives, 0.0)
    lead = evidence.logits - best_of_relatives(evidence.logits, evidence.relatives, _NO_RELATIVE[1])
    wide = np.ones((1, carries.shape[1]), dtype=np.float32)
    place = _place_in_row(evidence.logits)
    return [prior, elsewhere, others * wide, together, relative_coded, place, lead, np.log1p(codes) * wide]


def best_of_relatives(values: Floats, relatives: Sequence[Ints], nothing: float) -> Floats:
    """The highest value among each code's relatives; ``nothing`` where it has none."""
    best = np.full(values.shape, nothing, dtype=np.float32)
    for code, others in enumerate(relatives):
        if len(others):
            best[:, code] = values[:, others].max(axis=1)
    return best


def _best_of_row(scores: Floats, many: int) -> Bools:
    if scores.shape[1] <= many:
        return np.ones(scores.shape, dtype=np.bool_)
    bound = -np.partition(-scores, many, axis=1)[:, many : many + 1]
    return scores >= bound


def _place_in_row(scores: Floats) -> Floats:
    return np.log1p(np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1, kind="stable")).astype(np.float32)
