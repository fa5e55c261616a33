"""What MIMIC-III and MIMIC-IV share in reading their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nosology.corpora.preparation.code_rows import CodeRows
from nosology.corpora.preparation.layout import import_compute
from nosology.corpora.preparation.manifest import Journal
from nosology.corpora.preparation.notes_kept import NoteRows
from nosology.corpora.preparation.source import Source
from nosology.errors import CorpusError

# Texts shorter than this many bytes may be nothing but white space.
_SHORT_BYTES = 64


def without_blanks(rows: CodeRows, table: str, journal: Journal) -> CodeRows:
    """The rows that have an admission and a code; the others are counted."""
    blank = (rows.hadm < 0) | (rows.code < 0)
    journal.warn(f"rows of {table} without code or HADM_ID, left out", int(blank.sum()))
    journal.count(f"rows of {table} without code or HADM_ID, left out", int(blank.sum()))
    return rows.where(~blank)


def in_order_of_tables(parts: Sequence[CodeRows]) -> CodeRows:
    """All rows; in an admission those of the first table come first, each by position."""
    behind = 1 << 40
    moved = [
        CodeRows(part.hadm, np.minimum(part.position, behind - 1) + table * behind, part.code)
        for table, part in enumerate(parts)
    ]
    return CodeRows.joined(moved)


def read_metadata(source: Source, table: str, columns: Mapping[str, str]) -> dict[int, dict[str, str]]:
    """Columns of the table of admissions, by admission and under our names; nothing where the table is not there."""
    if table not in source:
        return {}
    metadata = dict[int, dict[str, str]]()
    for records in source.open(table, ("hadm_id",), columns).records():
        there = [name for name in columns if name in records.columns]
        cells = [records.columns[name].to_pylist() for name in there]
        for hadm, *values in zip(records.numbers("hadm_id").tolist(), *cells, strict=True):
            metadata[hadm] = {columns[name]: value for name, value in zip(there, values, strict=True)}
    return metadata


def is_blank(texts: Any) -> NDArray[np.bool_]:
    """Which texts hold nothing but white space."""
    compute = import_compute()
    blank = (compute.binary_length(texts).to_numpy(zero_copy_only=False) < _SHORT_BYTES).astype(np.bool_)
    short = compute.utf8_trim_whitespace(texts.filter(blank))
    blank[blank] = compute.equal(short, "").to_numpy(zero_copy_only=False)
    return blank


def with_unique_ids(notes: NoteRows, path: Path) -> NoteRows:
    """The notes, unless two have one id.

    Raises:
        CorpusError: two have; names the id.
    """
    ids, counts = np.unique(notes.note_id.astype(np.str_), return_counts=True)
    if (counts > 1).any():
        twice = str(ids[np.argmax(counts > 1)])
        raise CorpusError("two notes have this id; restore the release's file", path=path, record_id=twice)
    return notes
