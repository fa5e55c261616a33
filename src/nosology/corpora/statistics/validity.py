"""Codes that were not in force when the patient left: looked up in the release of the encounter's date.

De-identified dates (MIMIC shifts them into the 22nd century) and dates before the oldest table say nothing about
validity; encounters with such dates, or none, are counted as not checked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from nosology.codes import SYSTEMS, CodeSystem, open_code_system
from nosology.corpora.statistics.table import CorpusTable

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Validity:
    """How many occurrences of codes were checked against their date.

    Args:
        checked: (document, code) pairs with a date that a table covers.
        invalid: of those, pairs whose code the release in force lacks.
        invalid_codes: distinct codes among them.
        invalid_documents: distinct documents among them.
        examples: the most frequent invalid codes and how often they are so.
        undated: pairs of documents without a readable date.
        shifted: pairs of documents dated in the future, as de-identified ones are.
        uncovered: pairs dated before the oldest table, or of a system without one.
    """

    checked: int
    invalid: int
    invalid_codes: int
    invalid_documents: int
    examples: tuple[tuple[str, int], ...]
    undated: int
    shifted: int
    uncovered: int


def check_validity(table: CorpusTable, today: date | None = None) -> Validity:
    """Check every code against the date of its document.

    Args:
        table: the corpus.
        today: dates after it count as shifted; ``None`` = the day of the call.
    """
    today = today or datetime.now(UTC).date()
    days = [_day(written) for written in table.dates]
    checkers = {name: _Checker(open_code_system(name)) for name in set(table.systems) & set(SYSTEMS)}
    tally: Counter[str] = Counter()
    invalid: Counter[str] = Counter()
    documents: set[int] = set()
    for document in np.flatnonzero(np.diff(table.indptr)).tolist():
        labels = table.indices[table.indptr[document] : table.indptr[document + 1]].tolist()
        day = days[document]
        if day is None or day > today:
            tally["undated" if day is None else "shifted"] += len(labels)
            continue
        for label in labels:
            verdict = _verdict(checkers.get(table.systems[label]), table.codes[label], day)
            tally[verdict] += 1
            if verdict == "invalid":
                invalid[table.codes[label]] += 1
                documents.add(document)
    checked = tally["valid"] + tally["invalid"]
    return Validity(
        checked, tally["invalid"], len(invalid), len(documents), tuple(invalid.most_common(_EXAMPLES)),
        tally["undated"], tally["shifted"], tally["uncovered"],
    )  # fmt: skip


def _verdict(checker: _Checker | None, code: str, day: date) -> str:
    valid = None if checker is None else checker.is_valid(code, day)
    return "uncovered" if valid is None else "valid" if valid else "invalid"


class _Checker:
    """Asks a code system once per code and release instead of once per code and day."""

    def __init__(self, system: CodeSystem) -> None:
        self._system = system
        self._starts = [release.effective for release in system.releases]
        self._ends = sorted(release.last_day for release in system.releases if release.last_day is not None)
        self._known: dict[tuple[str, int, int], bool] = {}

    def is_valid(self, code: str, day: date) -> bool | None:
        """Whether the code was in force; ``None`` before the oldest release, or without any."""
        position = bisect_right(self._starts, day)
        if position == 0:
            return None
        key = (code, position, sum(end < day for end in self._ends))
        if key not in self._known:
            self._known[key] = self._system.is_valid(code, day)
        return self._known[key]


def _day(written: str) -> date | None:
    try:
        return date.fromisoformat(written[:10])
    except ValueError:
        return None
