"""The neural coder of a recipe: what reads the words, what scores the codes, and how both are trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nosology.config.architectures import (
    ConvolutionConfig,
    EncoderConfig,
    HeadConfig,
    LabelAttentionConfig,
    MultiResCnnConfig,
    TransformerConfig,
)
from nosology.config.losses import BceConfig, DecoupledConfig, LossConfig
from nosology.config.rules import Section, at_least, between
from nosology.config.trainer import TrainerConfig
from nosology.errors import ConfigError


@dataclass(frozen=True, slots=True)
class WordsConfig(Section):
    """Words of a vocabulary that is made of the training notes.

    Args:
        kind: chooses this section.
        least_notes: training encounters that must hold a word.
        most_words: of the vocabulary; left out, as many as there are.
        lower: words are compared in lower case.
        drop_numbers: words of digits alone are left out.
        vectors: a file of word vectors (word2vec, fastText or GloVe) to start from; relative to where the command runs.
    """

    kind: Literal["words"] = "words"
    least_notes: int = field(default=3, metadata=at_least(1))
    most_words: int | None = None
    lower: bool = True
    drop_numbers: bool = True
    vectors: str | None = None


@dataclass(frozen=True, slots=True)
class SubwordsConfig(Section):
    """Sub-words learnt from the training notes.

    Args:
        kind: chooses this section.
        algorithm: WordPiece, as BERT's, or byte-level BPE, as RoBERTa's.
        vocabulary_size: ids, marks included.
        lower: notes are read in lower case.
    """

    kind: Literal["subwords"] = "subwords"
    algorithm: Literal["wordpiece", "byte_bpe"] = "wordpiece"
    vocabulary_size: int = field(default=8000, metadata=at_least(300))
    lower: bool = True


@dataclass(frozen=True, slots=True)
class PretrainedSubwordsConfig(Section):
    """The sub-words of the pretrained encoder.

    Args:
        kind: chooses this section.
    """

    kind: Literal["pretrained"] = "pretrained"


TokensConfig = WordsConfig | SubwordsConfig | PretrainedSubwordsConfig


@dataclass(frozen=True, slots=True)
class NetworkConfig(Section):
    """A network that reads a note and scores codes.

    Args:
        tokens: what it reads.
        encoder: tokens -> states.
        head: states -> a score for each code.
        trainer: how it is trained.
        least_notes: training encounters that must carry a code for the network to learn it.
        candidates: codes that it lists a note, at most.
        loss: what training minimises.
        decoupled: train the head again, on balanced samples, after the whole; left out, once is enough.
    """

    tokens: TokensConfig = field(default_factory=WordsConfig)
    encoder: EncoderConfig = field(default_factory=ConvolutionConfig)
    head: HeadConfig = field(default_factory=LabelAttentionConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    least_notes: int = field(default=1, metadata=at_least(1))
    candidates: int = field(default=100, metadata=between(1, 10_000))
    loss: LossConfig = field(default_factory=BceConfig)
    decoupled: DecoupledConfig | None = None

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        own = isinstance(self.tokens, PretrainedSubwordsConfig)
        if own != isinstance(self.encoder, TransformerConfig):
            raise ConfigError(
                'tokens of kind "pretrained" go with an encoder of kind "transformer", and only with it: '
                f"here are {self.tokens.kind!r} and {self.encoder.kind!r}"
            )
        frozen = isinstance(self.encoder, TransformerConfig) and self.encoder.frozen
        if isinstance(self.head, MultiResCnnConfig) and self.head.reduction == "pca" and not frozen:
            raise ConfigError('reduction = "pca" is fitted to states that do not change: set frozen = true')


@dataclass(frozen=True, slots=True)
class NeuralConfig(Section):
    """A neural coder.

    Args:
        kind: chooses this section.
        network: what it is made of. The first part of the cross-fitting's folds is held out: it chooses the epoch, and
            calibration and threshold come from it; the weights are those that the other folds gave.
    """

    kind: Literal["neural"] = "neural"
    network: NetworkConfig = field(default_factory=NetworkConfig)
