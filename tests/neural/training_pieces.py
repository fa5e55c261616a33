"""A tiny model of the shape that the loop trains, made-up encounters, and a subprocess that trains them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from nosology.config.trainer import TrainerConfig
from nosology.encoders.embedding import WordEmbedding
from nosology.encoders.recurrent import BiLstm
from nosology.heads.label_attention import LabelAttention
from nosology.model import Batch, CodingModel, GoldEvidence, HeadOutput
from nosology.preprocessing.word_tokenizer import WordTokenizer
from nosology.training.trainer import Trainer
from nosology.types import Encounter, Evidence, GoldCode, Note, Span

LABELS = tuple(f"C{number:02d}" for number in range(8))
FILLER = ("the", "patient", "was", "seen", "today", "and", "rested", "well", "without", "change")


def make_encounters(count: int, seed: int = 0, *, longest: int = 30, prefix: str = "e") -> list[Encounter]:
    """Notes of filler words, each with the words of its codes, which are marked as evidence."""
    random, found = Random(seed), list[Encounter]()
    for number in range(count):
        codes = random.sample(range(len(LABELS)), random.randint(1, 3))
        words = [random.choice(FILLER) for _ in range(random.randint(3, longest))]
        for code in codes:
            words.insert(random.randrange(len(words) + 1), f"sign{code:02d}x")
        text = " ".join(words)
        golds = []
        for code in codes:
            start = text.index(f"sign{code:02d}x")
            golds.append(GoldCode(LABELS[code], "icd10cm", (Evidence(f"n{number}", (Span(start, start + 7),)),)))
        found.append(Encounter(f"{prefix}{number}", (Note(f"n{number}", text),), tuple(golds), f"p{number}"))
    return found


class TinyHead(nn.Module):
    """Attention over tokens for every label."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(labels, width) * 0.1)
        self.outputs = nn.Parameter(torch.randn(labels, width) * 0.1)
        self.bias = nn.Parameter(torch.zeros(labels))

    def weights(self, hidden: Tensor, mask: Tensor) -> Tensor:
        scores = hidden @ self.queries.T
        return scores.masked_fill(~mask[..., None], float("-inf")).softmax(dim=1)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        states = self.weights(hidden, mask).transpose(1, 2) @ hidden
        return (states * self.outputs).sum(dim=-1) + self.bias


class TinyModel(nn.Module):
    """Embedding, dropout, one layer, label attention; a part that never gets a gradient, as poolers of BERT."""

    def __init__(self, words: int, labels: int = len(LABELS), width: int = 16, dropout: float = 0.2) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Embedding(words, width, padding_idx=0), nn.Dropout(dropout), nn.Linear(width, width)
        )
        self.unused = nn.Linear(width, width)
        self.head = TinyHead(width, labels)
        self.label_count = labels

    def _encode(self, batch: Batch) -> Tensor:
        return torch.tanh(self.encoder(batch.token_ids)) * batch.mask[..., None]

    def forward(self, batch: Batch, labels: Tensor | None = None) -> HeadOutput:
        logits = self.head(self._encode(batch), batch.mask)
        return HeadOutput(logits if labels is None else logits[:, labels])

    def forward_with_evidence(self, batch: Batch, evidence: GoldEvidence) -> tuple[HeadOutput, Tensor]:
        hidden = self._encode(batch)
        weights = self.head.weights(hidden, batch.mask)
        found = weights[evidence.notes, :, evidence.labels]
        missed = -torch.log((found * evidence.tokens).sum(dim=1) + 1e-6).mean()
        return HeadOutput(self.head(hidden, batch.mask)), missed

    def attend(self, batch: Batch, labels: Tensor, top: int) -> tuple[Tensor, Tensor]:
        weights = self.head.weights(self._encode(batch), batch.mask)[:, :, labels].transpose(1, 2)
        best = weights.topk(top, dim=2)
        return best.values, best.indices


def make_tokenizer(encounters: list[Encounter]) -> WordTokenizer:
    return WordTokenizer.fit(encounters, least_notes=1)


TRAIN, DEV = make_encounters(60), make_encounters(20, 1, prefix="d")
TOKENIZER = make_tokenizer(TRAIN)
TRAINER = Trainer(TOKENIZER, LABELS)


def make_model(tokenizer: WordTokenizer, seed: int = 0, **options: Any) -> TinyModel:
    torch.manual_seed(seed)
    return TinyModel(tokenizer.vocabulary_size, **options)


def make_laat(tokenizer: WordTokenizer) -> CodingModel:
    """A small model of the package's own parts, whose loss and gradients come from one pass."""
    torch.manual_seed(0)
    words = WordEmbedding(tokenizer.vocabulary_size, 6, dropout=0.1)
    return CodingModel(
        BiLstm(words, 6, size=5, segment_tokens=7), LabelAttention(10, len(LABELS), attention_size=4, std=0.3)
    )


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of them."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def assert_equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor], tolerance: float = 0.0) -> None:
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=tolerance, rtol=0.0)


def make_config(**options: Any) -> TrainerConfig:
    """Small and quick; what is given takes the place of the defaults."""
    own: dict[str, Any] = {
        "epochs": 3,
        "learning_rate": 0.01,
        "encounters_per_batch": 8,
        "tokens_per_batch": 400,
        "patience": 0,
        "device": "cpu",
        "log_steps": 2,
    }
    return TrainerConfig(**{**own, **options})


def environment(**more: str) -> dict[str, str]:
    """Of a subprocess: it finds this folder, and computes with one thread."""
    folder = str(Path(__file__).parent)
    return {**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **more}


def run_script(script: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment(**more), check=False, timeout=300)
