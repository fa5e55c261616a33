"""Losses in the trainer and in recipes: exact resuming, sampling, the head trained again, folders and commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_pieces import LABELS, make_config, make_encounters, make_model, make_tokenizer

from nosology.cli.main import run
from nosology.coder import Coder
from nosology.config import NetworkConfig, NeuralConfig, Recipe, SimulatedConfig, load_recipe, to_toml
from nosology.config.architectures import ConvolutionConfig, DirectConfig, LabelAttentionConfig
from nosology.config.loss_terms import SegmentationConfig
from nosology.config.losses import (
    AsymmetricConfig,
    BceConfig,
    ContrastiveConfig,
    DecoupledConfig,
    FocalConfig,
    GhmConfig,
    HierarchicalConfig,
    LossConfig,
    RDropConfig,
    SegmentedHarmonicConfig,
    SplcConfig,
)
from nosology.config.neural import WordsConfig
from nosology.config.reading import dataclass_from_mapping, read_toml
from nosology.config.trainer import TrainerConfig
from nosology.errors import ConfigError, ModelError
from nosology.losses.balanced import Focal
from nosology.losses.build import build_loss
from nosology.losses.facts import LabelFacts, LabelRows
from nosology.model import Batch
from nosology.preprocessing.batching import Ragged
from nosology.training.objective import LabelObjective, Targets
from nosology.training.sampling import repeat_factors, sampled_rows
from nosology.training.trainer import Trainer
from tiny_corpus import make_corpus, make_encounter

TRAIN, DEV = make_encounters(40), make_encounters(12, 1, prefix="d")
TOKENIZER = make_tokenizer(TRAIN)
FACTS = LabelFacts(
    LabelRows.of_codes(LABELS, [one.code_set for one in TRAIN]), lambda: [[label[:2]] for label in LABELS]
)


def trainer(config: LossConfig) -> Trainer:
    return Trainer(TOKENIZER, LABELS, build_loss(config, FACTS))


class StoppedError(Exception):
    """A run that was ended from outside."""


def trained(folder: Path, config: LossConfig, stop_at: int | None = None, **options: Any) -> dict[str, Any]:
    def tell(text: str, share: float) -> None:
        if stop_at is not None and f"step {stop_at}/" in text:
            raise StoppedError

    model = make_model(TOKENIZER)
    own = make_config(epochs=2, checkpoint_steps=3, log_steps=1, **options)
    trainer(config).fit(model, TRAIN, DEV, own, folder, progress=tell)
    return model.state_dict()


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (GhmConfig(), {}),
        (SplcConfig(tau=0.3), {}),
        (RDropConfig(base=GhmConfig()), {}),
        (SegmentedHarmonicConfig(), {"sampling": "class_balanced"}),
        (FocalConfig(), {"sampling": "repeat_factor", "repeat_threshold": 0.9}),
    ],
)
def test_a_stopped_run_ends_as_the_undisturbed_one(tmp_path: Path, config: LossConfig, options: dict[str, Any]) -> None:
    whole = trained(tmp_path / "whole", config, **options)
    for stop in (4, 8):
        with pytest.raises(StoppedError):
            trained(tmp_path / "stopped", config, stop, **options)
    again = trained(tmp_path / "stopped", config, **options)
    for name, tensor in whole.items():
        assert torch.equal(tensor, again[name]), name


def test_a_run_goes_on_with_its_own_loss_only(tmp_path: Path) -> None:
    trained(tmp_path, SegmentedHarmonicConfig())
    with pytest.raises(ModelError, match="another loss"):
        trained(tmp_path, SegmentedHarmonicConfig(alpha=0.5))
    trained(tmp_path, SegmentedHarmonicConfig())


def batch_of(model: Any) -> tuple[Batch, Targets]:
    torch.manual_seed(1)
    ids = torch.randint(1, TOKENIZER.vocabulary_size, (4, 9))
    return Batch(ids, torch.ones_like(ids, dtype=torch.bool)), Targets((torch.rand(4, len(LABELS)) < 0.3).float())


def test_r_drop_makes_two_passes_that_agree_without_dropout() -> None:
    objective = LabelObjective(build_loss(RDropConfig(weight=2.0), FACTS))
    for dropout in (0.0, 0.5):
        model = make_model(TOKENIZER, dropout=dropout).train()
        terms = objective(model, *batch_of(model))
        assert (float(terms["agreement"].detach()) > 1e-6) == (dropout > 0)
    plain = LabelObjective(build_loss(BceConfig(), FACTS))
    model = make_model(TOKENIZER, dropout=0.0)
    assert float(objective(model, *batch_of(model))["labels"].detach()) == pytest.approx(
        float(plain(model, *batch_of(model))["labels"].detach())
    )


def test_alignment_needs_a_head_that_has_vectors() -> None:
    model = make_model(TOKENIZER)
    objective = LabelObjective(build_loss(ContrastiveConfig(), FACTS))
    with pytest.raises(ConfigError, match='"contrastive" needs a CodingModel, not TinyModel'):
        objective(model, *batch_of(model))


def test_losses_that_are_means_of_cells_go_in_one_pass_with_attention() -> None:
    from nosology.heads.label_attention import LabelAttention

    torch.manual_seed(0)
    head, hidden = LabelAttention(6, len(LABELS)), torch.randn(3, 7, 6)
    mask, targets = torch.ones(3, 7, dtype=torch.bool), (torch.rand(3, len(LABELS)) < 0.3).float()
    loss = Focal()
    assert loss.separable
    assert not Focal(reduction="sum").separable
    assert not build_loss(SegmentedHarmonicConfig(), FACTS).separable  # type: ignore[attr-defined]
    assert not build_loss(GhmConfig(), FACTS).separable  # type: ignore[attr-defined]
    one = head.losses(hidden, mask, targets, loss)["labels"]
    two = loss(head(hidden, mask).logits, targets)
    torch.testing.assert_close(one, two)
    grads = [torch.autograd.grad(value, head.bias)[0] for value in (one, two)]
    torch.testing.assert_close(*grads)


# --- sampling -------------------------------------------------------------------------------------------------------

ROWS = [[0], [0], [0], [0, 1], [0], [], [0, 2], [0], [0], [0]]
LABEL_ROWS = Ragged.of([np.array(row, dtype=np.int32) for row in ROWS])


def test_repeat_factors_are_their_formula() -> None:
    found = repeat_factors(LABEL_ROWS, 0.4)
    expected = [max([1.0, *(np.sqrt(0.4 / f) for f in ({0: 0.9, 1: 0.1, 2: 0.1}[c] for c in row))]) for row in ROWS]
    assert found == pytest.approx(expected)
    config = TrainerConfig(sampling="repeat_factor", repeat_threshold=0.9)
    counts = np.zeros(10)
    for epoch in range(400):
        rows = sampled_rows(LABEL_ROWS, config, epoch)
        assert rows is not None
        counts += np.bincount(rows, minlength=10)
    assert counts / 400 == pytest.approx(repeat_factors(LABEL_ROWS, 0.9), abs=0.1)
    assert counts[3] == 1200


def test_class_balanced_sampling_meets_all_labels_alike() -> None:
    config = TrainerConfig(sampling="class_balanced", seed=3)
    counts = np.zeros(10)
    for epoch in range(600):
        rows = sampled_rows(LABEL_ROWS, config, epoch)
        assert rows is not None
        assert len(rows) == 10
        counts += np.bincount(rows, minlength=10)
    drawn = counts / 600 / 10
    assert counts[5] == 0
    assert drawn[3] == pytest.approx(1 / 3 + 1 / 27, abs=0.02)
    assert drawn[0] == pytest.approx(1 / 27, abs=0.01)
    first, again = (sampled_rows(LABEL_ROWS, config, 4) for _ in range(2))
    assert np.array_equal(first, again)  # type: ignore[arg-type]
    other = sampled_rows(LABEL_ROWS, replace(config, seed=4), 4)
    assert not np.array_equal(first, other)  # type: ignore[arg-type]
    assert sampled_rows(LABEL_ROWS, TrainerConfig(), 0) is None
    nothing = Ragged.of([np.zeros(0, dtype=np.int32)] * 3)
    for sampling in ("class_balanced", "repeat_factor"):
        assert sorted(sampled_rows(nothing, TrainerConfig(sampling=sampling), 0)) == [0, 1, 2]  # type: ignore[arg-type]


# --- recipes --------------------------------------------------------------------------------------------------------

SMALL = NetworkConfig(
    WordsConfig(least_notes=1),
    ConvolutionConfig(word_size=12, filters=12, kernel=3),
    LabelAttentionConfig(),
    TrainerConfig(epochs=12, learning_rate=0.02, encounters_per_batch=8, patience=0, evidence_weight=0.1),
)


def recipe(**options: Any) -> Recipe:
    return Recipe(SimulatedConfig(), model=NeuralConfig(network=replace(SMALL, **options)))


def right_of(coder: Coder) -> float:
    found = [(coder.code(make_encounter(n)), make_encounter(n).code_set) for n in range(200, 215)]
    hits = sum(len({code.code for code in coded.assigned} & gold) for coded, gold in found)
    return hits / sum(len(gold) for _, gold in found)


@pytest.mark.parametrize(
    "loss",
    [
        SegmentedHarmonicConfig(segmentation=SegmentationConfig(method="hierarchy")),
        HierarchicalConfig(base=AsymmetricConfig()),
        ContrastiveConfig(),
        RDropConfig(weight=0.5),
    ],
)
def test_networks_learn_with_every_kind_of_wrapper(loss: LossConfig, tmp_path: Path) -> None:
    coder = Coder.fit(make_corpus(60), recipe(loss=loss))
    assert right_of(coder) > 0.5
    coder.save(tmp_path / "model")
    again = Coder.from_pretrained(tmp_path / "model")
    assert again.code(make_encounter(7)) == coder.code(make_encounter(7))
    assert again.recipe == coder.recipe
    assert (tmp_path / "model" / "segments.npz").exists() == isinstance(loss, SegmentedHarmonicConfig)


def test_a_direct_head_aligns_notes(tmp_path: Path) -> None:
    trainer = replace(SMALL.trainer, evidence_weight=0.0, epochs=2)
    coder = Coder.fit(make_corpus(24), recipe(loss=ContrastiveConfig(), head=DirectConfig(), trainer=trainer))
    assert coder.code(make_encounter(3)).codes


def test_the_head_is_trained_again_and_the_encoder_is_not(tmp_path: Path) -> None:
    corpus = make_corpus(60)
    decoupled = recipe(decoupled=DecoupledConfig(epochs=8, learning_rate=0.02))
    plain, again = Coder.fit(corpus, recipe()), Coder.fit(corpus, decoupled, work=tmp_path)
    networks = [coder.predictor.network for coder in (plain, again)]  # type: ignore[attr-defined]
    for name, tensor in networks[0].model.encoder.state_dict().items():
        assert torch.equal(tensor, networks[1].model.encoder.state_dict()[name])
    heads = [network.model.head.state_dict() for network in networks]
    assert any(not torch.equal(tensor, heads[1][name]) for name, tensor in heads[0].items())
    assert all(parameter.requires_grad for parameter in networks[1].model.parameters())
    assert (tmp_path / "network" / "classifier" / "metrics.jsonl").exists()
    assert right_of(again) > 0.5
    resumed = Coder.fit(corpus, decoupled, work=tmp_path)
    assert resumed.code(make_encounter(5)) == again.code(make_encounter(5))
    again.save(tmp_path / "model")
    assert Coder.from_pretrained(tmp_path / "model").code(make_encounter(5)) == again.code(make_encounter(5))


def test_sections_are_read_back_equal_and_misspelt_keys_are_told(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    for loss in (SegmentedHarmonicConfig(), RDropConfig(base=AsymmetricConfig()), GhmConfig(bins=7)):
        own = recipe(loss=loss, decoupled=DecoupledConfig(fresh=False))
        file.write_text(to_toml(own))
        assert dataclass_from_mapping(Recipe, read_toml(file), str(file)) == own
    file.write_text(
        '[corpus]\nreader = "simulated"\n[model]\nkind = "neural"\n[model.network.loss]\nkind = "segmented_harmonc"\n'
    )
    with pytest.raises(ConfigError, match=r"did you mean 'segmented_harmonic'\?"):
        load_recipe(file)
    file.write_text(file.read_text().replace("harmonc", "harmonic") + "alhpa = 1.0\n")
    with pytest.raises(ConfigError, match=r"\[model.network.loss\] alhpa: unknown key \(did you mean 'alpha'\?\)"):
        load_recipe(file)


def test_the_shipped_recipe_asks_for_the_segmented_loss() -> None:
    shipped = load_recipe(Path(__file__).parents[2] / "recipes" / "shl.toml")
    assert shipped.model.network.loss == SegmentedHarmonicConfig()  # type: ignore[union-attr]


# --- the command ----------------------------------------------------------------------------------------------------


def test_segments_are_shown_of_a_recipe_and_of_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "recipe.toml"
    loss = RDropConfig(base=SegmentedHarmonicConfig(alpha=0.5, segmentation=SegmentationConfig(groups=3)))
    own = replace(recipe(loss=loss), corpus=SimulatedConfig(encounters=60, codes=60))
    file.write_text(to_toml(own))
    plot = tmp_path / "segments.png"
    assert run(["segments", "show", str(file), "--json", "--plot", str(plot)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert sum(segment["labels"] for segment in found["segments"]) == len(found["labels"])
    label = found["labels"][0]
    assert found["segments"][label["segment"] - 1]["least_weight"] <= label["weight"]
    assert run(["segments", "show", str(file)]) == 0
    assert "encounters a label" in capsys.readouterr().out
    Coder.fit(make_corpus(24), recipe(loss=loss)).save(tmp_path / "model")
    assert run(["segments", "show", str(tmp_path / "model")]) == 0
    assert "segments" in capsys.readouterr().out
    assert run(["segments", "show", str(tmp_path / "model"), "--data", "x"]) == 2
    assert "a model holds its segments" in capsys.readouterr().err
    Coder.fit(make_corpus(24), recipe()).save(tmp_path / "plain")
    assert run(["segments", "show", str(tmp_path / "plain")]) == 2
    assert "this model has no segments" in capsys.readouterr().err
