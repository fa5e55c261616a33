"""The plots of ``nosology stats``: one question each, readable in print and on a slide.

Code frequencies come on log axes, one curve a code system, as in the figures that started the work on experts for rare
codes: a few codes hold most of the occurrences, and thousands occur once or twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nosology.corpora.statistics.labels import ChapterRow
from nosology.corpora.statistics.lengths import LIMITS
from nosology.corpora.statistics.report import CorpusStatistics
from nosology.corpora.statistics.table import Ints
from nosology.corpora.statistics.tables import system_title
from nosology.errors import MissingExtraError

# Colours that stay apart for colour-blind readers and in grey (Okabe and Ito, 2008).
_COLOURS = {"icd9cm": "#0072B2", "icd9proc": "#56B4E9", "icd10cm": "#D55E00", "icd10pcs": "#E69F00"}
_OTHER = "#009E73"
_INK, _QUIET, _GRID = "#222222", "#666666", "#E4E4E4"
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 24,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "legend.frameon": False,
    "figure.figsize": (7.2, 4.4),
    "figure.dpi": 100,
}


def draw_plots(statistics: CorpusStatistics) -> Iterator[tuple[str, Any]]:
    """Draw one plot after another, without a screen and without touching the settings of matplotlib.

    Yields:
        A file name without suffix, and the ``matplotlib.figure.Figure``.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("Plotting", "plots") from None
    style: Any = _STYLE
    for name, draw in _plots(statistics):
        with matplotlib.rc_context(style):
            figure = Figure()
            draw(figure.subplots(), statistics)
        yield name, figure


def _plots(statistics: CorpusStatistics) -> Iterator[tuple[str, Callable[[Any, CorpusStatistics], None]]]:
    if statistics.series.frequencies:
        yield "code_frequency", _frequency
        yield "cumulative_share", _cumulative
        yield "cardinality", _cardinality
    yield "length", _length
    for family in sorted({_family(row.system) for row in statistics.chapters}):
        yield f"chapters_{family}", _chapters_of(family)


def _frequency(axes: Any, statistics: CorpusStatistics) -> None:
    for system, counts in statistics.series.frequencies.items():
        ranks = np.arange(1, len(counts) + 1)
        axes.plot(ranks, counts, color=_colour(system), linewidth=2, label=_legend(system, counts))
        once = int(np.searchsorted(-counts, -1))
        if once < len(counts):
            axes.plot([once + 1], [1], "o", markersize=6, color=_colour(system), clip_on=False)
    axes.set_ylim(bottom=0.7)
    axes.set(xscale="log", yscale="log", xlabel="rank of the code", ylabel="documents with the code")
    _titled(axes, "How often a code occurs", f"{statistics.corpus}; a dot marks the first code that occurs once")
    _plain_log(axes.xaxis, axes.yaxis)
    axes.legend(loc="lower left")


def _cumulative(axes: Any, statistics: CorpusStatistics) -> None:
    for system, counts in statistics.series.frequencies.items():
        share = np.cumsum(counts) / counts.sum()
        codes = np.arange(1, len(counts) + 1) / len(counts)
        axes.plot(100 * codes, 100 * share, color=_colour(system), linewidth=2, label=system_title(system))
        tenth = -(-len(counts) // 10)
        axes.plot([100 * codes[tenth - 1]], [100 * share[tenth - 1]], "o", color=_colour(system), markersize=6)
    axes.set(xlim=(0, 100), ylim=(0, 101), xlabel="most frequent codes, % of all codes", ylabel="% of occurrences")
    tenths = ", ".join(_tenth(counts) for counts in statistics.series.frequencies.values())
    _titled(axes, "A few codes hold most occurrences", f"dots: the most frequent tenth of the codes ({tenths})")
    axes.legend(loc="lower right")


def _tenth(counts: Ints) -> str:
    return f"{100 * counts[: -(-len(counts) // 10)].sum() / counts.sum():.0f} %"


def _cardinality(axes: Any, statistics: CorpusStatistics) -> None:
    values = statistics.series.cardinality
    most = int(np.percentile(values, 99.5)) if len(values) else 0
    clipped = np.minimum(values, most + 1)
    heights = np.bincount(clipped, minlength=most + 2)
    positions = np.arange(len(heights))
    colours = [_OTHER] * (len(heights) - 1) + [_QUIET]
    axes.bar(positions, heights, color=colours, width=0.9)
    summary = statistics.cardinality
    axes.axvline(summary.mean, color=_INK, linewidth=1.2, linestyle="--")
    axes.annotate(
        f"mean {summary.mean:.1f}", (summary.mean, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -10),
        textcoords="offset points", color=_INK,
    )  # fmt: skip
    axes.set(xlabel="codes of a document", ylabel="documents")
    axes.grid(visible=False, axis="x")
    over = int(heights[-1])
    rest = f"; grey: {over:,} with more than {most}" if over else ""
    _titled(axes, "Codes a document", f"{len(values):,} documents, at most {summary.maximum:.0f} codes{rest}")
    _thousands(axes.yaxis)


def _length(axes: Any, statistics: CorpusStatistics) -> None:
    words = statistics.series.words
    end = max(float(np.percentile(words, 99.5)), 10.0)
    axes.hist(np.minimum(words, end), bins=min(60, max(10, len(words) // 5)), color=_COLOURS["icd9cm"], alpha=0.85)
    for limit in LIMITS:
        if limit < end:
            axes.axvline(limit, color=_INK, linewidth=1, linestyle=":")
            cut = 100 * float(np.mean(words > limit))
            axes.annotate(
                f"{limit:,}\n{cut:.0f} % longer", (limit, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -22),
                textcoords="offset points", fontsize=8, color=_INK,
            )  # fmt: skip
    axes.set(xlabel="words of a document", ylabel="documents", xlim=(0, end))
    axes.grid(visible=False, axis="x")
    lengths = statistics.lengths[0].lengths
    _titled(axes, "Length of a document", f"mean {lengths.mean:,.0f} words, median {lengths.median:,.0f}, "
            f"longest {lengths.maximum:,.0f} (the last bar holds all above {end:,.0f})")  # fmt: skip
    _thousands(axes.xaxis, axes.yaxis)


def _chapters_of(family: str) -> Callable[[Any, CorpusStatistics], None]:
    def draw(axes: Any, statistics: CorpusStatistics) -> None:
        rows = [row for row in statistics.chapters if _family(row.system) == family]
        _draw_chapters(axes, rows)

    return draw


def _draw_chapters(axes: Any, rows: Sequence[ChapterRow]) -> None:
    total = sum(row.occurrences for row in rows)
    shown = sorted(rows, key=lambda row: row.occurrences)[-24:]
    positions = np.arange(len(shown))
    shares = [100 * row.occurrences / total for row in shown]
    axes.figure.set_size_inches(8.4, 1.4 + 0.27 * len(shown))
    axes.barh(positions, shares, color=[_colour(row.system) for row in shown], height=0.74)
    axes.set_yticks(positions, [_chapter_name(row) for row in shown], fontsize=8, color=_INK)
    for position, share, row in zip(positions, shares, shown, strict=True):
        axes.annotate(f"{share:.1f} %  {row.codes:,} codes", (share, position), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize=7.5, color=_QUIET)  # fmt: skip
    axes.set(xlabel="% of the occurrences", xlim=(0, max(shares) * 1.25))
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    names = {row.system: system_title(row.system) for row in rows}
    hidden = f"; {len(rows) - len(shown)} small chapters not shown" if len(rows) > len(shown) else ""
    _titled(axes, "Where the codes come from", " and ".join(names.values()) + f", {total:,} occurrences{hidden}")
    _system_legend(axes, names)


def _chapter_name(row: ChapterRow) -> str:
    title = row.title or "codes in no table"
    short = title if len(title) <= 46 else title[:45].rstrip(" ,;") + "…"
    return f"{short}  {row.chapter}".rstrip()


def _system_legend(axes: Any, names: Mapping[str, str]) -> None:
    if len(names) > 1:
        from matplotlib.patches import Patch

        handles = [Patch(color=_colour(system), label=title) for system, title in names.items()]
        axes.legend(handles=handles, loc="lower right")


def _family(system: str) -> str:
    """Systems that one plot shows together."""
    return next((family for family in ("icd9", "icd10") if system.startswith(family)), system)


def _colour(system: str) -> str:
    return _COLOURS.get(system, _OTHER)


def _legend(system: str, counts: Ints) -> str:
    once = int(np.sum(counts == 1))
    return f"{system_title(system)}: {len(counts):,} codes, {once:,} once"


def _titled(axes: Any, title: str, below: str) -> None:
    axes.set_title(title, color=_INK)
    axes.annotate(below, (0, 1), xycoords="axes fraction", xytext=(0, 8), textcoords="offset points", fontsize=9,
                  color=_QUIET)  # fmt: skip


def _thousands(*which: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for axis in which:
        axis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axis.set_major_formatter(FuncFormatter(_with_separators))


def _plain_log(*which: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    for axis in which:
        axis.set_major_formatter(FuncFormatter(_with_separators))


def _with_separators(value: float, position: int | None) -> str:
    return f"{value:,.0f}" if value == 0 or value >= 1 else ""
