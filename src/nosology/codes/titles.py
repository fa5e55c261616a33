"""The titles of labels, in one table that a model takes along, so that coding needs no code tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nosology.codes.systems import CodeSystem


class TitleTable:
    """Title and code system of labels: those of ``rows``, and any other that the open systems know.

    A label that no table has (a stem padded with X, a code that was split) has the title of its nearest ancestor.

    Args:
        rows: (code, system, title).
        systems: where further labels are looked up; none in a saved model, whose rows are complete.
    """

    def __init__(self, rows: Iterable[tuple[str, str, str]] = (), systems: Sequence[CodeSystem] = ()) -> None:
        self._rows = {code: (system, title) for code, system, title in rows}
        self._systems = systems

    def title(self, code: str) -> str:
        """The title, empty where there is none."""
        return self._row(code)[1]

    def system(self, code: str) -> str:
        """The code system, empty for a code that no table has."""
        return self._row(code)[0]

    def exists(self, code: str) -> bool:
        """Whether an open system has exactly this code."""
        return any(code in system for system in self._systems)

    def rows(self, labels: Iterable[str]) -> list[tuple[str, str, str]]:
        """(code, system, title) of some labels, sorted."""
        return [(code, *self._row(code)) for code in sorted(set(labels))]

    def _row(self, code: str) -> tuple[str, str]:
        known = self._rows.get(code)
        if known is None:
            nearest = (system.nearest(code) for system in self._systems)
            entry = next((entry for entry in nearest if entry is not None), None)
            known = ("", "") if entry is None else (entry.system, entry.description)
            self._rows[code] = known
        return known
