"""The installed code systems: titles, hierarchy, validity by date, search."""

from __future__ import annotations

import random
import re
from datetime import date

import pytest

from nosology.codes import CodeSystem, format_code, open_code_system
from nosology.codes.sources import source_files
from nosology.errors import CodeError


def test_seventh_character_codes_exist_with_title_parent_and_ancestors(icd10cm: CodeSystem) -> None:
    entry = icd10cm.require("s72001a")
    assert entry.code == "S72.001A"
    assert entry.description == (
        "Fracture of unspecified part of neck of right femur, initial encounter for closed fracture"
    )
    assert entry.kind == "code"
    assert entry.billable
    assert entry.parent == "S72.001"
    assert icd10cm.ancestors("S72.001A") == ("S72.001", "S72.00", "S72.0", "S72", "S70-S79", "S00-T88")


def test_placeholder_x_pads_short_codes(icd10cm: CodeSystem) -> None:
    assert icd10cm.parent("T14.91XA") == "T14.91"
    assert icd10cm.description("T14.91XA") == "Suicide attempt, initial encounter"
    assert not icd10cm.is_billable("T14.91")


def test_titles_of_new_seventh_character_codes_are_composed(icd10cm: CodeSystem) -> None:
    entry = icd10cm.require("S30.11XA")
    assert entry.title_source == "composed"
    assert entry.description == "Contusion of abdominal wall, initial encounter"


def test_all_codes_of_the_official_list_are_there(icd10cm: CodeSystem) -> None:
    listing = next(path for path in source_files("icd10cm") if path.name.startswith("code-list"))
    lines = listing.read_text(encoding="utf-8").split()
    assert len(lines) == 98_505
    codes = [line for line in lines if not line.isdigit() and "-" not in line]
    missing = [code for code in codes if icd10cm.get(code) is None]
    assert missing == []
    current = sum(icd10cm.is_valid(code) for code, _, _ in icd10cm.entries())
    assert current == 98_505


def test_billable_codes_agree_with_the_official_flat_list(icd10cm: CodeSystem) -> None:
    path = next(path for path in source_files("icd10cm") if path.name.startswith("icd10cm-codes"))
    lines = path.read_text(encoding="utf-8").splitlines()
    on = date(2024, 1, 1)
    for line in random.Random(7).sample(lines, 500):
        code, _, title = line.partition(" ")
        assert icd10cm.is_billable(code, on), code
        entry = icd10cm.require(code)
        if len(code) == 7 and entry.valid_to is None:
            assert entry.description == title.strip()


def test_every_parent_exists_and_every_line_ends_at_a_chapter(icd10cm: CodeSystem, icd9cm: CodeSystem) -> None:
    for system in (icd10cm, icd9cm):
        rows = [code for code, _, _ in system.entries()]
        for code in random.Random(3).sample(rows, 300):
            line = system.ancestors(code)
            top = line[-1] if line else code
            assert system.require(top).kind == "chapter"
            assert not line or code in system.children(line[0])


def test_blocks_nest_and_single_category_blocks_keep_their_own_name(icd10cm: CodeSystem) -> None:
    assert icd10cm.ancestors("C00") == ("C00-C14", "C00-C75", "C00-C96", "C00-D49")
    assert icd10cm.ancestors("B99.9") == ("B99", "B99-B99", "A00-B99")
    assert icd10cm.require("B99-B99").kind == "block"
    assert icd10cm.require("B99").kind == "category"


def test_siblings_share_the_parent_and_leave_out_the_code(icd10cm: CodeSystem) -> None:
    siblings = icd10cm.siblings("E11.9")
    assert siblings == ("E11.0", "E11.1", "E11.2", "E11.3", "E11.4", "E11.5", "E11.6", "E11.8", "E11.A")
    assert icd10cm.siblings("A00-B99")[0] == "C00-D49"


def test_stems_and_categories_are_known_and_not_billable(icd10cm: CodeSystem, icd10pcs: CodeSystem) -> None:
    category, stem = icd10cm.require("r10"), icd10pcs.require("bn20")
    assert (category.kind, category.billable) == ("category", False)
    assert (stem.kind, stem.billable, stem.title_source) == ("stem", False, "derived")
    assert stem.description == "Computerized Tomography (CT Scan) of Skull"
    assert icd10pcs.ancestors("BN20ZZZ") == ("BN20", "BN2", "BN", "B")
    assert icd10pcs.is_billable("BN20ZZZ")
    assert icd10pcs.description("B") == "Imaging"


def test_stems_padded_for_their_seventh_character_are_known(icd10cm: CodeSystem) -> None:
    entry = icd10cm.require("w19.xxx")
    assert (entry.code, entry.kind, entry.billable, entry.parent) == ("W19.XXX", "stem", False, "W19")
    assert entry.description == icd10cm.description("W19.XXX") == icd10cm.description("W19")
    assert icd10cm.ancestors("S02.5XX") == ("S02.5", "S02", "S00-S09", "S00-T88")
    assert "S02.5XXA" in icd10cm.siblings("S02.5XX")
    assert icd10cm.is_valid("T20.30X")
    assert not icd10cm.is_billable("T20.30X")
    assert icd10cm.get("I10.XXX") is None
    assert icd10cm.get("S02.5X") is None


def test_the_nearest_known_heading(icd10cm: CodeSystem, icd10pcs: CodeSystem) -> None:
    assert [entry and entry.code for entry in map(icd10pcs.nearest, ("5A1D00Z", "BN20ZZZ", "I"))] == [
        "5A1D",
        "BN20ZZZ",
        None,
    ]
    nearest = icd10cm.nearest("I10.99")
    assert nearest is not None
    assert nearest.code == "I10"


def test_icd9_keeps_zeros_and_tells_v_and_e_codes(icd9cm: CodeSystem) -> None:
    assert icd9cm.description("25000").startswith("Diabetes mellitus without mention of complication, type II")
    assert icd9cm.ancestors("25000") == ("250.0", "250", "240-279")
    assert icd9cm.ancestors("038.9") == ("038", "001-139")
    assert icd9cm.ancestors("e8120") == ("E812", "E000-E999")
    assert icd9cm.ancestors("V5861") == ("V58.6", "V58", "V01-V91")
    assert icd9cm.get("41") is None
    assert icd9cm.require("042").billable


def test_icd9_category_titles_are_derived_or_left_empty(icd9cm: CodeSystem) -> None:
    assert icd9cm.require("401").description == "Essential hypertension"
    assert icd9cm.require("401").title_source == "derived"
    assert icd9cm.require("410").description == "Acute myocardial infarction"
    assert icd9cm.require("780").description == ""
    assert icd9cm.require("780").title_source == ""


def test_icd9_titles_decode_latin_1(icd9cm: CodeSystem) -> None:
    assert icd9cm.description("386.00") == "Ménière's disease, unspecified"


def test_icd9_procedures(icd9proc: CodeSystem) -> None:
    assert icd9proc.description("3893") == "Venous catheterization, not elsewhere classified"
    assert icd9proc.ancestors("38.93") == ("38.9", "38", "35-39")
    assert icd9proc.ancestors("0001") == ("00.0", "00", "00-00")


def test_validity_follows_the_release_in_force(icd10cm: CodeSystem, icd9cm: CodeSystem) -> None:
    retired = icd10cm.require("S30.1XXA")
    assert retired.valid_to == date(2025, 9, 30)
    assert not retired.billable
    assert icd10cm.is_billable("S30.1XXA", date(2024, 5, 1))
    assert not icd10cm.is_valid("S30.1XXA", date(2026, 5, 1))
    new = icd10cm.require("QA0.0")
    assert new.valid_from == date(2025, 10, 1)
    assert not icd10cm.is_valid("QA0.0", date(2024, 5, 1))
    assert icd10cm.require("I10").valid_from is None
    assert icd9cm.is_billable("250.00", date(2015, 9, 30))
    assert not icd9cm.is_valid("250.00", date(2015, 10, 1))


def test_a_code_split_since_could_be_billed_before(icd10cm: CodeSystem) -> None:
    before, after = date(2024, 1, 1), date(2026, 1, 1)
    split = [code for code, _, _ in icd10cm.entries() if icd10cm.is_billable(code, before) and icd10cm.children(code)]
    assert split
    assert not any(icd10cm.is_billable(code, after) for code in split)
    assert all(icd10cm.require(code).kind in ("stem", "category") for code in split)


def test_a_date_before_the_oldest_table_is_an_error(icd10cm: CodeSystem) -> None:
    message = r"icd10cm has no table for 2012-01-01: the oldest is FY2024, from 2023-10-01; add the year's order file"
    with pytest.raises(CodeError, match=message):
        icd10cm.is_valid("I10", date(2012, 1, 1))
    with pytest.raises(CodeError, match=message):
        open_code_system("icd10cm", on=date(2012, 1, 1))


def test_a_system_opened_on_a_date_lists_what_was_valid_then(code_cache: object) -> None:
    old = open_code_system("icd10cm", on=date(2024, 1, 1))
    assert old.release == "FY2024"
    listed = {code: billable for code, _, billable in old.entries()}
    assert listed["S30.1XXA"]
    assert not listed["S30"]
    assert "QA0.0" not in listed
    assert old.require("S30.1XXA").billable


def test_unknown_codes(icd10cm: CodeSystem) -> None:
    assert icd10cm.get("Q99.99") is None
    assert icd10cm.get("not a code") is None
    assert icd10cm.description("Q99.99") == ""
    assert icd10cm.ancestors("Q99.99") == ()
    assert not icd10cm.is_valid("Q99.99")
    assert "i10" in icd10cm
    assert "Q99.99" not in icd10cm
    with pytest.raises(CodeError, match=r"icd10cm does not know 'Q99.99'; did you mean Q99.9\?"):
        icd10cm.require("Q99.99")
    with pytest.raises(CodeError, match=r"unknown code system 'icd11'"):
        open_code_system("icd11")


def test_terms_carry_their_source(icd10cm: CodeSystem, icd9cm: CodeSystem) -> None:
    assert ("high blood pressure", "includes note") in [(t.text, t.source) for t in icd10cm.terms("I10")]
    assert ("Fracture of hip NOS", "inclusion term") in [(t.text, t.source) for t in icd10cm.terms("S72.00")]
    assert [t.source for t in icd9cm.terms("001.0")] == ["short title"]
    text = next(path for path in source_files("icd10cm") if path.suffix == ".xml").read_text(encoding="utf-8")
    written = sum(
        block.count("<note>") for block in re.findall(r"<inclusionTerm>(.*?)</inclusionTerm>", text, re.DOTALL)
    )
    assert sum(term.source == "inclusion term" for term in icd10cm.iter_terms()) == written
    assert any(kind == "excludes1" for kind, _ in icd10cm.notes("E11"))


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("type 2 diabetes", "E11"),
        ("pneumonia unspecified organism", "J18"),
        ("I10", "I10"),
        ("s72001a", "S72.001A"),
        ("HEART failures", "I50"),
        ("sezary disease", "C84.1"),
    ],
)
def test_search_finds_the_obvious_code_first(icd10cm: CodeSystem, words: str, first: str) -> None:
    assert icd10cm.search(words, 5)[0].code == first


def test_search_finds_inclusion_terms_and_survives_operators(icd10cm: CodeSystem) -> None:
    assert "S72.00" in {hit.code for hit in icd10cm.search("hip fracture", 10)}
    assert icd10cm.search('AND "OR* NEAR( -', 3) is not None
    assert icd10cm.search("!!", 3) == ()
    assert len(icd10cm.search("fracture", 7)) == 7
    codes = [hit.code for hit in icd10cm.search("fracture", 50)]
    assert len(codes) == len(set(codes))


def test_search_without_full_text_index(icd9cm: CodeSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icd9cm, "_has_words", False)
    hits = icd9cm.search("congestive heart failure", 3)
    assert [hit.code for hit in hits[:2]] == ["398.91", "428.0"]  # all three words; the shorter title first
    assert [hit.score for hit in hits[:2]] == [3, 3]


def test_entries_are_formatted_and_in_the_books_order(icd9cm: CodeSystem, icd10pcs: CodeSystem) -> None:
    rows = list(icd9cm.entries())
    assert len(rows) == len(icd9cm)
    assert sum(billable for _, _, billable in rows) == 14_567
    assert all(format_code(code, "icd9cm") == code for code, _, _ in rows if "-" not in code)
    assert sum(billable for _, _, billable in icd10pcs.entries()) == 78_603
