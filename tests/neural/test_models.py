"""What every encoder with every head must keep."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from model_table import ATTENTIVE, ENCODERS, HEADS, LABELS, batch, model, note_alone
from safetensors.torch import load_model, save_model

from nosology.model import Batch, CodingModel, Encoder, EncoderOutput, GoldEvidence, Head, HeadOutput
from nosology.training.objective import binary_cross_entropy

EVERY = [pytest.param(encoder, head, id=f"{encoder} + {head}") for encoder in ENCODERS for head in HEADS]
# One head over every encoder, and one encoder under every head: for what does not depend on the pair.
EACH = [
    *(pytest.param(encoder, "laat", id=f"{encoder} + laat") for encoder in ENCODERS),
    *(pytest.param("convolution", head, id=f"convolution + {head}") for head in HEADS if head != "laat"),
]


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("encoder", "head"), EVERY)
@torch.no_grad()
def test_padding_and_company_never_change_a_note(encoder: str, head: str) -> None:
    """The same note alone, among others, and in padding of random words: logits agree to 1e-5."""
    scorer = model(encoder, head)
    together = batch(33, 8, 1, 20, 11, tokens=47)
    logits = scorer(together).logits
    assert logits.std() > 1e-3, "logits all alike would agree whatever happens"
    for row in range(len(together)):
        close(scorer(note_alone(together, row)).logits[0], logits[row])
    close(scorer(Batch(together.token_ids.flip(0), together.mask.flip(0))).logits.flip(0), logits)


@pytest.mark.parametrize(("encoder", "head"), EACH)
@torch.no_grad()
def test_what_stands_at_padding_is_never_read(encoder: str, head: str) -> None:
    scorer, notes = model(encoder, head), batch(9, 21)
    changed = Batch(torch.where(notes.mask, notes.token_ids, 1), notes.mask)
    assert torch.equal(scorer(changed).logits, scorer(notes).logits)
    out_of_range = Batch(torch.where(notes.mask, notes.token_ids, -100), notes.mask)
    assert torch.equal(scorer(out_of_range).logits, scorer(notes).logits)


@pytest.mark.parametrize(("encoder", "head"), EACH)
@torch.no_grad()
def test_no_notes_no_tokens_one_token_and_only_padding(encoder: str, head: str) -> None:
    scorer = model(encoder, head)
    assert scorer(batch()).logits.shape == (0, LABELS)
    assert scorer(batch(0, 0)).logits.shape == (2, LABELS)
    assert scorer(batch(1)).logits.isfinite().all()
    mixed = scorer(batch(0, 5)).logits
    assert mixed.isfinite().all()
    close(mixed[0], scorer(batch(0)).logits[0])
    close(mixed[0], scorer(batch(0, 0, tokens=30)).logits[0])


@pytest.mark.parametrize(("encoder", "head"), EACH)
def test_gradients_reach_every_parameter(encoder: str, head: str) -> None:
    scorer = model(encoder, head).train()
    output = scorer(batch(30, 12))
    targets = torch.zeros_like(output.logits)
    targets[:, ::3] = 1
    loss = torch.nn.functional.binary_cross_entropy_with_logits(output.logits, targets)
    loss.backward()
    for name, parameter in scorer.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            # The state of a frame's token is dropped, so nothing asks what that token itself attends to at the end.
            assert parameter.grad.any() or (encoder == "framed longformer" and "layer.1" in name), name
    frozen = {name for name, parameter in scorer.named_parameters() if not parameter.requires_grad}
    assert bool(frozen) == (encoder in ("frozen bert", "longformer"))
    assert all(name.startswith("encoder.model.") for name in frozen)


@pytest.mark.parametrize(
    ("head", "with_evidence"), [*((head, False) for head in HEADS), *((head, True) for head in ATTENTIVE)]
)
def test_the_loss_of_a_head_is_the_loss_of_its_logits(head: str, with_evidence: bool) -> None:
    """Whether in one pass or in two: value and gradients, with the head's own term and supervised attention."""
    scorer, notes = model("convolution", head).double(), batch(30, 12, 0)
    gold = GoldEvidence(torch.tensor([0, 1]), torch.tensor([5, 9]), torch.arange(30).expand(2, 30) // 3 == 2)
    targets = (torch.arange(LABELS) % 3 == 0).double().expand(3, LABELS)
    if with_evidence:
        output, evidence = scorer.forward_with_evidence(notes, gold)
    else:
        output, evidence = scorer(notes), torch.zeros(())
    own = scorer.head.auxiliary_loss(output, targets)
    expected = binary_cross_entropy(output.logits, targets) + evidence + (0 if own is None else own)
    terms = scorer.losses(notes, targets, binary_cross_entropy, gold if with_evidence else None)
    assert set(terms) == {"labels"} | ({"evidence"} if with_evidence else set()) | (
        {"head"} if own is not None else set()
    )
    parameters = list(scorer.parameters())
    total = torch.stack(list(terms.values())).sum()
    torch.testing.assert_close(total, expected, atol=1e-6, rtol=0)
    grads = [torch.autograd.grad(value, parameters) for value in (total, expected)]
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("encoder", "head"), EACH)
def test_training_ignores_padding_too(encoder: str, head: str) -> None:
    """Without dropout, a training step on padded notes gives the gradients of the same notes padded further."""
    scorer = model(encoder, head).train()
    for module in scorer.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout") and isinstance(module.dropout, float):
            module.dropout = 0.0
    if encoder in (
        "longformer",
        "framed longformer",
        "frozen bert",
        "roberta",
        "bert in framed chunks",
        "bert in bare chunks",
        "t5",
    ):
        scorer.encoder.eval()  # transformers' own attention drops out by a number that it read at the start
    short, long = batch(20, 9), batch(20, 9, tokens=40)
    parameters = [parameter for parameter in scorer.parameters() if parameter.requires_grad]
    grads = [torch.autograd.grad(scorer(notes).logits.sum(), parameters) for notes in (short, long)]
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("head", HEADS)
@torch.no_grad()
def test_candidates_score_as_among_all_labels(head: str) -> None:
    scorer, notes = model("convolution", head), batch(30, 4)
    chosen = torch.tensor([7, 3, 22, 3])
    close(scorer(notes, chosen).logits, scorer(notes).logits[:, chosen])
    assert scorer(notes, chosen[:0]).logits.shape == (2, 0)


@pytest.mark.parametrize("head", ATTENTIVE)
@torch.no_grad()
def test_attention_sums_to_one_on_real_tokens(head: str) -> None:
    scorer, notes = model("convolution", head), batch(30, 4, 0)
    weights, positions = scorer.attend(notes, torch.tensor([7, 3]), 40)
    assert weights.shape == positions.shape == (3, 2, 40)
    close(weights.sum(-1), torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]))
    assert [(row >= 0).sum().item() for row in positions[:, 0]] == [30, 4, 0]
    assert (weights.diff(dim=-1) <= 0).all()


@pytest.mark.parametrize("head", ATTENTIVE)
def test_supervised_attention_moves_attention_to_the_evidence(head: str) -> None:
    scorer, notes = model("convolution", head), batch(30, 12)
    gold = GoldEvidence(torch.tensor([0, 1]), torch.tensor([5, 9]), torch.arange(30).expand(2, 30) // 3 == 2)
    optimizer = torch.optim.Adam(scorer.parameters(), lr=0.02)
    losses = list[float]()
    for _ in range(25):
        output, loss = scorer.forward_with_evidence(notes, gold)
        assert output.logits.shape == (2, LABELS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    weights, positions = scorer.attend(notes, torch.tensor([5, 9]), 3)
    assert set(positions[0, 0].tolist()) <= {6, 7, 8} or weights[0, 0, 0] > 0.5


@pytest.mark.parametrize("head", [name for name in HEADS if name not in ATTENTIVE])
def test_heads_without_attention_say_so(head: str) -> None:
    from nosology.errors import ConfigError

    scorer, notes = model("convolution", head), batch(5)
    with pytest.raises(ConfigError, match="has no attention per label; choose a head that has, or occlusion"):
        scorer.attend(notes, torch.tensor([1]), 2)
    gold = GoldEvidence(torch.tensor([0]), torch.tensor([1]), torch.ones(1, 5, dtype=torch.bool))
    with pytest.raises(ConfigError, match="no attention per label to supervise"):
        scorer.forward_with_evidence(notes, gold)


@pytest.mark.parametrize(("encoder", "head"), EACH)
@torch.no_grad()
def test_weights_saved_and_loaded_score_the_same(encoder: str, head: str, tmp_path: Path) -> None:
    saved, other, notes = model(encoder, head), model(encoder, head, seed=1), batch(30, 4)
    assert not torch.equal(saved(notes).logits, other(notes).logits)
    save_model(saved, str(tmp_path / "model.safetensors"))
    load_model(other, str(tmp_path / "model.safetensors"))
    assert torch.equal(saved(notes).logits, other(notes).logits)


@torch.no_grad()
def test_a_long_note_needs_no_labels_times_tokens() -> None:
    scorer = model("convolution", "caml")
    long = Batch(torch.randint(4, 60, (1, 20_000)), torch.ones(1, 20_000, dtype=torch.bool))
    assert scorer(long).logits.isfinite().all()


def test_an_encoder_and_a_head_of_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="the encoder's states are 10 wide, the head reads 11"):
        CodingModel(ENCODERS["convolution"](), HEADS["caml"](11))


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(Exception, match=r"batch|do not belong"):
        Batch(torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 4, dtype=torch.bool))


def test_shapes_are_checked_here() -> None:
    """The canary: without the hook of conftest.py, a wrong shape would pass silently."""
    with pytest.raises(Exception, match=r"HeadOutput|logits"):
        HeadOutput(torch.zeros(3))


def test_joint_laat_learns_categories_beside_labels() -> None:
    scorer, notes = model("convolution", "joint laat"), batch(30, 4)
    output = scorer(notes)
    assert output.category_logits is not None
    assert output.category_logits.shape == (2, 6)
    targets = torch.zeros(2, LABELS)
    targets[0, 5], targets[1, 22] = 1, 1
    assigned = torch.zeros(2, 6)
    assigned[0, 1], assigned[1, 5] = 1, 1
    loss = scorer.head.auxiliary_loss(output, targets)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(output.category_logits, assigned)
    assert loss is not None
    close(loss, expected)
    loss.backward()
    assert model("convolution", "caml").head.auxiliary_loss(HeadOutput(targets), targets) is None


def test_tied_labels_start_from_their_parents_alone() -> None:
    tied = model("convolution", "tied laat").head
    queries = tied.queries()[:, 0]  # pyright: ignore
    close(queries[1], queries[2])
    assert not torch.allclose(queries[1], queries[4])
    assert not torch.allclose(queries[0], queries[1]), "label 0 has no second ancestor"


def test_every_encoder_and_head_is_in_the_table() -> None:
    def leaves(base: type) -> set[type]:
        below = base.__subclasses__()
        return {base} if not below else set().union({base}, *(leaves(one) for one in below))

    rooms = ("nosology.encoders", "nosology.heads")  # elsewhere, encoders wrap others and have tests of their own
    named = {one.__name__ for base in (Encoder, Head) for one in leaves(base) if one.__module__.startswith(rooms)}
    used = {type(make()).__name__ for make in ENCODERS.values()} | {type(make(8)).__name__ for make in HEADS.values()}
    assert named - used == {"Encoder", "Head", "AttentionHead"}


def test_batches_move_and_count() -> None:
    notes = batch(3, 2)
    assert len(notes.to("cpu")) == 2
    assert EncoderOutput(torch.zeros(2, 3, 4), notes.mask).hidden.shape[-1] == 4


COMPILED = """
import torch
from nosology import builders
from nosology.model import Batch

torch.manual_seed(0)
model = builders.build_model(builders.{name}(), builders.Labels(30), vocabulary_size=2000).eval()
ids = torch.randint(1, 2000, (2, 40))
notes = Batch(ids, torch.arange(40) < torch.tensor([40, 13])[:, None])
compiled = torch.compile(model, backend="eager", dynamic=True)
torch.testing.assert_close(compiled(notes).logits, model(notes).logits)
compiled(notes).logits.sum().backward()
assert model.head.label_queries.own.grad.any()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["caml", "laat"])
def test_a_compiled_model_scores_and_learns(name: str) -> None:
    """Without jaxtyping, which a compiler can't trace."""
    environment = {**os.environ, "JAXTYPING_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILED.format(name=name)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
