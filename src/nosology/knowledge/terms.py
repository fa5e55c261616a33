"""Titles and terms of codes as sets of concepts, without the words that distinguish nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from nosology.knowledge.base import Expression
from nosology.knowledge.vocabulary import key_of
from nosology.preprocessing.languages import words_of

_LONGEST = 10
_IDLE_PHRASES = frozenset(
    word
    for phrase in (
        "unspecified other specified nos nec not elsewhere classified type",
        "initial encounter subsequent",
    )
    for word in phrase.split()
) | {"sequela", "disease", "disorder", "site"}


def term_key(text: str, language: str) -> tuple[str, ...]:
    """The concepts of a term; empty if it is made of idle words only.

    Args:
        text: as a title or term is written.
        language: ISO 639-1.
    """
    words = [word for word in words_of(text) if word not in _IDLE_PHRASES]
    return key_of(words, language) if words else ()


def keys_by_code(expressions: Iterable[Expression]) -> dict[str, list[tuple[str, ...]]]:
    """By code, the distinct keys of its terms, sorted; overlong ones are left out, since no n-gram comes near them."""
    keys = defaultdict[str, set[tuple[str, ...]]](set)
    for expression in expressions:
        key = term_key(expression.text, expression.language)
        if key and len(key) <= _LONGEST:
            keys[expression.code].add(key)
    return {code: sorted(found) for code, found in sorted(keys.items())}
