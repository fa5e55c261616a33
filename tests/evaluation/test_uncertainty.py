"""Intervals against loops that draw groups, or leave them out, and evaluate what is left."""

from __future__ import annotations

import numpy as np
import pytest

from nosology.errors import ConfigError
from nosology.evaluation.bootstrap import BootstrapPlan, Draw, draw_groups, pooled_replicates
from nosology.evaluation.figures import figure_replicates
from nosology.evaluation.jackknife import macro_f1_leaving_out, standard_error
from nosology.evaluation.judgements import Judgements, judge_codes
from nosology.evaluation.metrics import MacroDefinition, counts_by_label, macro, micro
from nosology.evaluation.ranking_metrics import Over, average_precisions, candidate_recall, mean_over
from nosology.evaluation.uncertainty import score_intervals

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


def macro_f1_replicates(judged: Judgements, draw: Draw) -> dict[str, np.ndarray]:
    names = {f"macro.f1.{d.value}": f"macro_f1_{d.value}" for d in MacroDefinition}
    return {names[name]: values for name, values in figure_replicates(judged, draw, names).items()}


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


@pytest.mark.parametrize(("replicates", "level"), [(0, 0.95), (10, 0.0), (10, 1.0)])
def test_a_plan_that_makes_no_sense(replicates: int, level: float) -> None:
    with pytest.raises(ConfigError, match="needs replicates >= 1 and 0 < level < 1"):
        BootstrapPlan(replicates=replicates, level=level)
