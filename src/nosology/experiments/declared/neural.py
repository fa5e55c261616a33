"""The published networks, sized for a CPU, beside logistic regressions, on a simulated MIMIC-III-50."""

from __future__ import annotations

from nosology.experiments.declaration import Arm, Experiment

REFERENCE = "logistic regressions"
_CORPUS = "Simulated MIMIC-III-50, first 512 words"
_RECIPES = {
    "CAML": "caml_sim50",
    "MultiResCNN": "multirescnn_sim50",
    "LAAT": "laat_sim50",
    "JointLAAT": "joint_laat_sim50",
    "MSMN": "msmn_sim50",
    "PLM-ICD's head, frozen MiniLM": "minilm_laat",
    "PLM-CA's head, convolution": "plm_ca_sim50",
}


def _arms(admissions: int) -> tuple[Arm, ...]:
    corpus = {"corpus.reader": "simulated_mimic3", "corpus.admissions": admissions, "corpus.words": 512}
    networks = (Arm(_CORPUS, method, recipe, corpus) for method, recipe in _RECIPES.items())
    return (Arm(_CORPUS, REFERENCE, "tfidf_simulated", corpus), *networks)


EXPERIMENT = Experiment(
    title="Published networks beside logistic regressions",
    question="Do networks, trained from scratch or over a frozen sentence encoder, beat one classifier a code?",
    reference=REFERENCE,
    bands="published",
    arms={"cpu": _arms(2000), "full": _arms(11_000)},
)
