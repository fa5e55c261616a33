"""Bootstrap replicates: what scores would have been with other patients.

Whole groups (patients, articles) are drawn with replacement, because encounters of one group resemble each other; an
interval that drew encounters would be too narrow. Every statistic follows from sums over groups, so a replicate is a
row of group weights and all replicates are computed at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.errors import ConfigError
from nosology.evaluation.judgements import Bools, Floats, Ints, Judgements
from nosology.evaluation.metrics import Counts, MacroDefinition, counts_by_encounter, macro, ratio
from nosology.evaluation.ranking_metrics import average_precisions

_CHUNK = 50  # replicates at a time: bounds memory to chunk x gold and assigned pairs


@dataclass(frozen=True, slots=True)
class BootstrapPlan:
    """How to draw.

    Args:
        replicates: how many; 1,000 gives the ends of a 95 % interval to about a tenth of its width.
        seed: of the draw; the same seed and groups give the same replicates.
        level: of the intervals, between 0 and 1.

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


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """The group index of each encounter, and how often each replicate (row) drew each group (column)."""

    group_of: Ints
    weights: Floats

    @property
    def n_groups(self) -> int:
        return self.weights.shape[1]

    def whole(self) -> Draw:
        """One replicate that holds every group once: the data themselves."""
        return Draw(self.group_of, np.ones((1, self.n_groups)))


def draw_groups(groups: Sequence[str], plan: BootstrapPlan) -> Draw:
    """Draw as many groups as there are, with replacement, for each replicate.

    Args:
        groups: the group of each encounter.
        plan: how to draw.
    """
    names, group_of = np.unique(np.array(groups, dtype=np.str_), return_inverse=True)
    n = len(names)
    if not n:
        return Draw(group_of.astype(np.int64), np.zeros((plan.replicates, 0)))
    drawn = np.random.default_rng(plan.seed).multinomial(n, np.full(n, 1.0 / n), size=plan.replicates)
    return Draw(group_of.astype(np.int64), drawn.astype(np.float64))


def pooled_replicates(judged: Judgements, draw: Draw) -> dict[str, Floats]:
    """Micro precision, recall and F1, MAP and candidate recall in each replicate."""
    counts = _weighted_counts(counts_by_encounter(judged), draw)
    with_gold = (judged.gold_per_encounter() > 0).astype(np.float64)
    listed = np.bincount(judged.gold_encounter[judged.gold_rank > 0], minlength=judged.n_encounters)
    gold = judged.gold_per_encounter()
    return {
        "micro_precision": counts.precision(),
        "micro_recall": counts.recall(),
        "micro_f1": counts.f1(),
        "map": ratio(_group_sums(average_precisions(judged), draw), _group_sums(with_gold, draw)),
        "candidate_recall": ratio(_group_sums(listed, draw), _group_sums(gold, draw)),
    }


def macro_f1_replicates(judged: Judgements, draw: Draw, *, space: Bools | None = None) -> dict[str, Floats]:
    """``macro_f1_<definition>`` in each replicate, each over the labels its definition names there.

    Their percentiles are no interval: a label that occurs once is missing from a third of the replicates, which lowers
    averages over all labels and narrows them all. ``score_intervals`` uses the jackknife for them instead.

    Args:
        judged: candidates judged against gold.
        draw: the groups drawn.
        space: the label space, one flag a label; by default every label.
    """
    columns: dict[str, list[float]] = {f"macro_f1_{definition.value}": [] for definition in MacroDefinition}
    for counts in _label_counts(judged, draw):
        for definition in MacroDefinition:
            columns[f"macro_f1_{definition.value}"].append(macro(counts, definition, space=space).f1)
    return {name: np.array(values) for name, values in columns.items()}


def _weighted_counts(counts: Counts, draw: Draw) -> Counts:
    sums = (_group_sums(values, draw) for values in (counts.tp, counts.fp, counts.fn))
    return Counts(*(values.astype(np.int64) for values in sums))


def _group_sums(values: Floats | Ints, draw: Draw) -> Floats:
    """The weighted sum over groups of per-encounter values, one a replicate."""
    return draw.weights @ np.bincount(draw.group_of, weights=values, minlength=draw.n_groups)


def _label_counts(judged: Judgements, draw: Draw) -> Iterator[Counts]:
    """Counts by label in each replicate."""
    assigned, hit = judged.assigned, judged.assigned & judged.is_gold
    tables = [
        _LabelTable.of(judged.label[hit], draw.group_of[judged.encounter[hit]]),
        _LabelTable.of(judged.label[assigned], draw.group_of[judged.encounter[assigned]]),
        _LabelTable.of(judged.gold_label, draw.group_of[judged.gold_encounter]),
    ]
    for start in range(0, len(draw.weights), _CHUNK):
        chunk = np.ascontiguousarray(draw.weights[start : start + _CHUNK].T.astype(np.float32))
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
