"""A grid of runs: every recipe with every seed, one after another, taken up again after any interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nosology.config import Recipe
from nosology.experiments.clock import Clock
from nosology.experiments.runs import Material, Progress, Run, run_or_reuse


@dataclass(frozen=True, eq=False)
class Row:
    """One recipe of a grid.

    Args:
        name: of its runs' folders, unique in the grid.
        recipe: what to train.
        material: what to learn from and what to code.
    """

    name: str
    recipe: Recipe
    material: Material


def run_grid(
    rows: Sequence[Row], seeds: Sequence[int], *, work: Path, progress: Progress, tell: Callable[[str], None]
) -> dict[str, tuple[Run, ...]]:
    """Train and code what earlier calls have not.

    Args:
        rows: the recipes.
        seeds: of the trainings.
        work: the folder that keeps finished runs.
        progress: told the stage and the share of all runs that is done.
        tell: told a line after each run.

    Returns:
        By row name, one run a seed.

    Raises:
        ConfigError: ``work`` cannot be written.
    """
    clock = Clock(len(rows) * len(seeds))
    runs: dict[str, tuple[Run, ...]] = {}
    for row in rows:
        done = list[Run]()
        for seed in seeds:
            report = clock.report(f"{row.name}, seed {seed}", progress)
            started = time.monotonic()
            done.append(run_or_reuse(row.name, row.recipe, row.material, seed=seed, work=work, progress=report))
            clock.ended(row.name, None if done[-1].reused else time.monotonic() - started)
            tell(f"{row.name}, seed {seed}: {_what_was_done(done[-1])}{clock.left(_after(rows, seeds, row, seed))}")
        runs[row.name] = tuple(done)
    return runs


def _after(rows: Sequence[Row], seeds: Sequence[int], row: Row, seed: int) -> list[str]:
    names = [one.name for one in rows for _ in seeds]
    place = [one.name for one in rows].index(row.name) * len(seeds) + list(seeds).index(seed)
    return names[place + 1 :]


def _what_was_done(run: Run) -> str:
    if run.reused:
        return "taken from an earlier call"
    return f"trained in {run.facts.train_seconds:.0f} s, coded {run.facts.notes_per_second:.0f} notes/s"
