"""What goes in and out of a language model that writes codes: the four formats of Yoo and Kim 2025, table 1."""

from __future__ import annotations

from nosology.experiments.declaration import Arm, Claim, Experiment

FORMATS = {
    1: "1: note -> codes",
    2: "2: note -> codes with descriptions",
    3: "3: note and codes -> codes",
    4: "4: note and codes with descriptions -> codes",
}
"""The rows of table 1."""
REFERENCE = FORMATS[1]
_GENERATION = {"model.llm.task": "gen", "model.llm.reading": "gen", "model.llm.validation": "gen"}
_SMALL = {"corpus.admissions": 1750, "corpus.words": 64, "model.llm.window": 1024}
_MIMIC = {"corpus.path": "mimic3-50"}


def _formats(corpus: str, recipe: str, settings: dict[str, object]) -> tuple[Arm, ...]:
    return tuple(
        Arm(corpus, name, recipe, {**_GENERATION, **settings, "model.llm.format": number})
        for number, name in FORMATS.items()
    )


EXPERIMENT = Experiment(
    title="What a language model reads and writes: four formats",
    question=(
        "Does a language model that writes codes do better when it also writes, or also reads, the codes' "
        "descriptions? Yoo and Kim 2025, table 1, find the plainest format best. Generation alone; at size cpu by a "
        "small fresh T5, at size full by T5-base and LLaMA-7B on MIMIC-III-50."
    ),
    reference=REFERENCE,
    bands="published",
    claims=tuple(
        Claim(f"Table 1: format 1 is superior to format {number}", REFERENCE, name)
        for number, name in FORMATS.items()
        if number > 1
    ),
    arms={
        "cpu": _formats("Simulated MIMIC-III-50, first 64 words", "t5_tiny_cmp", {**_SMALL}),
        "full": (
            *_formats("MIMIC-III-50: T5-base", "t5_base_mimic3_50", {**_MIMIC}),
            *_formats("MIMIC-III-50: LLaMA-7B", "llama_7b_mimic3_50", {**_MIMIC}),
        ),
    },
)
