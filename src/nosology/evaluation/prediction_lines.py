"""Lines of a predictions file: parsed, checked, and told apart from its header."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from nosology.errors import PredictionsError
from nosology.evaluation.judgements import Bools, Floats
from nosology.types import CodedEncounter, Evidence, Span, SuggestedCode

PREDICTIONS_VERSION = 1
_MARK = "nosology_predictions"


@dataclass(frozen=True, slots=True)
class PredictionsHeader:
    """Where a file's predictions come from: an optional first line that files of other systems need not have.

    Args:
        system: what made them, for people.
        corpus: the corpus's name.
        splits: the splits they cover.
        tuned_on: the splits that the thresholds behind ``assigned`` were tuned on; empty where they were tuned on none
            of the encounters listed (inside training, by cross-fitting, or not at all).
        thresholds: how they were tuned, for people.
    """

    system: str = ""
    corpus: str = ""
    splits: tuple[str, ...] = ()
    tuned_on: tuple[str, ...] = ()
    thresholds: str = ""

    def to_line(self) -> str:
        """The line of JSON, without its end."""
        record = {
            _MARK: PREDICTIONS_VERSION,
            "system": self.system,
            "corpus": self.corpus,
            "splits": list(self.splits),
            "tuned_on": list(self.tuned_on),
            "thresholds": self.thresholds,
        }
        return json.dumps(record, ensure_ascii=False)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredLine:
    """One line without its evidence: what figures need.

    Args:
        line: 1-based.
        encounter_id: the encounter's id.
        codes: most probable first.
        probabilities: one a code.
        assigned: one a code.
        failed: why the encounter could not be coded; empty where it could.
    """

    line: int
    encounter_id: str
    codes: list[str]
    probabilities: Floats
    assigned: Bools
    failed: str = ""


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


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(1-based line, text) of the lines that are not blank, the header included."""
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
        raise PredictionsError(f"cannot be read ({reason(error)})", path=path) from error
    if line == 0:
        raise PredictionsError("the file is empty; expected one JSON object a line", path=path)


def _open_for_reading(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def reason(error: BaseException) -> str:
    """Why a file cannot be read or written, in a few words."""
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


class _FormatError(Exception):
    """What is wrong with a line; ``parse_line`` adds where."""


def parse_header(text: str, path: str | Path, line: int) -> PredictionsHeader | None:
    """The header, or ``None`` if the line is that of an encounter.

    Raises:
        PredictionsError: the file is of another version, or its header is broken.
    """
    if _MARK not in text:
        return None
    record = _load(text, path, line)
    if not isinstance(record, dict) or _MARK not in record:
        return None
    row = cast("dict[str, object]", record)
    version = row[_MARK]
    if version != PREDICTIONS_VERSION or isinstance(version, bool):
        raise PredictionsError(
            f"predictions file of version {json.dumps(version)[:20]}; this nosology reads version "
            f"{PREDICTIONS_VERSION}; write the file again or use the nosology that wrote it",
            path=path,
            line=line,
        )
    try:
        return PredictionsHeader(
            system=_text(row, "system"),
            corpus=_text(row, "corpus"),
            splits=_texts(row, "splits"),
            tuned_on=_texts(row, "tuned_on"),
            thresholds=_text(row, "thresholds"),
        )
    except _FormatError as problem:
        raise PredictionsError(f"header: {problem}", path=path, line=line) from None


def _text(row: Mapping[str, object], key: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str):
        raise _FormatError(f"{key!r} must be a string")
    return value


def _texts(row: Mapping[str, object], key: str) -> tuple[str, ...]:
    return tuple(_string(item, f"an entry of {key}") for item in _list(row.get(key, []), key))


def parse_scores(text: str, path: str | Path, line: int) -> ScoredLine:
    """A line without its evidence, checked as ``parse_line`` does but for the evidence, and some five times as fast.

    Raises:
        PredictionsError: the line breaks the format.
    """
    scored = _scored(_load(text, path, line), line)
    if scored is not None:
        return scored
    coded = parse_line(text, path, line, {})  # says what is wrong
    return ScoredLine(
        line,
        coded.encounter_id,
        [suggested.code for suggested in coded.codes],
        np.array([suggested.probability for suggested in coded.codes], dtype=np.float64),
        np.array([suggested.assigned for suggested in coded.codes], dtype=np.bool_),
        coded.failed,
    )


def _scored(record: Any, line: int) -> ScoredLine | None:
    """The line if nothing is wrong with it."""
    try:
        key, rows = record["id"], record["codes"]
        codes, raw, flags = ([row[name] for row in rows] for name in ("code", "probability", "assigned"))
        kinds = (set(map(type, column)) for column in ([key], codes, raw, flags))
        allowed = ({str}, {str}, {float, int}, {bool})
        if not all(found <= fit for found, fit in zip(kinds, allowed, strict=True)):
            return None
        scores = np.array(raw, dtype=np.float64)
        if not key or "" in codes or len(set(codes)) < len(codes):
            return None
    except (TypeError, KeyError, OverflowError):
        return None
    falling = not len(scores) or (scores[-1] >= 0 and scores[0] <= 1 and bool(np.all(scores[1:] <= scores[:-1])))
    if not falling:
        return None
    return ScoredLine(line, key, codes, scores, np.array(flags, dtype=np.bool_), _failure_of(record))


def _failure_of(row: Mapping[str, object]) -> str:
    """Why the encounter could not be coded; whatever else other systems keep under that name is passed over."""
    found = row.get("failed")
    return found if isinstance(found, str) else ""


def _load(text: str, path: str | Path, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PredictionsError("not JSON; expected one JSON object a line", path=path, line=line) from error


def parse_line(text: str, path: str | Path, line: int, codes: dict[str, str]) -> CodedEncounter:
    """The coded encounter of a line.

    Args:
        text: the line.
        path, line: where it stands, for messages.
        codes: one string for each code seen so far; added to.

    Raises:
        PredictionsError: the line breaks the format.
    """
    record = _load(text, path, line)
    encounter_id: str | None = None
    try:
        row = _object(record, "a line", ("id", "codes"))
        encounter_id = _string(row["id"], "id")
        suggested = tuple(_suggested(item, codes) for item in _list(row["codes"], "codes"))
    except _FormatError as problem:
        raise PredictionsError(str(problem), path=path, line=line, record_id=encounter_id) from None
    coded = CodedEncounter(encounter_id, suggested, failed=_failure_of(row))
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
