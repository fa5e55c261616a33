"""A loss of labels and of the codes above them, whose probability is that of their most probable label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from nosology.array_runs import run_lengths, run_starts
from nosology.errors import ConfigError
from nosology.losses.base import Loss, Positives, take_gradient
from nosology.losses.wrapped import WrappedLoss

Table = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]


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
    """Labels in the order of the tree, so that those below a code stand together; codes are numbered over all depths.

    A label without a code at some depth has one of its own there, which counts nothing.

    Args:
        order: label numbers ``[label]``; ``None`` where labels stand in that order anyway.
        runs: for each depth, deepest first: how many of what is one deeper each code has below it, ``[code]``.
        firsts: where each run begins, ``[code]``.
        real: the codes that count, of all depths together, ``[code that counts]``.
        place: ``[label, depth]``, deepest first: the code's number among those that count; -1 for none.
    """

    order: Table | None
    runs: tuple[Table, ...]
    firsts: tuple[Table, ...]
    real: Table
    place: Table

    @property
    def codes(self) -> int:
        """How many codes count."""
        return len(self.real)

    @staticmethod
    def of(table: Table) -> Tree:
        """From the numbers of the codes above each label, the highest first."""
        labels, depth = table.shape
        own = np.where(table >= 0, table, table.max(initial=0) + 1 + np.arange(labels)[:, None])
        order = np.lexsort([np.arange(labels), *own.T[::-1]])
        runs, firsts, real = list[Table](), list[Table](), list[Table]()
        places = np.full((labels, depth), -1, dtype=np.int64)
        below, codes, counted = np.arange(labels), 0, 0  # ``below``: of each label in order, the place one deeper
        for number, column in enumerate(range(depth - 1, -1, -1)):
            starts = run_starts(own[order, column])
            begins = np.zeros(labels, dtype=np.int64)
            begins[starts] = 1
            place = np.cumsum(begins) - 1
            firsts.append(below[starts])
            runs.append(run_lengths(below[starts], int(below[-1]) + 1 if labels else 0))
            counts = table[order, column][starts] >= 0
            real.append(codes + np.flatnonzero(counts))
            numbers = np.where(counts, counted + np.cumsum(counts) - 1, -1)
            places[order, number] = numbers[place]
            codes, counted, below = codes + len(starts), counted + int(counts.sum()), place
        is_sorted = bool((order == np.arange(labels)).all())
        none = np.zeros(0, dtype=np.int64)
        return Tree(None if is_sorted else order, tuple(runs), tuple(firsts), np.concatenate([none, *real]), places)


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

    def loss(self, logits: Tensor, targets: Tensor, labels: Tensor | None) -> Tensor:
        """See ``Loss``."""
        own = self.base.loss(logits, targets, labels)
        return own + self.weight * self.above(logits, targets, labels)

    def above(self, logits: Tensor, targets: Tensor, labels: Tensor | None = None) -> Tensor:
        """The term of the codes above, without its weight."""
        tree = self._whole if labels is None else Tree.of(self._table[labels.cpu().numpy()])
        if not logits.numel() or not tree.codes:
            return logits.sum() * 0
        positives = Positives.of(targets.to(torch.promote_types(logits.dtype, torch.float32)))
        codes = 1 if getattr(self.base, "reduction", "mean") == "sum" else tree.codes
        apply = cast(Any, _Above).apply
        return cast(Tensor, apply(logits, tree, positives, 1.0 / (len(logits) * codes)))

    def identity(self) -> str:
        """See ``Loss``."""
        from hashlib import sha256

        return f"{super().identity()} {sha256(self._table.tobytes()).hexdigest()[:12]}"


class _Above(torch.autograd.Function):
    """Value and gradient at once; that of a maximum goes to one label, so there is little of it to hand down.

    All of it is many small steps, which NumPy takes three times as fast as torch on a processor, and a GPU would wait
    for one after another: its logits are copied.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, tree: Tree, positives: Positives, factor: float) -> Tensor:  # type: ignore[override]
        precise = torch.promote_types(logits.dtype, torch.float32)
        found = (part.detach().cpu().numpy() for part in (positives.rows, positives.columns, positives.values))
        value, gradient = _value_and_gradient(logits.detach().to("cpu", precise).numpy(), tree, *found)
        gradient *= factor
        ctx.gradient = torch.from_numpy(gradient).to(logits.device, logits.dtype)
        return torch.tensor(value * factor, dtype=precise, device=logits.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return take_gradient(ctx, outer[0]), None, None, None


def _value_and_gradient(
    logits: Floats, tree: Tree, rows: Table, columns: Table, targets: Floats
) -> tuple[float, Floats]:
    """The sum over encounters and codes above, and its slope at every logit, ``[encounter, label]``.

    Args:
        logits: float32 or float64 ``[encounter, label]``.
        tree: of the labels.
        rows, columns: int64 ``[positive]``, where targets are not 0.
        targets: what they are, ``[positive]``.
    """
    if np.isnan(logits.max()):  # no logit is as large as that; whoever trains tells of it
        return np.nan, np.full_like(logits, np.nan)
    levels, winners = _largest_below(logits if tree.order is None else logits[:, tree.order], tree)
    codes = np.concatenate(levels, axis=1)
    counted = codes.take(tree.real, axis=1)
    softplus, sigmoid = _softplus_and_sigmoid(counted)
    carried = _Carried.of(tree, rows, columns, targets, logits[rows, columns])
    there = carried.rows, carried.codes
    best, pull = _softplus_and_sigmoid(-carried.best)
    value = float(softplus.sum(dtype=np.float64)) + float((carried.values * (best - softplus[there])).sum())
    sigmoid[there] *= 1 - carried.values
    slopes = np.zeros_like(codes)
    slopes[:, tree.real] = sigmoid
    gradient = _handed_down(slopes, winners, logits.shape[1])
    if tree.order is not None:
        gradient[:, tree.order] = gradient.copy()
    gradient[rows, columns] -= np.bincount(carried.winner, carried.values * pull, len(rows)).astype(gradient.dtype)
    return value, gradient


def _largest_below(ordered: Floats, tree: Tree) -> tuple[list[Floats], list[Table]]:
    """For each depth, deepest first: the largest logit below each code, ``[encounter, code]``, and where it stands.

    Of several that are as large the first counts. Places are those in the flat array ``[encounter, what is one
    deeper]``, one for each encounter and code.
    """
    levels, winners, current = list[Floats](), list[Table](), ordered
    for runs, firsts in zip(tree.runs, tree.firsts, strict=True):
        largest = np.maximum.reduceat(current, firsts, axis=1)
        found = np.flatnonzero(current == np.repeat(largest, runs, axis=1))
        if len(found) > largest.size:  # some are equal
            run_of = np.repeat(np.arange(len(runs)), runs)
            places, columns = np.divmod(found, current.shape[1])
            found = found[run_starts(places * len(runs) + run_of[columns])]
        levels.append(largest)
        winners.append(found)
        current = largest
    return levels, winners


def _handed_down(slopes: Floats, winners: Sequence[Table], labels: int) -> Floats:
    """Each code's slope, handed to the one below it that it has its logit from: ``[encounter, label in order]``.

    Args:
        slopes: ``[encounter, code]``, codes of all depths, deepest first.
        winners: as ``_largest_below`` gives them.
        labels: how many.
    """
    parts = np.split(slopes, np.cumsum([found.size // len(slopes) for found in winners])[:-1], axis=1)
    parts = [np.zeros((len(slopes), labels), dtype=slopes.dtype), *map(np.ascontiguousarray, parts)]
    for depth in range(len(winners), 0, -1):
        parts[depth - 1].ravel()[winners[depth - 1]] += parts[depth].ravel()  # a winner has one code above it
    return parts[0]


def _softplus_and_sigmoid(values: Floats) -> tuple[Floats, Floats]:
    """log(1 + e^x) and its slope, without overflow at any x."""
    small = np.exp(-np.abs(values))
    whole = 1 + small
    return np.maximum(values, 0) + np.log1p(small), np.where(values >= 0, 1, small) / whole


class _Carried(NamedTuple):
    """The codes above that encounters carry.

    All are ``[such encounter and code]``.

    Args:
        rows, codes: which they are.
        values: y_a.
        best: the largest logit of the labels below it that the encounter carries.
        winner: which positive has it.
    """

    rows: Table
    codes: Table
    values: Floats
    best: Floats
    winner: Table

    @staticmethod
    def of(tree: Tree, rows: Table, columns: Table, targets: Floats, own: Floats) -> _Carried:
        """Find them; ``own`` holds the logits of the positives."""
        place = tree.place[columns]
        members, depth = np.nonzero(place >= 0)
        cells = rows[members] * tree.codes + place[members, depth]
        order = np.argsort(cells, kind="stable")
        members, cells = members[order], cells[order]
        firsts = run_starts(cells)
        below, value = own[members], targets[members]
        if not len(firsts):
            return _Carried(cells, cells, value, below, members)
        best = np.maximum.reduceat(below, firsts)
        lengths = run_lengths(firsts, len(cells))
        as_large = np.flatnonzero(below == np.repeat(best, lengths))
        winner = members[as_large[run_starts(cells[as_large])]]
        return _Carried(
            cells[firsts] // tree.codes, cells[firsts] % tree.codes, np.maximum.reduceat(value, firsts), best, winner
        )
