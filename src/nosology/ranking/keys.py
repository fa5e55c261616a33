"""Expressions mined from evidence, and how far each can be trusted.

An expression is kept twice: as its exact words (a *surface*), and as the order-free set of their concepts (a *key*),
which also finds it inflected, reordered, with words between, or in other words for the same concepts. For both the
training encounters tell how often it was found, how often a person marked it there, and which codes it stood for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.matching import ExactMatcher
from nosology.knowledge.stream import TokenStream
from nosology.knowledge.vocabulary import key_of
from nosology.ranking.detector import evidence_words
from nosology.ranking.source import Arrays, TrainingExample, TrainingSet

_REACH = 30
"""A key's concepts lie within so many words; beyond, they hardly ever belong to one mention."""
_TIGHT_GAP = 2
"""Up to so many foreign words inside, a match is *tight* and has statistics of its own."""


class Match(NamedTuple):
    """One place where an expression was found.

    Args:
        words: the matched word indices, rising.
        gap: words between the first and the last that are not matched.
        crossed: sentence ends between them.
    """

    words: tuple[int, ...]
    gap: int
    crossed: int

    @property
    def is_tight(self) -> bool:
        return self.crossed == 0 and self.gap <= _TIGHT_GAP


Found = dict[int, list[Match]]
"""Matches by expression number, the best first."""


class Entry(NamedTuple):
    """One expression of a table in plain numbers, which loops read faster; pairs of numbers are tight, then loose.

    Args:
        codes: what it stood for, as positions in the table's codes.
        times: encounters in which it was marked, by code.
        gold: encounters with a match that carry each code, by looseness and code.
        found: encounters with a match, by looseness.
        marked: of these, the share where a match lies in evidence (smoothed).
        rarity: of its words together.
    """

    codes: tuple[int, ...]
    times: tuple[int, ...]
    gold: tuple[list[int], list[int]]
    found: tuple[int, int]
    marked: float
    rarity: float


@dataclass(frozen=True, eq=False, repr=False)
class KeyTable:
    """Expressions of one kind, the codes each stood for, and what the training encounters say of both.

    Args:
        texts: the expressions: words, or concepts, joined by spaces.
        codes: all codes that any of them stood for.
        pointers: ``pairs[pointers[k]:pointers[k + 1]]`` are the (expression ``k``, code) pairs; int64.
        pair_codes: each pair's index in ``codes``; int64.
        pair_counts: encounters in which the expression was marked as evidence for the code; int64.
        pair_gold: ``[2, pair]``, encounters with a tight, or else a loose match that carry the code; int64.
        found: ``[2, expression]``, encounters with a tight, or else a loose match; int64.
        marked: encounters where a match lies in somebody's evidence, for any code; int64.
        rarity: sum over an expression's words of log(N / encounters with the word); float64.
    """

    texts: list[str]
    codes: list[str]
    pointers: NDArray[np.int64]
    pair_codes: NDArray[np.int64]
    pair_counts: NDArray[np.int64]
    pair_gold: NDArray[np.int64]
    found: NDArray[np.int64]
    marked: NDArray[np.int64]
    rarity: NDArray[np.float64]
    _entries: dict[int, Entry] = field(init=False, repr=False, default_factory=dict[int, Entry])

    def __len__(self) -> int:
        return len(self.texts)

    def pairs(self, number: int) -> range:
        """The pair numbers of an expression."""
        return range(int(self.pointers[number]), int(self.pointers[number + 1]))

    def entry(self, number: int) -> Entry:
        """An expression; kept once it was asked for."""
        known = self._entries.get(number)
        if known is None:
            own = slice(int(self.pointers[number]), int(self.pointers[number + 1]))
            tight, loose = self.found[:, number].tolist()
            known = self._entries[number] = Entry(
                tuple(self.pair_codes[own].tolist()),
                tuple(self.pair_counts[own].tolist()),
                (self.pair_gold[0, own].tolist(), self.pair_gold[1, own].tolist()),
                (tight, loose),
                (int(self.marked[number]) + 0.5) / (float(tight + loose) + 1.0),
                float(self.rarity[number]),
            )
        return known

    def state(self) -> tuple[Arrays, dict[str, list[str]]]:
        names = ("pointers", "pair_codes", "pair_counts", "pair_gold", "found", "marked", "rarity")
        return {name: getattr(self, name) for name in names}, {"texts": self.texts, "codes": self.codes}

    @staticmethod
    def from_state(arrays: Arrays, strings: dict[str, list[str]]) -> KeyTable:
        return KeyTable(strings["texts"], strings["codes"], **arrays)


class KeyFinder:
    """Finds the places where all concepts of a key stand close together, in any order."""

    def __init__(self, keys: Sequence[tuple[str, ...]], rarity: dict[str, float]) -> None:
        self._by_rarest = defaultdict[str, list[tuple[int, tuple[str, ...]]]](list)
        for number, key in enumerate(keys):
            rarest = max(key, key=lambda concept: (rarity.get(concept, np.inf), concept))
            others = tuple(concept for concept in key if concept != rarest)
            self._by_rarest[rarest].append((number, others))

    def find(self, stream: TokenStream, positions: Mapping[str, list[int]] | None = None) -> Found:
        """Every key whose concepts lie within reach of each other in one note.

        Args:
            stream: the encounter's words.
            positions: where each concept stands, rising; the stream's own by default.
        """
        found: Found = {}
        positions = stream.positions if positions is None else positions
        for concept, places in positions.items():
            for number, others in self._by_rarest.get(concept, ()):
                if not others:
                    found[number] = [Match((place,), 0, 0) for place in places]
                elif all(map(positions.__contains__, others)):
                    matches = _windows(stream, places, [positions[other] for other in others])
                    if matches:
                        found[number] = matches
        return found


def _windows(stream: TokenStream, places: list[int], others: list[list[int]]) -> list[Match]:
    """Matches around each place of the rarest concept, given the places of the others."""
    sentences, notes = stream.sentence_list, stream.note_list
    matches = set[Match]()
    for place in places:
        nearest = {_nearest(own, place, notes) for own in others}
        if None in nearest:
            continue
        chosen = {place, *(other for other in nearest if other is not None)}
        first, last = min(chosen), max(chosen)
        if last - first <= _REACH:
            gap = last - first + 1 - len(chosen)
            matches.add(Match(tuple(sorted(chosen)), gap, sentences[last] - sentences[first]))
    return sorted(matches, key=lambda match: (match.crossed, match.gap, match.words))


def _nearest(places: list[int], place: int, notes: list[int]) -> int | None:
    """The nearest of some rising places in the same note, of two as near the earlier one; ``None`` if it has none."""
    after = bisect_left(places, place)
    around = [other for other in places[max(0, after - 1) : after + 1] if notes[other] == notes[place]]
    return min(around, key=lambda other: abs(other - place), default=None)


def find_surfaces(matcher: ExactMatcher, stream: TokenStream) -> Found:
    """Every surface that stands word for word in one sentence."""
    found: Found = {}
    matches = matcher.find(stream)
    for number, first, last in zip(
        matches.pattern.tolist(), matches.first.tolist(), matches.last.tolist(), strict=True
    ):
        found.setdefault(number, []).append(Match(tuple(range(first, last + 1)), 0, 0))
    return found


def mined_phrases(example: TrainingExample) -> Iterator[tuple[list[str], str]]:
    """The words of every evidence of an encounter with the code it stands for."""
    for gold in example.codes:
        for evidence in gold.evidence:
            indices = example.stream.indices_of(evidence)
            if indices:
                yield [example.stream.words[index] for index in indices], gold.code


def mine(training: TrainingSet, as_key: bool) -> dict[tuple[str, ...], Counter[str]]:
    """Expressions from evidence: each with the codes it stood for and in how many encounters.

    Args:
        training: encounters with evidence.
        as_key: order-free concepts instead of exact words.
    """
    counts = defaultdict[tuple[str, ...], Counter[str]](Counter)
    for example in training.examples:
        pairs = {
            (key_of(words, example.stream.language) if as_key else tuple(words), code)
            for words, code in mined_phrases(example)
        }
        for expression, code in sorted(pairs):
            counts[expression][code] += 1
    return {expression: counts[expression] for expression in sorted(counts) if expression}


def rarities(training: TrainingSet, as_key: bool) -> dict[str, float]:
    """log(N / (1 + n)) of every word or concept, n being the encounters that hold it."""
    holders = Counter[str]()
    for example in training.examples:
        holders.update(example.stream.positions.keys() if as_key else set(example.stream.words))
    total = len(training.examples)
    return {word: float(np.log(total / (1 + count))) for word, count in holders.items()}


def tabulate(
    training: TrainingSet,
    mined: dict[tuple[str, ...], Counter[str]],
    rarity: dict[str, float],
    found: Iterable[Found],
) -> KeyTable:
    """Count, over the training encounters, where the mined expressions were found and what was coded there.

    Args:
        training: the encounters that ``mined`` comes from.
        mined: expressions and their codes.
        rarity: of each word or concept.
        found: the matches of each encounter, in the training's order.
    """
    codes = sorted({code for counter in mined.values() for code in counter})
    number_of = {code: number for number, code in enumerate(codes)}
    lengths = [len(counter) for counter in mined.values()]
    pair_codes = np.array([number_of[code] for counter in mined.values() for code in counter], dtype=np.int64)
    pair_counts = np.array([count for counter in mined.values() for count in counter.values()], dtype=np.int64)
    pointers = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    pair_gold = np.zeros((2, len(pair_codes)), dtype=np.int64)
    times_found = np.zeros((2, len(mined)), dtype=np.int64)
    marked = np.zeros(len(mined), dtype=np.int64)
    for example, matches_by_number in zip(training.examples, found, strict=True):
        gold = {number_of[code] for code in example.code_set if code in number_of}
        evidence = evidence_words(example.stream, example.codes)
        for number, matches in matches_by_number.items():
            looseness = 0 if any(match.is_tight for match in matches) else 1
            times_found[looseness, number] += 1
            marked[number] += any(evidence[match.words[0]] and evidence[match.words[-1]] for match in matches)
            for pair in range(int(pointers[number]), int(pointers[number + 1])):
                pair_gold[looseness, pair] += int(pair_codes[pair]) in gold
    highest = max(rarity.values(), default=0.0)
    summed = np.array([sum(rarity.get(word, highest) for word in expression) for expression in mined])
    texts = [" ".join(expression) for expression in mined]
    return KeyTable(texts, codes, pointers, pair_codes, pair_counts, pair_gold, times_found, marked, summed)
