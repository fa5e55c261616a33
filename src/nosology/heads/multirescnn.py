"""MultiResCNN over any encoder's states."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor

from nosology.encoders.convolution import KERNELS, MultiResidualConvolution
from nosology.heads.base import GoldEvidence, Head, HeadOutput, LabelLoss, TopAttention
from nosology.heads.label_attention import LabelAttention
from nosology.heads.narrowing import Convolved, Narrowing, PrincipalComponents, Projected

Hidden = Float[Tensor, "batch token hidden"]
Mask = Bool[Tensor, "batch token"]


_NARROWING: dict[str, type[Narrowing]] = {
    "linear": Projected,
    "convolution": Convolved,
    "pca": PrincipalComponents,
}


class MultiResCnn(Head):
    """Narrows an encoder's states, convolves them with several kernels, and attends to what comes out.

    The form in which a large language model's frozen states meet MultiResCNN (arXiv:2411.06823): LayerNorm and a
    reduction to ``width``, the multi-filter residual convolution, label attention.

    Args:
        hidden_size: width of the encoder's states.
        label_count: labels scored.
        width: that the convolution works on.
        reduction: of ``heads.narrowing``; "pca" is to be fitted before training.
        widths, kernels, dropout: of the convolution; see ``MultiResidualConvolution``.
        start, ancestors: of the label queries; see ``LabelVectors``.
        bias: that the labels' biases start from; see ``LabelAttention``.
    """

    def __init__(
        self,
        hidden_size: int,
        label_count: int,
        *,
        width: int = 100,
        reduction: Literal["linear", "convolution", "pca"] = "linear",
        widths: tuple[int, ...] = (50,),
        kernels: tuple[int, ...] = KERNELS,
        dropout: float = 0.2,
        start: Float[Tensor, "label _"] | None = None,
        ancestors: Int[Tensor, "label level"] | None = None,
        bias: Float[Tensor, " label"] | None = None,
    ) -> None:
        super().__init__(hidden_size, label_count)
        self.narrow: Narrowing = _NARROWING[reduction](hidden_size, width)
        self.convolution = MultiResidualConvolution(width, widths=widths, kernels=kernels, dropout=dropout)
        size = self.convolution.output_size
        self.attention = LabelAttention(size, label_count, start=start, ancestors=ancestors, bias=bias)

    def _states(self, hidden: Hidden, mask: Mask) -> Float[Tensor, "batch token convolved"]:
        return self.convolution(self.narrow(hidden, mask), mask)

    def forward(self, hidden: Hidden, mask: Mask, labels: Int[Tensor, " label"] | None = None) -> HeadOutput:
        """See ``Head``."""
        return self.attention(self._states(hidden, mask), mask, labels)

    def losses(
        self, hidden: Hidden, mask: Mask, targets: Float[Tensor, "batch label"], loss: LabelLoss
    ) -> dict[str, Float[Tensor, ""]]:
        """See ``Head.losses``."""
        return self.attention.losses(self._states(hidden, mask), mask, targets, loss)

    def attend(self, hidden: Hidden, mask: Mask, labels: Int[Tensor, " label"], top: int) -> TopAttention:
        """See ``Head.attend``."""
        return self.attention.attend(self._states(hidden, mask), mask, labels, top)

    def evidence_loss(self, hidden: Hidden, mask: Mask, evidence: GoldEvidence) -> Float[Tensor, ""]:
        """See ``attention.evidence_loss``."""
        return self.attention.evidence_loss(self._states(hidden, mask), mask, evidence)
