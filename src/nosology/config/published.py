"""Whole models of papers: their parts at the papers' sizes, and how they were trained.

Each is a spec sheet: the hyper-parameters of its paper for the full label set, and where what
``builders.build_model`` makes of them differs from the paper. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from nosology.config.architectures import (
    BiLstmConfig,
    ConvolutionConfig,
    CrossAttentionConfig,
    EncoderConfig,
    HeadConfig,
    JointLabelAttentionConfig,
    LabelAttentionConfig,
    MultiResidualConfig,
    SynonymAttentionConfig,
    TransformerConfig,
)
from nosology.config.rules import Section, above, at_least


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
    training = replace(
        _PLM_TRAINING, max_tokens=8000, batch_notes=16, clip_norm=1.0, selection="mean_average_precision"
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
