"""Planted noise in the training codes, with and without cleaning, by a linear layer over what frozen MiniLM says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nosology.experiments.declaration import Arm, Experiment

REFERENCE = "bce"
_LOSS, _SHARE = "model.network.loss", "cleaning.thresholds.share"

LOSSES: Mapping[str, Mapping[str, object]] = {
    REFERENCE: {"kind": "bce", "reduction": "sum"},
    "asymmetric": {"kind": "asymmetric", "reduction": "sum"},
    "segmented harmonic": {"kind": "segmented_harmonic", "positives_only": True, "reduction": "sum"},
}
"""Sums over labels: of a mean, AdamW's epsilon silences rare labels. The segmented loss weighs positives alone: one
weight for all cells of a label AdamW divides out, over an encoder that does not learn."""

_ENCODERS = {"cleaning.encoders": ["lexical"], "cleaning.measures.add_missing": True}
CLEANING: Mapping[str, Mapping[str, object]] = {
    "": {},
    ", cleaned": {**_ENCODERS, "cleaning.measures.drop_implausible": True},
    ", weighed": {**_ENCODERS, "cleaning.measures.weigh": True},
}
"""Nothing; codes dropped and added; codes added, and all of them with their certainty as the target."""

PLANTED = (0.0, 0.1, 0.3)


def table_name(share: float) -> str:
    """The heading of a share of planted noise."""
    return f"{share:.0%} of the training codes wrong or missing"


def noise_arms(encounters: int, codes: int, *, told: bool) -> tuple[Arm, ...]:
    """Every loss and cleaning at every share of noise.

    Where nothing is planted the reference alone is cleaned, to see what that costs.

    Args:
        encounters: simulated, all splits together.
        codes: that the simulator draws from.
        told: the reference is also cleaned by one that is told the share, where it is largest.
    """
    arms = tuple(arm for share in PLANTED for arm in _arms(encounters, codes, share))
    return (*arms, *_told(encounters, codes, max(PLANTED))) if told else arms


def _arms(encounters: int, codes: int, share: float) -> Iterator[Arm]:
    where = _corpus(encounters, codes, share)
    for name, loss in LOSSES.items():
        for cleaning, keys in CLEANING.items():
            if share or not cleaning or name == REFERENCE:
                yield Arm(table_name(share), name + cleaning, "losses_linear", {**where, **keys, _LOSS: dict(loss)})


def _told(encounters: int, codes: int, share: float) -> Iterator[Arm]:
    where = {**_corpus(encounters, codes, share), _SHARE: share, _LOSS: dict(LOSSES[REFERENCE])}
    for cleaning in list(CLEANING)[1:]:
        name = f"{REFERENCE}{cleaning}, share told"
        yield Arm(table_name(share), name, "losses_linear", {**where, **CLEANING[cleaning]})


def _corpus(encounters: int, codes: int, share: float) -> dict[str, object]:
    return {"corpus.encounters": encounters, "corpus.codes": codes, "corpus.noise": share}


EXPERIMENT = Experiment(
    title="Losses on noisy codes, with and without cleaning",
    question=(
        "Half of the planted mistakes replace a code by a relative, half leave it out, in the training split alone; "
        "what is scored is true. Which loss suffers least, and what does cleaning give back, which assumes that a "
        "tenth of the codes are mistakes unless it is told the share?"
    ),
    reference=REFERENCE,
    arms={"cpu": noise_arms(2000, 2400, told=False), "full": noise_arms(12_500, 2400, told=True)},
)
