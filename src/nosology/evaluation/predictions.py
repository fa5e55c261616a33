"""The predictions file: what a coder said of each encounter, one JSON object a line.

    {"id": "e1", "codes": [{"code": "I10", "probability": 0.93, "assigned": true,
                            "evidence": [{"note_id": "e1", "start": 10, "end": 22}]}]}

Candidates below the threshold are listed too (``assigned`` false), most probable first. A discontinuous span has its
outer bounds in ``start`` and ``end`` and its pieces in ``parts``. A file whose name ends in ``.gz`` is compressed.
The file holds neither note text nor the coder's ``abstained`` flag.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast
from uuid import uuid4

from nosology.errors import PredictionsError
from nosology.types import CodedEncounter, Evidence, Span, SuggestedCode


@dataclass(frozen=True, slots=True)
class Predictions:
    """The contents of a predictions file, or of any other source of coded encounters.

    Args:
        encounters: in file order, no id twice.
        path: where they were read from, for messages; ``None`` if they never were in a file.
        lines: the 1-based line of each encounter; empty if they never were in a file.
    """

    encounters: tuple[CodedEncounter, ...]
    path: str | None = None
    lines: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.encounters)

    def __iter__(self) -> Iterator[CodedEncounter]:
        return iter(self.encounters)

    def line_of(self, index: int) -> int | None:
        """The line of the encounter at ``index``, or ``None`` if there is no file."""
        return self.lines[index] if self.lines else None


class PredictionsWriter:
    """Writes a predictions file encounter by encounter; the file appears only when everything has been written.

    Use as a context manager. The text goes to a temporary file in the same folder, which takes the final name when the
    block ends without an exception and is removed otherwise, so an interruption leaves no half-written file.

    Args:
        path: the file to write; compressed if its name ends in ``.gz``.

    Raises:
        PredictionsError: the folder does not exist or cannot be written; an encounter is not fit to be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._temporary = self._path.with_name(f".{self._path.name}.{uuid4().hex[:8]}.part")
        self._stream: IO[str] | None = None
        self._seen: set[str] = set()

    def __enter__(self) -> Self:
        try:
            self._stream = _open_for_writing(self._temporary, compressed=self._path.suffix == ".gz")
        except OSError as error:
            raise PredictionsError(f"cannot be written ({_reason(error)})", path=self._path) from error
        return self

    def write(self, coded: CodedEncounter) -> None:
        """Add one encounter."""
        if self._stream is None:
            raise PredictionsError("the writer is closed; use it inside its with block", path=self._path)
        check_coded(coded, path=self._path)
        if coded.encounter_id in self._seen:
            raise PredictionsError("duplicate id; write it once", path=self._path, record_id=coded.encounter_id)
        self._seen.add(coded.encounter_id)
        self._stream.write(json.dumps(_to_json(coded), ensure_ascii=False, allow_nan=False) + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stream, self._stream = self._stream, None
        try:
            if stream is not None:
                stream.close()
            if kind is None:
                os.replace(self._temporary, self._path)
        except OSError as failure:
            raise PredictionsError(f"cannot be written ({_reason(failure)})", path=self._path) from failure
        finally:
            self._temporary.unlink(missing_ok=True)


def write_predictions(path: str | Path, coded: Iterable[CodedEncounter]) -> int:
    """Write a predictions file atomically.

    Args:
        path: the file; compressed if its name ends in ``.gz``.
        coded: encounters, no id twice; read once, so a generator will do.

    Returns:
        The number of encounters written.

    Raises:
        PredictionsError: an encounter is not fit to be written, or the file cannot be written.
    """
    count = 0
    with PredictionsWriter(path) as writer:
        for encounter in coded:
            writer.write(encounter)
            count += 1
    return count


def read_predictions(path: str | Path) -> Predictions:
    """Read and check a predictions file.

    Args:
        path: a JSON-lines file, compressed if its name ends in ``.gz``.

    Returns:
        The coded encounters; their ``system`` and ``description`` are empty, since the file does not hold them.

    Raises:
        PredictionsError: the file is missing or holds a line that breaks the format; names file, line and id.
    """
    encounters: list[CodedEncounter] = []
    lines: list[int] = []
    for line, coded in iter_predictions(path):
        encounters.append(coded)
        lines.append(line)
    return Predictions(tuple(encounters), str(path), tuple(lines))


def iter_predictions(path: str | Path) -> Iterator[tuple[int, CodedEncounter]]:
    """Read a predictions file line by line: yields (1-based line, coded encounter), checked as ``read_predictions``."""
    first_line: dict[str, int] = {}
    codes: dict[str, str] = {}
    for line, text in _numbered_lines(Path(path)):
        coded = _parse_line(text, path, line, codes)
        if coded.encounter_id in first_line:
            earlier = first_line[coded.encounter_id]
            raise PredictionsError(
                f"duplicate id, first on line {earlier}; keep one", path=path, line=line, record_id=coded.encounter_id
            )
        first_line[coded.encounter_id] = line
        yield line, coded


def check_coded(coded: CodedEncounter, *, path: str | Path | None = None, line: int | None = None) -> None:
    """Check what every list of candidates must obey: probabilities in [0, 1], falling, no code twice.

    Raises:
        PredictionsError: names the encounter and the code at fault.
    """
    previous, seen = 1.0, set[str]()
    for suggested in coded.codes:
        problem = _problem_of(suggested, previous, seen)
        if problem is not None:
            raise PredictionsError(problem, path=path, line=line, record_id=coded.encounter_id)
        previous = suggested.probability
        seen.add(suggested.code)


def _problem_of(suggested: SuggestedCode, previous: float, seen: set[str]) -> str | None:
    code, probability = suggested.code, suggested.probability
    if not 0.0 <= probability <= 1.0:  # also true of NaN
        return f"probability of code {code!r} is {probability}; it must lie in [0, 1]"
    if code in seen:
        return f"code {code!r} is listed twice; list each code once"
    if probability > previous:
        return f"code {code!r} is more probable than the one before it; list the most probable first"
    return None


# ------------------------------------------------------------------------------------------------ reading


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    line = 0
    try:
        with _open_for_reading(path) as stream:
            for line, text in enumerate(stream, start=1):
                if text.strip():
                    yield line, text
    except FileNotFoundError as error:
        raise PredictionsError("no such file; write one with 'nosology evaluate --predictions'", path=path) from error
    except UnicodeDecodeError as error:
        raise PredictionsError("not UTF-8; save the file as UTF-8", path=path, line=line + 1) from error
    except (OSError, EOFError, zlib.error) as error:
        raise PredictionsError(f"cannot be read ({_reason(error)})", path=path) from error
    if line == 0:
        raise PredictionsError("the file is empty; expected one JSON object a line", path=path)


def _open_for_reading(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _open_for_writing(path: Path, *, compressed: bool) -> IO[str]:
    return gzip.open(path, "wt", encoding="utf-8") if compressed else path.open("w", encoding="utf-8")


def _reason(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


class _FormatError(Exception):
    """What is wrong with a line; ``_parse_line`` adds where."""


def _parse_line(text: str, path: str | Path, line: int, codes: dict[str, str]) -> CodedEncounter:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PredictionsError("not JSON; expected one JSON object a line", path=path, line=line) from error
    encounter_id: str | None = None
    try:
        row = _object(record, "a line", ("id", "codes"))
        encounter_id = _string(row["id"], "id")
        suggested = tuple(_suggested(item, codes) for item in _list(row["codes"], "codes"))
    except _FormatError as problem:
        raise PredictionsError(str(problem), path=path, line=line, record_id=encounter_id) from None
    coded = CodedEncounter(encounter_id, suggested)
    check_coded(coded, path=path, line=line)
    return coded


def _suggested(item: object, codes: dict[str, str]) -> SuggestedCode:
    row = _object(item, "an entry of 'codes'", ("code", "probability", "assigned"))
    code = _string(row["code"], "code")
    code = codes.setdefault(code, code)  # one string per code, however often it is listed
    probability, assigned = row["probability"], row["assigned"]
    if isinstance(probability, bool) or not isinstance(probability, int | float):
        raise _FormatError(f"probability of code {code!r} is not a number")
    if not isinstance(assigned, bool):
        raise _FormatError(f"'assigned' of code {code!r} is neither true nor false")
    try:
        evidence = tuple(_evidence(span) for span in _list(row.get("evidence", []), "evidence"))
    except _FormatError as problem:
        raise _FormatError(f"evidence of code {code!r}: {problem}") from None
    return SuggestedCode(code, "", _as_float(probability), assigned, evidence)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def _evidence(item: object) -> Evidence:
    row = _object(item, "a span", ("note_id", "start", "end"))
    note_id, outer = _string(row["note_id"], "note_id"), _span(row["start"], row["end"])
    if row.get("parts") is None:
        return Evidence(note_id, (outer,))
    parts = tuple(_part(part) for part in _list(row["parts"], "parts"))
    if not parts or (parts[0].start, parts[-1].end) != outer:
        raise _FormatError("'parts' must begin at 'start' and finish at 'end'")
    if any(left.end > right.start for left, right in pairwise(parts)):
        raise _FormatError("'parts' must be sorted and must not overlap")
    return Evidence(note_id, parts)


def _part(item: object) -> Span:
    bounds = _list(item, "an entry of 'parts'")
    if len(bounds) != 2:
        raise _FormatError("an entry of 'parts' must be [start, end]")
    return _span(bounds[0], bounds[1])


def _span(start: object, end: object) -> Span:
    if not (_is_offset(start) and _is_offset(end)):
        raise _FormatError("'start' and 'end' must be whole numbers, 0 or more")
    span = Span(cast("int", start), cast("int", end))
    if span.start >= span.end:
        raise _FormatError(f"'start' ({span.start}) must be below 'end' ({span.end})")
    return span


def _is_offset(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _object(value: object, what: str, keys: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _FormatError(f"{what} must be a JSON object with the keys {', '.join(keys)}")
    row = cast("dict[str, object]", value)
    missing = [key for key in keys if key not in row]
    if missing:
        raise _FormatError(f"{what} lacks {', '.join(repr(key) for key in missing)}")
    return row


def _list(value: object, what: str) -> list[object]:
    if not isinstance(value, list):
        raise _FormatError(f"'{what}' must be a list" if " " not in what else f"{what} must be a list")
    return cast("list[object]", value)


def _string(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise _FormatError(f"{what!r} must be a string that is not empty")
    return value


# ------------------------------------------------------------------------------------------------ writing


def _to_json(coded: CodedEncounter) -> dict[str, object]:
    return {"id": coded.encounter_id, "codes": [_code_to_json(suggested) for suggested in coded.codes]}


def _code_to_json(suggested: SuggestedCode) -> dict[str, object]:
    return {
        "code": suggested.code,
        "probability": float(suggested.probability),
        "assigned": bool(suggested.assigned),
        "evidence": [_evidence_to_json(evidence) for evidence in suggested.evidence],
    }


def _evidence_to_json(evidence: Evidence) -> dict[str, object]:
    row: dict[str, object] = {"note_id": evidence.note_id, "start": int(evidence.start), "end": int(evidence.end)}
    if len(evidence.parts) > 1:
        row["parts"] = [[int(part.start), int(part.end)] for part in evidence.parts]
    return row
