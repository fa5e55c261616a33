"""Encoders against their plain counterparts in torch and transformers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_table import VOCABULARY, batch, close, words
from torch import nn

from nosology.encoders.base import Batch
from nosology.encoders.chunks import cut, merge
from nosology.encoders.convolution import Convolution, MultiResidual, TokenBatchNorm, TokenConvolution
from nosology.encoders.descriptions import description_vectors
from nosology.encoders.embedding import WordEmbedding
from nosology.encoders.lstm import bidirectional, side_by_side
from nosology.encoders.recurrent import BiLstm

# --- word vectors -----------------------------------------------------------------------------------------------------


def test_word_vectors_start_from_a_matrix() -> None:
    matrix = torch.randn(9, 4)
    table = WordEmbedding(9, 4, matrix=matrix)
    notes = Batch(torch.tensor([[3, 8, 0]]), torch.tensor([[True, True, False]]))
    close(table(notes), torch.stack([matrix[3], matrix[8], torch.zeros(4)])[None])
    assert table.table.weight.requires_grad
    assert not WordEmbedding(9, 4, matrix=matrix, frozen=True).table.weight.requires_grad


def test_a_matrix_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pretrained vectors of shape \(8, 4\) do not fit 9 words x 4"):
        WordEmbedding(9, 4, matrix=torch.zeros(8, 4))


# --- convolutions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 9, 10, 25])
@pytest.mark.parametrize("tokens", [1, 2, 40])
def test_a_convolution_is_torchs_own(kernel: int, tokens: int) -> None:
    ours = TokenConvolution(6, 5, kernel)
    plain = nn.Conv1d(6, 5, kernel, padding="same")
    plain.weight.data, plain.bias.data = ours.weight.data.clone(), ours.bias.data.normal_().clone()  # pyright: ignore
    hidden = torch.randn(3, tokens, 6, requires_grad=True)
    result, expected = ours(hidden, None), plain(hidden.transpose(1, 2)).transpose(1, 2)
    close(result, expected)
    weight = torch.randn_like(expected)
    mine = torch.autograd.grad(result, [hidden, ours.weight], weight)
    theirs = torch.autograd.grad(expected, [hidden, plain.weight], weight)
    close(mine[0], theirs[0])
    close(mine[1], theirs[1])


def test_batch_norm_counts_real_tokens_alone() -> None:
    ours, plain = TokenBatchNorm(4).train(), nn.BatchNorm1d(4).train()
    notes = batch(9, 3)
    hidden = torch.randn(2, 9, 4)
    close(ours(hidden, ~notes.mask)[notes.mask], plain(hidden[notes.mask]))
    assert ours.running_mean is not None
    assert plain.running_mean is not None
    close(ours.running_mean, plain.running_mean)
    assert not ours(hidden, ~notes.mask)[~notes.mask].any()
    full = TokenBatchNorm(4).train()
    close(full(hidden, None), nn.BatchNorm1d(4).train()(hidden.transpose(1, 2)).transpose(1, 2))


def test_batch_norm_of_a_single_token_uses_what_it_has_learned() -> None:
    norm = TokenBatchNorm(4).train()
    close(norm(torch.ones(1, 1, 4), None), torch.ones(1, 1, 4) / (1 + norm.eps) ** 0.5)


def test_multirescnn_is_the_papers_network() -> None:
    """Kernel by kernel, block by block, with Conv1d and BatchNorm1d (Li and Yu 2020)."""
    torch.manual_seed(0)
    encoder = MultiResidual(words(), 12, widths=(8,), kernels=(3, 5)).eval()
    notes = batch(20, 20)
    state, columns = encoder.words(notes).transpose(1, 2), list[torch.Tensor]()

    def convolve(layer: TokenConvolution, hidden: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv1d(hidden, layer.weight, layer.bias, padding=layer.left)

    def norm(layer: TokenBatchNorm, hidden: torch.Tensor) -> torch.Tensor:
        return nn.functional.batch_norm(hidden, layer.running_mean, layer.running_var, layer.weight, layer.bias)

    for channel in encoder.convolution.channels:
        hidden = convolve(channel.base, state).tanh()  # pyright: ignore
        block = channel.blocks[0]  # pyright: ignore
        left = norm(block.first_norm, convolve(block.first, hidden)).tanh()
        left = norm(block.second_norm, convolve(block.second, left))
        columns.append((left + norm(block.shortcut_norm, convolve(block.shortcut, hidden))).tanh())
    close(encoder(notes).hidden, torch.cat(columns, 1).transpose(1, 2))


def test_caml_sees_its_kernels_words_alone() -> None:
    encoder = Convolution(words(), 12, filters=6, kernel=4).eval()
    notes = batch(20)
    changed = Batch(notes.token_ids.clone(), notes.mask)
    changed.token_ids[0, 10] = (changed.token_ids[0, 10] - 3) % VOCABULARY
    moved = (encoder(notes).hidden != encoder(changed).hidden).any(-1)[0].nonzero()[:, 0].tolist()
    assert moved == [8, 9, 10, 11]


# --- the LSTM ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("segment", [4, 100], ids=["segments", "one segment"])
def test_the_lstm_is_torchs_own(layers: int, segment: int) -> None:
    """Values and gradients of nn.LSTM over packed notes, with the same weights."""
    torch.manual_seed(0)
    ours = BiLstm(words(), 12, size=7, layers=layers, dropout=0.0, segment_tokens=segment)
    ours.words.dropout.p = 0.0
    plain = nn.LSTM(12, 7, layers, batch_first=True, bidirectional=True)
    pairs = list[tuple[nn.Parameter, nn.Parameter]]()
    for layer in range(layers):
        for half, ending in ((ours.forwards, ""), (ours.backwards, "_reverse")):
            pairs += [
                (parameter, getattr(plain, name.replace("l0", f"l{layer}") + ending))
                for name, parameter in half[layer].named_parameters()
            ]
    for mine, theirs in pairs:
        theirs.data.copy_(mine.data)
    notes = batch(15, 6, 1)
    packed = nn.utils.rnn.pack_padded_sequence(ours.words(notes), torch.tensor([15, 6, 1]), batch_first=True)
    expected = nn.utils.rnn.pad_packed_sequence(plain(packed)[0], batch_first=True)[0]
    hidden = ours(notes).hidden
    close(hidden, expected)
    weight = torch.randn_like(expected)
    mine = torch.autograd.grad(hidden, [pair[0] for pair in pairs], weight)
    theirs = torch.autograd.grad(expected, [pair[1] for pair in pairs], weight)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def lstm_case(tokens: int, dtype: torch.dtype) -> tuple[list[nn.LSTM], torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    halves = [nn.LSTM(5, 6, batch_first=True, dtype=dtype) for _ in range(2)]
    counts = torch.tensor([tokens, max(1, tokens // 2), 1])
    place = torch.arange(tokens)
    order = torch.where(place < counts[:, None], counts[:, None] - 1 - place, place)
    return halves, torch.randn(3, tokens, 5, dtype=dtype, requires_grad=True), order


@pytest.mark.parametrize("tokens", [1, 2, 9])
@pytest.mark.parametrize("segment", [1, 4, 9, 50])
@pytest.mark.parametrize("threads", [1, 2])
def test_both_directions_equal_autograds_in_double_precision(tokens: int, segment: int, threads: int) -> None:
    """States, and gradients in words and weights, of torch's own LSTM run each way; in turn and side by side."""
    halves, words, order = lstm_case(tokens, torch.float64)
    parameters = [parameter for half in halves for parameter in half.parameters()]
    index = order[..., None]
    backwards = halves[1](words.gather(1, index.expand(-1, -1, 5)))[0].gather(1, index.expand(-1, -1, 6))
    expected = torch.cat([halves[0](words)[0], backwards], -1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ours = bidirectional(halves[0], halves[1], words, order, segment)
        weight = torch.randn_like(expected)
        mine = torch.autograd.grad(ours, [words, *parameters], weight)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)
    for one, other in zip(mine, torch.autograd.grad(expected, [words, *parameters], weight), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_both_directions_run_in_inference_mode_and_tell_of_failures() -> None:
    (ahead, back), words, order = lstm_case(9, torch.float32)
    expected = bidirectional(ahead, back, words, order, 4).detach()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.inference_mode():
            close(bidirectional(ahead, back, words, order, 4), expected)
        with pytest.raises(ZeroDivisionError):
            side_by_side(lambda: 1, lambda: 1 // 0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_under_autocast_the_lstm_is_near_the_exact_one() -> None:
    torch.manual_seed(0)
    encoder, notes = BiLstm(words(), 12, size=7, segment_tokens=4).eval(), batch(15, 6, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = encoder(notes).hidden
    near.sum().backward()
    torch.testing.assert_close(near.float(), encoder(notes).hidden, atol=0.02, rtol=0)


def test_a_holed_mask_reads_as_the_note_without_the_holes() -> None:
    torch.manual_seed(0)
    encoder = BiLstm(words(), 12, size=7).eval()
    notes = batch(12, 12)
    mask = notes.mask.clone()
    mask[0, [0, 4, 5, 11]] = False
    holed = encoder(Batch(notes.token_ids, mask)).hidden
    alone = encoder(Batch(notes.token_ids[:1][:, mask[0]], torch.ones(1, 8, dtype=torch.bool))).hidden
    close(holed[0, mask[0]], alone[0])
    assert not holed[0, ~mask[0]].any()


# --- chunks -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=4), st.integers(1, 12), st.integers(0, 11), st.integers(0, 9))
def test_cut_then_merge_is_identity_and_cuts_depend_on_the_note_alone(
    lengths: list[int], size: int, overlap: int, more: int
) -> None:
    overlap = min(overlap, size - 1)
    tokens = max(lengths, default=0) + more
    mask = torch.arange(tokens) < torch.tensor(lengths, dtype=torch.long)[:, None]
    chunks = cut(mask, size, overlap)
    states = (chunks.positions + 100 * chunks.notes[:, None] + 1).float()[..., None]
    expected = (torch.arange(tokens) + 100 * torch.arange(len(lengths))[:, None] + 1) * mask
    assert torch.equal(merge(states, chunks, mask)[..., 0], expected.float())
    assert int(chunks.kept.sum()) == int(mask.sum())
    for row, length in enumerate(lengths):
        alone = cut(mask[row : row + 1, :length], size, overlap)
        mine = chunks.notes == row
        places = alone.positions.shape[1]
        assert torch.equal(chunks.kept[mine][:, :places], alone.kept)
        assert torch.equal(chunks.positions[mine][:, :places][alone.mask], alone.positions[alone.mask])


# --- descriptions -----------------------------------------------------------------------------------------------------


def test_descriptions_are_mean_states_in_evaluation_mode() -> None:
    encoder = Convolution(words(), 12, filters=6, kernel=3).train()
    texts = batch(5, 2, 0)
    vectors = description_vectors(encoder, [texts])
    assert encoder.training
    hidden = encoder.eval()(texts).hidden
    close(vectors, torch.stack([hidden[0].mean(0), hidden[1, :2].mean(0), torch.zeros(6)]))
