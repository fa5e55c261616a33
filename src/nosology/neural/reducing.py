"""Principal components of a frozen encoder's states before training, and what any reduction loses of them after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from nosology.config.trainer import TrainerConfig
from nosology.heads.multirescnn import MultiResCnn
from nosology.heads.narrowing import Moments, PrincipalComponents, normalised
from nosology.model import CodingModel
from nosology.predictor import Progress
from nosology.preprocessing.tokenization import Tokenizer
from nosology.training.scoring import pad_tokens
from nosology.types import Encounter

_MOST = 2000
"""Encounters that are looked at, evenly drawn."""


def fit_reduction(
    model: CodingModel, tokenizer: Tokenizer, encounters: Sequence[Encounter], config: TrainerConfig, tell: Progress
) -> None:
    """Give a head that narrows by principal components those of the encoder's states; other heads are left alone.

    Args:
        model: with a frozen encoder.
        tokenizer: the encoder's.
        encounters: learnt from.
        config: how long notes are.
        tell: told what is being done.
    """
    head = model.head
    if not isinstance(head, MultiResCnn) or not isinstance(head.narrow, PrincipalComponents):
        return
    moments = Moments.empty(head.hidden_size)
    for share, states in _states(model, tokenizer, encounters, config):
        tell("principal components", share)
        moments.add(normalised(states[0]))
    head.narrow.fit(moments)


def told_loss(
    model: CodingModel, tokenizer: Tokenizer, encounters: Sequence[Encounter], config: TrainerConfig
) -> str | None:
    """How much of the states a head's reduction loses, in a line; none for heads that do not narrow.

    The share of the variance of the normalised states that the best linear function of the narrowed ones leaves over.

    Args:
        model: in evaluation mode.
        tokenizer: the encoder's.
        encounters: that it did not learn from.
        config: how long notes are.
    """
    head = model.head
    if not isinstance(head, MultiResCnn) or not encounters:
        return None
    moments = Moments.empty(head.narrow.width + head.hidden_size)
    for _, states in _states(model, tokenizer, encounters, config):
        mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
        with torch.no_grad():
            narrow = head.narrow(states, mask)
        moments.add(torch.cat((narrow[0], normalised(states[0])), 1))
    return (
        f"states narrowed from {head.hidden_size} to {head.narrow.width}: the best linear reconstruction leaves "
        f"{100 * moments.lost(head.narrow.width):.1f} % of their variance on held-out notes"
    )


def _states(
    model: CodingModel, tokenizer: Tokenizer, encounters: Sequence[Encounter], config: TrainerConfig
) -> Iterator[tuple[float, Tensor]]:
    """The share done, and the states of one encounter with tokens, ``[1, token, hidden]``."""
    step = max(1, len(encounters) // _MOST)
    chosen = encounters[::step]
    device = next(model.parameters()).device
    for number, tokens in enumerate(tokenizer.encode_many(chosen, config.max_tokens)):
        if len(tokens):
            with torch.no_grad():
                states = model.encoder(pad_tokens([tokens], tokenizer.pad_id, device)).hidden
            yield number / len(chosen), states
