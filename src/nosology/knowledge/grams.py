"""Order-free n-grams of concepts as 64-bit numbers: what a whole note says, in a form that a few array calls find."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.stream import TokenStream

LONGEST = 4
"""Concepts in the longest contiguous n-gram."""
_SKIPS = (2, 3)
"""Pairs of concepts so far apart are n-grams, too."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = 29
_SIZE_SEED = 0xD1B54A32D192ED03
"""Sizes start far apart: from 1, 2, 3, 4, a pair with concept 2 would get the number of a single concept."""
_LOW_BITS = (1 << 64) - 1


class Grams(NamedTuple):
    """The n-grams of an encounter, one entry an occurrence.

    Args:
        keys: which n-gram; uint64 ``[occurrence]``.
        first, last: the words it stands on, both included; int64 ``[occurrence]``.
        sizes: its concepts; int8 ``[occurrence]``.
    """

    keys: NDArray[np.uint64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    sizes: NDArray[np.int8]


@dataclass(frozen=True, eq=False, repr=False)
class GramReader:
    """Numbers the concepts of a vocabulary and reads n-grams of them.

    Args:
        concepts: the vocabulary; an n-gram with any other concept is left out.
    """

    concepts: list[str]
    _number_of: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_number_of", {concept: number for number, concept in enumerate(self.concepts, 1)})

    def read(self, stream: TokenStream) -> Grams:
        """Contiguous n-grams of up to four concepts and pairs a little apart, inside sentences."""
        ids, words, sentences = self._known_concepts(stream)
        pieces = [_contiguous(ids, words, sentences, size) for size in range(1, LONGEST + 1)]
        pieces += [_pairs(ids, words, sentences, apart) for apart in _SKIPS]
        return Grams(*(np.concatenate(column) for column in zip(*pieces, strict=True)))

    def key(self, concepts: tuple[str, ...]) -> int | None:
        """The number of an n-gram given by its concepts; ``None`` if one is not in the vocabulary."""
        number_of = self._number_of
        ids = [number_of.get(concept, 0) for concept in sorted(set(concepts))]
        if not ids or 0 in ids:
            return None
        key = (len(ids) * _SIZE_SEED) & _LOW_BITS
        for number in sorted(ids):
            key = ((key ^ number) * int(_MULTIPLIER)) & _LOW_BITS
            key ^= key >> _SHIFT
        return key

    def _known_concepts(self, stream: TokenStream) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Number, word index and sentence of each concept in the text; 0 for one outside the vocabulary."""
        concepts = list(chain.from_iterable(stream.concepts))
        ids = np.fromiter(map(self._number_of.get, concepts, repeat(0)), dtype=np.int64, count=len(concepts))
        words = np.repeat(np.arange(len(stream)), list(map(len, stream.concepts)))
        return ids, words, stream.sentences[words]


def _keys(ordered: NDArray[np.int64]) -> NDArray[np.uint64]:
    """One number a row of concept numbers that rise in each row."""
    keys = np.full(len(ordered), (ordered.shape[1] * _SIZE_SEED) & _LOW_BITS, dtype=np.uint64)
    for column in ordered.T.astype(np.uint64):
        keys ^= column
        keys *= _MULTIPLIER
        keys ^= keys >> np.uint64(_SHIFT)
    return keys


def _contiguous(
    ids: NDArray[np.int64], words: NDArray[np.int64], sentences: NDArray[np.int64], size: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    count = max(0, len(ids) - size + 1)
    columns = np.stack([ids[start : start + count] for start in range(size)], axis=1)
    good = sentences[:count] == sentences[size - 1 : size - 1 + count]
    return _select(columns, words[:count], words[size - 1 : size - 1 + count], good)


def _pairs(
    ids: NDArray[np.int64], words: NDArray[np.int64], sentences: NDArray[np.int64], apart: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    count = max(0, len(ids) - apart)
    columns = np.stack([ids[:count], ids[apart : apart + count]], axis=1)
    return _select(columns, words[:count], words[apart : apart + count], sentences[:count] == sentences[apart:])


def _select(
    columns: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64], good: NDArray[np.bool_]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    """Leave out rows with an unknown concept or the same concept twice: that n-gram is there as a shorter one."""
    ordered = np.sort(columns, axis=1)
    good = good & (ordered[:, 0] > 0)
    for column in range(1, columns.shape[1]):
        good &= ordered[:, column] != ordered[:, column - 1]
    kept = np.flatnonzero(good)
    sizes = np.full(len(kept), columns.shape[1], dtype=np.int8)
    return _keys(ordered.take(kept, axis=0)), first.take(kept), last.take(kept), sizes
