"""An encounter as one row of words, with everything that matching asks of a word; built once, used by every source."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.vocabulary import concepts_of, ignored_words
from nosology.preprocessing import AssertionEngine, Document, build_document
from nosology.preprocessing.assertion import ranks_within
from nosology.preprocessing.languages import LANGUAGES
from nosology.types import Encounter, Evidence, Span


@dataclass(frozen=True, eq=False)
class TokenStream:
    """The words of all notes of an encounter, in order.

    Args:
        encounter_id: the encounter's id.
        language: ISO 639-1, of the first note.
        documents: one a note.
        words: normalised words.
        starts, ends: each word's half-open bounds in its note's original text.
        notes: the index of each word's note in ``documents``.
        sentences: a running number that never goes on from one note to the next.
    """

    encounter_id: str
    language: str
    documents: tuple[Document, ...]
    words: list[str] = field(repr=False)
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    notes: NDArray[np.int64]
    sentences: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def concepts(self) -> list[tuple[str, ...]]:
        """Each word's concepts; none for a stop word."""
        ignored = ignored_words(self.language)
        return [() if word in ignored else concepts_of(word) for word in self.words]

    @cached_property
    def positions(self) -> dict[str, list[int]]:
        """Where each concept stands: word indices, rising."""
        found = defaultdict[str, list[int]](list)
        for index, concepts in enumerate(self.concepts):
            for concept in concepts:
                found[concept].append(index)
        return dict(found)

    @cached_property
    def sentence_list(self) -> list[int]:
        """``sentences`` as Python integers, which loops read faster."""
        return self.sentences.tolist()

    @cached_property
    def note_list(self) -> list[int]:
        """``notes`` as Python integers."""
        return self.notes.tolist()

    @cached_property
    def bound_lists(self) -> tuple[list[int], list[int]]:
        """``starts`` and ``ends`` as Python integers."""
        return self.starts.tolist(), self.ends.tolist()

    @cached_property
    def evidence_by_words(self) -> dict[tuple[int, ...], Evidence]:
        """A place for evidence that was made of some words, by their indices."""
        return {}

    def surface(self, first: int, last: int) -> str:
        """The words ``first..last``, both included, joined by spaces."""
        return " ".join(self.words[first : last + 1])

    def evidence(self, first: int, last: int) -> Evidence:
        """The words ``first..last``, both included, as evidence in the original text of their note."""
        note = self.documents[int(self.notes[first])].note
        return Evidence(note.note_id, (Span(int(self.starts[first]), int(self.ends[last])),))

    def indices_of(self, evidence: Evidence) -> list[int]:
        """The words that an evidence touches, rising; none if it lies between words or in another encounter."""
        note_ids = [document.note.note_id for document in self.documents]
        if evidence.note_id not in note_ids:
            return []
        lower, upper = np.searchsorted(self.notes, [(note := note_ids.index(evidence.note_id)), note + 1])
        found = set[int]()
        for part in evidence.parts:
            first = int(np.searchsorted(self.ends[lower:upper], part.start, side="right"))
            last = int(np.searchsorted(self.starts[lower:upper], part.end, side="left"))
            found.update(range(int(lower) + first, int(lower) + last))
        return sorted(found)

    @cached_property
    def _reaches(self) -> list[NDArray[np.int64]]:
        """How far each document's cues reach; several sources ask for it."""
        engine = AssertionEngine.for_language(self.language)
        return [engine.reach(document) for document in self.documents]

    def assertions(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int8]:
        """The assertion of each mention, as positions in ``preprocessing.assertion.PRECEDENCE``.

        Args:
            first, last: word indices, both included; a mention lies in one note.
        """
        ranks = np.zeros(len(first), dtype=np.int8)
        if self.language not in LANGUAGES:
            return ranks
        offset = 0
        for number, (document, reach) in enumerate(zip(self.documents, self._reaches, strict=True)):
            if len(self.documents) == 1:
                return ranks_within(reach, first, last + 1)
            inside = np.flatnonzero(self.notes[first] == number)
            ranks[inside] = ranks_within(reach, first[inside] - offset, last[inside] + 1 - offset)
            offset += len(document.words)
        return ranks


def build_stream(encounter: Encounter) -> TokenStream:
    """Prepare an encounter for matching; an encounter whose notes hold no word gives an empty stream."""
    documents = tuple(build_document(note) for note in encounter.notes)
    words = list[str]()
    starts, ends, notes, sentences = ([np.zeros(0, dtype=np.int64)] for _ in range(4))
    next_sentence = 0
    for number, document in enumerate(documents):
        words += document.words
        first, last = document.normalised.to_original_arrays(document.token_starts, document.token_ends)
        bounds = np.array([sentence.start for sentence in document.sentences], dtype=np.int64)
        starts.append(first)
        ends.append(last)
        notes.append(np.full(len(first), number, dtype=np.int64))
        sentences.append(np.searchsorted(bounds, first, side="right") + next_sentence)
        next_sentence += len(bounds) + 1
    language = encounter.notes[0].language if encounter.notes else "en"
    return TokenStream(
        encounter.encounter_id,
        language,
        documents,
        words,
        np.concatenate(starts),
        np.concatenate(ends),
        np.concatenate(notes),
        np.concatenate(sentences),
    )
