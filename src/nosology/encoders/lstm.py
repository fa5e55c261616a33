"""Both directions of an LSTM on a processor: side by side, and with a gradient that keeps nothing but the states.

    i, f, o = sigma(W_i x_t + U_i h_{t-1} + b_i), ...    g = tanh(...)    c_t = f c_{t-1} + i g    h_t = o tanh(c_t)

PyTorch's LSTM keeps some ten numbers for each state that it gives, and adds a product of rank ``batch`` to the gradient
of U at every token. Here the forward pass keeps the states, which the next layer keeps anyway, and the cells at the
starts of segments. The backward pass goes by segments: with the states known, all of a segment's gates are one product,
and so are its gradients of W, U and x; only d h_{t-1} = d gates_t U goes token by token. Each direction has its own
half of the threads, for one token's product is too small to be shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Words = Float[Tensor, "batch token word"]
Steps = Float[Tensor, "token batch width"]
Weights = tuple[Tensor, ...]

aten: Any = torch.ops.aten
Result = TypeVar("Result")


def bidirectional(
    ahead: nn.LSTM, back: nn.LSTM, words: Words, order: Int[Tensor, "batch token"], segment: int
) -> Float[Tensor, "batch token both"]:
    """States of both directions side by side; differentiable once.

    Args:
        ahead, back: one layer each, with biases.
        words: what they read.
        order: the token that ``back`` reads first, second and so on.
        segment: tokens whose gates exist at once in the backward pass.
    """
    parameters = (*_weights(ahead), *_weights(back))
    run: Any = _Bidirectional.apply
    if torch.compiler.is_dynamo_compiling():
        run = cast(Any, torch.compiler.disable)(run)
    return run(segment, order, words, *parameters)


def _weights(lstm: nn.LSTM) -> Weights:
    return tuple(getattr(lstm, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))


@dataclass(frozen=True, slots=True)
class _Direction:
    """One direction over a batch.

    Args:
        order: the tokens in the order in which it reads them; None for the text's.
        segment: length of a segment.
        states: of both directions.
        columns: this direction's of ``states``.
    """

    order: Tensor | None
    segment: int
    states: Tensor
    columns: slice

    def segments(self) -> Iterator[slice]:
        tokens = self.states.shape[1]
        for start in range(0, tokens, self.segment):
            yield slice(start, min(start + self.segment, tokens))

    def read(self, tensor: Tensor, tokens: slice, columns: slice = slice(None)) -> Steps:
        """Some steps of a tensor with one row per token, step by step."""
        if self.order is None:
            return tensor[:, tokens, columns].transpose(0, 1).contiguous()
        rows = torch.arange(len(tensor), device=tensor.device)
        return tensor[..., columns][rows, self.order[:, tokens].T]

    def write(self, tensor: Tensor, tokens: slice, steps: Steps, columns: slice = slice(None)) -> None:
        """The inverse of ``read``."""
        if self.order is None:
            tensor[:, tokens, columns] = steps.transpose(0, 1)
        else:
            rows = torch.arange(len(tensor), device=tensor.device)
            tensor[..., columns][rows, self.order[:, tokens].T] = steps

    def before(self, tokens: slice) -> Steps:
        """The state that each of these steps starts from."""
        if tokens.start:
            return self.read(self.states, slice(tokens.start - 1, tokens.stop - 1), self.columns)
        rest = self.read(self.states, slice(0, tokens.stop - 1), self.columns)
        return torch.cat([rest.new_zeros(1, *rest.shape[1:]), rest])

    def run(self, words: Words, weights: Weights) -> Tensor:
        """Write the states; returns the cells at the segments' starts."""
        state = (words.new_zeros(1, len(words), weights[1].shape[1]),) * 2
        cells = list[Tensor]()
        for tokens in self.segments():
            cells.append(state[1][0])
            # The module's own call: bias, one layer, no dropout, as in inference, forwards, tokens first.
            steps, *state = torch.lstm(self.read(words, tokens), state, weights, True, 1, 0.0, False, False, False)
            self.write(self.states, tokens, steps, self.columns)
        return torch.stack(cells)

    def pull_back(self, words: Words, weights: Weights, cells: Tensor, grad: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Gradients in the words and in the weights."""
        word_grad, found = torch.zeros_like(words), [torch.zeros_like(weight) for weight in weights]
        state_grad, cell_grad = grad.new_zeros(grad.shape[0], weights[1].shape[1]), torch.zeros_like(cells[0])
        for tokens, cell in reversed(list(zip(self.segments(), cells, strict=True))):
            read, before = self.read(words, tokens).flatten(0, 1), self.before(tokens).flatten(0, 1)
            gates = torch.addmm(weights[2] + weights[3], read, weights[0].T).addmm_(before, weights[1].T)
            gates = gates.view(tokens.stop - tokens.start, len(words), 4, -1)
            slopes = _slopes(gates, cell)
            steps = self.read(grad, tokens, self.columns)
            gate_grad = _back_through(steps, slopes, weights[1], state_grad, cell_grad).flatten(2).flatten(0, 1)
            found[0].addmm_(gate_grad.T, read)
            found[1].addmm_(gate_grad.T, before)
            found[2] += gate_grad.sum(0)
            self.write(word_grad, tokens, (gate_grad @ weights[0]).view(*steps.shape[:2], -1))
        found[3] = found[2].clone()
        return word_grad, found


@dataclass(frozen=True, slots=True)
class _Slopes:
    """What a step's gradients are multiplied with.

    Args:
        cell: d c_t / d h_t.
        kept: the forget gate, d c_{t-1} / d c_t.
        by_cell: d (input, forget, cell gate) / d c_t.
        by_state: d output gate / d h_t.
    """

    cell: Steps
    kept: Steps
    by_cell: Float[Tensor, "token batch gate width"]
    by_state: Steps


def _slopes(gates: Float[Tensor, "token batch gate width"], cell: Tensor) -> _Slopes:
    """From the sums that go into the gates, and the cell before the first step."""
    into, kept, out = (gates[:, :, gate].sigmoid() for gate in (0, 1, 3))
    new = gates[:, :, 2].tanh()
    cells = _cells(into * new, kept, cell)
    by_cell, shown = gates[:, :, :3], cells[1:].tanh()
    # sigmoid_backward(g, s) is g s (1 - s), tanh_backward(g, t) is g (1 - t^2): one pass each.
    aten.sigmoid_backward(new, into, grad_input=by_cell[:, :, 0])
    aten.sigmoid_backward(cells[:-1], kept, grad_input=by_cell[:, :, 1])
    aten.tanh_backward(into, new, grad_input=by_cell[:, :, 2])
    return _Slopes(aten.tanh_backward(out, shown), kept, by_cell, aten.sigmoid_backward(shown, out))


def _cells(added: Steps, kept: Steps, first: Tensor) -> Float[Tensor, "cell batch width"]:
    """The first cell and all that follow."""
    cells = added.new_empty(len(added) + 1, *added.shape[1:])
    cells[0] = first
    each = cells.unbind()
    for step, (plus, share) in enumerate(zip(added.unbind(), kept.unbind(), strict=True)):
        torch.addcmul(plus, share, each[step], out=each[step + 1])
    return cells


def _back_through(
    grad: Steps, slopes: _Slopes, recurrent: Tensor, state_grad: Tensor, cell_grad: Tensor
) -> Float[Tensor, "token batch gate width"]:
    """Gradients in the gates' sums, last step first; the two sums go on to the segment before."""
    found = grad.new_empty(*grad.shape[:2], 4, grad.shape[2])
    by_cell, by_state, flat = found[:, :, :3].unbind(), found[:, :, 3].unbind(), found.flatten(2).unbind()
    cell_slopes, state_slopes, cells, kept = (
        part.unbind() for part in (slopes.by_cell, slopes.by_state, slopes.cell, slopes.kept)
    )
    wide, given = cell_grad.unsqueeze(1), grad.unbind()
    state_grad += given[-1]
    for step in range(len(grad) - 1, -1, -1):
        cell_grad.addcmul_(state_grad, cells[step])
        torch.mul(wide, cell_slopes[step], out=by_cell[step])
        torch.mul(state_grad, state_slopes[step], out=by_state[step])
        cell_grad.mul_(kept[step])
        if step:
            torch.addmm(given[step - 1], flat[step], recurrent, out=state_grad)
        else:
            torch.mm(flat[step], recurrent, out=state_grad)
    return found


class _Bidirectional(torch.autograd.Function):
    """See ``bidirectional``."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, segment: int, order: Tensor, words: Tensor, *weights: Tensor
    ) -> Tensor:
        states = words.new_empty(*words.shape[:2], 2 * weights[1].shape[1])
        ahead, back = _directions(segment, order, states)
        cells = side_by_side(lambda: ahead.run(words, weights[:4]), lambda: back.run(words, weights[4:]))
        ctx.segment = segment
        ctx.save_for_backward(states, order, words, *cells, *weights)
        return states

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        states, order, words, right, left, *weights = ctx.saved_tensors
        ahead, back = _directions(ctx.segment, order, states)
        (word_grad, first), (more, second) = side_by_side(
            lambda: ahead.pull_back(words, tuple(weights[:4]), right, grads[0]),
            lambda: back.pull_back(words, tuple(weights[4:]), left, grads[0]),
        )
        return None, None, word_grad.add_(more), *first, *second


def _directions(segment: int, order: Tensor, states: Tensor) -> tuple[_Direction, _Direction]:
    half = states.shape[-1] // 2
    return (
        _Direction(None, segment, states, slice(0, half)),
        _Direction(order, segment, states, slice(half, 2 * half)),
    )


def side_by_side(first: Callable[[], Result], second: Callable[[], Result]) -> tuple[Result, Result]:
    """Both results, without gradients; each with half of this thread's threads, or in turn if it has but one."""
    threads, inference = torch.get_num_threads(), torch.is_inference_mode_enabled()
    if threads == 1:
        with torch.no_grad():
            return first(), second()

    def there() -> Result:
        torch.set_num_threads(threads // 2)
        with torch.inference_mode(inference), torch.no_grad():
            return second()

    # A pool of its own for each call: a thread that stays would be missing after a fork.
    with ThreadPoolExecutor(1) as pool:
        try:
            other = pool.submit(there)
            torch.set_num_threads(threads - threads // 2)
            with torch.no_grad():
                return first(), other.result()
        finally:
            torch.set_num_threads(threads)
