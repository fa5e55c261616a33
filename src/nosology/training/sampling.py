"""Which encounters an epoch reads, and how often: so that rare codes are met more often than they occur.

What is drawn depends on labels, seed and epoch alone, so that a run that was stopped finds its place again.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from nosology.config.trainer import TrainerConfig
from nosology.preprocessing.batching import Ints, Ragged

_SAMPLING = 1
"""Parts these draws from those of the order, which has the same seed and epoch."""


def sampled_rows(labels: Ragged, config: TrainerConfig, epoch: int) -> Ints | None:
    """The rows of one epoch, some several times, others not at all; ``None``: each once.

    Args:
        labels: label numbers of each encounter.
        config: ``sampling``, ``repeat_threshold`` and ``seed``.
        epoch: counted from 0.
    """
    if config.sampling == "plain":
        return None
    random = np.random.default_rng([config.seed, epoch, _SAMPLING])
    match config.sampling:
        case "repeat_factor":
            factors = repeat_factors(labels, config.repeat_threshold)
            # The part behind the point is a chance, so that the expectation is right.
            times = np.floor(factors + random.random(len(factors))).astype(np.int64)
            return np.repeat(np.arange(len(factors)), times)
        case "class_balanced":
            return _balanced(labels, random)
        case _:
            assert_never(config.sampling)


def repeat_factors(labels: Ragged, threshold: float) -> NDArray[np.float64]:
    """How often each encounter is repeated: the largest of its labels' max(1, sqrt(t / f_c)); 1 without labels.

    f_c is the share of encounters that carry label c.

    Reference: Gupta et al. 2019 (LVIS), arXiv:1908.03195, appendix B.

    Args:
        labels: label numbers of each encounter.
        threshold: t.
    """
    shares = np.bincount(labels.values) / max(1, len(labels))
    own = np.maximum(1.0, np.sqrt(threshold / np.maximum(shares, 1e-12)))
    factors = np.ones(len(labels))
    np.maximum.at(factors, _owners(labels), own[labels.values])
    return factors


def _balanced(labels: Ragged, random: np.random.Generator) -> Ints:
    """As many encounters as there are, each of a label drawn first, all labels alike; without labels, all once."""
    if not len(labels.values):
        return np.arange(len(labels))
    order = np.argsort(labels.values, kind="stable")
    owners, counts = _owners(labels)[order], np.bincount(labels.values)
    starts = np.cumsum(counts) - counts
    chosen = random.choice(np.flatnonzero(counts), len(labels))
    return owners[starts[chosen] + (random.random(len(labels)) * counts[chosen]).astype(np.int64)]


def _owners(labels: Ragged) -> Ints:
    """The encounter of each label."""
    return np.repeat(np.arange(len(labels)), labels.lengths)
