"""Sparse rows in plain arrays against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from nosology.ranking.postings import Postings


def _matrix(rows: int, columns: int, density: float, seed: int) -> sparse.csr_matrix:
    random = np.random.default_rng(seed)
    dense = random.random((rows, columns)) * (random.random((rows, columns)) < density)
    return sparse.csr_matrix(dense.astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 9), st.sampled_from([0.0, 0.2, 0.9]), st.integers(0, 99), st.data())
def test_gather_and_combine_are_those_of_scipy(rows: int, columns: int, density: float, seed: int, data) -> None:
    matrix = _matrix(rows, columns, density, seed)
    postings = Postings.of(matrix)
    chosen = np.array(data.draw(st.lists(st.integers(0, rows - 1), max_size=8)), dtype=np.int64)
    weights = np.arange(1.0, len(chosen) + 1.0)
    expected = weights @ matrix.toarray()[chosen].astype(np.float64)
    assert postings.combine(chosen, weights) == pytest.approx(expected)
    owners, found, values = postings.gather(chosen)
    dense = np.zeros((len(chosen), columns))
    np.add.at(dense, (owners, found), values)
    assert dense == pytest.approx(matrix.toarray()[chosen])


def test_state_round_trip_through_a_file(tmp_path) -> None:
    postings = Postings.of(_matrix(5, 4, 0.5, 0))
    np.savez(tmp_path / "p.npz", **postings.state())
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        again = Postings.from_state(dict(arrays))
    assert again.width == postings.width
    for name in ("pointers", "columns", "values"):
        assert (getattr(again, name) == getattr(postings, name)).all()
