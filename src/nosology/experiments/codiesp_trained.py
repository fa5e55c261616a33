"""A recipe's corpus and its finished runs: what all scores of the CodiEsp experiment are computed from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nosology.experiments.codiesp_results import Track
from nosology.experiments.runs import Run
from nosology.types import CodedEncounter, Corpus, Encounter


@dataclass(frozen=True, eq=False)
class Trained:
    """What a recipe has given.

    Args:
        name: the recipe's.
        track, language: what it codes.
        train, scored: the two splits.
        runs: one a seed.
    """

    name: str
    track: Track
    language: str
    train: Corpus
    scored: Corpus
    runs: tuple[Run, ...]


def groups_of(encounters: Iterable[Encounter]) -> list[str]:
    """The group of each encounter; one without is its own."""
    return [encounter.group_id or encounter.encounter_id for encounter in encounters]


def of_new_articles(trained: Trained) -> list[Encounter]:
    """The scored encounters of articles that train has nothing of."""
    known = set(groups_of(trained.train))
    groups = groups_of(trained.scored)
    return [encounter for encounter, group in zip(trained.scored, groups, strict=True) if group not in known]


def aligned(encounters: Iterable[Encounter], coded: Iterable[CodedEncounter]) -> list[CodedEncounter]:
    """The predictions of these encounters, in their order."""
    by_id = {one.encounter_id: one for one in coded}
    return [by_id[encounter.encounter_id] for encounter in encounters]
