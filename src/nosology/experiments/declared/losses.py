"""The Segmented Harmonic Loss and its rivals, by a linear layer over what frozen MiniLM says of a note."""

from __future__ import annotations

from collections.abc import Mapping

from nosology.experiments.declaration import Arm, Experiment

REFERENCE = "bce"
_LOSS, _RATE = "model.network.loss", "model.network.trainer.learning_rate"

_SUM: dict[str, object] = {"reduction": "sum"}
"""Over the labels: of a mean over thousands, AdamW's epsilon silences the rare ones, whose gradients are tiny."""
_BASE: dict[str, object] = {"base": {"kind": "bce", **_SUM}}

_SEGMENTED: dict[str, object] = {"kind": "segmented_harmonic", **_SUM}

LOSSES: Mapping[str, Mapping[str, object]] = {
    REFERENCE: {"kind": "bce", **_SUM},
    "segmented harmonic": _SEGMENTED,
    "asymmetric": {"kind": "asymmetric", **_SUM},
    "zlpr": {"kind": "zlpr"},
    "distribution-balanced": {"kind": "distribution_balanced", **_SUM},
    "focal": {"kind": "focal", **_SUM},
    "logit adjustment": {"kind": "logit_adjustment", **_SUM},
    "class-balanced": {"kind": "class_balanced", **_SUM},
    "segmented harmonic, positives only": {**_SEGMENTED, "positives_only": True},
    "ldam": {"kind": "ldam", **_SUM},
    "ghm": {"kind": "ghm", **_SUM},
    "segmented harmonic, reading instance": {**_SEGMENTED, "reading": "instance"},
    "hill": {"kind": "hill", **_SUM},
    "splc": {"kind": "splc", **_SUM},
    "ral": {"kind": "ral", **_SUM},
    "mfm": {"kind": "mfm", **_SUM},
    "bce, balanced positives": {"kind": "bce", "balance": 0.5, **_SUM},
    "bce, smoothed": {"kind": "bce", "smoothing": 0.05, **_SUM},
    "r-drop": {"kind": "r_drop", **_BASE},
    "hierarchical": {"kind": "hierarchical", **_BASE},
    "contrastive": {"kind": "contrastive", **_BASE},
}
"""Every kind of ``config/losses.py`` with its published options, and what the segmented loss is read as."""

RATES = (0.01, 0.03)
"""Learning rates that each loss may choose from, within the training split: the same budget for all."""

CODIESP = "CodiEsp D, English"


def simulated_name(encounters: int, codes: int) -> str:
    """The heading of a simulated corpus."""
    return f"{encounters:,} simulated notes, {codes:,} codes to draw from"


def losses_arms(encounters: int, codes: int, losses: Mapping[str, Mapping[str, object]] = LOSSES) -> tuple[Arm, ...]:
    """Every loss on CodiEsp D and on a simulated corpus.

    Args:
        encounters: simulated, all splits together.
        codes: that the simulator draws from.
        losses: by row.
    """
    codiesp = {"corpus.reader": "codiesp", "corpus.task": "diagnoses", "corpus.language": "en"}
    simulated = {"corpus.encounters": encounters, "corpus.codes": codes}
    corpora = {CODIESP: codiesp, simulated_name(encounters, codes): simulated}
    choices = tuple({_RATE: rate} for rate in RATES)
    return tuple(
        Arm(corpus, name, "losses_linear", {**where, _LOSS: dict(loss)}, choices)
        for corpus, where in corpora.items()
        for name, loss in losses.items()
    )


EXPERIMENT = Experiment(
    title="Losses for the long tail, by a linear layer over frozen MiniLM",
    question=(
        "Does the Segmented Harmonic Loss (our reconstruction), or any of its rivals, beat cross-entropy when encoder, "
        "head and the number of learning rates tried are the same?"
    ),
    reference=REFERENCE,
    arms={"cpu": losses_arms(10_000, 2400), "full": losses_arms(50_000, 9000)},
)
