"""Every figure by name, for the data as they are and for any weighting of their groups.

Names are stable and dotted: ``micro.f1``, ``macro.f1.caml``, ``map``, ``p@5``, ``r@8``, ``ndcg@15``, ``exact_match``.
They are of two kinds. *Pooled* figures are quotients of sums over encounters (micro scores, and means over encounters);
*averaged* figures are means over labels. A bootstrap replicate or a random swap of two systems is a row of weights of
groups, and each kind is computed for all rows at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nosology.errors import ConfigError
from nosology.evaluation.draws import Draw
from nosology.evaluation.judgements import Bools, Floats, Ints, Judgements
from nosology.evaluation.metrics import Counts, MacroDefinition, counts_by_encounter, macro_labels, ratio
from nosology.evaluation.ranking_metrics import (
    average_precisions,
    ndcgs_at,
    precisions_at,
    r_precisions,
    recalls_at,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CUTOFFS = (1, 5, 8, 10, 15)
"""The k of P@k, R@k and nDCG@k."""

_CHUNK = 100  # replicates whose label counts are held at once

Quotient: TypeAlias = tuple[Floats, Floats]
"""Numerator and denominator, one entry an encounter; the figure is the quotient of their weighted sums, 0/0 is 0."""


def pooled_names() -> tuple[str, ...]:
    """Names of the figures that are quotients of sums over encounters."""
    at_k = (f"{metric}@{k}" for metric in ("p", "r", "ndcg") for k in CUTOFFS)
    sets = (f"{average}.{ratio_}" for average in ("micro", "sample") for ratio_ in ("precision", "recall", "f1"))
    return (*sets, "micro.accuracy", "exact_match", "coverage", "map", "r_precision", "candidate_recall", *at_k)


def averaged_names() -> tuple[str, ...]:
    """Names of the figures that are means over labels, areas left out."""
    macro = (f"macro.{of}.{definition}" for of in ("precision", "recall", "f1") for definition in MacroDefinition)
    return (*macro, "macro.accuracy", "weighted.precision", "weighted.recall", "weighted.f1")


def check_names(names: Collection[str]) -> None:
    """Refuse names that have no replicates.

    Raises:
        ConfigError: a name is unknown, or of an area, which no weighting of groups is defined for here.
    """
    known = (*pooled_names(), *averaged_names())
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"no figure {unknown[0]!r} to compare; there are: {', '.join(known)}")


def quotients(judged: Judgements, names: Collection[str]) -> dict[str, Quotient]:
    """The pooled figures among ``names``.

    Args:
        judged: candidates judged against gold.
        names: of figures; those of other kinds are passed over.
    """
    counts = counts_by_encounter(judged)
    every = np.ones(judged.n_encounters)
    with_gold = (judged.gold_per_encounter() > 0).astype(np.float64)
    found = {
        **_set_quotients(counts, every),
        "candidate_recall": (_listed_gold(judged), judged.gold_per_encounter().astype(np.float64)),
    }
    for name in names:
        if name == "map":
            found[name] = (average_precisions(judged), with_gold)
        elif name == "r_precision":
            found[name] = (r_precisions(judged), with_gold)
        elif "@" in name:
            found[name] = _at(judged, name, every, with_gold)
    return {name: found[name] for name in names if name in found}


def _set_quotients(counts: Counts, every: Floats) -> dict[str, Quotient]:
    tp, fp, fn = (array.astype(np.float64) for array in (counts.tp, counts.fp, counts.fn))
    exact = ((counts.fp == 0) & (counts.fn == 0)).astype(np.float64)
    return {
        "micro.precision": (tp, tp + fp),
        "micro.recall": (tp, tp + fn),
        "micro.f1": (2 * tp, 2 * tp + fp + fn),
        "micro.accuracy": (tp, tp + fp + fn),
        "sample.precision": (counts.precision(), every),
        "sample.recall": (counts.recall(), every),
        "sample.f1": (counts.f1(), every),
        "exact_match": (exact, every),
        "coverage": ((tp + fp > 0).astype(np.float64), every),
    }


def _listed_gold(judged: Judgements) -> Floats:
    listed = judged.gold_encounter[judged.gold_rank > 0]
    return np.bincount(listed, minlength=judged.n_encounters).astype(np.float64)


def _at(judged: Judgements, name: str, every: Floats, with_gold: Floats) -> Quotient:
    metric, _, k = name.partition("@")
    if metric == "p":
        return precisions_at(judged, int(k)), every
    return (recalls_at if metric == "r" else ndcgs_at)(judged, int(k)), with_gold


def group_sums(values: Mapping[str, Quotient], group_of: Ints, n_groups: int) -> tuple[Floats, Floats]:
    """Numerators and denominators summed by group: two arrays ``[group, figure]``."""
    sums = [
        [np.bincount(group_of, weights=part, minlength=n_groups) for part in quotient] for quotient in values.values()
    ]
    stacked: Floats = np.array(sums, dtype=np.float64).reshape(len(values), 2, n_groups)
    return stacked[:, 0].T, stacked[:, 1].T


# --- means over labels ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class LabelTables:
    """How many true positives, assigned and gold pairs each label has in each group: three arrays ``[label, group]``.

    Only labels that have any pair are rows; ``labels`` says which they are.
    """

    labels: Ints
    tp: csr_array
    assigned: csr_array
    gold: csr_array

    @classmethod
    def of(cls, judged: Judgements, group_of: Ints, n_groups: int, labels: Ints | None = None) -> LabelTables:
        """Count.

        Args:
            judged: candidates judged against gold.
            group_of: the group of each encounter.
            n_groups: how many groups there are.
            labels: the labels to keep as rows; by default those with any pair.
        """
        assigned, hit = judged.assigned, judged.assigned & judged.is_gold
        pairs = [
            (judged.label[hit], group_of[judged.encounter[hit]]),
            (judged.label[assigned], group_of[judged.encounter[assigned]]),
            (judged.gold_label, group_of[judged.gold_encounter]),
        ]
        chosen = labels_with_pairs(judged) if labels is None else labels
        return cls(chosen, *(_table(chosen, label, group, n_groups) for label, group in pairs))

    def counts(self, weights: Floats) -> Counts:
        """Counts ``[label, replicate]`` for weights ``[replicate, group]``."""
        columns = np.ascontiguousarray(weights.T, dtype=np.float32)  # whole numbers far below 2^24
        tp, assigned, gold = (
            np.rint(table @ columns).astype(np.int64) for table in (self.tp, self.assigned, self.gold)
        )
        return Counts(tp, assigned - tp, gold - tp)


def labels_with_pairs(judged: Judgements) -> Ints:
    """The labels that are gold or assigned anywhere."""
    return np.flatnonzero(judged.gold_per_label() + judged.assigned_per_label())


def _table(labels: Ints, label: Ints, group: Ints, n_groups: int) -> csr_array:
    from scipy.sparse import csr_array

    rows = np.searchsorted(labels, label)
    ones = np.ones(len(rows), dtype=np.float32)
    return csr_array((ones, (rows, group)), shape=(len(labels), n_groups))


def label_averages(counts: Counts, names: Collection[str], space: Bools, n_space: int) -> dict[str, Floats]:
    """The averaged figures among ``names``, one value a replicate.

    Args:
        counts: ``[label, replicate]``, of labels that have any pair.
        names: of figures; those of other kinds are passed over.
        space: which of these labels are in the label space.
        n_space: how many labels the label space has, those without any pair included.
    """
    values = _Values(counts)
    found = dict[str, Floats]()
    for name in names:
        average, _, rest = name.partition(".")
        if average == "weighted":
            found[name] = values.weighted(rest)
        elif name == "macro.accuracy":
            found[name] = values.sums("accuracy", space) / max(n_space, 1)
        elif average == "macro":
            of, _, definition = rest.partition(".")
            found[name] = _macro(values, of, definition, space, n_space)
    return found


def _macro(values: _Values, of: str, definition: str, space: Bools, n_space: int) -> Floats:
    kind = MacroDefinition(definition)
    if kind is MacroDefinition.CAML and of == "f1":
        precision, recall = (values.sums(part, space) / max(n_space, 1) for part in ("precision", "recall"))
        return ratio(2 * precision * recall, precision + recall)
    if kind in (MacroDefinition.CAML, MacroDefinition.ALL_LABELS):
        return values.sums(of, space) / max(n_space, 1)
    chosen = macro_labels(values.counts, kind)
    return ratio(np.einsum("lr,lr->r", values.of(of), chosen), chosen.sum(axis=0))


class _Values:
    """Per-label values ``[label, replicate]``, each computed once."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self._known = dict[str, Floats]()

    def of(self, name: str) -> Floats:
        if name not in self._known:
            counts = self.counts
            makers = {
                "precision": counts.precision,
                "recall": counts.recall,
                "f1": counts.f1,
                "accuracy": counts.jaccard,
            }
            self._known[name] = makers[name]()
        return self._known[name]

    def sums(self, name: str, space: Bools) -> Floats:
        return self.of(name).sum(axis=0) if space.all() else self.of(name)[space].sum(axis=0)

    def weighted(self, name: str) -> Floats:
        weight = self.counts.tp + self.counts.fn
        return ratio(np.einsum("lr,lr->r", self.of(name), weight), weight.sum(axis=0))


def chunks(weights: Floats) -> Iterator[Floats]:
    """Rows of weights, some at a time, so that label counts fit in memory."""
    for start in range(0, len(weights), _CHUNK):
        yield weights[start : start + _CHUNK]


# --- both kinds -----------------------------------------------------------------------------------------------------


def figure_replicates(
    judged: Judgements, draw: Draw, names: Collection[str], *, space: Bools | None = None
) -> dict[str, Floats]:
    """Figures for each row of weights.

    Args:
        judged: candidates judged against gold.
        draw: groups and their weights.
        names: of figures, see ``pooled_names`` and ``averaged_names``.
        space: the label space of averages over all labels, one flag a label; by default every label.

    Raises:
        ConfigError: an unknown name.
    """
    check_names(names)
    pooled = quotients(judged, names)
    tops, bottoms = group_sums(pooled, draw.group_of, draw.n_groups)
    shares = ratio(draw.weights @ tops, draw.weights @ bottoms) if pooled else np.zeros((len(draw.weights), 0))
    found = {name: shares[:, i] for i, name in enumerate(pooled)}
    return found | _averaged(judged, draw, [name for name in names if name not in pooled], space)


def _averaged(judged: Judgements, draw: Draw, names: list[str], space: Bools | None) -> dict[str, Floats]:
    if not names:
        return {}
    tables = LabelTables.of(judged, draw.group_of, draw.n_groups)
    inside = np.ones(judged.n_labels, dtype=np.bool_) if space is None else space
    parts = [
        label_averages(tables.counts(weights), names, inside[tables.labels], int(inside.sum()))
        for weights in chunks(draw.weights)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}
