"""How often codes occur in a release, against what is published of MIMIC-III."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nosology.errors import MissingExtraError

MIMIC3_DOCUMENTS, MIMIC3_CODES = 52_726, 8_929
MIMIC3_QUANTILES = {0.10: 1.0, 0.25: 2.0, 0.50: 6.0, 0.75: 28.0, 0.90: 137.0, 0.99: 1550.0, 1.0: 20_046.0}
"""Of the number of documents that carry a code, over codes (full version, diagnoses and procedures)."""
_TOP, _LEADING_SHARE = 50, 0.1
_TWICE = 2


class Row(NamedTuple):
    """One measure: its name, MIMIC-III's published value, and ours."""

    name: str
    published: float
    simulated: float


def frequency_rows(counts: npt.NDArray[np.int64], documents: int) -> list[Row]:
    """The measures that are published of MIMIC-III, taken on a release.

    Args:
        counts: documents that carry each code that occurs.
        documents: how many there are.
    """
    falling = np.sort(counts)[::-1]
    total = max(1, int(falling.sum()))
    leading = max(1, round(_LEADING_SHARE * len(falling)))
    return [
        Row("documents", MIMIC3_DOCUMENTS, documents),
        Row("distinct codes", MIMIC3_CODES, len(falling)),
        Row("labels a document", 15.88, total / max(1, documents)),
        *(
            Row(
                "most frequent code" if share == 1.0 else f"frequency, {share:.0%} quantile", value, _at(falling, share)
            )
            for share, value in MIMIC3_QUANTILES.items()
        ),
        Row(f"share of labels, top {_TOP} codes", 0.339, falling[:_TOP].sum() / total),
        Row("share of labels, top 10 % of codes", 0.85, falling[:leading].sum() / total),
        Row("share of codes seen once", 1921 / MIMIC3_CODES, float((falling == 1).mean())),
        Row("share of codes below ten", 0.588, float((falling < 10).mean())),
    ]


def _at(falling: npt.NDArray[np.int64], share: float) -> float:
    return float(np.quantile(falling, share))


def frequency_table(rows: list[Row]) -> str:
    """The measures as aligned text."""
    lines = [f"{'':38} {'MIMIC-III':>10} {'simulated':>10} {'ratio':>6}"]
    for name, published, simulated in rows:
        lines.append(f"{name:38} {_shown(published):>10} {_shown(simulated):>10} {simulated / published:6.2f}")
    return "\n".join(lines)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def plot_frequencies(counts: dict[str, npt.NDArray[np.int64]], path: Path, title: str, scale: float) -> None:
    """Draw frequency by rank on log axes, with MIMIC-III's published quantiles.

    Args:
        counts: per code system, documents that carry each code, most frequent first.
        path: where the picture goes; its ending says which kind.
        title: above the picture.
        scale: our documents for each of MIMIC-III's; its counts are drawn times this.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("A plot", "plots") from None
    figure = Figure(figsize=(7.0, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for system, falling in counts.items():
        ranks = np.arange(1, len(falling) + 1)
        label = f"simulated, {_SYSTEM_NAMES[system]} ({len(falling):,} codes)"
        axes.plot(ranks, falling, drawstyle="steps-mid", linewidth=1.6, label=label)
    shares = np.array(list(MIMIC3_QUANTILES))
    at = np.maximum(1.0, (1.0 - shares) * MIMIC3_CODES)
    name = "MIMIC-III, published quantiles" + ("" if scale == 1.0 else f" × {scale:.3g}")
    values = np.array(list(MIMIC3_QUANTILES.values())) * scale
    axes.plot(at, values, "o", color="black", markerfacecolor="none", markersize=7, label=name)
    axes.set(xscale="log", yscale="log", xlabel="code, by rank", ylabel="documents with the code", title=title)
    axes.set_ylim(bottom=0.7)
    axes.grid(which="major", alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


_SYSTEM_NAMES = {"icd9cm": "ICD-9", "icd10cm": "ICD-10"}
