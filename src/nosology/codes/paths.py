"""The codes above codes, for whatever a label list holds: from the tables of their systems, or by their characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nosology.codes.formats import SYSTEMS
from nosology.codes.systems import CodeSystem, open_code_system

_CATEGORY = 3


def paths_above(codes: Sequence[str], system_of: Callable[[str], str]) -> list[tuple[str, ...]]:
    """The codes above each code, nearest first, up to its chapter.

    A code that no table has, or of a system of one's own, has those that its characters name: E11.65 -> E11.6, E11.

    Args:
        codes: labels.
        system_of: the name of a code's system.
    """
    opened = dict[str, CodeSystem]()
    found = list[tuple[str, ...]]()
    for code in codes:
        name = system_of(code)
        if name in SYSTEMS and name not in opened:
            opened[name] = open_code_system(name)
        known = opened[name].ancestors(code) if name in opened else ()
        found.append(known or by_characters(code))
    return found


def by_characters(code: str) -> tuple[str, ...]:
    """The beginnings of a code, longest first, down to three characters.

    >>> by_characters("E11.65")
    ('E11.6', 'E11')
    """
    lengths = range(len(code) - 1, _CATEGORY - 1, -1)
    return tuple(code[:length].rstrip(".") for length in lengths if code[length - 1] != ".")
