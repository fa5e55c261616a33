"""The evaluation report: every figure of one set of predictions, with the definitions it follows.

A report is plain data; ``EvaluationReport.to_json`` writes it and ``nosology.cli.report_view`` shows it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from nosology.codes.frequency import FrequencyBands
from nosology.codes.systems import CodeSystem
from nosology.evaluation.alignment import (
    aligned,
    checked_encounters,
    count_codes,
    groups_of,
    judge_aligned,
    judge_predictions,
)
from nosology.evaluation.bands import BandScores, scores_by_band
from nosology.evaluation.codiesp import CodiespScores, score_codiesp
from nosology.evaluation.draws import BootstrapPlan
from nosology.evaluation.hierarchy import HierarchyScores, score_hierarchy
from nosology.evaluation.judgements import Judgements
from nosology.evaluation.parts import Parting, PartScores, score_parts
from nosology.evaluation.predictions import Predictions
from nosology.evaluation.reliability import CalibrationScores, calibration_scores
from nosology.evaluation.scores import (
    AssignmentScores,
    RankingScores,
    ReportCounts,
    assignment_figures,
    assignment_scores,
    count_judged,
    label_space,
    ranking_figures,
    ranking_scores,
)
from nosology.evaluation.subsets import systems_of
from nosology.evaluation.uncertainty import Interval, score_intervals
from nosology.types import CodedEncounter, Corpus, Encounter

__all__ = [
    "REPORT_VERSION",
    "AssignmentScores",
    "EvaluationReport",
    "RankingScores",
    "ReportCounts",
    "count_codes",
    "evaluate",
    "evaluate_judged",
    "judge_predictions",
]

REPORT_VERSION = 2


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
        parts: every score by code system, band, chapter, block, note length or column, as asked for.
        hierarchy: credit for near misses, and where wrong codes go; ``None`` where not asked for.
        decisions: how the codes came to be assigned, for people; empty: as predicted.
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
    parts: tuple[PartScores, ...] = ()
    hierarchy: HierarchyScores | None = None
    decisions: str = ""
    version: int = REPORT_VERSION

    def figures(self) -> dict[str, float]:
        """Every figure of the report under a stable dotted name.

        Of the whole: ``micro.{precision,recall,f1}``, ``macro.{precision,recall,f1}.<definition>`` (``caml``,
        ``all_labels``, ``labels_in_split``, ``labels_seen_or_predicted``), ``weighted.*``, ``sample.*``,
        ``micro.accuracy``, ``macro.accuracy``, ``exact_match``, ``coverage``, ``map``, ``r_precision``,
        ``candidate_recall``, ``p@k``, ``r@k``, ``ndcg@k``, ``micro.auc``, ``micro.auc.low``, ``micro.auc.high``,
        ``micro.ap`` (and ``macro.``), ``ece``, ``brier``. Of parts: the part's name before it, as in
        ``band.1-10.micro.f1`` (bands always, where training counts are known; other parts as asked for). Of the
        hierarchy: ``hierarchy.{precision,recall,f1}``. CodiEsp's: ``codiesp.d.map``, ``codiesp.x.f1``.

        >>> report.figures()["macro.f1.caml"]  # doctest: +SKIP
        0.112
        """
        found = assignment_figures(self.assignment) | ranking_figures(self.ranking)
        found |= {"ece": self.calibration.expected_calibration_error, "brier": self.calibration.brier}
        for band in self.bands or ():
            found |= {f"band.{band.band}.{name}": value for name, value in band.figures().items()}
        for part in self.parts:
            found |= {f"{part.name}.{name}": value for name, value in part.figures().items()}
        if self.hierarchy is not None:
            found |= self.hierarchy.figures()
        return found | (self.codiesp.figures() if self.codiesp is not None else {})

    def to_dict(self) -> dict[str, object]:
        """Plain dicts, lists, numbers and strings: the report's own fields, and every figure by name in ``figures``."""
        return {**asdict(self), "figures": self.figures()}

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
    by: Collection[str] = (),
    hierarchy: bool = False,
    tables: Mapping[str, CodeSystem] | None = None,
    decisions: str = "",
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
        by: what to part the scores by: "system", "band", "chapter", "block", "length", columns of metadata.
        hierarchy: whether to score the hierarchy.
        tables: code system -> its table, for systems of one's own; by default the installed ones.
        decisions: how the codes came to be assigned, for people.

    Raises:
        CorpusError: there is no encounter, or one has no gold standard.
        PredictionsError: an encounter lacks a prediction, has two, or is not in the corpus; a list of candidates is
            not sorted or holds a probability outside [0, 1].
        ConfigError: no frequency bands, or no column, have that name.
    """
    encounters = checked_encounters(corpus)
    coded = aligned(encounters, predictions)
    return evaluate_judged(
        judge_aligned(encounters, coded, train_counts),
        corpus if isinstance(corpus, Corpus) else encounters,
        train_counts=train_counts,
        bands=bands,
        plan=plan,
        intervals=intervals,
        by=by,
        hierarchy=hierarchy,
        tables=tables,
        decisions=decisions,
        codiesp=_codiesp_scores(corpus, encounters, coded),
    )


def evaluate_judged(
    judged: Judgements,
    corpus: Corpus | Sequence[Encounter] = (),
    *,
    groups: Sequence[str] | None = None,
    train_counts: Mapping[str, int] | None = None,
    bands: str | FrequencyBands = "codiesp",
    plan: BootstrapPlan | None = None,
    intervals: bool = True,
    by: Collection[str] = (),
    hierarchy: bool = False,
    tables: Mapping[str, CodeSystem] | None = None,
    decisions: str = "",
    codiesp: CodiespScores | None = None,
) -> EvaluationReport:
    """Score judgements: of arrays (``judge_dense``), of a file read line by line (``judge_file``), at other thresholds.

    Args:
        judged: candidates judged against gold; scores are probabilities.
        corpus: the encounters judged, in their order, where they are at hand.
        groups: the group of each encounter; by default the corpus's, or every encounter its own.
        codiesp: CodiEsp's official scores, which need evidence and hence predictions.
        train_counts, bands, plan, intervals, by, hierarchy, tables, decisions: as for ``evaluate``.

    Raises:
        PredictionsError: a score lies outside [0, 1].
        ConfigError: no frequency bands, or no column, have that name.
    """
    encounters = tuple(corpus)
    systems = corpus.systems if isinstance(corpus, Corpus) else ()
    chosen = FrequencyBands.named(bands) if isinstance(bands, str) else bands
    own = groups if groups is not None else groups_of(encounters) if encounters else list(judged.encounter_ids)
    space = label_space(judged, train_counts)
    plan = (plan or BootstrapPlan()) if intervals else None
    parting = Parting(encounters, systems, train_counts, chosen, tables)
    subsets = [subset for kind in by for subset in parting.subsets(judged, kind)]
    return EvaluationReport(
        corpus=corpus.name if isinstance(corpus, Corpus) else "",
        splits=tuple(sorted({e.split for e in encounters if e.split})),
        counts=count_judged(judged, own, space),
        assignment=assignment_scores(judged, space),
        ranking=ranking_scores(judged),
        calibration=calibration_scores(judged),
        bands_name=bands if isinstance(bands, str) else ", ".join(chosen.names),
        bands=None if train_counts is None else scores_by_band(judged, train_counts, chosen),
        bootstrap=plan,
        intervals=score_intervals(judged, own, plan, space=space) if plan else {},
        codiesp=codiesp,
        parts=score_parts(judged, subsets, own, space, plan),
        hierarchy=_hierarchy(judged, parting) if hierarchy else None,
        decisions=decisions,
    )


def _hierarchy(judged: Judgements, parting: Parting) -> HierarchyScores:
    tables = parting.open_tables()
    systems = systems_of(judged.labels, parting.encounters, parting.systems, tables)
    return score_hierarchy(judged, systems, tables)


def _codiesp_scores(
    corpus: Corpus | Sequence[Encounter], encounters: Sequence[Encounter], coded: Sequence[CodedEncounter]
) -> CodiespScores | None:
    if isinstance(corpus, Corpus) and corpus.name == "codiesp":
        return score_codiesp(encounters, coded, corpus.systems)
    return None
