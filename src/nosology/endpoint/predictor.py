"""A language model behind a server as a coder among the other methods.

    note -> candidates of the knowledge base -> choice, with quotes -> verification -> scores, evidence

The score of a candidate with retrieval score r, of belief v after verification (``passes.read_verdicts``):

    s = b + 0.95 v q    where it was chosen and v is 1/2 or more; q = 1 if its quote stands in the note, else 1/2
    s = b               where it was not chosen; b = 0.05 r / (1 + r)
    s = b v             where it was chosen and then refuted: less than if nobody had thought of it

These are scores: probabilities come from calibration on training encounters held out, as for every method.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nosology.baselines.prior import count_labels
from nosology.checkpoint import ModelFolder
from nosology.codes.titles import TitleTable
from nosology.config.endpoint import EndpointModelConfig
from nosology.endpoint.client import ChatClient
from nosology.endpoint.failures import EndpointError, RequestFailedError
from nosology.endpoint.passes import (
    CHOICE,
    VERIFICATION,
    Shot,
    ask_to_choose,
    ask_to_verify,
    choice_schema,
    read_choice,
    read_verdicts,
    verification_schema,
)
from nosology.endpoint.quotes import find_quote
from nosology.endpoint.shots import ShotPool, text_of
from nosology.errors import ConfigError
from nosology.knowledge.base import Expression, KnowledgeBase
from nosology.knowledge.stream import TokenStream
from nosology.predictor import FitTask, Fitted, HeldOut, Prediction, load_part, read_json, save_part, write_json
from nosology.ranking.retrieval import RetrievalOptions, RetrievalSource
from nosology.ranking.source import Mention, TrainingExample, TrainingSet

_RETRIEVED = 0.05
_QUOTE_LOST = 0.5
_REFUTED_BELOW = 0.5
_SHOWN_FAILURES = 5
_FILE = "endpoint"


@dataclass(slots=True)
class Tally:
    """What happened to the notes that a predictor has read.

    Args:
        notes: read.
        cut: longer than is sent.
        failed: reason by encounter id.
        in_a_row: failures since the last success.
    """

    notes: int = 0
    cut: int = 0
    failed: dict[str, str] = field(default_factory=dict[str, str])
    in_a_row: int = 0

    def describe(self, characters: int) -> list[str]:
        """Lines for people; none where nothing happened."""
        lines = list[str]()
        if self.failed:
            shown = [f"{name} ({reason})" for name, reason in list(self.failed.items())[:_SHOWN_FAILURES]]
            more = f", and {len(self.failed) - len(shown)} more" if len(self.failed) > len(shown) else ""
            lines.append(
                f"{len(self.failed)} of {self.notes} notes failed at the endpoint and have no codes: "
                f"{', '.join(shown)}{more}; what was answered is kept: run again to ask for them alone"
            )
        if self.cut:
            lines.append(
                f"{self.cut} of {self.notes} notes were longer than note_characters = {characters}: "
                "the end was cut off, never the candidates"
            )
        return lines


@dataclass(frozen=True, eq=False, repr=False)
class EndpointPredictor:
    """Scores candidates of the knowledge base by asking a server.

    Args:
        config: what is asked, and where.
        label_counts: training encounters with each code.
        retrieval: finds candidates.
        titles: of candidates.
        pool: few-shot examples; ``None``: zero-shot.
        remarks: what a person should know of the training, a line each.
        tally: of the notes read since.
    """

    config: EndpointModelConfig
    label_counts: Mapping[str, int]
    retrieval: RetrievalSource
    titles: TitleTable
    pool: ShotPool | None
    remarks: tuple[str, ...] = ()
    tally: Tally = field(default_factory=Tally)

    @cached_property
    def client(self) -> ChatClient:
        """Made when the first note is read: a model opens without its server."""
        return ChatClient(self.config.endpoint)

    @property
    def labels(self) -> Sequence[str]:
        return sorted({*self.retrieval.labels, *self.label_counts})

    @property
    def cut_remark(self) -> str | None:
        """Failed and cut notes, requests and tokens, in one line; none if nothing was asked."""
        told = self._told()
        return "; ".join(told) if told else None

    def predict(self, stream: TokenStream) -> Prediction:
        """Candidates and scores; none where the server failed on this note, which is told and kept by ``tally``.

        Raises:
            EndpointError: the server cannot be used, or note after note fails.
        """
        self.tally.notes += 1
        try:
            prediction = self._ask(stream)
        except RequestFailedError as error:
            self._mark(stream.encounter_id, error)
            return Prediction([], np.zeros(0), {}, error.reason)
        self.tally.in_a_row = 0
        return prediction

    def mined_expressions(self, titles: TitleTable, language: str) -> Iterator[Expression]:
        return iter(())

    @staticmethod
    def fit(task: FitTask, config: EndpointModelConfig, knowledge: KnowledgeBase, titles: TitleTable) -> Fitted:
        """Prepare retrieval and examples; ask about some training encounters for calibration.

        Args:
            task: what to learn from. Of its first fold, ``calibration_encounters`` drawn by the seed are held out.
            config: what is asked, and where.
            knowledge: titles and terms.
            titles: of the same codes.

        Raises:
            ConfigError: no code has a title or term.
            EndpointError: the server cannot be used, or failed on every encounter.
        """
        train, held = _parted(task, config.calibration_encounters)
        asker = _prepare(task.training.part(train), config, knowledge, titles)
        held_out = asker.score(task.training.part(held).examples, task)
        task.tell("preparing candidates", -1.0)
        kept = _prepare(task.training, config, knowledge, titles, tuple(asker._told()))
        return Fitted(kept, held_out, knowledge)

    def score(self, examples: Sequence[TrainingExample], task: FitTask) -> HeldOut:
        """What it says of encounters that it has not seen; those that fail are left out.

        Raises:
            EndpointError: all of them failed.
        """
        read = list[tuple[Sequence[str], NDArray[np.float64], frozenset[str]]]()
        for number, example in enumerate(examples):
            task.tell("asking the endpoint", number / len(examples))
            found = self.predict(example.stream)
            if not found.failed:
                read.append((found.codes, found.scores, example.code_set))
        if len(self.tally.failed) == len(examples):
            raise EndpointError(f"the endpoint failed on all notes: {next(iter(self.tally.failed.values()))}")
        return HeldOut.of(read, self.label_counts)

    def save(self, folder: Path) -> None:
        save_part(folder, "retrieval", *self.retrieval.state())
        write_json(folder / f"{_FILE}.json", {"counts": self.label_counts, "remarks": list(self.remarks)})
        if self.pool is not None:
            self.pool.save(folder)

    @staticmethod
    def load(folder: ModelFolder, config: EndpointModelConfig, titles: TitleTable) -> EndpointPredictor:
        kept = read_json(folder.file(f"{_FILE}.json"))
        counts = {str(code): int(count) for code, count in kept["counts"].items()}
        retrieval = RetrievalSource.from_state(*load_part(folder, "retrieval"))
        pool = ShotPool.load(folder) if config.shots else None
        return EndpointPredictor(config, counts, retrieval, titles, pool, tuple(map(str, kept["remarks"])))

    def _ask(self, stream: TokenStream) -> Prediction:
        shots = [] if self.pool is None else self.pool.nearest(stream, self.config.shots)
        retrieved = self._candidates(stream, shots)
        if not retrieved:
            return Prediction([], np.zeros(0), {})
        codes, text = list(retrieved), self._text(stream)
        asked = ask_to_choose(codes, text, self.titles, shots)
        chosen = self.client.ask(asked, CHOICE, choice_schema(codes), read_choice(codes))
        beliefs = self._verify(chosen, text)
        places = {code: find_quote(stream, quote) for code, quote in chosen.items()}
        scores = [score_of(retrieved[code], beliefs.get(code), bool(places.get(code))) for code in codes]
        return Prediction(codes, np.array(scores, dtype=np.float64), _mentions(stream, places, beliefs))

    def _candidates(self, stream: TokenStream, shots: Sequence[Shot]) -> dict[str, float]:
        """Codes with their retrieval scores, the best first; those of the examples, too."""
        found = self.retrieval.candidates(stream)
        column = self.retrieval.feature_names.index("retrieval_score")
        retrieved = dict(zip(found.codes, found.features[:, column].tolist(), strict=True))
        for shot in reversed(shots):
            for code, _ in shot.codes:
                retrieved.setdefault(code, 0.0)
        return retrieved

    def _verify(self, chosen: Mapping[str, str], text: str) -> dict[str, float]:
        if not chosen:
            return {}
        asked = ask_to_verify(chosen, text, self.titles)
        codes = list(chosen)
        return self.client.ask(asked, VERIFICATION, verification_schema(codes), read_verdicts(codes))

    def _text(self, stream: TokenStream) -> str:
        text = text_of(stream)
        self.tally.cut += len(text) > self.config.note_characters
        return text[: self.config.note_characters]

    def _mark(self, encounter_id: str, error: RequestFailedError) -> None:
        self.tally.failed[encounter_id] = error.reason
        self.tally.in_a_row += 1
        if self.tally.in_a_row >= self.config.endpoint.failures_in_a_row:
            raise EndpointError(
                f"the endpoint failed on {self.tally.in_a_row} notes in a row, the last time with {error.reason}; "
                "check the server and run again: what was answered is kept"
            ) from None

    def _told(self) -> list[str]:
        if not self.tally.notes:
            return []
        return [*self.tally.describe(self.config.note_characters), self.client.usage.describe(self.config.endpoint)]


def score_of(retrieved: float, belief: float | None, quoted: bool) -> float:
    """The score of a candidate, in [0, 1]; see this module's beginning.

    Args:
        retrieved: its retrieval score, at least 0.
        belief: after verification; ``None`` if it was not chosen.
        quoted: its quote stands in the note.
    """
    base = _RETRIEVED * retrieved / (1.0 + retrieved)
    if belief is None:
        return base
    if belief < _REFUTED_BELOW:
        return base * belief
    return base + (1.0 - _RETRIEVED) * belief * (1.0 if quoted else _QUOTE_LOST)


def _mentions(
    stream: TokenStream, places: Mapping[str, Sequence[tuple[int, ...]]], beliefs: Mapping[str, float]
) -> dict[str, list[Mention]]:
    return {
        code: [Mention(words, max(beliefs[code], 1e-3), stream.surface(words[0], words[-1])) for words in found]
        for code, found in places.items()
        if found
    }


def _prepare(
    training: TrainingSet,
    config: EndpointModelConfig,
    knowledge: KnowledgeBase,
    titles: TitleTable,
    remarks: tuple[str, ...] = (),
) -> EndpointPredictor:
    options = RetrievalOptions(unseen=config.unseen, seen=config.seen)
    retrieval = RetrievalSource.fit(training, knowledge, options)
    if retrieval is None:
        raise ConfigError(
            "the endpoint chooses among codes with titles or terms, and no label has any; "
            "name tables or term lists in [knowledge]"
        )
    pool = ShotPool.fit(training, config.shot_characters) if config.shots else None
    return EndpointPredictor(config, count_labels(training), retrieval, titles, pool, remarks)


def _parted(task: FitTask, most: int) -> tuple[list[int], list[int]]:
    """Numbers of the encounters outside the first fold, and of those of the first fold that are asked about."""
    first = int(task.folds.min())
    held = np.flatnonzero(task.folds == first)
    if len(held) > most:
        held = np.sort(np.random.default_rng(task.seed).choice(held, most, replace=False))
    return np.flatnonzero(task.folds != first).tolist(), held.tolist()
