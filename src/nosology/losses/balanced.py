"""Focal loss and the losses that balance it: by the effective number of examples, by each encounter's other labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, assert_never

import numpy as np
import torch
from torch import Tensor

from nosology.losses.base import CellLoss, Cells, Positives, Reduction
from nosology.losses.cross_entropy import log_odds
from nosology.losses.curves import Curve, missed, surprise
from nosology.losses.facts import Ints
from nosology.losses.label_table import LabelTable

Weighting = Literal["by_class", "average_n", "average_w", "min_n"]


Variant = Literal["db", "r_fl", "ntr_fl", "db_0fl", "cb_ntr"]

PUBLISHED_SCALES: Mapping[Variant, float] = {"db": 1.0, "r_fl": 1.0, "ntr_fl": 0.5, "db_0fl": 0.5, "cb_ntr": 10.0}


def effective_weight(counts: Tensor, beta: float) -> Tensor:
    """(1 - beta) / (1 - beta^n), for n of 1 or more."""
    if not beta:
        return torch.ones_like(counts)
    return (1 - beta) / -torch.expm1(counts * float(np.log(beta)))


def encounter_weight(
    weighting: Weighting, counts: Tensor, rows: Tensor, values: Tensor, size: int, beta: float
) -> Tensor:
    """The class-balanced weight of each encounter, ``[batch]``, from its positives' counts.

    An encounter without a label counts as one whose labels all have the largest count known, so it weighs least.

    Args:
        weighting: how the positives' weights become one.
        counts: n_c of each positive, then, last, the largest of all labels.
        rows, values: of each positive, its encounter and target.
        size: encounters.
        beta: of the effective number.
    """
    most, own = counts[-1], counts[:-1]
    zeros = torch.zeros(size, dtype=counts.dtype, device=counts.device)
    total = zeros.index_add(0, rows, values)
    match weighting:
        case "by_class":
            raise ValueError("by_class has no weight of encounters")
        case "average_n":
            mean = zeros.index_add(0, rows, values * own) / total
            return effective_weight(torch.where(total > 0, mean, most), beta)
        case "average_w":
            mean = zeros.index_add(0, rows, values * effective_weight(own, beta)) / total
            return torch.where(total > 0, mean, effective_weight(most, beta))
        case "min_n":
            least = (zeros + most).scatter_reduce(0, rows, own, "amin")
            return effective_weight(least, beta)
        case _:
            assert_never(weighting)


class Focal(CellLoss):
    """Cross-entropy that looks away from what is easy.

        L+ = a (1 - p)^g (-log p)    L- = (1 - a) p^g (-log(1 - p))

    Args:
        alpha: a; 0.25 in the paper for images, 0.5 in BalancedLossNLP.
        gamma: g.
        reduction: over labels. The paper divides by the number of matched objects, which labels of notes have not.

    Reference: Lin et al. 2017, arXiv:1708.02002, eq. 5.
    """

    def __init__(self, *, alpha: float = 0.25, gamma: float = 2.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.alpha, self.gamma = alpha, gamma

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return missed(-logits, self.gamma) * self.alpha

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return missed(logits, self.gamma) * (1 - self.alpha)


class ClassBalanced(Focal):
    """Focal loss weighted by the effective number of examples.

        w = (1 - b) / (1 - b^n)    L = ``scale`` w focal

    with n = n_c ("by_class"), or one weight an encounter: of the mean n of its labels ("average_n"), the mean weight
    ("average_w"), or the rarest label ("min_n").

    Args:
        counts: n_c.
        beta: b. With 0.9 every n above 40 has the same weight: 0.999 to 0.9999 suit thousands of notes.
        weighting: see above.
        alpha, gamma: of the focal loss.
        scale: 5 in BalancedLossNLP.
        reduction: over labels.

    Reference: Cui et al. 2019, arXiv:1901.05555, eq. 6; the variants are those of BalancedLossNLP.
    Differs: a label without examples counts as one with one example (w = 1); an encounter without labels, where a mean
    is not defined, weighs as one with the commonest label.
    """

    def __init__(
        self,
        counts: Ints,
        *,
        beta: float = 0.9999,
        weighting: Weighting = "by_class",
        alpha: float = 0.5,
        gamma: float = 2.0,
        scale: float = 5.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(alpha=alpha, gamma=gamma, reduction=reduction)
        kept = np.maximum(counts, 1).astype(np.float64)
        weights = effective_weight(torch.from_numpy(kept), beta).numpy()
        self.table = LabelTable({"count": kept, "weight": weights})
        self.label_count, self.scale = len(counts), scale
        self.weighting: Weighting = weighting
        self.beta, self.most = beta, float(kept.max(initial=1.0))

    def look(self, logits: Tensor, positives: Positives, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See ``CellLoss``."""
        if self.weighting == "by_class":
            return {}
        own = labels["count"][positives.columns]
        counts = torch.cat([own, own.new_full((1,), self.most)])
        rows, values = positives.rows, positives.values
        return {"weight": encounter_weight(self.weighting, counts, rows, values, len(logits), self.beta)}

    def coefficients(self, labels: Mapping[str, Tensor], count: int) -> Tensor | None:
        """See ``CellLoss``."""
        if self.weighting != "by_class":
            return None
        return labels["weight"] / count if self.reduction == "mean" else labels["weight"]

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return self._weighted(super().positive(logits, cells), cells)

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return self._weighted(super().negative(logits, cells), cells)

    def _weighted(self, values: Curve, cells: Cells) -> Curve:
        return values if self.weighting == "by_class" else values * cells.of_encounter("weight")


class DistributionBalanced(CellLoss):
    """Distribution-balanced loss: weights that know of co-occurrence, and negatives that are tolerated.

        r_ic = (1 / n_c) / sum_{k: y_ik = 1} 1 / n_k      w_ic = A + sigmoid(B (r_ic - M))
        z~ = z + v_c,  v_c = -k log(N / n_c - 1)
        L+ = w a (1 - p~)^g log(1 + e^-z~)                       p~ = sigmoid(z~)
        L- = (w / l) (1 - a) q^g log(1 + e^(l z~))               q = sigmoid(l z~)

    Variants leave parts out: "r_fl" has w and the focal factors; "ntr_fl" v, l and focal; "db_0fl" w, v and l;
    "cb_ntr" class-balanced weights for w, v, l and focal.

    Args:
        counts, encounters: n_c and N.
        variant: see above.
        map_alpha, map_beta, map_mu: A, B, M.
        kappa: k.
        negative_scale: l.
        alpha, gamma: a and g.
        beta: of the class-balanced weights.
        scale: of the loss; ``None``: as published (1; 0.5 for "ntr_fl" and "db_0fl"; 10 for "cb_ntr").
        reduction: over labels.

    Reference: Wu et al. 2020, arXiv:2007.09654; for text Huang et al. 2021, arXiv:2109.04712, whose code this follows.
    Differs: n_c is kept half an encounter away from 0 and N in v_c and at 1 or more in r; an encounter without labels
    has r without bound, and so the largest weight, as in that code.
    """

    def __init__(
        self,
        counts: Ints,
        encounters: int,
        *,
        variant: Variant = "db",
        map_alpha: float = 0.1,
        map_beta: float = 10.0,
        map_mu: float = 0.05,
        kappa: float = 0.05,
        negative_scale: float = 2.0,
        alpha: float = 0.5,
        gamma: float = 2.0,
        beta: float = 0.9,
        scale: float | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        tolerant = variant != "r_fl"
        kept = torch.from_numpy(np.maximum(counts, 1).astype(np.float64))
        columns = {
            "inverse": (1 / kept).numpy(),
            "shift": kappa * log_odds(counts, encounters) * tolerant,
            "weight": effective_weight(kept, beta).numpy(),
        }
        whole = PUBLISHED_SCALES[variant] if scale is None else scale
        super().__init__(LabelTable(columns), len(counts), reduction=reduction, scale=whole)
        self.variant: Variant = variant
        self.map_alpha, self.map_beta, self.map_mu = map_alpha, map_beta, map_mu
        self.negative_scale = negative_scale if tolerant else 1.0
        self.has_focus = variant != "db_0fl"
        self.alpha, self.gamma = alpha, gamma

    def look(self, logits: Tensor, positives: Positives, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See ``CellLoss``."""
        inverse = labels["inverse"][positives.columns] * positives.values
        return {"rate": positives.by_encounter(inverse, len(logits)).clamp_(min=1e-30).reciprocal_()}

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return self._focused(-(logits + cells.of_label("shift"))) * self._weights(cells, self.alpha)

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        down = (logits + cells.of_label("shift")) * self.negative_scale
        return self._focused(down) * self._weights(cells, 1 - self.alpha, 1 / self.negative_scale)

    def _focused(self, wrong: Curve) -> Curve:
        """The cross-entropy of a logit that should be low, times its focus."""
        return missed(wrong, self.gamma) if self.has_focus else surprise(wrong)

    def _weights(self, cells: Cells, alpha: float, factor: float = 1.0) -> Tensor | float:
        factor *= alpha if self.has_focus else 1.0
        if self.variant == "cb_ntr":
            return cells.of_label("weight") * factor
        if self.variant == "ntr_fl":
            return factor
        rate = cells.of_encounter("rate")
        weights = smoothed_rate(cells.of_label("inverse"), rate, self.map_alpha, self.map_beta, self.map_mu)
        return weights.mul_(factor)


def smoothed_rate(inverse: Tensor, rate: Tensor, alpha: float, beta: float, mu: float) -> Tensor:
    """alpha + sigmoid(beta (r - mu)) with r = ``inverse`` x ``rate``."""
    return (inverse * (rate * beta)).sub_(beta * mu).sigmoid_().add_(alpha)
