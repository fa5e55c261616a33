"""Expressions from code tables and term lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from nosology.codes import CodeSystem, open_code_system
from nosology.errors import ConfigError, CorpusError
from nosology.knowledge.base import Expression, KnowledgeBase, Source
from nosology.knowledge.sources import expressions_from_code_table, read_term_list, title_variants

HEADER = "system\tcode\tterm\tsource\tconcept\n"


@pytest.fixture(scope="module")
def icd10cm() -> CodeSystem:
    return open_code_system("icd10cm")


@pytest.fixture(scope="module")
def table(icd10cm: CodeSystem) -> list[Expression]:
    return list(expressions_from_code_table(icd10cm))


@pytest.mark.parametrize(
    ("title", "variant"),
    [
        ("Malignant neoplasm of stomach, unspecified", "stomach cancer"),
        ("Secondary malignant neoplasm of bone", "bone metastasis"),
        ("Pneumonia, unspecified organism", "Pneumonia"),
        ("Unspecified asthma, uncomplicated", "asthma"),
        ("Essential (primary) hypertension", "Essential hypertension"),
        ("Infection due to Salmonella paratyphi NOS", "Infection due to Salmonella paratyphi"),
        ("Calculus of kidney", "kidney stone"),
        ("Fracture of nasal bones, initial encounter for closed fracture", "nasal bones fracture"),
        ("Type 2 diabetes mellitus without complications", "Type 2 diabetes mellitus"),
        ("Diabetes, type II or unspecified type, not stated as uncontrolled", "Diabetes, type II"),
        ("Burn of unspecified site of left lower limb", "Burn of left lower limb"),
        ("Hernia (of any [odd] kind), bilateral", "Hernia, bilateral"),
        ("Hemiplegia affecting unspecified side", "Hemiplegia"),
    ],
)
def test_titles_are_also_written_as_notes_write_them(title: str, variant: str):
    assert variant in title_variants(title)


@pytest.mark.parametrize(
    "title",
    [
        "Other specified disorders of kidney",
        "Malaise, not elsewhere classified",
        "Fracture of nasal bones, sequela",
        "Fracture of nasal bones, subsequent encounter for fracture with routine healing",
        "Unspecified disease",
        "Chronic condition, unspecified",
        "Cholera",
    ],
)
def test_titles_that_would_come_to_mean_something_else_have_no_variants(title: str):
    assert title_variants(title) == []


def test_a_code_table_gives_titles_variants_and_terms(table: list[Expression]):
    by_code = KnowledgeBase(e for e in table if e.code in ("I10", "C16.9", "A01.4"))
    texts = {(e.text, e.source) for e in by_code}
    assert ("Essential (primary) hypertension", Source.CODE_TABLE) in texts
    assert ("Gastric cancer NOS", Source.INCLUSION_TERM) in texts
    assert ("Gastric cancer", Source.TITLE_VARIANT) in texts
    assert {e.system for e in table} == {"icd10cm"}
    assert not any("-" in e.code for e in table)
    assert len({e.code for e in table}) > 98_000


def test_short_titles_of_icd9_count_as_titles():
    system = open_code_system("icd9cm")
    sources = {e.source for e in expressions_from_code_table(system) if e.code == "250.00"}
    assert sources == {Source.CODE_TABLE, Source.TITLE_VARIANT}


def test_an_own_table_gives_expressions(tmp_path: Path):
    path = tmp_path / "own.csv"
    path.write_text("code,description,parent\nK,Disease of knee,\nK1,Pain of knee,K\n")
    found = list(expressions_from_code_table(CodeSystem.from_table(path, "own")))
    assert Expression("Pain of knee", "K1", "own", Source.CODE_TABLE) in found
    assert Expression("knee disease", "K", "own", Source.TITLE_VARIANT) in found


def write(tmp_path: Path, rows: str, header: str = HEADER) -> Path:
    path = tmp_path / "terms.tsv"
    path.write_text(header + rows, encoding="utf-8")
    return path


def test_a_term_list_is_read_without_quoting(tmp_path: Path, icd10cm: CodeSystem):
    path = write(
        tmp_path,
        'ICD10CM\tI10\t"high" blood pressure\tlist A\tx\n'
        "ICD10CM/es\ti10\tHipertensión\tlist B\tx\r\n"
        "ICD9CM\t401.9\thypertension\tlist A\tx\n"
        "ICD10CM\tA01.4\tParatyphoid NOS\tan inclusion term\tx\n",
    )
    terms = read_term_list(path, system=icd10cm)
    assert list(terms) == [
        Expression('"high" blood pressure', "I10", "icd10cm", Source.TERM_LIST),
        Expression("Hipertensión", "I10", "icd10cm", Source.TERM_LIST, "es"),
        Expression("Paratyphoid NOS", "A01.4", "icd10cm", Source.INCLUSION_TERM),
    ]
    assert terms.skipped == ()
    assert terms.origins == {"list A": 1, "list B": 1, "an inclusion term": 1}


BROKEN = [
    ("ICD10CM\t77.8\tSECRET\tsource\tx", "terms.tsv:3 [77.8]: the code does not have the shape of one of icd10cm"),
    ("ICD10CM\tI10\tSECRET\twords\tsource\tx", "terms.tsv:3: 6 columns where the header has 5; look for a stray tab"),
    ("ICD10CM\tI10", "terms.tsv:3: 2 columns where the header has 5"),
    ("ICD10CM\tI10\t--\tsource\tx", "terms.tsv:3 [I10]: the term is empty"),
    ("SNOMED\t123\tSECRET\tsource\tx", "terms.tsv:3 [SNOMED]: unknown code system; known: icd10cm, icd10pcs"),
    ("ICD10CM/spanish\tI10\tSECRET\tsource\tx", "terms.tsv:3: the language is not two letters"),
]


@pytest.mark.parametrize(("row", "message"), BROKEN)
def test_broken_rows_are_counted_or_raised(tmp_path: Path, icd10cm: CodeSystem, row: str, message: str):
    path = write(tmp_path, f"ICD10CM\tR05\tcough\tsource\tx\n{row}\nICD10CM\tJ00\tcold\tsource\tx\n")
    terms = read_term_list(path, system=icd10cm)
    assert [e.text for e in terms] == ["cough", "cold"]
    (skipped,) = terms.skipped
    assert message in skipped.message
    assert "SECRET" not in skipped.message
    with pytest.raises(CorpusError, match=r"terms\.tsv:3") as caught:
        read_term_list(path, system=icd10cm, on_error="raise")
    assert str(caught.value) == skipped.message


def test_codes_that_no_table_has_are_kept_and_counted(tmp_path: Path, icd10cm: CodeSystem):
    path = write(tmp_path, "ICD10CM\tF78.1\tone\ts\tx\nICD10CM\tF78.1\ttwo\ts\tx\nICD10CM\tI10\tthree\ts\tx\n")
    terms = read_term_list(path, system=icd10cm)
    assert len(terms) == 3
    assert terms.unknown_codes == {"F78.1": 2}


def test_ranges_that_end_in_99_are_the_block(tmp_path: Path):
    path = write(tmp_path, "ICD9CM\t401-405.99\thypertensive disease\ts\tx\n")
    assert [e.code for e in read_term_list(path, system=open_code_system("icd9cm"))] == ["401-405"]


def test_only_three_columns_are_needed_in_any_order(tmp_path: Path, icd10cm: CodeSystem):
    path = write(tmp_path, "cough\ticd10cm\tR05\n", header="term\tSystem\tcode\n")
    assert [e.text for e in read_term_list(path, system=icd10cm)] == ["cough"]


def test_an_own_system_can_have_a_term_list(tmp_path: Path):
    table = tmp_path / "own.csv"
    table.write_text("code,description,parent\nK1,Pain of knee,\n")
    path = write(tmp_path, "Ours\tK1\tgonalgia\ts\tx\nICD10CM\tM25.561\tknee pain\ts\tx\n")
    system = CodeSystem.from_table(table, "ours")
    assert [(e.code, e.system) for e in read_term_list(path, system=system)] == [("K1", "ours")]


def test_files_that_are_no_term_list_are_refused(tmp_path: Path, icd10cm: CodeSystem):
    with pytest.raises(CorpusError, match=r"terms\.tsv:1: the header has no code and no term; a term list has"):
        read_term_list(write(tmp_path, "x\ty\n", header="system\tother\n"), system=icd10cm)
    with pytest.raises(CorpusError, match="the file is empty"):
        read_term_list(write(tmp_path, "", header=""), system=icd10cm)
    with pytest.raises(CorpusError, match="no such file"):
        read_term_list(tmp_path / "missing.tsv", system=icd10cm)
    (tmp_path / "terms.tsv").write_bytes(HEADER.encode() + b"ICD10CM\tI10\t\xff\ts\tx\n")
    with pytest.raises(CorpusError, match=r"terms\.tsv:2: byte .* is not UTF-8"):
        read_term_list(tmp_path / "terms.tsv", system=icd10cm)
    with pytest.raises(ConfigError, match="unknown on_error"):
        read_term_list(tmp_path / "terms.tsv", system=icd10cm, on_error="never")  # pyright: ignore[reportArgumentType]


def test_the_lexicon(data_dir: Path, icd10cm: CodeSystem):
    path = data_dir / "lexicon" / "icd_synonyms.tsv"
    terms = read_term_list(path, system=icd10cm)
    lines = [int(record.message.split(".tsv:")[1].split(":")[0].split(" ")[0]) for record in terms.skipped]
    assert lines == [2, 3, 4, 14070, 22916, 24126, 58187]
    assert len(terms) == 40_994
    assert sum(e.language == "es" for e in terms) == 1_654
    assert terms.unknown_codes["D44.8"] == 7
    with pytest.raises(CorpusError, match=r"icd_synonyms\.tsv:2 \[77\.8\]"):
        read_term_list(path, system=icd10cm, on_error="raise")
