"""What a model says of itself: the facts of its training, and the README.md of its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nosology import __version__
from nosology.calibration import expected_calibration_error
from nosology.config import Recipe
from nosology.types import Corpus, Encounter


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was decided of candidates out of fold, and what was right.

    Args:
        probabilities: float64 ``[candidate]``.
        assigned, right: bool ``[candidate]``.
        gold: gold codes of these encounters, found among the candidates or not.
    """

    probabilities: NDArray[np.float64]
    assigned: NDArray[np.bool_]
    right: NDArray[np.bool_]
    gold: int

    def figures(self) -> dict[str, float]:
        """Micro precision, recall and F1, the candidates' recall and the calibration error."""
        hits, said = int((self.assigned & self.right).sum()), int(self.assigned.sum())
        return {
            "precision": hits / max(1, said),
            "recall": hits / max(1, self.gold),
            "f1": 2 * hits / max(1, said + self.gold),
            "candidate_recall": int(self.right.sum()) / max(1, self.gold),
            "calibration_error": expected_calibration_error(self.probabilities, self.right),
        }


@dataclass(frozen=True, slots=True)
class Facts:
    """How a coder was trained, and how it did on training encounters that it had not seen.

    Args:
        corpus: the reader's name.
        systems: code systems of the labels.
        language: ISO 639-1.
        splits: the splits it learnt from.
        encounters: training encounters.
        groups: patients or articles among them.
        labels: distinct codes.
        once: codes that occur once.
        gold: codes of all encounters together.
        seed: of folds and trees.
        threshold: from which a code is assigned.
        precision, recall, f1: micro, out of fold, at the threshold.
        candidate_recall: share of gold codes among the candidates, out of fold.
        calibration_error: expected calibration error of the candidates' probabilities, out of fold.
        cleaned: what cleaning did to the encounters before; empty for nothing.
    """

    corpus: str
    systems: tuple[str, ...]
    language: str
    splits: tuple[str, ...]
    encounters: int
    groups: int
    labels: int
    once: int
    gold: int
    seed: int
    threshold: float
    precision: float
    recall: float
    f1: float
    candidate_recall: float
    calibration_error: float
    cleaned: str = ""

    @staticmethod
    def of(
        corpus: Corpus,
        encounters: Sequence[Encounter],
        seed: int,
        threshold: float,
        outcome: Outcome,
        cleaned: str = "",
    ) -> Facts:
        """Gather the facts.

        Args:
            corpus: what was read.
            encounters: the coded encounters it learnt from.
            seed: of the training.
            threshold: from which a code is assigned.
            outcome: of all candidates, out of fold.
            cleaned: what was done to the encounters before.
        """
        counts = dict[str, int]()
        for encounter in encounters:
            for code in encounter.code_set:
                counts[code] = counts.get(code, 0) + 1
        return Facts(
            corpus=corpus.name,
            systems=corpus.systems,
            language=encounters[0].notes[0].language,
            splits=tuple(sorted({encounter.split for encounter in encounters if encounter.split})),
            encounters=len(encounters),
            groups=len({encounter.group_id or encounter.encounter_id for encounter in encounters}),
            labels=len(counts),
            once=sum(count == 1 for count in counts.values()),
            gold=sum(counts.values()),
            seed=seed,
            threshold=threshold,
            cleaned=cleaned,
            **outcome.figures(),
        )

    def rejudged(self, threshold: float, outcome: Outcome) -> Facts:
        """The same training, with other figures of the encounters it had not seen; see ``of``."""
        return replace(self, threshold=threshold, **outcome.figures())

    def to_mapping(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_mapping(mapping: Mapping[str, Any]) -> Facts:
        values: dict[str, Any] = {**mapping, "systems": tuple(mapping["systems"]), "splits": tuple(mapping["splits"])}
        return Facts(**values)


_METHODS = {
    "ranker": "candidates of several sources, ranked by trees",
    "prior": "the share of training encounters with each code (a baseline: it reads no note)",
    "tfidf": "TF-IDF of word n-grams and one logistic regression a code (a baseline)",
    "neural": "a neural network trained on these notes",
    "llm": "a large language model tuned on these notes",
    "endpoint": "a language model behind a server, not tuned, asked to choose and to verify candidate codes",
    "neighbours": "votes of the most similar training encounters (a baseline)",
}


def write_card(facts: Facts, recipe: Recipe, knowledge: Mapping[str, Mapping[str, int]]) -> str:
    """The model card, in Markdown.

    Args:
        facts: of the training.
        recipe: what it was made from.
        knowledge: expressions by source and language.
    """
    return f"""# {recipe.description or "A nosology coder"}

Suggests codes of {", ".join(facts.systems)} for clinical notes in language `{facts.language}`, with the words that
justify each. Made by nosology {__version__}; method: {_METHODS[recipe.model.kind]}.

**Intended use.** Administrative coding support: a person reviews the suggestions and their evidence. It neither
diagnoses nor treats, and its probabilities hold for notes like those it learnt from.

**Trained on** `{facts.corpus}`, splits {"+".join(facts.splits) or "(none named)"}: {facts.encounters:,} encounters of
{facts.groups:,} patients or articles, {facts.gold:,} codes in all, {facts.labels:,} distinct, {facts.once:,} of them
seen once. Seed {facts.seed}.{_cleaned(facts)}

**On training encounters it had not seen** (cross-fitting, not a test set): micro-F1 {facts.f1:.3f} (precision
{facts.precision:.3f}, recall {facts.recall:.3f}) at its threshold of {facts.threshold:.3f};
{facts.candidate_recall:.1%} of the gold codes were among the candidates; expected calibration error
{facts.calibration_error:.3f}.

{_expressions(knowledge)}**Privacy.** The folder holds words and phrases of the training notes. A model made from notes
under an agreement (MIMIC's, a hospital's) falls under that agreement: do not publish it.
"""


def _cleaned(facts: Facts) -> str:
    return f" Cleaned before: {facts.cleaned}." if facts.cleaned else ""


def _expressions(knowledge: Mapping[str, Mapping[str, int]]) -> str:
    if not knowledge:
        return ""
    rows = "\n".join(
        f"| {source} | {', '.join(f'{language}: {count:,}' for language, count in languages.items())} |"
        for source, languages in knowledge.items()
    )
    return f"| expressions it knows | by language |\n|---|---|\n{rows}\n\n"
