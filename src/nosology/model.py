"""A neural coder: an encoder, a head, and the values that pass between them."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from nosology.encoders.base import Batch, Encoder, EncoderOutput
from nosology.heads.base import GoldEvidence, Head, HeadOutput, LabelLoss, TopAttention
from nosology.losses.wrapped import ContrastiveAlignment

__all__ = ["Batch", "CodingModel", "Encoder", "EncoderOutput", "GoldEvidence", "Head", "HeadOutput"]


class CodingModel(nn.Module):
    """Scores labels for notes.

    Args:
        encoder: tokens -> states.
        head: states -> logits; reads states of the encoder's width.
    """

    def __init__(self, encoder: Encoder, head: Head) -> None:
        super().__init__()
        if encoder.hidden_size != head.hidden_size:
            raise ValueError(f"the encoder's states are {encoder.hidden_size} wide, the head reads {head.hidden_size}")
        self.encoder = encoder
        self.head = head

    @property
    def label_count(self) -> int:
        """How many labels the head scores."""
        return self.head.label_count

    def forward(self, batch: Batch, labels: Int[Tensor, " label"] | None = None) -> HeadOutput:
        """Logits of every label, or of the candidates ``labels`` alone, in their order."""
        encoded = self.encoder(batch)
        return self.head(encoded.hidden, encoded.mask, labels)

    def attend(self, batch: Batch, labels: Int[Tensor, " label"], top: int) -> TopAttention:
        """Weights and positions of the ``top`` most attended tokens of every candidate; see ``Head.attend``."""
        encoded = self.encoder(batch)
        return self.head.attend(encoded.hidden, encoded.mask, labels, top)

    def losses(
        self,
        batch: Batch,
        targets: Float[Tensor, "batch label"],
        loss: LabelLoss,
        evidence: GoldEvidence | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """``Head.losses``, and with gold evidence the loss of supervised attention, from one pass of the encoder.

        A loss that aligns notes with label vectors adds its own term, ``alignment``.
        """
        return losses_over(self.encoder(batch), self.head, targets, loss, evidence)

    def forward_with_evidence(self, batch: Batch, evidence: GoldEvidence) -> tuple[HeadOutput, Float[Tensor, ""]]:
        """Logits of every label and the loss of supervised attention, from one pass of the encoder."""
        encoded = self.encoder(batch)
        output = self.head(encoded.hidden, encoded.mask, None)
        return output, self.head.evidence_loss(encoded.hidden, encoded.mask, evidence)

    def __call__(self, batch: Batch, labels: Int[Tensor, " label"] | None = None) -> HeadOutput:
        return super().__call__(batch, labels)


def losses_over(
    encoded: EncoderOutput,
    head: Head,
    targets: Float[Tensor, "batch label"],
    loss: LabelLoss,
    evidence: GoldEvidence | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """The terms of ``CodingModel.losses``, from states that are there."""
    terms = head.losses(encoded.hidden, encoded.mask, targets, loss)
    if isinstance(loss, ContrastiveAlignment):
        vectors = head.label_vectors()
        terms = {**terms, "alignment": loss.alignment(_mean_states(encoded), vectors, targets)}
    if evidence is None:
        return terms
    return {**terms, "evidence": head.evidence_loss(encoded.hidden, encoded.mask, evidence)}


def _mean_states(encoded: EncoderOutput) -> Float[Tensor, "batch hidden"]:
    """The mean state of each note's real tokens; zero without any."""
    mask = encoded.mask[..., None].to(encoded.hidden.dtype)
    return (encoded.hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
