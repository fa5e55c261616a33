"""The label prior, logistic regressions and nearest neighbours beside the default coder."""

from __future__ import annotations

from nosology.experiments.declaration import Arm, Experiment

DEFAULT = "default coder"
_METHODS = {DEFAULT: "", "logistic regressions": "tfidf_", "nearest neighbours": "neighbours_", "label prior": "prior_"}
_FIFTY, _ALL = "Simulated MIMIC-III-50", "Simulated MIMIC-III, all codes"
_CODIESP = {"CodiEsp D, Spanish": "codiesp_d_es", "CodiEsp D, English": "codiesp_d_en"}


def _codiesp() -> tuple[Arm, ...]:
    return tuple(
        Arm(corpus, method, f"{prefix}{recipe}")
        for corpus, recipe in _CODIESP.items()
        for method, prefix in _METHODS.items()
    )


def _simulated(corpus: str, admissions: int, variant: str = "50") -> tuple[Arm, ...]:
    mimic = {"corpus.reader": "simulated_mimic3", "corpus.admissions": admissions, "corpus.variant": variant}
    return tuple(Arm(corpus, method, f"{prefix}simulated", mimic) for method, prefix in _METHODS.items())


EXPERIMENT = Experiment(
    title="Plain baselines beside the default coder",
    question=(
        "What do candidates with features gain over reading nothing, over one classifier a code, and over copying "
        "from similar notes, and on which codes?"
    ),
    reference=DEFAULT,
    bands_on={_FIFTY: "published", _ALL: "published"},
    arms={
        "cpu": (*_codiesp(), *_simulated(_FIFTY, 2000)),
        "full": (
            *_codiesp(),
            *_simulated(_FIFTY, 11_000),
            *_simulated(_ALL, 11_000, "full"),
        ),
    },
)
