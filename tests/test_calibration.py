"""Calibration and threshold against scikit-learn and brute force, and what must hold of them for any scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from nosology.calibration import IsotonicCalibration, best_threshold, expected_calibration_error

_COARSE = st.integers(0, 20).map(lambda number: number / 20.0)
"""Scores with many ties."""
_FINE = st.integers(0, 10**6).map(lambda number: number / 10**6)
_SAMPLES = st.one_of(
    st.lists(st.tuples(_COARSE, st.booleans()), min_size=1, max_size=40),
    st.lists(st.tuples(_FINE, st.booleans()), min_size=1, max_size=40),
)


def _columns(sample: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in sample]), np.array([outcome for _, outcome in sample], dtype=np.bool_)


@settings(max_examples=150, deadline=None)
@given(_SAMPLES)
@example([(0.5, False), (0.5, True)])
@example([(0.5, True), (0.5, False), (0.2, False)])
def test_levels_are_those_of_sklearn(sample: list[tuple[float, bool]]) -> None:
    scores, outcomes = _columns(sample)
    ours = IsotonicCalibration.fit(scores, outcomes)
    theirs = IsotonicRegression().fit(scores, outcomes.astype(float)).predict(scores)
    assert ours.probabilities == pytest.approx(np.unique(theirs.round(12)))


@settings(max_examples=100, deadline=None)
@given(_SAMPLES)
def test_each_bend_is_the_mean_score_of_its_level(sample: list[tuple[float, bool]]) -> None:
    scores, outcomes = _columns(sample)
    ours = IsotonicCalibration.fit(scores, outcomes)
    theirs = IsotonicRegression().fit(scores, outcomes.astype(float)).predict(scores).round(12)
    centres = [scores[theirs == level].mean() for level in np.unique(theirs)]
    assert ours.scores == pytest.approx(np.array(centres))


@settings(max_examples=100, deadline=None)
@given(_SAMPLES, st.randoms(use_true_random=False))
def test_the_order_of_candidates_means_nothing(sample: list[tuple[float, bool]], random) -> None:
    shuffled = list(sample)
    random.shuffle(shuffled)
    grid = np.linspace(0, 1, 23)
    first, second = IsotonicCalibration.fit(*_columns(sample)), IsotonicCalibration.fit(*_columns(shuffled))
    assert first.apply(grid) == pytest.approx(second.apply(grid))


@settings(max_examples=100, deadline=None)
@given(_SAMPLES, st.lists(_FINE, min_size=2, max_size=40, unique=True))
def test_probabilities_rise_strictly_with_scores_and_stay_in_the_unit_interval(
    sample: list[tuple[float, bool]], scores: list[float]
) -> None:
    probabilities = IsotonicCalibration.fit(*_columns(sample)).apply(np.sort(scores))
    assert (np.diff(probabilities) > 0).all()
    assert probabilities.min() >= 0.0
    assert probabilities.max() <= 1.0


def test_nothing_to_learn_from_leaves_scores_as_they_are() -> None:
    nothing = IsotonicCalibration.fit(np.zeros(0), np.zeros(0, dtype=np.bool_))
    assert nothing.apply(np.array([0.0, 0.25, 1.0])) == pytest.approx([0.0, 0.25, 1.0])
    assert len(nothing.apply(np.zeros(0))) == 0


def test_calibration_mends_scores_that_say_too_much() -> None:
    random = np.random.default_rng(0)
    truth = random.random(4000)
    outcomes = random.random(4000) < truth
    scores = np.sqrt(truth)
    calibrated = IsotonicCalibration.fit(scores, outcomes).apply(scores)
    assert expected_calibration_error(scores, outcomes) > 0.1
    assert expected_calibration_error(calibrated, outcomes) < 0.02


def _f1(probabilities: np.ndarray, outcomes: np.ndarray, gold: int, threshold: float) -> float:
    assigned = probabilities >= threshold
    return 2.0 * float((assigned & outcomes).sum()) / (float(assigned.sum()) + gold)


@settings(max_examples=150, deadline=None)
@given(_SAMPLES, st.integers(0, 10))
def test_no_threshold_beats_the_best_one(sample: list[tuple[float, bool]], missed: int) -> None:
    probabilities, outcomes = _columns(sample)
    gold = int(outcomes.sum()) + missed
    chosen = best_threshold(probabilities, outcomes, gold)
    every = [0.0, *np.unique(probabilities), 1.1]
    assert 0.0 <= chosen <= 1.0
    if gold:
        best = max(_f1(probabilities, outcomes, gold, threshold) for threshold in every)
        assert _f1(probabilities, outcomes, gold, chosen) == pytest.approx(best)


def test_threshold_lies_between_the_last_assigned_and_the_next() -> None:
    probabilities = np.array([0.9, 0.8, 0.4, 0.2])
    assert best_threshold(probabilities, np.array([True, True, False, False]), 2) == pytest.approx(0.6)


def test_threshold_assigns_all_or_none_of_equal_probabilities() -> None:
    """One right and one wrong at 0.5: both (F1 = 4/5) beat neither (2/3); they cannot be parted."""
    probabilities = np.array([0.9, 0.5, 0.5])
    assert best_threshold(probabilities, np.array([True, True, False]), 2) == pytest.approx(0.25)


@pytest.mark.parametrize("gold", [0, 3])
def test_threshold_without_candidates_or_gold(gold: int) -> None:
    assert best_threshold(np.zeros(0), np.zeros(0, dtype=np.bool_), gold) == 0.5


def test_threshold_without_gold_codes() -> None:
    assert best_threshold(np.array([0.7]), np.array([False]), 0) == 0.5


def test_calibration_error_by_hand() -> None:
    """Bin [0.2, 0.3): said 0.25 twice, true half the time; bin [0.9, 1]: said 0.95 and 1.0, both true."""
    probabilities = np.array([0.25, 0.25, 0.95, 1.0])
    outcomes = np.array([True, False, True, True])
    expected = (2 / 4) * abs(0.25 - 0.5) + (2 / 4) * abs(0.975 - 1.0)
    assert expected_calibration_error(probabilities, outcomes) == pytest.approx(expected)
    assert expected_calibration_error(np.zeros(0), np.zeros(0, dtype=np.bool_)) == 0.0
