"""Macro averages with each group left out in turn: the spread of averages over rare labels, which replicates get wrong.

Leaving out one group changes the scores of its own labels only, so all groups together cost no more than the pairs are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nosology.evaluation.judgements import Bools, Floats, Ints, Judgements
from nosology.evaluation.metrics import Counts, MacroDefinition, counts_by_label, macro_labels, ratio

LEFT_OUT = (
    *(f"macro.{of}.{definition}" for of in ("precision", "recall", "f1") for definition in MacroDefinition),
    "macro.accuracy",
)
"""The figures of ``macro_leaving_out``."""


def macro_leaving_out(
    judged: Judgements, group_of: Ints, n_groups: int, *, space: Bools | None = None
) -> dict[str, Floats]:
    """Every macro average of the encounters outside each group, by its dotted name.

    Args:
        judged: candidates judged against gold.
        group_of: the group index of each encounter.
        n_groups: how many groups there are.
        space: the label space, one flag a label; by default every label.
    """
    changes = _Changes.of(judged, group_of)
    found = dict[str, Floats]()
    for definition in MacroDefinition:
        chosen, still = _members(changes, definition, space)
        for of in ("precision", "recall", "f1"):
            found[f"macro.{of}.{definition}"] = _mean(changes, of, chosen, still, n_groups)
    precision, recall = (found[f"macro.{of}.{MacroDefinition.CAML}"] for of in ("precision", "recall"))
    found[f"macro.f1.{MacroDefinition.CAML}"] = ratio(2 * precision * recall, precision + recall)
    everywhere = _members(changes, MacroDefinition.ALL_LABELS, space)
    return found | {"macro.accuracy": _mean(changes, "accuracy", *everywhere, n_groups)}


def macro_f1_leaving_out(
    judged: Judgements, group_of: Ints, n_groups: int, *, space: Bools | None = None
) -> dict[str, Floats]:
    """``macro_f1_<definition>`` of the encounters outside each group; arguments as for ``macro_leaving_out``."""
    found = macro_leaving_out(judged, group_of, n_groups, space=space)
    return {f"macro_f1_{definition}": found[f"macro.f1.{definition}"] for definition in MacroDefinition}


def standard_error(left_out: Floats) -> float:
    """The jackknife's standard error from the statistic with each group left out."""
    n = len(left_out)
    return float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())) if n > 1 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Changes:
    """Each (group, label) that occurs, with the label's counts as they are and without that group."""

    group: Ints
    label: Ints
    whole: Counts
    without: Counts

    @classmethod
    def of(cls, judged: Judgements, group_of: Ints) -> _Changes:
        assigned, hit = judged.assigned, judged.assigned & judged.is_gold
        keys = [
            group_of[judged.encounter[hit]] * judged.n_labels + judged.label[hit],
            group_of[judged.encounter[assigned]] * judged.n_labels + judged.label[assigned],
            group_of[judged.gold_encounter] * judged.n_labels + judged.gold_label,
        ]
        pairs = np.unique(np.concatenate(keys))
        tp, predicted, gold = (np.bincount(np.searchsorted(pairs, key), minlength=len(pairs)) for key in keys)
        whole = counts_by_label(judged)
        label = pairs % max(judged.n_labels, 1)
        without = Counts(
            whole.tp[label] - tp, whole.fp[label] - (predicted - tp), whole.fn[label] - (gold - tp)
        )  # fmt: skip
        return cls(pairs // max(judged.n_labels, 1), label, whole, without)


def _members(changes: _Changes, definition: MacroDefinition, space: Bools | None) -> tuple[Bools, Bools]:
    """The labels an average runs over, and for each change whether its label still is one without the group."""
    chosen = macro_labels(changes.whole, definition, space)
    return chosen, macro_labels(changes.without, definition, None if space is None else space[changes.label])


def _mean(changes: _Changes, name: str, chosen: Bools, still: Bools, n_groups: int) -> Floats:
    """The mean over labels outside each group: labels chosen as they are, those still chosen without the group."""
    whole, without = _values(changes.whole, name) * chosen, _values(changes.without, name) * still
    moved = np.bincount(changes.group, weights=without - whole[changes.label], minlength=n_groups)
    lost = np.bincount(changes.group, weights=chosen[changes.label].astype(float) - still, minlength=n_groups)
    return ratio(whole.sum() + moved, chosen.sum() - lost)


def _values(counts: Counts, name: str) -> Floats:
    match name:
        case "precision":
            return counts.precision()
        case "recall":
            return counts.recall()
        case "accuracy":
            return counts.jaccard()
        case _:
            return counts.f1()
