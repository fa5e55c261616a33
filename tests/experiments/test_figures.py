"""Figures over seeds and articles: the official scores at their centre, and draws that pair."""

from __future__ import annotations

import random

import pytest

from nosology.evaluation import BootstrapPlan, judge_predictions
from nosology.evaluation.bootstrap import draw_groups
from nosology.evaluation.codiesp import score_codiesp
from nosology.experiments.figures import (
    ExplainedCounts,
    explained_difference,
    explained_figures,
    pooled_figures,
)
from nosology.types import CodedEncounter, Encounter, Evidence, GoldCode, Note, Span, SuggestedCode

PLAN = BootstrapPlan(replicates=200)
DIAGNOSES, PROCEDURES = ("A00", "B01.9", "C34.90"), ("BW03ZZZ", "0DTJ4ZZ")


def made_up(seed: int, count: int = 40) -> tuple[list[Encounter], list[CodedEncounter]]:
    random_ = random.Random(seed)
    encounters, coded = list[Encounter](), list[CodedEncounter]()
    for number in range(count):
        key = f"e{number}"
        spans = {code: random_.randrange(50) for code in (*DIAGNOSES, *PROCEDURES)}
        gold = [code for code in spans if random_.random() < 0.5]
        systems = {code: "icd10cm" if code in DIAGNOSES else "icd10pcs" for code in spans}
        codes = tuple(GoldCode(code, systems[code], (evidence(key, spans[code]),)) for code in gold)
        encounters.append(Encounter(key, (Note(key, "x" * 100),), codes, f"g{number // 4}"))
        coded.append(CodedEncounter(key, tuple(suggestions(random_, key, spans, gold))))
    return encounters, coded


def evidence(key: str, start: int) -> Evidence:
    return Evidence(key, (Span(start, start + 10),))


def suggestions(random_: random.Random, key: str, spans: dict[str, int], gold: list[str]) -> list[SuggestedCode]:
    found = list[SuggestedCode]()
    for code, start in spans.items():
        probability = random_.random() * (0.9 if code in gold else 0.6)
        shift = random_.choice([0, 3, 30])
        here = evidence(key, max(0, start - shift))
        found.append(SuggestedCode(code, "", probability, probability > 0.4, (here,)))
    return sorted(found, key=lambda one: -one.probability)


def groups(encounters: list[Encounter]) -> list[str]:
    return [encounter.group_id for encounter in encounters]


def test_the_mean_over_seeds_is_that_of_the_official_scores() -> None:
    encounters, first = made_up(1)
    _, second = made_up(2)
    systems = ("icd10cm", "icd10pcs")
    official = [score_codiesp(encounters, coded, systems).explained for coded in (first, second)]
    counts = [ExplainedCounts.of(encounters, coded) for coded in (first, second)]
    figures = explained_figures(counts, groups(encounters), PLAN)
    values = [scores.f1 for scores in official if scores]
    assert values[0] != values[1]
    assert figures["micro_f1"].mean == pytest.approx(sum(values) / 2)
    assert (figures["micro_f1"].lowest, figures["micro_f1"].highest) == pytest.approx((min(values), max(values)))
    assert figures["micro_f1"].low < figures["micro_f1"].mean < figures["micro_f1"].high


def test_map_and_f1_of_diagnoses_are_the_official_ones() -> None:
    encounters, coded = made_up(3)
    encounters = [
        Encounter(e.encounter_id, e.notes, tuple(g for g in e.codes or () if g.system == "icd10cm"), e.group_id)
        for e in encounters
    ]
    coded = [CodedEncounter(c.encounter_id, tuple(s for s in c.codes if s.code in DIAGNOSES)) for c in coded]
    official = score_codiesp(encounters, coded, ("icd10cm",)).diagnoses
    assert official is not None
    figures = pooled_figures([judge_predictions(encounters, coded)], groups(encounters), PLAN)
    assert figures["map"].mean == pytest.approx(official.mean_average_precision)
    assert figures["micro_f1"].mean == pytest.approx(official.micro.f1)


def test_a_coder_differs_from_itself_by_nothing_in_any_draw() -> None:
    encounters, coded = made_up(4)
    counts = [ExplainedCounts.of(encounters, coded)]
    same = explained_difference(counts, counts, groups(encounters), PLAN)
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)


def test_the_interval_of_a_difference_is_narrower_than_of_its_parts() -> None:
    encounters, first = made_up(5)
    second = [CodedEncounter(c.encounter_id, c.codes[:-1]) for c in first]
    one, two = [ExplainedCounts.of(encounters, first)], [ExplainedCounts.of(encounters, second)]
    difference = explained_difference(one, two, groups(encounters), PLAN)
    alone = explained_figures(one, groups(encounters), PLAN)["micro_f1"]
    assert difference.high - difference.low < alone.high - alone.low


def test_nothing_predicted_and_nothing_gold_scores_zero() -> None:
    encounter = Encounter("e", (Note("e", "x"),), (), "g")
    counts = ExplainedCounts.of([encounter], [CodedEncounter("e", ())])
    scores = counts.scores(draw_groups(["g"], PLAN).whole())
    assert {name: float(value[0]) for name, value in scores.items()} == dict.fromkeys(scores, 0.0)
