"""Statistics as tables: one shape for the terminal, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nosology.corpora.statistics.labels import QUANTILES, ChapterRow, CodePair
from nosology.corpora.statistics.report import CorpusStatistics

_SYSTEM_TITLES = {
    "icd9cm": "ICD-9-CM diagnoses",
    "icd9proc": "ICD-9-CM procedures",
    "icd10cm": "ICD-10-CM diagnoses",
    "icd10pcs": "ICD-10-PCS procedures",
}
# What must never be parted by a split.
GROUPS = "groups (patients, articles)"
_LATEX = {"&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$", "{": r"\{", "}": r"\}"} | {
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
    "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StatisticsTable:
    """A table.

    Args:
        key: short name, for CSV.
        title: for people.
        columns: headings.
        rows: cells as they are shown.
        words: how many of the first columns hold words (the others hold numbers, set to the right).
        note: what one must know to read it; may be empty.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    note: str = ""


def system_title(system: str) -> str:
    """A code system as people call it; the name itself for one of the user's own."""
    return _SYSTEM_TITLES.get(system, system)


def statistics_tables(statistics: CorpusStatistics) -> tuple[StatisticsTable, ...]:
    """Every table that has something to say, the most important first."""
    every = (
        _overview(statistics),
        _splits(statistics),
        _frequencies(statistics),
        _quantiles(statistics),
        _bands(statistics),
        _lengths(statistics),
        _truncations(statistics),
        _chapters(statistics.chapters),
        _pairs(statistics, "frequent"),
        _pairs(statistics, "strongest"),
        _validity(statistics),
        _duplicates(statistics),
    )
    return tuple(table for table in every if table.rows)


def to_markdown(tables: Sequence[StatisticsTable]) -> str:
    """GitHub's Markdown, one heading a table."""
    return "\n".join(_markdown(table) for table in tables)


def to_latex(tables: Sequence[StatisticsTable]) -> str:
    r"""``tabular`` environments for the package ``booktabs``, each in a ``table`` with its caption."""
    return "\n".join(_latex(table) for table in tables)


def to_csv(tables: Sequence[StatisticsTable]) -> str:
    """Long form: table, row, column, value; one row a cell, numbers as shown but without separators."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["table", "row", "column", "value"])
    for table in tables:
        for row in table.rows:
            name = " + ".join(row[: table.words])
            cells = zip(table.columns[table.words :], row[table.words :], strict=True)
            writer.writerows([table.key, name, column, value.replace(",", "")] for column, value in cells)
    return stream.getvalue()


def _overview(s: CorpusStatistics) -> StatisticsTable:
    cardinality = s.cardinality
    rows = [
        ("documents", _count(s.documents)),
        ("notes", _count(s.notes)),
        ("characters", _count(s.characters)),
        (GROUPS, _count(s.groups) if s.groups else "unknown"),
        ("distinct codes", _count(s.codes)),
        ("codes in no table", _count(s.unknown_codes)),
        ("occurrences", _count(s.occurrences)),
        ("codes a document, mean", f"{cardinality.mean:.2f}"),
        ("codes a document, median", f"{cardinality.median:.0f}"),
        ("codes a document, 5 to 95 %", f"{cardinality.percentile_5:.0f} to {cardinality.percentile_95:.0f}"),
        ("codes a document, most", _count(cardinality.maximum)),
    ]
    return StatisticsTable("overview", f"The corpus {s.corpus}", ("", ""), tuple(rows))


def _splits(s: CorpusStatistics) -> StatisticsTable:
    rows = tuple(
        (
            split.name,
            _count(split.documents),
            _count(split.groups) if split.groups else "-",
            _count(split.codes),
            f"{split.mean_codes:.2f}",
            _count(split.absent_codes),
            _percent(split.absent_share),
            f"{split.divergence:.4f}",
        )
        for split in s.splits
    )
    columns = ("split", "documents", "groups", "codes", "mean", "not in train", "share", "JSD")
    note = "mean: codes a document; not in train: its codes that no training document has, and their share of its "
    note += "occurrences; JSD: Jensen-Shannon divergence (bits) of its code frequencies from the whole corpus's"
    return StatisticsTable("splits", "Splits", columns, rows, note=note)


def _frequencies(s: CorpusStatistics) -> StatisticsTable:
    rows = tuple(
        (
            system_title(row.system),
            _count(row.codes),
            _count(row.once),
            _percent(row.at_most_twice / row.codes),
            _percent(row.top_50_share),
            _percent(row.top_tenth_share),
        )
        for row in s.frequencies
    )
    columns = ("", "codes", "once", "<= 2", "top 50", "top 10 %")
    note = "once: codes in one document; <= 2: share of codes in one or two; top: share of the occurrences that the "
    note += "most frequent codes hold"
    return StatisticsTable("frequencies", "How often a code occurs", columns, rows, note=note)


def _quantiles(s: CorpusStatistics) -> StatisticsTable:
    rows = tuple(
        (system_title(row.system), *(_count(one) for one in row.quantiles), row.most_frequent) for row in s.frequencies
    )
    columns = ("", *(f"{one} %" for one in QUANTILES[:-1]), "most", "which")
    return StatisticsTable("quantiles", "Documents a code: quantiles over the codes", columns, rows)


def _bands(s: CorpusStatistics) -> StatisticsTable:
    total = max(s.codes, 1)
    rows = tuple(
        (row.band, _count(row.codes), _percent(row.codes / total), _count(row.occurrences), _percent(row.share))
        for row in s.bands
        if row.codes
    )
    columns = (s.bands_of, "codes", "of codes", "occurrences", "of occurrences")
    return StatisticsTable("bands", "Codes by frequency band", columns, rows)


def _lengths(s: CorpusStatistics) -> StatisticsTable:
    rows = tuple(
        (
            one.tokenizer,
            _count(one.documents) + (" (sample)" if one.sampled else ""),
            *(f"{value:,.0f}" for value in _spread(one.lengths)),
        )
        for one in s.lengths
    )
    columns = ("tokens", "documents", "mean", "5 %", "25 %", "median", "75 %", "95 %", "longest")
    return StatisticsTable("lengths", "Length of a document", columns, rows)


def _spread(lengths: object) -> Iterator[float]:
    names = ("mean", "percentile_5", "percentile_25", "median", "percentile_75", "percentile_95", "maximum")
    return (float(getattr(lengths, name)) for name in names)


def _truncations(s: CorpusStatistics) -> StatisticsTable:
    rows = tuple(
        (
            one.tokenizer,
            _count(cut.limit),
            _percent(cut.documents_cut),
            _percent(cut.mean_lost),
            _percent(cut.worst_lost),
            _percent(cut.tokens_lost),
        )
        for one in s.lengths
        for cut in one.truncations
    )
    columns = ("tokens", "limit", "documents cut", "lost, mean", "lost, worst", "of all tokens")
    return StatisticsTable("truncations", "What a limit on tokens cuts off", columns, rows, words=2)


def _chapters(rows: Sequence[ChapterRow]) -> StatisticsTable:
    cells = tuple(
        (
            row.chapter or "-",
            row.title or "in no table",
            _count(row.codes),
            _count(row.occurrences),
            _percent(row.share),
        )
        for row in rows
    )
    return StatisticsTable("chapters", "Chapters", ("", "title", "codes", "occurrences", "share"), cells, words=2)


def _pairs(s: CorpusStatistics, kind: str) -> StatisticsTable:
    pairs: tuple[CodePair, ...] = getattr(s.cooccurrence, kind)
    rows = tuple(
        (
            f"{pair.first} {pair.first_title}".rstrip(),
            f"{pair.second} {pair.second_title}".rstrip(),
            _count(pair.documents),
            f"{pair.lift:,.1f}",
            f"{pair.pmi:.2f}",
        )
        for pair in pairs
    )
    titles = {"frequent": "Codes most often together", "strongest": "Codes most strongly together"}
    note = f"{s.cooccurrence.pairs:,} pairs of codes share a document; lift: times as often as by chance; PMI: its log2"
    if kind == "strongest":
        note = f"highest lift among pairs in at least {s.cooccurrence.least_documents} documents"
    columns = ("code", "and code", "documents", "lift", "PMI")
    return StatisticsTable(f"pairs_{kind}", titles[kind], columns, rows, words=2, note=note)


def _validity(s: CorpusStatistics) -> StatisticsTable:
    v = s.validity
    rows = (
        ("in force on the document's date", _count(v.checked - v.invalid)),
        ("not in force", _count(v.invalid)),
        ("not checked: no date", _count(v.undated)),
        ("not checked: date in the future (shifted)", _count(v.shifted)),
        ("not checked: no table as old", _count(v.uncovered)),
    )
    shown = rows if v.checked or v.shifted or v.uncovered else ()
    return StatisticsTable("validity", "Codes on their dates", ("", "occurrences"), shown)


def _duplicates(s: CorpusStatistics) -> StatisticsTable:
    found = s.duplicates
    if found is None:
        return StatisticsTable("duplicates", "", (), ())
    rows = (
        ("notes compared", _count(found.notes)),
        ("pairs", _count(found.pairs)),
        ("notes with a near duplicate", _count(found.notes_involved)),
        ("pairs of one group", _count(found.same_patient)),
        ("pairs of two groups", _count(found.other_patient)),
        ("pairs in two splits", _count(found.across_splits)),
    )
    note = f"Jaccard of runs of {found.shingle_words} words, {found.threshold:g} or more; most alike: "
    note += "; ".join(f"{a} and {b} ({alike:.2f})" for a, b, alike in found.examples[:3]) or "none"
    if found.large_buckets:
        note += f"; {found.large_buckets} groups were too large to compare every pair, so there may be more"
    return StatisticsTable("duplicates", "Near-duplicate notes", ("", ""), rows, note=note)


def _markdown(table: StatisticsTable) -> str:
    align = ["---"] * table.words + ["---:"] * (len(table.columns) - table.words)
    lines = [_markdown_row(row) for row in (table.columns, align, *table.rows)]
    note = [f"\n{table.note}"] if table.note else []
    return "\n".join([f"## {table.title}\n", *lines, *note, ""])


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _latex(table: StatisticsTable) -> str:
    shape = "l" * table.words + "r" * (len(table.columns) - table.words)
    body = [" & ".join(map(_tex, row)) + r" \\" for row in table.rows]
    caption = f"{table.title}. {table.note}" if table.note else table.title
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_tex(caption)}}}",
            rf"\label{{tab:{table.key.replace('_', '-')}}}",
            rf"\begin{{tabular}}{{{shape}}}",
            r"\toprule",
            " & ".join(map(_tex, table.columns)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _tex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
