"""Areas under the ROC and the precision-recall curve from sparse scores.

A sparse list says nothing of the labels it leaves out. Here an unlisted pair counts as scored below every listed pair
of the whole set, and tied with all other unlisted pairs; ``Bounded.low`` and ``Bounded.high`` say what the area could
be if the unlisted scores were known and lay, as they must, between 0 and the lowest score listed for that encounter.
With every label listed the three values are equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nosology.evaluation.judgements import Floats, Ints, Judgements
from nosology.evaluation.metrics import ratio


@dataclass(frozen=True, slots=True)
class Bounded:
    """A value under the stated convention, and the interval it must lie in whatever the unlisted scores are."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class _Pools:
    """Pairs split into the pools whose areas are computed: one pool (micro) or one a label (macro).

    ``cap`` is the greatest score an encounter's unlisted pairs can have; ``slots`` how many pairs it has in a pool.
    """

    n_pools: int
    listed_pool: Ints
    listed_score: Floats
    listed_gold: Floats
    listed_cap: Floats
    unlisted_gold_pool: Ints
    unlisted_gold_cap: Floats
    caps: Floats
    slots: int
    positives: Floats
    negatives: Floats


def micro_auc(judged: Judgements) -> Bounded:
    """Area under the ROC curve of all (encounter, label) pairs pooled; 0.5 if they are all gold or all not."""
    values = _areas(_pools(judged, by_label=False))
    return Bounded(*(float(area[0]) for area in values))


def macro_auc(judged: Judgements) -> Bounded:
    """Mean area under the ROC curve over labels that have both gold and other encounters; 0.5 if none has."""
    pools = _pools(judged, by_label=True)
    defined = (pools.positives > 0) & (pools.negatives > 0)
    if not defined.any():
        return Bounded(0.5, 0.5, 0.5)
    return Bounded(*(float(area[defined].mean()) for area in _areas(pools)))


def micro_average_precision(judged: Judgements) -> float:
    """Average precision of all pairs pooled (scikit-learn's ``average="micro"``); 0 without gold."""
    return float(_average_precision(_pools(judged, by_label=False))[0])


def macro_average_precision(judged: Judgements) -> float:
    """Mean average precision over labels that have gold; 0 if none has."""
    pools = _pools(judged, by_label=True)
    with_gold = pools.positives > 0
    return float(_average_precision(pools)[with_gold].mean()) if with_gold.any() else 0.0


def _pools(judged: Judgements, *, by_label: bool) -> _Pools:
    n_pools, slots = (judged.n_labels, 1) if by_label else (1, judged.n_labels)
    caps = np.ones(judged.n_encounters)  # nothing listed: unlisted scores can be anything
    np.minimum.at(caps, judged.encounter, judged.score)
    unlisted = judged.gold_rank == 0
    gold_pool = judged.gold_label if by_label else np.zeros_like(judged.gold_label)
    positives = np.bincount(gold_pool, minlength=n_pools).astype(np.float64)
    return _Pools(
        n_pools=n_pools,
        listed_pool=judged.label if by_label else np.zeros_like(judged.label),
        listed_score=judged.score,
        listed_gold=judged.is_gold.astype(np.float64),
        listed_cap=caps[judged.encounter],
        unlisted_gold_pool=gold_pool[unlisted],
        unlisted_gold_cap=caps[judged.gold_encounter[unlisted]],
        caps=caps,
        slots=slots,
        positives=positives,
        negatives=float(slots * judged.n_encounters) - positives,
    )


def _areas(pools: _Pools) -> tuple[Floats, Floats, Floats]:
    """ROC areas: the conventional ones, the least and the greatest possible."""
    beaten = _negatives_beaten(pools.listed_pool, pools.listed_score, pools.listed_gold, 1.0 - pools.listed_gold, pools)
    listed_negatives = np.bincount(pools.listed_pool, weights=1.0 - pools.listed_gold, minlength=pools.n_pools)
    listed_positives = np.bincount(pools.listed_pool, weights=pools.listed_gold, minlength=pools.n_pools)
    unlisted_positives = np.bincount(pools.unlisted_gold_pool, minlength=pools.n_pools)
    unlisted_negatives = pools.negatives - listed_negatives
    value = beaten + unlisted_negatives * (listed_positives + 0.5 * unlisted_positives)
    pairs = pools.positives * pools.negatives
    areas = (value, _least(pools), _greatest(pools, unlisted_negatives))
    return (
        np.where(pairs > 0, ratio(areas[0], pairs), 0.5),
        np.where(pairs > 0, ratio(areas[1], pairs), 0.5),
        np.where(pairs > 0, ratio(areas[2], pairs), 0.5),
    )


def _greatest(pools: _Pools, unlisted_negatives: Floats) -> Floats:
    """Negatives beaten when unlisted gold scores its cap and every other unlisted pair scores nothing."""
    pool = np.concatenate([pools.listed_pool, pools.unlisted_gold_pool])
    score = np.concatenate([pools.listed_score, pools.unlisted_gold_cap])
    gold = np.concatenate([pools.listed_gold, np.ones(len(pools.unlisted_gold_pool))])
    return _negatives_beaten(pool, score, gold, 1.0 - gold, pools) + unlisted_negatives * pools.positives


def _least(pools: _Pools) -> Floats:
    """Negatives beaten by listed gold when every other unlisted pair scores its cap (unlisted gold beats none).

    The unlisted negatives of a pool are all slots of all encounters, less those listed, less those that are gold; each
    of the three groups enters as negatives of weight +slots, -1 and -1 at the encounters' caps.
    """
    pool = np.concatenate([pools.listed_pool, pools.listed_pool, pools.unlisted_gold_pool])
    score = np.concatenate([pools.listed_score, pools.listed_cap, pools.unlisted_gold_cap])
    positive = np.concatenate([pools.listed_gold, np.zeros(len(pool) - len(pools.listed_gold))])
    negative = np.concatenate([1.0 - pools.listed_gold, -np.ones(len(pool) - len(pools.listed_gold))])
    beaten = _negatives_beaten(pool, score, positive, negative, pools)
    caps, scores = np.sort(pools.caps), pools.listed_score
    below = 0.5 * (np.searchsorted(caps, scores, "left") + np.searchsorted(caps, scores, "right"))
    slots = np.bincount(pools.listed_pool, weights=pools.listed_gold * below, minlength=pools.n_pools) * pools.slots
    return beaten + slots


def _negatives_beaten(pool: Ints, score: Floats, positive: Floats, negative: Floats, pools: _Pools) -> Floats:
    """For each pool, the weight of (positive, negative) pairs in which the positive scores more, ties counting half."""
    order = np.lexsort((score, pool))
    pool, score, positive, negative = pool[order], score[order], positive[order], negative[order]
    if not len(pool):
        return np.zeros(pools.n_pools, dtype=np.float64)
    first, last = _tie_groups(pool, score)
    below = np.concatenate([[0.0], np.cumsum(negative)])
    pool_first = np.searchsorted(pool, pool)
    beaten = 0.5 * (below[first] + below[last + 1]) - below[pool_first]
    return _sum_by(pool, positive * beaten, pools.n_pools)


def _tie_groups(pool: Ints, score: Floats) -> tuple[Ints, Ints]:
    """Index of the first and of the last entry with the same pool and score, for sorted entries."""
    starts = np.concatenate([[True], (pool[1:] != pool[:-1]) | (score[1:] != score[:-1])])
    group = np.cumsum(starts) - 1
    first = np.flatnonzero(starts)
    last = np.concatenate([first[1:], [len(pool)]]) - 1
    return first[group], last[group]


def _average_precision(pools: _Pools) -> Floats:
    """Mean, over the gold pairs of a pool, of precision among pairs scored at least as high."""
    slots = pools.positives + pools.negatives
    unlisted = np.bincount(pools.unlisted_gold_pool, minlength=pools.n_pools)
    total = unlisted * ratio(pools.positives, slots)
    order = np.lexsort((-pools.listed_score, pools.listed_pool))
    pool, score, gold = pools.listed_pool[order], pools.listed_score[order], pools.listed_gold[order]
    if len(pool):
        _, last = _tie_groups(pool, score)
        found = np.concatenate([[0.0], np.cumsum(gold)])
        pool_first = np.searchsorted(pool, pool)
        precision = (found[last + 1] - found[pool_first]) / (last + 1 - pool_first)
        total = total + np.bincount(pool, weights=gold * precision, minlength=pools.n_pools)
    return ratio(total, pools.positives)


def _sum_by(pool: Ints, values: Floats, n_pools: int) -> Floats:
    return np.bincount(pool, weights=values, minlength=n_pools).astype(np.float64)
