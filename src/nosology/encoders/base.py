"""What goes into an encoder and comes out of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Batch:
    """Notes as token numbers, padded to one length.

    Args:
        token_ids: rows of the vocabulary; what stands where ``mask`` is false is never read.
        mask: true where a real token stands.
    """

    token_ids: Int[Tensor, "batch token"]
    mask: Bool[Tensor, "batch token"]

    def __post_init__(self) -> None:
        if self.token_ids.shape != self.mask.shape:
            ids, mask = tuple(self.token_ids.shape), tuple(self.mask.shape)
            raise ValueError(f"token_ids of shape {ids} and mask of shape {mask} do not belong together")

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(self.token_ids.to(device), self.mask.to(device))

    def __len__(self) -> int:
        return self.token_ids.shape[0]


@dataclass(frozen=True, slots=True)
class EncoderOutput:
    """One state for every token of the batch, zero where ``mask`` is false.

    Args:
        hidden: the states.
        mask: true where a real token stands; the batch's own.
    """

    hidden: Float[Tensor, "batch token hidden"]
    mask: Bool[Tensor, "batch token"]


class Encoder(nn.Module, ABC):
    """Base of every encoder. A note's states depend on its own real tokens alone.

    Args:
        hidden_size: width of a state.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size

    @abstractmethod
    def forward(self, batch: Batch) -> EncoderOutput:
        """Encode a batch; the token axis of the result is the batch's."""

    def __call__(self, batch: Batch) -> EncoderOutput:
        return super().__call__(batch)
