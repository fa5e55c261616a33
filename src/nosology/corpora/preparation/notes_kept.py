"""The notes of a release that are kept: their keys in memory, their texts on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nosology.corpora.preparation.spill import TextSpill

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NoteRows:
    """Notes, one an index.

    Args:
        hadm: the admission.
        subject: the patient.
        rank: 0 for a report, 1 for what is added to one; the first order inside an admission.
        time: when it was charted, as text that sorts; the second order.
        number: the release's running number; the third.
        note_id: its id.
        start: where its text lies in the spill.
        length: of the text, in bytes.
    """

    hadm: Integers
    subject: Integers
    rank: NDArray[np.int8]
    time: NDArray[np.str_]
    number: Integers
    note_id: NDArray[np.object_]
    start: Integers
    length: Integers

    def __len__(self) -> int:
        return len(self.hadm)

    def at(self, order: NDArray[Any]) -> NoteRows:
        """Some notes, in some order."""
        return NoteRows(*(getattr(self, name)[order] for name in NoteRows.__slots__))


class NoteCollector:
    """Takes notes as they are read; leaves out those whose text the admission has already.

    Args:
        spill: takes the texts.
    """

    def __init__(self, spill: TextSpill) -> None:
        self.repeats = 0
        self._spill = spill
        self._parts: list[NoteRows] = []

    def add(
        self,
        *,
        hadm: Integers,
        subject: Integers,
        rank: NDArray[np.int8],
        time: NDArray[np.str_],
        number: Integers,
        note_id: Sequence[str],
        texts: Any,
    ) -> None:
        """Take some notes; ``texts`` is an arrow array of strings, all columns have its length."""
        start, length = self._spill.append(texts)
        ids = np.array(note_id, dtype=object)
        self._parts.append(NoteRows(hadm, subject, rank, time, number, ids, start, length))

    def rows(self) -> NoteRows:
        """All notes taken, by patient, admission, rank, time and number, each text once an admission."""
        joined = NoteRows(
            *(np.concatenate([getattr(part, name) for part in self._parts]) for name in NoteRows.__slots__)
        )
        joined = joined.at(np.argsort(joined.number, kind="stable"))
        keys = (joined.number, joined.time, joined.rank, joined.hadm, first_subjects(joined))
        joined = joined.at(np.lexsort(keys))
        new = self._new(joined)
        self.repeats = len(new) - int(new.sum())
        return joined.at(new)

    def _new(self, rows: NoteRows) -> NDArray[np.bool_]:
        """Which notes have a text that no earlier one of the admission has; only texts of one length are compared."""
        new = np.ones(len(rows), dtype=np.bool_)
        by_length = np.lexsort((np.arange(len(rows)), rows.length, rows.hadm))
        hadm, length = rows.hadm[by_length], rows.length[by_length]
        alike = np.flatnonzero((hadm[1:] == hadm[:-1]) & (length[1:] == length[:-1]))
        seen: set[tuple[int, str]] = set()
        for place in sorted({*alike.tolist(), *(alike + 1).tolist()}):
            index = int(by_length[place])
            text = self._spill.take([int(rows.start[index])], [int(rows.length[index])])[0].as_py()
            new[index] = (int(rows.hadm[index]), text) not in seen
            seen.add((int(rows.hadm[index]), text))
        return new


def first_subjects(rows: NoteRows) -> Integers:
    """For each note the patient of its admission's first note: an admission belongs to one patient."""
    _, first, inverse = np.unique(rows.hadm, return_index=True, return_inverse=True)
    return rows.subject[first[inverse]]
