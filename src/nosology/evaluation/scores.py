"""The scores of one set of judgements: what a report holds for the whole and for every part of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nosology.evaluation.area_metrics import AreaScores, Bounded, macro_areas, micro_areas
from nosology.evaluation.figures import CUTOFFS
from nosology.evaluation.judgements import Bools, Judgements
from nosology.evaluation.metrics import (
    Counts,
    MacroDefinition,
    Scores,
    counts_by_encounter,
    counts_by_label,
    coverage,
    exact_match,
    macro,
    macro_accuracy,
    micro,
    micro_accuracy,
    sample,
    weighted,
)
from nosology.evaluation.ranking_metrics import (
    Over,
    average_precisions,
    candidate_recall,
    mean_over,
    ndcgs_at,
    precisions_at,
    r_precisions,
    recalls_at,
)


@dataclass(frozen=True, slots=True)
class ReportCounts:
    """What was evaluated.

    Args:
        encounters: in the split.
        groups: patients or articles.
        encounters_without_gold: coded by people with no code.
        encounters_without_assignment: the coder assigned nothing.
        gold: gold (encounter, code) pairs.
        assigned: assigned pairs.
        candidates: listed pairs, assigned or not.
        labels_in_split: distinct gold codes.
        label_space: distinct codes that training, gold or assignments mention.
        encounters_failed: those that could not be coded; they count as without codes.
    """

    encounters: int
    groups: int
    encounters_without_gold: int
    encounters_without_assignment: int
    gold: int
    assigned: int
    candidates: int
    labels_in_split: int
    label_space: int
    encounters_failed: int = 0


@dataclass(frozen=True, slots=True)
class AssignmentScores:
    """Scores of the assigned codes.

    Args:
        micro: pooled over pairs.
        macro: by definition (``MacroDefinition``); those over all labels run over the label space.
        weighted: over labels, weighted by gold codes.
        sample: over encounters.
        micro_accuracy: Jaccard over pairs (CAML).
        macro_accuracy: mean Jaccard over the label space (CAML).
        exact_match: share of encounters with exactly the gold codes.
        coverage: share of encounters with at least one assigned code.
    """

    micro: Scores
    macro: Mapping[str, Scores]
    weighted: Scores
    sample: Scores
    micro_accuracy: float
    macro_accuracy: float
    exact_match: float
    coverage: float


@dataclass(frozen=True, slots=True)
class RankingScores:
    """Scores of the order of the candidates; encounters without gold codes are left out of all means but P@k.

    Args:
        map: mean average precision.
        r_precision: precision among the first R, R being the number of gold codes.
        precision_at: by cutoff k, over all encounters.
        recall_at: by cutoff k.
        ndcg_at: by cutoff k.
        candidate_recall: share of gold codes among the candidates.
        micro_auc: area under the ROC curve over all pairs of encounters and labels.
        macro_auc: mean area over labels with gold.
        micro_average_precision: area under the precision-recall curve over all pairs.
        macro_average_precision: mean over labels with gold.
    """

    map: float
    r_precision: float
    precision_at: Mapping[int, float]
    recall_at: Mapping[int, float]
    ndcg_at: Mapping[int, float]
    candidate_recall: float
    micro_auc: Bounded
    macro_auc: Bounded
    micro_average_precision: float
    macro_average_precision: float


def label_space(judged: Judgements, train_codes: Collection[str] | None) -> Bools:
    """The label space: the codes that training, the gold standard or an assignment mentions; one flag a label."""
    mentioned = (judged.gold_per_label() > 0) | (judged.assigned_per_label() > 0)
    if train_codes is None:
        return mentioned
    return mentioned | np.array([code in train_codes for code in judged.labels], dtype=np.bool_)


def count_judged(judged: Judgements, groups: Sequence[str], space: Bools) -> ReportCounts:
    """How much there is."""
    by_encounter = counts_by_encounter(judged)
    return ReportCounts(
        encounters=judged.n_encounters,
        groups=len(set(groups)),
        encounters_without_gold=int((judged.gold_per_encounter() == 0).sum()),
        encounters_without_assignment=int((by_encounter.tp + by_encounter.fp == 0).sum()),
        gold=len(judged.gold_label),
        assigned=int(judged.assigned.sum()),
        candidates=judged.n_candidates,
        labels_in_split=int((judged.gold_per_label() > 0).sum()),
        label_space=int(space.sum()),
        encounters_failed=len(judged.failed),
    )


def assignment_scores(judged: Judgements, space: Bools) -> AssignmentScores:
    """Scores of the assigned codes.

    Args:
        judged: candidates judged against gold.
        space: the label space, one flag a label.
    """
    by_label, by_encounter = counts_by_label(judged), counts_by_encounter(judged)
    return AssignmentScores(
        micro=micro(by_label),
        macro=_macro_scores(by_label, space),
        weighted=weighted(by_label),
        sample=sample(by_encounter),
        micro_accuracy=micro_accuracy(by_label),
        macro_accuracy=macro_accuracy(by_label, space=space),
        exact_match=exact_match(by_encounter),
        coverage=coverage(by_encounter),
    )


def _macro_scores(counts: Counts, space: Bools) -> dict[str, Scores]:
    return {definition.value: macro(counts, definition, space=space) for definition in MacroDefinition}


def ranking_scores(judged: Judgements) -> RankingScores:
    """Scores of the order of the candidates."""
    pooled, averaged = micro_areas(judged), macro_areas(judged)
    return RankingScores(
        map=mean_over(average_precisions(judged), judged, Over.WITH_GOLD),
        r_precision=mean_over(r_precisions(judged), judged, Over.WITH_GOLD),
        precision_at={k: mean_over(precisions_at(judged, k), judged, Over.ALL) for k in CUTOFFS},
        recall_at={k: mean_over(recalls_at(judged, k), judged, Over.WITH_GOLD) for k in CUTOFFS},
        ndcg_at={k: mean_over(ndcgs_at(judged, k), judged, Over.WITH_GOLD) for k in CUTOFFS},
        candidate_recall=candidate_recall(judged),
        micro_auc=pooled.auc,
        macro_auc=averaged.auc,
        micro_average_precision=pooled.average_precision,
        macro_average_precision=averaged.average_precision,
    )


# --- figures by name --------------------------------------------------------------------------------------------------


def assignment_figures(scores: AssignmentScores) -> dict[str, float]:
    """The scores under their dotted names."""
    found = _three("micro.{}", scores.micro)
    for definition, one in scores.macro.items():
        found |= _three(f"macro.{{}}.{definition}", one)
    found |= _three("weighted.{}", scores.weighted) | _three("sample.{}", scores.sample)
    return found | {
        "micro.accuracy": scores.micro_accuracy,
        "macro.accuracy": scores.macro_accuracy,
        "exact_match": scores.exact_match,
        "coverage": scores.coverage,
    }


def ranking_figures(scores: RankingScores) -> dict[str, float]:
    """The scores under their dotted names."""
    at_k = (("p", scores.precision_at), ("r", scores.recall_at), ("ndcg", scores.ndcg_at))
    return {
        "map": scores.map,
        "r_precision": scores.r_precision,
        "candidate_recall": scores.candidate_recall,
        **{f"{name}@{k}": value for name, values in at_k for k, value in values.items()},
        **_area_figures("micro", AreaScores(scores.micro_auc, scores.micro_average_precision)),
        **_area_figures("macro", AreaScores(scores.macro_auc, scores.macro_average_precision)),
    }


def _area_figures(average: str, areas: AreaScores) -> dict[str, float]:
    auc = areas.auc
    return {
        f"{average}.auc": auc.value,
        f"{average}.auc.low": auc.low,
        f"{average}.auc.high": auc.high,
        f"{average}.ap": areas.average_precision,
    }


def _three(name: str, scores: Scores) -> dict[str, float]:
    values = {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}
    return {name.format(of): value for of, value in values.items()}
