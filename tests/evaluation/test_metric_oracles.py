"""Our metrics against what published evaluation code says of five fixed cases.

Two of the cases hold tied scores at the cutoffs, where the published codes' order is an accident of their sort; there
the published value must lie between the worst and the best order of the tied labels, and it must be hit exactly where
the two agree.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nosology.evaluation.area_metrics import macro_auc, micro_auc
from nosology.evaluation.judgements import Judgements, judge_dense
from nosology.evaluation.metrics import (
    MacroDefinition,
    counts_by_encounter,
    counts_by_label,
    exact_match,
    harmonic_mean,
    macro,
    macro_accuracy,
    micro,
    micro_accuracy,
)
from nosology.evaluation.ranking_metrics import (
    Over,
    average_precisions,
    mean_over,
    precisions_at,
    r_precisions,
    recalls_at,
)

CASES = ("dense50", "tail400_absent120", "one_note", "no_prediction", "missed_class_and_empty_note")
DOUBLE, SINGLE = 1e-9, 1e-6


@dataclass(frozen=True)
class Case:
    gold: np.ndarray
    score: np.ndarray
    oracle: dict[str, dict[str, float]]

    def judged(self, *, ties: int = 0) -> Judgements:
        """Judged with tied labels in column order (0), gold first (+1) or gold last (-1)."""
        order = np.argsort(-ties * self.gold, axis=1, kind="stable")
        # columns now differ from row to row, which ranking metrics do not mind
        gold, score = (np.take_along_axis(a, order, 1) for a in (self.gold, self.score))
        return judge_dense(gold, score, score > 0.5)

    def filtered(self) -> Case:
        """Codes of the split only, encounters without any dropped."""
        kept = self.gold[:, self.gold.any(axis=0)]
        rows = kept.any(axis=1)
        return Case(kept[rows], self.score[:, self.gold.any(axis=0)][rows], self.oracle)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, data_dir: Path) -> Case:
    folder = data_dir / "metrics_oracle"
    if not folder.is_dir():
        pytest.skip("NOSOLOGY_DATA has no metrics_oracle")
    arrays = np.load(folder / "oracle_cases.npz")
    values = json.loads((folder / "oracle_values.json").read_text())
    name = request.param
    return Case(arrays[f"{name}__y"], arrays[f"{name}__p"], values[name])


def close(ours: float, theirs: float, tolerance: float) -> bool:
    assert math.isfinite(ours)
    return abs(ours - theirs) <= tolerance


def test_caml(case: Case) -> None:
    theirs = case.oracle["caml"]
    judged = case.judged()
    by_label = counts_by_label(judged)
    averaged, pooled = macro(by_label, MacroDefinition.CAML), micro(by_label)
    ours = {
        "acc_macro": macro_accuracy(by_label),
        "prec_macro": averaged.precision,
        "rec_macro": averaged.recall,
        "f1_macro": averaged.f1,
        "acc_micro": micro_accuracy(by_label),
        "prec_micro": pooled.precision,
        "rec_micro": pooled.recall,
        "f1_micro": pooled.f1,
        "auc_macro": macro_auc(judged).value,
        "auc_micro": micro_auc(judged).value,
    }
    if "error" in theirs:  # one note: theirs raises TypeError
        assert all(math.isfinite(value) for value in ours.values())
        return
    for name, value in ours.items():
        if math.isnan(theirs[name]):  # nothing predicted: 0/0 there, 0 here
            assert value == 0.0, name
        else:
            assert close(value, theirs[name], DOUBLE), name


@pytest.mark.parametrize("k", [5, 8, 15])
def test_caml_at_k(case: Case, k: int) -> None:
    theirs = case.oracle["caml"]
    if "error" in theirs:
        pytest.skip("caml raises for one note")
    for name, metric in (("rec", recalls_at), ("prec", precisions_at)):
        worst, best = (mean_over(metric(j, k), j, Over.ALL) for j in (case.judged(ties=-1), case.judged(ties=1)))
        assert worst - DOUBLE <= theirs[f"{name}_at_{k}"] <= best + DOUBLE
    assert close(harmonic_mean(theirs[f"prec_at_{k}"], theirs[f"rec_at_{k}"]), theirs[f"f1_at_{k}"], DOUBLE)


def test_scikit_learn_as_anemic_calls_it(case: Case) -> None:
    theirs = case.oracle["anemic_sklearn"]
    by_label = counts_by_label(case.judged())
    averaged = macro(by_label, MacroDefinition.ALL_LABELS)
    assert close(averaged.f1, theirs["macro_f1"], DOUBLE)
    assert close(averaged.precision, theirs["macro_prec"], DOUBLE)
    assert close(averaged.recall, theirs["macro_rec"], DOUBLE)
    assert close(micro(by_label).f1, theirs["micro_f1"], DOUBLE)


def test_both_macro_f1s_of_libmultilabel(case: Case) -> None:
    by_label = counts_by_label(case.judged())
    theirs = case.oracle["libmultilabel"]
    assert close(macro(by_label, MacroDefinition.ALL_LABELS).f1, theirs["Macro-F1"], DOUBLE)
    assert close(macro(by_label, MacroDefinition.CAML).f1, theirs["Another-Macro-F1"], DOUBLE)


@pytest.mark.parametrize("key", ["joakim_codes_of_split", "joakim_all_codes"])
def test_medical_coding_reproducibility(case: Case, key: str) -> None:
    theirs = case.oracle[key]
    filtered = key == "joakim_codes_of_split"
    judged = case.judged()
    if filtered:
        judged = judged.restrict(judged.gold_per_label() > 0, drop_encounters_without_gold=True)
    by_label = counts_by_label(judged)
    averaged = macro(by_label, MacroDefinition.ALL_LABELS)
    assert close(averaged.f1, theirs["f1_macro"], SINGLE)
    assert close(averaged.precision, theirs["precision_macro"], SINGLE)
    assert close(averaged.recall, theirs["recall_macro"], SINGLE)
    assert close(micro(by_label).f1, theirs["f1_micro"], SINGLE)
    assert close(exact_match(counts_by_encounter(judged)), theirs["exact_match_ratio"], SINGLE)
    if filtered:
        same = macro(counts_by_label(case.judged()), MacroDefinition.LABELS_IN_SPLIT)
        assert close(same.f1, theirs["f1_macro"], SINGLE)


@pytest.mark.parametrize("key", ["joakim_codes_of_split", "joakim_all_codes"])
def test_rankings_of_medical_coding_reproducibility(case: Case, key: str) -> None:
    theirs = case.oracle[key]
    chosen = case.filtered() if key == "joakim_codes_of_split" else case
    metrics = {"map": average_precisions, "precision@recall": r_precisions}
    for k in (5, 8, 15):
        metrics[f"precision@{k}"] = lambda judged, k=k: precisions_at(judged, k)
        metrics[f"recall@{k}"] = lambda judged, k=k: recalls_at(judged, k)
    worst, best = chosen.judged(ties=-1), chosen.judged(ties=1)
    for name, metric in metrics.items():
        low, high = (mean_over(metric(j), j, Over.ALL) for j in (worst, best))
        assert math.isfinite(low)
        if name in theirs:  # theirs cannot cut at k > labels; ours can
            assert low - SINGLE <= theirs[name] <= high + SINGLE, name


def test_areas_of_medical_coding_reproducibility(case: Case) -> None:
    """The AUC it reports ignores its own filter; the one it means does not."""
    theirs = case.oracle["joakim_codes_of_split"]
    assert close(micro_auc(case.judged()).value, theirs["auc_micro"], DOUBLE)
    meant = theirs["auc_micro_if_filtered_as_meant"]
    ours = micro_auc(case.filtered().judged()).value
    assert close(ours, 0.5 if math.isnan(meant) else meant, DOUBLE)
    if math.isnan(theirs["auc_macro"]):  # one note: every label is all gold or all not
        assert macro_auc(case.judged()).value == 0.5
    else:
        assert close(macro_auc(case.judged()).value, theirs["auc_macro"], DOUBLE)


def test_in_three_cases_ties_change_nothing(case: Case) -> None:
    """The bounds above are not vacuous: there worst and best order agree, so the published value is hit exactly."""
    if case.gold.shape == (60, 80):
        pytest.skip("tied at the cutoffs")
    worst, best = case.judged(ties=-1), case.judged(ties=1)
    for metric in (r_precisions, lambda j: precisions_at(j, 5), lambda j: recalls_at(j, 15)):
        assert np.array_equal(metric(worst), metric(best))


def test_the_four_macro_f1_definitions_differ(data_dir: Path) -> None:
    arrays = np.load(data_dir / "metrics_oracle" / "oracle_cases.npz")
    gold, score = arrays["tail400_absent120__y"], arrays["tail400_absent120__p"]
    by_label = counts_by_label(judge_dense(gold, score, score > 0.5))
    values = {definition.value: round(macro(by_label, definition).f1, 3) for definition in MacroDefinition}
    assert values == {"caml": 0.112, "all_labels": 0.098, "labels_in_split": 0.297, "labels_seen_or_predicted": 0.122}
