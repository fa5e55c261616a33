"""What the layouts of MIMIC-III and MIMIC-IV share: tables, rows of a chart, and evidence in MDACE's form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from nosology.codes import open_code_system
from nosology.codes.formats import compact_code
from nosology.corpora.simulation.release.charts import Chart, Charts, Document
from nosology.corpora.simulation.world import unit

_UNLISTED_SHARE = 0.026  # of MIMIC-III's diagnosis rows, those whose code D_ICD_DIAGNOSES lacks (its demo tables)
_ALWAYS_LISTED = 100
MDACE_SYSTEMS = {"icd9cm": "ICD-9-CM", "icd9proc": "ICD-9-PCS", "icd10cm": "ICD-10-CM", "icd10pcs": "ICD-10-PCS"}


class Table(NamedTuple):
    """A file of a release: its path without ``.csv``, its header line, and the table whose end it is, if any."""

    path: str
    header: str
    continues: str = ""


class Placed(NamedTuple):
    """A document as it is written: the id that evidence names it by."""

    note_id: int | str
    document: Document


class ChartRows(NamedTuple):
    """What one chart adds to a release: lines by table, and its documents."""

    hadm_id: int
    lines: Mapping[str, str]
    documents: Sequence[Placed]


class Layout(Protocol):
    """How a release writes its tables."""

    @property
    def tables(self) -> Sequence[Table]:
        """The tables that charts add lines to."""
        ...

    def dictionaries(self) -> Iterator[tuple[Table, Iterator[str]]]:
        """The tables of codes and titles, with their lines."""
        ...

    def write(self, part: int, chart: Chart) -> ChartRows:
        """The lines of a chart of one of the parts."""
        ...


def evidence_of(rows: ChartRows) -> dict[str, object] | None:
    """A chart's evidence in MDACE's form; None where no document has any."""
    notes = [_note(placed) for placed in rows.documents if placed.document.marks]
    return {"hadm_id": rows.hadm_id, "comment": "", "notes": notes} if notes else None


def _note(placed: Placed) -> dict[str, object]:
    document = placed.document
    return {
        "note_id": placed.note_id,
        "category": document.category,
        "description": document.description,
        "annotations": [
            {
                "begin": mark.start,
                "end": mark.end,
                "code": mark.code,
                "code_system": MDACE_SYSTEMS[mark.system],
                "description": title_of(mark.system, mark.code),
                "type": "Human",
            }
            for mark in document.marks
        ],
    }


def evidence_line(evidence: Mapping[str, object]) -> str:
    """One chart as one line of JSON."""
    return json.dumps(evidence, ensure_ascii=False)


_TITLES: dict[str, dict[str, str]] = {}


def title_of(system: str, code: str) -> str:
    """A code's title, from a table that is read once."""
    if system not in _TITLES:
        _TITLES[system] = {code: title for code, title, billable in open_code_system(system).entries() if billable}
    return _TITLES[system].get(code, "")


def unlisted(parts: Iterable[Charts]) -> frozenset[str]:
    """Codes in use that the release's own table of codes lacks, as real ones do; none of the most frequent."""
    return frozenset(
        code.code
        for part in parts
        for code in part.simulation.world.codes[_ALWAYS_LISTED:]
        if unit("unlisted", code.system, code.code) < _UNLISTED_SHARE
    )


def listed_codes(system: str, without: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The billable codes of a system without their dots, and their titles."""
    title_of(system, "")
    for code, title in _TITLES[system].items():
        if code not in without:
            yield compact_code(code, system), title


def quoted(text: str) -> str:
    """A text field in quotation marks, those inside it doubled."""
    return '"' + text.replace('"', '""') + '"'
