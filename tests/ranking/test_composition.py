"""Codes composed of an operation word and a body-site word."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.knowledge.stream import TokenStream, build_stream
from nosology.ranking.composition import FEATURES, CompositionSource
from nosology.ranking.procedures import Parts, parts_of, stem_of
from nosology.ranking.source import SourceOutput, TrainingExample, TrainingSet
from nosology.types import Encounter, Evidence, GoldCode, Note, Span

_COLUMN = {name: number for number, name in enumerate(FEATURES)}

_OPERATIONS = {
    "resection": "T",
    "drainage": "9",
    "repair": "Q",
    "inspection": "J",
    "destruction": "5",
    "dilation": "7",
    "transplantation": "Y",
}
_SITES = {
    "spleen": "07P",
    "bladder": "0TB",
    "pancreas": "0FG",
    "stomach": "0D6",
    "liver": "0F0",
    "thyroid": "0GK",
    "uterus": "0U9",
    "lung": "0BK",
}
"""So many that no word of one kind goes with any of the other kind often enough to stand for it."""


def _notes() -> list[tuple[str, dict[str, str]]]:
    """Every operation on every site, only never a resection of the bladder; drainages have all seven characters."""
    notes = [
        ("The patient slept well.", dict[str, str]()),
        ("Seen: ultrasound of bladder.", {"BT40ZZZ": "ultrasound of bladder"}),
    ]
    for operation, root in _OPERATIONS.items():
        for site, place in _SITES.items():
            code = place[:2] + root + place[2] + ("30Z" if operation == "drainage" else "")
            if code != "0TTB":
                notes.append((f"Today {operation} of the {site} was done.", {code: f"{operation} of the {site}"}))
    return notes


def _stream(text: str, number: int = 0) -> TokenStream:
    return build_stream(Encounter(f"e{number}", (Note(f"n{number}", text),)))


def _example(text: str, marked: dict[str, str], number: int = 0, system: str = "icd10pcs") -> TrainingExample:
    codes = list[GoldCode]()
    for code, phrase in marked.items():
        start = text.index(phrase)
        codes.append(GoldCode(code, system, (Evidence(f"n{number}", (Span(start, start + len(phrase)),)),)))
    return TrainingExample(_stream(text, number), tuple(codes), f"g{number}")


def _training(system: str = "icd10pcs") -> TrainingSet:
    return TrainingSet(tuple(_example(text, marked, i, system) for i, (text, marked) in enumerate(_notes())))


@pytest.fixture(scope="module")
def source() -> CompositionSource:
    fitted = CompositionSource.fit(_training())
    assert fitted is not None
    return fitted


def _value(output: SourceOutput, code: str, feature: str) -> float:
    return float(output.features[output.codes.index(code), _COLUMN[feature]])


def test_parts_of_a_code_give_its_stem_back() -> None:
    assert parts_of("0TT14ZZ") == Parts("0T", "0T1")
    assert stem_of(Parts("0T", "0T1")) == "0TT1"
    assert parts_of("0TT") is None


@given(st.text("0123456789BCDFGHX", min_size=4, max_size=7))
@settings(max_examples=50)
def test_stem_is_the_first_four_characters(code: str) -> None:
    parts = parts_of(code)
    assert parts is not None
    assert stem_of(parts) == code[:4]


def test_gives_a_code_never_seen_with_the_usual_ending_of_its_operation(source: CompositionSource) -> None:
    output = source.candidates(_stream("Resection of the bladder."))
    assert output.codes[0] == "0TTB"
    assert _value(output, "0TTB", "seen") == 0
    assert _value(output, "0TTB", "stem_seen") == 0
    trained = {code for _, marked in _notes() for code in marked}
    assert "0TTB" not in trained
    assert "0TTB" in source.labels


def test_a_stem_known_from_training_ends_as_there(source: CompositionSource) -> None:
    output = source.candidates(_stream("Drainage of the bladder."))
    assert output.codes[0] == "0T9B30Z"
    assert _value(output, "0T9B30Z", "seen") == 1
    assert not any(code.startswith("0T9B") and code != "0T9B30Z" for code in source.labels)


def test_sections_are_not_mixed(source: CompositionSource) -> None:
    """An operation of surgery never meets a site of imaging."""
    assert all(len(code) >= 4 for code in source.labels)
    assert {code[:3] for code in source.labels if code[0] == "B"} == {"BT4"}


def test_words_too_far_apart_make_no_code(source: CompositionSource) -> None:
    far = " ".join(["word"] * 40)
    assert source.candidates(_stream(f"Resection {far} bladder")).codes == []
    assert "0TTB" in source.candidates(_stream(f"Resection {' '.join(['word'] * 20)} bladder")).codes


def test_the_next_sentence_is_reached_less_far_and_the_one_after_not_at_all(source: CompositionSource) -> None:
    near = source.candidates(_stream("A resection was done. It was the bladder."))
    assert _value(near, "0TTB", "same_sentence") == 0
    gap = " ".join(["word"] * 20)
    assert source.candidates(_stream(f"A resection {gap}. The bladder {gap}.")).codes == []
    assert source.candidates(_stream("A resection was done. All was well. The bladder.")).codes == []


def test_never_joins_words_of_different_notes(source: CompositionSource) -> None:
    notes = (Note("a", "A resection"), Note("b", "bladder"))
    assert source.candidates(build_stream(Encounter("e", notes))).codes == []


def test_mentions_point_at_both_words(source: CompositionSource) -> None:
    stream = _stream("Yesterday a resection of the whole bladder.")
    mention = source.candidates(stream).mentions["0TTB"][0]
    assert [stream.words[word] for word in mention.words] == ["resection", "bladder"]
    assert mention.expression == "resection bladder"


def test_features_describe_the_pair(source: CompositionSource) -> None:
    output = source.candidates(_stream("Resection of the bladder. A second resection of the bladder."))
    assert output.features.shape == (len(output.codes), len(FEATURES))
    assert output.features.dtype == np.float32
    assert len(source.feature_names) == len(FEATURES) <= 20
    assert _value(output, "0TTB", "distance") == 3
    assert _value(output, "0TTB", "ways") == 4
    assert _value(output, "0TTB", "any") > _value(output, "0TTB", "score")
    assert _value(output, "0TTB", "operation") == pytest.approx(7 / 7.5)
    assert _value(output, "0TTB", "operation_marked") == 1
    assert _value(output, "0TTB", "length") == 4


def test_a_word_seldom_marked_is_trusted_less() -> None:
    plain = tuple(_example(f"The bladder is full, number {i}.", {}, 100 + i) for i in range(8))
    doubtful = CompositionSource.fit(TrainingSet(_training().examples + plain))
    trusted = CompositionSource.fit(_training())
    assert doubtful is not None
    assert trusted is not None
    stream = _stream("Resection of the bladder.")
    assert _value(doubtful.candidates(stream), "0TTB", "score") < _value(trusted.candidates(stream), "0TTB", "score")


def test_negated_words_are_told(source: CompositionSource) -> None:
    assert _value(source.candidates(_stream("No resection of the bladder.")), "0TTB", "negated") == 1
    assert _value(source.candidates(_stream("Resection of the bladder.")), "0TTB", "negated") == 0


def test_scores_fall_and_the_quota_holds() -> None:
    limited = CompositionSource.fit(_training(), quota=2)
    assert limited is not None
    output = limited.candidates(_stream("Resection, drainage, ultrasound: spleen, bladder."))
    scores = output.features[:, _COLUMN["score"]]
    assert len(output.codes) == 2
    assert scores[0] >= scores[1]


def test_a_composed_code_can_be_refused() -> None:
    strict = CompositionSource.fit(_training(), accept=lambda code: code != "0TTB")
    assert strict is not None
    assert "0TTB" not in strict.labels
    assert "0TTB" not in strict.candidates(_stream("Resection of the bladder.")).codes


@pytest.mark.parametrize("text", ["", "The patient slept well.", "Resection."])
def test_notes_without_a_pair_give_nothing(source: CompositionSource, text: str) -> None:
    output = source.candidates(_stream(text))
    assert output.codes == []
    assert output.features.shape == (0, len(FEATURES))


def test_needs_procedure_codes_with_evidence() -> None:
    assert CompositionSource.fit(_training("icd10cm")) is None
    bare = tuple(
        TrainingExample(example.stream, tuple(GoldCode(gold.code, gold.system) for gold in example.codes))
        for example in _training().examples
    )
    assert CompositionSource.fit(TrainingSet(bare)) is None
    assert CompositionSource.fit(TrainingSet(())) is None


def test_other_systems_codes_are_left_alone() -> None:
    mixed = TrainingSet(
        (*_training().examples, _example("Type 2 diabetes of the bladder.", {"E11.9": "diabetes"}, 50, "icd10cm"))
    )
    fitted = CompositionSource.fit(mixed)
    assert fitted is not None
    assert not any(code.startswith("E") for code in fitted.labels)


def test_state_round_trip_is_exact(source: CompositionSource) -> None:
    arrays, strings = source.state()
    assert all(array.dtype != object for array in arrays.values())
    again = CompositionSource.from_state(arrays, strings)
    stream = _stream("Resection, then drainage of spleen and bladder. An ultrasound.")
    one, other = source.candidates(stream), again.candidates(stream)
    assert one.codes == other.codes
    assert one.mentions == other.mentions
    np.testing.assert_array_equal(one.features, other.features)
    assert list(again.mined()) == []


def test_order_of_training_encounters_does_not_matter(source: CompositionSource) -> None:
    backwards = CompositionSource.fit(TrainingSet(_training().examples[::-1]))
    assert backwards is not None
    stream = _stream("Resection, then drainage of spleen and bladder. An ultrasound.")
    assert backwards.candidates(stream).codes == source.candidates(stream).codes


_WORDS = st.sampled_from(["resection", "drainage", "ultrasound", "spleen", "bladder", "of", "the", "no", ".", "word"])


@given(st.lists(_WORDS, max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_note_gives_finite_features_and_words_in_range(source: CompositionSource, words: list[str]) -> None:
    stream = _stream(" ".join(words))
    output = source.candidates(stream)
    assert len(set(output.codes)) == len(output.codes)
    assert np.isfinite(output.features).all()
    assert set(output.mentions) == set(output.codes)
    for mentions in output.mentions.values():
        assert all(0 <= word < len(stream) for mention in mentions for word in mention.words)
        strengths = [mention.strength for mention in mentions]
        assert strengths == sorted(strengths, reverse=True)


def test_time_grows_with_the_note_not_with_its_square(source: CompositionSource) -> None:
    def seconds(repeats: int) -> float:
        stream = _stream("We did a resection of the spleen and saw the bladder later on. " * repeats)
        source.candidates(stream)
        started = time.perf_counter()
        source.candidates(stream)
        return time.perf_counter() - started

    assert min(seconds(200) for _ in range(3)) < 40 * min(seconds(20) for _ in range(3))
