"""Prepared corpora: a folder of Parquet and JSON files, written whole, read as a stream or at once.

    notes.parquet       encounter_id, note_id, category, language, text; grouped by encounter, in encounter order
    encounters.parquet  encounter_id, group_id, split, codes, systems (parallel to codes), meta_*; certainties
                        (parallel to codes) where cleaning doubts some
    evidence.parquet    encounter_id, code, note_id, starts, ends; only where people marked evidence
    labels.json         systems, language, and every code with its counts by split
    splits.json, .csv   the encounters of each split
    manifest.json       inputs, outputs, options, counts at every step, decisions, warnings

Codes are ``null`` for an encounter that nobody has coded. ``starts`` and ``ends`` are half-open character offsets into
the note's text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nosology.corpora.preparation.layout import (
    CERTAINTIES,
    ENCOUNTERS,
    ENCOUNTERS_A_BATCH,
    EVIDENCE,
    EVIDENCE_A_BATCH,
    LABELS,
    META,
    NOTES,
    NOTES_A_BATCH,
    EncounterRow,
    EvidenceRow,
    PreparedLabel,
    import_arrow,
)
from nosology.corpora.preparation.manifest import FileFacts, Manifest, read_manifest
from nosology.corpora.preparation.writing import PreparedWriter, write_prepared, writing_prepared
from nosology.errors import CorpusError
from nosology.types import Corpus, Encounter, Evidence, GoldCode, Note, Span

__all__ = [
    "EncounterRow",
    "EvidenceRow",
    "PreparedFolder",
    "PreparedLabel",
    "PreparedWriter",
    "iterate_prepared",
    "open_prepared",
    "read_prepared",
    "write_prepared",
    "writing_prepared",
]

_AGAIN = "run `nosology prepare` again"


@dataclass(frozen=True, slots=True)
class PreparedFolder:
    """A prepared folder, opened: the small files read, the large ones read as streams when asked.

    Args:
        path: the folder.
        manifest: what it says of itself.
        systems: the code systems of its labels.
        language: the notes' main language.
        labels: the label space, sorted by code.
    """

    path: Path
    manifest: Manifest
    systems: tuple[str, ...]
    language: str
    labels: tuple[PreparedLabel, ...]

    @property
    def unknown_codes(self) -> dict[str, int]:
        """Codes that no table has, most frequent first, with the number of encounters each."""
        unknown = sorted((-label.all, label.code) for label in self.labels if not label.known)
        return {code: -count for count, code in unknown}

    def note_batches(self, columns: Sequence[str] | None = None, rows: int = NOTES_A_BATCH) -> Iterator[Any]:
        """The notes as ``pyarrow.RecordBatch``es of some columns (all by default), in file order."""
        return self._batches(NOTES, columns, rows)

    def encounter_rows(self) -> Iterator[EncounterRow]:
        """The encounters without their notes, in order."""
        for batch in self._batches(ENCOUNTERS, None, ENCOUNTERS_A_BATCH):
            for row in batch.to_pylist():
                yield _encounter_row(row)

    def evidence_rows(self) -> Iterator[EvidenceRow]:
        """The evidence, in encounter order; nothing where the corpus has none."""
        if EVIDENCE in self.manifest.outputs:
            for batch in self._batches(EVIDENCE, None, EVIDENCE_A_BATCH):
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def encounters(self, *splits: str) -> Iterator[Encounter]:
        """Whole encounters, one at a time; of some splits, or all."""
        notes = _Groups(self._note_rows(), self.path / NOTES)
        evidence = _Groups(self.evidence_rows(), self.path / EVIDENCE)
        for row in self.encounter_rows():
            its_notes, its_evidence = notes.take(row.encounter_id), evidence.take(row.encounter_id)
            if not its_notes:
                raise CorpusError(f"an encounter has no notes; {_AGAIN}", path=notes.path, record_id=row.encounter_id)
            if not splits or row.split in splits:
                yield _encounter(row, its_notes, its_evidence)

    def _note_rows(self) -> Iterator[tuple[Any, ...]]:
        for batch in self.note_batches():
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def _batches(self, name: str, columns: Sequence[str] | None, rows: int) -> Iterator[Any]:
        arrow, parquet = import_arrow()
        path = self.path / name
        try:
            with parquet.ParquetFile(path) as file:
                yield from file.iter_batches(batch_size=rows, columns=None if columns is None else list(columns))
        except FileNotFoundError:
            raise CorpusError(f"no such file; {_AGAIN}", path=path) from None
        except (arrow.ArrowException, OSError, UnicodeDecodeError):
            raise CorpusError(f"is not a readable Parquet file; {_AGAIN}", path=path) from None


class _Groups:
    """Rows that come grouped by their first column; each group is asked for in turn."""

    def __init__(self, rows: Iterator[tuple[Any, ...]], path: Path) -> None:
        self.path = path
        self._rows = rows
        self._next: tuple[Any, ...] | None = next(rows, None)

    def take(self, key: str) -> list[tuple[Any, ...]]:
        group: list[tuple[Any, ...]] = []
        while self._next is not None and self._next[0] == key:
            group.append(self._next)
            self._next = next(self._rows, None)
        return group


def open_prepared(path: str | Path) -> PreparedFolder:
    """Open a prepared folder: reads the manifest and the labels, and checks that every file is there in full.

    Raises:
        CorpusError: not a prepared folder, or a file is missing or of another size than when it was written.
        MissingExtraError: pyarrow is not installed.
    """
    folder = Path(path)
    import_arrow()
    if folder.is_file():
        raise CorpusError("is a file, not a prepared folder; `nosology prepare` makes one", path=folder)
    manifest = read_manifest(folder)
    for name, facts in manifest.outputs.items():
        _check_size(folder / name, facts)
    try:
        content: Any = json.loads((folder / LABELS).read_bytes())
        labels = tuple(PreparedLabel(**label) for label in content["labels"])
        return PreparedFolder(folder, manifest, tuple(content["systems"]), str(content["language"]), labels)
    except (OSError, ValueError, KeyError, TypeError):
        raise CorpusError(f"damaged: not a label space; {_AGAIN}", path=folder / LABELS) from None


def iterate_prepared(path: str | Path, *splits: str) -> Iterator[Encounter]:
    """The encounters of a prepared folder, one at a time; raises like ``open_prepared``."""
    return open_prepared(path).encounters(*splits)


def read_prepared(path: str | Path) -> Corpus:
    """A prepared folder as a corpus in memory; raises like ``open_prepared``."""
    folder = open_prepared(path)
    return Corpus(
        folder.manifest.corpus,
        folder.systems,
        tuple(folder.encounters()),
        folder.language,
        unknown_codes=folder.unknown_codes,
    )


def _check_size(path: Path, facts: FileFacts) -> None:
    found = -1
    with suppress(OSError):
        found = path.stat().st_size
    if found < 0:
        raise CorpusError(f"no such file; {_AGAIN}", path=path)
    if found != facts.bytes:
        raise CorpusError(f"has {found} bytes instead of {facts.bytes}: changed or truncated; {_AGAIN}", path=path)


def _encounter_row(row: dict[str, Any]) -> EncounterRow:
    codes = row["codes"]
    metadata = {key.removeprefix(META): value for key, value in row.items() if key.startswith(META)}
    return EncounterRow(
        row["encounter_id"],
        row["group_id"],
        row["split"],
        None if codes is None else tuple(codes),
        tuple(row["systems"] or ()),
        {key: value for key, value in metadata.items() if value is not None},
        tuple(row.get(CERTAINTIES) or ()),
    )


def _encounter(row: EncounterRow, notes: list[tuple[Any, ...]], evidence: list[tuple[Any, ...]]) -> Encounter:
    by_code: dict[str, list[Evidence]] = {}
    for _, code, note_id, starts, ends in evidence:
        parts = tuple(Span(start, end) for start, end in zip(starts, ends, strict=True))
        by_code.setdefault(code, []).append(Evidence(note_id, parts))
    golds = None
    if row.codes is not None:
        certainties = row.certainties or (1.0,) * len(row.codes)
        triples = zip(row.codes, row.systems, certainties, strict=True)
        golds = tuple(GoldCode(code, system, tuple(by_code.get(code, ())), sure) for code, system, sure in triples)
    texts = tuple(Note(note_id, text, category, language) for _, note_id, category, language, text in notes)
    return Encounter(row.encounter_id, texts, golds, row.group_id, row.split, row.metadata)
