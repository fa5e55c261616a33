"""Generation, label attention and both, beside plain baselines: Yoo and Kim 2025, tables 2 and 3."""

from __future__ import annotations

from collections.abc import Mapping

from nosology.experiments.declaration import Arm, Claim, Experiment

REFERENCE = "label prior"
LOGISTIC = "logistic regressions"
READINGS: Mapping[str, Mapping[str, object]] = {
    "gen": {"model.llm.task": "gen", "model.llm.reading": "gen", "model.llm.validation": "gen"},
    "att": {"model.llm.task": "att", "model.llm.reading": "att", "model.llm.validation": "att"},
    "cmp-gen": {"model.llm.task": "cmp", "model.llm.reading": "gen"},
    "cmp-att": {"model.llm.task": "cmp", "model.llm.reading": "att"},
}
"""The rows of table 3 without knowledge and sampling; the last two are one trained model, read in two ways."""
_SIMULATED: Mapping[str, object] = {
    "corpus.reader": "simulated_mimic3",
    "corpus.admissions": 1750,
    "corpus.words": 64,
}
_MIMIC: Mapping[str, object] = {"corpus.path": "mimic3-50"}
_OTHERS = {
    "ClinicalT5": ("t5_base_mimic3_50", "clinical-t5"),
    "LLaMA-2": ("llama_7b_mimic3_50", "meta-llama/Llama-2-7b-hf"),
    "PMC-LLaMA": ("llama_7b_mimic3_50", "pmc-llama"),
    "Alpaca": ("llama_7b_mimic3_50", "alpaca"),
    "Med-Alpaca": ("llama_7b_mimic3_50", "med-alpaca"),
    "Vicuna": ("llama_7b_mimic3_50", "lmsys/vicuna-7b-v1.3"),
}
"""The rest of table 2, by name on the hub, or by the folder that ``nosology convert`` made of older weights."""


def readings(corpus: str, model: str, recipe: str, settings: Mapping[str, object]) -> tuple[Arm, ...]:
    """A row for every reading of a language model.

    Args:
        corpus: the table.
        model: its name in the table.
        recipe: trains it for both losses at once.
        settings: of the recipe, changed.
    """
    return tuple(Arm(corpus, f"{model} {name}", recipe, {**settings, **own}) for name, own in READINGS.items())


def plain_rows(corpus: str, settings: Mapping[str, object]) -> tuple[Arm, ...]:
    """Beside networks and language models, what those have who do not read, and who read words.

    Args:
        corpus: the table.
        settings: of its recipes' corpus.
    """
    return (Arm(corpus, REFERENCE, "prior_simulated", settings), Arm(corpus, LOGISTIC, "tfidf_simulated", settings))


def _cpu(corpus: str) -> tuple[Arm, ...]:
    own = {key: value for key, value in _SIMULATED.items() if key != "corpus.reader"}
    models = {"T5": "t5_tiny_cmp", "LLaMA": "llama_tiny_cmp"}
    rows = (arm for model, recipe in models.items() for arm in readings(corpus, model, recipe, own))
    return (*plain_rows(corpus, _SIMULATED), *rows)


def _full(corpus: str) -> tuple[Arm, ...]:
    prepared = {"corpus.reader": "prepared", **_MIMIC}
    others = (
        Arm(corpus, f"{model} gen", recipe, {**_MIMIC, **READINGS["gen"], "model.llm.backbone.name": name})
        for model, (recipe, name) in _OTHERS.items()
    )
    return (
        *plain_rows(corpus, prepared),
        *readings(corpus, "T5", "t5_base_mimic3_50", _MIMIC),
        *readings(corpus, "LLaMA", "llama_7b_mimic3_50", _MIMIC),
        *others,
    )


EXPERIMENT = Experiment(
    title="Language models that write codes, attend to them, or both",
    question=(
        "Does label attention help a language model that writes codes, and which of the two answers is the better one? "
        "Yoo and Kim 2025, tables 2 (baseline columns) and 3 (classification). cmp-gen and cmp-att are two readings of "
        "one trained model: the second row's training time is that of reading. At size cpu T5 and LLaMA are small and "
        "fresh, so that what the paper puts down to pretraining cannot show."
    ),
    reference=REFERENCE,
    bands="published",
    claims=(
        Claim("Table 3, T5: label attention alone is worse than generation", "T5 gen", "T5 att"),
        Claim("Table 3, T5: trained on both, label attention beats generation alone", "T5 cmp-att", "T5 gen"),
        Claim("Table 3, T5: of one model, label attention is the better reading", "T5 cmp-att", "T5 cmp-gen"),
        Claim("Table 3, LLaMA: label attention alone is worse than generation", "LLaMA gen", "LLaMA att"),
        Claim("Table 3, LLaMA: trained on both, generation beats generation alone", "LLaMA cmp-gen", "LLaMA gen"),
        Claim("Table 3, LLaMA: of one model, generation is the better reading", "LLaMA cmp-gen", "LLaMA cmp-att"),
        Claim("Table 2: encoder-decoders beat decoders", "T5 gen", "LLaMA gen"),
        Claim("Table 2: T5 trained on clinical notes beats T5", "ClinicalT5 gen", "T5 gen"),
        Claim("Table 2: LLaMA-2 beats LLaMA", "LLaMA-2 gen", "LLaMA gen"),
        Claim("Section 4.4.2: medical papers do not help, PMC-LLaMA is below LLaMA", "LLaMA gen", "PMC-LLaMA gen"),
        Claim("Section 4.4.2: nor do medical questions, Med-Alpaca is below Alpaca", "Alpaca gen", "Med-Alpaca gen"),
        Claim("Conclusion: language models fall short of other methods", LOGISTIC, "T5 gen"),
    ),
    arms={"cpu": _cpu("Simulated MIMIC-III-50, first 64 words"), "full": _full("MIMIC-III-50")},
)
