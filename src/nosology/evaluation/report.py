"""The evaluation report: every figure of one set of predictions, with the definitions it follows.

A report is plain data; ``EvaluationReport.to_json`` writes it and ``nosology.cli.report_view`` shows it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from nosology.codes.frequency import FrequencyBands
from nosology.errors import CorpusError, PredictionsError
from nosology.evaluation.area_metrics import (
    Bounded,
    macro_auc,
    macro_average_precision,
    micro_auc,
    micro_average_precision,
)
from nosology.evaluation.bands import BandScores, scores_by_band
from nosology.evaluation.bootstrap import BootstrapPlan
from nosology.evaluation.codiesp import CodiespScores, score_codiesp
from nosology.evaluation.judgements import Bools, Judgements, judge_codes
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
from nosology.evaluation.predictions import Predictions, check_coded
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
from nosology.evaluation.reliability import CalibrationScores, calibration_scores
from nosology.evaluation.uncertainty import Interval, score_intervals
from nosology.types import CodedEncounter, Corpus, Encounter

REPORT_VERSION = 1
CUTOFFS = (5, 8, 15)


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


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Everything ``evaluate`` measures.

    Args:
        corpus: the corpus's name, empty if bare encounters were given.
        splits: the splits of its encounters.
        counts: what was evaluated.
        assignment: scores of the assigned codes.
        ranking: scores of the order of candidates.
        calibration: of the candidates' probabilities.
        bands_name: the frequency bands used.
        bands: scores by training frequency; ``None`` where training counts are not known.
        bootstrap: how groups were drawn for intervals; ``None`` where none were asked for.
        intervals: by statistic.
        codiesp: CodiEsp's official scores; ``None`` for other corpora.
        version: of this layout.
    """

    corpus: str
    splits: tuple[str, ...]
    counts: ReportCounts
    assignment: AssignmentScores
    ranking: RankingScores
    calibration: CalibrationScores
    bands_name: str
    bands: tuple[BandScores, ...] | None
    bootstrap: BootstrapPlan | None
    intervals: Mapping[str, Interval]
    codiesp: CodiespScores | None
    version: int = REPORT_VERSION

    def to_dict(self) -> dict[str, object]:
        """Plain dicts, lists, numbers and strings."""
        return asdict(self)

    def to_json(self) -> str:
        """Indented JSON text; every number is finite."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False, ensure_ascii=False)


def evaluate(
    corpus: Corpus | Sequence[Encounter],
    predictions: Predictions | Iterable[CodedEncounter],
    *,
    train_counts: Mapping[str, int] | None = None,
    bands: str | FrequencyBands = "codiesp",
    plan: BootstrapPlan | None = None,
    intervals: bool = True,
) -> EvaluationReport:
    """Score predictions against gold codes.

    Thresholds are the coder's affair: what counts as assigned is what ``SuggestedCode.assigned`` says.

    Args:
        corpus: the encounters of one split (``corpus.split("dev")``), all coded by people.
        predictions: one coded encounter for each, in any order; read once.
        train_counts: code -> number of training encounters that carry it, for scores by frequency and the label space.
        bands: the name of frequency bands, or the bands.
        plan: how to draw intervals; by default 1,000 replicates at 95 % by group.
        intervals: whether to draw them at all.

    Raises:
        CorpusError: there is no encounter, or one has no gold standard.
        PredictionsError: an encounter lacks a prediction, has two, or is not in the corpus; a list of candidates is
            not sorted or holds a probability outside [0, 1].
        ConfigError: no frequency bands have that name.
    """
    encounters = _checked_encounters(corpus)
    coded = _aligned(encounters, predictions)
    judged = _judge(encounters, coded, train_counts)
    space = _label_space(judged, train_counts)
    chosen = FrequencyBands.named(bands) if isinstance(bands, str) else bands
    groups = [e.group_id or e.encounter_id for e in encounters]
    plan = (plan or BootstrapPlan()) if intervals else None
    return EvaluationReport(
        corpus=corpus.name if isinstance(corpus, Corpus) else "",
        splits=tuple(sorted({e.split for e in encounters if e.split})),
        counts=_count(judged, groups, space),
        assignment=_assignment_scores(judged, space),
        ranking=_ranking_scores(judged),
        calibration=calibration_scores(judged),
        bands_name=bands if isinstance(bands, str) else ", ".join(chosen.names),
        bands=None if train_counts is None else scores_by_band(judged, train_counts, chosen),
        bootstrap=plan,
        intervals=score_intervals(judged, groups, plan, space=space) if plan else {},
        codiesp=_codiesp_scores(corpus, encounters, coded),
    )


def count_codes(encounters: Iterable[Encounter]) -> dict[str, int]:
    """Code -> number of encounters that carry it: the ``train_counts`` of ``evaluate``, from a training split."""
    counts: dict[str, int] = {}
    for encounter in encounters:
        for gold in encounter.codes or ():  # no code twice
            counts[gold.code] = counts.get(gold.code, 0) + 1
    return counts


def judge_predictions(
    encounters: Corpus | Sequence[Encounter],
    predictions: Predictions | Iterable[CodedEncounter],
    *,
    train_counts: Mapping[str, int] | None = None,
) -> Judgements:
    """Check predictions against encounters and bring both into the form that metrics and bootstraps take.

    Args and Raises: as ``evaluate``.
    """
    checked = _checked_encounters(encounters)
    return _judge(checked, _aligned(checked, predictions), train_counts)


def _judge(
    encounters: Sequence[Encounter], coded: Sequence[CodedEncounter], train_counts: Mapping[str, int] | None
) -> Judgements:
    return judge_codes(
        [e.encounter_id for e in encounters],
        [e.code_set for e in encounters],
        ([(s.code, s.probability, s.assigned) for s in c.codes] for c in coded),
        label_space=() if train_counts is None else sorted(train_counts),
    )


def _checked_encounters(corpus: Corpus | Sequence[Encounter]) -> tuple[Encounter, ...]:
    encounters = tuple(corpus)
    if not encounters:
        raise CorpusError("nothing to evaluate: there is no encounter; choose a split that has some")
    unlabelled = [e.encounter_id for e in encounters if e.codes is None]
    if unlabelled:
        raise CorpusError(
            f"no gold codes to evaluate against ({len(unlabelled)} of {len(encounters)} encounters have none); "
            "choose a split that people have coded",
            record_id=unlabelled[0],
        )
    return encounters


def _aligned(
    encounters: Sequence[Encounter], predictions: Predictions | Iterable[CodedEncounter]
) -> tuple[CodedEncounter, ...]:
    """One coded encounter for each encounter, in their order."""
    path = predictions.path if isinstance(predictions, Predictions) else None
    wanted = {e.encounter_id for e in encounters}
    by_id: dict[str, CodedEncounter] = {}
    for index, coded in enumerate(predictions):
        line = predictions.line_of(index) if isinstance(predictions, Predictions) else None
        if coded.encounter_id not in wanted:
            problem = "no such encounter in the split evaluated; evaluate the split that was coded"
            raise PredictionsError(problem, path=path, line=line, record_id=coded.encounter_id)
        if coded.encounter_id in by_id:
            raise PredictionsError("duplicate id; keep one", path=path, line=line, record_id=coded.encounter_id)
        check_coded(coded, path=path, line=line)
        by_id[coded.encounter_id] = coded
    missing = [e.encounter_id for e in encounters if e.encounter_id not in by_id]
    if missing:
        raise PredictionsError(
            f"no predictions for {len(missing)} of {len(encounters)} encounters, this one first; "
            "code the whole split (an encounter without candidates is a line with an empty list)",
            path=path,
            record_id=missing[0],
        )
    return tuple(by_id[e.encounter_id] for e in encounters)


def _codiesp_scores(
    corpus: Corpus | Sequence[Encounter], encounters: Sequence[Encounter], coded: Sequence[CodedEncounter]
) -> CodiespScores | None:
    if isinstance(corpus, Corpus) and corpus.name == "codiesp":
        return score_codiesp(encounters, coded, corpus.systems)
    return None


def _label_space(judged: Judgements, train_counts: Mapping[str, int] | None) -> Bools:
    mentioned = (judged.gold_per_label() > 0) | (judged.assigned_per_label() > 0)
    if train_counts is None:
        return mentioned
    return mentioned | np.array([train_counts.get(code, 0) > 0 for code in judged.labels], dtype=np.bool_)


def _count(judged: Judgements, groups: Sequence[str], space: Bools) -> ReportCounts:
    by_encounter = counts_by_encounter(judged)
    return ReportCounts(
        encounters=judged.n_encounters,
        groups=len(set(groups)),
        encounters_without_gold=int((judged.gold_per_encounter() == 0).sum()),
        encounters_without_assignment=int((by_encounter.tp + by_encounter.fp == 0).sum()),
        gold=len(judged.gold_label),
        assigned=int(judged.assigned.sum()),
        candidates=len(judged.label),
        labels_in_split=int((judged.gold_per_label() > 0).sum()),
        label_space=int(space.sum()),
    )


def _assignment_scores(judged: Judgements, space: Bools) -> AssignmentScores:
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


def _ranking_scores(judged: Judgements) -> RankingScores:
    return RankingScores(
        map=mean_over(average_precisions(judged), judged, Over.WITH_GOLD),
        r_precision=mean_over(r_precisions(judged), judged, Over.WITH_GOLD),
        precision_at={k: mean_over(precisions_at(judged, k), judged, Over.ALL) for k in CUTOFFS},
        recall_at={k: mean_over(recalls_at(judged, k), judged, Over.WITH_GOLD) for k in CUTOFFS},
        ndcg_at={k: mean_over(ndcgs_at(judged, k), judged, Over.WITH_GOLD) for k in CUTOFFS},
        candidate_recall=candidate_recall(judged),
        micro_auc=micro_auc(judged),
        macro_auc=macro_auc(judged),
        micro_average_precision=micro_average_precision(judged),
        macro_average_precision=macro_average_precision(judged),
    )
