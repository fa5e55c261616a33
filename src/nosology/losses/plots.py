"""Segments drawn: who is in which, what each label weighs, and how much its labels still occur together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nosology.errors import MissingExtraError
from nosology.losses.segmentation import Segmentation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GREY = "#9a9a9a"


def draw_segments(segments: Segmentation, alpha: float = 1.0) -> Figure:
    """Frequency by rank, weight by frequency, and internal coupling, one colour a segment.

    Args:
        segments: what to draw.
        alpha: power of the weights.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("Plotting", "plots") from None
    figure = Figure(figsize=(12.5, 3.9), layout="constrained")
    by_rank, by_weight, by_coupling = figure.subplots(1, 3)
    colours = colormaps["viridis"](np.linspace(0.0, 0.92, len(segments)))
    _ranks(by_rank, segments, colours)
    _weights(by_weight, segments, colours, alpha)
    _couplings(by_coupling, segments, colours)
    for axes in (by_rank, by_weight, by_coupling):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure


def _ranks(axes: Any, segments: Segmentation, colours: Any) -> None:
    order = np.argsort(-segments.counts, kind="stable")
    rank = np.empty(len(order))
    rank[order] = np.arange(1, len(order) + 1)
    for number, colour in enumerate(colours):
        own = (segments.segment_of == number) & (segments.counts > 0)
        axes.scatter(rank[own], segments.counts[own], s=14, color=colour, linewidths=0)
    axes.set(xscale="log", yscale="log", xlabel="label, by falling frequency", ylabel="training encounters")
    axes.set_title("Frequency", loc="left", fontsize=11)


def _weights(axes: Any, segments: Segmentation, colours: Any, alpha: float) -> None:
    weights, seen = segments.weights(alpha), segments.counts > 0
    counts = np.sort(segments.counts[seen])
    whole = len(counts) / (1.0 / counts).sum() if len(counts) else 1.0
    axes.plot(counts, (whole / counts) ** alpha, color=_GREY, linewidth=1.2, label="one segment for all")
    for number, colour in enumerate(colours):
        own = (segments.segment_of == number) & seen
        axes.scatter(segments.counts[own], weights[own], s=14, color=colour, linewidths=0)
    axes.set(xscale="log", yscale="log", xlabel="training encounters", ylabel="weight")
    axes.set_title("Weight of a label", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9)


def _couplings(axes: Any, segments: Segmentation, colours: Any) -> None:
    axes.bar(np.arange(1, len(segments) + 1), segments.coupling, color=colours, width=0.8)
    axes.axhline(segments.overall_coupling, color=_GREY, linewidth=1.2, label="all pairs of labels")
    axes.set(xlabel="segment", ylabel="mean coupling of its pairs")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_title("Co-occurrence inside", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
