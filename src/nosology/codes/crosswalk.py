"""Map diagnoses between ICD-9-CM and ICD-10-CM by the general equivalence maps (GEMs), both ways.

The two maps are not inverses of each other, most entries are approximate, and some codes need several targets at
once: all targets and flags are returned, and choosing is left to the caller. The maps are those of 2018; codes that are
newer have no entry. There is no map of procedures in the installed packages.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from nosology.codes.cache import build, cache_dir, cache_key, open_or_build
from nosology.codes.formats import format_code
from nosology.codes.sources import gem_files
from nosology.errors import CodeError

_PROCEDURES = frozenset({"icd10pcs", "icd9proc"})
_NO_TARGET = "NODX"
_FLAGS = ("approximate", "no_map", "combination", "scenario", "choice_list")
_SCHEMA = """CREATE TABLE gem (
    source TEXT NOT NULL, target TEXT NOT NULL, code TEXT NOT NULL, position INTEGER NOT NULL, mapped TEXT,
    approximate INTEGER NOT NULL, combination INTEGER NOT NULL, scenario INTEGER NOT NULL,
    choice_list INTEGER NOT NULL, PRIMARY KEY (source, target, code, position)) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class CodeMapping:
    """One row of a map.

    Args:
        code: the code that is mapped, formatted.
        target: one code it maps to; ``None`` where the map says that there is none.
        approximate: the two codes are not the same thing.
        no_map: the map says that no code of the target system fits.
        combination: the code needs one target from *each* choice list of a scenario, together.
        scenario: which of several alternative combinations this row belongs to; 0 outside combinations.
        choice_list: which part of the combination this row is a choice for; 0 outside combinations.
    """

    code: str
    target: str | None
    approximate: bool
    no_map: bool
    combination: bool
    scenario: int
    choice_list: int


def map_code(code: str, source: str, target: str) -> tuple[CodeMapping, ...]:
    """Every target of a diagnosis code, in the order of the official map.

    Args:
        code: in any case, with or without a dot.
        source: ``icd9cm`` or ``icd10cm``.
        target: the other one.

    Returns:
        One mapping a target; empty if the map has no entry for this code (headings, and codes newer than the map).

    Raises:
        CodeError: there is no map between these systems, or the code is malformed.
    """
    _check_systems(source, target)
    wanted = format_code(code, source)
    return tuple(
        CodeMapping(wanted, mapped, bool(approximate), mapped is None, bool(combination), scenario, choice_list)
        for mapped, approximate, combination, scenario, choice_list in _rows(source, target, wanted)
    )


def _check_systems(source: str, target: str) -> None:
    if {source, target} == {"icd9cm", "icd10cm"}:
        return
    if {source, target} & _PROCEDURES:
        raise CodeError(f"no map from {source} to {target}: the installed tables map diagnoses only (icd9cm, icd10cm)")
    raise CodeError(f"no map from {source!r} to {target!r}; there are icd9cm to icd10cm and icd10cm to icd9cm")


def _rows(source: str, target: str, code: str) -> list[tuple[str | None, int, int, int, int]]:
    query = """SELECT mapped, approximate, combination, scenario, choice_list FROM gem
        WHERE source = ? AND target = ? AND code = ? ORDER BY position"""
    cache = cache_dir()
    try:
        return _open_maps(cache).execute(query, (source, target, code)).fetchall()
    except sqlite3.DatabaseError:  # damaged inside, which the header does not show
        build(_maps_path(cache), _write_maps)
        _open_maps.cache_clear()
        return _open_maps(cache).execute(query, (source, target, code)).fetchall()


@lru_cache(maxsize=2)
def _open_maps(cache: Path) -> sqlite3.Connection:
    return open_or_build(_maps_path(cache), _write_maps)


def _maps_path(cache: Path) -> Path:
    return cache / f"gem-{cache_key(gem_files().values())}.sqlite"


def _write_maps(connection: sqlite3.Connection) -> None:
    connection.execute(_SCHEMA)
    for (source, target), path in gem_files().items():
        connection.executemany("INSERT INTO gem VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _read_map(path, source, target))


def _read_map(path: Path, source: str, target: str) -> Iterator[tuple[object, ...]]:
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        missing = {source, target, *_FLAGS} - set(reader.fieldnames or ())
        if missing:
            raise CodeError(f"the map lacks column {', '.join(sorted(missing))}", path=path, line=1)
        for position, row in enumerate(reader):
            yield _map_row(row, position, source, target)


def _map_row(row: Mapping[str, str], position: int, source: str, target: str) -> tuple[object, ...]:
    flags = {name: int(row[name]) for name in _FLAGS}
    without = bool(flags["no_map"]) or row[target].upper() == _NO_TARGET
    mapped = None if without else format_code(row[target], target)
    numbers = flags["approximate"], flags["combination"], flags["scenario"], flags["choice_list"]
    return source, target, format_code(row[source], source), position, mapped, *numbers
