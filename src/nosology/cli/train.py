"""``nosology train``: a recipe and a corpus in, a model folder out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from nosology.cli.data import OnError


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="MODEL", help="The model folder to make; not with --dry-run.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Where the corpus lies; the recipe's own path otherwise."),
    ] = None,
    train_on: Annotated[
        str, typer.Option(metavar="SPLITS", help="Splits to learn from, joined by +; or all.")
    ] = "train",
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of every random choice; the recipe's otherwise.")
    ] = None,
    on_error: Annotated[OnError, typer.Option(help="At a broken record: stop, or skip and count it.")] = OnError.RAISE,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that MODEL holds.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what training the recipe's network would take; train nothing.")
    ] = False,
) -> None:
    """Learn to code from a corpus, and write a model folder.

    The folder appears whole at the end, or not at all. It remembers where the corpus was, for 'evaluate'. A network
    that was being trained when the command stopped goes on when it is run again; '.MODEL.training' keeps it until then.

    Examples:

    \b
      nosology train simulated --out model
      nosology train codiesp_d_es --data path/to/codiesp --out model
      nosology train my_recipe.toml --data notes.csv --train-on train+dev --seed 7 --out model
      nosology train minilm_laat --dry-run
    """
    from shutil import rmtree

    from nosology.checkpoint import check_model_target
    from nosology.cli.data import choose_splits, read_corpus, recipe_with_data, tell
    from nosology.cli.progress import progress_bar
    from nosology.config import load_recipe
    from nosology.errors import ConfigError
    from nosology.shipped_recipes import find_recipe

    started = time.monotonic()
    chosen = recipe_with_data(load_recipe(find_recipe(recipe)), data)
    if out is None and not dry_run:
        raise ConfigError("say where the model goes: --out MODEL")
    if out is not None and dry_run:
        raise ConfigError("a dry run makes no model; leave out --out")
    if out is not None:
        check_model_target(out, overwrite=overwrite)
    corpus = choose_splits(read_corpus(chosen, on_error), train_on)
    seed = chosen.training.seed if seed is None else seed

    from nosology.coder import Coder

    if out is None:
        with progress_bar("timing a few steps"):
            found = Coder.dry_run(corpus, chosen, seed=seed)
        print(found)
        return
    work = out.absolute().with_name(f".{out.name}.training")
    with progress_bar("training") as report:
        coder = Coder.fit(corpus, chosen, seed=seed, progress=report, work=work)
        report("writing the model", -1.0)
        coder.save(out, overwrite=overwrite)
    rmtree(work, ignore_errors=True)
    for remark in coder.training_remarks:
        tell(remark)
    tell(
        f"trained on {len(corpus)} encounters with {len(coder.label_counts)} codes "
        f"in {time.monotonic() - started:.0f} s: {out}"
    )
