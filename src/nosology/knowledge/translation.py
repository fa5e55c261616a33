"""Which concepts of term lists a word of a note may stand for: learnt from pairs of phrases, and by spelling.

Two phrases that stand for the same code ("piedra en el riñón" marked in a note, "Calculus of kidney" in the table) say
the same thing; over many such pairs, IBM model 1 finds which concept of one goes with which of the other. Spelling
gives it a start, and helps with words that no pair has.

Reference: Brown et al. (1993), The Mathematics of Statistical Machine Translation, section 4.
Differs from it: probabilities start higher where two concepts are spelt alike; a constant null word takes what nothing
explains; rare source concepts keep some mass for targets that they have not met.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Phrase = tuple[str, ...]
"""Distinct concepts, sorted."""
Meanings = tuple[tuple[str, float], ...]
"""Concepts with probabilities, the likeliest first."""

_ROUNDS = 5
_ALIKE = 0.55
_ALIKE_BONUS = 20.0
_NULL = 0.02
_UNMET = 0.5
_LEAST = 0.01
_KEPT = 0.08
_MOST = 6
_LEAST_DICE = 0.6
_NEAR_BEST = 0.85
_MOST_COGNATES = 3
_SHORTEST = 4


@lru_cache(maxsize=400_000)
def _trigrams(concept: str) -> frozenset[str]:
    bounded = f"^{concept.lstrip('@')}$"
    return frozenset([*(bounded[start : start + 3] for start in range(len(bounded) - 2)), bounded[:4]])


@lru_cache(maxsize=1_000_000)
def likeness(first: str, second: str) -> float:
    """Dice coefficient of the trigrams of two concepts: 1 where they are spelt the same."""
    one, other = _trigrams(first), _trigrams(second)
    return 2 * len(one & other) / (len(one) + len(other))


def learn_translations(pairs: Mapping[tuple[Phrase, Phrase], int]) -> dict[str, Meanings]:
    """IBM model 1 over pairs of phrases.

    Args:
        pairs: (a note's phrase, a term of its code), with how often they met.

    Returns:
        By concept of the first phrases, at most six of the second, each of a probability above 0.08.
    """
    ordered = sorted((pair, count) for pair, count in pairs.items() if pair[0] and pair[1])
    if not ordered:
        return {}
    cells = _Cells.of(ordered)
    probabilities = cells.train()
    found = defaultdict[str, list[tuple[str, float]]](list)
    for (source, target), probability in zip(cells.words, probabilities.tolist(), strict=True):
        if probability > _KEPT:
            found[source].append((target, probability))
    return {source: tuple(_likeliest(meanings, _MOST)) for source, meanings in found.items()}


def _likeliest(meanings: Iterable[tuple[str, float]], most: int) -> list[tuple[str, float]]:
    return sorted(meanings, key=lambda meaning: (-meaning[1], meaning[0]))[:most]


@dataclass(frozen=True, eq=False)
class _Cells:
    """Every meeting of a source and a target concept in a pair of phrases.

    Args:
        words: the distinct (source, target), sorted.
        sources: of each of ``words``, the number of its source; int64 ``[word]``.
        met: which of ``words`` meets; int64 ``[cell]``.
        explained: which target of which pair it is to explain; int64 ``[cell]``.
        weights: how often; float64 ``[cell]``.
    """

    words: list[tuple[str, str]]
    sources: NDArray[np.int64]
    met: NDArray[np.int64]
    explained: NDArray[np.int64]
    weights: NDArray[np.float64]

    @staticmethod
    def of(pairs: Sequence[tuple[tuple[Phrase, Phrase], int]]) -> _Cells:
        words = sorted({(s, t) for (source, target), _ in pairs for s in source for t in target})
        number_of = {word: number for number, word in enumerate(words)}
        source_of = {source: number for number, source in enumerate(sorted({source for source, _ in words}))}
        met, explained, weights = list[int](), list[int](), list[float]()
        target_count = 0
        for (source, target), count in pairs:
            for t in target:
                met += [number_of[s, t] for s in source]
                explained += [target_count] * len(source)
                weights += [float(count)] * len(source)
                target_count += 1
        return _Cells(
            words,
            np.array([source_of[source] for source, _ in words], dtype=np.int64),
            np.array(met, dtype=np.int64),
            np.array(explained, dtype=np.int64),
            np.array(weights, dtype=np.float64),
        )

    def train(self) -> NDArray[np.float64]:
        """P(target | source) of each of ``words``."""
        alike = np.array([likeness(source, target) > _ALIKE for source, target in self.words])
        chances = self._per_source(1.0 + _ALIKE_BONUS * alike, 0.0)
        for _ in range(_ROUNDS):
            wanted = np.bincount(self.explained, weights=chances[self.met]) + _NULL
            shares = self.weights * chances[self.met] / wanted[self.explained]
            counts = np.bincount(self.met, weights=shares, minlength=len(self.words)).astype(np.float64, copy=False)
            chances = self._per_source(counts, _UNMET)
            chances[chances <= _LEAST] = 0.0
        return chances

    def _per_source(self, counts: NDArray[np.float64], unmet: float) -> NDArray[np.float64]:
        totals = np.bincount(self.sources, weights=counts) + unmet
        return counts / totals[self.sources]


@dataclass(frozen=True, eq=False)
class Cognates:
    """Finds the concepts of a vocabulary that are spelt most like another one.

    Args:
        vocabulary: the concepts, sorted.
    """

    vocabulary: Sequence[str]
    _holders: dict[str, NDArray[np.int64]] = field(init=False, repr=False)
    _sizes: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        holders = defaultdict[str, list[int]](list)
        trigrams = [_trigrams(concept) if _has_shape(concept) else frozenset[str]() for concept in self.vocabulary]
        for number, own in enumerate(trigrams):
            for trigram in own:
                holders[trigram].append(number)
        arrays = {trigram: np.array(numbers, dtype=np.int64) for trigram, numbers in holders.items()}
        object.__setattr__(self, "_holders", arrays)
        object.__setattr__(self, "_sizes", np.array([len(own) for own in trigrams], dtype=np.int64))

    def of(self, concept: str) -> Meanings:
        """At most three concepts of a likeness of at least 0.6, and hardly less alike than the first."""
        own = _trigrams(concept) if _has_shape(concept) else frozenset[str]()
        held = [self._holders[trigram] for trigram in own if trigram in self._holders]
        if not held:
            return ()
        shared = np.bincount(np.concatenate(held), minlength=len(self._sizes))
        dice = 2 * shared / (len(own) + self._sizes)
        alike = np.flatnonzero(dice >= _LEAST_DICE)
        meanings = zip([self.vocabulary[number] for number in alike.tolist()], dice[alike].tolist(), strict=True)
        best = _likeliest(meanings, _MOST_COGNATES)
        return tuple(meaning for meaning in best if meaning[1] >= _NEAR_BEST * best[0][1])


def _has_shape(concept: str) -> bool:
    """Long enough to be told from others by its spelling, and no number."""
    return len(concept.lstrip("@")) >= _SHORTEST and not any(character.isdigit() for character in concept)
