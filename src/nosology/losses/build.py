"""From a section of a recipe and the training labels to a loss: the one place where their options meet torch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, assert_never

from nosology.config.loss_terms import AsymmetricTermConfig, BceTermConfig, FocalTermConfig, TermConfig
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
    PlainLossConfig,
    RalConfig,
    RDropConfig,
    SegmentedHarmonicConfig,
    SplcConfig,
    ZlprConfig,
)
from nosology.losses.asymmetric import Asymmetric, MultiLabelFocalModifier, RobustAsymmetric
from nosology.losses.balanced import ClassBalanced, DistributionBalanced, Focal
from nosology.losses.base import CellLoss, Loss
from nosology.losses.cross_entropy import (
    BinaryCrossEntropy,
    CrossEntropy,
    LabelDistributionMargins,
    LogitAdjustment,
)
from nosology.losses.facts import LabelFacts
from nosology.losses.harmonised import GradientHarmonised
from nosology.losses.hierarchical import HierarchicalConsistency, number_from_the_top
from nosology.losses.missing import Hill, SelfPacedCorrection
from nosology.losses.ranking import ZeroBoundedRanking
from nosology.losses.segmentation import Segmentation, segment_labels
from nosology.losses.segmented import SegmentedHarmonic
from nosology.losses.wrapped import ContrastiveAlignment, RDrop


def build_loss(config: LossConfig, facts: LabelFacts, segmentation: Segmentation | None = None) -> Loss:
    """Make a loss.

    Args:
        config: which, with its options.
        facts: of the training labels.
        segmentation: that a segmented loss takes instead of making its own.

    Raises:
        ConfigError: something that it needs is missing.
        ModelError: the segmentation is of another label space.
    """
    match config:
        case RDropConfig():
            return RDrop(_plain(config.base, facts, segmentation), weight=config.weight, over=config.over)
        case HierarchicalConfig():
            base = _plain(config.base, facts, segmentation)
            paths = facts.known_paths('a loss of kind "hierarchical"')
            return HierarchicalConsistency(
                base, number_from_the_top(facts.labels, paths, config.levels), weight=config.weight
            )
        case ContrastiveConfig():
            base = _plain(config.base, facts, segmentation)
            return ContrastiveAlignment(base, weight=config.weight, temperature=config.temperature)
        case _:
            return _plain(config, facts, segmentation)


def segments_of(loss: Loss) -> Segmentation | None:
    """The segments that a loss weighs by, if it does."""
    inner = getattr(loss, "base", None)
    if isinstance(loss, SegmentedHarmonic):
        return loss.segmentation
    return segments_of(inner) if isinstance(inner, Loss) else None


def _plain(config: PlainLossConfig, facts: LabelFacts, segmentation: Segmentation | None) -> Loss:
    counts, encounters, options = facts.counts, facts.encounters, _options(config)
    match config:
        case BceConfig():
            return BinaryCrossEntropy(counts=counts, encounters=encounters, **options)
        case FocalConfig():
            return Focal(**options)
        case ClassBalancedConfig():
            return ClassBalanced(counts, **options)
        case DistributionBalancedConfig():
            return DistributionBalanced(counts, encounters, **options)
        case AsymmetricConfig():
            return Asymmetric(**options)
        case HillConfig():
            return Hill(**options)
        case SplcConfig():
            return SelfPacedCorrection(**options)
        case RalConfig():
            return RobustAsymmetric(**options)
        case MfmConfig():
            return MultiLabelFocalModifier(counts, **options)
        case GhmConfig():
            return GradientHarmonised(**options)
        case LdamConfig():
            return LabelDistributionMargins(counts, **options)
        case LogitAdjustmentConfig():
            return LogitAdjustment(counts, encounters, **options)
        case ZlprConfig():
            return ZeroBoundedRanking()
        case SegmentedHarmonicConfig():
            return _segmented(config, facts, segmentation)
        case _:
            assert_never(config)


def _options(config: Any) -> dict[str, Any]:
    """The section's fields are the keyword arguments of its class."""
    return {name: value for name, value in asdict(config).items() if name != "kind"}


def _segmented(
    config: SegmentedHarmonicConfig, facts: LabelFacts, segmentation: Segmentation | None
) -> SegmentedHarmonic:
    if segmentation is None:
        segmentation = segment_labels(facts, config.segmentation)
    segmentation.check(facts.labels)
    options = {name: value for name, value in _options(config).items() if name not in ("base", "segmentation")}
    return SegmentedHarmonic(segmentation, build_term(config.base), **options)


def build_term(config: TermConfig) -> CellLoss:
    """The base term of a segmented loss: L+ and L- without any weight."""
    match config:
        case BceTermConfig():
            return CrossEntropy()
        case FocalTermConfig():
            return Asymmetric(gamma_positive=config.gamma, gamma_negative=config.gamma, margin=0.0, detach_focus=False)
        case AsymmetricTermConfig():
            return Asymmetric(
                gamma_positive=config.gamma_positive,
                gamma_negative=config.gamma_negative,
                margin=config.margin,
                detach_focus=config.detach_focus,
            )
        case _:
            assert_never(config)
