"""Progress on stderr, where a person watches it; silent in pipes and logs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Report = Callable[[str, float], None]
Item = TypeVar("Item")


@contextmanager
def progress_bar(label: str) -> Generator[Report, None, None]:
    """A bar for one piece of work.

    Args:
        label: shown until the first report.

    Yields:
        A function to call with the stage's name and the fraction done, in [0, 1]; a fraction below 0 means unknown.
    """
    if not sys.stderr.isatty():
        yield lambda stage, fraction: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)

        def report(stage: str, fraction: float) -> None:
            bar.update(task, description=stage, total=None if fraction < 0 else 1.0, completed=max(fraction, 0.0))

        yield report


def tracked(items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
    """Hand the items on, with a bar that counts them.

    Args:
        items: what is worked on, one by one.
        label: what is being done.
        total: how many items there are.
    """
    with progress_bar(label) as report:
        for count, item in enumerate(items, start=1):
            yield item
            report(f"{label} {count}/{total}", count / max(total, 1))
