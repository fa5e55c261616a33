"""From wide states to narrow ones, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nosology.errors import ConfigError
from nosology.heads.narrowing import Convolved, Moments, PrincipalComponents, Projected, normalised

ROWS = np.random.default_rng(0).normal(size=(200, 6)) @ np.random.default_rng(1).normal(size=(6, 6)) + 3.0


def counted(rows: np.ndarray) -> Moments:
    """In two portions."""
    moments = Moments.empty(rows.shape[1])
    for part in (rows[:70], rows[70:]):
        moments.add(torch.from_numpy(part))
    return moments


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    mean, found = counted(ROWS).components(2)
    _, values, vectors = np.linalg.svd(ROWS - ROWS.mean(0), full_matrices=False)
    scale = values[0] / np.sqrt(len(ROWS))
    assert np.allclose(mean, ROWS.mean(0), atol=1e-5)
    cosines = (found.double().numpy() * scale * vectors[:2]).sum(1)
    assert np.allclose(np.abs(cosines), 1.0, atol=1e-4)


def test_what_is_lost_is_what_least_squares_leaves() -> None:
    kept, rest = ROWS[:, :2], ROWS[:, 2:]
    design = np.column_stack((kept, np.ones(len(kept))))
    left = rest - design @ np.linalg.lstsq(design, rest, rcond=None)[0]
    wanted = left.var(0).sum() / rest.var(0).sum()
    assert counted(ROWS).lost(2) == pytest.approx(wanted, rel=1e-6)
    twice = np.column_stack((kept, kept))
    assert counted(twice).lost(2) == pytest.approx(0.0, abs=1e-9)


def test_fitted_components_lose_what_the_other_values_hold() -> None:
    states = torch.from_numpy(ROWS).float()
    layer, moments = PrincipalComponents(6, 3), Moments.empty(6)
    moments.add(normalised(states))
    layer.fit(moments)
    narrow = layer(states[None], torch.ones(1, 200, dtype=torch.bool))[0]
    assert narrow[:, 0].std(correction=0) == pytest.approx(1.0, abs=1e-4)
    both = Moments.empty(9)
    both.add(torch.cat((narrow, normalised(states)), 1))
    values = torch.linalg.eigvalsh(moments.covariance())
    assert both.lost(3) == pytest.approx(float(values[:3].sum() / values.sum()), rel=1e-3)
    assert list(layer.parameters()) == []
    with pytest.raises(ConfigError, match='reduction = "pca": width = 7 is more than the 6 of a state'):
        PrincipalComponents(6, 7)


@pytest.mark.parametrize("kind", [Projected, Convolved, PrincipalComponents])
def test_padding_is_never_read(kind: type[Projected]) -> None:
    torch.manual_seed(0)
    layer, alone = kind(6, 3), torch.randn(1, 4, 6)
    padded = torch.cat((alone, torch.full((1, 2, 6), 1e3)), 1)
    mask = torch.tensor([[True] * 4 + [False] * 2])
    assert torch.allclose(layer(padded, mask)[:, :4], layer(alone, mask[:, :4]), atol=1e-5)
