"""Candidates from titles and terms: found in part, in any order, across languages, as labels of the corpus."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.knowledge.base import Expression, Source
from nosology.knowledge.stream import TokenStream, build_stream
from nosology.knowledge.term_index import BILATERAL, LEFT, RIGHT, TermIndex, term_concepts
from nosology.knowledge.translation import Cognates, learn_translations, likeness
from nosology.ranking.competition import FEATURES as COMPETITION
from nosology.ranking.competition import competition
from nosology.ranking.detector import SpanDetector
from nosology.ranking.label_forms import candidate_labels
from nosology.ranking.retrieval import FEATURES, RetrievalOptions, RetrievalSource
from nosology.ranking.source import Mention, SourceOutput, TrainingExample, TrainingSet
from nosology.ranking.windows import Readings, TermCover, cut_windows
from nosology.types import Encounter, Evidence, GoldCode, Note, Span

TITLES = {
    "I10": "Essential (primary) hypertension",
    "K35.80": "Unspecified acute appendicitis",
    "K80.20": "Calculus of gallbladder without cholecystitis",
    "M25.561": "Pain in right knee",
    "M25.562": "Pain in left knee",
    "M25.569": "Pain in unspecified knee",
    "N20.0": "Calculus of kidney",
    "N20.1": "Calculus of ureter",
    "T68": "Hypothermia",
    "T68.XXXA": "Hypothermia, initial encounter",
    "T68.XXXD": "Hypothermia, subsequent encounter",
    "R05.1": "Acute cough",
    "W21.00": "Struck by hit or thrown ball, unspecified type",
    "W21.00XA": "Struck by hit or thrown ball, unspecified type, initial encounter",
}


def expressions(system: str = "icd10cm", titles: dict[str, str] = TITLES) -> list[Expression]:
    return [Expression(title, code, system, Source.CODE_TABLE) for code, title in titles.items()]


def stream(text: str, language: str = "en", name: str = "n1") -> TokenStream:
    return build_stream(Encounter(name, (Note(name, text, language=language),)))


def example(text: str, codes: dict[str, str], language: str = "en", name: str = "n1") -> TrainingExample:
    """Codes with the words marked for each, "" for none."""

    def gold(code: str, marked: str) -> GoldCode:
        first = text.find(marked)
        evidence = (Evidence(name, (Span(first, first + len(marked)),)),) if marked else ()
        return GoldCode(code, "icd10cm", evidence)

    return TrainingExample(stream(text, language, name), tuple(gold(*item) for item in codes.items()), name)


ENGLISH = TrainingSet(
    (
        example("High blood pressure and a cough.", {"I10": "", "R05.1": ""}, name="a"),
        example("Stone of the ureter on the left.", {"N20.1": ""}, name="b"),
        example("Knee pain.", {"M25.569": ""}, name="c"),
    )
)
SPANISH = TrainingSet(
    tuple(
        example(f"Paciente con {words}.", {code: words}, "es", f"{code}{number}")
        for number in range(3)
        for words, code in (
            ("dolor en la rodilla derecha", "M25.561"),
            ("dolor en la rodilla izquierda", "M25.562"),
            ("zarpullido rebelde", "I10"),
            ("frialdad extrema", "T68.XXX"),
        )
    )
)


def fit(training: TrainingSet = ENGLISH, **options: int) -> RetrievalSource:
    training = TrainingSet(training.examples)
    source = RetrievalSource.fit(training, expressions(), RetrievalOptions(**options))
    assert source is not None
    return source


def feature(output: SourceOutput, code: str, name: str) -> float:
    return float(output.features[output.codes.index(code), FEATURES.index(name)])


def test_finds_a_code_that_no_training_note_has_by_its_words_in_another_order() -> None:
    note = stream("There was a small kidney calculus, and nothing else.")
    output = fit().candidates(note)
    assert output.codes[0] == "N20.0"
    assert feature(output, "N20.0", "seen") == 0.0
    assert feature(output, "N20.0", "coverage") == pytest.approx(1.0)
    assert feature(output, "N20.0", "exact") == 1.0
    (mention,) = output.mentions["N20.0"]
    assert [note.words[word] for word in mention.words] == ["kidney", "calculus"]
    assert mention.expression == "calculus of kidney"


def test_a_part_of_a_title_is_enough_and_counts_less() -> None:
    output = fit().candidates(stream("Calculus was seen."))
    assert {"N20.0", "N20.1", "K80.20"} <= set(output.codes)
    assert feature(output, "N20.0", "coverage") < 0.7
    assert feature(output, "N20.0", "missing") > 0.0
    assert feature(output, "N20.0", "coverage") > feature(output, "K80.20", "coverage")
    assert feature(output, "N20.1", "seen") == 1.0


def test_words_of_another_sentence_do_not_complete_a_term() -> None:
    apart = fit().candidates(stream("Calculus was seen. The kidney was normal."))
    assert feature(apart, "N20.0", "coverage") < 0.7


@pytest.mark.parametrize(
    ("side", "agreeing", "other"), [("right", "M25.561", "M25.562"), ("left", "M25.562", "M25.561")]
)
def test_sides_decide_between_codes_of_one_term(side: str, agreeing: str, other: str) -> None:
    output = fit().candidates(stream(f"Pain of the {side} knee."))
    assert output.codes[0] == agreeing
    assert feature(output, agreeing, "side") > feature(output, "M25.569", "side") > feature(output, other, "side")


def test_a_note_without_a_side_prefers_the_code_without_one() -> None:
    assert fit().candidates(stream("Knee pain.")).codes[0] == "M25.569"


def test_quotas_hold_apart_for_codes_seen_in_training_and_others() -> None:
    text = stream("Calculus of kidney, ureter and gallbladder; pain in the knee; acute cough; hypertension.")
    everything = fit().candidates(text)
    few = fit(unseen=1, seen=2).candidates(text)
    seen = [feature(few, code, "seen") for code in few.codes]
    assert (seen.count(0.0), seen.count(1.0)) == (1, 2)
    order = [code for code in everything.codes if code in few.codes]
    assert order == few.codes
    assert len(everything.codes) > 3


def test_translations_learnt_from_evidence_reach_codes_in_another_language() -> None:
    learnt = fit(SPANISH)
    meanings = {concept: found[0][0] for concept, found in learnt.translations.items()}
    assert meanings[term_concepts(["zarpullido"], "es")[0]] in term_concepts(
        ["primary", "hypertension", "essential"], "en"
    )
    output = learnt.candidates(stream("Zarpullido.", "es"))
    assert output.codes[0] == "I10"
    assert feature(output, "I10", "least_chance") < 1.0
    unmarked = TrainingSet(
        tuple(
            TrainingExample(one.stream, tuple(GoldCode(gold.code, gold.system) for gold in one.codes), one.group_id)
            for one in SPANISH.examples
        )
    )
    assert fit(unmarked).candidates(stream("Zarpullido.", "es")).codes == []


def test_concepts_and_cognates_need_no_training() -> None:
    output = fit(SPANISH).candidates(stream("Se trata de apendicitis aguda; cálculo de uréter.", "es"))
    assert {"K35.80", "N20.1"} <= set(output.codes)


def test_negation_and_evidence_words_are_features() -> None:
    output = fit().candidates(stream("The patient denies acute cough."))
    assert feature(output, "R05.1", "negated") == 1.0
    assert feature(fit().candidates(stream("Acute cough.")), "R05.1", "negated") == 0.0
    detector = SpanDetector(["w cough"], np.array([4.0], dtype=np.float32), -3.0)
    source = RetrievalSource.fit(TrainingSet(ENGLISH.examples), expressions(), detector=detector)
    assert source is not None
    worth = feature(source.candidates(stream("Acute cough.")), "R05.1", "peak")
    assert worth == pytest.approx(float(detector.probabilities(stream("Acute cough.")).max()))
    restored = RetrievalSource.from_state(*source.state())
    assert feature(restored.candidates(stream("Acute cough.")), "R05.1", "peak") == pytest.approx(worth)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["T68.XXX", "I10"], ("T68.XXX", "W21.00X")),
        (["T68", "I10"], ("T68", "W21.00")),
        (["T68.XXXD", "I10"], ("T68.XXXD", "W21.00XA")),
        (["I10"], ("T68.XXXA", "W21.00XA")),
    ],
)
def test_labels_of_codes_with_a_seventh_character_look_like_those_of_training(
    labels: list[str], expected: tuple[str, str]
) -> None:
    found = candidate_labels(dict.fromkeys(TITLES, "icd10cm"), dict.fromkeys(labels, 1))
    assert (found["T68"], found["W21.00"]) == expected
    assert (found["T68.XXXA"], found["W21.00XA"]) == expected


def test_headings_are_candidates_only_where_training_uses_their_kind() -> None:
    systems = dict.fromkeys(["BT4", "BT41", "BT41ZZZ", "BT42", "BT42ZZZ", "0DTJ", "0DTJ4ZZ"], "icd10pcs")
    stems = candidate_labels(systems, {"BT41": 4})
    assert set(stems) == {"BT41", "BT42", "0DTJ"}
    assert set(candidate_labels(systems, {"BT41ZZZ": 4})) == {"BT41ZZZ", "BT42ZZZ", "0DTJ4ZZ"}
    assert set(candidate_labels(systems, {"unknown": 1})) == set(systems)


def test_an_own_table_without_hierarchy_and_a_language_without_data() -> None:
    titles = {"F-1": "acute cough", "F-2": "knee pain", "F-3": "skin rash"}
    training = TrainingSet((TrainingExample(stream("tosse", "it"), (GoldCode("F-1", "own"),), "a"),))
    source = RetrievalSource.fit(training, expressions("own", titles))
    assert source is not None
    assert source.candidates(stream("knee pain", "it")).codes[0] == "F-2"


def test_no_term_for_any_label_gives_no_source() -> None:
    assert RetrievalSource.fit(TrainingSet(ENGLISH.examples), []) is None


@pytest.mark.parametrize("text", ["", "...", "the of and", "qqqq wwww"])
def test_a_note_without_known_words_has_no_candidates(text: str) -> None:
    output = fit().candidates(stream(text))
    assert output.codes == []
    assert output.features.shape == (0, len(FEATURES))


WORDS = "calculus kidney ureter pain right left knee acute cough hypertension the no denies . calculo dolor rodilla 7"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(WORDS.split()), max_size=60), st.sampled_from(["en", "es"]))
def test_state_round_trip_and_shape_of_the_output(words: list[str], language: str) -> None:
    note = stream(" ".join(words), language)
    output = _SOURCE.candidates(note)
    restored = RetrievalSource.from_state(*_SOURCE.state()).candidates(note)
    assert restored.codes == output.codes
    assert np.array_equal(restored.features, output.features)
    assert restored.mentions == output.mentions
    assert len(set(output.codes)) == len(output.codes)
    assert output.features.shape == (len(output.codes), len(_SOURCE.feature_names))
    assert output.features.dtype == np.float32
    assert np.isfinite(output.features).all()
    assert set(output.codes) <= set(_SOURCE.labels)
    for found in output.mentions.values():
        for mention in found:
            assert list(mention.words) == sorted(set(mention.words))
            assert 0 <= mention.words[0] <= mention.words[-1] < len(note)


_SOURCE = fit(SPANISH)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12))
def test_best_sets_of_windows_are_those_of_a_slow_search(seed: int, words: int, sets: int) -> None:
    random = np.random.default_rng(seed)
    members = [sorted(random.choice(8, size=random.integers(1, 5), replace=False).tolist()) for _ in range(sets)]
    weights = random.uniform(0.3, 5.0, 8)
    cover = TermCover.of(
        np.cumsum([0, *map(len, members)], dtype=np.int64), np.concatenate(members).astype(np.int64), weights
    )
    places = np.sort(random.integers(0, words, 2 * words)).astype(np.int64)
    readings = Readings(places, random.integers(0, 8, 2 * words), random.uniform(0.1, 1.0, 2 * words))
    windows = cut_windows(np.sort(random.integers(0, 3, words)), 6, 3)
    found = cover.best(readings, windows, 50)
    expected = dict[tuple[int, int], float]()
    for window, (first, after) in enumerate(zip(windows.starts, windows.ends, strict=True)):
        inside = (readings.places >= first) & (readings.places < after)
        for number, concepts in enumerate(members):
            chances = [
                readings.chances[inside & (readings.concepts == concept)].max(initial=0.0) for concept in concepts
            ]
            mass = float(weights[concepts] @ chances)
            if mass > 0:
                expected[window, number] = mass**3 / float(weights[concepts].sum()) ** 2
    got = dict(zip(zip(found.windows.tolist(), found.sets.tolist(), strict=True), found.score.tolist(), strict=True))
    assert got == pytest.approx(expected, rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60).map(sorted), st.integers(2, 15), st.integers(1, 8))
def test_windows_cover_every_word_and_keep_to_sentences(sentences: list[int], size: int, stride: int) -> None:
    stride = min(stride, size)
    windows = cut_windows(np.array(sentences, dtype=np.int64), size, stride)
    covered = {word for first, after in zip(windows.starts, windows.ends, strict=True) for word in range(first, after)}
    assert covered == set(range(len(sentences)))
    assert all(
        sentences[first] == sentences[after - 1] for first, after in zip(windows.starts, windows.ends, strict=True)
    )
    assert (windows.ends - windows.starts).max() <= size


def test_terms_of_the_same_concepts_are_one_set_with_its_sides() -> None:
    index = TermIndex.build(expressions(titles={**TITLES, "X": "Both knees: pain", "Y": "Unspecified disorder"}))
    knees = [number for number, text in enumerate(index.wordings) if "knee" in text]
    assert len(knees) == 1
    rows = zip(index.owners.tolist(), index.codes, index.sides.tolist(), strict=True)
    sides = {code: side for owner, code, side in rows if owner == knees[0]}
    assert sides["M25.561"] == RIGHT
    assert sides["M25.562"] == LEFT
    assert sides["M25.569"] == 0
    assert sides["X"] in (0, BILATERAL)
    assert "Y" in index.codes


def test_model_1_finds_which_word_goes_with_which() -> None:
    pairs = {(("casa", "verde"), ("green", "house")): 3, (("casa",), ("house",)): 3, (("verde",), ("green",)): 1}
    learnt = learn_translations(pairs)
    assert learnt["casa"][0][0] == "house"
    assert learnt["verde"][0][0] == "green"
    assert all(0.08 < chance <= 1.0 for found in learnt.values() for _, chance in found)
    assert learn_translations(dict(reversed(pairs.items()))) == learnt
    assert learn_translations({}) == {}


def test_cognates_are_found_by_spelling() -> None:
    cognates = Cognates(["colecistit", "kidne", "k35"])
    assert cognates.of("colecistitis") == (("colecistit", pytest.approx(likeness("colecistitis", "colecistit"))),)
    assert cognates.of("hipotermia") == ()
    assert cognates.of("k35") == ()


def test_competition_sees_stronger_claims_to_the_same_words() -> None:
    mentions = {
        "I27.20": [Mention((3, 4), 0.8, "pulmonary hypertension")],
        "I10": [Mention((4,), 0.3, "hypertension")],
        "R05.1": [Mention((9,), 0.2, "cough")],
    }
    rows = competition(["I10", "R05.1", "Z99"], mentions)
    column = {name: number for number, name in enumerate(COMPETITION)}
    assert rows[0, column["rival_strength"]] == pytest.approx(0.8)
    assert rows[0, column["rival_other_category"]] == pytest.approx(0.8)
    assert rows[0, column["inside_longer"]] == pytest.approx(0.8)
    assert rows[0, column["free_words"]] == 0
    assert rows[1, column["rival_strength"]] == 0
    assert rows[1, column["free_words"]] == 1
    assert not rows[2].any()
