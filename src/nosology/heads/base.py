"""What goes into a head and comes out of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nosology.errors import ConfigError

LabelLoss = Callable[[Tensor, Tensor], Tensor]
TopAttention = tuple[Float[Tensor, "batch label top"], Int[Tensor, "batch label top"]]


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """One logit per note and label.

    Args:
        logits: real numbers; a sigmoid makes scores of them.
        category_logits: of the coarser codes, where the head learns them beside the labels (JointLAAT).
    """

    logits: Float[Tensor, "batch label"]
    category_logits: Float[Tensor, "batch category"] | None = None


@dataclass(frozen=True, slots=True)
class GoldEvidence:
    """Tokens that people marked as the reason of a label; one item per note and label that has any.

    Args:
        notes: the item's row in the batch.
        labels: the item's label.
        tokens: true where the token is part of the evidence.
    """

    notes: Int[Tensor, " item"]
    labels: Int[Tensor, " item"]
    tokens: Bool[Tensor, "item token"]


def separable(loss: LabelLoss) -> LabelLoss:
    """Mark a loss as one whose cells don't meet; see ``Head.losses``."""
    loss.separable = True  # pyright: ignore[reportFunctionMemberAccess]
    return loss


class Head(nn.Module, ABC):
    """Base of every head.

    Args:
        hidden_size: width of the states that it reads.
        label_count: how many labels it scores.
    """

    def __init__(self, hidden_size: int, label_count: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.label_count = label_count

    @abstractmethod
    def forward(
        self,
        hidden: Float[Tensor, "batch token hidden"],
        mask: Bool[Tensor, "batch token"],
        labels: Int[Tensor, " label"] | None = None,
    ) -> HeadOutput:
        """Score every label, or the candidates ``labels`` alone, in their order."""

    def attend(
        self,
        hidden: Float[Tensor, "batch token hidden"],
        mask: Bool[Tensor, "batch token"],
        labels: Int[Tensor, " label"],
        top: int,
    ) -> TopAttention:
        """The ``top`` most attended tokens of every candidate, most attended first.

        Returns:
            weights and token positions; a note with fewer real tokens fills up with weight 0 and position -1.

        Raises:
            ConfigError: the head has no attention per label.
        """
        raise ConfigError(f"{type(self).__name__} has no attention per label; choose a head that has, or occlusion")

    def evidence_loss(
        self,
        hidden: Float[Tensor, "batch token hidden"],
        mask: Bool[Tensor, "batch token"],
        evidence: GoldEvidence,
    ) -> Float[Tensor, ""]:
        """Supervised attention: how far each item's attention is from its gold tokens.

        Raises:
            ConfigError: the head has no attention per label.
        """
        raise ConfigError(f"{type(self).__name__} has no attention per label to supervise with evidence")

    def losses(
        self,
        hidden: Float[Tensor, "batch token hidden"],
        mask: Bool[Tensor, "batch token"],
        targets: Float[Tensor, "batch label"],
        loss: LabelLoss,
    ) -> dict[str, Float[Tensor, ""]]:
        """The loss of all labels as ``labels``, and what the head adds to it, if anything, as ``head``.

        A head may take logits and gradients in one pass where ``loss.separable`` is true: where it is the mean over
        notes and labels of something that depends on one logit and its target alone.

        Args:
            hidden, mask: as for ``forward``.
            targets: 1 where a note has the label.
            loss: logits in float32 and targets to one number.
        """
        output = self(hidden, mask)
        own = self.auxiliary_loss(output, targets)
        return {"labels": loss(output.logits.float(), targets)} | ({} if own is None else {"head": own})

    def label_vectors(self) -> Float[Tensor, "label hidden"]:
        """One vector a label, of the states' width: what notes with the label are to resemble.

        Raises:
            ConfigError: the head reads no label by one vector of that width.
        """
        raise ConfigError(f"{type(self).__name__} has no label vectors of its states' width to align notes with")

    def auxiliary_loss(self, output: HeadOutput, targets: Float[Tensor, "batch label"]) -> Float[Tensor, ""] | None:
        """A term that the head's own extra outputs add to the loss; most heads have none."""
        return None

    def __call__(
        self,
        hidden: Float[Tensor, "batch token hidden"],
        mask: Bool[Tensor, "batch token"],
        labels: Int[Tensor, " label"] | None = None,
    ) -> HeadOutput:
        return super().__call__(hidden, mask, labels)
