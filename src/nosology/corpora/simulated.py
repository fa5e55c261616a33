"""Simulated discharge summaries with known codes and evidence: the corpus that needs no licence and no download.

    >>> corpus = simulate_corpus(SimulatedConfig(n_admissions=5, n_codes=200))
    >>> len(corpus)
    5

How it works, what is realistic and what is not: ``docs/simulator.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from random import Random

import numpy as np

from nosology.corpora.simulation.page import Admission, Page
from nosology.corpora.simulation.phrasing import read_phrasing
from nosology.corpora.simulation.planning import Planner
from nosology.corpora.simulation.population import Labels, Patients, draw_labels, draw_patients, draw_splits
from nosology.corpora.simulation.second_notes import take_for_second_note, write_addendum, write_radiology
from nosology.corpora.simulation.settings import SimulatedConfig
from nosology.corpora.simulation.tables import PROCEDURE_SYSTEMS
from nosology.corpora.simulation.truth import EncounterTruth, Role, SimulatedMention, SimulationTruth
from nosology.corpora.simulation.world import World, build_world
from nosology.corpora.simulation.writing import SummaryWriter
from nosology.types import Corpus, Encounter, Evidence, GoldCode, Note, Span

__all__ = ["SimulatedConfig", "Simulation", "simulate_corpus", "simulate_with_truth"]

_FIRST_DAY = {"icd10cm": date(2025, 10, 1), "icd9cm": date(2014, 10, 1)}
_YEAR = 365
_SUMMARY, _RADIOLOGY = "Discharge summary", "Radiology"
_LENGTH_SPREAD = 0.22


def simulate_corpus(config: SimulatedConfig) -> Corpus:
    """A simulated corpus: encounters with notes, gold codes with evidence, patients, splits and metadata.

    Raises:
        ConfigError: the system has fewer codes than ``n_codes``.
        CorpusError: a term list cannot be read.
    """
    return _corpus(config, (encounter for encounter, _ in Simulation(config).encounters()))


def simulate_with_truth(config: SimulatedConfig) -> tuple[Corpus, SimulationTruth]:
    """The corpus of ``simulate_corpus`` and everything the simulator knows about it."""
    simulation = Simulation(config)
    pairs = list(simulation.encounters())
    codes = simulation.world.codes
    truth = SimulationTruth(
        encounters={truth.encounter_id: truth for _, truth in pairs},
        label_space=tuple(code.code for code in codes),
        known_expressions={code.code: code.known for code in codes},
        hidden_wordings={code.code: tuple(wording.text for wording in (*code.hidden, *code.implied)) for code in codes},
    )
    return _corpus(config, (encounter for encounter, _ in pairs)), truth


def _corpus(config: SimulatedConfig, encounters: Iterable[Encounter]) -> Corpus:
    procedures = tuple(name for name, beside in PROCEDURE_SYSTEMS.items() if beside == config.system)
    systems = (config.system, *(procedures if config.procedure_share else ()))
    return Corpus("simulated", systems, tuple(encounters), config.language)


@dataclass(frozen=True, slots=True)
class _Stay:
    """Dates of an admission: on the code tables' time axis, and shifted as the note tells them."""

    admitted: date
    discharged: date
    shift_days: int
    age: int

    def as_told(self, day: date) -> str:
        """The shifted date in MIMIC's style, ``2151-7-16``."""
        told = date.fromordinal(day.toordinal() + self.shift_days)
        return f"{told.year}-{told.month}-{told.day}"

    @property
    def born(self) -> date:
        """A date of birth that fits the age."""
        return date.fromordinal(self.admitted.toordinal() - int((self.age + 0.4) * 365.25) * (self.age > 0))


class Simulation:
    """A drawn population whose notes can be written encounter by encounter, in any order.

    Every encounter has its own source of randomness, so that slices written by several processes equal the whole.
    """

    def __init__(self, config: SimulatedConfig) -> None:
        self.config = config
        self.world: World = build_world(config.system, config.n_codes, config.term_lists, config.procedure_share)
        rng = np.random.default_rng([config.seed, 11])
        self.patients: Patients = draw_patients(config, rng)
        self.labels: Labels = draw_labels(config, self.world, self.patients, rng)
        self._splits = draw_splits(config, self.patients, rng)
        self._planner = Planner(config, self.world)

    def encounters(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Encounter, EncounterTruth]]:
        """Write the encounters ``start`` to ``stop`` (default: all), each with its truth."""
        for index in range(start, self.config.n_admissions if stop is None else stop):
            yield self._encounter(index)

    def _encounter(self, index: int) -> tuple[Encounter, EncounterTruth]:
        random = Random((self.config.seed << 32) + index)
        patient = int(self.patients.patient_of[index])
        number = index - int(self.patients.first_encounter[patient])
        labels = self.labels.of(index)
        earlier = self.labels.of(index - 1) if number else []
        group = int(self.patients.group_of[index])
        stay = self._stay(patient, number, random)
        plan = self._planner.plan(labels, earlier, group, random)
        admission = Admission(
            age=stay.age,
            female=bool(self.patients.sex[patient]),
            group=group,
            admitted=stay.as_told(stay.admitted),
            discharged=stay.as_told(stay.discharged),
            born=stay.as_told(stay.born),
        )
        has_second = random.random() < self.config.extra_note_share
        reported = take_for_second_note(plan) if has_second else []
        words = int(self.config.words_per_note * random.lognormvariate(0.0, _LENGTH_SPREAD))
        pages = [(_SUMMARY, SummaryWriter(plan, admission, words, random).write())]
        if has_second:
            second = write_radiology(reported, admission, random) if reported else write_addendum(admission, random)
            pages.append((_RADIOLOGY if reported else _SUMMARY, second))
        name = f"sim-{index:06d}"
        mentions = self._mentions(name, pages)
        encounter = Encounter(
            encounter_id=name,
            notes=tuple(Note(f"{name}-{i}", page.text, category, "en") for i, (category, page) in enumerate(pages)),
            codes=self._gold(labels, mentions),
            group_id=f"patient-{patient:06d}",
            split=self._splits[index],
            metadata=self._metadata(index, patient, number, stay, admission),
        )
        return encounter, EncounterTruth(
            name, tuple(mentions), tuple(self.world.codes[i].code for i in sorted(plan.absent))
        )

    def _stay(self, patient: int, number: int, random: Random) -> _Stay:
        """The admissions of a patient follow one another within the code tables' year."""
        admissions = int(self.patients.admissions[patient])
        room = (_YEAR - 30) // admissions
        own = Random((self.config.seed << 32) + (1 << 60) + patient)
        shift = int((110 + own.random() * 60) * 365.25)
        begin = _FIRST_DAY[self.config.system].toordinal() + number * room + int(random.random() * max(1, room - 25))
        days = 1 + int(min(24.0, random.expovariate(1 / 5.0)))
        return _Stay(date.fromordinal(begin), date.fromordinal(begin + days), shift, int(self.patients.age[patient]))

    def _mentions(self, name: str, pages: list[tuple[str, Page]]) -> list[SimulatedMention]:
        codes = self.world.codes
        return [
            SimulatedMention(
                f"{name}-{i}", Span(p.start, p.end), codes[p.item.code].code, p.item.role, p.item.wording, p.section
            )
            for i, (_, page) in enumerate(pages)
            for p in page.placed
        ]

    def _gold(self, labels: list[int], mentions: list[SimulatedMention]) -> tuple[GoldCode, ...]:
        evidence: dict[str, list[Evidence]] = {}
        for mention in mentions:
            if mention.role is Role.LABEL:
                evidence.setdefault(mention.code, []).append(Evidence(mention.note_id, (mention.span,)))
        codes = (self.world.codes[label] for label in labels)
        return tuple(GoldCode(code.code, code.system, tuple(evidence.get(code.code, ()))) for code in codes)

    def _metadata(self, index: int, patient: int, number: int, stay: _Stay, admission: Admission) -> dict[str, str]:
        return {
            "subject_id": str(10_000 + patient),
            "hadm_id": str(200_000 + index),
            "admission_number": str(number + 1),
            "admission_date": stay.admitted.isoformat(),
            "discharge_date": stay.discharged.isoformat(),
            "date_shift_days": str(stay.shift_days),
            "service": read_phrasing().services[admission.group],
            "age": str(admission.age),
            "sex": "F" if admission.female else "M",
        }
