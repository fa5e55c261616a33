"""CodiEsp: train every recipe with every seed on train, score dev, and gather what ``docs/results.md`` shows.

Predictions come from ``Coder.fit`` and ``Coder.code_many``, scores from ``nosology.evaluation``; nothing here knows how
either works. dev is only scored: threshold and calibration come from cross-fitting inside train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nosology import __version__
from nosology.config import CodiespConfig, Recipe
from nosology.corpora import open_corpus
from nosology.errors import ConfigError
from nosology.evaluation import BootstrapPlan, EvaluationReport, Predictions, count_codes, evaluate, judge_predictions
from nosology.evaluation.judgements import Judgements
from nosology.experiments.codiesp_explained import explain
from nosology.experiments.codiesp_results import CodiespResults, Track, TrackResult
from nosology.experiments.codiesp_trained import Trained, aligned, groups_of, of_new_articles
from nosology.experiments.figures import Figure, mean_of, pooled_figures
from nosology.experiments.grid import Row, run_grid
from nosology.experiments.ladder import RungScores, place_on_ladder, score_ladder
from nosology.experiments.runs import Material, Progress, Run, code_digest
from nosology.types import CodedEncounter, Corpus

BANDS = "codiesp"

_TRACKS: Mapping[str, Track] = {"diagnoses": "D", "procedures": "P", "both": "X"}
_CLAIMED = 0.1
"""Candidates below this probability are so many that they hide how the others are calibrated."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What to do.

    Args:
        recipes: by name; each reads CodiEsp, and no two read the same track in the same language.
        seeds: of the trainings.
        work: where runs are kept.
        plan: of the intervals.

    Raises:
        ConfigError: the recipes or seeds are not fit for it.
    """

    recipes: Mapping[str, Recipe]
    seeds: tuple[int, ...]
    work: Path
    plan: BootstrapPlan = field(default_factory=BootstrapPlan)

    def __post_init__(self) -> None:
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"seeds must be distinct whole numbers, 0 or more, at least one; got {list(self.seeds)}")
        places = [(config.task, config.language) for config in map(_config, self.recipes.values())]
        if not places or len(set(places)) < len(places):
            raise ConfigError("give at least one recipe, and no two for one track in one language")
        if ("both", "en") in places:
            raise ConfigError("CodiEsp X cannot be scored on the English text, which has no evidence; choose Spanish")


def reproduce_codiesp(experiment: Experiment, *, progress: Progress, tell: Callable[[str], None]) -> CodiespResults:
    """Do what is missing of the experiment and gather its figures.

    Args:
        experiment: what to do.
        progress: told the stage and the share of all trainings that is done.
        tell: told a line after each run.

    Raises:
        CorpusError: the data are missing or broken.
        ConfigError: the work folder cannot be written.
    """
    rows = [_row(name, recipe) for name, recipe in experiment.recipes.items()]
    runs = run_grid(rows, experiment.seeds, work=experiment.work, progress=progress, tell=tell)
    trained = [_trained(row, runs[row.name]) for row in rows]
    progress("scoring", 1.0)
    plan = experiment.plan
    tracks = tuple(_track_result(one, plan) for one in trained if one.track != "X")
    explained, difference = explain(trained, plan)
    first = trained[0]
    return CodiespResults(
        __version__,
        code_digest()[:12],
        experiment.seeds,
        plan,
        len(first.train),
        len(first.scored),
        len({e.group_id for e in first.train} & {e.group_id for e in first.scored}),
        tracks,
        explained,
        difference,
    )


# --- training -------------------------------------------------------------------------------------------------------


def _row(name: str, recipe: Recipe) -> Row:
    corpus = open_corpus(_config(recipe))
    return Row(name, recipe, Material(corpus.split("train"), corpus.split("dev")))


def _trained(row: Row, runs: tuple[Run, ...]) -> Trained:
    config = _config(row.recipe)
    return Trained(row.name, _TRACKS[config.task], config.language, row.material.train, row.material.scored, runs)


def _config(recipe: Recipe) -> CodiespConfig:
    if not isinstance(recipe.corpus, CodiespConfig):
        raise ConfigError(f"a recipe of this experiment must read codiesp, not {recipe.corpus.reader}")
    return recipe.corpus


# --- D and P --------------------------------------------------------------------------------------------------------


def _track_result(trained: Trained, plan: BootstrapPlan) -> TrackResult:
    counts = count_codes(trained.train)
    predictions = [run.predictions() for run in trained.runs]
    reports = [evaluate(trained.scored, one, train_counts=counts, bands=BANDS, intervals=False) for one in predictions]
    judged = [judge_predictions(trained.scored, one, train_counts=counts) for one in predictions]
    groups = groups_of(trained.scored)
    fresh = of_new_articles(trained)
    return TrackResult(
        recipe=trained.name,
        track=trained.track,
        language=trained.language,
        encounters=len(trained.scored),
        gold=reports[0].counts.gold,
        figures=pooled_figures(judged, groups, plan),
        map_assigned=_figures_on(trained.scored, [_assigned_only(one) for one in predictions], plan)["map"],
        map_as_scripted=float(np.mean([_scripted_map(report, trained.track) for report in reports])),
        new_articles=len(fresh),
        on_new_articles=_figures_on(trained.scored.with_encounters(fresh), predictions, plan) if fresh else {},
        unseen=pooled_figures([_of_unseen(one, counts) for one in judged], groups, plan),
        bands=_mean_bands(reports),
        ladder=_mean_ladder(trained, predictions),
        calibration=mean_of([_calibration(report) for report in reports]),
        runs=tuple(run.facts for run in trained.runs),
    )


def _assigned_only(predictions: Predictions) -> Predictions:
    return Predictions(tuple(CodedEncounter(one.encounter_id, one.assigned) for one in predictions))


def _figures_on(corpus: Corpus, predictions: Sequence[Predictions], plan: BootstrapPlan) -> dict[str, Figure]:
    judged = [judge_predictions(corpus, aligned(corpus, one)) for one in predictions]
    return pooled_figures(judged, groups_of(corpus), plan)


def _of_unseen(judged: Judgements, counts: Mapping[str, int]) -> Judgements:
    return judged.restrict(np.array([counts.get(code, 0) == 0 for code in judged.labels], dtype=np.bool_))


def _scripted_map(report: EvaluationReport, track: Track) -> float:
    official = report.codiesp and (report.codiesp.diagnoses if track == "D" else report.codiesp.procedures)
    return official.mean_average_precision_as_scripted if official else 0.0


def _mean_bands(reports: Sequence[EvaluationReport]) -> dict[str, dict[str, float]]:
    rows = [
        {
            band.band: {
                "labels": float(band.labels),
                "gold": float(band.gold),
                "assigned": float(band.assigned),
                "precision": band.micro.precision,
                "recall": band.micro.recall,
                "f1": band.micro.f1,
                "candidate_recall": band.candidate_recall,
            }
            for band in report.bands or ()
        }
        for report in reports
    ]
    return {name: mean_of([row[name] for row in rows]) for name in rows[0]}


def _mean_ladder(trained: Trained, predictions: Sequence[Predictions]) -> dict[str, dict[str, float]] | None:
    rungs = place_on_ladder(trained.train, trained.scored)
    if not rungs:
        return None
    by_seed = [score_ladder(rungs, one) for one in predictions]
    return {rows[0].rung: mean_of([_rung(row) for row in rows]) for rows in zip(*by_seed, strict=True)}


def _rung(row: RungScores) -> dict[str, float]:
    return {"gold": float(row.gold), "candidate_recall": row.candidate_recall, "recall": row.recall}


def _calibration(report: EvaluationReport) -> dict[str, float]:
    scores = report.calibration
    claimed = [one for one in scores.bins if one.low >= _CLAIMED - 1e-9]
    total = sum(one.candidates for one in claimed)
    error = sum(one.candidates * abs(one.mean_probability - one.gold_share) for one in claimed)
    return {
        "expected_calibration_error": scores.expected_calibration_error,
        "brier": scores.brier,
        "error_above_0.1": error / max(1, total),
        "candidates": float(scores.candidates),
        "candidates_above_0.1": float(total),
    }
