"""What a lookup in a code system gives: entries, further wordings, results of a search."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class CodeEntry:
    """What is known of one code or heading.

    Args:
        code: formatted; a range (``A00-A09``) for chapters and blocks.
        system: its code system.
        description: the full title, empty where the tables have none.
        kind: ``chapter``, ``block``, ``category``, ``stem`` or ``code``.
        billable: whether it can be billed on the system's date (the newest release without one).
        parent: the code above it, ``None`` at the top.
        valid_from: first day of the oldest table that has it, if an older table lacks it; ``None`` = not known.
        valid_to: the last day before a table that lacks it; ``None`` = no end known.
        title_source: ``official``, ``composed`` (parent's title and 7th character), ``derived`` (what the titles below
            share) or empty.
    """

    code: str
    system: str
    description: str
    kind: str
    billable: bool
    parent: str | None
    valid_from: date | None
    valid_to: date | None
    title_source: str = "official"


class CodeTerm(NamedTuple):
    """A further wording of a code: an inclusion term, an includes note or a short title."""

    code: str
    text: str
    source: str


class CodeHit(NamedTuple):
    """One result of a search; a higher score is better, and scores compare within one search only."""

    code: str
    description: str
    billable: bool
    score: float
