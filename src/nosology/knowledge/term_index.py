"""The terms of all codes of a system as sets of concepts; terms of the same concepts are one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.base import Expression
from nosology.knowledge.vocabulary import concepts_of, ignored_words
from nosology.preprocessing.languages import words_of

RIGHT, LEFT, BILATERAL = 1, 2, 4
SIDES: dict[str, int] = {"@right": RIGHT, "@left": LEFT, "@bilateral": BILATERAL}
"""Concepts of sides, which are no part of a term's set: a note may say the side elsewhere, or not at all."""

_IDLE_WORDS = """
unspecified other specified nos nec elsewhere classified type part parts site sites status initial encounter subsequent
sequela disease diseases disorder disorders condition conditions due otro otra especificado enfermedad trastorno tipo
"""
IDLE = frozenset(concept for word in _IDLE_WORDS.split() for concept in concepts_of(word))
"""Concepts that tell no code from another; a term of nothing else keeps them."""

_LONGEST = 16
"""A term of more concepts than a window has words is hardly ever found, and costs most."""


@dataclass(frozen=True, eq=False)
class TermIndex:
    """Sets of concepts, and the codes that each stands for.

    Args:
        concepts: sorted.
        systems: by code, its system.
        pointers, columns: set ``s`` has the concepts ``columns[pointers[s]:pointers[s + 1]]``; int64.
        wordings: of each set, its shortest term.
        owners: one entry a (set, code): its set, rising; int64 ``[entry]``.
        codes: its code.
        sides: bits of the sides that the code's term names, 0 if none; int64 ``[entry]``.
        languages: of each set, the languages of its terms.
    """

    concepts: list[str]
    systems: dict[str, str]
    pointers: NDArray[np.int64]
    columns: NDArray[np.int64]
    wordings: list[str]
    owners: NDArray[np.int64]
    codes: list[str]
    sides: NDArray[np.int64]
    languages: list[frozenset[str]]

    @staticmethod
    def build(expressions: Iterable[Expression]) -> TermIndex:
        """Parse every term once.

        Args:
            expressions: of every code that may be a candidate.
        """
        systems = dict[str, str]()
        wordings, languages = dict[tuple[str, ...], str](), defaultdict[tuple[str, ...], set[str]](set)
        meant = defaultdict[tuple[str, ...], dict[str, int]](dict)
        for expression in expressions:
            words = words_of(expression.text)
            key, sides = _parse(words, expression.language)
            if not key or len(key) > _LONGEST:
                continue
            systems.setdefault(expression.code, expression.system)
            meant[key][expression.code] = meant[key].get(expression.code, sides) | sides
            wording = " ".join(words)
            if key not in wordings or (len(wording), wording) < (len(wordings[key]), wordings[key]):
                wordings[key] = wording
            languages[key].add(expression.language)
        keys = sorted(meant)
        concepts = sorted({concept for key in keys for concept in key})
        number_of = {concept: number for number, concept in enumerate(concepts)}
        entries = [(owner, code, meant[key][code]) for owner, key in enumerate(keys) for code in sorted(meant[key])]
        return TermIndex(
            concepts,
            systems,
            np.cumsum([0, *map(len, keys)], dtype=np.int64),
            np.array([number_of[concept] for key in keys for concept in key], dtype=np.int64),
            [wordings[key] for key in keys],
            np.array([owner for owner, _, _ in entries], dtype=np.int64),
            [code for _, code, _ in entries],
            np.array([sides for _, _, sides in entries], dtype=np.int64),
            [frozenset(languages[key]) for key in keys],
        )

    def key(self, number: int) -> tuple[str, ...]:
        """The concepts of a set, sorted."""
        chosen = self.columns[self.pointers[number] : self.pointers[number + 1]]
        return tuple(self.concepts[column] for column in chosen.tolist())

    def keys_of_codes(self) -> dict[str, list[int]]:
        """By code, the numbers of its sets."""
        found = defaultdict[str, list[int]](list)
        for owner, code in zip(self.owners.tolist(), self.codes, strict=True):
            found[code].append(owner)
        return dict(found)


def term_concepts(words: Iterable[str], language: str) -> tuple[str, ...]:
    """The distinct concepts of a phrase without sides and idle ones, sorted; idle ones if it has no others.

    Args:
        words: normalised words.
        language: ISO 639-1, for the stop words.
    """
    return _parse(words, language)[0]


def _parse(words: Iterable[str], language: str) -> tuple[tuple[str, ...], int]:
    ignored = ignored_words(language)
    concepts = {concept for word in words if word not in ignored for concept in concepts_of(word)}
    sides = 0
    for concept in concepts & SIDES.keys():
        sides |= SIDES[concept]
    kept = concepts - SIDES.keys()
    return tuple(sorted(kept - IDLE or kept)), sides
