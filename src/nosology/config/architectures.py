"""Neural coders as numbers: an encoder, a head, and how the paper trained it.

The named models are spec sheets. Each gives the hyper-parameters of its paper for the full label set and lists where
what ``builders.build_model`` makes of them differs from the paper. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nosology.config.rules import Check, Section, above, at_least, between, not_empty, rule
from nosology.errors import ConfigError

_KERNELS = (3, 5, 9, 15, 19, 25)

Queries = Literal["random", "descriptions"]


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
    cache: str | None = field(default=None, metadata=rule(lambda value: "is empty" if value == "" else None))

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.cache is not None and not self.frozen:
            raise ConfigError(
                "cache keeps states of an encoder that does not learn: set frozen = true, or leave cache out"
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
        tied: queries and outputs are sums along the hierarchy, so that rare codes borrow from their parents.
    """

    kind: Literal["label_attention"] = "label_attention"
    attention_size: int | None = field(default=None, metadata=_if_given(1, included=True))
    std: float | None = field(default=None, metadata=_if_given(0, included=False))
    queries: Queries = "random"
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
    """

    kind: Literal["joint_label_attention"] = "joint_label_attention"
    attention_size: int | None = field(default=512, metadata=_if_given(1, included=True))
    projection_size: int = field(default=128, metadata=at_least(1))
    std: float | None = field(default=0.03, metadata=_if_given(0, included=False))
    queries: Queries = "random"


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
    """

    kind: Literal["direct"] = "direct"
    pooling: Literal["mean", "last", "attention"] = "mean"
    dropout: float = field(default=0.1, metadata=between(0, 0.99))


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
        tied: queries and outputs are sums along the hierarchy.
    """

    kind: Literal["multirescnn"] = "multirescnn"
    width: int = field(default=100, metadata=at_least(1))
    reduction: Literal["linear", "convolution", "pca"] = "linear"
    widths: tuple[int, ...] = field(default=(50,), metadata=not_empty())
    kernels: tuple[int, ...] = field(default=_KERNELS, metadata=not_empty())
    dropout: float = field(default=0.2, metadata=between(0, 0.99))
    queries: Queries = "random"
    tied: bool = False


HeadConfig = (
    LabelAttentionConfig
    | CrossAttentionConfig
    | JointLabelAttentionConfig
    | SynonymAttentionConfig
    | DirectConfig
    | MultiResCnnConfig
)


# --- whole models ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublishedTraining(Section):
    """How a paper trained its model: a record for recipes to start from, read by no module.

    Args:
        max_tokens: of a note; the rest is cut off.
        batch_notes: notes of one step.
        epochs: at most.
        optimizer: its name.
        learning_rate: at its height.
        schedule: of the learning rate.
        warmup_steps: of rising learning rate.
        weight_decay: decoupled, where the optimizer is AdamW.
        clip_norm: of gradients; 0 does not clip.
        patience: epochs without gain before training stops; 0 trains all epochs.
        selection: metric on the dev split that chooses the epoch.
    """

    max_tokens: int = field(default=2500, metadata=at_least(1))
    batch_notes: int = field(default=16, metadata=at_least(1))
    epochs: int = field(default=20, metadata=at_least(1))
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = field(default=1e-4, metadata=above(0))
    schedule: Literal["constant", "linear", "plateau"] = "constant"
    warmup_steps: int = field(default=0, metadata=at_least(0))
    weight_decay: float = field(default=0.0, metadata=at_least(0))
    clip_norm: float = field(default=0.0, metadata=at_least(0))
    patience: int = field(default=0, metadata=at_least(0))
    selection: Literal["precision_at_8", "micro_f1", "mean_average_precision"] = "micro_f1"


@dataclass(frozen=True, slots=True)
class Architecture(Section):
    """A neural coder.

    Args:
        encoder: tokens -> states.
        head: states -> logits.
        published: the paper's training.
    """

    encoder: EncoderConfig
    head: HeadConfig
    published: PublishedTraining = PublishedTraining()


def caml() -> Architecture:
    """CAML: one convolution, per-label attention (Mullenbach et al. 2018, arXiv:1802.05695, table 2).

    Differs from the paper: padding gets no attention, where the released code lets it in; 2,500 words give 2,500
    states, where its even kernel gives one more. Word vectors come from whatever matrix the recipe names (the paper:
    word2vec CBOW on the training notes). DR-CAML's description term is not included.
    """
    training = PublishedTraining(epochs=200, patience=10, selection="precision_at_8")
    return Architecture(ConvolutionConfig(), LabelAttentionConfig(), training)


def multirescnn() -> Architecture:
    """MultiResCNN: six kernels with residual blocks, per-label attention (Li and Yu 2020, arXiv:1912.00862).

    Differs from the paper: padding is zeroed before every convolution, is left out of the statistics of batch
    normalisation, and gets no attention.
    """
    training = PublishedTraining(epochs=500, patience=10, selection="precision_at_8")
    return Architecture(MultiResidualConfig(), LabelAttentionConfig(), training)


_LAAT_TRAINING = PublishedTraining(
    max_tokens=4000,
    batch_notes=8,
    epochs=50,
    optimizer="adamw",
    learning_rate=1e-3,
    schedule="plateau",
    patience=6,
    selection="micro_f1",
)


def laat() -> Architecture:
    """LAAT: a bidirectional LSTM and label attention over projected states (Vu et al. 2020, arXiv:2007.06351).

    Differs from the paper: padding gets no attention. The plateau's factor (0.9 after 5 epochs) is the schedule's
    own setting.
    """
    return Architecture(BiLstmConfig(), LabelAttentionConfig(attention_size=512, std=0.03), _LAAT_TRAINING)


def joint_laat() -> Architecture:
    """JointLAAT: LAAT that scores three-character categories first (Vu et al. 2020, section 3.5).

    Differs from the paper: as ``laat``; the released code at its head crashes in this mode, so the paper's equations
    rule. Both levels' losses are added with equal weight, as there.
    """
    return Architecture(BiLstmConfig(), JointLabelAttentionConfig(attention_size=512, std=0.03), _LAAT_TRAINING)


_PLM_TRAINING = PublishedTraining(
    max_tokens=3072,
    batch_notes=8,
    epochs=20,
    optimizer="adamw",
    learning_rate=5e-5,
    schedule="linear",
    warmup_steps=2000,
    selection="micro_f1",
)


def plm_icd(name: str = "minilm") -> Architecture:
    """PLM-ICD: a pretrained encoder over chunks of 128 tokens, LAAT's head (Huang et al. 2022, arXiv:2207.05289).

    Differs from the paper: the encoder is MiniLM unless you name a folder with the paper's
    RoBERTa-base-PM-M3-Voc-distill-align; MiniLM is 384 wide, so the attention is 384 wide, not 768. The attention mask
    of a batch's shorter notes is right (the released code pads it with ones). The softmax subtracts each row's largest
    score and runs in float32 at least, so it does not overflow.
    """
    width = 384 if name == "minilm" else 768
    encoder = TransformerConfig(name=name, chunk_tokens=128, overlap_tokens=0, framed=False)
    return Architecture(encoder, LabelAttentionConfig(attention_size=width, std=0.03), _PLM_TRAINING)


def plm_ca(name: str = "minilm") -> Architecture:
    """PLM-CA: a pretrained encoder over chunks of 128 tokens, label cross-attention (Edin et al. 2024,
    arXiv:2406.08958).

    Differs from the paper: MiniLM unless you name another encoder; a note is cut at ``max_tokens`` sub-words, the
    paper's 6,000 words are about 8,000 of them.
    """
    encoder = TransformerConfig(name=name, chunk_tokens=128, overlap_tokens=0, framed=False)
    training = PublishedTraining(
        max_tokens=8000,
        batch_notes=16,
        epochs=20,
        optimizer="adamw",
        learning_rate=5e-5,
        schedule="linear",
        warmup_steps=2000,
        clip_norm=1.0,
        selection="mean_average_precision",
    )
    return Architecture(encoder, CrossAttentionConfig(), training)


def msmn(labels: Literal["full", "top50"] = "full") -> Architecture:
    """MSMN: a bidirectional LSTM, one attention head per synonym of a label (Yuan et al. 2022, arXiv:2203.01515).

    8 synonyms and one LSTM layer of 512 for the 50 most frequent codes; 4 and two layers of 256 for the full set.

    Differs from the paper: synonym vectors are encoded once, before training, and then trained as they are, where the
    paper encodes the synonyms anew in every step; synonyms come from the knowledge base, not from UMLS. R-Drop belongs
    to the loss and is not part of the model.
    """
    full = labels == "full"
    encoder = (
        BiLstmConfig(size=256, layers=2, word_dropout=0.2, dropout=0.2)
        if full
        else BiLstmConfig(size=512, word_dropout=0.2, dropout=0.2)
    )
    head = SynonymAttentionConfig(synonyms=4 if full else 8, queries="descriptions")
    training = PublishedTraining(
        max_tokens=4000,
        batch_notes=16,
        epochs=20,
        optimizer="adamw",
        learning_rate=5e-4,
        schedule="linear",
        selection="micro_f1",
    )
    return Architecture(encoder, head, training)
