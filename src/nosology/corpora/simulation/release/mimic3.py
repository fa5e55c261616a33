"""MIMIC-III's files: upper-case names, text fields always in quotation marks, a ROW_ID in every table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import numpy as np

from nosology.codes.formats import compact_code
from nosology.corpora.simulation.release.charts import ADDENDUM, NOTES_A_CHART, SUMMARY, Chart, Charts, Document
from nosology.corpora.simulation.release.layouts import ChartRows, Placed, Table, listed_codes, quoted, unlisted
from nosology.corpora.simulation.release.texts import wrapped

FIRST_SUBJECT_ID, FIRST_HADM_ID = 200_000, 400_000
"""Beyond the ids of the real MIMIC-III: no simulated admission is ever taken for a real one, by split ids say."""
_ERROR_SHARE, _ORPHAN_SHARE = 0.02, 0.15
_SHORT_TITLE = 24


def _header(*names: str) -> str:
    return ",".join(map(quoted, names)) + "\n"


_NOTE_COLUMNS = ("CHARTDATE", "CHARTTIME", "STORETIME", "CATEGORY", "DESCRIPTION", "CGID", "ISERROR", "TEXT")
_NOTES = Table("NOTEEVENTS", _header("ROW_ID", "SUBJECT_ID", "HADM_ID", *_NOTE_COLUMNS))
_OTHERS = Table("NOTEEVENTS-others", "", continues="NOTEEVENTS")  # summaries come first in the real file, too
_DIAGNOSES = Table("DIAGNOSES_ICD", _header("ROW_ID", "SUBJECT_ID", "HADM_ID", "SEQ_NUM", "ICD9_CODE"))
_PROCEDURES = Table("PROCEDURES_ICD", _DIAGNOSES.header)
_DICTIONARY = _header("ROW_ID", "ICD9_CODE", "SHORT_TITLE", "LONG_TITLE")


class Mimic3:
    """Writes charts in MIMIC-III's layout.

    Args:
        parts: one corpus, coded in ICD-9.
    """

    tables: Sequence[Table] = (_NOTES, _OTHERS, _DIAGNOSES, _PROCEDURES)

    def __init__(self, parts: Sequence[Charts]) -> None:
        (self._charts,) = parts
        self._seed = self._charts.simulation.config.seed
        diagnoses = self._charts.counts(diagnoses=True)
        procedures = self._charts.counts(diagnoses=False)
        rows = np.where(diagnoses + procedures == 0, 1, diagnoses)  # an admission without codes has one row of blanks
        self._diagnoses_before = np.cumsum(rows) - rows
        self._procedures_before = np.cumsum(procedures) - procedures

    def dictionaries(self) -> Iterator[tuple[Table, Iterator[str]]]:
        """D_ICD_DIAGNOSES and D_ICD_PROCEDURES; some codes in use are missing."""
        without = unlisted([self._charts])
        for name, system in (("D_ICD_DIAGNOSES", "icd9cm"), ("D_ICD_PROCEDURES", "icd9proc")):
            yield Table(name, _DICTIONARY), _dictionary_lines(system, without)

    def write(self, part: int, chart: Chart) -> ChartRows:
        """The rows of a chart."""
        who = f"{FIRST_SUBJECT_ID + chart.patient},{FIRST_HADM_ID + chart.index}"
        placed = [self._placed(chart, position) for position in range(len(chart.documents))]
        lines = {
            _DIAGNOSES.path: _code_lines(who, chart.diagnoses, "icd9cm", int(self._diagnoses_before[chart.index])),
            _PROCEDURES.path: _code_lines(who, chart.procedures, "icd9proc", int(self._procedures_before[chart.index])),
        }
        if not chart.diagnoses and not chart.procedures:
            lines[_DIAGNOSES.path] = f"{int(self._diagnoses_before[chart.index]) + 1},{who},,\n"
        random = Random(f"rows/{self._seed}/{chart.index}")
        for row in placed:
            table = (_NOTES if _is_summary(row.document) else _OTHERS).path
            lines[table] = lines.get(table, "") + _note_line(chart, row, random)
        return ChartRows(FIRST_HADM_ID + chart.index, lines, placed)

    def _placed(self, chart: Chart, position: int) -> Placed:
        document = chart.documents[position]
        row = chart.index * NOTES_A_CHART + position + 1
        before = 0 if _is_summary(document) else len(self._charts) * NOTES_A_CHART
        return Placed(before + row, document._replace(text=wrapped(document.text)))


def _is_summary(document: Document) -> bool:
    return document.kind in (SUMMARY, ADDENDUM)


def _code_lines(who: str, codes: Sequence[str], system: str, before: int) -> str:
    return "".join(
        f'{before + number},{who},{number},"{compact_code(code, system)}"\n'
        for number, code in enumerate(codes, start=1)
    )


def _note_line(chart: Chart, row: Placed, random: Random) -> str:
    document = row.document
    subject, hadm = FIRST_SUBJECT_ID + chart.patient, str(FIRST_HADM_ID + chart.index)
    day = chart.discharged.isoformat()
    if _is_summary(document):
        when = f"{day},,"
        end = ","
    else:
        hadm = "" if not document.marks and random.random() < _ORPHAN_SHARE else hadm
        when, end = _charted(document, chart.admitted.isoformat(), random)
    names = f"{quoted(document.category)},{quoted(document.description)}"
    return f"{row.note_id},{subject},{hadm},{when},{names},{end},{quoted(document.text)}\n"


def _charted(document: Document, day: str, random: Random) -> tuple[str, str]:
    """Dates, and who charted it and whether it was an error: what each kind of note has of them."""
    clock = f"{int(random.random() * 24):02d}:{int(random.random() * 60):02d}:00"
    if document.category == "ECG":
        return f"{day},,", ","
    if document.category in ("Radiology", "Echo"):
        return f"{day},{day} {clock},", ","
    error = "1" if random.random() < _ERROR_SHARE else ""
    return f"{day},{day} {clock},{day} {clock}", f"{14_000 + int(random.random() * 7_000)},{error}"


def _dictionary_lines(system: str, without: frozenset[str]) -> Iterator[str]:
    for row, (code, title) in enumerate(listed_codes(system, without), start=1):
        yield f'{row},"{code}",{quoted(title[:_SHORT_TITLE].rstrip())},{quoted(title)}\n'
