"""A language model with all that it needs to code a note: tokenizer, prompt, labels; how it is fitted and kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from nosology.builders import build_head
from nosology.checkpoint import ModelFolder
from nosology.codes.titles import TitleTable
from nosology.config.architectures import DirectConfig
from nosology.config.llm import FreshBackboneConfig, LlmConfig, PretrainedBackboneConfig
from nosology.config.reading import dataclass_from_mapping, read_toml
from nosology.config.trainer import TrainerConfig
from nosology.config.writing import to_toml
from nosology.encoders.base import EncoderOutput
from nosology.errors import CorpusError, ModelError
from nosology.knowledge.stream import TokenStream
from nosology.knowledge.wordings import Wordings
from nosology.llm.backbone import Backbone
from nosology.llm.held_out import Scores
from nosology.llm.kept_backbone import describe_kept, stored_backbone
from nosology.llm.loading import build_backbone, source_of, tokenizer_of
from nosology.llm.lora import TrainableShare, share_of
from nosology.llm.memory import check_memory
from nosology.llm.model import LanguageCodingModel, LanguageEncoder, Writer
from nosology.llm.parsing import CodeReader
from nosology.llm.prompts import CUT_RULE, Answers, Prompt, answer_room, note_room
from nosology.losses.segmentation import Segmentation
from nosology.neural.attended import ATTENDED, WordsOfTokens, mentions_of
from nosology.neural.kept_segments import load_segments, save_segments
from nosology.neural.known_labels import FreshStart, known_labels, without_starts
from nosology.neural.learning import NetworkLoss
from nosology.neural.network import as_encounter
from nosology.predictor import Progress, read_json, write_json
from nosology.preprocessing.batching import BatchSize, plan_reading
from nosology.preprocessing.subword_tokenizer import SubwordTokenizer
from nosology.preprocessing.tokenization import TokenizedEncounter, TruncationCounts, load_tokenizer, save_tokenizer
from nosology.ranking.source import Mention, TrainingExample
from nosology.training.dry_run import DryRun
from nosology.training.scoring import pad_tokens
from nosology.training.trainer import Trainer, TrainResult
from nosology.training.weights import load_tensors, put_weights, save_tensors, weights_of
from nosology.types import Encounter, Note

_DESCRIPTION_TOKENS = 64


class NoteReading(NamedTuple):
    """What a language model says of one note.

    Args:
        tokens: what it read.
        gen, att: scores ``[label]``; ``None`` where not asked for.
        encoded: the states behind ``att``.
    """

    tokens: TokenizedEncounter
    gen: Scores | None
    att: Scores | None
    encoded: EncoderOutput


@dataclass(frozen=True, eq=False, repr=False)
class LanguageCoder:
    """A language model that codes.

    Args:
        config: what it is made of.
        tokenizer: its own.
        label_counts: training encounters with each code, in the order of its labels.
        model: in evaluation mode.
        note_tokens: the most tokens of a note.
        described: how the model folder names the language model: whole, or by name and fingerprint.
        counts: what was cut off in coding so far.
        segmentation: of its labels, where the loss of label attention weighs by segments.
    """

    config: LlmConfig
    tokenizer: SubwordTokenizer
    label_counts: Mapping[str, int]
    model: LanguageCodingModel
    note_tokens: int
    described: Mapping[str, Any]
    counts: TruncationCounts = field(default_factory=TruncationCounts)
    segmentation: Segmentation | None = None

    @property
    def labels(self) -> list[str]:
        return list(self.label_counts)

    @property
    def share(self) -> TrainableShare:
        """How much of the language model learns."""
        return share_of(self.model.backbone)

    @staticmethod
    def fit(
        train: Sequence[TrainingExample],
        dev: Sequence[TrainingExample],
        config: LlmConfig,
        wordings: Wordings,
        *,
        seed: int,
        folder: Path,
        tell: Progress,
    ) -> tuple[LanguageCoder, TrainResult]:
        """Train a language model to code.

        Args:
            train: coded encounters to learn from.
            dev: coded encounters that choose the epoch.
            config: what it is made of; ``trainer.seed`` is added to ``seed``.
            wordings: of labels.
            seed: of every random choice.
            folder: of the run; a run that was stopped goes on from there.
            tell: told what is being done.

        Raises:
            ConfigError: the language model is not to be had, does not fit the GPU or its window, or has no such layers.
            CorpusError: no code is frequent enough to be learnt.
        """
        tell("loading the language model", 0.0)
        fresh, encounters, loss = LanguageCoder.fresh(train, config, wordings, seed)
        chosen = [as_encounter(example) for example in dev] or None
        trainer, settings = fresh._trainer(loss), fresh._trainer_config(seed)
        result = trainer.fit(fresh.model, encounters, chosen, settings, folder, progress=tell)
        fresh.model.eval()
        return replace(fresh, segmentation=loss.segmentation), result

    @staticmethod
    def dry_run(
        train: Sequence[TrainingExample],
        dev: Sequence[TrainingExample],
        config: LlmConfig,
        wordings: Wordings,
        *,
        seed: int,
    ) -> tuple[DryRun, TrainableShare]:
        """What ``fit`` would take, and how much of the language model learns. Raises as ``fit``."""
        fresh, encounters, loss = LanguageCoder.fresh(train, config, wordings, seed)
        read = [as_encounter(example) for example in dev] or None
        trainer = fresh._trainer(loss)
        found = trainer.dry_run(fresh.model, encounters, read, fresh._trainer_config(seed))
        return found, fresh.share

    @staticmethod
    def fresh(
        train: Sequence[TrainingExample], config: LlmConfig, wordings: Wordings, seed: int
    ) -> tuple[LanguageCoder, list[Encounter], NetworkLoss]:
        """A language model that has learnt nothing of coding, what it is to learn from, and by which loss."""
        counts = Counter(code for example in train for code in example.code_set)
        kept = {code: count for code, count in sorted(counts.items()) if count >= config.least_notes}
        if not kept:
            raise CorpusError(f"no code is carried by {config.least_notes} training encounters; lower least_notes")
        encounters = [as_encounter(example) for example in train]
        tokenizer = _tokenizer(config, encounters)
        _check_gpu(config)
        loss = NetworkLoss.of(config.loss, list(kept), encounters, wordings.titles)
        torch.manual_seed(seed)
        backbone = build_backbone(config.backbone, config.tuning, tokenizer)
        described = describe_kept(config, backbone)
        answers = _answers(config, tokenizer, kept, wordings.titles, backbone.end)
        places = {code: number for number, code in enumerate(kept)}
        targets = ([places[code] for code in example.code_set if code in places] for example in train)
        longest = max(len(answers.target(labels)) for labels in targets)
        most = answer_room(longest, config.answer_tokens)
        start = FreshStart(wordings, loss.function, len(encounters))
        coder = _assemble(config, tokenizer, kept, wordings.titles, start, backbone, answers, most, described)
        return coder, encounters, loss

    def _trainer(self, loss: NetworkLoss) -> Trainer:
        config = self.config
        about = f"{config.task}, format {config.format}, {config.order} first, {config.window} tokens"
        return Trainer(self.tokenizer, self.labels, loss.function, about=about)

    def _trainer_config(self, seed: int) -> TrainerConfig:
        own = self.config.trainer
        return replace(own, seed=own.seed + seed, max_tokens=self.note_tokens)

    # --- reading ---

    def read(self, stream: TokenStream, *, gen: bool, att: bool) -> NoteReading | None:
        """What the model says of an encounter; ``None`` for one without a token."""
        tokens = self.tokenizer.encode(_encounter_of(stream), self.note_tokens)
        self.counts.add(tokens)
        return next(iter(self._read([tokens], gen=gen, att=att))) if len(tokens) else None

    def read_many(self, examples: Sequence[TrainingExample], tell: Progress) -> tuple[Scores | None, Scores | None]:
        """Both readings of some encounters, ``[encounter, label]``; zeros for one without a token."""
        config = self.config
        encounters = (as_encounter(example) for example in examples)
        tokens = list(self.tokenizer.encode_many(encounters, self.note_tokens))
        gen, att = (
            np.zeros((len(tokens), len(self.label_counts)), dtype=np.float32) if wanted else None
            for wanted in (config.generates, config.attends)
        )
        size = BatchSize(config.trainer.tokens_per_batch, config.trainer.encounters_per_batch)
        batches = plan_reading(np.array([len(one) for one in tokens], dtype=np.int64), size)
        for number, rows in enumerate(batches):
            tell("reading held-out notes", number / len(batches))
            chosen = [tokens[row] for row in rows.tolist()]
            found = self._read(chosen, gen=gen is not None, att=att is not None)
            for row, reading in zip(rows.tolist(), found, strict=True):
                for table, scores in ((gen, reading.gen), (att, reading.att)):
                    if table is not None and scores is not None:
                        table[row] = scores
        return gen, att

    def _read(self, tokens: Sequence[TokenizedEncounter], *, gen: bool, att: bool) -> list[NoteReading]:
        device = next(self.model.parameters()).device
        batch = pad_tokens(tokens, self.tokenizer.pad_id, device)
        found = self.model.eval().reading(batch, gen=gen, att=att)
        tables = [None if scores is None else scores.cpu().numpy() for scores in (found.gen, found.att)]
        rows = [[None if table is None else table[row] for table in tables] for row in range(len(tokens))]
        hidden, mask = found.encoded.hidden, found.encoded.mask
        states = [EncoderOutput(hidden[row : row + 1], mask[row : row + 1]) for row in range(len(tokens))]
        return [NoteReading(one, row[0], row[1], state) for one, row, state in zip(tokens, rows, states, strict=True)]

    def mentions(
        self, stream: TokenStream, reading: NoteReading, scores: Mapping[int, float]
    ) -> dict[str, list[Mention]]:
        """The words that the attention of each label rests on; none without a head that has attention.

        Args:
            stream: the encounter.
            reading: what ``read`` said of it.
            scores: of the labels to look at, by their numbers.
        """
        head = self.model.head
        if head is None or not scores or isinstance(self.config.head, DirectConfig):
            return {}
        numbers, states = list(scores), reading.encoded
        wanted = torch.tensor(numbers, device=states.mask.device)
        with torch.no_grad():
            weights, places = head.attend(states.hidden, states.mask, wanted, min(ATTENDED, len(reading.tokens)))
        labels, words = self.labels, WordsOfTokens(stream, reading.tokens)
        found = dict[str, list[Mention]]()
        for row, number in enumerate(numbers):
            pairs = zip(places[0, row].tolist(), weights[0, row].tolist(), strict=True)
            told = mentions_of(stream, words, [pair for pair in pairs if pair[0] >= 0], scores[number])
            if told:
                found[labels[number]] = told
        return found

    # --- files ---

    def save(self, folder: Path) -> None:
        """Write it into a model folder that is being built; adapters without the weights that they stand beside, but
        where the recipe wants these, too."""
        (folder / "llm.toml").write_text(to_toml(self.config), encoding="utf-8")
        sizes = {"note_tokens": self.note_tokens, "answer_tokens": self.model.writer.most_tokens}
        write_json(folder / "llm.json", {"labels": dict(self.label_counts), "backbone": dict(self.described), **sizes})
        save_tokenizer(self.tokenizer, folder / "tokenizer.json")
        save_tensors(weights_of(self.model), folder / "llm.safetensors")
        save_segments(folder, self.segmentation)

    @staticmethod
    def load(folder: ModelFolder, titles: TitleTable) -> LanguageCoder:
        """Read what ``save`` wrote; on a GPU where there is one.

        Raises:
            ConfigError: the language model beside the adapters is not to be had.
            ModelError: the files are damaged or do not fit together.
        """
        file = folder.file("llm.toml")
        config = dataclass_from_mapping(LlmConfig, read_toml(file), str(file))
        tokenizer = cast(SubwordTokenizer, load_tokenizer(folder.file("tokenizer.json")))
        kept = read_json(folder.file("llm.json"))
        counts = {str(code): int(count) for code, count in kept["labels"].items()}
        backbone = stored_backbone(config, kept["backbone"], folder)
        answers = _answers(config, tokenizer, counts, titles, backbone.end)
        most, described = int(kept["answer_tokens"]), kept["backbone"]
        coder = _assemble(config, tokenizer, counts, titles, None, backbone, answers, most, described)
        if coder.note_tokens != int(kept["note_tokens"]):
            raise ModelError("its titles or tokenizer are not those of its training; train it again", path=folder.path)
        file = folder.file("llm.safetensors")
        put_weights(coder.model, load_tensors(file), file)
        on_gpu = config.trainer.device == "auto" and torch.cuda.is_available()
        coder.model.to("cuda" if on_gpu else "cpu").eval()
        return replace(coder, segmentation=load_segments(folder, coder.labels))


def _assemble(
    config: LlmConfig,
    tokenizer: SubwordTokenizer,
    counts: Mapping[str, int],
    titles: TitleTable,
    start: FreshStart | None,
    backbone: Backbone,
    answers: Answers,
    most_tokens: int,
    described: Mapping[str, Any],
) -> LanguageCoder:
    """Everything in its place, but weights that are read from a file."""
    labels = list(counts)
    prompt = Prompt.of(tokenizer, config.format, labels, titles, backbone.prompt_end)
    answer = 0 if backbone.is_encoder_decoder or not config.generates else most_tokens
    room = min(note_room(config.window, prompt, answer), config.trainer.max_tokens)
    writer = Writer(answers, config.decoding, most_tokens, tokenizer.text_of, CodeReader(labels))
    head = _head(config, backbone, prompt, tokenizer, counts, start) if config.attends else None
    model = LanguageCodingModel(
        backbone,
        head,
        prompt,
        writer,
        len(labels),
        generates=config.generates,
        validates_by=config.validates_by,
        keeps_frozen="name" not in described,
    )
    return LanguageCoder(config, tokenizer, counts, model, room, described)


def _head(
    config: LlmConfig,
    backbone: Backbone,
    prompt: Prompt,
    tokenizer: SubwordTokenizer,
    counts: Mapping[str, int],
    start: FreshStart | None,
) -> Any:
    head = config.head if start else without_starts(config.head)
    encoder = LanguageEncoder(backbone, prompt)
    known = known_labels(head, encoder, tokenizer, counts, start, max_tokens=_DESCRIPTION_TOKENS)
    return build_head(head, encoder.hidden_size, known)


def _answers(
    config: LlmConfig, tokenizer: SubwordTokenizer, counts: Mapping[str, int], titles: TitleTable, end: int
) -> Answers:
    return Answers.of(tokenizer, config.format, counts, titles, config.order, end)


def _tokenizer(config: LlmConfig, encounters: Sequence[Encounter]) -> SubwordTokenizer:
    backbone = config.backbone
    if isinstance(backbone, PretrainedBackboneConfig):
        return tokenizer_of(backbone.name)
    read = chain(encounters, map(_as_answer, encounters))
    return SubwordTokenizer.fit(read, algorithm="byte_bpe", vocabulary_size=backbone.vocabulary_size, lower=False)


def _as_answer(encounter: Encounter) -> Encounter:
    """What is to be written of an encounter: a code that notes do not name would be spelt digit by digit."""
    return Encounter(encounter.encounter_id, (Note("answer", "; ".join(sorted(encounter.code_set))),))


def _check_gpu(config: LlmConfig) -> None:
    """Refuse what cannot fit before it is loaded."""
    backbone = config.backbone
    if isinstance(backbone, FreshBackboneConfig) or config.trainer.device == "cpu" or not torch.cuda.is_available():
        return
    from transformers import AutoConfig

    try:
        known: Any = AutoConfig.from_pretrained(source_of(backbone.name), trust_remote_code=False)
    except (OSError, ValueError, KeyError):
        return  # loading says what is wrong with the name
    check_memory(known, config.tuning, torch.cuda.mem_get_info()[0])


def _encounter_of(stream: TokenStream) -> Encounter:
    return Encounter(stream.encounter_id, stream.encounter.notes)


def told_cut(counts: TruncationCounts, window: int) -> str | None:
    """One line for people if notes were cut; none otherwise."""
    if not counts.truncated:
        return None
    whole = counts.tokens + counts.dropped
    return (
        f"{counts.truncated:,} of {counts.encounters:,} notes do not fit the window of {window:,} tokens: {CUT_RULE} "
        f"({counts.dropped / whole:.1%} of all tokens)"
    )
