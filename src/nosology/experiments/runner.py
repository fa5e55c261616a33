"""Runs an experiment: every arm with every seed, then one table of scores and one by frequency band for each corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nosology import __version__
from nosology.config import AnySimulatedConfig, CorpusConfig, Recipe
from nosology.corpora import open_corpus
from nosology.errors import ConfigError, CorpusError
from nosology.evaluation import BootstrapPlan, count_codes, judge_predictions
from nosology.evaluation.area_metrics import macro_auc, micro_auc
from nosology.experiments.choosing import Chosen, choose_settings
from nosology.experiments.claims import JudgedClaim, judge_claims
from nosology.experiments.declaration import Arm, Experiment, Size
from nosology.experiments.grid import Row, run_grid
from nosology.experiments.runs import Material, Progress, Run, code_digest
from nosology.experiments.score_table import ScoreTable, Setting, System, band_table, overall_table


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for.

    Args:
        name: of the experiment.
        size: of it.
        seeds: of the trainings.
        data: the data folder, where it is known.
        work: the folder that keeps finished runs, in ``runs``; must exist.
        plan: of intervals and tests.

    Raises:
        ConfigError: seeds that are not distinct whole numbers from 0.
    """

    name: str
    size: Size
    seeds: tuple[int, ...]
    data: Path | None
    work: Path
    plan: BootstrapPlan

    def __post_init__(self) -> None:
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"seeds must be distinct whole numbers, 0 or more, at least one; got {list(self.seeds)}")


@dataclass(frozen=True, slots=True)
class CorpusScores:
    """The tables of one corpus.

    Args:
        corpus: its name.
        train, scored: encounters.
        overall: all figures.
        by_band: micro-F1 by training frequency; ``None`` where no code was seen.
        claims: those that its methods can judge.
        areas: under the ROC curve by method: micro and macro, means over seeds; empty where not asked for.
    """

    corpus: str
    train: int
    scored: int
    overall: ScoreTable
    by_band: ScoreTable | None
    claims: tuple[JudgedClaim, ...] = ()
    areas: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    @property
    def tables(self) -> list[ScoreTable]:
        return [self.overall] if self.by_band is None else [self.overall, self.by_band]


@dataclass(frozen=True, eq=False)
class Results:
    """Everything an experiment found.

    Args:
        experiment: its declaration.
        request: what was asked for.
        scores: one a corpus.
        runs: by the arm's name, one a seed.
        chosen: settings that the training split chose, by the arm's name.
    """

    experiment: Experiment
    request: Request
    scores: tuple[CorpusScores, ...]
    runs: Mapping[str, tuple[Run, ...]]
    chosen: Chosen

    @property
    def arms(self) -> tuple[Arm, ...]:
        return self.experiment.arms[self.request.size]

    @property
    def tables(self) -> list[ScoreTable]:
        return [table for one in self.scores for table in one.tables]

    @property
    def claims(self) -> list[JudgedClaim]:
        return [claim for one in self.scores for claim in one.claims]

    def to_dict(self) -> dict[str, object]:
        """Plain dicts, lists, numbers and strings; no path of this machine."""
        runs = [
            {
                "corpus": arm.corpus,
                "method": arm.method,
                "chosen": dict(self.chosen.get(arm.name, {})),
                **asdict(run.facts),
            }
            for arm in self.arms
            for run in self.runs[arm.name]
        ]
        return {
            "experiment": self.request.name,
            "title": self.experiment.title,
            "question": self.experiment.question,
            "size": self.request.size,
            "seeds": list(self.request.seeds),
            "split": self.experiment.split,
            "plan": asdict(self.request.plan),
            "nosology": __version__,
            "code": code_digest(),
            "tables": [table.to_dict() for table in self.tables],
            "claims": [claim.to_dict() for claim in self.claims],
            "areas": [
                {"corpus": one.corpus, "method": method, "micro.auc": micro, "macro.auc": macro}
                for one in self.scores
                for method, (micro, macro) in one.areas.items()
            ],
            "runs": runs,
        }


def run_experiment(
    experiment: Experiment, request: Request, *, progress: Progress, tell: Callable[[str], None]
) -> Results:
    """Do what is missing of an experiment, and score it.

    Args:
        experiment: its declaration.
        request: what was asked for.
        progress: told the stage and the share of all runs that is done.
        tell: told a line after each run.

    Raises:
        ConfigError: a recipe or an arm is wrong, or ``work`` cannot be written.
        CorpusError: data are missing or broken; told before anything is trained.
    """
    arms = experiment.arms[request.size]
    runs_folder = request.work / "runs"
    runs_folder.mkdir(exist_ok=True)
    rows = _read(arms, [arm.load(request.data) for arm in arms], experiment.split, progress)
    material_of = _by_corpus(arms, rows)
    rows, chosen = choose_settings(arms, rows, request.seeds[0], work=runs_folder, progress=progress, tell=tell)
    runs = run_grid(rows, request.seeds, work=runs_folder, progress=progress, tell=tell)
    scores = list[CorpusScores]()
    for corpus, material in material_of.items():
        progress(f"scoring {corpus}", -1.0)
        scores.append(_score(experiment, request, [arm for arm in arms if arm.corpus == corpus], material, runs))
    return Results(experiment, request, tuple(scores), runs, chosen)


def _read(arms: Sequence[Arm], recipes: Sequence[Recipe], split: str, progress: Progress) -> list[Row]:
    """Every corpus, each read once: data first, which may be missing, then what is simulated."""
    known: dict[CorpusConfig, Material] = {}
    pairs = list(zip(arms, recipes, strict=True))
    for arm, recipe in sorted(pairs, key=lambda pair: isinstance(pair[1].corpus, AnySimulatedConfig)):
        if recipe.corpus in known:
            continue
        progress(f"reading {arm.corpus}", -1.0)
        corpus = open_corpus(recipe.corpus)
        known[recipe.corpus] = Material(corpus.split("train"), corpus.split(split))
    return [Row(arm.name, recipe, known[recipe.corpus]) for arm, recipe in pairs]


def _by_corpus(arms: Sequence[Arm], rows: Sequence[Row]) -> dict[str, Material]:
    """What is read for each table; all of its arms must read the same."""
    found = dict[str, Material]()
    for arm, row in zip(arms, rows, strict=True):
        first = found.setdefault(arm.corpus, row.material)
        if first.digest != row.material.digest:
            raise CorpusError(f"arms of {arm.corpus!r} read different encounters, {row.name} others than the first")
    return found


def _score(
    experiment: Experiment,
    request: Request,
    arms: Sequence[Arm],
    material: Material,
    runs: Mapping[str, tuple[Run, ...]],
) -> CorpusScores:
    counts = count_codes(material.train)
    bands = experiment.bands_on.get(arms[0].corpus, experiment.bands)
    setting = Setting.of(material.scored, counts, bands, request.plan)
    systems = [
        System(arm.method, tuple(judge_predictions(material.scored, run.predictions()) for run in runs[arm.name]))
        for arm in arms
    ]
    corpus, split, reference = arms[0].corpus, experiment.split, experiment.reference
    overall = overall_table(systems, reference, setting, f"{corpus} ({split})", experiment.figures)
    by_band = band_table(systems, reference, setting, f"{corpus} ({split}): micro-F1 by training frequency")
    claims = judge_claims(experiment.claims, systems, setting, corpus)
    areas = {system.name: _areas(system) for system in systems} if experiment.areas else {}
    return CorpusScores(corpus, len(material.train), len(material.scored), overall, by_band, claims, areas)


def _areas(system: System) -> tuple[float, float]:
    judged = system.judged
    micro, macro = ([area(one).value for one in judged] for area in (micro_auc, macro_auc))
    return sum(micro) / len(micro), sum(macro) / len(macro)
