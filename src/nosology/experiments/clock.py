"""How much of a long piece of work is done, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from nosology.experiments.runs import Progress


def duration(seconds: float) -> str:
    """A time for people: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(slots=True, init=False)
class Clock:
    """Counts pieces of work, and guesses how long the rest will take from how long those of the same name took."""

    total: int
    done: int
    seconds: dict[str, list[float]]

    def __init__(self, total: int, done: int = 0) -> None:
        self.total, self.done, self.seconds = total, done, {}

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
