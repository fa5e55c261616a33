"""Losses around another one: two passes, labels and notes that attract each other, codes above labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from loss_table import LABELS, batch, make

from nosology.config.losses import BceConfig, ContrastiveConfig, RDropConfig
from nosology.losses import hierarchical
from nosology.losses.facts import LabelRows
from nosology.losses.wrapped import ContrastiveAlignment, RDrop


def test_r_drop_is_the_symmetric_divergence_of_two_passes() -> None:
    from torch.nn import functional

    first, targets = (torch.from_numpy(part) for part in batch(14))
    second, _ = (torch.from_numpy(part) for part in batch(15))
    loss = make(RDropConfig(weight=3.0))
    assert isinstance(loss, RDrop)
    one, other = torch.distributions.Bernoulli(logits=first), torch.distributions.Bernoulli(logits=second)
    divergence = torch.distributions.kl_divergence
    expected = (divergence(one, other) + divergence(other, one)).mean() / 2
    torch.testing.assert_close(loss.disagreement(first, second), 3.0 * expected)
    torch.testing.assert_close(loss(first, targets), make(BceConfig())(first, targets))
    softmax = make(RDropConfig(weight=1.0, over="softmax"))
    assert isinstance(softmax, RDrop)
    logs = [functional.log_softmax(part, 1) for part in (first, second)]
    kl = sum(functional.kl_div(logs[a], logs[b], log_target=True, reduction="none").sum(1) for a, b in ((0, 1), (1, 0)))
    torch.testing.assert_close(softmax.disagreement(first, second), (kl / 2 / len(LABELS)).mean())
    assert float(loss.disagreement(first, first)) == 0.0
    assert torch.isfinite(loss.disagreement(first * 80, -first * 80))


def test_alignment_is_its_formula_and_pulls_notes_to_their_labels() -> None:
    random = torch.Generator().manual_seed(0)
    notes, vectors = (torch.randn(n, 6, generator=random, dtype=torch.float64) for n in (5, len(LABELS)))
    _, targets = (torch.from_numpy(part) for part in batch(16))
    loss = make(ContrastiveConfig(weight=0.5, temperature=0.2))
    assert isinstance(loss, ContrastiveAlignment)
    expected = list[float]()
    for note, gold in zip(notes, targets, strict=True):
        scores = torch.stack([torch.cosine_similarity(note, vector, dim=0) / 0.2 for vector in vectors])
        if gold.any():
            expected.append(float((scores.logsumexp(0) - scores[gold > 0]).mean()))
    assert len(expected) == 4
    assert float(loss.alignment(notes, vectors, targets)) == pytest.approx(0.5 * float(np.mean(expected)))
    assert torch.autograd.gradcheck(
        lambda a, b: loss.alignment(a, b, targets), (notes.requires_grad_(), vectors.requires_grad_())
    )
    assert float(loss.alignment(notes, vectors, torch.zeros_like(targets))) == 0.0


def test_labels_above_labels_count_among_the_codes_above() -> None:
    table = hierarchical.number_from_the_top(("A", "A1", "B"), [[], ["A"], []])
    assert table.tolist() == [[0], [0], [-1]]
    loss = hierarchical.HierarchicalConsistency(make(BceConfig(), LabelRows.of(("A", "A1", "B"), [[0]])), table)
    logits = torch.tensor([[0.5, 2.0, 9.0]], dtype=torch.float64)
    above = loss.above(logits, torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64))
    assert float(above) == pytest.approx(float(torch.nn.functional.softplus(torch.tensor(-0.5, dtype=torch.float64))))


def test_of_labels_as_probable_the_first_pulls_the_code_above() -> None:
    table = hierarchical.number_from_the_top(("C", "A1", "A2", "A3"), [[], ["A"], ["A"], ["A"]])
    plain = make(BceConfig(), LabelRows.of(("C", "A1", "A2", "A3"), [[0]]))
    loss = hierarchical.HierarchicalConsistency(plain, table)
    logits = torch.tensor([[3.0, -1.0, 0.5, 0.5]], dtype=torch.float64, requires_grad=True)
    loss.above(logits, torch.zeros_like(logits)).backward()
    assert logits.grad is not None
    slope = float(torch.sigmoid(torch.tensor(0.5, dtype=torch.float64)))
    assert logits.grad[0].tolist() == pytest.approx([0.0, 0.0, slope, 0.0])
