"""Several systems in one table: scores with intervals, and which differences chance does not explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from nosology.codes.frequency import FrequencyBands
from nosology.evaluation import BootstrapPlan, Judgements
from nosology.evaluation.comparison import Comparison, compare_systems
from nosology.evaluation.seeds import SeedSummary, aggregate_seeds
from nosology.evaluation.subsets import Subset, band_subsets
from nosology.types import Corpus

FIGURES = {
    "micro.f1": "micro-F1",
    "macro.f1.labels_in_split": "macro-F1",
    "map": "MAP",
    "p@8": "P@8",
    "candidate_recall": "found",
}
"""What a table shows when nothing else is asked for, and its headings."""
MARKS = ((0.01, "‡"), (0.05, "†"))
"""A difference with a p-value below the number has the mark."""


@dataclass(frozen=True, eq=False)
class System:
    """What one system said of the encounters, judged against gold; one entry a seed."""

    name: str
    judged: tuple[Judgements, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of one system.

    Args:
        figure: its dotted name.
        value: mean over seeds.
        low, high: its interval, over groups of encounters and seeds.
        sd: over seeds; 0 for one seed.
        difference: from the reference; ``None`` for the reference itself.
        p_value: of no difference, by paired randomisation, corrected by Holm's method for the systems of the table.
        mark: of ``MARKS``, or empty.
        best: whether no other system has more.
    """

    figure: str
    value: float
    low: float
    high: float
    sd: float
    difference: float | None = None
    p_value: float | None = None
    mark: str = ""
    best: bool = False


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Systems by figures.

    Args:
        title: what it shows.
        headings: of the columns, one a figure.
        rows: system name and its cells.
        notes: how to read it, a line each.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain dicts, lists, numbers and strings."""
        rows = [{"system": name, "cells": [asdict(cell) for cell in cells]} for name, cells in self.rows]
        return {"title": self.title, "headings": list(self.headings), "rows": rows, "notes": list(self.notes)}


@dataclass(frozen=True, eq=False)
class Setting:
    """What the systems were scored on, and how.

    Args:
        groups: the group of each encounter, in the judgements' order.
        group_noun: what a group is, in the plural ("articles").
        train_counts: training encounters with each code: the label space, and the bands; empty if not known.
        bands: by how often a code was seen in training.
        plan: draws, swaps, seed and level.
    """

    groups: Sequence[str]
    group_noun: str
    train_counts: Mapping[str, int]
    bands: FrequencyBands
    plan: BootstrapPlan

    @staticmethod
    def of(corpus: Corpus, train_counts: Mapping[str, int], bands: str, plan: BootstrapPlan) -> Setting:
        """The setting of a corpus's encounters, in their order."""
        groups = [encounter.group_id or encounter.encounter_id for encounter in corpus]
        noun = "articles" if corpus.name == "codiesp" else "patients"
        return Setting(groups, noun, train_counts, FrequencyBands.named(bands), plan)


def overall_table(
    systems: Sequence[System], reference: str, setting: Setting, title: str, figures: Mapping[str, str] = FIGURES
) -> ScoreTable:
    """The systems' scores on all encounters.

    Args:
        systems: on the same encounters, with as many seeds each.
        reference: the system that the others are compared with.
        setting: what they were scored on.
        title: of the table.
        figures: dotted names and headings.

    Raises:
        PredictionsError: the systems do not share encounters and gold codes.
        ConfigError: an unknown figure.
    """
    return _table(systems, reference, setting, title, figures, ())


def band_table(systems: Sequence[System], reference: str, setting: Setting, title: str) -> ScoreTable | None:
    """Micro-F1 by how often a code was seen in training, bands without a gold code left out.

    Args and Raises: as ``overall_table``.

    Returns:
        ``None`` where training counts are not known.
    """
    if not setting.train_counts:
        return None
    first = systems[0].judged[0]
    every = sorted({label for system in systems for judged in system.judged for label in judged.labels})
    gold = {first.labels[index] for index in first.gold_label.tolist()}
    subsets = [s for s in band_subsets(every, setting.train_counts, setting.bands) if s.codes and gold & s.codes]
    figures = {f"{subset.name}.micro.f1": _band_heading(subset.value) for subset in subsets}
    return _table(systems, reference, setting, title, figures, subsets)


def _band_heading(name: str) -> str:
    return "unseen" if name in ("0", "unseen") else name


def _table(
    systems: Sequence[System],
    reference: str,
    setting: Setting,
    title: str,
    figures: Mapping[str, str],
    subsets: Sequence[Subset],
) -> ScoreTable:
    space, groups, plan = list(setting.train_counts), setting.groups, setting.plan
    base = next(system for system in systems if system.name == reference)
    compared = {
        system.name: compare_systems(
            system.judged, base.judged, groups, figures=list(figures), subsets=subsets, label_space=space, plan=plan
        )
        for system in systems
        if system is not base
    }
    summaries = {
        system.name: aggregate_seeds(
            system.judged, groups, figures=list(figures), subsets=subsets, label_space=space, plan=plan
        )
        for system in systems
    }
    columns = {figure: _column(figure, summaries, compared) for figure in figures}
    rows = tuple((system.name, tuple(columns[figure][system.name] for figure in figures)) for system in systems)
    return ScoreTable(title, tuple(figures.values()), rows, _notes(systems, reference, setting, bool(subsets)))


def _column(
    figure: str,
    summaries: Mapping[str, Mapping[str, SeedSummary]],
    compared: Mapping[str, Mapping[str, Comparison]],
) -> dict[str, Cell]:
    p_values = holm({name: found[figure].p_randomisation for name, found in compared.items()})
    best = max(found[figure].mean for found in summaries.values())
    cells = dict[str, Cell]()
    for name, found in summaries.items():
        one, p_value = found[figure], p_values.get(name)
        difference = compared[name][figure].difference if name in compared else None
        low, high = max(0.0, one.low), min(1.0, one.high)
        cells[name] = Cell(
            figure, one.mean, low, high, one.sd, difference, p_value, _mark(p_value), one.mean == best > 0.0
        )
    return cells


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values corrected for how many there are: the k-th smallest of m times m - k + 1, never falling, at most 1.

    Reference: Holm, 1979, A simple sequentially rejective multiple test procedure.
    """
    corrected, highest = dict[str, float](), 0.0
    for rank, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, p_value * (len(p_values) - rank)))
        corrected[name] = highest
    return corrected


def _mark(p_value: float | None) -> str:
    return "" if p_value is None else next((mark for limit, mark in MARKS if p_value < limit), "")


def _notes(systems: Sequence[System], reference: str, setting: Setting, by_band: bool) -> tuple[str, ...]:
    seeds, plan = len(systems[0].judged), setting.plan
    n_groups = len(set(setting.groups))
    over = f"{n_groups:,} {setting.group_noun}" + (f" and {seeds} seeds" if seeds > 1 else "")
    lines = ["F1 pooled over the codes that this many training encounters carry."] if by_band else []
    lines.append(f"In brackets {100 * plan.level:g} % intervals over {over}.")
    if len(systems) > 1:
        marks = ", ".join(f"{mark} p < {limit}" for limit, mark in reversed(MARKS))
        lines.append(
            f"{marks}: differs from {reference!r} (paired randomisation test, {plan.replicates:,} swaps by "
            f"{setting.group_noun}, Holm-corrected over the rows)."
        )
    return tuple(lines)
