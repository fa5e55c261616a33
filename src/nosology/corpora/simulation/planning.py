"""Decides what an encounter's notes mention: each label never or a few times; uncoded conditions; distractors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, TypeVar

import numpy as np

from nosology.corpora.simulation.expressions import contains, normalized
from nosology.corpora.simulation.paraphrase import Wording
from nosology.corpora.simulation.population import planned_counts
from nosology.corpora.simulation.settings import SimulatedConfig
from nosology.corpora.simulation.tables import GROUP_NAMES
from nosology.corpora.simulation.truth import Role
from nosology.corpora.simulation.world import TOPICS_PER_GROUP, World, WorldCode

_Choice = TypeVar("_Choice")

_SECOND_MENTION, _THIRD_MENTION = 0.45, 0.3
_IMPLIED_CHANCE = 0.35
_RARE_FROM = 0.2
"""Codes behind this share of the ranks are as rare as it gets; what is said of rare codes grows up to there."""
_RAREST_HIDDEN = 0.92
_RAREST_ABSENT = 2.0
"""How often the rarest codes stay unmentioned, as a multiple of the mean: nobody writes out what hardly matters."""
_MOST_ABSENT = 0.6
_SIBLING_SHARE = 0.45
"""Of the mentions of the rarest codes, how many use words that rather mean a sibling: which it is stands elsewhere."""
_SIBLING_WORDINGS = 12
_UNCODED_BIAS, _DISTRACTOR_BIAS = 1.6, 1.3
_HEAD_WORDING, _TAIL_WORDING = 1.5, 1.0
"""How strongly the first wordings are preferred; people agree on what to call what they see every day."""
_HIDDEN_DISTRACTORS = 0.35
_SECTIONS: dict[str, tuple[tuple[str, float], ...]] = {
    "chronic": (("past_history", 0.42), ("history", 0.62), ("course", 0.82), ("diagnosis", 1.0)),
    "status": (("past_history", 0.42), ("background", 0.82), ("diagnosis", 1.0)),
    "mechanism": (("mechanism", 0.8), ("diagnosis", 1.0)),
    "acute": (("course", 0.38), ("history", 0.58), ("diagnosis", 0.86), ("results", 1.0)),
    "procedure": (("procedure", 0.62), ("procedure_course", 1.0)),
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
_NOT_DONE: dict[Role, tuple[str, ...]] = {
    Role.HISTORICAL: ("procedure_past",),
    Role.COPIED_FORWARD: ("procedure_past",),
    Role.RULED_OUT: ("procedure_course",),
    Role.HYPOTHETICAL: ("procedure_course",),
}
"""In what senses, and where, a note mentions procedures that nobody did during this stay."""
_NOT_DONE_SHARE = 0.4
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
    """What to mention in which section, the labels that stay unmentioned, and whether procedures are coded at all."""

    sections: dict[str, list[Item]] = field(default_factory=dict[str, list[Item]])
    absent: list[int] = field(default_factory=list[int])
    codes_procedures: bool = False
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
        self._rarity = rarity(len(world.codes))
        self._hidden_share = [_rising(config.hidden_share, _RAREST_HIDDEN, rare) for rare in self._rarity]
        self._absent_share = _absent_shares(config, self._rarity)
        self._sibling_wordings: dict[int, tuple[Wording, ...]] = {}
        self._spoken = [_all_wordings(code) for code in world.codes]

    def plan(self, labels: Sequence[int], earlier: Sequence[int], group: int, random: Random) -> Plan:
        """Plan one encounter.

        Args:
            labels: positions of its codes.
            earlier: positions of the codes of the patient's admission before.
            group: the disease group that the admission is for.
            random: decides.
        """
        plan = Plan(codes_procedures=bool(self._pools.procedures))
        taken = set(labels)
        for label in labels:
            if random.random() < self._absent_share[label]:
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
            wording = self._label_wording(position, random)
            section = _section_for(code, wording, random)
            if section not in used:
                used.add(section)
                plan.put(section, Item(wording.text, position, role, wording.kind))

    def _label_wording(self, position: int, random: Random) -> Wording:
        if random.random() < _SIBLING_SHARE * self._rarity[position]:
            loose = self._loose_wordings(position)
            if loose:
                return loose[int(random.random() * len(loose))]
        return self._wording(position, random)

    def _loose_wordings(self, position: int) -> tuple[Wording, ...]:
        """Hidden wordings of siblings that hold no known expression of the code itself."""
        if position not in self._sibling_wordings:
            known = self._codes[position].known
            found = [
                Wording(wording.text, "sibling")
                for other in self._pools.siblings(position)
                for wording in self._codes[other].hidden[:3]
                if not any(contains(normalized(wording.text), expression) for expression in known)
            ]
            self._sibling_wordings[position] = tuple(found[:_SIBLING_WORDINGS])
        return self._sibling_wordings[position]

    def _wording(self, position: int, random: Random) -> Wording:
        code = self._codes[position]
        if (random.random() < self._hidden_share[position] or not code.readable) and (code.hidden or code.implied):
            if code.implied and (not code.hidden or random.random() < _IMPLIED_CHANCE):
                return code.implied[int(random.random() * len(code.implied))]
            return _early(code.hidden, random, _rising(_HEAD_WORDING, _TAIL_WORDING, self._rarity[position]))
        return Wording(_early(code.readable, random), "known")

    def _mention_uncoded(self, plan: Plan, taken: set[int], group: int, random: Random) -> None:
        position = self._pools.uncoded(group, random)
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
                sections = (_NOT_DONE if code.kind == "procedure" else _DISTRACTOR_SECTIONS)[role]
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
        if role in _NOT_DONE and self._pools.procedures and random.random() < _NOT_DONE_SHARE:
            return self._pools.procedure(random)
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
        conditions = [i for i in everyone if codes[i].kind not in ("status", "mechanism", "procedure")]
        self.procedures = [i for i in everyone if codes[i].kind == "procedure"]
        self._procedures = frozenset(self.procedures)
        self._groups = [
            [i for i in conditions if any(topic // TOPICS_PER_GROUP == group for topic, _ in codes[i].topics)]
            for group in range(len(GROUP_NAMES))
        ]
        self._past = [
            [i for i in members if codes[i].kind == "acute" and codes[i].code[0] != "C"] for members in self._groups
        ]
        self._symptoms = [i for i in everyone if codes[i].kind == "symptom"] or conditions
        families = {GROUP_NAMES.index(name) for name in _INHERITED}
        chronic = [i for i in conditions if codes[i].kind == "chronic"]
        self._inherited = [i for i in chronic if codes[i].group in families] or conditions
        self._anyone = [i for i in conditions if not codes[i].sex]
        self._category = [f"{code.system} {code.code[:3]}" for code in codes]
        self._siblings: dict[str, list[int]] = {}
        for i in (*conditions, *self.procedures):
            self._siblings.setdefault(self._category[i], []).append(i)

    def uncoded(self, group: int, random: Random) -> int:
        """A code of a disease group, for a mention that nobody coded."""
        return _leading(self._groups[group] or self._anyone, random, _UNCODED_BIAS)

    def of_group(self, group: int, random: Random) -> int:
        """A code of a disease group."""
        return _leading(self._groups[group] or self._anyone, random)

    def past(self, group: int, random: Random) -> int:
        """An acute code that can have been and gone; not one with a history code of its own."""
        return _leading(self._past[group] or self._symptoms, random)

    def inherited(self, random: Random) -> int:
        """A chronic code that runs in families."""
        return _leading(self._inherited, random)

    def procedure(self, random: Random) -> int:
        """A procedure."""
        return _leading(self.procedures, random)

    def symptom(self, random: Random) -> int:
        """A symptom."""
        return _leading(self._symptoms, random)

    def siblings(self, position: int) -> list[int]:
        """The other codes of a code's category, the most frequent first."""
        return [other for other in self._siblings.get(self._category[position], ()) if other != position]

    def sibling(self, positions: Sequence[int], random: Random) -> int:
        """A code of the same category as one of these, perhaps itself."""
        position = positions[int(random.random() * len(positions))]
        members = self._siblings.get(self._category[position], self._anyone)
        if members[0] in self._procedures:  # a negated or feared procedure is no sentence anyone would write
            members = self._anyone
        return members[int(random.random() * len(members))]


def _leading(pool: list[int], random: Random, bias: float = _DISTRACTOR_BIAS) -> int:
    return pool[int(len(pool) * random.random() ** bias)]


def _early(wordings: Sequence[_Choice], random: Random, bias: float = _HEAD_WORDING) -> _Choice:
    """One of several wordings, the earlier the likelier."""
    return wordings[int(len(wordings) * random.random() ** bias)]


def _whole(expected: float, random: Random) -> int:
    return int(expected + random.random())


def rarity(n_codes: int) -> list[float]:
    """How rare the codes of a world are, in [0, 1], by their rank."""
    return [min(1.0, rank / (n_codes * _RARE_FROM)) for rank in range(n_codes)]


def _rising(frequent: float, rare: float, rarity: float) -> float:
    """A share that goes from that of frequent codes to that of rare ones."""
    return frequent + (rare - frequent) * rarity


def _absent_shares(config: SimulatedConfig, rarities: Sequence[float]) -> list[float]:
    """How often each code stays unmentioned: rare ones more often, ``absent_share`` over all labels."""
    counts = planned_counts(len(rarities), config.n_admissions, config.labels_per_note, config.curve_codes)
    mean_rarity = float(counts @ np.array(rarities)) / max(1, int(counts.sum()))
    rarest = min(_MOST_ABSENT, _RAREST_ABSENT * config.absent_share, config.absent_share / max(mean_rarity, 1e-9))
    rarest = max(rarest, config.absent_share)
    frequent = max(0.0, (config.absent_share - rarest * mean_rarity) / max(1.0 - mean_rarity, 1e-9))
    return [_rising(frequent, rarest, rare) for rare in rarities]


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
