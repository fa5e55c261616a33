"""Long notes as overlapping chunks, and the chunks' states merged back to one state per token.

The cuts depend on positions in the note alone, never on the batch, so they change no note's states. A token that two
chunks hold takes its state from the one in which it lies further from the edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Chunks:
    """The chunks of a batch that hold a real token.

    Args:
        positions: which token of the note each place holds; at an empty place, any.
        mask: true where a place holds a real token.
        notes: the chunk's row in the batch.
        kept: true where the place's state is the token's state.
    """

    positions: Int[Tensor, "chunk place"]
    mask: Bool[Tensor, "chunk place"]
    notes: Int[Tensor, " chunk"]
    kept: Bool[Tensor, "chunk place"]


def cut(mask: Bool[Tensor, "batch token"], size: int, overlap: int) -> Chunks:
    """Cut every note of a batch into chunks.

    Args:
        mask: true where a real token stands.
        size: tokens of a chunk.
        overlap: tokens that neighbouring chunks share; less than ``size``.
    """
    tokens, step = mask.shape[1], size - overlap
    size, place = min(size, tokens), torch.arange(min(size, tokens), device=mask.device)
    ends = (mask * torch.arange(1, tokens + 1, device=mask.device)).amax(1) if tokens else mask.sum(1)
    counts = (ends - overlap + step - 1).div(step, rounding_mode="floor").clamp(min=1)
    numbers = torch.arange(int(counts.max()) if len(counts) else 0, device=mask.device)
    positions = numbers[:, None] * step + place
    real = mask[:, positions.clamp(max=max(tokens - 1, 0))] & (positions < tokens)
    real &= (numbers < counts[:, None])[..., None]
    first, last = (numbers == 0)[None, :, None], (numbers == counts[:, None] - 1)[..., None]
    half = overlap // 2
    kept = real & (first | (place >= half)) & (last | (place < size - (overlap - half)))
    notes, chosen = real.any(-1).nonzero(as_tuple=True)
    found = positions[chosen].clamp(max=max(tokens - 1, 0))
    return Chunks(found, real[notes, chosen], notes, kept[notes, chosen])


def merge(
    states: Float[Tensor, "chunk place hidden"], chunks: Chunks, mask: Bool[Tensor, "batch token"]
) -> Float[Tensor, "batch token hidden"]:
    """One state per token from the states of chunks; zero at padding."""
    merged = states.new_zeros(*mask.shape, states.shape[-1])
    notes = chunks.notes[:, None].expand_as(chunks.kept)
    return merged.index_put((notes[chunks.kept], chunks.positions[chunks.kept]), states[chunks.kept])
