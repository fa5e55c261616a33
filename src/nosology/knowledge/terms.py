"""Titles and terms of codes as sets of concepts, without the words that distinguish nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from nosology.knowledge.base import Expression
from nosology.knowledge.term_index import IDLE
from nosology.knowledge.vocabulary import concepts_of, ignored_words
from nosology.preprocessing.languages import words_of

_LONGEST = 10
_IDLE = IDLE | {"not"}
"""A title's "not" belongs to "not elsewhere classified"."""


def term_key(text: str, language: str) -> tuple[str, ...]:
    """The concepts of a term; empty if it is made of idle words only.

    Args:
        text: as a title or term is written.
        language: ISO 639-1.
    """
    ignored = ignored_words(language)
    concepts = {concept for word in words_of(text) if word not in ignored for concept in concepts_of(word)}
    return tuple(sorted(concepts - _IDLE))


def keys_by_code(expressions: Iterable[Expression]) -> dict[str, list[tuple[str, ...]]]:
    """By code, the distinct keys of its terms, sorted; overlong ones are left out, since no n-gram comes near them."""
    keys = defaultdict[str, set[tuple[str, ...]]](set)
    for expression in expressions:
        key = term_key(expression.text, expression.language)
        if key and len(key) <= _LONGEST:
            keys[expression.code].add(key)
    return {code: sorted(found) for code, found in sorted(keys.items())}
