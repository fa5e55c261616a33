"""Parts of neural coders as numbers: encoders, which make states of tokens, and heads, which make logits of states.

Whole models at the sizes of papers: ``config.published``. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nosology.config.rules import Check, Section, above, at_least, between, not_empty, rule
from nosology.errors import ConfigError

_KERNELS = (3, 5, 9, 15, 19, 25)

Queries = Literal["random", "descriptions"]
Bias = Literal["plain", "prior"]


def _if_given(lowest: float, *, included: bool) -> dict[str, Check]:
    """The value is left out, or at least (or above) ``lowest``."""

    def check(value: float | None) -> str | None:
        if value is None or value > lowest or (included and value == lowest):
            return None
        return f"{value!r} is {'below' if included else 'not above'} {lowest}"

    return rule(check)


# --- encoders -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConvolutionConfig(Section):
    """One convolution over word vectors (CAML).

    Args:
        kind: chooses this section.
        word_size: width of a word vector.
        filters: width of a state.
        kernel: words that one state sees.
        word_dropout: share of the word vectors' components that training drops.
    """

    kind: Literal["convolution"] = "convolution"
    word_size: int = field(default=100, metadata=at_least(1))
    filters: int = field(default=50, metadata=at_least(1))
    kernel: int = field(default=10, metadata=at_least(1))
    word_dropout: float = field(default=0.2, metadata=between(0, 0.99))


@dataclass(frozen=True, slots=True)
class MultiResidualConfig(Section):
    """Multi-filter residual convolution over word vectors (MultiResCNN).

    Args:
        kind: chooses this section.
        word_size: width of a word vector.
        widths: of each kernel's residual blocks, in order.
        kernels: words that one output sees; one channel each.
        word_dropout: share of the word vectors' components that training drops.
        dropout: after every residual block.
    """

    kind: Literal["multi_residual"] = "multi_residual"
    word_size: int = field(default=100, metadata=at_least(1))
    widths: tuple[int, ...] = field(default=(50,), metadata=not_empty())
    kernels: tuple[int, ...] = field(default=_KERNELS, metadata=not_empty())
    word_dropout: float = field(default=0.2, metadata=between(0, 0.99))
    dropout: float = field(default=0.2, metadata=between(0, 0.99))


@dataclass(frozen=True, slots=True)
class BiLstmConfig(Section):
    """A bidirectional LSTM over word vectors (LAAT).

    Args:
        kind: chooses this section.
        word_size: width of a word vector.
        size: width of one direction.
        layers: stacked LSTMs.
        word_dropout: share of the word vectors' components that training drops.
        dropout: on the states, and between layers.
    """

    kind: Literal["bilstm"] = "bilstm"
    word_size: int = field(default=100, metadata=at_least(1))
    size: int = field(default=512, metadata=at_least(1))
    layers: int = field(default=1, metadata=at_least(1))
    word_dropout: float = field(default=0.3, metadata=between(0, 0.99))
    dropout: float = field(default=0.3, metadata=between(0, 0.99))


@dataclass(frozen=True, slots=True)
class TransformerConfig(Section):
    """An encoder of the transformers library, over notes of any length by chunks.

    Args:
        kind: chooses this section.
        name: "minilm" or "smollm2" (inside packages, no download), a folder, or owner/name on the model hub.
        chunk_tokens: tokens that the model sees at once, its frame not counted.
        overlap_tokens: tokens that neighbouring chunks share.
        framed: every chunk stands between the model's own start and end tokens, as in its training.
        frozen: the model is not trained.
        gradient_checkpointing: less memory for more time.
        precision: that a frozen model computes in. "bf16" is three times as fast where the processor has instructions
            for it, and its states differ in the third digit; "auto" takes it there (a GPU, Intel's AMX). A model that
            learns follows ``trainer.mixed_precision``.
        cache: a folder in which a frozen model's states of each note are kept, half precision, for later epochs and
            runs; relative to where the command runs. Left out, they are kept in memory while training.
    """

    kind: Literal["transformer"] = "transformer"
    name: str = field(default="minilm", metadata=not_empty())
    chunk_tokens: int = field(default=254, metadata=at_least(8))
    overlap_tokens: int = field(default=32, metadata=at_least(0))
    framed: bool = True
    frozen: bool = False
    gradient_checkpointing: bool = False
    precision: Literal["full", "bf16", "auto"] = "full"
    cache: str | None = field(default=None, metadata=rule(lambda value: "is empty" if value == "" else None))

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.cache is not None and not self.frozen:
            raise ConfigError(
                "cache keeps states of an encoder that does not learn: set frozen = true, or leave cache out"
            )
        if self.precision != "full" and not self.frozen:
            raise ConfigError(
                f'precision = "{self.precision}" is for an encoder that does not learn: set frozen = true, or '
                'trainer.mixed_precision = "bf16" in its place'
            )


EncoderConfig = ConvolutionConfig | MultiResidualConfig | BiLstmConfig | TransformerConfig


# --- heads ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LabelAttentionConfig(Section):
    """Per-label attention and output (CAML, MultiResCNN; with ``attention_size`` LAAT, PLM-ICD).

    Args:
        kind: chooses this section.
        attention_size: width of the projected states that labels attend to; left out, the states themselves.
        std: of the normal distribution that parameters start from; left out, Xavier's uniform one.
        queries: what label queries start from.
        bias: what the labels' biases start from: zero ("plain"), or where the loss rests for one who has read nothing
            ("prior"; under cross-entropy the log-odds of each label in the training notes). Thousands of labels that
            hardly ever hold then weigh little from the first step on.
        tied: queries and outputs are sums along the hierarchy, so that rare codes borrow from their parents.
    """

    kind: Literal["label_attention"] = "label_attention"
    attention_size: int | None = field(default=None, metadata=_if_given(1, included=True))
    std: float | None = field(default=None, metadata=_if_given(0, included=False))
    queries: Queries = "random"
    bias: Bias = "plain"
    tied: bool = False


@dataclass(frozen=True, slots=True)
class CrossAttentionConfig(Section):
    """Label cross-attention with one output vector for all labels (PLM-CA).

    Args:
        kind: chooses this section.
        scale: divides the attention's scores.
        std: of the normal distribution that label queries start from.
        queries: what label queries start from.
        tied: queries are sums along the hierarchy.
    """

    kind: Literal["cross_attention"] = "cross_attention"
    scale: float = field(default=1.0, metadata=above(0))
    std: float = field(default=0.03, metadata=above(0))
    queries: Queries = "random"
    tied: bool = False


@dataclass(frozen=True, slots=True)
class JointLabelAttentionConfig(Section):
    """Label attention that scores coarser codes first and lets them inform the labels (JointLAAT).

    Args:
        kind: chooses this section.
        attention_size: see ``LabelAttentionConfig``.
        projection_size: width of what the coarser codes pass on.
        std: see ``LabelAttentionConfig``.
        queries: what label queries start from.
        bias: see ``LabelAttentionConfig``; the coarser codes' start at zero.
    """

    kind: Literal["joint_label_attention"] = "joint_label_attention"
    attention_size: int | None = field(default=512, metadata=_if_given(1, included=True))
    projection_size: int = field(default=128, metadata=at_least(1))
    std: float | None = field(default=0.03, metadata=_if_given(0, included=False))
    queries: Queries = "random"
    bias: Bias = "plain"


@dataclass(frozen=True, slots=True)
class SynonymAttentionConfig(Section):
    """Attention through several synonyms of each label (MSMN).

    Args:
        kind: chooses this section.
        synonyms: of each label.
        attention_size: width of all synonyms' keys together; a multiple of ``synonyms``.
        std: of the normal distribution that synonym vectors start from.
        queries: what synonym vectors start from.
    """

    kind: Literal["synonym_attention"] = "synonym_attention"
    synonyms: int = field(default=4, metadata=at_least(1))
    attention_size: int = field(default=512, metadata=at_least(1))
    std: float = field(default=0.03, metadata=above(0))
    queries: Queries = "random"


@dataclass(frozen=True, slots=True)
class DirectConfig(Section):
    """One vector per note and one linear layer.

    Args:
        kind: chooses this section.
        pooling: the vector is the mean of the states, the last one, or a mean with learned weights.
        dropout: on the vector.
        bias: see ``LabelAttentionConfig``; "plain" is PyTorch's small random numbers here.
    """

    kind: Literal["direct"] = "direct"
    pooling: Literal["mean", "last", "attention"] = "mean"
    dropout: float = field(default=0.1, metadata=between(0, 0.99))
    bias: Bias = "plain"


@dataclass(frozen=True, slots=True)
class MultiResCnnConfig(Section):
    """MultiResCNN over the encoder's states.

    Args:
        kind: chooses this section.
        width: that the states are narrowed to first.
        reduction: how: by a learned linear layer, a learned convolution over neighbouring tokens, or the principal
            components of a frozen encoder's states.
        widths, kernels, dropout: see ``MultiResidualConfig``.
        queries: what label queries start from.
        bias: see ``LabelAttentionConfig``.
        tied: queries and outputs are sums along the hierarchy.
    """

    kind: Literal["multirescnn"] = "multirescnn"
    width: int = field(default=100, metadata=at_least(1))
    reduction: Literal["linear", "convolution", "pca"] = "linear"
    widths: tuple[int, ...] = field(default=(50,), metadata=not_empty())
    kernels: tuple[int, ...] = field(default=_KERNELS, metadata=not_empty())
    dropout: float = field(default=0.2, metadata=between(0, 0.99))
    queries: Queries = "random"
    bias: Bias = "plain"
    tied: bool = False


HeadConfig = (
    LabelAttentionConfig
    | CrossAttentionConfig
    | JointLabelAttentionConfig
    | SynonymAttentionConfig
    | DirectConfig
    | MultiResCnnConfig
)
