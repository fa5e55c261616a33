"""Bootstrap intervals against loops that draw groups and evaluate what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from nosology.errors import ConfigError, PredictionsError
from nosology.evaluation.bootstrap import BootstrapPlan, bootstrap, paired_bootstrap
from nosology.evaluation.judgements import Judgements, judge_codes
from nosology.evaluation.metrics import MacroDefinition, counts_by_label, macro, micro
from nosology.evaluation.ranking_metrics import Over, average_precisions, candidate_recall, mean_over

CODES = [f"C{i}" for i in range(8)]
Rows = list[tuple[set[str], list[tuple[str, float, bool]]]]


def rows(n: int, seed: int, skill: float = 0.4) -> Rows:
    rng, draw = np.random.default_rng(7), np.random.default_rng(seed)
    made = []
    for _ in range(n):
        gold = {code for code in CODES if rng.random() < 0.3}
        scores = {code: float(np.clip(0.3 + skill * (code in gold) + 0.2 * draw.normal(), 0, 1)) for code in CODES}
        listed = sorted(scores, key=lambda code: -scores[code])[:6]
        made.append((gold, [(code, scores[code], scores[code] >= 0.5) for code in listed]))
    return made


def judged_of(chosen: Rows) -> Judgements:
    names = [str(i) for i in range(len(chosen))]
    return judge_codes(names, [gold for gold, _ in chosen], [c for _, c in chosen], label_space=CODES)


def measure(judged: Judgements) -> dict[str, float]:
    by_label = counts_by_label(judged)
    pooled = micro(by_label)
    return {
        "micro_precision": pooled.precision,
        "micro_recall": pooled.recall,
        "micro_f1": pooled.f1,
        "map": mean_over(average_precisions(judged), judged, Over.WITH_GOLD),
        "candidate_recall": candidate_recall(judged),
        **{f"macro_f1_{d.value}": macro(by_label, d).f1 for d in MacroDefinition},
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
    data, groups, plan = rows(30, 0), groups_of(30), BootstrapPlan(replicates=120, seed=5, level=0.9)
    fast, slow = bootstrap(judged_of(data), groups, plan), slow_replicates(data, groups, plan)
    whole = measure(judged_of(data))
    assert fast.keys() == whole.keys()
    for name, interval in fast.items():
        low, high = np.quantile([replicate[name] for replicate in slow], [0.05, 0.95])
        assert (interval.value, interval.low, interval.high) == pytest.approx((whole[name], low, high), abs=1e-9), name


def test_intervals_are_seeded_and_hold_the_value() -> None:
    judged, groups = judged_of(rows(60, 1)), groups_of(60)
    first, again = bootstrap(judged, groups), bootstrap(judged, groups)
    assert first == again
    assert first != bootstrap(judged, groups, BootstrapPlan(seed=1))
    assert first["micro_f1"].low < first["micro_f1"].value < first["micro_f1"].high


def test_copies_of_one_patient_do_not_narrow_the_interval() -> None:
    data, groups = rows(40, 2), [f"p{i}" for i in range(40)]
    alone = bootstrap(judged_of(data), groups)["micro_f1"]
    copied = bootstrap(judged_of(data * 4), groups * 4)["micro_f1"]
    naive = bootstrap(judged_of(data * 4), [str(i) for i in range(160)])["micro_f1"]
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))
    assert naive.high - naive.low < 0.7 * (alone.high - alone.low)


def test_coverage_of_the_interval() -> None:
    """The share of 95 % intervals that hold the truth is near 95 % (120 samples: within four standard errors)."""
    population = judged_of(rows(6000, 3))
    truth = measure(population)["micro_f1"]
    big, hits = rows(6000, 3), 0
    for i in range(120):
        sample = judged_of(big[50 * i : 50 * (i + 1)])
        interval = bootstrap(sample, [str(j) for j in range(50)], BootstrapPlan(replicates=200, seed=i))["micro_f1"]
        hits += interval.low <= truth <= interval.high
    assert 0.86 <= hits / 120 <= 1.0


def test_one_group_and_nothing_have_flat_intervals() -> None:
    judged = judged_of(rows(5, 4))
    interval = bootstrap(judged, ["one"] * 5)["micro_f1"]
    assert interval.low == interval.value == interval.high
    assert bootstrap(judge_codes([], [], []), [])["micro_f1"].high == 0.0


def test_paired_differences() -> None:
    good, poor, groups = judged_of(rows(90, 5, 0.5)), judged_of(rows(90, 6, 0.1)), groups_of(90)
    better = paired_bootstrap(good, poor, groups)["micro_f1"]
    whole = measure(good)["micro_f1"] - measure(poor)["micro_f1"]
    assert better.value == pytest.approx(whole)
    assert 0 < better.low < better.value < better.high
    assert better.p_value < 0.01
    back = paired_bootstrap(poor, good, groups)["micro_f1"]
    assert (back.value, back.low, back.high) == pytest.approx((-better.value, -better.high, -better.low))


def test_a_coder_does_not_differ_from_itself() -> None:
    judged, groups = judged_of(rows(30, 8)), groups_of(30)
    for difference in paired_bootstrap(judged, judged, groups).values():
        assert (difference.value, difference.low, difference.high, difference.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_paired_macro_averages_share_one_label_space() -> None:
    """B assigns a wrong code that A does not know; the average over all labels counts that label for both."""
    a = judge_codes(["e"], [{"I10"}], [[("I10", 0.9, True)]])
    b = judge_codes(["e"], [{"I10"}], [[("I10", 0.9, True), ("R52", 0.8, True)]])
    differences = paired_bootstrap(a, b, ["e"], BootstrapPlan(replicates=10))
    assert differences["macro_f1_all_labels"].value == 0.0
    assert differences["macro_f1_labels_seen_or_predicted"].value == 0.5
    assert differences["micro_f1"].value == pytest.approx(1 - 2 / 3)


def test_what_cannot_be_paired() -> None:
    a, other = judge_codes(["e"], [{"I10"}], [[]]), judge_codes(["f"], [{"I10"}], [[]])
    with pytest.raises(PredictionsError, match="cover different encounters; evaluate both on one split"):
        paired_bootstrap(a, other, ["e"])
    with pytest.raises(PredictionsError, match="judged against different gold codes; use one corpus"):
        paired_bootstrap(a, judge_codes(["e"], [{"R52"}], [[]]), ["e"])


@pytest.mark.parametrize(("replicates", "level"), [(0, 0.95), (10, 0.0), (10, 1.0)])
def test_a_plan_that_makes_no_sense(replicates: int, level: float) -> None:
    with pytest.raises(ConfigError, match="needs replicates >= 1 and 0 < level < 1"):
        BootstrapPlan(replicates=replicates, level=level)
