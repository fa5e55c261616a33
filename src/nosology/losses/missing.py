"""Losses that expect missing labels: a negative of a high probability may be a positive that nobody wrote down."""

from __future__ import annotations

import torch

from nosology.losses.base import CellLoss, Cells, Reduction
from nosology.losses.curves import Curve, hill, missed, probability


class Hill(CellLoss):
    """Hill loss: the gradient of a negative falls again where its probability is high.

        L+ = (1 - p_m)^g (-log p_m),  p_m = sigmoid(z - m)    L- = (l - p) p^2

    Args:
        lam: l.
        margin: m.
        gamma: g.
        reduction: over labels; the authors add up over labels and batch.

    Reference: Zhang et al. 2021, arXiv:2112.07368, eqs. 6 and 9, and the authors' code.
    """

    def __init__(
        self, *, lam: float = 1.5, margin: float = 1.0, gamma: float = 2.0, reduction: Reduction = "sum"
    ) -> None:
        super().__init__(reduction=reduction)
        self.lam, self.margin, self.gamma = lam, margin, gamma

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return missed(-logits + self.margin, self.gamma)

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return hill(probability(logits), self.lam)


class SelfPacedCorrection(CellLoss):
    """SPLC: from some epoch on, negatives that the model is sure of are learnt as positives.

        L+ = (1 - p_m)^g (-log p_m),  p_m = sigmoid(z - m)    L- = p^g (-log(1 - p))
        from ``first_epoch`` on, where p > t:  L- = (1 - p)^g (-log p)

    Args:
        tau: t.
        first_epoch: counted from 0.
        margin: m.
        gamma: g.
        reduction: over labels; the authors add up over labels and batch.

    Reference: Zhang et al. 2021, arXiv:2112.07368, eq. 12, and the authors' code.
    """

    def __init__(
        self,
        *,
        tau: float = 0.6,
        first_epoch: int = 1,
        margin: float = 1.0,
        gamma: float = 2.0,
        reduction: Reduction = "sum",
    ) -> None:
        super().__init__(reduction=reduction)
        self.tau, self.first_epoch, self.margin, self.gamma = tau, first_epoch, margin, gamma
        self._epoch = 0

    def begin_epoch(self, number: int) -> None:
        """See ``Loss``."""
        self._epoch = number

    def identity(self) -> str:
        """See ``Loss``; the epoch is the trainer's."""
        return f"{type(self).__name__} {self.tau} {self.first_epoch} {self.margin} {self.gamma} {self.reduction}"

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return missed(-logits + self.margin, self.gamma)

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        if self._epoch < self.first_epoch:
            return missed(logits, self.gamma)
        # One formula for both, of z or of -z, instead of two and a choice.
        sign = torch.sign(self.tau - torch.sigmoid(logits.value))
        return missed(logits * sign, self.gamma)
