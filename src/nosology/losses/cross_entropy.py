"""Losses that are a weighted binary cross-entropy of logits, shifted or not, in closed form."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nosology.errors import ConfigError
from nosology.losses.base import CellLoss, Cells, Positives, Reduction, bad_targets
from nosology.losses.curves import Curve, surprise
from nosology.losses.facts import Ints
from nosology.losses.label_table import LabelTable


def within(counts: Ints, encounters: int) -> NDArray[np.float64]:
    """Counts half an encounter away from none and from all, where a log-odds would be infinite."""
    return np.clip(counts.astype(np.float64), 0.5, encounters - 0.5)


def log_odds(counts: Ints, encounters: int) -> NDArray[np.float64]:
    """log(n / (N - n)), with n kept half an encounter away from 0 and N."""
    kept = within(counts, encounters)
    return np.log(kept / (encounters - kept))


class CrossEntropy(CellLoss):
    """L+ = log(1 + e^-(z + s_c)), L- = log(1 + e^(z + s_c)); without a column "shift" in its table, s = 0.

    Positives and negatives have the same weight here, so that it is log(1 + e^z) - y z, and its gradient p - y.
    """

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return surprise(-_moved(logits, cells))

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return surprise(_moved(logits, cells))

    def loss(self, logits: Tensor, targets: Tensor, labels: Tensor | None) -> Tensor:
        """See ``Loss``."""
        own = self.table.take(labels, logits.device, torch.promote_types(logits.dtype, torch.float32))
        factor = 1.0 if self.reduction == "sum" else 1.0 / max(1, logits.shape[1])
        return even_cross_entropy(logits, targets, None, factor * self.scale, own.get("shift"))


def _moved(logits: Curve, cells: Cells) -> Curve:
    return logits + cells.of_label("shift") if "shift" in cells.labels else logits


def even_cross_entropy(
    logits: Tensor, targets: Tensor, coefficients: Tensor | None, factor: float, shift: Tensor | None = None
) -> Tensor:
    """``factor`` times the sum over labels, and mean over encounters, of k_c (log(1 + e^z) - y z).

    Args:
        logits, targets: ``[batch, label]``.
        coefficients: k ``[label]``; ``None``: 1.
        factor: of the whole.
        shift: of each label's logits.

    Raises:
        ConfigError: targets that are no number from 0 to 1.
    """
    if not logits.numel():
        return logits.sum()
    _check(targets)
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    moved = precise if shift is None else precise + shift
    factor /= len(logits)
    weight = None if coefficients is None else coefficients * factor
    total = functional.binary_cross_entropy_with_logits(moved, targets.to(moved.dtype), weight, reduction="sum")
    return total * factor if coefficients is None else total


def _check(targets: Tensor) -> None:
    flat = targets.reshape(-1)
    if flat.is_floating_point() and float(flat @ flat) == float(flat.sum()) <= len(flat):
        return  # zeros and ones; what lies beside them makes the squares add up otherwise, and NaN equals nothing
    good = (targets >= 0) & (targets <= 1)
    if not bool(good.all()):
        raise bad_targets(int((~good).sum()))


class BinaryCrossEntropy(CrossEntropy):
    """Binary cross-entropy, with label smoothing and weights of positives if wanted.

        L+ = w_c log(1 + e^-z)    L- = log(1 + e^z)    y' = y (1 - e) + e / 2

    with w_c = ``positive_weight`` ((N - n_c) / n_c)^``balance``.

    Example:
        >>> loss = BinaryCrossEntropy()
        >>> round(float(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))), 4)
        0.6931

    Args:
        smoothing: e, in [0, 1).
        positive_weight: of positives.
        balance: in [0, 1].
        counts: n_c, where ``balance`` is above 0.
        encounters: N.
        reduction: "mean" (usual) or "sum" over labels.

    Differs from the usual: n_c is kept half an encounter away from 0 and N, so that labels without examples and labels
    of every encounter have a finite weight.
    """

    def __init__(
        self,
        *,
        smoothing: float = 0.0,
        positive_weight: float = 1.0,
        balance: float = 0.0,
        counts: Ints | None = None,
        encounters: int = 0,
        reduction: Reduction = "mean",
    ) -> None:
        columns = dict[str, NDArray[np.float64]]()
        if balance:
            if counts is None:
                raise ConfigError("balance needs the counts of labels")
            columns["weight"] = positive_weight * np.exp(-balance * log_odds(counts, encounters))
        super().__init__(LabelTable(columns), len(counts) if columns and counts is not None else 0, reduction=reduction)
        self.smoothing, self.balance, self.positive_weight = smoothing, balance, positive_weight

    def loss(self, logits: Tensor, targets: Tensor, labels: Tensor | None) -> Tensor:
        """See ``Loss``; what is not weighted has a closed form."""
        weighted = self.balance or self.positive_weight != 1
        return CellLoss.loss(self, logits, targets, labels) if weighted else self._plain(logits, targets, labels)

    def _plain(self, logits: Tensor, targets: Tensor, labels: Tensor | None) -> Tensor:
        if self.smoothing and logits.numel():
            Positives.of(targets)
            targets = targets * (1 - self.smoothing) + self.smoothing / 2
        return super().loss(logits, targets, labels)

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        share = self.smoothing / 2
        return self._of_1(logits, cells) * (1 - share) + surprise(logits) * share

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        share = self.smoothing / 2
        return surprise(logits) * (1 - share) + self._of_1(logits, cells) * share if share else surprise(logits)

    def _of_1(self, logits: Curve, cells: Cells) -> Curve:
        return surprise(-logits) * (cells.of_label("weight") if self.balance else self.positive_weight)


class LogitAdjustment(CrossEntropy):
    """Cross-entropy of logits that are shifted by each label's log-odds in training; the bare logits score new notes.

        L = cross-entropy of z + tau log(pi_c / (1 - pi_c)),  pi_c = n_c / N

    Args:
        counts, encounters: n_c and N.
        tau: how far.
        reduction: over labels.

    Reference: Menon et al. 2021, arXiv:2007.07314, eq. 10, for a softmax.
    Differs from the paper: a sigmoid for each label, whose prior shift is the log-odds; n_c is kept half an encounter
    away from 0 and N.
    """

    def __init__(self, counts: Ints, encounters: int, *, tau: float = 1.0, reduction: Reduction = "mean") -> None:
        table = LabelTable({"shift": tau * log_odds(counts, encounters)})
        super().__init__(table, len(counts), reduction=reduction)
        self.tau = tau


class LabelDistributionMargins(CellLoss):
    """LDAM: positives of rare labels have to win by a margin.

        L+ = log(1 + e^-(s (z - d_c)))    L- = log(1 + e^(s z))    d_c = d (n_c / min n)^(-1/4)

    Args:
        counts: n_c.
        most: d, the margin of the rarest label.
        scale: s.
        reduction: over labels.

    Reference: Cao et al. 2019, arXiv:1906.07413, eqs. 12-13, for a softmax.
    Differs from the paper: a sigmoid for each label; s = 1, because logits here are no cosines. A label without
    examples has the margin d, which no positive ever meets.
    """

    def __init__(self, counts: Ints, *, most: float = 0.5, scale: float = 1.0, reduction: Reduction = "mean") -> None:
        seen = counts[counts > 0]
        least = int(seen.min()) if len(seen) else 1
        margins = most * (np.maximum(counts, least) / least) ** -0.25
        super().__init__(LabelTable({"margin": margins}), len(counts), reduction=reduction)
        self.most, self.steepness = most, scale

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return surprise((-logits + cells.of_label("margin")) * self.steepness)

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return surprise(logits * self.steepness)
