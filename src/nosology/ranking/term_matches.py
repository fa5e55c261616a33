"""Which words of a note speak for each retrieved term, and what its better rivals leave of them; arrays throughout."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.array_runs import ranges, run_lengths, run_starts
from nosology.knowledge.stream import TokenStream
from nosology.knowledge.term_index import BILATERAL, LEFT, RIGHT, SIDES
from nosology.ranking.postings import Postings
from nosology.ranking.windows import Readings, Windows


class Matches(NamedTuple):
    """The surest words of a window for a set of concepts, one set after another.

    Args:
        pointers: the words of set ``s`` are ``words[pointers[s]:pointers[s + 1]]``, one at least; int64 ``[set + 1]``.
        words: word indices of the stream, rising inside a set; int64 ``[entry]``.
        least, mean: how surely the set's met concepts are meant; float64 ``[set]``.
    """

    pointers: NDArray[np.int64]
    words: NDArray[np.int64]
    least: NDArray[np.float64]
    mean: NDArray[np.float64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        return self.pointers[1:] - self.pointers[:-1]

    @property
    def first(self) -> NDArray[np.int64]:
        return self.words[self.pointers[:-1]]

    @property
    def last(self) -> NDArray[np.int64]:
        return self.words[self.pointers[1:] - 1]

    def word_tuples(self) -> list[tuple[int, ...]]:
        """The words of each set."""
        words, pointers = self.words.tolist(), self.pointers.tolist()
        return [tuple(words[start:end]) for start, end in pairwise(pointers)]

    def mean_and_most(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of a value of every word of the stream, the mean and the highest over each set's words."""
        if not len(self.words):
            return np.zeros(0), np.zeros(0)
        own, starts = values[self.words], self.pointers[:-1]
        return np.add.reduceat(own, starts) / self.sizes, np.maximum.reduceat(own, starts)


def match_sets(
    sets: NDArray[np.int64],
    by_set: Postings,
    windows: Windows,
    readings: Readings,
    content: Sequence[int],
) -> Matches:
    """The word that means each concept most surely, of two as sure the earlier one.

    Args:
        sets: each has a concept that its window means.
        by_set: their concepts.
        windows: of each set, in content words.
        readings: what the content words may mean.
        content: word indices of the content words.
    """
    owners, concepts, _ = by_set.gather(sets)
    stride = len(content) + 1
    order = np.lexsort((readings.places, readings.concepts))
    cells = readings.concepts[order] * stride + readings.places[order]
    own = concepts.astype(np.int64) * stride
    lower = np.searchsorted(cells, own + windows.starts[owners])
    counts = np.searchsorted(cells, own + windows.ends[owners]) - lower
    pairs = np.repeat(np.arange(len(owners)), counts)
    entries = order[ranges(lower, counts)]
    chances, places = readings.chances[entries], readings.places[entries]
    surest = first_of_each(pairs, np.lexsort((places, -chances, pairs)))
    met, chances = owners[pairs[surest]], chances[surest]
    starts = np.searchsorted(met, np.arange(len(sets)))
    words = np.unique(met * stride + places[surest])
    pointers = np.searchsorted(words, np.arange(len(sets) + 1) * stride)
    least = np.minimum.reduceat(chances, starts) if len(sets) else np.zeros(0)
    mean = np.add.reduceat(chances, starts) / run_lengths(starts, len(met)) if len(sets) else np.zeros(0)
    return Matches(pointers, np.array(content, dtype=np.int64)[words % stride], least, mean)


def sides_of_windows(stream: TokenStream, content: Sequence[int], windows: Windows) -> NDArray[np.int64]:
    """Bits of the sides that each window names."""
    sides = SIDES.keys()
    concepts = stream.concepts
    bits = np.zeros(len(content), dtype=np.int64)
    for place, index in enumerate(content):
        if not sides.isdisjoint(concepts[index]):
            bits[place] = sum(SIDES.get(concept, 0) for concept in concepts[index])
    if not bits.any():
        return np.zeros(len(windows.starts), dtype=np.int64)
    before = np.array([np.concatenate([[0], np.cumsum(bits & side > 0)]) for side in (RIGHT, LEFT, BILATERAL)])
    counts = before[:, windows.ends] - before[:, windows.starts]
    return np.array([RIGHT, LEFT, BILATERAL]) @ (counts > 0)


def agreement(own: NDArray[np.int64], named: NDArray[np.int64], sided: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How well a code's sides fit those that a window names.

    Args:
        own: bits of the code's sides.
        named: bits of the window's.
        sided: whether other codes of the same term have sides.
    """
    both = named & (RIGHT | LEFT) == (RIGHT | LEFT)
    agrees = ((own & named) > 0) | ((own == BILATERAL) & both)
    disagrees = (named > 0) & ~agrees
    of_sided = np.where(agrees, 1.0, np.where(disagrees, 0.4, 0.5))
    without = np.where(sided & (named > 0), 0.8, 1.0)
    return np.where(own > 0, of_sided, without)


def gaps(matches: Matches, stream: TokenStream) -> NDArray[np.int64]:
    """Words with a concept between the first and the last of each set's words, not counting its own."""
    before = np.concatenate([[0], np.cumsum([bool(concepts) for concepts in stream.concepts])])
    inside = np.maximum(before[matches.last] - before[matches.first + 1], 0)
    return inside - np.maximum(matches.sizes - 2, 0)


def explained(matches: Matches, categories: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The share of each candidate's words that better ones have; and better ones of other categories only.

    Args:
        matches: of the candidates, the best first.
        categories: of the candidates.
    """
    sizes, count = matches.sizes, len(matches.sizes)
    owners = np.repeat(np.arange(count), sizes)
    of_entry = categories[owners]
    order = np.argsort(matches.words, kind="stable")
    words = matches.words[order]
    firsts = run_starts(words)
    group = np.repeat(np.arange(len(firsts)), run_lengths(firsts, len(words)))
    best = owners[order][firsts]
    others = np.flatnonzero(of_entry[order] != categories[best][group])
    next_best = np.full(len(firsts), count)
    np.minimum.at(next_best, group[others], owners[order][others])
    group_of = np.empty_like(group)
    group_of[order] = group
    rival = np.where(of_entry == categories[best][group_of], next_best[group_of], best[group_of])
    shares = [np.bincount(owners[met], minlength=count) / sizes for met in (best[group_of] < owners, rival < owners)]
    return shares[0], shares[1]


def rivals(categories: NDArray[np.int64], score: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How many better candidates a category has, and a candidate's score by that of the best one.

    Args:
        categories, score: of the candidates, the best first.
    """
    order = np.argsort(categories, kind="stable")
    firsts = run_starts(categories[order])
    sizes = run_lengths(firsts, len(order))
    ranks, shares = np.empty_like(order), np.empty(len(order))
    ranks[order] = np.arange(len(order)) - np.repeat(firsts, sizes)
    shares[order] = score[order] / np.repeat(score[order[firsts]], sizes)
    return ranks, shares


def first_of_each(values: NDArray[np.int64] | NDArray[np.int32], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first of each value in an order by value."""
    return order[run_starts(values[order])]
