"""A corpus as arrays: what every figure is counted from. Notes stay on disk and are read as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.corpora.preparation.layout import NOTES, NOTES_A_BATCH
from nosology.corpora.prepared import EncounterRow, PreparedFolder
from nosology.corpora.unknown_codes import with_unknown_codes
from nosology.errors import CorpusError, MissingExtraError
from nosology.types import Corpus

Ints = NDArray[np.int64]

# What readers call the day an encounter ended, best first.
_DATE_KEYS = ("discharge_date", "dischtime", "discharge_time", "discharge", "chartdate", "charttime", "date")


@dataclass(frozen=True, slots=True, eq=False)
class CorpusTable:
    """Encounters without their notes, and a way to the notes.

    Args:
        name: of the corpus.
        encounter_ids: unique.
        groups: the patient of each encounter; empty where unknown.
        splits: the split of each encounter; empty where it has none.
        coded: whether anyone has coded the encounter.
        codes: every code of the corpus, sorted by system and code.
        systems: the system of each code.
        indptr: where each encounter's codes begin in ``indices``; one more than there are encounters.
        indices: positions in ``codes``.
        dates: the day each encounter ended, as written; empty where unknown.
        unknown_codes: codes that no table has.
        notes: opens the notes as a polars ``LazyFrame`` with encounter_id, note_id and text, in encounter order.
        texts: opens the notes' texts, in the same order, as batches: polars ``Series``.
    """

    name: str
    encounter_ids: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    coded: NDArray[np.bool_]
    codes: tuple[str, ...]
    systems: tuple[str, ...]
    indptr: Ints
    indices: NDArray[np.int32]
    dates: tuple[str, ...]
    unknown_codes: frozenset[str]
    notes: Callable[[], Any]
    texts: Callable[[], Iterator[Any]]

    def __len__(self) -> int:
        return len(self.encounter_ids)

    @property
    def document_of(self) -> Ints:
        """The encounter of each entry of ``indices``."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def split_names(self) -> tuple[str, ...]:
        """The splits that occur: train, dev and test first, then others by name."""
        known = ("train", "dev", "test")
        there = set(self.splits) - {""}
        return (*(name for name in known if name in there), *sorted(there - set(known)))

    def in_split(self, name: str) -> NDArray[np.bool_]:
        """Which encounters are in the split."""
        return np.fromiter((split == name for split in self.splits), dtype=np.bool_, count=len(self))

    def counts(self, documents: NDArray[np.bool_] | None = None) -> Ints:
        """In how many encounters each code stands: of all, or of some."""
        chosen = self.indices if documents is None else self.indices[documents[self.document_of]]
        return np.bincount(chosen, minlength=len(self.codes)).astype(np.int64)


class _Notes(NamedTuple):
    """Two ways to the notes: a query over all of them, and their texts some at a time."""

    frame: Callable[[], Any]
    texts: Callable[[], Iterator[Any]]


def table_of_folder(folder: PreparedFolder) -> CorpusTable:
    """The table of a prepared folder.

    Raises:
        CorpusError: it has no encounter, or a file of it is damaged.
        MissingExtraError: polars or pyarrow is not installed.
    """
    polars = import_polars()
    path = folder.path / NOTES
    columns = ["encounter_id", "note_id", "text"]
    unknown = frozenset(folder.unknown_codes)
    notes = _Notes(
        lambda: polars.scan_parquet(path).select(columns),
        lambda: (polars.Series(batch.column(0)) for batch in folder.note_batches(["text"])),
    )
    return _table(folder.manifest.corpus, folder.encounter_rows(), unknown, notes, path)


def table_of_corpus(corpus: Corpus) -> CorpusTable:
    """The table of a corpus in memory; raises like ``table_of_folder``."""
    polars = import_polars()
    corpus = corpus if corpus.unknown_codes else with_unknown_codes(corpus)
    rows = (
        EncounterRow(
            one.encounter_id,
            one.group_id,
            one.split,
            None if one.codes is None else tuple(gold.code for gold in one.codes),
            tuple(gold.system for gold in one.codes or ()),
            one.metadata,
        )
        for one in corpus
    )

    def notes() -> Any:
        every = [(one.encounter_id, note) for one in corpus for note in one.notes]
        columns = {
            "encounter_id": [encounter for encounter, _ in every],
            "note_id": [note.note_id for _, note in every],
            "text": [note.text for _, note in every],
        }
        return polars.LazyFrame(columns)

    def texts() -> Iterator[Any]:
        every = [note.text for one in corpus for note in one.notes]
        return (polars.Series(every[start : start + NOTES_A_BATCH]) for start in range(0, len(every), NOTES_A_BATCH))

    return _table(corpus.name, rows, frozenset(corpus.unknown_codes), _Notes(notes, texts), None)


def import_polars() -> Any:
    """polars, which has no stubs that fit strict checking."""
    try:
        import polars
    except ImportError:
        raise MissingExtraError("Describing a corpus", "data") from None
    return polars


def collected(frame: Any, path: Path | None = None) -> Any:
    """Run a lazy query as a stream.

    Raises:
        CorpusError: the file behind it cannot be read; the engine's own words could hold note text and are left out.
    """
    polars = import_polars()
    try:
        return frame.collect(engine="streaming")
    except (polars.exceptions.PolarsError, OSError):
        raise CorpusError("the notes cannot be read; run `nosology prepare` again", path=path) from None


def _table(
    name: str, rows: Iterable[EncounterRow], unknown: frozenset[str], notes: _Notes, path: Path | None
) -> CorpusTable:
    ids: list[str] = []
    groups: list[str] = []
    splits: list[str] = []
    dates: list[str] = []
    coded: list[bool] = []
    bounds: list[int] = [0]
    labels: list[int] = []
    column: dict[tuple[str, str], int] = {}
    for row in rows:
        ids.append(row.encounter_id)
        groups.append(row.group_id)
        splits.append(row.split)
        dates.append(next((row.metadata[key] for key in _DATE_KEYS if row.metadata.get(key)), ""))
        coded.append(row.codes is not None)
        pairs = zip(row.systems, row.codes or (), strict=True)
        labels.extend(column.setdefault(pair, len(column)) for pair in pairs)
        bounds.append(len(labels))
    if not ids:
        raise CorpusError("the corpus has no encounter; prepare it again, or choose other splits", path=path)
    ordered = sorted(column)
    place = np.empty(len(ordered), dtype=np.int32)
    place[[column[pair] for pair in ordered]] = np.arange(len(ordered))
    indices = place[np.array(labels, dtype=np.int64)] if labels else np.empty(0, dtype=np.int32)
    return CorpusTable(
        name,
        tuple(ids),
        tuple(groups),
        tuple(splits),
        np.array(coded, dtype=np.bool_),
        _seconds(ordered),
        tuple(system for system, _ in ordered),
        np.array(bounds, dtype=np.int64),
        indices,
        tuple(dates),
        unknown,
        notes.frame,
        notes.texts,
    )


def _seconds(pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(second for _, second in pairs)
