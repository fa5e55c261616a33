"""Notes and codes in one table: JSON lines, CSV, TSV or Parquet with columns that the user names.

A row is a note. Rows with the same encounter id are the notes of one encounter where their note ids differ and all
else (codes, patient, split, metadata) agrees; otherwise the id is a duplicate and an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import cast

from nosology.codes.formats import SYSTEMS, format_code
from nosology.corpora.reading import OnError, Problems, is_encodable, merged_spans, shown
from nosology.corpora.rows import iterate_rows
from nosology.errors import CodeError, ConfigError, CorpusError
from nosology.types import Corpus, Encounter, Evidence, GoldCode, Note, Span

_CODE_SEPARATORS = re.compile(r"[;|,]")
_DEV_NAMES = frozenset({"val", "valid", "validation"})


@dataclass(frozen=True, slots=True)
class TabularColumns:
    """Which column holds what; ``None`` where the table has no such column.

    Args:
        text: the note.
        codes: a list of strings, or one string with the codes parted by a separator. An empty cell or list means coded
            with no code; null, a missing key or no column at all means not coded.
        encounter_id: the encounter; without it each row is one, named by its line.
        note_id: the note, unique in the table; without it a note has its encounter's id.
        group_id: the patient, never parted by a split.
        split: "train", "dev" or "test" ("val", "valid" and "validation" are read as "dev").
        category: the kind of document.
        language: the note's language, ISO 639-1.
        evidence: a list of ``{"code", "start", "end"}`` or ``{"code", "parts": [[start, end], ...]}``, or the same as
            JSON text; half-open character offsets into this row's text.
        metadata: further columns to keep as strings.
    """

    text: str = "text"
    codes: str | None = "codes"
    encounter_id: str | None = None
    note_id: str | None = None
    group_id: str | None = None
    split: str | None = None
    category: str | None = None
    language: str | None = None
    evidence: str | None = None
    metadata: tuple[str, ...] = ()

    def named(self) -> tuple[str, ...]:
        """The columns that the table must have."""
        single = [getattr(self, item.name) for item in fields(self) if item.name != "metadata"]
        return (*dict.fromkeys([name for name in single if name is not None] + list(self.metadata)),)


def read_tabular(
    path: str | Path,
    *,
    columns: TabularColumns | None = None,
    system: str = "icd10cm",
    language: str = "en",
    separator: str | None = None,
    on_error: OnError = "raise",
) -> Corpus:
    """Read encounters from a table.

    Args:
        path: a .jsonl, .ndjson, .csv, .tsv or .parquet file in UTF-8. CSV and TSV have a header and may
            quote with ``"``.
        columns: which column holds what; by default ``text`` and ``codes``.
        system: the code system of all codes; those of a system of your own are kept as written.
        language: the notes' language where no column says it.
        separator: what parts codes that come as one string; ``None`` means any of ``;``, ``|`` and ``,``.
        on_error: "raise" stops at the first broken row, "skip" leaves it out and lists it in ``Corpus.skipped``.

    Returns:
        The encounters in the order of their first row.

    Raises:
        CorpusError: missing or empty file, missing column, or (with "raise") a broken row.
        MissingExtraError: a Parquet file, and pyarrow is not installed.
    """
    columns = columns or TabularColumns()
    if columns.evidence is not None and columns.codes is None:
        raise ConfigError("an evidence column needs a codes column; name both or neither")
    if separator == "":
        raise ConfigError("the separator of codes is empty; write one such as ';'")
    problems = Problems(on_error)
    table = _Table(Path(path), columns, system, language, separator)
    for line, row in iterate_rows(table.path, columns.named(), problems):
        with problems.guard():
            table.add(_Cells(table.path, line, row))
    if not table.drafts:
        raise CorpusError(f"no row could be read ({len(problems.skipped)} skipped); mend the table", path=table.path)
    encounters = tuple(draft.encounter() for draft in table.drafts.values())
    return Corpus("tabular", (system,), encounters, language, tuple(problems.skipped))


@dataclass(frozen=True, slots=True)
class _Cells:
    """One row: gives its cells as strings and makes its errors."""

    path: Path
    line: int
    row: Mapping[str, object]

    def error(self, problem: str, record_id: str = "") -> CorpusError:
        return CorpusError(problem, path=self.path, line=self.line, record_id=shown(record_id))

    def get(self, column: str | None) -> object:
        return None if column is None else self.row.get(column)

    def word(self, column: str | None) -> str:
        """A short cell as a string: whole numbers become digits, null becomes empty."""
        value = self.get(column)
        if value is None:
            return ""
        if isinstance(value, str):
            return value.strip()
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise self.error(f"column {column!r} holds a {type(value).__name__}; write a string")

    def label(self, column: str) -> str:
        """A metadata cell as a string: numbers, dates and booleans as Python writes them, null becomes empty."""
        value = self.get(column)
        if isinstance(value, list | dict):
            raise self.error(f"column {column!r} holds a {type(value).__name__}; write a string")
        return "" if value is None else str(value)


@dataclass(slots=True)
class _Draft:
    """An encounter while its rows come in."""

    encounter_id: str
    codes: dict[str, list[Evidence]] | None
    system: str
    group_id: str
    split: str
    metadata: dict[str, str]
    notes: list[Note] = field(default_factory=list[Note])

    def agrees_with(self, other: _Draft) -> bool:
        codes = None if self.codes is None else set(self.codes)
        return codes == (None if other.codes is None else set(other.codes)) and (
            (self.group_id, self.split, self.metadata) == (other.group_id, other.split, other.metadata)
        )

    def absorb(self, other: _Draft) -> None:
        self.notes += other.notes
        for code, evidence in (other.codes or {}).items():
            (self.codes or {})[code].extend(evidence)

    def encounter(self) -> Encounter:
        codes = None
        if self.codes is not None:
            codes = tuple(GoldCode(code, self.system, tuple(evidence)) for code, evidence in self.codes.items())
        return Encounter(self.encounter_id, tuple(self.notes), codes, self.group_id, self.split, self.metadata)


class _Table:
    """Turns rows into drafts of encounters."""

    def __init__(self, path: Path, columns: TabularColumns, system: str, language: str, separator: str | None) -> None:
        self.path = path
        self.columns = columns
        self.system = system
        self.language = language
        self.separator = _CODE_SEPARATORS if separator is None else re.compile(re.escape(separator))
        self.drafts: dict[str, _Draft] = {}
        self._note_ids: set[str] = set()

    def add(self, cells: _Cells) -> None:
        draft = self._draft(cells)
        note_id = draft.notes[0].note_id
        first = self.drafts.get(draft.encounter_id)
        if note_id in self._note_ids:
            raise cells.error("this id occurs twice; make ids unique, or name the column of note ids", note_id)
        if first is not None and not first.agrees_with(draft):
            problem = "this encounter's rows disagree in their codes, group, split or metadata; make them agree"
            raise cells.error(problem, draft.encounter_id)
        if first is None:
            self.drafts[draft.encounter_id] = draft
        else:
            first.absorb(draft)
        self._note_ids.add(note_id)

    def _draft(self, cells: _Cells) -> _Draft:
        columns = self.columns
        encounter_id = self._id(cells, columns.encounter_id) or str(cells.line)
        note_id = self._id(cells, columns.note_id) or encounter_id
        language = cells.word(columns.language) or self.language
        note = Note(note_id, self._text(cells, encounter_id), cells.word(columns.category), language)
        codes = self._codes(cells, encounter_id)
        draft = _Draft(
            encounter_id,
            None if codes is None else {code: [] for code in codes},
            self.system,
            cells.word(columns.group_id),
            _split_name(cells.word(columns.split)),
            {name: cells.label(name) for name in columns.metadata},
            [note],
        )
        self._attach_evidence(draft, cells)
        return draft

    def _id(self, cells: _Cells, column: str | None) -> str:
        if column is None:
            return ""
        value = cells.word(column)
        if not value:
            raise cells.error(f"column {column!r} is empty; give every row an id")
        return value

    def _text(self, cells: _Cells, encounter_id: str) -> str:
        text = cells.get(self.columns.text)
        if not isinstance(text, str):
            kind = "missing" if text is None else f"of type {type(text).__name__}, not a string"
            raise cells.error(f"the text (column {self.columns.text!r}) is {kind}; mend the row", encounter_id)
        if not text.strip():
            raise cells.error("the note is empty; fill it or remove the row", encounter_id)
        if "\0" in text:
            problem = f"character {text.index(chr(0))} of the note is NUL; remove it and shift any evidence after it"
            raise cells.error(problem, encounter_id)
        if not is_encodable(text):
            raise cells.error("the note holds half of a surrogate pair; write it as valid Unicode", encounter_id)
        return text

    def _codes(self, cells: _Cells, encounter_id: str) -> tuple[str, ...] | None:
        value = cells.get(self.columns.codes)
        if value is None:
            return None
        written = self.separator.split(value) if isinstance(value, str) else value
        if not isinstance(written, list):
            raise cells.error(f"the codes are a {type(value).__name__}; write a list or a string", encounter_id)
        codes = [self._code(code, cells, encounter_id) for code in cast("list[object]", written) if code != ""]
        return tuple(dict.fromkeys(code for code in codes if code))

    def _code(self, code: object, cells: _Cells, encounter_id: str) -> str:
        if not isinstance(code, str):
            problem = f"a code is a {type(code).__name__}; write codes as strings, or zeros are lost (250.10, 041)"
            raise cells.error(problem, encounter_id)
        if not code.strip() or self.system not in SYSTEMS:
            return code.strip()
        try:
            return format_code(code, self.system)
        except CodeError as error:
            raise cells.error(f"{error.problem}; mend the row", encounter_id) from None

    def _attach_evidence(self, draft: _Draft, cells: _Cells) -> None:
        value = cells.get(self.columns.evidence)
        if value is None or value == "":
            return
        if isinstance(value, str):
            value = _parse_json(value, cells, draft.encounter_id)
        for item in _items(value, cells, draft.encounter_id):
            code = self._code(item.get("code"), cells, draft.encounter_id)
            if draft.codes is None or code not in draft.codes:
                raise cells.error("evidence for a code that this row does not have; add the code", draft.encounter_id)
            evidence = Evidence(draft.notes[0].note_id, _spans(item, draft.notes[0].text, cells, draft.encounter_id))
            if evidence not in draft.codes[code]:
                draft.codes[code].append(evidence)


def _split_name(name: str) -> str:
    return "dev" if name.lower() in _DEV_NAMES else name.lower()


def _parse_json(value: str, cells: _Cells, encounter_id: str) -> object:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise cells.error("the evidence is not JSON; write a list of objects", encounter_id) from None


def _items(value: object, cells: _Cells, encounter_id: str) -> Iterator[Mapping[str, object]]:
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    for item in items:
        if not isinstance(item, dict):
            raise cells.error("the evidence is not a list of objects; write {code, start, end}", encounter_id)
        yield cast("dict[str, object]", item)


def _spans(item: Mapping[str, object], text: str, cells: _Cells, encounter_id: str) -> tuple[Span, ...]:
    parts = item.get("parts")
    pairs: object = [[item.get("start"), item.get("end")]] if parts is None else parts
    if not isinstance(pairs, list) or not pairs:
        raise cells.error("the evidence has no offsets; write start and end, or parts", encounter_id)
    return merged_spans(_span(pair, text, cells, encounter_id) for pair in cast("list[object]", pairs))


def _span(pair: object, text: str, cells: _Cells, encounter_id: str) -> Span:
    numbers = cast("Sequence[object]", pair) if isinstance(pair, list | tuple) else ()
    start, end = numbers if len(numbers) == 2 else (None, None)
    if not _is_offset(start) or not _is_offset(end):
        raise cells.error("evidence offsets are whole numbers, a start and an end; mend the row", encounter_id)
    span = Span(cast("int", start), cast("int", end))
    if span.end <= span.start or span.start < 0:
        raise cells.error(f"evidence from {span.start} to {span.end} is no span; mend the row", encounter_id)
    if span.end > len(text):
        problem = f"the evidence ends at {span.end} but the text has {len(text)} characters; mend the row"
        raise cells.error(problem, encounter_id)
    return span


def _is_offset(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
