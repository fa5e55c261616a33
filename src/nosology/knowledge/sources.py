"""Expressions from code tables and term lists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nosology.codes import SYSTEMS, CodeSystem
from nosology.corpora.reading import OnError, Problems, read_rows, shown
from nosology.errors import CorpusError
from nosology.knowledge.base import Expression, Source
from nosology.types import SkippedRecord

_COLUMNS = ("system", "code", "term", "source", "concept")
_NEEDED = ("system", "code", "term")
_LANGUAGE = re.compile(r"[a-z]{2}")
_RANGE_TO_THE_LAST = re.compile(r"([0-9]{3}-[0-9]{3})\.99")

_KIND = "type|site|side|eye|ear|organism|cause|limb|trimester|severity|nature|location|agent|virus|episode of care"
# Words of a title that say only that nothing more is known; a note that says nothing more leaves them out.
_SAYS_NOTHING = re.compile(
    rf"[\s,;]*\b(?:(?:or )?(?:(?:{_KIND}) )?unspecified(?: as to [a-z ]+| (?:{_KIND}))?"
    r"|nos|not otherwise specified|uncomplicated|not stated as [a-z ]+"
    r"|without (?:mention of )?(?:complications?|[a-z ]*obstruction|[a-z ]*gangrene)"
    r"|initial encounter(?: for closed fracture)?$)\b",
    re.IGNORECASE,
)
# What is left of "other specified X" without these words would be X, which is another code's meaning.
_RESIDUAL = re.compile(
    r"\b(?:other|not elsewhere classified|nec|elsewhere|sequela|subsequent encounter|underdosing)\b", re.IGNORECASE
)
_LOOSE_END = re.compile(r"(?:[\s,]+(?:of|or|and|with|in|to|by|affecting|due to))+$", re.IGNORECASE)
_TOO_GENERAL = re.compile(
    r"with|without|(?:disease|disorder|condition|complication|fracture|infection)s?|injur(?:y|ies)|malignant|benign"
    r"|neoplasm|site|type|left|right|bilateral|acute|chronic|tumor|cancer|abnormal"
)
_PARENTHESIS = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\])")
_REWRITES = tuple(
    (re.compile(pattern, re.IGNORECASE), templates)
    for pattern, *templates in (
        (r"malignant neoplasm of (.+)", "{} cancer", "cancer of {}", "{} carcinoma", "carcinoma of {}"),
        (r"secondary malignant neoplasm of (.+)", "{} metastasis", "{} metastases", "metastasis to {}"),
        (r"benign neoplasm of (.+)", "benign {} tumor", "benign tumor of {}"),
        (r"neoplasm of uncertain behavior of (.+)", "{} tumor", "tumor of {}"),
        (r"carcinoma in situ of (.+)", "{} carcinoma in situ"),
        (r"(?:disorders?|diseases?) of (.+)", "{} disease", "{} disorder"),
        (r"congenital malformations? of (.+)", "{} malformation", "{} anomaly"),
        (r"personal history of (.+)", "history of {}"),
        (r"long[- ]term use of (.+)", "on {}", "treatment with {}"),
        (r"acquired absence of (.+)", "absent {}", "{} removed"),
        (r"injury of (.+)", "{} injury", "injury to {}"),
        (r"calculus of (.+)", "{} calculus", "{} stone", "{} stones"),
        (r"fracture of (.+)", "{} fracture", "fractured {}"),
        (r"infection of (.+)", "{} infection"),
        (r"abscess of (.+)", "{} abscess"),
        (r"ulcer of (.+)", "{} ulcer"),
        (r"stenosis of (.+)", "{} stenosis"),
    )
)


def expressions_from_code_table(system: CodeSystem) -> Iterator[Expression]:
    """Titles, their variants and further terms of every code and heading.

    Codes of later encounters and sequelae (``S02.5XXD``) have a title and no variants; a first encounter's code also
    has its stem's wording. Chapters and blocks are left out: nobody is coded with them.
    """
    for code, title, _ in system.entries():
        if "-" in code or not title:
            continue
        yield Expression(title, code, system.name, Source.CODE_TABLE)
        for variant in title_variants(title):
            yield Expression(variant, code, system.name, Source.TITLE_VARIANT)
    for term in system.iter_terms():
        if "-" in term.code:
            continue
        yield Expression(term.text, term.code, system.name, _source_of_term(term.source))
        for variant in title_variants(term.text):
            yield Expression(variant, term.code, system.name, Source.TITLE_VARIANT)


def _source_of_term(source: str) -> Source:
    return Source.CODE_TABLE if source == "short title" else Source.INCLUSION_TERM


def title_variants(title: str) -> list[str]:
    """Other ways to write a title, as a note might; none of a residual one ("other specified ...").

    >>> title_variants("Malignant neoplasm of stomach, unspecified")[:3]
    ['Malignant neoplasm of stomach', 'stomach cancer', 'cancer of stomach']
    >>> title_variants("Essential (primary) hypertension")
    ['Essential hypertension']
    """
    if _RESIDUAL.search(title):
        return []
    bare = _without_parentheses(title)
    short = _trimmed(_SAYS_NOTHING.sub("", bare))
    variants = [bare, short]
    for pattern, templates in _REWRITES:
        if match := pattern.fullmatch(short):
            variants += [template.format(match[1]) for template in templates]
    return [variant for variant in dict.fromkeys(variants) if _says_enough(variant) and variant != title]


def _without_parentheses(title: str) -> str:
    while (inner := _PARENTHESIS.sub("", title)) != title:  # innermost first
        title = inner
    return " ".join(title.split())


def _trimmed(text: str) -> str:
    """What is left of a title, without the joints that led to the words taken out."""
    joined = re.sub(r"\bof of\b", "of", " ".join(text.split()))
    return _LOOSE_END.sub("", joined).strip(" ,;:-")


def _says_enough(variant: str) -> bool:
    """A word of four letters or more is left that names something: no code is found by "of" or "chronic disease"."""
    words = re.findall(r"\w+", variant.lower())
    return any(len(word) > 3 and not _TOO_GENERAL.fullmatch(word) for word in words)


@dataclass(frozen=True, slots=True)
class TermList:
    """What a term list gave for one code system.

    Args:
        expressions: in file order.
        skipped: rows left out, with file and line (never the term).
        unknown_codes: codes kept although the system does not know them, with the number of their terms.
        origins: how many terms each origin named by the file (with its licence) gave, for a model card.
    """

    expressions: tuple[Expression, ...] = field(repr=False)
    skipped: tuple[SkippedRecord, ...] = ()
    unknown_codes: Mapping[str, int] = field(default_factory=dict[str, int])
    origins: Mapping[str, int] = field(default_factory=dict[str, int])

    def __len__(self) -> int:
        return len(self.expressions)

    def __iter__(self) -> Iterator[Expression]:
        return iter(self.expressions)


def read_term_list(path: str | Path, *, system: CodeSystem, on_error: OnError = "skip") -> TermList:
    """Read a tab-separated list of terms: a header, then system, code, term and, optionally, source and concept.

    The system column holds ``ICD10CM``, ``icd10cm`` or the name of your own system, with a language where it is not
    English (``ICD10CM/es``). Rows of other systems are passed over. There is no quoting.

    Args:
        path: the file.
        system: the system whose terms are wanted.
        on_error: "skip" leaves broken rows out and counts them; "raise" stops at the first.

    Raises:
        CorpusError: the file is missing, empty or has no such header; with "raise", a broken row.
    """
    path, problems = Path(path), Problems(on_error)
    rows = read_rows(path)
    columns = _header(next(rows)[1], path)
    expressions, origins = list[Expression](), Counter[str]()
    for line, cells in rows:
        with problems.guard():
            row = _row(cells, columns, path, line)
            expression = _expression(row, system, path, line)
            if expression is not None:
                expressions.append(expression)
                origins[row.get("source", "")] += 1
    by_code = Counter(expression.code for expression in expressions)
    unknown = {code: count for code, count in sorted(by_code.items()) if code not in system}
    return TermList(tuple(expressions), tuple(problems.skipped), unknown, dict(origins.most_common()))


def _header(cells: list[str], path: Path) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    missing = [column for column in _NEEDED if column not in columns]
    if missing:
        raise CorpusError(
            f"the header has no {' and no '.join(missing)}; a term list has the columns {', '.join(_COLUMNS)}",
            path=path,
            line=1,
        )
    return columns


def _row(cells: list[str], columns: list[str], path: Path, line: int) -> dict[str, str]:
    if len(cells) != len(columns):
        raise CorpusError(
            f"{len(cells)} columns where the header has {len(columns)}; look for a stray tab", path=path, line=line
        )
    return {column: cell.strip() for column, cell in zip(columns, cells, strict=True)}


def _expression(row: Mapping[str, str], system: CodeSystem, path: Path, line: int) -> Expression | None:
    name, language = _system_and_language(row["system"], system.name, path, line)
    if name != system.name:
        return None
    code = system.canonical(_RANGE_TO_THE_LAST.sub(r"\1", row["code"]))
    if code is None:
        raise CorpusError(
            f"the code does not have the shape of one of {name}; correct it or remove the row",
            path=path,
            line=line,
            record_id=shown(row["code"]),
        )
    if not any(character.isalnum() for character in row["term"]):
        raise CorpusError("the term is empty; fill it or remove the row", path=path, line=line, record_id=code)
    is_inclusion = "inclusion term" in row.get("source", "")
    return Expression(row["term"], code, name, Source.INCLUSION_TERM if is_inclusion else Source.TERM_LIST, language)


def _system_and_language(cell: str, own: str, path: Path, line: int) -> tuple[str, str]:
    name, _, language = cell.partition("/")
    name, language = name.strip(), language.strip().lower() or "en"
    if name.casefold() == own.casefold():
        name = own
    elif name.lower().replace("-", "") in SYSTEMS:
        name = name.lower().replace("-", "")
    else:
        problem = f"unknown code system; known: {', '.join(dict.fromkeys((*SYSTEMS, own)))}"
        raise CorpusError(problem, path=path, line=line, record_id=shown(cell))
    if not _LANGUAGE.fullmatch(language):
        raise CorpusError("the language is not two letters, as in ICD10CM/es", path=path, line=line)
    return name, language
