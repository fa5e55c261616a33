"""Is one system better than another, and how much do seeds matter? Paired tests and intervals for any figure.

Two systems are judged on the same encounters. The bootstrap draws groups of encounters and gives both systems the same
draw; the randomisation test (approximate permutation) swaps the two systems' answers group by group, as it may if there
is no difference between them. Where a system comes with several seeds, the figure is its mean over them, and the seeds
of the two systems are paired in their order.

Reference: Noreen, 1989, Computer-Intensive Methods for Testing Hypotheses; Yeh, 2000, COLING (randomisation of F1).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from nosology.evaluation.draws import BootstrapPlan, Draw, draw_groups
from nosology.evaluation.figures import (
    LabelTables,
    check_names,
    chunks,
    figure_replicates,
    group_sums,
    label_averages,
    labels_with_pairs,
    quotients,
)
from nosology.evaluation.jackknife import LEFT_OUT, macro_leaving_out, standard_error
from nosology.evaluation.judgements import Bools, Floats, Ints, Judgements
from nosology.evaluation.metrics import Counts, ratio
from nosology.evaluation.pairing import paired, shared_space
from nosology.evaluation.subsets import Subset, split_name
from nosology.evaluation.uncertainty import Method

DEFAULT_FIGURES = (
    "micro.precision", "micro.recall", "micro.f1", "macro.f1.caml", "macro.f1.all_labels", "macro.f1.labels_in_split",
    "macro.f1.labels_seen_or_predicted", "map", "p@5", "p@8", "p@15", "r@15", "r_precision", "exact_match",
)  # fmt: skip
"""What is compared when nothing else is asked for."""

_ROUNDING = 1e-12
Systems = Judgements | Sequence[Judgements]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of two systems on the same encounters.

    Args:
        figure: its dotted name.
        first: of the first system (mean over its seeds).
        second: of the second.
        difference: first minus second.
        low: lower end of the interval of the difference.
        high: upper end.
        method: of the interval: percentiles of the bootstrap, or, for macro averages, the jackknife's normal interval.
        p_bootstrap: two-sided: the share of replicates whose difference lies as far from their mean as the difference
            lies from 0.
        p_randomisation: two-sided: the share of random swaps that make a difference as large.
    """

    figure: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    method: Method
    p_bootstrap: float
    p_randomisation: float


def compare_systems(
    first: Systems,
    second: Systems,
    groups: Sequence[str],
    *,
    figures: Collection[str] = DEFAULT_FIGURES,
    subsets: Collection[Subset] = (),
    label_space: Collection[str] = (),
    plan: BootstrapPlan | None = None,
) -> dict[str, Comparison]:
    """Compare two systems figure by figure.

    Args:
        first: candidates of one system judged against gold (``judge_predictions``), or one such for each seed.
        second: the other's, on the same encounters in the same order with the same gold codes; as many seeds.
        groups: the group (patient, article) of each encounter.
        figures: dotted names as in ``EvaluationReport.figures``, areas and calibration left out; a subset's figure
            has the subset's name before it ("band.1-10.micro.f1").
        subsets: what such names may refer to (``nosology.evaluation.subsets``).
        label_space: what averages over all labels run over, beside the codes that are gold or assigned by either: the
            codes of training.
        plan: draws, swaps (as many), seed and level.

    Returns:
        A comparison for each figure, in the order asked.

    Raises:
        PredictionsError: the systems do not share encounters and gold codes.
        ConfigError: an unknown figure or subset, or different numbers of seeds.
    """
    plan = plan or BootstrapPlan()
    pairs = paired(_seeds(first), _seeds(second))
    draw = draw_groups(groups, plan)
    space = shared_space([judged for pair in pairs for judged in pair], label_space)
    found = dict[str, Comparison]()
    for subset, names in by_subset(figures, subsets).items():
        check_names(names.values())
        part = [tuple(part_of(subset, judged) for judged in pair) for pair in pairs]
        rows, labels = (None, None) if subset is None else subset.masks(pairs[0][0])
        chosen = _Paired(
            [(a, b) for a, b in part],
            draw if rows is None else Draw(draw.group_of[rows], draw.weights),
            space if labels is None else space[labels],
            plan,
        )
        compared = chosen.compare(list(names.values()))
        found |= {full: replace(compared[name], figure=full) for full, name in names.items()}
    return {name: found[name] for name in figures}


def _seeds(systems: Systems) -> list[Judgements]:
    return [systems] if isinstance(systems, Judgements) else list(systems)


def by_subset(figures: Collection[str], subsets: Collection[Subset]) -> dict[Subset | None, dict[str, str]]:
    """The figures by the subset they are of: full name -> name inside the subset."""
    known = {subset.name: subset for subset in subsets}
    found = dict[Subset | None, dict[str, str]]()
    for full in figures:
        prefix, name = split_name(full, known)
        found.setdefault(known[prefix] if prefix else None, {})[full] = name
    return found


def part_of(subset: Subset | None, judged: Judgements) -> Judgements:
    """The judgements of a subset, or all of them."""
    return judged if subset is None else subset.of(judged)


@dataclass(frozen=True, slots=True, eq=False)
class _Paired:
    """Pairs of judgements (one a seed) on the same encounters and labels."""

    pairs: Sequence[tuple[Judgements, Judgements]]
    draw: Draw
    space: Bools
    plan: BootstrapPlan

    def compare(self, names: list[str]) -> dict[str, Comparison]:
        whole = [self._replicates(which, self.draw.whole(), names) for which in (0, 1)]
        drawn = [self._replicates(which, self.draw, names) for which in (0, 1)]
        swapped = self._swapped(names)
        left_out = self._jackknifed(names)
        return {
            name: _compared(
                name, float(whole[0][name][0]), float(whole[1][name][0]), drawn[0][name] - drawn[1][name],
                swapped[name], left_out.get(name), self.plan.level,
            )
            for name in names
        }  # fmt: skip

    def _replicates(self, which: int, draw: Draw, names: list[str]) -> dict[str, Floats]:
        seeds = [figure_replicates(pair[which], draw, names, space=self.space) for pair in self.pairs]
        return {name: np.mean([seed[name] for seed in seeds], axis=0) for name in names}

    def _swapped(self, names: list[str]) -> dict[str, Floats]:
        """Differences after random swaps; groups keep or swap both systems' answers to all of their encounters."""
        rng = np.random.default_rng([self.plan.seed, 1])
        keep = rng.integers(0, 2, size=self.draw.weights.shape).astype(np.float64)
        seeds = [_swap(*pair, self.draw.group_of, keep, names, self.space) for pair in self.pairs]
        return {name: np.mean([seed[name] for seed in seeds], axis=0) for name in names}

    def _jackknifed(self, names: list[str]) -> dict[str, Floats]:
        """The difference of means over labels with each group left out."""
        if not any(name in LEFT_OUT for name in names):
            return {}
        group_of, n = self.draw.group_of, self.draw.n_groups
        sides = [
            [macro_leaving_out(pair[which], group_of, n, space=self.space) for pair in self.pairs] for which in (0, 1)
        ]
        return {
            name: np.mean([one[name] for one in sides[0]], axis=0) - np.mean([one[name] for one in sides[1]], axis=0)
            for name in names
            if name in LEFT_OUT
        }


def _compared(
    name: str, first: float, second: float, drawn: Floats, swapped: Floats, left_out: Floats | None, level: float
) -> Comparison:
    difference = first - second
    low, high = (float(end) for end in np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]))
    method: Method = "bootstrap"
    if left_out is not None:
        half = NormalDist().inv_cdf((1 + level) / 2) * standard_error(left_out)
        low, high, method = difference - half, difference + half, "jackknife"
    p_bootstrap = _share(np.abs(drawn - drawn.mean()), difference) if np.ptp(drawn) > 0 else 1.0
    p_random = _share(np.abs(swapped), difference)
    return Comparison(name, first, second, difference, low, high, method, p_bootstrap, p_random)


def _share(distances: Floats, difference: float) -> float:
    """(1 + replicates at least as far) / (1 + replicates), so that no finite number of draws gives 0."""
    return float((1 + (distances >= abs(difference) - _ROUNDING).sum()) / (1 + len(distances)))


def _swap(
    a: Judgements, b: Judgements, group_of: Ints, keep: Floats, names: list[str], space: Bools
) -> dict[str, Floats]:
    """Differences if each group keeps (1) or swaps (0) the answers of the two systems."""
    n_groups = keep.shape[1]
    sides = [group_sums(quotients(judged, names), group_of, n_groups) for judged in (a, b)]
    pooled = list(quotients(a, names))
    found = dict[str, Floats]()
    if pooled:
        values = [
            ratio(*(keep @ sides[one][part] + (1 - keep) @ sides[other][part] for part in (0, 1)))
            for one, other in ((0, 1), (1, 0))
        ]
        found = {name: values[0][:, i] - values[1][:, i] for i, name in enumerate(pooled)}
    averaged = [name for name in names if name not in found]
    return found | (_swap_labels(a, b, group_of, keep, averaged, space) if averaged else {})


def _swap_labels(
    a: Judgements, b: Judgements, group_of: Ints, keep: Floats, names: list[str], space: Bools
) -> dict[str, Floats]:
    labels = np.union1d(labels_with_pairs(a), labels_with_pairs(b))
    tables = [LabelTables.of(judged, group_of, keep.shape[1], labels) for judged in (a, b)]
    inside, n_space = space[labels], int(space.sum())
    parts = list[dict[str, Floats]]()
    for kept in chunks(keep):
        own, other = ([table.counts(weights) for weights in (kept, 1 - kept)] for table in tables)
        mixed = _plus(own[0], other[1]), _plus(other[0], own[1])
        values = [label_averages(counts, names, inside, n_space) for counts in mixed]
        parts.append({name: values[0][name] - values[1][name] for name in names})
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _plus(a: Counts, b: Counts) -> Counts:
    return Counts(a.tp + b.tp, a.fp + b.fp, a.fn + b.fn)
