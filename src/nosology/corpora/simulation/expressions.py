"""Which wordings of a code its own sources contain, and how wordings are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_NOT_WORD = re.compile(r"[^a-z0-9]+")
_BRACKETS = re.compile(r"\s*[(\[][^()\[\]]*[)\]](?=[\s,;]|$)|[(\[][^()\[\]]*[)\]]")
_EMPTY_TAIL = re.compile(
    r",? (?:unspecified|nos|nec|not elsewhere classified|not otherwise specified|initial encounter)\b|^unspecified ",
    re.IGNORECASE,
)
_EMPTY_PART = re.compile(r"^(?:unspecified\b.*|initial encounter.*|.* unspecified|not .* as .*)$", re.IGNORECASE)
MAX_WORDS = 9
"""Nobody writes a longer wording in a note."""


def normalized(wording: str) -> str:
    """Lower case, words parted by one space: the form in which wordings are compared.

    >>> normalized("Type 2 diabetes mellitus, w/o complications")
    'type 2 diabetes mellitus w o complications'
    """
    return _NOT_WORD.sub(" ", wording.lower()).strip()


def contains(text: str, wording: str) -> bool:
    """Whether a normalised wording stands in a normalised text as whole words."""
    return f" {wording} " in f" {text} "


def core(title: str) -> str:
    """A title without brackets and without words that say nothing.

    >>> core("Essential (primary) hypertension")
    'Essential hypertension'
    >>> core("Pneumonia, unspecified organism")
    'Pneumonia'
    """
    bare = _BRACKETS.sub("", title)
    parts = [part.strip() for part in bare.split(",")]
    kept = [part for part in parts[1:] if part and not _EMPTY_PART.match(part)]
    return _EMPTY_TAIL.sub("", ", ".join([parts[0], *kept])).strip(" ,") or title


def readable_wordings(title: str, terms: Iterable[str]) -> tuple[str, ...]:
    """The wordings of a code that a coder finds in the tables: title, its core, inclusion terms; short ones first.

    Nobody writes the longest titles in a note: a code may have none.
    """
    found = {normalized(wording): wording for wording in _from_sources(title, terms)}
    found.pop("", None)
    short = [wording for wording in found.values() if len(wording.split()) <= MAX_WORDS]
    without_brackets = [wording for wording in short if not _BRACKETS.search(wording)]
    return tuple(sorted(without_brackets or short, key=lambda wording: len(wording.split())))


def known_expressions(title: str, terms: Iterable[str]) -> frozenset[str]:
    """All wordings of a code that its sources contain, normalised, however long."""
    return frozenset(filter(None, map(normalized, _from_sources(title, terms))))


def _from_sources(title: str, terms: Iterable[str]) -> Iterator[str]:
    for source in (title, *terms):
        yield source
        yield _BRACKETS.sub("", source)
        yield core(source)
