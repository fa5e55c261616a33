"""Vectors of single sentences by a network that reads them: MiniLM, or any encoder of the transformers library."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from nosology.builders import build_encoder
from nosology.config.architectures import TransformerConfig
from nosology.encoders.base import Encoder
from nosology.encoders.descriptions import description_vectors
from nosology.preprocessing.subword_tokenizer import SubwordTokenizer
from nosology.training.scoring import pad_tokens
from nosology.types import Encounter, Note

_TOKENS_A_BATCH = 4096
_TOKENS_A_TEXT = 128


class SentenceEncoder:
    """The mean state of a text's tokens, scaled to length 1.

    Args:
        name: "minilm", a folder, or owner/name on the model hub.

    Raises:
        ConfigError: there is no such encoder.
    """

    def __init__(self, name: str) -> None:
        self.key = f"{name}-mean-{_TOKENS_A_TEXT}"
        self._encoder: Encoder = build_encoder(TransformerConfig(name=name, overlap_tokens=0, frozen=True))
        self._tokenizer = SubwordTokenizer.from_pretrained(name)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._encoder.to(self._device).eval()

    @property
    def size(self) -> int:
        """Width of a vector."""
        return self._encoder.hidden_size

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text; texts of like length are read side by side, and the end of a very long one is cut off."""
        tokenized = [self._tokenizer.encode(_alone(text), _TOKENS_A_TEXT) for text in texts]
        order = sorted(range(len(texts)), key=lambda row: len(tokenized[row]))
        vectors = np.zeros((len(texts), self.size), dtype=np.float32)
        for rows in _batches(order, [len(tokens) for tokens in tokenized]):
            batch = pad_tokens([tokenized[row] for row in rows], self._tokenizer.pad_id, self._device)
            means = torch.nn.functional.normalize(description_vectors(self._encoder, [batch]).float(), dim=1)
            vectors[rows] = means.cpu().numpy()
        return vectors


def _alone(text: str) -> Encounter:
    return Encounter("text", (Note("text", text),))


def _batches(order: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Rows of rising length, so many together that their padded tokens stay below the limit; empty texts in none."""
    batches = list[list[int]]()
    for row in order:
        if not lengths[row]:
            continue
        if not batches or (len(batches[-1]) + 1) * lengths[row] > _TOKENS_A_BATCH:
            batches.append([])
        batches[-1].append(row)
    return batches
