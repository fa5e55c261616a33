"""The one label attention of this package: every label attends to every token, yet labels x tokens never exist at once.

For each note, label c and head m, with queries q, keys k and values v,

    a_cmt = softmax_t(q_cm . k_mt)        pooled_cm = sum_t a_cmt v_t        logit_c = readout_c(pooled_c)

The work goes note by note over the note's real tokens alone, so padding costs nothing and changes nothing, and block by
block over the labels, so that a block's attention stays in the processor's cache. Nothing of the size labels x tokens
is kept for the gradient: the backward pass computes each block's attention again (Dao et al. 2022, arXiv:2205.14135,
do the same on GPUs), and so does a note's readout, whose own gradient PyTorch derives.

Cost in matrix products of labels x tokens x width: 2 forward, 5 backward, and 1 more backward for the notes whose
pooled vectors are too many to keep. A textbook implementation does 2 and 4, but moves labels x tokens numbers through
memory about ten times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

Tensors = tuple[Tensor, ...]
ReadoutFunction = Callable[[Tensor, Tensors, Tensors], Tensor]
Real = slice | Tensor

_CPU_BLOCK_BYTES = 1 << 22
_GPU_BLOCK_BYTES = 1 << 28
_POOLED_BYTES = 96 << 20


@dataclass(frozen=True, slots=True)
class Readout:
    """How a label's pooled vectors become its logit.

    Args:
        function: ``(pooled [label, head, value], rowwise, shared) -> logits [label]``, each label by itself.
        rowwise: parameters with one row per label; the function gets the rows of its labels.
        shared: parameters that all labels share.
    """

    function: ReadoutFunction
    rowwise: Tensors = ()
    shared: Tensors = ()


def linear_readout(weight: Float[Tensor, "label value"], bias: Float[Tensor, " label"]) -> Readout:
    """``logit_c = weight_c . pooled_c + bias_c``, for one head."""
    return Readout(_linear, (weight, bias))


def _linear(pooled: Tensor, rowwise: Tensors, shared: Tensors) -> Tensor:
    weight, bias = rowwise
    return torch.linalg.vecdot(pooled[:, 0], weight) + bias


def label_attention(
    queries: Float[Tensor, "label head key"],
    keys: Float[Tensor, "batch token head key"],
    values: Float[Tensor, "batch token value"],
    mask: Bool[Tensor, "batch token"],
    readout: Readout,
) -> Float[Tensor, "batch label"]:
    """Logits of every query's label for every note; differentiable once in everything but the mask.

    A note without real tokens pools to zero. Under autocast the products run in its type, the softmax and the readout
    in float32.

    Args:
        queries: one vector per label and head.
        keys: one vector per token and head.
        values: what is pooled.
        mask: true where a real token stands.
        readout: makes a label's logit of its pooled vectors.
    """
    device = queries.device.type
    if torch.is_autocast_enabled(device):
        low = torch.get_autocast_dtype(device)
        queries, keys, values = queries.to(low), keys.to(low), values.to(low)
    with torch.autocast(device, enabled=False):
        plan = _Plan(readout.function, real_tokens(mask), len(readout.rowwise))
        return _apply(plan, queries, keys, values, *readout.rowwise, *readout.shared)


@torch.no_grad()
def top_attention(
    queries: Float[Tensor, "label head key"],
    keys: Float[Tensor, "batch token head key"],
    mask: Bool[Tensor, "batch token"],
    top: int,
) -> tuple[Float[Tensor, "batch label top"], Int[Tensor, "batch label top"]]:
    """The most attended tokens of every label, most attended first, averaged over heads; the rest is not stored.

    Returns:
        weights and token positions; a note with fewer than ``top`` real tokens fills up with weight 0, position -1.
    """
    shape = (len(mask), len(queries), top)
    weights = queries.new_zeros(shape, dtype=torch.float32)
    positions = torch.full(shape, -1, device=queries.device)
    for note, real in enumerate(real_tokens(mask)):
        note_keys, where = keys[note][real], torch.arange(mask.shape[1], device=mask.device)[real]
        for rows in label_blocks(len(queries), len(note_keys), queries):
            attention = torch.stack([_attend(queries[rows], note_keys, head) for head in range(queries.shape[1])])
            best, index = attention.mean(0).topk(min(top, len(where)))
            weights[note, rows, : best.shape[1]] = best
            positions[note, rows, : best.shape[1]] = where[index]
    return weights, positions


def evidence_loss(
    queries: Float[Tensor, "item head key"],
    keys: Float[Tensor, "batch token head key"],
    mask: Bool[Tensor, "batch token"],
    notes: Int[Tensor, " item"],
    evidence: Bool[Tensor, "item token"],
) -> Float[Tensor, ""]:
    """``-log`` of the attention that falls on gold evidence, mean over items and heads.

    Any division of the attention among an item's evidence tokens is as good as another, so long spans and several
    spans are not forced to share it evenly. An item whose evidence holds no real token is left out.

    Args:
        queries: of each item's label.
        keys: of the batch's tokens.
        mask: true where a real token stands.
        notes: each item's row in the batch.
        evidence: true where the token is part of the item's evidence.
    """
    evidence = evidence & mask[notes]
    marked = evidence.any(1)
    losses = [queries.new_zeros(0) + keys.sum() * 0]
    for note in notes[marked].unique().tolist():
        chosen = marked & (notes == note)
        scores = torch.einsum("ihk,thk->iht", queries[chosen], keys[note])
        losses.append(-_log_share(scores.to(_precise(scores.dtype)), evidence[chosen], mask[note]).flatten())
    every = torch.cat(losses)
    return every.sum() / max(1, len(every))


def _log_share(scores: Tensor, evidence: Tensor, mask: Tensor) -> Tensor:
    low = torch.finfo(scores.dtype).min
    everything = scores.masked_fill(~mask, low).logsumexp(-1)
    return scores.masked_fill(~evidence[:, None], low).logsumexp(-1) - everything


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
    budget = _CPU_BLOCK_BYTES if like.device.type == "cpu" else _GPU_BLOCK_BYTES
    size = max(16, budget // (4 * max(1, tokens)) // 16 * 16)
    for start in range(0, labels, size):
        yield slice(start, min(start + size, labels))


def _attend(queries: Tensor, keys: Tensor, head: int) -> Tensor:
    """Attention of a block of labels to one note's real tokens."""
    return torch.softmax(queries[:, head] @ keys[:, head].T, -1, dtype=torch.float32)


# --- the products, block by block -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the products need besides tensors."""

    function: ReadoutFunction
    real: list[Real]
    rowwise_count: int

    def parts(self, parameters: Tensors) -> tuple[Tensors, Tensors]:
        return parameters[: self.rowwise_count], parameters[self.rowwise_count :]


class _Scratch:
    """Two blocks of labels x tokens that every block of the loop reuses: fresh ones cost page faults."""

    def __init__(self, queries: Tensor) -> None:
        self._like = queries
        self._buffers = [queries.new_empty(0), queries.new_empty(0)]

    def take(self, which: int, rows: int, tokens: int) -> Tensor:
        if self._buffers[which].numel() < rows * tokens:
            self._buffers[which] = self._like.new_empty(rows * tokens)
        return self._buffers[which][: rows * tokens].view(rows, tokens)

    def attention(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Attention of one block and head; lives in buffer 1, buffer 0 is free again."""
        rows, tokens = len(queries), len(keys)
        scores = torch.mm(queries, keys.T, out=self.take(0, rows, tokens))
        if scores.dtype in (torch.float16, torch.bfloat16):
            return torch.softmax(scores, -1, dtype=torch.float32).to(scores.dtype)
        return torch.softmax(scores, -1, out=self.take(1, rows, tokens))

    def product(self, left: Tensor, right: Tensor) -> Tensor:
        """``left right^T`` in buffer 0."""
        return torch.mm(left, right.T, out=self.take(0, len(left), len(right)))


def _precise(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def _pooled(scratch: _Scratch, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    heads = [scratch.attention(queries[:, head], keys[:, head]) @ values for head in range(queries.shape[1])]
    return torch.stack(heads, 1).to(_precise(queries.dtype))


def _pull_back(function: ReadoutFunction, pooled: Tensor, rowwise: Tensors, shared: Tensors, grad: Tensor) -> Tensors:
    """Gradients of a block's readout in its pooled vectors and parameters."""
    with torch.enable_grad():
        inputs = tuple(tensor.detach().requires_grad_() for tensor in (pooled, *rowwise, *shared))
        split = 1 + len(rowwise)
        logits = function(inputs[0], inputs[1:split], inputs[split:])
    return torch.autograd.grad(logits, inputs, grad.to(logits.dtype))


def _softmax_pulled(grad: Tensor, weights: Tensor, attention: Tensor) -> Tensor:
    """Gradient in the scores from that in the attention, in place where the type is precise enough."""
    if grad.dtype == weights.dtype:
        return grad.sub_(weights).mul_(attention)
    return (grad.to(weights.dtype).sub_(weights) * attention).to(grad.dtype)


class _Gradients:
    """Sums of gradients, in float32 at least."""

    def __init__(self, queries: Tensor, keys: Tensor, values: Tensor, rowwise: Tensors, shared: Tensors) -> None:
        def zeros(tensor: Tensor) -> Tensor:
            return torch.zeros_like(tensor, dtype=_precise(tensor.dtype), memory_format=torch.contiguous_format)

        self.queries, self.keys, self.values = zeros(queries), zeros(keys), zeros(values)
        self.rowwise, self.shared = [zeros(tensor) for tensor in rowwise], [zeros(tensor) for tensor in shared]

    def transposed(self, tensor: Tensor) -> Tensor:
        """Room for a note's sum with tokens in the last place."""
        return tensor.new_zeros(*tensor.shape[1:], len(tensor), dtype=self.keys.dtype)

    def add_parameters(self, rows: slice, rowwise: Tensors, shared: Tensors) -> None:
        for total, grad in zip(self.rowwise, rowwise, strict=True):
            total[rows] += grad
        for total, grad in zip(self.shared, shared, strict=True):
            total += grad


class _LabelAttention(torch.autograd.Function):
    """See ``label_attention``; a block's attention is computed in both passes and kept by neither."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, plan: _Plan, queries: Tensor, keys: Tensor, values: Tensor, *parameters: Tensor
    ) -> Tensor:
        rowwise, shared = plan.parts(parameters)
        precise = _precise(queries.dtype)
        logits = queries.new_empty(len(keys), len(queries), dtype=precise)
        size = (*queries.shape[:2], values.shape[-1])
        room = _POOLED_BYTES // max(1, 4 * torch.Size(size).numel()) if any(ctx.needs_input_grad) else 0
        kept = queries.new_empty((min(room, len(keys)), *size), dtype=precise)
        scratch = _Scratch(queries)
        for note, real in enumerate(plan.real):
            note_keys, note_values = keys[note][real], values[note][real]
            for rows in label_blocks(len(queries), len(note_keys), queries):
                pooled = _pooled(scratch, queries[rows], note_keys, note_values)
                logits[note, rows] = plan.function(pooled, tuple(part[rows] for part in rowwise), shared)
                if note < len(kept):
                    kept[note, rows] = pooled
        ctx.plan = plan
        ctx.save_for_backward(kept, queries, keys, values, *parameters)
        return logits

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        kept, queries, keys, values, *parameters = ctx.saved_tensors
        rowwise, shared = ctx.plan.parts(tuple(parameters))
        total, scratch = _Gradients(queries, keys, values, rowwise, shared), _Scratch(queries)
        for note, real in enumerate(ctx.plan.real):
            note_keys, note_values = keys[note][real], values[note][real]
            # Transposed, since products that add to a tall and narrow sum are a third slower than to a wide one.
            key_grad, value_grad = total.transposed(note_keys), total.transposed(note_values)
            for rows in label_blocks(len(queries), len(note_keys), queries):
                block = queries[rows]
                pooled = kept[note, rows] if note < len(kept) else _pooled(scratch, block, note_keys, note_values)
                parts = tuple(part[rows] for part in rowwise)
                pooled_grad, *pulled = _pull_back(ctx.plan.function, pooled, parts, shared, grads[0][note, rows])
                total.add_parameters(rows, tuple(pulled[: len(parts)]), tuple(pulled[len(parts) :]))
                weights = torch.linalg.vecdot(pooled_grad, pooled)
                query_grad = total.queries[rows]
                for head in range(block.shape[1]):
                    attention = scratch.attention(block[:, head], note_keys[:, head])
                    into = pooled_grad[:, head].to(block.dtype)
                    _add_product(value_grad, into.T, attention)
                    scores = _softmax_pulled(scratch.product(into, note_values), weights[:, head, None], attention)
                    _add_product(query_grad[:, head], scores, note_keys[:, head])
                    _add_product(key_grad[head], block[:, head].T, scores)
            total.keys[note, real], total.values[note, real] = key_grad.permute(2, 0, 1), value_grad.T
        found = (total.queries, total.keys, total.values, *total.rowwise, *total.shared)
        originals = (queries, keys, values, *parameters)
        return None, *(grad.to(tensor.dtype) for grad, tensor in zip(found, originals, strict=True))


def _apply(*inputs: Any) -> Tensor:
    """The function above; where ``torch.compile`` traces, it runs as it is, for its loop depends on the mask."""
    run: Any = _LabelAttention.apply
    if torch.compiler.is_dynamo_compiling():
        run = cast(Any, torch.compiler.disable)(run)
    return run(*inputs)
