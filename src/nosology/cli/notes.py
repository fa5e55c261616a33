"""The notes that ``nosology code`` is given: a file, a folder, or standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nosology.cli.data import tell, tell_skipped
from nosology.corpora import OnError, Problems, iterate_notes, note_paths
from nosology.corpora.reading import decode
from nosology.errors import CorpusError
from nosology.types import Encounter, Note

STDIN = "-"
_STDIN_ID = "stdin"


@dataclass(frozen=True, slots=True)
class NoteSource:
    """Where notes come from, and which of them were broken.

    Args:
        place: a path, or ``-``.
        problems: takes the broken notes.
        count: how many notes there are, broken ones included.
    """

    place: str
    problems: Problems
    count: int

    @classmethod
    def open(cls, place: str, on_error: OnError) -> Self:
        """Find the notes without reading them.

        Raises:
            CorpusError: missing path, or a folder without notes.
        """
        return cls(place, Problems(on_error), 1 if place == STDIN else len(note_paths(place)))

    def encounters(self, language: str) -> Iterator[Encounter]:
        """The notes, one encounter each, as they are read."""
        if self.place == STDIN:
            with self.problems.guard():
                yield Encounter(_STDIN_ID, (Note(_STDIN_ID, _read_stdin(), language=language),))
        else:
            yield from iterate_notes(self.place, self.problems, language=language)

    def finish(self, coded: int) -> None:
        """Tell what was skipped.

        Raises:
            CorpusError: not one note could be coded.
        """
        tell_skipped(self.problems.skipped)
        if coded == 0:
            raise CorpusError("no note could be coded; mend the notes", path=self.place)
        if self.count > 1:
            tell(f"coded {coded} of {self.count} notes")


def _read_stdin() -> str:
    place = Path("standard input")
    data = sys.stdin.buffer.read()
    if b"\0" in data:
        raise CorpusError(f"byte {data.index(0)} is NUL, so this is not plain text; send UTF-8 text", path=place)
    text = decode(data, place)
    if not text.strip():
        raise CorpusError("the note is empty; send its text", path=place)
    return text
