"""How numbers lie: mean, quantiles and ends, with their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Distribution:
    """Mean, quantiles, least and most of some numbers; all 0 where there are none."""

    mean: float
    minimum: float
    percentile_5: float
    percentile_25: float
    median: float
    percentile_75: float
    percentile_95: float
    maximum: float

    @staticmethod
    def of(values: NDArray[Any]) -> Distribution:
        """Describe an array of numbers."""
        if not len(values):
            return Distribution(*[0.0] * 8)
        quantiles = np.percentile(values, [0, 5, 25, 50, 75, 95, 100])
        return Distribution(float(np.mean(values)), *(float(one) for one in quantiles))
