"""``nosology segments``: the segments that a segmented loss weighs labels in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nosology.cli.data import OnError

if TYPE_CHECKING:
    from nosology.config import Recipe
    from nosology.config.losses import SegmentedHarmonicConfig
    from nosology.losses.segmentation import Segmentation

app = typer.Typer(
    name="segments",
    help="Look at the segments of labels that a segmented loss uses.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_DPI = 160
_NAMED = 3


@app.callback()
def options() -> None:
    """Look at the segments of labels that a segmented loss uses."""


@app.command()
def show(
    what: Annotated[
        str, typer.Argument(metavar="RECIPE|MODEL", help="A model folder, a recipe file, or a shipped recipe's name.")
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Where a recipe's corpus lies; the recipe's own path otherwise."),
    ] = None,
    train_on: Annotated[str, typer.Option(metavar="SPLITS", help="A recipe's splits, joined by +; or all.")] = "train",
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Also draw them, as PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every label's segment.")] = False,
    on_error: Annotated[
        OnError, typer.Option(help="At a broken record of a recipe's corpus: stop, or skip and count it.")
    ] = OnError.RAISE,
) -> None:
    """Show segments: how many labels each has, how frequent they are, what they weigh, how much they co-occur.

    A model shows the segments that it was trained with. A recipe shows those that all its training encounters give, by
    the segmentation of its loss, or by the default one where its loss has none.

    Examples:

    \b
      nosology segments show shl
      nosology segments show shl --plot segments.png
      nosology segments show model
    """
    from nosology.checkpoint import is_model_folder

    folder = Path(what)
    recipe, segments = (
        _of_model(folder, data)
        if folder.is_dir() and is_model_folder(folder)
        else _of_recipe(what, data, train_on, on_error)
    )
    alpha = _harmonic(recipe).alpha
    if plot is not None:
        _draw(segments, alpha, plot)
    if as_json:
        _print_json(segments, alpha)
    else:
        _print_table(segments, alpha)


def _of_model(folder: Path, data: Path | None) -> tuple[Recipe, Segmentation]:
    from nosology.checkpoint import open_model_folder
    from nosology.config import load_recipe
    from nosology.errors import ConfigError, ModelError
    from nosology.neural.kept_segments import load_segments

    if data is not None:
        raise ConfigError("--data belongs to a recipe; a model holds its segments")
    model = open_model_folder(folder)
    segments = load_segments(model)
    if segments is None:
        raise ModelError("this model has no segments: its loss weighs no labels by segments", path=folder)
    return load_recipe(model.file("recipe.toml")), segments


def _of_recipe(name: str, data: Path | None, splits: str, on_error: OnError) -> tuple[Recipe, Segmentation]:
    from nosology.cli.data import choose_splits, read_corpus, recipe_with_data
    from nosology.codes.paths import paths_above
    from nosology.config import load_recipe
    from nosology.losses.facts import LabelFacts, LabelRows
    from nosology.losses.segmentation import segment_labels
    from nosology.shipped_recipes import find_recipe

    recipe = recipe_with_data(load_recipe(find_recipe(name)), data)
    coded = [one for one in choose_splits(read_corpus(recipe, on_error), splits) if one.codes is not None]
    systems = {gold.code: gold.system for one in coded for gold in one.codes or ()}
    every = LabelRows.of_codes(sorted(systems), [one.code_set for one in coded])
    kept = [label for label, count in zip(every.labels, every.counts, strict=True) if count >= _least_notes(recipe)]
    rows = LabelRows.of_codes(kept, [one.code_set for one in coded])
    facts = LabelFacts(rows, lambda: paths_above(kept, systems.__getitem__))
    return recipe, segment_labels(facts, _harmonic(recipe).segmentation)


def _least_notes(recipe: Recipe) -> int:
    return getattr(_trained_part(recipe), "least_notes", 1)


def _trained_part(recipe: Recipe) -> object:
    """The section whose training has a loss, if the recipe has one."""
    return getattr(recipe.model, "network", None) or getattr(recipe.model, "llm", None)


def _harmonic(recipe: Recipe) -> SegmentedHarmonicConfig:
    """The segmented loss of a recipe, itself or inside another one; the default one where it has none."""
    from nosology.config.losses import SegmentedHarmonicConfig

    loss = getattr(_trained_part(recipe), "loss", None)
    loss = getattr(loss, "base", loss) if not isinstance(loss, SegmentedHarmonicConfig) else loss
    return loss if isinstance(loss, SegmentedHarmonicConfig) else SegmentedHarmonicConfig()


# --- views ------------------------------------------------------------------------------------------------------------


def _print_table(segments: Segmentation, alpha: float) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    heading = f"{len(segments.labels):,} labels in {len(segments)} segments, {segments.encounters:,} encounters"
    view = Table(
        title=heading, title_justify="left", title_style="bold cyan", box=box.SIMPLE_HEAD, show_edge=False,
        pad_edge=False, padding=(0, 1),
    )  # fmt: skip
    for column in ("segment", "labels", "encounters a label", "weight", "coupling"):
        view.add_column(column, justify="right", no_wrap=True)
    view.add_column("commonest", overflow="fold")
    for number in range(len(segments)):
        view.add_row(*map(Text, _cells(segments, number, alpha)))
    console.print(view)
    console.print()
    console.print(Text(f"coupling: mean of O_ab / sqrt(n_a n_b); of all pairs {segments.overall_coupling:.5f}", "dim"))
    if bool((segments.counts == 0).any()):
        console.print(Text("the last segment has no examples; its labels weigh 1", "dim"))


def _cells(segments: Segmentation, number: int, alpha: float) -> tuple[str, ...]:
    row = _row(segments, number, alpha)
    low, high = row["fewest"], row["most"]
    weights = f"{row['least_weight']:.2f}–{row['largest_weight']:.2f}"
    encounters = f"{low:,}" if low == high else f"{low:,}–{high:,}"
    return (
        str(number + 1), f"{row['labels']:,}", encounters, weights, f"{row['coupling']:.4f}", ", ".join(row["codes"])
    )  # fmt: skip


def _row(segments: Segmentation, number: int, alpha: float) -> dict[str, Any]:
    import numpy as np

    own = np.flatnonzero(segments.segment_of == number)
    counts, weights = segments.counts[own], segments.weights(alpha)[own]
    commonest = own[np.argsort(-counts, kind="stable")][:_NAMED]
    return {
        "labels": len(own),
        "fewest": int(counts.min()),
        "most": int(counts.max()),
        "least_weight": float(weights.min()),
        "largest_weight": float(weights.max()),
        "coupling": float(segments.coupling[number]),
        "codes": [segments.labels[label] for label in commonest.tolist()],
    }


def _print_json(segments: Segmentation, alpha: float) -> None:
    weights = segments.weights(alpha).tolist()
    numbers = (segments.segment_of + 1).tolist()
    rows = zip(segments.labels, segments.counts.tolist(), numbers, weights, strict=True)
    content = {
        "encounters": segments.encounters,
        "overall_coupling": segments.overall_coupling,
        "segments": [_row(segments, number, alpha) for number in range(len(segments))],
        "labels": [{"code": c, "encounters": n, "segment": s, "weight": w} for c, n, s, w in rows],
    }
    print(json.dumps(content, indent=1, ensure_ascii=False))


def _draw(segments: Segmentation, alpha: float, file: Path) -> None:
    from nosology.cli.data import tell
    from nosology.losses.plots import draw_segments
    from nosology.whole_files import writing_file

    figure = draw_segments(segments, alpha)
    with writing_file(file) as path:
        figure.savefig(path, format="png", dpi=_DPI)
    tell(f"drew {file}")
