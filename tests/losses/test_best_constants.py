"""Where training rests if every note is given the same."""

from __future__ import annotations

import math

import pytest
import torch
from loss_table import LABELS, TABLE, label_rows, make
from torch.nn import functional

from nosology.config.losses import AsymmetricConfig, BceConfig, GhmConfig, LogitAdjustmentConfig, MfmConfig, ZlprConfig
from nosology.losses.base import Loss
from nosology.losses.best_constants import best_constants

NOTES = 4000
COUNTS = [0, 1, 2, 5, 10, 40, 100, 400, 1000, 1500, 2000, 2500, 3000, 3900, 3999, 4000]
SHARES = torch.tensor([(n + 0.5) / (NOTES + 1) for n in COUNTS], dtype=torch.float64)
ODDS = torch.logit(SHARES).float()
assert len(COUNTS) == len(LABELS)


def slopes(loss: Loss, logits: torch.Tensor) -> torch.Tensor:
    """Of the whole training set's cost, with one note a time."""
    found = list[torch.Tensor]()
    for target in (1.0, 0.0):
        asked = logits[None].clone().requires_grad_()
        loss(asked, torch.full_like(asked, target)).backward()
        assert asked.grad is not None
        found.append(asked.grad[0].double())
    return SHARES * found[0] + (1 - SHARES) * found[1]


@pytest.mark.parametrize("name", [name for name, (config, _) in TABLE.items() if make(config).of_single_cells()])
def test_the_cost_falls_before_and_rises_behind(name: str) -> None:
    whole = make(TABLE[name][0])
    loss = whole.of_single_cells()
    assert loss is not None
    best = best_constants(whole, COUNTS, NOTES)
    assert best.shape == (len(LABELS),)
    assert best.isfinite().all()
    inside = best.abs() < 15.9
    for step in (0.01, 0.3, 1.0, 3.0):
        assert (slopes(loss, best - step)[inside] <= 1e-12).all(), step
    assert (slopes(loss, best + 0.01)[inside] > 0).all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_under_cross_entropy_it_is_the_log_odds(reduction: str) -> None:
    torch.testing.assert_close(
        best_constants(make(BceConfig(reduction=reduction)), COUNTS, NOTES), ODDS, rtol=1e-4, atol=1e-4
    )
    smoothed = torch.logit(SHARES * 0.9 + 0.05).float()
    found = best_constants(make(BceConfig(smoothing=0.1, reduction=reduction)), COUNTS, NOTES)
    torch.testing.assert_close(found, smoothed, rtol=1e-4, atol=1e-4)
    weighed = torch.logit(3 * SHARES / (3 * SHARES + 1 - SHARES)).float()
    found = best_constants(make(BceConfig(positive_weight=3.0, reduction=reduction)), COUNTS, NOTES)
    torch.testing.assert_close(found, weighed, rtol=1e-4, atol=1e-4)


def test_losses_that_turn_down_easy_negatives_rest_nearer_to_zero() -> None:
    for config in (AsymmetricConfig(), MfmConfig()):
        best = best_constants(make(config), COUNTS, NOTES)
        assert (best[:8] > ODDS[:8] + 2).all()


@pytest.mark.parametrize("config", [GhmConfig(), ZlprConfig()])
def test_what_has_no_single_cells_starts_at_the_log_odds(config: GhmConfig | ZlprConfig) -> None:
    loss = make(config)
    torch.testing.assert_close(best_constants(loss, COUNTS, NOTES), ODDS)
    torch.testing.assert_close(
        best_constants(functional.binary_cross_entropy_with_logits, [3], 9), torch.tensor([math.log(3.5 / 6.5)])
    )


def test_a_loss_that_adds_the_prior_itself_leaves_less_to_start_from() -> None:
    rows = label_rows()
    counts = [int(count) for count in rows.counts]
    best = best_constants(make(LogitAdjustmentConfig()), counts, 60)
    odds = best_constants(make(BceConfig()), counts, 60)
    assert best.abs().max() < odds.abs().max() / 2


@pytest.mark.parametrize("name", ["bce", "asl"])
def test_biases_alone_learn_to_be_there(name: str) -> None:
    """Gradient descent over a whole training set whose shares are the smoothed ones."""
    loss = make(TABLE[name][0])
    targets = torch.stack([torch.ones(len(LABELS)), torch.zeros(len(LABELS))])
    bias = torch.zeros(len(LABELS), requires_grad=True)
    optimizer = torch.optim.Adam([bias], lr=0.05)
    rows = torch.tensor([0] + [1] * 9)
    for _ in range(800):
        optimizer.zero_grad()
        loss(bias.expand(10, -1), targets[rows]).backward()
        optimizer.step()
    # One note in ten: n + 1/2 = (N + 1) / 10.
    best = best_constants(loss, [99_999] * len(LABELS), 999_994)
    torch.testing.assert_close(bias.detach(), best, rtol=0, atol=0.02)
