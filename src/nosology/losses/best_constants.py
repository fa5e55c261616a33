"""The best answer of a network that has read nothing: where biases may start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from nosology.losses.base import Loss

_LIMIT, _CELLS, _HALVINGS = 16.0, 128, 30


def best_constants(
    loss: Callable[[Tensor, Tensor], Tensor], counts: Sequence[int], notes: int
) -> Float[Tensor, " label"]:
    """The logit of each label at which training rests if every note is given the same.

        p g+(z) + (1 - p) g-(z) = 0    with p = (n + 1/2) / (N + 1)

    n of N notes have the label; the halves keep z finite. g+ and g- are the loss's slopes for a note with the label and
    for one without. Under cross-entropy z is the log-odds, log(p / (1 - p)); smoothing cuts it off, and a focusing
    loss, which hardly counts easy negatives, has it much nearer to 0. Of several such points it is the lowest at which
    the cost stops falling. A loss whose cells depend on each other has no such number: then, too, it is the log-odds.

    Differs from Lin et al. 2017 (arXiv:1708.02002, section 4.1), who start all of a focal loss's biases at the log-odds
    of .01.

    Args:
        loss: of logits and targets.
        counts: notes with each label, in the order of the logits.
        notes: all of them.

    >>> from nosology.losses.cross_entropy import BinaryCrossEntropy
    >>> [round(logit, 3) for logit in best_constants(BinaryCrossEntropy(), [0, 1], 2).tolist()]
    [-1.609, 0.0]
    """
    shares = (torch.tensor(counts, dtype=torch.float64) + 0.5) / (notes + 1)
    cells = loss.of_single_cells() if isinstance(loss, Loss) else None
    if cells is None:
        return torch.logit(shares).float()
    low, high = _first_rise(cells, shares)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rises = _slopes(cells, shares, middle) > 0
        low, high = torch.where(rises, low, middle), torch.where(rises, middle, high)
    return ((low + high) / 2).float()


def _slopes(cells: Loss, shares: Tensor, logits: Tensor) -> Tensor:
    """How each label's cost changes with its logit: a note with all labels and one with none, weighed by how many."""
    targets = torch.stack([torch.ones_like(shares), torch.zeros_like(shares)]).float()
    with torch.enable_grad():
        asked = logits.float().expand(2, -1).clone().requires_grad_()
        (slopes,) = torch.autograd.grad(cells(asked, targets), asked)
    return shares * slopes[0] + (1 - shares) * slopes[1]


def _first_rise(cells: Loss, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Between which two points of a grid each label's cost stops falling."""
    grid = torch.linspace(-_LIMIT, _LIMIT, _CELLS + 1, dtype=torch.float64)
    low, high = torch.full_like(shares, _LIMIT), torch.full_like(shares, _LIMIT)
    for start, end in pairwise(grid):
        new = (high == _LIMIT) & (low == _LIMIT) & (_slopes(cells, shares, end.expand_as(shares)) > 0)
        low, high = torch.where(new, start, low), torch.where(new, end, high)
    return low, high
