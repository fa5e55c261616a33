"""Both readings of encounters that were held out: what chooses between generation and label attention.

    Y = lambda Y_gen + (1 - lambda) Y_att

lambda is 0 or 1, as in the paper, or the best of a grid on [0, 1]; "best" is micro-F1 at the threshold that is best for
that lambda.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nosology.calibration import best_threshold
from nosology.checkpoint import ModelFolder, load_arrays, save_arrays
from nosology.config.llm import Reading
from nosology.errors import ConfigError
from nosology.predictor import HeldOut

Scores = NDArray[np.float32]
_GRID = tuple(step / 20 for step in range(21))
_FILE = "held_out.npz"
_OTHERS = ""
"""Stands for all codes that the label list lacks."""


def mixed(gen: Scores | None, att: Scores | None, weight: float) -> Scores:
    """Y of eq. 5; a reading of weight 0 need not be there.

    Args:
        gen, att: scores of any shape.
        weight: lambda.
    """
    parts = [share * scores for share, scores in ((weight, gen), (1.0 - weight, att)) if share and scores is not None]
    return sum(parts[1:], parts[0]).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class HeldReadings:
    """What a model says of encounters that were held out, and what people said.

    Args:
        gen, att: scores ``[encounter, label]``; ``None`` where the model has no such reading.
        gold: true where an encounter carries the label; bool ``[encounter, label]``.
        gold_count: gold codes of these encounters, of the label list or not.
        candidates: codes that are listed an encounter, at most.
    """

    gen: Scores | None
    att: Scores | None
    gold: NDArray[np.bool_]
    gold_count: int
    candidates: int

    @staticmethod
    def of(
        gen: Scores | None,
        att: Scores | None,
        code_sets: Sequence[frozenset[str]],
        labels: Sequence[str],
        candidates: int,
    ) -> HeldReadings:
        """Gather them."""
        gold = np.array([[label in codes for label in labels] for codes in code_sets], dtype=np.bool_)
        return HeldReadings(
            gen, att, gold.reshape(len(code_sets), len(labels)), sum(len(codes) for codes in code_sets), candidates
        )

    def weight(self, reading: Reading, mixing: Literal["binary", "continuous"]) -> float:
        """lambda.

        Raises:
            ConfigError: the model has no such reading.
        """
        if reading == "gen" or (reading == "auto" and self.att is None):
            return self._checked(1.0, self.gen, "gen")
        if reading == "att" or self.gen is None:
            return self._checked(0.0, self.att, "att")
        grid = (0.0, 1.0) if mixing == "binary" else _GRID
        return max(grid, key=self.f1)

    @staticmethod
    def _checked(weight: float, scores: Scores | None, name: str) -> float:
        if scores is None:
            raise ConfigError(f'this model was not trained to be read as "{name}"; train it with task = "cmp"')
        return weight

    def f1(self, weight: float) -> float:
        """Micro-F1 at the threshold that is best for a lambda."""
        _, scores, right = self._listed(weight)
        assigned = scores >= best_threshold(scores, right, self.gold_count)
        hits = int((assigned & right).sum())
        return 2 * hits / max(1, int(assigned.sum()) + self.gold_count)

    def out(self, weight: float, labels: Sequence[str]) -> HeldOut:
        """The candidates of these encounters at a lambda, as calibration reads them.

        Args:
            weight: lambda.
            labels: the label of each column.
        """
        columns, scores, right = self._listed(weight)
        gold = dict(zip(labels, self.gold.sum(0).tolist(), strict=True))
        gold[_OTHERS] = self.gold_count - int(self.gold.sum())
        numbers: list[int] = columns.tolist()
        codes = [labels[number] for number in numbers]
        return HeldOut(codes, scores, right, np.ones(len(codes), dtype=np.bool_), gold)

    def _listed(self, weight: float) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
        """Column, score and outcome of every candidate at a lambda."""
        scores = mixed(self.gen, self.att, weight)
        rows, columns = top_candidates(scores, self.candidates)
        return columns, scores[rows, columns].astype(np.float64), self.gold[rows, columns]

    def save(self, folder: Path) -> None:
        """Write them into a model folder that is being built."""
        arrays = {name: scores for name, scores in (("gen", self.gen), ("att", self.att)) if scores is not None}
        counts = np.array([self.gold_count, self.candidates], dtype=np.int64)
        save_arrays(folder / _FILE, {**arrays, "gold": self.gold, "counts": counts})

    @staticmethod
    def load(folder: ModelFolder) -> HeldReadings:
        """Read what ``save`` wrote."""
        arrays = load_arrays(folder.file(_FILE))
        gold_count, candidates = arrays["counts"].tolist()
        return HeldReadings(arrays.get("gen"), arrays.get("att"), arrays["gold"], gold_count, candidates)


def top_candidates(scores: Scores, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of each row's highest scores above 0, best first; equal ones by their column."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    rows = np.repeat(np.arange(len(scores)), order.shape[1])
    columns = order.reshape(-1)
    kept = scores[rows, columns] > 0.0
    return rows[kept], columns[kept]
