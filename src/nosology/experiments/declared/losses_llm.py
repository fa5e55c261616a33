"""Losses for the long tail as the loss of label attention inside a language model."""

from __future__ import annotations

from collections.abc import Mapping

from nosology.experiments.declaration import Experiment
from nosology.experiments.declared.losses import REFERENCE
from nosology.experiments.declared.losses_trained import best_losses

_ATT: Mapping[str, object] = {"model.llm.task": "att", "model.llm.reading": "att", "model.llm.validation": "att"}
_SMALL: Mapping[str, object] = {
    **_ATT,
    "corpus.variant": "full",
    "corpus.words": 64,
    "model.llm.candidates": 100,
    "model.llm.window": 256,
    "model.llm.trainer.epochs": 12,
}
_MIMIC: Mapping[str, object] = {**_ATT, "corpus.path": "mimic3-full", "model.llm.candidates": 1000}
_LOSS = "model.llm.loss"

EXPERIMENT = Experiment(
    title="Losses for the long tail, by label attention inside a language model",
    question=(
        "Does a loss for rare codes help a language model whose states label attention reads? A small fresh T5 on all "
        "codes of a simulated MIMIC-III; at size full T5-base on MIMIC-III. One learning rate for all."
    ),
    reference=REFERENCE,
    arms={
        "cpu": best_losses("T5, fresh: simulated MIMIC-III, all codes, first 64 words", "t5_tiny_cmp", _SMALL, _LOSS),
        "full": best_losses("T5-base: MIMIC-III", "t5_base_mimic3_50", _MIMIC, _LOSS),
    },
)
