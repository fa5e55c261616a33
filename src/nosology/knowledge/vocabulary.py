"""Words -> concepts: what "riñón", "renal", "nefro-" and "kidney" have in common, in one space for every language.

A word becomes one concept ("nefrolitiasis" -> ``@renal``, ``@stone``) where ``data/concepts.tsv`` knows it, whole or
as a known beginning with a known ending, and its *skeleton* otherwise: a spelling in which inflections of one word
("edematoso", "edematosas") and most Spanish and English cognates ("colecistitis", "cholecystitis") are equal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from nosology.preprocessing.languages import language_data

_SHORTEST_TAKEN_APART = 7
"""Shorter words have no two parts that could be told apart safely."""

_SPELLING_PAIRS = """
ph>f th>t rh>r ch>c qu>c ck>c k>c y>i z>c x>s oe>e ae>e
ll>l mm>m nn>n pp>p tt>t ss>s rr>r ff>f cc>c bb>b dd>d gg>g
"""
_SPELLINGS = tuple(tuple(pair.split(">")) for pair in _SPELLING_PAIRS.split())
_NOUN_ENDING = re.compile(r"(?:(ation|acion)|c?tion|cion|sion)$")
_ADJECTIVE_ENDING = re.compile(r"(?:ical|ico|ica|ic|ous|oso|osa|al|ar|ivo|iva|ive|ado|ada|ed|ing|idad|ity)$")
_LAST_VOWELS = re.compile(r"[aeiou]+$")
_LONG_ENOUGH_FOR_ADJECTIVES = 7

_KEPT = {"en": frozenset({"no", "not", "without"}), "es": frozenset({"no", "sin"})}
"""Stop words that change what a phrase means, and so stay in its key."""


@lru_cache(maxsize=400_000)
def skeleton(word: str) -> str:
    """The spelling that a word shares with its inflections and cognates.

    Args:
        word: normalised (lower case, no accents).
    """
    if not word or word[0].isdigit():
        return word
    shape = _without_plural(word)
    for written, heard in _SPELLINGS:
        if written in shape:
            shape = shape.replace(written, heard)
    if shape.startswith(("pn", "ps", "pt")):
        shape = shape[1:]
    shape = shape.replace("h", "")
    shape = _NOUN_ENDING.sub(lambda match: "ac" if match[1] else "c", shape)
    if len(shape) >= _LONG_ENOUGH_FOR_ADJECTIVES:
        shape = _ADJECTIVE_ENDING.sub("", shape)
    if len(shape) > 3:
        shape = _LAST_VOWELS.sub("", shape)
    return shape or word


def _without_plural(word: str) -> str:
    if len(word) <= 4 or not word.endswith("s"):
        return word
    return word[:-2] if word.endswith("es") and len(word) > 5 else word[:-1]


@dataclass(frozen=True, slots=True)
class _Lexicon:
    listed: frozenset[str]
    words: dict[str, str]
    beginnings: dict[str, str]
    endings: tuple[tuple[str, str], ...]
    abbreviations: dict[str, tuple[str, ...]]


@cache
def _lexicon() -> _Lexicon:
    words, beginnings, endings = dict[str, str](), dict[str, str](), dict[str, str]()
    listed = set[str]()
    for name, *columns in _rows("concepts.tsv"):
        concept = f"@{name}"
        for form in " ".join(columns).split():
            if form.endswith("-"):
                beginnings.setdefault(form[:-1], concept)
                beginnings.setdefault(skeleton(form[:-1]), concept)
            elif form.startswith("-"):
                endings.setdefault(form[1:], concept)
            else:
                listed.add(form)
                words.setdefault(skeleton(form), concept)
    known = set(words.values()) | set(endings.values())
    abbreviations = {
        short: tuple(f"@{word}" if f"@{word}" in known else skeleton(word) for word in full.split())
        for short, full in _rows("abbreviations.tsv")
    }
    longest_first = tuple(sorted(endings.items(), key=lambda item: (-len(item[0]), item[0])))
    return _Lexicon(frozenset(listed), words, beginnings, longest_first, abbreviations)


def _rows(name: str) -> list[list[str]]:
    text = (files("nosology.knowledge") / "data" / name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]


@lru_cache(maxsize=400_000)
def concepts_of(word: str) -> tuple[str, ...]:
    """The concepts of one normalised word: one, or two where it is taken apart, or those of an abbreviation."""
    lexicon = _lexicon()
    if word in lexicon.abbreviations:
        return lexicon.abbreviations[word]
    shape = skeleton(word)
    if word in lexicon.listed:
        return (lexicon.words[shape],)
    # Before the look-up by skeleton, which has lost the ending that tells "nephrosis" from "nephrotic".
    parts = _take_apart(word, lexicon)
    return parts or (lexicon.words.get(shape, shape),)


def _take_apart(word: str, lexicon: _Lexicon) -> tuple[str, ...] | None:
    if len(word) < _SHORTEST_TAKEN_APART:
        return None
    for ending, meaning in lexicon.endings:
        singular = word[:-1] if word.endswith("s") and not ending.endswith("s") else word
        if not singular.endswith(ending):
            continue
        rest = singular[: len(singular) - len(ending)]
        organ = lexicon.words.get(skeleton(rest))
        for shape in (rest, rest[:-1], skeleton(rest)):
            organ = organ or lexicon.beginnings.get(shape)
        return None if organ is None or not rest else (organ, meaning)
    return None


@cache
def ignored_words(language: str) -> frozenset[str]:
    """Words of a language that no key holds: its stop words without the negations."""
    return language_data(language).stop_words - _KEPT.get(language, frozenset())


def key_of(words: list[str], language: str) -> tuple[str, ...]:
    """The order-free key of a phrase: its distinct concepts, sorted; of stop words alone, those words' concepts.

    Args:
        words: normalised words.
        language: ISO 639-1, for the stop words.
    """
    ignored = ignored_words(language)
    kept = [word for word in words if word not in ignored] or words
    return tuple(sorted({concept for word in kept for concept in concepts_of(word)}))
