"""Read a user's own code system from a CSV or TSV table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nosology.codes.formats import printable
from nosology.codes.tables import NO_TITLE, OFFICIAL, CodeTable, Node
from nosology.errors import CodeError

_YES, _NO = frozenset({"1", "true", "yes", "y"}), frozenset({"0", "false", "no", "n"})


@dataclass(frozen=True, slots=True)
class _TableRow:
    line: int
    code: str
    description: str
    parent: str
    billable: str


def read_own_table(path: Path, name: str) -> CodeTable:
    """Read the columns code, description and, optionally, parent and billable.

    Args:
        path: comma-separated, or tab-separated where the header has a tab; UTF-8.
        name: the system's name.

    Raises:
        CodeError: see ``CodeSystem.from_table``.
    """
    rows: dict[str, _TableRow] = {}
    for row in _read_rows(path):
        if row.code in rows:
            first = rows[row.code].line
            raise CodeError(f"{printable(row.code)} stands twice, first in line {first}", path=path, line=row.line)
        rows[row.code] = row
    if not rows:
        raise CodeError("the table has a header but no code", path=path)
    nodes: dict[str, Node] = {}
    headings = {row.parent for row in rows.values()}
    for row in rows.values():
        _add_with_ancestors(row, rows, nodes, headings, path)
    return CodeTable(name, nodes)


def _add_with_ancestors(
    row: _TableRow, rows: dict[str, _TableRow], nodes: dict[str, Node], headings: set[str], path: Path
) -> None:
    line = [row]
    seen = {row.code}
    while line[-1].parent and line[-1].parent not in nodes:
        child = line[-1]
        if child.parent not in rows:
            raise CodeError(f"unknown parent {printable(child.parent)}", path=path, line=child.line)
        if child.parent in seen:
            raise CodeError(f"{printable(child.parent)} is its own ancestor", path=path, line=child.line)
        seen.add(child.parent)
        line.append(rows[child.parent])
    for member in reversed(line):
        if member.code not in nodes:
            nodes[member.code] = _node(member, headings, path)


def _node(row: _TableRow, headings: set[str], path: Path) -> Node:
    flag = row.billable.casefold()
    if flag and flag not in _YES | _NO:
        raise CodeError("column billable must be yes or no", path=path, line=row.line)
    billable = flag in _YES if flag else row.code not in headings
    kind = "code" if billable else "stem" if row.parent else "category"
    source = OFFICIAL if row.description else NO_TITLE
    return Node(row.code, row.description, kind, row.parent, billable, source)


def _read_rows(path: Path) -> Iterator[_TableRow]:
    text = _read_text(path)
    header_line = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(), delimiter="\t" if "\t" in header_line else ",", strict=True)
    try:
        header = [name.strip().casefold() for name in next(reader, [])]
        _check_header(header, path)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _row(cells, header, path, reader.line_num)
    except csv.Error as error:
        raise CodeError(f"broken row ({error})", path=path, line=reader.line_num) from None


def _check_header(header: list[str], path: Path) -> None:
    missing = [name for name in ("code", "description") if name not in header]
    if missing:
        raise CodeError(f"the header lacks column {' and '.join(missing)}", path=path, line=1)
    if len(set(header)) < len(header):
        raise CodeError("a column stands twice in the header", path=path, line=1)


def _row(cells: list[str], header: list[str], path: Path, line: int) -> _TableRow:
    if len(cells) != len(header):
        raise CodeError(f"{len(cells)} cells where the header has {len(header)}", path=path, line=line)
    values = dict(zip(header, (cell.strip() for cell in cells), strict=True))
    if not values["code"]:
        raise CodeError("the code is empty", path=path, line=line)
    return _TableRow(line, values["code"], values["description"], values.get("parent", ""), values.get("billable", ""))


def _read_text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CodeError(f"cannot read the table: {error.strerror}", path=path) from None
    except UnicodeDecodeError as error:
        raise CodeError(f"not UTF-8 text at byte {error.start}; save it as UTF-8", path=path) from None
    if "\x00" in text:
        raise CodeError("holds a NUL character; this is not a text table", path=path)
    return text
