"""Cross-entropy and the losses that did best over a frozen encoder, where all layers learn: a convolution."""

from __future__ import annotations

from collections.abc import Mapping

from nosology.experiments.declaration import Arm, Experiment
from nosology.experiments.declared.losses import LOSSES, REFERENCE

BEST = ("bce, smoothed", "asymmetric", "mfm", "segmented harmonic")
"""Beside cross-entropy: of the experiment "losses", by micro- and macro-F1 of its tables."""
STARTED = ", from the prior"
CONVOLUTION = "A convolution, label attention"


def best_losses(
    corpus: str, recipe: str, settings: Mapping[str, object], key: str = "model.network.loss", after: str = ""
) -> tuple[Arm, ...]:
    """A row for cross-entropy and each of ``BEST``.

    Args:
        corpus: the table.
        recipe: trains them.
        settings: of the recipe, changed.
        key: of the loss's section.
        after: put behind the rows' names.
    """
    names = (REFERENCE, *BEST)
    return tuple(Arm(corpus, f"{name}{after}", recipe, {**settings, key: dict(LOSSES[name])}) for name in names)


def _both_starts(corpus: str, recipe: str, settings: Mapping[str, object]) -> tuple[Arm, ...]:
    starts = {"plain": "", "prior": STARTED}
    return tuple(
        arm
        for bias, after in starts.items()
        for arm in best_losses(corpus, recipe, {**settings, "model.network.head.bias": bias}, after=after)
    )


def _simulated(encounters: int) -> dict[str, object]:
    return {"corpus.encounters": encounters, "corpus.codes": 2400, "model.network.candidates": 100}


_MIMIC: Mapping[str, object] = {"corpus.path": "mimic3-full"}
_SMALL: Mapping[str, object] = {
    "model.network.encoder.filters": 64,
    "model.network.trainer.epochs": 15,
    "model.network.trainer.max_tokens": 512,
}

EXPERIMENT = Experiment(
    title="Losses for the long tail, by networks whose layers all learn",
    question=(
        "Does what a loss gains over a frozen encoder hold where the encoder learns with it? A convolution from "
        "scratch on simulated notes; at size full also MultiResCNN and PLM-ICD's network on MIMIC-III. "
        "One learning rate and as many epochs for all. Biases start at zero or, in the rows from the prior, where the "
        "loss rests for one who has read nothing."
    ),
    reference=f"{REFERENCE}{STARTED}",
    arms={
        "cpu": _both_starts(f"{CONVOLUTION}: simulated", "shl", {**_simulated(2000), **_SMALL}),
        "full": (
            *_both_starts(f"{CONVOLUTION}: simulated", "shl", _simulated(12_500)),
            *_both_starts("MultiResCNN: MIMIC-III", "multirescnn_mimic3_full", _MIMIC),
            *_both_starts("RoBERTa-base, label attention: MIMIC-III", "plm_icd_mimic3_full", _MIMIC),
        ),
    },
)
