"""Words as concepts: inflections, cognates, words taken apart, abbreviations, keys."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nosology.knowledge import vocabulary
from nosology.knowledge.vocabulary import concepts_of, ignored_words, key_of, skeleton

_WORD = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789"), min_size=1, max_size=16)


@pytest.mark.parametrize(
    "words",
    [
        ("edematoso", "edematosas", "edematosos"),
        ("colecistitis", "cholecystitis"),
        ("psoriasis", "soriasis"),
        ("fractura", "fracturas"),
        ("insercion", "insertion"),
        ("diarrhoea", "diarrhea"),
    ],
)
def test_words_that_share_a_skeleton(words: tuple[str, ...]) -> None:
    assert len({skeleton(word) for word in words}) == 1


@pytest.mark.parametrize("words", [("mano", "mama"), ("i10", "i11"), ("2", "3"), ("femur", "fever")])
def test_words_that_do_not(words: tuple[str, str]) -> None:
    assert skeleton(words[0]) != skeleton(words[1])


@given(_WORD)
def test_a_skeleton_is_never_empty_and_always_the_same(word: str) -> None:
    assert skeleton(word)
    assert skeleton(word) == skeleton.__wrapped__(word)
    if word[0].isdigit():
        assert skeleton(word) == word


@given(_WORD)
def test_every_word_has_concepts(word: str) -> None:
    found = concepts_of(word)
    assert found
    assert all(concept and " " not in concept for concept in found)


@pytest.mark.parametrize("words", [("riñon", "renal", "kidney"), ("rinones", "kidneys")])
def test_one_concept_in_two_languages(words: tuple[str, ...]) -> None:
    assert {concepts_of(word.replace("ñ", "n")) for word in words} == {("@renal",)}


def test_a_word_taken_apart() -> None:
    assert concepts_of("nefropatia") == concepts_of("nephropathy") == ("@renal", "@disease")


def test_an_unknown_word_is_its_skeleton() -> None:
    assert concepts_of("qwzxyk") == (skeleton("qwzxyk"),)


def test_the_data_files_are_sound() -> None:
    lexicon = vocabulary._lexicon()
    concepts = {row[0] for row in vocabulary._rows("concepts.tsv")}
    assert "" not in lexicon.words
    assert "" not in lexicon.beginnings
    assert all(ending for ending, _ in lexicon.endings)
    assert {c.removeprefix("@") for c in lexicon.words.values()} <= concepts
    for short, row in lexicon.abbreviations.items():
        assert short == short.lower()
        assert row
        assert len(set(row)) == len(row), short
    lengths = [len(ending) for ending, _ in lexicon.endings]
    assert lengths == sorted(lengths, reverse=True)


def test_a_key_has_no_order_no_repetition_and_no_stop_words() -> None:
    words = ["pain", "of", "the", "left", "knee"]
    keys = {key_of(list(order), "en") for order in permutations(words)}
    assert len(keys) == 1
    (key,) = keys
    assert key == key_of([*words, "pain"], "en") == tuple(sorted(set(key)))
    assert len(key) == 3


def test_stop_words_are_those_of_the_language() -> None:
    assert key_of(["dolor", "de", "rodilla"], "es") != key_of(["dolor", "de", "rodilla"], "en")
    assert key_of(["of", "the"], "en") != ()
    assert key_of([], "en") == ()


@pytest.mark.parametrize(("language", "words"), [("en", {"no", "not", "without"}), ("es", {"no", "sin"})])
def test_words_that_deny_are_no_stop_words(language: str, words: set[str]) -> None:
    assert not words & ignored_words(language)


def test_a_language_without_data_has_no_stop_words() -> None:
    assert ignored_words("de") == frozenset()
    assert key_of(["der", "schmerz"], "de")
