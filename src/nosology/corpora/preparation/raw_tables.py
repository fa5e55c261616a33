"""Tables of a raw release: CSV files with quoted line breaks, read as a stream of whole records, checked strictly.

Quotes are counted before anything is parsed: a line break ends a record where the number of quotes before it is even.
So a quote that is not closed is found in the record that holds it, and every message names file and line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nosology.corpora.preparation.blocks import HashedFile, ahead
from nosology.corpora.preparation.layout import import_arrow, import_compute
from nosology.corpora.preparation.manifest import FileFacts
from nosology.corpora.preparation.runs import positions
from nosology.errors import CorpusError

Bytes = NDArray[np.uint8]
Positions = NDArray[np.int64]

_SUFFIXES = (".csv", ".csv.gz")
_QUOTE, _NEWLINE, _COMMA, _RETURN = (ord(character) for character in '"\n,\r')
_BOM = b"\xef\xbb\xbf"
# The longest note of MIMIC has about 60 kB; a record of this length comes from a quote that is not closed.
_MAX_RECORD_BYTES = 64 << 20
# Less than one byte in so many stands outside quotes: then line breaks are sought there alone.
_SPARSE = 16


def find_table(raw: Path, name: str) -> Path | None:
    """The file of a table, ``.csv`` or ``.csv.gz``, whatever its case, somewhere below ``raw``.

    Args:
        raw: the folder that holds the release.
        name: the table's name; ``hosp/diagnoses_icd`` asks for a folder, too.

    Returns:
        The file; the one without ``.gz`` if both lie in one folder; ``None`` if there is none.

    Raises:
        CorpusError: ``raw`` is no folder, or the table stands in several folders.
    """
    if not raw.is_dir():
        raise CorpusError("no such folder; name the folder of the downloaded release", path=raw)
    wanted = tuple(name.lower().split("/"))
    found = sorted(path for path in raw.rglob("*") if _is_table(path, wanted) and path.is_file())
    folders = sorted({path.parent for path in found})
    if len(folders) > 1:
        others = ", ".join(str(folder.relative_to(raw)) for folder in folders)
        raise CorpusError(f"{name} stands in several folders ({others}); name the one to use", path=raw)
    return min(found, key=lambda path: len(path.name), default=None)


def _is_table(path: Path, wanted: tuple[str, ...]) -> bool:
    parts = tuple(part.lower() for part in path.parts[-len(wanted) :])
    return parts[:-1] == wanted[:-1] and parts[-1] in [wanted[-1] + suffix for suffix in _SUFFIXES]


@dataclass(frozen=True, slots=True)
class Records:
    """Some whole records of a table.

    Args:
        path: the file.
        columns: lower-case name -> arrow array of strings; an empty cell is "".
        data: the bytes the records were parsed from.
        ends: for each record, the position of the line break that ends it.
        offset: where ``data`` starts in the (decompressed) file.
    """

    path: Path
    columns: Mapping[str, Any]
    data: bytes
    ends: Positions
    offset: int

    def __len__(self) -> int:
        return len(self.ends)

    def line(self, index: int) -> int:
        """The 1-based line on which a record starts."""
        return line_at(self.path, self.offset + _start(self.ends, index))

    def numbers(self, column: str, chosen: Any = None) -> NDArray[np.int64]:
        """A column of whole numbers; -1 where the cell is empty.

        Args:
            column: its name.
            chosen: an arrow array of booleans: only these records; ``None`` for all.

        Raises:
            CorpusError: a cell holds something else; names its line.
        """
        compute = import_compute()
        cells = self.columns[column] if chosen is None else self.columns[column].filter(chosen)
        cells = compute.utf8_trim_whitespace(cells)
        wrong = compute.invert(compute.match_substring_regex(cells, "^[0-9]{0,18}$")).to_numpy(zero_copy_only=False)
        if wrong.any():
            index = int(np.argmax(wrong))
            if chosen is not None:
                index = int(np.flatnonzero(chosen.to_numpy(zero_copy_only=False))[index])
            problem = f"{column} is not a whole number; restore the release's file"
            raise CorpusError(problem, path=self.path, line=self.line(index))
        filled = compute.if_else(compute.equal(cells, ""), "-1", cells)
        return cast("NDArray[np.int64]", filled.cast("int64").to_numpy(zero_copy_only=False))


class RawTable:
    """A table of the release, read once from start to end.

    Args:
        path: a ``.csv`` or ``.csv.gz`` file.
        required: the columns that are read, in lower case; the header may write them in any case.
        optional: columns read if they are there.
        progress: called with the number of bytes read from the disk, each time some are.
    """

    def __init__(
        self,
        path: Path,
        required: Sequence[str],
        optional: Sequence[str] = (),
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.path = path
        self.rows = 0
        self._required, self._optional = required, optional
        self._file = HashedFile(path, progress)

    @property
    def facts(self) -> FileFacts:
        """Length and hash of the file, once it has been read to its end."""
        return self._file.facts

    def records(self) -> Iterator[Records]:
        """The records in file order, some megabytes at a time; each has the required columns and those it could find.

        Raises:
            CorpusError: what is wrong, with its line: a missing column, a quote that is not closed, a row with too few
                or too many cells, bytes that are not UTF-8, a gzip file cut short.
            MissingExtraError: pyarrow is not installed.
        """
        chunks = ahead(_record_chunks(self._file, self.path))
        header, chunk = _split_header(next(chunks, None), self.path)
        self._check_columns(header)
        wanted = [name for name in (*self._required, *self._optional) if name in header]
        while chunk is not None:
            if len(chunk.ends):
                columns = _parse(chunk, header, wanted, self.path)
                self.rows += len(chunk.ends)
                yield Records(self.path, columns, chunk.data, chunk.ends, chunk.offset)
            chunk = next(chunks, None)

    def _check_columns(self, header: Sequence[str]) -> None:
        missing = [name for name in self._required if name not in header]
        if missing:
            names = ", ".join(missing)
            problem = f"the header has no column {names}; restore the release's file, or rename the column back"
            raise CorpusError(problem, path=self.path, line=1)
        if len(set(header)) != len(header):
            raise CorpusError("two columns have the same name; restore the release's file", path=self.path, line=1)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Whole records: their bytes, where each ends, and where the first starts in the file."""

    data: bytes
    ends: Positions
    offset: int


def _record_chunks(file: HashedFile, path: Path) -> Iterator[_Chunk]:
    carry, offset = b"", 0
    for block in file.blocks():
        data = carry + block
        if offset == 0 and data.startswith(_BOM):
            data, offset = data[len(_BOM) :], len(_BOM)
        chunk = _whole_records(data, offset, path)
        if chunk is None:
            carry = data
            if len(carry) > _MAX_RECORD_BYTES:
                raise _unclosed(path, offset)
            continue
        yield chunk
        carry = data[len(chunk.data) :]
        offset += len(chunk.data)
    if carry.strip():
        last = _whole_records(carry + b"\n", offset, path)
        if last is None or len(last.data) != len(carry) + 1:
            raise _unclosed(path, offset if last is None else offset + len(last.data))
        yield last


def _whole_records(data: bytes, offset: int, path: Path) -> _Chunk | None:
    """The records of ``data`` that end in it, checked; ``None`` if none does. Blank lines count as records."""
    values = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(values == _QUOTE)
    ends = _breaks_outside(values, quotes)
    if not len(ends):
        return None
    cut = int(ends[-1]) + 1
    wrong = _first_wrong_quote(values, quotes[: np.searchsorted(quotes, cut)])
    if wrong is not None:
        raise _unclosed(path, offset + _start(ends, int(np.searchsorted(ends, wrong))))
    return _Chunk(data[:cut], ends, offset)


def _breaks_outside(values: Bytes, quotes: Positions) -> Positions:
    """The line breaks outside quotes. Notes lie inside: looking only between them saves most of the work."""
    after = np.concatenate([[0], quotes[1::2] + 1])
    before = np.append(quotes[0::2], len(values))[: len(after)]
    sizes = before - after
    if int(sizes.sum()) * _SPARSE > len(values):
        breaks = np.flatnonzero(values == _NEWLINE)
        return breaks[(np.searchsorted(quotes, breaks) & 1) == 0]
    outside = positions(after, sizes)
    return outside[values[outside] == _NEWLINE]


def _first_wrong_quote(values: Bytes, quotes: Positions) -> int | None:
    """The first quote out of place: an opening one follows a separator (or the quote it doubles), a closing one stands
    before one.

    Where a quote is not closed, the next record's opening quote closes it, and a word of a note follows: so the first
    quote out of place lies in the record that is at fault.
    """
    opening, closing = quotes[0::2], quotes[1::2]
    before = np.where(opening == 0, _NEWLINE, values[opening - 1])
    after = values[closing + 1]
    wrong = np.concatenate(
        [
            opening[(before != _COMMA) & (before != _NEWLINE) & (before != _QUOTE)],
            closing[(after != _COMMA) & (after != _NEWLINE) & (after != _QUOTE) & (after != _RETURN)],
        ]
    )
    return int(wrong.min()) if len(wrong) else None


def _unclosed(path: Path, offset: int) -> CorpusError:
    problem = "in the record that starts here a quote is not closed, or not doubled inside a field; mend the file"
    return CorpusError(problem, path=path, line=line_at(path, offset))


def _split_header(chunk: _Chunk | None, path: Path) -> tuple[list[str], _Chunk]:
    if chunk is None or not chunk.data.strip():
        raise CorpusError("the file is empty; download it again", path=path)
    first, rest = chunk.data[: int(chunk.ends[0])], chunk.data[int(chunk.ends[0]) + 1 :]
    names = first.decode("utf-8", errors="replace").strip().split(",")
    header = [name.strip().strip('"').lower() for name in names]
    return header, _Chunk(rest, chunk.ends[1:] - len(first) - 1, chunk.offset + len(first) + 1)


def _parse(chunk: _Chunk, header: Sequence[str], wanted: Sequence[str], path: Path) -> dict[str, Any]:
    arrow, _ = import_arrow()
    import pyarrow.csv as arrow_csv

    bad: list[Any] = []

    def note_bad(row: Any) -> str:
        bad.append(row)
        return "skip"

    try:
        table = arrow_csv.read_csv(
            arrow.BufferReader(chunk.data),
            arrow_csv.ReadOptions(column_names=list(header), use_threads=False, block_size=len(chunk.data) + 1),
            arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=note_bad),
            arrow_csv.ConvertOptions(
                include_columns=list(wanted),
                column_types=dict.fromkeys(header, arrow.string()),
                strings_can_be_null=False,
            ),
        )
    except (arrow.ArrowInvalid, UnicodeDecodeError):
        raise _undecodable(chunk, path) from None
    if bad:
        line = line_at(path, chunk.offset + _start(chunk.ends, int(bad[0].number) - 1))
        problem = f"{bad[0].actual_columns} cells where the header has {bad[0].expected_columns}; mend the row"
        raise CorpusError(problem, path=path, line=line)
    if table.num_rows != len(chunk.ends):
        problem = f"{table.num_rows} records were read where {len(chunk.ends)} stand; please report it"
        raise CorpusError(problem, path=path, line=line_at(path, chunk.offset))
    return {name: table.column(name).combine_chunks() for name in wanted}


def _undecodable(chunk: _Chunk, path: Path) -> CorpusError:
    try:
        chunk.data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = line_at(path, chunk.offset + error.start)
        return CorpusError("a byte here is not UTF-8; convert the file to UTF-8", path=path, line=line)
    return CorpusError(
        "cannot be parsed as CSV near here; download it again", path=path, line=line_at(path, chunk.offset)
    )


def _start(ends: Positions, index: int) -> int:
    """Where a record starts, in the bytes in which the records end at ``ends``."""
    return 0 if index == 0 else int(ends[index - 1]) + 1


def line_at(path: Path, offset: int) -> int:
    """The 1-based line of a byte of a (decompressed) file; reads it again, as only an error asks for a line."""
    line, left = 1, offset
    for block in HashedFile(path).blocks():
        line += block.count(b"\n", 0, min(left, len(block)))
        left -= len(block)
        if left <= 0:
            break
    return line
