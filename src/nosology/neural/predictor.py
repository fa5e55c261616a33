"""A network as a coder of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nosology.checkpoint import ModelFolder
from nosology.codes.titles import TitleTable
from nosology.config.neural import NetworkConfig
from nosology.knowledge.base import Expression, KnowledgeBase
from nosology.knowledge.stream import TokenStream
from nosology.knowledge.wordings import Wordings
from nosology.neural.network import Network
from nosology.predictor import FitTask, Fitted, HeldOut, Prediction
from nosology.ranking.source import TrainingExample

_WORTH_A_REASON = 0.02
"""Codes of a lower score come without the words that attention rests on."""


@dataclass(frozen=True, eq=False, repr=False)
class NeuralPredictor:
    """Scores the codes that a network has learnt; it can give no other.

    Args:
        network: fitted.
        remarks: what a person should know of the training, a line each.
    """

    network: Network
    remarks: tuple[str, ...] = ()

    @property
    def cut_remark(self) -> str | None:
        """Nothing is counted while coding."""
        return None

    @property
    def label_counts(self) -> Mapping[str, int]:
        return self.network.label_counts

    @property
    def labels(self) -> Sequence[str]:
        return self.network.labels

    def predict(self, stream: TokenStream) -> Prediction:
        scores = self.network.score(stream)
        labels = self.network.labels
        codes = [labels[number] for number in scores.numbers.tolist()]
        mentions = self.network.mentions(stream, scores, _WORTH_A_REASON)
        return Prediction(codes, scores.scores.astype(np.float64), mentions)

    def mined_expressions(self, titles: TitleTable, language: str) -> Iterator[Expression]:
        return iter(())

    @staticmethod
    def fit(task: FitTask, config: NetworkConfig, wordings: Wordings) -> Fitted:
        """Train on all folds but the first, which chooses the epoch and gives the scores for calibration.

        Calibration is a little optimistic therefore: the epoch is the best of some dozens on these very encounters.

        Args:
            task: what to learn from; its ``work`` folder keeps the run, so that a stopped one goes on.
            config: what the network is made of.
            wordings: of labels.
        """
        train, held = parted(task)
        with task.workplace() as work:
            network, _ = Network.fit(
                train, held, config, wordings, seed=task.seed, folder=work / "network", tell=task.tell
            )
        labels = network.labels
        read = [(network.score(example.stream), example.code_set) for example in held]
        found = (([labels[n] for n in scores.numbers.tolist()], scores.scores, gold) for scores, gold in read)
        held_out = HeldOut.of(found, frozenset(labels))
        told = network.told_loss(held)
        predictor = NeuralPredictor(network.forgetful(), (told,) if told else ())
        return Fitted(predictor, held_out, KnowledgeBase())

    @staticmethod
    def dry_run(task: FitTask, config: NetworkConfig, wordings: Wordings) -> str:
        """What ``fit`` would take, in a few lines."""
        return Network.dry_run(*parted(task), config, wordings, seed=task.seed).describe()

    def save(self, folder: Path) -> None:
        self.network.save(folder)

    @staticmethod
    def load(folder: ModelFolder) -> NeuralPredictor:
        return NeuralPredictor(Network.load(folder))


def parted(task: FitTask) -> tuple[tuple[TrainingExample, ...], tuple[TrainingExample, ...]]:
    """What the weights come from, and the first fold, which is held out."""
    first = int(task.folds.min())
    parts = (task.training.part(np.flatnonzero(chosen)) for chosen in (task.folds != first, task.folds == first))
    train, held = (part.examples for part in parts)
    return train, held
