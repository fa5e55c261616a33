"""``nosology experiment``: a grid of recipes run, scored, and written as tables and plots."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Size(StrEnum):
    """How much is run."""

    CPU = "cpu"
    FULL = "full"


def experiment(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The experiment; left out, all are listed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Takes tables, plots and finished runs.")
    ] = None,
    size: Annotated[Size, typer.Option(help="cpu: within 2 hours on 2 cores; full: for a GPU.")] = Size.CPU,
    seeds: Annotated[str, typer.Option(metavar="SEEDS", help="Seeds of the trainings, joined by commas.")] = "0,1,2",
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="The folder that holds codiesp and others; NOSOLOGY_DATA's otherwise."
        ),
    ] = None,
    replicates: Annotated[int, typer.Option(min=1, help="Draws of the intervals, and swaps of the tests.")] = 1000,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Also put the tables into this page, as a part of it.")
    ] = None,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="Write tables only.")] = False,
) -> None:
    """Train and score a grid of recipes, and write one table and one plot of all.

    Call it again after an interruption: finished runs are taken from DIR/runs, unless their recipe, the data, the
    libraries or the code of this package have changed since.

    Examples:

    \b
      nosology experiment
      nosology experiment baselines --size cpu --seeds 0,1,2 --out build/baselines
    """
    if name is None:
        return _list()
    from nosology.cli.data import tell
    from nosology.cli.folders import make_folder
    from nosology.cli.progress import progress_bar
    from nosology.cli.score_table_view import render_tables
    from nosology.cli.seeds import parse_seeds
    from nosology.errors import ConfigError
    from nosology.evaluation import BootstrapPlan
    from nosology.experiments.declaration import find_experiment
    from nosology.experiments.plots import check_plots, write_plots
    from nosology.experiments.report_files import page_of, write_results
    from nosology.experiments.result_page import write_part
    from nosology.experiments.runner import Request, run_experiment

    chosen = find_experiment(name)
    if out is None:
        raise ConfigError("--out DIR is missing; it takes the tables, and keeps finished runs")
    if not no_plots:
        check_plots()
    plan = BootstrapPlan(replicates=replicates)
    request = Request(name, size.value, parse_seeds(seeds), data or _default_data(), make_folder(out), plan)
    with progress_bar("reading corpora") as report:
        results = run_experiment(chosen, request, progress=report, tell=tell)
    files = write_results(results, out)
    if page is not None:
        write_part(page, name, page_of(results))
    if not no_plots:
        files += write_plots(results, out)
    render_tables(results.tables)
    tell(f"wrote {', '.join(file.name for file in files)} to {out}")


def _list() -> None:
    from nosology.experiments.declaration import experiment_names, find_experiment

    for name in experiment_names():
        found = find_experiment(name)
        counts = ", ".join(f"{len(arms)} arms at --size {size}" for size, arms in found.arms.items())
        typer.echo(f"{name:<12} {found.title} ({counts})")


def _default_data() -> Path | None:
    value = os.environ.get("NOSOLOGY_DATA", "")
    return Path(value) if value else None
