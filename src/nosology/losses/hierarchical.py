"""A loss of labels and of the codes above them, whose probability is that of their most probable label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from nosology.errors import ConfigError
from nosology.losses.base import Loss, Positives, take_gradient
from nosology.losses.wrapped import WrappedLoss

Table = NDArray[np.int64]


def number_from_the_top(labels: Sequence[str], paths: Sequence[Sequence[str]], levels: int | None = None) -> Table:
    """The codes above each label as numbers, the highest first, ``[label, depth]``; -1 beyond a label's own depth.

    A label that is itself above other labels counts among the codes above itself.

    Args:
        labels: codes.
        paths: the codes above each, nearest first.
        levels: nearest ones that count; ``None``: all.
    """
    if len(paths) != len(labels):
        raise ConfigError(f"{len(paths)} paths of codes do not fit {len(labels)} labels")
    inner = {above for path in paths for above in path}
    whole = [(code, *path) if code in inner else tuple(path) for code, path in zip(labels, paths, strict=True)]
    kept = [path[:levels][::-1] for path in whole]
    numbers = dict[str, int]()
    rows = [[numbers.setdefault(above, len(numbers)) for above in path] for path in kept]
    depth = max((len(row) for row in rows), default=0)
    return np.array([row + [-1] * (depth - len(row)) for row in rows], dtype=np.int64).reshape(len(rows), depth)


@dataclass(frozen=True, slots=True)
class Tree:
    """Labels in the order of the tree, so that those below a code stand together.

    A label without a code at some depth has one of its own there, which counts nothing.

    Args:
        order: label numbers; ``back`` undoes it.
        runs: for each depth, deepest first, how many of what is one deeper each code has below it.
        real: for each depth, 1 for codes that count.
        place: of each label and depth (deepest first), the code's place at that depth; -1 where it has none.
        codes: how many codes count.
    """

    order: Tensor
    back: Tensor
    runs: tuple[Tensor, ...]
    real: tuple[Tensor, ...]
    place: Tensor
    codes: int

    @staticmethod
    def of(table: Table) -> Tree:
        """From the numbers of the codes above each label, the highest first."""
        labels, depth = table.shape
        own = np.where(table >= 0, table, table.max(initial=0) + 1 + np.arange(labels)[:, None])
        order = np.lexsort([np.arange(labels), *own.T[::-1]])
        runs, real = list[Tensor](), list[Tensor]()
        places = np.full((labels, depth), -1, dtype=np.int64)
        below = np.arange(labels)  # of each label in order, the place of what is one deeper
        for number, column in enumerate(range(depth - 1, -1, -1)):
            ids = own[order, column]
            starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]])) if labels else np.zeros(0, int)
            place = np.cumsum(np.isin(np.arange(labels), starts)) - 1
            first = np.concatenate([below[starts], [below[-1] + 1]]) if labels else np.zeros(1, int)
            runs.append(torch.from_numpy(np.diff(first)))
            counted = table[order, column][starts] >= 0
            real.append(torch.from_numpy(counted.astype(np.float32)))
            places[order, number] = np.where(counted[place], place, -1)
            below = place
        back = np.empty_like(order)
        back[order] = np.arange(labels)
        count = int(sum(float(part.sum()) for part in real))
        return Tree(
            torch.from_numpy(order), torch.from_numpy(back), tuple(runs), tuple(real), torch.from_numpy(places), count
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> Tree:
        """The same on a device."""
        return Tree(
            self.order.to(device),
            self.back.to(device),
            tuple(part.to(device) for part in self.runs),
            tuple(part.to(device, dtype) for part in self.real),
            self.place.to(device),
            self.codes,
        )


class HierarchicalConsistency(WrappedLoss):
    """Labels and the codes above them, which are as probable as the most probable label below.

        p_a = max_{c below a} p_c          y_a = max_{c below a} y_c
        L = base + w mean_a [ -y_a log max_{c below a} y_c p_c - (1 - y_a) log(1 - p_a) ]

    So no code is less probable than what stands below it, whatever the network says, and a code above that is carried
    pulls at a label that is carried, not at the strongest one. It is the mean over encounters and codes, or the sum
    over codes where the base adds up over labels. With candidates, codes have these alone below them.

    Args:
        base: of the labels.
        table: the codes above each label; see ``number_from_the_top``.
        weight: w.

    Reference: the MCM and MCLoss of Giunchiglia and Lukasiewicz 2020, arXiv:2010.10151, eqs. 2-4.
    Differs from the paper: codes above have no output of their own, they are what their labels say.
    """

    def __init__(self, base: Loss, table: Table, *, weight: float = 1.0) -> None:
        super().__init__(base, weight)
        if base.label_count not in (0, len(table)):
            raise ConfigError(f"the hierarchy has {len(table)} labels, the loss {base.label_count}")
        self.label_count = len(table)
        self._table = table
        self._whole = Tree.of(table)
        self._placed = dict[tuple[torch.device, torch.dtype], Tree]()

    def loss(self, logits: Tensor, targets: Tensor, labels: Tensor | None) -> Tensor:
        """See ``Loss``."""
        own = self.base.loss(logits, targets, labels)
        return own + self.weight * self.above(logits, targets, labels)

    def above(self, logits: Tensor, targets: Tensor, labels: Tensor | None = None) -> Tensor:
        """The term of the codes above, without its weight."""
        precise = torch.promote_types(logits.dtype, torch.float32)
        tree = self._tree(labels, logits.device, precise)
        if not logits.numel() or not tree.codes:
            return logits.sum() * 0
        positives = Positives.of(targets.to(precise))
        codes = 1 if getattr(self.base, "reduction", "mean") == "sum" else tree.codes
        apply = cast(Any, _Above).apply
        return cast(Tensor, apply(logits, tree, positives, 1.0 / (len(logits) * codes)))

    def _tree(self, labels: Tensor | None, device: torch.device, dtype: torch.dtype) -> Tree:
        if labels is not None:
            return Tree.of(self._table[labels.cpu().numpy()]).to(device, dtype)
        key = device, dtype
        if key not in self._placed:
            self._placed[key] = self._whole.to(device, dtype)
        return self._placed[key]

    def identity(self) -> str:
        """See ``Loss``."""
        from hashlib import sha256

        return f"{super().identity()} {sha256(self._table.tobytes()).hexdigest()[:12]}"


class _Above(torch.autograd.Function):
    """Value and gradient at once, with the labels in the order of the tree: autograd's own way back is slow there."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, tree: Tree, positives: Positives, factor: float) -> Tensor:  # type: ignore[override]
        ordered = logits.detach().to(tree.real[0].dtype).T[tree.order]
        value, gradient = _value(ordered, tree, positives, bool(ctx.needs_input_grad[0]))
        if gradient is not None:
            ctx.gradient = (gradient[tree.back].T * factor).to(logits.dtype)
        return value * factor

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return take_gradient(ctx, outer[0]), None, None, None


def _value(ordered: Tensor, tree: Tree, positives: Positives, wanted: bool) -> tuple[Tensor, Tensor | None]:
    targets = _Marked.of(tree, positives, ordered.shape[1])

    def function(logits: Tensor) -> Tensor:
        own = logits[tree.back[positives.columns], positives.rows]
        total, current = logits.new_zeros(()), logits
        for depth, (runs, real) in enumerate(zip(tree.runs, tree.real, strict=True)):
            current = torch.segment_reduce(current, "max", lengths=runs, axis=0, unsafe=True)
            total = total + real @ softplus(current).sum(1)
            total = total + targets[depth].correction(current, own)
        return total

    if not wanted:
        with torch.no_grad():
            return function(ordered), None
    ordered = ordered.requires_grad_()
    with torch.enable_grad():
        value = function(ordered)
    (gradient,) = torch.autograd.grad(value, ordered)
    return value.detach(), gradient


@dataclass(frozen=True, slots=True)
class _Marked:
    """The codes of one depth that some encounters carry.

    Args:
        places, rows: of each such code and encounter.
        values: y_a.
        members: which positives are below one of them, ``of`` which.
    """

    places: Tensor
    rows: Tensor
    values: Tensor
    members: Tensor
    of_: Tensor

    @staticmethod
    def of(tree: Tree, positives: Positives, batch: int) -> Sequence[_Marked]:
        """Of each depth."""
        found = list[_Marked]()
        for depth in range(len(tree.runs)):
            place = tree.place[positives.columns, depth]
            members = (place >= 0).nonzero()[:, 0]
            key = place[members] * batch + positives.rows[members]
            distinct, which = torch.unique(key, return_inverse=True)
            values = positives.values.new_zeros(len(distinct)).scatter_reduce(
                0, which, positives.values[members], "amax"
            )
            found.append(_Marked(distinct // batch, distinct % batch, values, members, which))
        return found

    def correction(self, current: Tensor, own: Tensor) -> Tensor:
        """What a carried code adds to the sum in which every code was taken for not carried.

        Args:
            current: logits of the codes of this depth, ``[code, batch]``.
            own: logits of the positives.
        """
        if not len(self.places):
            return current.new_zeros(())
        low = torch.full_like(self.values, torch.finfo(own.dtype).min)
        best = low.scatter_reduce(0, self.of_, own[self.members], "amax")
        return (self.values * (softplus(-best) - softplus(current[self.places, self.rows]))).sum()
