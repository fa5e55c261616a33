"""The simulator's own word lists, read from the data files beside this module."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, cast

PROCEDURE_SYSTEMS = {"icd9proc": "icd9cm", "icd10pcs": "icd10cm"}
"""Code systems of procedures, and of the diagnoses that stand beside them."""


@dataclass(frozen=True, slots=True)
class Group:
    """A disease group: its share of patients, service, and wording that any of its patients may get."""

    name: str
    weight: float
    service: str
    medications: tuple[str, ...]
    findings: tuple[str, ...]
    course: tuple[str, ...]
    icd10: tuple[str, ...]
    icd9: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Concept:
    """A frequent condition or procedure: its codes, groups, kind, wordings and implications.

    The kind is chronic, acute, symptom, status (``c a s z``) or procedure (``p``).
    """

    icd10: str
    icd9: str
    groups: tuple[str, ...]
    kind: str
    wordings: tuple[str, ...]
    implied: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Substitution:
    """Other ways to write a phrase of a title; ``kind`` is syn, abbr, plain or drop (leave it out)."""

    words: tuple[str, ...]
    kind: str
    alternatives: tuple[str, ...]


def _text(name: str) -> str:
    return resources.files("nosology.corpora.simulation").joinpath("data", name).read_text(encoding="utf-8")


def _rows(name: str) -> Iterator[list[str]]:
    for line in _text(name).splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


@cache
def read_groups() -> tuple[Group, ...]:
    """The disease groups, in file order."""
    return tuple(_group(name, values) for name, values in tomllib.loads(_text("groups.toml")).items())


def _group(name: str, values: dict[str, Any]) -> Group:
    lists = {
        key: tuple(cast("list[str]", values[key])) for key in ("medications", "findings", "course", "icd10", "icd9")
    }
    return Group(name=name, weight=float(values["weight"]), service=str(values["service"]), **lists)


def group_ranges(system: str) -> Mapping[str, tuple[str, ...]]:
    """Code ranges per group name; of procedures, of their first two characters."""
    if system in PROCEDURE_SYSTEMS:
        ranges = cast("dict[str, dict[str, list[str]]]", tomllib.loads(_text("procedure_groups.toml")))
        return {name: tuple(spans) for name, spans in ranges[system].items()}
    return {group.name: group.icd10 if system == "icd10cm" else group.icd9 for group in read_groups()}


@cache
def read_concepts() -> tuple[Concept, ...]:
    """The frequent conditions, most frequent first (roughly)."""
    return tuple(_concept(row) for row in _rows("concepts.tsv"))


@cache
def read_procedures() -> tuple[Concept, ...]:
    """The frequent procedures, most frequent first (roughly)."""
    return tuple(_concept(row) for row in _rows("procedures.tsv"))


def _concept(row: list[str]) -> Concept:
    icd10, icd9, groups, kind, wordings, implied = row
    return Concept(
        icd10,
        "" if icd9 == "-" else icd9,
        tuple(groups.split(",")),
        kind,
        tuple(wordings.split("|")),
        tuple(implied.split("|")),
    )


@cache
def read_substitutions() -> Mapping[str, tuple[Substitution, ...]]:
    """Substitutions by the first word of their phrase, the longest phrase first."""
    found: dict[str, list[Substitution]] = {}
    for phrase, kind, alternatives in _rows("substitutions.tsv"):
        words = tuple(phrase.split())
        found.setdefault(words[0], []).append(Substitution(words, kind, tuple(filter(None, alternatives.split("|")))))
    return {word: tuple(sorted(rows, key=lambda row: -len(row.words))) for word, rows in found.items()}


@cache
def read_roots() -> Mapping[str, str]:
    """Greek and Latin roots in plain words."""
    return {row[0]: row[1] for row in _rows("roots.tsv")}


@cache
def read_implications() -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    """Title patterns and what implies such a code."""
    return tuple((re.compile(pattern), tuple(implied.split("|"))) for pattern, implied in _rows("implied.tsv"))


@cache
def read_frames() -> Mapping[str, Any]:
    """Sentence frames and filler, as in ``frames.toml``."""
    return tomllib.loads(_text("frames.toml"))


GROUP_NAMES: tuple[str, ...] = tuple(group.name for group in read_groups())
