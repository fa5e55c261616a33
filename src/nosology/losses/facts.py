"""What a loss may know of the training labels: which encounter carries which, and nothing of any other split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nosology.errors import ConfigError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Ints = NDArray[np.int64]
Paths = Sequence[Sequence[str]]
"""By label, the codes above it, nearest first."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelRows:
    """The label matrix of some encounters, sparse.

    Args:
        labels: the code of each column.
        columns: numbers of the labels that encounters carry, encounter behind encounter; no label twice in one.
        bounds: encounter ``i`` carries ``columns[bounds[i] : bounds[i + 1]]``.
    """

    labels: tuple[str, ...]
    columns: Ints
    bounds: Ints

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            raise ConfigError("the label list names a code twice; give each column its own code")
        if len(self.columns) and not 0 <= int(self.columns.min()) <= int(self.columns.max()) < len(self.labels):
            raise ConfigError(f"a label number lies outside 0..{len(self.labels) - 1}; number the labels anew")

    @staticmethod
    def of(labels: Sequence[str], rows: Sequence[Sequence[int]]) -> LabelRows:
        """From each encounter's label numbers; one that stands twice counts once."""
        parts = [sorted(set(row)) for row in rows]
        bounds = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        flat = [number for part in parts for number in part]
        return LabelRows(tuple(labels), np.array(flat, dtype=np.int64), bounds)

    @staticmethod
    def from_matrix(labels: Sequence[str], matrix: Any) -> LabelRows:
        """From a matrix [encounter, label] of scipy or NumPy; what is not 0 counts as carried.

        Raises:
            ConfigError: the matrix has another number of columns, or holds values that are no number.
        """
        from scipy.sparse import csr_matrix

        found: Any = csr_matrix(matrix)
        if found.shape[1] != len(labels):
            raise ConfigError(f"{found.shape[1]} columns do not fit {len(labels)} labels")
        if not np.isfinite(found.data).all():
            raise ConfigError("the label matrix holds values that are no number; write 0 where a label is not carried")
        found.sum_duplicates()
        found.eliminate_zeros()
        return LabelRows(tuple(labels), found.indices.astype(np.int64), found.indptr.astype(np.int64))

    @staticmethod
    def of_codes(labels: Sequence[str], encounters: Sequence[frozenset[str]]) -> LabelRows:
        """From each encounter's codes; those outside the labels are left out."""
        numbers = {code: number for number, code in enumerate(labels)}
        return LabelRows.of(labels, [[numbers[code] for code in own if code in numbers] for own in encounters])

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def counts(self) -> Ints:
        """Encounters with each label."""
        return np.bincount(self.columns, minlength=len(self.labels)).astype(np.int64)

    def matrix(self) -> csr_matrix:
        """Ones where a label is carried, ``[encounter, label]``."""
        from scipy.sparse import csr_matrix

        ones = np.ones(len(self.columns), dtype=np.float32)
        return csr_matrix((ones, self.columns, self.bounds), shape=(len(self), len(self.labels)))


@dataclass(frozen=True, slots=True, eq=False)
class LabelFacts:
    """What losses are made from.

    Args:
        rows: labels of the training encounters.
        paths: the codes above each label, nearest first; asked for where a loss or its segments follow the hierarchy.
    """

    rows: LabelRows
    paths: Callable[[], Paths] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return self.rows.labels

    @property
    def counts(self) -> Ints:
        return self.rows.counts

    @property
    def encounters(self) -> int:
        return len(self.rows)

    def known_paths(self, what: str) -> Paths:
        """The codes above each label.

        Raises:
            ConfigError: nobody told them.
        """
        if self.paths is None:
            raise ConfigError(f"{what} needs the codes above each label, which were not given")
        return self.paths()
