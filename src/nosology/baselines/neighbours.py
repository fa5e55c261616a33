"""Baseline: the codes of the most similar training encounters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nosology.baselines.prior import count_labels
from nosology.baselines.tfidf import strongest_shares
from nosology.baselines.vectors import TfidfVectors, mentions_of
from nosology.checkpoint import ModelFolder
from nosology.codes.titles import TitleTable
from nosology.config import NeighboursConfig
from nosology.knowledge.base import Expression
from nosology.knowledge.stream import TokenStream
from nosology.predictor import FitTask, Fitted, Prediction, cross_fitted, load_part, save_part
from nosology.ranking.postings import Postings
from nosology.ranking.source import Arrays, TrainingSet


@dataclass(frozen=True, eq=False, repr=False)
class NearestNeighbours:
    """Votes of the encounters with the highest cosine: a code's score is its share of their summed cosines.

    Args:
        label_counts: training encounters with each code.
        vectors: the vocabulary.
        notes: n-gram by training encounter.
        codes_of: training encounter by code.
        neighbours: encounters that vote.
        candidates: codes listed a note, at most.
    """

    label_counts: Mapping[str, int]
    vectors: TfidfVectors
    notes: Postings
    codes_of: Postings
    neighbours: int
    candidates: int

    @staticmethod
    def fit(task: FitTask, config: NeighboursConfig) -> Fitted:
        """Fit, and score encounters held out."""
        TfidfVectors.fit(task.training, config.words, config.least_notes)  # counts n-grams once, for every fold
        return cross_fitted(task, lambda part: _fit(part, config))

    @property
    def labels(self) -> list[str]:
        return list(self.label_counts)

    def predict(self, stream: TokenStream) -> Prediction:
        vector = self.vectors.read(stream)
        owners, others, values = self.notes.gather(vector.columns)
        shared = values * vector.values[owners]
        cosines = np.bincount(others, weights=shared, minlength=self.notes.width)
        nearest = np.argsort(-cosines, kind="stable")[: self.neighbours]
        nearest = nearest[cosines[nearest] > 0.0]
        votes = cosines[nearest] / (float(cosines[nearest].sum()) or 1.0)
        scores = self.codes_of.combine(nearest, votes)
        best = np.argsort(-scores, kind="stable")[: self.candidates]
        best = best[scores[best] > 0.0]
        labels, numbers = self.labels, cast(list[int], best.tolist())
        codes = [labels[number] for number in numbers]
        wanted = dict(zip(numbers, codes, strict=True))
        speaking = strongest_shares(vector, *self._shares(owners, others, shared, nearest, votes), wanted)
        return Prediction(codes, scores[best], mentions_of(stream, vector, speaking))

    def _shares(
        self,
        owners: NDArray[np.int64],
        others: NDArray[np.int32],
        shared: NDArray[np.float64],
        nearest: NDArray[np.int64],
        votes: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
        """What each n-gram adds to each code: its part of the cosines with the voters that carry the code."""
        vote_of = np.zeros(self.notes.width)
        vote_of[nearest] = votes
        voting = np.flatnonzero(vote_of[others] > 0.0)
        places, codes, _ = self.codes_of.gather(others[voting].astype(np.int64))
        pairs = owners[voting][places] * self.codes_of.width + codes
        distinct, where = np.unique(pairs, return_inverse=True)
        added = (shared * vote_of[others])[voting][places]
        shares = np.bincount(where, weights=added, minlength=len(distinct)).astype(np.float64, copy=False)
        return distinct // self.codes_of.width, (distinct % self.codes_of.width).astype(np.int32), shares

    def mined_expressions(self, titles: TitleTable, language: str) -> Iterator[Expression]:
        return iter(())

    def save(self, folder: Path) -> None:
        sizes = np.array([self.neighbours, self.candidates], dtype=np.int64)
        counts = np.array(list(self.label_counts.values()), dtype=np.int64)
        parts = {"notes": self.notes, "codes": self.codes_of}
        postings = {f"{name}.{key}": array for name, part in parts.items() for key, array in part.state().items()}
        strings = {"codes": list(self.label_counts)}
        save_part(folder, "neighbours", {"counts": counts, "sizes": sizes, **postings}, strings)
        save_part(folder, "vectors", *self.vectors.state())

    @staticmethod
    def load(folder: ModelFolder, titles: TitleTable) -> NearestNeighbours:
        arrays, strings = load_part(folder, "neighbours")
        counts = dict(zip(strings["codes"], arrays["counts"].astype(np.int64).tolist(), strict=True))
        neighbours, candidates = arrays["sizes"].astype(np.int64).tolist()
        vectors = TfidfVectors.from_state(*load_part(folder, "vectors"))
        notes, codes_of = _postings(arrays, "notes."), _postings(arrays, "codes.")
        return NearestNeighbours(counts, vectors, notes, codes_of, neighbours, candidates)


def _postings(arrays: Arrays, prefix: str) -> Postings:
    own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return Postings.from_state(own)


def _fit(training: TrainingSet, config: NeighboursConfig) -> NearestNeighbours:
    from scipy.sparse import csr_matrix

    vectors, matrix = TfidfVectors.fit(training, config.words, config.least_notes)
    counts = count_labels(training)
    number_of = {code: number for number, code in enumerate(counts)}
    rows = [sorted(number_of[code] for code in example.code_set) for example in training.examples]
    columns = np.array([code for row in rows for code in row], dtype=np.int64)
    pointers = np.cumsum([0, *map(len, rows)])
    codes_of = csr_matrix((np.ones(len(columns)), columns, pointers), shape=(len(rows), len(counts)))
    by_gram = cast(Any, matrix).T.tocsr()
    sizes = config.neighbours, config.candidates
    return NearestNeighbours(counts, vectors, Postings.of(by_gram), Postings.of(codes_of), *sizes)
