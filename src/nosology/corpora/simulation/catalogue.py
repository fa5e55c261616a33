"""The code tables as the simulator needs them: codes, titles, terms, disease group, who can have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from nosology.codes import open_code_system
from nosology.corpora.simulation.expressions import known_expressions
from nosology.corpora.simulation.tables import GROUP_NAMES, PROCEDURE_SYSTEMS, group_ranges

_FEMALE = re.compile(
    r"\b(uter|ovar|vagin|vulv|menstr|menopaus|endometri|pregnan|puerper|matern|female|labor|obstetric|placent|postpartum)"
)
_MALE = re.compile(r"\b(prostat|testi|penis|penile|scrot|epididym|spermat|male\b|orchitis|balanit)")
FALLBACK_GROUP = GROUP_NAMES.index("social")


@dataclass(frozen=True, slots=True)
class CatalogueCode:
    """A billable code: system, title, further terms in its tables, disease group, and the sex it is bound to."""

    code: str
    system: str
    title: str
    terms: tuple[str, ...]
    group: int
    sex: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All billable codes of a system and, normalised, every wording that its tables contain (headings included)."""

    system: str
    codes: Mapping[str, CatalogueCode]
    readable: frozenset[str]

    def resolve(self, code: str) -> str | None:
        """The code itself, or the first billable code below it where a newer table has split it."""
        if code in self.codes:
            return code
        stem = code.rstrip("A").rstrip("X").rstrip(".") if code.endswith("XA") else code
        return min((other for other in self.codes if other.startswith(stem)), default=None)


@lru_cache(maxsize=4)
def read_catalogue(system: str) -> Catalogue:
    """Read a code system from its tables."""
    source = open_code_system(system)
    terms: dict[str, list[str]] = {}
    for term in source.iter_terms():
        terms.setdefault(term.code, []).append(term.text)
    group_of = _GroupFinder(system)
    codes: dict[str, CatalogueCode] = {}
    readable: set[str] = set()
    for code, title, billable in source.entries():
        readable.update(known_expressions(title, terms.get(code, ())))
        if billable and title:
            codes[code] = CatalogueCode(code, system, title, tuple(terms.get(code, ())), group_of(code), sex_of(title))
    return Catalogue(system, codes, frozenset(readable))


def sex_of(title: str) -> str:
    """The sex that a code is bound to by its title: ``F``, ``M`` or empty."""
    lower = title.lower()
    if _FEMALE.search(lower):
        return "F"
    return "M" if _MALE.search(lower) else ""


class _GroupFinder:
    """Finds the group of a code by the range its first characters fall into.

    They are three (four in ICD-9's E chapter), of procedures two.
    """

    def __init__(self, system: str) -> None:
        self._length = 2 if system in PROCEDURE_SYSTEMS else 4
        self._ranges = list(_spelt_out(group_ranges(system)))
        self._known: dict[str, int] = {}

    def __call__(self, code: str) -> int:
        stem = code.split(".")[0][: self._length]
        if stem not in self._known:
            self._known[stem] = self._find(stem)
        return self._known[stem]

    def _find(self, stem: str) -> int:
        matches = [(high, group) for low, high, group in self._ranges if len(stem) == len(low) and low <= stem <= high]
        return min(matches)[1] if matches else FALLBACK_GROUP


def _spelt_out(ranges: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str, int]]:
    for name, spans in ranges.items():
        for span in spans:
            low, _, high = span.partition("-")
            yield low, high or low, GROUP_NAMES.index(name)
