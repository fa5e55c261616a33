"""An encounter as one row of words: bounds in the original text, sentences, evidence and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.knowledge.stream import TokenStream, build_stream
from nosology.preprocessing.assertion import PRECEDENCE
from nosology.preprocessing.normalisation import normalise
from nosology.types import Assertion, Encounter, Evidence, Note, Span

_CHARACTERS = "ab ñÉé.,\n\u0301½ﬁ\x00-7ßİ№"


def _stream(*texts: str, language: str = "en") -> TokenStream:
    return build_stream(Encounter("e", tuple(Note(f"n{i}", text, language=language) for i, text in enumerate(texts))))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.sampled_from(_CHARACTERS), max_size=40), max_size=3))
def test_bounds_lead_to_the_words(texts: list[str]) -> None:
    stream = _stream(*texts)
    columns = (stream.words, stream.starts, stream.ends, stream.notes, stream.sentences, stream.concepts)
    assert len({len(column) for column in columns}) == 1
    for word, start, end, note in zip(stream.words, stream.starts, stream.ends, stream.notes, strict=True):
        text = texts[note]
        assert 0 <= start < end <= len(text)
        assert word in normalise(text[start:end]).text
    assert (np.diff(stream.notes) >= 0).all()
    assert (np.diff(stream.sentences) >= 0).all()
    for note in range(len(texts)):
        assert (np.diff(stream.starts[stream.notes == note]) >= 0).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.sampled_from(_CHARACTERS), max_size=40), min_size=1, max_size=3), st.data())
def test_words_of_evidence_are_those_it_touches(texts: list[str], data: st.DataObject) -> None:
    stream = _stream(*texts)
    note = data.draw(st.integers(0, len(texts) - 1))
    places = st.lists(st.integers(0, max(3, len(texts[note]))), min_size=2, max_size=4, unique=True)
    bounds = sorted(data.draw(places))
    parts = tuple(Span(a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=False))
    rows = zip(stream.starts, stream.ends, stream.notes, strict=True)
    expected = [
        index
        for index, (start, end, own) in enumerate(rows)
        if own == note and any(start < part.end and end > part.start for part in parts)
    ]
    assert stream.indices_of(Evidence(f"n{note}", parts)) == expected


def test_evidence_round_trip() -> None:
    stream = _stream("No fever.", "Acute renal failure, chronic")
    first = stream.words.index("acute")
    evidence = stream.evidence(first, first + 2)
    assert evidence == Evidence("n1", (Span(0, 19),))
    assert stream.indices_of(evidence) == [first, first + 1, first + 2]
    assert stream.surface(first, first + 2) == "acute renal failure"


def test_evidence_of_another_note_or_between_words_touches_nothing() -> None:
    stream = _stream("one   two")
    assert stream.indices_of(Evidence("elsewhere", (Span(0, 3),))) == []
    assert stream.indices_of(Evidence("n0", (Span(4, 5),))) == []


def test_no_sentence_goes_on_into_the_next_note() -> None:
    stream = _stream("one two", "three. Four", "", "five")
    assert len(set(stream.sentences.tolist())) == 4
    assert stream.sentence_list[1] < stream.sentence_list[2]


def test_stop_words_have_no_concepts_but_a_place() -> None:
    stream = _stream("pain of the arm and pain")
    assert stream.words[1:3] == ["of", "the"]
    assert stream.concepts[1] == stream.concepts[2] == ()
    assert stream.positions[stream.concepts[0][0]] == [0, 5]


def test_each_word_stands_once_in_the_places_of_its_concepts() -> None:
    stream = _stream("nefritis hta mmii pain gastroenterocolitis nephritis", language="es")
    for concept, places in stream.positions.items():
        assert places == sorted(set(places)), concept


def test_assertions_by_word_indices_over_several_notes() -> None:
    stream = _stream("No pneumonia.", "", "Pneumonia was seen. Denies fever.")
    places = np.array([stream.words.index("pneumonia"), 2, stream.words.index("fever")])
    found = [PRECEDENCE[rank] for rank in stream.assertions(places, places).tolist()]
    assert found == [Assertion.NEGATED, Assertion.PRESENT, Assertion.NEGATED]


@pytest.mark.parametrize("texts", [(), ("",), ("", " \n", "\x00")])
def test_no_words(texts: tuple[str, ...]) -> None:
    stream = _stream(*texts)
    assert len(stream) == 0
    assert stream.positions == {}
    assert stream.assertions(np.zeros(0, np.int64), np.zeros(0, np.int64)).shape == (0,)


def test_words_are_not_in_the_repr() -> None:
    assert "zxcanaryqv" not in repr(_stream("Known zxcanaryqv"))
