"""Every loss, small, beside its slow oracle: a new one joins by one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import oracles
from numpy.typing import NDArray

from nosology.config.loss_terms import AsymmetricTermConfig, FocalTermConfig, SegmentationConfig
from nosology.config.losses import (
    AsymmetricConfig,
    BceConfig,
    ClassBalancedConfig,
    ContrastiveConfig,
    DistributionBalancedConfig,
    FocalConfig,
    GhmConfig,
    HierarchicalConfig,
    HillConfig,
    LdamConfig,
    LogitAdjustmentConfig,
    LossConfig,
    MfmConfig,
    RalConfig,
    RDropConfig,
    SegmentedHarmonicConfig,
    SplcConfig,
    ZlprConfig,
)
from nosology.losses.base import Loss
from nosology.losses.build import build_loss
from nosology.losses.facts import LabelFacts, LabelRows

LABELS = tuple(f"{letter}{number:02d}.{digit}" for letter in "AB" for number in (1, 2) for digit in range(4))
Matrix = NDArray[np.float64]
Oracle = Callable[[Matrix, Matrix, "Known"], float]


@dataclass(frozen=True)
class Known:
    """What an oracle may use.

    Args:
        config: of the loss.
        counts, encounters: of the training labels.
        segment_of: of each label, where the loss has segments.
        paths: codes above each label, nearest first.
        focus_at: logits at which a detached focus is taken; ``None``: those of the call.
        epoch: that has begun.
    """

    config: Any
    counts: NDArray[np.int64]
    encounters: int
    segment_of: NDArray[np.int64] | None
    paths: list[list[str]]
    focus_at: Matrix | None = None
    epoch: int = 0


def label_rows(seed: int = 0, encounters: int = 60) -> LabelRows:
    """Long-tailed labels, the last without an example."""
    random = np.random.default_rng(seed)
    rates = np.append(0.5 / np.arange(1, len(LABELS)), 0.0)
    matrix = random.random((encounters, len(LABELS))) < rates
    matrix[0, :-1] = True
    return LabelRows.of(LABELS, [np.flatnonzero(row).tolist() for row in matrix])


def paths_of(labels: tuple[str, ...]) -> list[list[str]]:
    return [[label[:3], label[0]] for label in labels]


def facts(rows: LabelRows | None = None) -> LabelFacts:
    own = rows or label_rows()
    return LabelFacts(own, lambda: paths_of(own.labels))


def make(config: LossConfig, rows: LabelRows | None = None) -> Loss:
    return build_loss(config, facts(rows))


def batch(seed: int = 1, size: int = 5, spread: float = 2.0) -> tuple[Matrix, Matrix]:
    """Logits and targets of some encounters; one has no label, the last label is carried, too."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, spread, (size, len(LABELS)))
    targets = (random.random((size, len(LABELS))) < 0.25).astype(np.float64)
    targets[0] = 0
    targets[1, -1] = 1
    return logits, targets


SHL = SegmentedHarmonicConfig
SEGMENTS = SegmentationConfig(ratio=3.0)

TABLE: dict[str, tuple[LossConfig, Oracle]] = {
    "bce": (BceConfig(), oracles.bce),
    "bce summed": (BceConfig(reduction="sum"), oracles.bce),
    "bce smoothed, balanced": (BceConfig(smoothing=0.1, positive_weight=2.0, balance=0.5), oracles.bce),
    "bce weighted": (BceConfig(positive_weight=3.0), oracles.bce),
    "focal": (FocalConfig(), oracles.focal),
    "focal of a broken exponent": (FocalConfig(gamma=0.7), oracles.focal),
    "class balanced": (ClassBalancedConfig(beta=0.9), oracles.class_balanced),
    "class balanced, average n": (ClassBalancedConfig(beta=0.9, weighting="average_n"), oracles.class_balanced),
    "class balanced, average w": (ClassBalancedConfig(beta=0.9, weighting="average_w"), oracles.class_balanced),
    "class balanced, min n": (ClassBalancedConfig(beta=0.9, weighting="min_n"), oracles.class_balanced),
    "db": (DistributionBalancedConfig(), oracles.distribution_balanced),
    "r-fl": (DistributionBalancedConfig(variant="r_fl"), oracles.distribution_balanced),
    "ntr-fl": (DistributionBalancedConfig(variant="ntr_fl"), oracles.distribution_balanced),
    "db-0fl": (DistributionBalancedConfig(variant="db_0fl"), oracles.distribution_balanced),
    "cb-ntr": (DistributionBalancedConfig(variant="cb_ntr"), oracles.distribution_balanced),
    "asl": (AsymmetricConfig(), oracles.asymmetric),
    "asl, focus learns": (AsymmetricConfig(detach_focus=False), oracles.asymmetric),
    "asl without margin": (AsymmetricConfig(margin=0.0, reduction="mean"), oracles.asymmetric),
    "hill": (HillConfig(), oracles.hill),
    "splc": (SplcConfig(), oracles.splc),
    "splc from the start": (SplcConfig(first_epoch=0), oracles.splc),
    "ral": (RalConfig(), oracles.ral),
    "ral, focus learns": (RalConfig(detach_focus=False, epsilon_negative=0.3, gamma_positive=1.0), oracles.ral),
    "mfm": (MfmConfig(), oracles.mfm),
    "mfm, focus learns": (MfmConfig(detach_focus=False), oracles.mfm),
    "ghm": (GhmConfig(momentum=0.0), oracles.ghm),
    "ghm with momentum": (GhmConfig(), oracles.ghm),
    "ldam": (LdamConfig(scale=1.5), oracles.ldam),
    "logit adjustment": (LogitAdjustmentConfig(), oracles.logit_adjustment),
    "zlpr": (ZlprConfig(), oracles.zlpr),
    "shl": (SHL(segmentation=SEGMENTS), oracles.segmented),
    "shl, half the power": (SHL(alpha=0.5, segmentation=SEGMENTS), oracles.segmented),
    "shl, positives only": (SHL(positives_only=True, negative_weight=0.5, segmentation=SEGMENTS), oracles.segmented),
    "shl, summed": (SHL(reduction="sum", negative_weight=0.5, segmentation=SEGMENTS), oracles.segmented),
    "shl, focal": (SHL(base=FocalTermConfig(), segmentation=SEGMENTS), oracles.segmented),
    "shl, asymmetric": (SHL(base=AsymmetricTermConfig(), segmentation=SEGMENTS), oracles.segmented),
    "shl, instance": (SHL(reading="instance", segmentation=SEGMENTS), oracles.segmented),
    "shl, instance, positives only": (
        SHL(reading="instance", positives_only=True, base=FocalTermConfig(), segmentation=SEGMENTS),
        oracles.segmented,
    ),
    "shl by chapters": (SHL(segmentation=SegmentationConfig(method="hierarchy")), oracles.segmented),
    "r-drop": (RDropConfig(base=FocalConfig()), oracles.of_base),
    "r-drop over softmax": (RDropConfig(over="softmax"), oracles.of_base),
    "hierarchical": (HierarchicalConfig(), oracles.hierarchical),
    "hierarchical, one level, asl": (
        HierarchicalConfig(weight=0.5, levels=1, base=AsymmetricConfig()),
        oracles.hierarchical,
    ),
    "contrastive": (ContrastiveConfig(base=AsymmetricConfig()), oracles.of_base),
}
