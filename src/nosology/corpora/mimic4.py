"""MIMIC-IV (v2.2 and v3.x, with MIMIC-IV-Note): discharge notes, ICD-9 or ICD-10 diagnoses and procedures.

Hospitals changed from ICD-9 to ICD-10 in October 2015, and an admission is coded in one of them; ``version`` chooses
which admissions are read. The few with codes of both keep those of the version that most of their codes have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nosology.corpora.mimic import Preparation, Report, Source, run_preparation
from nosology.corpora.preparation.admissions import (
    in_order_of_tables,
    is_blank,
    read_metadata,
    with_unique_ids,
    without_blanks,
)
from nosology.corpora.preparation.assembly import Material
from nosology.corpora.preparation.code_rows import CodeRows, Vocabulary, read_code_rows, read_known_codes
from nosology.corpora.preparation.manifest import Journal
from nosology.corpora.preparation.notes_kept import NoteCollector, NoteRows
from nosology.corpora.preparation.options import MimicOptions, Version
from nosology.corpora.preparation.raw_tables import Records
from nosology.corpora.preparation.spill import TextSpill
from nosology.errors import ConfigError, CorpusError

NOTES, ADMISSIONS = "note/discharge", "hosp/admissions"
_NOTE_COLUMNS = ("note_id", "subject_id", "hadm_id", "note_seq", "text")
_CODE_COLUMNS = {"hadm": "hadm_id", "position": "seq_num", "code": "icd_code", "version": "icd_version"}
_METADATA = {
    "admittime": "admission_date",
    "dischtime": "discharge_date",
    "admission_type": "admission_type",
    "insurance": "insurance",
    "race": "ethnicity",
}
_SPLIT_TABLES: Mapping[Version, tuple[str, ...]] = {
    "icd9": ("mimiciv_icd9_split.feather",),
    "icd10": ("mimiciv_icd10_split.feather",),
}


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of codes: its name as an option, its table, its table of titles, its system by version."""

    name: str
    table: str
    titles: str
    systems: Mapping[str, str]


_KINDS = (
    _Kind("diagnoses", "hosp/diagnoses_icd", "hosp/d_icd_diagnoses", {"9": "icd9cm", "10": "icd10cm"}),
    _Kind("procedures", "hosp/procedures_icd", "hosp/d_icd_procedures", {"9": "icd9proc", "10": "icd10pcs"}),
)


def prepare_mimic4(
    raw: str | Path, out: str | Path, options: MimicOptions | None = None, *, progress: Report | None = None
) -> Preparation:
    """Prepare MIMIC-IV.

    Args:
        raw: a folder with ``hosp/`` and ``note/`` somewhere below it; it is only read.
        out: the prepared folder to make; one that is there is replaced, if anything has changed.
        options: what to keep; by default every ICD-10 code, with splits of our own.
        progress: called with the stage and the fraction done.

    Returns:
        The manifest, and whether the folder was left as it was.

    Raises:
        CorpusError: a table is missing or broken (with file and line), or the folder cannot be written.
        ConfigError: options that are not for MIMIC-IV.
    """
    options = options or MimicOptions()
    if options.caml_compatible or not options.addenda:
        raise ConfigError("--caml-compatible and --no-addenda are for mimic3; leave them out")
    return run_preparation(Mimic4(options), Path(raw), Path(out), options, progress)


class Mimic4:
    """The tables of MIMIC-IV and what is read of them.

    Args:
        options: what to keep.
    """

    corpus = "mimic4"

    def __init__(self, options: MimicOptions) -> None:
        self._version: Version = options.version or "icd10"
        self._digits = self._version.removeprefix("icd")
        self._kinds = tuple(kind for kind in _KINDS if options.codes in (kind.name, "both"))

    def tables(self) -> tuple[Sequence[str], Sequence[str]]:
        needed = [kind.table for kind in self._kinds] + [kind.titles for kind in self._kinds]
        return (NOTES, *needed), (ADMISSIONS,)

    def split_tables(self) -> tuple[str, ...]:
        return _SPLIT_TABLES[self._version]

    def read(self, source: Source, texts: TextSpill, journal: Journal) -> Material:
        notes = self._read_notes(source, texts, journal)
        vocabulary, malformed = Vocabulary(), Counter[str]()
        rows, other = self._read_codes(source, vocabulary, malformed, journal)
        journal.warn("codes without the shape of their version, kept as written", len(malformed), sorted(malformed))
        known = set[tuple[str, str]]()
        for kind in self._kinds:
            table = source.open(kind.titles, ("icd_code", "icd_version"))
            known |= read_known_codes(table, vocabulary, self._wanted(kind), "icd_code", "icd_version")
        systems = tuple(kind.systems[self._digits] for kind in self._kinds)
        metadata = read_metadata(source, ADMISSIONS, _METADATA)
        return Material(notes, texts, rows, vocabulary, systems, known, metadata, of_other_version=other)

    def _wanted(self, kind: _Kind) -> dict[str, str]:
        return {self._digits: kind.systems[self._digits]}

    # --- notes ---

    def _read_notes(self, source: Source, texts: TextSpill, journal: Journal) -> NoteRows:
        counts, collector = Counter[str](), NoteCollector(texts)
        table = source.open(NOTES, _NOTE_COLUMNS, ("charttime",))
        for records in table.records():
            _take_notes(records, collector, counts)
        if not counts["kept"]:
            raise CorpusError("no discharge note is left of this table; is it the whole file?", path=table.path)
        notes = with_unique_ids(collector.rows(), table.path)
        journal.count("rows of note/discharge", table.rows)
        journal.warn("discharge notes without hadm_id, left out", counts["blank"])
        journal.count("notes without hadm_id, left out", counts["blank"])
        journal.count("notes without text, left out", counts["empty"])
        journal.count("notes with the text of another note of the admission, left out", collector.repeats)
        journal.decide("The notes of an admission are its discharge notes by time and note_seq, their text unchanged.")
        return notes

    # --- codes ---

    def _read_codes(
        self, source: Source, vocabulary: Vocabulary, malformed: Counter[str], journal: Journal
    ) -> tuple[CodeRows, NDArray[np.int64]]:
        parts = list[CodeRows]()
        for kind in self._kinds:
            table = source.open(kind.table, _CODE_COLUMNS.values())
            rows = read_code_rows(table, _CODE_COLUMNS, kind.systems, vocabulary, malformed)
            journal.count(f"rows of {kind.table}", table.rows)
            parts.append(without_blanks(rows, kind.table, journal))
        rows = in_order_of_tables(parts)
        wanted = [kind.systems[self._digits] for kind in self._kinds]
        of_version = np.isin(vocabulary.systems, wanted)
        keep = _rows_of_version(rows, of_version, journal, self._digits)
        journal.decide(
            f"Only admissions coded in ICD-{self._digits} were read; of admissions with codes of both versions, those "
            f"with more ICD-{self._digits} codes, and of them these codes only (Edin et al. keep them under both)."
        )
        kept = rows.where(keep)
        return kept, np.setdiff1d(rows.hadm, kept.hadm)


def _take_notes(records: Records, collector: NoteCollector, counts: Counter[str]) -> None:
    hadm, empty = records.numbers("hadm_id"), is_blank(records.columns["text"])
    keep = (hadm >= 0) & ~empty
    counts["blank"] += int((hadm < 0).sum())
    counts["empty"] += int(((hadm >= 0) & empty).sum())
    counts["kept"] += int(keep.sum())
    columns = records.columns.items()
    cells = {name: column if keep.all() else column.filter(keep) for name, column in columns}
    times = cells["charttime"].to_pylist() if "charttime" in cells else [""] * int(keep.sum())
    collector.add(
        hadm=hadm[keep],
        subject=records.numbers("subject_id")[keep],
        rank=np.zeros(int(keep.sum()), dtype=np.int8),
        time=np.array(times, dtype=np.str_),
        number=records.numbers("note_seq")[keep],
        note_id=cells["note_id"].to_pylist(),
        texts=cells["text"],
    )


def _rows_of_version(rows: CodeRows, of_version: NDArray[np.bool_], journal: Journal, digits: str) -> NDArray[np.bool_]:
    """Which rows are of the version that was asked for, in admissions where most are; mixed ones are counted."""
    wanted = of_version[rows.code]
    hadm, place = np.unique(rows.hadm, return_inverse=True)
    these, all_codes = np.bincount(place, weights=wanted), np.bincount(place)
    mixed = (these > 0) & (these < all_codes)
    main = these * 2 > all_codes if digits == "9" else these * 2 >= all_codes
    journal.count("admissions with codes", len(hadm))
    journal.count(f"admissions coded in ICD-{digits}", int(main.sum()))
    journal.count("admissions with codes of both versions", int(mixed.sum()))
    examples = [str(value) for value in hadm[mixed].tolist()]
    journal.warn(
        "admissions with codes of both versions, put where most of their codes are", int(mixed.sum()), examples
    )
    return wanted & main[place]
