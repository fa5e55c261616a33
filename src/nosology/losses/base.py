"""What every loss is: logits and targets to one number, with its gradient, block by block over the labels.

A loss of single cells (note i, label c) is

    L = sum_ic c_ic [ y_ic L+(z_ic) + (1 - y_ic) L-(z_ic) ]

Nearly all y are 0, so L- is computed everywhere and L+ at the positives alone, and a formula says each of the two in
plain PyTorch. ``summed`` takes value and gradient together: of the size batch x labels there is one tensor, the
gradient. The rest exists for a block of labels at a time, in float32 even if logits come in half precision.

Reductions. The encounters of a batch are averaged always, because a step of the trainer weighs encounters, not batches.
Over the labels, "mean" averages and "sum" adds up. Papers that add up over the batch, too, differ by the batch's size,
which a learning rate has to make up for. With candidates (``labels``) the labels are these alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from nosology.errors import ConfigError

Reduction = Literal["mean", "sum"]
Where = slice | Tensor

_CPU_CELLS = 1 << 18
_GPU_CELLS = 1 << 26


class Loss(ABC):
    """Base of every loss.

    Args:
        label_count: labels that it knows; 0: it knows nothing of single labels and takes any number.
    """

    def __init__(self, label_count: int = 0) -> None:
        self.label_count = label_count

    def __call__(self, logits: Tensor, targets: Tensor, labels: Tensor | None = None) -> Tensor:
        """The loss of a batch.

        Args:
            logits: real numbers ``[batch, label]``.
            targets: 1 where the encounter carries the label, 0 elsewhere, or between; ``[batch, label]``.
            labels: the label of each column, where these are candidates; ``None``: all labels, in their order.

        Returns:
            One number; differentiable once in the logits.

        Raises:
            ConfigError: shapes that do not fit, or targets that are no number from 0 to 1.
        """
        self._check(logits, targets, labels)
        return cast(Any, _outside_graphs)(lambda: self.loss(logits, targets, labels))

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor, labels: Tensor | None) -> Tensor:
        """As ``__call__``, after the check of shapes."""

    def begin_epoch(self, number: int) -> None:  # noqa: B027
        """Told by the trainer before each epoch, counted from 0, and after going on inside one."""

    def state(self) -> dict[str, Tensor]:
        """What it remembers of earlier batches: a checkpoint keeps it. Most losses remember nothing."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Remember what ``state`` gave."""

    def identity(self) -> str:
        """Equal for losses that are equal: a run goes on with the loss that it began with only."""
        return type(self).__name__

    def _check(self, logits: Tensor, targets: Tensor, labels: Tensor | None) -> None:
        if logits.shape != targets.shape:
            raise ConfigError(f"logits of shape {tuple(logits.shape)} do not fit targets of {tuple(targets.shape)}")
        columns = logits.shape[1]
        if labels is not None and len(labels) != columns:
            raise ConfigError(f"{len(labels)} candidates do not fit logits of {columns} columns")
        if labels is None and self.label_count and columns != self.label_count:
            raise ConfigError(
                f"the loss was made for {self.label_count} labels, the logits have {columns} columns; "
                "make it anew, or say which labels they are"
            )


@torch.compiler.disable
def _outside_graphs(call: Callable[[], Tensor]) -> Tensor:
    """torch.compile would unroll the search for positives, whose number differs from batch to batch."""
    return call()


# --- what belongs to single labels ------------------------------------------------------------------------------------


class LabelTable:
    """Numbers of each label, on whatever device they are asked for.

    Args:
        columns: by name, one number a label.
    """

    def __init__(self, columns: Mapping[str, NDArray[Any]] | None = None) -> None:
        self._host = {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in (columns or {}).items()}
        self._placed = dict[tuple[torch.device, torch.dtype], dict[str, Tensor]]()

    def take(self, labels: Tensor | None, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
        """The columns of all labels, or of candidates; whole numbers stay whole."""
        key = device, dtype
        if key not in self._placed:
            self._placed[key] = {
                name: column.to(device, dtype if column.is_floating_point() else None)
                for name, column in self._host.items()
            }
        columns = self._placed[key]
        if labels is None or not columns:
            return columns
        return {name: column[labels] for name, column in columns.items()}

    def digest(self) -> str:
        """A hash of all numbers."""
        from hashlib import sha256

        digest = sha256()
        for name, column in self._host.items():
            digest.update(name.encode())
            digest.update(column.numpy().tobytes())
        return digest.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Cells:
    """Where some logits stand: a block of labels for all encounters, or single places.

    Args:
        rows, columns: of the places, ``[place]`` each; for a block, all rows and a slice of columns.
        labels: numbers of each label of the batch's columns, by name.
        batch: what the loss found in this batch before; see ``CellLoss.look``.
    """

    rows: Where
    columns: Where
    labels: Mapping[str, Tensor]
    batch: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def is_block(self) -> bool:
        return isinstance(self.columns, slice)

    def of_label(self, name: str) -> Tensor:
        """A number of each place's label."""
        return self.labels[name][self.columns]

    def of_encounter(self, name: str) -> Tensor:
        """A number of each place's encounter."""
        return self.batch[name][:, None] if self.is_block else self.batch[name][self.rows]

    def of_both(self, name: str, group: str) -> Tensor:
        """A number of each place's encounter and group of labels, from ``[batch, group]``."""
        groups = self.of_label(group)
        return self.batch[name][:, groups] if self.is_block else self.batch[name][self.rows, groups]


@dataclass(frozen=True, slots=True)
class Positives:
    """The targets that are not 0.

    Args:
        rows, columns: where.
        values: above 0, at most 1.
    """

    rows: Tensor
    columns: Tensor
    values: Tensor

    @staticmethod
    def of(targets: Tensor) -> Positives:
        """Find them.

        Raises:
            ConfigError: one is no number from 0 to 1.
        """
        rows, columns = _not_zero(targets)
        values = targets[rows, columns]
        good = (values > 0) & (values <= 1)  # not so for NaN, which is no zero either
        if not bool(good.all()):
            raise bad_targets(int((~good).sum()))
        return Positives(rows, columns, values)

    def by_encounter(self, values: Tensor, count: int) -> Tensor:
        """Sums over each encounter's positives."""
        return torch.zeros(count, dtype=values.dtype, device=values.device).index_add_(0, self.rows, values)


def _not_zero(targets: Tensor) -> tuple[Tensor, Tensor]:
    if targets.device.type != "cpu" or targets.dtype not in (torch.float32, torch.float64):
        rows, columns = targets.nonzero(as_tuple=True)
        return rows, columns
    # NumPy finds few places among many six times as fast as torch does on a CPU.
    found = torch.from_numpy(np.flatnonzero(targets.detach().numpy() != 0))
    return found // targets.shape[1], found % targets.shape[1]


def bad_targets(count: int) -> ConfigError:
    """For targets that are no number from 0 to 1."""
    return ConfigError(
        f"{count} targets are NaN or outside 0..1; write 0 where a label is not known, or leave the encounter out: "
        "a loss takes no mask"
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """What the sums over one batch share.

    Args:
        labels, batch: see ``Cells``.
        coefficients: of each column's cells; ``None``: 1.
        positives: of the batch.
    """

    labels: Mapping[str, Tensor]
    batch: Mapping[str, Tensor]
    coefficients: Tensor | None
    positives: Positives

    def block(self, columns: slice) -> Cells:
        """All encounters, some labels."""
        return Cells(slice(None), columns, self.labels, self.batch)

    def places(self) -> Cells:
        """The positives."""
        return Cells(self.positives.rows, self.positives.columns, self.labels, self.batch)

    def sum_block(self, values: Tensor, columns: slice) -> Tensor:
        """Over a block."""
        return values.sum() if self.coefficients is None else (values.sum(0) * self.coefficients[columns]).sum()

    def sum_places(self, values: Tensor) -> Tensor:
        """Over the positives."""
        return (values if self.coefficients is None else values * self.coefficients[self.positives.columns]).sum()


class CellLoss(Loss):
    """Base of losses that are a sum over cells.

    Args:
        table: numbers of each label.
        label_count: of the table; 0 without one.
        reduction: over labels.
        scale: of the whole.
    """

    def __init__(
        self,
        table: LabelTable | None = None,
        label_count: int = 0,
        *,
        reduction: Reduction = "mean",
        scale: float = 1.0,
    ) -> None:
        super().__init__(label_count)
        self.table = table or LabelTable()
        self.reduction: Reduction = reduction
        self.scale = scale

    @abstractmethod
    def positive(self, logits: Tensor, cells: Cells) -> Tensor:
        """L+ of each place."""

    @abstractmethod
    def negative(self, logits: Tensor, cells: Cells) -> Tensor:
        """L- of each place."""

    def look(self, logits: Tensor, positives: Positives, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the formulas need of the batch as a whole; gradients do not pass through it."""
        return {}

    def coefficients(self, labels: Mapping[str, Tensor], count: int) -> Tensor | None:
        """What each label's cells are multiplied by in the sum over labels; ``None``: 1, or 1 / labels for a mean."""
        return None

    def loss(self, logits: Tensor, targets: Tensor, labels: Tensor | None) -> Tensor:
        """See ``Loss``."""
        if not logits.numel():
            return logits.sum()
        precise = torch.promote_types(logits.dtype, torch.float32)
        own = self.table.take(labels, logits.device, precise)
        positives = Positives.of(targets.to(precise))
        batch = self.look(logits.detach().to(precise), positives, own)
        coefficients = self.coefficients(own, logits.shape[1])
        factor = self.scale / len(logits)
        if coefficients is None and self.reduction == "mean":
            factor /= logits.shape[1]

        terms = Terms(own, batch, coefficients, positives)
        return summed(logits, positives, self.dense(terms), self.sparse(terms), factor)

    def dense(self, terms: Terms) -> Dense:
        """The sum of L- over a block of labels, with its gradient."""

        def value(part: Tensor, columns: slice) -> Tensor:
            return terms.sum_block(self.negative(part, terms.block(columns)), columns)

        return lambda part, columns, wanted: with_gradient(lambda z: value(z, columns), part, wanted)

    def sparse(self, terms: Terms) -> Sparse:
        """The sum of y (L+ - L-) over the positives, and the gradient of y L+ + (1 - y) L- there."""

        def found(part: Tensor, wanted: bool) -> Found:
            cells, share, left = terms.places(), terms.positives.values, list[Tensor]()

            def value(part: Tensor) -> Tensor:
                minus = self.negative(part, cells)
                left.append(terms.sum_places(minus.detach()))
                return terms.sum_places(minus + share * (self.positive(part, cells) - minus))

            total, gradient = with_gradient(value, part, wanted)
            return total - left[0], gradient

        return found

    def identity(self) -> str:
        """See ``Loss``."""
        own = sorted((key, value) for key, value in vars(self).items() if isinstance(value, str | int | float))
        return f"{type(self).__name__} {own} {self.table.digest()}"


# --- value and gradient together --------------------------------------------------------------------------------------

Found = tuple[Tensor, Tensor | None]
Dense = Callable[[Tensor, slice, bool], Found]
Sparse = Callable[[Tensor, bool], Found]


def summed(logits: Tensor, positives: Positives, dense: Dense, sparse: Sparse, factor: float) -> Tensor:
    """``factor`` times the sum of ``dense`` over blocks of labels and of ``sparse`` over the positives' logits.

    Args:
        logits: ``[batch, label]``.
        positives: the places that ``sparse`` gets.
        dense: a block of the logits, where it stands, and whether the gradient is wanted -> value and gradient.
        sparse: for the positives' logits, what they add to the value, and their whole gradient.
        factor: of the sum.
    """
    return cast(Tensor, cast(Any, _Summed).apply(logits, positives, dense, sparse, factor))


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, logits: Tensor, positives: Positives, dense: Dense, sparse: Sparse, factor: float
    ) -> Tensor:
        logits, wanted = logits.detach(), bool(ctx.needs_input_grad[0])
        places, precise = (positives.rows, positives.columns), torch.promote_types(logits.dtype, torch.float32)
        total, own = sparse(logits[places].to(precise), wanted)
        blocks = list(_blocks(logits))
        gradient = None
        for block in blocks:
            value, part = dense(logits[:, block].to(precise), block, wanted)
            total = total + value
            if wanted and gradient is None:
                gradient = part if len(blocks) == 1 else torch.empty_like(logits)
            if gradient is not None and len(blocks) > 1:
                gradient[:, block] = cast(Tensor, part) * factor
        if gradient is not None:
            if len(blocks) == 1:
                gradient = gradient.mul_(factor).to(logits.dtype)
            gradient[places] = (cast(Tensor, own) * factor).to(gradient.dtype)
            ctx.save_for_backward(gradient)
        return total * factor

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].to(gradient.dtype), None, None, None, None


def with_gradient(function: Callable[[Tensor], Tensor], part: Tensor, wanted: bool) -> Found:
    """The value of a function and, if wanted, its gradient by autograd."""
    if not wanted:
        with torch.no_grad():
            return function(part), None
    part = part.detach().requires_grad_()
    with torch.enable_grad():
        value = function(part)
    (gradient,) = torch.autograd.grad(value, part)
    return value.detach(), gradient


def _blocks(logits: Tensor) -> Iterator[slice]:
    """Blocks of columns whose temporaries stay in cache on a CPU, and are worth a launch on a GPU."""
    cells = _CPU_CELLS if logits.device.type == "cpu" else _GPU_CELLS
    width = max(1, cells // max(1, len(logits)))
    for start in range(0, logits.shape[1], width):
        yield slice(start, min(start + width, logits.shape[1]))
