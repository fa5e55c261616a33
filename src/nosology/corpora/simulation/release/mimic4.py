"""MIMIC-IV's files: lower-case names, fields in quotation marks only where they need them, ICD-9 and ICD-10."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from nosology.codes.formats import compact_code
from nosology.corpora.simulation.release.charts import (
    ADDENDUM,
    NOTES_A_CHART,
    RADIOLOGY,
    SUMMARY,
    Chart,
    Charts,
    Document,
)
from nosology.corpora.simulation.release.layouts import ChartRows, Placed, Table, listed_codes, quoted, unlisted
from nosology.corpora.simulation.release.texts import with_blanks, wrapped

FIRST_SUBJECT_ID, FIRST_HADM_ID = 30_000_000, 40_000_000
"""Beyond the ids of the real MIMIC-IV: no simulated admission is ever taken for a real one, by split ids say."""
_PART_STEP = 1_000_000
_KINDS = {SUMMARY: "DS", ADDENDUM: "AD", RADIOLOGY: "RR"}
_VERSIONS = {"icd9cm": 9, "icd9proc": 9, "icd10cm": 10, "icd10pcs": 10}
_PROCEDURES_OF = {"icd9cm": "icd9proc", "icd10cm": "icd10pcs"}
_BEGINNING = " \nName:  ___                     Unit No:   ___\n \n"

_NOTE_HEADER = "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text\n"
_DISCHARGE = Table("note/discharge", _NOTE_HEADER)
_RADIOLOGY = Table("note/radiology", _NOTE_HEADER)
_DIAGNOSES = Table("hosp/diagnoses_icd", "subject_id,hadm_id,seq_num,icd_code,icd_version\n")
_PROCEDURES = Table("hosp/procedures_icd", "subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version\n")
_DICTIONARY = "icd_code,icd_version,long_title\n"


class Mimic4:
    """Writes charts in MIMIC-IV's layout.

    Args:
        parts: a corpus coded in ICD-9, one coded in ICD-10, or both.
    """

    tables: Sequence[Table] = (_DISCHARGE, _RADIOLOGY, _DIAGNOSES, _PROCEDURES)

    def __init__(self, parts: Sequence[Charts]) -> None:
        self._parts = parts

    def dictionaries(self) -> Iterator[tuple[Table, Iterator[str]]]:
        """d_icd_diagnoses and d_icd_procedures, both versions; some codes in use are missing."""
        without = unlisted(self._parts)
        systems = {"hosp/d_icd_diagnoses": ("icd9cm", "icd10cm"), "hosp/d_icd_procedures": ("icd9proc", "icd10pcs")}
        for name, both in systems.items():
            yield Table(name, _DICTIONARY), _dictionary_lines(both, without)

    def write(self, part: int, chart: Chart) -> ChartRows:
        """The rows of a chart."""
        subject = FIRST_SUBJECT_ID + part * _PART_STEP + chart.patient
        hadm = FIRST_HADM_ID + part * _PART_STEP + chart.index
        system = self._parts[part].system
        lines = {
            _DIAGNOSES.path: "".join(
                f"{subject},{hadm},{number},{_code(code, system)}\n"
                for number, code in enumerate(chart.diagnoses, start=1)
            ),
            _PROCEDURES.path: "".join(
                f"{subject},{hadm},{number},{_operated(chart, number)},{_code(code, _PROCEDURES_OF[system])}\n"
                for number, code in enumerate(chart.procedures, start=1)
            ),
        }
        placed: list[Placed] = []
        for position, document in enumerate(chart.documents):
            if document.kind in _KINDS:
                number = (chart.number - 1) * NOTES_A_CHART + position + 1
                row = Placed(f"{subject}-{_KINDS[document.kind]}-{number}", _as_printed(document))
                table = (_RADIOLOGY if document.kind == RADIOLOGY else _DISCHARGE).path
                lines[table] = lines.get(table, "") + _note_line(f"{subject},{hadm}", number, chart.discharged, row)
                placed.append(row)
        return ChartRows(hadm, lines, placed)


def _code(code: str, system: str) -> str:
    return f"{compact_code(code, system)},{_VERSIONS[system]}"


def _operated(chart: Chart, number: int) -> str:
    stay = (chart.discharged - chart.admitted).days
    return (chart.admitted + timedelta(days=(number - 1) % max(1, stay))).isoformat()


def _as_printed(document: Document) -> Document:
    printed = with_blanks(document, _BEGINNING if document.kind == SUMMARY else "")
    return printed._replace(text=wrapped(printed.text))


def _note_line(who: str, number: int, day: date, row: Placed) -> str:
    stored = day + timedelta(days=1)
    times = f"{day.isoformat()} 00:00:00,{stored.isoformat()} 15:26:00"
    return f"{row.note_id},{who},{_KINDS[row.document.kind]},{number},{times},{quoted(row.document.text)}\n"


def _dictionary_lines(systems: Sequence[str], without: frozenset[str]) -> Iterator[str]:
    for system in systems:
        for code, title in listed_codes(system, without):
            yield f"{code},{_VERSIONS[system]},{quoted(title) if ',' in title or chr(34) in title else title}\n"
