"""One ranker for every code: trees over features that need no training example of the code they judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nosology.config import Recipe
from nosology.ranking.forest import Forest
from nosology.ranking.parallel import each_number
from nosology.ranking.source import Arrays


@dataclass(frozen=True, slots=True)
class RankerOptions:
    """What the ranker is made of.

    Args:
        boosting_trees: of the gradient boosting; 0 leaves it out.
        random_trees: of the randomised forest; 0 leaves it out.
        folds: parts of the out-of-fold scores that calibration and threshold are chosen on.
    """

    boosting_trees: int = 150
    random_trees: int = 60
    folds: int = 5


def ranker_options(recipe: Recipe) -> RankerOptions:
    """What a recipe wants of the ranker."""
    return RankerOptions(recipe.ranker.boosting_trees, recipe.ranker.random_trees, recipe.calibration.folds)


@dataclass(frozen=True, eq=False)
class Ranker:
    """The mean of a gradient boosting and a forest of randomised trees.

    Boosting is sharper where features are precise, the forest steadier where a code has few examples. Candidates that
    the boosting finds hopeless keep its score, halved; the forest neither learns from them nor judges them, which takes
    most of the time away and changes nothing.

    Args:
        forests: each gives a probability.
    """

    forests: tuple[Forest, ...]

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64 ``[candidate]`` in [0, 1]; not calibrated.

        Args:
            rows: float32 ``[candidate, feature]``.
        """
        if len(rows) == 0:
            return np.zeros(0)
        first, *others = self.forests
        scores = first.predict(rows)
        if others:
            hopeful = scores >= _HOPELESS
            further = [forest.predict(rows[hopeful]) for forest in others]
            scores[hopeful] = np.mean([scores[hopeful], *further], axis=0)
            scores[~hopeful] /= 2.0
        return scores

    @staticmethod
    def fit(rows: NDArray[np.float32], right: NDArray[np.bool_], options: RankerOptions, seed: int) -> Ranker:
        """Learn to tell right candidates from wrong ones.

        Args:
            rows: features of the candidates of all training encounters, cross-fitted; float32 ``[candidate, feature]``.
            right: whether each is a gold code of its encounter; bool ``[candidate]``.
            options: which trees.
            seed: of their random choices.
        """
        if right.all() or not right.any():
            return Ranker((_constant(float(right.any())),))
        from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

        forests = list[Forest]()
        if options.boosting_trees:
            settings: dict[str, Any] = {
                "max_iter": options.boosting_trees,
                "learning_rate": _BOOSTING_PACE / options.boosting_trees,
                "max_leaf_nodes": 15,
                "min_samples_leaf": 40,
                "l2_regularization": 5.0,
                "max_features": 0.3,
                "early_stopping": False,
                "random_state": seed,
            }
            boosting = HistGradientBoostingClassifier(**settings).fit(rows, right)
            forests.append(_checked(Forest.from_boosting(boosting), boosting.predict_proba(rows[:1000])[:, 1], rows))
        if options.random_trees:
            hopeful = forests[0].predict(rows) >= _HOPELESS / 2 if forests else np.ones(len(rows), dtype=np.bool_)
            if right[hopeful].all() or not right[hopeful].any():
                return Ranker(tuple(forests) or (_constant(float(right.mean())),))
            settings = {"min_samples_leaf": 5, "max_features": 0.2, "max_depth": _DEPTH}
            randomised = ExtraTreesClassifier(options.random_trees, random_state=seed, **settings)
            randomised.fit(rows[hopeful], right[hopeful])
            said = np.asarray(randomised.predict_proba(rows[:1000]))[:, 1]
            forests.append(_checked(Forest.from_extra_trees(randomised), said, rows))
        return Ranker(tuple(forests))

    def state(self) -> Arrays:
        return {
            f"{number}.{name}": array
            for number, forest in enumerate(self.forests)
            for name, array in forest.state().items()
        }

    @staticmethod
    def from_state(arrays: Arrays) -> Ranker:
        count = 1 + max(int(name.split(".")[0]) for name in arrays)
        return Ranker(
            tuple(
                Forest.from_state(
                    {
                        name.removeprefix(f"{number}."): array
                        for name, array in arrays.items()
                        if name.startswith(f"{number}.")
                    }
                )
                for number in range(count)
            )
        )


_DEPTH = 20
"""Deeper trees of the forest cost time at prediction and gain nothing on held-out encounters."""
_BOOSTING_PACE = 10.5
"""Learning rate times trees: more trees take smaller steps."""
_TOLERANCE = 1e-5
_HOPELESS = 0.02


def _checked(forest: Forest, expected: NDArray[np.float64], rows: NDArray[np.float32]) -> Forest:
    """The forest, if it says what scikit-learn's own says: its node layout is not part of the public interface."""
    difference = float(np.abs(forest.predict(rows[: len(expected)]) - expected).max())
    if difference > _TOLERANCE:
        raise RuntimeError(f"trees in plain arrays differ by {difference:.1e} from scikit-learn's own")
    return forest


def _constant(probability: float) -> Forest:
    """A tree of one leaf, for training candidates that are all right or all wrong."""
    one = np.zeros(1, dtype=np.int32)
    return Forest(
        one, np.array([np.inf], np.float32), one, one, np.array([probability], np.float32), one, 0.0, 1.0, False
    )


def out_of_fold_scores(
    rows: NDArray[np.float32],
    right: NDArray[np.bool_],
    folds: NDArray[np.int64],
    options: RankerOptions,
    seed: int,
) -> NDArray[np.float64]:
    """Each candidate's score by a ranker that has not seen its fold: float64 ``[candidate]``.

    Args:
        rows, right: as for ``Ranker.fit``.
        folds: of each candidate's encounter; int64 ``[candidate]``.
        options, seed: as for ``Ranker.fit``.
    """
    parts = folds % options.folds

    def score_part(part: int) -> NDArray[np.float64]:
        held = parts == part
        return Ranker.fit(rows[~held], right[~held], options, seed).score(rows[held])

    scores = np.zeros(len(rows))
    for part, own in each_number(score_part, np.unique(parts).tolist()):
        scores[parts == part] = own
    return scores
