"""What tables of figures are made of: numbers, intervals, bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from nosology.evaluation.uncertainty import Interval

_BAR_CELLS = 20
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def plain_table(title: str, first: str, *others: str) -> Table:
    """A table without lines; all columns but the first hold numbers."""
    table = Table(
        title=title, title_justify="left", title_style="bold cyan", caption_justify="left", caption_style="dim",
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1),
    )  # fmt: skip
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def score(value: float) -> str:
    """Three digits."""
    return f"{value:.3f}"


def percent(value: float) -> str:
    """A share in per cent."""
    return f"{100 * value:.1f} %"


def interval(found: Interval | None) -> str:
    """Both ends, or nothing."""
    return "" if found is None else f"{found.low:.3f} to {found.high:.3f}"


def plural(count: int, noun: str) -> str:
    """A number and its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def nested_bar(inner: float, outer: float) -> Text:
    """A bar of length ``inner`` continued in a lighter colour to ``outer``, both shares of the full width."""
    solid = bar(inner)
    rest = max(round(outer * _BAR_CELLS) - len(solid), 0)
    return Text.assemble((solid, "green"), ("░" * rest, "dim"))


def bar(share: float) -> str:
    """A bar of this share of the full width."""
    eighths = round(max(0.0, min(share, 1.0)) * _BAR_CELLS * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
