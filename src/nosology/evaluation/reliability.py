"""Do probabilities mean what they say? Calibration of the listed candidates.

Every figure is over listed candidates; a pair that is not listed makes no claim and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nosology.evaluation.judgements import Judgements


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
    """
    probability, gold = judged.score, judged.is_gold.astype(np.float64)
    index = np.minimum((probability * n_bins).astype(np.int64), n_bins - 1)
    count = np.bincount(index, minlength=n_bins)
    filled = np.maximum(count, 1)
    claimed = np.bincount(index, weights=probability, minlength=n_bins) / filled
    observed = np.bincount(index, weights=gold, minlength=n_bins) / filled
    total = max(len(probability), 1)
    bins = [
        ReliabilityBin(i / n_bins, (i + 1) / n_bins, int(count[i]), float(claimed[i]), float(observed[i]))
        for i in range(n_bins)
    ]
    return CalibrationScores(
        expected_calibration_error=float((count * np.abs(claimed - observed)).sum() / total),
        brier=float(((probability - gold) ** 2).sum() / total),
        candidates=len(probability),
        bins=tuple(bins),
    )
