"""Label attention in its published forms; all of them run on the one kernel of ``heads.attention``."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from nosology.errors import ConfigError
from nosology.heads import attention
from nosology.heads.attention import Readout, Tensors, label_attention, linear_readout
from nosology.heads.base import GoldEvidence, Head, HeadOutput, LabelLoss, TopAttention
from nosology.heads.label_vectors import LabelVectors

Hidden = Float[Tensor, "batch token hidden"]
Mask = Bool[Tensor, "batch token"]
Labels = Int[Tensor, " label"] | None


class AttentionHead(Head):
    """Base of heads in which every label attends to the tokens."""

    @abstractmethod
    def queries(self, labels: Labels = None) -> Float[Tensor, "label head key"]:
        """What the labels look for."""

    @abstractmethod
    def keys(self, hidden: Hidden) -> Float[Tensor, "batch token head key"]:
        """What the tokens offer."""

    @abstractmethod
    def readout(self, labels: Labels = None) -> Readout:
        """What makes a label's logit of its pooled vectors."""

    def values(self, hidden: Hidden) -> Float[Tensor, "batch token value"]:
        """What is pooled."""
        return hidden

    def forward(self, hidden: Hidden, mask: Mask, labels: Labels = None) -> HeadOutput:
        """See ``Head``."""
        queries, keys, values = self.queries(labels), self.keys(hidden), self.values(hidden)
        return HeadOutput(label_attention(queries, keys, values, mask, self.readout(labels)))

    def losses(
        self, hidden: Hidden, mask: Mask, targets: Float[Tensor, "batch label"], loss: LabelLoss
    ) -> dict[str, Float[Tensor, ""]]:
        """See ``Head``; in one pass for a separable loss."""
        if not getattr(loss, "separable", False):
            return super().losses(hidden, mask, targets, loss)
        queries, keys, values = self.queries(), self.keys(hidden), self.values(hidden)
        return {"labels": attention.attention_loss(queries, keys, values, mask, self.readout(), targets, loss)}

    def attend(self, hidden: Hidden, mask: Mask, labels: Int[Tensor, " label"], top: int) -> TopAttention:
        """See ``Head.attend``; heads of one label are averaged."""
        return attention.top_attention(self.queries(labels), self.keys(hidden), mask, top)

    def evidence_loss(self, hidden: Hidden, mask: Mask, evidence: GoldEvidence) -> Float[Tensor, ""]:
        """See ``attention.evidence_loss``."""
        queries = self.queries(evidence.labels)
        return attention.evidence_loss(queries, self.keys(hidden), mask, evidence.notes, evidence.tokens)


class LabelAttention(AttentionHead):
    """Per-label attention and per-label linear output.

        Z = tanh(H W)    A = softmax(U Z^T) over tokens    V = A H    logit_c = w_c . V_c + b_c

    This is LAAT (eqs. 4-7), PLM-ICD's head, and eqs. 2-4 of Yoo and Kim 2025. Without ``attention_size``, Z = H: CAML
    (eqs. 2-4) and MultiResCNN.

    Reference: Vu et al. 2020, arXiv:2007.06351; Mullenbach et al. 2018, arXiv:1802.05695.

    Args:
        hidden_size: width of a state.
        label_count: labels scored.
        attention_size: width of Z; None attends to the states themselves.
        std: of the normal distribution that parameters start from; None for Xavier's.
        start: vectors that the label queries start from, such as encoded descriptions; see ``LabelVectors``.
        ancestors: ties queries and output weights along the hierarchy; see ``LabelVectors``.
        bias: that b starts from, e.g. log-odds of the labels; None: zero.
    """

    def __init__(
        self,
        hidden_size: int,
        label_count: int,
        *,
        attention_size: int | None = None,
        std: float | None = None,
        start: Float[Tensor, "label _"] | None = None,
        ancestors: Int[Tensor, "label level"] | None = None,
        bias: Float[Tensor, " label"] | None = None,
    ) -> None:
        super().__init__(hidden_size, label_count)
        width = hidden_size if attention_size is None else attention_size
        self.projection = None if attention_size is None else nn.Linear(hidden_size, width, bias=False)
        if self.projection is not None and std is not None:
            nn.init.normal_(self.projection.weight, 0.0, std)
        self.label_queries = LabelVectors(label_count, width, std=std, start=start, ancestors=ancestors)
        self.output = LabelVectors(label_count, hidden_size, std=std, ancestors=ancestors)
        self.bias = nn.Parameter(torch.zeros(label_count) if bias is None else bias.clone())

    def queries(self, labels: Labels = None) -> Float[Tensor, "label head key"]:
        """U."""
        return self.label_queries(labels)[:, None]

    def keys(self, hidden: Hidden) -> Float[Tensor, "batch token head key"]:
        """Z."""
        projected = hidden if self.projection is None else self.projection(hidden).tanh()
        return projected[:, :, None]

    def label_vectors(self) -> Float[Tensor, "label hidden"]:
        """See ``Head``: w."""
        return self.output()

    def readout(self, labels: Labels = None) -> Readout:
        """W and b."""
        return linear_readout(self.output(labels), self.bias if labels is None else self.bias[labels])


class CrossAttention(AttentionHead):
    """Label cross-attention of PLM-CA: learned queries, one output vector that all labels share.

        A = softmax(Q (H W_k)^T / scale)    V = A (H W_v)    logit_c = w . LayerNorm(V_c) + b

    Reference: Edin et al. 2024, arXiv:2406.08958, section 3.

    Args:
        hidden_size: width of a state.
        label_count: labels scored.
        scale: divides the scores; the paper's is 1.
        std: of the normal distribution that the queries start from.
        start, ancestors: of the queries; see ``LabelVectors``.
    """

    def __init__(
        self,
        hidden_size: int,
        label_count: int,
        *,
        scale: float = 1.0,
        std: float = 0.03,
        start: Float[Tensor, "label _"] | None = None,
        ancestors: Int[Tensor, "label level"] | None = None,
    ) -> None:
        super().__init__(hidden_size, label_count)
        self.scale = scale
        self.label_queries = LabelVectors(label_count, hidden_size, std=std, start=start, ancestors=ancestors)
        self.key = nn.Linear(hidden_size, hidden_size, bias=False)
        self.value = nn.Linear(hidden_size, hidden_size, bias=False)
        self.norm = nn.LayerNorm(hidden_size)
        self.output = nn.Linear(hidden_size, 1)

    def queries(self, labels: Labels = None) -> Float[Tensor, "label head key"]:
        """Q over the scale."""
        return self.label_queries(labels)[:, None] / self.scale

    def keys(self, hidden: Hidden) -> Float[Tensor, "batch token head key"]:
        """H W_k."""
        return self.key(hidden)[:, :, None]

    def values(self, hidden: Hidden) -> Float[Tensor, "batch token value"]:
        """H W_v."""
        return self.value(hidden)

    def label_vectors(self) -> Float[Tensor, "label hidden"]:
        """See ``Head``: Q."""
        return self.label_queries()

    def readout(self, labels: Labels = None) -> Readout:
        """w, b and the normalisation."""
        return Readout(_normed, shared=(self.norm.weight, self.norm.bias, self.output.weight[0], self.output.bias))


def _normed(pooled: Tensor, rowwise: Tensors, shared: Tensors) -> Tensor:
    scale, shift, weight, bias = shared
    return functional.layer_norm(pooled[:, 0], scale.shape, scale, shift) @ weight + bias


class JointLabelAttention(LabelAttention):
    """JointLAAT: the coarser codes are scored first, and what they say joins every label's pooled vector.

        s = P sigmoid(category logits)    logit_c = w_c . [V_c ; s] + b_c

    Reference: Vu et al. 2020, section 3.5.

    Args:
        hidden_size, label_count, attention_size, std: see ``LabelAttention``.
        categories: each label's coarser code, counted from 0.
        projection_size: width of s.
        start, bias: of the labels; see ``LabelAttention``.
    """

    def __init__(
        self,
        hidden_size: int,
        label_count: int,
        *,
        categories: Int[Tensor, " label"],
        attention_size: int | None = None,
        projection_size: int = 128,
        std: float | None = None,
        start: Float[Tensor, "label _"] | None = None,
        bias: Float[Tensor, " label"] | None = None,
    ) -> None:
        super().__init__(hidden_size, label_count, attention_size=attention_size, std=std, start=start, bias=bias)
        if len(categories) != label_count:
            raise ConfigError(f"{len(categories)} categories do not fit {label_count} labels")
        self.register_buffer("categories", categories, persistent=False)
        count = int(categories.max()) + 1
        self.category_head = LabelAttention(hidden_size, count, attention_size=attention_size, std=std)
        self.category_projection = nn.Linear(count, projection_size, bias=False)
        self.category_output = LabelVectors(label_count, projection_size, std=std)

    def forward(self, hidden: Hidden, mask: Mask, labels: Labels = None) -> HeadOutput:
        """See ``Head``; the categories' logits come along."""
        category_logits = self.category_head(hidden, mask).logits
        summary = self.category_projection(category_logits.sigmoid())
        logits = super().forward(hidden, mask, labels).logits + summary @ self.category_output(labels).T
        return HeadOutput(logits, category_logits)

    def losses(
        self, hidden: Hidden, mask: Mask, targets: Float[Tensor, "batch label"], loss: LabelLoss
    ) -> dict[str, Float[Tensor, ""]]:
        """See ``Head``; in two passes, for a logit is more here than what attention gives."""
        return Head.losses(self, hidden, mask, targets, loss)

    def auxiliary_loss(self, output: HeadOutput, targets: Float[Tensor, "batch label"]) -> Float[Tensor, ""] | None:
        """Binary cross-entropy of the categories; a category is assigned where one of its labels is."""
        if output.category_logits is None:
            return None
        where = self.get_buffer("categories").expand_as(targets)
        assigned = torch.zeros_like(output.category_logits, dtype=targets.dtype).scatter_reduce(
            1, where, targets, "amax"
        )
        return functional.binary_cross_entropy_with_logits(output.category_logits, assigned.to(output.category_logits))


class SynonymAttention(AttentionHead):
    """MSMN's head: each label looks through several synonyms at once, and its classifier comes from them too.

        q_c^m synonym vectors    K^m = tanh(H W_h), its m-th part    a_c^m = softmax(W_q q_c^m . K^m)
        v_c = max_m a_c^m H      logit_c = v_c^T W max_m q_c^m

    Reference: Yuan et al. 2022, arXiv:2203.01515, eqs. 2-7.

    Args:
        hidden_size: width of a state.
        label_count: labels scored.
        synonyms: heads, one for each synonym of a label.
        attention_size: width of all keys together; a multiple of ``synonyms``.
        std: of the normal distribution that synonym vectors start from.
        start: synonym vectors to start from, ``[label, synonym, _]``, e.g. of encoded synonyms; a label with fewer
            repeats its own.
    """

    def __init__(
        self,
        hidden_size: int,
        label_count: int,
        *,
        synonyms: int = 8,
        attention_size: int = 512,
        std: float = 0.03,
        start: Float[Tensor, "label synonym _"] | None = None,
    ) -> None:
        super().__init__(hidden_size, label_count)
        if attention_size % synonyms:
            raise ConfigError(f"attention_size = {attention_size} is not a multiple of synonyms = {synonyms}")
        if start is not None and tuple(start.shape[:2]) != (label_count, synonyms):
            raise ConfigError(f"synonym vectors of shape {tuple(start.shape)} do not fit {label_count} x {synonyms}")
        self.synonyms = synonyms
        flat = None if start is None else start.flatten(0, 1)
        self.vectors = LabelVectors(label_count * synonyms, hidden_size, std=std, start=flat)
        self.query = nn.Linear(hidden_size, attention_size // synonyms, bias=False)
        self.key = nn.Linear(hidden_size, attention_size, bias=False)
        self.classifier = nn.Linear(hidden_size, hidden_size, bias=False)

    def _synonyms(self, labels: Labels) -> Float[Tensor, "label synonym hidden"]:
        every = self.vectors().unflatten(0, (self.label_count, self.synonyms))
        return every if labels is None else every[labels]

    def queries(self, labels: Labels = None) -> Float[Tensor, "label head key"]:
        """W_q q."""
        return self.query(self._synonyms(labels))

    def keys(self, hidden: Hidden) -> Float[Tensor, "batch token head key"]:
        """K."""
        return self.key(hidden).tanh().unflatten(-1, (self.synonyms, -1))

    def label_vectors(self) -> Float[Tensor, "label hidden"]:
        """See ``Head``: W max_m q."""
        return self.classifier(self._synonyms(None).amax(1))

    def readout(self, labels: Labels = None) -> Readout:
        """W max q."""
        return Readout(_strongest, (self.classifier(self._synonyms(labels).amax(1)),))


def _strongest(pooled: Tensor, rowwise: Tensors, shared: Tensors) -> Tensor:
    return torch.linalg.vecdot(pooled.amax(1), rowwise[0].to(pooled.dtype))
