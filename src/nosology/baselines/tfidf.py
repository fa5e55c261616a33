"""Baseline: TF-IDF and one logistic regression a code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nosology.baselines.logistic import fit_sparse_logistic
from nosology.baselines.prior import count_labels
from nosology.baselines.vectors import NoteVector, TfidfVectors, mentions_of
from nosology.checkpoint import ModelFolder
from nosology.codes.titles import TitleTable
from nosology.config import TfidfConfig
from nosology.knowledge.base import Expression
from nosology.knowledge.stream import TokenStream
from nosology.predictor import FitTask, Fitted, Prediction, cross_fitted, load_part, save_part
from nosology.ranking.postings import Postings
from nosology.ranking.source import TrainingSet

_SHOWN = 5
"""N-grams that speak for a code, at most."""


@dataclass(frozen=True, eq=False, repr=False)
class LogisticRegressions:
    """One regression a code.

    Args:
        label_counts: training encounters with each code, in the order of the regressions.
        vectors: the vocabulary.
        weights: n-gram by code.
        intercepts: float64 ``[code]``.
        candidates: codes listed a note, at most.
    """

    label_counts: Mapping[str, int]
    vectors: TfidfVectors
    weights: Postings
    intercepts: NDArray[np.float64]
    candidates: int

    @staticmethod
    def fit(task: FitTask, config: TfidfConfig) -> Fitted:
        """Fit, and score encounters held out."""
        TfidfVectors.fit(task.training, config.words, config.least_notes)  # counts n-grams once, for every fold
        return cross_fitted(task, lambda part: _fit(part, config))

    @property
    def labels(self) -> list[str]:
        return list(self.label_counts)

    def predict(self, stream: TokenStream) -> Prediction:
        vector = self.vectors.read(stream)
        owners, columns, weights = self.weights.gather(vector.columns)
        shares = weights * vector.values[owners]
        logits = self.intercepts + np.bincount(columns, weights=shares, minlength=len(self.intercepts))
        best = np.argsort(-logits, kind="stable")[: self.candidates]
        labels, numbers = self.labels, cast(list[int], best.tolist())
        codes = [labels[number] for number in numbers]
        speaking = strongest_shares(vector, owners, columns, shares, dict(zip(numbers, codes, strict=True)))
        return Prediction(codes, 1.0 / (1.0 + np.exp(-logits[best])), mentions_of(stream, vector, speaking))

    def mined_expressions(self, titles: TitleTable, language: str) -> Iterator[Expression]:
        return iter(())

    def save(self, folder: Path) -> None:
        counts = np.array(list(self.label_counts.values()), dtype=np.int64)
        own = {"counts": counts, "intercepts": self.intercepts, "candidates": np.array([self.candidates])}
        save_part(folder, "regressions", {**own, **self.weights.state()}, {"codes": list(self.label_counts)})
        save_part(folder, "vectors", *self.vectors.state())

    @staticmethod
    def load(folder: ModelFolder, titles: TitleTable) -> LogisticRegressions:
        arrays, strings = load_part(folder, "regressions")
        counts = dict(zip(strings["codes"], arrays["counts"].astype(np.int64).tolist(), strict=True))
        return LogisticRegressions(
            counts,
            TfidfVectors.from_state(*load_part(folder, "vectors")),
            Postings.from_state(arrays),
            arrays["intercepts"].astype(np.float64, copy=False),
            int(arrays["candidates"][0]),
        )


def strongest_shares(
    vector: NoteVector,
    owners: NDArray[np.int64],
    columns: NDArray[np.int32],
    shares: NDArray[np.float64],
    wanted: Mapping[int, str],
) -> dict[str, list[tuple[int, float]]]:
    """By code, the n-grams that add most to its score.

    Args:
        vector: the encounter's.
        owners: entry of the vector that each share comes from.
        columns: code number that it goes to.
        shares: what it adds.
        wanted: the codes to tell of, by number.
    """
    asked = np.zeros(int(columns.max(initial=-1)) + 1, dtype=np.bool_)
    asked[[number for number in wanted if number < len(asked)]] = True
    places = np.flatnonzero(asked[columns] & (shares > 0.0))
    order = places[np.lexsort((owners[places], -shares[places], columns[places]))]
    numbers, starts = np.unique(columns[order], return_index=True)
    ends = np.append(starts, len(order))[1:]
    entries, values = vector.columns[owners[order]].tolist(), shares[order].tolist()
    spans = zip(numbers.tolist(), starts.tolist(), ends.tolist(), strict=True)
    return {
        wanted[number]: list(zip(entries[start:end][:_SHOWN], values[start:end][:_SHOWN], strict=True))
        for number, start, end in spans
    }


def _fit(training: TrainingSet, config: TfidfConfig) -> LogisticRegressions:
    vectors, matrix = TfidfVectors.fit(training, config.words, config.least_notes)
    counts = count_labels(training)
    holders = {code: list[int]() for code in counts}
    for row, example in enumerate(training.examples):
        for code in example.code_set:
            holders[code].append(row)
    columns_of = [np.array(rows, dtype=np.int64) for rows in holders.values()]
    weights, intercepts = fit_sparse_logistic(matrix, columns_of, strength=config.strength, kept=config.weights)
    return LogisticRegressions(counts, vectors, Postings.of(cast(Any, weights).tocsr()), intercepts, config.candidates)
