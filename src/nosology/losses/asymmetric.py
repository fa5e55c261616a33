"""Asymmetric losses: positives and negatives have exponents of their own, and easy negatives count nothing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nosology.losses.base import CellLoss, Cells, LabelTable, Reduction
from nosology.losses.facts import Ints
from nosology.losses.formulas import negative_log, power, power_weights, shifted, softplus


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

    def positive(self, logits: Tensor, cells: Cells) -> Tensor:
        """See ``CellLoss``."""
        return softplus(-logits) * self.focus(torch.sigmoid(-logits), self.gamma_positive)

    def negative(self, logits: Tensor, cells: Cells) -> Tensor:
        """See ``CellLoss``."""
        probabilities = shifted(logits, self.margin)
        return negative_log(probabilities, logits, self.margin) * self.focus(probabilities, self.gamma_negative)

    def focus(self, base: Tensor, exponent: float) -> Tensor:
        """The power of what is wrong with a cell."""
        return power(base.detach() if self.detach_focus else base, exponent)


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

    def positive(self, logits: Tensor, cells: Cells) -> Tensor:
        """See ``CellLoss``."""
        missed = torch.sigmoid(-logits)
        polynomial = softplus(-logits) - self.first * missed - self.second / 2 * missed * missed
        return polynomial * self.focus(missed, self.gamma_positive)

    def negative(self, logits: Tensor, cells: Cells) -> Tensor:
        """See ``CellLoss``."""
        probabilities = torch.sigmoid(logits)
        above = torch.relu(probabilities - self.margin) if self.margin else probabilities
        value = negative_log(above, logits, self.margin)
        if self.third:
            value = value - self.third * (1 - above)
        hill = (self.lam - probabilities) * probabilities * probabilities * (self.lam - 1 + above)
        return value * hill * self.focus(above, self.gamma_negative)


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

    def positive(self, logits: Tensor, cells: Cells) -> Tensor:
        """See ``CellLoss``."""
        return cells.of_label("modifier") * super().positive(logits, cells)

    def negative(self, logits: Tensor, cells: Cells) -> Tensor:
        """See ``CellLoss``."""
        modifier = cells.of_label("modifier")
        probabilities = shifted(logits, self.margin)
        value = modifier * negative_log(probabilities, logits, self.margin)
        if self.detach_focus:
            return value * power_weights(probabilities, self.gamma_negative + modifier)
        return value * probabilities.clamp(min=1e-12) ** (self.gamma_negative + modifier)
