"""ZLPR: every positive above every negative, with zero between them."""

from __future__ import annotations

import torch
from torch import Tensor

from nosology.losses.base import Loss, Positives


class ZeroBoundedRanking(Loss):
    """Zero-bounded log-sum-exp and pairwise ranking.

        L = log(1 + sum_{y = 0} e^z) + log(1 + sum_{y = 1} e^-z),  mean over encounters

    A label is worth assigning from z > 0 on. A target between 0 and 1 counts as 1: the formula knows no weights.

    Reference: Su et al. 2022, arXiv:2208.02955, eq. 9.
    """

    def loss(self, logits: Tensor, targets: Tensor, labels: Tensor | None) -> Tensor:
        """See ``Loss``."""
        if not logits.numel():
            return logits.sum()
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        positives = Positives.of(targets.to(precise.dtype))
        places = positives.rows, positives.columns
        low = torch.finfo(precise.dtype).min
        zero = precise.new_zeros(len(logits), 1)
        negatives = torch.cat([precise, zero], 1)
        negatives[places] = low
        above = torch.logsumexp(negatives, 1)
        return (above + _below(precise[places], positives.rows, len(logits))).mean()


def _below(logits: Tensor, rows: Tensor, count: int) -> Tensor:
    """log(1 + sum of e^-z over each encounter's positives)."""
    zeros = torch.zeros(count, dtype=logits.dtype, device=logits.device)
    highest = zeros.scatter_reduce(0, rows, -logits.detach(), "amax")  # 0 or more: the one in the sum is there, too
    total = torch.exp(-highest).index_add(0, rows, torch.exp(-logits - highest[rows]))
    return highest + torch.log(total)
