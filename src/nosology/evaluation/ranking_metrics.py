"""How well candidates are ordered: per-encounter values and their means.

All of them follow from the rank of each gold pair, so they cost no more than the gold standard is long. A gold code
that is not listed has no rank: it counts as never found.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from nosology.evaluation.judgements import Bools, Floats, Judgements
from nosology.evaluation.metrics import ratio


class Over(StrEnum):
    """Which encounters a mean runs over.

    WITH_GOLD: those that have gold codes; elsewhere recall and average precision are not defined.
    ALL: all of them, those without gold counting 0 (as CAML and AnEMIC do).
    """

    WITH_GOLD = "with_gold"
    ALL = "all"


def mean_over(values: Floats, judged: Judgements, over: Over) -> float:
    """Mean of per-encounter values; 0 where no encounter qualifies."""
    if over is Over.WITH_GOLD:
        values = values[judged.gold_per_encounter() > 0]
    return float(values.mean()) if len(values) else 0.0


def average_precisions(judged: Judgements) -> Floats:
    """Average precision of each encounter: precision at the rank of each listed gold code, summed, over all gold codes.

    The denominator counts every gold code, listed or not; an encounter without gold has 0.
    """
    listed = judged.gold_rank > 0
    order = np.lexsort((judged.gold_rank[listed], judged.gold_encounter[listed]))
    encounter, rank = judged.gold_encounter[listed][order], judged.gold_rank[listed][order]
    found_so_far = np.arange(len(encounter)) - np.searchsorted(encounter, encounter) + 1
    total = np.bincount(encounter, weights=found_so_far / rank, minlength=judged.n_encounters)
    return ratio(total, judged.gold_per_encounter())


def hits_at(judged: Judgements, k: int) -> Floats:
    """Gold codes among the first k candidates of each encounter."""
    return _count_gold(judged, (judged.gold_rank > 0) & (judged.gold_rank <= k))


def precisions_at(judged: Judgements, k: int) -> Floats:
    """Hits among the first k, over k, even where fewer than k candidates are listed."""
    return hits_at(judged, _positive(k)) / k


def recalls_at(judged: Judgements, k: int) -> Floats:
    """Hits among the first k, over the number of gold codes."""
    return ratio(hits_at(judged, _positive(k)), judged.gold_per_encounter())


def r_precisions(judged: Judgements) -> Floats:
    """Precision among the first R candidates, R being the encounter's number of gold codes."""
    gold = judged.gold_per_encounter()
    found = (judged.gold_rank > 0) & (judged.gold_rank <= gold[judged.gold_encounter])
    return ratio(_count_gold(judged, found), gold)


def ndcgs_at(judged: Judgements, k: int) -> Floats:
    """Normalised discounted cumulative gain, gain 1 for gold: sum of 1 / log2(1 + rank) over that of an ideal list."""
    found = (judged.gold_rank > 0) & (judged.gold_rank <= _positive(k))
    discount = 1.0 / np.log2(1.0 + judged.gold_rank[found])
    gain = np.bincount(judged.gold_encounter[found], weights=discount, minlength=judged.n_encounters)
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])
    return ratio(gain, ideal[np.minimum(judged.gold_per_encounter(), k)])


def candidate_recall(judged: Judgements, labels: Bools | None = None) -> float:
    """Share of all gold codes that are listed as candidates: the recall no threshold can exceed."""
    rank = judged.gold_rank if labels is None else judged.gold_rank[labels[judged.gold_label]]
    return float((rank > 0).mean()) if len(rank) else 0.0


def _count_gold(judged: Judgements, found: Bools) -> Floats:
    return np.bincount(judged.gold_encounter[found], minlength=judged.n_encounters).astype(np.float64)


def _positive(k: int) -> int:
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k}")
    return k
