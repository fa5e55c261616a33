"""What a network's training minimises: one section for each loss.

The formulas, with their sources, stand in ``docs/losses.md`` and in the classes of ``nosology.losses``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nosology.config.loss_terms import BceTermConfig, SegmentationConfig, TermConfig, share
from nosology.config.rules import Check, Section, above, at_least, between, rule

Reduction = Literal["mean", "sum"]
"""Over the labels: their mean, or their sum. Over the encounters it is the mean always."""


def _if_above_0() -> dict[str, Check]:
    return rule(lambda value: None if value is None or value > 0 else f"{value!r} is not above 0")


# --- losses -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BceConfig(Section):
    """Binary cross-entropy.

    Args:
        kind: chooses this section.
        smoothing: targets are drawn so far from 0 and 1 towards 0.5.
        positive_weight: of positives; negatives weigh 1.
        balance: positives also weigh (negatives / positives of the label) to this power; 0 leaves it out.
        reduction: over labels.
    """

    kind: Literal["bce"] = "bce"
    smoothing: float = field(default=0.0, metadata=share())
    positive_weight: float = field(default=1.0, metadata=above(0))
    balance: float = field(default=0.0, metadata=between(0, 1))
    reduction: Reduction = "mean"


@dataclass(frozen=True, slots=True)
class FocalConfig(Section):
    """Focal loss (Lin et al. 2017).

    Args:
        kind: chooses this section.
        alpha: weight of positives; negatives have 1 - alpha.
        gamma: exponent of the focus.
        reduction: over labels.
    """

    kind: Literal["focal"] = "focal"
    alpha: float = field(default=0.25, metadata=between(0, 1))
    gamma: float = field(default=2.0, metadata=at_least(0))
    reduction: Reduction = "mean"


@dataclass(frozen=True, slots=True)
class ClassBalancedConfig(Section):
    """Class-balanced focal loss (Cui et al. 2019).

    Args:
        kind: chooses this section.
        beta: of the effective number of examples.
        weighting: by label, or by encounter: of the mean count, the mean weight, or the rarest of its labels.
        alpha, gamma: of the focal term.
        scale: of the loss.
        reduction: over labels.
    """

    kind: Literal["class_balanced"] = "class_balanced"
    beta: float = field(default=0.9999, metadata=share())
    weighting: Literal["by_class", "average_n", "average_w", "min_n"] = "by_class"
    alpha: float = field(default=0.5, metadata=between(0, 1))
    gamma: float = field(default=2.0, metadata=at_least(0))
    scale: float = field(default=5.0, metadata=above(0))
    reduction: Reduction = "mean"


@dataclass(frozen=True, slots=True)
class DistributionBalancedConfig(Section):
    """Distribution-balanced loss and its ablations (Wu et al. 2020; Huang et al. 2021).

    Args:
        kind: chooses this section.
        variant: "db" all parts; "r_fl" rebalanced focal; "ntr_fl" tolerant negatives and focal; "db_0fl" all but
            focal; "cb_ntr" class-balanced weights, tolerant negatives and focal.
        map_alpha, map_beta, map_mu: of the smoothed rebalancing weight.
        kappa: of the shift of logits by frequency.
        negative_scale: of the negatives' logits.
        alpha, gamma: of the focal term.
        beta: of class-balanced weights, for "cb_ntr".
        scale: of the loss; left out, the published one of the variant.
        reduction: over labels.
    """

    kind: Literal["distribution_balanced"] = "distribution_balanced"
    variant: Literal["db", "r_fl", "ntr_fl", "db_0fl", "cb_ntr"] = "db"
    map_alpha: float = field(default=0.1, metadata=at_least(0))
    map_beta: float = field(default=10.0, metadata=at_least(0))
    map_mu: float = field(default=0.05, metadata=at_least(0))
    kappa: float = field(default=0.05, metadata=at_least(0))
    negative_scale: float = field(default=2.0, metadata=above(0))
    alpha: float = field(default=0.5, metadata=between(0, 1))
    gamma: float = field(default=2.0, metadata=at_least(0))
    beta: float = field(default=0.9, metadata=share())
    scale: float | None = field(default=None, metadata=_if_above_0())
    reduction: Reduction = "mean"


@dataclass(frozen=True, slots=True)
class AsymmetricConfig(Section):
    """Asymmetric loss (Ridnik et al. 2021).

    Args:
        kind: chooses this section.
        gamma_positive, gamma_negative: exponents of the focus.
        margin: negatives below this probability count nothing.
        detach_focus: the focus passes no gradient, as in the authors' code.
        reduction: over labels.
    """

    kind: Literal["asymmetric"] = "asymmetric"
    gamma_positive: float = field(default=1.0, metadata=at_least(0))
    gamma_negative: float = field(default=4.0, metadata=at_least(0))
    margin: float = field(default=0.05, metadata=share())
    detach_focus: bool = True
    reduction: Reduction = "sum"


@dataclass(frozen=True, slots=True)
class HillConfig(Section):
    """Hill loss: negatives of a high probability are taken for missing labels (Zhang et al. 2021).

    Args:
        kind: chooses this section.
        lam: where the negatives' gradient comes back to 0.
        margin: taken off positive logits.
        gamma: exponent of the positives' focus.
        reduction: over labels.
    """

    kind: Literal["hill"] = "hill"
    lam: float = field(default=1.5, metadata=above(0))
    margin: float = field(default=1.0, metadata=at_least(0))
    gamma: float = field(default=2.0, metadata=at_least(0))
    reduction: Reduction = "sum"


@dataclass(frozen=True, slots=True)
class SplcConfig(Section):
    """Self-paced loss correction (Zhang et al. 2021).

    Args:
        kind: chooses this section.
        tau: negatives above this probability are learnt as positives.
        first_epoch: from which on, counted from 0.
        margin: taken off positive logits.
        gamma: exponent of the focus.
        reduction: over labels.
    """

    kind: Literal["splc"] = "splc"
    tau: float = field(default=0.6, metadata=between(0, 1))
    first_epoch: int = field(default=1, metadata=at_least(0))
    margin: float = field(default=1.0, metadata=at_least(0))
    gamma: float = field(default=2.0, metadata=at_least(0))
    reduction: Reduction = "sum"


@dataclass(frozen=True, slots=True)
class RalConfig(Section):
    """Robust asymmetric loss (Park et al. 2023).

    Args:
        kind: chooses this section.
        epsilon_positive, epsilon_positive_squared, epsilon_negative: of the polynomial terms.
        lam: of the Hill term.
        gamma_positive, gamma_negative, margin, detach_focus: as for the asymmetric loss.
        reduction: over labels.
    """

    kind: Literal["ral"] = "ral"
    epsilon_positive: float = 1.0
    epsilon_positive_squared: float = -2.5
    epsilon_negative: float = 0.0
    lam: float = field(default=1.5, metadata=above(0))
    gamma_positive: float = field(default=0.0, metadata=at_least(0))
    gamma_negative: float = field(default=4.0, metadata=at_least(0))
    margin: float = field(default=0.05, metadata=share())
    detach_focus: bool = True
    reduction: Reduction = "sum"


@dataclass(frozen=True, slots=True)
class MfmConfig(Section):
    """Multi-label focal modifier of COMIC (Zhang et al. 2023).

    Args:
        kind: chooses this section.
        power: of the modifier of rare labels.
        gamma_positive, gamma_negative, margin, detach_focus: as for the asymmetric loss.
        reduction: over labels.
    """

    kind: Literal["mfm"] = "mfm"
    power: float = field(default=1 / 6, metadata=at_least(0))
    gamma_positive: float = field(default=0.0, metadata=at_least(0))
    gamma_negative: float = field(default=4.0, metadata=at_least(0))
    margin: float = field(default=0.05, metadata=share())
    detach_focus: bool = True
    reduction: Reduction = "sum"


@dataclass(frozen=True, slots=True)
class GhmConfig(Section):
    """Gradient-harmonised classification loss, GHM-C (Li et al. 2019).

    Args:
        kind: chooses this section.
        bins: of the gradient's norm.
        momentum: of the counts of bins over batches; 0 takes each batch by itself.
        reduction: over labels.
    """

    kind: Literal["ghm"] = "ghm"
    bins: int = field(default=10, metadata=at_least(1))
    momentum: float = field(default=0.75, metadata=share())
    reduction: Reduction = "mean"


@dataclass(frozen=True, slots=True)
class LdamConfig(Section):
    """Label-distribution-aware margins (Cao et al. 2019), for many labels at once.

    Args:
        kind: chooses this section.
        most: the margin of the rarest label.
        scale: of the logits.
        reduction: over labels.
    """

    kind: Literal["ldam"] = "ldam"
    most: float = field(default=0.5, metadata=at_least(0))
    scale: float = field(default=1.0, metadata=above(0))
    reduction: Reduction = "mean"


@dataclass(frozen=True, slots=True)
class LogitAdjustmentConfig(Section):
    """Logits shifted by the log-odds of each label in training (Menon et al. 2021).

    Args:
        kind: chooses this section.
        tau: how far.
        reduction: over labels.
    """

    kind: Literal["logit_adjustment"] = "logit_adjustment"
    tau: float = field(default=1.0, metadata=at_least(0))
    reduction: Reduction = "mean"


@dataclass(frozen=True, slots=True)
class ZlprConfig(Section):
    """Zero-bounded log-sum-exp and pairwise ranking (Su et al. 2022).

    Args:
        kind: chooses this section.
    """

    kind: Literal["zlpr"] = "zlpr"


@dataclass(frozen=True, slots=True)
class SegmentedHarmonicConfig(Section):
    """Segmented Harmonic Loss, reconstructed from the abstract of arXiv:2310.04595.

    Args:
        kind: chooses this section.
        reading: of "harmonic": "class" weighs each label by the harmonic mean of its segment's frequencies; "instance"
            rebalances within the segments of each encounter's own labels.
        alpha: power of the weights; 0 leaves them out.
        positives_only: negatives are not weighted.
        negative_weight: of all negatives.
        map_alpha, map_beta, map_mu: of the smoothed weight of the reading "instance".
        reduction: over segments.
        base: the term that is weighted.
        segmentation: how labels are put into segments.
    """

    kind: Literal["segmented_harmonic"] = "segmented_harmonic"
    reading: Literal["class", "instance"] = "class"
    alpha: float = field(default=1.0, metadata=at_least(0))
    positives_only: bool = False
    negative_weight: float = field(default=1.0, metadata=at_least(0))
    map_alpha: float = field(default=0.1, metadata=at_least(0))
    map_beta: float = field(default=10.0, metadata=at_least(0))
    map_mu: float = field(default=0.05, metadata=at_least(0))
    reduction: Reduction = "mean"
    base: TermConfig = field(default_factory=BceTermConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)


PlainLossConfig = (
    BceConfig
    | FocalConfig
    | ClassBalancedConfig
    | DistributionBalancedConfig
    | AsymmetricConfig
    | HillConfig
    | SplcConfig
    | RalConfig
    | MfmConfig
    | GhmConfig
    | LdamConfig
    | LogitAdjustmentConfig
    | ZlprConfig
    | SegmentedHarmonicConfig
)
"""A loss of logits and targets alone."""


@dataclass(frozen=True, slots=True)
class RDropConfig(Section):
    """Two passes with different dropout that should agree (Liang et al. 2021).

    Args:
        kind: chooses this section.
        weight: of the disagreement.
        over: what is compared: each label's probability, or the softmax over labels.
        base: the loss of each pass.
    """

    kind: Literal["r_drop"] = "r_drop"
    weight: float = field(default=5.0, metadata=at_least(0))
    over: Literal["labels", "softmax"] = "labels"
    base: PlainLossConfig = field(default_factory=BceConfig)


@dataclass(frozen=True, slots=True)
class HierarchicalConfig(Section):
    """A loss of the labels and of the codes above them, which are as probable as their most probable label.

    Args:
        kind: chooses this section.
        weight: of the codes above.
        levels: nearest codes above a label that count; left out, all.
        base: the loss of the labels.
    """

    kind: Literal["hierarchical"] = "hierarchical"
    weight: float = field(default=1.0, metadata=at_least(0))
    levels: int | None = field(
        default=None, metadata=rule(lambda value: None if value is None or value >= 1 else f"{value!r} is below 1")
    )
    base: PlainLossConfig = field(default_factory=BceConfig)


@dataclass(frozen=True, slots=True)
class ContrastiveConfig(Section):
    """A loss of the labels, and notes drawn to the vectors of their labels.

    Args:
        kind: chooses this section.
        weight: of the alignment.
        temperature: of its softmax.
        base: the loss of the labels.
    """

    kind: Literal["contrastive"] = "contrastive"
    weight: float = field(default=0.1, metadata=at_least(0))
    temperature: float = field(default=0.1, metadata=above(0))
    base: PlainLossConfig = field(default_factory=BceConfig)


LossConfig = PlainLossConfig | RDropConfig | HierarchicalConfig | ContrastiveConfig


# --- decoupled training -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DecoupledConfig(Section):
    """The representation first, then the classifier again on balanced samples (Kang et al. 2020, cRT).

    Args:
        epochs: of the classifier, at most.
        learning_rate: of the classifier.
        sampling: of the classifier's encounters; see ``TrainerConfig``.
        fresh: the classifier starts anew; otherwise from what the representation's training left.
    """

    epochs: int = field(default=10, metadata=between(1, 10_000))
    learning_rate: float = field(default=1e-3, metadata=above(0))
    sampling: Literal["class_balanced", "repeat_factor", "plain"] = "class_balanced"
    fresh: bool = True
