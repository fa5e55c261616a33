"""Areas under the ROC and the precision-recall curve.

A sparse list says nothing of the labels it leaves out. Here an unlisted pair counts as scored below every listed pair
of the whole set, and tied with all other unlisted pairs; ``Bounded.low`` and ``Bounded.high`` say what the area could
be if the unlisted scores were known and lay, as they must, between 0 and the lowest score listed for that encounter.
With every label listed the three values are equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nosology.evaluation.judgements import Floats, Judgements
from nosology.evaluation.metrics import ratio
from nosology.evaluation.standings import Standings, macro_standings, micro_standings


@dataclass(frozen=True, slots=True)
class Bounded:
    """A value under the stated convention, and the interval it must lie in whatever the unlisted scores are."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AreaScores:
    """Both areas of one average.

    Args:
        auc: under the ROC curve.
        average_precision: under the precision-recall curve.
    """

    auc: Bounded
    average_precision: float


def micro_areas(judged: Judgements) -> AreaScores:
    """Both areas over all pairs; see ``micro_auc`` and ``micro_average_precision``."""
    return _averaged(micro_standings(judged))


def macro_areas(judged: Judgements) -> AreaScores:
    """Both areas as means over labels; see ``macro_auc`` and ``macro_average_precision``."""
    return _averaged(macro_standings(judged))


def micro_auc(judged: Judgements) -> Bounded:
    """Area under the ROC curve of all (encounter, label) pairs pooled; 0.5 if they are all gold or all not."""
    return micro_areas(judged).auc


def macro_auc(judged: Judgements) -> Bounded:
    """Mean area under the ROC curve over labels that have both gold and other encounters; 0.5 if none has."""
    return macro_areas(judged).auc


def micro_average_precision(judged: Judgements) -> float:
    """Average precision of all pairs pooled (scikit-learn's ``average="micro"``); 0 without gold."""
    return micro_areas(judged).average_precision


def macro_average_precision(judged: Judgements) -> float:
    """Mean average precision over labels that have gold; 0 if none has."""
    return macro_areas(judged).average_precision


def _averaged(standings: Standings) -> AreaScores:
    with_gold = standings.positives > 0
    drawn = with_gold & (standings.negatives > 0)
    pairs = (standings.positives * standings.negatives)[drawn]
    ends = (standings.beaten, standings.least, standings.greatest)
    auc = Bounded(*(_mean(ratio(beaten[drawn], pairs), 0.5) for beaten in ends))
    return AreaScores(auc, _mean(ratio(standings.precisions[with_gold], standings.positives[with_gold]), 0.0))


def _mean(values: Floats, nothing: float) -> float:
    return float(np.mean(values)) if len(values) else nothing
