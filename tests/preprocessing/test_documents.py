"""Sentences, paragraphs, sections and words of whole notes."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.preprocessing import NO_SECTION, Document, build_document
from nosology.types import Note

EN_NOTE = """CHIEF COMPLAINT: chest pain

HISTORY OF PRESENT ILLNESS:
Mr. Smith is a 70 year old man seen by Dr. J. Brown who came with
chest pain of 2.5 hours. No fever. The pain radiated to the left
arm.

Past Medical History:
1. Hypertension
2. Diabetes mellitus
Family History: mother with breast cancer
Social History
Lives alone.

Facility:
Elsewhere.
Discharge Medications:
- aspirin 81 mg daily
- metoprolol
"""


def document(text: str, language: str = "en") -> Document:
    return build_document(Note("n", text, language=language))


def sentences(text: str, language: str = "en") -> list[str]:
    return [text[a:b] for a, b in document(text, language).sentences]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "No fever. Cough.", ["No fever.", "Cough."]),
        ("en", "Seen by Dr. Brown today.", ["Seen by Dr. Brown today."]),
        ("en", "Took 5 mg. 3 times a day. Better.", ["Took 5 mg. 3 times a day.", "Better."]),
        ("en", "Temp 38.5. Pulse 80.", ["Temp 38.5.", "Pulse 80."]),
        ("en", "George W. Smith came.", ["George W. Smith came."]),
        ("en", "Known hepatitis B. The liver is large.", ["Known hepatitis B.", "The liver is large."]),
        ("en", "Pain? No! Good.", ["Pain?", "No!", "Good."]),
        ("en", "cough resolved. pain persists", ["cough resolved.", "pain persists"]),
        ("en", "Growth of E. coli was seen.", ["Growth of E. coli was seen."]),
        ("en", 'He said "no." Then left.', ['He said "no."', "Then left."]),
        ("es", "Acude la Dra. Pérez. Refiere dolor.", ["Acude la Dra. Pérez.", "Refiere dolor."]),
        ("es", "Otros, p.ej. Brucella, no.", ["Otros, p.ej. Brucella, no."]),
        ("es", "T.A. 120/70 y fiebre. ¿Dolor? Sí.", ["T.A. 120/70 y fiebre.", "¿Dolor?", "Sí."]),
        ("es", "Toma 20 mg. Mejora.", ["Toma 20 mg.", "Mejora."]),
        ("es", "Leucocitos 14.610/mm3. Plaquetas 206.000.", ["Leucocitos 14.610/mm3.", "Plaquetas 206.000."]),
        ("es", "Fumador\nDiabético\nHTA", ["Fumador", "Diabético", "HTA"]),
    ],
)
def test_sentences(language: str, text: str, expected: list[str]) -> None:
    assert sentences(text, language) == expected


def test_wrapped_lines_stay_in_their_sentence() -> None:
    found = sentences(EN_NOTE)
    assert "No fever." in found
    assert any(s.startswith("Mr. Smith") and s.endswith("2.5 hours.") for s in found)
    assert "The pain radiated to the left\narm." in found
    assert "2. Diabetes mellitus" in found


def test_long_lines_are_paragraphs() -> None:
    first = (
        "Paciente de 40 años que acude a urgencias por dolor abdominal de varias horas, "
        + "sin otros síntomas " * 3
        + "hoy."
    )
    text = f"{first}\n{first}\n"
    assert [text[a:b] for a, b in document(text, "es").paragraphs] == [first, first]


def test_sections_of_an_english_note() -> None:
    doc = document(EN_NOTE)
    names = [section.name for section in doc.sections]
    assert names == [
        "chief_complaint",
        "history_of_present_illness",
        "past_medical_history",
        "family_history",
        "social_history",
        NO_SECTION,
        "discharge_medications",
    ]
    assert doc.section_of(EN_NOTE.index("breast")) == "family_history"
    assert doc.section_of(EN_NOTE.index("Lives")) == "social_history"
    assert doc.section_of(EN_NOTE.index("Elsewhere")) == NO_SECTION
    family = doc.sections[3]
    assert EN_NOTE[family.body_start : family.end].strip() == "mother with breast cancer"


def test_sections_of_a_spanish_note() -> None:
    text = (
        "Mujer de 40 años.\nAntecedentes personales: HTA.\nExploración física\nSoplo.\nJuicio clínico:\nEndocarditis.\n"
    )
    doc = document(text, "es")
    assert [s.name for s in doc.sections] == ["past_medical_history", "examination", "diagnosis"]
    assert doc.section_of(0) == NO_SECTION
    assert doc.section_of(text.index("Endocarditis")) == "diagnosis"


@pytest.mark.parametrize("text", ["The diagnosis: unclear to all.", "We discussed history and plan.\nhistory\n"])
def test_words_inside_prose_open_no_section(text: str) -> None:
    assert document(text).sections == ()


def test_words_and_their_places() -> None:
    doc = document("Glucosa 13,7; N44.8 (Exploración)", "es")
    assert doc.words == ["glucosa", "13", "7", "n44", "8", "exploracion"]
    text = doc.normalised.text
    assert [text[a:b] for a, b in zip(doc.token_starts, doc.token_ends, strict=True)] == doc.words


@pytest.mark.parametrize("text", ["", " \n\t ", "\0\0\0", "\ufeff", "\u200b\n", "...", "\n\n\n"])
@pytest.mark.parametrize("language", ["en", "es", "xx"])
def test_notes_without_words(text: str, language: str) -> None:
    doc = document(text, language)
    assert doc.words == []
    assert len(doc.token_starts) == len(doc.token_ends) == 0
    assert doc.sections == ()
    assert doc.section_of(0) == NO_SECTION
    assert doc.sentence_of(0) in (-1, 0)


def test_nul_characters_are_blanks() -> None:
    doc = document("fever\0and\0cough")
    assert doc.words == ["fever", "and", "cough"]
    assert doc.normalised.offsets is None


PIECES = [
    "Fiebre",
    "de",
    "38,5",
    "Dr.",
    "No",
    ".",
    ". ",
    "\n",
    "\n\n",
    ":",
    "Family History:",
    "Antecedentes",
    " ",
    "\r\n",
]
ODD_PIECES = ["\r\n", "e\u0301", "\ufb01n", "\0", "1. ", "- ", "?", ")", "mg", "\x85", "\u2028", "\x1c", "\ufeff"]
NOTES = st.lists(st.sampled_from(PIECES + ODD_PIECES), max_size=40).map("".join)


@settings(max_examples=300, deadline=None)
@given(NOTES, st.sampled_from(["en", "es"]))
def test_spans_are_ordered_and_cover_every_word(text: str, language: str) -> None:
    doc = document(text, language)
    for spans in (doc.sentences, doc.paragraphs):
        assert all(a < b for a, b in spans)
        assert all(x.end <= y.start for x, y in pairwise(spans))
        covered = {i for a, b in spans for i in range(a, b)}
        assert all(i in covered for i, c in enumerate(text) if c.isalnum())
    assert all(s.start <= s.body_start <= s.end for s in doc.sections)
    assert all(x.end == y.start for x, y in pairwise(doc.sections))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_makes_a_document(text: str) -> None:
    doc = document(text)
    assert len(doc.words) == len(doc.token_starts) == len(doc.token_ends)
    assert "".join(doc.words) == "".join(c for c in doc.word_text if c != " ")
    assert all(0 <= a < b <= len(text) for a, b in doc.sentences)


@pytest.mark.parametrize(
    "piece", ["Fiebre y tos. ", ".", " ", "\0", "x", "word:\n", ". \n", '"', "Dr. ", "( ", "-\n", "\u2028"]
)
def test_large_notes_take_linear_time(piece: str) -> None:
    def seconds(size: int) -> float:
        doc = document(piece * (size // len(piece)))
        begin = time.perf_counter()
        _ = (doc.layout, doc.words, doc.token_starts)
        return time.perf_counter() - begin

    seconds(1000)
    small, large = min(seconds(40_000) for _ in range(3)), seconds(400_000)
    assert large < 10 * 6 * small + 0.05, f"{small:.4f} s for 40 kB, {large:.4f} s for 400 kB"


def test_five_megabytes() -> None:
    text = "Paciente con fiebre de 38,5 y tos. No presenta disnea.\n" * 91_000
    doc = document(text, "es")
    assert len(text) > 5_000_000
    assert len(doc.sentences) == 182_000
    assert len(doc.words) == 91_000 * 11
