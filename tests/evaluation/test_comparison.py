"""Paired tests and seeds: against replicates made one corpus at a time, and in cases whose answer is known."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from nosology.errors import ConfigError, PredictionsError
from nosology.evaluation import BootstrapPlan, aggregate_seeds, compare_systems, evaluate_judged
from nosology.evaluation.comparison import DEFAULT_FIGURES
from nosology.evaluation.draws import Draw, draw_groups
from nosology.evaluation.figures import averaged_names, figure_replicates, pooled_names
from nosology.evaluation.judgements import Judgements, judge_codes, judge_dense
from nosology.evaluation.pairing import with_labels
from nosology.evaluation.scores import label_space
from nosology.evaluation.seeds import summarise_seeds
from nosology.evaluation.subsets import Subset
from nosology.evaluation.uncertainty import score_intervals

CODES = [f"C{i}" for i in range(8)]
Rows = list[tuple[set[str], list[tuple[str, float, bool]]]]
EVERY = (*pooled_names(), *averaged_names())


def rows(n: int, seed: int, skill: float = 0.4) -> Rows:
    rng, draw = np.random.default_rng(7), np.random.default_rng(seed)
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


def groups_of(n: int) -> list[str]:
    return [f"g{i // 3:02}" for i in range(n)]


def test_every_figure_of_the_whole_is_that_of_the_report() -> None:
    judged = judged_of(rows(30, 0))
    report = evaluate_judged(judged, intervals=False, train_counts=dict.fromkeys(CODES[:6], 3)).figures()
    space = label_space(judged, CODES[:6])
    whole = Draw(np.zeros(30, dtype=np.int64), np.ones((1, 1)))
    for name, values in figure_replicates(judged, whole, EVERY, space=space).items():
        assert values[0] == pytest.approx(report[name], abs=1e-12), name


def test_every_replicate_is_a_report_on_the_groups_drawn() -> None:
    data, groups = rows(30, 0), groups_of(30)
    draw = draw_groups(groups, BootstrapPlan(replicates=25, seed=5))
    fast = figure_replicates(judged_of(data), draw, EVERY)
    for replicate, weights in enumerate(draw.weights.astype(int)):
        repeated = [row for row, group in zip(data, draw.group_of, strict=True) for _ in range(weights[group])]
        judged = judged_of(repeated)
        slow = evaluate_judged(judged, intervals=False, train_counts=dict.fromkeys(CODES, 1)).figures()
        for name in EVERY:
            assert fast[name][replicate] == pytest.approx(slow[name], abs=1e-9), name


def test_the_randomisation_test_agrees_with_all_swaps_one_by_one() -> None:
    """Eight groups have 256 swaps: the p-value of endlessly many random ones is the share of these."""
    a, b, groups = rows(24, 5, 0.45), rows(24, 6, 0.3), groups_of(24)
    names = [
        "micro.f1",
        "map",
        "macro.f1.all_labels",
        "macro.f1.labels_in_split",
        "macro.f1.caml",
        "weighted.f1",
        "p@5",
    ]
    compared = compare_systems(judged_of(a), judged_of(b), groups, figures=names, plan=BootstrapPlan(replicates=4000))
    extreme = dict.fromkeys(names, 0)
    for keep in product([True, False], repeat=8):
        mixed = [
            judged_of([x if keep[i // 3] == own else y for i, (x, y) in enumerate(zip(a, b, strict=True))])
            for own in (True, False)
        ]
        figures = [
            evaluate_judged(one, intervals=False, train_counts=dict.fromkeys(CODES, 1)).figures() for one in mixed
        ]
        for name in names:
            extreme[name] += abs(figures[0][name] - figures[1][name]) >= abs(compared[name].difference) - 1e-12
    for name in names:
        assert compared[name].p_randomisation == pytest.approx(extreme[name] / 256, abs=0.04), name


def test_a_better_system_is_told_from_a_worse_one_both_ways() -> None:
    good, poor, groups = judged_of(rows(90, 5, 0.5)), judged_of(rows(90, 6, 0.1)), groups_of(90)
    there, back = compare_systems(good, poor, groups), compare_systems(poor, good, groups)
    assert list(there) == list(DEFAULT_FIGURES)
    for name in ("micro.f1", "map", "macro.f1.all_labels", "p@5"):
        better, worse = there[name], back[name]
        assert better.difference == pytest.approx(better.first - better.second)
        assert 0 < better.low < better.difference < better.high
        assert better.p_bootstrap < 0.01
        assert better.p_randomisation < 0.01
        assert (worse.difference, worse.low, worse.high) == pytest.approx(
            (-better.difference, -better.high, -better.low)
        )
    assert there["micro.f1"].method == "bootstrap"
    assert there["macro.f1.caml"].method == "jackknife"


def test_p_values_are_even_where_there_is_no_difference() -> None:
    """Two equal coders, 60 pairs of samples: a p-value below 0.1 comes up in a tenth of them, not in a third."""
    groups, plan = [str(i) for i in range(40)], BootstrapPlan(replicates=200)
    found = [
        compare_systems(judged_of(rows(40, 2 * i)), judged_of(rows(40, 2 * i + 1)), groups, plan=plan)["micro.f1"]
        for i in range(60)
    ]
    assert sum(one.p_randomisation < 0.1 for one in found) <= 14
    assert sum(one.p_bootstrap < 0.1 for one in found) <= 16
    assert 0.35 < np.mean([one.p_randomisation for one in found]) < 0.65


def test_pairing_narrows_the_interval() -> None:
    data = rows(90, 5)
    worse = [
        (gold, [(c, s, a and not (c == "C0" and i % 9 == 0)) for c, s, a in listed])
        for i, (gold, listed) in enumerate(data)
    ]
    first, second, groups = judged_of(data), judged_of(worse), groups_of(90)
    paired, alone = compare_systems(first, second, groups), score_intervals(first, groups)
    for name, old in (("micro.f1", "micro_f1"), ("macro.f1.all_labels", "macro_f1_all_labels")):
        assert paired[name].high - paired[name].low < 0.5 * (alone[old].high - alone[old].low)


def test_a_system_does_not_differ_from_itself() -> None:
    judged, groups = judged_of(rows(30, 8)), groups_of(30)
    for one in compare_systems(judged, judged, groups, figures=EVERY).values():
        assert (one.difference, one.low, one.high, one.p_bootstrap, one.p_randomisation) == (0.0, 0.0, 0.0, 1.0, 1.0)


def test_one_group_proves_nothing() -> None:
    good, poor = judged_of(rows(9, 5, 0.5)), judged_of(rows(9, 6, 0.0))
    compared = compare_systems(good, poor, ["one"] * 9)
    assert all(one.p_bootstrap == one.p_randomisation == 1.0 for one in compared.values())


def test_macro_averages_share_one_label_space() -> None:
    """B assigns a wrong code that A does not know; the average over all labels counts that label for both."""
    a = judge_codes(["e"], [{"I10"}], [[("I10", 0.9, True)]])
    b = judge_codes(["e"], [{"I10"}], [[("I10", 0.9, True), ("R52", 0.8, True)]])
    compared = compare_systems(a, b, ["e"], plan=BootstrapPlan(replicates=10))
    assert compared["macro.f1.all_labels"].difference == 0.0
    assert compared["macro.f1.labels_seen_or_predicted"].difference == 0.5
    assert compared["micro.f1"].difference == pytest.approx(1 - 2 / 3)


def test_a_subset_has_the_figures_of_its_own_judgements() -> None:
    a, b, groups = judged_of(rows(60, 1)), judged_of(rows(60, 2)), groups_of(60)
    rare = Subset("band", "1-10", frozenset(CODES[4:]))
    early = Subset("length", "q1", encounters=frozenset(map(str, range(30))))
    names = ["band.1-10.micro.f1", "band.1-10.p@5", "length.q1.macro.f1.labels_in_split", "micro.f1"]
    compared = compare_systems(a, b, groups, figures=names, subsets=[rare, early])
    assert list(compared) == names
    alone = compare_systems(rare.of(a), rare.of(b), groups, figures=["micro.f1", "p@5"])
    assert compared["band.1-10.micro.f1"].difference == pytest.approx(alone["micro.f1"].difference)
    assert compared["band.1-10.micro.f1"].p_randomisation == alone["micro.f1"].p_randomisation
    assert compared["band.1-10.p@5"].low == pytest.approx(alone["p@5"].low)
    half = evaluate_judged(early.of(a), intervals=False).figures()["macro.f1.labels_in_split"]
    assert compared["length.q1.macro.f1.labels_in_split"].first == pytest.approx(half)


def test_several_seeds_are_paired_and_averaged() -> None:
    first = [judged_of(rows(45, seed, 0.45)) for seed in (1, 2, 3)]
    second = [judged_of(rows(45, seed, 0.3)) for seed in (4, 5, 6)]
    groups = groups_of(45)
    both = compare_systems(first, second, groups, figures=["micro.f1"])["micro.f1"]
    each = [compare_systems(a, b, groups, figures=["micro.f1"])["micro.f1"] for a, b in zip(first, second, strict=True)]
    assert both.difference == pytest.approx(np.mean([one.difference for one in each]))
    assert both.high - both.low < max(one.high - one.low for one in each)
    with pytest.raises(ConfigError, match="one number of seeds, at least one; got 3 and 2"):
        compare_systems(first, second[:2], groups)


def test_dense_judgements_compare_as_sparse_ones_do() -> None:
    rng = np.random.default_rng(0)
    gold = rng.random((40, 12)) < 0.2
    scores = [np.clip(gold * 0.3 + rng.random((40, 12)) * 0.7, 0, 1) for _ in range(2)]
    labels, ids = [f"c{i:02}" for i in range(12)], [str(i) for i in range(40)]
    dense = [judge_dense(gold, s, s > 0.5, encounter_ids=ids, labels=labels) for s in scores]
    sparse = [
        judge_codes(
            ids,
            [{labels[j] for j in np.flatnonzero(row)} for row in gold],
            [[(labels[j], float(row[j]), bool(row[j] > 0.5)) for j in np.argsort(-row)] for row in s],
        )
        for s in scores
    ]
    found = [compare_systems(*pair, ids, label_space=labels) for pair in (dense, sparse)]
    for name, one in found[0].items():
        twin = found[1][name]
        ours, theirs = ((c.difference, c.low, c.high, c.p_bootstrap, c.p_randomisation) for c in (one, twin))
        assert ours == pytest.approx(theirs, abs=1e-12), name


def test_seeds_have_mean_spread_and_both_intervals() -> None:
    judged, groups = [judged_of(rows(45, seed)) for seed in range(4)], groups_of(45)
    found = aggregate_seeds(judged, groups, figures=["micro.f1", "macro.f1.caml"])["micro.f1"]
    values = [evaluate_judged(one, intervals=False).figures()["micro.f1"] for one in judged]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.mean, found.sd, found.seeds) == (
        pytest.approx(np.mean(values)),
        pytest.approx(np.std(values, ddof=1)),
        4,
    )
    assert (found.seed_low, found.seed_high) == pytest.approx((low, high))
    assert found.low < min(found.seed_low, found.mean)
    assert found.high > max(found.seed_high, found.mean)


def test_seeds_and_encounters_add_as_stated() -> None:
    values = np.array([0.5, 0.52, 0.54])
    found = summarise_seeds("map", values, 0.03)
    half = np.hypot(stats.t.ppf(0.975, 2) * 0.02 / np.sqrt(3), stats.norm.ppf(0.975) * 0.03)
    assert (found.low, found.high) == pytest.approx((0.52 - half, 0.52 + half))
    one = summarise_seeds("map", values[:1], 0.03)
    assert (one.sd, one.seed_low, one.seed_high) == (0.0, 0.5, 0.5)
    assert one.high - 0.5 == pytest.approx(stats.norm.ppf(0.975) * 0.03)


def test_what_cannot_be_compared() -> None:
    a, other = judge_codes(["e"], [{"I10"}], [[]]), judge_codes(["f"], [{"I10"}], [[]])
    with pytest.raises(PredictionsError, match="cover different encounters; evaluate both on one split"):
        compare_systems(a, other, ["e"])
    with pytest.raises(PredictionsError, match="judged against different gold codes; use one corpus"):
        compare_systems(a, judge_codes(["e"], [{"R52"}], [[]]), ["e"])
    with pytest.raises(ConfigError, match=r"no figure 'macro\.auc' to compare; there are: micro\.precision"):
        compare_systems(a, a, ["e"], figures=["macro.auc"])
    with pytest.raises(ConfigError, match=r"no subset of figure 'band\.2\.map'; there are: band\.1"):
        compare_systems(a, a, ["e"], figures=["band.2.map"], subsets=[Subset("band", "1", frozenset())])
    dense = judge_dense(np.ones((1, 2), dtype=bool), np.ones((1, 2)), np.ones((1, 2), dtype=bool), labels=["b", "a"])
    with pytest.raises(PredictionsError, match="sort the labels before judging"):
        with_labels(dense, ["a", "b"])
