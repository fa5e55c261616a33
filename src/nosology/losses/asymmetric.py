"""Asymmetric losses: positives and negatives have exponents of their own, and easy negatives count nothing."""

from __future__ import annotations

import numpy as np
import torch

from nosology.losses.base import CellLoss, Cells, Reduction
from nosology.losses.curves import Curve, hill, logistic, negative_log, probability, surprise
from nosology.losses.facts import Ints
from nosology.losses.label_table import LabelTable


class Asymmetric(CellLoss):
    """Asymmetric loss (ASL).

        L+ = (1 - p)^g+ (-log p)    L- = p_m^g- (-log(1 - p_m))    p_m = max(p - m, 0)

    Args:
        gamma_positive, gamma_negative: g+ and g-.
        margin: m.
        detach_focus: the powers pass no gradient, as in the authors' code.
        reduction: over labels; the authors add up over labels and batch.

    Reference: Ridnik et al. 2021, arXiv:2009.14119, eqs. 4-7; defaults of the authors' code.
    Differs from the code: the batch is averaged; logarithms are of logits, where the code cuts them at 1e-8.
    """

    def __init__(
        self,
        *,
        gamma_positive: float = 1.0,
        gamma_negative: float = 4.0,
        margin: float = 0.05,
        detach_focus: bool = True,
        reduction: Reduction = "sum",
    ) -> None:
        super().__init__(reduction=reduction)
        self.gamma_positive, self.gamma_negative, self.margin = gamma_positive, gamma_negative, margin
        self.detach_focus = detach_focus

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        probability, cost = logistic(-logits)
        return cost * self.focus(probability, self.gamma_positive)

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        above, cost = self.above(logits)
        return cost * self.focus(above, self.gamma_negative)

    def above(self, logits: Curve) -> tuple[Curve, Curve]:
        """p_m and -log(1 - p_m)."""
        if not self.margin:
            return logistic(logits)
        above = probability(logits).above(self.margin, masked=self._is_masked)
        return above, negative_log(above)

    @property
    def _is_masked(self) -> bool:
        """A constant focus is 0 where p_m is, and needs no mask on the slope."""
        return not (self.detach_focus and self.gamma_negative > 0)

    def focus(self, base: Curve, exponent: float) -> Curve:
        """The power of what is wrong with a cell."""
        return (base.constant() if self.detach_focus else base).power(exponent)


class RobustAsymmetric(Asymmetric):
    """Robust asymmetric loss (RAL): polynomial terms on the positives, the Hill term on the negatives.

        L+ = (1 - p)^g+ (-log p - e1 (1 - p) - e2 / 2 (1 - p)^2)
        L- = p_m^g- (-log q - e3 q) (l - p) p^2 (l - q)              q = 1 - p_m

    Args:
        epsilon_positive, epsilon_positive_squared, epsilon_negative: e1, e2, e3.
        lam: l.
        gamma_positive, gamma_negative, margin, detach_focus: as for ``Asymmetric``.
        reduction: over labels; the authors add up over labels and batch.

    Reference: Park et al. 2023, arXiv:2308.05542, and the authors' code.
    """

    def __init__(
        self,
        *,
        epsilon_positive: float = 1.0,
        epsilon_positive_squared: float = -2.5,
        epsilon_negative: float = 0.0,
        lam: float = 1.5,
        gamma_positive: float = 0.0,
        gamma_negative: float = 4.0,
        margin: float = 0.05,
        detach_focus: bool = True,
        reduction: Reduction = "sum",
    ) -> None:
        super().__init__(
            gamma_positive=gamma_positive,
            gamma_negative=gamma_negative,
            margin=margin,
            detach_focus=detach_focus,
            reduction=reduction,
        )
        self.first, self.second, self.third = epsilon_positive, epsilon_positive_squared, epsilon_negative
        self.lam = lam

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        missed, cost = logistic(-logits)
        polynomial = cost - missed * self.first - missed.power(2) * (self.second / 2)
        return polynomial * self.focus(missed, self.gamma_positive)

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        by_logit = probability(logits)
        whole = Curve(by_logit.value)  # slopes are by p until the end, where they are multiplied by p' once
        above = whole.above(self.margin, masked=self._is_masked)
        cost = negative_log(above) if self.margin else Curve(surprise(logits).value, 1 / (1 - whole.value))
        if self.third:
            cost = cost + above * self.third - self.third
        found = cost * hill(whole, self.lam) * ((above + (self.lam - 1)) * self.focus(above, self.gamma_negative))
        return Curve(found.value, found.slope * by_logit.slope)


class MultiLabelFocalModifier(Asymmetric):
    """MFM of COMIC: rare labels weigh more, and their easy negatives less.

        v_c = (1 - log(n_c / max n))^(1/6)
        L+ = v_c (1 - p)^g+ (-log p)    L- = v_c p_m^(g- + v_c) (-log(1 - p_m))

    Args:
        counts: n_c; a label without examples counts as one with one.
        power: 1/6.
        gamma_positive, gamma_negative, margin, detach_focus: as for ``Asymmetric``.
        reduction: over labels; the authors add up over labels and batch.

    Reference: Zhang et al. 2023 (COMIC), the authors' code.
    """

    def __init__(
        self,
        counts: Ints,
        *,
        power: float = 1 / 6,
        gamma_positive: float = 0.0,
        gamma_negative: float = 4.0,
        margin: float = 0.05,
        detach_focus: bool = True,
        reduction: Reduction = "sum",
    ) -> None:
        super().__init__(
            gamma_positive=gamma_positive,
            gamma_negative=gamma_negative,
            margin=margin,
            detach_focus=detach_focus,
            reduction=reduction,
        )
        kept = np.maximum(counts, 1)
        modifier = (1 - np.log(kept / kept.max(initial=1))) ** power
        self.table, self.label_count = LabelTable({"modifier": modifier}), len(counts)

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return super().positive(logits, cells) * cells.of_label("modifier")

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        modifier = cells.of_label("modifier")
        exponent = modifier + self.gamma_negative
        above, cost = self.above(logits)
        cost = cost * modifier
        if self.detach_focus:
            # Kept away from 0 and from what is no normal number, with which a CPU is slow.
            return cost * torch.exp(torch.log(above.value + 1e-20).mul_(exponent).clamp_(min=-60))
        kept = above.value.clamp(min=1e-12)
        return cost * Curve(kept**exponent, above.slope * exponent * kept ** (exponent - 1))
