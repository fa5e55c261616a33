"""``nosology probe``: what a language model knows of codes, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nosology.codes import CodeSystem
    from nosology.endpoint.client import ChatClient
    from nosology.endpoint.probe import ProbeItem, ProbeReport, Speaker

_SHOWN = 3
_SHARES = ("code_exact", "description_exact", "description_f1")


def probe(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="'smollm2', a folder, OWNER/NAME, or a server's URL (.../v1)."),
    ],
    system: Annotated[str, typer.Option("--system", "-s", help="icd9proc, icd9cm, icd10cm or icd10pcs.")] = "icd9proc",
    sample: Annotated[int, typer.Option(min=1, help="Codes to ask for, spread evenly over the groups.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample.")] = 0,
    code: Annotated[list[str] | None, typer.Option("--code", help="Ask for this code instead; repeatable.")] = None,
    recipe: Annotated[
        str, typer.Option(help="Group by frequency in the training split of this recipe's corpus; else by chapter.")
    ] = "",
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Where that corpus lies.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The server's name of the model; else 'default'.")] = None,
    allow_public: Annotated[bool, typer.Option("--allow-public", help="Let the URL be of a public host.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write all of it as JSON.")] = None,
) -> None:
    """Ask a language model for descriptions of codes, and for codes of descriptions.

    No note is sent. Codes count as right when they are the very code; descriptions by the same words, and by token-F1.

    Examples:

    \b
      nosology probe smollm2 --code 36.15
      nosology probe smollm2 --sample 60 --out probe.json
      nosology probe http://127.0.0.1:8000/v1 --name my-model --system icd10cm --recipe simulated
    """
    from nosology.cli.progress import progress_bar
    from nosology.codes import open_code_system
    from nosology.endpoint.probe import draw_items, named_items
    from nosology.endpoint.probe import probe as ask
    from nosology.whole_files import check_file_target

    if out is not None:
        check_file_target(out)
    client = _client(model, name, allow_public)
    opened = open_code_system(system)
    counts = _counts(recipe, data)
    drawn = draw_items(opened, sample + _SHOWN, seed, counts)
    items = named_items(opened, code, counts) if code else drawn[:sample]
    with progress_bar("opening the model") as report:
        asked = {item.code for item in items}
        shown = [item for item in reversed(drawn) if item.code not in asked][:_SHOWN]
        speaker = _speaker(model, client, opened, shown)
        found = ask(speaker, opened, items, lambda share: report("asking", share))
    _show(found, opened, with_answers=bool(code))
    if client is not None:
        from nosology.cli.data import tell

        tell(client.usage.describe(client.config))
    if out is not None:
        _write(out, found, {"model": model, "system": system, "seed": seed})


def _client(model: str, name: str | None, allow_public: bool) -> ChatClient | None:
    """For a server's URL; none for a model on this machine."""
    from nosology.config.endpoint import EndpointConfig
    from nosology.endpoint.client import ChatClient
    from nosology.errors import ConfigError

    if "://" in model:
        return ChatClient(EndpointConfig(url=model, model=name or "default", allow_public=allow_public))
    if name is not None or allow_public:
        raise ConfigError(f"--name and --allow-public are of a server, and {model!r} is no URL; leave them out")
    return None


def _counts(recipe: str, data: Path | None) -> dict[str, int] | None:
    """Training encounters with each code of a recipe's corpus; none without a recipe."""
    from nosology.errors import ConfigError

    if not recipe:
        if data is not None:
            raise ConfigError("--data is read only with --recipe; name the recipe of the corpus")
        return None
    from collections import Counter

    from nosology.cli.data import OnError, choose_splits, read_corpus, recipe_with_data
    from nosology.config import load_recipe
    from nosology.shipped_recipes import find_recipe

    chosen = recipe_with_data(load_recipe(find_recipe(recipe)), data)
    corpus = choose_splits(read_corpus(chosen, OnError.RAISE), "train")
    return dict(Counter(code for encounter in corpus for code in encounter.code_set))


def _speaker(model: str, client: ChatClient | None, system: CodeSystem, shown: list[ProbeItem]) -> Speaker:
    from nosology.endpoint.probe import EndpointSpeaker, LocalSpeaker

    return LocalSpeaker(model, system.name, shown) if client is None else EndpointSpeaker(client, system.name)


def _show(report: ProbeReport, system: CodeSystem, *, with_answers: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=f"{system.name} {system.release}".strip(), title_justify="left", title_style="dim", box=None)
    grid.add_column("group", style="cyan")
    for heading in ("codes", "code exact", "description exact", "description F1", "failed"):
        grid.add_column(heading, justify="right")
    for row in report.rows:
        shares = [f"{100 * getattr(row, name):.1f}" for name in _SHARES]
        grid.add_row(Text(row.group), str(row.codes), *shares, str(row.failed))
    console = Console()
    console.print(grid)
    if with_answers:
        answers = Table(box=None)
        for heading in ("code", "title", "model's description", "model's code"):
            answers.add_column(heading, overflow="fold")
        for one in report.answers:
            answers.add_row(one.code, *(Text(_printable(text)) for text in (one.title, one.described, one.encoded)))
        console.print()
        console.print(answers)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _write(out: Path, report: ProbeReport, asked: dict[str, object]) -> None:
    import json

    from nosology.whole_files import writing_file

    with writing_file(out) as building:
        content = {**asked, **report.to_mapping()}
        building.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
