"""The CodiEsp reader on the real release, where it is at hand: counts, evidence and speed of reading."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from nosology.corpora import CodiespReport, check_leakage, read_codiesp, read_codiesp_with_report
from nosology.types import Corpus


@pytest.fixture(scope="module")
def both(codiesp_dir: Path) -> tuple[Corpus, CodiespReport]:
    return read_codiesp_with_report(codiesp_dir, task="both", splits=("train", "dev"))


def rows(corpus: Corpus, split: str, system: str) -> list[str]:
    return [gold.code for e in corpus.split(split) for gold in e.codes or () if gold.system == system]


@pytest.mark.parametrize(
    ("split", "documents", "diagnoses", "distinct", "procedures"),
    [("train", 500, 5639, 1767, 1550), ("dev", 250, 2677, 1158, 817)],
)
def test_counts(
    both: tuple[Corpus, CodiespReport], split: str, documents: int, diagnoses: int, distinct: int, procedures: int
) -> None:
    corpus, _ = both
    assert len(corpus.split(split)) == documents
    assert len(rows(corpus, split, "icd10cm")) == diagnoses
    assert len(set(rows(corpus, split, "icd10cm"))) == distinct
    assert len(rows(corpus, split, "icd10pcs")) == procedures
    assert not corpus.skipped


def test_evidence_is_inside_its_text_and_every_code_has_some(both: tuple[Corpus, CodiespReport]) -> None:
    corpus, report = both
    evidence = [(e.notes[0].text, item) for e in corpus for gold in e.codes or () for item in gold.evidence]
    assert len(evidence) == report.evidence_rows == 13_658
    assert all(0 <= part.start < part.end <= len(text) for text, item in evidence for part in item.parts)
    assert all(item.parts == tuple(sorted(item.parts)) for _, item in evidence)
    assert all(gold.evidence for e in corpus for gold in e.codes or ())
    assert len(report.text_mismatches) == 7
    assert len(report.empty_parts) == 4
    assert report.evidence_only_codes == ()


def test_round_trip_of_the_evidence_file(codiesp_dir: Path, both: tuple[Corpus, CodiespReport]) -> None:
    lines = (codiesp_dir / "dev/devX.tsv").read_text("utf-8").split("\n")
    written: Counter[tuple[str, str, str]] = Counter()
    for document, _, code, _, offsets in (line.split("\t") for line in lines if line):
        parts = sorted((int(a), int(b)) for a, b in (part.split() for part in offsets.split(";")))
        written[document, code.upper(), ";".join(f"{a} {b}" for a, b in parts if a < b)] += 1
    read = Counter(
        (e.encounter_id, gold.code, ";".join(f"{a} {b}" for a, b in item.parts))
        for e in both[0].split("dev")
        for gold in e.codes or ()
        for item in gold.evidence
    )
    assert read == written


def test_english_has_the_same_documents_and_codes(codiesp_dir: Path, both: tuple[Corpus, CodiespReport]) -> None:
    english = read_codiesp(codiesp_dir, task="both", language="en", splits=("train", "dev"))
    assert [(e.encounter_id, e.code_set) for e in english] == [(e.encounter_id, e.code_set) for e in both[0]]
    assert all(gold.evidence == () for e in english for gold in e.codes or ())


def test_background_is_uncoded(codiesp_dir: Path) -> None:
    background = read_codiesp(codiesp_dir, splits=("background",))
    assert len(background) == 2751
    assert all(e.codes is None for e in background)


def test_leakage_of_the_official_splits_is_only_reported(both: tuple[Corpus, CodiespReport]) -> None:
    leaks = check_leakage(both[0])
    assert all(set(leak.encounters) == {"train", "dev"} for leak in leaks)
    shared = {e.group_id for e in both[0].split("train")} & {e.group_id for e in both[0].split("dev")}
    assert {leak.group_id for leak in leaks} == shared
