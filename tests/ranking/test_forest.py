"""Trees in plain arrays against scikit-learn's own predictions, bit by bit where thresholds are met exactly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from nosology.ranking.forest import Forest
from nosology.ranking.ranker import Ranker, RankerOptions, out_of_fold_scores


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """OpenMP's threads wait busily: beside other work, a fit of milliseconds takes them seconds."""
    with threadpool_limits(1):
        yield


def _data(rows: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features on a coarse grid (many equal values), with an outcome that depends on some of them."""
    random = np.random.default_rng(seed)
    features = (random.integers(0, 12, size=(rows, 6)) / 8).astype(np.float32)
    features[:, 5] = random.normal(size=rows) * 1e6
    noise = random.normal(size=rows) * 0.3
    return features, (features[:, 0] + features[:, 1] * features[:, 2] + noise) > 1.0


def _boosting(**settings: object) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(**{"max_iter": 20, "early_stopping": False, "random_state": 0, **settings})


@pytest.mark.parametrize("settings", [{}, {"max_iter": 1}, {"max_leaf_nodes": 2}, {"l2_regularization": 5.0}])
def test_boosting_says_what_sklearn_says(settings: dict[str, object]) -> None:
    features, outcomes = _data()
    model = _boosting(**settings).fit(features, outcomes)
    assert Forest.from_boosting(model).predict(features) == pytest.approx(model.predict_proba(features)[:, 1], abs=1e-6)


@pytest.mark.parametrize("settings", [{}, {"max_depth": 1}, {"min_samples_leaf": 30}, {"max_leaf_nodes": 3}])
def test_randomised_trees_say_what_sklearn_says(settings: dict[str, int]) -> None:
    features, outcomes = _data()
    model = ExtraTreesClassifier(15, random_state=0, **settings).fit(features, outcomes)
    expected = model.predict_proba(features)[:, 1]
    assert Forest.from_extra_trees(model).predict(features) == pytest.approx(expected, abs=1e-6)


def test_trees_of_one_leaf() -> None:
    features, outcomes = np.zeros((40, 3), dtype=np.float32), np.arange(40) % 4 == 0
    random_trees = ExtraTreesClassifier(3, random_state=0).fit(features, outcomes)
    boosting = _boosting(max_iter=3).fit(features, outcomes)
    assert Forest.from_extra_trees(random_trees).predict(features) == pytest.approx(np.full(40, 0.25))
    assert Forest.from_boosting(boosting).predict(features) == pytest.approx(boosting.predict_proba(features)[:, 1])


def test_rows_that_meet_a_threshold_exactly_go_left_as_in_sklearn() -> None:
    """Every threshold of every tree, as float32 and its neighbours, in every column."""
    features, outcomes = _data()
    for model, read in (
        (_boosting().fit(features, outcomes), Forest.from_boosting),
        (ExtraTreesClassifier(5, random_state=0).fit(features, outcomes), Forest.from_extra_trees),
    ):
        forest = read(model)
        edges = np.unique(forest.thresholds[np.isfinite(forest.thresholds)])
        edges = np.concatenate([edges, np.nextafter(edges, np.float32(np.inf))])
        rows = np.random.default_rng(1).choice(edges, size=(3000, 6)).astype(np.float32)
        assert forest.predict(rows) == pytest.approx(model.predict_proba(rows)[:, 1], abs=1e-6)


def test_more_rows_than_are_held_at_once_and_none() -> None:
    features, outcomes = _data(300)
    forest = Forest.from_boosting(_boosting(max_iter=3).fit(features, outcomes))
    many = np.tile(features, (30, 1))
    assert (forest.predict(many) == np.tile(forest.predict(features), 30)).all()
    assert forest.predict(features[:0]).shape == (0,)


def test_state_round_trip_is_exact(tmp_path) -> None:
    features, outcomes = _data()
    ranker = Ranker.fit(features, outcomes, RankerOptions(10, 5, 2), seed=0)
    np.savez(tmp_path / "ranker.npz", **ranker.state())
    with np.load(tmp_path / "ranker.npz", allow_pickle=False) as arrays:
        again = Ranker.from_state(dict(arrays))
    assert (again.score(features) == ranker.score(features)).all()


@pytest.mark.parametrize(("boosting", "random"), [(10, 0), (0, 10), (10, 10)])
def test_ranker_scores_are_probabilities_that_tell_right_from_wrong(boosting: int, random: int) -> None:
    features, outcomes = _data()
    scores = Ranker.fit(features, outcomes, RankerOptions(boosting, random, 2), seed=0).score(features)
    assert scores.min() >= 0.0
    assert scores.max() <= 1.0
    assert scores[outcomes].mean() > scores[~outcomes].mean() + 0.2


@pytest.mark.parametrize("right", [False, True])
def test_ranker_of_candidates_that_are_all_alike(right: bool) -> None:
    features, _ = _data(20)
    ranker = Ranker.fit(features, np.full(20, right), RankerOptions(10, 10, 2), seed=0)
    assert (Ranker.from_state(ranker.state()).score(features) == float(right)).all()


def test_ranker_without_any_candidate_believes_none() -> None:
    nothing = np.zeros((0, 6), dtype=np.float32)
    ranker = Ranker.fit(nothing, np.zeros(0, dtype=np.bool_), RankerOptions(10, 10, 2), seed=0)
    assert (ranker.score(np.ones((3, 6), dtype=np.float32)) == 0.0).all()
    assert ranker.score(nothing).shape == (0,)


def test_out_of_fold_scores_come_from_rankers_without_the_fold() -> None:
    """Turning the outcomes of one part about changes no score of that part, and some of the others."""
    features, outcomes = _data(300)
    folds = np.arange(300) % 4
    options = RankerOptions(5, 5, folds=2)
    before = out_of_fold_scores(features, outcomes, folds, options, seed=0)
    part = folds % 2 == 0
    after = out_of_fold_scores(features, np.where(part, ~outcomes, outcomes), folds, options, seed=0)
    assert (before[part] == after[part]).all()
    assert (before[~part] != after[~part]).any()


@pytest.mark.parametrize("leaves", [2, 3, 15, 16])
def test_striking_out_leaves_equals_walking(leaves: int) -> None:
    rng = np.random.default_rng(leaves)
    rows = rng.integers(0, 6, (300, 5)).astype(np.float32)  # many values that equal a threshold
    model = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=leaves, min_samples_leaf=1)
    forest = Forest.from_boosting(model.fit(rows, rows[:, 0] * rows[:, 1] > rows[:, 2] + rng.integers(0, 4, 300)))
    assert forest._leaf_bits is not None
    assert (forest._leaf_bits.sums(rows) == forest._by_walking(rows)).all()


def test_trees_of_more_leaves_than_bits_are_walked() -> None:
    rows = np.random.default_rng(0).normal(size=(2000, 3)).astype(np.float32)
    model = HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=17, min_samples_leaf=1)
    assert Forest.from_boosting(model.fit(rows, rows.prod(axis=1) > 0))._leaf_bits is None
