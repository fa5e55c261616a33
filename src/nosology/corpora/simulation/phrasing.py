"""Sentence frames and ready-made filler: everything in a note that is not a mention."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, cast

from nosology.corpora.simulation.tables import read_frames, read_groups
from nosology.corpora.simulation.truth import Role

_SLOT = re.compile(r"\{(\w+)\}")
_VARIANTS = 24
_FILLER_SEED = 7


@dataclass(frozen=True, slots=True)
class Frame:
    """A sentence around a mention: what stands before and after it, and whether the mention begins a sentence."""

    before: str
    after: str
    begins: bool
    has_slots: bool


def filled(text: str, random: Random, years: tuple[int, int] = (2101, 2160)) -> str:
    """Fill the slots of a template with numbers, dates, plans, and years between two years."""
    return _SLOT.sub(lambda match: _slot(match.group(1), random, years), text)


def _slot(name: str, random: Random, years: tuple[int, int]) -> str:
    if name == "plan":
        plans = cast("list[str]", read_frames()["plans"]["general"])
        return plans[int(random.random() * len(plans))]
    if name == "date":
        return f"{1 + int(random.random() * 12)}-{1 + int(random.random() * 28)}"
    if name == "year":
        return str(years[0] + int(random.random() * (years[1] - years[0] + 1)))
    low, high = {
        "n": (1, 9),
        "n2": (10, 99),
        "n3": (100, 999),
        "n4": (1000, 9999),
        "d1": (0, 9),
        "d2": (0, 9),
        "d3": (2, 9),
        "age": (45, 88),
    }[name]
    return str(low + int(random.random() * (high - low + 1)))


def _frame(text: str) -> Frame:
    before, _, after = text.partition("{m}")
    begins = (not before and after.endswith(".")) or before.endswith(("# ", ". ", ": "))
    return Frame(before, after, begins, "{" in before or "{" in after)


class Phrasing:
    """Frames by sense and section, and pools of filler; built once."""

    def __init__(self) -> None:
        data = read_frames()
        self.present = _frames_by_section(data["present"])
        self.distractors = {Role(name): _frames_by_section(rows) for name, rows in data["distractor"].items()}
        random = Random(_FILLER_SEED)
        scaffold = cast("Mapping[str, list[str]]", data["scaffold"])
        self.filler = {name: _ready_made(lines, random) for name, lines in scaffold.items()}
        self.group_medications = [
            _shuffled((*group.medications, *scaffold["medications"]), random) for group in read_groups()
        ]
        self.group_findings = [group.findings for group in read_groups()]
        self.group_course = [group.course for group in read_groups()]
        self.services = [group.service for group in read_groups()]

    def frames(self, role: Role, section: str) -> Sequence[Frame]:
        """The frames for a mention of this sense in this section."""
        return self.distractors[role][section] if role.is_distractor else self.present[section]


@cache
def read_phrasing() -> Phrasing:
    """The phrasing, read once."""
    return Phrasing()


def _frames_by_section(rows: Mapping[str, Any]) -> dict[str, tuple[Frame, ...]]:
    return {section: tuple(_frame(text) for text in cast("list[str]", texts)) for section, texts in rows.items()}


def _ready_made(lines: Sequence[str], random: Random) -> tuple[str, ...]:
    """Rounds of all lines, slots filled anew in each, so that a line comes back only after all others."""
    rounds = _VARIANTS if any("{" in line for line in lines) else 1
    return tuple(filled(line, random) for _ in range(rounds) for line in _shuffled(lines, random))


def _shuffled(lines: Sequence[str], random: Random) -> tuple[str, ...]:
    return tuple(sorted(lines, key=lambda _: random.random()))
