"""Chunks that say nothing new: copies from a patient's earlier notes, and boilerplate of many patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.cleaning.chunks import Chunks
from nosology.config.cleaning import DuplicateRule

Bools = NDArray[np.bool_]

_LEAST_PATIENTS = 5
_ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True, eq=False)
class Duplicates:
    """One entry a chunk.

    Args:
        copied_from: the earlier chunk of the same patient that it copies, -1 for none; int64.
        boilerplate: bool.
    """

    copied_from: NDArray[np.int64]
    boilerplate: Bools

    @property
    def all(self) -> Bools:
        """Copies and boilerplate together."""
        return (self.copied_from >= 0) | self.boilerplate


def find_duplicates(
    chunks: Chunks, vectors: NDArray[np.float16], groups: NDArray[np.int64], nearest: NDArray[np.float32],
    rule: DuplicateRule, order: Sequence[int],
) -> Duplicates:  # fmt: skip
    """Look for copies within each patient's notes, and for what many patients' notes share.

    A copy lies in another note than its source: a note may repeat itself.

    Args:
        chunks: of all encounters.
        vectors: of ``chunks.texts``.
        groups: the patient of each encounter.
        nearest: of each text, the highest similarity to anything that a code is called.
        rule: what counts.
        order: positions of encounters, earliest first.
    """
    long = np.array([text.count(" ") + 1 >= rule.least_words for text in chunks.texts], dtype=np.bool_)[chunks.text]
    copied = np.full(len(chunks), -1, dtype=np.int64)
    place = np.empty(len(order), dtype=np.int64)
    place[np.asarray(order, dtype=np.int64)] = np.arange(len(order))
    asked = np.flatnonzero(long)
    patient = groups[chunks.encounter[asked]]
    sequence = asked[np.lexsort((asked, place[chunks.encounter[asked]], patient))]
    bounds = np.flatnonzero(np.diff(groups[chunks.encounter[sequence]])) + 1
    for own in np.split(sequence, bounds):
        copied[own] = _copies(chunks, vectors, own, rule.similarity)
    return Duplicates(copied, long & _boilerplate(chunks, groups, nearest, rule)[chunks.text])


def _copies(chunks: Chunks, vectors: NDArray[np.float16], own: NDArray[np.int64], least: float) -> NDArray[np.int64]:
    """The source of each of one patient's chunks, given in the order of time."""
    note = chunks.encounter[own] * (int(chunks.note.max(initial=0)) + 1) + chunks.note[own]
    found = np.full(len(own), -1, dtype=np.int64)
    if len(own) < 2 or (note[0] == note[-1] and len(np.unique(note)) < 2):
        return found
    states = vectors[chunks.text[own]].astype(np.float32)
    for start in range(0, len(own), _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(own)))
        alike = states[rows] @ states.T >= least
        alike &= (note[None, :] != note[rows][:, None]) & (np.arange(len(own))[None, :] < rows[:, None])
        has = alike.any(axis=1)
        found[rows[has]] = own[alike[has].argmax(axis=1)]
    return found


def _boilerplate(chunks: Chunks, groups: NDArray[np.int64], nearest: NDArray[np.float32], rule: DuplicateRule) -> Bools:
    """Of each text: do many patients' notes have it word for word, and no code is called anything like it."""
    pairs = np.unique(np.stack([chunks.text, groups[chunks.encounter]], axis=1), axis=0)
    patients = np.bincount(pairs[:, 0], minlength=len(chunks.texts))
    least = max(_LEAST_PATIENTS, rule.boilerplate_share * len(np.unique(groups)))
    return (patients >= least) & (nearest < rule.far_from_codes)
