"""Precision, recall, F1 and accuracy of assigned codes, each average under its own name.

Wherever a quotient would be 0/0 the value is 0, so that nothing predicted, an absent label or an empty note give a
number instead of NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np

from nosology.evaluation.judgements import Bools, Floats, Ints, Judgements


@dataclass(frozen=True, slots=True)
class Scores:
    """Precision, recall and F1, each in [0, 1]."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """True positives, false positives and false negatives, one entry per label, per encounter or per band."""

    tp: Ints
    fp: Ints
    fn: Ints

    def total(self) -> Counts:
        """The counts pooled: arrays of one entry."""
        return Counts(*(array.sum(keepdims=True) for array in (self.tp, self.fp, self.fn)))

    def select(self, keep: Bools) -> Counts:
        return Counts(self.tp[keep], self.fp[keep], self.fn[keep])

    def precision(self) -> Floats:
        return ratio(self.tp, self.tp + self.fp)

    def recall(self) -> Floats:
        return ratio(self.tp, self.tp + self.fn)

    def f1(self) -> Floats:
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def jaccard(self) -> Floats:
        return ratio(self.tp, self.tp + self.fp + self.fn)


class MacroDefinition(StrEnum):
    """Which macro average is meant; published numbers use all four.

    CAML: means of precision and of recall over all labels, F1 = 2PR / (P + R) of the two means (caml-mimic and what
        inherited its evaluation: MultiResCNN, LAAT, PLM-ICD, MSMN, KEPT; LibMultiLabel's ``Another-Macro-F1``).
    ALL_LABELS: mean of the labels' F1 over all labels, absent and never predicted ones counting 0 (scikit-learn's
        ``average="macro"``; AnEMIC, PyHealth, GKI-ICD ``f1_macro``).
    LABELS_IN_SPLIT: mean of the labels' F1 over labels with gold in the split evaluated (Edin et al. 2023).
    LABELS_SEEN_OR_PREDICTED: mean of the labels' F1 over labels with gold or an assignment in the split.
    """

    CAML = "caml"
    ALL_LABELS = "all_labels"
    LABELS_IN_SPLIT = "labels_in_split"
    LABELS_SEEN_OR_PREDICTED = "labels_seen_or_predicted"


def ratio(numerator: Ints | Floats, denominator: Ints | Floats) -> Floats:
    """Elementwise quotient, 0 where the denominator is 0."""
    out = np.zeros(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)), dtype=np.float64)
    return np.divide(numerator, denominator, out=out, where=np.asarray(denominator) != 0)


def counts_by_label(judged: Judgements) -> Counts:
    """One entry a label."""
    assigned, gold = judged.assigned, judged.gold_per_label()
    tp = np.bincount(judged.label[assigned & judged.is_gold], minlength=judged.n_labels)
    return Counts(tp, judged.assigned_per_label() - tp, gold - tp)


def counts_by_encounter(judged: Judgements, labels: Bools | None = None) -> Counts:
    """One entry an encounter, over all labels or over those flagged."""
    assigned, gold_encounter = judged.assigned, judged.gold_encounter
    if labels is not None:
        assigned, gold_encounter = assigned & labels[judged.label], gold_encounter[labels[judged.gold_label]]
    n = judged.n_encounters
    tp = np.bincount(judged.encounter[assigned & judged.is_gold], minlength=n)
    predicted = np.bincount(judged.encounter[assigned], minlength=n)
    return Counts(tp, predicted - tp, np.bincount(gold_encounter, minlength=n) - tp)


def micro(counts: Counts) -> Scores:
    """Pool the counts, then take precision, recall and F1."""
    pooled = counts.total()
    return Scores(float(pooled.precision()[0]), float(pooled.recall()[0]), float(pooled.f1()[0]))


def macro(counts: Counts, definition: MacroDefinition, *, space: Bools | None = None) -> Scores:
    """Average over labels.

    Args:
        counts: by label.
        definition: which labels enter, and how F1 is formed.
        space: the label space, one flag a label, for ``CAML`` and ``ALL_LABELS``; by default all entries.
    """
    chosen = counts.select(macro_labels(counts, definition, space))
    precision, recall = _mean(chosen.precision()), _mean(chosen.recall())
    if definition is MacroDefinition.CAML:
        return Scores(precision, recall, harmonic_mean(precision, recall))
    return Scores(precision, recall, _mean(chosen.f1()))


def macro_labels(counts: Counts, definition: MacroDefinition, space: Bools | None = None) -> Bools:
    """The labels a macro average runs over, one flag a label."""
    match definition:
        case MacroDefinition.CAML | MacroDefinition.ALL_LABELS:
            return np.ones(len(counts.tp), dtype=np.bool_) if space is None else space
        case MacroDefinition.LABELS_IN_SPLIT:
            return counts.tp + counts.fn > 0
        case MacroDefinition.LABELS_SEEN_OR_PREDICTED:
            return counts.tp + counts.fp + counts.fn > 0
        case _:
            assert_never(definition)


def weighted(counts: Counts) -> Scores:
    """Average over labels, each weighted by its number of gold codes."""
    weight = counts.tp + counts.fn
    total = weight.sum(keepdims=True)
    means = [ratio((weight * values).sum(keepdims=True), total) for values in _per_entry(counts)]
    return Scores(*(float(mean[0]) for mean in means))


def sample(counts: Counts) -> Scores:
    """Average over encounters (counts by encounter); one without gold or without assignment counts 0 for each ratio."""
    return Scores(*(_mean(values) for values in _per_entry(counts)))


def micro_accuracy(counts: Counts) -> float:
    """CAML's micro accuracy (Jaccard): pairs both gold and assigned, over pairs gold or assigned."""
    return float(counts.total().jaccard()[0])


def macro_accuracy(counts: Counts, *, space: Bools | None = None) -> float:
    """CAML's macro accuracy: the mean Jaccard index over all labels (or those of the label space)."""
    return _mean((counts if space is None else counts.select(space)).jaccard())


def exact_match(counts: Counts) -> float:
    """Share of encounters (counts by encounter) whose assigned codes are exactly the gold codes, none being none."""
    return _mean(((counts.fp == 0) & (counts.fn == 0)).astype(np.float64))


def coverage(counts: Counts) -> float:
    """Share of encounters (counts by encounter) with at least one assigned code."""
    return _mean((counts.tp + counts.fp > 0).astype(np.float64))


def harmonic_mean(a: float, b: float) -> float:
    """2ab / (a + b), 0 if both are 0."""
    return 2 * a * b / (a + b) if a + b else 0.0


def _per_entry(counts: Counts) -> tuple[Floats, Floats, Floats]:
    return counts.precision(), counts.recall(), counts.f1()


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0
