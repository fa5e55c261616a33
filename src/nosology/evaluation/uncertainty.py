"""How sure a score is: intervals, and differences between two coders on the same encounters.

Micro scores, MAP and recall have percentile intervals of a bootstrap over groups. Macro averages have normal intervals
with the jackknife's standard error over groups: bootstrap percentiles of an average over rare labels need not even hold
the score (see ``macro_f1_replicates``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np

from nosology.errors import PredictionsError
from nosology.evaluation.bootstrap import BootstrapPlan, Draw, draw_groups, pooled_replicates
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


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better the first of two coders is than the second.

    Args:
        value: first minus second.
        low: lower end of the interval of the difference.
        high: upper end.
        p_value: two-sided, of no difference: twice the smaller share of replicates on one side of zero (bootstrap), or
            from the normal distribution (jackknife); 1 where groups show no spread, as a single group does.
        method: how the interval was found.
    """

    value: float
    low: float
    high: float
    p_value: float
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
    values, drawn = pooled_replicates(judged, draw.whole()), pooled_replicates(judged, draw)
    pooled = {name: Interval(float(values[name][0]), *_ends(drawn[name], plan.level), "bootstrap") for name in values}
    left_out = macro_f1_leaving_out(judged, draw.group_of, draw.n_groups, space=space)
    averaged = {
        name: _normal_interval(value, left_out[name], plan.level) for name, value in _macro_f1s(judged, space).items()
    }
    return pooled | averaged


def paired_differences(
    first: Judgements,
    second: Judgements,
    groups: Sequence[str],
    plan: BootstrapPlan | None = None,
    *,
    label_space: Collection[str] = (),
) -> dict[str, Difference]:
    """Differences between two coders on the same encounters; both see the same draws.

    Args:
        first: one coder's candidates.
        second: the other's, on the same encounters in the same order with the same gold codes.
        groups: the group of each encounter.
        plan: how to draw.
        label_space: what macro averages over all labels run over, beside the codes that are gold or assigned by either.

    Returns:
        Differences under the names of ``score_intervals``.

    Raises:
        PredictionsError: the two do not share encounters and gold codes.
    """
    plan = plan or BootstrapPlan()
    _check_same_gold(first, second)
    draw = draw_groups(groups, plan)
    whole = [pooled_replicates(judged, draw.whole()) for judged in (first, second)]
    drawn = [pooled_replicates(judged, draw) for judged in (first, second)]
    pooled = {
        name: _drawn_difference(float((whole[0][name] - whole[1][name])[0]), drawn[0][name] - drawn[1][name], plan)
        for name in whole[0]
    }
    return pooled | _macro_differences(_with_same_labels(first, second, label_space), draw, plan)


_Spaced = tuple[Judgements, Bools]


def _macro_differences(pair: tuple[_Spaced, _Spaced], draw: Draw, plan: BootstrapPlan) -> dict[str, Difference]:
    values = [_macro_f1s(judged, space) for judged, space in pair]
    left_out = [macro_f1_leaving_out(judged, draw.group_of, draw.n_groups, space=space) for judged, space in pair]
    return {
        name: _normal_difference(values[0][name] - values[1][name], left_out[0][name] - left_out[1][name], plan.level)
        for name in values[0]
    }


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


def _drawn_difference(value: float, drawn: Floats, plan: BootstrapPlan) -> Difference:
    smaller_side = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    p_value = min(1.0, 2 * (smaller_side + 1) / (len(drawn) + 1)) if np.ptp(drawn) > 0 else 1.0
    return Difference(value, *_ends(drawn, plan.level), p_value, "bootstrap")


def _normal_difference(value: float, left_out: Floats, level: float) -> Difference:
    half, error = _half_width(left_out, level), standard_error(left_out)
    p_value = 2 * NormalDist().cdf(-abs(value) / error) if error > 0 else 1.0
    return Difference(value, value - half, value + half, p_value, "jackknife")


def _with_same_labels(first: Judgements, second: Judgements, label_space: Collection[str]) -> tuple[_Spaced, _Spaced]:
    """Both with a mask of one and the same label space, so that averages over all labels have one denominator."""
    names = set(label_space)
    for judged in (first, second):
        mentioned = judged.gold_per_label() + judged.assigned_per_label()
        names.update(judged.labels[i] for i in np.flatnonzero(mentioned))
    return _with_labels(first, names), _with_labels(second, names)


def _with_labels(judged: Judgements, names: Collection[str]) -> _Spaced:
    labels = (*judged.labels, *sorted(set(names).difference(judged.labels)))
    return replace(judged, labels=labels), np.array([label in names for label in labels], dtype=np.bool_)


def _check_same_gold(first: Judgements, second: Judgements) -> None:
    if first.encounter_ids != second.encounter_ids:
        raise PredictionsError("the two coders' predictions cover different encounters; evaluate both on one split")
    if _gold_pairs(first) != _gold_pairs(second):
        raise PredictionsError("the two coders' predictions were judged against different gold codes; use one corpus")


def _gold_pairs(judged: Judgements) -> set[tuple[int, str]]:
    rows, columns = judged.gold_encounter.tolist(), judged.gold_label.tolist()
    return {(row, judged.labels[column]) for row, column in zip(rows, columns, strict=True)}
