"""A network with everything that it needs to read a note: tokenizer, labels, weights; how it is fitted and kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nosology.builders import build_encoder, build_head
from nosology.checkpoint import ModelFolder
from nosology.config.architectures import (
    DirectConfig,
    TransformerConfig,
)
from nosology.config.neural import NetworkConfig, PretrainedSubwordsConfig, SubwordsConfig, WordsConfig
from nosology.config.reading import dataclass_from_mapping, read_toml
from nosology.config.writing import to_toml
from nosology.encoders.base import Encoder
from nosology.encoders.transformer import PACKAGED, Transformer, describe_transformer, transformer_source
from nosology.errors import CorpusError
from nosology.knowledge.stream import TokenStream
from nosology.knowledge.wordings import Wordings
from nosology.losses.segmentation import Segmentation
from nosology.model import CodingModel
from nosology.neural.attended import ATTENDED, WordsOfTokens, mentions_of
from nosology.neural.kept_segments import load_segments, save_segments
from nosology.neural.known_labels import FreshStart, known_labels, without_starts
from nosology.neural.learning import NetworkLoss, train_network
from nosology.neural.reading_ahead import read_ahead, told_cache
from nosology.neural.reducing import fit_reduction, told_loss
from nosology.neural.remembered import RememberedEncoder, RememberedMeans, remembering
from nosology.predictor import Progress, read_json, write_json
from nosology.preprocessing.subword_tokenizer import SubwordTokenizer
from nosology.preprocessing.tokenization import TokenizedEncounter, Tokenizer, load_tokenizer, save_tokenizer
from nosology.preprocessing.word_tokenizer import WordTokenizer
from nosology.preprocessing.word_vectors import read_word_vectors
from nosology.ranking.source import Mention, TrainingExample
from nosology.training.dry_run import DryRun
from nosology.training.scoring import attended_tokens, predict_scores
from nosology.training.trainer import Trainer, TrainResult
from nosology.training.weights import load_tensors, put_weights, save_tensors, weights_of
from nosology.types import Encounter

_READ_LATELY = 64
"""Megabytes of states that are kept between asking for a note's scores and asking for its words."""


class Scores(NamedTuple):
    """A network's best codes for one encounter, best first.

    Args:
        tokens: what it read.
        numbers: positions in the network's labels; int64.
        scores: in [0, 1]; float32.
    """

    tokens: TokenizedEncounter
    numbers: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """A fitted network.

    Args:
        config: what it is made of.
        tokenizer: cuts notes into what it reads.
        label_counts: training encounters with each code that it scores, in the order of its outputs.
        model: in evaluation mode.
        segmentation: of its labels, where its loss weighs by segments.
    """

    config: NetworkConfig
    tokenizer: Tokenizer
    label_counts: Mapping[str, int]
    model: CodingModel
    segmentation: Segmentation | None = None

    @property
    def labels(self) -> list[str]:
        return list(self.label_counts)

    @cached_property
    def _reader(self) -> CodingModel:
        """The model, reading a note once for its scores and its words."""
        if isinstance(self.model.encoder, RememberedEncoder):
            return self.model
        if _wants_means(self.config):
            return CodingModel(_remembering(self.config, self.model.encoder), self.model.head).eval()
        lately: dict[str, Any] = {"megabytes": _READ_LATELY, "precision": torch.float32}
        remembered = remembering(self.model.encoder, self.config.encoder, create=False, **lately)
        return CodingModel(remembered, self.model.head).eval()

    @staticmethod
    def fit(
        train: Sequence[TrainingExample],
        dev: Sequence[TrainingExample],
        config: NetworkConfig,
        wordings: Wordings,
        *,
        seed: int,
        folder: Path,
        tell: Progress,
        shared: RememberedEncoder | None = None,
    ) -> tuple[Network, TrainResult]:
        """Train a network. A frozen encoder reads each note once, and is kept with what it read.

        Args:
            train: coded encounters to learn from.
            dev: coded encounters that choose the epoch; none: the last one.
            config: what it is made of; ``trainer.seed`` is added to ``seed``.
            wordings: of labels, where label queries start from descriptions.
            seed: of every random choice.
            folder: of the run; a run that was stopped goes on from there.
            tell: told what is being done.
            shared: a frozen encoder that several networks share, with what it has read for them.

        Raises:
            CorpusError: no code is frequent enough to be learnt.
        """
        fresh, encounters, loss = Network._fresh(train, config, wordings, seed, shared)
        trainer = Trainer(fresh.tokenizer, fresh.labels, loss.function)
        chosen = [as_encounter(example) for example in dev] or None
        read_ahead(fresh.model.encoder, fresh.tokenizer, [*encounters, *(chosen or ())], config.trainer, tell)
        fit_reduction(fresh.model, fresh.tokenizer, encounters, config.trainer, tell)
        result = train_network(trainer, fresh.model, encounters, chosen, config, seed=seed, folder=folder, tell=tell)
        fresh.model.eval()
        return replace(fresh, segmentation=loss.segmentation), result

    @staticmethod
    def dry_run(
        train: Sequence[TrainingExample],
        dev: Sequence[TrainingExample],
        config: NetworkConfig,
        wordings: Wordings,
        *,
        seed: int,
    ) -> DryRun:
        """What ``fit`` would take; a few steps are timed. Raises as ``fit``."""
        fresh, encounters, loss = Network._fresh(train, _in_memory(config), wordings, seed, None)
        read = [as_encounter(example) for example in dev] or None
        trainer = Trainer(fresh.tokenizer, fresh.labels, loss.function)
        found = trainer.dry_run(fresh.model, encounters, read, config.trainer)
        cached = told_cache(
            fresh.model.encoder, config.encoder, fresh.tokenizer, [*encounters, *(read or ())], config.trainer
        )
        return replace(found, more=cached)

    @staticmethod
    def _fresh(
        train: Sequence[TrainingExample],
        config: NetworkConfig,
        wordings: Wordings,
        seed: int,
        shared: RememberedEncoder | None,
    ) -> tuple[Network, list[Encounter], NetworkLoss]:
        """A network that has learnt nothing but its words and labels, what it is to learn from, and by which loss."""
        counts = Counter(code for example in train for code in example.code_set)
        kept = {code: count for code, count in sorted(counts.items()) if count >= config.least_notes}
        if not kept:
            raise CorpusError(f"no code is carried by {config.least_notes} training encounters; lower least_notes")
        encounters = [as_encounter(example) for example in train]
        tokenizer = _tokenizer(config, encounters)
        loss = NetworkLoss.of(config.loss, list(kept), encounters, wordings.titles)
        torch.manual_seed(seed)
        model = _build(config, tokenizer, kept, FreshStart(wordings, loss.function, len(encounters)))
        if shared or _is_frozen(config):
            model = CodingModel(shared or _remembering(config, model.encoder), model.head)
        return Network(config, tokenizer, kept, model), encounters, loss

    def told_loss(self, examples: Sequence[TrainingExample]) -> str | None:
        """How much of a frozen encoder's states the head loses where it narrows them, in a line, if it does."""
        if not _is_frozen(self.config):
            return None
        return told_loss(self.model, self.tokenizer, [as_encounter(one) for one in examples], self.config.trainer)

    def forgetful(self) -> Network:
        """The network without the notes that its encoder read in training."""
        encoder = self.model.encoder
        if not isinstance(encoder, RememberedEncoder):
            return self
        return replace(self, model=CodingModel(encoder.encoder, self.model.head).eval())

    def score(self, stream: TokenStream) -> Scores:
        """The best codes of an encounter, with their scores."""
        encounter = Encounter(stream.encounter_id, stream.encounter.notes)
        top, most = self.config.candidates, self.config.trainer.max_tokens
        (found,) = predict_scores(self._reader, [encounter], self.tokenizer, top=top, max_tokens=most)
        return Scores(found.tokens, found.labels, found.scores)

    def mentions(self, stream: TokenStream, scores: Scores, least: float) -> dict[str, list[Mention]]:
        """The words that the attention of each code rests on; none for a head without attention.

        Args:
            stream: the encounter.
            scores: what ``score`` said of it.
            least: codes of a lower score are left out.
        """
        wanted = {int(n): float(s) for n, s in zip(scores.numbers, scores.scores, strict=True) if s >= least}
        if not wanted or isinstance(self.config.head, DirectConfig):
            return {}
        attended = attended_tokens(
            self._reader, scores.tokens, list(wanted), top=ATTENDED, pad_id=self.tokenizer.pad_id
        )
        labels, words = self.labels, WordsOfTokens(stream, scores.tokens)
        return {
            labels[number]: mentions
            for number, places in attended.items()
            if (mentions := mentions_of(stream, words, places, wanted[number]))
        }

    def save(self, folder: Path) -> None:
        """Write it into a model folder that is being built, but for the weights of a package that were not trained."""
        (folder / "network.toml").write_text(to_toml(self.config), encoding="utf-8")
        write_json(folder / "network_labels.json", dict(self.label_counts))
        save_tokenizer(self.tokenizer, folder / "tokenizer.json")
        save_segments(folder, self.segmentation)
        model = self.forgetful().model
        if _brings_encoder(self.config) and isinstance(model.encoder, Transformer):
            write_json(folder / "encoder.json", describe_transformer(model.encoder))
        packaged = _packaged_weights(self.config, model)
        own = {name: tensor for name, tensor in weights_of(model).items() if name not in packaged}
        save_tensors(own, folder / "network.safetensors")

    @staticmethod
    def load(folder: ModelFolder) -> Network:
        """Read what ``save`` wrote.

        Raises:
            ModelError: the files are damaged or do not fit together.
        """
        file = folder.file("network.toml")
        config = dataclass_from_mapping(NetworkConfig, read_toml(file), str(file))
        tokenizer = load_tokenizer(folder.file("tokenizer.json"))
        counts = {str(code): int(count) for code, count in read_json(folder.file("network_labels.json")).items()}
        described = read_json(folder.file("encoder.json")) if _brings_encoder(config) else None
        model = _build(_without_starts(config), tokenizer, counts, None, described)
        file = folder.file("network.safetensors")
        put_weights(model, _packaged_weights(config, model) | load_tensors(file), file)
        return Network(config, tokenizer, counts, model.eval(), load_segments(folder, list(counts)))


def as_encounter(example: TrainingExample) -> Encounter:
    """The encounter that an example was made of."""
    read = example.stream.encounter
    return Encounter(read.encounter_id, read.notes, example.codes, example.group_id)


def _tokenizer(config: NetworkConfig, encounters: Sequence[Encounter]) -> Tokenizer:
    match config.tokens:
        case WordsConfig() as words:
            return WordTokenizer.fit(
                encounters,
                least_notes=words.least_notes,
                most_words=words.most_words,
                lower=words.lower,
                drop_numbers=words.drop_numbers,
            )
        case SubwordsConfig() as subwords:
            size = subwords.vocabulary_size
            return SubwordTokenizer.fit(
                encounters, algorithm=subwords.algorithm, vocabulary_size=size, lower=subwords.lower
            )
        case PretrainedSubwordsConfig():
            assert isinstance(config.encoder, TransformerConfig)
            name = config.encoder.name
            return replace(SubwordTokenizer.from_pretrained(transformer_source(name)), language_model=name)
        case _:
            assert_never(config.tokens)


def _build(
    config: NetworkConfig,
    tokenizer: Tokenizer,
    counts: Mapping[str, int],
    start: FreshStart | None,
    encoder: Mapping[str, Any] | None = None,
) -> CodingModel:
    vectors: Tensor | None = None
    file = config.tokens.vectors if isinstance(config.tokens, WordsConfig) else None
    if file is not None and isinstance(tokenizer, WordTokenizer):
        vectors = torch.from_numpy(read_word_vectors(file, tokenizer.words).matrix)
    own = not isinstance(config.encoder, TransformerConfig)
    size = tokenizer.vocabulary_size if own else None
    built = build_encoder(config.encoder, vocabulary_size=size, word_vectors=vectors, described=encoder)
    known = known_labels(config.head, built, tokenizer, counts, start, max_tokens=config.trainer.max_tokens)
    return CodingModel(built, build_head(config.head, built.hidden_size, known))


def _without_starts(config: NetworkConfig) -> NetworkConfig:
    """The same shapes without what only fresh weights need; the stored ones take their place."""
    tokens = config.tokens
    if isinstance(tokens, WordsConfig):
        tokens = replace(tokens, vectors=None)
    return replace(config, head=without_starts(config.head), tokens=tokens)


def _in_memory(config: NetworkConfig) -> NetworkConfig:
    """The same network, leaving nothing on the disk."""
    encoder = config.encoder
    return replace(config, encoder=replace(encoder, cache=None)) if isinstance(encoder, TransformerConfig) else config


def _is_frozen(config: NetworkConfig) -> bool:
    return isinstance(config.encoder, TransformerConfig) and config.encoder.frozen


def _wants_means(config: NetworkConfig) -> bool:
    """Whether all that the head asks of a note are the mean of states that no longer change."""
    head, encoder = config.head, config.encoder
    asks_for_means = isinstance(head, DirectConfig) and head.pooling == "mean"
    return asks_for_means and isinstance(encoder, TransformerConfig) and encoder.frozen and encoder.cache is None


def _remembering(config: NetworkConfig, encoder: Encoder) -> RememberedEncoder:
    """A frozen encoder that keeps as much of a note as the head needs, or all of it on disk where the recipe says."""
    if _wants_means(config):
        return RememberedMeans(encoder, repr(config.encoder))
    return remembering(encoder, config.encoder, create=True)


def _brings_encoder(config: NetworkConfig) -> bool:
    """Whether a model folder holds its transformer whole: all do, but for frozen ones that packages hold."""
    return isinstance(config.encoder, TransformerConfig) and not (
        _is_frozen(config) and config.encoder.name in PACKAGED
    )


def _packaged_weights(config: NetworkConfig, model: CodingModel) -> dict[str, Tensor]:
    if not _is_frozen(config) or _brings_encoder(config):
        return {}
    return {name: tensor for name, tensor in weights_of(model).items() if name.startswith("encoder.")}
