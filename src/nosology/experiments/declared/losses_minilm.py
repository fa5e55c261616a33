"""Cross-entropy and the losses that did best over frozen MiniLM, where MiniLM learns with its head."""

from __future__ import annotations

from collections.abc import Mapping

from nosology.experiments.declaration import Arm, Experiment
from nosology.experiments.declared.llm_baselines import plain_rows
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


def _arms(corpus: str, settings: Mapping[str, object]) -> tuple[Arm, ...]:
    """Beside the losses, what those have who do not read, and who read words."""
    own = {key: value for key, value in settings.items() if key.startswith("corpus.")}
    return (
        *plain_rows(corpus, {"corpus.reader": "simulated_mimic3", **own}),
        *best_losses(corpus, "minilm_laat", {**settings, **_LEARNING}, after=STARTED),
    )


EXPERIMENT = Experiment(
    title="Losses for the long tail, by MiniLM learning end to end",
    question=(
        "Does what a loss gains over frozen MiniLM hold where MiniLM learns with it? All codes of a simulated "
        "MIMIC-III, read by label attention whose biases start where the loss rests. One pair of learning rates and "
        "as many epochs for all losses."
    ),
    reference=f"{REFERENCE}{STARTED}",
    arms={
        "cpu": _arms("Simulated MIMIC-III, all codes, first 40 words", _SMALL),
        "full": _arms("12,500 simulated notes", _LARGE),
    },
)
