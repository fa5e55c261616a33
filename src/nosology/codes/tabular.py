"""Read the official ICD-10-CM tabular list (XML), with the codes that exist only through 7th-character rules.

The XML names 46,881 headings and codes; another 51,305 arise when a 7th character (A = initial encounter, ...) is
added to a code, padded with X. Rules too fine for the XML forbid some of those, so an official list of all codes
decides which exist.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path

from nosology.codes.formats import format_code
from nosology.codes.tables import COMPOSED, OFFICIAL, Node
from nosology.errors import CodeError

_TERM_TAGS = {"inclusionTerm": "inclusion term", "includes": "includes note"}
_NOTE_TAGS = {
    "excludes1": "excludes1",
    "excludes2": "excludes2",
    "codeFirst": "code first",
    "codeAlso": "code also",
    "useAdditionalCode": "use additional code",
    "notes": "note",
}


def read_tabular(path: Path, existing: frozenset[str], titles: Mapping[str, str]) -> tuple[int, dict[str, Node]]:
    """Read the tabular XML.

    Args:
        path: the XML file.
        existing: compact codes that exist, from the official list.
        titles: formatted code -> official full title, for 7th-character codes; composed where absent.

    Returns:
        The fiscal year and the nodes, parents before children.
    """
    try:
        root = ElementTree.parse(path).getroot()
        year = int(root.findtext("version", ""))
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise CodeError(f"cannot read the ICD-10-CM tabular list ({type(error).__name__})", path=path) from None
    nodes: dict[str, Node] = {}
    for chapter in root.iterfind("chapter"):
        for node in _chapter_nodes(chapter, existing, titles):
            nodes[node.code] = node
    return year, nodes


def _chapter_nodes(chapter: ElementTree.Element, existing: frozenset[str], titles: Mapping[str, str]) -> Iterator[Node]:
    title, code = _split_range(_text(chapter, "desc"))
    yield Node(code, title, "chapter", "", False, OFFICIAL, *_texts(chapter))
    ranges = [_block_code(section) for section in chapter.iterfind("section")]
    for block, section in zip(ranges, chapter.iterfind("section"), strict=True):
        if block != code:  # a chapter with one block of the same extent needs no second node
            title, _ = _split_range(_text(section, "desc"))
            parent = _enclosing(block, ranges) or code
            yield Node(block, title, "block", parent, False, OFFICIAL, *_texts(section))
        for diagnosis in section.iterfind("diag"):
            yield from _diagnosis_nodes(diagnosis, block, {}, existing, titles)


def _diagnosis_nodes(
    element: ElementTree.Element,
    parent: str,
    extensions: Mapping[str, str],
    existing: frozenset[str],
    titles: Mapping[str, str],
) -> Iterator[Node]:
    code = _text(element, "name")
    extensions = _extensions(element) or extensions
    below = element.findall("diag")
    extended = [] if below else list(_extended_nodes(code, _text(element, "desc"), extensions, existing, titles))
    billable = not below and not extended
    kind = "code" if billable else "category" if len(code) == 3 else "stem"
    yield Node(code, _text(element, "desc"), kind, parent, billable, OFFICIAL, *_texts(element))
    yield from extended
    for child in below:
        yield from _diagnosis_nodes(child, code, extensions, existing, titles)


def _extended_nodes(
    code: str, title: str, extensions: Mapping[str, str], existing: frozenset[str], titles: Mapping[str, str]
) -> Iterator[Node]:
    padded = code.replace(".", "").ljust(6, "X")
    for character, meaning in extensions.items():
        if padded + character not in existing:
            continue
        extended = format_code(padded + character, "icd10cm")
        official = titles.get(extended)
        source = OFFICIAL if official else COMPOSED
        yield Node(extended, official or f"{title}, {meaning}", "code", code, True, title_source=source)


def _extensions(element: ElementTree.Element) -> dict[str, str]:
    definition = element.find("sevenChrDef")
    found = () if definition is None else definition.iterfind("extension")
    return {extension.get("char", ""): _clean(extension.text) for extension in found}


def _texts(element: ElementTree.Element) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """The terms as (text, source) and the instructions as (kind, text) of one heading or code."""
    terms: list[tuple[str, str]] = []
    notes: list[tuple[str, str]] = []
    for part in element:
        if source := _TERM_TAGS.get(part.tag):
            terms.extend((text, source) for text in _note_texts(part))
        elif kind := _NOTE_TAGS.get(part.tag):
            notes.extend((kind, text) for text in _note_texts(part))
    return tuple(terms), tuple(notes)


def _note_texts(part: ElementTree.Element) -> Iterator[str]:
    for note in part:
        if note.tag == "note" and (text := _clean(note.text)):
            yield text


def _block_code(section: ElementTree.Element) -> str:
    name = section.get("id", "")
    return name if "-" in name else f"{name}-{name}"  # "B99" alone would collide with the category B99


def _enclosing(block: str, ranges: list[str]) -> str:
    """The smallest other block that spans this one: the XML lists C00-C96, C00-C75 and C00-C14 side by side."""
    first, last = block.split("-")
    spans = (tuple(other.split("-")) for other in ranges if other != block)
    around = [span for span in spans if span[0] <= first and last <= span[1]]
    # Of nested ranges, the one that starts last, then ends first, is the innermost.
    return "-".join(max(around, key=lambda span: (span[0], _reversed(span[1])))) if around else ""


def _reversed(code: str) -> tuple[int, ...]:
    return tuple(-ord(character) for character in code)


def _split_range(title: str) -> tuple[str, str]:
    """``Neoplasms (C00-D49)`` -> its title and its range."""
    name, _, tail = title.rpartition(" (")
    return (name, tail.rstrip(")")) if name else (title, "")


def _text(element: ElementTree.Element, tag: str) -> str:
    return _clean(element.findtext(tag))


def _clean(text: str | None) -> str:
    return " ".join((text or "").split())
