"""Categories of codes: the first three characters in ICD-10-CM and ICD-9-CM; section, system and operation in PCS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CATEGORY = 3


def number_categories(codes: Sequence[str]) -> NDArray[np.int64]:
    """A number for the category of each code, equal where the categories are: int64 ``[code]``."""
    number_of = dict[str, int]()
    return np.array([number_of.setdefault(code[:CATEGORY], len(number_of)) for code in codes], dtype=np.int64)
