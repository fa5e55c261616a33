"""An experiment's plots: scores of every method on every corpus, and by how often training has a code."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosology.errors import MissingExtraError
from nosology.experiments.score_table import Cell, ScoreTable
from nosology.whole_files import writing_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nosology.experiments.runner import Results

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#000000")
"""Okabe and Ito's, which people with any colour vision can tell apart."""
_MARKERS = "osD^vPX*"
_DOTS_PER_INCH = 150


def check_plots() -> None:
    """Refuse early where nothing can be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("plotting", "plots")


def write_plots(results: Results, folder: Path) -> list[Path]:
    """Write ``scores.png``, and ``by_band.png`` where training frequencies are known.

    Args:
        results: what was found.
        folder: where to; must exist.

    Returns:
        The files.
    """
    made = {"scores.png": draw_scores([one.overall for one in results.scores])}
    banded = [one.by_band for one in results.scores if one.by_band is not None]
    if banded:
        made["by_band.png"] = draw_bands(banded)
    for name, figure in made.items():
        with writing_file(folder / name) as path:
            figure.savefig(path, format="png", dpi=_DOTS_PER_INCH)
    return [folder / name for name in made]


def draw_scores(tables: Sequence[ScoreTable]) -> Figure:
    """A panel a corpus: every method's figures as points with intervals, the best on top."""
    columns = len(tables[0].headings)
    figure, axes = _panels(len(tables), columns, width=1.9, height=0.36 * len(tables[0].rows) + 0.9)
    for line, table in zip(axes, tables, strict=True):
        names = [name for name, _ in table.rows]
        for number, (axis, heading) in enumerate(zip(line, table.headings, strict=True)):
            for place, (_, cells) in enumerate(reversed(table.rows)):
                style = _style(len(names) - 1 - place)
                _point(axis, cells[number], place, style)
            axis.set_yticks(range(len(names)), list(reversed(names)))
            axis.tick_params(labelbottom=True)
            axis.set_ylim(-0.6, len(names) - 0.4)
            axis.set_xlabel(heading)
            axis.set_xlim(left=0.0)
            axis.grid(axis="x", alpha=0.3)
            axis.locator_params(axis="x", nbins=4)
        line[0].set_title(table.title, loc="left", fontweight="bold", fontsize=10)
    return figure


def draw_bands(tables: Sequence[ScoreTable]) -> Figure:
    """A panel a corpus: micro-F1 with intervals over bands of training frequency, a line a method."""
    figure, axes = _panels(1, len(tables), width=3.6, height=3.6)
    for axis, table in zip(axes[0], tables, strict=True):
        methods = len(table.rows)
        for number, (name, cells) in enumerate(table.rows):
            shift = (number - (methods - 1) / 2) * 0.5 / max(1, methods)
            places = [place + shift for place in range(len(cells))]
            values = [cell.value for cell in cells]
            errors = [[cell.value - cell.low for cell in cells], [cell.high - cell.value for cell in cells]]
            axis.errorbar(places, values, yerr=errors, label=name, linewidth=1.2, capsize=2, **_style(number))
        axis.set_xticks(range(len(table.headings)), table.headings)
        axis.set_xlim(-0.6, len(table.headings) - 0.4)
        axis.set_xlabel("training encounters with the code")
        axis.set_title(table.title.split(":")[0], loc="left", fontweight="bold", fontsize=10)
        axis.set_ylim(bottom=0.0)
        axis.grid(axis="y", alpha=0.3)
    axes[0][0].set_ylabel("micro-F1")
    lines, names = axes[0][0].get_legend_handles_labels()
    columns = _legend_columns(names, float(figure.get_figwidth()))
    figure.legend(lines, names, frameon=False, fontsize=9, loc="outside upper center", ncols=columns)
    return figure


def _legend_columns(names: Sequence[str], inches: float) -> int:
    """As many as fit beside one another: a letter of 9 points takes about 0.08 inches, a line and its space 0.7."""
    return max(1, min(len(names), int(inches / (0.08 * max(len(name) for name in names) + 0.7))))


def _panels(rows: int, columns: int, *, width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns + 1.4, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex="col" if rows > 1 else False, sharey="row")
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _point(axis: Any, cell: Cell, place: float, style: dict[str, str]) -> None:
    error = [[max(0.0, cell.value - cell.low)], [max(0.0, cell.high - cell.value)]]
    axis.errorbar([cell.value], [place], xerr=error, capsize=2, linestyle="none", **style)


def _style(number: int) -> dict[str, str]:
    return {"color": _COLOURS[number % len(_COLOURS)], "marker": _MARKERS[number % len(_MARKERS)]}
