"""Convolutions over words: CAML's, and the multi-filter residual ones of MultiResCNN.

States stay token-major (batch, token, channel) throughout: as the channels-last image of height 1 that they are, oneDNN
convolves them up to twice as fast as ``Conv1d``, and no transpose is needed before the head.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from nosology.encoders.base import Batch, Encoder, EncoderOutput
from nosology.encoders.embedding import WordEmbedding

Hidden = Float[Tensor, "batch token channel"]
Convolved = Float[Tensor, "batch token convolved"]
Padding = Bool[Tensor, "batch token"] | None

KERNELS = (3, 5, 9, 15, 19, 25)


def padding_of(mask: Bool[Tensor, "batch token"]) -> Padding:
    """Where no real token stands, or None if every token is real, which spares a pass over the states."""
    return None if bool(mask.all()) else ~mask


def zero_padding(hidden: Hidden, padding: Padding) -> Hidden:
    """The states, zero where no real token stands."""
    return hidden if padding is None else hidden.masked_fill(padding[..., None], 0.0)


class TokenConvolution(nn.Module):
    """A convolution along the tokens that keeps their number; a note sees zeros beyond its ends, never padding.

    An even kernel reaches one token further right than left.

    Args:
        input_size, output_size: channels.
        kernel: tokens that one output sees.
        bias: adds one number per channel.
    """

    def __init__(self, input_size: int, output_size: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        self.left, self.right = (kernel - 1) // 2, kernel // 2
        self.weight = nn.Parameter(torch.empty(output_size, input_size, kernel))
        self.bias = nn.Parameter(torch.zeros(output_size)) if bias else None
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, hidden: Hidden, padding: Padding) -> Convolved:
        """The convolved states; what it gives at padding means nothing."""
        image = zero_padding(hidden, padding).transpose(1, 2).unsqueeze(2)
        if self.left != self.right:
            image = functional.pad(image, (self.left, self.right))
        border = (0, self.left if self.left == self.right else 0)
        weight = self.weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return functional.conv2d(image, weight, self.bias, padding=border).squeeze(2).transpose(1, 2)


class TokenBatchNorm(nn.BatchNorm1d):
    """Batch normalisation whose statistics are those of real tokens; at inference it depends on the token alone."""

    def forward(self, hidden: Hidden, padding: Padding) -> Hidden:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Normalised states; zero at padding."""
        if padding is None:
            return self._normalise(hidden.reshape(-1, hidden.shape[-1])).view(hidden.shape)
        result = torch.zeros_like(hidden)
        result[~padding] = self._normalise(hidden[~padding])
        return result

    def _normalise(self, tokens: Float[Tensor, "token channel"]) -> Float[Tensor, "token channel"]:
        if self.training and len(tokens) > 1:
            return super().forward(tokens)
        mean, variance = self.running_mean, self.running_var
        return functional.batch_norm(tokens, mean, variance, self.weight, self.bias, False, 0.0, self.eps)


class ResidualBlock(nn.Module):
    """Two convolutions with batch normalisation beside a 1 x 1 shortcut (Li and Yu 2020, eqs. 4-6).

    Args:
        input_size, output_size: channels.
        kernel: of both convolutions.
        dropout: after the block.
    """

    def __init__(self, input_size: int, output_size: int, kernel: int, *, dropout: float) -> None:
        super().__init__()
        self.first = TokenConvolution(input_size, output_size, kernel, bias=False)
        self.first_norm = TokenBatchNorm(output_size)
        self.second = TokenConvolution(output_size, output_size, kernel, bias=False)
        self.second_norm = TokenBatchNorm(output_size)
        self.shortcut = TokenConvolution(input_size, output_size, 1, bias=False)
        self.shortcut_norm = TokenBatchNorm(output_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Hidden, padding: Padding) -> Convolved:
        """The block's states."""
        left = self.first_norm(self.first(hidden, padding), padding).tanh_()
        left = self.second_norm(self.second(left, padding), padding)
        right = self.shortcut_norm(self.shortcut(hidden, padding), padding)
        return self.dropout(left.add_(right).tanh_())


class _Channel(nn.Module):
    """One kernel's convolution and residual blocks."""

    def __init__(self, sizes: tuple[int, ...], kernel: int, dropout: float) -> None:
        super().__init__()
        self.base = TokenConvolution(sizes[0], sizes[0], kernel)
        nn.init.xavier_uniform_(self.base.weight)
        self.blocks = nn.ModuleList(
            ResidualBlock(before, after, kernel, dropout=dropout) for before, after in pairwise(sizes)
        )

    def forward(self, hidden: Hidden, padding: Padding) -> Convolved:
        state = self.base(hidden, padding).tanh_()
        for block in self.blocks:
            state = block(state, padding)
        return state


class MultiResidualConvolution(nn.Module):
    """One channel per kernel, each a convolution and residual blocks; the channels' states side by side.

    Args:
        input_size: of the states or word vectors that it reads.
        widths: output channels of the residual blocks of every channel, in order; the paper's one block has 50.
        kernels: one channel each.
        dropout: after every block.
    """

    def __init__(
        self,
        input_size: int,
        *,
        widths: tuple[int, ...] = (50,),
        kernels: tuple[int, ...] = KERNELS,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        sizes = (input_size, *widths)
        self.output_size = sizes[-1] * len(kernels)
        self.channels = nn.ModuleList(_Channel(sizes, kernel, dropout) for kernel in kernels)

    def forward(self, hidden: Hidden, mask: Bool[Tensor, "batch token"]) -> Convolved:
        """States of every channel side by side, zero at padding."""
        if hidden.numel() == 0:
            return hidden.new_zeros(*hidden.shape[:2], self.output_size)
        padding = padding_of(mask)
        return zero_padding(torch.cat([channel(hidden, padding) for channel in self.channels], -1), padding)


class Convolution(Encoder):
    """CAML's encoder: ``h_t = tanh(W * x_{t:t+k-1} + b)`` over word vectors (eq. 1).

    Reference: Mullenbach et al. 2018, arXiv:1802.05695.

    Differs from the paper: an even kernel does not add a state (the released code pads by half the kernel on both
    sides, which gives one state more than there are words).

    Args:
        words: the word vectors.
        word_size: their width.
        filters: width of a state.
        kernel: words that one state sees.
    """

    def __init__(self, words: WordEmbedding, word_size: int, *, filters: int = 50, kernel: int = 10) -> None:
        super().__init__(filters)
        self.words = words
        self.convolution = TokenConvolution(word_size, filters, kernel)
        nn.init.xavier_uniform_(self.convolution.weight)

    def forward(self, batch: Batch) -> EncoderOutput:
        """See ``Encoder``."""
        words = self.words(batch)
        if words.numel() == 0:
            return EncoderOutput(words.new_zeros(*batch.mask.shape, self.hidden_size), batch.mask)
        padding = padding_of(batch.mask)
        hidden = self.convolution(words, padding).tanh()
        return EncoderOutput(zero_padding(hidden, padding), batch.mask)


class MultiResidual(Encoder):
    """MultiResCNN's encoder over word vectors.

    Reference: Li and Yu 2020, arXiv:1912.00862.

    Differs from the paper: padding is zeroed before every convolution and left out of the statistics of batch
    normalisation (the released code lets it into both, and into the attention).

    Args:
        words: the word vectors.
        word_size: their width.
        widths, kernels, dropout: see ``MultiResidualConvolution``.
    """

    def __init__(
        self,
        words: WordEmbedding,
        word_size: int,
        *,
        widths: tuple[int, ...] = (50,),
        kernels: tuple[int, ...] = KERNELS,
        dropout: float = 0.2,
    ) -> None:
        convolution = MultiResidualConvolution(word_size, widths=widths, kernels=kernels, dropout=dropout)
        super().__init__(convolution.output_size)
        self.words = words
        self.convolution = convolution

    def forward(self, batch: Batch) -> EncoderOutput:
        """See ``Encoder``."""
        return EncoderOutput(self.convolution(self.words(batch), batch.mask), batch.mask)
