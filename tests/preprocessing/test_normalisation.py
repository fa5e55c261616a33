"""Normalised text: what folds to what, and that every span finds its way back."""

from __future__ import annotations

import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.preprocessing.normalisation import blank_punctuation, fold_character, normalise

# Text that is rich in characters that vanish, grow or look like marks of de-identification.
TRICKY = st.text(
    st.one_of(st.sampled_from("aÉß\ufb01İ\u0301\u0308\u00ad\u200bæ [*]\n\0º—“\uffff\ud800µ½한ﷺ"), st.characters()),
    max_size=40,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Exploración FÍSICA", "exploracion fisica"),
        ("niño", "nino"),
        ("non–small‐cell", "non-small-cell"),
        ("“x” ‘y’", "\"x\" 'y'"),
        ("a\tb\nc\u00a0d\0e", "a b c d e"),
        ("Hospital [**Name (un) 12**] x", "hospital " + " " * len("[**Name (un) 12**]") + " x"),
        ("Straße", "strasse"),
        ("\ufb01brosis", "fibrosis"),
        ("e\u0301dema", "edema"),
        ("fie\u00adbre", "fiebre"),
        ("a\u200bb", "ab"),
        ("İ", "i"),
        ("nº 3", "n° 3"),
        ("[** never closed", "[** never closed"),
    ],
)
def test_folds(text: str, expected: str) -> None:
    assert normalise(text).text == expected


@pytest.mark.parametrize("text", ["", "Fiebre y tos", "Exploración: 38 °C “bien” – µg", "\0\0", "İ 中文 한국"])
def test_plain_text_keeps_its_offsets(text: str) -> None:
    result = normalise(text)
    assert result.offsets is None
    assert len(result.text) == len(text) == result.original_length


def test_every_character_folds_to_something_stable() -> None:
    """Over all of Unicode below the private planes: folding twice is folding once."""
    for code_point in range(0x30000):
        folded = fold_character(chr(code_point))
        assert "".join(fold_character(c) for c in folded) == folded, hex(code_point)


def test_spans_of_grown_and_vanished_characters() -> None:
    text = "la e\u0301tiologie: Stra\u00dfe \ufb01n"
    result = normalise(text)
    start = result.text.index("etiologie")
    assert text[slice(*result.to_original(start, start + 9))] == "e\u0301tiologie"
    start = result.text.index("strasse")
    assert text[slice(*result.to_original(start, start + 7))] == "Stra\u00dfe"
    start = result.text.index("fin")
    assert text[slice(*result.to_original(start, start + 3))] == "\ufb01n"
    assert text[slice(*result.to_original(start + 1, start + 2))] == "\ufb01"


@settings(max_examples=300, deadline=None)
@given(TRICKY, st.data())
def test_mapped_spans_cover_the_characters_they_came_from(text: str, data: st.DataObject) -> None:
    result = normalise(text)
    start = data.draw(st.integers(0, len(result.text)))
    end = data.draw(st.integers(start, len(result.text)))
    span = result.to_original(start, end)
    assert 0 <= span.start <= span.end <= len(text)
    if start < end and "[**" not in "".join(map(fold_character, text)):
        assert result.text[start:end] in "".join(fold_character(c) for c in text[span.start : span.end])


@settings(max_examples=300, deadline=None)
@given(TRICKY)
def test_map_is_exact_character_by_character(text: str) -> None:
    """The slow, readable way: fold each character, and note where each piece came from."""
    pieces = [(fold_character(c), i) for i, c in enumerate(text)]
    expected_starts = [i for folded, i in pieces for _ in folded]
    ends = []
    for i in expected_starts:
        end = i + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        ends.append(end)
    result = normalise(text)
    spans = [result.to_original(i, i + 1) for i in range(len(result.text))]
    assert [s.start for s in spans] == expected_starts
    assert [s.end for s in spans] == ends  # combining marks belong to the letter before them


@settings(max_examples=300, deadline=None)
@given(TRICKY)
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text).text
    again = normalise(once)
    assert again.text == once
    assert again.offsets is None


@settings(max_examples=200, deadline=None)
@given(TRICKY)
def test_there_and_back(text: str) -> None:
    result = normalise(text)
    for i in range(len(result.text)):
        span = result.to_original(i, i + 1)
        back = result.to_normalised(*span)
        assert back.start <= i < back.end
        assert result.to_original(*back) == span


@settings(max_examples=100, deadline=None)
@given(TRICKY)
def test_arrays_agree_with_single_spans(text: str) -> None:
    result = normalise(text)
    starts = np.arange(len(result.text), dtype=np.int64)
    ends = np.minimum(starts + 3, len(result.text))
    got = result.to_original_arrays(starts, ends)
    spans = [result.to_original(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]
    assert list(zip(*(a.tolist() for a in got), strict=True)) == spans


@given(st.text(max_size=60))
def test_blanking_keeps_letters_digits_and_length(text: str) -> None:
    blanked = blank_punctuation(text)
    assert len(blanked) == len(text)
    assert all(b == (t if t.isalnum() else " ") for b, t in zip(blanked, text, strict=True))


def test_repr_shows_no_text() -> None:
    assert "canary" not in repr(normalise("canary word \ufb01"))


@pytest.mark.parametrize("piece", ["fiebre ", "[** ", "e\u0301", "\0", " ", "ﬁ", "[**x**]"])
def test_time_is_linear(piece: str) -> None:
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        begin = time.perf_counter()
        normalise(text)
        return time.perf_counter() - begin

    seconds(1000)
    small, large = min(seconds(100_000) for _ in range(3)), seconds(1_000_000)
    assert large < 10 * 6 * small + 0.05, f"{small:.4f} s for 100 kB, {large:.4f} s for 1 MB"


def test_noncharacters_fold_to_spaces() -> None:
    assert normalise("a\uffffb").text == "a b"
