"""One L2-regularised logistic regression a label, all labels together, by a truncated Newton method.

For label l with targets y in {0, 1}, over weights w and an intercept b that is not penalised,

    minimise  1/2 |w|^2 + C sum_i [ln(1 + exp(f_i)) - y_i f_i],   f_i = x_i w + b

which is scikit-learn's ``LogisticRegression(C=C)``. A Newton step solves (I + C X'DX) d = -g by conjugate gradients
with D = diag(p (1 - p)). Labels share every product with X, and a label that has converged leaves: rare labels, whose
D is almost 0, need two or three steps, and most labels are rare.

With fewer encounters than features the problem is solved in the space that the encounters span: X = Z B' with Z
``[encounter, rank]`` dense and B orthonormal keeps |w|, so the solution is the same and the products are small.

Reference: Lin, Weng and Keerthi (2008), "Trust region Newton method for large-scale logistic regression", JMLR 9,
627-650; here with a line search in place of the trust region.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

Floats = NDArray[np.floating]
"""Of the rows' precision: single halves the time, and a step that rounding hides is none."""

_MOST_SPANNED = 3000
"""Encounters up to which the space they span is computed: its cost grows with their third power."""
_BLOCK_BYTES = 256 << 20
"""Of the weights that are dense at one time."""
_MOST_STEPS = 100
_MOST_GRADIENT_STEPS = 50
_HALVINGS = 20
_ARMIJO = 1e-4
_NOTHING = 1e-12


class Rows(Protocol):
    """A matrix of encounters by coordinates."""

    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def dtype(self) -> np.dtype[np.floating]: ...
    @property
    def squares(self) -> Floats:
        """Of each coordinate, summed over encounters: the diagonal of X'X."""
        ...

    def times(self, weights: Floats) -> Floats:
        """``X weights``."""
        ...

    def transposed_times(self, values: Floats) -> Floats:
        """``X' values``."""
        ...


@dataclass(frozen=True, eq=False)
class DenseRows:
    """Encounters in a dense matrix."""

    matrix: Floats

    @property
    def shape(self) -> tuple[int, int]:
        return cast(tuple[int, int], self.matrix.shape)

    @property
    def dtype(self) -> np.dtype[np.floating]:
        return self.matrix.dtype

    @property
    def squares(self) -> Floats:
        return (self.matrix**2).sum(axis=0)

    def times(self, weights: Floats) -> Floats:
        return self.matrix @ weights

    def transposed_times(self, values: Floats) -> Floats:
        return self.matrix.T @ values


class SparseRows:
    """Encounters in a sparse matrix, by rows and by columns.

    Args:
        matrix: ``[encounter, feature]``.
    """

    def __init__(self, matrix: csr_matrix) -> None:
        self._by_row: Any = matrix
        self._by_column: Any = cast(Any, matrix).T.tocsr()

    @property
    def shape(self) -> tuple[int, int]:
        return self._by_row.shape

    @property
    def dtype(self) -> np.dtype[np.floating]:
        return self._by_row.dtype

    @property
    def squares(self) -> Floats:
        return np.asarray(self._by_row.multiply(self._by_row).sum(axis=0)).ravel()

    def times(self, weights: Floats) -> Floats:
        return self._by_row @ weights

    def transposed_times(self, values: Floats) -> Floats:
        return self._by_column @ values


def fit_logistic(rows: Rows, targets: Floats, *, strength: float, tolerance: float = 1e-3) -> tuple[Floats, Floats]:
    """Fit one regression a column of ``targets``.

    Args:
        rows: the encounters.
        targets: 0 or 1; ``[encounter, label]``.
        strength: C, weight of the data against the penalty.
        tolerance: a label is done when its gradient has shrunk to this share of the first one.

    Returns:
        Weights ``[coordinate, label]`` and intercepts ``[label]``.
    """
    n, width = rows.shape
    labels = targets.shape[1]
    targets = targets.astype(rows.dtype)
    weights, intercepts = np.zeros((width, labels), rows.dtype), np.zeros(labels, rows.dtype)
    share = (targets.sum(axis=0) + 0.5) / (n + 1.0)
    state = _State.start(rows, targets, np.log(share / (1.0 - share)).astype(rows.dtype), strength)
    active, goal = np.arange(labels), np.full(labels, np.inf)
    for step in range(_MOST_STEPS):
        gradient, gradient_intercept = state.gradient()
        size = np.sqrt((gradient**2).sum(axis=0) + gradient_intercept**2)
        if step == 0:
            goal = np.maximum(tolerance * size, _NOTHING)
        done = size <= goal
        if done.any():
            weights[:, active[done]], intercepts[active[done]] = state.weights[:, done], state.intercepts[done]
            left = ~done
            active, goal, state = active[left], goal[left], state.of(left)
            gradient, gradient_intercept, size = gradient[:, left], gradient_intercept[left], size[left]
        if not len(active):
            break
        moved = state.newton_step(gradient, gradient_intercept, size)
        if not moved.all():  # no descent is left in floating point: that label is as good as done
            goal[~moved] = np.inf
    weights[:, active], intercepts[active] = state.weights, state.intercepts
    return weights, intercepts


@dataclass(slots=True, eq=False)
class _State:
    """The labels that have not converged: arrays ``[coordinate, label]``, ``[label]`` and ``[encounter, label]``."""

    rows: Rows
    targets: Floats
    strength: float
    weights: Floats
    intercepts: Floats
    logits: Floats
    loss: Floats

    @staticmethod
    def start(rows: Rows, targets: Floats, intercepts: Floats, strength: float) -> _State:
        logits = np.repeat(intercepts[None, :], len(targets), axis=0)
        weights = np.zeros((rows.shape[1], targets.shape[1]), rows.dtype)
        return _State(rows, targets, strength, weights, intercepts, logits, _data_loss(logits, targets))

    def of(self, left: NDArray[np.bool_]) -> _State:
        """The state of some labels."""
        parts = (array[..., left] for array in (self.weights, self.intercepts, self.logits, self.loss))
        return _State(self.rows, self.targets[:, left], self.strength, *parts)

    def gradient(self) -> tuple[Floats, Floats]:
        """Of the weights and of the intercepts."""
        residual = self.strength * (_sigmoid(self.logits) - self.targets)
        return self.weights + self.rows.transposed_times(residual), residual.sum(axis=0)

    def newton_step(self, gradient: Floats, gradient_intercept: Floats, size: Floats) -> NDArray[np.bool_]:
        """Move every label downhill; tells which have moved."""
        probability = _sigmoid(self.logits)
        curvature = self.strength * probability * (1.0 - probability)
        step, step_intercept, change = _solve(self.rows, curvature, gradient, gradient_intercept, size)
        slope = (gradient * step).sum(axis=0) + gradient_intercept * step_intercept
        across, along = (self.weights * step).sum(axis=0), (step**2).sum(axis=0)
        length, open_ = np.ones(len(size), self.rows.dtype), np.ones(len(size), dtype=np.bool_)
        loss = self.loss.copy()
        for _ in range(_HALVINGS):
            loss[open_] = _data_loss(self.logits[:, open_] + length[open_] * change[:, open_], self.targets[:, open_])
            penalty = length * across + 0.5 * length**2 * along
            gain = self.strength * (loss - self.loss) + penalty
            open_ &= gain > _ARMIJO * length * slope
            if not open_.any():
                break
            length[open_] *= 0.5
        length[open_], loss[open_] = 0.0, self.loss[open_]
        self.weights += length * step
        self.intercepts += length * step_intercept
        self.logits += length * change
        self.loss = loss
        return ~open_


def _solve(
    rows: Rows, curvature: Floats, gradient: Floats, gradient_intercept: Floats, size: Floats
) -> tuple[Floats, Floats, Floats]:
    """(I + X'DX) d = -g by conjugate gradients, a label at a time leaving; and X d + d_b beside d and d_b.

    The diagonal of I + m X'X, with m the mean of D's entries, preconditions it. In the space that encounters span, X'X
    is diagonal; and D has nearly equal entries where a label is rare. So there it is almost the whole matrix.
    """
    scale = 1.0 + rows.squares[:, None] * curvature.mean(axis=0)
    scale_intercept = np.maximum(curvature.sum(axis=0), _NOTHING)
    step, step_intercept = np.zeros_like(gradient), np.zeros_like(gradient_intercept)
    change = np.zeros_like(curvature)
    residual, residual_intercept = -gradient, -gradient_intercept
    along, along_intercept = residual / scale, residual_intercept / scale_intercept
    energy = (residual * along).sum(axis=0) + residual_intercept * along_intercept
    goal = np.minimum(0.1, np.sqrt(size)) * size
    active = np.arange(len(size))
    for _ in range(_MOST_GRADIENT_STEPS):
        moved = rows.times(along) + along_intercept
        bent = curvature[:, active] * moved
        product, product_intercept = along + rows.transposed_times(bent), bent.sum(axis=0)
        curve = (along * product).sum(axis=0) + along_intercept * product_intercept
        rate = energy / np.maximum(curve, _NOTHING)
        step[:, active] += rate * along
        step_intercept[active] += rate * along_intercept
        change[:, active] += rate * moved
        residual, residual_intercept = residual - rate * product, residual_intercept - rate * product_intercept
        norm = np.sqrt((residual**2).sum(axis=0) + residual_intercept**2)
        left = norm > goal[active]
        if not left.any():
            break
        active, before = active[left], energy[left]
        residual, residual_intercept = residual[:, left], residual_intercept[left]
        ahead, ahead_intercept = residual / scale[:, active], residual_intercept / scale_intercept[active]
        energy = (residual * ahead).sum(axis=0) + residual_intercept * ahead_intercept
        ratio = energy / np.maximum(before, _NOTHING)
        along = ahead + ratio * along[:, left]
        along_intercept = ahead_intercept + ratio * along_intercept[left]
    return step, step_intercept, change


def _sigmoid(values: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -80.0, 80.0)))


def _data_loss(logits: Floats, targets: Floats) -> Floats:
    loss: Floats = (np.logaddexp(np.float32(0.0), logits) - targets * logits).sum(axis=0)
    return loss


# --- the regressions of a sparse matrix -----------------------------------------------------------------------------


def fit_sparse_logistic(
    matrix: csr_matrix, columns_of: Sequence[NDArray[np.int64]], *, strength: float, kept: int
) -> tuple[csc_matrix, NDArray[np.float64]]:
    """Regressions with the largest weights of each label alone.

    Args:
        matrix: rows of length 1 (or 0); ``[encounter, feature]``.
        columns_of: for each label, the encounters that carry it.
        strength: C.
        kept: weights of a label, at most; tens of thousands small ones cancel out and would fill the disk.

    Returns:
        Weights, ``[feature, label]``, and intercepts ``[label]``.
    """
    from scipy.sparse import csc_matrix, hstack

    shape = cast(tuple[int, int], cast(Any, matrix).shape)
    rows, back = _rows_of(matrix)
    width = max(1, _BLOCK_BYTES // (8 * max(1, shape[1])))
    blocks = list[csc_matrix]()
    intercepts: list[Floats] = [np.zeros(0)]
    for targets in _blocks(columns_of, shape[0], width):
        weights, own = fit_logistic(rows, targets, strength=strength)
        blocks.append(csc_matrix(_largest(weights if back is None else back @ weights, kept)))
        intercepts.append(own)
    empty = csc_matrix((shape[1], 0), dtype=np.float32)
    return csc_matrix(hstack([empty, *blocks], format="csc")), np.concatenate(intercepts).astype(np.float64)


def _rows_of(matrix: csr_matrix) -> tuple[Rows, Any]:
    """The encounters for the solver; and, where they are in the space they span, what leads back to features."""
    from scipy.sparse import csr_matrix

    n, width = cast(tuple[int, int], cast(Any, matrix).shape)
    if n > min(width, _MOST_SPANNED):
        return SparseRows(cast(Any, matrix).astype(np.float32)), None
    values, vectors = np.linalg.eigh(cast(Any, matrix @ matrix.T).toarray())
    kept = values > values.max(initial=0.0) * n * np.finfo(np.float64).eps
    roots, basis = np.sqrt(values[kept]), vectors[:, kept]
    return DenseRows((basis * roots).astype(np.float32)), _Back(csr_matrix(cast(Any, matrix).T), basis / roots)


@dataclass(frozen=True, eq=False)
class _Back:
    """From coordinates in the space that encounters span to features: X' (basis / roots)."""

    transposed: Any
    turned: Floats

    def __matmul__(self, weights: Floats) -> Floats:
        return self.transposed @ (self.turned @ weights)


def _blocks(columns_of: Sequence[NDArray[np.int64]], n: int, width: int) -> Iterator[Floats]:
    for start in range(0, len(columns_of), width):
        part = columns_of[start : start + width]
        targets = np.zeros((n, len(part)))
        for column, holders in enumerate(part):
            targets[holders, column] = 1.0
        yield targets


def _largest(weights: Floats, kept: int) -> NDArray[np.float32]:
    """Each column with its ``kept`` largest entries alone, in size."""
    single = weights.astype(np.float32)
    if kept >= len(single):
        return single
    sizes = np.ascontiguousarray(np.abs(single).T)
    lowest = np.partition(sizes, len(single) - kept, axis=1)[:, len(single) - kept]
    single[(sizes < lowest[:, None]).T] = 0.0
    return single
