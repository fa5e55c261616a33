"""The nouns that flow through nosology: notes, encounters, codes, evidence, mentions and what a coder returns.

Offsets are half-open character positions in the ORIGINAL text of a note, everywhere. Objects that hold note text
keep it out of their ``repr``, so that no log or traceback shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from nosology.errors import CorpusError


class Span(NamedTuple):
    """A half-open character range ``[start, end)`` in a note's original text."""

    start: int
    end: int


class Assertion(StrEnum):
    """What the text says of a mention: is it there, denied, doubtful, past, a relative's, or only imagined?"""

    PRESENT = "present"
    NEGATED = "negated"
    POSSIBLE = "possible"
    HISTORICAL = "historical"
    FAMILY = "family"
    HYPOTHETICAL = "hypothetical"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The words that justify a code: one span of one note, in several parts where it is discontinuous.

    Args:
        note_id: the note the offsets refer to.
        parts: the spans, sorted, not overlapping; one for a continuous mention.
    """

    note_id: str
    parts: tuple[Span, ...]

    @property
    def start(self) -> int:
        return self.parts[0].start

    @property
    def end(self) -> int:
        return self.parts[-1].end


@dataclass(frozen=True, slots=True)
class Note:
    """One document of an encounter.

    Args:
        note_id: unique inside its corpus.
        text: the original text, never changed.
        category: the kind of document ("Discharge summary"), empty if unknown.
        language: ISO 639-1 ("en", "es").
    """

    note_id: str
    text: str = field(repr=False)
    category: str = ""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class GoldCode:
    """A code that people assigned to an encounter.

    Args:
        code: formatted as its system writes it (``I10``, ``250.00``).
        system: the code system's name (``icd10cm``, ``icd10pcs``, ``icd9cm``, ``icd9proc``, or a user's own).
        evidence: where people marked the reason; empty where the corpus has none.
        certainty: how sure it is that the code is right, in [0, 1]; networks learn it as their target. What people
            assigned has 1, unless cleaning doubts it.
    """

    code: str
    system: str
    evidence: tuple[Evidence, ...] = ()
    certainty: float = 1.0


@dataclass(frozen=True, slots=True)
class Encounter:
    """What is coded: one or more notes of one patient's visit (MIMIC codes an admission; a chart has many notes).

    Args:
        encounter_id: unique inside its corpus.
        notes: at least one.
        codes: gold codes, no code twice; ``None`` where nobody has coded it (``()`` means coded, with no code).
        group_id: what must never be parted by a split: the patient, or the article for CodiEsp.
        split: "train", "dev", "test", or empty.
        metadata: further columns (discharge date, service), for subgroups and validity checks.
    """

    encounter_id: str
    notes: tuple[Note, ...]
    codes: tuple[GoldCode, ...] | None = None
    group_id: str = ""
    split: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def code_set(self) -> frozenset[str]:
        return frozenset(gold.code for gold in self.codes or ())

    def note(self, note_id: str) -> Note:
        for note in self.notes:
            if note.note_id == note_id:
                return note
        raise KeyError(note_id)


@dataclass(frozen=True, slots=True)
class SkippedRecord:
    """A record left out by ``on_error="skip"``: where it stood and what was wrong (never note text)."""

    message: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """Encounters, the code systems of their labels, and what was skipped while reading.

    Args:
        name: the reader's name ("codiesp", "tabular", "simulated").
        systems: the code systems that its codes belong to.
        encounters: in file order.
        language: the notes' main language.
        skipped: records left out, counted and reported to the user.
        unknown_codes: codes kept as labels although no table of their system has them, with their counts.
    """

    name: str
    systems: tuple[str, ...]
    encounters: tuple[Encounter, ...]
    language: str = "en"
    skipped: tuple[SkippedRecord, ...] = ()
    unknown_codes: Mapping[str, int] = field(default_factory=dict[str, int])

    def __len__(self) -> int:
        return len(self.encounters)

    def __iter__(self) -> Iterator[Encounter]:
        return iter(self.encounters)

    def split(self, *names: str) -> Corpus:
        """The encounters of one or several splits, e.g. ``corpus.split("train", "dev")``."""
        chosen = tuple(e for e in self.encounters if e.split in names)
        if not chosen:
            known = sorted({e.split for e in self.encounters if e.split})
            there = f"this corpus has: {', '.join(known)}" if known else "this corpus has no splits: ask for 'all'"
            raise CorpusError(f"no encounter in split {'+'.join(names)!r}; {there}")
        return self.with_encounters(chosen)

    def with_encounters(self, encounters: Sequence[Encounter]) -> Corpus:
        """This corpus with other encounters."""
        return Corpus(self.name, self.systems, tuple(encounters), self.language, self.skipped, self.unknown_codes)


@dataclass(frozen=True, slots=True)
class SuggestedCode:
    """One candidate code of a coded encounter.

    Args:
        code: the code, formatted.
        system: its code system.
        probability: calibrated, in [0, 1].
        assigned: whether the coder assigns it (probability at or above the threshold).
        evidence: the spans that justify it, strongest first.
        expressions: the knowledge-base expressions that fired, strongest first.
        description: the code's title, empty if no table has it.
    """

    code: str
    system: str
    probability: float
    assigned: bool
    evidence: tuple[Evidence, ...] = ()
    expressions: tuple[str, ...] = field(default=(), repr=False)
    description: str = ""


@dataclass(frozen=True, slots=True)
class CodedEncounter:
    """What ``Coder.code`` returns: candidates by falling probability, and whether the coder abstained.

    Args:
        encounter_id: the encounter's id.
        codes: assigned codes and the candidates below the threshold.
        abstained: no candidate reached the floor below which the coder says nothing.
        failed: why the coder could not read it (a server that did not answer), never note text; empty where it could.
            An encounter that failed has no codes, and whether it should have some is not known.
    """

    encounter_id: str
    codes: tuple[SuggestedCode, ...]
    abstained: bool = False
    failed: str = ""

    @property
    def assigned(self) -> tuple[SuggestedCode, ...]:
        return tuple(code for code in self.codes if code.assigned)
