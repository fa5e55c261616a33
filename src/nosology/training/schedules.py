"""The learning rate as a function of the step and of what was validated: nothing to keep in a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import assert_never

from nosology.config.trainer import TrainerConfig

_LOWER_IS_BETTER = ("ece", "brier")


def rate_share(config: TrainerConfig, step: int, total_steps: int, validated: Sequence[float] = ()) -> float:
    """The share of the highest learning rate that an update gets.

    Args:
        config: the schedule and its warm-up.
        step: the update's number, counted from 0.
        total_steps: updates of the whole training.
        validated: the metric at every validation so far.
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    match config.schedule:
        case "constant":
            return 1.0
        case "linear":
            return max(0.0, 1.0 - done)
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
        case "plateau":
            return config.plateau_factor ** stale_validations(config.metric, validated)
        case _:
            assert_never(config.schedule)


def is_better(metric: str, value: float, best: float) -> bool:
    """Whether a figure beats another; errors of calibration are better when lower."""
    return value < best if metric.rpartition(".")[2] in _LOWER_IS_BETTER else value > best


def stale_validations(metric: str, validated: Sequence[float]) -> int:
    """How many validations did not beat all before them."""
    return sum(best_at(metric, validated[: end + 1]) != end for end in range(len(validated)))


def since_best(metric: str, validated: Sequence[float]) -> int:
    """How many validations there were since the best."""
    return len(validated) - 1 - best_at(metric, validated) if validated else 0


def best_at(metric: str, validated: Sequence[float]) -> int:
    """Which validation was the best; the first of equals."""
    best = 0
    for number, value in enumerate(validated):
        if is_better(metric, value, validated[best]):
            best = number
    return best
