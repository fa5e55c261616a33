"""What a head is told of its labels: descriptions to start from, ancestors, categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

from torch import Tensor

from nosology.builders import Labels, number_names, number_paths
from nosology.config.architectures import (
    DirectConfig,
    HeadConfig,
    JointLabelAttentionConfig,
    SynonymAttentionConfig,
)
from nosology.encoders.base import Encoder
from nosology.encoders.descriptions import description_vectors
from nosology.knowledge.wordings import Wordings
from nosology.losses.best_constants import best_constants
from nosology.preprocessing.tokenization import Tokenizer
from nosology.training.objective import LossFunction
from nosology.training.scoring import pad_tokens
from nosology.types import Encounter, Note

_TITLES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class FreshStart:
    """What a network that has learnt nothing yet may start from.

    Args:
        wordings: of the codes, where label queries start from descriptions.
        loss: that it will be trained with, where biases start from what costs least.
        notes: to learn from.
    """

    wordings: Wordings
    loss: LossFunction
    notes: int


def known_labels(
    head: HeadConfig,
    encoder: Encoder,
    tokenizer: Tokenizer,
    counts: Mapping[str, int],
    start: FreshStart | None,
    *,
    max_tokens: int,
) -> Labels:
    """What the head needs of its labels, and no more.

    Args:
        head: of the network.
        encoder: reads descriptions, where label queries start from them.
        tokenizer: the encoder's.
        counts: of training notes with each code, in the order of the outputs.
        start: what fresh parameters start from; ``None``: stored ones will take their place, see ``without_starts``.
        max_tokens: read of a description.
    """
    labels = list(counts)
    described = _describe(head, encoder, tokenizer, labels, start.wordings, max_tokens) if start else None
    paths = [_ancestors(code) for code in labels]
    joint, tied = isinstance(head, JointLabelAttentionConfig), getattr(head, "tied", False)
    from_prior = getattr(head, "bias", "plain") == "prior"
    return Labels(
        len(labels),
        described,
        number_paths(paths) if tied else None,
        number_names([path[-1] for path in paths]) if joint else None,
        best_constants(start.loss, list(counts.values()), start.notes) if start and from_prior else None,
    )


def without_starts(head: HeadConfig) -> HeadConfig:
    """The same shapes without what only fresh parameters need."""
    if hasattr(head, "queries"):
        head = replace(head, queries="random")
    return replace(head, bias="plain") if hasattr(head, "bias") else head


def _describe(
    head: HeadConfig,
    encoder: Encoder,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    wordings: Wordings,
    max_tokens: int,
) -> Tensor | None:
    """The mean state of each label's title, ``[label, _]``, or of each of its synonyms, ``[label, synonym, _]``, where
    label queries start from them. A label with fewer synonyms than the head has vectors for has them in turn."""
    if isinstance(head, DirectConfig) or head.queries == "random":
        return None
    if not isinstance(head, SynonymAttentionConfig):
        return _vectors(encoder, tokenizer, max_tokens, [wordings.title(code) for code in labels])
    known = (wordings.synonyms(code, head.synonyms) for code in labels)
    texts = [text for found in known for text in islice(cycle(found), head.synonyms)]
    return _vectors(encoder, tokenizer, max_tokens, texts).view(len(labels), head.synonyms, -1)


def _vectors(encoder: Encoder, tokenizer: Tokenizer, max_tokens: int, texts: Sequence[str]) -> Tensor:
    notes = [Encounter(str(row), (Note(str(row), text),)) for row, text in enumerate(texts)]
    tokenized = list(tokenizer.encode_many(notes, max_tokens))
    parts = [tokenized[start : start + _TITLES_AT_ONCE] for start in range(0, len(tokenized), _TITLES_AT_ONCE)]
    return description_vectors(encoder, (pad_tokens(part, tokenizer.pad_id, "cpu") for part in parts))


def _ancestors(code: str) -> list[str]:
    """The codes above a code, by its characters, up to the category: E11.65 -> E11.6, E11."""
    return [code[:length].rstrip(".") for length in range(len(code) - 1, 2, -1) if code[length - 1] != "."] or [code]
