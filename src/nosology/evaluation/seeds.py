"""A figure over several trainings that differ in their seed alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from nosology.evaluation.comparison import DEFAULT_FIGURES, by_subset, part_of
from nosology.evaluation.draws import BootstrapPlan, Draw, draw_groups
from nosology.evaluation.figures import figure_replicates
from nosology.evaluation.judgements import Bools, Floats, Judgements
from nosology.evaluation.pairing import paired, shared_space
from nosology.evaluation.subsets import Subset


@dataclass(frozen=True, slots=True)
class SeedSummary:
    """One figure over trainings that differ in their seed alone.

    Args:
        figure: its dotted name.
        mean: over seeds.
        sd: standard deviation over seeds (n - 1); 0 for one seed.
        seeds: how many.
        seed_low, seed_high: mean +- t(seeds - 1) sd / sqrt(seeds): where the mean of endlessly many seeds lies, the
            encounters being those evaluated; the mean itself for one seed.
        low, high: the same with the encounters' share added: mean +- sqrt(h^2 + (z e)^2), h the half-width above, e the
            standard deviation of the mean over bootstrap replicates of the groups, z the normal quantile (Zou & Donner,
            2008, Statistics in Medicine 27: half-widths of independent parts add in squares).
    """

    figure: str
    mean: float
    sd: float
    seeds: int
    seed_low: float
    seed_high: float
    low: float
    high: float


def aggregate_seeds(
    judged: Sequence[Judgements],
    groups: Sequence[str],
    *,
    figures: Collection[str] = DEFAULT_FIGURES,
    subsets: Collection[Subset] = (),
    label_space: Collection[str] = (),
    plan: BootstrapPlan | None = None,
) -> dict[str, SeedSummary]:
    """Mean, spread and intervals of each figure over seeds.

    Args:
        judged: one for each seed, on the same encounters.
        groups: the group of each encounter.
        figures, subsets, label_space, plan: as for ``compare_systems``.

    Raises:
        PredictionsError: the seeds do not share encounters and gold codes.
        ConfigError: an unknown figure or subset, or no seed.
    """
    plan = plan or BootstrapPlan()
    seeds = [one for one, _ in paired(judged, judged)]
    draw, space = draw_groups(groups, plan), shared_space(seeds, label_space)
    found = dict[str, SeedSummary]()
    for subset, names in by_subset(figures, subsets).items():
        rows, labels = (None, None) if subset is None else subset.masks(seeds[0])
        part = draw if rows is None else Draw(draw.group_of[rows], draw.weights)
        inside = space if labels is None else space[labels]
        chosen = [part_of(subset, one) for one in seeds]
        whole, drawn = (_stacked(chosen, names, where, inside) for where in (part.whole(), part))
        for full, name in names.items():
            spread = float(drawn[name].mean(axis=0).std(ddof=1)) if plan.replicates > 1 else 0.0
            found[full] = summarise_seeds(full, whole[name][:, 0], spread, plan.level)
    return {name: found[name] for name in figures}


def _stacked(seeds: Sequence[Judgements], names: Mapping[str, str], draw: Draw, space: Bools) -> dict[str, Floats]:
    """``[seed, replicate]`` of each figure."""
    rows = [figure_replicates(judged, draw, list(names.values()), space=space) for judged in seeds]
    return {name: np.stack([row[name] for row in rows]) for name in names.values()}


def summarise_seeds(figure: str, values: Floats, spread: float, level: float = 0.95) -> SeedSummary:
    """Bring seeds and encounters together; see ``SeedSummary`` for the formulas.

    Args:
        figure: its name.
        values: one a seed.
        spread: standard deviation of their mean over bootstrap replicates of the encounters' groups.
        level: of the intervals.
    """
    from scipy.special import stdtrit

    n, mean, tail = len(values), float(values.mean()), (1 + level) / 2
    sd = float(values.std(ddof=1)) if n > 1 else 0.0
    half = float(stdtrit(n - 1, tail)) * sd / n**0.5 if n > 1 else 0.0
    wide = math.hypot(half, NormalDist().inv_cdf(tail) * spread)
    return SeedSummary(figure, mean, sd, n, mean - half, mean + half, mean - wide, mean + wide)
