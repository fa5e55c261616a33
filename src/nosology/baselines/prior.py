"""Baseline: every note gets the commonest codes, whatever it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nosology.checkpoint import ModelFolder
from nosology.codes.titles import TitleTable
from nosology.config import PriorConfig
from nosology.knowledge.base import Expression
from nosology.knowledge.stream import TokenStream
from nosology.predictor import FitTask, Fitted, Prediction, cross_fitted, load_part, save_part
from nosology.ranking.source import TrainingSet


def count_labels(training: TrainingSet) -> dict[str, int]:
    """Encounters with each code; codes sorted."""
    return dict(sorted(Counter(code for example in training.examples for code in example.code_set).items()))


@dataclass(frozen=True, eq=False, repr=False)
class LabelPrior:
    """Scores of the commonest codes: the share of training encounters with each.

    Args:
        label_counts: training encounters with each code.
        encounters: training encounters in all.
        candidates: codes that a note gets, at most.
    """

    label_counts: Mapping[str, int]
    encounters: int
    candidates: int

    @staticmethod
    def fit(task: FitTask, config: PriorConfig) -> Fitted:
        """Count."""
        return cross_fitted(task, lambda part: LabelPrior(count_labels(part), len(part.examples), config.candidates))

    @property
    def labels(self) -> list[str]:
        return list(self.label_counts)

    @cached_property
    def _commonest(self) -> tuple[list[str], NDArray[np.float64]]:
        codes = sorted(self.label_counts, key=lambda code: (-self.label_counts[code], code))[: self.candidates]
        return codes, np.array([self.label_counts[code] / self.encounters for code in codes], dtype=np.float64)

    def predict(self, stream: TokenStream) -> Prediction:
        return Prediction(*self._commonest, {})

    def mined_expressions(self, titles: TitleTable, language: str) -> Iterator[Expression]:
        return iter(())

    def save(self, folder: Path) -> None:
        counts = np.array(list(self.label_counts.values()), dtype=np.int64)
        sizes = np.array([self.encounters, self.candidates], dtype=np.int64)
        save_part(folder, "prior", {"counts": counts, "sizes": sizes}, {"codes": list(self.label_counts)})

    @staticmethod
    def load(folder: ModelFolder, titles: TitleTable) -> LabelPrior:
        arrays, strings = load_part(folder, "prior")
        counts = dict(zip(strings["codes"], arrays["counts"].astype(np.int64).tolist(), strict=True))
        encounters, candidates = arrays["sizes"].astype(np.int64).tolist()
        return LabelPrior(counts, encounters, candidates)
