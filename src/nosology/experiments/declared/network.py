"""The default coder with and without a network among its sources, and the network alone, on CodiEsp."""

from __future__ import annotations

from nosology.experiments.declaration import Arm, Experiment

_CORPUS = "CodiEsp D, Spanish"
_WITHOUT = "default coder"

_FROM_ZERO = {"model.network.head.bias": "plain"}
"""As in the network of ``codiesp_d_es_network``, which is compared with it."""

_ARMS = (
    Arm(_CORPUS, _WITHOUT, "codiesp_d_es"),
    Arm(_CORPUS, "with a network", "codiesp_d_es_network"),
    Arm(_CORPUS, "network alone", "caml_codiesp_d_es", _FROM_ZERO),
    Arm(
        _CORPUS,
        "network alone, attention free",
        "caml_codiesp_d_es",
        {**_FROM_ZERO, "model.network.trainer.evidence_weight": 0.0},
    ),
)

EXPERIMENT = Experiment(
    title="A network among the sources of the default coder",
    question=(
        "Do the scores of a small network, cross-fitted, help a ranker that already reads marked expressions? And does "
        "attention that is held to marked evidence help the network?"
    ),
    reference=_WITHOUT,
    arms={"cpu": _ARMS, "full": _ARMS},
)
