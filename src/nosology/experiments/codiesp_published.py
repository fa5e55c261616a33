"""What others have published on CodiEsp, and what this project set out to reach; figures to stand beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside a figure of ours; ``None`` and empty where there is nothing.

    Args:
        target: to be reached on dev.
        winner: the best of CLEF 2020, on test.
        since: the best published since, on test.
        prototype: a first prototype of this project (exact evidence strings, logistic regression), on dev.
    """

    target: float | None = None
    winner: str = ""
    since: str = ""
    prototype: str = ""


BESIDE: Mapping[tuple[str, str, str], Beside] = {
    ("D", "es", "map"): Beside(0.60, "0.593", "0.662", "0.522"),
    ("D", "es", "micro_f1"): Beside(0.72, "0.687", "", "0.684"),
    ("D", "en", "map"): Beside(0.36, "", "", "0.252"),
    ("D", "en", "micro_f1"): Beside(0.42, "", "0.219, 0.157", "0.315"),
    ("P", "es", "map"): Beside(0.50, "0.493", "0.544", ""),
    ("P", "es", "micro_f1"): Beside(0.55, "0.522", "", ""),
    ("X", "es", "micro_f1"): Beside(0.60, "0.611", "", ""),
    ("unseen", "es", "candidate_recall"): Beside(0.30, "", "", "0"),
    ("unseen", "es", "micro_recall"): Beside(0.08, "", "", "0"),
    ("unseen", "es", "micro_precision"): Beside(0.40, "", "", "0"),
}
"""By track (or "unseen": diagnoses that training lacks), language and score."""

SINCE_NOTES: Mapping[tuple[str, str], str] = {
    ("D", "es"): "Best since on D Spanish: three fine-tuned clinical transformers together.",
    ("D", "en"): "On D English: PLM-ICD trained on MIMIC-IV (0.219), GPT-4 searching the tree of codes (0.157).",
}
"""Whose the figures of ``since`` are, by track and language."""
PROTOTYPE_NOTE = (
    "The prototype looked up the evidence strings of train (in English: associated n-grams and code titles) and ranked "
    "by logistic regression."
)
