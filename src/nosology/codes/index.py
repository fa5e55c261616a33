"""The compact index of a code system: one SQLite file a system, written once, opened in milliseconds.

Tables: ``node`` (one row a code or heading, ids in the book's order), ``term``, ``note``, ``release``, ``meta`` and,
where SQLite has it, the full-text index ``words``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

from nosology.codes.cache import build, cache_dir, cache_key, open_or_build
from nosology.codes.order_files import store_release, stored_releases
from nosology.codes.search import WORDINGS_PER_NODE
from nosology.codes.sources import build_table, source_files
from nosology.codes.tables import CodeTable, ReleaseList

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE release (position INTEGER PRIMARY KEY, name TEXT NOT NULL, effective TEXT NOT NULL, last_day TEXT);
CREATE TABLE node (
    id INTEGER PRIMARY KEY, code TEXT NOT NULL, description TEXT NOT NULL, kind TEXT NOT NULL,
    parent INTEGER, billable INTEGER NOT NULL, title_source TEXT NOT NULL,
    listed_in INTEGER NOT NULL, billable_in INTEGER NOT NULL
);
CREATE TABLE term (node INTEGER NOT NULL, position INTEGER NOT NULL, text TEXT NOT NULL, source TEXT NOT NULL,
    PRIMARY KEY (node, position)) WITHOUT ROWID;
CREATE TABLE note (node INTEGER NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (node, position)) WITHOUT ROWID;
"""
_INDEXES = "CREATE UNIQUE INDEX node_code ON node (code); CREATE INDEX node_parent ON node (parent);"
# Contentless: the words are indexed, the texts stay in `node` and `term`. One row a wording, so that a long list of
# terms does not push a code down; no stemming, so that "diabetic" does not count as a second "diabetes".
_WORDS = "CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='unicode61 remove_diacritics 2')"


def open_index(system: str) -> sqlite3.Connection:
    """Open the index of an installed system, building it first where it is absent, outdated or damaged."""
    cache = cache_dir()
    return open_or_build(index_path(system, cache), _writer(system, cache))


def rebuild_index(system: str) -> sqlite3.Connection:
    """Throw the index of an installed system away and build it anew."""
    cache = cache_dir()
    build(index_path(system, cache), _writer(system, cache))
    return open_index(system)


def _writer(system: str, cache: Path) -> Callable[[sqlite3.Connection], None]:
    return lambda connection: write_index(connection, build_table(system, cache))


def index_path(system: str, cache: Path) -> Path:
    """The file of a system's index, named after what it was built from."""
    added = [path for _, path in stored_releases(system, cache)]
    return cache / f"{system}-{cache_key([*source_files(system), *added])}.sqlite"


def add_release(path: str | Path, system: str, effective: date) -> ReleaseList:
    """Keep an official order file and build the system's index with it.

    Args:
        path: the order file; it is checked first and copied into the cache.
        system: ``icd10cm`` or ``icd10pcs``.
        effective: the first day the release is in force.
    """
    cache = cache_dir()
    released = store_release(path, system, effective, cache)
    for outdated in set(cache.glob(f"{system}-*.sqlite")) - {index_path(system, cache)}:
        with suppress(OSError):
            outdated.unlink()
    rebuild_index(system).close()  # even under the same name: a corrected file of the same size must count
    return released


def index_in_memory(table: CodeTable) -> sqlite3.Connection:
    """An index of a user's own table, for the life of the process."""
    connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    write_index(connection, table)
    return connection


def write_index(connection: sqlite3.Connection, table: CodeTable) -> None:
    """Write a whole table through an open connection."""
    for statement in _SCHEMA.split(";\n"):
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('system', ?)", (table.system,))
    connection.executemany("INSERT INTO release VALUES (?, ?, ?, ?)", _release_rows(table))
    connection.executemany("INSERT INTO node VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _node_rows(table))
    connection.executemany("INSERT INTO term VALUES (?, ?, ?, ?)", _term_rows(table))
    connection.executemany("INSERT INTO note VALUES (?, ?, ?, ?)", _note_rows(table))
    for statement in _INDEXES.split("; "):
        connection.execute(statement)
    if has_full_text(connection):
        connection.execute(_WORDS)
        connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", _word_rows(table))
        connection.execute("INSERT INTO words (words) VALUES ('optimize')")


def has_full_text(connection: sqlite3.Connection) -> bool:
    """Whether this SQLite was compiled with FTS5."""
    return any(name == "ENABLE_FTS5" for (name,) in connection.execute("PRAGMA compile_options"))


def _release_rows(table: CodeTable) -> Iterator[tuple[int, str, str, str | None]]:
    for position, release in enumerate(table.releases):
        last_day = release.last_day.isoformat() if release.last_day else None
        yield position, release.name, release.effective.isoformat(), last_day


def _node_rows(table: CodeTable) -> Iterator[tuple[object, ...]]:
    ids = {code: number for number, code in enumerate(table.nodes, start=1)}
    newest = 1 << len(table.releases) >> 1
    for number, (code, node) in enumerate(table.nodes.items(), start=1):
        listed, billable = table.listed.get(code, 0), table.billable.get(code, 0)
        today = int(bool(billable & newest) if newest else node.billable)
        parent = ids.get(node.parent)
        yield number, code, node.description, node.kind, parent, today, node.title_source, listed, billable


def _term_rows(table: CodeTable) -> Iterator[tuple[int, int, str, str]]:
    for number, node in enumerate(table.nodes.values(), start=1):
        for position, (text, source) in enumerate(node.terms):
            yield number, position, text, source


def _note_rows(table: CodeTable) -> Iterator[tuple[int, int, str, str]]:
    for number, node in enumerate(table.nodes.values(), start=1):
        for position, (kind, text) in enumerate(node.notes):
            yield number, position, kind, text


def _word_rows(table: CodeTable) -> Iterator[tuple[int, str]]:
    for number, node in enumerate(table.nodes.values(), start=1):
        yield number * WORDINGS_PER_NODE, node.description
        for position, (text, _) in enumerate(node.terms[: WORDINGS_PER_NODE - 1], start=1):
            yield number * WORDINGS_PER_NODE + position, text
