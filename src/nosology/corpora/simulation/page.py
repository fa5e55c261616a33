"""A note under construction: text, and where every mention stands."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from nosology.corpora.simulation.phrasing import Frame, filled
from nosology.corpora.simulation.planning import Item

_PROPER_NAMES = """
hodgkin parkinson alzheimer crohn burkitt merkel cushing graves addison raynaud down turner marfan laennec hashimoto
sjogren lyme candida escherichia staphylococcus streptococcus klebsiella pseudomonas clostridium
"""
_EPONYMS = frozenset(_PROPER_NAMES.split())


@dataclass(frozen=True, slots=True)
class Admission:
    """Who was admitted and when, as the note tells it."""

    age: int
    female: bool
    group: int
    admitted: str
    discharged: str
    born: str

    @property
    def years_of_illness(self) -> tuple[int, int]:
        """When earlier illnesses can have been: the last twenty years of an adult's life, up to the year before."""
        year = int(self.admitted.split("-")[0])
        return (year, year) if not self.age else (year - min(20, self.age), year - 1)


@dataclass(frozen=True, slots=True)
class Placed:
    """A mention in a note: the item, its section and where it stands."""

    item: Item
    section: str
    start: int
    end: int


class Page:
    """A note under construction."""

    __slots__ = ("_length", "_parts", "_random", "_section", "_years", "placed")

    def __init__(self, admission: Admission, random: Random) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._random = random
        self._years = admission.years_of_illness
        self._section = ""
        self.placed: list[Placed] = []

    @property
    def text(self) -> str:
        """What is written so far."""
        return "".join(self._parts)

    def add(self, text: str) -> None:
        """Write plain text."""
        self._parts.append(text)
        self._length += len(text)

    def open(self, section: str, heading: str) -> None:
        """Begin a section."""
        self._section = section
        self.add(f"{heading}:\n")

    def mention(self, item: Item, *, capital: bool = False) -> None:
        """Write the words of a mention, as they begin or continue a sentence, and keep where they stand."""
        text = item.text
        if capital and text[:1].islower():
            text = text[:1].upper() + text[1:]
        elif not capital and _is_common_noun(text):
            text = text[:1].lower() + text[1:]
        start = self._length
        self.add(text)
        self.placed.append(Placed(item, self._section, start, self._length))

    def sentence(self, frame: Frame, item: Item, *, lead: str = "") -> None:
        """Write a mention inside its frame, after ``lead``."""
        before, after = frame.before, frame.after
        if frame.has_slots:
            before = filled(before, self._random, self._years)
            after = filled(after, self._random, self._years)
        if lead:
            self.add(lead)
        self.add(before[:1].upper() + before[1:] if not lead else before)
        self.mention(item, capital=frame.begins)
        self.add(after)


def _is_common_noun(text: str) -> bool:
    """Whether a capital at the beginning is only the title's: "Gout", but not "DVT", "Q fever" or "Crohn's"."""
    word = text.split(" ", 1)[0].split("-", 1)[0]
    return len(word) > 2 and word.isalpha() and word[1:].islower() and word.lower() not in _EPONYMS
