"""A sparse matrix by rows in plain arrays, for look-ups at prediction time without importing scipy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from nosology.array_runs import ranges
from nosology.ranking.source import Arrays

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class Postings:
    """Row ``r`` holds ``values[i]`` in column ``columns[i]`` for ``i`` in ``pointers[r]..pointers[r + 1]``.

    Args:
        pointers: int64 ``[row + 1]``.
        columns: int32 ``[entry]``.
        values: float32 ``[entry]``.
        width: the number of columns.
    """

    pointers: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]
    width: int

    @staticmethod
    def of(matrix: csr_matrix) -> Postings:
        return Postings(
            matrix.indptr.astype(np.int64),
            matrix.indices.astype(np.int32),
            matrix.data.astype(np.float32),
            int(cast(Any, matrix).shape[1]),
        )

    def gather(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """The entries of some rows: which of ``rows`` each belongs to, its column, its value."""
        places, lengths = self._places(rows)
        owners = np.repeat(np.arange(len(rows)), lengths)
        return owners, self.columns.take(places, mode="clip"), self.values.take(places, mode="clip")

    def combine(self, rows: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """``weights @ matrix[rows]``, float64 ``[column]``."""
        places, lengths = self._places(rows)
        products = np.repeat(weights, lengths)
        products *= self.values.take(places, mode="clip")
        sums = np.bincount(self.columns.take(places, mode="clip"), weights=products, minlength=self.width)
        return sums.astype(np.float64, copy=False)

    def _places(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the entries of some rows stand, and how many each row has."""
        starts = self.pointers.take(rows)
        lengths = self.pointers.take(rows + 1) - starts
        return ranges(starts, lengths), lengths  # in bounds by construction: takes need not check ("clip")

    def state(self) -> Arrays:
        width = np.array([self.width], dtype=np.int64)
        return {"pointers": self.pointers, "columns": self.columns, "values": self.values, "width": width}

    @staticmethod
    def from_state(arrays: Arrays) -> Postings:
        return Postings(
            arrays["pointers"].astype(np.int64, copy=False),
            arrays["columns"].astype(np.int32, copy=False),
            arrays["values"].astype(np.float32, copy=False),
            int(arrays["width"].astype(np.int64)[0]),
        )
