"""From numbers to modules: the one place where configuration meets torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nosology.config.architectures import (
    BiLstmConfig,
    ConvolutionConfig,
    CrossAttentionConfig,
    DirectConfig,
    EncoderConfig,
    HeadConfig,
    JointLabelAttentionConfig,
    LabelAttentionConfig,
    MultiResCnnConfig,
    MultiResidualConfig,
    SynonymAttentionConfig,
    TransformerConfig,
)
from nosology.config.published import Architecture, caml, joint_laat, laat, msmn, multirescnn, plm_ca, plm_icd
from nosology.encoders.base import Encoder
from nosology.encoders.convolution import Convolution, MultiResidual
from nosology.encoders.embedding import WordEmbedding
from nosology.encoders.recurrent import BiLstm
from nosology.encoders.transformer import (
    Transformer,
    has_fast_bf16,
    load_transformer,
    rebuild_transformer,
    special_tokens,
)
from nosology.errors import ConfigError
from nosology.heads.base import Head
from nosology.heads.direct import DirectClassification
from nosology.heads.label_attention import CrossAttention, JointLabelAttention, LabelAttention, SynonymAttention
from nosology.heads.multirescnn import MultiResCnn
from nosology.model import CodingModel

__all__ = [
    "Labels",
    "build_encoder",
    "build_head",
    "build_model",
    "caml",
    "joint_laat",
    "laat",
    "msmn",
    "multirescnn",
    "number_names",
    "number_paths",
    "plm_ca",
    "plm_icd",
]


@dataclass(frozen=True, slots=True)
class Labels:
    """What a head needs to know about the labels.

    Args:
        count: how many there are.
        vectors: of their descriptions, ``[label, _]``, or of their synonyms, ``[label, synonym, _]``; needed where the
            queries are "descriptions". ``encoders.descriptions`` makes them.
        ancestors: needed where a head is tied; see ``number_paths``.
        categories: needed by JointLAAT; see ``number_names``.
        biases: needed where a head's bias starts from "prior"; ``losses.best_constants`` makes them.
    """

    count: int
    vectors: Float[Tensor, "label *rest"] | None = None
    ancestors: Int[Tensor, "label level"] | None = None
    categories: Int[Tensor, " label"] | None = None
    biases: Float[Tensor, " label"] | None = None


def build_model(
    architecture: Architecture,
    labels: Labels,
    *,
    vocabulary_size: int | None = None,
    word_vectors: Float[Tensor, "word size"] | None = None,
) -> CodingModel:
    """Build a model; its fresh parameters come from torch's global generator.

    Args:
        architecture: e.g. ``laat()``.
        labels: what the head scores.
        vocabulary_size: rows of the word vectors; not needed by a transformers encoder, which has its own.
        word_vectors: pretrained ones, one row per word of the vocabulary.

    Raises:
        ConfigError: something that the architecture needs is missing or does not fit.
    """
    encoder = build_encoder(architecture.encoder, vocabulary_size=vocabulary_size, word_vectors=word_vectors)
    return CodingModel(encoder, build_head(architecture.head, encoder.hidden_size, labels))


def build_encoder(
    config: EncoderConfig,
    *,
    vocabulary_size: int | None = None,
    word_vectors: Float[Tensor, "word size"] | None = None,
    described: Mapping[str, Any] | None = None,
) -> Encoder:
    """The encoder of an architecture; see ``build_model``.

    Args:
        config: of the encoder.
        vocabulary_size, word_vectors: as for ``build_model``.
        described: what ``describe_transformer`` said of a transformer whose weights are read from elsewhere: then
            neither the model hub nor the folder that it came from is asked.
    """
    match config:
        case ConvolutionConfig():
            words = _words(config, vocabulary_size, word_vectors)
            return Convolution(words, config.word_size, filters=config.filters, kernel=config.kernel)
        case MultiResidualConfig():
            words = _words(config, vocabulary_size, word_vectors)
            return MultiResidual(
                words, config.word_size, widths=config.widths, kernels=config.kernels, dropout=config.dropout
            )
        case BiLstmConfig():
            words = _words(config, vocabulary_size, word_vectors)
            return BiLstm(words, config.word_size, size=config.size, layers=config.layers, dropout=config.dropout)
        case TransformerConfig():
            return _transformer(config, described)
        case _:
            assert_never(config)


def _words(
    config: ConvolutionConfig | MultiResidualConfig | BiLstmConfig, size: int | None, vectors: Tensor | None
) -> WordEmbedding:
    if size is None:
        raise ConfigError(f"an encoder of kind {config.kind!r} reads words: vocabulary_size is needed")
    if vectors is not None and tuple(vectors.shape) != (size, config.word_size):
        shape = " x ".join(map(str, vectors.shape))
        raise ConfigError(f"word vectors of shape {shape} do not fit {size} words of word_size = {config.word_size}")
    return WordEmbedding(size, config.word_size, dropout=config.word_dropout, matrix=vectors)


def _transformer(config: TransformerConfig, described: Mapping[str, Any] | None) -> Transformer:
    if described is None:
        model, frame = load_transformer(config.name), special_tokens(config.name) if config.framed else None
    else:
        model, frame = rebuild_transformer(described)
    return Transformer(
        model,
        chunk_tokens=config.chunk_tokens,
        overlap_tokens=config.overlap_tokens,
        frame=frame,
        frozen=config.frozen,
        gradient_checkpointing=config.gradient_checkpointing,
        in_bf16=config.precision == "bf16" or (config.precision == "auto" and has_fast_bf16()),
    )


def build_head(config: HeadConfig, hidden_size: int, labels: Labels) -> Head:
    """The head of an architecture over states of a given width; see ``build_model``."""
    match config:
        case LabelAttentionConfig():
            sizes = {"attention_size": config.attention_size, "std": config.std}
            start = _start(config, labels) | _tied(config, labels) | _bias(config, labels)
            return LabelAttention(hidden_size, labels.count, **sizes, **start)
        case CrossAttentionConfig():
            sizes = {"scale": config.scale, "std": config.std}
            return CrossAttention(hidden_size, labels.count, **sizes, **_start(config, labels), **_tied(config, labels))
        case JointLabelAttentionConfig():
            return _joint(config, hidden_size, labels)
        case SynonymAttentionConfig():
            sizes = {"synonyms": config.synonyms, "attention_size": config.attention_size, "std": config.std}
            return SynonymAttention(hidden_size, labels.count, **sizes, **_start(config, labels))
        case DirectConfig():
            sizes = {"pooling": config.pooling, "dropout": config.dropout}
            return DirectClassification(hidden_size, labels.count, **sizes, **_bias(config, labels))
        case MultiResCnnConfig():
            return _multirescnn(config, hidden_size, labels)
        case _:
            assert_never(config)


def _joint(config: JointLabelAttentionConfig, hidden_size: int, labels: Labels) -> JointLabelAttention:
    if labels.categories is None:
        raise ConfigError("a head of kind 'joint_label_attention' needs the labels' categories")
    return JointLabelAttention(
        hidden_size,
        labels.count,
        categories=labels.categories,
        attention_size=config.attention_size,
        projection_size=config.projection_size,
        std=config.std,
        **_start(config, labels),
        **_bias(config, labels),
    )


def _multirescnn(config: MultiResCnnConfig, hidden_size: int, labels: Labels) -> MultiResCnn:
    return MultiResCnn(
        hidden_size,
        labels.count,
        width=config.width,
        reduction=config.reduction,
        widths=config.widths,
        kernels=config.kernels,
        dropout=config.dropout,
        **_start(config, labels),
        **_tied(config, labels),
        **_bias(config, labels),
    )


def _start(config: HeadConfig, labels: Labels) -> dict[str, Any]:
    if isinstance(config, DirectConfig) or config.queries == "random":
        return {}
    if labels.vectors is None:
        raise ConfigError(f'a head of kind {config.kind!r} with queries = "descriptions" needs description vectors')
    synonyms = isinstance(config, SynonymAttentionConfig)
    return {"start": labels.vectors if synonyms or labels.vectors.ndim == 2 else labels.vectors.mean(1)}


def _tied(config: LabelAttentionConfig | CrossAttentionConfig | MultiResCnnConfig, labels: Labels) -> dict[str, Any]:
    if not config.tied:
        return {}
    if labels.ancestors is None:
        raise ConfigError(f"a head of kind {config.kind!r} with tied = true needs the labels' ancestors")
    return {"ancestors": labels.ancestors}


def _bias(
    config: LabelAttentionConfig | JointLabelAttentionConfig | DirectConfig | MultiResCnnConfig, labels: Labels
) -> dict[str, Any]:
    if config.bias == "plain":
        return {}
    if labels.biases is None:
        raise ConfigError(f'a head of kind {config.kind!r} with bias = "prior" needs the labels\' biases')
    return {"bias": labels.biases}


def number_names(names: Sequence[str]) -> Int[Tensor, " label"]:
    """Each label's category as a number, counted from 0 in order of first appearance.

    >>> number_names(["E11", "I10", "E11"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(name, len(numbers)) for name in names], dtype=torch.long)


def number_paths(paths: Sequence[Sequence[str]]) -> Int[Tensor, "label level"]:
    """Each label's ancestors as numbers over all ancestors, with -1 where a label has fewer than others.

    >>> number_paths([["E11", "E08-E13"], ["I10"]]).tolist()
    [[0, 1], [2, -1]]
    """
    numbers: dict[str, int] = {}
    rows = [[numbers.setdefault(name, len(numbers)) for name in path] for path in paths]
    levels = max((len(row) for row in rows), default=0)
    return torch.tensor([row + [-1] * (levels - len(row)) for row in rows], dtype=torch.long).view(len(rows), levels)
