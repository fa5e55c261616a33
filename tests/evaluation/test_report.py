"""The report: complete, consistent with itself, and clear about what cannot be evaluated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nosology.codes.frequency import FrequencyBands
from nosology.errors import ConfigError, CorpusError, PredictionsError
from nosology.evaluation import (
    BootstrapPlan,
    EvaluationReport,
    count_codes,
    evaluate,
    judge_predictions,
    read_predictions,
    write_predictions,
)
from nosology.evaluation.bands import scores_by_band
from nosology.evaluation.reliability import calibration_scores
from nosology.types import CodedEncounter, Corpus, Encounter, GoldCode, Note, SuggestedCode

CODES = ["I10", "R52", "E11.9", "J45", "N18.9", "Z00"]


def encounter(name: str, codes: list[str] | None, group: str = "") -> Encounter:
    gold = None if codes is None else tuple(GoldCode(code, "icd10cm") for code in codes)
    return Encounter(name, (Note(name, "canary text"),), gold, group, "dev")


def coded(name: str, *codes: tuple[str, float]) -> CodedEncounter:
    ordered = sorted(codes, key=lambda c: -c[1])
    return CodedEncounter(name, tuple(SuggestedCode(code, "", p, p >= 0.5) for code, p in ordered))


def random_corpus(n: int = 40, seed: int = 0, name: str = "tabular") -> tuple[Corpus, list[CodedEncounter]]:
    rng = np.random.default_rng(seed)
    encounters, predictions = [], []
    for i in range(n):
        gold = [code for code in CODES if rng.random() < 0.4]
        encounters.append(encounter(f"e{i}", gold, f"g{i // 2}"))
        listed = [(c, float(np.clip(0.3 + 0.4 * (c in gold) + 0.3 * rng.normal(), 0, 1))) for c in CODES[:5]]
        predictions.append(coded(f"e{i}", *listed))
    return Corpus(name, ("icd10cm",), tuple(encounters)), predictions


def report(**options: object) -> EvaluationReport:
    corpus, predictions = random_corpus()
    return evaluate(corpus, predictions, **options)  # type: ignore[arg-type]


def test_a_report_holds_everything_and_is_json() -> None:
    made = report(train_counts={"I10": 12, "R52": 1, "Q00": 3})
    plain = json.loads(made.to_json())
    assert plain["version"] == 2
    assert plain["figures"] == made.figures()
    assert plain["figures"]["macro.f1.caml"] == plain["assignment"]["macro"]["caml"]["f1"]
    assert plain["counts"]["encounters"] == 40
    assert plain["counts"]["groups"] == 20
    assert plain["counts"]["label_space"] == 7  # six codes in the split and Q00, seen in training alone
    assert set(plain["assignment"]["macro"]) == {"caml", "all_labels", "labels_in_split", "labels_seen_or_predicted"}
    assert plain["ranking"]["precision_at"].keys() == {"1", "5", "8", "10", "15"}
    assert [band["band"] for band in plain["bands"]] == ["0", "1", "2-4", "5-9", "10+"]
    assert len(plain["calibration"]["bins"]) == 10
    assert plain["bootstrap"] == {"replicates": 1000, "seed": 0, "level": 0.95}
    assert plain["codiesp"] is None


def test_parts_of_a_report_agree() -> None:
    made = report(train_counts={"I10": 12, "R52": 1})
    assert made.intervals["micro_f1"].value == pytest.approx(made.assignment.micro.f1)
    assert made.intervals["map"].value == pytest.approx(made.ranking.map)
    assert made.intervals["candidate_recall"].value == pytest.approx(made.ranking.candidate_recall)
    for name, scores in made.assignment.macro.items():
        assert made.intervals[f"macro_f1_{name}"].value == pytest.approx(scores.f1)
    assert made.bands is not None
    assert sum(band.gold for band in made.bands) == made.counts.gold
    assert sum(band.assigned for band in made.bands) == made.counts.assigned
    hits = sum(band.micro.recall * band.gold for band in made.bands)
    assert hits / made.counts.gold == pytest.approx(made.assignment.micro.recall)


def test_codes_seen_in_training_alone_lower_averages_over_all_labels_only() -> None:
    without, with_more = report(), report(train_counts={f"Q{i:02}": 1 for i in range(6)})
    assert with_more.assignment.macro["all_labels"].f1 == pytest.approx(without.assignment.macro["all_labels"].f1 / 2)
    assert with_more.assignment.macro["labels_in_split"] == without.assignment.macro["labels_in_split"]
    assert with_more.assignment.micro == without.assignment.micro
    interval = with_more.intervals["macro_f1_all_labels"]
    assert interval.low < interval.value < interval.high
    assert interval.high == pytest.approx(without.intervals["macro_f1_all_labels"].high / 2)


def test_unlisted_candidates_never_widen_the_label_space() -> None:
    corpus, predictions = random_corpus()
    longer = [
        CodedEncounter(c.encounter_id, (*c.codes, *(SuggestedCode(f"X{i}", "", 0.0, False) for i in range(50))))
        for c in predictions
    ]
    assert evaluate(corpus, longer).assignment == evaluate(corpus, predictions).assignment


def test_order_of_predictions_does_not_matter() -> None:
    corpus, predictions = random_corpus()
    assert evaluate(corpus, predictions[::-1]) == evaluate(corpus, predictions)


def test_a_file_and_the_coder_give_the_same_report(tmp_path: Path) -> None:
    corpus, predictions = random_corpus()
    write_predictions(tmp_path / "p.jsonl", predictions)
    assert evaluate(corpus, read_predictions(tmp_path / "p.jsonl")) == evaluate(corpus, iter(predictions))


def test_codiesp_scores_come_with_that_corpus_and_agree() -> None:
    corpus, predictions = random_corpus(name="codiesp")
    made = evaluate(corpus, predictions)
    assert made.codiesp is not None
    assert made.codiesp.diagnoses is not None
    assert made.codiesp.diagnoses.mean_average_precision == pytest.approx(made.ranking.map)
    assert made.codiesp.diagnoses.micro.f1 == pytest.approx(made.assignment.micro.f1)
    assert made.codiesp.explained is None  # no evidence


def test_intervals_can_be_left_out_and_seeded() -> None:
    assert report(intervals=False).intervals == {}
    plan = BootstrapPlan(replicates=50, seed=3)
    assert report(plan=plan).intervals == report(plan=plan).intervals
    assert report(plan=plan).intervals != report(plan=BootstrapPlan(replicates=50, seed=4)).intervals


def test_bands_by_name_or_given() -> None:
    made = report(train_counts={"I10": 12}, bands=FrequencyBands((0, 5)))
    assert made.bands_name == "0-4, 5+"
    assert made.bands is not None
    assert [band.band for band in made.bands] == ["0-4", "5+"]
    with pytest.raises(ConfigError):
        report(bands="no such bands")


def test_scores_by_band_by_hand() -> None:
    """I10 is frequent, R52 rare, J45 unseen: its one right and one wrong assignment give precision 1/2."""
    encounters = [encounter("a", ["I10", "J45"]), encounter("b", ["R52", "J45"]), encounter("c", [])]
    predictions = [
        coded("a", ("I10", 0.9), ("J45", 0.6)),
        coded("b", ("I10", 0.8), ("R52", 0.2)),
        coded("c", ("J45", 0.7)),
    ]
    judged = judge_predictions(encounters, predictions)
    unseen, once, _, _, often = scores_by_band(judged, {"I10": 40, "R52": 1}, FrequencyBands.named("codiesp"))
    assert (unseen.labels, unseen.gold, unseen.assigned) == (1, 2, 2)
    assert (unseen.micro.precision, unseen.micro.recall, unseen.candidate_recall) == (0.5, 0.5, 0.5)
    assert (once.micro.recall, once.candidate_recall, once.assigned) == (0.0, 1.0, 0)
    assert (often.micro.precision, often.micro.recall, often.macro_f1) == (0.5, 1.0, pytest.approx(2 / 3))


def test_calibration_by_hand() -> None:
    encounters = [encounter("a", ["I10"]), encounter("b", [])]
    judged = judge_predictions(encounters, [coded("a", ("I10", 1.0), ("R52", 0.25)), coded("b", ("I10", 0.21))])
    scores = calibration_scores(judged)
    assert scores.candidates == 3
    assert (scores.bins[2].candidates, scores.bins[2].gold_share) == (2, 0.0)
    assert scores.bins[2].mean_probability == pytest.approx(0.23)
    assert (scores.bins[9].candidates, scores.bins[9].gold_share) == (1, 1.0)
    assert scores.expected_calibration_error == pytest.approx(2 * 0.23 / 3)
    assert scores.brier == pytest.approx((0.25**2 + 0.21**2) / 3)


def test_train_counts_count_encounters() -> None:
    assert count_codes([encounter("a", ["I10", "R52"]), encounter("b", ["I10"]), encounter("c", None)]) == {
        "I10": 2,
        "R52": 1,
    }


# --------------------------------------------------------------------------------------------------------- bad input

PAIR = [encounter("a", ["I10"]), encounter("b", [])]


def message(error: type[Exception], encounters: list[Encounter], predictions: object) -> str:
    with pytest.raises(error) as caught:
        evaluate(encounters, predictions)  # type: ignore[arg-type]
    assert "canary" not in str(caught.value)
    return str(caught.value)


def test_an_empty_split() -> None:
    assert message(CorpusError, [], []) == "nothing to evaluate: there is no encounter; choose a split that has some"


def test_an_unlabelled_split() -> None:
    assert message(CorpusError, [encounter("a", []), encounter("b", None)], [coded("a"), coded("b")]) == (
        "[b]: no gold codes to evaluate against (1 of 2 encounters have none); choose a split that people have coded"
    )


def test_gold_without_predictions() -> None:
    assert message(PredictionsError, PAIR, [coded("a")]) == (
        "[b]: no predictions for 1 of 2 encounters, this one first; "
        "code the whole split (an encounter without candidates is a line with an empty list)"
    )


def test_predictions_of_unknown_encounters_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write_predictions(path, [coded("a"), coded("b"), coded("z")])
    assert message(PredictionsError, PAIR, read_predictions(path)) == (
        f"{path}:3 [z]: no such encounter in the split evaluated; evaluate the split that was coded"
    )


def test_predictions_given_twice() -> None:
    assert message(PredictionsError, PAIR, [coded("a"), coded("a")]) == "[a]: duplicate id; keep one"


@pytest.mark.parametrize("probability", [float("nan"), float("inf"), 1.01, -1.0])
def test_a_probability_that_is_none(probability: float) -> None:
    bad = CodedEncounter("a", (SuggestedCode("I10", "", probability, True),))
    assert message(PredictionsError, PAIR, [bad, coded("b")]) == (
        f"[a]: probability of code 'I10' is {probability}; it must lie in [0, 1]"
    )


def test_the_smallest_splits_have_finite_reports() -> None:
    for encounters, predictions in (
        ([encounter("a", [])], [coded("a")]),
        ([encounter("a", ["I10"])], [coded("a")]),
        ([encounter("a", [])], [coded("a", ("I10", 1.0))]),
        ([encounter("a", ["I10"])], [coded("a", ("I10", 0.0))]),
    ):
        json.loads(evaluate(encounters, predictions, train_counts={}).to_json())


def test_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, nosology.evaluation, nosology.evaluation.report\n"
        "heavy = {'torch', 'scipy', 'sklearn', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
