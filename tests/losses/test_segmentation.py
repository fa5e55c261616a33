"""Segments against a slow oracle, what they promise, what is told of bad input, and how they are kept."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.checkpoint import load_arrays, save_arrays
from nosology.config.loss_terms import SegmentationConfig
from nosology.errors import ConfigError, ModelError
from nosology.losses.facts import LabelFacts, LabelRows
from nosology.losses.segmentation import Segmentation, segment_labels


def rows_of(seed: int, encounters: int = 80, labels: int = 30) -> LabelRows:
    random = np.random.default_rng(seed)
    rates = np.append(0.7 / np.arange(1, labels) ** 1.2, 0.0)
    matrix = random.random((encounters, labels)) < rates
    return LabelRows.of([f"L{n:02d}" for n in range(labels)], [np.flatnonzero(row).tolist() for row in matrix])


def slow(rows: LabelRows, ratio: float, groups: int) -> list[set[str]]:
    """Bands and greedy colouring in plain loops."""
    matrix = np.asarray(rows.matrix().todense(), dtype=np.float64)
    counts = matrix.sum(0)
    walk = sorted((c for c in range(len(counts)) if counts[c]), key=lambda c: (-counts[c], rows.labels[c]))
    bands = list[list[int]]()
    for label in walk:
        if not bands or counts[bands[-1][0]] / counts[label] > ratio:
            bands.append([])
        bands[-1].append(label)
    found = list[set[str]]()
    for band in bands:
        count = min(groups, len(band))
        room, parts = math.ceil(len(band) / count), [list[int]() for _ in range(count)]
        for label in band:
            costs = list[tuple[float, int, int]]()
            for number, part in enumerate(parts):
                if len(part) < room:
                    shared = [
                        matrix[:, label] @ matrix[:, one] / math.sqrt(counts[label] * counts[one]) for one in part
                    ]
                    costs.append((round(sum(shared) / max(1, len(part)), 5), len(part), number))
            parts[min(costs)[2]].append(label)
        found += [{rows.labels[label] for label in part} for part in parts if part]
    rest = {label for label, count in zip(rows.labels, counts, strict=True) if not count}
    return found + ([rest] if rest else [])


def as_sets(found: Segmentation) -> list[set[str]]:
    return [{found.labels[c] for c in np.flatnonzero(found.segment_of == s)} for s in range(len(found))]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("ratio", "groups"), [(4.0, 2), (2.0, 3), (1.0, 1), (100.0, 5)])
def test_equals_the_slow_walk(seed: int, ratio: float, groups: int) -> None:
    rows = rows_of(seed)
    found = segment_labels(rows, SegmentationConfig(ratio=ratio, groups=groups))
    # Costs that are equal up to rounding may fall otherwise: sizes agree, and nearly all sets of labels.
    expected = slow(rows, ratio, groups)
    assert [len(part) for part in as_sets(found)] == [len(part) for part in expected]
    same = sum(one == other for one, other in zip(as_sets(found), expected, strict=True))
    assert same >= len(expected) - 2


@given(
    st.integers(0, 10_000), st.floats(1, 20), st.integers(1, 6), st.sampled_from(["both", "frequency", "cooccurrence"])
)
@settings(max_examples=40, deadline=None)
def test_what_segments_promise(seed: int, ratio: float, groups: int, method: str) -> None:
    rows = rows_of(seed, encounters=40, labels=20)
    found = segment_labels(rows, SegmentationConfig(method=method, ratio=ratio, groups=groups))  # type: ignore[arg-type]
    weights, counts = found.weights(), found.counts
    assert found.sizes.sum() == 20
    assert found.sizes.min() >= 1
    for number in range(len(found)):
        own = found.segment_of == number
        assert weights[own].mean() == pytest.approx(1.0)
        assert (counts[own] > 0).all() or not counts[own].any()
        if method != "cooccurrence" and counts[own].any():
            assert counts[own].max() <= ratio * counts[own].min()
    assert (weights[counts == 0] == 1).all()
    assert (found.segment_of[counts == 0] == len(found) - 1).all()
    assert (found.weights(0.0) == 1).all()
    order = np.random.default_rng(seed).permutation(20)
    back = np.argsort(order)
    moved = LabelRows.of(
        [rows.labels[c] for c in order],
        [back[rows.columns[a:b]].tolist() for a, b in zip(rows.bounds, rows.bounds[1:], strict=False)],
    )
    again = segment_labels(moved, SegmentationConfig(method=method, ratio=ratio, groups=groups))  # type: ignore[arg-type]
    assert (again.segment_of == found.segment_of[order]).all()


def test_labels_of_one_note_part() -> None:
    """Two clusters of labels that always come together, all of one frequency."""
    rows = LabelRows.of("abcdef", [[0, 1], [2, 3], [4, 5]] * 5)
    found = segment_labels(rows, SegmentationConfig(groups=2))
    assert len(found) == 2
    assert found.coupling.tolist() == [0.0, 0.0]
    together = segment_labels(rows, SegmentationConfig(method="frequency"))
    assert together.coupling.tolist() == [pytest.approx(6 / 30)]
    assert found.overall_coupling == pytest.approx(6 / 30)


def test_coupling_is_its_formula() -> None:
    rows = rows_of(9)
    found = segment_labels(rows, SegmentationConfig())
    matrix = np.asarray(rows.matrix().todense(), dtype=np.float64)
    both = matrix.T @ matrix
    for number in range(len(found)):
        own = np.flatnonzero((found.segment_of == number) & (found.counts > 0))
        pairs = [both[a, b] / math.sqrt(found.counts[a] * found.counts[b]) for a in own for b in own if a != b]
        assert found.coupling[number] == pytest.approx(np.mean(pairs) if pairs else 0.0, rel=1e-5)


def test_small_segments_join_the_closest() -> None:
    rows = rows_of(2)
    apart = segment_labels(rows, SegmentationConfig(ratio=1.2))
    joined = segment_labels(rows, SegmentationConfig(ratio=1.2, least_labels=5))
    assert apart.sizes.min() < 5
    assert joined.sizes[:-1].min() >= 5
    assert len(joined) < len(apart)


def test_segments_of_the_hierarchy() -> None:
    labels = ("A01.0", "A01.1", "A02.0", "B01.0", "C99")
    paths = [["A01", "A"], ["A01", "A"], ["A02", "A"], ["B01", "B"], []]
    facts = LabelFacts(LabelRows.of(labels, [[0, 3], [0, 1, 2], [0, 3], [4]]), lambda: paths)
    chapters = segment_labels(facts, SegmentationConfig(method="hierarchy"))
    assert as_sets(chapters) == [{"A01.0", "A01.1", "A02.0"}, {"B01.0"}, {"C99"}]
    categories = segment_labels(facts, SegmentationConfig(method="hierarchy", level="category"))
    assert {frozenset(part) for part in as_sets(categories)} == {
        frozenset(part) for part in ({"A01.0", "A01.1"}, {"A02.0"}, {"B01.0"}, {"C99"})
    }
    with pytest.raises(ConfigError, match='segments with method = "hierarchy" needs the codes above each label'):
        segment_labels(facts.rows, SegmentationConfig(method="hierarchy"))


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        ([[]], [4]),
        ([[0, 1, 2, 3]] * 3, [2, 2]),
        ([[0]], [1, 3]),
        ([[0], [1], [2], [3]], [2, 2]),
    ],
)
def test_odd_counts(rows: list[list[int]], sizes: list[int]) -> None:
    found = segment_labels(LabelRows.of("abcd", rows), SegmentationConfig())
    assert found.sizes.tolist() == sizes
    assert np.isfinite(found.weights()).all()
    assert len(segment_labels(LabelRows.of("a", [[0], []]), SegmentationConfig())) == 1


def test_bad_input_is_told() -> None:
    with pytest.raises(ConfigError, match="no labels or no encounters"):
        segment_labels(LabelRows.of("ab", []), SegmentationConfig())
    with pytest.raises(ConfigError, match="names a code twice"):
        LabelRows.of("aa", [[0]])
    with pytest.raises(ConfigError, match=r"a label number lies outside 0\.\.1"):
        LabelRows.of("ab", [[2]])
    with pytest.raises(ConfigError, match="3 columns do not fit 2 labels"):
        LabelRows.from_matrix("ab", np.ones((2, 3)))
    with pytest.raises(ConfigError, match="values that are no number"):
        LabelRows.from_matrix("ab", np.array([[1.0, np.nan]]))
    with pytest.raises(ConfigError, match=r"ratio: 0\.5 is below 1"):
        SegmentationConfig(ratio=0.5)


def test_rows_from_a_matrix_are_those_of_lists() -> None:
    rows = rows_of(3)
    for matrix in (rows.matrix(), rows.matrix().todense(), rows.matrix().tocoo()):
        again = LabelRows.from_matrix(rows.labels, matrix)
        assert (again.columns == rows.columns).all()
        assert (again.bounds == rows.bounds).all()
    assert LabelRows.of_codes("ab", [frozenset("ax"), frozenset("ab")]).counts.tolist() == [2, 1]


def test_segments_are_kept_and_checked(tmp_path: Path) -> None:
    found = segment_labels(rows_of(4), SegmentationConfig())
    arrays, strings = found.state()
    save_arrays(tmp_path / "segments.npz", arrays)
    again = Segmentation.from_state(load_arrays(tmp_path / "segments.npz"), strings)
    assert again.fingerprint() == found.fingerprint()
    assert (again.weights(0.5) == found.weights(0.5)).all()
    assert (again.coupling == found.coupling).all()
    again.check(found.labels)
    with pytest.raises(ModelError, match="the same codes in another order"):
        again.check(found.labels[::-1])
    with pytest.raises(ModelError, match="they were made for 30 codes, here are 2 other codes"):
        again.check(["a", "b"])
    with pytest.raises(ModelError, match="do not match their fingerprint"):
        Segmentation.from_state({**arrays, "counts": arrays["counts"] + 1}, strings)
    with pytest.raises(ModelError, match="not the segments of labels"):
        Segmentation.from_state({}, strings)
