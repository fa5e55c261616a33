"""Ablations of the Segmented Harmonic Loss: a linear layer over what frozen MiniLM says, and a network that learns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from nosology.experiments.declaration import Arm, Experiment

REFERENCE = "bce"
_KIND, _SUM = "segmented_harmonic", {"reduction": "sum"}
_PARTS = {"ratio": "rho", "groups": "K", "method": "by"}

LINEAR, TRAINED = "A linear layer over frozen MiniLM", "A convolution that learns"

_BOTH: Mapping[str, object] = {}
_POSITIVES: Mapping[str, object] = {"positives_only": True}
_INSTANCE: Mapping[str, object] = {"reading": "instance"}
READINGS: Mapping[str, Mapping[str, object]] = {
    "class": _BOTH,
    "class, positives only": _POSITIVES,
    "instance": _INSTANCE,
    "instance, positives only": {**_INSTANCE, **_POSITIVES},
}

RATIOS, GROUPS, ALPHAS = (2.0, 4.0, 8.0), (1, 2, 4), (0.5, 1.0, 2.0)
DEFAULT: Mapping[str, object] = {"method": "both", "ratio": 4.0, "groups": 2}
_ONE_AT_A_TIME: tuple[Mapping[str, object], ...] = (
    {},
    {"ratio": 2.0},
    {"ratio": 8.0},
    {"groups": 1},
    {"groups": 4},
    {"alpha": 0.5},
    {"alpha": 2.0},
    {"method": "cooccurrence"},
    {"method": "hierarchy"},
)
_FEW: tuple[Mapping[str, object], ...] = ({}, {"ratio": 8.0}, {"method": "cooccurrence"})


def loss_of(reading: str, changes: Mapping[str, object]) -> dict[str, object]:
    """A loss's section: a reading with some of its options, and of its segmentation's, changed."""
    own = {name: value for name, value in changes.items() if name == "alpha"}
    segments = {**DEFAULT, **{name: value for name, value in changes.items() if name != "alpha"}}
    return {"kind": _KIND, **_SUM, **READINGS[reading], **own, "segmentation": segments}


def row_name(reading: str, changes: Mapping[str, object]) -> str:
    """The reading, and what differs from the defaults."""
    parts = [reading, *(f"{_PARTS.get(name, name)} {_plain(value)}" for name, value in changes.items())]
    return ", ".join(parts)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _few() -> Iterator[tuple[str, Mapping[str, object]]]:
    """One option at a time around the defaults, where weights can matter over an encoder that does not learn."""
    yield "class", {}
    yield from (("class, positives only", changes) for changes in _ONE_AT_A_TIME)
    yield from (("instance", changes) for changes in _FEW)
    yield "instance, positives only", {}


def _grid() -> Iterator[tuple[str, Mapping[str, object]]]:
    """Every combination that differs from the others."""
    for reading, alpha in product(READINGS, ALPHAS):
        for ratio in RATIOS:
            yield reading, {"method": "frequency", "ratio": ratio, "alpha": alpha}
            yield from (
                (reading, {"method": "both", "ratio": ratio, "groups": groups, "alpha": alpha}) for groups in GROUPS[1:]
            )
        for groups in GROUPS:
            yield reading, {"method": "cooccurrence", "groups": groups, "alpha": alpha}
        for level in ("chapter", "category"):
            yield reading, {"method": "hierarchy", "level": level, "alpha": alpha}


def linear_arms(encounters: int, codes: int, rows: Iterator[tuple[str, Mapping[str, object]]]) -> tuple[Arm, ...]:
    """Cross-entropy and some segmented losses over the same encoder, which does not learn."""
    return _arms(LINEAR, "losses_linear", {"corpus.encounters": encounters, "corpus.codes": codes}, rows)


def trained_arms(encounters: int, codes: int, changes: Mapping[str, object]) -> tuple[Arm, ...]:
    """Cross-entropy and each reading, by the network of the recipe ``shl``, which learns all of its layers.

    Biases start at zero, where what a loss weighs shows most.
    """
    where = {
        "corpus.encounters": encounters,
        "corpus.codes": codes,
        "model.network.head.bias": "plain",
        **changes,
    }
    return _arms(TRAINED, "shl", where, ((reading, {}) for reading in READINGS))


def _arms(
    corpus: str, recipe: str, where: Mapping[str, object], rows: Iterator[tuple[str, Mapping[str, object]]]
) -> tuple[Arm, ...]:
    plain = Arm(corpus, REFERENCE, recipe, {**where, "model.network.loss": {"kind": "bce", **_SUM}})
    segmented = (
        Arm(corpus, row_name(reading, changes), recipe, {**where, "model.network.loss": loss_of(reading, changes)})
        for reading, changes in rows
    )
    return (plain, *segmented)


_SMALL = {"model.network.encoder.filters": 64, "model.network.trainer.epochs": 15}

EXPERIMENT = Experiment(
    title="What the parts of the Segmented Harmonic Loss do",
    question=(
        "Which of band ratio rho, groups K, exponent alpha, method of segmentation, reading and what the weights are "
        "put on matter, in our reconstruction? Rows name what differs from rho 4, K 2, alpha 1, segments by frequency "
        "and co-occurrence; K 1 is frequency alone."
    ),
    reference=REFERENCE,
    arms={
        "cpu": (*linear_arms(2000, 2400, _few()), *trained_arms(1000, 400, _SMALL)),
        "full": (*linear_arms(12_500, 2400, _grid()), *trained_arms(12_500, 2400, {})),
    },
)
