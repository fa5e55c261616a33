"""Every score of parts of an evaluation: by frequency band, chapter, block, code system, note length or a column."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from nosology.codes.formats import SYSTEMS
from nosology.codes.frequency import FrequencyBands
from nosology.codes.systems import CodeSystem, open_code_system
from nosology.errors import ConfigError
from nosology.evaluation.draws import BootstrapPlan
from nosology.evaluation.judgements import Bools, Judgements
from nosology.evaluation.scores import (
    AssignmentScores,
    RankingScores,
    ReportCounts,
    assignment_figures,
    assignment_scores,
    count_judged,
    ranking_figures,
    ranking_scores,
)
from nosology.evaluation.subsets import (
    Subset,
    band_subsets,
    length_subsets,
    level_subsets,
    metadata_subsets,
    system_subsets,
    systems_of,
)
from nosology.evaluation.uncertainty import Interval, pooled_intervals
from nosology.types import Encounter

CODE_PARTS = ("system", "band", "chapter", "block")
"""What codes are parted by; "length" and columns of metadata part encounters."""


def check_parts(by: Collection[str], encounters: Sequence[Encounter]) -> None:
    """Refuse what data cannot be parted by, before anything is coded.

    Args:
        by: as for ``evaluate``.
        encounters: those to be evaluated.

    Raises:
        ConfigError: a name is none of the known ones and no column.
    """
    for name in by:
        if name not in (*CODE_PARTS, "length"):
            metadata_subsets(encounters, name)


@dataclass(frozen=True, slots=True)
class PartScores:
    """The scores of one part.

    Args:
        by: what the data are parted by.
        value: which part.
        title: for people.
        counts: what is in it; encounters without gold codes in a part of the codes count as encounters.
        assignment: scores of the assigned codes.
        ranking: scores of the order of candidates, ranks counted inside the part.
        intervals: of micro scores, MAP and candidate recall; empty where none were asked for.
    """

    by: str
    value: str
    title: str
    counts: ReportCounts
    assignment: AssignmentScores
    ranking: RankingScores
    intervals: Mapping[str, Interval]

    @property
    def name(self) -> str:
        return f"{self.by}.{self.value}"

    def figures(self) -> dict[str, float]:
        """The scores under their dotted names, without the part's."""
        return assignment_figures(self.assignment) | ranking_figures(self.ranking)


@dataclass(frozen=True, slots=True)
class Parting:
    """What parts are made from.

    Args:
        encounters: those evaluated; needed for lengths and columns.
        systems: the corpus's code systems.
        train_counts: code -> number of training encounters that carry it; needed for bands.
        bands: the frequency bands.
        tables: code system -> its table; by default the installed ones.
    """

    encounters: Sequence[Encounter] = ()
    systems: Sequence[str] = ()
    train_counts: Mapping[str, int] | None = None
    bands: FrequencyBands | None = None
    tables: Mapping[str, CodeSystem] | None = None

    def subsets(self, judged: Judgements, by: str) -> tuple[Subset, ...]:
        """The parts of one kind.

        Args:
            judged: names the labels.
            by: one of ``CODE_PARTS``, "length", or a column of metadata.

        Raises:
            ConfigError: what they are made from is missing, or there is no such column.
        """
        if by == "band":
            if self.train_counts is None:
                raise ConfigError("parts by frequency band need the training counts of the codes (train_counts)")
            return band_subsets(judged.labels, self.train_counts, self.bands or FrequencyBands.named("published"))
        if by in CODE_PARTS:
            tables = self.open_tables()
            systems = systems_of(judged.labels, self.encounters, self.systems, tables)
            return system_subsets(systems) if by == "system" else level_subsets(systems, tables, by)
        return length_subsets(self.encounters) if by == "length" else metadata_subsets(self.encounters, by)

    def open_tables(self) -> Mapping[str, CodeSystem]:
        """The tables of the code systems, as far as they are known."""
        if self.tables is not None:
            return self.tables
        return {name: open_code_system(name) for name in self.systems if name in SYSTEMS}


def score_parts(
    judged: Judgements,
    subsets: Collection[Subset],
    groups: Sequence[str],
    space: Bools,
    plan: BootstrapPlan | None,
) -> tuple[PartScores, ...]:
    """Score each part that has a gold or assigned pair.

    Args:
        judged: candidates judged against gold.
        subsets: the parts.
        groups: the group of each encounter.
        space: the label space, one flag a label.
        plan: how to draw intervals; ``None`` for none.
    """
    found = list[PartScores]()
    for subset in subsets:
        rows, labels = subset.masks(judged)
        part, inside = subset.of(judged), space[labels]
        if len(part.gold_label) or part.assigned.any():
            own = [group for group, chosen in zip(groups, rows.tolist(), strict=True) if chosen]
            found.append(_score(subset, part, own, inside, plan))
    return tuple(found)


def _score(
    subset: Subset, part: Judgements, groups: Sequence[str], space: Bools, plan: BootstrapPlan | None
) -> PartScores:
    return PartScores(
        by=subset.by,
        value=subset.value,
        title=subset.title,
        counts=count_judged(part, groups, space),
        assignment=assignment_scores(part, space),
        ranking=ranking_scores(part),
        intervals=pooled_intervals(part, groups, plan) if plan else {},
    )
