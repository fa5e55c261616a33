"""Cross-entropy and the losses that did best over frozen MiniLM, where MiniLM learns with its head."""

from __future__ import annotations

from collections.abc import Mapping

from nosology.experiments.declaration import Experiment
from nosology.experiments.declared.losses import REFERENCE
from nosology.experiments.declared.losses_trained import STARTED, best_losses

_LEARNING: Mapping[str, object] = {
    "model.network.candidates": 100,
    "model.network.encoder.frozen": False,
    "model.network.head.attention_size": 128,
    "model.network.head.bias": "prior",
    "model.network.trainer.mixed_precision": "bf16",
    "model.network.trainer.encoder_learning_rate": 1e-4,
    "model.network.trainer.max_tokens": 512,
}
_SMALL: Mapping[str, object] = {
    "corpus.admissions": 1000,
    "corpus.variant": "full",
    "corpus.words": 40,
    "model.network.trainer.epochs": 6,
}
_LARGE: Mapping[str, object] = {
    "corpus.reader": "simulated",
    "corpus.encounters": 12_500,
    "corpus.codes": 2400,
    "model.network.trainer.epochs": 10,
}

EXPERIMENT = Experiment(
    title="Losses for the long tail, by MiniLM learning end to end",
    question=(
        "Does what a loss gains over frozen MiniLM hold where MiniLM learns with it? All codes of a simulated "
        "MIMIC-III, read by label attention whose biases start where the loss rests; without that MiniLM learned "
        "nothing from so few notes. One pair of learning rates and as many epochs for all."
    ),
    reference=f"{REFERENCE}{STARTED}",
    arms={
        "cpu": best_losses(
            "Simulated MIMIC-III, all codes, first 40 words", "minilm_laat", {**_SMALL, **_LEARNING}, after=STARTED
        ),
        "full": best_losses("12,500 simulated notes", "minilm_laat", {**_LEARNING, **_LARGE}, after=STARTED),
    },
)
