"""One trained vector per label: drawn at random, from descriptions, or tied along the hierarchy."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nosology.errors import ConfigError


class LabelVectors(nn.Module):
    """A table of label vectors.

    With ``ancestors``, a label's vector is its own plus those of its ancestors in the hierarchy. Own vectors then start
    at zero: a code that training hardly sees keeps, beside its siblings, what its parent learned from all of them.

    Args:
        label_count: rows.
        width: of a vector.
        std: standard deviation of the start; None for Xavier's uniform one.
        start: vectors to start from, one row per label and of any width, e.g. of the codes' descriptions; another width
            than ``width`` goes through a random projection, which keeps angles roughly, and all are scaled to ``std``.
        ancestors: numbers of each label's ancestors, counted from 0 over all of them; -1 where there is none.
    """

    def __init__(
        self,
        label_count: int,
        width: int,
        *,
        std: float | None = None,
        start: Float[Tensor, "label _"] | None = None,
        ancestors: Int[Tensor, "label level"] | None = None,
    ) -> None:
        super().__init__()
        spread = math.sqrt(2 / (label_count + width)) if std is None else std
        for given, name in ((start, "description vectors"), (ancestors, "rows of ancestors")):
            if given is not None and len(given) != label_count:
                raise ConfigError(f"{len(given)} {name} do not fit {label_count} labels")
        own = _start(label_count, width, std, spread, start, tied=ancestors is not None)
        self.own = nn.Parameter(own)
        self.register_buffer("ancestors", ancestors, persistent=False)
        self.inherited = None
        if ancestors is not None:
            self.inherited = nn.Parameter(torch.randn(int(ancestors.max()) + 2, width) * spread)

    def forward(self, labels: Int[Tensor, " label"] | None = None) -> Float[Tensor, "label width"]:
        """Vectors of every label, or of some."""
        vectors = self.own if labels is None else self.own[labels]
        if self.inherited is None:
            return vectors
        ancestors: Tensor = self.get_buffer("ancestors")
        rows = ancestors if labels is None else ancestors[labels]
        real = (rows >= 0).to(vectors.dtype)
        return vectors + torch.einsum("clw,cl->cw", self.inherited[rows.clamp(min=0)], real)


def _start(
    label_count: int, width: int, std: float | None, spread: float, start: Tensor | None, *, tied: bool
) -> Tensor:
    if start is not None:
        return _scaled(_fitted(start.detach().float(), width), spread)
    if tied:
        return torch.zeros(label_count, width)
    drawn = torch.empty(label_count, width)
    return nn.init.xavier_uniform_(drawn) if std is None else nn.init.normal_(drawn, 0.0, std)


def _fitted(start: Tensor, width: int) -> Tensor:
    if start.shape[1] == width:
        return start
    return start @ torch.randn(start.shape[1], width) / math.sqrt(width)


def _scaled(start: Tensor, spread: float) -> Tensor:
    return start * (spread / start.std().clamp(min=1e-12))
