"""Losses for the long tail as the loss of label attention inside a language model."""

from __future__ import annotations

from collections.abc import Mapping

from nosology.experiments.declaration import Arm, Experiment
from nosology.experiments.declared.losses import LOSSES, REFERENCE
from nosology.experiments.declared.losses_trained import BEST

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


def _arms(corpus: str, recipe: str, settings: Mapping[str, object]) -> tuple[Arm, ...]:
    names = (REFERENCE, *BEST)
    return tuple(Arm(corpus, name, recipe, {**settings, "model.llm.loss": dict(LOSSES[name])}) for name in names)


EXPERIMENT = Experiment(
    title="Losses for the long tail, by label attention inside a language model",
    question=(
        "Does a loss for rare codes help a language model whose states label attention reads? A small fresh T5 on all "
        "codes of a simulated MIMIC-III; at size full T5-base on MIMIC-III. One learning rate for all."
    ),
    reference=REFERENCE,
    arms={
        "cpu": _arms("T5, fresh: simulated MIMIC-III, all codes, first 64 words", "t5_tiny_cmp", _SMALL),
        "full": _arms("T5-base: MIMIC-III", "t5_base_mimic3_50", _MIMIC),
    },
)
