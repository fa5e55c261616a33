"""Evidence from mentions: spans of the original text, the strongest first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.explanation.evidence import choose_evidence
from nosology.knowledge.stream import TokenStream, build_stream
from nosology.ranking.source import Mention
from nosology.types import Encounter, Evidence, Note, Span


def _stream(*texts: str) -> TokenStream:
    return build_stream(Encounter("e", tuple(Note(f"n{i}", text) for i, text in enumerate(texts))))


def _texts(stream: TokenStream, evidence: Evidence) -> list[str]:
    text = next(d.note.text for d in stream.documents if d.note.note_id == evidence.note_id)
    return [text[part.start : part.end] for part in evidence.parts]


def test_nothing_to_show() -> None:
    assert choose_evidence(_stream("a note"), []) == ((), ())


def test_the_strongest_first_and_the_weak_left_out() -> None:
    stream = _stream("Fever, cough, pain.")
    mentions = [Mention((0,), 0.1, "fever"), Mention((1,), 0.9, "cough"), Mention((2,), 0.5, "pain")]
    evidence, expressions = choose_evidence(stream, mentions)
    assert [_texts(stream, e) for e in evidence] == [["cough"], ["pain"]]
    assert expressions == ("cough", "pain")


def test_words_mentioned_twice_are_shown_once_with_their_greater_strength() -> None:
    stream = _stream("Fever, cough")
    mentions = [Mention((0,), 0.2, "febrile"), Mention((1,), 0.5, "cough"), Mention((0,), 0.9, "fever")]
    evidence, expressions = choose_evidence(stream, mentions)
    assert [_texts(stream, e) for e in evidence] == [["Fever"], ["cough"]]
    assert expressions == ("fever", "cough")


def test_stop_words_between_words_do_not_part_a_span_and_others_do() -> None:
    stream = _stream("Cancer of the left lung")
    evidence, _ = choose_evidence(stream, [Mention((0, 4), 0.5, "cancer lung")])
    assert evidence == (Evidence("n0", (Span(0, 6), Span(19, 23))),)
    evidence, _ = choose_evidence(_stream("Cancer of the lung"), [Mention((0, 3), 0.5, "cancer lung")])
    assert evidence == (Evidence("n0", (Span(0, 18),)),)


def test_a_span_never_goes_on_into_the_next_sentence() -> None:
    stream = _stream("Known cancer. Lung clear.")
    evidence, _ = choose_evidence(stream, [Mention((1, 2), 0.5, "cancer lung")])
    assert _texts(stream, evidence[0]) == ["cancer", "Lung"]


def test_evidence_names_the_note_it_lies_in() -> None:
    stream = _stream("Fever", "", "Cough")
    evidence, _ = choose_evidence(stream, [Mention((1,), 0.5, "cough")])
    assert evidence == (Evidence("n2", (Span(0, 5),)),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("neumoni\u0301a grave", "neumoni\u0301a"),
        ("neumonía grave", "neumonía"),
        ("\ufeff  ﬁbrosis grave", "ﬁbrosis"),
        ("NEUMONÍA", "NEUMONÍA"),
        ("\x00\x00asma\x00", "asma"),
        ("№ 𝐚sthma", "№"),
    ],
)
def test_offsets_are_those_of_the_original_text(text: str, expected: str) -> None:
    stream = _stream(text)
    evidence, _ = choose_evidence(stream, [Mention((0,), 0.5, "word")])
    assert _texts(stream, evidence[0]) == [expected]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("aof ñé.½ﬁ\n\u0301A,7"), max_size=30), min_size=1, max_size=3),
    st.data(),
)
def test_spans_are_half_open_sorted_apart_and_inside_their_note(texts: list[str], data: st.DataObject) -> None:
    stream = _stream(*texts)
    if not len(stream):
        return
    note = data.draw(st.sampled_from(sorted(set(stream.note_list))))
    own = [index for index, number in enumerate(stream.note_list) if number == note]
    words = st.sets(st.sampled_from(own), min_size=1, max_size=4).map(lambda found: tuple(sorted(found)))
    mentions = [Mention(found, 0.5, "x") for found in data.draw(st.lists(words, min_size=1, max_size=5))]
    evidence, _ = choose_evidence(stream, mentions)
    assert evidence
    for found in evidence:
        text = texts[int(found.note_id[1:])]
        for part in found.parts:
            assert 0 <= part.start < part.end <= len(text)
        for before, after in zip(found.parts, found.parts[1:], strict=False):
            assert before.end <= after.start
