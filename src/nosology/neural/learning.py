"""How a network's loss is made from its training labels, and how it is trained: all at once, or its head once more."""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from nosology.codes.paths import paths_above
from nosology.codes.titles import TitleTable
from nosology.config.losses import BceConfig, DecoupledConfig, LossConfig
from nosology.config.neural import NetworkConfig
from nosology.config.trainer import TrainerConfig
from nosology.losses.build import build_loss, segments_of
from nosology.losses.facts import LabelFacts, LabelRows
from nosology.losses.segmentation import Segmentation
from nosology.model import CodingModel
from nosology.neural.remembered import RememberedEncoder
from nosology.predictor import Progress
from nosology.training.objective import LossFunction, binary_cross_entropy
from nosology.training.trainer import Trainer, TrainResult
from nosology.types import Encounter

_AGAIN = "classifier"


@dataclass(frozen=True, slots=True, eq=False)
class NetworkLoss:
    """What a network's training minimises.

    Args:
        function: of logits and targets.
        segmentation: that it weighs by, if it does.
    """

    function: LossFunction
    segmentation: Segmentation | None

    @staticmethod
    def of(
        config: LossConfig, labels: Sequence[str], encounters: Sequence[Encounter], titles: TitleTable
    ) -> NetworkLoss:
        """The loss of a recipe, from the labels of the encounters that are learnt from.

        Args:
            config: the loss's section.
            labels: the code of each output.
            encounters: learnt from.
            titles: say which system a code is of, for losses that follow the hierarchy.
        """
        if config == BceConfig():
            return NetworkLoss(binary_cross_entropy, None)
        rows = LabelRows.of_codes(labels, [encounter.code_set for encounter in encounters])
        loss = build_loss(config, LabelFacts(rows, lambda: paths_above(labels, titles.system)))
        return NetworkLoss(loss, segments_of(loss))


def train_network(
    trainer: Trainer,
    model: CodingModel,
    train: Sequence[Encounter],
    dev: Sequence[Encounter] | None,
    config: NetworkConfig,
    *,
    seed: int,
    folder: Path,
    tell: Progress,
) -> TrainResult:
    """Train a network, and where ``config.decoupled`` says so its head again, on balanced samples.

    Args:
        trainer: with tokenizer, labels and loss.
        model: trained in place.
        train, dev: as for ``Trainer.fit``.
        config: of the network.
        seed: added to the trainer's own.
        folder: of the run; a run that was stopped goes on from there.
        tell: told what is being done.

    Returns:
        What the last training came to.
    """
    own = replace(config.trainer, seed=config.trainer.seed + seed)
    fresh = copy.deepcopy(model.head.state_dict()) if config.decoupled else {}
    result = trainer.fit(model, train, dev, own, folder, progress=tell)
    if config.decoupled is None:
        return result
    if config.decoupled.fresh:
        model.head.load_state_dict(fresh)
    with _still(model.encoder):
        encoder = model.encoder if isinstance(model.encoder, RememberedEncoder) else RememberedEncoder(model.encoder)
        second = _second(own, config.decoupled)
        return trainer.fit(CodingModel(encoder, model.head), train, dev, second, folder / _AGAIN, progress=tell)


def _second(config: TrainerConfig, decoupled: DecoupledConfig) -> TrainerConfig:
    """The classifier's training; no gradient reaches the encoder."""
    return replace(
        config,
        epochs=decoupled.epochs,
        max_steps=None,
        learning_rate=decoupled.learning_rate,
        encoder_learning_rate=None,
        gradient_checkpointing=False,
        sampling=decoupled.sampling,
    )


@contextmanager
def _still(encoder: nn.Module) -> Generator[None]:
    """The encoder's parameters do not learn inside the block."""
    learning = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
