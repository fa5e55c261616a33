"""What every loss is: logits and targets to one number, with its gradient, block by block over the labels.

A loss of single cells (note i, label c) is

    L = sum_ic c_ic [ y_ic L+(z_ic) + (1 - y_ic) L-(z_ic) ]

Nearly all y are 0, so L- is computed everywhere and L+ at the positives alone. A formula gives each of the two as a
``Curve``, value and slope, so value and gradient come together: of the size batch x labels there is one tensor, the
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
from nosology.losses.curves import Curve
from nosology.losses.label_table import LabelTable

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
        if torch.compiler.is_dynamo_compiling():
            return cast(Any, _outside_graphs)(lambda: self.loss(logits, targets, labels))
        return self.loss(logits, targets, labels)

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

    def of_single_cells(self) -> Loss | None:
        """What of it is a sum over cells that don't depend on each other; ``None``: nothing."""
        return None

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
        values = self.batch[name]
        return values.index_select(1, groups) if self.is_block else values[self.rows, groups]


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
        if targets.device.type == "cpu":
            return Positives._on_cpu(targets.detach().numpy())
        rows, columns = targets.nonzero(as_tuple=True)
        values = targets[rows, columns]
        good = (values > 0) & (values <= 1)  # not so for NaN, which is no zero either
        if not bool(good.all()):
            raise bad_targets(int((~good).sum()))
        return Positives(rows, columns, values)

    def within(self, columns: slice) -> Positives:
        """Those of some columns."""
        chosen = (self.columns >= columns.start) & (self.columns < columns.stop)
        return Positives(self.rows[chosen], self.columns[chosen], self.values[chosen])

    @staticmethod
    def _on_cpu(targets: NDArray[Any]) -> Positives:
        """The same: NumPy finds few places among many six times as fast as torch does."""
        rows, columns = np.divmod(np.flatnonzero(targets != 0), targets.shape[1])
        values = targets[rows, columns]
        good = (values > 0) & (values <= 1)
        if not good.all():
            raise bad_targets(int((~good).sum()))
        return Positives(torch.from_numpy(rows), torch.from_numpy(columns), torch.from_numpy(values))

    def by_encounter(self, values: Tensor, count: int) -> Tensor:
        """Sums over each encounter's positives."""
        return torch.zeros(count, dtype=values.dtype, device=values.device).index_add_(0, self.rows, values)


def bad_targets(count: int) -> ConfigError:
    """For targets that are no number from 0 to 1."""
    return ConfigError(
        f"{count} targets are NaN or outside 0..1; write 0 where a label is not known, or leave the encounter out: "
        "a loss takes no mask"
    )


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

    @property
    def separable(self) -> bool:
        """Whether it is the mean of what depends on one logit and its target alone; see ``Head.losses``."""
        return not self.label_count and self.reduction == "mean" and type(self).look is CellLoss.look

    def of_single_cells(self) -> Loss | None:
        """See ``Loss``: all of it, but where the formulas need the batch as a whole."""
        return self if type(self).look is CellLoss.look else None

    @abstractmethod
    def positive(self, logits: Curve, cells: Cells) -> Curve:
        """L+ of each place."""

    @abstractmethod
    def negative(self, logits: Curve, cells: Cells) -> Curve:
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
        if coefficients is not None:
            coefficients, factor = coefficients * factor, 1.0
        elif self.reduction == "mean":
            factor /= logits.shape[1]

        def block(part: Tensor, columns: slice) -> Found:
            curve = self.negative(Curve(part), Cells(slice(None), columns, own, batch))
            here = positives if part.shape == logits.shape else positives.within(columns)
            self._put_positives(curve, part, columns, here, own, batch)
            return weighted_sum(curve, None if coefficients is None else coefficients[columns])

        return summed(logits, block, factor)

    def _put_positives(
        self,
        curve: Curve,
        part: Tensor,
        columns: slice,
        here: Positives,
        own: Mapping[str, Tensor],
        batch: Mapping[str, Tensor],
    ) -> None:
        """Make y L+ + (1 - y) L- of L- where y is not 0."""
        places = here.rows, here.columns - columns.start
        plus = self.positive(Curve(part[places]), Cells(here.rows, here.columns, own, batch))
        for whole, carried in ((curve.value, plus.value), (curve.slope, plus.slope)):
            assert isinstance(whole, Tensor)
            whole[places] = torch.lerp(whole[places], torch.as_tensor(carried).to(whole), here.values)

    def identity(self) -> str:
        """See ``Loss``."""
        own = sorted((key, value) for key, value in vars(self).items() if isinstance(value, str | int | float))
        return f"{type(self).__name__} {own} {self.table.digest()}"


# --- value and gradient together --------------------------------------------------------------------------------------

Found = tuple[Tensor, Tensor]
Block = Callable[[Tensor, slice], Found]


def weighted_sum(curve: Curve, weights: Tensor | None) -> Found:
    """The sum of a curve's values, times a weight for each of the last dimension, and its gradient."""
    assert isinstance(curve.slope, Tensor)
    if weights is None:
        return curve.value.sum(), curve.slope
    return curve.value.sum(0) @ weights, curve.slope.mul_(weights)


def summed(logits: Tensor, block: Block, factor: float) -> Tensor:
    """``factor`` times the sum of ``block`` over blocks of labels.

    Args:
        logits: ``[batch, label]``.
        block: a block of the logits and where it stands -> value and gradient.
        factor: of the sum.
    """
    return cast(Tensor, cast(Any, _Summed).apply(logits, block, factor))


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, block: Block, factor: float) -> Tensor:  # type: ignore[override]
        logits, precise = logits.detach(), torch.promote_types(logits.dtype, torch.float32)
        blocks = list(_blocks(logits))
        if len(blocks) == 1:
            total, gradient = block(logits.to(precise), blocks[0])
            ctx.gradient = (gradient if factor == 1 else gradient.mul_(factor)).to(logits.dtype)
            return total if factor == 1 else total * factor
        total, gradient = torch.zeros((), dtype=precise, device=logits.device), torch.empty_like(logits)
        for columns in blocks:
            value, part = block(logits[:, columns].to(precise), columns)
            total = total + value
            gradient[:, columns] = part if factor == 1 else part.mul_(factor)
        ctx.gradient = gradient
        return total * factor

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return take_gradient(ctx, outer[0]), None, None


def take_gradient(ctx: Any, outer: Tensor) -> Tensor:
    """The gradient that the forward pass left, in place, for a copy of it is as large as the batch's logits."""
    gradient, ctx.gradient = ctx.gradient, None
    if gradient is None:
        raise RuntimeError("a loss can be differentiated once; compute it again")
    if outer.device.type == "cpu" and float(outer) == 1.0:
        return gradient
    return gradient.mul_(outer.to(gradient.dtype))


def _blocks(logits: Tensor) -> Iterator[slice]:
    """Blocks of columns whose temporaries stay in cache on a CPU, and are worth a launch on a GPU."""
    cells = _CPU_CELLS if logits.device.type == "cpu" else _GPU_CELLS
    width = max(1, cells // max(1, len(logits)))
    for start in range(0, logits.shape[1], width):
        yield slice(start, min(start + width, logits.shape[1]))
