"""Decision trees as plain arrays: learnt with scikit-learn, applied with numpy alone, saved without pickle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
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
        sums = self._by_walking(rows) if self._leaf_bits is None else self._leaf_bits.sums(rows)
        return self.bias + self.scale * sums

    def _by_walking(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """From the roots down, all (row, tree) pairs one step at a time: float64 ``[row]``.

        Pairs that have reached a leaf stay there; to take them out of the row costs more than to ask them again.
        """
        known = self._levels
        flat, trees = rows.ravel(), len(self.roots)
        nodes = np.tile(known.roots, len(rows))
        offsets = np.repeat(np.arange(len(rows)) * rows.shape[1], trees)
        for _ in range(known.depth):
            asked = known.features.take(nodes, mode="clip")  # "clip" saves the check of bounds
            asked += offsets
            goes_right = flat.take(asked, mode="clip") > known.thresholds.take(nodes, mode="clip")
            nodes = known.left.take(nodes, mode="clip")
            nodes += goes_right
        return known.values.take(nodes).reshape(len(rows), trees).sum(axis=1, dtype=np.float64)

    @cached_property
    def _levels(self) -> _Levels:
        return _Levels.of(self)

    @cached_property
    def _leaf_bits(self) -> _LeafBits | None:
        return _LeafBits.of(self)

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
class _Levels:
    """The nodes level by level, so that a right child follows the left one; as numpy indexes fastest.

    Args:
        features, thresholds, left, values, roots: as of a ``Forest``; the right child is ``left + 1``.
        depth: questions from a root to the furthest leaf.
    """

    features: NDArray[np.intp]
    thresholds: NDArray[np.float32]
    left: NDArray[np.intp]
    values: NDArray[np.float32]
    roots: NDArray[np.intp]
    depth: int

    @staticmethod
    def of(forest: Forest) -> _Levels:
        levels = [forest.roots]
        while True:
            nodes = levels[-1]
            inner = nodes[forest.left[nodes] != nodes]
            if not len(inner):
                break
            levels.append(np.column_stack([forest.left[inner], forest.right[inner]]).ravel())
        order = np.concatenate(levels)
        place = np.empty(len(order), dtype=np.intp)
        place[order] = np.arange(len(order))
        return _Levels(
            forest.features[order].astype(np.intp),
            forest.thresholds[order],
            place[forest.left[order]],
            forest.values[order],
            place[forest.roots],
            len(levels) - 1,
        )


@dataclass(frozen=True, eq=False)
class _LeafBits:
    """Small trees without walking: every node that a row answers with "right" strikes out the leaves on its left.

    A tree's leaves, from left to right, are bits; what is left of all of them after all strikes, the lowest bit, is the
    row's leaf (Lucchese et al. 2015, QuickScorer). All trees are asked their first node together, then their second.

    Args:
        features, thresholds: the inner nodes' questions, filled up with nodes that are never answered "right"; ``[node,
            tree]``.
        struck: the leaves that "right" strikes out; uint16 ``[node, tree]``.
        values: of the leaves; float32 ``[tree * 16 + leaf]``.
    """

    features: NDArray[np.intp]
    thresholds: NDArray[np.float32]
    struck: NDArray[np.uint16]
    values: NDArray[np.float32]

    @staticmethod
    def of(forest: Forest) -> _LeafBits | None:
        """``None`` where a tree has more than 16 leaves."""
        trees = [_questions(forest, root) for root in forest.roots.tolist()]
        if any(tree is None for tree in trees):
            return None
        known = [tree for tree in trees if tree is not None]
        depth = max((len(questions) for questions, _ in known), default=0)
        features = np.zeros((depth, len(known)), dtype=np.intp)
        thresholds = np.full((depth, len(known)), np.inf, dtype=np.float32)
        struck = np.zeros((depth, len(known)), dtype=np.uint16)
        values = np.zeros((len(known), _BITS), dtype=np.float32)
        for tree, (questions, leaves) in enumerate(known):
            values[tree, : len(leaves)] = leaves
            for node, question in enumerate(questions):
                features[node, tree], thresholds[node, tree], struck[node, tree] = question
        return _LeafBits(features, thresholds, struck, values.ravel())

    def sums(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sum of the trees' values, float64 ``[row]``."""
        columns = np.ascontiguousarray(rows.T)
        shape = (self.features.shape[1], len(rows))
        asked, goes_right = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.bool_)
        strikes, gone = np.empty(shape, dtype=np.uint16), np.zeros(shape, dtype=np.uint16)
        for features, thresholds, struck in zip(self.features, self.thresholds, self.struck, strict=True):
            columns.take(features, axis=0, out=asked, mode="clip")
            np.greater(asked, thresholds[:, None], out=goes_right)
            np.multiply(goes_right.view(np.uint8), struck[:, None], out=strikes)
            gone |= strikes
        places = _LOWEST_BIT.take(~gone, mode="clip")
        places += np.arange(0, len(self.values), _BITS)[:, None]
        return self.values.take(places, mode="clip").sum(axis=0, dtype=np.float64)


_BITS = 16
_ALL_BITS = 0xFFFF
_LOWEST_BIT = np.zeros(_ALL_BITS + 1, dtype=np.intp)
"""Position of the lowest bit of every number of 16 bits."""
for _bit in reversed(range(_BITS)):
    _LOWEST_BIT[(np.arange(_ALL_BITS + 1) >> _bit) & 1 == 1] = _bit


def _questions(forest: Forest, root: int) -> tuple[list[tuple[int, float, int]], list[float]] | None:
    """A tree's inner nodes as (feature, threshold, leaves that "right" strikes out), and its leaves' values."""
    questions, leaves = list[tuple[int, float, int]](), list[float]()
    waiting: list[tuple[int, int]] = [(root, -1)]  # a node, and whose left side ends before it
    while waiting and len(leaves) <= _BITS:
        node, ended = waiting.pop()
        if ended >= 0:
            feature, threshold, first = questions[ended]
            questions[ended] = feature, threshold, (1 << len(leaves)) - (1 << first)
        left = int(forest.left[node])
        if left == node:
            leaves.append(float(forest.values[node]))
            continue
        questions.append((int(forest.features[node]), float(forest.thresholds[node]), len(leaves)))
        waiting += [(int(forest.right[node]), len(questions) - 1), (left, -1)]
    return None if len(leaves) > _BITS else (questions, leaves)


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
