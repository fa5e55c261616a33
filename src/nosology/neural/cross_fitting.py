"""Networks for the ranker: cross-fitted on parts of the training encounters, then one on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nosology.builders import build_encoder
from nosology.config.architectures import TransformerConfig
from nosology.config.neural import NetworkConfig
from nosology.knowledge.wordings import Wordings
from nosology.neural.network import Network
from nosology.neural.remembered import RememberedEncoder, remembering
from nosology.neural.source import NeuralSource, ReadSource
from nosology.predictor import FitTask
from nosology.ranking.source import SourceOutput, TrainingExample
from nosology.training.dry_run import duration


def fit_networks(
    task: FitTask, config: NetworkConfig, parts: int, wordings: Wordings
) -> tuple[ReadSource, NeuralSource]:
    """Train ``parts`` networks, each without a part of the folds, to read that part; and one on everything, to keep.

    No encounter chooses an epoch here: all networks train for as many as ``trainer.epochs`` says. A frozen encoder
    reads each encounter once for all of them.

    Args:
        task: what to learn from.
        config: of each network.
        parts: networks of the cross-fitting.
        wordings: of labels.
    """
    own = task.folds % min(parts, len(np.unique(task.folds)))
    shared = _shared_encoder(config)
    outputs = dict[str, SourceOutput]()
    with task.workplace() as work:
        for part in np.unique(own).tolist():
            train = task.training.part(np.flatnonzero(own != part)).examples
            source = _fit(task, train, config, wordings, work / f"network_{part}", shared)
            for example in task.training.part(np.flatnonzero(own == part)).examples:
                outputs[example.stream.encounter_id] = source.candidates(example.stream)
        kept = _fit(task, task.training.examples, config, wordings, work / "network", shared)
    return ReadSource(kept.feature_names, kept.labels, outputs), NeuralSource(kept.network.forgetful())


def dry_run(task: FitTask, config: NetworkConfig, parts: int, wordings: Wordings) -> str:
    """What ``fit_networks`` would take, in a few lines."""
    found = Network.dry_run(task.training.examples, (), config, wordings, seed=task.seed)
    # ``parts`` networks on all encounters but one part of each, and one on all: as much work as ``parts`` on all.
    together = f"networks    {parts} for the cross-fitting, 1 to keep: about {duration(parts * found.seconds)} together"
    return f"one network on all encounters\n{found.describe()}\n{together}"


def _fit(
    task: FitTask,
    examples: Sequence[TrainingExample],
    config: NetworkConfig,
    wordings: Wordings,
    folder: Path,
    shared: RememberedEncoder | None,
) -> NeuralSource:
    network, _ = Network.fit(
        examples, (), config, wordings, seed=task.seed, folder=folder, tell=task.tell, shared=shared
    )
    return NeuralSource(network)


def _shared_encoder(config: NetworkConfig) -> RememberedEncoder | None:
    encoder = config.encoder
    if not isinstance(encoder, TransformerConfig) or not encoder.frozen:
        return None
    return remembering(build_encoder(encoder), encoder, create=True)
