"""A light stemmer: brings inflections of a word together (number, gender, adverbs), and nothing more.

It is conservative on purpose. Derivations keep their endings, because in medicine they carry the meaning: "gastritis"
and "gastric", "cardiopathy" and "cardiac" are different things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType

from nosology.preprocessing.languages import LANGUAGES, language_data, read_data_file

_SHORTEST = 4
"""Words of fewer letters stay as they are: "gas", "mes", "pus" and most abbreviations."""

STOP_WORDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {code: language_data(code).stop_words for code in LANGUAGES}
)
"""Normalised words without medical meaning, by language."""


@dataclass(frozen=True, slots=True)
class _Rule:
    ending: str
    replacement: str
    shortest_stem: int


@dataclass(frozen=True, slots=True)
class _Rules:
    rules: tuple[_Rule, ...]
    keep: tuple[str, ...]


@cache
def _rules(language: str) -> _Rules:
    data = read_data_file("suffixes", language)
    rules = (_Rule(str(ending), str(replacement), int(stem)) for ending, replacement, stem in data["rules"])
    return _Rules(tuple(rules), tuple(data["keep"]))


@lru_cache(maxsize=200_000)
def stem(word: str, language: str) -> str:
    """The stem that a word shares with its inflections.

    Args:
        word: one normalised word (lower case, no accents), as in ``Document.words``.
        language: "en" or "es".

    Returns:
        The stem; words with digits and words of under four letters unchanged.

    Raises:
        ConfigError: no suffix rules for that language.
    """
    rules = _rules(language)
    if len(word) < _SHORTEST or not word.isalpha() or word.endswith(rules.keep):
        return word
    for rule in rules.rules:
        if word.endswith(rule.ending) and len(word) - len(rule.ending) >= rule.shortest_stem:
            return word[: len(word) - len(rule.ending)] + rule.replacement
    return word
