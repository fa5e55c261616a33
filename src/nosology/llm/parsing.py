"""Codes in what a model wrote freely: other separators, cases, lost dots, and words around them do no harm."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

_CODE = re.compile(r"(?<![A-Za-z0-9.])[A-Za-z]{0,3}\d[A-Za-z0-9]*(?:\s?\.\s?[A-Za-z0-9]+)?(?![A-Za-z0-9])")


class CodeReader:
    """Finds the codes of a label list in text.

    A code is found as it is written (whatever its case, with spaces about its dot), or without its dot where no other
    label is written so. Nothing is guessed: a code of no label is passed over.

    Args:
        labels: the codes.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._exact = {label.upper(): number for number, label in enumerate(labels)}
        bare = defaultdict[str, list[int]](list)
        for number, label in enumerate(labels):
            bare[_bare(label)].append(number)
        self._bare = {text: numbers[0] for text, numbers in bare.items() if len(numbers) == 1}

    def find(self, text: str) -> tuple[int, ...]:
        """Numbers of the labels in a text, in the order of their first mention; none where it names none."""
        found = dict[int, None]()
        for match in _CODE.finditer(text):
            number = self._number(match.group())
            if number is not None:
                found[number] = None
        return tuple(found)

    def _number(self, written: str) -> int | None:
        tight = re.sub(r"\s", "", written).upper()
        found = self._exact.get(tight)
        if found is None and "." not in tight:
            found = self._bare.get(tight)
        if found is None and re.search(r"\s", written):  # "401.9 2 days": the space was a space after all
            return self._number(written.split()[0].rstrip("."))
        return found


def _bare(code: str) -> str:
    return code.replace(".", "").upper()
