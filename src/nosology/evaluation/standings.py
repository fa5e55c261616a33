"""Where gold pairs stand among all pairs of their pool: what areas under curves are summed from.

A pool is what one curve is drawn over: all pairs (micro), or the pairs of one label (macro). Only gold pairs are looked
up, in sorted scores, so the cost is that of sorting plain numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.evaluation.judgements import Floats, Ints, Judgements, Scores2D


@dataclass(frozen=True, slots=True, eq=False)
class Standings:
    """What a pool's areas follow from; every array has one entry a pool.

    Args:
        positives: gold pairs.
        negatives: other pairs, listed or not.
        beaten: pairs (gold, not gold) in which the gold one scores more, ties counting half, unlisted pairs scoring
            below all listed ones and like one another.
        least: the same if unlisted scores were as unkind as they can be.
        greatest: the same if they were as kind as they can be.
        precisions: the precision at each gold pair's score (pairs scored at least as high), summed.
    """

    positives: Floats
    negatives: Floats
    beaten: Floats
    least: Floats
    greatest: Floats
    precisions: Floats


def micro_standings(judged: Judgements) -> Standings:
    """One pool of all pairs."""
    if judged.dense is None:
        return _sparse(judged, by_label=False)
    sums = _of_column(np.sort(judged.dense, axis=None), judged.dense[judged.gold_encounter, judged.gold_label])
    return _complete(np.array([sums]), judged.dense.size)


def macro_standings(judged: Judgements) -> Standings:
    """One pool a label."""
    return _sparse(judged, by_label=True) if judged.dense is None else _dense_by_label(judged, judged.dense)


# --- dense scores ---------------------------------------------------------------------------------------------------

_BLOCK = 256  # columns that are sorted together


def _dense_by_label(judged: Judgements, values: Scores2D) -> Standings:
    order = np.argsort(judged.gold_label, kind="stable")
    rows, columns = judged.gold_encounter[order], judged.gold_label[order]
    starts = np.searchsorted(columns, np.arange(judged.n_labels + 1))
    with_gold = np.flatnonzero(np.diff(starts))
    sums = np.zeros((judged.n_labels, 3))
    for begin in range(0, len(with_gold), _BLOCK):
        labels = with_gold[begin : begin + _BLOCK]
        block = np.ascontiguousarray(values[:, labels].T)
        block.sort(axis=1)
        for label, ordered in zip(labels, block, strict=True):
            sums[label] = _of_column(ordered, values[rows[starts[label] : starts[label + 1]], label])
    return _complete(sums, judged.n_encounters)


def _of_column(ordered: NDArray[np.floating], gold: NDArray[np.floating]) -> tuple[float, float, float]:
    """(gold pairs, negatives they beat, their precisions summed) of one pool, its scores in order."""
    gold = np.sort(gold)
    below, up_to = np.searchsorted(ordered, gold, "left"), np.searchsorted(ordered, gold, "right")
    gold_below, gold_up_to = np.searchsorted(gold, gold, "left"), np.searchsorted(gold, gold, "right")
    beaten = 0.5 * ((below - gold_below) + (up_to - gold_up_to)).sum()
    precisions = ((len(gold) - gold_below) / (len(ordered) - below)).sum()
    return len(gold), float(beaten), float(precisions)


def _complete(sums: Floats, slots: int) -> Standings:
    positives, beaten, precisions = sums.T
    return Standings(positives, slots - positives, beaten, beaten, beaten, precisions)


# --- sparse scores --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Pools:
    """Scores as whole numbers (levels, equal where scores are) and pairs as keys: pool x width + level.

    ``cap`` is the greatest level an encounter's unlisted pairs can have: that of the lowest score listed for it.
    """

    n_pools: int
    width: int
    slots: int
    listed_pool: Ints
    listed_level: Ints
    listed_cap: Ints
    is_gold: NDArray[np.bool_]
    unlisted_gold_pool: Ints
    unlisted_gold_cap: Ints
    caps: Ints

    def keys(self, pool: Ints, level: Ints) -> Ints:
        """Sorted keys."""
        return np.sort(pool * self.width + level)

    def halfway(self, ordered: Ints, pool: Ints, level: Ints) -> Floats:
        """How many of the sorted keys stand in the same pool below each level, those level with it counting half."""
        keys = pool * self.width + level
        lower, upper = np.searchsorted(ordered, keys, "left"), np.searchsorted(ordered, keys, "right")
        first = np.searchsorted(ordered, pool * self.width, "left")
        return (0.5 * (lower + upper) - first).astype(np.float64)

    def at_or_above(self, ordered: Ints, pool: Ints, level: Ints) -> Ints:
        """How many of the sorted keys stand in the same pool at each level or above."""
        end = np.searchsorted(ordered, (pool + 1) * self.width, "left")
        return end - np.searchsorted(ordered, pool * self.width + level, "left")

    def total(self, pool: Ints, values: Floats | None = None) -> Floats:
        return np.bincount(pool, weights=values, minlength=self.n_pools).astype(np.float64)


def _pools(judged: Judgements, *, by_label: bool) -> _Pools:
    # 1 is the cap of an encounter for which nothing is listed: its unlisted scores can be anything
    scale, level = np.unique(np.append(judged.score, max(1.0, judged.score.max(initial=1.0))), return_inverse=True)
    level, top = level[:-1].astype(np.int64), len(scale) - 1
    caps = np.full(judged.n_encounters, top, dtype=np.int64)
    np.minimum.at(caps, judged.encounter, level)
    unlisted = judged.gold_rank == 0

    def pool(labels: Ints) -> Ints:
        return labels if by_label else np.zeros_like(labels)

    return _Pools(
        n_pools=judged.n_labels if by_label else 1,
        width=len(scale),
        slots=1 if by_label else judged.n_labels,
        listed_pool=pool(judged.label),
        listed_level=level,
        listed_cap=caps[judged.encounter],
        is_gold=judged.is_gold,
        unlisted_gold_pool=pool(judged.gold_label[unlisted]),
        unlisted_gold_cap=caps[judged.gold_encounter[unlisted]],
        caps=np.sort(caps),
    )


def _sparse(judged: Judgements, *, by_label: bool) -> Standings:
    pools = _pools(judged, by_label=by_label)
    gold = judged.is_gold
    pool, level = pools.listed_pool[gold], pools.listed_level[gold]
    listed, listed_gold = pools.keys(pools.listed_pool, pools.listed_level), pools.keys(pool, level)
    missed = pools.total(pools.unlisted_gold_pool)
    found = pools.total(pool)
    positives = found + missed
    negatives = float(pools.slots * judged.n_encounters) - positives
    unlisted = negatives - (pools.total(pools.listed_pool) - found)

    def beaten_by(where: Ints, at: Ints) -> Floats:
        return pools.total(where, pools.halfway(listed, where, at) - pools.halfway(listed_gold, where, at))

    of_found = beaten_by(pool, level)
    of_missed = beaten_by(pools.unlisted_gold_pool, pools.unlisted_gold_cap)
    precision = pools.at_or_above(listed_gold, pool, level) / pools.at_or_above(listed, pool, level)
    slots = positives + negatives
    return Standings(
        positives=positives,
        negatives=negatives,
        beaten=of_found + unlisted * (found + 0.5 * missed),
        least=of_found + _capped_below(pools, pool, level),
        greatest=of_found + of_missed + unlisted * positives,
        precisions=pools.total(pool, precision) + missed * positives / np.maximum(slots, 1),
    )


def _capped_below(pools: _Pools, pool: Ints, level: Ints) -> Floats:
    """Unlisted negatives that listed gold beats though each scores its cap; summed by pool.

    They are all slots of all encounters, less the listed pairs, less the unlisted gold, each at its encounter's cap.
    """
    all_slots = 0.5 * (np.searchsorted(pools.caps, level, "left") + np.searchsorted(pools.caps, level, "right"))
    listed = pools.keys(pools.listed_pool, pools.listed_cap)
    gold = pools.keys(pools.unlisted_gold_pool, pools.unlisted_gold_cap)
    beaten = pools.slots * all_slots - pools.halfway(listed, pool, level) - pools.halfway(gold, pool, level)
    return pools.total(pool, beaten)
