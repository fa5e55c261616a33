"""Draws of groups: what scores would have been with other patients.

Whole groups (patients, articles) are drawn with replacement, because encounters of one group resemble each other; an
interval that drew encounters would be too narrow. Every statistic follows from sums over groups, so a replicate is a
row of group weights and all replicates are computed at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nosology.errors import ConfigError
from nosology.evaluation.judgements import Floats, Ints


@dataclass(frozen=True, slots=True)
class BootstrapPlan:
    """How to draw.

    Args:
        replicates: how many; 1,000 gives the ends of a 95 % interval to about a tenth of its width.
        seed: of the draw; the same seed and groups give the same replicates.
        level: of the intervals, between 0 and 1.

    Raises:
        ConfigError: a value is out of range.
    """

    replicates: int = 1000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.replicates < 1 or not 0 < self.level < 1:
            raise ConfigError(
                f"a bootstrap needs replicates >= 1 and 0 < level < 1, not {self.replicates} and {self.level}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """The group index of each encounter, and how often each replicate (row) drew each group (column)."""

    group_of: Ints
    weights: Floats

    @property
    def n_groups(self) -> int:
        return self.weights.shape[1]

    def whole(self) -> Draw:
        """One replicate that holds every group once: the data themselves."""
        return Draw(self.group_of, np.ones((1, self.n_groups)))


def draw_groups(groups: Sequence[str], plan: BootstrapPlan) -> Draw:
    """Draw as many groups as there are, with replacement, for each replicate.

    Args:
        groups: the group of each encounter.
        plan: how to draw.
    """
    names, group_of = np.unique(np.array(groups, dtype=np.str_), return_inverse=True)
    n = len(names)
    if not n:
        return Draw(group_of.astype(np.int64), np.zeros((plan.replicates, 0)))
    drawn = np.random.default_rng(plan.seed).multinomial(n, np.full(n, 1.0 / n), size=plan.replicates)
    return Draw(group_of.astype(np.int64), drawn.astype(np.float64))
