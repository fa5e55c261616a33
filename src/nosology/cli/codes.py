"""``nosology codes``: look codes up, search, map, check lists of codes, add yearly releases."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nosology.errors import CodeError, ConfigError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    from nosology.codes import CodeEntry, CodeMapping, CodeSystem

app = typer.Typer(
    name="codes", help="Look up, search, map and check codes.", no_args_is_help=True, rich_markup_mode=None
)

SystemOption = Annotated[
    str,
    typer.Option(
        "--system", "-s", help="icd10cm, icd10pcs, icd9cm or icd9proc; show guesses, the others take icd10cm."
    ),
]
TableOption = Annotated[
    Path | None, typer.Option("--table", help="Your own code system: CSV or TSV with code, description, parent.")
]
OnOption = Annotated[str, typer.Option("--on", metavar="YYYY-MM-DD", help="Validity on this date; else the newest.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_MAX_LISTED = 12


@app.command()
def show(
    code: Annotated[str, typer.Argument(help="In any case, with or without dots.")],
    system: SystemOption = "",
    table: TableOption = None,
    on: OnOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show a code: title, place in the hierarchy, validity, further wordings and instructions."""
    opened = _open_for(code, system, table, _read_date(on))
    entry = opened.require(code)
    if as_json:
        _print_json(_entry_as_json(opened, entry))
    else:
        _print_entry(_console(), opened, entry)


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(help="Words of a title or term, or the beginning of a code.")],
    system: SystemOption = "",
    table: TableOption = None,
    on: OnOption = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Show at most so many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Search titles and further wordings; ICD-10-CM unless --system says otherwise."""
    opened = _open(system or "icd10cm", table, _read_date(on))
    hits = opened.search(" ".join(words), limit)
    if as_json:
        rows = [{"code": h.code, "description": h.description, "billable": h.billable} for h in hits]
        _print_json({"system": opened.name, "release": opened.release, "hits": rows})
        return
    console = _console()
    if not hits:
        console.print(f"Nothing in {opened.name} holds these words.")
        return
    _print_rows(console, [(hit.code, hit.description, hit.billable) for hit in hits], _heading(opened))


@app.command("map")
def map_(
    code: Annotated[str, typer.Argument(help="A diagnosis code.")],
    to: Annotated[str, typer.Option("--to", help="icd10cm or icd9cm.")],
    system: SystemOption = "",
    as_json: JsonOption = False,
) -> None:
    """Map a diagnosis between ICD-9-CM and ICD-10-CM: every target, with the map's flags."""
    from dataclasses import asdict

    from nosology.codes import map_code, open_code_system

    source = system or {"icd10cm": "icd9cm", "icd10pcs": "icd9proc", "icd9proc": "icd10pcs"}.get(to, "icd10cm")
    mappings = map_code(code, source, to)
    target = open_code_system(to)
    if as_json:
        rows = [{**asdict(row), "description": target.description(row.target or "")} for row in mappings]
        _print_json({"from": source, "to": to, "mappings": rows})
        return
    if not mappings:
        open_code_system(source).require(code)
        raise CodeError(f"the {source} to {to} map has no entry for this code: a heading, or newer than the map (2018)")
    _print_mappings(_console(), mappings, f"{mappings[0].code} ({source} to {to})", target)


@app.command()
def validate(
    items: Annotated[list[str], typer.Argument(metavar="FILE|CODE...", help="Codes, or files with one code a line.")],
    system: SystemOption = "",
    table: TableOption = None,
    on: OnOption = "",
    as_json: JsonOption = False,
) -> None:
    """Check codes: valid, heading (not billable), retired, unknown or malformed. Exit code 1 if any is not valid."""
    opened = _open(system or "icd10cm", table, _read_date(on))
    checked = [(where, code, _verdict(opened, code)) for item in items for where, code in _read_codes(item)]
    if not checked:
        raise CodeError("no code to check", path=items[0])
    if as_json:
        _print_json([{"where": where, "code": code, "verdict": verdict} for where, code, verdict in checked])
    else:
        _print_verdicts(_console(), checked, opened)
    if any(verdict != "valid" for _, _, verdict in checked):
        raise typer.Exit(1)


@app.command("add-release")
def add_release(
    file: Annotated[Path, typer.Argument(help="An official order file, such as icd10cm_order_2025.txt.")],
    system: Annotated[str, typer.Option("--system", "-s", help="icd10cm or icd10pcs.")],
    effective: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="The first day the release is in force.")],
) -> None:
    """Add another year's release, so that validity can be told on its dates."""
    from nosology.codes import open_code_system
    from nosology.codes.index import add_release as add

    day = _read_date(effective)
    if day is None:
        raise ConfigError("--effective needs a date such as 2024-10-01")
    added = add(file, system, day)
    names = ", ".join(f"{release.name} from {release.effective}" for release in open_code_system(system).releases)
    _console().print(f"Added {added.release.name}: {len(added.codes):,} rows. {system} now has {names}.")


def _open(system: str, table: Path | None, on: date | None) -> CodeSystem:
    from nosology.codes import CodeSystem, open_code_system

    if table is not None:
        return CodeSystem.from_table(table, table.stem)
    return open_code_system(system, on=on)


def _open_for(code: str, system: str, table: Path | None, on: date | None) -> CodeSystem:
    """The system asked for or, where none is, the first that has the code."""
    from nosology.codes import SYSTEMS, has_code_shape

    if system or table is not None:
        return _open(system, table, on)
    fitting = [name for name in SYSTEMS if has_code_shape(code, name)] or ["icd10cm"]
    # The date may lie outside a system's tables, so look for the code first and apply the date afterwards.
    chosen = next((name for name in fitting if code in _open(name, None, None)), fitting[0])
    return _open(chosen, None, on)


def _read_date(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError("a date must look like 2025-10-01 (year, month, day) and exist") from None


def _read_codes(item: str) -> list[tuple[str, str]]:
    path = Path(item)
    if not path.is_file():
        if path.suffix in {".txt", ".csv", ".tsv"} or "/" in item:
            raise CodeError("no such file", path=path)
        return [("", item)]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise CodeError("cannot read this as UTF-8 text, one code a line", path=path) from None
    return [(f"{path}:{number}", line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]


def _verdict(system: CodeSystem, code: str) -> str:
    if system.canonical(code) is None:
        return "malformed"
    entry = system.get(code)
    if entry is None:
        return "unknown"
    if not system.is_valid(code):
        return "retired" if entry.valid_to is not None else "not valid then"
    return "valid" if system.is_billable(code) else "heading"


def _entry_as_json(system: CodeSystem, entry: CodeEntry) -> dict[str, object]:
    return {
        "code": entry.code,
        "system": entry.system,
        "release": system.release,
        "description": entry.description,
        "title_source": entry.title_source,
        "kind": entry.kind,
        "valid": system.is_valid(entry.code),
        "billable": entry.billable,
        "valid_from": entry.valid_from and entry.valid_from.isoformat(),
        "valid_to": entry.valid_to and entry.valid_to.isoformat(),
        "ancestors": list(system.ancestors(entry.code)),
        "children": list(system.children(entry.code)),
        "terms": [{"text": term.text, "source": term.source} for term in system.terms(entry.code)],
        "notes": [{"kind": kind, "text": text} for kind, text in system.notes(entry.code)],
    }


def _print_entry(console: Console, system: CodeSystem, entry: CodeEntry) -> None:
    from rich.text import Text

    console.print(Text.assemble((entry.code, "bold cyan"), "  ", (entry.description or "(no title)", "bold")))
    console.print(Text(" · ".join(_facts(system, entry)), style="dim"))
    console.print()
    console.print(_hierarchy(system, entry))
    _print_list(console, "Also worded", [term.text for term in system.terms(entry.code)])
    notes = system.notes(entry.code)
    for kind in dict.fromkeys(kind for kind, _ in notes):
        _print_list(console, kind.capitalize(), [text for other, text in notes if other == kind])


def _facts(system: CodeSystem, entry: CodeEntry) -> list[str]:
    valid = system.is_valid(entry.code)
    state = "billable" if entry.billable else "not billable"
    facts = [_heading(system), entry.kind, state if valid else "not valid on this date" if system.on else "retired"]
    if entry.valid_from:
        facts.append(f"known from {entry.valid_from}")
    if entry.valid_to:
        facts.append(f"until {entry.valid_to}")
    if entry.title_source not in ("official", ""):
        facts.append(f"title {entry.title_source}, not official")
    return facts


def _heading(system: CodeSystem) -> str:
    return " ".join(part for part in (system.name, system.release, f"on {system.on}" if system.on else "") if part)


def _hierarchy(system: CodeSystem, entry: CodeEntry) -> Tree:
    from rich.tree import Tree

    top, *below = (*reversed(system.ancestors(entry.code)), entry.code)
    tree = branch = Tree(_label(system, top, entry.code), guide_style="dim")
    for code in below:
        branch = branch.add(_label(system, code, entry.code))
    children = system.children(entry.code)
    for child in children[:_MAX_LISTED]:
        branch.add(_label(system, child, entry.code))
    if len(children) > _MAX_LISTED:
        branch.add(f"... and {len(children) - _MAX_LISTED} more")
    return tree


def _label(system: CodeSystem, code: str, shown: str) -> Text:
    from rich.text import Text

    style = "bold cyan" if code == shown else "cyan"
    return Text.assemble((code, style), "  ", system.description(code) or "(no title)")


def _print_list(console: Console, title: str, items: list[str]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    if not items:
        return
    console.print()
    console.print(Text(title, style="bold"))
    for item in items[:_MAX_LISTED]:
        console.print(Padding(Text(item), (0, 0, 0, 2)))
    if len(items) > _MAX_LISTED:
        console.print(f"  ... and {len(items) - _MAX_LISTED} more (--json has all)", style="dim")


def _print_rows(console: Console, rows: list[tuple[str, str, bool]], heading: str) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=heading, title_justify="left", title_style="dim", box=None, pad_edge=False)
    grid.add_column("code", style="cyan", no_wrap=True)
    grid.add_column("")
    grid.add_column("title", overflow="fold")
    for code, description, billable in rows:
        mark = Text("billable", style="green") if billable else Text("heading", style="dim")
        grid.add_row(code, mark, Text(description or "(no title)"))
    console.print(grid)


def _print_mappings(console: Console, mappings: tuple[CodeMapping, ...], heading: str, target: CodeSystem) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=heading, title_justify="left", title_style="dim", box=None, pad_edge=False)
    grid.add_column("target", style="cyan", no_wrap=True)
    grid.add_column("title", overflow="fold")
    grid.add_column("flags", style="yellow", overflow="fold")
    for row in mappings:
        grid.add_row(row.target or "none", Text(target.description(row.target or "")), _flags(row))
    console.print(grid)
    if any(row.combination for row in mappings):
        console.print("Combination: take one target from each choice list of one scenario, together.", style="dim")


def _flags(row: CodeMapping) -> str:
    flags = [name for name, given in (("approximate", row.approximate), ("no map", row.no_map)) if given]
    if row.combination:
        flags.append(f"combination (scenario {row.scenario}, choice list {row.choice_list})")
    return ", ".join(flags) or "exact"


def _print_verdicts(console: Console, checked: list[tuple[str, str, str]], system: CodeSystem) -> None:
    from collections import Counter

    from rich.table import Table
    from rich.text import Text

    from nosology.codes import printable

    grid = Table(title=_heading(system), title_justify="left", title_style="dim", box=None, pad_edge=False)
    for column in ("code", "verdict", "title", "where"):
        grid.add_column(column, overflow="fold")
    for where, code, verdict in checked:
        if verdict == "valid" and where:
            continue  # of a file, show what is wrong; the last line counts the rest
        shown = code if verdict != "malformed" else printable(code)
        style = "green" if verdict == "valid" else "yellow" if verdict == "heading" else "red"
        grid.add_row(Text(shown, style="cyan"), Text(verdict, style=style), Text(system.description(code)), where)
    if grid.row_count:
        console.print(grid)
    counts = Counter(verdict for _, _, verdict in checked)
    console.print(", ".join(f"{count:,} {verdict}" for verdict, count in counts.most_common()), style="dim")


def _print_json(content: object) -> None:
    import json

    typer.echo(json.dumps(content, ensure_ascii=False, indent=2))


def _console() -> Console:
    from rich.console import Console

    return Console()
