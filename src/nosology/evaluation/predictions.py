"""The predictions file: what a coder said of each encounter, one JSON object a line.

    {"id": "e1", "codes": [{"code": "I10", "probability": 0.93, "assigned": true,
                            "evidence": [{"note_id": "e1", "start": 10, "end": 22}]}]}

A first line may say where the predictions come from (``PredictionsHeader``); files of other systems need none:

    {"nosology_predictions": 1, "system": "...", "corpus": "codiesp", "splits": ["dev"], "tuned_on": [],
     "thresholds": ""}

Candidates below the threshold are listed too (``assigned`` false), most probable first. A discontinuous span has its
outer bounds in ``start`` and ``end`` and its pieces in ``parts``. A file whose name ends in ``.gz`` is compressed.
An encounter that could not be coded has an empty list and ``"failed": "the reason"``; reports count them.
The file holds neither note text nor the coder's ``abstained`` flag.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar
from uuid import uuid4

from nosology.errors import PredictionsError
from nosology.evaluation.prediction_lines import (
    PREDICTIONS_VERSION,
    PredictionsHeader,
    ScoredLine,
    check_coded,
    numbered_lines,
    parse_header,
    parse_line,
    parse_scores,
    reason,
)
from nosology.types import CodedEncounter, Evidence, SuggestedCode

__all__ = [
    "PREDICTIONS_VERSION",
    "Predictions",
    "PredictionsHeader",
    "PredictionsWriter",
    "ScoredLine",
    "check_coded",
    "iter_predictions",
    "iter_scores",
    "read_header",
    "read_predictions",
    "write_predictions",
]

_Row = TypeVar("_Row", CodedEncounter, ScoredLine)


@dataclass(frozen=True, slots=True)
class Predictions:
    """The contents of a predictions file, or of any other source of coded encounters.

    Args:
        encounters: in file order, no id twice.
        path: where they were read from, for messages; ``None`` if they never were in a file.
        lines: the 1-based line of each encounter; empty if they never were in a file.
        header: where they come from, if the file says so.
    """

    encounters: tuple[CodedEncounter, ...]
    path: str | None = None
    lines: tuple[int, ...] = ()
    header: PredictionsHeader | None = None

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
        header: the first line; none is written by default.

    Raises:
        PredictionsError: the folder does not exist or cannot be written; an encounter is not fit to be written.
    """

    def __init__(self, path: str | Path, header: PredictionsHeader | None = None) -> None:
        self._path = Path(path)
        self._header = header
        self._temporary = self._path.with_name(f".{self._path.name}.{uuid4().hex[:8]}.part")
        self._stream: IO[str] | None = None
        self._seen: set[str] = set()

    def __enter__(self) -> Self:
        try:
            self._stream = _open_for_writing(self._temporary, compressed=self._path.suffix == ".gz")
        except OSError as error:
            raise PredictionsError(f"cannot be written ({reason(error)})", path=self._path) from error
        if self._header is not None:
            self._stream.write(self._header.to_line() + "\n")
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
            raise PredictionsError(f"cannot be written ({reason(failure)})", path=self._path) from failure
        finally:
            self._temporary.unlink(missing_ok=True)


def write_predictions(
    path: str | Path, coded: Iterable[CodedEncounter], header: PredictionsHeader | None = None
) -> int:
    """Write a predictions file atomically.

    Args:
        path: the file; compressed if its name ends in ``.gz``.
        coded: encounters, no id twice; read once, so a generator will do.
        header: the first line; none is written by default.

    Returns:
        The number of encounters written.

    Raises:
        PredictionsError: an encounter is not fit to be written, or the file cannot be written.
    """
    count = 0
    with PredictionsWriter(path, header) as writer:
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
    return Predictions(tuple(encounters), str(path), tuple(lines), read_header(path))


def read_header(path: str | Path) -> PredictionsHeader | None:
    """What a predictions file says of itself, or ``None`` if it says nothing.

    Raises:
        PredictionsError: the file is missing, empty, of another version, or its header is broken.
    """
    for line, text in numbered_lines(Path(path)):
        return parse_header(text, path, line)
    return None


def iter_predictions(path: str | Path) -> Iterator[tuple[int, CodedEncounter]]:
    """Read a predictions file line by line: yields (1-based line, coded encounter), checked as ``read_predictions``."""
    codes: dict[str, str] = {}
    for coded, line in _once(((parse_line(text, path, line, codes), line) for line, text in _rows(path)), path):
        yield line, coded


def iter_scores(path: str | Path) -> Iterator[ScoredLine]:
    """Read a predictions file line by line without its evidence; checked like ``read_predictions`` otherwise."""
    rows = ((parse_scores(text, path, line), line) for line, text in _rows(path))
    return (scored for scored, _ in _once(rows, path))


def _rows(path: str | Path) -> Iterator[tuple[int, str]]:
    """The lines of encounters."""
    first = True
    for line, text in numbered_lines(Path(path)):
        if not (first and parse_header(text, path, line)):
            yield line, text
        first = False


def _once(rows: Iterable[tuple[_Row, int]], path: str | Path) -> Iterator[tuple[_Row, int]]:
    """The same rows; one whose encounter came before is refused."""
    first_line: dict[str, int] = {}
    for row, line in rows:
        earlier = first_line.setdefault(row.encounter_id, line)
        if earlier != line:
            raise PredictionsError(
                f"duplicate id, first on line {earlier}; keep one", path=path, line=line, record_id=row.encounter_id
            )
        yield row, line


def _open_for_writing(path: Path, *, compressed: bool) -> IO[str]:
    return gzip.open(path, "wt", encoding="utf-8") if compressed else path.open("w", encoding="utf-8")


def _to_json(coded: CodedEncounter) -> dict[str, object]:
    failed = {"failed": coded.failed} if coded.failed else {}
    return {"id": coded.encounter_id, **failed, "codes": [_code_to_json(suggested) for suggested in coded.codes]}


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
