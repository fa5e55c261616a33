"""What every code table is read into before it becomes an index: nodes, terms, releases.

Readers of this folder (``tabular``, ``code_lists``, ``order_files``, ``own_table``) all return these values; only
``index`` writes them to disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

# Where a title comes from: the official table; composed of a parent's title and the 7th character's text; derived
# from the wording that the titles of all children share; or absent from the data.
OFFICIAL, COMPOSED, DERIVED, NO_TITLE = "official", "composed", "derived", ""


@dataclass(slots=True)
class Node:
    """One row of a classification while its table is being built.

    Args:
        code: formatted, or a range for chapters and blocks (``A00-A09``).
        description: the title, empty where no table has one.
        kind: ``chapter``, ``block``, ``category``, ``stem`` or ``code``.
        parent: the parent's code, empty at the top.
        billable: whether the newest table allows it on a claim.
        title_source: one of ``OFFICIAL``, ``COMPOSED``, ``DERIVED``, ``NO_TITLE``.
        terms: (text, source) of further wordings.
        notes: (kind, text) of instructions, such as ``excludes1``.
    """

    code: str
    description: str
    kind: str
    parent: str
    billable: bool
    title_source: str = OFFICIAL
    terms: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """One dated edition of a code system.

    Args:
        name: for people ("FY2024").
        effective: the first day it is in force.
        last_day: the last day of the whole system's use, where that is known (ICD-9-CM: 2015-09-30).
    """

    name: str
    effective: date
    last_day: date | None = None


@dataclass(frozen=True, slots=True)
class ListedCode:
    """One row of a release's flat list."""

    billable: bool
    description: str


@dataclass(frozen=True, slots=True)
class ReleaseList:
    """The codes of one release as a flat list.

    Args:
        release: the edition.
        codes: formatted code -> its row, in file order.
        has_headings: whether the list also has the codes that cannot be billed (order files do, code lists do not).
    """

    release: Release
    codes: Mapping[str, ListedCode]
    has_headings: bool


@dataclass(slots=True)
class CodeTable:
    """A whole code system, ready to be indexed.

    Args:
        system: its name.
        nodes: code -> node, parents before children, in the book's order.
        releases: ascending by effective date; may be empty (a user's own table).
        listed: code -> bit mask of the releases that have it.
        billable: code -> bit mask of the releases where it can be billed.
    """

    system: str
    nodes: dict[str, Node]
    releases: tuple[Release, ...] = ()
    listed: dict[str, int] = field(default_factory=dict[str, int])
    billable: dict[str, int] = field(default_factory=dict[str, int])


def ancestors_of(nodes: Mapping[str, Node], code: str) -> Iterator[str]:
    """The codes above one code, nearest first."""
    node = nodes.get(code)
    while node is not None and node.parent:
        yield node.parent
        node = nodes.get(node.parent)


def mark_release(table: CodeTable, position: int, released: ReleaseList) -> None:
    """Record which codes a release lists and bills; headings of a list without any follow from their codes."""
    bit = 1 << position
    for code, row in released.codes.items():
        table.listed[code] = table.listed.get(code, 0) | bit
        if row.billable:
            table.billable[code] = table.billable.get(code, 0) | bit
    _mark_ancestors(table, bit, released.codes)


def mark_tree(table: CodeTable, position: int, codes: Iterable[str]) -> None:
    """Record the codes of a tree that is itself a release, as far as each node says that it can be billed."""
    bit = 1 << position
    for code in codes:
        table.listed[code] = table.listed.get(code, 0) | bit
        if table.nodes[code].billable:
            table.billable[code] = table.billable.get(code, 0) | bit


def _mark_ancestors(table: CodeTable, bit: int, codes: Iterable[str]) -> None:
    for code in codes:
        for ancestor in ancestors_of(table.nodes, code):
            mask = table.listed.get(ancestor, 0)
            if mask & bit:
                break
            table.listed[ancestor] = mask | bit
