"""Cuts a note into paragraphs, sentences and sections, by rules, in its original characters and in linear time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nosology.preprocessing.languages import LanguageData, words_of
from nosology.preprocessing.normalisation import normalise
from nosology.types import Span

NO_SECTION = ""
"""The section of text that stands under no known header."""

_BLANK = " \t\r\n\f\v\0\u00a0\u2028\u2029\x85\x1c\x1d\x1e\x1f"
_LIST_ITEM = re.compile(r"(?:[-*•●■·▪+]+|\(?\d{1,2}[.)]-?|\(?[a-zA-Z]\))\s")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')\]»”’]{0,2}\s++(?=\S)")
_MAX_HEADER = 60
_MIN_WRAP, _MAX_WRAP = 45, 100  # the widths at which systems break lines


@dataclass(frozen=True, slots=True)
class Section:
    """A header and what stands under it.

    Args:
        name: canonical name ("family_history"), or ``NO_SECTION``.
        start: where the header starts.
        body_start: where the text after the header starts.
        end: where the next header starts, or the note's end.
    """

    name: str
    start: int
    body_start: int
    end: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How a note is cut up; all spans in original offsets, in order, without white space at their ends."""

    paragraphs: tuple[Span, ...]
    sentences: tuple[Span, ...]
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that is not blank, stripped. ``header`` is its section, ``body`` where the text after a header starts."""

    text: str
    start: int
    after_blank: bool
    header: str | None
    body: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def is_bare_header(self) -> bool:
        return self.header is not None and self.body >= self.end


def lay_out(text: str, language: LanguageData) -> Layout:
    """Paragraphs, sentences and sections of a note."""
    lines = list(_read_lines(text, language.headers))
    width = _wrap_width(lines)
    paragraphs: list[Span] = []
    sentences: list[Span] = []
    for block in _paragraph_blocks(lines, width):
        paragraphs.append(Span(block[0].start, block[-1].end))
    for block in _sentence_blocks(lines, width):
        sentences.extend(_split_sentences(text, block.start, block.end, language))
    return Layout(tuple(paragraphs), tuple(sentences), tuple(_sections(lines, len(text))))


def _read_lines(text: str, headers: dict[str, str]) -> Iterator[_Line]:
    position = 0
    after_blank = False
    for raw in text.splitlines(keepends=True):
        line = raw.strip(_BLANK)
        if line:
            start = position + raw.index(line[0])
            name, length = _header(line, headers, after_blank)
            yield _Line(line, start, after_blank, name, start + length)
        after_blank = not line
        position += len(raw)


def _header(line: str, headers: dict[str, str], after_blank: bool) -> tuple[str | None, int]:
    """The section that a line opens and the header's length; ``None`` where it opens none."""
    colon = line.find(":", 0, _MAX_HEADER)
    head = line[:colon] if colon >= 0 else line
    if len(head) > _MAX_HEADER or not headers:
        return None, 0
    words = words_of(head)
    if words and words[0].isdigit():
        del words[0]
    name = headers.get(" ".join(words))
    if name is not None and (colon >= 0 or _starts_upper(head)):
        return name, len(head) + 1 + _leading_blanks(line, len(head) + 1)
    if after_blank and colon == len(line) - 1 and colon >= 0 and len(words) <= 6 and _starts_upper(head):
        return NO_SECTION, len(line)  # an unknown header: ends the section before it
    return None, 0


def _starts_upper(head: str) -> bool:
    return next((c.isupper() for c in head if c.isalpha()), False)


def _leading_blanks(line: str, start: int) -> int:
    return len(line) - start - len(line[start:].lstrip(_BLANK)) if start < len(line) else 0


def _wrap_width(lines: list[_Line]) -> int:
    """The width at which the note's lines were broken, 0 where they were not."""
    lengths = [len(line.text) for line in lines]
    within = [length for length in lengths if length <= _MAX_WRAP]
    if not within or len(lengths) - len(within) > len(lengths) // 20:
        return 0
    widest = max(within)
    return widest if widest >= _MIN_WRAP else 0


def _is_wrapped(before: _Line, line: _Line, width: int) -> bool:
    """Does ``line`` go on with the sentence of the line before?"""
    if line.after_blank or line.header is not None or before.is_bare_header or _LIST_ITEM.match(line.text):
        return False
    if before.text[-1] == ":":
        return False
    if width:
        first_word = line.text.split(None, 1)[0]
        return len(before.text) + 1 + len(first_word) > width - 3
    return before.text[-1] not in ".!?" and len(before.text) > _MIN_WRAP and line.text[0].islower()


def _starts_paragraph(before: _Line, line: _Line, width: int) -> bool:
    if line.after_blank or line.header is not None:
        return True
    if _LIST_ITEM.match(line.text) or before.is_bare_header or before.text[-1] == ":":
        return False
    return not _is_wrapped(before, line, width) and (before.text[-1] in ".!?" or len(before.text) > _MAX_WRAP)


def _paragraph_blocks(lines: list[_Line], width: int) -> Iterator[list[_Line]]:
    block: list[_Line] = []
    for line in lines:
        if block and _starts_paragraph(block[-1], line, width):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _sentence_blocks(lines: list[_Line], width: int) -> Iterator[Span]:
    """Runs of lines that a break of line does not part into sentences."""
    start = 0
    before: _Line | None = None
    for line in lines:
        if before is not None and not _is_wrapped(before, line, width):
            yield Span(start, before.end)
            before = None
        if before is None:
            start = line.start
        before = line
    if before is not None:
        yield Span(start, before.end)


def _split_sentences(text: str, start: int, end: int, language: LanguageData) -> Iterator[Span]:
    for match in _SENTENCE_END.finditer(text, start, end):
        if _ends_sentence(text, start, match, language):
            yield Span(start, match.start() + len(match[0].rstrip()))
            start = match.end()
    yield Span(start, end)


def _ends_sentence(text: str, start: int, match: re.Match[str], language: LanguageData) -> bool:
    stop = match.start() - 1
    following = text[match.end()]
    before = text[max(start, stop - 40) : stop].split()
    if text[stop] != "." or not before:
        return not following.islower()
    word = before[-1].lstrip("([\"'¿¡«“")
    goes_on = following.islower() or following.isdigit()
    if len(word) == 1 and word.isupper():
        return not following.islower() and not _looks_like_initial(before)
    if len(word) <= 6:
        folded = normalise(word).text
        if folded in language.titles:
            return False
        if folded in language.quantities or "." in word:
            return not goes_on
        if word.isdigit() and stop - len(word) <= start:
            return False  # the number of a list item
    return not following.islower() or (len(word) > 3 and word.isalpha())


def _looks_like_initial(before: list[str]) -> bool:
    """Is the single capital after these words part of a name ("George W. Bush", "J. R. Smith")?"""
    if len(before) < 2:
        return True
    previous = before[-2]
    return previous.endswith(".") or previous.istitle()


def _sections(lines: list[_Line], length: int) -> Iterator[Section]:
    opened = [line for line in lines if line.header is not None]
    ends = [*[line.start for line in opened], length][1:]
    for line, end in zip(opened, ends, strict=True):
        yield Section(line.header or NO_SECTION, line.start, min(line.body, end), end)
