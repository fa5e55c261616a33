"""``Note`` -> ``Document``: normalised text, words, sentences, paragraphs, sections; each found when first needed."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nosology.preprocessing.languages import language_data
from nosology.preprocessing.normalisation import NormalisedText, blank_punctuation, normalise
from nosology.preprocessing.segmentation import NO_SECTION, Layout, Section, lay_out
from nosology.types import Note, Span

_SPACE = 32


@dataclass(frozen=True, eq=False)
class Document:
    """A note made ready for matching. Spans are in original offsets, token positions in ``normalised.text``.

    Args:
        note: the note as it was read.
        normalised: its text for matching, with the way back to the original.
    """

    note: Note
    normalised: NormalisedText

    @cached_property
    def word_text(self) -> str:
        """The normalised text with every character that is neither letter nor digit made a space; same offsets."""
        return blank_punctuation(self.normalised.text)

    @cached_property
    def words(self) -> list[str]:
        """The words (runs of letters and digits) of the normalised text, in order."""
        return self.word_text.split()

    @cached_property
    def _token_bounds(self) -> NDArray[np.int64]:
        return _find_runs(self.word_text)

    @property
    def token_starts(self) -> NDArray[np.int64]:
        """Where each of ``words`` starts in ``normalised.text``."""
        return self._token_bounds[0::2]

    @property
    def token_ends(self) -> NDArray[np.int64]:
        """Where each of ``words`` ends in ``normalised.text``."""
        return self._token_bounds[1::2]

    @cached_property
    def layout(self) -> Layout:
        """Sentences, paragraphs and sections together; they are found in one pass."""
        return lay_out(self.note.text, language_data(self.note.language))

    @property
    def sentences(self) -> tuple[Span, ...]:
        """Sentences; items of a list and lines of a table count as sentences."""
        return self.layout.sentences

    @property
    def paragraphs(self) -> tuple[Span, ...]:
        """Paragraphs; a line that only wraps starts none."""
        return self.layout.paragraphs

    @property
    def sections(self) -> tuple[Section, ...]:
        """The sections under recognised headers, in order; text before the first header is in none."""
        return self.layout.sections

    @cached_property
    def _section_starts(self) -> list[int]:
        return [section.start for section in self.sections]

    @cached_property
    def _sentence_starts(self) -> list[int]:
        return [sentence.start for sentence in self.sentences]

    def section_of(self, offset: int) -> str:
        """The canonical name of the section at an original offset, ``NO_SECTION`` ("") where there is none."""
        index = bisect_right(self._section_starts, offset) - 1
        return self.sections[index].name if index >= 0 else NO_SECTION

    def sentence_of(self, offset: int) -> int:
        """The index of the sentence at or before an original offset, -1 before the first."""
        return bisect_right(self._sentence_starts, offset) - 1


def build_document(note: Note) -> Document:
    """Normalise a note; everything else is worked out when first asked for.

    Any text will do: empty, blank, with NUL characters (they count as spaces), megabytes long (linear time).
    """
    return Document(note, normalise(note.text))


def _find_runs(text: str) -> NDArray[np.int64]:
    """Start and end, alternating, of each run of characters other than the space."""
    if text.isascii():
        codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    else:
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    filled = np.zeros(len(codes) + 2, dtype=np.bool_)
    np.not_equal(codes, _SPACE, out=filled[1:-1])
    return np.flatnonzero(filled[1:] != filled[:-1])
