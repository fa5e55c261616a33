"""Writes a discharge summary from its plan: MIMIC's sections, lists and prose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from random import Random

from nosology.corpora.simulation.page import Admission, Page
from nosology.corpora.simulation.phrasing import Frame, read_phrasing
from nosology.corpora.simulation.planning import Item, Plan

_WORDS_OF_SCAFFOLD = 184
_WORDS_OF_MENTION = 8.5
_WORDS_OF_FILLER = 7.6
_FILLER_SHARES = (
    ("results", 0.26),
    ("history", 0.2),
    ("course", 0.3),
    ("exam", 0.09),
    ("medications", 0.1),
    ("instructions", 0.05),
)


class SummaryWriter:
    """Writes one discharge summary.

    Args:
        plan: what to mention; the writer takes items out of it.
        admission: whose admission.
        words: how long the summary should be.
        random: decides.
    """

    def __init__(self, plan: Plan, admission: Admission, words: int, random: Random) -> None:
        self._sections = plan.sections
        self._codes_procedures = plan.codes_procedures
        self._admission = admission
        self._random = random
        self._phrasing = read_phrasing()
        fillers = max(0.0, (words - _WORDS_OF_SCAFFOLD - _WORDS_OF_MENTION * plan.total) / _WORDS_OF_FILLER)
        self._fillers = {section: int(fillers * share + random.random()) for section, share in _FILLER_SHARES}
        self._bullet = ("{n}. ", "- ", "", "* ")[int(random.random() * 4)]
        self._loud = random.random() < 0.2
        self.page = Page(admission, random)

    def write(self) -> Page:
        """The whole summary, section by section."""
        self._header()
        self._allergies()
        self._complaint()
        self._history()
        self._past_history()
        self._social_and_family()
        self._exam()
        self._results()
        self._course()
        self._medications()
        self._discharge()
        return self.page

    def _open(self, section: str, heading: str) -> None:
        self.page.open(section, heading.upper() if self._loud else heading)

    def _items(self, section: str) -> list[Item]:
        return self._sections.get(section, [])

    def _pick(self, lines: Sequence[str]) -> str:
        return lines[int(self._random.random() * len(lines))]

    def _several(self, lines: Sequence[str], number: int) -> Iterable[str]:
        """Lines without repetition as long as there are enough."""
        start = int(self._random.random() * len(lines))
        return (lines[(start + step) % len(lines)] for step in range(number))

    def _frame(self, item: Item, section: str) -> Frame:
        frames = self._phrasing.frames(item.role, section)
        return frames[int(self._random.random() * len(frames))]

    def _header(self) -> None:
        who = self._admission
        self.page.add(
            f"Admission Date:  [**{who.admitted}**]       Discharge Date:  [**{who.discharged}**]\n\n"
            f"Date of Birth:  [**{who.born}**]     Sex:  {'F' if who.female else 'M'}\n\n"
            f"Service: {self._phrasing.services[who.group]}\n\n"
        )

    def _allergies(self) -> None:
        self._open("allergies", "Allergies")
        items = self._items("allergies")
        self.page.add(self._pick(self._phrasing.filler["allergies"]) if not items else "")
        self._lines(items, "allergies", " / ")
        self.page.add(f"\n\nAttending:[**First Name3 (LF) {100 + int(self._random.random() * 900)}**]\n\n")

    def _lines(self, items: Sequence[Item], section: str, separator: str = "\n") -> None:
        for number, item in enumerate(items):
            if number:
                self.page.add(separator)
            self.page.sentence(self._frame(item, section), item)

    def _complaint(self) -> None:
        self._open("chief_complaint", "Chief Complaint")
        items = self._items("chief_complaint")[:3]
        self._sections.setdefault("history", []).extend(self._items("chief_complaint")[3:])
        self._lines(items, "chief_complaint", ", ")
        self.page.add(f"{self._pick(self._phrasing.filler['complaint_filler']) if not items else ''}\n\n")
        self._open("procedure", "Major Surgical or Invasive Procedure")
        done = self._items("procedure")
        self._lines(done, "procedure")
        if not done:
            self.page.add("None" if self._codes_procedures else self._pick(self._phrasing.filler["procedure"]))
        self.page.add("\n\n")

    def _history(self) -> None:
        self._open("history", "History of Present Illness")
        items = self._items("history")
        plain = [item for item in items if not item.role.is_distractor]
        self._opening(plain[:3] if self._random.random() < 0.6 else plain[:1])
        opened = 3 if self._opened_with == 3 else 1
        rest = [*plain[opened:], *(item for item in items if item.role.is_distractor)]
        filler = iter(
            self._several(
                self._phrasing.filler["newborn_history" if not self._admission.age else "history_filler"],
                self._fillers["history"],
            )
        )
        for number, item in enumerate(rest):
            self.page.sentence(self._frame(item, "history"), item, lead=self._pronoun() + " ")
            self.page.add(". ")
            if number % 2:
                self._breathe(filler)
        for section, frame in (
            ("background", "background"),
            ("mechanism", "mechanism"),
            ("finding_history", "implied_history"),
        ):
            for item in self._items(section):
                self.page.sentence(self._frame(item, frame), item)
                self.page.add(" ")
        self.page.add(" ".join(filler) + "\n\n")

    def _breathe(self, filler: Iterator[str]) -> None:
        """One sentence between mentions, if any is left."""
        for line in islice(filler, 1):
            self.page.add(line + " ")

    def _opening(self, items: Sequence[Item]) -> None:
        self._opened_with = 3 if len(items) > 1 else 1
        person = self._person()
        if not items:
            self.page.add(f"{person} who was admitted to the service. ")
            return
        self.page.add(f"{person} with ")
        for number, item in enumerate(items):
            self.page.add("" if not number else " and " if number == len(items) - 1 else ", ")
            self.page.mention(item)
        self.page.add(" who was admitted for further care. ")

    def _person(self) -> str:
        """Who the note is about: "Ms. [**Known lastname 1234**] is a 71 year old woman", "71F"."""
        who, female = self._admission, self._admission.female
        name = f"[**Known lastname {1000 + int(self._random.random() * 9000)}**]"
        draw = self._random.random()
        if not who.age:
            return f"Baby {'girl' if female else 'boy'} {name} is a newborn"
        if draw < 0.4:
            return f"{who.age}{'F' if female else 'M'}"
        sex = ("woman" if female else "man") if draw < 0.7 else ("female" if female else "male")
        return f"{'Ms.' if female else 'Mr.'} {name} is a {who.age} year old {sex}"

    def _pronoun(self) -> str:
        draw = self._random.random()
        if not self._admission.age:
            return "The infant"
        if draw < 0.35:
            return "She" if self._admission.female else "He"
        return "The patient" if draw < 0.8 else "Pt"

    def _past_history(self) -> None:
        self._open("past_history", "Past Medical History")
        items = list(self._items("past_history"))
        self._random.shuffle(items)
        self._list(items, "past_history")
        earlier = self._items("procedure_past")
        if earlier:
            self.page.add("PSH: ")
            self._lines(earlier, "procedure_past", ", ")
            self.page.add("\n")
        self.page.add("\n" if items or earlier else "None.\n\n")

    def _list(self, items: Sequence[Item], section: str) -> None:
        """A numbered or dashed list, or a single line parted by commas."""
        if not self._bullet and len(items) > 1 and self._random.random() < 0.5:
            self._lines(items, section, ", ")
            self.page.add("\n")
            return
        for number, item in enumerate(items, start=1):
            self.page.add(self._bullet.replace("{n}", str(number)))
            self.page.sentence(self._frame(item, section), item)
            self.page.add("\n")

    def _social_and_family(self) -> None:
        self._open("social_history", "Social History")
        social = self._phrasing.filler["social_history" if self._admission.age else "newborn_social"]
        self.page.add(" ".join(self._several(social, 1 + int(self._random.random() * 2))) + "\n\n")
        self._open("family_history", "Family History")
        items = self._items("family_history")
        self._lines(items, "family_history", " ")
        self.page.add(f"{self._pick(self._phrasing.filler['family_filler']) if not items else ''}\n\n")

    def _exam(self) -> None:
        self._open("exam", "Physical Exam")
        self.page.add(self._pick(self._phrasing.filler["signs"]) + "\n")
        lines = self._several(self._phrasing.filler["exam"], 4 + min(10, self._fillers["exam"]))
        self.page.add("\n".join(lines) + "\n\n")

    def _results(self) -> None:
        self._open("results", "Pertinent Results")
        self.page.add("\n".join(self._several(self._phrasing.filler["labs"], 1 + self._fillers["results"])) + "\n")
        finding = self._pick(self._phrasing.group_findings[self._admission.group])
        self.page.add(f"{finding[:1].upper()}{finding[1:]}.\n")
        for item in self._items("results"):
            self.page.sentence(self._frame(item, "implied_results" if item.wording == "lab" else "results"), item)
            self.page.add("\n")
        self.page.add("\n")

    def _course(self) -> None:
        self._open("course", "Brief Hospital Course")
        general = self._several(self._phrasing.filler["course_filler"], self._fillers["course"])
        own = self._several(self._phrasing.group_course[self._admission.group], 2)
        filler = iter([*own, *general])
        sections = {"course": "course", "procedure_course": "procedure_course", "finding_course": "implied_course"}
        items = [(item, frame) for section, frame in sections.items() for item in self._items(section)]
        headed = self._random.random() < 0.5
        for number, (item, frame) in enumerate(items):
            is_heading = headed and frame == "course" and not item.role.is_distractor and self._random.random() < 0.6
            if is_heading and number:
                self.page.add("\n")
            self.page.sentence(self._frame(item, "course_heading" if is_heading else frame), item)
            self.page.add(" ")
            if number % 2:
                self._breathe(filler)
        rest = " ".join(filler)
        self.page.add(f"\n{rest}\n\n" if rest else "\n\n")

    def _medications(self) -> None:
        items = self._items("medications")
        on_admission = [item for item in items if self._random.random() < 0.5]
        common = list(
            self._several(
                self._phrasing.group_medications[self._admission.group], 3 + self._fillers["medications"] // 2
            )
        )
        self._medication_list("Medications on Admission", on_admission, common)
        at_discharge = [item for item in items if item not in on_admission]
        self._medication_list("Discharge Medications", at_discharge, common[1:])

    def _medication_list(self, heading: str, items: Sequence[Item], common: Sequence[str]) -> None:
        self._open(heading.lower().replace(" ", "_"), heading)
        lines: list[Item | str] = [*items, *common]
        self._random.shuffle(lines)
        for number, line in enumerate(lines, start=1):
            self.page.add(f"{number}. ")
            self.page.add(line[:1].upper() + line[1:]) if isinstance(line, str) else self.page.mention(
                line, capital=True
            )
            self.page.add("\n")
        self.page.add("\n")

    def _discharge(self) -> None:
        self._open("disposition", "Discharge Disposition")
        self.page.add(self._pick(self._phrasing.filler["disposition"]) + "\n\n")
        self._open("diagnosis", "Discharge Diagnosis")
        items = self._items("diagnosis")
        self._list(items, "diagnosis")
        self.page.add("\n" if items else "As above.\n\n")
        self._open("condition", "Discharge Condition")
        self.page.add(self._pick(self._phrasing.filler["condition"]) + "\n\n")
        self._instructions()

    def _instructions(self) -> None:
        self._open("instructions", "Discharge Instructions")
        filler = self._phrasing.filler["instructions_filler" if self._admission.age else "newborn_instructions"]
        self.page.add(" ".join(self._several(filler, 2 + self._fillers["instructions"])) + " ")
        self._lines(self._items("instructions"), "instructions", " ")
        self.page.add("\n\n")
        self._open("followup", "Followup Instructions")
        self.page.add(self._pick(self._phrasing.filler["followup"]) + "\n")
