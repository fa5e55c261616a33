"""Look codes up: title, hierarchy, whether they can be billed, on which dates, and search by words.

``open_code_system("icd10cm")`` opens an index on disk (built once, in about two seconds); nothing is held in memory.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import cast

from nosology.codes.entries import CodeEntry, CodeHit, CodeTerm
from nosology.codes.formats import SYSTEMS, format_code, has_code_shape, printable
from nosology.codes.tables import Release
from nosology.errors import CodeError

_PADDED_LENGTH = len("S02.5XX")
_RANGE = re.compile(r"[0-9A-Z]{2,4}-[0-9A-Z]{2,4}")
_COLUMNS = """node.code, node.description, node.kind, node.billable, node.title_source, node.listed_in,
 node.billable_in, above.code"""
_FROM = "FROM node LEFT JOIN node AS above ON above.id = node.parent"
_ANCESTORS = """WITH RECURSIVE line (id, depth) AS (
    SELECT parent, 1 FROM node WHERE code = ? UNION ALL
    SELECT node.parent, depth + 1 FROM line JOIN node ON node.id = line.id)
SELECT node.code FROM line JOIN node ON node.id = line.id ORDER BY depth"""
_SIBLINGS = """SELECT other.code FROM node JOIN node AS other ON other.parent IS node.parent
WHERE node.code = ? AND other.id <> node.id ORDER BY other.id"""

_BEGINNING = """SELECT code, description, billable FROM node
WHERE code >= ? AND code < ? AND kind NOT IN ('chapter', 'block') ORDER BY length(code), code LIMIT ?"""


class CodeSystem:
    """One code system, read from its index.

    Codes may be given in any case, with or without dots. Iteration and look-ups cover every code of every known
    release, headings included; validity and billing follow ``on``.

    Args:
        name: the system's name.
        connection: an open index.
        on: the date that ``is_valid`` and ``is_billable`` use when none is given; ``None`` = the newest release.
    """

    def __init__(self, name: str, connection: sqlite3.Connection, on: date | None = None) -> None:
        self.name = name
        self.on = on
        self._connection = connection
        self._releases = self._read_releases()
        self._has_words = bool(self._rows("SELECT 1 FROM sqlite_master WHERE name = 'words'"))
        self._position(on)  # no table for that date: say so now, not at the first look-up

    @classmethod
    def from_table(cls, path: str | Path, name: str) -> CodeSystem:
        """Bring your own code system: a CSV or TSV with a header and the columns code, description, parent.

        ``parent`` and ``billable`` (yes or no) are optional; without ``billable``, codes with nothing below them count
        as billable.

        Raises:
            CodeError: a broken row, a code twice, an unknown parent or a cycle; names file and line.
        """
        from nosology.codes.index import index_in_memory
        from nosology.codes.own_table import read_own_table

        return cls(name, index_in_memory(read_own_table(Path(path), name)))

    def __len__(self) -> int:
        return cast(int, self._rows("SELECT count(*) FROM node")[0][0])

    def __contains__(self, code: object) -> bool:
        return isinstance(code, str) and self.get(code) is not None

    @property
    def release(self) -> str:
        """The release in force on the system's date, for people; empty for a table without dates."""
        position = self._position(self.on)
        return "" if position is None else self._releases[position].name

    @property
    def releases(self) -> tuple[Release, ...]:
        """Every known release, oldest first."""
        return self._releases

    def canonical(self, code: str) -> str | None:
        """The code as this system writes it; ``None`` if it does not have the shape of one (may still be unknown)."""
        text = code.strip()
        if self.name not in SYSTEMS:
            return text or None
        if has_code_shape(text, self.name):
            return format_code(text, self.name)
        return text.upper() if _RANGE.fullmatch(text.upper()) else None

    def get(self, code: str) -> CodeEntry | None:
        """What is known of a code; ``None`` if no known release has it.

        Stems padded for their 7th character (``W19.XXX``) are known as stems below the code they pad (``W19``).
        """
        row = self._find(code)
        if row is not None:
            return self._entry(row)
        padded = self._padded_stem(code)
        if padded is None:
            return None
        return replace(
            self.require(padded), code=self.canonical(code) or "", kind="stem", billable=False, parent=padded
        )

    def nearest(self, code: str) -> CodeEntry | None:
        """The code itself or the longest known beginning of it: ``5A1D00Z``, retired long ago -> ``5A1D``."""
        text = self.canonical(code) or ""
        starts = (text[:length].rstrip(".") for length in range(len(text), 0, -1))
        return next((entry for start in starts if (entry := self.get(start)) is not None), None)

    def require(self, code: str) -> CodeEntry:
        """Like ``get``, but an unknown code raises ``CodeError`` and names its nearest neighbours."""
        entry = self.get(code)
        if entry is not None:
            return entry
        near = self.close_matches(code)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise CodeError(f"{self.name} does not know {printable(code)}{hint}")

    def close_matches(self, code: str, limit: int = 3) -> tuple[str, ...]:
        """Known codes that share the longest beginning with this one, the shortest first."""
        text = self.canonical(code) or ""
        for length in range(len(text), 1, -1):
            start = text[:length]
            if rows := self._rows(_BEGINNING, (start, start + "\x7f", limit)):
                return tuple(cast(str, row[0]) for row in rows)
        return ()

    def description(self, code: str) -> str:
        """The title of a code, empty if it is unknown or no table has its title."""
        rows = self._rows("SELECT description FROM node WHERE code = ?", (self.canonical(code),))
        if rows:
            return cast(str, rows[0][0])
        padded = self._padded_stem(code)
        return "" if padded is None else self.description(padded)

    def parent(self, code: str) -> str | None:
        """The code above, ``None`` at the top or for an unknown code."""
        above = self.ancestors(code)
        return above[0] if above else None

    def ancestors(self, code: str) -> tuple[str, ...]:
        """The codes above, nearest first: ``S72.001A`` -> ``S72.001``, ``S72.00``, ..., ``S70-S79``, ``S00-T88``."""
        found = self._codes(_ANCESTORS, code)
        if not found and (padded := self._padded_stem(code)) is not None:
            return padded, *self.ancestors(padded)
        return found

    def children(self, code: str) -> tuple[str, ...]:
        """The codes directly below, in the book's order."""
        query = "SELECT node.code FROM node JOIN node AS above ON above.id = node.parent WHERE above.code = ?"
        return self._codes(query + " ORDER BY node.id", code)

    def siblings(self, code: str) -> tuple[str, ...]:
        """The other codes below the same parent, in the book's order."""
        padded = self._padded_stem(code)
        return self._codes(_SIBLINGS, code) if padded is None else self.children(padded)

    def roots(self) -> tuple[str, ...]:
        """The codes without a parent: the chapters of an official system."""
        return tuple(cast(str, row[0]) for row in self._rows("SELECT code FROM node WHERE parent IS NULL ORDER BY id"))

    def is_valid(self, code: str, on: date | None = None) -> bool:
        """Whether the release in force on that date has this code or heading.

        Between two known releases the older one counts as in force, however many are missing between them
        (``nosology codes add-release`` adds them).

        Raises:
            CodeError: no known release is as old as that date.
        """
        row = self._find(self._padded_stem(code) or code)
        return row is not None and self._in_force(cast(int, row[5]), on)

    def is_billable(self, code: str, on: date | None = None) -> bool:
        """Whether the release in force on that date allows this code on a claim; raises like ``is_valid``."""
        row = self._find(code)
        if row is None:
            return False
        return self._in_force(cast(int, row[6]), on) if self._releases else bool(row[3])

    def entries(self) -> Iterator[tuple[str, str, bool]]:
        """(code, title, billable) of every code and heading, in the book's order.

        Codes that only older releases have are included, not billable; with a date, only what is valid then.
        """
        for code, description, billable, listed_in, billable_in in self._iterate(
            "SELECT code, description, billable, listed_in, billable_in FROM node ORDER BY id"
        ):
            if self.on is None:
                yield cast(str, code), cast(str, description), bool(billable)
            elif not self._releases or self._in_force(cast(int, listed_in), None):
                yield cast(str, code), cast(str, description), self._in_force(cast(int, billable_in), None)

    def terms(self, code: str) -> tuple[CodeTerm, ...]:
        """Further wordings of one code (not those of its parents)."""
        rows = self._rows(
            "SELECT code, text, source FROM term JOIN node ON node.id = term.node WHERE code = ? ORDER BY position",
            (self.canonical(code),),
        )
        return tuple(_term(row) for row in rows)

    def iter_terms(self) -> Iterator[CodeTerm]:
        """Every further wording of every code, in the book's order."""
        query = "SELECT code, text, source FROM term JOIN node ON node.id = term.node ORDER BY node.id, position"
        return (_term(row) for row in self._iterate(query))

    def notes(self, code: str) -> tuple[tuple[str, str], ...]:
        """Instructions of one code as (kind, text): excludes1, excludes2, code first, use additional code, ..."""
        rows = self._rows(
            "SELECT note.kind, text FROM note JOIN node ON node.id = note.node WHERE code = ? ORDER BY position",
            (self.canonical(code),),
        )
        return tuple((cast(str, kind), cast(str, text)) for kind, text in rows)

    def search(self, words: str, limit: int = 20) -> tuple[CodeHit, ...]:
        """Codes whose title or terms hold these words, best first; a code or its beginning finds itself.

        Codes with all words come first, then, if there is room, those with some.
        """
        hits: dict[str, CodeHit] = {}
        for hit in (*self._code_hits(words, limit), *self._word_hits(words, limit)):
            hits.setdefault(hit.code, hit)
        return tuple(hits.values())[:limit]

    def _code_hits(self, words: str, limit: int) -> Iterator[CodeHit]:
        start = self.canonical(words)
        if start is None or not any(character.isdigit() for character in start):
            return
        for code, description, billable in self._rows(_BEGINNING, (start, start + "\x7f", limit)):
            yield CodeHit(cast(str, code), cast(str, description), bool(billable), float("inf"))

    def _word_hits(self, words: str, limit: int) -> Iterator[CodeHit]:
        from nosology.codes.search import full_text_query, scan_query, search_words

        wanted = search_words(words)
        if not wanted:
            return
        if not self._has_words:
            yield from self._hits(*scan_query(wanted, limit))
            return
        yield from self._hits(*full_text_query(wanted, "AND", limit))
        if len(wanted) > 1:
            yield from self._hits(*full_text_query(wanted, "OR", limit))

    def _hits(self, query: str, parameters: tuple[object, ...]) -> Iterator[CodeHit]:
        for code, description, billable, score in self._rows(query, parameters):
            yield CodeHit(cast(str, code), cast(str, description), bool(billable), cast(float, score))

    def _find(self, code: str) -> tuple[object, ...] | None:
        rows = self._rows(f"SELECT {_COLUMNS} {_FROM} WHERE node.code = ?", (self.canonical(code),))
        return rows[0] if rows else None

    def _padded_stem(self, code: str) -> str | None:
        """``S02.5XX`` -> ``S02.5``, if ``S02.5XXA`` and its like exist; ``None`` for anything else."""
        text = self.canonical(code) if self.name == "icd10cm" and code.rstrip()[-1:] in ("x", "X") else None
        if text is None or len(text) != _PADDED_LENGTH:
            return None
        longer = self._rows("SELECT 1 FROM node WHERE code > ? AND code < ? LIMIT 1", (text, text + "\x7f"))
        return text.rstrip("X").rstrip(".") if longer else None

    def _codes(self, query: str, code: str) -> tuple[str, ...]:
        return tuple(cast(str, row[0]) for row in self._rows(query, (self.canonical(code),)))

    def _entry(self, row: tuple[object, ...]) -> CodeEntry:
        code, description, kind, billable, source, listed_in, billable_in, parent = row
        first, last = self._interval(cast(int, listed_in))
        return CodeEntry(
            code=cast(str, code),
            system=self.name,
            description=cast(str, description),
            kind=cast(str, kind),
            billable=self._in_force(cast(int, billable_in), None) if self._releases else bool(billable),
            parent=cast("str | None", parent),
            valid_from=first,
            valid_to=last,
            title_source=cast(str, source),
        )

    def _interval(self, listed_in: int) -> tuple[date | None, date | None]:
        """From the newest unbroken run of releases that list a code."""
        last = listed_in.bit_length() - 1
        if last < 0:
            return None, None
        first = last
        while first and listed_in >> (first - 1) & 1:
            first -= 1
        start = self._releases[first].effective if first else None
        if last + 1 < len(self._releases):
            return start, self._releases[last + 1].effective - timedelta(days=1)
        return start, self._releases[last].last_day

    def _in_force(self, mask: int, on: date | None) -> bool:
        on = on or self.on
        position = self._position(on)
        if position is None:
            return True
        last_day = self._releases[position].last_day
        return bool(mask >> position & 1) and (on is None or last_day is None or on <= last_day)

    def _position(self, on: date | None) -> int | None:
        """The release in force: the newest that had taken effect; ``None`` for a table without dates."""
        if not self._releases:
            return None
        if on is None:
            return len(self._releases) - 1
        started = sum(release.effective <= on for release in self._releases)
        if not started:
            oldest = self._releases[0]
            raise CodeError(
                f"{self.name} has no table for {on}: the oldest is {oldest.name}, from {oldest.effective}; "
                "add the year's order file with 'nosology codes add-release'"
            )
        return started - 1

    def _read_releases(self) -> tuple[Release, ...]:
        rows = self._rows("SELECT name, effective, last_day FROM release ORDER BY position")
        return tuple(
            Release(
                str(name), date.fromisoformat(str(effective)), date.fromisoformat(str(last_day)) if last_day else None
            )
            for name, effective, last_day in rows
        )

    def _rows(self, query: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.DatabaseError:
            self._rebuild()
            return self._connection.execute(query, parameters).fetchall()

    def _iterate(self, query: str) -> Iterator[tuple[object, ...]]:
        try:
            yield from self._connection.execute(query)
        except sqlite3.DatabaseError:
            raise CodeError(f"the cached index of {self.name} is damaged; delete it and try again") from None

    def _rebuild(self) -> None:
        """The cached file was damaged inside, which its header does not show: build it anew, once."""
        if self.name not in SYSTEMS:
            raise CodeError(f"the index of {self.name} is damaged; read its table again") from None
        from nosology.codes.index import rebuild_index

        self._connection.close()
        self._connection = rebuild_index(self.name)


def open_code_system(name: str, *, on: date | None = None) -> CodeSystem:
    """Open an installed code system.

    Args:
        name: ``icd10cm``, ``icd10pcs``, ``icd9cm`` or ``icd9proc``.
        on: the date whose release decides what is valid and billable; ``None`` = the newest release.

    Raises:
        CodeError: no such system, or no table as old as ``on``.
    """
    if name not in SYSTEMS:
        raise CodeError(
            f"unknown code system {name!r}; known: {', '.join(SYSTEMS)}; read your own with CodeSystem.from_table"
        )
    from nosology.codes.index import open_index

    return CodeSystem(name, open_index(name), on)


def _term(row: tuple[object, ...]) -> CodeTerm:
    code, text, source = row
    return CodeTerm(cast(str, code), cast(str, text), cast(str, source))
