"""``nosology compare``: several models or predictions files in, one table out, with what chance does not explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nosology.cli.data import OnError

if TYPE_CHECKING:
    from nosology.config import CorpusConfig, Recipe
    from nosology.evaluation import BootstrapPlan
    from nosology.experiments.score_table import ScoreTable, Setting, System
    from nosology.types import Corpus


class Format(StrEnum):
    """How tables are written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"


def compare(
    systems: Annotated[
        list[Path],
        typer.Argument(metavar="SYSTEM...", help="Model folders or predictions files; the first is the reference."),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Where the corpus lies; where it was at training otherwise."),
    ] = None,
    split: Annotated[str, typer.Option(metavar="SPLITS", help="Splits to score, joined by +; or all.")] = "dev",
    recipe: Annotated[
        str | None, typer.Option(metavar="RECIPE", help="The recipe whose corpus all systems are scored on.")
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Names of the systems, joined by commas; their files' otherwise."),
    ] = None,
    figures: Annotated[
        str | None, typer.Option(metavar="FIGURES", help="Figures, joined by commas, e.g. micro.f1,map,p@8.")
    ] = None,
    bands: Annotated[str, typer.Option(help="Frequency bands of the second table: codiesp or published.")] = "codiesp",
    format_: Annotated[Format, typer.Option("--format", help="How the tables are written.")] = Format.TABLE,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write there instead of to the screen.")
    ] = None,
    replicates: Annotated[int, typer.Option(min=1, help="Draws of the intervals, and swaps of the tests.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    on_error: Annotated[OnError, typer.Option(help="At a broken record: stop, or skip and count it.")] = OnError.RAISE,
) -> None:
    """Score several systems on the same encounters and say which differences chance does not explain.

    A model codes the corpus of its own recipe, so that models of one corpus in two languages can be compared, unless
    --recipe names one corpus for all. Predictions files are scored on the corpus of the first model, or of --recipe.

    Examples:

    \b
      nosology compare default tfidf neighbours --split dev
      nosology compare old.jsonl new.jsonl --recipe codiesp_d_es --format markdown --out table.md
    """
    from nosology.codes.frequency import FrequencyBands
    from nosology.errors import ConfigError
    from nosology.evaluation import BootstrapPlan
    from nosology.whole_files import check_file_target, writing_file

    if format_ is Format.TABLE and out is not None:
        raise ConfigError("--out needs --format markdown, latex, csv or json")
    if out is not None:
        check_file_target(out)
    FrequencyBands.named(bands)
    called, headings = _names(systems, names), _headings(figures)
    field = _Field.open(systems, recipe, data, split, on_error)
    judged = [field.judge(path, name) for path, name in zip(systems, called, strict=True)]
    setting = field.setting(bands, BootstrapPlan(replicates=replicates, seed=seed))
    tables = _tables(judged, setting, split, headings)
    if format_ is Format.TABLE:
        from nosology.cli.score_table_view import render_tables

        render_tables(tables)
    elif out is None:
        typer.echo(_written(tables, format_), nl=False)
    else:
        with writing_file(out) as path:
            path.write_text(_written(tables, format_), encoding="utf-8")


@dataclass(slots=True, eq=False)
class _Field:
    """Where the systems meet: each recipe's corpus, and how often training had each code.

    Args:
        home: the recipe whose corpus predictions files are scored on.
        shared: whether models are scored on it, too, instead of on their own.
        data, split, on_error: as the command's options.
        corpora: those read so far.
        train_counts: training encounters with each code, by the first model.
    """

    home: Recipe
    shared: bool
    data: Path | None
    split: str
    on_error: OnError
    corpora: dict[CorpusConfig, Corpus]
    train_counts: Mapping[str, int]

    @staticmethod
    def open(systems: Sequence[Path], recipe: str | None, data: Path | None, split: str, on_error: OnError) -> _Field:
        from nosology.config import load_recipe
        from nosology.errors import ConfigError
        from nosology.shipped_recipes import find_recipe

        for path in systems:
            if not path.exists():
                raise ConfigError(f"{path}: no such model folder or predictions file; check the path")
        if recipe is not None:
            return _Field(load_recipe(find_recipe(recipe)), True, data, split, on_error, {}, {})
        models = [path for path in systems if path.is_dir()]
        if not models:
            raise ConfigError("predictions files do not say which corpus they are of; name its recipe with --recipe")
        return _Field(_recipe_of(models[0]), False, data, split, on_error, {}, {})

    def judge(self, path: Path, name: str) -> System:
        """Let a model code, or read a file, and judge what it says."""
        from nosology.evaluation import judge_predictions, read_predictions
        from nosology.experiments.score_table import System

        if not path.is_dir():
            return System(name, (judge_predictions(self.corpus(self.home), read_predictions(path)),))
        from nosology.cli.progress import tracked
        from nosology.coder import Coder

        coder = Coder.from_pretrained(path)
        corpus = self.corpus(self.home if self.shared else coder.recipe)
        coded = list(tracked(coder.code_many(corpus), f"coding with {name}", len(corpus)))
        self.train_counts = self.train_counts or coder.label_counts
        return System(name, (judge_predictions(corpus, coded),))

    def corpus(self, recipe: Recipe) -> Corpus:
        """The scored encounters of a recipe's corpus, read once."""
        from nosology.cli.data import choose_splits, read_corpus, recipe_with_data

        placed = recipe_with_data(recipe, self.data)
        if placed.corpus not in self.corpora:
            self.corpora[placed.corpus] = read_corpus(placed, self.on_error)
        return choose_splits(self.corpora[placed.corpus], self.split)

    def setting(self, bands: str, plan: BootstrapPlan) -> Setting:
        """Groups, bands and draws."""
        from nosology.evaluation import count_codes
        from nosology.experiments.score_table import Setting

        scored = self.corpus(self.home)
        whole = next(iter(self.corpora.values()))
        counts = self.train_counts or count_codes(one for one in whole if one.split == "train")
        return Setting.of(scored, counts, bands, plan)


def _recipe_of(model: Path) -> Recipe:
    from nosology.checkpoint import open_model_folder
    from nosology.config import Recipe, dataclass_from_mapping, read_toml

    file = open_model_folder(model).file("recipe.toml")
    return dataclass_from_mapping(Recipe, read_toml(file), str(file))


def _headings(figures: str | None) -> dict[str, str]:
    from nosology.evaluation.figures import check_names
    from nosology.experiments.score_table import FIGURES

    if figures is None:
        return FIGURES
    names = figures.split(",")
    check_names(names)
    return {name: FIGURES.get(name, name) for name in names}


def _names(systems: Sequence[Path], names: str | None) -> list[str]:
    """One name a system, no name twice."""
    from nosology.errors import ConfigError

    if names is None:
        short = [path.absolute().name for path in systems]
        chosen = short if len(set(short)) == len(short) else [str(path) for path in systems]
    else:
        chosen = names.split(",")
    if len(chosen) != len(systems):
        raise ConfigError(f"--names gives {len(chosen)} names for {len(systems)} systems; give one each")
    if len(set(chosen)) < len(chosen):
        raise ConfigError("two systems have one name; leave out the double, or tell them apart with --names")
    return chosen


def _tables(systems: Sequence[System], setting: Setting, split: str, headings: Mapping[str, str]) -> list[ScoreTable]:
    from nosology.experiments.score_table import band_table, overall_table

    reference = systems[0].name
    by_band = band_table(systems, reference, setting, f"{split}: micro-F1 by how often training has the code")
    overall = overall_table(systems, reference, setting, f"{split}: all codes", headings)
    return [overall] if by_band is None else [overall, by_band]


def _written(tables: Sequence[ScoreTable], format_: Format) -> str:
    from nosology.experiments import table_formats

    match format_:
        case Format.MARKDOWN:
            return table_formats.to_markdown(tables)
        case Format.LATEX:
            return table_formats.to_latex(tables)
        case Format.CSV:
            return table_formats.to_csv(tables)
        case _:
            return table_formats.to_json(tables)
