"""Losses for the long tail as the loss of label attention in a language model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from llm_pieces import FAMILIES, NEW, WORDS, config, fresh, learning, predictor_of, quiet, recipe

from nosology.cli.main import run
from nosology.coder import Coder
from nosology.config.architectures import LabelAttentionConfig, MultiResCnnConfig
from nosology.config.llm import LlmConfig, LoraConfig
from nosology.config.losses import (
    AsymmetricConfig,
    BceConfig,
    ContrastiveConfig,
    GhmConfig,
    HierarchicalConfig,
    LossConfig,
    MfmConfig,
    RDropConfig,
    SegmentedHarmonicConfig,
    ZlprConfig,
)
from nosology.encoders.base import Batch
from nosology.errors import ConfigError, ModelError
from nosology.heads.label_attention import LabelAttention
from nosology.llm.language_coder import LanguageCoder
from nosology.losses.base import Loss
from nosology.losses.best_constants import best_constants
from nosology.neural.learning import NetworkLoss
from nosology.neural.network import as_encounter
from nosology.predictor import Progress
from nosology.training.objective import LabelObjective, Targets
from nosology.training.scoring import pad_tokens
from tiny_corpus import make_corpus, training_set

EXAMPLES = training_set(make_corpus(16).encounters).examples
LOSSES: tuple[LossConfig, ...] = (
    BceConfig(),
    BceConfig(smoothing=0.1, reduction="sum"),
    AsymmetricConfig(),
    MfmConfig(),
    GhmConfig(),
    ZlprConfig(),
    SegmentedHarmonicConfig(),
    HierarchicalConfig(),
)


def begun(llm: LlmConfig) -> tuple[LanguageCoder, NetworkLoss]:
    coder, _, loss = LanguageCoder.fresh(EXAMPLES, llm, WORDS, 0)
    return coder, loss


def on_some_notes(llm: LlmConfig) -> tuple[LanguageCoder, NetworkLoss, Batch, Targets]:
    """A model that is not trained, with its loss, and some notes with their codes."""
    coder, loss = begun(llm)
    tokens = list(coder.tokenizer.encode_many(map(as_encounter, EXAMPLES[:5]), coder.note_tokens))
    gold = torch.tensor([[label in example.code_set for label in coder.labels] for example in EXAMPLES[:5]]).float()
    return coder, loss, pad_tokens(tokens, coder.tokenizer.pad_id, "cpu"), Targets(gold)


def terms_of(llm: LlmConfig) -> tuple[LanguageCoder, NetworkLoss, Targets, dict[str, torch.Tensor]]:
    """A model that is not trained, and the terms of its loss on some notes."""
    coder, loss, batch, targets = on_some_notes(llm)
    terms = LabelObjective(loss.function)(coder.model, batch, targets)
    coder.model.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    with torch.no_grad():
        encoded = coder.model.encoder(batch)
        assert coder.model.head is not None
        terms = {**terms, "logits": coder.model.head(encoded.hidden, encoded.mask).logits}
    return coder, loss, targets, terms


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.kind}")
def test_a_loss_is_that_of_the_heads_logits(family: str, loss: LossConfig) -> None:
    coder, made, targets, terms = terms_of(config(family, loss=loss))
    if isinstance(made.function, Loss):  # what remembers batches begins anew
        made = begun(config(family, loss=loss))[1]
    assert torch.allclose(terms["labels"], made.function(terms["logits"], targets.labels), rtol=1e-4)
    assert "generation" in terms
    gradients = [value.grad for value in coder.model.parameters() if value.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0


def test_two_passes_agree_without_dropout() -> None:
    llm = config("t5", loss=RDropConfig(weight=2.0))
    assert terms_of(llm)[3]["agreement"].item() == pytest.approx(0.0, abs=1e-9)
    llm = replace(llm, backbone=fresh("t5", dropout=0.3))
    assert terms_of(llm)[3]["agreement"].item() > 1e-9


def test_notes_are_drawn_to_their_labels() -> None:
    assert terms_of(config("t5", loss=ContrastiveConfig()))[3]["alignment"].item() > 0
    with pytest.raises(ConfigError, match="no label vectors of its states' width"):
        terms_of(config("t5", loss=ContrastiveConfig(), head=MultiResCnnConfig(width=16, widths=(8,))))


@pytest.mark.parametrize("loss", [BceConfig(), AsymmetricConfig()], ids=lambda loss: loss.kind)
def test_biases_start_where_the_loss_rests(loss: LossConfig) -> None:
    llm = replace(config(), loss=loss, head=LabelAttentionConfig(bias="prior"))
    coder, function = begun(llm)
    head = coder.model.head
    assert isinstance(head, LabelAttention)
    expected = best_constants(function.function, list(coder.label_counts.values()), len(EXAMPLES))
    torch.testing.assert_close(head.bias.detach(), expected)
    assert expected.abs().max() > 0.1
    plain, _ = begun(replace(llm, head=LabelAttentionConfig()))
    assert isinstance(plain.model.head, LabelAttention)
    assert not plain.model.head.bias.any()


def test_writing_alone_has_no_loss_of_labels() -> None:
    with pytest.raises(ConfigError, match='loss of kind "asymmetric" is for label attention, which task = "gen" has'):
        config(task="gen", loss=AsymmetricConfig())
    coder, loss, batch, targets = on_some_notes(config(task="gen"))
    assert coder.model.head is None
    assert set(LabelObjective(loss.function)(coder.model, batch, targets)) == {"generation"}


def test_segments_are_kept_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    llm = config("t5", task="att", loss=SegmentedHarmonicConfig(), trainer=learning(1))
    coder = Coder.fit(make_corpus(16), recipe(llm), work=tmp_path / "work")
    coder.save(tmp_path / "model")
    again = Coder.from_pretrained(tmp_path / "model")
    assert [again.code(one) for one in NEW] == [coder.code(one) for one in NEW]
    segments = predictor_of(again).coder.segmentation
    assert segments is not None
    assert list(segments.labels) == predictor_of(coder).coder.labels
    assert run(["segments", "show", str(tmp_path / "model"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["segment"] - 1 for row in shown["labels"]] == segments.segment_of.tolist()
    weights = np.array([row["weight"] for row in shown["labels"]])
    for number in range(len(segments)):
        assert weights[segments.segment_of == number].mean() == pytest.approx(1.0)
    with pytest.raises(ModelError, match="another loss"):
        Coder.fit(make_corpus(16), recipe(replace(llm, loss=AsymmetricConfig())), work=tmp_path / "work")


def test_without_segments_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Coder.fit(make_corpus(12), recipe(config("t5", task="att", trainer=learning(1)))).save(tmp_path / "model")
    assert run(["segments", "show", str(tmp_path / "model")]) == 2
    assert "this model has no segments: its loss weighs no labels by segments" in capsys.readouterr().err


@pytest.mark.parametrize("loss", [AsymmetricConfig(), RDropConfig(base=GhmConfig())], ids=lambda loss: f"{loss.kind}")
def test_a_stopped_training_goes_on_exactly(loss: LossConfig, tmp_path: Path) -> None:
    """What a loss remembers of earlier batches, too."""
    llm = config("t5", tuning=LoraConfig(rank=2), loss=loss, validation="att")
    llm = replace(llm, trainer=replace(learning(2), checkpoint_steps=1, log_steps=1))

    class StoppedError(Exception):
        pass

    def stopping(stage: str, share: float) -> None:
        if "step 3/" in stage:
            raise StoppedError

    def fitted(folder: Path, tell: Progress) -> dict[str, torch.Tensor]:
        coder, _ = LanguageCoder.fit(EXAMPLES, EXAMPLES[:4], llm, WORDS, seed=0, folder=folder, tell=tell)
        return coder.model.state_dict()

    whole = fitted(tmp_path / "whole", quiet)
    with pytest.raises(StoppedError):
        fitted(tmp_path / "stopped", stopping)
    again = fitted(tmp_path / "stopped", quiet)
    assert all(torch.equal(again[name], value) for name, value in whole.items())
