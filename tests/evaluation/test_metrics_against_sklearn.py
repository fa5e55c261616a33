"""Our metrics against scikit-learn and slow loops on random cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from nosology.evaluation import area_metrics, ranking_metrics
from nosology.evaluation.judgements import Judgements, judge_codes, judge_dense
from nosology.evaluation.metrics import (
    Counts,
    MacroDefinition,
    counts_by_encounter,
    counts_by_label,
    coverage,
    exact_match,
    macro,
    macro_accuracy,
    micro,
    micro_accuracy,
    sample,
    weighted,
)
from nosology.evaluation.ranking_metrics import Over, mean_over

EXACT = 1e-9


@st.composite
def dense_cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n, n_labels = draw(st.integers(1, 12)), draw(st.integers(2, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gold = (rng.random((n, n_labels)) < draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))).astype(np.int64)
    score = rng.random((n, n_labels))
    return gold, np.round(score, 1) if draw(st.booleans()) else score  # rounded scores tie


def judged_of(gold: np.ndarray, score: np.ndarray) -> Judgements:
    return judge_dense(gold, score, score >= 0.5)


@given(dense_cases())
@settings(max_examples=120, deadline=None)
def test_averages_of_assigned_codes(case: tuple[np.ndarray, np.ndarray]) -> None:
    gold, score = case
    assigned = (score >= 0.5).astype(np.int64)
    judged = judged_of(gold, score)
    by_label, by_encounter = counts_by_label(judged), counts_by_encounter(judged)
    ours = {
        "micro": micro(by_label),
        "macro": macro(by_label, MacroDefinition.ALL_LABELS),
        "weighted": weighted(by_label),
        "samples": sample(by_encounter),
    }
    for average, scores in ours.items():
        p, r, f, _ = sk.precision_recall_fscore_support(gold, assigned, average=average, zero_division=0)
        assert (scores.precision, scores.recall, scores.f1) == pytest.approx((p, r, f), abs=EXACT), average
    assert exact_match(by_encounter) == pytest.approx(sk.accuracy_score(gold, assigned), abs=EXACT)
    assert micro_accuracy(by_label) == pytest.approx(
        sk.jaccard_score(gold, assigned, average="micro", zero_division=0), abs=EXACT
    )
    assert macro_accuracy(by_label) == pytest.approx(
        sk.jaccard_score(gold, assigned, average="macro", zero_division=0), abs=EXACT
    )
    assert coverage(by_encounter) == pytest.approx(assigned.any(axis=1).mean(), abs=EXACT)


@given(dense_cases())
@settings(max_examples=120, deadline=None)
def test_macro_definitions_choose_their_labels(case: tuple[np.ndarray, np.ndarray]) -> None:
    gold, score = case
    assigned = (score >= 0.5).astype(np.int64)
    by_label = counts_by_label(judged_of(gold, score))
    for definition, keep in (
        (MacroDefinition.LABELS_IN_SPLIT, gold.any(axis=0)),
        (MacroDefinition.LABELS_SEEN_OR_PREDICTED, gold.any(axis=0) | assigned.any(axis=0)),
    ):
        theirs = sk.f1_score(gold, assigned, average=None, zero_division=0)[keep]
        expected = float(theirs.mean()) if keep.any() else 0.0
        assert macro(by_label, definition).f1 == pytest.approx(expected, abs=EXACT)
    scores = macro(by_label, MacroDefinition.CAML)
    p, r, _, _ = sk.precision_recall_fscore_support(gold, assigned, average="macro", zero_division=0)
    assert scores.f1 == pytest.approx(2 * p * r / (p + r) if p + r else 0.0, abs=EXACT)


@given(dense_cases())
@settings(max_examples=120, deadline=None)
def test_areas(case: tuple[np.ndarray, np.ndarray]) -> None:
    gold, score = case
    judged = judged_of(gold, score)
    flat = gold.ravel()
    for bounded, expected in (
        (area_metrics.micro_auc(judged), sk.roc_auc_score(flat, score.ravel()) if 0 < flat.mean() < 1 else 0.5),
        (area_metrics.macro_auc(judged), mean_label_auc(gold, score)),
    ):
        assert (bounded.value, bounded.low, bounded.high) == pytest.approx([expected] * 3, abs=EXACT)
    expected_ap = sk.average_precision_score(flat, score.ravel()) if flat.any() else 0.0
    assert area_metrics.micro_average_precision(judged) == pytest.approx(expected_ap, abs=EXACT)
    columns = [i for i in range(gold.shape[1]) if gold[:, i].any()]
    per_label = [sk.average_precision_score(gold[:, i], score[:, i]) for i in columns]
    assert area_metrics.macro_average_precision(judged) == pytest.approx(
        float(np.mean(per_label)) if per_label else 0.0, abs=EXACT
    )


def mean_label_auc(gold: np.ndarray, score: np.ndarray) -> float:
    columns = [i for i in range(gold.shape[1]) if 0 < gold[:, i].mean() < 1]
    return float(np.mean([sk.roc_auc_score(gold[:, i], score[:, i]) for i in columns])) if columns else 0.5


@given(dense_cases(), st.integers(1, 14))
@settings(max_examples=120, deadline=None)
def test_rankings(case: tuple[np.ndarray, np.ndarray], k: int) -> None:
    gold, _ = case
    score = np.random.default_rng(gold.sum()).permutation(gold.size).reshape(gold.shape) / gold.size  # no ties
    judged = judged_of(gold, score)
    with_gold = gold.any(axis=1)
    ranked = np.take_along_axis(gold, np.argsort(-score, axis=1), 1)
    averages = ranking_metrics.average_precisions(judged)
    for i in np.flatnonzero(with_gold):
        assert averages[i] == pytest.approx(sk.average_precision_score(gold[i], score[i]), abs=EXACT)
    assert averages[~with_gold].sum() == 0
    assert ranking_metrics.precisions_at(judged, k) == pytest.approx(ranked[:, :k].sum(axis=1) / k, abs=EXACT)
    hits = ranked[:, :k].sum(axis=1)
    recall = [h / g if g else 0.0 for h, g in zip(hits, gold.sum(axis=1), strict=True)]
    assert ranking_metrics.recalls_at(judged, k) == pytest.approx(recall, abs=EXACT)
    r_precision = [row[: row.sum()].mean() if row.any() else 0.0 for row in ranked]
    assert ranking_metrics.r_precisions(judged) == pytest.approx(r_precision, abs=EXACT)
    ndcg = ranking_metrics.ndcgs_at(judged, k)
    for i in np.flatnonzero(with_gold):
        assert ndcg[i] == pytest.approx(sk.ndcg_score(gold[i : i + 1], score[i : i + 1], k=k), abs=EXACT)
    assert mean_over(averages, judged, Over.WITH_GOLD) == pytest.approx(
        averages[with_gold].mean() if with_gold.any() else 0.0, abs=EXACT
    )
    assert ranking_metrics.candidate_recall(judged) == (1.0 if gold.any() else 0.0)


# --------------------------------------------------------------------------------- lists that leave labels out


@st.composite
def sparse_cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gold, scores and which pairs are listed: the best few of each encounter, from none to all."""
    gold, score = draw(dense_cases())
    best = np.argsort(np.argsort(-score, axis=1, kind="stable"), axis=1)
    lengths = np.array([draw(st.integers(0, gold.shape[1])) for _ in gold])
    return gold, score, best < lengths[:, None]


def sparse(gold: np.ndarray, score: np.ndarray, listed: np.ndarray) -> Judgements:
    names = [f"L{i}" for i in range(gold.shape[1])]
    candidates = [
        [(names[j], float(score[i, j]), bool(score[i, j] >= 0.5)) for j in order if listed[i, j]]
        for i, order in enumerate(np.argsort(-score, axis=1, kind="stable"))
    ]
    gold_codes = [{names[j] for j in np.flatnonzero(row)} for row in gold]
    return judge_codes([f"e{i}" for i in range(len(gold))], gold_codes, candidates, label_space=names)


@given(sparse_cases())
@settings(max_examples=150, deadline=None)
def test_areas_of_short_lists(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """The convention is scikit-learn's value with unlisted scores at -1; the truth lies between the bounds."""
    gold, score, listed = case
    judged = sparse(gold, score, listed)
    for area, reference in ((area_metrics.micro_auc, micro_reference), (area_metrics.macro_auc, mean_label_auc)):
        bounded = area(judged)
        assert bounded.value == pytest.approx(reference(gold, np.where(listed, score, -1.0)), abs=EXACT)
        assert bounded.low - EXACT <= bounded.value <= bounded.high + EXACT
        assert bounded.low - EXACT <= reference(gold, score) <= bounded.high + EXACT
        for hidden_gold, hidden_other, bound in ((0.0, None, bounded.low), (None, 0.0, bounded.high)):
            scores = extreme(gold, score, listed, hidden_gold, hidden_other)
            assert bound == pytest.approx(reference(gold, scores), abs=EXACT)


def micro_reference(gold: np.ndarray, score: np.ndarray) -> float:
    return float(sk.roc_auc_score(gold.ravel(), score.ravel())) if 0 < gold.mean() < 1 else 0.5


def extreme(
    gold: np.ndarray, score: np.ndarray, listed: np.ndarray, hidden_gold: float | None, hidden_other: float | None
) -> np.ndarray:
    """Scores with unlisted gold and other pairs at 0 (moved just below, so as not to tie) or at the lowest listed."""
    caps = np.where(listed, score, 1.0).min(axis=1, keepdims=True) * np.ones_like(score)
    below = -1.0
    gold_value = caps if hidden_gold is None else np.full_like(score, below)
    other_value = caps if hidden_other is None else np.full_like(score, below)
    return np.where(listed, score, np.where(gold == 1, gold_value, other_value))


@given(sparse_cases())
@settings(max_examples=60, deadline=None)
def test_short_lists_score_their_pairs_only(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    gold, score, listed = case
    judged = sparse(gold, score, listed)
    assigned = ((score >= 0.5) & listed).astype(np.int64)
    assert micro(counts_by_label(judged)).f1 == pytest.approx(
        sk.f1_score(gold, assigned, average="micro", zero_division=0), abs=EXACT
    )
    found = (gold * listed).sum() / gold.sum() if gold.any() else 0.0
    assert ranking_metrics.candidate_recall(judged) == pytest.approx(found, abs=EXACT)
    flat = np.where(listed, score, -1.0).ravel()
    expected = sk.average_precision_score(gold.ravel(), flat) if gold.any() else 0.0
    assert area_metrics.micro_average_precision(judged) == pytest.approx(expected, abs=EXACT)


@given(sparse_cases(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_restriction_is_the_same_as_leaving_labels_out(
    case: tuple[np.ndarray, np.ndarray, np.ndarray], random: object
) -> None:
    gold, score, listed = case
    keep = np.array([random.random() < 0.6 for _ in range(gold.shape[1])])  # type: ignore[attr-defined]
    restricted = sparse(gold, score, listed).restrict(keep)
    direct = sparse(gold[:, keep], score[:, keep], listed[:, keep])
    assert np.array_equal(restricted.gold_rank, direct.gold_rank)
    assert micro(counts_by_label(restricted)) == micro(counts_by_label(direct))
    assert np.array_equal(restricted.is_gold, direct.is_gold)


@given(sparse_cases())
@settings(max_examples=40, deadline=None)
def test_order_of_labels_and_encounters_changes_nothing(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    gold, score, listed = case
    score = np.random.default_rng(gold.size).permutation(gold.size).reshape(gold.shape) / gold.size
    best = np.argsort(np.argsort(-score, axis=1), axis=1)
    listed = best < listed.sum(axis=1)[:, None]
    rows, columns = np.arange(len(gold))[::-1], np.random.default_rng(1).permutation(gold.shape[1])
    moved = [a[rows][:, columns] for a in (gold, score, listed)]
    here, there = sparse(gold, score, listed), sparse(*moved)
    assert mean_over(ranking_metrics.average_precisions(here), here, Over.WITH_GOLD) == pytest.approx(
        mean_over(ranking_metrics.average_precisions(there), there, Over.WITH_GOLD), abs=EXACT
    )
    assert area_metrics.macro_auc(here).value == pytest.approx(area_metrics.macro_auc(there).value, abs=EXACT)
    assert macro(counts_by_label(here), MacroDefinition.CAML).f1 == pytest.approx(
        macro(counts_by_label(there), MacroDefinition.CAML).f1, abs=EXACT
    )


# ------------------------------------------------------------------------------------------------- defined values


def everything(judged: Judgements) -> list[float]:
    by_label, by_encounter = counts_by_label(judged), counts_by_encounter(judged)
    values = [s for d in MacroDefinition for s in scores_of(by_label, d)]
    for scores in (micro(by_label), weighted(by_label), sample(by_encounter)):
        values += [scores.precision, scores.recall, scores.f1]
    values += [micro_accuracy(by_label), macro_accuracy(by_label), exact_match(by_encounter), coverage(by_encounter)]
    for k in (1, 5, 500):
        for metric in (ranking_metrics.precisions_at, ranking_metrics.recalls_at, ranking_metrics.ndcgs_at):
            values += [mean_over(metric(judged, k), judged, over) for over in Over]
    for whole in (ranking_metrics.average_precisions, ranking_metrics.r_precisions):
        values += [mean_over(whole(judged), judged, over) for over in Over]
    for bounded in (area_metrics.micro_auc(judged), area_metrics.macro_auc(judged)):
        values += [bounded.value, bounded.low, bounded.high]
    return [*values, area_metrics.micro_average_precision(judged), area_metrics.macro_average_precision(judged)]


def scores_of(counts: Counts, definition: MacroDefinition) -> list[float]:
    scores = macro(counts, definition)
    return [scores.precision, scores.recall, scores.f1]


LADDER = {
    "nothing at all": ([], []),
    "one encounter without gold or candidates": ([set()], [[]]),
    "one encounter, all right": ([{"I10"}], [[("I10", 0.9, True)]]),
    "one encounter, all wrong": ([{"I10"}], [[("R52", 0.9, True)]]),
    "gold and no candidates": ([{"I10"}, {"R52"}], [[], []]),
    "candidates and no gold": ([set(), set()], [[("I10", 0.9, True)], [("I10", 0.1, False)]]),
    "nothing assigned": ([{"I10"}, {"R52"}], [[("I10", 0.4, False)], [("R52", 0.3, False)]]),
    "all scores equal": ([{"I10"}, set()], [[("I10", 0.5, True), ("R52", 0.5, True)], [("I10", 0.5, True)]]),
    "scores of zero": ([{"I10"}, {"R52"}], [[("I10", 0.0, False)], [("I10", 0.0, False)]]),
}


@pytest.mark.parametrize("name", LADDER)
def test_every_rung_has_defined_values(name: str) -> None:
    gold, candidates = LADDER[name]
    values = everything(judge_codes([str(i) for i in range(len(gold))], gold, candidates))
    assert all(math.isfinite(value) and 0.0 <= value <= 1.0 for value in values)


def test_perfect_predictions_score_one() -> None:
    gold = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 1]])
    judged = judged_of(gold, 0.2 + 0.6 * gold)
    by_label = counts_by_label(judged)
    for scores in (micro(by_label), weighted(by_label), sample(counts_by_encounter(judged))):
        assert (scores.precision, scores.recall, scores.f1) == (1.0, 1.0, 1.0)
    assert all(macro(by_label, definition).f1 == 1.0 for definition in MacroDefinition)
    assert ranking_metrics.average_precisions(judged).tolist() == [1.0, 1.0, 1.0]
    assert ranking_metrics.ndcgs_at(judged, 500) == pytest.approx([1.0] * 3)
    assert area_metrics.micro_auc(judged).value == area_metrics.macro_auc(judged).value == 1.0
    assert exact_match(counts_by_encounter(judged)) == 1.0


def test_values_by_hand() -> None:
    """Two encounters: ranks 1 and 3 of two gold codes; a gold code that is not listed."""
    judged = judge_codes(
        ["a", "b"],
        [{"I10", "R52"}, {"E11.9", "J45"}],
        [[("I10", 0.9, True), ("Z00", 0.6, True), ("R52", 0.2, False)], [("E11.9", 0.4, False)]],
    )
    assert ranking_metrics.average_precisions(judged).tolist() == pytest.approx([(1 + 2 / 3) / 2, 0.5])
    assert ranking_metrics.precisions_at(judged, 2).tolist() == [0.5, 0.5]
    assert ranking_metrics.recalls_at(judged, 3).tolist() == [1.0, 0.5]
    assert ranking_metrics.candidate_recall(judged) == 0.75
    scores = micro(counts_by_label(judged))
    assert (scores.precision, scores.recall, scores.f1) == pytest.approx((1 / 2, 1 / 4, 1 / 3))
    assert macro(counts_by_label(judged), MacroDefinition.LABELS_IN_SPLIT).f1 == pytest.approx(1 / 4)


def test_a_cutoff_below_one_is_refused() -> None:
    judged = judge_codes(["a"], [{"I10"}], [[]])
    for metric in (ranking_metrics.precisions_at, ranking_metrics.recalls_at, ranking_metrics.ndcgs_at):
        with pytest.raises(ValueError, match="k must be 1 or more, not 0"):
            metric(judged, 0)
