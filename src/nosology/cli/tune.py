"""``nosology tune``: search the keys of a recipe for the best score on dev."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nosology.cli.data import OnError

if TYPE_CHECKING:
    from nosology.experiments.tuning import Found


def tune(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")],
    space: Annotated[
        Path, typer.Option("--space", metavar="FILE", help="A TOML file of arms and what they may choose.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Takes the journal, all trials and the best recipe.")
    ],
    trials: Annotated[int, typer.Option(min=1, max=10_000, help="Trials for each arm.")] = 20,
    arms: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Arms of the file to search, joined by commas; all otherwise.")
    ] = None,
    metric: Annotated[str, typer.Option(metavar="FIGURE", help="What to raise: micro.f1, map, ...")] = "micro.f1",
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Where the corpus lies; the recipe's own path otherwise."),
    ] = None,
    split: Annotated[str, typer.Option(metavar="SPLITS", help="Splits to judge trials on; never test.")] = "dev",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search and of every training.")] = 0,
    on_error: Annotated[OnError, typer.Option(help="At a broken record: stop, or skip and count it.")] = OnError.RAISE,
) -> None:
    """Search a recipe's keys, with as many trials for each arm, and write the best recipe.

    Trials learn from train and are judged on dev. Call it again after an interruption, or with more trials: finished
    trials are kept in DIR.

    Examples:

    \b
      nosology tune tfidf_codiesp_d_es --space space.toml --trials 30 --out build/tuned
      nosology train build/tuned/best.toml --data path/to/codiesp --out model
    """
    from nosology.cli.data import choose_splits, read_corpus, recipe_with_data, tell
    from nosology.cli.folders import make_folder
    from nosology.cli.progress import progress_bar
    from nosology.config import load_recipe
    from nosology.experiments.runs import Material
    from nosology.experiments.search_space import read_space
    from nosology.experiments.tuning import Search
    from nosology.experiments.tuning import tune as search_for_best
    from nosology.shipped_recipes import find_recipe

    _refuse_test(split)
    base = recipe_with_data(load_recipe(find_recipe(recipe)), data)
    chosen = read_space(space, base, arms.split(",") if arms else ())
    corpus = read_corpus(base, on_error)
    material = Material(corpus.split("train"), choose_splits(corpus, split))
    search = Search(base, chosen, trials, metric, seed, make_folder(out))
    with progress_bar("searching") as report:
        found = search_for_best(search, material, progress=report, tell=tell)
    _show(found, metric, split)
    tell(f"wrote best.toml and trials.csv to {out}")


def _refuse_test(split: str) -> None:
    from nosology.errors import ConfigError

    parts = split.split("+")
    if "test" in parts or "all" in parts:
        raise ConfigError(f"--split {split}: settings chosen on test would make its scores worthless; tune on dev")
    if "train" in parts:
        raise ConfigError(f"--split {split}: trials learn from train, so it cannot judge them; tune on dev")


def _show(found: Found, metric: str, split: str) -> None:
    """The best trial of each arm."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"Best of each arm, {metric} on {split}", title_justify="left", title_style="bold cyan",
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1),
    )  # fmt: skip
    for heading in ("arm", "trials", "refused", "best", "with"):
        table.add_column(heading, justify="left" if heading in ("arm", "with") else "right", overflow="fold")
    for arm in dict.fromkeys(one.arm for one in found.tried):
        own = [one for one in found.tried if one.arm == arm]
        scored = [one for one in own if one.score is not None]
        best = max(scored, key=lambda one: one.score or 0.0, default=None)
        score = "-" if best is None else f"{best.score:.4f}"
        told = "" if best is None else best.told
        style = "bold green" if best == found.best else ""
        table.add_row(arm, str(len(own)), str(len(own) - len(scored)), score, told, style=style)
    Console().print(table)
