"""``nosology reproduce``: train and score what a results page shows, and write the page."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nosology.experiments.codiesp import Experiment

_RECIPES = "codiesp_d_es,codiesp_d_en,codiesp_p_es,codiesp_x_es"


class Table(StrEnum):
    """What can be reproduced."""

    CODIESP = "codiesp"


def reproduce(
    table: Annotated[Table, typer.Argument(metavar="TABLE", help="codiesp: CodiEsp D, P and X, scored on dev.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.md", help="The page; FILE.json gets every figure.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Where the corpus lies; NOSOLOGY_DATA's codiesp otherwise."),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="SEEDS", help="Seeds of the trainings, joined by commas.")] = "0,1,2",
    recipes: Annotated[
        str, typer.Option(metavar="NAMES", help="Recipes, joined by commas: files, or names of shipped ones.")
    ] = _RECIPES,
    work: Annotated[
        Path, typer.Option("--work", metavar="DIR", help="Keeps finished trainings, so that a second call goes on.")
    ] = Path("build/reproduce"),
    replicates: Annotated[int, typer.Option(min=1, help="Draws of the bootstrap intervals.")] = 1000,
) -> None:
    """Train every recipe with every seed, score dev, and write the results page.

    A training that is already in the work folder is taken from there, unless its recipe, the data, the libraries or
    the code of this package have changed since.

    Examples:

    \b
      nosology reproduce codiesp --data path/to/codiesp --seeds 0,1,2 --out docs/results.md
      nosology reproduce codiesp --recipes codiesp_d_es --seeds 0 --out d.md
    """
    from nosology.cli.data import tell
    from nosology.cli.progress import progress_bar
    from nosology.errors import ConfigError

    if out.suffix != ".md":
        raise ConfigError(f"{out}: --out names a Markdown file; let it end in .md")
    json_file = out.with_suffix(".json")
    experiment = _experiment(recipes, data, seeds, work / table.value, replicates, (out, json_file))

    from nosology.experiments.codiesp import reproduce_codiesp
    from nosology.experiments.codiesp_page import write_page
    from nosology.experiments.result_page import write_part

    with progress_bar("reading the corpus") as report:
        results = reproduce_codiesp(experiment, progress=report, tell=tell)
    _write(json_file, _as_json(results.to_dict()))
    write_part(out, table.value, write_page(results, _command(table, seeds, recipes, out), json_file.name))
    tell(f"wrote {out} and {json_file}")


def _experiment(
    recipes: str, data: Path | None, seeds: str, work: Path, replicates: int, files: tuple[Path, ...]
) -> Experiment:
    from nosology.cli.data import recipe_with_data
    from nosology.cli.seeds import parse_seeds
    from nosology.config import load_recipe
    from nosology.evaluation import BootstrapPlan
    from nosology.experiments.codiesp import Experiment
    from nosology.shipped_recipes import find_recipe
    from nosology.whole_files import check_file_target

    for file in files:
        check_file_target(file)
    paths = [find_recipe(name) for name in recipes.split(",")]
    chosen = {path.stem: recipe_with_data(load_recipe(path), data) for path in paths}
    return Experiment(chosen, parse_seeds(seeds), work, BootstrapPlan(replicates=replicates))


def _command(table: Table, seeds: str, recipes: str, out: Path) -> str:
    """The command line as a reader would type it: their data lie elsewhere."""
    chosen = "" if recipes == _RECIPES else f" --recipes {recipes}"
    return f"nosology reproduce {table.value} --data DIR --seeds {seeds}{chosen} --out {out}"


def _as_json(results: dict[str, object]) -> str:
    import json

    return json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _write(file: Path, text: str) -> None:
    from nosology.whole_files import writing_file

    with writing_file(file) as path:
        path.write_text(text, encoding="utf-8")
