"""What scores codes, behind one protocol: the default ranker, baselines, and whatever comes next.

A predictor reads an encounter and scores codes. What every method shares (probabilities, thresholds, titles, evidence,
abstention) is the coder's affair and needs scores of encounters that the predictor has not seen: ``HeldOut``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nosology.checkpoint import ModelFolder, load_arrays, save_arrays
from nosology.codes.titles import TitleTable
from nosology.knowledge.base import Expression, KnowledgeBase
from nosology.knowledge.stream import TokenStream
from nosology.ranking.parallel import each_number, single_threaded
from nosology.ranking.source import Arrays, Mention, TrainingSet

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a predictor says of one encounter.

    Args:
        codes: its candidates, no code twice, in any order.
        scores: in [0, 1], not calibrated; float64 ``[candidate]``.
        mentions: by code, the words that speak for it, where the predictor can point at any.
        failed: why nothing could be said, never note text; empty where something could.
    """

    codes: Sequence[str]
    scores: NDArray[np.float64]
    mentions: Mapping[str, Sequence[Mention]]
    failed: str = ""


class Predictor(Protocol):
    """A fitted method. Its class also has ``load``, which reads what ``save`` wrote."""

    @property
    def label_counts(self) -> Mapping[str, int]:
        """Training encounters with each code."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """Every code that it can give, sorted."""
        ...

    def predict(self, stream: TokenStream) -> Prediction:
        """The candidates of an encounter with words."""
        ...

    def mined_expressions(self, titles: TitleTable, language: str) -> Iterator[Expression]:
        """Wordings that it learnt, for the knowledge base."""
        ...

    def save(self, folder: Path) -> None:
        """Write its own files into a model folder that is being built."""
        ...


@runtime_checkable
class Remarking(Protocol):
    """A predictor that has something to tell a person."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Of its training."""
        ...

    @property
    def cut_remark(self) -> str | None:
        """How many notes that it read since were longer than it reads, if any."""
        ...


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Candidates of the training encounters, by predictors that had not seen these; one entry a candidate.

    Args:
        scores: float64.
        right: whether each is a gold code of its encounter; bool.
        seen: whether any encounter that its predictor learnt from carries the code; bool.
        gold_count: gold codes of the encounters held out, found among the candidates or not.
    """

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    gold_count: int


class Fitted(NamedTuple):
    """A predictor fitted on all training encounters, scores of encounters held out, and what it looked codes up in."""

    predictor: Predictor
    held_out: HeldOut
    knowledge: KnowledgeBase


@dataclass(frozen=True, eq=False)
class FitTask:
    """What every method is fitted with.

    Args:
        training: the coded encounters.
        folds: of each encounter; int64 ``[encounter]``.
        seed: of every random choice.
        tell: told what is being done and the share of it that is done.
        work: a folder for what a long training keeps, so that it goes on after a stop; ``None``: nothing is kept.
    """

    training: TrainingSet
    folds: NDArray[np.int64]
    seed: int
    tell: Progress
    work: Path | None = None

    @contextmanager
    def workplace(self) -> Generator[Path]:
        """The folder ``work``, or one that is gone afterwards."""
        if self.work is not None:
            yield self.work
            return
        with TemporaryDirectory(prefix="nosology-") as folder:
            yield Path(folder)

    @property
    def gold_count(self) -> int:
        """Codes of all training encounters."""
        return sum(len(example.code_set) for example in self.training.examples)


def cross_fitted(task: FitTask, fit: Callable[[TrainingSet], Predictor]) -> Fitted:
    """Fit once for every fold on the other folds, to score it, and once on everything, to keep.

    Args:
        task: what to fit on.
        fit: makes a predictor of some encounters; runs in forked processes where that is safe.
    """

    def score_fold(fold: int) -> HeldOut:
        predictor = fit(task.training.part(np.flatnonzero(task.folds != fold)))
        held = task.training.part(np.flatnonzero(task.folds == fold)).examples
        found = [(predictor.predict(example.stream), example.code_set) for example in held]
        right = [code in gold for prediction, gold in found for code in prediction.codes]
        seen = [code in predictor.label_counts for prediction, _ in found for code in prediction.codes]
        scores = np.concatenate([np.zeros(0), *(prediction.scores for prediction, _ in found)])
        gold_count = sum(len(gold) for _, gold in found)
        return HeldOut(scores, np.array(right, dtype=np.bool_), np.array(seen, dtype=np.bool_), gold_count)

    numbers = np.unique(task.folds).tolist()
    parts = dict[int, HeldOut]()
    task.tell("cross-fitting", 0.0)
    with single_threaded():
        for done, (fold, part) in enumerate(each_number(score_fold, numbers), 1):
            parts[fold] = part
            task.tell("cross-fitting", done / len(numbers))
        task.tell("fitting", -1.0)
        predictor = fit(task.training)
    ordered = [parts[fold] for fold in sorted(parts)]
    held_out = HeldOut(
        np.concatenate([part.scores for part in ordered]),
        np.concatenate([part.right for part in ordered]),
        np.concatenate([part.seen for part in ordered]),
        sum(part.gold_count for part in ordered),
    )
    return Fitted(predictor, held_out, KnowledgeBase())


# --- files ----------------------------------------------------------------------------------------------------------


def save_part(folder: Path, name: str, arrays: Arrays, strings: Mapping[str, Sequence[str]]) -> None:
    """Write arrays to ``name.npz`` and lists of strings to ``name.json``."""
    save_arrays(folder / f"{name}.npz", arrays)
    write_json(folder / f"{name}.json", strings)


def load_part(folder: ModelFolder, name: str) -> tuple[Arrays, dict[str, list[str]]]:
    """Read what ``save_part`` wrote."""
    return load_arrays(folder.file(f"{name}.npz")), read_json(folder.file(f"{name}.json"))


def write_json(path: Path, content: object) -> None:
    """Write plain values."""
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read plain values."""
    return json.loads(path.read_bytes())
