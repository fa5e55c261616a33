"""Find expressions word for word: 100,000 and more of them at once, in every stream of words.

Patterns and text are words joined by single spaces, with a space before and after, so that a match begins and ends
between words. Two matches side by side share that space: only overlapping search reports both. Which of several
overlapping matches counts is decided afterwards (``select_longest``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from zlib import crc32

import numpy as np
from ahocorasick_rs import AhoCorasick, MatchKind
from numpy.typing import NDArray

from nosology.knowledge.stream import TokenStream
from nosology.knowledge.string_table import StringTable

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_WORDS_WORTH_BUILDING = 0.4
"""Words read, for each pattern, until building the automaton has paid for itself."""


class MatchArrays:
    """Matches, ordered by first word, then last word.

    Args:
        pattern: the index of each match's pattern.
        first, last: its first and last word in the stream, both included.
    """

    __slots__ = ("first", "last", "pattern")

    def __init__(self, pattern: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]) -> None:
        self.pattern = pattern
        self.first = first
        self.last = last

    def __len__(self) -> int:
        return len(self.pattern)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return zip(self.pattern.tolist(), self.first.tolist(), self.last.tolist(), strict=True)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> MatchArrays:
        """Some of the matches, by a mask or by their indices."""
        return MatchArrays(self.pattern[chosen], self.first[chosen], self.last[chosen])


def select_longest(matches: MatchArrays) -> MatchArrays:
    """Matches from left to right, the longest where several start at one word, none overlapping an earlier one."""
    order = np.lexsort((-matches.last, matches.first))
    kept, free = list[int](), 0
    starts, ends = matches.first.tolist(), matches.last.tolist()
    for index in order.tolist():
        if starts[index] >= free:
            kept.append(index)
            free = ends[index] + 1
    return matches.take(np.array(kept, dtype=np.int64))


class ExactMatcher:
    """Finds patterns in streams of words.

    A matcher from a saved state looks its first notes up in a table of hashes, for which nothing need be built; the
    automaton, many times faster for each note, is built once enough text has come to make up for its building.

    Args:
        patterns: normalised words joined by single spaces; each once.

    Raises:
        ValueError: a pattern is empty, is there twice or has spaces at its ends or in a row.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        _check(patterns)
        self.patterns: Sequence[str] = patterns
        self._lengths = np.array([pattern.count(" ") + 1 for pattern in patterns], dtype=np.int64)
        self._table: _HashTable | None = None
        self._words_left = 0

    def __len__(self) -> int:
        return len(self.patterns)

    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, list[str]]]:
        """Everything ``from_state`` needs, as plain arrays."""
        patterns = StringTable.of(self.patterns)
        table = self._table or _HashTable.of(self.patterns)
        arrays: dict[str, NDArray[np.generic]] = {
            "pattern_bytes": patterns.blob,
            "pattern_ends": patterns.ends,
            "pattern_words": self._lengths,
            "hashes": table.hashes,
            "hash_order": table.order,
        }
        return arrays, {}

    @classmethod
    def from_state(
        cls, arrays: Mapping[str, NDArray[np.generic]], strings: Mapping[str, Sequence[str]]
    ) -> ExactMatcher:
        """The matcher that ``state`` described; builds nothing.

        Raises:
            KeyError, ValueError: an array is missing, or they do not fit together.
        """
        del strings  # there are none: the patterns are arrays too
        matcher = cls(())
        matcher.patterns = StringTable(
            arrays["pattern_bytes"].astype(np.uint8, copy=False), arrays["pattern_ends"].astype(np.int64, copy=False)
        )
        matcher._lengths = arrays["pattern_words"].astype(np.int64, copy=False)
        matcher._table = _HashTable(
            arrays["hashes"].astype(np.uint64, copy=False), arrays["hash_order"].astype(np.int64, copy=False)
        )
        if (
            not len(matcher.patterns)
            == len(matcher._lengths)
            == len(matcher._table.hashes)
            == len(matcher._table.order)
        ):
            raise ValueError("the arrays of the patterns differ in length")
        matcher._words_left = int(_WORDS_WORTH_BUILDING * len(matcher))
        return matcher

    @cached_property
    def _automaton(self) -> AhoCorasick:
        return AhoCorasick([f" {pattern} " for pattern in self.patterns], matchkind=MatchKind.Standard)

    @cached_property
    def _distinct_lengths(self) -> frozenset[int]:
        return frozenset(np.unique(self._lengths).tolist())

    def build(self) -> ExactMatcher:
        """Build the automaton now rather than when enough text has come; returns the matcher."""
        self._words_left = 0
        _ = self._automaton
        return self

    def find(self, stream: TokenStream) -> MatchArrays:
        """Every match, overlapping ones too, that lies within one sentence of one note."""
        matches = self.find_words(stream.words)
        if not len(matches):
            return matches
        return matches.take(stream.sentences[matches.first] == stream.sentences[matches.last])

    def find_words(self, words: list[str]) -> MatchArrays:
        """Every match in a row of normalised words, without regard to sentences."""
        if not words or not len(self):
            return _no_matches()
        self._words_left -= len(words)
        if self._table is not None and self._words_left >= 0:
            pattern, first = self._look_up(words, self._table)
        else:
            pattern, first = self._search(words)
        last = first + self._lengths[pattern] - 1
        order = np.lexsort((last, first))
        return MatchArrays(pattern[order], first[order], last[order])

    def _search(self, words: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        found = self._automaton.find_matches_as_indexes(f" {' '.join(words)} ", overlapping=True)
        flat = np.fromiter(chain.from_iterable(found), dtype=np.int64, count=3 * len(found))
        # Where the space before each word stands; every match starts at one of these.
        spaces = np.zeros(len(words), dtype=np.int64)
        np.cumsum(np.fromiter(map(len, words), dtype=np.int64, count=len(words))[:-1] + 1, out=spaces[1:])
        return flat[0::3], np.searchsorted(spaces, flat[1::3])

    def _look_up(self, words: list[str], table: _HashTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        found = list[tuple[int, int]]()
        for length, hashes in _rolling_hashes(words, self._distinct_lengths):
            for pattern, first in table.look_up(hashes):
                # Unequal words may share a hash.
                if self.patterns[pattern] == " ".join(words[first : first + length]):
                    found.append((pattern, first))
        pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]


@dataclass(frozen=True, slots=True, eq=False)
class _HashTable:
    """Where a hash leads: sorted hashes, and the pattern that each belongs to."""

    hashes: NDArray[np.uint64]
    order: NDArray[np.int64]

    @staticmethod
    def of(patterns: Sequence[str]) -> _HashTable:
        hashes = np.array([_hash(pattern.split(" ")) for pattern in patterns], dtype=np.uint64)
        order = np.argsort(hashes, kind="stable")
        return _HashTable(hashes[order], order)

    def look_up(self, hashes: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
        """(pattern, index in ``hashes``) of all that are equal."""
        lower = np.searchsorted(self.hashes, hashes, side="left")
        upper = np.searchsorted(self.hashes, hashes, side="right")
        for index in np.flatnonzero(upper > lower).tolist():
            for pattern in self.order[lower[index] : upper[index]].tolist():
                yield pattern, index


def _rolling_hashes(words: list[str], lengths: frozenset[int]) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """For each length, the hash of the words that start at each position."""
    hashes = np.array([crc32(word.encode()) for word in words], dtype=np.uint64)
    rolling = hashes
    for length in range(1, min(len(words), max(lengths)) + 1):
        if length > 1:
            rolling = rolling[:-1] * _MULTIPLIER + hashes[length - 1 :]
        if length in lengths:
            yield length, rolling


def _no_matches() -> MatchArrays:
    nothing = np.zeros(0, dtype=np.int64)
    return MatchArrays(nothing, nothing, nothing)


def _check(patterns: Sequence[str]) -> None:
    if len(set(patterns)) != len(patterns):
        raise ValueError("a pattern is there twice; give each once")
    for index, pattern in enumerate(patterns):
        if not pattern or pattern != " ".join(pattern.split()):
            raise ValueError(f"pattern {index} is empty or not words joined by single spaces")


def _hash(words: list[str]) -> int:
    value, multiplier, mask = 0, int(_MULTIPLIER), (1 << 64) - 1
    for word in words:
        value = (value * multiplier + crc32(word.encode())) & mask
    return value
