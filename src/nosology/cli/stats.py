"""``nosology stats``: a corpus in; figures, tables, plots and warnings out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nosology.cli.data import OnError

if TYPE_CHECKING:
    from nosology.corpora.statistics import CorpusStatistics, CorpusTable, StatisticsTable, TokenCounter

_MANIFEST = "manifest.json"
_WORDS = "words"
_DPI = 160
_NARROWEST = 12  # what words may be cut to on a narrow terminal
_GAP = 3  # between columns


class Format(StrEnum):
    """How the figures are written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"


def stats(
    corpus: Annotated[
        str, typer.Argument(metavar="CORPUS", help="A prepared folder, a recipe file, or the name of a shipped recipe.")
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Where a recipe's corpus lies; the recipe's own path otherwise."),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to write the figures.")] = Format.TABLE,
    plots: Annotated[
        Path | None, typer.Option("--plots", metavar="DIR", help="Also draw plots into this folder, as PNG.")
    ] = None,
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(
            "--tokenizer",
            metavar="NAME",
            help="words (always counted), or a Hugging Face tokenizer.json or the folder that holds it; repeat it.",
        ),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="Documents that each sub-word tokenizer counts.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample.")] = 0,
    bands: Annotated[str, typer.Option(help="Frequency bands: codiesp or published.")] = "published",
    near_duplicates: Annotated[
        bool, typer.Option("--near-duplicates", help="Also look for notes that are almost the same; slower.")
    ] = False,
    similarity: Annotated[
        float, typer.Option(min=0.3, max=1, help="Least Jaccard similarity of near duplicates.")
    ] = 0.8,
    on_error: Annotated[
        OnError, typer.Option(help="At a broken record of a recipe's corpus: stop, or skip and count it.")
    ] = OnError.RAISE,
) -> None:
    """Say what a corpus is like: sizes, codes, lengths, splits, and what in it hurts a study.

    Warnings go to stderr: patients in two splits, codes that training never sees, near-duplicate notes, codes that
    were not in force on the document's date.

    Examples:

    \b
      nosology stats mimic3-50 --plots plots
      nosology stats mimic3-full --format markdown --near-duplicates
      nosology stats codiesp_d_es --data path/to/codiesp --bands codiesp
      nosology stats mimic4-icd10 --tokenizer words --tokenizer path/to/tokenizer.json --sample 2000
    """
    from nosology.cli.progress import progress_bar
    from nosology.codes.frequency import FrequencyBands
    from nosology.corpora.statistics import Wishes, describe_corpus

    if plots is not None:
        _check_plots(plots)
    wishes = Wishes(
        bands=FrequencyBands.named(bands),
        tokenizers=_tokenizers(tokenizer or []),
        sample=sample,
        seed=seed,
        duplicates=near_duplicates,
        threshold=similarity,
    )
    table = _open(corpus, data, on_error)
    with progress_bar("counting") as report:
        statistics = describe_corpus(table, wishes, report)
    if plots is not None:
        _write_plots(statistics, plots)
    _write(statistics, output)


def _open(corpus: str, data: Path | None, on_error: OnError) -> CorpusTable:
    from nosology.corpora.statistics import table_of_corpus, table_of_folder

    folder = Path(corpus)
    if folder.is_dir():
        from nosology.corpora.prepared import open_prepared
        from nosology.errors import ConfigError

        if data is not None:
            raise ConfigError("--data belongs to a recipe; a prepared folder holds its data")
        return table_of_folder(open_prepared(folder))
    from nosology.cli.data import read_corpus, recipe_with_data
    from nosology.config import load_recipe
    from nosology.shipped_recipes import find_recipe

    return table_of_corpus(read_corpus(recipe_with_data(load_recipe(find_recipe(corpus)), data), on_error))


def _tokenizers(names: Sequence[str]) -> dict[str, TokenCounter]:
    """Open every tokenizer before the counting starts; a name that stands twice is opened once."""
    from nosology.corpora.statistics import open_tokenizer

    return {_tokenizer_name(name): open_tokenizer(Path(name)) for name in dict.fromkeys(names) if name != _WORDS}


def _tokenizer_name(name: str) -> str:
    """What tables call it: the folder of a tokenizer.json, or the file's name."""
    path = Path(name).absolute()
    return path.parent.name if path.name == "tokenizer.json" else path.name.removesuffix(".json")


def _check_plots(folder: Path) -> None:
    """Refuse a place for plots, or find matplotlib missing, before long work."""
    from nosology.errors import ConfigError, MissingExtraError

    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder for the plots")
    try:
        import matplotlib as _  # noqa: F401
    except ImportError:
        raise MissingExtraError("Plotting", "plots") from None


def _write_plots(statistics: CorpusStatistics, folder: Path) -> None:
    from nosology.cli.data import tell
    from nosology.corpora.statistics.plots import draw_plots
    from nosology.errors import ConfigError
    from nosology.whole_files import writing_file

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror}); choose another place") from None
    names: list[str] = []
    for name, figure in draw_plots(statistics):
        with writing_file(folder / f"{name}.png") as path:
            figure.savefig(path, format="png", dpi=_DPI, bbox_inches="tight")
        names.append(f"{name}.png")
    tell(f"drew {', '.join(names)} into {folder}")


def _write(statistics: CorpusStatistics, output: Format) -> None:
    from nosology.cli.data import tell
    from nosology.corpora.statistics import corpus_warnings, statistics_tables, to_csv, to_latex, to_markdown

    tables, warnings = statistics_tables(statistics), corpus_warnings(statistics)
    match output:
        case Format.TABLE:
            _print_tables(tables)
        case Format.MARKDOWN:
            print(to_markdown(tables), end="")
        case Format.LATEX:
            print(to_latex(tables), end="")
        case Format.CSV:
            print(to_csv(tables), end="")
        case Format.JSON:
            print(json.dumps(statistics.as_dict() | {"warnings": list(warnings)}, indent=1, ensure_ascii=False))
    for warning in warnings:
        tell(f"warning: {warning}")


def _print_tables(tables: Sequence[StatisticsTable]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    room = Console().width
    for one in tables:
        widths = _widths(one, room)
        table = Table(
            title=one.title, title_justify="left", title_style="bold cyan", box=box.SIMPLE_HEAD, show_edge=False,
            pad_edge=False, padding=(0, 1), show_header=any(one.columns),
        )  # fmt: skip
        for position, (heading, width) in enumerate(zip(one.columns, widths, strict=True)):
            justify = "left" if position < one.words else "right"
            table.add_column(heading, justify=justify, no_wrap=True, overflow="ellipsis", width=width)
        for row in one.rows:
            table.add_row(*map(Text, row))
        # A table that cannot be made narrow enough runs over: a cut number would be a wrong one.
        console = Console(width=max(room, sum(widths) + _GAP * (len(widths) - 1)))
        console.print(table)
        if one.note:
            console.print(Text(one.note, style="dim"))
        console.print()


def _widths(table: StatisticsTable, room: int) -> list[int]:
    """The width of every column: numbers are never cut; long words share what room is left."""
    widest = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]
    long = [position for position in range(table.words) if widest[position] > _NARROWEST]
    taken = sum(width for position, width in enumerate(widest) if position not in long)
    left = room - taken - _GAP * (len(widest) - 1)
    for count, position in enumerate(sorted(long, key=widest.__getitem__)):
        widest[position] = max(_NARROWEST, min(widest[position], left // (len(long) - count)))
        left -= widest[position]
    return widest
