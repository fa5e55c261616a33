"""The label prior, logistic regressions and nearest neighbours beside the default coder."""

from __future__ import annotations

from nosology.experiments.declaration import Arm, Experiment

DEFAULT = "default coder"
_METHODS = {DEFAULT: "", "logistic regressions": "tfidf_", "nearest neighbours": "neighbours_", "label prior": "prior_"}
_CORPORA = {"CodiEsp D, Spanish": "codiesp_d_es", "CodiEsp D, English": "codiesp_d_en"}


def _arms(corpora: dict[str, str]) -> tuple[Arm, ...]:
    return tuple(
        Arm(corpus, method, f"{prefix}{recipe}")
        for corpus, recipe in corpora.items()
        for method, prefix in _METHODS.items()
    )


def _simulated(encounters: int, codes: int) -> tuple[Arm, ...]:
    sizes = {"corpus.encounters": encounters, "corpus.codes": codes}
    return tuple(
        Arm("Simulated discharge summaries", method, f"{prefix}simulated", sizes) for method, prefix in _METHODS.items()
    )


EXPERIMENT = Experiment(
    title="Plain baselines beside the default coder",
    question=(
        "What do candidates with features gain over reading nothing, over one classifier a code, and over copying "
        "from similar notes, and on which codes?"
    ),
    reference=DEFAULT,
    arms={
        "cpu": (*_arms(_CORPORA), *_simulated(2000, 500)),
        "full": (*_arms(_CORPORA), *_simulated(20_000, 5000)),
    },
)
