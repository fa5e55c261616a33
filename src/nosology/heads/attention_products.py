"""The products of label attention, block by block over labels: what every pass over a note's labels shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

Tensors = tuple[Tensor, ...]
ReadoutFunction = Callable[[Tensor, Tensors, Tensors], Tensor]
Real = slice | Tensor

_CPU_BLOCK_BYTES = 1 << 22
_GPU_BLOCK_BYTES = 1 << 28
_FEW_ROWS = 256


def real_tokens(mask: Bool[Tensor, "batch token"]) -> list[Real]:
    """Where each note's real tokens stand: a slice if they come first, else their positions."""
    counts = mask.sum(1)
    first = torch.arange(mask.shape[1], device=mask.device) < counts[:, None]
    plain = (first == mask).all(1).tolist()
    return [
        slice(0, count) if leading else row.nonzero()[:, 0]
        for count, leading, row in zip(counts.tolist(), plain, mask, strict=True)
    ]


def label_blocks(labels: int, tokens: int, like: Tensor) -> Iterator[slice]:
    """Blocks of labels whose attention to ``tokens`` tokens stays small: in cache on a CPU, worth a launch on a GPU."""
    row = 4 * max(1, tokens)
    size = (_CPU_BLOCK_BYTES if like.device.type == "cpu" else _GPU_BLOCK_BYTES) // row
    if size < _FEW_ROWS:  # a long note: thin products would spend their time on adding to wide sums
        size = min(_FEW_ROWS, 4 * size)
    size = max(16, size // 16 * 16)
    for start in range(0, labels, size):
        yield slice(start, min(start + size, labels))


@dataclass(frozen=True, slots=True)
class Plan:
    """What the products need besides tensors."""

    function: ReadoutFunction
    real: list[Real]
    rowwise_count: int

    def parts(self, parameters: Tensors) -> tuple[Tensors, Tensors]:
        """The readout's parameters: those with a row per label, and those that labels share."""
        return parameters[: self.rowwise_count], parameters[self.rowwise_count :]


class Scratch:
    """Blocks of labels x tokens that every block of the loop reuses: fresh ones cost page faults."""

    def __init__(self, queries: Tensor) -> None:
        self._like = queries
        self._buffers = [queries.new_empty(0) for _ in range(1 + max(1, queries.shape[1]))]

    def _take(self, which: int, rows: int, tokens: int) -> Tensor:
        if self._buffers[which].numel() < rows * tokens:
            self._buffers[which] = self._like.new_empty(rows * tokens)
        return self._buffers[which][: rows * tokens].view(rows, tokens)

    def attentions(self, queries: Tensor, keys: Tensor, *, kept: bool = False) -> Iterator[Tensor]:
        """Attention of a block of labels, head by head; the next takes the buffer over unless it is kept."""
        for head in range(queries.shape[1]):
            scores = self.product(queries[:, head], keys[:, head])
            if scores.dtype in (torch.float16, torch.bfloat16):
                yield torch.softmax(scores, -1, dtype=torch.float32).to(scores.dtype)
            else:
                yield torch.softmax(scores, -1, out=self._take(1 + head * kept, *scores.shape))

    def pooled(self, attentions: Iterable[Tensor], values: Tensor) -> Tensor:
        """Pooled vectors of a block of labels, ``[label, head, value]``."""
        heads = [attention @ values for attention in attentions]
        stacked = heads[0][:, None] if len(heads) == 1 else torch.stack(heads, 1)
        return stacked.to(precise(values.dtype))

    def product(self, left: Tensor, right: Tensor) -> Tensor:
        """``left right^T``, in a buffer that the next one takes over."""
        return torch.mm(left, right.T, out=self._take(0, len(left), len(right)))


def precise(dtype: torch.dtype) -> torch.dtype:
    """The type in which numbers of a type are added up."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


@dataclass(frozen=True, slots=True)
class Pulled:
    """Gradients of a block's goal in its pooled vectors and in the readout's parameters."""

    pooled: Tensor
    rowwise: Tensors
    shared: Tensors


def pull_back(
    function: ReadoutFunction,
    goal: Callable[[Tensor], Tensor],
    pooled: Tensor,
    rowwise: Tensors,
    shared: Tensors,
) -> tuple[Tensor, Pulled]:
    """A number made of a block's logits, and its gradients."""
    with torch.enable_grad():
        inputs = tuple(tensor.detach().requires_grad_() for tensor in (pooled, *rowwise, *shared))
        split = 1 + len(rowwise)
        value = goal(function(inputs[0], inputs[1:split], inputs[split:]))
    found = torch.autograd.grad(value, inputs)
    return value.detach(), Pulled(found[0], found[1:split], found[split:])


def _softmax_pulled(grad: Tensor, weights: Tensor, attention: Tensor) -> Tensor:
    """Gradient in the scores from that in the attention, in place where the type is precise enough."""
    if grad.dtype == weights.dtype:
        return grad.sub_(weights).mul_(attention)
    return (grad.to(weights.dtype).sub_(weights) * attention).to(grad.dtype)


class Gradients:
    """Sums of gradients, in float32 at least."""

    def __init__(self, queries: Tensor, keys: Tensor, values: Tensor, rowwise: Tensors, shared: Tensors) -> None:
        def empty(tensor: Tensor) -> Tensor:
            return torch.empty_like(tensor, dtype=precise(tensor.dtype), memory_format=torch.contiguous_format)

        self.queries, self.keys, self.values = empty(queries).zero_(), empty(keys), empty(values)
        self.rowwise, self.shared = [empty(part).zero_() for part in rowwise], [empty(part).zero_() for part in shared]
        self._rooms = [self.keys.new_empty(keys[:1].numel()), self.values.new_empty(values[:1].numel())]

    def room(self, which: int, tensor: Tensor) -> Tensor:
        """Zeros for one note's sum, tokens last; the next note takes the memory over."""
        return self._rooms[which][: tensor.numel()].zero_().view(*tensor.shape[1:], len(tensor))

    def put(self, note: int, real: Real, keys: Tensor, values: Tensor) -> None:
        """One note's sums, made with ``room``; zero where no real token stands."""
        for total, found in ((self.keys[note], keys.permute(2, 0, 1)), (self.values[note], values.T)):
            if len(found) < len(total):
                total.zero_()
            total[real] = found

    def add_parameters(self, rows: slice, pulled: Pulled) -> None:
        """Add what a block of labels gives to the readout's parameters."""
        for total, grad in zip(self.rowwise, pulled.rowwise, strict=True):
            total[rows] += grad
        for total, grad in zip(self.shared, pulled.shared, strict=True):
            total += grad

    def every(self) -> Tensors:
        """All sums, in the order in which autograd gave the tensors."""
        return self.queries, self.keys, self.values, *self.rowwise, *self.shared


@dataclass(frozen=True, slots=True)
class NoteGradients:
    """One note's part of the sums, while its blocks are added up.

    Args:
        keys, values: the note's own.
        key_sum, value_sum: gradients in them, with tokens last: products that add to a tall and narrow sum are a third
            slower than to a wide one.
    """

    keys: Tensor
    values: Tensor
    key_sum: Tensor
    value_sum: Tensor

    @staticmethod
    def start(keys: Tensor, values: Tensor, total: Gradients) -> NoteGradients:
        """Sums of zero."""
        return NoteGradients(keys, values, total.room(0, keys), total.room(1, values))

    def add_block(
        self,
        scratch: Scratch,
        queries: Tensor,
        query_sum: Tensor,
        pooled: Tensor,
        pooled_grad: Tensor,
        attentions: Iterable[Tensor],
    ) -> None:
        """Add a block of labels, given the gradient in its pooled vectors and its attention, head by head."""
        weights = torch.linalg.vecdot(pooled_grad, pooled)
        for head, attention in enumerate(attentions):
            into = pooled_grad[:, head].to(queries.dtype)
            _add_product(self.value_sum, into.T, attention)
            scores = _softmax_pulled(scratch.product(into, self.values), weights[:, head, None], attention)
            _add_product(query_sum[:, head], scores, self.keys[:, head])
            _add_product(self.key_sum[head], queries[:, head].T, scores)
