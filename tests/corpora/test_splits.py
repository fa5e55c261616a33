"""Splits and folds never part a group, are balanced, and depend on nothing but the seed."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.corpora import Leak, check_leakage, grouped_folds, grouped_split
from nosology.errors import ConfigError, CorpusError
from nosology.types import Encounter, Note

FRACTIONS = {"train": 0.7, "dev": 0.1, "test": 0.2}


def encounter(encounter_id: str, group_id: str = "", split: str = "") -> Encounter:
    return Encounter(encounter_id, (Note(encounter_id, "text"),), group_id=group_id, split=split)


def encounters(group_sizes: list[int]) -> list[Encounter]:
    return [encounter(f"{group}-{i}", f"p{group}") for group, size in enumerate(group_sizes) for i in range(size)]


sizes = st.lists(st.integers(1, 6), min_size=8, max_size=60)
seeds = st.integers(0, 1000)


@settings(max_examples=50, deadline=None)
@given(sizes=sizes, seed=seeds, k=st.integers(2, 8))
def test_folds(sizes: list[int], seed: int, k: int) -> None:
    items = encounters(sizes)
    folds = grouped_folds(items, k, seed)
    assert folds.shape == (len(items),)
    assert set(folds.tolist()) == set(range(k))
    parted = {(e.group_id, fold) for e, fold in zip(items, folds.tolist(), strict=True)}
    assert len(parted) == len(sizes)  # one fold a group
    counts = np.bincount(folds, minlength=k)
    assert counts.max() - counts.min() <= max(sizes)


@settings(max_examples=50, deadline=None)
@given(sizes=sizes, seed=seeds)
def test_split(sizes: list[int], seed: int) -> None:
    items = encounters(sizes)
    split = grouped_split(items, FRACTIONS, seed)
    assert [e.encounter_id for e in split] == [e.encounter_id for e in items]
    assert check_leakage(split) == ()
    counts = Counter(e.split for e in split)
    assert set(counts) == set(FRACTIONS)
    for name, share in FRACTIONS.items():
        assert abs(counts[name] - share * len(items)) <= 2 * max(sizes)


@settings(max_examples=30, deadline=None)
@given(sizes=sizes, seed=seeds)
def test_order_of_encounters_does_not_matter(sizes: list[int], seed: int) -> None:
    items = encounters(sizes)
    shuffled = random.Random(seed).sample(items, len(items))
    by_id = {e.encounter_id: e.split for e in grouped_split(shuffled, FRACTIONS, seed)}
    assert all(by_id[e.encounter_id] == e.split for e in grouped_split(items, FRACTIONS, seed))


def test_large_corpus_meets_its_fractions_and_seeds_differ() -> None:
    items = encounters([1, 2, 3] * 200)
    counts = Counter(e.split for e in grouped_split(items, FRACTIONS, 0))
    assert counts == {"train": 840, "dev": 120, "test": 240}
    assert not np.array_equal(grouped_folds(items, 5, 0), grouped_folds(items, 5, 1))
    assert np.array_equal(grouped_folds(items, 5, 0), grouped_folds(items, 5, 0))


def test_encounters_without_a_group_stand_alone() -> None:
    folds = grouped_folds([encounter(str(i)) for i in range(10)], 5, 0)
    assert np.bincount(folds).tolist() == [2] * 5


def test_one_giant_group_leaves_no_part_empty() -> None:
    assert set(grouped_folds(encounters([100, 1, 1]), 3, 0).tolist()) == {0, 1, 2}
    assert {e.split for e in grouped_split(encounters([50, 1, 1]), FRACTIONS, 0)} == set(FRACTIONS)


def test_leaks_are_counted() -> None:
    items = [encounter("1", "p", "train"), encounter("2", "p", "dev"), encounter("3", "p", "dev")]
    items += [encounter("4", "q", "train"), encounter("5", "q"), encounter("6", "", "dev")]
    assert check_leakage(items) == (Leak("p", {"train": 1, "dev": 2}),)


def test_errors() -> None:
    items = encounters([1, 1])
    with pytest.raises(CorpusError) as few:
        grouped_folds(items, 3, 0)
    assert str(few.value) == "2 groups (patients or articles) cannot fill 3 parts; read more, or use fewer parts"
    with pytest.raises(ConfigError) as folds:
        grouped_folds(items, 1, 0)
    assert str(folds.value) == "the number of folds must be at least 2, not 1"
    for fractions in ({}, {"train": 1.0, "dev": 0.0}, {"train": 0.8, "dev": 0.1}, {"train": float("nan")}):
        with pytest.raises(ConfigError, match="split fractions must each be above 0 and sum to 1"):
            grouped_split(items, fractions, 0)
