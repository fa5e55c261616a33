"""Splits and folds that never part a group: a patient, or the article that several CodiEsp cases come from."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nosology.errors import ConfigError, CorpusError
from nosology.types import Encounter


@dataclass(frozen=True, slots=True)
class Leak:
    """A group with encounters in more than one split.

    Args:
        group_id: the patient or article.
        encounters: how many encounters it has in each split.
    """

    group_id: str
    encounters: Mapping[str, int]


def group_of(encounter: Encounter) -> str:
    """The encounter's group; an encounter without one is a group of its own."""
    return encounter.group_id or encounter.encounter_id


def grouped_split(encounters: Sequence[Encounter], fractions: Mapping[str, float], seed: int) -> tuple[Encounter, ...]:
    """Assign every encounter to a split so that no group is in two.

    Groups are taken largest first (ties in seeded random order); each goes to the split that lacks most encounters.
    With groups small beside the splits, the sizes are within one group of the fractions.

    Args:
        encounters: what to split; their present splits are ignored.
        fractions: the share of each split by name, above 0, with sum 1.
        seed: same seed, same splits, whatever the order of the encounters.

    Returns:
        The encounters in the same order with ``split`` set.

    Raises:
        ConfigError: fractions that are not above 0 or do not sum to 1.
        CorpusError: fewer groups than splits.
    """
    check_fractions(fractions)
    names = list(fractions)
    chosen = _spread(_group_sizes(encounters), np.array([fractions[name] for name in names]), seed)
    return tuple(replace(encounter, split=names[chosen[group_of(encounter)]]) for encounter in encounters)


def grouped_folds(encounters: Sequence[Encounter], k: int, seed: int) -> NDArray[np.int64]:
    """Assign every encounter to one of ``k`` folds of about equal size so that no group is in two.

    Args:
        encounters: what to fold.
        k: the number of folds, at least 2.
        seed: same seed, same folds, whatever the order of the encounters.

    Returns:
        The fold of each encounter, from 0 to ``k - 1``; no fold is empty.

    Raises:
        ConfigError: ``k`` below 2.
        CorpusError: fewer groups than folds.
    """
    if k < 2:
        raise ConfigError(f"the number of folds must be at least 2, not {k}")
    chosen = _spread(_group_sizes(encounters), np.full(k, 1 / k), seed)
    return np.array([chosen[group_of(encounter)] for encounter in encounters], dtype=np.int64)


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Refuse shares of splits that are not above 0 or do not sum to 1.

    Raises:
        ConfigError: they are not, or do not.
    """
    if any(not share > 0 for share in fractions.values()) or not math.isclose(sum(fractions.values()), 1):
        raise ConfigError("split fractions must each be above 0 and sum to 1, such as train 0.8, dev 0.1, test 0.1")


def check_group_count(groups: int, parts: int) -> None:
    """Refuse to part groups into more parts than there are groups.

    Raises:
        CorpusError: there are fewer groups than parts.
    """
    if groups < parts:
        raise CorpusError(
            f"{groups} groups (patients or articles) cannot fill {parts} parts; read more, or use fewer parts"
        )


def check_leakage(encounters: Iterable[Encounter]) -> tuple[Leak, ...]:
    """The groups that stand in more than one split, sorted; encounters without a split do not count.

    Official splits may leak: report it rather than change them.
    """
    splits: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for encounter in encounters:
        if encounter.split:
            splits[group_of(encounter)][encounter.split] += 1
    return tuple(Leak(group, dict(counts)) for group, counts in sorted(splits.items()) if len(counts) > 1)


def _group_sizes(encounters: Sequence[Encounter]) -> Counter[str]:
    return Counter(group_of(encounter) for encounter in encounters)


def _spread(sizes: Counter[str], shares: NDArray[np.float64], seed: int) -> dict[str, int]:
    """Group -> part: the largest group goes where most encounters lack, as a fraction of what the part is due."""
    check_group_count(len(sizes), len(shares))
    groups = sorted(sizes)
    order = np.random.default_rng(seed).permutation(len(groups))
    shuffled = sorted((groups[i] for i in order), key=sizes.__getitem__, reverse=True)
    due = shares * sizes.total()
    filled = np.zeros(len(shares))
    chosen: dict[str, int] = {}
    for position, group in enumerate(shuffled):
        # When no more groups are left than parts are empty, the rest go to the empty ones: no part may stay empty.
        must_fill = np.count_nonzero(filled == 0) >= len(shuffled) - position
        lacking = np.where(filled == 0, due, -np.inf) if must_fill else due - filled
        chosen[group] = part = int(np.argmax(lacking))
        filled[part] += sizes[group]
    return chosen
