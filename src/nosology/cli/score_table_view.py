"""Score tables in a terminal: a score in bold where it is the best, its interval below it; 80 columns are enough."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from nosology.experiments.score_table import Cell, ScoreTable


def render_tables(tables: Iterable[ScoreTable], console: Console | None = None) -> None:
    """Print tables and how to read them; a note that several share is printed once, below the last.

    Args:
        tables: in their order.
        console: where to, standard output by default.
    """
    console = console or Console()
    notes = dict[str, None]()
    for table in tables:
        console.print(_table(table))
        console.print()
        notes |= dict.fromkeys(table.notes)
    for note in notes:
        console.print(Text(note, style="dim"))


def _table(table: ScoreTable) -> Table:
    view = Table(
        title=Text(table.title), title_justify="left", title_style="bold cyan",
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1),
    )  # fmt: skip
    view.add_column("", overflow="fold")
    for heading in table.headings:
        view.add_column(heading, justify="right", no_wrap=True)
    for name, cells in table.rows:
        view.add_row(Text(name), *map(_cell, cells))
    return view


def _cell(cell: Cell) -> Text:
    value = (f"{cell.value:.3f}{cell.mark or ' '}", "bold green" if cell.best else "")
    return Text.assemble(value, "\n", (f"{_short(cell.low)}–{_short(cell.high)} ", "dim"))


def _short(value: float) -> str:
    """Two places, without the zero before them: the score above has three."""
    return f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"
