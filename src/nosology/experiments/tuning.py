"""A search for settings: Optuna over keys of a recipe, as many trials for each arm, resumed after any interruption.

Trials are judged on dev and learn from train. The trials of an arm depend on nothing but the search's seed and the
arm's earlier trials, so a search that was interrupted ends as it would have without.
"""

from __future__ import annotations

import csv
import hashlib
import io
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosology.coder import Coder
from nosology.config import Recipe, to_toml
from nosology.errors import ConfigError, MissingExtraError
from nosology.evaluation import count_codes, evaluate
from nosology.experiments.clock import Clock
from nosology.experiments.runs import Material, Progress, without_path
from nosology.experiments.search_space import SearchArm, Value, describe_space
from nosology.types import CodedEncounter
from nosology.whole_files import writing_file

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import JournalStorage
    from optuna.trial import FrozenTrial

JOURNAL, BEST, TRIALS = "trials.journal", "best.toml", "trials.csv"
_PROBLEM, _INTERRUPTED, _SEARCH = "problem", "interrupted", "search"


@dataclass(frozen=True, eq=False)
class Search:
    """What to search.

    Args:
        base: the recipe that arms change.
        arms: the ways to go.
        trials: for each arm.
        metric: a figure of the report (``EvaluationReport.figures``); more is better.
        seed: of the search and of every training.
        folder: takes the journal and the results; must exist.
    """

    base: Recipe
    arms: tuple[SearchArm, ...]
    trials: int
    metric: str
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Tried:
    """A finished trial.

    Args:
        arm: its arm.
        number: from 1, in the arm.
        values: what was chosen.
        score: the metric on dev; ``None`` where the recipe was refused.
        problem: why it was.
    """

    arm: str
    number: int
    values: dict[str, Value] = field(hash=False)
    score: float | None
    problem: str = ""

    @property
    def told(self) -> str:
        """The values for people."""
        return told(self.values)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Args:
        tried: every trial, arm by arm.
        best: the trial with the highest score, the first of equals.
        recipe: of that trial.
    """

    tried: tuple[Tried, ...]
    best: Tried
    recipe: Recipe


def told(values: Mapping[str, Value]) -> str:
    """Keys and values for people."""
    rounded = {key: f"{value:.4g}" if isinstance(value, float) else str(value) for key, value in values.items()}
    return ", ".join(f"{key} {value}" for key, value in rounded.items())


def tune(search: Search, material: Material, *, progress: Progress, tell: Callable[[str], None]) -> Found:
    """Do what is missing of a search, arm by turns, and write its results.

    Args:
        search: what to search.
        material: learnt from, and judged on.
        progress: told the stage and the share of all trials that is done.
        tell: told a line after each trial.

    Raises:
        ConfigError: the folder holds another search, the metric is unknown, or no trial could be trained.
        MissingExtraError: optuna is not installed.
    """
    _check_metric(search.metric, material)
    studies = _open_studies(search, material)
    clock = Clock(search.trials * len(search.arms), sum(len(_finished(study)) for study in studies.values()))
    for number in range(search.trials):
        for place, arm in enumerate(search.arms):
            if len(_finished(studies[arm.name])) > number:
                continue
            label, started = f"{arm.name}, trial {number + 1} of {search.trials}", time.monotonic()
            went = _run_trial(search, arm, studies[arm.name], number, material, clock.report(label, progress))
            clock.ended(arm.name, time.monotonic() - started)
            names = [one.name for one in search.arms]
            tell(f"{label}: {went}{clock.left(names[place + 1 :] + names * (search.trials - number - 1))}")
    return _write(search, _gather(search, studies))


def _check_metric(metric: str, material: Material) -> None:
    silent = [CodedEncounter(encounter.encounter_id, ()) for encounter in material.scored]
    known = evaluate(material.scored, silent, train_counts=count_codes(material.train), intervals=False).figures()
    if metric not in known:
        nearest = get_close_matches(metric, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are: {', '.join(known)}"
        raise ConfigError(f"no figure {metric!r} to tune for; {hint}")


def _open_studies(search: Search, material: Material) -> dict[str, Study]:
    """One study an arm; what a killed process left running is marked and done again."""
    optuna = _import_optuna()
    storage = _open_journal(search.folder / JOURNAL)
    studies: dict[str, Study] = {}
    for arm in search.arms:
        study = optuna.create_study(study_name=arm.name, storage=storage, direction="maximize", load_if_exists=True)
        mark = _digest(search, arm, material)
        if study.user_attrs.setdefault(_SEARCH, mark) != mark:
            raise ConfigError(
                f"{search.folder}: holds a search of another recipe, space, seed or data; choose another --out"
            )
        study.set_user_attr(_SEARCH, mark)
        for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            storage.set_trial_user_attr(trial._trial_id, _INTERRUPTED, True)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        studies[arm.name] = study
    return studies


def _digest(search: Search, arm: SearchArm, material: Material) -> str:
    """Of what decides an arm's trials; the number of trials may grow."""
    parts = [
        to_toml(without_path(search.base)),
        describe_space([arm]),
        search.metric,
        str(search.seed),
        material.digest,
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _open_journal(path: Path) -> JournalStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if path.exists():
        whole, _, torn = path.read_bytes().rpartition(b"\n")
        if torn:  # a kill in the middle of a line
            with path.open("r+b") as stream:
                stream.truncate(len(whole) + 1 if whole else 0)
    return JournalStorage(JournalFileBackend(str(path)))


def _finished(study: Study) -> list[FrozenTrial]:
    """The trials that count: those trained, and those whose recipe was refused."""
    return [trial for trial in study.get_trials(deepcopy=False) if _counts(trial)]


def _counts(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() and _INTERRUPTED not in trial.user_attrs


def _run_trial(
    search: Search, arm: SearchArm, study: Study, number: int, material: Material, progress: Progress
) -> str:
    """One trial; says how it went."""
    optuna = _import_optuna()
    study.sampler = optuna.samplers.TPESampler(seed=_sampler_seed(search.seed, number))
    trial = study.ask()
    chosen = {key: options.suggest(trial, key) for key, options in arm.space.items()}
    try:
        score = _score(arm.recipe(search.base, chosen), search, material, progress)
    except ConfigError as error:
        trial.set_user_attr(_PROBLEM, str(error))
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return str(error)
    study.tell(trial, score)
    return f"{search.metric} {score:.4f} with {told(chosen)}"


def _sampler_seed(seed: int, number: int) -> int:
    """A sampler of its own for each trial, so that a search taken up again chooses as one that never stopped."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")


def _score(recipe: Recipe, search: Search, material: Material, progress: Progress) -> float:
    coder = Coder.fit(material.train, recipe, seed=search.seed, progress=progress)
    coded = coder.code_many(material.scored)
    counts = count_codes(material.train)
    figures = evaluate(material.scored, coded, train_counts=counts, intervals=False).figures()
    return figures[search.metric]


def _gather(search: Search, studies: dict[str, Study]) -> Found:
    tried = tuple(
        Tried(arm.name, number, dict(trial.params), trial.value, str(trial.user_attrs.get(_PROBLEM, "")))
        for arm in search.arms
        for number, trial in enumerate(_finished(studies[arm.name])[: search.trials], 1)
    )
    scored = [one for one in tried if one.score is not None]
    if not scored:
        raise ConfigError(f"no trial could be trained; the first said: {tried[0].problem}")
    best = max(scored, key=lambda one: one.score or 0.0)
    arm = next(arm for arm in search.arms if arm.name == best.arm)
    return Found(tried, best, arm.recipe(search.base, best.values))


def _write(search: Search, found: Found) -> Found:
    head = (
        f"# The best of {len(found.tried)} trials: {search.metric} {found.best.score:.4f} on dev (arm "
        f"{found.best.arm!r}).\n# It was chosen on dev, so expect less of it on new notes.\n"
    )
    texts = {BEST: head + to_toml(without_path(found.recipe)), TRIALS: _as_csv(found.tried)}
    for name, text in texts.items():
        with writing_file(search.folder / name) as path:
            path.write_text(text, encoding="utf-8")
    return found


def _as_csv(tried: Sequence[Tried]) -> str:
    keys = sorted({key for one in tried for key in one.values})
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["arm", "trial", "score", "problem", *keys])
    for one in tried:
        score = "" if one.score is None else one.score
        writer.writerow([one.arm, one.number, score, one.problem, *(one.values.get(key, "") for key in keys)])
    return stream.getvalue()


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("the search for settings", "tune") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
