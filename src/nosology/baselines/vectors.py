"""TF-IDF vectors of word n-grams; fitted with numpy and scipy, read with numpy alone.

An n-gram is a 64-bit number made from the numbers of its words, in their order; none goes over a sentence's end.

    value = (1 + ln count) * (1 + ln((1 + N) / (1 + df))),  then each vector has length 1

with N training encounters, df of them holding the n-gram (scikit-learn's ``sublinear_tf`` and ``smooth_idf``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.stream import TokenStream
from nosology.ranking.source import Arrays, Mention, TrainingSet

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


class Occurrences(NamedTuple):
    """The n-grams of an encounter, one entry an occurrence.

    Args:
        keys: which n-gram; uint64.
        first: the word it begins with; int64.
        sizes: its words; int64.
    """

    keys: NDArray[np.uint64]
    first: NDArray[np.int64]
    sizes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NoteVector:
    """An encounter as a sparse vector of length 1 (or 0, where it holds no known n-gram).

    Args:
        columns: rising; int64 ``[entry]``.
        values: above 0; float64 ``[entry]``.
        occurrences: where known n-grams stand, as (column, first word, words); int64 ``[occurrence, 3]``.
    """

    columns: NDArray[np.int64]
    values: NDArray[np.float64]
    occurrences: NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class _Counted:
    """The n-grams of all training encounters: label-free, so that the fits of a cross-fitting share it."""

    number_of: dict[str, int]
    keys: NDArray[np.uint64]
    counts: csr_matrix
    row_of: dict[int, int]


@dataclass(frozen=True, eq=False, repr=False)
class TfidfVectors:
    """A vocabulary of n-grams with their weights.

    Args:
        words: known words; a word's number is its place, from 1.
        longest: words in the longest n-gram.
        keys: known n-grams, rising; uint64 ``[column]``.
        idf: float64 ``[column]``.
    """

    words: list[str]
    longest: int
    keys: NDArray[np.uint64]
    idf: NDArray[np.float64]
    _number_of: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_number_of", {word: number for number, word in enumerate(self.words, 1)})

    @staticmethod
    def fit(training: TrainingSet, longest: int, least_notes: int) -> tuple[TfidfVectors, csr_matrix]:
        """Learn the vocabulary, and give the vectors of the training encounters.

        Args:
            training: the encounters; what is label-free is shared between fits.
            longest: words in the longest n-gram.
            least_notes: encounters that an n-gram must occur in.

        Returns:
            The vocabulary, and float64 ``[encounter, column]``.
        """
        counted = _count(training, longest, least_notes)
        rows = np.array([counted.row_of[id(example.stream)] for example in training.examples], dtype=np.int64)
        counts = counted.counts[rows]
        found = np.bincount(counts.indices, minlength=len(counted.keys))
        kept = np.flatnonzero(found >= least_notes)
        idf = 1.0 + np.log((1.0 + len(rows)) / (1.0 + found[kept]))
        vectors = TfidfVectors(list(counted.number_of), longest, counted.keys[kept], idf)
        return vectors, _weighted(cast("csr_matrix", counts[:, kept]), idf)

    def read(self, stream: TokenStream) -> NoteVector:
        """The vector of an encounter."""
        found = _occurrences(stream, self._number_of, self.longest)
        places = np.minimum(np.searchsorted(self.keys, found.keys), max(0, len(self.keys) - 1))
        known = self.keys[places] == found.keys if len(self.keys) else np.zeros(len(found.keys), dtype=np.bool_)
        occurrences = np.stack([places[known], found.first[known], found.sizes[known]], axis=1).astype(np.int64)
        columns, counts = np.unique(occurrences[:, 0], return_counts=True)
        values = (1.0 + np.log(counts)) * self.idf[columns]
        length = float(np.sqrt((values**2).sum()))
        return NoteVector(columns, values / (length or 1.0), occurrences)

    def state(self) -> tuple[Arrays, dict[str, list[str]]]:
        return {"keys": self.keys, "idf": self.idf, "longest": np.array([self.longest])}, {"words": self.words}

    @staticmethod
    def from_state(arrays: Arrays, strings: dict[str, list[str]]) -> TfidfVectors:
        return TfidfVectors(
            strings["words"],
            int(arrays["longest"][0]),
            arrays["keys"].astype(np.uint64, copy=False),
            arrays["idf"].astype(np.float64, copy=False),
        )


def mentions_of(
    stream: TokenStream, vector: NoteVector, shares: dict[str, list[tuple[int, float]]]
) -> dict[str, list[Mention]]:
    """Where the n-grams that speak for codes stand.

    Args:
        stream: the encounter's words.
        vector: of the same encounter.
        shares: by code, (column, strength) of n-grams.
    """
    order = np.argsort(vector.occurrences[:, 0], kind="stable")
    sorted_columns = vector.occurrences[order, 0]
    spans = vector.occurrences[order, 1:].tolist()
    mentions = dict[str, list[Mention]]()
    for code, columns in shares.items():
        found = list[Mention]()
        for column, strength in columns:
            start, end = np.searchsorted(sorted_columns, [column, column + 1]).tolist()
            for first, size in spans[start:end]:
                words = tuple(range(first, first + size))
                found.append(Mention(words, strength, stream.surface(words[0], words[-1])))
        mentions[code] = found
    return mentions


def _count(training: TrainingSet, longest: int, least_notes: int) -> _Counted:
    name = f"word n-grams {longest} {least_notes}"
    known = training.shared.get(name)
    if known is None:
        known = training.shared[name] = _count_anew(training, longest, least_notes)
    return cast(_Counted, known)


def _count_anew(training: TrainingSet, longest: int, least_notes: int) -> _Counted:
    from scipy.sparse import csr_matrix

    streams = [example.stream for example in training.examples]
    holders = Counter(word for stream in streams for word in set(stream.words))
    kept = sorted(word for word, count in holders.items() if count >= least_notes)
    number_of = {word: number for number, word in enumerate(kept, 1)}
    pieces = [np.unique(keys, return_counts=True) for keys in _all_keys(streams, number_of, longest)]
    keys, columns = np.unique(np.concatenate([np.zeros(0, np.uint64), *(p[0] for p in pieces)]), return_inverse=True)
    counts = np.concatenate([np.zeros(0, np.int64), *(piece[1] for piece in pieces)]).astype(np.float64)
    pointers = np.cumsum([0, *(len(piece[0]) for piece in pieces)])
    matrix = csr_matrix((counts, columns.astype(np.int64), pointers), shape=(len(streams), len(keys)))
    return _Counted(number_of, keys, matrix, {id(stream): row for row, stream in enumerate(streams)})


def _all_keys(streams: list[TokenStream], number_of: dict[str, int], longest: int) -> Iterator[NDArray[np.uint64]]:
    return (_occurrences(stream, number_of, longest).keys for stream in streams)


def _occurrences(stream: TokenStream, number_of: dict[str, int], longest: int) -> Occurrences:
    numbers = np.array([number_of.get(word, 0) for word in stream.words], dtype=np.uint64)
    sentences = stream.sentences
    keys, first = list[NDArray[np.uint64]](), list[NDArray[np.int64]]()
    running = np.zeros(len(numbers), dtype=np.uint64)
    good = np.ones(len(numbers), dtype=np.bool_)
    for size in range(1, min(longest, len(numbers)) + 1):
        count = len(numbers) - size + 1
        ends = slice(size - 1, size - 1 + count)
        running = (running[:count] ^ numbers[ends]) * _MULTIPLIER
        running ^= running >> _SHIFT
        good = good[:count] & (numbers[ends] > 0) & (sentences[:count] == sentences[ends])
        keys.append(running[good])
        first.append(np.flatnonzero(good))
    sizes = np.repeat(np.arange(1, len(keys) + 1), [len(part) for part in keys])
    nothing = np.zeros(0, dtype=np.int64)
    return Occurrences(
        np.concatenate([np.zeros(0, np.uint64), *keys]), np.concatenate([nothing, *first]), sizes.astype(np.int64)
    )


def _weighted(counts: csr_matrix, idf: NDArray[np.float64]) -> csr_matrix:
    from scipy.sparse import csr_matrix

    values = (1.0 + np.log(counts.data)) * idf[counts.indices]
    row_of = np.repeat(np.arange(len(counts.indptr) - 1), np.diff(counts.indptr))
    lengths = np.sqrt(np.bincount(row_of, weights=values**2, minlength=len(counts.indptr) - 1))
    values /= lengths[row_of]
    return csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
