"""The one label attention of this package: every label attends to every token, yet labels x tokens never exist at once.

For each note, label c and head m, with queries q, keys k and values v,

    a_cmt = softmax_t(q_cm . k_mt)        pooled_cm = sum_t a_cmt v_t        logit_c = readout_c(pooled_c)

The work goes note by note over the note's real tokens alone, so padding costs nothing and changes nothing, and block by
block over the labels, so that a block's attention stays in the processor's cache. Nothing of the size labels x tokens
is kept for the gradient: the backward pass computes each block's attention again (Dao et al. 2022, arXiv:2205.14135,
do the same on GPUs), and so does a note's readout, whose own gradient PyTorch derives. Where the loss is known block by
block, ``attention_loss`` takes logits and gradients in one pass and computes nothing again.

Cost in matrix products of labels x tokens x width: 2 forward, 5 backward, and 1 more backward for the notes whose
pooled vectors are too many to keep; 6 with the loss. A textbook implementation does 2 and 4, but moves labels x tokens
numbers through memory about ten times.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from nosology.heads.attention_products import (
    Gradients,
    NoteGradients,
    Plan,
    ReadoutFunction,
    Scratch,
    Tensors,
    label_blocks,
    precise,
    pull_back,
    real_tokens,
)

CellLoss = Callable[[Tensor, Tensor], Tensor]

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
    with _in_its_type(queries, keys, values) as (queries, keys, values):
        plan = Plan(readout.function, real_tokens(mask), len(readout.rowwise))
        return _as_it_is(_LabelAttention.apply)(plan, queries, keys, values, *readout.rowwise, *readout.shared)


def attention_loss(
    queries: Float[Tensor, "label head key"],
    keys: Float[Tensor, "batch token head key"],
    values: Float[Tensor, "batch token value"],
    mask: Bool[Tensor, "batch token"],
    readout: Readout,
    targets: Float[Tensor, "batch label"],
    loss: CellLoss,
) -> Float[Tensor, ""]:
    """``loss(label_attention(...), targets)`` in one pass, for a loss in which cells do not meet; differentiable once.

    As soon as a block of labels has its logits, the loss's gradient in them is known, and with the block's attention
    still at hand, so are all others. Nothing is computed twice and no pooled vector is kept.

    Args:
        queries, keys, values, mask, readout: see ``label_attention``.
        targets: what the logits should come to.
        loss: the mean over notes and labels of something that depends on one logit and its target alone.
    """
    tensors = (queries, keys, values, *readout.rowwise, *readout.shared)
    if not targets.numel() or not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in tensors):
        return loss(label_attention(queries, keys, values, mask, readout), targets)
    with _in_its_type(queries, keys, values) as (queries, keys, values):
        plan = Plan(readout.function, real_tokens(mask), len(readout.rowwise))
        parameters = (*readout.rowwise, *readout.shared)
        return _as_it_is(_AttentionLoss.apply)(plan, loss, targets, queries, keys, values, *parameters)


@contextmanager
def _in_its_type(*tensors: Tensor) -> Generator[Tensors, None, None]:
    """The tensors in autocast's type, with autocast off: the kernel casts by itself."""
    device = tensors[0].device.type
    if torch.is_autocast_enabled(device):
        low = torch.get_autocast_dtype(device)
        tensors = tuple(tensor.to(low) for tensor in tensors)
    with torch.autocast(device, enabled=False):
        yield tensors


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
        losses.append(-_log_share(scores.to(precise(scores.dtype)), evidence[chosen], mask[note]).flatten())
    every = torch.cat(losses)
    return every.sum() / max(1, len(every))


def _log_share(scores: Tensor, evidence: Tensor, mask: Tensor) -> Tensor:
    low = torch.finfo(scores.dtype).min
    everything = scores.masked_fill(~mask, low).logsumexp(-1)
    return scores.masked_fill(~evidence[:, None], low).logsumexp(-1) - everything


def _attend(queries: Tensor, keys: Tensor, head: int) -> Tensor:
    """Attention of a block of labels to one note's real tokens."""
    return torch.softmax(queries[:, head] @ keys[:, head].T, -1, dtype=torch.float32)


# --- autograd -------------------------------------------------------------------------------------------------------


class _LabelAttention(torch.autograd.Function):
    """See ``label_attention``; a block's attention is computed in both passes and kept by neither."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, plan: Plan, queries: Tensor, keys: Tensor, values: Tensor, *parameters: Tensor
    ) -> Tensor:
        rowwise, shared = plan.parts(parameters)
        logits = queries.new_empty(len(keys), len(queries), dtype=precise(queries.dtype))
        size = (*queries.shape[:2], values.shape[-1])
        room = _POOLED_BYTES // max(1, 4 * torch.Size(size).numel()) if any(ctx.needs_input_grad) else 0
        kept = logits.new_empty((min(room, len(keys)), *size))
        scratch = Scratch(queries)
        for note, real in enumerate(plan.real):
            note_keys, note_values = keys[note][real], values[note][real]
            for rows in label_blocks(len(queries), len(note_keys), queries):
                pooled = scratch.pooled(scratch.attentions(queries[rows], note_keys), note_values)
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
        total, scratch = Gradients(queries, keys, values, rowwise, shared), Scratch(queries)
        for note, real in enumerate(ctx.plan.real):
            own = NoteGradients.start(keys[note][real], values[note][real], total)
            for rows in label_blocks(len(queries), len(own.keys), queries):
                block, parts = queries[rows], tuple(part[rows] for part in rowwise)
                if note < len(kept):
                    pooled = kept[note, rows]
                else:
                    pooled = scratch.pooled(scratch.attentions(block, own.keys), own.values)
                goal = partial(_weighted, weight=grads[0][note, rows])
                _, pulled = pull_back(ctx.plan.function, goal, pooled, parts, shared)
                total.add_parameters(rows, pulled)
                attentions = scratch.attentions(block, own.keys)
                own.add_block(scratch, block, total.queries[rows], pooled, pulled.pooled, attentions)
            total.put(note, real, own.key_sum, own.value_sum)
        originals = (queries, keys, values, *parameters)
        return None, *(grad.to(tensor.dtype) for grad, tensor in zip(total.every(), originals, strict=True))


def _weighted(logits: Tensor, *, weight: Tensor) -> Tensor:
    return torch.dot(logits, weight.to(logits.dtype))


class _AttentionLoss(torch.autograd.Function):
    """See ``attention_loss``; the forward pass adds up all gradients, the backward pass hands them out."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        plan: Plan,
        loss: CellLoss,
        targets: Tensor,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        rowwise, shared = plan.parts(parameters)
        total, scratch, found = Gradients(queries, keys, values, rowwise, shared), Scratch(queries), list[Tensor]()
        for note, real in enumerate(plan.real):
            own = NoteGradients.start(keys[note][real], values[note][real], total)
            for rows in label_blocks(len(queries), len(own.keys) * queries.shape[1], queries):
                block, parts = queries[rows], tuple(part[rows] for part in rowwise)
                attentions = list(scratch.attentions(block, own.keys, kept=True))
                pooled = scratch.pooled(attentions, own.values)
                goal = partial(_summed, loss=loss, targets=targets[note, rows])
                value, pulled = pull_back(plan.function, goal, pooled, parts, shared)
                found.append(value)
                total.add_parameters(rows, pulled)
                own.add_block(scratch, block, total.queries[rows], pooled, pulled.pooled, attentions)
            total.put(note, real, own.key_sum, own.value_sum)
        ctx.count, ctx.found = targets.numel(), total.every()
        ctx.dtypes = [tensor.dtype for tensor in (queries, keys, values, *parameters)]
        return torch.stack(found).sum() / ctx.count

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        if ctx.found is None:
            raise RuntimeError("the gradients of this loss were handed out already; compute it again")
        found, ctx.found = ctx.found, None
        scale = grads[0] / ctx.count
        return (
            None,
            None,
            None,
            *(tensor.mul_(scale).to(dtype) for tensor, dtype in zip(found, ctx.dtypes, strict=True)),
        )


def _summed(logits: Tensor, *, loss: CellLoss, targets: Tensor) -> Tensor:
    return loss(logits[None], targets[None].to(logits.dtype)) * len(logits)


def _as_it_is(function: Any) -> Any:
    """The function; where ``torch.compile`` traces, outside of the trace, for its loop depends on the mask."""
    return cast(Any, torch.compiler.disable)(function) if torch.compiler.is_dynamo_compiling() else function
