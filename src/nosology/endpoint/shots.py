"""Few-shot examples: the training encounters most like a note, by the cosine of their words' TF-IDF."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from nosology.baselines.vectors import TfidfVectors
from nosology.checkpoint import ModelFolder
from nosology.endpoint.passes import Shot
from nosology.knowledge.stream import TokenStream
from nosology.predictor import load_part, save_part
from nosology.ranking.postings import Postings
from nosology.ranking.source import TrainingExample, TrainingSet

_VECTORS, _SHOTS = "shot_vectors", "shots"


@dataclass(frozen=True, eq=False, repr=False)
class ShotPool:
    """Coded training encounters to choose from. A model folder that keeps it holds text of training notes.

    Args:
        vectors: the vocabulary.
        notes: word by encounter.
        shots: of each encounter.
    """

    vectors: TfidfVectors
    notes: Postings
    shots: tuple[Shot, ...]

    @staticmethod
    def fit(training: TrainingSet, characters: int) -> ShotPool:
        """The encounters with a code.

        Args:
            training: coded encounters.
            characters: kept of each one's text.
        """
        # With a place of its own for counts: those that fits share are of all encounters of a cross-fitting.
        part = TrainingSet(tuple(example for example in training.examples if example.codes))
        vectors, matrix = TfidfVectors.fit(part, 1, 1)
        shots = tuple(_shot(example, characters) for example in part.examples)
        return ShotPool(vectors, Postings.of(cast(Any, matrix).T.tocsr()), shots)

    def nearest(self, stream: TokenStream, count: int) -> list[Shot]:
        """The encounters most like another one, the most alike last, nearest to the question.

        Encounters without a word in common are none.
        """
        vector = self.vectors.read(stream)
        owners, others, values = self.notes.gather(vector.columns)
        cosines = np.bincount(others, weights=values * vector.values[owners], minlength=self.notes.width)
        best: list[int] = np.argsort(-cosines, kind="stable")[:count].tolist()
        return [self.shots[number] for number in reversed(best) if cosines[number] > 0.0]

    def save(self, folder: Path) -> None:
        """Write its own files into a model folder that is being built."""
        strings = {
            "texts": [shot.text for shot in self.shots],
            "codes": [json.dumps(shot.codes, ensure_ascii=False) for shot in self.shots],
        }
        save_part(folder, _SHOTS, self.notes.state(), strings)
        save_part(folder, _VECTORS, *self.vectors.state())

    @staticmethod
    def load(folder: ModelFolder) -> ShotPool:
        """Read what ``save`` wrote."""
        arrays, strings = load_part(folder, _SHOTS)
        rows = zip(strings["texts"], strings["codes"], strict=True)
        shots = tuple(Shot(text, tuple((code, quote) for code, quote in json.loads(codes))) for text, codes in rows)
        return ShotPool(TfidfVectors.from_state(*load_part(folder, _VECTORS)), Postings.from_state(arrays), shots)


def text_of(stream: TokenStream) -> str:
    """The notes of an encounter, one after another."""
    return "\n\n".join(note.text for note in stream.encounter.notes)


def _shot(example: TrainingExample, characters: int) -> Shot:
    text = text_of(example.stream)[:characters]
    codes = ((gold.code, _quote(example, gold.evidence, text)) for gold in example.codes)
    return Shot(text, tuple(sorted(codes)))


def _quote(example: TrainingExample, evidence: Sequence[Any], text: str) -> str:
    """What people marked for a code, if it stands in the text that is shown."""
    for found in evidence:
        note = next((n.text for n in example.stream.encounter.notes if n.note_id == found.note_id), "")
        marked = note[found.start : found.end]
        if len(found.parts) == 1 and marked and marked in text:
            return marked
    return ""
