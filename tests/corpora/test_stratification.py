"""The own split against a slow reading of the paper, against chance, and its promises as properties."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.corpora import stratification
from nosology.corpora.splits import check_leakage
from nosology.corpora.stratification import stratified_encounters, stratified_split
from nosology.errors import ConfigError, CorpusError
from nosology.types import Encounter, GoldCode, Note

FRACTIONS = {"train": 0.75, "dev": 0.1, "test": 0.15}


def matrix(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    indptr = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return indptr, np.array([label for row in rows for label in row], dtype=np.int32)


def slow_split(groups: list[str], rows: list[list[int]], fractions: dict[str, float], seed: int) -> list[int]:
    """Algorithm 1, every count taken anew at every step; seeded ties in the order that the fast one documents."""
    names = sorted(set(groups))
    n_labels = max((label for row in rows for label in row), default=-1) + 1
    rng = np.random.default_rng(seed)
    order, rank = rng.permutation(len(names)).tolist(), rng.permutation(n_labels).tolist()
    documents = {name: [i for i, group in enumerate(groups) if group == name] for name in names}
    split_of: dict[str, int] = {}

    def with_label(name: str, label: int) -> int:
        return sum(label in rows[i] for i in documents[name])

    def lacking(split: int, label: int | None) -> float:
        """Documents (with the label) that are due to a split and not in it."""
        due = list(fractions.values())[split] * sum(label is None or label in row for row in rows)
        held = [other for other, where in split_of.items() if where == split]
        return due - sum(len(documents[one]) if label is None else with_label(one, label) for one in held)

    def need(split: int, name: str) -> float:
        total, share = 0.0, list(fractions.values())[split]
        for label in sorted({label for i in documents[name] for label in rows[i]}):
            count = sum(label in row for row in rows)
            left = count - sum(with_label(other, label) for other in split_of)
            total += (lacking(split, label) - share * left) / (share * (1 - share) * count) ** 0.5
        return total

    def place(name: str, label: int | None) -> None:
        splits = range(len(fractions))
        empty = [split for split in splits if split not in split_of.values()]
        must_fill = len(empty) >= len(names) - len(split_of)
        allowed = empty if must_fill else [split for split in splits if lacking(split, None) > 1e-9]
        slack, count = 0.0, sum(label in row for row in rows)
        if label is not None and count > stratification._RARE:
            slack = stratification._SLACK * count**0.5
        most = max(lacking(split, label) for split in allowed)
        near = [split for split in allowed if lacking(split, label) >= most - slack - 1e-9]
        last = (lambda one: round(need(one, name), 9)) if slack else (lambda one: lacking(one, None))
        split_of[name] = max(near, key=lambda one: (last(one), -one))

    while True:
        left = {label: [n for n in names if n not in split_of and with_label(n, label)] for label in range(n_labels)}
        left = {label: holders for label, holders in left.items() if holders}
        if not left:
            break
        label = min(left, key=lambda one: (len(left[one]), rank[one]))
        for name in sorted(left[label], key=lambda n: (-with_label(n, label), order.index(names.index(n)))):
            place(name, label)
    for position in sorted(order, key=lambda p: -len(documents[names[p]])):
        if names[position] not in split_of:
            place(names[position], None)
    return [split_of[group] for group in groups]


documents = st.lists(
    st.tuples(st.integers(0, 8), st.lists(st.integers(0, 6), max_size=4, unique=True)), min_size=3, max_size=24
).filter(lambda rows: len({group for group, _ in rows}) >= 3)


@settings(max_examples=60, deadline=None)
@given(documents, st.integers(0, 5), st.sampled_from([1, 3, 20]))
def test_the_heap_gives_what_recounting_everything_gives(
    rows: list[tuple[int, list[int]]], seed: int, rare: int
) -> None:
    fractions = {"train": 0.5, "dev": 0.25, "test": 0.25}  # exact in binary: no tie hangs on rounding
    groups, labels = [f"p{group}" for group, _ in rows], [row for _, row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stratification, "_RARE", rare)
        fast = stratified_split(groups, *matrix(labels), fractions, seed)
        assert fast.tolist() == slow_split(groups, labels, fractions, seed)


@settings(max_examples=60, deadline=None)
@given(documents, st.integers(0, 3), st.randoms(use_true_random=False))
def test_groups_stay_together_no_split_is_empty_and_order_does_not_matter(
    rows: list[tuple[int, list[int]]], seed: int, random: object
) -> None:
    groups, labels = [f"p{group}" for group, _ in rows], [row for _, row in rows]
    split = stratified_split(groups, *matrix(labels), FRACTIONS, seed)
    assert set(split.tolist()) == {0, 1, 2}
    assert len(set(zip(groups, split.tolist(), strict=True))) == len(set(groups))
    shuffled = list(range(len(rows)))
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = stratified_split([groups[i] for i in shuffled], *matrix([labels[i] for i in shuffled]), FRACTIONS, seed)
    assert again.tolist() == split[shuffled].tolist()


def long_tailed(n_documents: int, n_labels: int, n_groups: int, seed: int = 0) -> tuple[list[str], list[list[int]]]:
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, n_labels + 1)
    rows = [
        np.unique(rng.choice(n_labels, size=rng.integers(1, 12), p=weights / weights.sum())).tolist()
        for _ in range(n_documents)
    ]
    return [f"p{g}" for g in rng.integers(0, n_groups, n_documents)], rows


def share_error(split: np.ndarray, rows: list[list[int]], fractions: dict[str, float]) -> float:
    """Mean over labels of two documents or more and over splits: |share of the label in the split - due share|."""
    indptr, indices = matrix(rows)
    counts = np.zeros((len(fractions), int(indices.max()) + 1))
    np.add.at(counts, (np.repeat(split, np.diff(indptr)), indices), 1)
    kept = counts[:, counts.sum(axis=0) >= 2]
    return float(np.abs(kept / kept.sum(axis=0) - np.array(list(fractions.values()))[:, None]).mean())


def test_labels_are_spread_far_more_evenly_than_by_chance() -> None:
    groups, rows = long_tailed(3000, 600, 2200)
    ours = stratified_split(groups, *matrix(rows), FRACTIONS, seed=0)
    names, members = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(0)
    chance = [
        share_error(rng.choice(3, len(names), p=list(FRACTIONS.values()))[members], rows, FRACTIONS) for _ in range(5)
    ]
    assert share_error(ours, rows, FRACTIONS) < 0.6 * min(chance)
    np.testing.assert_allclose(np.bincount(ours) / len(ours), list(FRACTIONS.values()), atol=0.002)
    in_train = {label for split, row in zip(ours, rows, strict=True) if split == 0 for label in row}
    assert in_train == {label for row in rows for label in row}


def test_frequent_labels_are_spread_better_than_by_chance_too() -> None:
    groups, rows = long_tailed(6000, 800, 6000)
    counts = np.bincount([label for row in rows for label in row])
    frequent = [[label for label in row if counts[label] > 500] for row in rows]
    ours = stratified_split(groups, *matrix(rows), FRACTIONS, seed=0)
    names, members = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(0)
    chance = [
        share_error(rng.choice(3, len(names), p=list(FRACTIONS.values()))[members], frequent, FRACTIONS)
        for _ in range(5)
    ]
    assert share_error(ours, frequent, FRACTIONS) < 0.75 * float(np.mean(chance))


def test_another_seed_gives_another_split_and_the_same_seed_the_same() -> None:
    groups, rows = long_tailed(400, 60, 300)
    first, again, other = (stratified_split(groups, *matrix(rows), FRACTIONS, seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


def test_documents_without_labels_fill_the_sizes() -> None:
    split = stratified_split([f"p{i}" for i in range(100)], *matrix([[]] * 100), FRACTIONS, seed=0)
    assert np.bincount(split).tolist() == [75, 10, 15]


def test_a_label_named_twice_in_a_document_counts_once() -> None:
    groups, rows = long_tailed(60, 10, 40)
    twice = [row + row for row in rows]
    once = stratified_split(groups, *matrix(rows), FRACTIONS, seed=0)
    assert stratified_split(groups, *matrix(twice), FRACTIONS, seed=0).tolist() == once.tolist()


@pytest.mark.parametrize("fractions", [{"train": 0.9, "test": 0.2}, {"train": 1.0, "test": 0.0}, {}])
def test_fractions_must_sum_to_one(fractions: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="split fractions must each be above 0 and sum to 1"):
        stratified_split(["a", "b"], *matrix([[0], [1]]), fractions, seed=0)


def test_one_patient_cannot_fill_three_splits() -> None:
    with pytest.raises(CorpusError, match=r"1 groups \(patients or articles\) cannot fill 3 parts"):
        stratified_split(["a"], *matrix([[0]]), FRACTIONS, seed=0)


@pytest.mark.parametrize(
    ("indptr", "indices", "message"),
    [
        ([0, 1], [0], "the label matrix has 1 rows for 3 documents"),
        ([0, 1, 2, 3], [0], "the rows of the label matrix do not cover its entries"),
        ([0, 2, 1, 1], [0], "the rows of the label matrix do not cover its entries"),
        ([0, 1, 1, 1], [-1], "a label column is below 0"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(indptr: list[int], indices: list[int], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        stratified_split(["a", "b", "c"], np.array(indptr), np.array(indices, dtype=np.int32), FRACTIONS, seed=0)


def encounter(number: int, group: str, *codes: str) -> Encounter:
    note = Note(f"n{number}", "text")
    return Encounter(f"e{number}", (note,), tuple(GoldCode(code, "icd10cm") for code in codes), group, "old")


def test_encounters_get_their_split_and_no_patient_leaks() -> None:
    groups, rows = long_tailed(300, 40, 150)
    encounters = [
        encounter(i, group, *(f"A{label:02}" for label in row))
        for i, (group, row) in enumerate(zip(groups, rows, strict=True))
    ]
    split = stratified_encounters(encounters, FRACTIONS, seed=3)
    assert [one.encounter_id for one in split] == [one.encounter_id for one in encounters]
    assert check_leakage(split) == ()
    expected = stratified_split(groups, *matrix(rows), FRACTIONS, seed=3)
    assert [one.split for one in split] == [list(FRACTIONS)[number] for number in expected]


def test_encounters_without_codes_or_patients_are_split_too() -> None:
    bare = [Encounter(f"e{i}", (Note(f"n{i}", "text"),)) for i in range(20)]
    split = stratified_encounters(bare, {"train": 0.5, "test": 0.5}, seed=0)
    assert sorted(one.split for one in split) == ["test"] * 10 + ["train"] * 10


def test_fifty_thousand_documents_and_nine_thousand_labels_take_seconds() -> None:
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, 9001) ** 1.1
    draws = rng.choice(9000, size=(50_000, 16), p=weights / weights.sum()).astype(np.int32)
    groups = [f"p{group}" for group in rng.integers(0, 40_000, 50_000)]
    started = time.process_time()
    split = stratified_split(groups, np.arange(0, 50_001 * 16, 16), draws.ravel(), FRACTIONS, seed=0)
    assert time.process_time() - started < 15
    np.testing.assert_allclose(np.bincount(split) / 50_000, list(FRACTIONS.values()), atol=0.001)
