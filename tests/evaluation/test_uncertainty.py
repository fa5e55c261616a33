"""Intervals against loops that draw groups, or leave them out, and evaluate what is left."""

from __future__ import annotations

import numpy as np
import pytest

from nosology.errors import ConfigError, PredictionsError
from nosology.evaluation.bootstrap import BootstrapPlan, draw_groups, macro_f1_replicates, pooled_replicates
from nosology.evaluation.jackknife import macro_f1_leaving_out, standard_error
from nosology.evaluation.judgements import Judgements, judge_codes
from nosology.evaluation.metrics import MacroDefinition, counts_by_label, macro, micro
from nosology.evaluation.ranking_metrics import Over, average_precisions, candidate_recall, mean_over
from nosology.evaluation.uncertainty import paired_differences, score_intervals

CODES = [f"C{i}" for i in range(8)]
Rows = list[tuple[set[str], list[tuple[str, float, bool]]]]


def rows(n: int, seed: int, skill: float = 0.4, gold_seed: int = 7) -> Rows:
    rng, draw = np.random.default_rng(gold_seed), np.random.default_rng(seed)
    made = []
    for _ in range(n):
        gold = {code for i, code in enumerate(CODES) if rng.random() < 0.6 / (i + 1)}
        scores = {code: float(np.clip(0.3 + skill * (code in gold) + 0.2 * draw.normal(), 0, 1)) for code in CODES}
        listed = sorted(scores, key=lambda code: -scores[code])[:6]
        made.append((gold, [(code, scores[code], scores[code] >= 0.5) for code in listed]))
    return made


def judged_of(chosen: Rows) -> Judgements:
    names = [str(i) for i in range(len(chosen))]
    return judge_codes(names, [gold for gold, _ in chosen], [c for _, c in chosen], label_space=CODES)


def macros(judged: Judgements, space: np.ndarray | None = None) -> dict[str, float]:
    by_label = counts_by_label(judged)
    return {f"macro_f1_{d.value}": macro(by_label, d, space=space).f1 for d in MacroDefinition}


def measure(judged: Judgements) -> dict[str, float]:
    pooled = micro(counts_by_label(judged))
    return {
        "micro_precision": pooled.precision,
        "micro_recall": pooled.recall,
        "micro_f1": pooled.f1,
        "map": mean_over(average_precisions(judged), judged, Over.WITH_GOLD),
        "candidate_recall": candidate_recall(judged),
        **macros(judged),
    }


def groups_of(n: int) -> list[str]:
    return [f"g{i // 3:02}" for i in range(n)]


def slow_replicates(data: Rows, groups: list[str], plan: BootstrapPlan) -> list[dict[str, float]]:
    """Each replicate as a corpus of its own, encounters repeated as often as their group was drawn."""
    names = sorted(set(groups))
    share = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(plan.seed).multinomial(len(names), share, size=plan.replicates)
    index = [names.index(group) for group in groups]
    return [
        measure(judged_of([row for row, i in zip(data, index, strict=True) for _ in range(counts[i])]))
        for counts in drawn
    ]


def test_every_replicate_is_an_evaluation_of_the_groups_drawn() -> None:
    data, groups, plan = rows(30, 0), groups_of(30), BootstrapPlan(replicates=120, seed=5)
    judged, draw = judged_of(data), draw_groups(groups, plan)
    fast = pooled_replicates(judged, draw) | macro_f1_replicates(judged, draw)
    slow = slow_replicates(data, groups, plan)
    assert fast.keys() == slow[0].keys()
    for name, values in fast.items():
        assert values == pytest.approx([replicate[name] for replicate in slow], abs=1e-9), name


@pytest.mark.parametrize("with_space", [False, True])
def test_every_jackknife_value_is_an_evaluation_without_that_group(with_space: bool) -> None:
    data, groups = rows(24, 1), groups_of(24)
    judged = judged_of(data)
    space = np.arange(len(judged.labels)) % 4 != 3 if with_space else None
    group_of = np.array([int(group[1:]) for group in groups])
    fast = macro_f1_leaving_out(judged, group_of, 8, space=space)
    for left_out in range(8):
        kept = [row for row, group in zip(data, group_of, strict=True) if group != left_out]
        for name, value in macros(judged_of(kept), space).items():
            assert fast[name][left_out] == pytest.approx(value, abs=1e-9), (name, left_out)


def test_the_standard_error_of_a_mean_is_the_usual_one() -> None:
    values = np.random.default_rng(0).random(40)
    left_out = (values.sum() - values) / 39
    assert standard_error(left_out) == pytest.approx(values.std(ddof=1) / np.sqrt(40))


def test_intervals_have_the_level_asked_for_and_a_seed() -> None:
    judged, groups = judged_of(rows(60, 1)), groups_of(60)
    first = score_intervals(judged, groups)
    assert first == score_intervals(judged, groups)
    assert first["map"] != score_intervals(judged, groups, BootstrapPlan(seed=1))["map"]
    draw = draw_groups(groups, BootstrapPlan(level=0.8))
    low, high = np.quantile(pooled_replicates(judged, draw)["micro_f1"], [0.1, 0.9])
    narrower = score_intervals(judged, groups, BootstrapPlan(level=0.8))
    assert (narrower["micro_f1"].low, narrower["micro_f1"].high) == pytest.approx((low, high))
    half = {
        name: (i["macro_f1_caml"].high - i["macro_f1_caml"].low) / 2 for name, i in (("95", first), ("80", narrower))
    }
    assert half["95"] / half["80"] == pytest.approx(1.959964 / 1.281552, rel=1e-5)


def test_every_interval_holds_its_score() -> None:
    """Rare codes included: bootstrap percentiles of the macro average would leave its value outside."""
    codes = [f"R{i}" for i in range(60)]
    gold = [{codes[i]} for i in range(60)]
    candidates = [[(codes[i], 0.9, i % 2 == 0)] for i in range(60)]
    judged, groups = judge_codes([str(i) for i in range(60)], gold, candidates), [str(i) for i in range(60)]
    for interval in score_intervals(judged, groups).values():
        assert interval.low <= interval.value <= interval.high
    drawn = macro_f1_replicates(judged, draw_groups(groups, BootstrapPlan()))["macro_f1_all_labels"]
    assert np.quantile(drawn, 0.975) < 0.5  # the score is 0.5


def test_copies_of_one_patient_do_not_narrow_the_intervals() -> None:
    data, groups = rows(40, 2), [f"p{i}" for i in range(40)]
    alone = score_intervals(judged_of(data), groups)
    copied = score_intervals(judged_of(data * 4), groups * 4)
    naive = score_intervals(judged_of(data * 4), [str(i) for i in range(160)])
    for name in ("micro_f1", "macro_f1_all_labels"):
        width = alone[name].high - alone[name].low
        assert copied[name].high - copied[name].low == pytest.approx(width)
        assert naive[name].high - naive[name].low < 0.7 * width


def test_intervals_cover_as_often_as_they_say() -> None:
    """Of 120 samples about 95 % hold the mean score of all samples (five standard errors either way)."""
    samples = [judged_of(rows(50, i, gold_seed=1000 + i)) for i in range(120)]
    groups, plan = [str(i) for i in range(50)], BootstrapPlan(replicates=200)
    found = [score_intervals(judged, groups, plan) for judged in samples]
    for name in ("micro_f1", "map", "macro_f1_all_labels", "macro_f1_labels_in_split"):
        truth = np.mean([intervals[name].value for intervals in found])
        held = np.mean([intervals[name].low <= truth <= intervals[name].high for intervals in found])
        assert held >= 0.85, name
        assert held < 1.0, name


def test_one_group_and_nothing_have_flat_intervals() -> None:
    intervals = score_intervals(judged_of(rows(5, 4)), ["one"] * 5)
    assert all(i.low == pytest.approx(i.value) == pytest.approx(i.high) for i in intervals.values())
    nothing = score_intervals(judge_codes([], [], []), [])
    assert all((i.low, i.value, i.high) == (0.0, 0.0, 0.0) for i in nothing.values())


def test_paired_differences() -> None:
    good, poor, groups = judged_of(rows(90, 5, 0.5)), judged_of(rows(90, 6, 0.1)), groups_of(90)
    there, back = paired_differences(good, poor, groups), paired_differences(poor, good, groups)
    for name in ("micro_f1", "map", "macro_f1_all_labels"):
        better = there[name]
        assert better.value == pytest.approx(measure(good)[name] - measure(poor)[name])
        assert 0 < better.low < better.value < better.high
        assert better.p_value < 0.01
        assert (back[name].value, back[name].low, back[name].high) == pytest.approx(
            (-better.value, -better.high, -better.low)
        )


def test_pairing_narrows_the_interval() -> None:
    data = rows(90, 5)
    worse = [
        (gold, [(c, s, a and not (c == "C0" and i % 9 == 0)) for c, s, a in listed])
        for i, (gold, listed) in enumerate(data)
    ]
    first, second, groups = judged_of(data), judged_of(worse), groups_of(90)
    paired, alone = paired_differences(first, second, groups), score_intervals(first, groups)
    for name in ("micro_f1", "macro_f1_all_labels"):
        assert paired[name].high - paired[name].low < 0.5 * (alone[name].high - alone[name].low)


def test_a_coder_does_not_differ_from_itself() -> None:
    judged, groups = judged_of(rows(30, 8)), groups_of(30)
    for difference in paired_differences(judged, judged, groups).values():
        assert (difference.value, difference.low, difference.high, difference.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_one_group_proves_nothing() -> None:
    good, poor = judged_of(rows(9, 5, 0.5)), judged_of(rows(9, 6, 0.0))
    assert all(d.p_value == 1.0 for d in paired_differences(good, poor, ["one"] * 9).values())


def test_paired_macro_averages_share_one_label_space() -> None:
    """B assigns a wrong code that A does not know; the average over all labels counts that label for both."""
    a = judge_codes(["e"], [{"I10"}], [[("I10", 0.9, True)]])
    b = judge_codes(["e"], [{"I10"}], [[("I10", 0.9, True), ("R52", 0.8, True)]])
    differences = paired_differences(a, b, ["e"], BootstrapPlan(replicates=10))
    assert differences["macro_f1_all_labels"].value == 0.0
    assert differences["macro_f1_labels_seen_or_predicted"].value == 0.5
    assert differences["micro_f1"].value == pytest.approx(1 - 2 / 3)


def test_what_cannot_be_paired() -> None:
    a, other = judge_codes(["e"], [{"I10"}], [[]]), judge_codes(["f"], [{"I10"}], [[]])
    with pytest.raises(PredictionsError, match="cover different encounters; evaluate both on one split"):
        paired_differences(a, other, ["e"])
    with pytest.raises(PredictionsError, match="judged against different gold codes; use one corpus"):
        paired_differences(a, judge_codes(["e"], [{"R52"}], [[]]), ["e"])


@pytest.mark.parametrize(("replicates", "level"), [(0, 0.95), (10, 0.0), (10, 1.0)])
def test_a_plan_that_makes_no_sense(replicates: int, level: float) -> None:
    with pytest.raises(ConfigError, match="needs replicates >= 1 and 0 < level < 1"):
        BootstrapPlan(replicates=replicates, level=level)
