"""Score tables as Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields

from nosology.experiments.score_table import Cell, ScoreTable

_LATEX_MARKS = {"†": r"$^{\dagger}$", "‡": r"$^{\ddagger}$"}
_LATEX_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"},
}


def to_markdown(tables: Sequence[ScoreTable]) -> str:
    """Tables under headings of the second level, each with its notes."""
    return "\n\n".join(f"## {table.title}\n\n{_markdown(table)}\n\n{' '.join(table.notes)}" for table in tables) + "\n"


def to_latex(tables: Sequence[ScoreTable]) -> str:
    """``table`` environments for a paper; they need the package ``booktabs``."""
    return "\n".join(_latex(table) for table in tables)


def to_csv(tables: Sequence[ScoreTable]) -> str:
    """One line a cell: table, system, heading and the fields of ``Cell``."""
    names = [item.name for item in fields(Cell)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["table", "system", "heading", *names])
    for table in tables:
        for system, cells in table.rows:
            for heading, cell in zip(table.headings, cells, strict=True):
                writer.writerow([table.title, system, heading, *(_csv(getattr(cell, name)) for name in names)])
    return stream.getvalue()


def to_json(tables: Sequence[ScoreTable]) -> str:
    """All numbers in full."""
    return json.dumps([table.to_dict() for table in tables], indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(value: object) -> object:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value


def _markdown(table: ScoreTable) -> str:
    lines = [["system", *table.headings], ["---", *["---:"] * len(table.headings)]]
    lines += [[_escape_pipe(name), *map(_markdown_cell, cells)] for name, cells in table.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _markdown_cell(cell: Cell) -> str:
    value = f"**{cell.value:.3f}**" if cell.best else f"{cell.value:.3f}"
    return f"{value}{cell.mark} [{cell.low:.3f}, {cell.high:.3f}]"


def _escape_pipe(text: str) -> str:
    return text.replace("|", r"\|")


def _latex(table: ScoreTable) -> str:
    rows = [" & ".join([_tex(name), *map(_latex_cell, cells)]) + r" \\" for name, cells in table.rows]
    header = " & ".join(["System", *map(_tex, table.headings)]) + r" \\"
    notes = _tex(" ".join(table.notes))
    for mark, command in _LATEX_MARKS.items():
        notes = notes.replace(mark, command)
    body = "\n".join(["\\toprule", header, "\\midrule", *rows, "\\bottomrule"])
    return f"""\\begin{{table}}
\\centering
\\caption{{{_tex(table.title)}. {notes}}}
\\begin{{tabular}}{{l{"r" * len(table.headings)}}}
{body}
\\end{{tabular}}
\\end{{table}}
"""


def _latex_cell(cell: Cell) -> str:
    value = rf"\textbf{{{cell.value:.3f}}}" if cell.best else f"{cell.value:.3f}"
    return rf"{value}{_LATEX_MARKS.get(cell.mark, '')} {{\scriptsize [{cell.low:.3f}, {cell.high:.3f}]}}"


def _tex(text: str) -> str:
    return "".join(_LATEX_SIGNS.get(sign, sign) for sign in text)
