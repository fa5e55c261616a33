"""A note as overlapping windows of content words, and the terms that each window covers best."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.array_runs import ranges, run_starts
from nosology.ranking.postings import Postings

_BLOCK = 64
"""Windows looked at together: what no word of them speaks for is not looked at in any of them."""
_LOOKED_AT = 500
"""Sets of a block that are scored window by window: those that all its words together cover best."""


class Readings(NamedTuple):
    """What the content words of a note may mean, one entry a (word, concept).

    Args:
        places: which content word, rising; int64 ``[entry]``.
        concepts: int64 ``[entry]``.
        chances: probability that the word means it; float64 ``[entry]``.
    """

    places: NDArray[np.int64]
    concepts: NDArray[np.int64]
    chances: NDArray[np.float64]


class Windows(NamedTuple):
    """Runs of content words: first and the one after the last; int64 ``[window]`` each."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


class Cover(NamedTuple):
    """The best sets of each window: arrays ``[cover]``.

    Args:
        sets: numbers of sets.
        windows: numbers of windows.
        coverage: the share of the set's weight that the window's words have.
        mass: the weight itself.
        score: coverage squared times mass.
        ranks: of the set in its window, 0 the best.
        shares: its score by that of the window's best.
    """

    sets: NDArray[np.int64]
    windows: NDArray[np.int64]
    coverage: NDArray[np.float64]
    mass: NDArray[np.float64]
    score: NDArray[np.float64]
    ranks: NDArray[np.int64]
    shares: NDArray[np.float64]


def cut_windows(sentences: NDArray[np.int64], size: int, stride: int) -> Windows:
    """Windows of ``size`` content words, one every ``stride``, none over the end of a sentence.

    Args:
        sentences: of each content word, rising.
        size: a sentence of no more words is one window.
        stride: words from the beginning of one window to that of the next.
    """
    starts, ends = list[int](), list[int]()
    for first, after in pairwise([*run_starts(sentences).tolist(), len(sentences)]):
        own = range(first, max(first + 1, after - size + stride), stride)
        starts += own
        ends += [min(start + size, after) for start in own]
    return Windows(np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class TermCover:
    """Weighted sets of concepts, both ways.

    Args:
        by_set: the concepts of each set, with their weights.
        by_concept: the sets of each concept, with its weight.
    """

    by_set: Postings
    by_concept: Postings
    totals: NDArray[np.float64] = field(init=False, repr=False)
    _scales: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        totals = np.add.reduceat(self.by_set.values.astype(np.float64), self.by_set.pointers[:-1])
        object.__setattr__(self, "totals", totals)
        object.__setattr__(self, "_scales", 1.0 / totals**2)

    @staticmethod
    def of(pointers: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.float64]) -> TermCover:
        """From the sets' concepts; none of them is empty.

        Args:
            pointers, columns: as in ``Postings``.
            weights: of each concept.
        """
        owners = np.repeat(np.arange(len(pointers) - 1), np.diff(pointers))
        order = np.argsort(columns, kind="stable")
        counts = np.bincount(columns, minlength=len(weights))
        values = weights[columns].astype(np.float32)
        return TermCover(
            Postings(pointers, columns.astype(np.int32), values, len(weights)),
            Postings(
                np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
                owners[order].astype(np.int32),
                values[order],
                len(pointers) - 1,
            ),
        )

    def best(self, readings: Readings, windows: Windows, per_window: int) -> Cover:
        """The ``per_window`` best sets of each window."""
        parts = [
            self._best_of_block(readings, windows, first, per_window) for first in range(0, len(windows.starts), _BLOCK)
        ]
        return Cover(*(np.concatenate(columns) for columns in zip(*parts, strict=True))) if parts else _NOTHING

    def _best_of_block(self, readings: Readings, windows: Windows, first: int, per_window: int) -> Cover:
        starts, ends = windows.starts[first : first + _BLOCK], windows.ends[first : first + _BLOCK]
        lower, upper = np.searchsorted(readings.places, [starts[0], ends[-1]])
        concepts, chances = readings.concepts[lower:upper], readings.chances[lower:upper]
        if not len(concepts):
            return _NOTHING
        known, local = np.unique(concepts, return_inverse=True)
        most = np.zeros(len(known))
        np.maximum.at(most, local, chances)
        sets = self._promising(known, most)
        if not len(sets):
            return _NOTHING
        table = _chances_by_window(readings.places[lower:upper], local, chances, starts, ends, len(known))
        mass = self._mass(sets, known, table)
        coverage = mass / self.totals[sets]
        return _select(sets, coverage, mass, first, per_window)

    def _promising(self, known: NDArray[np.int64], most: NDArray[np.float64]) -> NDArray[np.int64]:
        """Sets that might score well, had one window all the words: an upper bound of their score."""
        bound = self.by_concept.combine(known, most)
        score = bound * bound
        score *= bound
        score *= self._scales
        least = float(np.partition(score, -_LOOKED_AT)[-_LOOKED_AT]) if len(score) > _LOOKED_AT else 0.0
        met = np.flatnonzero(score >= least if least > 0.0 else score)
        if len(met) > _LOOKED_AT:  # some are equal to the last one; rare, and slower than the partition alone
            met = np.flatnonzero(score)
            met = np.sort(met[np.argpartition(-score[met], _LOOKED_AT)[:_LOOKED_AT]])
        return met

    def _mass(
        self, sets: NDArray[np.int64], known: NDArray[np.int64], table: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Weight of each set's concepts in each window: float64 ``[window, set]``."""
        owners, columns, values = self.by_set.gather(sets)
        place = np.full(self.by_set.width, -1)
        place[known] = np.arange(len(known))
        position = place.take(columns)
        met = np.flatnonzero(position >= 0)
        begins = run_starts(owners.take(met))
        cells = table.take(position.take(met), axis=1)
        cells *= values.take(met)
        return np.add.reduceat(cells, begins, axis=1)


def _chances_by_window(
    places: NDArray[np.int64],
    local: NDArray[np.int64],
    chances: NDArray[np.float64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    width: int,
) -> NDArray[np.float64]:
    """The highest chance of each concept in each window: float64 ``[window, concept]``."""
    first, after = np.searchsorted(places, starts), np.searchsorted(places, ends)
    lengths = after - first
    rows = np.repeat(np.arange(len(starts)), lengths)
    entries = ranges(first, lengths)
    table = np.zeros((len(starts), width))
    np.maximum.at(table, (rows, local[entries]), chances[entries])
    return table


def _select(
    sets: NDArray[np.int64], coverage: NDArray[np.float64], mass: NDArray[np.float64], first: int, per_window: int
) -> Cover:
    score = coverage**2 * mass
    count = min(per_window, score.shape[1])
    nearest = np.argpartition(-score, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(score, nearest, axis=1), axis=1, kind="stable")
    chosen = np.take_along_axis(nearest, order, axis=1)
    best = np.take_along_axis(score, chosen, axis=1)
    rows, ranks = np.nonzero(best > 0.0)
    columns = chosen[rows, ranks]
    return Cover(
        sets[columns],
        rows + first,
        coverage[rows, columns],
        mass[rows, columns],
        best[rows, ranks],
        ranks,
        best[rows, ranks] / best[rows, 0],
    )


_NONE = np.zeros(0, dtype=np.int64)
_ZEROS = np.zeros(0, dtype=np.float64)
_NOTHING = Cover(_NONE, _NONE, _ZEROS, _ZEROS, _ZEROS, _NONE, _ZEROS)
