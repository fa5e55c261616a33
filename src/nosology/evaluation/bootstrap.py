"""Bootstrap intervals: how far a score would move with other patients.

Whole groups (patients, articles) are drawn with replacement, because encounters of one group resemble each other; an
interval that drew encounters would be too narrow. Every statistic follows from sums over groups, so a replicate is a
row of group weights and all replicates are computed at once. A macro average is taken anew in each replicate, over the
labels its definition names there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nosology.errors import ConfigError, PredictionsError
from nosology.evaluation.judgements import Bools, Floats, Ints, Judgements
from nosology.evaluation.metrics import Counts, MacroDefinition, counts_by_encounter, macro, ratio
from nosology.evaluation.ranking_metrics import average_precisions

_CHUNK = 50  # replicates at a time: bounds memory to chunk x gold and assigned pairs


@dataclass(frozen=True, slots=True)
class Interval:
    """A score and its percentile interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better the first of two is than the second.

    Args:
        value: first minus second.
        low: lower end of the percentile interval of the difference.
        high: upper end.
        p_value: two-sided, of no difference: twice the smaller share of replicates on one side of zero.
    """

    value: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, slots=True)
class BootstrapPlan:
    """How to draw.

    Args:
        replicates: how many; 1,000 gives the ends of a 95 % interval to about a tenth of its width.
        seed: of the draw; the same seed and groups give the same intervals.
        level: of the interval, between 0 and 1.

    Raises:
        ConfigError: a value is out of range.
    """

    replicates: int = 1000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.replicates < 1 or not 0 < self.level < 1:
            raise ConfigError(
                f"a bootstrap needs replicates >= 1 and 0 < level < 1, not {self.replicates} and {self.level}"
            )


def bootstrap(
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
    group_of, weights = _draw(groups, plan)
    values = _statistics(judged, group_of, np.ones((1, weights.shape[1])), space)
    drawn = _statistics(judged, group_of, weights, space)
    return {name: Interval(float(values[name][0]), *_ends(drawn[name], plan.level)) for name in values}


def paired_bootstrap(
    first: Judgements,
    second: Judgements,
    groups: Sequence[str],
    plan: BootstrapPlan | None = None,
    *,
    label_space: Collection[str] = (),
) -> dict[str, Difference]:
    """Intervals of the differences between two coders on the same encounters; both see the same draws.

    Args:
        first: one coder's candidates.
        second: the other's, on the same encounters in the same order with the same gold codes.
        groups: the group of each encounter.
        plan: how to draw.
        label_space: what macro averages over all labels run over, beside the codes that are gold or assigned by either.

    Raises:
        PredictionsError: the two do not share encounters and gold codes.
    """
    plan = plan or BootstrapPlan()
    _check_same_gold(first, second)
    group_of, weights = _draw(groups, plan)
    ones = np.ones((1, weights.shape[1]))
    pair = _with_same_labels(first, second, label_space)
    values = [_statistics(judged, group_of, ones, space) for judged, space in pair]
    drawn = [_statistics(judged, group_of, weights, space) for judged, space in pair]
    return {
        name: _difference(float((values[0][name] - values[1][name])[0]), drawn[0][name] - drawn[1][name], plan.level)
        for name in values[0]
    }


def _draw(groups: Sequence[str], plan: BootstrapPlan) -> tuple[Ints, Floats]:
    """The group index of each encounter, and how often each replicate drew each group."""
    names, group_of = np.unique(np.array(groups, dtype=np.str_), return_inverse=True)
    n = len(names)
    if not n:
        return group_of.astype(np.int64), np.zeros((plan.replicates, 0))
    drawn = np.random.default_rng(plan.seed).multinomial(n, np.full(n, 1.0 / n), size=plan.replicates)
    return group_of.astype(np.int64), drawn.astype(np.float64)


def _statistics(judged: Judgements, group_of: Ints, weights: Floats, space: Bools | None) -> dict[str, Floats]:
    """Each statistic in each replicate (row of weights)."""
    counts = _weighted_counts(counts_by_encounter(judged), group_of, weights)
    with_gold = (judged.gold_per_encounter() > 0).astype(np.float64)
    listed = np.bincount(judged.gold_encounter[judged.gold_rank > 0], minlength=judged.n_encounters)
    sums = [
        _group_sums(values, group_of, weights)
        for values in (average_precisions(judged), with_gold, listed, judged.gold_per_encounter())
    ]
    return {
        "micro_precision": counts.precision(),
        "micro_recall": counts.recall(),
        "micro_f1": counts.f1(),
        "map": ratio(sums[0], sums[1]),
        "candidate_recall": ratio(sums[2], sums[3]),
        **_macro_f1s(judged, group_of, weights, space),
    }


def _weighted_counts(counts: Counts, group_of: Ints, weights: Floats) -> Counts:
    sums = (_group_sums(values, group_of, weights) for values in (counts.tp, counts.fp, counts.fn))
    return Counts(*(values.astype(np.int64) for values in sums))


def _group_sums(values: Floats | Ints, group_of: Ints, weights: Floats) -> Floats:
    """The weighted sum over groups of per-encounter values, one a replicate."""
    return weights @ np.bincount(group_of, weights=values, minlength=weights.shape[1])


def _macro_f1s(judged: Judgements, group_of: Ints, weights: Floats, space: Bools | None) -> dict[str, Floats]:
    columns: dict[str, list[float]] = {f"macro_f1_{definition.value}": [] for definition in MacroDefinition}
    for counts in _label_counts(judged, group_of, weights):
        for definition in MacroDefinition:
            columns[f"macro_f1_{definition.value}"].append(macro(counts, definition, space=space).f1)
    return {name: np.array(values) for name, values in columns.items()}


def _label_counts(judged: Judgements, group_of: Ints, weights: Floats) -> Iterator[Counts]:
    """Counts by label in each replicate."""
    assigned, hit = judged.assigned, judged.assigned & judged.is_gold
    tables = [
        _LabelTable.of(judged.label[hit], group_of[judged.encounter[hit]]),
        _LabelTable.of(judged.label[assigned], group_of[judged.encounter[assigned]]),
        _LabelTable.of(judged.gold_label, group_of[judged.gold_encounter]),
    ]
    for start in range(0, len(weights), _CHUNK):
        chunk = np.ascontiguousarray(weights[start : start + _CHUNK].T.astype(np.float32))
        tp, predicted, gold = (table.sums(chunk, judged.n_labels) for table in tables)
        for i in range(chunk.shape[1]):
            yield Counts(tp[:, i], predicted[:, i] - tp[:, i], gold[:, i] - tp[:, i])


@dataclass(frozen=True, slots=True, eq=False)
class _LabelTable:
    """Pairs sorted by label: the group of each, the labels that occur, and where each label's pairs begin."""

    groups: Ints
    labels: Ints
    starts: Ints

    @classmethod
    def of(cls, label: Ints, group: Ints) -> _LabelTable:
        order = np.argsort(label, kind="stable")
        labels, starts = np.unique(label[order], return_index=True)
        return cls(group[order], labels, starts.astype(np.int64))

    def sums(self, weights: NDArray[np.float32], n_labels: int) -> Ints:
        """The weighted number of pairs of each label (row) in each replicate (column)."""
        out = np.zeros((n_labels, weights.shape[1]), dtype=np.int64)
        if len(self.groups):
            out[self.labels] = np.add.reduceat(weights[self.groups], self.starts, axis=0)
        return out


def _ends(drawn: Floats, level: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _difference(value: float, drawn: Floats, level: float) -> Difference:
    smaller_side = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    p_value = min(1.0, 2 * (smaller_side + 1) / (len(drawn) + 1))
    return Difference(value, *_ends(drawn, level), p_value)


def _with_same_labels(
    first: Judgements, second: Judgements, label_space: Collection[str]
) -> list[tuple[Judgements, Bools]]:
    """Both with a mask of one and the same label space, so that averages over all labels have one denominator."""
    names = set(label_space)
    for judged in (first, second):
        mentioned = judged.gold_per_label() + judged.assigned_per_label()
        names.update(judged.labels[i] for i in np.flatnonzero(mentioned))
    return [_with_labels(judged, names) for judged in (first, second)]


def _with_labels(judged: Judgements, names: Collection[str]) -> tuple[Judgements, Bools]:
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
