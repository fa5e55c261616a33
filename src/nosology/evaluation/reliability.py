"""Do probabilities mean what they say? Calibration of the listed candidates.

Every figure is over listed candidates; a pair that is not listed makes no claim and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nosology.errors import PredictionsError
from nosology.evaluation.judgements import Floats, Judgements

_BLOCK = 1 << 18  # pairs of dense scores at a time


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Candidates whose probability lies in [low, high), the last bin including 1.

    Args:
        low: lower edge.
        high: upper edge.
        candidates: how many lie in it.
        mean_probability: what the coder claims, 0 if the bin is empty.
        gold_share: the share that are gold, 0 if the bin is empty.
    """

    low: float
    high: float
    candidates: int
    mean_probability: float
    gold_share: float


@dataclass(frozen=True, slots=True)
class CalibrationScores:
    """How far probabilities are from observed shares.

    Args:
        expected_calibration_error: mean |claimed - observed| over bins, weighted by candidates.
        brier: mean squared difference between probability and gold (0 or 1).
        candidates: how many there are.
        bins: of equal width.
    """

    expected_calibration_error: float
    brier: float
    candidates: int
    bins: tuple[ReliabilityBin, ...]


def calibration_scores(judged: Judgements, *, n_bins: int = 10) -> CalibrationScores:
    """Reliability table, expected calibration error and Brier score of the listed candidates.

    Args:
        judged: its scores must be probabilities.
        n_bins: bins of equal width over [0, 1].

    Raises:
        PredictionsError: a score lies outside [0, 1].
    """
    tallies = np.zeros((3, n_bins))
    squares, total = 0.0, 0
    for probability, gold in _blocks(judged):
        index = np.minimum((probability * n_bins).astype(np.int64), n_bins - 1)
        for row, weights in enumerate((None, probability, gold)):
            tallies[row] += np.bincount(index, weights=weights, minlength=n_bins)
        squares += float(((probability - gold) ** 2).sum())
        total += len(probability)
    count = tallies[0].astype(np.int64)
    claimed, observed = tallies[1:] / np.maximum(count, 1)
    bins = [
        ReliabilityBin(i / n_bins, (i + 1) / n_bins, int(count[i]), float(claimed[i]), float(observed[i]))
        for i in range(n_bins)
    ]
    return CalibrationScores(
        expected_calibration_error=float((count * np.abs(claimed - observed)).sum() / max(total, 1)),
        brier=squares / max(total, 1),
        candidates=total,
        bins=tuple(bins),
    )


def _blocks(judged: Judgements) -> Iterator[tuple[Floats, Floats]]:
    """(probabilities, 1 where gold) of all candidates; dense scores come in small pieces."""
    if judged.dense is None:
        _check(judged.score)
        yield judged.score, judged.is_gold.astype(np.float64)
        return
    height = max(1, _BLOCK // max(judged.n_labels, 1))
    for start in range(0, judged.n_encounters, height):
        block = judged.dense[start : start + height].astype(np.float64)
        _check(block)
        gold = np.zeros(block.shape)
        first, last = np.searchsorted(judged.gold_encounter, (start, start + height))
        gold[judged.gold_encounter[first:last] - start, judged.gold_label[first:last]] = 1.0
        yield block.ravel(), gold.ravel()


def _check(scores: Floats) -> None:
    if scores.size and not (scores.min() >= 0.0 and scores.max() <= 1.0):
        raise PredictionsError("scores must be probabilities in [0, 1]; apply the sigmoid to logits first")
