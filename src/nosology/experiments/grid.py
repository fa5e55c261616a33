"""A grid of runs: every recipe with every seed, one after another, taken up again after any interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from nosology.config import Recipe
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
    clock = _Clock(len(rows) * len(seeds))
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


def duration(seconds: float) -> str:
    """A time for people: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(slots=True, init=False)
class _Clock:
    """Counts runs, and guesses how long the rest will take from how long those like them took."""

    total: int
    done: int
    seconds: dict[str, list[float]]

    def __init__(self, total: int) -> None:
        self.total, self.done, self.seconds = total, 0, {}

    def report(self, label: str, progress: Progress) -> Progress:
        """Turns the progress of one run into that of all."""
        done = self.done

        def told(stage: str, share: float) -> None:
            whole = (done + min(max(share, 0.0), 1.0)) / self.total
            progress(f"{label} ({done + 1}/{self.total}): {stage}", whole)

        return told

    def ended(self, name: str, seconds: float | None) -> None:
        """Count a run; without seconds it was there already."""
        self.done += 1
        if seconds is not None:
            self.seconds.setdefault(name, []).append(seconds)

    def left(self, names: Sequence[str]) -> str:
        """What to say of the runs still to do."""
        if not names or not self.seconds:
            return ""
        average = fmean(fmean(values) for values in self.seconds.values())
        guess = sum(fmean(self.seconds.get(name) or [average]) for name in names)
        return f"; {len(names)} to go, about {duration(guess)}"


def _after(rows: Sequence[Row], seeds: Sequence[int], row: Row, seed: int) -> list[str]:
    names = [one.name for one in rows for _ in seeds]
    place = [one.name for one in rows].index(row.name) * len(seeds) + list(seeds).index(seed)
    return names[place + 1 :]


def _what_was_done(run: Run) -> str:
    if run.reused:
        return "taken from an earlier call"
    return f"trained in {run.facts.train_seconds:.0f} s, coded {run.facts.notes_per_second:.0f} notes/s"
