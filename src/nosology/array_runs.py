"""Runs of equal values and ranges of indices: on short arrays, faster than with ``numpy.diff``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def run_starts(values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The index of the first of each run of equal values."""
    begins = np.empty(len(values), dtype=np.bool_)
    begins[:1] = True
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return begins.nonzero()[0]


def run_ends(values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The index of the last of each run of equal values."""
    ends = np.empty(len(values), dtype=np.bool_)
    ends[-1:] = True
    np.not_equal(values[1:], values[:-1], out=ends[:-1])
    return ends.nonzero()[0]


def run_lengths(starts: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The length of each run.

    Args:
        starts: of the runs; the first is 0.
        count: of all values.
    """
    lengths = np.empty_like(starts)
    lengths[:-1] = starts[1:] - starts[:-1]
    lengths[-1:] = count - starts[-1:]
    return lengths


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """``start, start + 1, ...``, as many as each length says, one range after another."""
    after = lengths.cumsum()
    indices = np.arange(int(after[-1]) if len(after) else 0)
    indices += (starts + lengths - after).repeat(lengths)
    return indices
