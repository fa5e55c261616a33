"""Tiny language models with random weights, their tokenizer and labels."""

from __future__ import annotations

from functools import cache

import torch

from nosology.codes.titles import TitleTable
from nosology.config.llm import (
    BackboneConfig,
    DecodingConfig,
    FreshBackboneConfig,
    FullTuningConfig,
    LlmConfig,
    TuningConfig,
)
from nosology.config.trainer import TrainerConfig
from nosology.encoders.base import Batch
from nosology.knowledge.wordings import Wordings
from nosology.llm.backbone import Backbone
from nosology.llm.loading import build_backbone
from nosology.llm.parsing import CodeReader
from nosology.llm.prompts import Answers, Prompt
from nosology.preprocessing.subword_tokenizer import SubwordTokenizer
from nosology.training.scoring import pad_tokens
from tiny_corpus import WORDINGS, make_corpus

FAMILIES = ("t5", "llama")
LABELS = sorted(WORDINGS)
COUNTS = {code: 10 + 7 * number % 5 for number, code in enumerate(LABELS)}
TITLES = TitleTable((code, "icd10cm", WORDINGS[code][0]) for code in LABELS)
WORDS = Wordings(TITLES)


def fresh(family: str, **more: object) -> FreshBackboneConfig:
    sizes = {"hidden": 32, "layers": 2, "heads": 2, "feed_forward": 64, "dropout": 0.0, "vocabulary_size": 400}
    return FreshBackboneConfig(family=family, **{**sizes, **more})  # type: ignore[arg-type]


@cache
def tokenizer() -> SubwordTokenizer:
    return SubwordTokenizer.fit(make_corpus(30), algorithm="byte_bpe", vocabulary_size=400, lower=False)


def backbone(family: str, *, seed: int = 0, spread: float = 1.0, tuning: TuningConfig | None = None) -> Backbone:
    """With random weights; ``spread`` above 1 makes it surer of what it writes."""
    torch.manual_seed(seed)
    built = build_backbone(fresh(family), tuning or FullTuningConfig(), tokenizer()).eval()
    if spread != 1.0:
        with torch.no_grad():
            for value in built.parameters():
                value.mul_(spread)
    return built


def prompt(built: Backbone, number: int = 1) -> Prompt:
    return Prompt.of(tokenizer(), number, LABELS, TITLES, built.prompt_end)  # type: ignore[arg-type]


def answers(built: Backbone, number: int = 1, labels: int = len(LABELS)) -> Answers:
    counts = {code: COUNTS[code] for code in LABELS[:labels]}
    return Answers.of(tokenizer(), number, counts, TITLES, "frequency", built.end)  # type: ignore[arg-type]


def notes(count: int = 3, most: int | None = None) -> Batch:
    encoded = list(tokenizer().encode_many(make_corpus(count).encounters, most))
    return pad_tokens(encoded, tokenizer().pad_id, "cpu")


def reader() -> CodeReader:
    return CodeReader(LABELS)


def config(family: str = "t5", **more: object) -> LlmConfig:
    trainer = TrainerConfig(epochs=2, learning_rate=3e-3, encounters_per_batch=8, patience=0, weight_decay=0.0)
    own: dict[str, object] = {"window": 256, "decoding": DecodingConfig(beams=2), "trainer": trainer}
    chosen: BackboneConfig = fresh(family)
    return LlmConfig(backbone=chosen, **{**own, **more})  # type: ignore[arg-type]
