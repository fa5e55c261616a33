"""From rows of codes to the labels of each admission: duplicates out, codes chosen by frequency, empty ones out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.corpora.preparation.code_rows import CodeRows
from nosology.corpora.preparation.runs import positions

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Labels:
    """The codes of every admission: those of admission ``i`` are ``codes[starts[i]:starts[i + 1]]``."""

    starts: Integers
    codes: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> Integers:
        return np.diff(self.starts)

    def of(self, index: int) -> list[int]:
        """The numbers of an admission's codes, the primary diagnosis first."""
        return self.codes[self.starts[index] : self.starts[index + 1]].tolist()

    def at(self, chosen: Integers) -> Labels:
        """Some admissions, in some order."""
        starts = np.concatenate([[0], np.cumsum(self.sizes[chosen])]).astype(np.int64)
        return Labels(starts, self.codes[positions(self.starts[chosen], self.sizes[chosen])])

    def with_codes(self, wanted: NDArray[np.bool_]) -> Labels:
        """Only some codes; ``wanted`` has a place for every code number."""
        keep = wanted[self.codes]
        before = np.concatenate([[0], np.cumsum(keep)])
        return Labels(before[self.starts].astype(np.int64), self.codes[keep])


def group_codes(rows: CodeRows, admission: Integers, count: int) -> tuple[Labels, int]:
    """The codes of each admission without duplicates, in the order of the tables and, in each, of position.

    Args:
        rows: without blanks.
        admission: the admission's number of each row.
        count: how many admissions there are.

    Returns:
        The labels, and how many duplicate rows were left out.
    """
    order = np.lexsort((rows.position, admission))
    admission, code = admission[order], rows.code[order]
    pairs = admission * (int(rows.code.max(initial=0)) + 1) + code
    first = np.sort(np.unique(pairs, return_index=True)[1])
    starts = np.concatenate([[0], np.cumsum(np.bincount(admission[first], minlength=count))]).astype(np.int64)
    return Labels(starts, code[first].astype(np.int32)), len(code) - len(first)


def choose_codes(counts: Integers, ties: Sequence[object], *, least: int, most: int) -> NDArray[np.bool_]:
    """Which codes are kept.

    Args:
        counts: of each code.
        ties: of codes of one count the smaller comes first.
        least: the least count.
        most: how many codes at most, the most frequent; 0 for all.
    """
    wanted = counts >= max(least, 1)
    if most and int(wanted.sum()) > most:
        ranked = sorted(np.flatnonzero(wanted).tolist(), key=lambda code: (-int(counts[code]), ties[code]))
        wanted = np.zeros_like(wanted)
        wanted[ranked[:most]] = True
    return wanted
