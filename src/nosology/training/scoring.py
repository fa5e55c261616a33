"""Scores of encounters from a trained model, as they come: nothing is kept but a window of encounters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nosology.errors import ConfigError
from nosology.model import Batch, HeadOutput
from nosology.preprocessing.batching import BatchSize, plan_reading
from nosology.preprocessing.tokenization import TokenizedEncounter, Tokenizer
from nosology.types import Encounter

DEFAULT_SIZE = BatchSize(32_768, 16)
_WINDOW = 16  # batches' worth of encounters that are sorted by length together


@dataclass(frozen=True, slots=True, eq=False)
class EncounterScores:
    """What a model says of one encounter.

    Args:
        tokens: what it read, with the way back to the notes' characters.
        labels: label numbers; int64. Empty for an encounter without a token.
        scores: of these labels, in [0, 1]; float32.
    """

    tokens: TokenizedEncounter
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]

    @property
    def encounter_id(self) -> str:
        return self.tokens.encounter_id


def predict_scores(
    model: nn.Module,
    encounters: Iterable[Encounter],
    tokenizer: Tokenizer,
    *,
    labels: Sequence[int] | None = None,
    top: int | None = None,
    max_tokens: int | None = None,
    size: BatchSize = DEFAULT_SIZE,
) -> Iterator[EncounterScores]:
    """Score encounters in their order, on the device that the model is on.

    Args:
        model: gives ``HeadOutput``; put into evaluation mode.
        encounters: read as a stream.
        tokenizer: the one it was trained with.
        labels: score these candidates alone, in their order; ``None``: all labels.
        top: keep the highest scores of each encounter, best first; ``None``: all.
        max_tokens: tokens read of an encounter; as in training.
        size: of a batch.

    Raises:
        ConfigError: ``labels`` is empty.
    """
    if labels is not None and not len(labels):
        raise ConfigError("no candidate labels to score; give label numbers, or None for all")
    model.eval()
    device = next(model.parameters()).device
    candidates = None if labels is None else torch.tensor(list(labels), device=device)
    tokenized = tokenizer.encode_many(encounters, max_tokens)
    while window := list(islice(tokenized, size.encounters * _WINDOW)):
        found = dict[int, EncounterScores]()
        lengths = np.array([len(tokens) for tokens in window])
        for rows in plan_reading(lengths, size):
            batch = pad_tokens([window[row] for row in rows.tolist()], tokenizer.pad_id, device)
            for row, scores in zip(rows.tolist(), _scores(model, batch, candidates, top), strict=True):
                found[row] = EncounterScores(window[row], *scores)
        nothing = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        yield from (found.get(row) or EncounterScores(tokens, *nothing) for row, tokens in enumerate(window))


def pad_tokens(encounters: Sequence[TokenizedEncounter], pad_id: int, device: torch.device | str) -> Batch:
    """Encounters side by side, as a model reads them."""
    longest = max(len(tokens) for tokens in encounters)
    ids = np.full((len(encounters), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(encounters), longest), dtype=np.bool_)
    for row, tokens in enumerate(encounters):
        ids[row, : len(tokens)] = tokens.token_ids
        mask[row, : len(tokens)] = True
    return Batch(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device))


@torch.no_grad()
def _scores(
    model: nn.Module, batch: Batch, candidates: Tensor | None, top: int | None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    logits = cast(HeadOutput, cast(Any, model)(batch, candidates)).logits.float()
    numbers = torch.arange(logits.shape[1], device=logits.device) if candidates is None else candidates
    if top is None:
        scores = torch.sigmoid(logits).cpu().numpy()
        labels = numbers.cpu().numpy()
        return ((labels, row) for row in scores)
    best = torch.topk(logits, min(top, logits.shape[1]), dim=1)
    return zip(numbers[best.indices].cpu().numpy(), torch.sigmoid(best.values).cpu().numpy(), strict=True)


@torch.no_grad()
def attended_tokens(
    model: nn.Module, tokens: TokenizedEncounter, labels: Sequence[int], *, top: int, pad_id: int = 0
) -> dict[int, list[tuple[int, float]]]:
    """By label, the tokens that its attention rests on, with their weights, heaviest first.

    Args:
        model: has attention per label (``attend``); put into evaluation mode.
        tokens: an encounter with at least one token, e.g. ``EncounterScores.tokens``.
        labels: label numbers.
        top: tokens a label, at most.
        pad_id: the tokenizer's.

    Raises:
        ConfigError: the head has no attention per label.
    """
    model.eval()
    device = next(model.parameters()).device
    batch = pad_tokens([tokens], pad_id, device)
    weights, places = cast(Any, model).attend(batch, torch.tensor(list(labels), device=device), min(top, len(tokens)))
    rows = zip(labels, cast(Tensor, weights)[0].tolist(), cast(Tensor, places)[0].tolist(), strict=True)
    return {
        label: [(place, weight) for weight, place in zip(own, where, strict=True) if place >= 0]
        for label, own, where in rows
    }
