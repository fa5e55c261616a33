"""All labels together against one label at a time by scikit-learn, with features spanned and sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random_array
from sklearn.linear_model import LogisticRegression

from nosology.baselines import logistic
from nosology.baselines.logistic import DenseRows, SparseRows, fit_logistic, fit_sparse_logistic


def rows_of(n: int, width: int, seed: int) -> csr_matrix:
    """Random rows of length 1."""
    matrix = csr_matrix(random_array((n, width), density=0.2, rng=np.random.default_rng(seed)))
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return csr_matrix(matrix.multiply((1.0 / np.maximum(lengths, 1e-12))[:, None]))


def targets_of(n: int, labels: int, seed: int) -> np.ndarray:
    """0 and 1; labels from common to a single encounter."""
    random = np.random.default_rng(seed)
    targets = (random.random((n, labels)) < np.geomspace(0.5, 1.0 / n, labels)).astype(np.float64)
    targets[random.integers(0, n, labels), np.arange(labels)] = 1.0
    targets[(targets.all(axis=0)).nonzero()[0] % n, targets.all(axis=0).nonzero()[0]] = 0.0
    return targets


def by_scikit_learn(matrix: csr_matrix, target: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    model: Any = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(matrix, target)
    return model.coef_[0], float(model.intercept_[0])


@pytest.mark.parametrize(("n", "width"), [(30, 80), (80, 30)])
@pytest.mark.parametrize("strength", [0.1, 1.0, 100.0])
def test_weights_are_scikit_learns(n: int, width: int, strength: float) -> None:
    matrix, targets = rows_of(n, width, 1), targets_of(n, 6, 2)
    for rows in (SparseRows(matrix), DenseRows(matrix.toarray())):
        weights, intercepts = fit_logistic(rows, targets, strength=strength, tolerance=1e-9)
        for label in range(targets.shape[1]):
            expected, intercept = by_scikit_learn(matrix, targets[:, label], strength)
            np.testing.assert_allclose(weights[:, label], expected, atol=2e-4 * strength**0.5)
            assert intercepts[label] == pytest.approx(intercept, abs=1e-3 * strength**0.5)


@given(seed=st.integers(0, 1000), n=st.integers(3, 25), width=st.integers(1, 40), labels=st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_neighbours_in_a_block_change_nothing(seed: int, n: int, width: int, labels: int) -> None:
    matrix, targets = rows_of(n, width, seed), targets_of(n, labels, seed)
    together, intercepts = fit_logistic(SparseRows(matrix), targets, strength=5.0, tolerance=1e-8)
    for label in range(labels):
        alone, intercept = fit_logistic(SparseRows(matrix), targets[:, [label]], strength=5.0, tolerance=1e-8)
        np.testing.assert_allclose(together[:, label], alone[:, 0], atol=1e-5)
        assert intercepts[label] == pytest.approx(intercept[0], abs=1e-4)


@pytest.mark.parametrize("spanned", [True, False])
def test_the_space_that_encounters_span_gives_the_same_weights(spanned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic, "_MOST_SPANNED", 10_000 if spanned else 0)
    matrix, targets = rows_of(25, 60, 3), targets_of(25, 5, 4)
    holders = [np.flatnonzero(column) for column in targets.T]
    weights, intercepts = fit_sparse_logistic(matrix, holders, strength=10.0, kept=60)
    expected, expected_intercepts = fit_logistic(DenseRows(matrix.toarray()), targets, strength=10.0, tolerance=1e-9)
    np.testing.assert_allclose(weights.toarray(), expected, atol=5e-3)
    np.testing.assert_allclose(intercepts, expected_intercepts, atol=5e-3)


def test_blocks_of_labels_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, targets = rows_of(25, 60, 3), targets_of(25, 5, 4)
    holders = [np.flatnonzero(column) for column in targets.T]
    whole, intercepts = fit_sparse_logistic(matrix, holders, strength=10.0, kept=60)
    monkeypatch.setattr(logistic, "_BLOCK_BYTES", 8 * 60 * 2)
    blocked, blocked_intercepts = fit_sparse_logistic(matrix, holders, strength=10.0, kept=60)
    np.testing.assert_allclose(blocked.toarray(), whole.toarray(), atol=5e-3)
    np.testing.assert_allclose(blocked_intercepts, intercepts, atol=5e-3)


def test_only_the_largest_weights_are_kept() -> None:
    matrix, targets = rows_of(25, 60, 3), targets_of(25, 5, 4)
    holders = [np.flatnonzero(column) for column in targets.T]
    whole = fit_sparse_logistic(matrix, holders, strength=10.0, kept=60)[0].toarray()
    kept = fit_sparse_logistic(matrix, holders, strength=10.0, kept=7)[0].toarray()
    for label in range(5):
        largest = np.argsort(-np.abs(whole[:, label]))[:7]
        assert set(np.flatnonzero(kept[:, label])) == set(largest)
        np.testing.assert_allclose(kept[largest, label], whole[largest, label])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_label_of_all_or_no_encounters_has_finite_weights(share: float) -> None:
    weights, intercepts = fit_logistic(SparseRows(rows_of(10, 5, 0)), np.full((10, 1), share), strength=10.0)
    assert np.isfinite(weights).all()
    assert np.isfinite(intercepts).all()
    assert (intercepts[0] > 2.0) == bool(share)


def test_without_features_the_intercept_is_the_log_odds() -> None:
    targets = np.array([[1.0], [0.0], [0.0], [0.0]])
    weights, intercepts = fit_sparse_logistic(csr_matrix((4, 0)), [np.array([0])], strength=1.0, kept=10)
    assert weights.shape == (0, 1)
    assert intercepts[0] == pytest.approx(np.log(1 / 3), abs=1e-3)
    assert targets.mean() == 0.25


def test_no_label_gives_no_regression() -> None:
    weights, intercepts = fit_sparse_logistic(rows_of(4, 3, 0), [], strength=1.0, kept=10)
    assert weights.shape == (3, 0)
    assert len(intercepts) == 0


def test_scores_far_from_zero_do_not_overflow() -> None:
    from nosology.baselines.logistic import _sigmoid

    with np.errstate(all="raise"):
        found = _sigmoid(np.array([-1e9, -100.0, 0.0, 100.0, 1e9], dtype=np.float32))
    assert found == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])
