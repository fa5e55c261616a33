"""MIMIC-III (v1.4): discharge summaries with their addenda, ICD-9 diagnoses and procedures.

``prepare_mimic3`` turns the release's files into a prepared folder. Codes are text from first to last: leading zeros
stay, and the dot goes where the table says (diagnoses after three characters, E codes after four, procedures after
two). ``caml_compatible`` gives CAML's published label space instead, see ``preparation.caml_labels``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from nosology.corpora.preparation.caml_labels import caml_first_reading, caml_second_reading
from nosology.corpora.preparation.code_rows import CodeRows, Vocabulary, read_code_rows, read_known_codes
from nosology.corpora.preparation.layout import import_compute
from nosology.corpora.preparation.manifest import Journal
from nosology.corpora.preparation.notes_kept import NoteCollector, NoteRows
from nosology.corpora.preparation.options import MimicOptions
from nosology.corpora.preparation.raw_tables import Records
from nosology.corpora.preparation.spill import TextSpill
from nosology.errors import ConfigError, CorpusError

Integers = NDArray[np.int64]

NOTES, ADMISSIONS = "NOTEEVENTS", "ADMISSIONS"
_NOTE_COLUMNS = ("row_id", "subject_id", "hadm_id", "category", "text")
_NOTE_OPTIONAL = ("chartdate", "charttime", "description", "iserror")
_CODE_COLUMNS = {"hadm": "hadm_id", "position": "seq_num", "code": "icd9_code"}
_METADATA = {
    "admittime": "admission_date",
    "dischtime": "discharge_date",
    "admission_type": "admission_type",
    "insurance": "insurance",
    "ethnicity": "ethnicity",
}
_SUMMARY = "discharge summary"
_RELEASE_ROWS = {NOTES: 2_083_180, "DIAGNOSES_ICD": 651_047, "PROCEDURES_ICD": 240_095}
_REAL_HADM = (100_001, 199_999)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of codes: its name as an option, its table, its table of titles, its system."""

    name: str
    table: str
    titles: str
    system: str


_KINDS = (
    _Kind("diagnoses", "DIAGNOSES_ICD", "D_ICD_DIAGNOSES", "icd9cm"),
    _Kind("procedures", "PROCEDURES_ICD", "D_ICD_PROCEDURES", "icd9proc"),
)


def prepare_mimic3(
    raw: str | Path, out: str | Path, options: MimicOptions | None = None, *, progress: Report | None = None
) -> Preparation:
    """Prepare MIMIC-III.

    Args:
        raw: the folder of the release (or of its simulation); it is only read.
        out: the prepared folder to make; one that is there is replaced, if anything has changed.
        options: what to keep; by default everything, with splits of our own.
        progress: called with the stage and the fraction done.

    Returns:
        The manifest, and whether the folder was left as it was.

    Raises:
        CorpusError: a table is missing or broken (with file and line), or the folder cannot be written.
        ConfigError: options that are not for MIMIC-III.
    """
    options = options or MimicOptions()
    if options.version not in (None, "icd9"):
        raise ConfigError("MIMIC-III has ICD-9 codes only; leave out --version")
    return run_preparation(Mimic3(options), Path(raw), Path(out), options, progress)


class Mimic3:
    """The tables of MIMIC-III and what is read of them.

    Args:
        options: what to keep.
    """

    corpus = "mimic3"

    def __init__(self, options: MimicOptions) -> None:
        self._options = options
        self._kinds = tuple(kind for kind in _KINDS if options.codes in (kind.name, "both"))

    def tables(self) -> tuple[Sequence[str], Sequence[str]]:
        needed = [kind.table for kind in self._kinds] + [kind.titles for kind in self._kinds]
        return (NOTES, *needed), (ADMISSIONS,)

    def split_tables(self) -> tuple[str, ...]:
        return (f"mimiciii_{self._options.variant}_splits.feather",)

    def read(self, source: Source, texts: TextSpill, journal: Journal) -> Material:
        notes = self._read_notes(source, texts, journal)
        vocabulary, malformed = Vocabulary(), Counter[str]()
        if self._options.caml_compatible:
            rows, coded = self._read_codes_as_caml(source, np.unique(notes.hadm), vocabulary, journal)
        else:
            rows, coded = self._read_codes(source, vocabulary, malformed, journal), None
        journal.warn("codes without the shape of ICD-9, kept as written", len(malformed), sorted(malformed))
        known = set[tuple[str, str]]()
        for kind in self._kinds:
            table = source.open(kind.titles, ("icd9_code",))
            known |= read_known_codes(table, vocabulary, {"": kind.system}, "icd9_code")
        systems = tuple(kind.system for kind in self._kinds)
        metadata = read_metadata(source, ADMISSIONS, _METADATA)
        caml = coded is not None
        return Material(
            notes, texts, rows, vocabulary, systems, known, metadata, count_repeats=caml, keep_uncoded=coded
        )

    # --- notes ---

    def _read_notes(self, source: Source, texts: TextSpill, journal: Journal) -> NoteRows:
        counts, collector = Counter[str](), NoteCollector(texts)
        table = source.open(NOTES, _NOTE_COLUMNS, _NOTE_OPTIONAL)
        for records in table.records():
            self._take_notes(records, collector, counts)
        if not counts["kept"]:
            raise CorpusError("no discharge summary is left of this table; is it the whole file?", path=table.path)
        notes = with_unique_ids(collector.rows(), table.path)
        self._tell_of_notes(journal, table.rows, counts, collector)
        _compare_row_counts(journal, NOTES, table.rows, notes.hadm)
        return notes

    def _take_notes(self, records: Records, collector: NoteCollector, counts: Counter[str]) -> None:
        compute = import_compute()
        chosen = compute.equal(compute.utf8_lower(compute.utf8_trim_whitespace(records.columns["category"])), _SUMMARY)
        hadm = records.numbers("hadm_id", chosen)
        cells = {name: column.filter(chosen) for name, column in records.columns.items()}
        counts["summaries"] += len(hadm)
        addendum = self._is_addendum(cells, len(hadm))
        keep = np.ones(len(hadm), dtype=np.bool_)
        for reason, wrong in self._reasons(cells, hadm, addendum):
            counts[reason] += int((keep & wrong).sum())
            keep &= ~wrong
        counts["kept"] += int(keep.sum())
        order_by_file = self._options.caml_compatible
        numbers = records.numbers("row_id", chosen)[keep]
        times = _text(cells, "chartdate", len(hadm))[keep]
        collector.add(
            hadm=hadm[keep],
            subject=records.numbers("subject_id", chosen)[keep],
            rank=addendum[keep].astype(np.int8),
            time=np.full(len(numbers), "") if order_by_file else times,
            number=numbers,
            note_id=[str(number) for number in numbers.tolist()],
            texts=cells["text"] if keep.all() else cells["text"].filter(keep),
        )

    def _reasons(
        self, cells: Mapping[str, Any], hadm: Integers, addendum: NDArray[np.bool_]
    ) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Why notes are left out, in the order in which they are counted."""
        yield "blank", hadm < 0
        if not self._options.caml_compatible:
            yield "error", _text(cells, "iserror", len(hadm)) == "1"
        if not self._options.addenda:
            yield "addenda", addendum
        yield "empty", is_blank(cells["text"])

    def _is_addendum(self, cells: Mapping[str, Any], count: int) -> NDArray[np.bool_]:
        return np.char.startswith(np.char.lower(_text(cells, "description", count)), "addendum")

    def _tell_of_notes(self, journal: Journal, rows: int, counts: Counter[str], collector: NoteCollector) -> None:
        journal.count(f"rows of {NOTES}", rows)
        journal.count("discharge summaries and addenda", counts["summaries"])
        journal.warn("discharge summaries without HADM_ID, left out", counts["blank"])
        journal.count("of them without HADM_ID, left out", counts["blank"])
        if self._options.caml_compatible:
            journal.decide("Notes marked ISERROR were kept, as CAML kept them.")
        else:
            journal.count("of them marked ISERROR, left out", counts["error"])
            journal.decide("Notes marked ISERROR=1 were left out (CAML and Edin keep them).")
        if not self._options.addenda:
            journal.count("of them addenda, left out", counts["addenda"])
        journal.count("of them without text, left out", counts["empty"])
        journal.count("of them with the text of another note of the admission, left out", collector.repeats)
        journal.decide(
            "The notes of an admission are its discharge summaries, then their addenda, each by date and ROW_ID, as "
            "separate notes with their text unchanged (CAML and Edin join them, lower-case them and drop punctuation)."
            if self._options.addenda
            else "Addenda were left out; CAML and Edin join them to the summary."
        )

    # --- codes ---

    def _read_codes(
        self, source: Source, vocabulary: Vocabulary, malformed: Counter[str], journal: Journal
    ) -> CodeRows:
        parts = list[CodeRows]()
        for kind in self._kinds:
            table = source.open(kind.table, _CODE_COLUMNS.values())
            rows = read_code_rows(table, _CODE_COLUMNS, {"": kind.system}, vocabulary, malformed)
            journal.count(f"rows of {kind.table}", table.rows)
            _compare_row_counts(journal, kind.table, table.rows, rows.hadm)
            parts.append(without_blanks(rows, kind.table, journal))
        journal.decide(
            "Codes were read as text: leading zeros stand, dots go by table (E codes after four characters). CAML read "
            "procedures as numbers and lost zeros."
        )
        return in_order_of_tables(parts)

    def _read_codes_as_caml(
        self, source: Source, with_note: Integers, vocabulary: Vocabulary, journal: Journal
    ) -> tuple[CodeRows, Integers]:
        hadms, codes, systems = list[Integers](), list[str](), list[str]()
        for kind in self._kinds:
            table = source.open(kind.table, _CODE_COLUMNS.values())
            raw, hadm, blanks = _raw_codes(table.records())
            journal.count(f"rows of {kind.table}", table.rows)
            _compare_row_counts(journal, kind.table, table.rows, hadm)
            read = caml_first_reading(raw, diagnosis=kind.name == "diagnoses", blanks_elsewhere=blanks)
            inside = np.isin(hadm, with_note)
            hadms.append(hadm[inside])
            codes += [code for code, wanted in zip(read, inside.tolist(), strict=True) if wanted]
            systems += [kind.system] * int(inside.sum())
        hadm, labels = np.concatenate(hadms), caml_second_reading(codes)
        numbers = [vocabulary.number(*pair) if pair[0] else -1 for pair in zip(labels, systems, strict=True)]
        rows = CodeRows(hadm, np.arange(len(hadm)), np.array(numbers, dtype=np.int32))
        journal.decide(
            "CAML's published label space: its loss of zeros in procedure codes is repeated on purpose, so that 04.07 "
            "is 40.7 and 39.50 may be 39.5. Many such labels are no codes; use it only to compare with CAML's scores."
        )
        return rows.where(rows.code >= 0), np.unique(hadm)


def _raw_codes(batches: Iterator[Records]) -> tuple[list[str], Integers, bool]:
    """The codes of a table as written, their admissions, and whether its other columns have blanks."""
    codes, hadms, blanks = list[str](), list[Integers](), False
    for records in batches:
        hadms.append(records.numbers("hadm_id"))
        blanks = blanks or bool((records.numbers("seq_num") < 0).any())
        codes += [code.strip() for code in records.columns["icd9_code"].to_pylist()]
    return codes, np.concatenate(hadms or [np.empty(0, np.int64)]), blanks


def _text(cells: Mapping[str, Any], column: str, count: int) -> NDArray[np.str_]:
    """A column as an array of trimmed strings; empty ones where the table lacks the column."""
    if column not in cells:
        return np.full(count, "")
    return np.array([cell.strip() for cell in cells[column].to_pylist()], dtype=np.str_)


def _compare_row_counts(journal: Journal, table: str, rows: int, hadm: Integers) -> None:
    """Tell where a table of the real release has not the rows it should have; a simulation's ids lie elsewhere."""
    expected = _RELEASE_ROWS[table]
    if rows != expected and _is_real(hadm):
        message = f"rows that {table} has more or fewer than the {expected:,} of MIMIC-III v1.4"
        journal.warn(message, abs(rows - expected))


def _is_real(hadm: Integers) -> bool:
    known = hadm[hadm >= 0]
    return bool(len(known)) and _REAL_HADM[0] <= int(known.min()) and int(known.max()) <= _REAL_HADM[1]
