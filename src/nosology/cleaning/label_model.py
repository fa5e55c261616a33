"""What the words of a note say of codes, learnt from other patients' encounters: TF-IDF and logistic regressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nosology.baselines.logistic import fit_sparse_logistic
from nosology.baselines.vectors import TfidfVectors
from nosology.knowledge.stream import TokenStream
from nosology.ranking.source import TrainingExample, TrainingSet

Progress = Callable[[str, float], None]

_LONGEST, _LEAST_NOTES, _STRENGTH, _KEPT = 2, 2, 30.0, 2000
_LEAST_POSITIVES = 3


def cross_fitted_logits(
    streams: Sequence[TokenStream], carries: NDArray[np.bool_], folds: NDArray[np.int64], tell: Progress
) -> NDArray[np.float32]:
    """Log-odds of every code in every encounter, by regressions that have not seen its fold.

    A code with fewer than three encounters in the other folds gets the log-odds of its frequency.

    Args:
        streams: of the encounters.
        carries: which code each carries; bool ``[encounter, code]``.
        folds: of each encounter.
        tell: told how far it is.
    """
    training = TrainingSet(tuple(TrainingExample(stream, (), "") for stream in streams))
    TfidfVectors.fit(training, _LONGEST, _LEAST_NOTES)  # counts n-grams once, for every fold
    logits = np.zeros(carries.shape, dtype=np.float32)
    every = np.unique(folds).tolist()
    for done, fold in enumerate(every, 1):
        inside, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        counts = carries[inside].sum(axis=0)
        share = (counts + 0.1) / (len(inside) + 0.2)
        logits[held] = np.log(share / (1.0 - share)).astype(np.float32)
        learnt = np.flatnonzero(counts >= _LEAST_POSITIVES)
        if len(learnt):
            part = training.part(inside)
            logits[np.ix_(held, learnt)] = _fit_and_score(
                part, [streams[row] for row in held.tolist()], carries[np.ix_(inside, learnt)]
            )
        tell("learning what words go with codes", done / len(every))
    return logits


def _fit_and_score(
    training: TrainingSet, held: Sequence[TokenStream], carries: NDArray[np.bool_]
) -> NDArray[np.float32]:
    from scipy.sparse import csr_matrix

    vectors, matrix = TfidfVectors.fit(training, _LONGEST, _LEAST_NOTES)
    columns = [np.flatnonzero(column).astype(np.int64) for column in carries.T]
    weights, intercepts = fit_sparse_logistic(matrix, columns, strength=_STRENGTH, kept=_KEPT)
    read = [vectors.read(stream) for stream in held]
    bounds = np.cumsum([0, *(len(one.columns) for one in read)])
    columns_of = np.concatenate([np.zeros(0, dtype=np.int64), *(one.columns for one in read)])
    values = np.concatenate([np.zeros(0), *(one.values for one in read)])
    rows: Any = csr_matrix((values, columns_of, bounds), shape=(len(held), len(vectors.keys)))
    return ((rows @ weights).toarray() + intercepts).astype(np.float32)
