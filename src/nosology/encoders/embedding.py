"""Words -> vectors, from scratch or from a matrix of pretrained ones."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nosology.encoders.base import Batch


class WordEmbedding(nn.Module):
    """A table of word vectors with dropout; zero where no real token stands, whatever number stands there.

    Args:
        vocabulary_size: rows of the table.
        size: width of a vector.
        dropout: share of the vectors' components that training drops.
        matrix: pretrained vectors, one row per word of the vocabulary; without it, rows are drawn from N(0, 0.1).
        frozen: the vectors are not trained.
    """

    def __init__(
        self,
        vocabulary_size: int,
        size: int,
        *,
        dropout: float = 0.0,
        matrix: Float[Tensor, "word size"] | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        if matrix is not None and tuple(matrix.shape) != (vocabulary_size, size):
            raise ValueError(
                f"pretrained vectors of shape {tuple(matrix.shape)} do not fit {vocabulary_size} words x {size}"
            )
        start = torch.randn(vocabulary_size, size) * 0.1 if matrix is None else matrix.detach().clone().float()
        self.table = nn.Embedding.from_pretrained(start, freeze=frozen)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: Batch) -> Float[Tensor, "batch token size"]:
        """Vectors of a batch's words."""
        padding = ~batch.mask
        vectors = self.table(batch.token_ids.masked_fill(padding, 0))
        return self.dropout(vectors).masked_fill(padding[..., None], 0.0)
