"""How sure a score is: intervals over groups of encounters.

Micro scores, MAP and recall have percentile intervals of a bootstrap over groups. Macro averages have normal intervals
with the jackknife's standard error over groups: bootstrap percentiles of an average over rare labels need not even hold
the score (a label that occurs once is missing from a third of the replicates).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from nosology.evaluation.bootstrap import pooled_replicates
from nosology.evaluation.draws import BootstrapPlan, Draw, draw_groups
from nosology.evaluation.jackknife import macro_f1_leaving_out, standard_error
from nosology.evaluation.judgements import Bools, Floats, Judgements
from nosology.evaluation.metrics import MacroDefinition, counts_by_label, macro

Method = Literal["bootstrap", "jackknife"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A score, its interval, and how that was found."""

    value: float
    low: float
    high: float
    method: Method


def score_intervals(
    judged: Judgements, groups: Sequence[str], plan: BootstrapPlan | None = None, *, space: Bools | None = None
) -> dict[str, Interval]:
    """Intervals of micro and macro scores, MAP and candidate recall.

    Args:
        judged: candidates judged against gold.
        groups: the group of each encounter, in their order; encounters of a group are drawn together.
        plan: how to draw; by default 1,000 replicates at 95 %.
        space: the label space of the macro averages over all labels, one flag a label; by default every label.

    Returns:
        Intervals by name: ``micro_precision``, ``micro_recall``, ``micro_f1``, ``map``, ``candidate_recall`` and
        ``macro_f1_<definition>``.
    """
    plan = plan or BootstrapPlan()
    draw = draw_groups(groups, plan)
    pooled = _pooled(judged, draw, plan)
    left_out = macro_f1_leaving_out(judged, draw.group_of, draw.n_groups, space=space)
    averaged = {
        name: _normal_interval(value, left_out[name], plan.level) for name, value in _macro_f1s(judged, space).items()
    }
    return pooled | averaged


def pooled_intervals(judged: Judgements, groups: Sequence[str], plan: BootstrapPlan) -> dict[str, Interval]:
    """The intervals of ``score_intervals`` that are bootstraps: micro scores, MAP and candidate recall."""
    return _pooled(judged, draw_groups(groups, plan), plan)


def _pooled(judged: Judgements, draw: Draw, plan: BootstrapPlan) -> dict[str, Interval]:
    values, drawn = pooled_replicates(judged, draw.whole()), pooled_replicates(judged, draw)
    return {name: Interval(float(values[name][0]), *_ends(drawn[name], plan.level), "bootstrap") for name in values}


def _macro_f1s(judged: Judgements, space: Bools | None) -> dict[str, float]:
    counts = counts_by_label(judged)
    return {f"macro_f1_{d.value}": macro(counts, d, space=space).f1 for d in MacroDefinition}


def _ends(drawn: Floats, level: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _normal_interval(value: float, left_out: Floats, level: float) -> Interval:
    half = _half_width(left_out, level)
    return Interval(value, max(value - half, 0.0), min(value + half, 1.0), "jackknife")


def _half_width(left_out: Floats, level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2) * standard_error(left_out)
