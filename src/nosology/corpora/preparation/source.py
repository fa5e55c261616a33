"""The tables of one release, each opened once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from nosology.corpora.preparation.manifest import FileFacts
from nosology.corpora.preparation.raw_tables import RawTable


class Source:
    """The tables of a release: opens each once, and knows their hashes afterwards.

    Args:
        raw: the folder of the release.
        tables: the file of each table.
        advance: called with the name of the table and the number of bytes read, each time some are.
    """

    def __init__(self, raw: Path, tables: Mapping[str, Path], advance: Callable[[str, int], None]) -> None:
        self._raw, self._paths, self._advance = raw, tables, advance
        self._opened: dict[str, RawTable] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def open(self, name: str, required: Iterable[str], optional: Iterable[str] = ()) -> RawTable:
        """A table, to be read to its end; the columns are in lower case."""
        path = self._paths[name]
        table = RawTable(path, tuple(required), tuple(optional), lambda count: self._advance(path.name, count))
        self._opened[name] = table
        return table

    def facts(self) -> dict[str, FileFacts]:
        """Length and hash of every table, by its path in the release."""
        return {self.name(name): table.facts for name, table in self._opened.items()}

    def name(self, table: str) -> str:
        """The path of a table inside the release."""
        return self._paths[table].relative_to(self._raw).as_posix()

    def files(self) -> dict[str, Path]:
        """The file of every table, by its path in the release."""
        return {self.name(name): path for name, path in self._paths.items()}
