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

    Nothing is worked out before it is asked for: a network reads the notes alone.

    Args:
        encounter: whose words these are.
    """

    encounter: Encounter = field(repr=False)

    @property
    def encounter_id(self) -> str:
        """The encounter's id."""
        return self.encounter.encounter_id

    @cached_property
    def language(self) -> str:
        """ISO 639-1, of the first note."""
        return self.encounter.notes[0].language if self.encounter.notes else "en"

    @cached_property
    def documents(self) -> tuple[Document, ...]:
        """One a note."""
        return tuple(build_document(note) for note in self.encounter.notes)

    @cached_property
    def words(self) -> list[str]:
        """Normalised words."""
        return [word for document in self.documents for word in document.words]

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where each word begins in its note's original text."""
        return self._bounds[0]

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where each word ends, the position after its last character."""
        return self._bounds[1]

    @cached_property
    def _bounds(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        pairs = [d.normalised.to_original_arrays(d.token_starts, d.token_ends) for d in self.documents]
        return _joined([first for first, _ in pairs]), _joined([last for _, last in pairs])

    @cached_property
    def notes(self) -> NDArray[np.int64]:
        """The index of each word's note in ``documents``."""
        return np.repeat(np.arange(len(self.documents)), [len(document.words) for document in self.documents])

    @cached_property
    def sentences(self) -> NDArray[np.int64]:
        """A running number of each word's sentence, that never goes on from one note to the next."""
        numbers, upper, following = list[NDArray[np.int64]](), 0, 0
        for document in self.documents:
            lower, upper = upper, upper + len(document.words)
            bounds = np.array([sentence.start for sentence in document.sentences], dtype=np.int64)
            numbers.append(np.searchsorted(bounds, self.starts[lower:upper], side="right") + following)
            following += len(bounds) + 1
        return _joined(numbers)

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


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def build_stream(encounter: Encounter) -> TokenStream:
    """Prepare an encounter for matching; an encounter whose notes hold no word gives an empty stream."""
    return TokenStream(encounter)
