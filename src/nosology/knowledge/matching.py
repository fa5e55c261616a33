"""Find expressions word for word: 100,000 and more of them at once, in every stream of words.

Patterns and text are words joined by single spaces, with a space before and after, so that a match begins and ends
between words. Two matches side by side share that space: only overlapping search reports both. Which of several
overlapping matches counts is decided afterwards (``select_longest``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from zlib import crc32

import numpy as np
from ahocorasick_rs import AhoCorasick, MatchKind
from numpy.typing import NDArray

from nosology.knowledge.stream import TokenStream
from nosology.knowledge.string_table import StringTable

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_WORDS_WORTH_BUILDING = 4
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

    The first few notes are looked up in a table of hashes, which needs no building when it comes from a saved state;
    an automaton, many times faster for each note, is built once enough text has come to make up for its seconds.

    Args:
        patterns: normalised words joined by single spaces; each once.

    Raises:
        ValueError: a pattern is empty, is there twice or has spaces at its ends or in a row.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        _check(patterns)
        split = [pattern.split(" ") for pattern in patterns]
        hashes = np.array([_hash(words) for words in split], dtype=np.uint64)
        order = np.argsort(hashes, kind="stable")
        lengths = np.fromiter(map(len, split), dtype=np.int64, count=len(split))
        self._set_up(StringTable.of(patterns), lengths, hashes[order], order)

    def _set_up(
        self, patterns: StringTable, lengths: NDArray[np.int64], hashes: NDArray[np.uint64], order: NDArray[np.int64]
    ) -> None:
        if not len(patterns) == len(lengths) == len(hashes) == len(order):
            raise ValueError("the arrays of the patterns differ in length")
        self.patterns = patterns
        self._lengths = lengths
        self._hashes = hashes
        self._order = order
        self._words_left = _WORDS_WORTH_BUILDING * len(patterns)

    def __len__(self) -> int:
        return len(self.patterns)

    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, list[str]]]:
        """Everything ``from_state`` needs, as plain arrays."""
        arrays: dict[str, NDArray[np.generic]] = {
            "pattern_bytes": self.patterns.blob,
            "pattern_ends": self.patterns.ends,
            "pattern_words": self._lengths,
            "hashes": self._hashes,
            "hash_order": self._order,
        }
        return arrays, {}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[np.generic]], strings: dict[str, list[str]]) -> ExactMatcher:
        """The matcher that ``state`` described; builds nothing."""
        del strings  # there are none: the patterns are arrays too
        matcher = cls.__new__(cls)
        patterns = StringTable(arrays["pattern_bytes"].astype(np.uint8), arrays["pattern_ends"].astype(np.int64))
        matcher._set_up(
            patterns,
            arrays["pattern_words"].astype(np.int64),
            arrays["hashes"].astype(np.uint64),
            arrays["hash_order"].astype(np.int64),
        )
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
        pattern, first = self._search(words) if self._words_left < 0 else self._look_up(words)
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

    def _look_up(self, words: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        found = list[tuple[int, int]]()
        hashes = np.array([crc32(word.encode()) for word in words], dtype=np.uint64)
        rolling = hashes.copy()
        for length in range(1, min(len(words), max(self._distinct_lengths)) + 1):
            if length > 1:
                rolling = rolling[:-1] * _MULTIPLIER + hashes[length - 1 :]
            if length in self._distinct_lengths:
                found += self._with_hashes(words, rolling, length)
        pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def _with_hashes(self, words: list[str], rolling: NDArray[np.uint64], length: int) -> Iterator[tuple[int, int]]:
        """(pattern, first word) of the matches of one length; equal hashes are compared word for word."""
        lower = np.searchsorted(self._hashes, rolling, side="left")
        upper = np.searchsorted(self._hashes, rolling, side="right")
        for first in np.flatnonzero(upper > lower).tolist():
            text = " ".join(words[first : first + length])
            for place in range(int(lower[first]), int(upper[first])):
                if self.patterns[pattern := int(self._order[place])] == text:
                    yield pattern, first


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
