"""``nosology code``: a model and notes in; codes with their evidence out, for people or for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nosology.cli.data import OnError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nosology.types import CodedEncounter, Encounter

_ONE_FILE = (".json", ".jsonl")


def code(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder.")],
    notes: Annotated[str, typer.Argument(metavar="NOTES", help="A text file, a folder of .txt files, or - for stdin.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a note instead of the view.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="Write JSON there: to one .json or .jsonl file, or to a folder, a file a note.",
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of the notes (en, es); that of the training notes otherwise.")
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Show at most this many codes a note.")] = None,
    on_error: Annotated[OnError, typer.Option(help="At a broken note: stop, or skip and count it.")] = OnError.RAISE,
) -> None:
    """Code notes and show the words that justify each code.

    Files appear whole or not at all. The JSON of a note holds its codes and the offsets of their evidence, not its
    text.

    Examples:

    \b
      nosology code model note.txt
      echo "Chest pain. History of diabetes." | nosology code model -
      nosology code model notes/ --out codes.jsonl --on-error skip
    """
    from nosology.cli.data import tell
    from nosology.cli.notes import NoteSource
    from nosology.cli.progress import tracked
    from nosology.coder import Coder
    from nosology.errors import ConfigError

    source = NoteSource.open(notes, on_error.value)
    if out is not None and out.suffix == ".json" and source.count > 1:
        raise ConfigError(f"{out}: one .json file cannot hold {source.count} notes; name a .jsonl file or a folder")
    coder = Coder.from_pretrained(model)
    encounters = source.encounters(language or coder.language)
    pairs = ((encounter, _first(coder.code(encounter), top)) for encounter in encounters)
    if out is not None:
        count = _write(tracked(pairs, "coding", source.count), out)
    else:
        count = _print_json(pairs) if json else _print_views(pairs)
    if coder.coding_remark:
        tell(coder.coding_remark)
    source.finish(count)


def _first(coded: CodedEncounter, top: int | None) -> CodedEncounter:
    from dataclasses import replace

    return coded if top is None else replace(coded, codes=coded.codes[:top])


def _print_json(pairs: Iterable[tuple[Encounter, CodedEncounter]]) -> int:
    from nosology.cli.note_json import json_line

    count = 0
    for _, coded in pairs:
        typer.echo(json_line(coded))
        count += 1
    return count


def _print_views(pairs: Iterable[tuple[Encounter, CodedEncounter]]) -> int:
    from nosology.cli.note_view import print_coded

    count = 0
    for encounter, coded in pairs:
        print_coded(encounter, coded)
        count += 1
    return count


def _write(pairs: Iterable[tuple[Encounter, CodedEncounter]], out: Path) -> int:
    from nosology.cli.note_json import write_one_file, write_one_file_each

    coded = (coded for _, coded in pairs)
    return write_one_file(coded, out) if out.suffix in _ONE_FILE else write_one_file_each(coded, out)
