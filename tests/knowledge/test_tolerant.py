"""Misspelt words find what they were meant to be; right words stay."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.knowledge.tolerant import TypoIndex, closest_words

VOCABULARY = {
    word: count
    for count, word in enumerate(
        """neumonia hipertension hipotension staphylococcus diarrhea diabetes hypertension hypotension pneumonia
        insuficiencia cardiaca respiratoria colecistitis apendicitis hemorrhage ischemia tuberculosis hematuria
        hemoptisis carcinoma leucemia leukemia fibrillation auricular fibrilacion bradycardia tachycardia
        hepatomegalia asma asthma fiebre dolor sintomatico macrocitica microcitica cirrosis edema""".split(),  # noqa: SIM905
        start=1,
    )
}


@pytest.fixture(scope="module")
def index() -> TypoIndex:
    return TypoIndex(VOCABULARY, known={"hemorrhoid", "colectomia"})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("nuemonia", "neumonia"),
        ("neumoina", "neumonia"),
        ("pnuemonia", "pneumonia"),
        ("hipertenison", "hipertension"),
        ("hipertencion", "hipertension"),
        ("ipertension", "hipertension"),
        ("staphilococcus", "staphylococcus"),
        ("staphylocccus", "staphylococcus"),
        ("diahrrea", "diarrhea"),
        ("diarhea", "diarrhea"),
        ("diabetis", "diabetes"),
        ("insufisiencia", "insuficiencia"),
        ("colesistitis", "colecistitis"),
        ("apendisitis", "apendicitis"),
        ("hemorrage", "hemorrhage"),
        ("hemorhage", "hemorrhage"),
        ("ischmia", "ischemia"),
        ("tuberculossis", "tuberculosis"),
        ("fibrilation", "fibrillation"),
        ("fibrillatoin", "fibrillation"),
        ("edemas", "edema"),
        ("hepatomegaly", "hepatomegalia"),
    ],
)
def test_misspellings_in_both_languages_are_corrected(index: TypoIndex, written: str, meant: str):
    assert index.correct(written) == meant


@pytest.mark.parametrize("word", [*VOCABULARY, "hemorrhoid", "colectomia"])
def test_known_words_are_never_changed(index: TypoIndex, word: str):
    assert index.correct(word) is None


@pytest.mark.parametrize(
    "word",
    [
        "hipotensiva",  # not "hipertension"
        "asintomatico",  # the opposite of a known word
        "normocitica",
        "fiebr",
        "dolro",
        "covid19",
        "pneumonectomy",
        "tardia",
        "",
        "x",
    ],
)
def test_words_that_mean_something_else_or_are_too_short_are_left_alone(index: TypoIndex, word: str):
    assert index.correct(word) is None


@pytest.mark.parametrize(
    ("word", "opposite"),
    [
        ("hipertensio", "hipotensio"),
        ("hyperthermia", "hypothermia"),
        ("bradycardia", "tachycardia"),
        ("macroadenoma", "microadenoma"),
        ("intracranial", "extracranial"),
        ("preoperative", "perioperative"),
        ("symptomatic", "asymptomatic"),
        ("compensada", "descompensada"),
    ],
)
def test_opposites_are_never_taken_for_slips(word: str, opposite: str):
    assert TypoIndex({opposite: 1000}).correct(word) is None
    assert TypoIndex({word: 1000}).correct(opposite) is None


def test_the_nearer_word_wins_then_the_more_frequent_then_the_alphabet():
    assert closest_words("carcinomma", {"carcinoma": 1, "carcinomas": 90}) == ["carcinoma", "carcinomas"]
    assert closest_words("lesionad", {"lesionado": 2, "lesionada": 5}) == ["lesionada", "lesionado"]
    assert closest_words("lesionad", {"lesionado": 5, "lesionada": 5}) == ["lesionada", "lesionado"]
    assert closest_words("lesionad", {"lesionado": 5, "lesionada": 5}, limit=1) == ["lesionada"]


def test_an_empty_vocabulary_corrects_nothing():
    assert TypoIndex({}).correct("nuemonia") is None
    assert len(TypoIndex({})) == 0


@given(st.sampled_from([word for word in VOCABULARY if len(word) >= 8]), st.data())
@settings(max_examples=200, deadline=None)
def test_a_lost_doubled_or_swapped_letter_is_mended(word: str, data: st.DataObject):
    place = data.draw(st.integers(1, len(word) - 2))
    misspelt = data.draw(
        st.sampled_from(
            [
                word[:place] + word[place + 1 :],
                word[:place] + word[place] + word[place:],
                word[:place] + word[place + 1] + word[place] + word[place + 2 :],
            ]
        )
    )
    index = TypoIndex(VOCABULARY)
    if misspelt not in VOCABULARY:
        assert word in index.closest(misspelt)
    else:
        assert index.correct(misspelt) is None


@given(st.text(st.characters(codec="utf-8"), max_size=20))
@settings(max_examples=100, deadline=None)
def test_any_text_is_answered_twice_alike(word: str):
    index = TypoIndex(VOCABULARY)
    answer = index.correct(word)
    assert answer is None or (answer in VOCABULARY and answer != word)
    assert index.correct(word) == answer
