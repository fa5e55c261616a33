"""How the simulator words things: titles taken apart, paraphrases, and that hidden wordings are hidden."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nosology.codes import open_code_system
from nosology.corpora.simulation.expressions import contains, core, known_expressions, normalized, readable_wordings
from nosology.corpora.simulation.paraphrase import implied_wordings, in_plain_words, is_cut_short, misspell, paraphrase
from nosology.corpora.simulation.phrasing import read_phrasing
from nosology.corpora.simulation.planning import _DISTRACTOR_SECTIONS, _NOT_DONE, _SECTIONS
from nosology.corpora.simulation.tables import (
    GROUP_NAMES,
    read_concepts,
    read_groups,
    read_procedures,
    read_substitutions,
)
from nosology.corpora.simulation.world import build_world


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Essential (primary) hypertension", "Essential hypertension"),
        ("Pneumonia, unspecified organism", "Pneumonia"),
        ("Gout, unspecified", "Gout"),
        ("Unspecified atrial fibrillation", "atrial fibrillation"),
        ("Other infective (teno)synovitis, left hand", "Other infective synovitis, left hand"),
        ("Fracture of left femur, initial encounter", "Fracture of left femur"),
    ],
)
def test_core_of_a_title(title: str, expected: str) -> None:
    assert core(title) == expected


def test_readable_wordings_are_known_and_short() -> None:
    readable = readable_wordings("Essential (primary) hypertension", ["high blood pressure"])
    assert set(readable) == {"Essential hypertension", "high blood pressure"}
    assert readable_wordings("a b c d e f g h i j k", []) == ()
    known = known_expressions("Essential (primary) hypertension", ["high blood pressure"])
    assert "essential primary hypertension" in known
    assert {normalized(wording) for wording in readable} <= known


@given(st.text(max_size=60))
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)


@given(st.integers(0, 10_000))
def test_misspelling_changes_one_word_by_little(seed: int) -> None:
    wrong = misspell("bacterial pneumonia", Random(seed)).split()
    changed = [(a, b) for a, b in zip(wrong, ("bacterial", "pneumonia"), strict=True) if a != b]
    assert len(changed) <= 1
    assert all(abs(len(a) - len(b)) <= 1 and a[0] == b[0] for a, b in changed)


def test_a_paraphrase_is_fixed_by_its_seed_and_others_differ() -> None:
    title = "Malignant neoplasm of left kidney, except renal pelvis"
    assert paraphrase(title, Random(5)) == paraphrase(title, Random(5))
    assert len({paraphrase(title, Random(seed)).text for seed in range(20)}) > 8


def test_greek_roots_become_plain_words() -> None:
    found = {in_plain_words("cholecystitis", Random(seed)) for seed in range(30)} - {""}
    assert found
    assert all("gallbladder" in words for words in found)
    assert in_plain_words("sepsis", Random(1)) == ""


def test_findings_imply_codes() -> None:
    texts = [wording.text for wording in implied_wordings("Abscess of liver")]
    assert "I&D of the liver with frank pus" in texts


def test_cut_short() -> None:
    assert is_cut_short("metastases to")
    assert not is_cut_short("metastases to bone")


@pytest.mark.parametrize("system", ["icd10cm", "icd9cm"])
def test_hidden_wordings_are_in_no_table_and_hold_no_known_one_of_their_code(system: str) -> None:
    codes = build_world(system, 1000).codes
    everything_known = frozenset().union(*(code.known for code in codes))
    for code in codes:
        for wording in (*code.hidden, *code.implied):
            text = normalized(wording.text)
            assert text not in everything_known
            assert not any(contains(text, known) for known in code.known)


def test_nearly_every_code_has_several_hidden_wordings() -> None:
    codes = build_world("icd10cm", 2000).codes
    assert sum(len(code.hidden) >= 2 for code in codes) > 0.97 * len(codes)
    assert all(code.hidden or code.readable for code in codes)


def test_a_bigger_world_keeps_the_order_and_words_of_a_smaller_one() -> None:
    assert build_world("icd10cm", 300).codes == build_world("icd10cm", 1000).codes[:300]


def test_every_sense_and_section_has_frames() -> None:
    phrasing = read_phrasing()
    for role, sections in _DISTRACTOR_SECTIONS.items():
        assert all(phrasing.frames(role, section) for section in (*sections, *_NOT_DONE.get(role, ())))
    used = {section for rows in _SECTIONS.values() for section, _ in rows} - {"medications"}
    assert all(section in phrasing.present for section in used)


def test_data_files_agree_with_one_another() -> None:
    assert len({concept.icd10 for concept in read_concepts()}) == len(read_concepts())
    for procedure in read_procedures():
        assert procedure.kind == "p"
        assert all(name in GROUP_NAMES for name in procedure.groups)
        assert open_code_system("icd10pcs").is_billable(procedure.icd10)
        assert open_code_system("icd9proc").is_billable(procedure.icd9)
    assert all(name in GROUP_NAMES for concept in read_concepts() for name in concept.groups)
    assert all(concept.kind in "casz" and len(concept.wordings) >= 3 for concept in read_concepts())
    assert all(group.medications and group.findings and group.course for group in read_groups())
    for rows in read_substitutions().values():
        for row in rows:
            assert row.kind in ("syn", "abbr", "plain", "drop")
            assert bool(row.alternatives) == (row.kind != "drop")
            assert " ".join(row.words) not in row.alternatives
