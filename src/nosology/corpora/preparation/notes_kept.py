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
        self._seen: set[tuple[int, int, int]] = set()
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
        rows = NoteRows(hadm, subject, rank, time, number, ids, start, length)
        new = self._new(hadm, texts)
        self.repeats += len(new) - int(new.sum())
        self._parts.append(rows.at(new))

    def rows(self) -> NoteRows:
        """All notes taken, by patient, admission, rank, time and number."""
        joined = NoteRows(
            *(np.concatenate([getattr(part, name) for part in self._parts]) for name in NoteRows.__slots__)
        )
        joined = joined.at(np.argsort(joined.number, kind="stable"))
        keys = (joined.number, joined.time, joined.rank, joined.hadm, first_subjects(joined))
        return joined.at(np.lexsort(keys))

    def _new(self, hadm: Integers, texts: Any) -> NDArray[np.bool_]:
        new = np.ones(len(hadm), dtype=np.bool_)
        offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :]
        data = memoryview(texts.buffers()[2]) if len(hadm) else memoryview(b"")
        for index, admission in enumerate(hadm.tolist()):
            text = data[offsets[index] : offsets[index + 1]]
            key = (admission, len(text), hash(text.tobytes()))
            new[index] = key not in self._seen
            self._seen.add(key)
        return new


def first_subjects(rows: NoteRows) -> Integers:
    """For each note the patient of its admission's first note: an admission belongs to one patient."""
    _, first, inverse = np.unique(rows.hadm, return_index=True, return_inverse=True)
    return rows.subject[first[inverse]]
