"""Weights on disk, scores as a stream, validation in little memory, and the dry run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_pieces import (
    DEV,
    LABELS,
    TOKENIZER,
    TRAIN,
    TRAINER,
    assert_equal,
    make_config,
    make_model,
    run_script,
    weights,
)

from nosology.errors import ConfigError, ModelError
from nosology.preprocessing.batching import BatchSize, encode_encounters, plan_epoch
from nosology.preprocessing.word_tokenizer import WordTokenizer
from nosology.training.scoring import predict_scores
from nosology.training.trainer import Trainer
from nosology.training.weights import load_weights, save_weights
from nosology.types import Encounter, Note


def test_weights_of_another_model_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    model = make_model(TOKENIZER)
    save_weights(model, path)
    with pytest.raises(ModelError, match=r"head.queries is \[8, 16\] there, \[5, 16\] here"):
        load_weights(make_model(TOKENIZER, labels=5), path)
    with pytest.raises(ModelError, match=r"it has bias and|it lacks"):
        load_weights(nn.Linear(2, 2), path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_weights(model, path)
    import pickle

    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_weights(model, path)
    with pytest.raises(ModelError, match="is missing"):
        load_weights(model, tmp_path / "none.safetensors")


def test_shared_weights_are_written_once_and_stay_shared(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
            self.second.weight = self.first.weight

    model, other = Tied(), Tied()
    save_weights(model, tmp_path / "w")
    load_weights(other, tmp_path / "w")
    assert torch.equal(model.second.weight, other.second.weight)
    assert other.second.weight is other.first.weight


def test_scores_come_as_a_stream_in_order_and_do_not_depend_on_the_batch() -> None:
    model, read = make_model(TOKENIZER), 0
    empty = Encounter("empty", (Note("n", "  "),))

    def stream() -> Any:
        nonlocal read
        for encounter in [*DEV, empty, *TRAIN]:
            read += 1
            yield encounter

    size = BatchSize(200, 2)
    found = predict_scores(model, stream(), TOKENIZER, size=size)
    first = next(found)
    assert read < 60
    every = [first, *found]
    assert [one.encounter_id for one in every] == [one.encounter_id for one in [*DEV, empty, *TRAIN]]
    assert not len(every[len(DEV)].scores)
    alone = next(predict_scores(model, DEV[3:4], TOKENIZER))
    assert np.allclose(every[3].scores, alone.scores, atol=1e-6)
    some = next(predict_scores(model, DEV[3:4], TOKENIZER, labels=[6, 2]))
    assert some.labels.tolist() == [6, 2]
    assert np.allclose(some.scores, alone.scores[[6, 2]], atol=1e-6)
    best = next(predict_scores(model, DEV[3:4], TOKENIZER, top=3))
    assert best.labels.tolist() == np.argsort(-alone.scores)[:3].tolist()
    with pytest.raises(ConfigError, match="no candidate labels"):
        next(predict_scores(model, DEV, TOKENIZER, labels=[]))


STREAMED = """
import resource
import torch
from torch import nn
from training_pieces import make_config, make_encounters, make_tokenizer
from nosology.model import HeadOutput
from nosology.preprocessing.batching import BatchSize, encode_encounters
from nosology.training.objective import LabelObjective, TrainedModel
from nosology.training.processes import open_accelerator
from nosology.training.validation import score_top

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 30_000))
    def forward(self, batch, labels=None):
        return HeadOutput(batch.token_ids.float().mean(dim=1)[:, None] * self.weight)

encounters = make_encounters(3000)
encoded = encode_encounters(encounters, make_tokenizer(encounters), ["x"])
model, accelerator = TrainedModel(Wide(), LabelObjective()), open_accelerator(make_config())
few = encode_encounters(encounters[:100], make_tokenizer(encounters), ["x"])
score_top(model, few, BatchSize(4000, 32), 100, accelerator)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = score_top(model, encoded, BatchSize(4000, 32), 100, accelerator)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print("GROWN", grown / 1024, *found.scores.shape, int(found.labels[0, 0]))
"""


def test_validation_holds_no_matrix_of_encounters_by_labels() -> None:
    process = run_script(STREAMED)
    assert process.returncode == 0, process.stderr[-2000:]
    grown, rows, columns, best = process.stdout.split("GROWN ")[1].split()
    assert (rows, columns, best) == ("3000", "100", "29999")
    assert float(grown) < 60  # MB; the matrix would have 343


def test_a_dry_run_counts_and_leaves_the_model_alone() -> None:
    model = make_model(TOKENIZER)
    before = weights(model)
    config = make_config(averaging=0.9, max_tokens=20)
    found = TRAINER.dry_run(model, TRAIN, DEV, config)
    assert_equal(weights(model), before)
    learning = sum(parameter.numel() for parameter in model.parameters())
    assert found.parameters == found.trainable == learning
    assert found.weights_bytes == found.gradients_bytes == found.averages_bytes == 4 * learning
    assert found.optimizer_bytes == 8 * learning
    encoded = encode_encounters(TRAIN, TOKENIZER, LABELS, max_tokens=20)
    plan = plan_epoch(encoded.tokens.lengths, BatchSize(400, 8), batches_per_step=1, seed=0, epoch=0)
    assert (found.steps_per_epoch, found.tokens) == (len(plan), encoded.tokens.lengths.sum())
    assert found.cut == encoded.counts.truncated > 0
    assert found.activations_bytes > 8 * 20 * 16 * 4
    assert found.seconds > found.seconds_per_step > 0
    assert f"{learning:,}, of which {learning:,} learn" in found.describe()


def test_a_tokenizer_of_another_training_may_not_be_smaller_by_chance(tmp_path: Path) -> None:
    small = WordTokenizer((*TOKENIZER.words[:-2],))
    TRAINER.fit(make_model(TOKENIZER), TRAIN, DEV, make_config(epochs=1), tmp_path)
    with pytest.raises(ModelError, match="another tokenizer"):
        Trainer(small, LABELS).fit(make_model(TOKENIZER), TRAIN, DEV, make_config(epochs=1), tmp_path)
