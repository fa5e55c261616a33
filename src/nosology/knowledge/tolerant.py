"""Misspelt words -> the known words they were meant to be.

A word is corrected only if nothing knows it, it has no digit, and a known word is so near that the two could hardly
be different words: one edit from six letters on, two from nine (from eight if the letters are the same). An edit
inserts or deletes a letter, swaps two neighbours (optimal string alignment), or replaces a letter by one that sounds
like it or lies beside it on a keyboard; any other replacement counts as two. The first letter stays, but for a silent
h and a swap. Even so a right word that nothing knows may be taken for its neighbour: give ``known`` words.

Instead of storing every word's deletions, each word has a 64-bit signature of the letters it has once and twice. One
edit changes at most two bits, so that a comparison of signatures leaves few words to align.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

_SHORTEST_CORRECTED = 6
_TWO_EDITS_FROM = 9
_TWO_EDITS_FROM_SAME_LETTERS = 8
_REMEMBERED_WORDS = 200_000
# One edit or two apart, and each other's opposite or neighbour: never taken for a slip.
_UNLIKE_BEGINNINGS = (
    ("hyper", "hypo"),
    ("hiper", "hipo"),
    ("macro", "micro"),
    ("intra", "inter", "infra", "extra", "ultra"),
    ("ante", "anti"),
    ("brady", "tachy"),
    ("bradi", "taqui"),
    ("pre", "pro", "per", "peri", "pos", "post"),
    ("hemi", "semi"),
    ("endo", "ecto", "exo"),
    ("supra", "sub"),
    ("neo", "necro", "nefro", "neuro", "nephro"),
    ("iso", "aniso"),
    ("mono", "nona"),
)
_OPPOSITES = frozenset(pair for group in _UNLIKE_BEGINNINGS for pair in product(group, group) if pair[0] != pair[1])
_BEGINNINGS = tuple(sorted({beginning for group in _UNLIKE_BEGINNINGS for beginning in group}, key=len, reverse=True))
_SOUND_ALIKE = ("aeiouy", "bv", "cszkqx", "gj", "mn", "dt", "pb", "lr", "fp", "ij", "uw")
_KEYBOARD_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_CONFUSABLE = frozenset(
    pair
    for group in (*_SOUND_ALIKE, *(row[i : i + 2] for row in _KEYBOARD_ROWS for i in range(len(row) - 1)))
    for pair in product(group, group)
)
_NEGATIONS = ("in", "im", "a", "an", "un", "non", "no", "dis", "des")


class TypoIndex:
    """The nearest known words of misspelt ones.

    Args:
        vocabulary_counts: the words that a misspelling may be corrected to, and how often each occurs; of two equally
            near words the more frequent one wins.
        known: further words that are right as they are ("table"), never corrected and never a correction.
    """

    def __init__(self, vocabulary_counts: Mapping[str, int], known: Collection[str] = ()) -> None:
        self._counts = dict(vocabulary_counts)
        self._known = frozenset(known)
        self._remembered = dict[str, str | None]()

    def __len__(self) -> int:
        return len(self._counts)

    def correct(self, word: str) -> str | None:
        """The known word that a misspelt one was most likely meant to be; ``None`` if it is known or nothing is near.

        Args:
            word: normalised (lower case, no accents).
        """
        try:
            return self._remembered[word]
        except KeyError:
            pass
        found = self.closest(word, limit=1) if self._may_be_corrected(word) else []
        if len(self._remembered) >= _REMEMBERED_WORDS:
            self._remembered.clear()
        self._remembered[word] = answer = found[0] if found else None
        return answer

    def _may_be_corrected(self, word: str) -> bool:
        known = word in self._counts or word in self._known
        return len(word) >= _SHORTEST_CORRECTED and not known and word.isalpha()

    def closest(self, word: str, limit: int = 5) -> list[str]:
        """The words within reach of this one, nearest first, then the most frequent, then by the alphabet.

        The word itself comes first if it is in the vocabulary.
        """
        if len(word) < _SHORTEST_CORRECTED:
            return [word][:limit] if word in self._counts else []
        found = list[tuple[int, int, str]]()
        for candidate in self._candidates(word):
            distance = _distance(word, candidate)
            if distance <= _reach(word, candidate) and not _is_another_word(word, candidate):
                found.append((distance, -self._counts[candidate], candidate))
        return [candidate for _, _, candidate in sorted(found)[:limit]]

    def _candidates(self, word: str) -> list[str]:
        """Words of about this length, with about these letters, that may begin like this one."""
        index = self._index
        reach = 2 if len(word) >= _TWO_EDITS_FROM_SAME_LETTERS else 1
        shortest = min(max(len(word) - reach, 0), len(index.starts) - 1)
        longest = min(len(word) + reach + 1, len(index.starts) - 1)
        rows = slice(int(index.starts[shortest]), int(index.starts[longest]))
        first, second = ord(word[0]), ord(word[1])
        firsts = index.firsts[rows]
        alike = (firsts == first) | (firsts == second) | (firsts == ord("h"))
        unlike = np.bitwise_count(index.signatures[rows] ^ np.uint64(_signature(word)))
        return [index.words[rows.start + place] for place in np.flatnonzero(alike & (unlike <= 2 * reach)).tolist()]

    @cached_property
    def _index(self) -> _WordIndex:
        return _WordIndex.of([word for word in self._counts if len(word) >= _SHORTEST_CORRECTED - 1])


@dataclass(frozen=True, slots=True, eq=False)
class _WordIndex:
    """Words by length: their signatures, their first letters, and where each length starts."""

    words: list[str]
    signatures: NDArray[np.uint64]
    firsts: NDArray[np.int64]
    starts: NDArray[np.int64]

    @staticmethod
    def of(words: list[str]) -> _WordIndex:
        words = sorted(words, key=len)
        signatures = np.array([_signature(word) for word in words], dtype=np.uint64)
        firsts = np.array([ord(word[0]) for word in words], dtype=np.int64)
        lengths = np.array([len(word) for word in words], dtype=np.int64)
        longest = int(lengths[-1]) if len(words) else 0
        return _WordIndex(words, signatures, firsts, np.searchsorted(lengths, np.arange(longest + 2)))


def closest_words(word: str, vocabulary: Mapping[str, int], limit: int = 5) -> list[str]:
    """The words of a vocabulary (with their counts) that a word could be a misspelling of, nearest first.

    >>> closest_words("nuemonia", {"neumonia": 3, "neumonitis": 1})
    ['neumonia']
    """
    return TypoIndex(vocabulary).closest(word, limit)


def _signature(word: str) -> int:
    """Bits 0-31: the letters (by their code modulo 32) that occur; bits 32-63: those that occur twice or more."""
    once = twice = 0
    for character in word:
        bit = 1 << (ord(character) & 31)
        twice |= once & bit
        once |= bit
    return once | twice << 32


def _reach(word: str, candidate: str) -> int:
    """How many edits may lie between a misspelling and the word it stands for."""
    shorter = min(len(word), len(candidate))
    if len(word) < _SHORTEST_CORRECTED or shorter < _SHORTEST_CORRECTED - 1:
        return 0
    if not _begin_alike(word, candidate):
        return 0
    if shorter >= _TWO_EDITS_FROM:
        return 2
    same_letters = shorter >= _TWO_EDITS_FROM_SAME_LETTERS and sorted(word) == sorted(candidate)
    return 2 if same_letters else 1


def _begin_alike(word: str, candidate: str) -> bool:
    """The same first letter, but for a silent h and for the first two letters swapped."""
    swapped = word[0] == candidate[1] and word[1] == candidate[0]
    return swapped or word[0] == candidate[0] or word.removeprefix("h")[0] == candidate.removeprefix("h")[0]


def _is_another_word(word: str, candidate: str) -> bool:
    """Whether the two differ in a beginning that turns the meaning round ("hypo-" and "hyper-", "sintomatico" and
    "asintomatico")."""
    if (_beginning(word), _beginning(candidate)) in _OPPOSITES:
        return True
    shorter, longer = sorted((word, candidate), key=len)
    return longer.endswith(shorter) and longer[: len(longer) - len(shorter)] in _NEGATIONS


def _beginning(word: str) -> str:
    return next((beginning for beginning in _BEGINNINGS if word.startswith(beginning)), "")


def _distance(left: str, right: str) -> int:
    """Edits between two words: optimal string alignment; 3 stands for 3 or more."""
    start, shorter = 0, min(len(left), len(right))
    while start < shorter and left[start] == right[start]:
        start += 1
    end = 0
    while end < shorter - start and left[-1 - end] == right[-1 - end]:
        end += 1
    left, right = left[start : len(left) - end], right[start : len(right) - end]
    if not left or not right:
        return min(len(left) + len(right), 3)
    if len(left) == len(right) == 1:
        return _replacing(left, right)
    return min(_alignment(left, right), 3)


def _replacing(one: str, other: str) -> int:
    if one == other:
        return 0
    return 1 if (one, other) in _CONFUSABLE else 2


def _alignment(left: str, right: str) -> int:
    before, row = list[int](), list(range(len(right) + 1))
    for i, one in enumerate(left, start=1):
        above, before = before, row
        row = [i]
        for j, other in enumerate(right, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + _replacing(one, other))
            if i > 1 and j > 1 and one == right[j - 2] and left[i - 2] == other:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
        if min(row) > 2 and min(before) > 2:
            return 3
    return row[-1]
