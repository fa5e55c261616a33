"""Titles and terms as keys, without the words that distinguish nothing."""

from __future__ import annotations

import pytest

from nosology.knowledge.base import Expression, Source
from nosology.knowledge.terms import keys_by_code, term_key
from nosology.knowledge.vocabulary import key_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Gout, unspecified", ["gout"]),
        ("Other specified disorder of ear, not elsewhere classified", ["ear"]),
        ("Sprain of ankle, initial encounter", ["sprain", "ankle"]),
        ("Gout NOS", ["gout"]),
    ],
)
def test_idle_words_are_left_out(text: str, words: list[str]) -> None:
    assert term_key(text, "en") == key_of(words, "en")


@pytest.mark.parametrize("text", ["", "Unspecified", "Other specified disease", " - "])
def test_a_term_of_idle_words_has_no_key(text: str) -> None:
    assert term_key(text, "en") == ()


def test_a_language_decides_the_stop_words() -> None:
    assert term_key("Fractura de la cadera", "es") == key_of(["fractura", "cadera"], "es")


def test_keys_by_code_are_distinct_sorted_and_not_too_long() -> None:
    def term(text: str, code: str) -> Expression:
        return Expression(text, code, "x", Source.TERM_LIST)

    long = " ".join(f"q{letter}{letter}x" for letter in "bcdfgjklmnpt")
    found = keys_by_code(
        [
            term("Knee pain", "B"),
            term("Pain of knee, unspecified", "B"),
            term("Gout", "B"),
            term(long, "B"),
            term("Gout", "A"),
            term("unspecified", "C"),
        ]
    )
    assert list(found) == ["A", "B"]
    assert found["A"] == [term_key("gout", "en")]
    assert found["B"] == sorted([term_key("gout", "en"), term_key("knee pain", "en")])
