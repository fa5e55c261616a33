"""From wide states to narrow ones: a learned projection, a learned convolution, or principal components."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from nosology.errors import ConfigError

Hidden = Float[Tensor, "batch token hidden"]
Mask = Bool[Tensor, "batch token"]
Narrow = Float[Tensor, "batch token width"]

_NEIGHBOURS = 3
"""Tokens that one narrowed state of the convolution sees."""


class Narrowing(nn.Module):
    """Makes states narrower, each after LayerNorm.

    Args:
        hidden_size: of a state.
        width: of a narrowed state.
    """

    def __init__(self, hidden_size: int, width: int) -> None:
        super().__init__()
        self.hidden_size, self.width = hidden_size, width

    @abstractmethod
    def forward(self, hidden: Hidden, mask: Mask) -> Narrow:
        """The narrowed states; what stands at padding is anything."""


class Projected(Narrowing):
    """A learned linear layer."""

    def __init__(self, hidden_size: int, width: int) -> None:
        super().__init__(hidden_size, width)
        self.norm, self.linear = nn.LayerNorm(hidden_size), nn.Linear(hidden_size, width)

    def forward(self, hidden: Hidden, mask: Mask) -> Narrow:
        """See ``Narrowing``."""
        return self.linear(self.norm(hidden))


class Convolved(Narrowing):
    """A learned convolution over each token and its neighbours."""

    def __init__(self, hidden_size: int, width: int) -> None:
        super().__init__(hidden_size, width)
        self.norm = nn.LayerNorm(hidden_size)
        self.convolution = nn.Conv1d(hidden_size, width, _NEIGHBOURS, padding=_NEIGHBOURS // 2)

    def forward(self, hidden: Hidden, mask: Mask) -> Narrow:
        """See ``Narrowing``."""
        states = self.norm(hidden) * mask[..., None]
        return self.convolution(states.transpose(1, 2)).transpose(1, 2)


class PrincipalComponents(Narrowing):
    """The directions in which normalised states vary most; nothing learns. ``Moments.components`` gives them.

    Until ``fit`` is called, the first coordinates stand for them.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, hidden_size: int, width: int) -> None:
        super().__init__(hidden_size, width)
        if width > hidden_size:
            raise ConfigError(f'reduction = "pca": width = {width} is more than the {hidden_size} of a state')
        self.register_buffer("mean", torch.zeros(hidden_size))
        self.register_buffer("components", torch.eye(hidden_size)[:width].clone())

    def fit(self, moments: Moments) -> None:
        """Take the components of states that were counted; scaled together, so that the first varies by 1."""
        mean, components = moments.components(self.width)
        self.mean.copy_(mean)
        self.components.copy_(components)

    def forward(self, hidden: Hidden, mask: Mask) -> Narrow:
        """See ``Narrowing``."""
        return (normalised(hidden) - self.mean) @ self.components.T


def normalised(hidden: Tensor) -> Tensor:
    """LayerNorm without weights: a language model's states have a few coordinates so large that they hide the rest."""
    return functional.layer_norm(hidden, hidden.shape[-1:])


@dataclass
class Moments:
    """First and second moments of rows that come in portions, in double precision.

    Args:
        count: of rows.
        total: their sum, ``[column]``.
        products: sum of their outer products, ``[column, column]``.
    """

    count: int
    total: Tensor
    products: Tensor

    @staticmethod
    def empty(columns: int) -> Moments:
        """Of no rows."""
        zeros = torch.zeros(columns, dtype=torch.float64)
        return Moments(0, zeros, torch.zeros(columns, columns, dtype=torch.float64))

    def add(self, rows: Float[Tensor, "row column"]) -> None:
        """Count more rows."""
        wide = rows.detach().to("cpu", torch.float64)
        self.count += len(wide)
        self.total += wide.sum(0)
        self.products += wide.T @ wide

    def covariance(self) -> Tensor:
        """``[column, column]``; zeros without rows."""
        mean = self.total / max(1, self.count)
        return self.products / max(1, self.count) - torch.outer(mean, mean)

    def components(self, width: int) -> tuple[Tensor, Tensor]:
        """The mean, and the ``width`` leading eigenvectors of the covariance over the largest standard deviation."""
        values, vectors = torch.linalg.eigh(self.covariance())
        scale = values[-1].clamp(min=1e-12).sqrt()
        mean = (self.total / max(1, self.count)).float()
        return mean, (vectors[:, -width:].flip(1).T / scale).float()

    def lost(self, kept: int) -> float:
        """The share of the variance of all columns but the first ``kept`` that no linear function of these gives."""
        every = self.covariance()
        inner, cross, outer = every[:kept, :kept], every[:kept, kept:], every[kept:, kept:]
        explained = torch.linalg.lstsq(inner, cross, driver="gelsd").solution
        whole = float(outer.diagonal().sum())
        return max(0.0, 1.0 - float((cross * explained).sum()) / whole) if whole > 0.0 else 0.0
