"""The attention kernel against a dense textbook one, in values and in gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nosology.heads import attention, attention_products
from nosology.heads.attention import (
    Readout,
    attention_loss,
    evidence_loss,
    label_attention,
    linear_readout,
    top_attention,
)
from nosology.heads.attention_products import label_blocks


def dense_attention(queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    scores = torch.einsum("chk,bthk->bcht", queries, keys).masked_fill(~mask[:, None, None], float("-inf"))
    return torch.softmax(scores, -1).nan_to_num(0.0)


def dense_logits(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, readout: Readout) -> Tensor:
    pooled = torch.einsum("bcht,btv->bchv", dense_attention(queries, keys, mask), values)
    return torch.stack([readout.function(note, readout.rowwise, readout.shared) for note in pooled])


def normed(pooled: Tensor, rowwise: tuple[Tensor, ...], shared: tuple[Tensor, ...]) -> Tensor:
    return torch.nn.functional.layer_norm(pooled[:, 0], shared[0].shape) @ shared[0]


def strongest(pooled: Tensor, rowwise: tuple[Tensor, ...], shared: tuple[Tensor, ...]) -> Tensor:
    return (pooled.amax(1) * rowwise[0]).sum(-1)


def case(seed: int, *, heads: int = 1, labels: int = 40, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    torch.manual_seed(seed)
    sizes = [(labels, heads, 5), (4, 17, heads, 5), (4, 17, 7)]
    return [torch.randn(*size, dtype=dtype, requires_grad=True) for size in sizes]


def some_mask() -> Tensor:
    mask = torch.arange(17) < torch.tensor([17, 5, 1, 0])[:, None]
    mask[1, 9] = True
    return mask


READOUTS: dict[str, tuple[int, Callable[[int], Readout]]] = {
    "linear": (1, lambda labels: linear_readout(parameter(labels, 7), parameter(labels))),
    "normed": (1, lambda labels: Readout(normed, shared=(parameter(7),))),
    "strongest of heads": (3, lambda labels: Readout(strongest, (parameter(labels, 7),))),
}


def parameter(*size: int) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.parametrize("kept", [True, False], ids=["pooled kept", "pooled anew"])
@pytest.mark.parametrize("block", [1, 1 << 22], ids=["small blocks", "one block"])
def test_logits_and_gradients_equal_the_dense_ones(
    name: str, kept: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_products, "_CPU_BLOCK_BYTES", block)
    monkeypatch.setattr(attention, "_POOLED_BYTES", 1 << 30 if kept else 0)
    heads, make = READOUTS[name]
    tensors, mask = case(0, heads=heads), some_mask()
    readout = make(40)
    inputs = [*tensors, *readout.rowwise, *readout.shared]
    ours, dense = label_attention(*tensors, mask, readout), dense_logits(*tensors, mask, readout)
    torch.testing.assert_close(ours, dense, atol=1e-10, rtol=0)
    weight = torch.randn_like(dense)
    for mine, theirs in zip(
        torch.autograd.grad(ours, inputs, weight), torch.autograd.grad(dense, inputs, weight), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=0)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)


@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.parametrize("block", [1, 1 << 22], ids=["small blocks", "one block"])
def test_the_loss_in_one_pass_equals_the_loss_of_dense_logits(
    name: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_products, "_CPU_BLOCK_BYTES", block)
    heads, make = READOUTS[name]
    tensors, mask, readout = case(8, heads=heads), some_mask(), make(40)
    inputs, targets = [*tensors, *readout.rowwise, *readout.shared], (torch.rand(4, 40) < 0.3).double()
    ours = attention_loss(*tensors, mask, readout, targets, cross_entropy)
    dense = cross_entropy(dense_logits(*tensors, mask, readout), targets)
    torch.testing.assert_close(ours, dense, atol=1e-12, rtol=0)
    # Weighted, as a batch of an accumulated step is.
    for mine, theirs in zip(
        torch.autograd.grad(0.3 * ours, inputs), torch.autograd.grad(0.3 * dense, inputs), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=0)


def test_the_loss_in_one_pass_hands_its_gradients_out_once() -> None:
    tensors, readout = case(9), READOUTS["linear"][1](40)
    loss = attention_loss(*tensors, some_mask(), readout, torch.zeros(4, 40), cross_entropy)
    torch.autograd.grad(loss, tensors, retain_graph=True)
    with pytest.raises(RuntimeError, match="handed out already"):
        loss.backward()


def test_the_loss_without_gradients_is_the_loss_of_the_logits() -> None:
    tensors, readout, targets = case(10), READOUTS["linear"][1](40), torch.zeros(4, 40, dtype=torch.float64)
    with torch.no_grad():
        loss = attention_loss(*tensors, some_mask(), readout, targets, cross_entropy)
        expected = cross_entropy(label_attention(*tensors, some_mask(), readout), targets)
    assert loss.grad_fn is None
    torch.testing.assert_close(loss, expected)


def test_the_loss_in_half_precision_keeps_small_gradients() -> None:
    """Gradients are added up unscaled, so that float16 does not lose them, however many cells the mean is over."""
    tensors, labels = case(11, dtype=torch.float32), 40
    readout = linear_readout(torch.randn(labels, 7, requires_grad=True), torch.zeros(labels, requires_grad=True))
    targets = (torch.rand(4, labels) < 0.3).float()
    exact = torch.autograd.grad(1e-4 * attention_loss(*tensors, some_mask(), readout, targets, cross_entropy), tensors)
    with torch.autocast("cpu", dtype=torch.float16):
        near = attention_loss(*tensors, some_mask(), readout, targets, cross_entropy)
    assert near.dtype == torch.float32
    for mine, theirs in zip(torch.autograd.grad(1e-4 * near, tensors), exact, strict=True):
        torch.testing.assert_close(mine, theirs, atol=0.02 * float(theirs.abs().max()), rtol=0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 4), st.integers(0, 12), st.integers(1, 70), st.integers(1, 3))
def test_float32_of_any_size_equals_the_dense_one(seed: int, notes: int, tokens: int, labels: int, heads: int) -> None:
    torch.manual_seed(seed)
    queries, keys = torch.randn(labels, heads, 6) * 3, torch.randn(notes, tokens, heads, 6)
    values, mask = torch.randn(notes, tokens, 4), torch.rand(notes, tokens) < 0.7
    readout = Readout(strongest, (torch.randn(labels, 4),))
    ours = label_attention(queries, keys, values, mask, readout)
    assert ours.shape == (notes, labels)
    if notes:
        torch.testing.assert_close(ours, dense_logits(queries, keys, values, mask, readout), atol=1e-5, rtol=1e-5)


def test_gradients_reach_what_is_shared_by_keys_and_values() -> None:
    hidden, queries = parameter(2, 9, 5), parameter(11, 1, 5)
    readout = linear_readout(parameter(11, 5), parameter(11))
    mask = torch.ones(2, 9, dtype=torch.bool)
    ours = label_attention(queries, hidden[:, :, None], hidden, mask, readout).sum()
    dense = dense_logits(queries, hidden[:, :, None], hidden, mask, readout).sum()
    mine, theirs = torch.autograd.grad(ours, hidden)[0], torch.autograd.grad(dense, hidden)[0]
    torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=0)


def test_nothing_is_kept_where_no_gradient_is_asked_for() -> None:
    queries, keys, values = case(1)
    readout = READOUTS["linear"][1](40)
    with torch.no_grad():
        assert label_attention(queries, keys, values, some_mask(), readout).grad_fn is None


def test_a_second_derivative_is_refused() -> None:
    tensors = case(2)
    readout = READOUTS["linear"][1](40)
    loss = label_attention(*tensors, some_mask(), readout).square().sum()
    grad = torch.autograd.grad(loss, tensors[0], create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_huge_scores_stay_finite() -> None:
    queries, keys, values = (tensor.detach() * 1e4 for tensor in case(3, dtype=torch.float32))
    readout = linear_readout(torch.ones(40, 7), torch.zeros(40))
    assert label_attention(queries, keys, values, some_mask(), readout).isfinite().all()


def test_bfloat16_under_autocast_is_near_float32_and_gives_float32() -> None:
    tensors = case(4, dtype=torch.float32)
    readout = linear_readout(torch.randn(40, 7, requires_grad=True), torch.zeros(40, requires_grad=True))
    exact = label_attention(*tensors, some_mask(), readout)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = label_attention(*tensors, some_mask(), readout)
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, atol=0.15, rtol=0.05)
    near.sum().backward()
    assert all(tensor.grad is not None and tensor.grad.dtype == torch.float32 for tensor in tensors)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("block", [1, 1 << 22])
def test_top_attention_equals_the_dense_one(heads: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_products, "_CPU_BLOCK_BYTES", block)
    queries, keys, _ = case(5, heads=heads)
    mask = some_mask()
    weights, positions = top_attention(queries, keys, mask, 4)
    dense = dense_attention(queries, keys, mask).mean(2)
    best, index = dense.topk(4)
    assert (weights.sum(-1) <= 1 + 1e-6).all()
    torch.testing.assert_close(weights, best.float() * (best > 0), atol=1e-6, rtol=0)
    assert torch.equal(positions, torch.where(best > 0, index, -1))


def test_evidence_loss_is_the_log_of_the_attention_on_gold() -> None:
    queries, keys, _ = case(6, heads=2)
    mask = some_mask()
    notes, labels = torch.tensor([0, 1, 1, 3]), torch.tensor([4, 2, 7, 0])
    evidence = torch.rand(4, 17) < 0.4
    evidence[1, 9], evidence[2] = True, torch.arange(17) == 15  # item 2: gold on padding alone; item 3: an empty note
    loss = evidence_loss(queries[labels], keys, mask, notes, evidence)
    dense = dense_attention(queries, keys, mask)
    shares = [(dense[notes[i], labels[i]] * evidence[i]).sum(-1) for i in (0, 1)]
    torch.testing.assert_close(loss, -torch.stack(shares).log().mean(), atol=1e-6, rtol=0)
    loss.backward()
    assert keys.grad is not None
    assert keys.grad[0].any()
    assert not keys.grad[2].any()


def test_evidence_loss_without_evidence_is_zero_and_has_a_gradient() -> None:
    queries, keys, _ = case(7)
    loss = evidence_loss(
        queries[:0], keys, some_mask(), torch.zeros(0, dtype=torch.long), torch.zeros(0, 17, dtype=torch.bool)
    )
    loss.backward()
    assert float(loss.detach()) == 0


@pytest.mark.parametrize(("labels", "tokens"), [(1, 1), (8692, 2500), (50, 200_000), (8692, 10_000), (0, 10), (10, 0)])
def test_blocks_cover_every_label_once_and_stay_small(labels: int, tokens: int) -> None:
    like = torch.zeros(0)
    blocks = list(label_blocks(labels, tokens, like))
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(labels))
    sizes = [block.stop - block.start for block in blocks]
    assert all(4 * size * tokens <= max(1 << 22, 16 * 4 * tokens) or size <= 256 for size in sizes)
    assert all(4 * size * tokens <= max(1 << 24, 16 * 4 * tokens) for size in sizes)
