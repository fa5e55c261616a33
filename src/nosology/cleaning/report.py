"""What was found, in files that a person can check: ids, codes, probabilities and offsets; text only when asked for.

report.md     counts by kind and by code, and the surest findings
report.csv    one line a finding
kept.jsonl    for each note that was cut: its id and the pieces of the original that are left
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nosology.cleaning.applying import Cleaned
from nosology.cleaning.noise import CodeFinding, DuplicateFinding, Noise
from nosology.types import Corpus, Span

REPORT_MD, REPORT_CSV, KEPT = "report.md", "report.csv", "kept.jsonl"
_COLUMNS = (
    "kind", "encounter_id", "code", "system", "probability", "plausibility", "relative", "note_id", "start", "end",
    "source_note_id", "source_start", "source_end",
)  # fmt: skip
_SHOWN_CODES, _SHOWN_FINDINGS = 30, 50


def write_report(
    folder: Path, corpus: Corpus, noise: Noise, cleaned: Cleaned, titles: Mapping[str, str], *, show_text: bool = False
) -> None:
    """Write the three files.

    Args:
        folder: an existing one.
        corpus: before cleaning.
        noise: what was found.
        cleaned: what was done.
        titles: of codes.
        show_text: also write the words that findings point at; they are note text.
    """
    texts = _Texts(corpus) if show_text else None
    rows = [*map(_code_row, noise.findings), *map(_duplicate_row, noise.duplicates)]
    columns = (*_COLUMNS, "text") if texts else _COLUMNS
    if texts:
        rows = [(*row, texts.of(str(row[7]), Span(int(row[8]), int(row[9])))) for row in rows]
    _write_csv(folder / REPORT_CSV, columns, rows)
    kept = (json.dumps({"note_id": one.note_id, "kept": [list(span) for span in one.spans]}) for one in cleaned.kept)
    (folder / KEPT).write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    page = "\n".join(_page(noise, cleaned, titles, texts)) + "\n"
    (folder / REPORT_MD).write_text(page, encoding="utf-8")


class _Texts:
    """The words at a place, on one line."""

    def __init__(self, corpus: Corpus) -> None:
        self._notes = {note.note_id: note.text for encounter in corpus for note in encounter.notes}

    def of(self, note_id: str, span: Span) -> str:
        return " ".join(self._notes.get(note_id, "")[span.start : span.end].split())


def _code_row(one: CodeFinding) -> tuple[str | int, ...]:
    scores = f"{one.probability:.4f}", f"{one.plausibility:.4f}"
    place = one.note_id, one.span.start, one.span.end
    return one.kind, one.encounter_id, one.code, one.system, *scores, one.relative, *place, "", "", ""


def _duplicate_row(one: DuplicateFinding) -> tuple[str | int, ...]:
    source = (one.source_note_id, *one.source_span) if one.source_span is not None else ("", "", "")
    return one.kind, one.encounter_id, "", "", "", "", "", one.note_id, *one.span, *source


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)


def _page(noise: Noise, cleaned: Cleaned, titles: Mapping[str, str], texts: _Texts | None) -> Iterator[str]:
    kinds = Counter([*(one.kind for one in noise.findings), *(one.kind for one in noise.duplicates)])
    done = {
        "implausible": f"{cleaned.dropped_codes} dropped",
        "missing": f"{cleaned.added_codes} added",
        "copy": f"{cleaned.dropped_chunks} chunks cut out, with {cleaned.lost_evidence} pieces of evidence",
        "boilerplate": "as above",
    }
    yield "# Noise in a corpus"
    yield ""
    yield f"{len(noise.encounter_ids):,} encounters, {len(noise.weights):,} codes of {len(noise.codes):,} kinds."
    if cleaned.doubted_codes:
        yield ""
        yield f"{cleaned.doubted_codes:,} codes of the cleaned corpus are less certain than 0.9."
    yield ""
    yield from _table(
        ("finding", "how many", "done"), [(kind, f"{kinds[kind]:,}", text) for kind, text in done.items()]
    )
    yield ""
    yield "## Codes"
    yield ""
    yield from _table(("code", "implausible", "missing", "title"), _by_code(noise, titles))
    yield ""
    yield "## The surest findings"
    yield ""
    header = ("kind", "encounter", "code", "relative", "probability", "note", "characters")
    rows = [_shown(one, texts) for one in noise.findings[:_SHOWN_FINDINGS]]
    yield from _table((*header, "text") if texts else header, rows)
    yield ""
    yield f"All of them stand in `{REPORT_CSV}`; what is left of notes in `{KEPT}`."


def _by_code(noise: Noise, titles: Mapping[str, str]) -> list[tuple[str, ...]]:
    counts = {
        kind: Counter(one.code for one in noise.findings if one.kind == kind) for kind in ("implausible", "missing")
    }
    total = counts["implausible"] + counts["missing"]
    best = sorted(total, key=lambda code: (-total[code], code))[:_SHOWN_CODES]
    return [
        (code, str(counts["implausible"][code]), str(counts["missing"][code]), titles.get(code, "")) for code in best
    ]


def _shown(one: CodeFinding, texts: _Texts | None) -> tuple[str, ...]:
    place = f"{one.span.start}-{one.span.end}" if one.note_id else ""
    row = one.kind, one.encounter_id, one.code, one.relative, f"{one.probability:.2f}", one.note_id, place
    return (*row, texts.of(one.note_id, one.span)) if texts else row


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield _line(header)
    yield _line(["---"] * len(header))
    yield from map(_line, rows)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
