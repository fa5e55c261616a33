"""A language model as a coder among the other methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nosology.checkpoint import ModelFolder
from nosology.codes.titles import TitleTable
from nosology.config.llm import LlmConfig, LoraConfig, Reading
from nosology.knowledge.base import Expression, KnowledgeBase
from nosology.knowledge.stream import TokenStream
from nosology.knowledge.wordings import Wordings
from nosology.llm.held_out import HeldReadings, mixed, top_candidates
from nosology.llm.language_coder import LanguageCoder, told_cut
from nosology.neural.predictor import parted
from nosology.predictor import FitTask, Fitted, HeldOut, Prediction, read_json, write_json

_WORTH_A_REASON = 0.02
"""Codes of a lower score come without the words that attention rests on."""
_WEIGHT_FILE = "reading.json"


@dataclass(frozen=True, eq=False, repr=False)
class LlmPredictor:
    """Scores the codes that a language model has learnt; it can give no other.

    Args:
        coder: fitted.
        weight: lambda, of generation; that of label attention is the rest.
        held: both readings of the encounters that were held out.
        remarks: what a person should know of the training, a line each.
    """

    coder: LanguageCoder
    weight: float
    held: HeldReadings
    remarks: tuple[str, ...] = ()

    @property
    def label_counts(self) -> Mapping[str, int]:
        return self.coder.label_counts

    @property
    def labels(self) -> Sequence[str]:
        return self.coder.labels

    @property
    def cut_remark(self) -> str | None:
        """What was cut off while coding, in one line; none if nothing was."""
        return told_cut(self.coder.counts, self.coder.config.window)

    def predict(self, stream: TokenStream) -> Prediction:
        reading = self.coder.read(stream, gen=self.weight > 0.0, att=self.weight < 1.0)
        if reading is None:
            return Prediction([], np.zeros(0), {})
        scores = mixed(reading.gen, reading.att, self.weight)
        _, columns = top_candidates(scores[None], self.coder.config.candidates)
        numbers: list[int] = columns.tolist()
        labels, found = self.labels, scores[columns].astype(np.float64)
        worth = {n: s for n, s in zip(numbers, found.tolist(), strict=True) if s >= _WORTH_A_REASON}
        codes = [labels[number] for number in numbers]
        return Prediction(codes, found, self.coder.mentions(stream, reading, worth))

    def mined_expressions(self, titles: TitleTable, language: str) -> Iterator[Expression]:
        return iter(())

    @staticmethod
    def fit(task: FitTask, config: LlmConfig, wordings: Wordings) -> Fitted:
        """Train on all folds but the first, which chooses the epoch and lambda and gives the scores for calibration.

        Args:
            task: what to learn from; its ``work`` folder keeps the run, so that a stopped one goes on. A fit that
                differs in ``reading`` or ``mixing`` alone finds the trained model there.
            config: what the language model is made of.
            wordings: of labels.
        """
        train, held = parted(task)
        with task.workplace() as work:
            coder, result = LanguageCoder.fit(
                train, held, config, wordings, seed=task.seed, folder=work / "llm", tell=task.tell
            )
        gen, att = coder.read_many(held, task.tell)
        readings = HeldReadings.of(gen, att, [example.code_set for example in held], coder.labels, config.candidates)
        weight = readings.weight(config.reading, config.mixing)
        told = [told_cut(result.train_counts, config.window), _told_share(coder), _told_weight(readings, weight)]
        predictor = LlmPredictor(coder, weight, readings, tuple(line for line in told if line))
        return Fitted(predictor, readings.out(weight, coder.labels), KnowledgeBase())

    @staticmethod
    def dry_run(task: FitTask, config: LlmConfig, wordings: Wordings) -> str:
        """What ``fit`` would take, in a few lines."""
        found, share = LanguageCoder.dry_run(*parted(task), config, wordings, seed=task.seed)
        return f"{found.describe()}\nlanguage model: {share.describe()}"

    def read_as(self, reading: Reading) -> tuple[LlmPredictor, HeldOut]:
        """The same model, read otherwise, with its scores of the encounters held out; nothing is trained.

        Raises:
            ConfigError: it was not trained to be read so.
        """
        own = self.coder.config
        config = replace(own, reading=reading, mixing=own.mixing if reading == "auto" else "binary")
        weight = self.held.weight(reading, config.mixing)
        coder = replace(self.coder, config=config)
        return replace(self, coder=coder, weight=weight), self.held.out(weight, self.labels)

    def save(self, folder: Path) -> None:
        self.coder.save(folder)
        self.held.save(folder)
        write_json(folder / _WEIGHT_FILE, {"weight_of_generation": self.weight, "remarks": list(self.remarks)})

    @staticmethod
    def load(folder: ModelFolder, titles: TitleTable) -> LlmPredictor:
        kept = read_json(folder.file(_WEIGHT_FILE))
        weight, remarks = float(kept["weight_of_generation"]), tuple(map(str, kept["remarks"]))
        return LlmPredictor(LanguageCoder.load(folder, titles), weight, HeldReadings.load(folder), remarks)


def _told_share(coder: LanguageCoder) -> str | None:
    return f"adapters: {coder.share.describe()}" if isinstance(coder.config.tuning, LoraConfig) else None


def _told_weight(readings: HeldReadings, weight: float) -> str | None:
    """Which reading was chosen, where there are two."""
    if readings.gen is None or readings.att is None:
        return None
    return (
        f"reads by lambda = {weight:g}; held-out micro-F1: generation {readings.f1(1.0):.3f}, label attention "
        f"{readings.f1(0.0):.3f}"
    )
