"""A score over several seeds, and its interval over articles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.evaluation import Judgements
from nosology.evaluation.bootstrap import BootstrapPlan, Draw, draw_groups, pooled_replicates
from nosology.evaluation.codiesp import score_explained
from nosology.types import CodedEncounter, Encounter

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A score of several trainings that differ in their seed alone.

    Args:
        mean: over the seeds.
        lowest, highest: over the seeds.
        low, high: interval of ``mean``, scored groups drawn with replacement and the trained coders kept.
    """

    mean: float
    lowest: float
    highest: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float], drawn: Sequence[Floats], level: float) -> Figure:
        """Bring seeds and replicates together.

        Args:
            values: the score, one a seed.
            drawn: its replicates, one array a seed, all of the same draws.
            level: of the interval.
        """
        low, high = np.quantile(np.mean(np.stack(drawn), axis=0), [(1 - level) / 2, (1 + level) / 2])
        return Figure(float(np.mean(values)), min(values), max(values), float(low), float(high))


def pooled_figures(judged: Sequence[Judgements], groups: Sequence[str], plan: BootstrapPlan) -> dict[str, Figure]:
    """``map``, ``micro_precision``, ``micro_recall``, ``micro_f1`` and ``candidate_recall``.

    Args:
        judged: one a seed, on the same encounters.
        groups: of each encounter.
        plan: how to draw.
    """
    draw = draw_groups(groups, plan)
    values = [pooled_replicates(one, draw.whole()) for one in judged]
    drawn = [pooled_replicates(one, draw) for one in judged]
    return {
        name: Figure.of([float(one[name][0]) for one in values], [one[name] for one in drawn], plan.level)
        for name in values[0]
    }


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedCounts:
    """CodiEsp X, encounter by encounter: pairs found, predicted and gold; float64 ``[encounter]``."""

    found: Floats
    predicted: Floats
    gold: Floats

    @staticmethod
    def of(encounters: Sequence[Encounter], coded: Sequence[CodedEncounter]) -> ExplainedCounts:
        """Count each encounter by the official definition.

        Args:
            encounters: with evidence of their codes.
            coded: for the same encounters, in the same order.
        """
        rows = [_count(encounter, one) for encounter, one in zip(encounters, coded, strict=True)]
        found, predicted, gold = np.array(rows, dtype=np.float64).reshape(-1, 3).T
        return ExplainedCounts(found, predicted, gold)

    def scores(self, draw: Draw) -> dict[str, Floats]:
        """Precision, recall and F1 in each replicate; 0/0 is 0."""
        found, predicted, gold = (
            draw.weights @ np.bincount(draw.group_of, weights=values, minlength=draw.n_groups)
            for values in (self.found, self.predicted, self.gold)
        )
        return {
            "micro_precision": _ratio(found, predicted),
            "micro_recall": _ratio(found, gold),
            "micro_f1": _ratio(2 * found, predicted + gold),
        }


def explained_figures(
    counts: Sequence[ExplainedCounts], groups: Sequence[str], plan: BootstrapPlan
) -> dict[str, Figure]:
    """Precision, recall and F1 of CodiEsp X; arguments as for ``pooled_figures``."""
    draw = draw_groups(groups, plan)
    values, drawn = [one.scores(draw.whole()) for one in counts], [one.scores(draw) for one in counts]
    return {
        name: Figure.of([float(one[name][0]) for one in values], [one[name] for one in drawn], plan.level)
        for name in values[0]
    }


def explained_difference(
    first: Sequence[ExplainedCounts], second: Sequence[ExplainedCounts], groups: Sequence[str], plan: BootstrapPlan
) -> Figure:
    """Micro-F1 of the first minus that of the second, seed by seed, both on the same draws."""
    draw = draw_groups(groups, plan)

    def minus(where: Draw) -> list[Floats]:
        pairs = zip(first, second, strict=True)
        return [one.scores(where)["micro_f1"] - other.scores(where)["micro_f1"] for one, other in pairs]

    return Figure.of([float(value[0]) for value in minus(draw.whole())], minus(draw), plan.level)


def mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each entry over rows with the same entries."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _count(encounter: Encounter, coded: CodedEncounter) -> tuple[int, int, int]:
    key = encounter.encounter_id
    gold = {(key, one.code): one.evidence for one in encounter.codes or ()}
    predicted = {(key, one.code): one.evidence for one in coded.assigned}
    scores = score_explained(gold, predicted)
    return round(scores.precision * len(predicted)), len(predicted), len(gold)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
