"""How much of a language model must learn: LoRA of a larger one beside full tuning of a smaller one (figure 2)."""

from __future__ import annotations

from collections.abc import Mapping

from nosology.experiments.declaration import Arm, Claim, Experiment

REFERENCE = "smaller, full tuning"
RANKS = (4, 8, 32)
"""Of T5-large's query and value projections: 0.16, 0.32 and 1.26 % of its weights."""
_LARGER: Mapping[str, object] = {
    "model.llm.backbone.hidden": 128,
    "model.llm.backbone.layers": 2,
    "model.llm.backbone.feed_forward": 256,
}
_BOTH: Mapping[str, object] = {"corpus.admissions": 1750, "corpus.words": 64}
_ATTENTION = {"model.llm.task": "att", "model.llm.reading": "att", "model.llm.validation": "att"}
_GENERATION = {"model.llm.task": "gen", "model.llm.reading": "gen", "model.llm.validation": "gen"}
_MIMIC = {"corpus.path": "mimic3-50"}


def larger(rank: int) -> str:
    """The row of a rank."""
    return f"larger, LoRA r = {rank}"


def _lora(rank: int) -> dict[str, object]:
    return {"model.llm.tuning": {"kind": "lora", "rank": rank, "alpha": 2.0 * rank, "targets": ["q", "v"]}}


def _arms(
    corpus: str, recipe: str, settings: Mapping[str, object], larger_model: Mapping[str, object]
) -> tuple[Arm, ...]:
    rows = (Arm(corpus, larger(rank), recipe, {**settings, **larger_model, **_lora(rank)}) for rank in RANKS)
    return (Arm(corpus, REFERENCE, recipe, settings), *rows)


EXPERIMENT = Experiment(
    title="How much of a language model learns",
    question=(
        "Does LoRA on a larger model beat full tuning of a smaller one, and from which share of learning weights? Yoo "
        "and Kim 2025, figure 2: T5-large beats T5-base at 1.26 % (r = 32), not at 0.32 and 0.16 % (r = 8, 4). At size "
        "cpu both models are fresh and read by label attention, so that LoRA adapts weights that know nothing: a test "
        "of the machinery more than of the claim."
    ),
    reference=REFERENCE,
    bands="published",
    claims=(
        Claim("Figure 2: at r = 32 LoRA of the larger model excels", larger(32), REFERENCE),
        Claim("Figure 2: at r = 8 it does not reach the smaller one", REFERENCE, larger(8)),
        Claim("Figure 2: at r = 4 it does not reach the smaller one", REFERENCE, larger(4)),
    ),
    arms={
        "cpu": _arms("Simulated MIMIC-III-50, first 64 words", "t5_tiny_cmp", {**_BOTH, **_ATTENTION}, _LARGER),
        "full": _arms(
            "MIMIC-III-50",
            "t5_base_mimic3_50",
            {**_MIMIC, **_GENERATION},
            {"model.llm.backbone.name": "google-t5/t5-large"},
        ),
    },
)
