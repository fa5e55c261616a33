"""What is minimised: named terms of the loss of one batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nosology.errors import ConfigError
from nosology.heads.base import separable
from nosology.losses.base import Loss
from nosology.losses.wrapped import ContrastiveAlignment, RDrop
from nosology.model import Batch, GoldEvidence, HeadOutput
from nosology.preprocessing.batching import PaddedBatch

LossFunction = Callable[[Float[Tensor, "batch label"], Float[Tensor, "batch label"]], Float[Tensor, ""]]
"""Logits and targets to one number, a mean over the batch's encounters: a ``losses.base.Loss``, or any function."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What a batch should come to.

    Args:
        labels: 1 where the encounter carries the label, less where that is not certain.
        evidence: tokens that people marked; ``None`` where the batch has none, or it was not asked for.
    """

    labels: Float[Tensor, "batch label"]
    evidence: GoldEvidence | None = None


class Objective(Protocol):
    """The terms of the loss; they are added up. Runs inside the model's forward pass, so a term may call any method.

    What remembers earlier batches also has ``begin_epoch``, ``state`` and ``load_state``, as ``losses.base.Loss`` has
    them: checkpoints keep the state, so that going on is exact.
    """

    def __call__(self, model: nn.Module, batch: Batch, targets: Targets) -> Mapping[str, Float[Tensor, ""]]: ...


@separable
def binary_cross_entropy(
    logits: Float[Tensor, "batch label"], targets: Float[Tensor, "batch label"]
) -> Float[Tensor, ""]:
    """Mean of the binary cross-entropy over encounters and labels, from logits."""
    return functional.binary_cross_entropy_with_logits(logits, targets)


@dataclass(frozen=True, slots=True)
class LabelObjective:
    """A loss of the labels, what the head adds to it, and the loss of supervised attention.

    Args:
        loss: of the labels.
        evidence_weight: of supervised attention, for batches with evidence.
    """

    loss: LossFunction = binary_cross_entropy
    evidence_weight: float = 0.0

    def __call__(self, model: nn.Module, batch: Batch, targets: Targets) -> Mapping[str, Tensor]:
        evidence = targets.evidence if self.evidence_weight else None
        if isinstance(self.loss, RDrop):
            terms = self._of_two_passes(self.loss, model, batch, targets.labels, evidence)
        else:
            terms = self._of_one_pass(self.loss, model, batch, targets.labels, evidence)
        if "evidence" not in terms:
            return terms
        return {**terms, "evidence": self.evidence_weight * terms["evidence"]}

    def begin_epoch(self, number: int) -> None:
        """See ``losses.base.Loss``."""
        if isinstance(self.loss, Loss):
            self.loss.begin_epoch(number)

    def state(self) -> dict[str, Tensor]:
        """What the loss remembers of earlier batches."""
        return self.loss.state() if isinstance(self.loss, Loss) else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Remember what ``state`` gave."""
        if isinstance(self.loss, Loss):
            self.loss.load_state(state)

    def _of_one_pass(
        self, loss: LossFunction, model: nn.Module, batch: Batch, labels: Tensor, evidence: GoldEvidence | None
    ) -> dict[str, Tensor]:
        if hasattr(model, "losses"):
            return cast(Any, model).losses(batch, labels, loss, evidence)
        if isinstance(loss, ContrastiveAlignment):
            raise ConfigError(f'a loss of kind "contrastive" needs a CodingModel, not {type(model).__name__}')
        return self._from_logits(loss, model, batch, labels, evidence)

    def _of_two_passes(
        self, loss: RDrop, model: nn.Module, batch: Batch, labels: Tensor, evidence: GoldEvidence | None
    ) -> dict[str, Tensor]:
        """The mean of both passes' terms, and how far their logits are apart."""
        seen = list[Tensor]()

        def remembering(logits: Tensor, targets: Tensor) -> Tensor:
            seen.append(logits)
            return loss(logits, targets)

        passes = [self._of_one_pass(remembering, model, batch, labels, evidence) for _ in range(2)]
        means = {name: (passes[0][name] + passes[1][name]) / 2 for name in passes[0]}
        return {**means, "agreement": loss.disagreement(*seen)}

    def _from_logits(
        self, loss: LossFunction, model: nn.Module, batch: Batch, labels: Tensor, evidence: GoldEvidence | None
    ) -> dict[str, Tensor]:
        """Of a model that is no ``CodingModel``."""
        if evidence is None:
            output, terms = cast(HeadOutput, model(batch)), {}
        else:
            output, missed = cast(tuple[HeadOutput, Tensor], cast(Any, model).forward_with_evidence(batch, evidence))
            terms = {"evidence": missed}
        return {"labels": loss(output.logits.float(), labels), **terms}


class TrainedModel(nn.Module):
    """A model with its objective: what is wrapped for several processes, so that all of a batch is one forward pass.

    Args:
        model: gives logits.
        objective: gives the terms of the loss.
    """

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch, targets: Targets | None = None) -> dict[str, Tensor]:
        """The terms of the loss, or, without targets, the logits as ``logits``."""
        if targets is None:
            return {"logits": cast(HeadOutput, self.model(batch)).logits}
        return dict(self.objective(self.model, batch, targets))


def to_batch(padded: PaddedBatch, device: torch.device | str) -> Batch:
    """Token ids and mask on a device."""
    ids, mask = torch.from_numpy(padded.token_ids), torch.from_numpy(padded.mask)
    return Batch(ids.to(device, non_blocking=True), mask.to(device, non_blocking=True))


def to_targets(padded: PaddedBatch, n_labels: int, device: torch.device | str) -> Targets:
    """Dense targets of one batch, made on the device."""
    labels = torch.zeros(len(padded.rows), n_labels, device=device)
    parts = padded.label_rows, padded.label_columns, padded.label_certainties
    rows, columns, certainties = (torch.from_numpy(part).to(device) for part in parts)
    labels[rows, columns] = certainties
    return Targets(labels, _evidence(padded, device))


def _evidence(padded: PaddedBatch, device: torch.device | str) -> GoldEvidence | None:
    if not len(padded.evidence):
        return None
    marks = torch.from_numpy(padded.evidence)
    items, item = torch.unique(marks[:, :2], dim=0, return_inverse=True)
    tokens = torch.zeros(len(items), padded.mask.shape[1], dtype=torch.bool)
    tokens[item, marks[:, 2]] = True
    return GoldEvidence(items[:, 0].to(device), items[:, 1].to(device), tokens.to(device))
