"""Decides what an encounter's notes mention: each label never or a few times; uncoded conditions; distractors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, TypeVar

from nosology.corpora.simulation.paraphrase import Wording
from nosology.corpora.simulation.settings import SimulatedConfig
from nosology.corpora.simulation.tables import GROUP_NAMES
from nosology.corpora.simulation.truth import Role
from nosology.corpora.simulation.world import TOPICS_PER_GROUP, World, WorldCode

_Choice = TypeVar("_Choice")

_SECOND_MENTION, _THIRD_MENTION = 0.45, 0.3
_IMPLIED_CHANCE = 0.35
_RAREST_HIDDEN, _RARE_FROM = 0.8, 0.4
"""The hidden share of mentions rises with the code's rank up to this share, reached at this share of the ranks."""
_HEAD_BIAS = 2.0
_HIDDEN_DISTRACTORS = 0.35
_SECTIONS: dict[str, tuple[tuple[str, float], ...]] = {
    "chronic": (("past_history", 0.42), ("history", 0.62), ("course", 0.82), ("diagnosis", 1.0)),
    "status": (("past_history", 0.42), ("background", 0.82), ("diagnosis", 1.0)),
    "mechanism": (("mechanism", 0.8), ("diagnosis", 1.0)),
    "acute": (("course", 0.38), ("history", 0.58), ("diagnosis", 0.86), ("results", 1.0)),
    "symptom": (("chief_complaint", 0.25), ("history", 0.62), ("course", 0.85), ("diagnosis", 1.0)),
}
_DISTRACTORS: tuple[tuple[Role, float], ...] = (
    (Role.NEGATED, 0.36),
    (Role.HISTORICAL, 0.52),
    (Role.RULED_OUT, 0.67),
    (Role.FAMILY, 0.79),
    (Role.COPIED_FORWARD, 0.90),
    (Role.HYPOTHETICAL, 0.97),
    (Role.ALLERGY, 1.0),
)
_DISTRACTOR_SECTIONS: dict[Role, tuple[str, ...]] = {
    Role.NEGATED: ("history", "history", "course", "course", "results"),
    Role.FAMILY: ("family_history",),
    Role.HISTORICAL: ("past_history", "past_history", "history"),
    Role.RULED_OUT: ("course", "course", "results"),
    Role.COPIED_FORWARD: ("past_history", "past_history", "past_history", "history"),
    Role.ALLERGY: ("allergies",),
    Role.HYPOTHETICAL: ("instructions", "instructions", "course"),
}
_INHERITED = ("cardiometabolic", "coronary", "diabetes", "stroke", "oncology", "psychiatric", "renal", "rheumatology")


class Item(NamedTuple):
    """Something to be mentioned: the words, the code's position in the world, the sense, and the wording's kind."""

    text: str
    code: int
    role: Role
    wording: str


@dataclass(slots=True)
class Plan:
    """What to mention in which section, and the labels that stay unmentioned."""

    sections: dict[str, list[Item]] = field(default_factory=dict[str, list[Item]])
    absent: list[int] = field(default_factory=list[int])
    known: int = 0
    total: int = 0

    def put(self, section: str, item: Item) -> None:
        """Add a mention to a section."""
        self.sections.setdefault(section, []).append(item)
        self.known += item.wording == "known"
        self.total += 1


class Planner:
    """Plans encounters of one world."""

    def __init__(self, config: SimulatedConfig, world: World) -> None:
        self._config = config
        self._codes = world.codes
        self._pools = _Pools(world)
        self._hidden_share = [_hidden_share(config.hidden_share, i / len(world.codes)) for i in range(len(world.codes))]
        self._spoken = [_all_wordings(code) for code in world.codes]

    def plan(self, labels: Sequence[int], earlier: Sequence[int], group: int, random: Random) -> Plan:
        """Plan one encounter.

        Args:
            labels: positions of its codes.
            earlier: positions of the codes of the patient's admission before.
            group: the disease group that the admission is for.
            random: decides.
        """
        plan = Plan()
        taken = set(labels)
        for label in labels:
            if random.random() < self._config.absent_share:
                plan.absent.append(label)
            else:
                self._mention(plan, label, Role.LABEL, random)
        for _ in range(_whole(self._config.uncoded_share * (len(labels) - len(plan.absent)), random)):
            self._mention_uncoded(plan, taken, group, random)
        share = self._config.distractor_share
        known = plan.known * share / (1.0 - share)  # of all matches of known expressions, this share is to mislead
        for _ in range(_whole(known, random)):
            self._distract(plan, taken, earlier, group, random, hidden=False)
        for _ in range(_whole(known * _HIDDEN_DISTRACTORS, random)):
            self._distract(plan, taken, earlier, group, random, hidden=True)
        return plan

    def _mention(self, plan: Plan, position: int, role: Role, random: Random) -> None:
        times = 1
        if random.random() < _SECOND_MENTION:
            times += 1 + (random.random() < _THIRD_MENTION)
        code = self._codes[position]
        used: set[str] = set()
        for _ in range(times):
            wording = self._wording(position, random)
            section = _section_for(code, wording, random)
            if section not in used:
                used.add(section)
                plan.put(section, Item(wording.text, position, role, wording.kind))

    def _wording(self, position: int, random: Random) -> Wording:
        code = self._codes[position]
        if (random.random() < self._hidden_share[position] or not code.readable) and (code.hidden or code.implied):
            if code.implied and (not code.hidden or random.random() < _IMPLIED_CHANCE):
                return code.implied[int(random.random() * len(code.implied))]
            return _early(code.hidden, random)
        return Wording(_early(code.readable, random), "known")

    def _mention_uncoded(self, plan: Plan, taken: set[int], group: int, random: Random) -> None:
        position = self._pools.of_group(group, random)
        if position not in taken:
            taken.add(position)
            wording = self._wording(position, random)
            plan.put(
                _section_for(self._codes[position], wording, random),
                Item(wording.text, position, Role.UNCODED, wording.kind),
            )

    def _distract(
        self, plan: Plan, taken: set[int], earlier: Sequence[int], group: int, random: Random, *, hidden: bool
    ) -> None:
        draw = random.random()
        role = next(role for role, bound in _DISTRACTORS if draw <= bound)
        for _ in range(4):
            position = self._distracting(role, earlier, group, taken, random)
            code = self._codes[position]
            wording = self._plain_wording(code, random, hidden=hidden)
            if position not in taken and not self._means_a_label(wording.text, taken):
                sections = _DISTRACTOR_SECTIONS[role]
                plan.put(
                    sections[int(random.random() * len(sections))], Item(wording.text, position, role, wording.kind)
                )
                return

    def _plain_wording(self, code: WorldCode, random: Random, *, hidden: bool) -> Wording:
        if (hidden or not code.readable) and code.hidden:
            return _early(code.hidden, random)
        return Wording(_early(code.readable, random), "known")

    def _means_a_label(self, text: str, taken: set[int]) -> bool:
        lower = text.lower()
        return any(lower in self._spoken[label] for label in taken)

    def _distracting(self, role: Role, earlier: Sequence[int], group: int, taken: set[int], random: Random) -> int:
        """A code that a distractor of this sense could be about."""
        if role is Role.COPIED_FORWARD and earlier and random.random() < 0.8:
            return earlier[int(random.random() * len(earlier))]
        if role is Role.FAMILY:
            return self._pools.inherited(random)
        if role in (Role.HISTORICAL, Role.COPIED_FORWARD):
            return self._pools.past(group, random)
        if role is Role.ALLERGY or random.random() < 0.3:
            return self._pools.symptom(random)
        if random.random() < 0.35:
            return self._pools.sibling(list(taken), random)
        return self._pools.of_group(group, random)


class _Pools:
    """Codes to draw from, frequent ones more often."""

    def __init__(self, world: World) -> None:
        codes = world.codes
        everyone = list(range(len(codes)))
        conditions = [i for i in everyone if codes[i].kind not in ("status", "mechanism")]
        self._groups = [
            [i for i in conditions if any(topic // TOPICS_PER_GROUP == group for topic, _ in codes[i].topics)]
            for group in range(len(GROUP_NAMES))
        ]
        self._past = [
            [i for i in members if codes[i].kind == "acute" and codes[i].code[0] != "C"] for members in self._groups
        ]
        self._symptoms = [i for i in everyone if codes[i].kind == "symptom"] or everyone
        families = {GROUP_NAMES.index(name) for name in _INHERITED}
        self._inherited = [i for i in everyone if codes[i].group in families and codes[i].kind == "chronic"] or everyone
        self._anyone = [i for i in conditions if not codes[i].sex]
        self._category = [code.code[:3] for code in codes]
        self._siblings: dict[str, list[int]] = {}
        for i in conditions:
            self._siblings.setdefault(self._category[i], []).append(i)

    def of_group(self, group: int, random: Random) -> int:
        """A code of a disease group."""
        return _leading(self._groups[group] or self._anyone, random)

    def past(self, group: int, random: Random) -> int:
        """An acute code that can have been and gone; not one with a history code of its own."""
        return _leading(self._past[group] or self._symptoms, random)

    def inherited(self, random: Random) -> int:
        """A chronic code that runs in families."""
        return _leading(self._inherited, random)

    def symptom(self, random: Random) -> int:
        """A symptom."""
        return _leading(self._symptoms, random)

    def sibling(self, positions: Sequence[int], random: Random) -> int:
        """A code of the same category as one of these, perhaps itself."""
        category = self._category[positions[int(random.random() * len(positions))]]
        members = self._siblings.get(category, self._anyone)
        return members[int(random.random() * len(members))]


def _leading(pool: list[int], random: Random) -> int:
    return pool[int(len(pool) * random.random() ** _HEAD_BIAS)]


def _early(wordings: Sequence[_Choice], random: Random) -> _Choice:
    """One of several wordings, the earlier the likelier."""
    return wordings[int(len(wordings) * random.random() ** 1.5)]


def _whole(expected: float, random: Random) -> int:
    return int(expected + random.random())


def _hidden_share(base: float, rank: float) -> float:
    """The rarer a code, the longer its title and the less often it is written that way."""
    return base + max(0.0, _RAREST_HIDDEN - base) * min(1.0, rank / _RARE_FROM)


def _section_for(code: WorldCode, wording: Wording, random: Random) -> str:
    if wording.kind == "drug":
        return "medications"
    if wording.kind == "lab":
        return "results"
    if wording.kind == "finding":
        return "finding_history" if random.random() < 0.35 else "finding_course"
    draw = random.random()
    return next(section for section, bound in _SECTIONS[code.kind] if draw <= bound)


def _all_wordings(code: WorldCode) -> frozenset[str]:
    readable = (wording.lower() for wording in code.readable)
    return frozenset((*readable, *(wording.text.lower() for wording in (*code.hidden, *code.implied))))
