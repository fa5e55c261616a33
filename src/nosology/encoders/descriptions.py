"""Vectors of the labels' descriptions, for heads whose queries start from them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from nosology.encoders.base import Batch, Encoder


@torch.no_grad()
def description_vectors(encoder: Encoder, batches: Iterable[Batch]) -> Float[Tensor, "text hidden"]:
    """The mean state of every text, in order; zero for a text without tokens.

    Args:
        encoder: as it stands; it is put into evaluation mode for this and back.
        batches: the texts, one a row, on the encoder's device.
    """
    training = encoder.training
    encoder.eval()
    try:
        return torch.cat([_means(encoder, batch) for batch in batches])
    finally:
        encoder.train(training)


def _means(encoder: Encoder, batch: Batch) -> Tensor:
    encoded = encoder(batch)
    return encoded.hidden.sum(1) / encoded.mask.sum(1, keepdim=True).clamp(min=1)
