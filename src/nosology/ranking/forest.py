"""Decision trees as plain arrays: learnt with scikit-learn, applied with numpy alone, saved without pickle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from nosology.ranking.source import Arrays

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

_ROWS_AT_ONCE = 4_096
"""Rows times trees of node numbers are held at a time; this many rows keep that below a few megabytes."""


@dataclass(frozen=True, eq=False)
class Forest:
    """Binary trees, all nodes of all trees in one row; a leaf is its own child.

    ``score(x) = bias + scale * sum over trees of value[leaf that x falls into]``; a row goes left where
    ``x[feature] <= threshold``.

    Args:
        features: which feature each node asks; int32 ``[node]``, 0 in a leaf.
        thresholds: float32 ``[node]``, rounded down, which decides like the original for float32 rows; +inf in a leaf.
        left, right: each node's children; int32 ``[node]``.
        values: float32 ``[node]``.
        roots: the first node of each tree; int32 ``[tree]``.
        bias, scale: as in the formula.
        is_logit: whether the score is log odds (boosting) or a probability (averaging).
    """

    features: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    values: NDArray[np.float32]
    roots: NDArray[np.int32]
    bias: float
    scale: float
    is_logit: bool

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """The probability of each row, float64 ``[row]``.

        Args:
            rows: float32 ``[row, feature]``.
        """
        parts = [self._score(rows[start : start + _ROWS_AT_ONCE]) for start in range(0, len(rows), _ROWS_AT_ONCE)]
        score = np.concatenate(parts) if parts else np.zeros(0)
        return 1.0 / (1.0 + np.exp(-score)) if self.is_logit else score

    def _score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        width, trees = rows.shape[1], len(self.roots)
        flat = rows.ravel()
        leaves = np.tile(self.roots, len(rows))
        walking = np.flatnonzero(self.left[leaves] != leaves)  # (row, tree) pairs that have not reached a leaf
        nodes = leaves[walking]
        offsets = (walking // trees * width).astype(np.int32)
        while len(walking):
            goes_left = flat[offsets + self.features[nodes]] <= self.thresholds[nodes]
            nodes = np.where(goes_left, self.left[nodes], self.right[nodes])
            leaves[walking] = nodes
            inner = self.left[nodes] != nodes
            walking, nodes, offsets = walking[inner], nodes[inner], offsets[inner]
        sums = self.values[leaves].reshape(len(rows), trees).sum(axis=1, dtype=np.float64)
        return self.bias + self.scale * sums

    def state(self) -> Arrays:
        scalars = np.array([self.bias, self.scale, self.is_logit], dtype=np.float64)
        names = ("features", "thresholds", "left", "right", "values", "roots")
        return {name: getattr(self, name) for name in names} | {"scalars": scalars}

    @staticmethod
    def from_state(arrays: Arrays) -> Forest:
        bias, scale, is_logit = (float(value) for value in arrays["scalars"])
        return Forest(
            arrays["features"].astype(np.int32, copy=False),
            arrays["thresholds"].astype(np.float32, copy=False),
            arrays["left"].astype(np.int32, copy=False),
            arrays["right"].astype(np.int32, copy=False),
            arrays["values"].astype(np.float32, copy=False),
            arrays["roots"].astype(np.int32, copy=False),
            bias,
            scale,
            bool(is_logit),
        )

    @staticmethod
    def from_extra_trees(model: ExtraTreesClassifier) -> Forest:
        """A fitted forest of randomised trees: the probability is the mean share of the second class in the leaves."""
        trees = list[_Tree]()
        for estimator in cast(Sequence[Any], model.estimators_):
            tree = estimator.tree_
            shares = tree.value[:, 0, :]
            trees.append(
                _Tree(
                    tree.feature,
                    tree.threshold,
                    tree.children_left,
                    tree.children_right,
                    shares[:, 1] / shares.sum(axis=1),
                    tree.children_left < 0,
                )
            )
        return _join(trees, bias=0.0, scale=1.0 / len(trees), is_logit=False)

    @staticmethod
    def from_boosting(model: HistGradientBoostingClassifier) -> Forest:
        """A fitted two-class histogram gradient boosting; the score is its raw log odds."""
        fitted = cast(Any, model)
        trees = list[_Tree]()
        for (predictor,) in fitted._predictors:
            nodes = predictor.nodes
            trees.append(
                _Tree(
                    nodes["feature_idx"],
                    nodes["num_threshold"],
                    nodes["left"],
                    nodes["right"],
                    nodes["value"],
                    nodes["is_leaf"].astype(np.bool_),
                )
            )
        return _join(trees, bias=float(fitted._baseline_prediction.item()), scale=1.0, is_logit=True)


@dataclass(frozen=True, eq=False)
class _Tree:
    features: NDArray[np.integer[Any]]
    thresholds: NDArray[np.float64]
    left: NDArray[np.integer[Any]]
    right: NDArray[np.integer[Any]]
    values: NDArray[np.float64]
    is_leaf: NDArray[np.bool_]


def _join(trees: Iterable[_Tree], *, bias: float, scale: float, is_logit: bool) -> Forest:
    features, thresholds, left, right, values, roots, first = [], [], [], [], [], [], 0
    for tree in trees:
        own = np.arange(len(tree.is_leaf))
        features.append(np.where(tree.is_leaf, 0, tree.features))
        thresholds.append(np.where(tree.is_leaf, np.inf, tree.thresholds))
        left.append(np.where(tree.is_leaf, own, tree.left) + first)
        right.append(np.where(tree.is_leaf, own, tree.right) + first)
        values.append(tree.values)
        roots.append(first)
        first += len(own)
    return Forest(
        np.concatenate(features).astype(np.int32),
        _rounded_down(np.concatenate(thresholds)),
        np.concatenate(left).astype(np.int32),
        np.concatenate(right).astype(np.int32),
        np.concatenate(values).astype(np.float32),
        np.array(roots, dtype=np.int32),
        bias,
        scale,
        is_logit,
    )


def _rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 not above each threshold."""
    nearest = thresholds.astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)
