"""A bidirectional LSTM over words, LAAT's encoder."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nosology.encoders.base import Batch, Encoder, EncoderOutput
from nosology.encoders.embedding import WordEmbedding
from nosology.encoders.lstm import bidirectional

Words = Float[Tensor, "batch token word"]
Hidden = Float[Tensor, "batch token hidden"]
Counts = Int[Tensor, " batch"]
Order = Int[Tensor, "batch token"]
Mask = Bool[Tensor, "batch token"]

_SEGMENT = 512
_CPU_SEGMENT = 128
_SCORED_SEGMENT = 2048  # nothing is kept: fewer calls, each of which lays the weights out anew


class BiLstm(Encoder):
    """A bidirectional LSTM; its backward half starts at each note's own last word, not at the padding's.

    An LSTM keeps some ten numbers for each one that it gives, for the gradient. Long notes therefore run in segments,
    and the backward pass computes a segment's gates again before it takes its gradient; see ``encoders.lstm`` for how
    that is cheaper than keeping them on a CPU.

    Reference: Vu et al. 2020, arXiv:2007.06351, eq. 1-3.

    Args:
        words: the word vectors.
        word_size: their width.
        size: width of one direction; a state is twice as wide.
        layers: stacked LSTMs.
        dropout: on the states, and between layers.
        segment_tokens: length of a segment.
    """

    def __init__(
        self,
        words: WordEmbedding,
        word_size: int,
        *,
        size: int = 512,
        layers: int = 1,
        dropout: float = 0.3,
        segment_tokens: int | None = None,
    ) -> None:
        super().__init__(2 * size)
        self.words = words
        widths = [word_size] + [2 * size] * (layers - 1)
        self.forwards = nn.ModuleList(nn.LSTM(width, size, batch_first=True) for width in widths)
        self.backwards = nn.ModuleList(nn.LSTM(width, size, batch_first=True) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.segment_tokens = segment_tokens

    def forward(self, batch: Batch) -> EncoderOutput:
        """See ``Encoder``."""
        mask, counts = batch.mask, batch.mask.sum(1)
        hidden, first = self.words(batch), torch.arange(mask.shape[1], device=mask.device) < counts[:, None]
        if hidden.numel() == 0:
            return EncoderOutput(hidden.new_zeros(*mask.shape, self.hidden_size), mask)
        if plain := torch.equal(mask, first):
            states = self._states(hidden, counts)
        else:
            states = self._states(_closed_up(hidden, mask), counts)
        if plain:
            return EncoderOutput(states.masked_fill(~mask[..., None], 0.0) if not mask.all() else states, mask)
        result = torch.zeros_like(states)
        result[mask] = states[first]
        return EncoderOutput(result, mask)

    def _states(self, hidden: Words, counts: Counts) -> Hidden:
        """States of notes whose real tokens come first; without meaning after them."""
        order = _backwards_order(hidden.shape[1], counts)
        for ahead, back in zip(self.forwards, self.backwards, strict=True):
            hidden = self.dropout(self._both(cast(nn.LSTM, ahead), cast(nn.LSTM, back), hidden, order))
        return hidden

    def _both(self, ahead: nn.LSTM, back: nn.LSTM, hidden: Words, order: Order) -> Hidden:
        if hidden.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            usual = _CPU_SEGMENT if torch.is_grad_enabled() else _SCORED_SEGMENT
            return bidirectional(ahead, back, hidden, order, self.segment_tokens or usual)
        segment = self.segment_tokens or _SEGMENT
        right = _reordered(_run(back, _reordered(hidden, order), segment), order)
        return torch.cat([_run(ahead, hidden, segment), right], -1)


def _run(lstm: nn.LSTM, hidden: Words, segment: int) -> Hidden:
    """One direction, as torch has it; a note longer than a segment is computed again in the backward pass."""
    segments = hidden.split(segment, 1)
    state = (hidden.new_zeros(1, len(hidden), lstm.hidden_size),) * 2
    outputs = list[Tensor]()
    for part in segments:
        if len(segments) > 1 and torch.is_grad_enabled():
            found = checkpoint(lstm, part, state, use_reentrant=False, preserve_rng_state=False)
        else:
            found = lstm(part, state)
        output, state = cast(tuple[Tensor, tuple[Tensor, Tensor]], found)
        outputs.append(output)
    return torch.cat(outputs, 1)


def _backwards_order(tokens: int, counts: Counts) -> Order:
    """Each row's real tokens in reverse order, and the padding where it was."""
    place = torch.arange(tokens, device=counts.device)
    return torch.where(place < counts[:, None], counts[:, None] - 1 - place, place)


def _reordered(hidden: Words, order: Order) -> Words:
    return hidden.gather(1, order[..., None].expand_as(hidden))


def _closed_up(words: Words, mask: Mask) -> Words:
    """Each row's real tokens first, in their order."""
    order = (~mask).to(torch.int8).argsort(dim=1, stable=True)
    return words.gather(1, order[..., None].expand(-1, -1, words.shape[-1]))
