"""Scores -> probabilities -> decisions, with numpy only.

Everything here is chosen on scores that a model gave to encounters it had not seen (out of fold); on its own training
scores a threshold would be far too high.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLEND = 1e-3
"""This part of a calibrated probability is the raw score, so that calibration never ties two candidates."""


@dataclass(frozen=True, eq=False)
class IsotonicCalibration:
    """A rising map from scores to probabilities, by pool-adjacent-violators, linear between its points.

    Args:
        scores: where the map bends, rising; float64 ``[point]``.
        probabilities: its values there, rising; float64 ``[point]``.
    """

    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    @staticmethod
    def fit(scores: NDArray[np.float64], outcomes: NDArray[np.bool_]) -> IsotonicCalibration:
        """The least-squares rising fit of outcomes on scores; equal scores are one point.

        Args:
            scores: of candidates, out of fold; ``[candidate]``.
            outcomes: whether each was right; ``[candidate]``.
        """
        if len(scores) == 0:
            return IsotonicCalibration(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
        tied, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
        shares = np.bincount(place, weights=outcomes.astype(np.float64)) / counts
        means, weights, centres = list[float](), list[float](), list[float]()
        for mean, weight, centre in zip(shares.tolist(), counts.tolist(), tied.tolist(), strict=True):
            while means and means[-1] >= mean:
                last_mean, last_weight, last_centre = means.pop(), weights.pop(), centres.pop()
                total = weight + last_weight
                mean = (mean * weight + last_mean * last_weight) / total
                centre = (centre * weight + last_centre * last_weight) / total
                weight = total
            means.append(mean)
            weights.append(weight)
            centres.append(centre)
        return IsotonicCalibration(np.array(centres), np.array(means))

    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities in [0, 1] in the order of the scores, ``[candidate]``."""
        fitted = np.interp(scores, self.scores, self.probabilities)
        return np.clip((1.0 - _BLEND) * fitted + _BLEND * np.clip(scores, 0.0, 1.0), 0.0, 1.0)


def best_threshold(probabilities: NDArray[np.float64], outcomes: NDArray[np.bool_], gold: int) -> float:
    """The threshold of the highest micro-F1 = 2 TP / (assigned + gold).

    Args:
        probabilities: of all candidates of all encounters, out of fold; ``[candidate]``.
        outcomes: whether each is a gold code; ``[candidate]``.
        gold: gold codes in all, candidates or not.

    Returns:
        The middle between the lowest probability that is assigned and the next one; 0.5 without candidates.
    """
    if len(probabilities) == 0 or gold == 0:
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    f1 = 2.0 * np.cumsum(outcomes[order]) / (np.arange(1, len(ranked) + 1) + gold)
    last_of_tie = np.append(ranked[1:] < ranked[:-1], True)
    best = int(np.argmax(np.where(last_of_tie, f1, -1.0)))
    following = float(ranked[best + 1]) if best + 1 < len(ranked) else 0.0
    return (float(ranked[best]) + following) / 2.0


def threshold_of_precision(
    probabilities: NDArray[np.float64], outcomes: NDArray[np.bool_], precision: float, highest: float
) -> float:
    """The lowest threshold at which the share of assigned candidates that are right is at least ``precision``.

    Args:
        probabilities: of a kind of candidates, out of fold; ``[candidate]``.
        outcomes: whether each is a gold code; ``[candidate]``.
        precision: the share.
        highest: the answer where no lower threshold does; ``[0, 1]``.
    """
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    shares = np.cumsum(outcomes[order]) / np.arange(1, len(ranked) + 1)
    last_of_tie = np.append(ranked[1:] < ranked[:-1], True) if len(ranked) else np.zeros(0, dtype=np.bool_)
    good = np.flatnonzero((shares >= precision) & last_of_tie)
    return min(highest, float(ranked[good[-1]])) if len(good) else highest


def expected_calibration_error(
    probabilities: NDArray[np.float64], outcomes: NDArray[np.bool_], bins: int = 10
) -> float:
    """ECE = sum over bins of (candidates in it / all) * |mean probability - share that is right|, equal-width bins."""
    if len(probabilities) == 0:
        return 0.0
    number = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    counts = np.bincount(number, minlength=bins)
    said = np.bincount(number, weights=probabilities, minlength=bins)
    true = np.bincount(number, weights=outcomes.astype(np.float64), minlength=bins)
    return float(np.abs(said - true).sum() / counts.sum())
