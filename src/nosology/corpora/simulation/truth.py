"""What the simulator knows about a corpus that a coder must not: which words mean which code, and in what sense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from nosology.types import Span


class Role(StrEnum):
    """What a mention is for: a label's evidence, a condition nobody coded, or one of the distractors."""

    LABEL = "label"
    UNCODED = "uncoded"
    NEGATED = "negated"
    FAMILY = "family"
    HISTORICAL = "historical"
    RULED_OUT = "ruled_out"
    COPIED_FORWARD = "copied_forward"
    ALLERGY = "allergy"
    HYPOTHETICAL = "hypothetical"

    @property
    def is_distractor(self) -> bool:
        """Neither the evidence of a label nor a condition that a coder could have coded."""
        return self not in (Role.LABEL, Role.UNCODED)


@dataclass(frozen=True, slots=True)
class SimulatedMention:
    """Words of a note that the simulator wrote for a code.

    Args:
        note_id: the note.
        span: where the words stand.
        code: what they mean.
        role: in what sense they stand there.
        wording: ``known`` (a source of the coder contains it) or how the hidden wording was made
            (``synonym``, ``abbreviation``, ``misspelling``, ``drug``, ...).
        section: the section of the note.
    """

    note_id: str
    span: Span
    code: str
    role: Role
    wording: str
    section: str

    @property
    def is_known(self) -> bool:
        """Whether a source that the coder may read contains this wording."""
        return self.wording == "known"


@dataclass(frozen=True, slots=True)
class EncounterTruth:
    """One encounter: its mentions in text order, and its labels that no note mentions."""

    encounter_id: str
    mentions: tuple[SimulatedMention, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SimulationTruth:
    """The truth of a simulated corpus.

    Args:
        encounters: by encounter id.
        label_space: every code of the world, the most frequent first.
        known_expressions: per code, what its sources contain, normalised (see ``simulation.expressions.normalized``).
        hidden_wordings: per code, the wordings and implications that no source contains.
    """

    encounters: Mapping[str, EncounterTruth]
    label_space: tuple[str, ...]
    known_expressions: Mapping[str, frozenset[str]]
    hidden_wordings: Mapping[str, tuple[str, ...]]

    def mentions(self) -> Iterator[SimulatedMention]:
        """All mentions of all encounters."""
        for encounter in self.encounters.values():
            yield from encounter.mentions

    def shares(self) -> dict[str, float]:
        """Measured on this corpus: hidden share of label mentions, share of labels without mention, and
        share of distractors among the mentions in known wordings."""
        mentions = list(self.mentions())
        of_labels = [mention for mention in mentions if mention.role is Role.LABEL]
        known = [mention for mention in mentions if mention.is_known]
        absent = sum(len(encounter.absent) for encounter in self.encounters.values())
        mentioned = {(mention.note_id.rsplit("-", 1)[0], mention.code) for mention in of_labels}
        return {
            "hidden": sum(not mention.is_known for mention in of_labels) / max(1, len(of_labels)),
            "absent": absent / max(1, absent + len(mentioned)),
            "distractors": sum(mention.role.is_distractor for mention in known) / max(1, len(known)),
        }
