"""Losses that are a weighted binary cross-entropy of logits, shifted or not, in closed form."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nosology.errors import ConfigError
from nosology.losses.base import CellLoss, Cells, Dense, Found, LabelTable, Reduction, Sparse, Terms
from nosology.losses.facts import Ints
from nosology.losses.formulas import softplus


def within(counts: Ints, encounters: int) -> NDArray[np.float64]:
    """Counts half an encounter away from none and from all, where a log-odds would be infinite."""
    return np.clip(counts.astype(np.float64), 0.5, encounters - 0.5)


def log_odds(counts: Ints, encounters: int) -> NDArray[np.float64]:
    """log(n / (N - n)), with n kept half an encounter away from 0 and N."""
    kept = within(counts, encounters)
    return np.log(kept / (encounters - kept))


class WeightedCrossEntropy(CellLoss):
    """L+ = a_c log(1 + e^-(z + s_c)), L- = b_c log(1 + e^(z + s_c)).

    Columns "positive" (a), "negative" (b) and "shift" (s) of the table may be missing: 1, 1 and 0.
    """

    def positive(self, logits: Tensor, cells: Cells) -> Tensor:
        """See ``CellLoss``."""
        return _times(softplus(-_plus(logits, cells)), cells, "positive")

    def negative(self, logits: Tensor, cells: Cells) -> Tensor:
        """See ``CellLoss``."""
        return _times(softplus(_plus(logits, cells)), cells, "negative")

    def dense(self, terms: Terms) -> Dense:
        """See ``CellLoss``; its gradient is b_c p."""

        def found(part: Tensor, columns: slice, wanted: bool) -> Found:
            cells = terms.block(columns)
            logits = _plus(part, cells)
            weights = _product(terms.coefficients, terms.labels.get("negative"))
            if weights is None:
                return softplus(logits).sum(), torch.sigmoid(logits) if wanted else None
            value = softplus(logits).sum(0) @ weights[columns]
            return value, torch.sigmoid(logits).mul_(weights[columns]) if wanted else None

        return found

    def sparse(self, terms: Terms) -> Sparse:
        """See ``CellLoss``; the gradient is (1 - y) b_c p - y a_c (1 - p)."""

        def found(part: Tensor, wanted: bool) -> Found:
            cells, share = terms.places(), terms.positives.values
            logits = _plus(part, cells)
            plus, minus = _times(softplus(-logits), cells, "positive"), _times(softplus(logits), cells, "negative")
            value = terms.sum_places(share * (plus - minus))
            if not wanted:
                return value, None
            up, down = torch.sigmoid(-logits), torch.sigmoid(logits)
            slopes = (1 - share) * _times(down, cells, "negative") - share * _times(up, cells, "positive")
            if terms.coefficients is not None:
                slopes = slopes * terms.coefficients[cells.columns]
            return value, slopes

        return found


def _plus(logits: Tensor, cells: Cells) -> Tensor:
    return logits + cells.of_label("shift") if "shift" in cells.labels else logits


def _times(values: Tensor, cells: Cells, name: str) -> Tensor:
    return values * cells.of_label(name) if name in cells.labels else values


def _product(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first * second


class BinaryCrossEntropy(WeightedCrossEntropy):
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
            columns["positive"] = positive_weight * np.exp(-balance * log_odds(counts, encounters))
        super().__init__(LabelTable(columns), 0 if counts is None else len(counts), reduction=reduction)
        self.smoothing = smoothing
        self.positive_weight = 1.0 if balance else positive_weight

    def positive(self, logits: Tensor, cells: Cells) -> Tensor:
        """See ``CellLoss``."""
        return _mixed(self._plain_positive(logits, cells), softplus(logits), self.smoothing / 2)

    def negative(self, logits: Tensor, cells: Cells) -> Tensor:
        """See ``CellLoss``."""
        if not self.smoothing:
            return softplus(logits)
        return _mixed(softplus(logits), self._plain_positive(logits, cells), self.smoothing / 2)

    def _plain_positive(self, logits: Tensor, cells: Cells) -> Tensor:
        return _times(softplus(-logits), cells, "positive") * self.positive_weight

    def dense(self, terms: Terms) -> Dense:
        """See ``CellLoss``."""
        return CellLoss.dense(self, terms) if self.smoothing else super().dense(terms)

    def sparse(self, terms: Terms) -> Sparse:
        """See ``CellLoss``."""
        return CellLoss.sparse(self, terms)


def _mixed(most: Tensor, rest: Tensor, share: float) -> Tensor:
    return (1 - share) * most + share * rest if share else most


class LogitAdjustment(WeightedCrossEntropy):
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

    def positive(self, logits: Tensor, cells: Cells) -> Tensor:
        """See ``CellLoss``."""
        return softplus((cells.of_label("margin") - logits) * self.steepness)

    def negative(self, logits: Tensor, cells: Cells) -> Tensor:
        """See ``CellLoss``."""
        return softplus(logits * self.steepness)
