"""What scores codes, behind one protocol: the default ranker, baselines, and whatever comes next.

A predictor reads an encounter and scores codes. What every method shares (probabilities, thresholds, titles, evidence,
abstention) is the coder's affair and needs scores of encounters that the predictor has not seen: ``HeldOut``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence, Set
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
        codes: of each candidate.
        scores: float64.
        right: whether each is a gold code of its encounter; bool.
        seen: whether any encounter that its predictor learnt from carries the code; bool.
        gold: encounters held out with each code, found among the candidates or not.
    """

    codes: Sequence[str]
    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    gold: Mapping[str, int]

    @staticmethod
    def of(found: Iterable[tuple[Sequence[str], NDArray[Any], Set[str]]], seen: Container[str]) -> HeldOut:
        """Gather it from encounters.

        Args:
            found: of each encounter its candidates, their scores, and its gold codes.
            seen: codes of the encounters that the predictor learnt from.
        """
        codes, right, scores, gold = list[str](), list[bool](), [np.zeros(0)], Counter[str]()
        for candidates, own, gold_codes in found:
            codes += candidates
            scores.append(own)
            right += [code in gold_codes for code in candidates]
            gold.update(gold_codes)
        known = [code in seen for code in codes]
        flags = np.array(right, dtype=np.bool_), np.array(known, dtype=np.bool_)
        return HeldOut(codes, np.concatenate(scores).astype(np.float64), *flags, gold)

    @staticmethod
    def joined(parts: Sequence[HeldOut]) -> HeldOut:
        """All candidates of several, in their order."""
        return HeldOut(
            [code for part in parts for code in part.codes],
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.right for part in parts]),
            np.concatenate([part.seen for part in parts]),
            sum((Counter(part.gold) for part in parts), Counter[str]()),
        )

    @property
    def gold_count(self) -> int:
        """Gold codes of all encounters held out."""
        return sum(self.gold.values())


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
    def gold(self) -> Mapping[str, int]:
        """Training encounters with each code."""
        return Counter(code for example in self.training.examples for code in example.code_set)


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
        return HeldOut.of(((one.codes, one.scores, gold) for one, gold in found), predictor.label_counts)

    numbers = np.unique(task.folds).tolist()
    parts = dict[int, HeldOut]()
    task.tell("cross-fitting", 0.0)
    with single_threaded():
        for done, (fold, part) in enumerate(each_number(score_fold, numbers), 1):
            parts[fold] = part
            task.tell("cross-fitting", done / len(numbers))
        task.tell("fitting", -1.0)
        predictor = fit(task.training)
    held_out = HeldOut.joined([parts[fold] for fold in sorted(parts)])
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
