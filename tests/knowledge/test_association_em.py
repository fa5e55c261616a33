"""Expectation-maximisation of trigger probabilities against a loop over dictionaries that follows the formula."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from nosology.knowledge import association
from nosology.knowledge.association import AssociationPlan, associate

Pair = tuple[int, int]


def _slow(presence: np.ndarray, labels: np.ndarray, likeness: np.ndarray | None, plan: AssociationPlan) -> np.ndarray:
    notes, grams = presence.shape
    codes = labels.shape[1]
    holders = presence.sum(axis=0)
    share = labels.sum(axis=0) / notes
    triples = [
        (note, code, gram)
        for note in range(notes)
        for code in np.flatnonzero(labels[note])
        for gram in np.flatnonzero(presence[note])
    ]
    pairs = {(gram, code) for _, code, gram in triples}

    def prior(gram: int, code: int) -> float:
        return 0.0 if likeness is None else plan.successes * likeness[gram, code] ** plan.sharpness

    def divided(counts: dict[Pair, float], pair: Pair) -> float:
        return (counts[pair] + prior(*pair)) / (holders[pair[0]] + plan.trials)

    together = defaultdict[Pair, float](float)
    for _, code, gram in triples:
        together[gram, code] += 0.1
    trigger = {pair: max(divided(together, pair), 1e-6) for pair in pairs}
    for turn in range(association._ROUNDS):
        shared = defaultdict[tuple[int, int], float](float)
        for note, code, gram in triples:
            shared[note, code] += trigger.get((gram, code), 0.0)
        counts = defaultdict[Pair, float](float)
        for note, code, gram in triples:
            if (gram, code) in trigger:
                everything = shared[note, code] + association._UNEXPLAINED * share[code]
                counts[gram, code] += trigger[gram, code] / everything
        trigger = {pair: min(divided(counts, pair), association._SUREST) for pair in trigger}
        if turn + 1 == association._PRUNE_AFTER:
            trigger = {pair: value for pair, value in trigger.items() if value > association._HOPELESS}
    result = np.zeros((grams, codes))
    for (gram, code), value in trigger.items():
        if value > association._KEPT:
            result[gram, code] = value
    return result


def _draw(notes: int, grams: int, codes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    presence = (random.random((notes, grams)) < 0.5).astype(np.float32)
    labels = (random.random((notes, codes)) < 0.4).astype(np.float32)
    likeness = random.random((grams, codes)) * (random.random((grams, codes)) < 0.3)
    return presence, labels, likeness


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 8), st.integers(1, 5), st.integers(0, 999), st.booleans())
def test_equals_the_loop_over_dictionaries(notes: int, grams: int, codes: int, seed: int, with_prior: bool) -> None:
    presence, labels, likeness = _draw(notes, grams, codes, seed)
    plan = AssociationPlan(trials=2.0)
    found = associate(
        sparse.csr_matrix(presence),
        sparse.csr_matrix(labels),
        sparse.csr_matrix(likeness) if with_prior else None,
        plan,
    )
    assert found.toarray() == pytest.approx(_slow(presence, labels, likeness if with_prior else None, plan), abs=1e-6)


def test_the_word_that_explains_a_code_takes_the_credit_from_its_neighbour() -> None:
    """Word 0 stands in all notes with the code and in no other, word 1 in every note."""
    presence = np.array([[1, 1], [1, 1], [0, 1], [0, 1]], dtype=np.float32)
    labels = np.array([[1], [1], [0], [0]], dtype=np.float32)
    found = associate(sparse.csr_matrix(presence), sparse.csr_matrix(labels), None, AssociationPlan(1.0, 0.0)).toarray()
    assert found[0, 0] > 0.5
    assert found[1, 0] < 0.1


def test_a_title_pulls_a_code_that_occurs_once_towards_its_word() -> None:
    presence = np.array([[1, 1, 1], [0, 1, 1], [0, 1, 1]], dtype=np.float32)[:, ::-1]
    labels = np.array([[1], [0], [0]], dtype=np.float32)
    likeness = np.array([[0.0], [1.0], [0.0]])
    arrays = [sparse.csr_matrix(part) for part in (presence, labels)]
    without = associate(*arrays, None, AssociationPlan()).toarray()
    pulled = associate(*arrays, sparse.csr_matrix(likeness), AssociationPlan()).toarray()
    assert without.argmax() == 2
    assert pulled.argmax() == 1


def test_nothing_to_learn_from() -> None:
    for notes, grams, codes in ((0, 0, 0), (2, 0, 1), (2, 3, 0)):
        found = associate(sparse.csr_matrix((notes, grams)), sparse.csr_matrix((notes, codes)), None, AssociationPlan())
        assert found.shape == (grams, codes)
        assert found.nnz == 0
