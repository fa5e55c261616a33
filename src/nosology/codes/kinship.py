"""Which labels stand near one another in the hierarchy of their code system."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nosology.codes.formats import SYSTEMS
from nosology.codes.systems import open_code_system


class Kinship:
    """The relatives of labels among the labels, nearest first.

    A system that is not installed (your own) has no hierarchy here: the beginnings of a code stand for it.

    Args:
        labels: (code, system) of every label; no code twice.
    """

    def __init__(self, labels: Iterable[tuple[str, str]]) -> None:
        pairs = sorted(set(labels))
        self._above: dict[str, tuple[str, ...]] = {}
        self._below: dict[tuple[str, str], list[str]] = {}
        systems = {name: open_code_system(name) for name in {name for _, name in pairs} if name in SYSTEMS}
        for code, name in pairs:
            above = systems[name].ancestors(code) if name in systems else ()
            self._above[code] = tuple(f"{name} {one}" for one in above or _beginnings(code))
            for one in self._above[code]:
                self._below.setdefault((name, one), []).append(code)
        self._system = dict(pairs)

    def nearest(self, code: str, outside: Iterable[str] = ()) -> tuple[str, ...]:
        """The labels under the closest ancestor that has any, without the code itself and those in ``outside``.

        Empty where the whole chapter has none, or the code is no label.
        """
        left_out = {code, *outside}
        for one in self._above.get(code, ()):
            found = [other for other in self._below[self._system[code], one] if other not in left_out]
            if found:
                return tuple(found)
        return ()

    def shares_category(self, code: str, other: str) -> bool:
        """Whether two labels of one system have the same first three characters."""
        return self._system.get(code) == self._system.get(other) and code[:3] == other[:3]


def _beginnings(code: str) -> Sequence[str]:
    return [code[:length].rstrip(".") for length in range(len(code) - 1, 0, -1)]
