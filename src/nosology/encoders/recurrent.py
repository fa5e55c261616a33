"""A bidirectional LSTM over words, LAAT's encoder."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nosology.encoders.base import Batch, Encoder, EncoderOutput
from nosology.encoders.embedding import WordEmbedding

Words = Float[Tensor, "batch token word"]
Hidden = Float[Tensor, "batch token hidden"]


class BiLstm(Encoder):
    """A bidirectional LSTM; its backward half starts at each note's own last word, not at the padding's.

    Reference: Vu et al. 2020, arXiv:2007.06351, eq. 1-3.

    Args:
        words: the word vectors.
        word_size: their width.
        size: width of one direction; a state is twice as wide.
        layers: stacked LSTMs.
        dropout: on the states, and between layers.
    """

    def __init__(
        self, words: WordEmbedding, word_size: int, *, size: int = 512, layers: int = 1, dropout: float = 0.3
    ) -> None:
        super().__init__(2 * size)
        self.words = words
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(word_size, size, layers, batch_first=True, bidirectional=True, dropout=between)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: Batch) -> EncoderOutput:
        """See ``Encoder``."""
        hidden = self._states(self.words(batch), batch.mask)
        return EncoderOutput(self.dropout(hidden), batch.mask)

    def _states(self, words: Words, mask: Bool[Tensor, "batch token"]) -> Hidden:
        if words.numel() > 0 and bool(mask.all()):
            return self.lstm(words)[0]
        result = words.new_zeros(*mask.shape, self.hidden_size)
        rows = mask.any(1).nonzero()[:, 0]
        if len(rows) == 0:
            return result
        states, counts = self._packed(_closed_up(words[rows], mask[rows]), mask[rows].sum(1))
        real = torch.arange(states.shape[1], device=mask.device) < counts[:, None]
        result[mask] = states[real].to(result.dtype)
        return result

    def _packed(self, words: Words, counts: Int[Tensor, " batch"]) -> tuple[Tensor, Int[Tensor, " batch"]]:
        packed = pack_padded_sequence(words, counts.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0], counts


def _closed_up(words: Words, mask: Bool[Tensor, "batch token"]) -> Words:
    """Each row's real tokens first, in their order."""
    order = (~mask).to(torch.int8).argsort(dim=1, stable=True)
    return words.gather(1, order[..., None].expand(-1, -1, words.shape[-1]))
