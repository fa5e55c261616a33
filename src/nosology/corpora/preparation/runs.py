"""Runs of positions in an array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def positions(starts: Integers, sizes: Integers) -> Integers:
    """All positions of several runs, one run after the other.

    >>> positions(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    moved = starts - np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return (np.repeat(moved, sizes) + np.arange(int(sizes.sum()))).astype(np.int64)
