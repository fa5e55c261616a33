"""Makes a note's text look as its release prints it, and carries the marks over to it."""

from __future__ import annotations

import re
from bisect import bisect_right

from nosology.corpora.simulation.release.charts import Document, Mark

LINE_WIDTH = 78
_DEIDENTIFIED = re.compile(r"\[\*\*.*?\*\*\]", re.DOTALL)
_BLANK = "___"


def wrapped(text: str, width: int = LINE_WIDTH) -> str:
    """Long lines broken at a space, character for character, so that offsets stay.

    >>> wrapped("one two three", 7)
    'one two\\nthree'
    """
    lines = text.split("\n")
    return "\n".join(line if len(line) <= width else _broken(line, width) for line in lines)


def _broken(line: str, width: int) -> str:
    parts: list[str] = []
    start = 0
    while len(line) - start > width:
        cut = line.rfind(" ", start + 1, start + width + 1)
        cut = line.find(" ", start + width) if cut < 0 else cut
        if cut < 0:
            break
        parts.append(line[start:cut])
        start = cut + 1
    return "\n".join([*parts, line[start:]])


def with_blanks(document: Document, before: str = "") -> Document:
    """The document with ``___`` for everything de-identified, as in MIMIC-IV, after some words of its own.

    Args:
        document: with de-identification brackets, as in MIMIC-III.
        before: what the text begins with.
    """
    text = document.text
    brackets = [match.span() for match in _DEIDENTIFIED.finditer(text)]
    places = _Places(brackets, len(before))
    marks = tuple(Mark(places.start(m.start), places.end(m.end), m.code, m.system) for m in document.marks)
    return document._replace(text=before + _DEIDENTIFIED.sub(_BLANK, text), marks=marks)


class _Places:
    """Where characters stand after brackets have become blanks; a place inside a bracket goes to the blank's edge."""

    def __init__(self, brackets: list[tuple[int, int]], offset: int) -> None:
        self._brackets = brackets
        self._ends = [end for _, end in brackets]
        self._moved = [offset]
        for start, end in brackets:
            self._moved.append(self._moved[-1] + len(_BLANK) - (end - start))

    def start(self, place: int) -> int:
        """Where a mark that begins here begins now."""
        return self._place(place, 0)

    def end(self, place: int) -> int:
        """Where a mark that ends here ends now."""
        return self._place(place, len(_BLANK))

    def _place(self, place: int, edge: int) -> int:
        passed = bisect_right(self._ends, place)
        if passed < len(self._brackets) and self._brackets[passed][0] < place:
            place = self._brackets[passed][0] + edge
        return place + self._moved[passed]
