"""What a release says of every admission, whatever its files look like: documents with marked evidence, and codes."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib import resources
from random import Random
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nosology.corpora.simulated import Simulation
from nosology.corpora.simulation.phrasing import filled, read_phrasing
from nosology.corpora.simulation.settings import SimulatedConfig
from nosology.types import Encounter

SUMMARY, ADDENDUM, RADIOLOGY = "summary", "addendum", "radiology"
_CODES_ALONE = 0.11  # MIMIC-III: 58,976 admissions, 52,726 of them with a discharge summary
_WITHOUT_CODES = 133  # of those without a summary, every so many has not even codes (47 rows of blanks)
_COPY_STEP = 7919
_ADDENDUM_SHARE, _OTHER_SHARE = 0.06, 0.035
NOTES_A_CHART = 5
"""No chart has more documents: a summary, what the simulator adds, an addendum and another note."""


class Mark(NamedTuple):
    """Words of a document that stand for a code: half-open offsets."""

    start: int
    end: int
    code: str
    system: str


class Document(NamedTuple):
    """One document of a chart, before it is written into a table."""

    kind: str
    category: str
    description: str
    text: str
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """One admission: whose and when (in the shifted years that the notes tell), documents and codes in order."""

    index: int
    patient: int
    number: int
    admitted: date
    discharged: date
    documents: tuple[Document, ...]
    diagnoses: tuple[str, ...]
    procedures: tuple[str, ...]


class Charts:
    """The admissions of one simulated corpus, and further ones that have codes and no document.

    Args:
        config: what to simulate.
    """

    def __init__(self, config: SimulatedConfig) -> None:
        self.simulation = Simulation(config)
        self.documented = config.n_admissions
        self.system = config.system
        self._is_diagnosis = np.array([code.system == config.system for code in self.simulation.world.codes])
        alone = np.arange(int(config.n_admissions * _CODES_ALONE))
        self._copied = (alone * _COPY_STEP) % config.n_admissions
        self._blank = alone % _WITHOUT_CODES == _WITHOUT_CODES - 1

    def __len__(self) -> int:
        return self.documented + len(self._copied)

    def counts(self, *, diagnoses: bool) -> npt.NDArray[np.int64]:
        """How many diagnoses (or procedures) each admission has."""
        labels = self.simulation.labels
        wanted = np.concatenate([[0], np.cumsum(self._is_diagnosis[labels.codes] == diagnoses)])
        own = wanted[labels.starts[1:]] - wanted[labels.starts[:-1]]
        return np.concatenate([own, np.where(self._blank, 0, own[self._copied])])

    def code_counts(self) -> npt.NDArray[np.int64]:
        """How many admissions with documents carry each code of the world, most frequent first."""
        found = np.bincount(self.simulation.labels.codes, minlength=len(self.simulation.world.codes))
        return np.sort(found[found > 0])[::-1]

    def chart(self, index: int) -> Chart:
        """The admission at a position, drawn from its own source of randomness."""
        if index >= self.documented:
            return self._without_documents(index)
        encounter, _ = next(self.simulation.encounters(index, index + 1))
        facts = encounter.metadata
        shift = timedelta(days=int(facts["date_shift_days"]))
        codes = encounter.codes or ()
        random = Random(f"documents/{self.simulation.config.seed}/{index}")
        return Chart(
            index=index,
            patient=int(self.simulation.patients.patient_of[index]),
            number=int(facts["admission_number"]),
            admitted=date.fromisoformat(facts["admission_date"]) + shift,
            discharged=date.fromisoformat(facts["discharge_date"]) + shift,
            documents=(*_documents(encounter, random), *_addenda(random), *_others(random)),
            diagnoses=tuple(gold.code for gold in codes if gold.system == self.system),
            procedures=tuple(gold.code for gold in codes if gold.system != self.system),
        )

    def _without_documents(self, index: int) -> Chart:
        """An admission of a patient of its own, coded like another one."""
        extra = index - self.documented
        world = self.simulation.world.codes
        labels = [] if self._blank[extra] else self.simulation.labels.of(int(self._copied[extra]))
        day = date(2101, 1, 1) + timedelta(days=(extra * 37) % 36_000)
        return Chart(
            index=index,
            patient=len(self.simulation.patients.admissions) + extra,
            number=1,
            admitted=day,
            discharged=day + timedelta(days=1 + extra % 9),
            documents=(),
            diagnoses=tuple(world[label].code for label in labels if self._is_diagnosis[label]),
            procedures=tuple(world[label].code for label in labels if not self._is_diagnosis[label]),
        )


def _documents(encounter: Encounter, random: Random) -> list[Document]:
    marks: dict[str, list[Mark]] = {}
    for gold in encounter.codes or ():
        for evidence in gold.evidence:
            marks.setdefault(evidence.note_id, []).append(Mark(evidence.start, evidence.end, gold.code, gold.system))
    documents: list[Document] = []
    for position, note in enumerate(encounter.notes):
        kind = RADIOLOGY if note.category == "Radiology" else ADDENDUM if position else SUMMARY
        studies = _other_notes()[RADIOLOGY]["descriptions"]
        study = studies[int(random.random() * len(studies))]
        description = {SUMMARY: "Report", ADDENDUM: "Addendum", RADIOLOGY: study}[kind]
        found = tuple(sorted(marks.get(note.note_id, ())))
        documents.append(Document(kind, note.category, description, note.text, found))
    return documents


@cache
def _other_notes() -> dict[str, dict[str, Any]]:
    file = resources.files("nosology.corpora.simulation").joinpath("data", "other_notes.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _addenda(random: Random) -> list[Document]:
    """For some admissions, what was added to the summary later."""
    if random.random() >= _ADDENDUM_SHARE:
        return []
    lines = read_phrasing().filler["course_filler"]
    said = " ".join(lines[int(random.random() * len(lines))] for _ in range(2 + int(random.random() * 4)))
    by = f"[**Name6 (MD) {100 + int(random.random() * 900)}**]"
    return [Document(ADDENDUM, "Discharge summary", "Addendum", f"ADDENDUM:  {said}\n\nCompleted by:{by}\n")]


def _others(random: Random) -> list[Document]:
    """For some admissions, a note without findings."""
    if random.random() >= _OTHER_SHARE:
        return []
    kinds = list(_other_notes())
    kind = kinds[int(random.random() * len(kinds))]
    note = _other_notes()[kind]
    lines = note["lines"]
    start = int(random.random() * len(lines))
    chosen = (lines[(start + step) % len(lines)] for step in range(max(1, len(lines) // 2)))
    description = note["descriptions"][int(random.random() * len(note["descriptions"]))]
    text = "\n".join(filled(line, random) for line in chosen) + "\n"
    return [Document(kind, note["category"], description, text)]
