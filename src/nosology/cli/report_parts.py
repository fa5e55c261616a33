"""Tables that are shown when asked for: scores of parts of the data, and what the code tree says of wrong codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import set_cell_size
from rich.console import RenderableType
from rich.table import Table

from nosology.cli.report_cells import interval, percent, plain_table, plural, score

if TYPE_CHECKING:
    from nosology.evaluation.hierarchy import HierarchyScores
    from nosology.evaluation.parts import PartScores

_NUMBERS = 58  # cells that the numbers of a table of parts take, with the spaces between them
_CONFUSED = 12  # pairs of siblings shown
_TITLES = {
    "system": "code system",
    "chapter": "chapter",
    "block": "block",
    "length": "length of the notes",
    "band": "how often a code was seen in training",
}
_SYSTEMS = {
    "icd10cm": "diagnoses (icd10cm)",
    "icd9cm": "diagnoses (icd9cm)",
    "icd10pcs": "procedures (icd10pcs)",
    "icd9proc": "procedures (icd9proc)",
}
_LEVELS = {
    "more general": "an ancestor of a gold code",
    "more specific": "below a gold code",
    "stem": "same subcategory, other code",
    "category": "same category, other subcategory",
    "block": "same block, other category",
    "chapter": "same chapter, other block",
    "elsewhere": "other chapter than any gold code",
    "no gold code": "the encounter has no gold code",
}


def parts_table(by: str, parts: Sequence[PartScores], level: str, width: int) -> Table:
    """One row a part: its size, micro scores with the interval of F1, MAP.

    Args:
        by: what the data are parted by.
        parts: in the order shown.
        level: of the intervals, as a heading; empty if there are none.
        width: of the terminal, in cells.
    """
    of_codes = by in ("system", "band", "chapter", "block")
    size = "gold" if of_codes else "encounters"
    level = level and "F1 " + level.replace(" interval", "")
    table = plain_table(f"By {_TITLES.get(by, by)}", "", size, "P", "R", "F1", level, "MAP")
    room = max(width - _NUMBERS - (4 if not of_codes else 0), 12)
    for part in parts:
        micro, counts = part.assignment.micro, part.counts
        numbers = [f"{counts.gold if of_codes else counts.encounters:,}"]
        numbers += [score(micro.precision) if counts.assigned else "-"]
        numbers += [score(value) if counts.gold else "-" for value in (micro.recall, micro.f1)]
        found = part.intervals.get("micro_f1") if counts.gold else None
        numbers += [interval(found), score(part.ranking.map) if counts.gold else "-"]
        table.add_row(_shortened(_name(part), room), *numbers)
    where = "ranks counted among the codes of a row" if of_codes else "every code"
    table.caption = f"P, R, F1 pooled over the pairs of a row; {where}"
    return table


def _name(part: PartScores) -> str:
    if part.by == "system":
        return _SYSTEMS.get(part.value, part.value)
    if part.by in ("chapter", "block"):
        return f"{part.value} {part.title}".rstrip()
    return part.title or part.value


def _shortened(text: str, room: int) -> str:
    return text if len(text) <= room else set_cell_size(text, room - 1).rstrip() + "…"


def hierarchy_tables(hierarchy: HierarchyScores, width: int) -> list[RenderableType]:
    """Where wrong codes diverge, and which siblings are confused.

    Args:
        hierarchy: what ``score_hierarchy`` measured.
        width: of the terminal, in cells.
    """
    wrong = plain_table("Wrong codes, and how near the nearest gold code stands", "", "wrong codes", "share")
    for one in hierarchy.divergences:
        if one.wrong:
            wrong.add_row(_LEVELS[one.level], f"{one.wrong:,}", percent(one.share))
    scores = hierarchy.scores
    wrong.caption = (
        f"with credit for ancestors: P {score(scores.precision)}, R {score(scores.recall)}, F1 {score(scores.f1)}"
        + (f"; {plural(hierarchy.codes_without_table, 'code')} in no table" if hierarchy.codes_without_table else "")
    )
    return [wrong, _confused(hierarchy, width)] if hierarchy.confusions else [wrong]


def _confused(hierarchy: HierarchyScores, width: int) -> Table:
    shown = hierarchy.confusions[:_CONFUSED]
    table = Table(
        title="Siblings confused most", title_justify="left", title_style="bold cyan", caption_justify="left",
        caption_style="dim", box=None, pad_edge=False, padding=(0, 1), header_style="bold",
    )  # fmt: skip
    room = max((width - 12) // 2, 20)
    for heading in ("gold, missed", "assigned instead", "times"):
        table.add_column(heading, justify="right" if heading == "times" else "left", no_wrap=True)
    for pair in shown:
        gold, assigned = f"{pair.gold} {pair.gold_title}", f"{pair.assigned} {pair.assigned_title}"
        table.add_row(_shortened(gold, room), _shortened(assigned, room), f"{pair.encounters:,}")
    return table
