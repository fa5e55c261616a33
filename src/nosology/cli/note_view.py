"""A coded note in the terminal: the note with its evidence marked, then the codes with the words that justify them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from nosology.explanation.evidence import EXPLAINED_FROM
from nosology.types import CodedEncounter, Encounter, Evidence, Note, Span, SuggestedCode

_COLOURS = ("bright_yellow", "bright_cyan", "bright_green", "bright_magenta", "orange1", "deep_sky_blue1", "pink1")
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_CONSIDERED = 5
_WIDTH_OF_PIPES = 100
_WHOLE_NOTE_CHARS = 6000
_CONTEXT_CHARS = 160
_MAX_EXCERPTS = 40
_EVIDENCE_CHARS = 48
_EVIDENCE_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Mark:
    """One span to highlight, and the row of the table it belongs to (1-based)."""

    span: Span
    row: int


def print_coded(encounter: Encounter, coded: CodedEncounter, *, console: Console | None = None) -> None:
    """Show a coded encounter.

    Args:
        encounter: what was coded; its text is shown.
        coded: what the coder said of it.
        console: where; standard output otherwise, without colour where it is not a terminal or NO_COLOR is set.
    """
    console = console or _console()
    assigned = coded.assigned
    console.print(Rule(_title(coded), style="dim", align="left"))
    for note in encounter.notes:
        marks = _marks(note, assigned)
        console.print(Padding(_marked_text(note, marks, colours=_has_colours(console)), (1, 2)))
    if coded.codes:
        console.print(_table(encounter, assigned, _considered(coded)))


def _console() -> Console:
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_PIPES
    return console


def _has_colours(console: Console) -> bool:
    return console.color_system is not None and not console.no_color


def _title(coded: CodedEncounter) -> Text:
    count = len(coded.assigned)
    said = "no code is likely enough to be said" if coded.abstained else f"{count} code{'' if count == 1 else 's'}"
    if coded.failed:
        said = f"not coded: {coded.failed}"
    return Text.assemble((_printable(coded.encounter_id), "bold"), f" · {said}")


def _considered(coded: CodedEncounter) -> Sequence[SuggestedCode]:
    return [suggested for suggested in coded.codes if not suggested.assigned][:_CONSIDERED]


# --- the note -------------------------------------------------------------------------------------------------------


def _marks(note: Note, assigned: Sequence[SuggestedCode]) -> list[_Mark]:
    marks = list[_Mark]()
    for row, suggested in enumerate(assigned, start=1):
        parts = [part for one in suggested.evidence if one.note_id == note.note_id for part in one.parts]
        marks += [_Mark(span, row) for span in _joined(parts)]
    return sorted(marks, key=lambda mark: (mark.span, mark.row))


def _joined(spans: Iterable[Span]) -> list[Span]:
    """The same characters as fewest spans: a code's evidence may overlap itself, its marks must not."""
    joined = list[Span]()
    for span in sorted(spans):
        if joined and span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(span.end, joined[-1].end))
        else:
            joined.append(span)
    return joined


def _marked_text(note: Note, marks: Sequence[_Mark], *, colours: bool) -> Text:
    clean = _printable(note.text)
    shown = Text()
    end_of_last = 0
    for window in _windows(clean, marks):
        _add_gap(shown, window.start - end_of_last)
        inside = [mark for mark in marks if mark.span.start >= window.start and mark.span.end <= window.end]
        _add_window(shown, clean, window, inside, colours=colours)
        end_of_last = window.end
    _add_gap(shown, len(clean) - end_of_last)
    shown.rstrip()
    return shown


def _windows(text: str, marks: Sequence[_Mark]) -> list[Span]:
    """The whole of a note of ordinary length; of a long one, the surroundings of the evidence."""
    if len(text) <= _WHOLE_NOTE_CHARS:
        return [Span(0, len(text))]
    windows = [Span(0, _word_end(text, _CONTEXT_CHARS))] if not marks else list[Span]()
    for mark in marks:
        start = _word_start(text, max(mark.span.start - _CONTEXT_CHARS, 0))
        window = Span(start, _word_end(text, mark.span.end + _CONTEXT_CHARS))
        if windows and window.start <= windows[-1].end:
            windows[-1] = Span(windows[-1].start, max(window.end, windows[-1].end))
        elif len(windows) < _MAX_EXCERPTS:
            windows.append(window)
    return windows


def _word_start(text: str, position: int) -> int:
    while position > 0 and not text[position - 1].isspace():
        position -= 1
    return position


def _word_end(text: str, position: int) -> int:
    while position < len(text) and not text[position].isspace():
        position += 1
    return min(position, len(text))


def _add_gap(shown: Text, left_out: int) -> None:
    if left_out > 0:
        shown.append(f"\n⋯ {left_out:,} characters ⋯\n" if shown else f"⋯ {left_out:,} characters ⋯\n", "dim")


def _add_window(shown: Text, text: str, window: Span, marks: Sequence[_Mark], *, colours: bool) -> None:
    edges = sorted({window.start, window.end, *(edge for mark in marks for edge in mark.span)})
    for left, right in zip(edges, [*edges[1:], window.end], strict=True):
        _add_numbers(shown, [mark.row for mark in marks if mark.span.end == left], colours=colours)
        if not colours:
            shown.append("[" * sum(mark.span.start == left for mark in _without_twins(marks)))
        covering = [mark.row for mark in marks if mark.span.start <= left and right <= mark.span.end]
        shown.append(text[left:right], _style(min(covering)) if covering and colours else "")


def _add_numbers(shown: Text, rows: Sequence[int], *, colours: bool) -> None:
    if rows:
        numbers = ",".join(str(row).translate(_SUPERSCRIPTS) for row in sorted(rows))
        shown.append(numbers if colours else f"]{numbers}", "bold")


def _without_twins(marks: Sequence[_Mark]) -> list[_Mark]:
    """One mark an end: several that end together share one closing bracket, so they share an opening one."""
    by_end = sorted(marks, key=lambda mark: (mark.span.end, mark.span.start))
    return [next(twins) for _, twins in groupby(by_end, key=lambda mark: mark.span.end)]


def _style(row: int) -> str:
    return f"black on {_COLOURS[(row - 1) % len(_COLOURS)]}"


def _printable(text: str) -> str:
    """The text, character by character, without those that would steer the terminal or reorder what it shows."""
    unsafe = {ord(char): "\N{REPLACEMENT CHARACTER}" for char in set(text) if _steers(char)}
    return text.translate({**unsafe, ord("\r"): " ", ord("\t"): " "})


def _steers(char: str) -> bool:
    return char != "\n" and (
        unicodedata.category(char) == "Cc" or "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069"
    )


# --- the codes ------------------------------------------------------------------------------------------------------


def _table(encounter: Encounter, assigned: Sequence[SuggestedCode], considered: Sequence[SuggestedCode]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True, header_style="dim")
    table.add_column("", justify="right")
    table.add_column("code", no_wrap=True)
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("description", ratio=3)
    table.add_column("because of", ratio=2)
    for row, suggested in enumerate(assigned, start=1):
        table.add_row(*_cells(encounter, suggested, Text(str(row), "bold")), end_section=row == len(assigned))
    for suggested in considered:
        table.add_row(*_cells(encounter, suggested, Text("·")), style="dim")
    if considered:
        table.caption = Text("· considered, not assigned", "dim", justify="left")
        table.caption_justify = "left"
    return table


def _cells(encounter: Encounter, suggested: SuggestedCode, number: Text) -> tuple[Text, ...]:
    code = Text(suggested.code, "bold" if suggested.assigned else "")
    words = _evidence_words(encounter, suggested.evidence)
    because = Text(", ".join(words)) if words else Text(_why_no_words(suggested), "dim italic")
    return (number, code, Text(f"{suggested.probability:.0%}"), Text(suggested.description), because)


def _why_no_words(suggested: SuggestedCode) -> str:
    looked_for = suggested.assigned or suggested.probability >= EXPLAINED_FROM
    return "no words of the note" if looked_for else f"not looked for below {EXPLAINED_FROM:.0%}"


def _evidence_words(encounter: Encounter, evidence: Iterable[Evidence]) -> list[str]:
    """What the strongest evidence says, each wording once; what overlaps stronger evidence adds nothing to read."""
    words = dict[str, str]()
    told = dict[str, list[Span]]()
    for one in evidence:
        spans = told.setdefault(one.note_id, [])
        if any(part.start < other.end and other.start < part.end for part in one.parts for other in spans):
            continue
        spans += one.parts
        short = _quoted(encounter.note(one.note_id).text, one)
        words.setdefault(short.casefold(), short)
    return list(words.values())[:_EVIDENCE_SHOWN]


def _quoted(text: str, evidence: Evidence) -> str:
    quoted = " … ".join(" ".join(_printable(text[part.start : part.end]).split()) for part in evidence.parts)
    return quoted if len(quoted) <= _EVIDENCE_CHARS else quoted[: _EVIDENCE_CHARS - 1] + "…"
