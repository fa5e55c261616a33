"""The detector of evidence words: its fast sums against the model's definition, and what it learns."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nosology.knowledge.stream import build_stream
from nosology.ranking import detector
from nosology.ranking.detector import SpanDetector, evidence_words
from nosology.types import Encounter, Evidence, GoldCode, Note, Span
from tiny_corpus import make_corpus, make_encounter, training_set, without_evidence


@pytest.fixture(scope="module")
def fitted() -> SpanDetector:
    found = SpanDetector.fit(training_set(make_corpus(16).encounters))
    assert found is not None
    return found


def test_sums_of_known_words_equal_the_sums_of_all_features(fitted: SpanDetector) -> None:
    weights = dict(zip(fitted.names, fitted.weights.tolist(), strict=True))
    for number in (3, 91, 92):
        stream = build_stream(make_encounter(number))
        odds = np.array([fitted.bias + sum(weights.get(f, 0.0) for f in row) for row in detector._features(stream)])
        assert fitted.probabilities(stream) == pytest.approx(1 / (1 + np.exp(-odds)))


def test_places_are_what_a_walk_over_the_words_says() -> None:
    texts = (
        "No fever, CHILLS (Rigor) or pain now at all today here. Denies Cough; no rash (none)",
        ", ASTHMA. Sin fiebre",
    )
    notes = tuple(Note(f"n{number}", text) for number, text in enumerate(texts))
    stream = build_stream(Encounter("e", notes))
    features, expected, denied, last, last_end = detector._place_features(), list[list[str]](), "", -9, 0
    for index, word in enumerate(stream.words):
        text, start, end = notes[stream.notes[index]].text, int(stream.starts[index]), int(stream.ends[index])
        is_first = index == 0 or stream.sentences[index] != stream.sentences[index - 1]
        denied = "" if is_first or index - last > 6 else denied
        case = ("upper" if text[start:end].isupper() else "capital") if text[start].isupper() else ""
        opening = "first" if is_first else "after comma or bracket" if set(text[last_end:start]) & set(",(") else ""
        names = (f"place {5 * index // len(stream)}", case, opening, f"negated {denied}" if denied else "")
        expected.append([name for name in names if name])
        denied, last = (word, index) if word in detector._NEGATIONS else (denied, last)
        last_end = end
    assert [list(features[place]) for place in detector._places(stream).tolist()] == expected
    assert {name for names in expected for name in names} >= {"upper", "capital", "first", "negated no", "negated sin"}


def test_tells_evidence_from_the_rest_in_new_notes(fitted: SpanDetector) -> None:
    said, true = list[float](), list[bool]()
    for number in range(60, 70):
        encounter = make_encounter(number)
        stream = build_stream(encounter)
        said += fitted.probabilities(stream).tolist()
        true += evidence_words(stream, encounter.codes or ()).tolist()
    assert np.mean(np.array(said)[true]) > 0.6
    assert np.mean(np.array(said)[~np.array(true)]) < 0.2


def test_a_denied_word_looks_less_like_evidence(fitted: SpanDetector) -> None:
    def chance(text: str) -> float:
        return float(fitted.probabilities(build_stream(Encounter("e", (Note("n", text),)))).max())

    assert chance("Known pneumonia.") > chance("No pneumonia.")


def test_no_evidence_no_detector() -> None:
    assert SpanDetector.fit(training_set([without_evidence(e) for e in make_corpus(4)])) is None
    assert SpanDetector.fit(training_set([])) is None


@pytest.mark.parametrize("texts", [("diabetes", "anemia"), ("anemia",)])
def test_notes_that_are_nothing_but_evidence(texts: tuple[str, ...]) -> None:
    cases = [
        Encounter(
            f"e{i}",
            (Note(f"n{i}", text),),
            (GoldCode("A", "x", (Evidence(f"n{i}", (Span(0, len(text)),)),)),),
        )
        for i, text in enumerate(texts)
    ]
    found = SpanDetector.fit(training_set(cases))
    assert found is not None
    assert found.probabilities(training_set(cases).examples[0].stream).min() > 0.5


def test_an_empty_note_has_no_words_to_judge(fitted: SpanDetector) -> None:
    assert fitted.probabilities(build_stream(Encounter("e", (Note("n", " \n"),)))).shape == (0,)


def test_remembered_sums_are_forgotten_before_they_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "_REMEMBERED", 5)
    found = SpanDetector.fit(training_set(make_corpus(16).encounters))
    assert found is not None
    streams = [build_stream(make_encounter(number)) for number in range(100, 130)]
    before = [found.probabilities(stream) for stream in streams]
    longest = max(len(stream) for stream in streams)
    assert len(found._words._number_of) <= 5 + longest
    assert len({word for stream in streams for word in stream.words}) > 5 + longest
    assert all((found.probabilities(s) == b).all() for s, b in zip(streams, before, strict=True))


def test_evidence_words_are_those_that_a_part_touches() -> None:
    encounter = Encounter("e", (Note("n", "one two three four"),))
    evidence = Evidence("n", (Span(0, 3), Span(6, 9)))  # "one", and from inside "two" to inside "three"
    marked = evidence_words(build_stream(encounter), [GoldCode("A", "x", (evidence,))])
    assert marked.tolist() == [True, True, True, False]


def test_state_round_trip(fitted: SpanDetector) -> None:
    stream = build_stream(make_encounter(77))
    again = SpanDetector.from_state(*fitted.state())
    assert (again.probabilities(stream) == fitted.probabilities(stream)).all()


def test_threads_do_not_mix_their_notes_up(fitted: SpanDetector) -> None:
    streams = [build_stream(make_encounter(number)) for number in range(100, 120)]
    expected = [fitted.probabilities(stream).tolist() for stream in streams]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: fitted.probabilities(streams[number % 20]).tolist(), range(2000)))
    assert found == [expected[number % 20] for number in range(2000)]
