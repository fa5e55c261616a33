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
    """Value and gradient at once; that of a maximum goes to one label, so there is little of it to hand down."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, tree: Tree, positives: Positives, factor: float) -> Tensor:  # type: ignore[override]
        ordered = logits.detach().to(tree.real[0].dtype).index_select(1, tree.order)
        own = ordered[positives.rows, tree.back[positives.columns]]
        total, pulls, current = ordered.new_zeros(()), list[tuple[Tensor, Tensor]](), ordered
        pulled = torch.zeros_like(own)
        for depth, (runs, real) in enumerate(zip(tree.runs, tree.real, strict=True)):
            current, winner = segment_max(current, runs)
            value, pull, at_positives = _level(current, real, _Carried.of(tree, positives, depth, own))
            total, pulled = total + value, pulled + at_positives
            pulls.append((pull, winner))
        gradient = _handed_down(pulls, torch.zeros_like(ordered))
        gradient[positives.rows, tree.back[positives.columns]] += pulled
        ctx.gradient = gradient.index_select(1, tree.back).mul_(factor).to(logits.dtype)
        return total * factor

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return take_gradient(ctx, outer[0]), None, None, None


def segment_max(values: Tensor, runs: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of each run of columns, and the column of the first that is as large; ``[batch, run]`` each."""
    if values.device.type == "cpu":
        return _segment_max_on_cpu(values.numpy(), runs.numpy())
    lengths = runs.expand(len(values), -1).contiguous()
    largest = torch.segment_reduce(values, "max", lengths=lengths, axis=1, unsafe=True)
    beyond = values.shape[1]
    columns = torch.arange(beyond, device=values.device, dtype=values.dtype).expand_as(values)
    there = torch.where(values == largest.repeat_interleave(runs, 1), columns, float(beyond))
    return largest, torch.segment_reduce(there, "min", lengths=lengths, axis=1, unsafe=True).long()


def _segment_max_on_cpu(values: NDArray[Any], runs: NDArray[Any]) -> tuple[Tensor, Tensor]:
    """NumPy's is ten times as fast here."""
    starts = np.cumsum(runs) - runs
    largest = np.maximum.reduceat(values, starts, axis=1)
    found = np.flatnonzero(values == np.repeat(largest, runs, axis=1))
    rows, columns = np.divmod(found, values.shape[1])
    run = rows * len(runs) + np.repeat(np.arange(len(runs)), runs)[columns]
    first = np.concatenate([[True], run[1:] != run[:-1]])  # of those that are as large
    return torch.from_numpy(largest), torch.from_numpy(columns[first].reshape(largest.shape))


def _level(current: Tensor, real: Tensor, carried: _Carried) -> tuple[Tensor, Tensor, Tensor]:
    """The value of one depth's codes, its slope at their logits, and its slope at the positives' logits.

    Args:
        current: logits of the codes, ``[batch, code]``.
        real: 1 for codes that count.
        carried: codes that encounters carry.
    """
    places = carried.rows, carried.places
    value, pull = softplus(current).sum(0) @ real, torch.sigmoid(current) * real
    there = current[places]
    value = value + (carried.values * (softplus(-carried.best) - softplus(there))).sum()
    pull[places] = (1 - carried.values) * torch.sigmoid(there)
    at_positives = torch.zeros_like(carried.own)
    at_positives[carried.winner] = -carried.values * torch.sigmoid(-carried.best)
    return value, pull, at_positives


def _handed_down(pulls: Sequence[tuple[Tensor, Tensor]], labels: Tensor) -> Tensor:
    """Each code's slope, handed to the one below it that it has its logit from; ``labels`` takes the last."""
    slopes = [labels, *(pull for pull, _ in pulls)]
    for depth in range(len(pulls), 0, -1):
        slopes[depth - 1].scatter_add_(1, pulls[depth - 1][1], slopes[depth])
    return labels


@dataclass(frozen=True, slots=True)
class _Carried:
    """The codes of one depth that encounters carry.

    Args:
        places, rows: of each such code and encounter.
        values: y_a.
        best: the largest logit of the labels below it that the encounter carries.
        winner: which positive has it.
        own: logits of the positives.
    """

    places: Tensor
    rows: Tensor
    values: Tensor
    best: Tensor
    winner: Tensor
    own: Tensor

    @staticmethod
    def of(tree: Tree, positives: Positives, depth: int, own: Tensor) -> _Carried:
        """Find them."""
        place = tree.place[positives.columns, depth]
        members = (place >= 0).nonzero()[:, 0]
        codes = len(tree.runs[depth])
        distinct, which = torch.unique(positives.rows[members] * codes + place[members], return_inverse=True)
        below = own[members]
        values = below.new_zeros(len(distinct)).scatter_reduce(0, which, positives.values[members], "amax")
        low = torch.full_like(values, torch.finfo(own.dtype).min)
        best = low.scatter_reduce(0, which, below, "amax")
        winner = torch.full_like(distinct, len(own)).scatter_reduce(
            0, which, torch.where(below == best[which], members, len(own)), "amin"
        )
        return _Carried(distinct % codes, distinct // codes, values, best, winner, own)
