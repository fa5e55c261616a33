"""Rows of JSON lines, CSV, TSV and Parquet files as mappings, one at a time, each with the line it starts on.

CSV cells are always strings, so leading zeros stay. A broken row goes to ``Problems``; the others follow.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from nosology.corpora.reading import Problems, decode, is_folder
from nosology.errors import CorpusError, MissingExtraError

Row = tuple[int, Mapping[str, object]]

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_SUFFIXES = (".jsonl", ".ndjson")
_PARQUET_SUFFIXES = (".parquet", ".pq")
_BATCH_ROWS = 512
_BOM = b"\xef\xbb\xbf"


def iterate_rows(path: Path, columns: Sequence[str], problems: Problems) -> Iterator[Row]:
    """The rows of a table, read as a stream.

    Args:
        path: a .jsonl, .ndjson, .csv, .tsv or .parquet file.
        columns: the columns that must be there (in JSON lines: in at least one row).
        problems: takes the rows that cannot be read.

    Yields:
        The 1-based line (in Parquet: row) and the cells by column.

    Raises:
        CorpusError: missing or empty file, unknown kind of file, missing columns; broken rows through ``problems``.
        MissingExtraError: a Parquet file, and pyarrow is not installed.
    """
    suffix = path.suffix.lower()
    _check_file(path)
    if suffix in _JSON_SUFFIXES:
        return _jsonl_rows(path, columns, problems)
    if suffix in _DELIMITERS:
        return _csv_rows(path, _DELIMITERS[suffix], columns, problems)
    if suffix in _PARQUET_SUFFIXES:
        return _parquet_rows(path, columns)
    raise CorpusError("unknown kind of table; use .jsonl, .csv, .tsv or .parquet", path=path)


def _check_file(path: Path) -> None:
    if is_folder(path):
        raise CorpusError("is a folder; name one .jsonl, .csv, .tsv or .parquet file", path=path)
    if path.stat().st_size == 0:
        raise CorpusError("the file is empty; give a table with at least one row", path=path)


def _byte_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """The lines of a file with their number and byte offset; a byte order mark is left out."""
    offset = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                start, offset = offset, offset + len(line)
                if number == 1 and line.startswith(_BOM):
                    start, line = len(_BOM), line[len(_BOM) :]
                yield number, start, line
    except OSError as error:
        raise CorpusError(f"cannot be read ({error.strerror}); check its permissions", path=path) from None


def _jsonl_rows(path: Path, columns: Sequence[str], problems: Problems) -> Iterator[Row]:
    missing, any_row = list(columns), False
    for number, offset, line in _byte_lines(path):
        if not line.strip():
            continue
        any_row, row = True, None
        with problems.guard():
            row = _json_object(decode(line, path, line=number, offset=offset), path, number)
        if row is not None:
            missing = [column for column in missing if column not in row]
            yield number, row
    if not any_row:
        raise CorpusError("the file is empty; give a table with at least one row", path=path)
    if missing:
        raise CorpusError(f"no row has {_named(missing)}; name the columns that the file has", path=path)


def _json_object(text: str, path: Path, line: int) -> Mapping[str, object]:
    try:
        value: object = json.loads(text.rstrip("\r\n"))
    except json.JSONDecodeError as error:
        problem = f"not JSON ({error.msg}, column {error.colno}); put one JSON object on each line"
    except (ValueError, RecursionError):
        problem = "JSON with a number too long or nested too deep; put one plain JSON object on each line"
    else:
        if isinstance(value, dict):
            return cast("dict[str, object]", value)
        problem = "not a JSON object; put one object with named columns on each line"
    raise CorpusError(problem, path=path, line=line)


def _csv_rows(path: Path, delimiter: str, columns: Sequence[str], problems: Problems) -> Iterator[Row]:
    with _long_fields():
        lines = _DecodedLines(path)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        header = _csv_header(reader, lines, path, columns)
        line, any_row = reader.line_num + 1, False
        while True:
            row = None
            with problems.guard():
                cells = _csv_cells(reader, lines, path, line)
                if cells is None:
                    break
                any_row = any_row or bool(cells)
                row = _csv_row(header, cells, path, line) if cells else None
            if row is not None:
                yield line, row
            line = reader.line_num + 1
        if not any_row and not problems.skipped:
            raise CorpusError("the file has a header and no rows; give at least one row", path=path)


def _csv_cells(reader: Iterator[list[str]], lines: _DecodedLines, path: Path, line: int) -> list[str] | None:
    """The next row, empty for a blank line, ``None`` at the end of the file."""
    try:
        cells = next(reader, None)
    except csv.Error as error:
        problem = f"broken quoting ({error}); double the quotes inside a quoted field"
        raise CorpusError(problem, path=path, line=line) from None
    lines.check()
    return cells


class _DecodedLines:
    """Decoded lines for ``csv.reader``; bytes that are not UTF-8 are told by ``check``, once their row is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = _byte_lines(path)
        self._error: CorpusError | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, offset, line = next(self._lines)
        try:
            return decode(line, self.path, line=number, offset=offset)
        except CorpusError as error:
            self._error = self._error or error
            return line.decode("utf-8", errors="replace")

    def check(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


@contextmanager
def _long_fields() -> Generator[None]:
    """Lift the csv module's limit of 131,072 characters a field: notes are longer."""
    previous = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(previous)


def _csv_header(reader: Iterator[list[str]], lines: _DecodedLines, path: Path, columns: Sequence[str]) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise CorpusError(f"broken header ({error}); write the column names in the first line", path=path) from None
    lines.check()
    if not any(header):
        raise CorpusError("the first line is empty; write the column names there", path=path, line=1)
    if len(set(header)) != len(header):
        raise CorpusError("two columns have the same name; rename one", path=path, line=1)
    _check_columns(columns, header, path)
    return header


def _csv_row(header: list[str], cells: list[str], path: Path, line: int) -> Mapping[str, object]:
    if len(cells) != len(header):
        problem = f"the number of cells is {len(cells)}, not {len(header)}; quote fields that hold the separator"
        raise CorpusError(problem, path=path, line=line)
    return dict(zip(header, cells, strict=True))


def _check_columns(columns: Sequence[str], there: Sequence[str], path: Path) -> None:
    missing = [column for column in columns if column not in there]
    if missing:
        raise CorpusError(f"has no {_named(missing)}; name the columns that the file has", path=path)


def _named(columns: Sequence[str]) -> str:
    return ("column " if len(columns) == 1 else "columns ") + ", ".join(map(repr, columns))


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError("Reading Parquet", "parquet") from None
    try:
        file: Any = parquet.ParquetFile(path)  # pyarrow has no type stubs
        _check_columns(columns, file.schema_arrow.names, path)
        line = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns)):
            for row in batch.to_pylist():
                line += 1
                yield line, row
    except (arrow.ArrowException, OSError, UnicodeDecodeError):
        raise CorpusError("is not a readable Parquet file; write it again", path=path) from None
    if line == 0:
        raise CorpusError("the table has no rows; give at least one row", path=path)
