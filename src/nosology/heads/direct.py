"""Direct classification: one vector per note, one linear layer."""

from __future__ import annotations

from typing import Literal, assert_never

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from nosology.heads.base import Head, HeadOutput

Pooling = Literal["mean", "last", "attention"]


class DirectClassification(Head):
    """Scores a note's one vector; a note without real tokens has the zero vector.

    Args:
        hidden_size: width of a state.
        label_count: labels scored.
        pooling: how the vector comes about: the mean of the states, the last one (for decoders, which have read the
            whole note by then), or a mean weighted by a learned query.
        dropout: on the vector.
        bias: that the labels' biases start from; None: PyTorch's small random numbers.
    """

    def __init__(
        self,
        hidden_size: int,
        label_count: int,
        *,
        pooling: Pooling = "mean",
        dropout: float = 0.1,
        bias: Float[Tensor, " label"] | None = None,
    ) -> None:
        super().__init__(hidden_size, label_count)
        self.pooling: Pooling = pooling
        self.query = nn.Linear(hidden_size, 1, bias=False) if pooling == "attention" else None
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, label_count)
        if bias is not None:
            self.output.bias = nn.Parameter(bias.clone())

    def forward(
        self,
        hidden: Float[Tensor, "batch token hidden"],
        mask: Bool[Tensor, "batch token"],
        labels: Int[Tensor, " label"] | None = None,
    ) -> HeadOutput:
        """See ``Head``."""
        vectors = self.dropout(torch.einsum("bt,bth->bh", self._weights(hidden, mask), hidden))
        if labels is None:
            return HeadOutput(self.output(vectors))
        return HeadOutput(functional.linear(vectors, self.output.weight[labels], self.output.bias[labels]))

    def label_vectors(self) -> Float[Tensor, "label hidden"]:
        """See ``Head``: the classifier's."""
        return self.output.weight

    def _weights(
        self, hidden: Float[Tensor, "batch token hidden"], mask: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "batch token"]:
        match self.pooling:
            case "mean":
                return mask / mask.sum(1, keepdim=True).clamp(min=1).to(hidden.dtype)
            case "last":
                later = mask.flip(1).cumsum(1).flip(1)
                return ((later == 1) & mask).to(hidden.dtype)
            case "attention":
                return self._attention(hidden, mask)
            case _:
                assert_never(self.pooling)

    def _attention(
        self, hidden: Float[Tensor, "batch token hidden"], mask: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "batch token"]:
        assert self.query is not None
        scores = self.query(hidden)[..., 0].masked_fill(~mask, torch.finfo(hidden.dtype).min)
        return scores.softmax(1) * mask
