"""The loop against a plain one; schedules, averages and validation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_pieces import (
    DEV,
    LABELS,
    TOKENIZER,
    TRAIN,
    TRAINER,
    TinyModel,
    assert_equal,
    make_config,
    make_model,
    run_script,
    weights,
)

from nosology.config import dataclass_from_mapping
from nosology.config.trainer import TrainerConfig
from nosology.encoders.transformer import Transformer
from nosology.errors import ConfigError, ModelError
from nosology.evaluation import evaluate
from nosology.heads.label_attention import LabelAttention
from nosology.model import Batch, CodingModel
from nosology.preprocessing.batching import BatchSize, collate, encode_encounters, plan_epoch
from nosology.training.averaging import WeightAverage
from nosology.training.objective import LabelObjective, Targets, binary_cross_entropy, to_batch, to_targets
from nosology.training.optimizers import build_optimizer
from nosology.training.processes import block_names, seed_batch
from nosology.training.schedules import best_at, rate_share, since_best, stale_validations
from nosology.training.scoring import attended_tokens, predict_scores
from nosology.training.weights import load_weights
from nosology.types import CodedEncounter, Encounter, GoldCode, Note, SuggestedCode


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").open()]


# --- the loop -------------------------------------------------------------------------------------------------------


def plain_training(config: TrainerConfig) -> tuple[TinyModel, list[float]]:
    """The same training as a page of plain PyTorch; returns the model and the loss of every step."""
    model, losses = make_model(TOKENIZER), list[float]()
    encoded = encode_encounters(TRAIN, TOKENIZER, LABELS, max_tokens=config.max_tokens)
    size = BatchSize(config.tokens_per_batch, config.encounters_per_batch)
    plans = [
        plan_epoch(encoded.tokens.lengths, size, batches_per_step=config.accumulation, seed=config.seed, epoch=epoch)
        for epoch in range(config.epochs)
    ]
    total, step = sum(len(plan) for plan in plans), 0
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
    for plan in plans:
        for batches in plan.steps:
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * rate_share(config, step, total)
            optimizer.zero_grad()
            loss_of_step = 0.0
            for number, rows in enumerate(batches):
                seed_batch(config.seed, step, number)
                padded = collate(encoded, rows)
                logits = model(to_batch(padded, "cpu")).logits
                loss = binary_cross_entropy(logits, to_targets(padded, len(LABELS), "cpu").labels)
                share = len(rows) / sum(len(part) for part in batches)
                (loss * share).backward()
                loss_of_step += share * loss.item()
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            losses.append(loss_of_step)
            step += 1
    return model, losses


@pytest.mark.parametrize(
    "options", [{}, {"accumulation": 3, "schedule": "cosine", "warmup_steps": 3, "clip_norm": 0.05}]
)
def test_the_loop_learns_what_a_plain_one_learns(tmp_path: Path, options: dict[str, Any]) -> None:
    config = make_config(log_steps=1, **options)
    expected, losses = plain_training(config)
    model = make_model(TOKENIZER)
    result = TRAINER.fit(model, TRAIN, None, config, tmp_path)
    assert_equal(weights(model), weights(expected), 1e-5)
    assert [line["loss"] for line in metrics(tmp_path)] == pytest.approx(losses, abs=1e-5)
    assert (result.best, result.threshold, result.steps, result.stopped_early) == (None, None, len(losses), False)
    assert result.best_step == result.steps


def test_the_best_weights_are_kept_and_judge_as_the_evaluation_does(tmp_path: Path) -> None:
    model = make_model(TOKENIZER)
    result = TRAINER.fit(model, TRAIN, DEV, make_config(epochs=4, metric="map", learning_rate=0.03), tmp_path)
    assert result.best == max(entry.metric for entry in result.history)
    coded = list[CodedEncounter]()
    for found in predict_scores(model, DEV, TOKENIZER, top=200):
        codes = zip(found.labels.tolist(), found.scores.tolist(), strict=True)
        assert result.threshold is not None
        suggested = [SuggestedCode(LABELS[n], "icd10cm", p, p >= result.threshold) for n, p in codes]
        coded.append(CodedEncounter(found.encounter_id, tuple(suggested)))
    figures = evaluate(DEV, coded, intervals=False).figures()
    best = next(entry for entry in result.history if entry.step == result.best_step)
    assert figures["map"] == pytest.approx(result.best, abs=1e-6)
    assert figures["micro.f1"] == pytest.approx(best.figures["micro.f1"], abs=1e-6)
    fresh = make_model(TOKENIZER, seed=4)
    load_weights(fresh, result.weights)
    assert_equal(weights(fresh), weights(model))


def test_training_stops_when_dev_improves_no_more(tmp_path: Path) -> None:
    config = make_config(epochs=50, patience=2, learning_rate=0.05)
    result = TRAINER.fit(make_model(TOKENIZER), TRAIN, DEV, config, tmp_path)
    assert result.stopped_early
    assert result.history[-3].step == result.best_step
    assert len(result.history) < 50


def test_gold_codes_outside_the_labels_and_empty_notes_count_against_the_score(tmp_path: Path) -> None:
    config = make_config(epochs=20, metric="micro.recall")
    more = [
        *DEV,
        Encounter("none", (Note("x", "..."),), (GoldCode("C01", "icd10cm"),)),
        Encounter("strange", (Note("y", "patient"),), (GoldCode("Z99.9", "icd10cm"),)),
    ]
    known = sum(len(encounter.code_set) for encounter in DEV)
    result = TRAINER.fit(make_model(TOKENIZER), TRAIN, more, config, tmp_path)
    assert result.best is not None
    assert 0.8 < result.best <= known / (known + 2) < 1
    assert result.dev_counts.empty == 1


def test_supervised_attention_rests_on_marked_tokens(tmp_path: Path) -> None:
    shares = dict[float, float]()
    for weight in (0.0, 1.0):
        model = make_model(TOKENIZER)
        config = make_config(epochs=8, learning_rate=0.03, evidence_weight=weight)
        TRAINER.fit(model, TRAIN, None, config, tmp_path / str(weight))
        found = list[float]()
        for encounter in DEV:
            tokens = TOKENIZER.encode(encounter)
            for gold in encounter.codes or ():
                marked = set(tokens.tokens_of(gold.evidence[0]).tolist())
                own = attended_tokens(model, tokens, [LABELS.index(gold.code)], top=500)
                ((_, attended),) = own.items()
                assert sum(weight for _, weight in attended) == pytest.approx(1.0, abs=1e-5)
                found.append(sum(weight for token, weight in attended if token in marked))
        shares[weight] = float(np.mean(found))
    assert shares[1.0] > max(0.75, shares[0.0] + 0.2)
    assert "loss.evidence" in metrics(tmp_path / "1.0")[0]
    assert "loss.evidence" not in metrics(tmp_path / "0.0")[0]


def test_a_loss_and_an_objective_of_ones_own(tmp_path: Path) -> None:
    def doubled(logits: Tensor, targets: Tensor) -> Tensor:
        return 2 * binary_cross_entropy(logits, targets)

    def objective(model: nn.Module, batch: Batch, targets: Targets) -> Mapping[str, Tensor]:
        own = LabelObjective()(model, batch, targets)
        assert targets.evidence is not None
        return {**own, "size": 0.5 * model.head.queries.square().sum()}  # type: ignore[union-attr]

    one = make_config(epochs=1, log_steps=1)
    for name, trainer in {"plain": TRAINER, "doubled": replace(TRAINER, loss=doubled)}.items():
        trainer.fit(make_model(TOKENIZER), TRAIN, None, one, tmp_path / name)
    plain, twice = (metrics(tmp_path / name)[0]["loss"] for name in ("plain", "doubled"))
    assert twice == pytest.approx(2 * plain)
    own = replace(TRAINER, objective=objective)
    own.fit(make_model(TOKENIZER), TRAIN, None, one, tmp_path / "own")
    first = metrics(tmp_path / "own")[0]
    assert first["loss.labels"] == pytest.approx(plain)
    assert first["loss"] == pytest.approx(first["loss.labels"] + first["loss.size"])
    with pytest.raises(ModelError, match="another loss"):
        TRAINER.fit(make_model(TOKENIZER), TRAIN, None, one, tmp_path / "own")


def test_averaged_weights_are_validated_and_kept(tmp_path: Path) -> None:
    model = make_model(TOKENIZER)
    TRAINER.fit(model, TRAIN, None, make_config(averaging=0.9), tmp_path)
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    last = make_model(TOKENIZER)
    load_weights(last, checkpoint / "weights.safetensors")
    assert not torch.equal(last.head.queries, model.head.queries)
    assert (last.head.queries - model.head.queries).abs().max() < 0.5


def test_the_average_follows_its_formula() -> None:
    model = nn.Linear(2, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average, expected = WeightAverage(model, 0.5), 1.0
    for update in range(20):
        nn.init.constant_(model.weight, float(update))
        average.update(update)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * update
    assert average.state()["weight"].tolist() == [[pytest.approx(expected), pytest.approx(expected)]]
    with average.swapped_in():
        assert model.weight[0, 0].item() == pytest.approx(expected)
    assert model.weight.tolist() == [[19.0, 19.0]]


def test_bfloat16_and_compiled_models_learn(tmp_path: Path) -> None:
    model = make_model(TOKENIZER)
    TRAINER.fit(model, TRAIN, None, make_config(epochs=1, mixed_precision="bf16", log_steps=1), tmp_path / "bf16")
    plain = make_model(TOKENIZER)
    TRAINER.fit(plain, TRAIN, None, make_config(epochs=1, log_steps=1), tmp_path / "plain")
    losses = [[line["loss"] for line in metrics(tmp_path / name)] for name in ("bf16", "plain")]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


COMPILED = """
import sys
import torch
from training_pieces import LABELS, make_config, make_encounters, make_model, make_tokenizer
from nosology.training.trainer import Trainer
train, dev = make_encounters(60), make_encounters(20, 1, prefix="d")
tokenizer, found = make_tokenizer(train), []
for compiled in (False, True):
    model = make_model(tokenizer, dropout=0.0)
    config = make_config(epochs=2, compile=compiled)
    Trainer(tokenizer, LABELS).fit(model, train, dev, config, f"{sys.argv[1]}/{compiled}")
    found.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
print("COMPILED", torch._dynamo.utils.counters["stats"]["unique_graphs"], (found[0] - found[1]).abs().max().item())
"""


@pytest.mark.slow
def test_a_compiled_model_learns_the_same(tmp_path: Path) -> None:
    process = run_script(COMPILED, str(tmp_path), JAXTYPING_DISABLE="1")
    assert "COMPILED" in process.stdout, process.stderr[-3000:]
    graphs, difference = process.stdout.split("COMPILED ")[1].split()
    assert int(graphs) >= 1
    assert float(difference) < 1e-4


def transformer_model(*, dropout: float = 0.1) -> CodingModel:
    """A tiny BERT with random weights, and label attention."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=TOKENIZER.vocabulary_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        hidden_dropout_prob=dropout,
    )
    return CodingModel(
        Transformer(BertModel(shape), chunk_tokens=16), LabelAttention(16, len(LABELS), attention_size=8)
    )


def test_gradient_checkpointing_saves_memory_and_changes_nothing(tmp_path: Path) -> None:
    found, kept = dict[bool, CodingModel](), dict[bool, int]()
    for checkpointing in (False, True):
        config = make_config(epochs=1, gradient_checkpointing=checkpointing, encoder_learning_rate=1e-3)
        kept[checkpointing] = TRAINER.dry_run(transformer_model(), TRAIN, None, config).activations_bytes
        found[checkpointing] = transformer_model()
        TRAINER.fit(found[checkpointing], TRAIN, None, config, tmp_path / str(checkpointing))
    assert_equal(weights(found[False]), weights(found[True]), 1e-6)
    assert kept[True] < 0.7 * kept[False]
    assert block_names(found[True]) == ["BertEmbeddings", "BertLayer"]


def test_progress_tells_loss_speed_and_time_left(tmp_path: Path) -> None:
    said = list[tuple[str, float]]()
    TRAINER.fit(make_model(TOKENIZER), TRAIN, DEV, make_config(), tmp_path, progress=lambda *told: said.append(told))
    shares = [share for _, share in said]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    steps = [text for text, _ in said if "step" in text]
    assert steps[0].startswith("epoch 1, step 1/")
    assert all("loss 0." in text and "tokens/s" in text and text.endswith(" left") for text in steps)


# --- schedules and settings -----------------------------------------------------------------------------------------


def test_schedules_follow_their_formulas() -> None:
    for step in range(20):
        rising = (step + 1) / 5 if step < 5 else None
        done = (step - 5) / 15
        expected = {"linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done)), "constant": 1.0}
        for name, value in expected.items():
            share = rate_share(make_config(schedule=name, warmup_steps=5), step, 20)
            assert share == pytest.approx(rising if rising is not None else value)
    plateau = make_config(schedule="plateau", plateau_factor=0.5)
    assert rate_share(plateau, 9, 20, [0.1, 0.3, 0.2, 0.3, 0.4]) == 0.25


def test_the_best_validation_is_the_first_of_equals_and_errors_are_better_low() -> None:
    values = [0.2, 0.5, 0.5, 0.1]
    assert (best_at("map", values), since_best("map", values), stale_validations("map", values)) == (1, 2, 2)
    assert (best_at("ece", values), since_best("brier", values)) == (3, 0)
    assert since_best("map", []) == 0


def test_misspelt_keys_and_values_out_of_range_are_told() -> None:
    with pytest.raises(ConfigError) as caught:
        dataclass_from_mapping(
            TrainerConfig,
            {"learning_rat": 0.1, "epochs": 0, "schedule": "lineal", "tracking": ["wandb"]},
            "recipe.toml",
        )
    message = str(caught.value)
    assert "learning_rat: unknown key (did you mean 'learning_rate'?)" in message
    assert "epochs: 0 is not between 1 and 10000" in message
    assert "'linear'" in message
    assert "tracking[0]: expected one of 'tensorboard', 'mlflow', got 'wandb'" in message
    with pytest.raises(ConfigError, match=r"averaging: 1\.0 is not in"):
        TrainerConfig(averaging=1.0)
    with pytest.raises(ConfigError, match="warmup_steps 10 leaves no step of max_steps 10"):
        TrainerConfig(warmup_steps=10, max_steps=10)


def test_the_encoder_learns_at_its_own_rate_and_vectors_do_not_decay() -> None:
    model = make_model(TOKENIZER)
    optimizer = build_optimizer(model, make_config(encoder_learning_rate=0.001, weight_decay=0.1))
    rates = {id(p): (g["highest"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert {name: rates[id(p)] for name, p in model.named_parameters() if not name.startswith("unused")} == {
        "encoder.0.weight": (0.001, 0.1),
        "encoder.2.weight": (0.001, 0.1),
        "encoder.2.bias": (0.001, 0.0),
        "head.queries": (0.01, 0.1),
        "head.outputs": (0.01, 0.1),
        "head.bias": (0.01, 0.0),
    }
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(ConfigError, match="the whole model is frozen"):
        build_optimizer(model, make_config())
