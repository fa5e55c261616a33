"""GHM-C: cells of a gradient that many others share weigh less."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from nosology.losses.base import CellLoss, Cells, Positives, Reduction
from nosology.losses.curves import Curve, surprise

_FEW = 16


class GradientHarmonised(CellLoss):
    """Gradient harmonising mechanism for classification.

        g = |p - y|    w = (cells / count of g's bin) / bins that are not empty    L = w cross-entropy

    Bins are equally wide. With a momentum u, counts are a moving average over batches,
    a_b <- u a_b + (1 - u) count_b, starting at 0; a checkpoint of the trainer keeps them. Several processes count
    together.

    Args:
        bins: M.
        momentum: u; 0 takes each batch by itself.
        reduction: over labels.

    Reference: Li et al. 2019, arXiv:1811.05181, eqs. 7-9, and the authors' code.
    """

    def __init__(self, *, bins: int = 10, momentum: float = 0.75, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.bins, self.momentum = bins, momentum
        self._counts = torch.zeros(bins, dtype=torch.float64)

    def state(self) -> dict[str, Tensor]:
        """See ``Loss``."""
        return {"counts": self._counts.clone()} if self.momentum else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See ``Loss``."""
        if self.momentum:
            self._counts = state["counts"].to("cpu", torch.float64).clone()

    def look(self, logits: Tensor, positives: Positives, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Count bins; see ``CellLoss``."""
        bins = self._bin(torch.sigmoid(logits))
        places = positives.rows, positives.columns
        bins[places] = self._bin((torch.sigmoid(logits[places]) - positives.values).abs())
        counts = _over_processes(_counts(bins, self.bins).to(torch.float64)).cpu()
        total, filled = counts.sum(), counts > 0
        if self.momentum:
            self._counts = torch.where(
                filled, self.momentum * self._counts + (1 - self.momentum) * counts, self._counts
            )
            counts = self._counts
        weights = torch.where(filled, total / counts.clamp(min=1e-12), 0.0) / filled.sum()
        return {"weight": weights.to(logits.device, logits.dtype), "bin": bins}

    def _bin(self, norm: Tensor) -> Tensor:
        # A norm that is no number becomes a negative one; its own cell tells of it.
        return (norm * self.bins).to(torch.int32).clamp_(0, self.bins - 1)

    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return surprise(-logits) * self._weights(cells)

    def negative(self, logits: Curve, cells: Cells) -> Curve:
        """See ``CellLoss``."""
        return surprise(logits) * self._weights(cells)

    def _weights(self, cells: Cells) -> Tensor:
        bins = cells.batch["bin"][cells.rows, cells.columns]
        return cells.batch["weight"].index_select(0, bins.flatten()).view(bins.shape)


def _counts(bins: Tensor, count: int) -> Tensor:
    """Cells in each bin."""
    if bins.device.type != "cpu" or count > _FEW:
        return torch.bincount(bins.flatten(), minlength=count)
    cells = bins.numpy()  # NumPy compares and counts many times as fast as either library's bincount runs
    return torch.tensor([np.count_nonzero(cells == number) for number in range(count)])


def _over_processes(counts: Tensor) -> Tensor:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return counts
    # float64 does not go through every backend's devices, whole numbers do
    whole = counts.long()
    torch.distributed.all_reduce(whole)
    return whole.to(counts.dtype)
