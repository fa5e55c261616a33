"""Thresholds against brute force, and the promise that they are not judged on what they were tuned on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nosology.calibration import (
    ThresholdKind,
    Thresholds,
    best_threshold,
    cross_fit_thresholds,
    read_thresholds,
    refuse_tuned_on,
    tune_thresholds,
    write_thresholds,
)
from nosology.codes import FrequencyBands
from nosology.errors import ConfigError, PredictionsError
from nosology.evaluation import Judgements, judge_codes, judge_dense
from nosology.evaluation.metrics import counts_by_label, micro
from nosology.types import CodedEncounter, SuggestedCode

CODES = [f"C{i}" for i in range(6)]
COUNTS = {"C0": 600, "C1": 40, "C2": 30, "C3": 5}
BANDS = FrequencyBands.named("published")


def candidates(n: int, seed: int) -> Judgements:
    rng = np.random.default_rng(seed)
    gold, listed = [], []
    for _ in range(n):
        own = {code for i, code in enumerate(CODES) if rng.random() < 0.7 / (i + 1)}
        scores = {c: round(float(np.clip(0.2 * i / 6 + 0.3 * (c in own) + 0.4 * rng.random(), 0, 1)), 2)
                  for i, c in enumerate(CODES)}  # fmt: skip
        gold.append(own)
        ranked = sorted(scores, key=lambda code: -scores[code])[:5]
        listed.append([(code, scores[code], False) for code in ranked])
    return judge_codes([f"e{i}" for i in range(n)], gold, listed, label_space=CODES)


def f1_at(judged: Judgements, labels: np.ndarray, threshold: float) -> float:
    part = judged.assigning_from(np.full(judged.n_labels, threshold))
    return micro(counts_by_label(part).select(labels)).f1


def best_f1(judged: Judgements, labels: np.ndarray) -> float:
    tried = [*np.unique(judged.score), 2.0]
    return max(f1_at(judged, labels, float(threshold)) for threshold in tried)


def test_one_threshold_has_the_highest_micro_f1() -> None:
    judged = candidates(60, 0)
    everything = np.ones(judged.n_labels, dtype=bool)
    found = tune_thresholds(judged, tuned_on=["dev"], corpus="codiesp")
    assert f1_at(judged, everything, found.whole) == pytest.approx(best_f1(judged, everything))
    assert (found.tuned_on, found.corpus) == (("dev",), "codiesp")
    assert found.describe() == f"one threshold ({found.whole:.3f}), tuned on dev"


def test_each_band_has_its_highest_f1() -> None:
    judged = candidates(60, 1)
    found = tune_thresholds(judged, ThresholdKind.BANDS, train_counts=COUNTS, bands=BANDS)
    assert set(found.of_band) == set(BANDS.names)
    for band, name in enumerate(BANDS.names):
        labels = np.array([BANDS.band_of(COUNTS.get(code, 0)) == band for code in judged.labels])
        if labels.any():
            assert f1_at(judged, labels, found.of_band[name]) == pytest.approx(best_f1(judged, labels)), name
        else:
            assert found.of_band[name] == found.whole
    assert found.threshold("C1") == found.threshold("C2") == found.of_band["11-50"]
    assert found.threshold("never seen") == found.of_band["0"]


@pytest.mark.parametrize("shrinkage", [0.0, 7.0, 1e12])
def test_codes_are_shrunk_toward_all_as_stated(shrinkage: float) -> None:
    judged = candidates(60, 2)
    found = tune_thresholds(judged, ThresholdKind.LABELS, shrinkage=shrinkage)
    gold = judged.gold_per_label()
    for label, code in enumerate(judged.labels):
        mine = judged.label == label
        own = best_threshold(judged.score[mine], judged.is_gold[mine], int(gold[label]))
        expected = (gold[label] * own + shrinkage * found.whole) / (gold[label] + shrinkage)
        assert found.threshold(code) == pytest.approx(expected, abs=1e-9)
        if shrinkage == 0:
            only = np.arange(judged.n_labels) == label
            assert f1_at(judged, only, found.threshold(code)) == pytest.approx(best_f1(judged, only))
    assert found.threshold("a code without gold") == found.whole


def test_dense_scores_have_the_thresholds_of_sparse_ones() -> None:
    rng = np.random.default_rng(3)
    gold = rng.random((40, 6)) < 0.3
    score = (np.clip(gold * 0.3 + rng.random((40, 6)) * 0.6, 0, 1)).astype(np.float32)
    dense = judge_dense(gold, score, score > 2, labels=CODES)
    listed = [[(CODES[j], float(row[j]), False) for j in np.argsort(-row)] for row in score]
    sparse = judge_codes([str(i) for i in range(40)], [{CODES[j] for j in np.flatnonzero(r)} for r in gold], listed,
                         label_space=CODES)  # fmt: skip
    for kind in ThresholdKind:
        a, b = (tune_thresholds(one, kind, train_counts=COUNTS, bands=BANDS) for one in (dense, sparse))
        assert a == b
        assert counts_by_label(a.apply(dense)).tp.tolist() == counts_by_label(b.apply(sparse)).tp.tolist()


def test_predictions_are_decided_as_judgements_are() -> None:
    thresholds = Thresholds(ThresholdKind.LABELS, 0.5, 0.5, {"I10": 0.3})
    coded = CodedEncounter("e", (SuggestedCode("I10", "", 0.3, False), SuggestedCode("R52", "", 0.3, True)))
    assert [one.assigned for one in thresholds.decide(coded).codes] == [True, False]
    judged = judge_codes(["e"], [set()], [[("I10", 0.3, False), ("R52", 0.3, True)]])
    assert thresholds.apply(judged).assigned.tolist() == [True, False]


def test_cross_fitting_never_shows_a_group_its_own_answer() -> None:
    """Changing the gold codes of one group must not move the thresholds that decide it."""
    judged, groups = candidates(30, 4), [f"g{i // 2}" for i in range(30)]
    found = cross_fit_thresholds(judged, groups, ThresholdKind.LABELS, folds=5, seed=3)
    fold = found.fold_of["e0"]
    assert found.fold_of["e1"] == fold
    assert sorted(set(found.fold_of.values())) == [0, 1, 2, 3, 4]
    gold = [set[str]() for _ in range(30)]
    for row, label in zip(judged.gold_encounter, judged.gold_label, strict=True):
        gold[row].add(judged.labels[label])
    gold[0] = set(CODES) - gold[0]
    listed = [
        [
            (judged.labels[judged.label[i]], float(judged.score[i]), False)
            for i in np.flatnonzero(judged.encounter == row)
        ]
        for row in range(30)
    ]
    changed = judge_codes(judged.encounter_ids, gold, listed, label_space=CODES)
    again = cross_fit_thresholds(changed, groups, ThresholdKind.LABELS, folds=5, seed=3)
    assert again.folds[fold] == found.folds[fold]
    assert again.folds[(fold + 1) % 5] != found.folds[(fold + 1) % 5]
    applied = found.apply(judged)
    for i in np.flatnonzero(judged.encounter == 7):
        threshold = found.folds[found.fold_of["e7"]].threshold(judged.labels[judged.label[i]])
        assert applied.assigned[i] == (judged.score[i] >= threshold)


@pytest.mark.parametrize(("folds", "groups"), [(5, ["a", "a", "b"]), (1, ["a", "b", "c"])])
def test_too_few_groups(folds: int, groups: list[str]) -> None:
    with pytest.raises(ConfigError, match="cannot cross-fit"):
        cross_fit_thresholds(candidates(3, 0), groups, folds=folds)


def test_judging_on_what_was_tuned_on_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_tuned_on(["dev", "train"], "codiesp", "codiesp", ["dev"])
    assert str(caught.value) == (
        "the thresholds were tuned on dev, which is to be evaluated: the scores would be too good; "
        "tune on another split, use --cross-fit, or give --allow-tuned-on"
    )
    with pytest.raises(ConfigError):
        refuse_tuned_on(["dev"], "", "codiesp", ["dev"])  # it does not say of which corpus
    refuse_tuned_on(["dev"], "codiesp", "codiesp", ["test"])
    refuse_tuned_on(["dev"], "mimic3", "codiesp", ["dev"])
    refuse_tuned_on(["dev"], "codiesp", "codiesp", ["dev"], allow=True)


def test_a_file_reads_back_equal(tmp_path: Path) -> None:
    judged = candidates(40, 5)
    for kind in ThresholdKind:
        found = tune_thresholds(judged, kind, train_counts=COUNTS, bands=BANDS, tuned_on=["dev"], corpus="c")
        write_thresholds(tmp_path / "t.json", found)
        assert read_thresholds(tmp_path / "t.json") == found


def test_files_that_are_broken(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    write_thresholds(path, tune_thresholds(candidates(10, 0)))
    content = json.loads(path.read_text())

    def told(**changes: object) -> str:
        path.write_text(json.dumps(content | changes))
        with pytest.raises(PredictionsError) as caught:
            read_thresholds(path)
        return str(caught.value).removeprefix(str(path))

    assert told(nosology_thresholds=2) == ": thresholds of version 2; this nosology reads version 1; tune them again"
    broken = ": broken thresholds: a key is missing, or a threshold is no number in [0, 1]; tune them again"
    for change in ({"whole": 1.5}, {"whole": float("nan")}, {"whole": True}, {"kind": "odd"}, {"of_code": {"a": "b"}},
                   {"of_code": 3}, {"tuned_on": None}):  # fmt: skip
        assert told(**change) == broken
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(PredictionsError, match="not a file of thresholds"):
            read_thresholds(path)
    with pytest.raises(PredictionsError, match="no such file; write one with 'nosology evaluate --save-thresholds'"):
        read_thresholds(tmp_path / "none.json")


def test_options_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="shrinkage is -1; it must be 0 or more"):
        tune_thresholds(candidates(5, 0), shrinkage=-1)
    with pytest.raises(ConfigError, match="need the training counts"):
        tune_thresholds(candidates(5, 0), ThresholdKind.BANDS)


def test_nothing_to_tune_on_gives_a_half() -> None:
    for kind in ThresholdKind:
        found = tune_thresholds(judge_codes(["e"], [set()], [[]]), kind, train_counts={}, bands=BANDS)
        assert (found.whole, found.threshold("I10")) == (0.5, 0.5)
