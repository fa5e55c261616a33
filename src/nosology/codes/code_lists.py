"""Read flat official code lists and build the headings above their codes.

The lists hold only codes that can be billed, one a line, a code and its title. The headings (ICD-9-CM categories,
ICD-10-PCS tables and stems) are made from the codes; their titles are derived from what the titles below share, and
left empty where they share nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

from nosology.codes.chapters import (
    ICD9_DIAGNOSIS_CHAPTERS,
    ICD9_PROCEDURE_CHAPTERS,
    PCS_BODY_SYSTEMS,
    PCS_SECTIONS,
)
from nosology.codes.formats import format_code
from nosology.codes.tables import DERIVED, NO_TITLE, OFFICIAL, ListedCode, Node, Release, ReleaseList
from nosology.errors import CodeError

ICD9_RELEASE = Release("version 32 (FY2015)", date(2014, 10, 1), last_day=date(2015, 9, 30))

# Words that a shared beginning must not end with, nor consist of.
_DANGLING = frozenset(
    word
    for words in (
        ("a", "an", "and", "as", "at", "by", "due", "for", "from", "in", "into", "is", "not", "of", "on", "or"),
        (
            "born",
            "causing",
            "injuring",
            "occurring",
            "stage",
            "other",
            "site",
            "than",
            "the",
            "to",
            "type",
            "unspecified",
            "using",
            "with",
            "without",
        ),
    )
    for word in words
)
_USUAL_SHARE = 0.6
_PCS_LENGTHS = (1, 2, 3, 4)


def read_code_list(path: Path, system: str, release: Release, *, encoding: str = "utf-8") -> ReleaseList:
    """Read a list of ``CODE   title`` lines.

    Raises:
        CodeError: the file cannot be read, or a line does not start with a code of the system.
    """
    codes: dict[str, ListedCode] = {}
    for number, line in enumerate(_read_text(path, encoding).splitlines(), start=1):
        if not line.strip():
            continue
        code, _, title = line.strip().partition(" ")
        try:
            codes[format_code(code, system)] = ListedCode(True, " ".join(title.split()))
        except CodeError as error:
            raise CodeError(error.problem, path=path, line=number) from None
    return ReleaseList(release, codes, has_headings=False)


def diagnosis_nodes_icd9(long: ReleaseList, short: ReleaseList) -> dict[str, Node]:
    """Chapters, categories, stems and codes of ICD-9-CM diagnoses."""
    return _icd9_nodes(long, short, "icd9cm", ICD9_DIAGNOSIS_CHAPTERS)


def procedure_nodes_icd9(long: ReleaseList, short: ReleaseList) -> dict[str, Node]:
    """Chapters, categories, stems and codes of ICD-9-CM procedures."""
    return _icd9_nodes(long, short, "icd9proc", ICD9_PROCEDURE_CHAPTERS)


def nodes_icd10pcs(released: ReleaseList) -> dict[str, Node]:
    """Sections, body systems, tables (3 characters), stems (4 characters) and codes of ICD-10-PCS."""
    groups = _titles_by_prefix(released.codes, _PCS_LENGTHS)
    nodes: dict[str, Node] = {}
    for code, row in sorted(released.codes.items()):
        for length in _PCS_LENGTHS:
            if code[:length] not in nodes:
                nodes[code[:length]] = _pcs_heading(code[:length], groups[code[:length]])
        nodes[code] = Node(code, row.description, "code", code[:4], True)
    return nodes


def shared_title(titles: Sequence[str]) -> str:
    """The words that all titles begin with, or end with, or most begin with, or all hold in a row; else empty.

    >>> shared_title(["Bypass Cecum to Cecum, Open", "Bypass Cecum to Colon, Open"])
    'Bypass Cecum'
    >>> shared_title(["Malignant essential hypertension", "Benign essential hypertension"])
    'Essential hypertension'
    """
    if len(titles) == 1:
        return titles[0]
    words = [title.split() for title in titles]
    length = _shared_length(words)
    beginning = _telling(words[0][:length])
    if beginning:
        return beginning
    length = _shared_length([title[::-1] for title in words])
    return _telling(words[0][len(words[0]) - length :]) or _usual_start(words) or _shared_run(words)


def _icd9_nodes(
    long: ReleaseList, short: ReleaseList, system: str, chapters: Sequence[tuple[str, str, str]]
) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    for first, last, title in chapters:
        nodes[f"{first}-{last}"] = Node(f"{first}-{last}", title, "chapter", "", False)
    groups = _icd9_groups(long.codes)
    for code, row in sorted(long.codes.items()):
        category, *stems = _icd9_headings(code)
        parent = _chapter_of(category, chapters)
        for kind, heading in (("category", category), *(("stem", stem) for stem in stems)):
            if heading not in long.codes and heading not in nodes:
                title = _telling_category(shared_title(groups[heading]))
                nodes[heading] = Node(heading, title, kind, parent, False, DERIVED if title else NO_TITLE)
            parent = heading if heading != code else parent
        terms = _short_title(short.codes.get(code), row.description)
        nodes[code] = Node(code, row.description, "code", parent, True, OFFICIAL, terms)
    return nodes


def _telling_category(title: str) -> str:
    """A category's title, unless it is one short word such as "Acute", which says nothing."""
    return title if " " in title or len(title) > len("Acute") else ""


def _icd9_headings(code: str) -> tuple[str, ...]:
    """``250.01`` -> ``250``, ``250.0``; a category or stem that is itself a code heads nothing but itself."""
    category, _, rest = code.partition(".")
    return (category, *(f"{category}.{rest[:length]}" for length in range(1, len(rest))))


def _icd9_groups(codes: Mapping[str, ListedCode]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for code, row in codes.items():
        for heading in _icd9_headings(code):
            groups.setdefault(heading, []).append(row.description)
    return groups


def _chapter_of(category: str, chapters: Sequence[tuple[str, str, str]]) -> str:
    for first, last, _ in chapters:
        if len(first) == len(category) and first <= category <= last:
            return f"{first}-{last}"
    return ""


def _short_title(row: ListedCode | None, title: str) -> tuple[tuple[str, str], ...]:
    if row is None or row.description.casefold() == title.casefold():
        return ()
    return ((row.description, "short title"),)


def _titles_by_prefix(codes: Mapping[str, ListedCode], lengths: Iterable[int]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for length in lengths:
        for code, row in codes.items():
            groups.setdefault(code[:length], []).append(row.description)
    return groups


def _pcs_heading(prefix: str, titles: Sequence[str]) -> Node:
    title, source = _pcs_title(prefix, titles)
    kind = "chapter" if len(prefix) == 1 else "block" if len(prefix) == 2 else "category"
    return Node(prefix, title, "stem" if len(prefix) == 4 else kind, prefix[:-1], False, source)


def _pcs_title(prefix: str, titles: Sequence[str]) -> tuple[str, str]:
    section = PCS_SECTIONS.get(prefix[0], "")
    if len(prefix) == 1:
        return section, OFFICIAL if section else NO_TITLE
    system = PCS_BODY_SYSTEMS.get(prefix[:2], "")
    if len(prefix) == 2 and system:
        return f"{section}, {system}", OFFICIAL
    shared = shared_title(titles)
    if shared and len(prefix) == 4 and " " not in shared:  # "Revision" of which part?
        part = _shared_run([title.split() for title in titles])
        return (f"{shared}, {part}" if part else shared), DERIVED
    if shared and len(prefix) == 3 and len(shared.split()) <= 2:  # "Bypass" alone says too little
        return f"{shared}, {system or section}", DERIVED
    return (shared, DERIVED) if shared else (system or section, DERIVED if section else NO_TITLE)


def _shared_length(titles: Sequence[list[str]]) -> int:
    """How many words all titles begin with, whatever their case and the commas after them."""
    plain = [[word.strip(",;:").casefold() for word in title] for title in titles]
    # The first and the last in sorted order differ at least as early as any other pair.
    low, high = min(plain), max(plain)
    return next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))


def _usual_start(titles: Sequence[list[str]]) -> str:
    """The longest beginning of two or more words that at least 60 % of the titles have."""
    starts = Counter(tuple(title[:length]) for title in titles for length in range(2, len(title) + 1))
    usual = [start for start, count in starts.items() if count >= _USUAL_SHARE * len(titles)]
    best = _telling(list(max(usual, key=len, default=())))
    return best if " " in best else ""


def _shared_run(titles: Sequence[list[str]]) -> str:
    """The longest run of two or more words of the first title that all others hold."""
    plain = [f" {' '.join(word.strip(',;:').casefold() for word in title)} " for title in titles]
    first = titles[0]
    for length in range(len(first), 1, -1):
        for start in range(len(first) - length + 1):
            run = _telling(first[start : start + length])
            if " " in run and all(f" {run.replace(',', '').casefold()} " in title for title in plain):
                return run
    return ""


def _telling(words: list[str]) -> str:
    kept = list(words)
    while kept and (kept[-1].strip(",").casefold() in _DANGLING or not any(c.isalpha() for c in kept[-1])):
        kept.pop()
    while kept and kept[0].strip(",").casefold() in _DANGLING:
        kept.pop(0)
    text = " ".join(kept).rstrip(",;:").strip()
    return text[:1].upper() + text[1:]


def _read_text(path: Path, encoding: str) -> str:
    try:
        return path.read_text(encoding=encoding)
    except OSError as error:
        raise CodeError(f"cannot read the code list: {error.strerror}", path=path) from None
    except UnicodeDecodeError as error:
        raise CodeError(f"not {encoding} text at byte {error.start}", path=path) from None
