"""The titles of labels, in one table that a model takes along, so that coding needs no code tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nosology.codes.systems import CodeSystem


class TitleTable:
    """Title and code system of labels.

    A label that no table has (a stem padded with X, a code that was split) has the title of its nearest ancestor.

    Args:
        rows: (code, system, title).
    """

    def __init__(self, rows: Iterable[tuple[str, str, str]] = ()) -> None:
        self._rows = {code: (system, title) for code, system, title in rows}

    @staticmethod
    def of(systems: Sequence[CodeSystem]) -> TitleTable:
        """The titles of every code; held in memory, because forked workers must not share a database connection."""
        entries = ((code, system.name, title) for system in systems for code, title, _ in system.entries())
        return TitleTable(entries)

    def title(self, code: str) -> str:
        """The title, empty where there is none."""
        return self.entry(code)[1]

    def system(self, code: str) -> str:
        """The code system, empty for a code without any known beginning."""
        return self.entry(code)[0]

    def entry(self, code: str) -> tuple[str, str]:
        """System and title; both empty for a code without any known beginning."""
        return self._rows.get(code) or self._nearest(code)

    def exists(self, code: str) -> bool:
        """Whether the table has exactly this code."""
        return code in self._rows

    def rows(self, labels: Iterable[str]) -> list[tuple[str, str, str]]:
        """(code, system, title) of some labels, sorted."""
        return [(code, *self.entry(code)) for code in sorted(set(labels))]

    def _nearest(self, code: str) -> tuple[str, str]:
        beginnings = (code[:length].rstrip(".") for length in range(len(code), 0, -1))
        return next((self._rows[start] for start in beginnings if start in self._rows), ("", ""))
