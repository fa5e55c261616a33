"""Dense scores are judged by another way than sparse ones: every figure must agree, ties and all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nosology.errors import PredictionsError
from nosology.evaluation import evaluate_judged, judge_codes, judge_dense
from nosology.evaluation.judgements import Judgements


def sparse_twin(gold: np.ndarray, score: np.ndarray, assigned: np.ndarray) -> Judgements:
    """Every pair listed, best first, ties by column."""
    n_encounters, n_labels = gold.shape
    listed = [
        [(str(j), float(row[j]), bool(assigned[i, j])) for j in np.argsort(-row, kind="stable")]
        for i, row in enumerate(score)
    ]
    wanted = [{str(j) for j in np.flatnonzero(row)} for row in gold]
    return judge_codes(list(map(str, range(n_encounters))), wanted, listed, label_space=map(str, range(n_labels)))


def figures(judged: Judgements) -> dict[str, float]:
    counts = {label: i % 13 for i, label in enumerate(judged.labels)}
    return evaluate_judged(judged, intervals=False, train_counts=counts, by=("band",), bands="published").figures()


@st.composite
def dense(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = draw(st.integers(1, 7)), draw(st.integers(1, 12))
    gold = draw(arrays.arrays(np.bool_, shape))
    tied = draw(arrays.arrays(np.int8, shape, elements=st.integers(0, 4)))
    score = (tied / 4).astype(draw(st.sampled_from([np.float32, np.float64])))
    return gold, score, draw(arrays.arrays(np.bool_, shape))


@given(dense())
@settings(max_examples=120, deadline=None)
def test_every_figure_agrees(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    ours, twin = figures(judge_dense(*case)), figures(sparse_twin(*case))
    assert ours.keys() == twin.keys()
    for name, value in ours.items():
        assert math.isfinite(value), name
        assert value == pytest.approx(twin[name], abs=1e-9), name


@given(dense(), st.data())
@settings(max_examples=60, deadline=None)
def test_parts_and_other_thresholds_agree(case: tuple[np.ndarray, np.ndarray, np.ndarray], data: st.DataObject) -> None:
    gold = case[0]
    rows = data.draw(arrays.arrays(np.bool_, gold.shape[0]))
    labels = data.draw(arrays.arrays(np.bool_, gold.shape[1]))
    thresholds = data.draw(arrays.arrays(np.float64, gold.shape[1], elements=st.sampled_from([0.0, 0.3, 0.5, 1.0])))
    parts = [
        judged.assigning_from(thresholds).restrict(labels).select_encounters(rows)
        for judged in (judge_dense(*case), sparse_twin(*case))
    ]
    assert parts[0].n_candidates == parts[1].n_candidates == rows.sum() * labels.sum()
    ours, twin = (evaluate_judged(part, intervals=False).figures() for part in parts)
    assert ours == pytest.approx(twin, abs=1e-9)


def test_the_scores_are_not_copied() -> None:
    score = np.random.default_rng(0).random((20, 30), dtype=np.float32)
    judged = judge_dense(score > 0.9, score, score > 0.5)
    assert judged.dense is score


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers(value: float) -> None:
    score = np.full((2, 3), 0.5)
    score[1, 2] = value
    flags = np.zeros((2, 3), dtype=bool)
    with pytest.raises(PredictionsError) as caught:
        judge_dense(flags, score, flags, encounter_ids=["e1", "e2"], labels=["a", "b", "I10"])
    assert str(caught.value) == f"[e2]: the score of code 'I10' is {value}; scores must be finite"


def test_shapes_that_differ() -> None:
    flags = np.zeros((2, 3), dtype=bool)
    with pytest.raises(PredictionsError, match="must have one shape"):
        judge_dense(flags, np.zeros((2, 4)), flags)
    with pytest.raises(PredictionsError, match="must have one shape"):
        judge_dense(flags, np.zeros((2, 3)), flags, labels=["a"])


def test_scores_that_are_no_probabilities_have_no_report() -> None:
    flags = np.zeros((2, 3), dtype=bool)
    with pytest.raises(PredictionsError, match="apply the sigmoid to logits first"):
        evaluate_judged(judge_dense(flags, np.full((2, 3), 4.0), flags))


@pytest.mark.parametrize("encounters", [0, 1, 5])
@pytest.mark.parametrize("labels", [1, 3, 40])
@pytest.mark.parametrize("gold", [False, True])
@pytest.mark.parametrize("assigned", [False, True])
def test_every_figure_is_defined(encounters: int, labels: int, gold: bool, assigned: bool) -> None:
    """One note, no note, nothing predicted, everything predicted, empty gold, all gold, k above the labels."""
    shape = encounters, labels
    judged = judge_dense(np.full(shape, gold), np.full(shape, 0.5), np.full(shape, assigned))
    report = evaluate_judged(judged, train_counts={"0": 3}, by=("band",)).figures()
    assert all(math.isfinite(value) and 0 <= value <= 1 for value in report.values())
    if not gold or not assigned:
        assert report["micro.f1"] == report["macro.f1.caml"] == 0.0
    if encounters and gold and assigned:
        assert report["micro.f1"] == report["macro.f1.all_labels"] == report["exact_match"] == 1.0
    if encounters and not gold and not assigned:
        assert report["exact_match"] == 1.0
    assert report["micro.auc"] == report["macro.auc"] == 0.5
