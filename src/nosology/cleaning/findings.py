"""From plausibilities to findings: codes that are likely wrong, codes that are likely missing, weights for training.

With q the plausibility of a code, K(c) its nearest relatives among the labels, and s the share of codes that are
thought to be mistakes (half of them swaps between relatives, half drops):

    odds that c, which stands there, replaced a relative:
        s/2 / (1 - s) * (max of q over K(c) that do not stand there + 0.001) / ((q(c) + 0.01) |K(c)|)
    odds that c, which does not stand there, is missing:
        s / (1 - s) * q(c) / (1 - q(c)) * (1 + 0.5 * max over k in K(c) that stand there of 1 / ((q(k) + 0.01) |K(k)|))

Both are Bayes' rule with one approximation each: only the likeliest swap counts, and small constants bound what a
probability near 0 can do. A code that nothing in the note speaks for is not called wrong for that alone: in the
simulator's notes 23 % of all codes stand nowhere in the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.cleaning.plausibility import best_of_relatives
from nosology.config.cleaning import NoiseThresholds

Floats = NDArray[np.float32]

_NO_SWAP = 1e-3
_LEAST_OWN = 1e-2
_OF_SWAPS = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What is thought of every pair; float32 ``[encounter, code]``.

    Args:
        wrong: the probability that a code which stands there replaced a relative; 0 elsewhere.
        missing: the probability that a code which does not stand there should; 0 elsewhere.
    """

    wrong: Floats
    missing: Floats

    def weights(self, thresholds: NoiseThresholds) -> Floats:
        """Of codes that stand there: 1 where nothing is wrong, falling to ``least_weight``."""
        return thresholds.least_weight + (1.0 - thresholds.least_weight) * (1.0 - self.wrong)


def judge(
    carries: NDArray[np.bool_], plausible: Floats, relatives: Sequence[NDArray[np.int64]], share: float
) -> Judgement:
    """Weigh every pair.

    Args:
        carries: which code stands there; ``[encounter, code]``.
        plausible: q of the module's formulas; likewise.
        relatives: the nearest of each code, as columns.
        share: s of the formulas.
    """
    many = np.array([max(1, len(others)) for others in relatives], dtype=np.float32)
    alone = np.array([not len(others) for others in relatives])
    doubt = 1.0 / ((plausible + _LEAST_OWN) * many)
    better = best_of_relatives(np.where(carries, 0.0, plausible), relatives, 0.0) + _NO_SWAP
    wrong = np.where(carries & ~alone, share / 2 / (1 - share) * better * doubt, 0.0)
    replaced = best_of_relatives(np.where(carries, doubt, 0.0).astype(np.float32), relatives, 0.0)
    odds = plausible / (1.0 - plausible) * (1.0 + _OF_SWAPS * replaced)
    missing = np.where(carries, 0.0, share / (1 - share) * odds)
    return Judgement(_probability(wrong), _probability(missing))


def _probability(odds: NDArray[np.floating]) -> Floats:
    return (odds / (1.0 + odds)).astype(np.float32)
