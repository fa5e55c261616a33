"""Tiny language models with random weights, their tokenizer and labels."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch

from nosology.coder import Coder
from nosology.codes.titles import TitleTable
from nosology.config import KnowledgeConfig, LlmModelConfig, Recipe, SimulatedConfig
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
from nosology.llm.language_coder import LanguageCoder
from nosology.llm.loading import build_backbone
from nosology.llm.parsing import CodeReader
from nosology.llm.predictor import LlmPredictor
from nosology.llm.prompts import Answers, Prompt
from nosology.preprocessing.subword_tokenizer import SubwordTokenizer
from nosology.preprocessing.tokenization import TokenizedEncounter
from nosology.training.scoring import pad_tokens
from tiny_corpus import WORDINGS, make_corpus, make_encounter, training_set

FAMILIES = ("t5", "llama")
LABELS = sorted(WORDINGS)
COUNTS = {code: 10 + 7 * number % 5 for number, code in enumerate(LABELS)}
TITLES = TitleTable((code, "icd10cm", WORDINGS[code][0]) for code in LABELS)
WORDS = Wordings(TITLES)
NEW = [make_encounter(number) for number in range(200, 206)]


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


def recipe(llm: LlmConfig) -> Recipe:
    return Recipe(SimulatedConfig(), model=LlmModelConfig(llm=llm), knowledge=KnowledgeConfig())


def quiet(stage: str, share: float) -> None:
    """Progress for nobody."""


def micro_f1(scores: np.ndarray | None, gold: np.ndarray) -> float:
    assert scores is not None
    said = scores >= 0.5
    return float(2 * (said & gold).sum() / (said.sum() + gold.sum()))


def learning(epochs: int, rate: float = 5e-3) -> TrainerConfig:
    return TrainerConfig(
        epochs=epochs,
        learning_rate=rate,
        encounters_per_batch=8,
        patience=0,
        weight_decay=0.0,
        schedule="cosine",
        warmup_steps=10,
    )


def overfitted(llm: LlmConfig, folder: Path) -> tuple[LanguageCoder, float | None, float | None]:
    """A model fitted to 32 notes, and what its readings come to on them."""
    examples = training_set(make_corpus(32).encounters).examples
    coder, _ = LanguageCoder.fit(examples, (), llm, WORDS, seed=0, folder=folder, tell=quiet)
    gen, att = coder.read_many(examples, quiet)
    gold = np.array([[label in example.code_set for label in coder.labels] for example in examples])
    return coder, gen if gen is None else micro_f1(gen, gold), att if att is None else micro_f1(att, gold)


def predictor_of(coder: Coder) -> LlmPredictor:
    assert isinstance(coder.predictor, LlmPredictor)
    return coder.predictor


def one_note(tokens: TokenizedEncounter) -> Batch:
    """A note alone."""
    return pad_tokens([tokens], 0, "cpu")
