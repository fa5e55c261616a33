"""Duplicates, dropping with evidence, judgements, and the search as a whole on planted noise."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.cleaning.applying import apply_measures
from nosology.cleaning.dropping import drop_spans
from nosology.cleaning.findings import judge
from nosology.cleaning.noise import Noise, find_noise
from nosology.codes.systems import open_code_system
from nosology.codes.titles import TitleTable
from nosology.config import CleaningConfig, DuplicateRule, Measures, NoiseThresholds
from nosology.corpora.simulated import SimulatedConfig, simulate_corpus
from nosology.corpora.simulation.noise import PlantedNoise, plant_noise
from nosology.errors import ConfigError, CorpusError
from nosology.knowledge.wordings import Wordings
from nosology.types import Corpus, Encounter, Evidence, GoldCode, Note, Span

OPTIONS = CleaningConfig(encoders=("lexical",), folds=3, thresholds=NoiseThresholds(share=0.3))


def silent(stage: str, share: float) -> None:
    pass


@pytest.fixture(scope="module")
def wordings() -> Wordings:
    return Wordings(TitleTable.of([open_code_system("icd10cm")]))


@pytest.fixture(scope="module")
def planted() -> tuple[Corpus, PlantedNoise]:
    corpus = simulate_corpus(SimulatedConfig(n_admissions=200, n_codes=120, seed=11))
    return plant_noise(corpus, 0.3, seed=11)


@pytest.fixture(scope="module")
def noise(planted: tuple[Corpus, PlantedNoise], wordings: Wordings) -> Noise:
    return find_noise(planted[0], wordings, OPTIONS, silent)


def test_planted_swaps_are_found_far_more_often_than_by_chance(
    planted: tuple[Corpus, PlantedNoise], noise: Noise
) -> None:
    corpus, truth = planted
    total = sum(len(e.code_set) for e in corpus)
    flagged = {(f.encounter_id, f.code) for f in noise.findings if f.kind == "implausible"}
    assert len(flagged & truth.wrong) / len(flagged) > 1.5 * len(truth.wrong) / total
    order = sorted(noise.weights, key=lambda pair: noise.weights[pair])
    lowest = order[: len(truth.wrong)]
    assert len(truth.wrong & set(lowest)) / len(truth.wrong) > 1.5 * len(truth.wrong) / total


def test_findings_are_consistent(planted: tuple[Corpus, PlantedNoise], noise: Noise) -> None:
    by_id = {e.encounter_id: e for e in planted[0]}
    assert {(e.encounter_id, code) for e in planted[0] for code in e.code_set} == set(noise.weights)
    assert all(0.3 <= weight <= 1.0 for weight in noise.weights.values())
    for one in noise.findings:
        encounter = by_id[one.encounter_id]
        assert (one.code in encounter.code_set) == (one.kind == "implausible")
        assert not one.relative or (one.relative in encounter.code_set) == (one.kind == "missing")
        assert not one.note_id or 0 <= one.span.start < one.span.end <= len(encounter.note(one.note_id).text)


def test_neither_order_nor_a_second_run_changes_findings(
    planted: tuple[Corpus, PlantedNoise], noise: Noise, wordings: Wordings
) -> None:
    shuffled = list(planted[0])
    Random(3).shuffle(shuffled)
    again = find_noise(planted[0].with_encounters(shuffled), wordings, OPTIONS, silent)
    assert again.findings == noise.findings
    assert again.duplicates == noise.duplicates
    assert again.weights == noise.weights


def test_evidence_is_not_read(planted: tuple[Corpus, PlantedNoise], noise: Noise, wordings: Wordings) -> None:
    bare = [replace(e, codes=tuple(replace(gold, evidence=()) for gold in e.codes or ())) for e in planted[0]]
    assert find_noise(planted[0].with_encounters(bare), wordings, OPTIONS, silent).findings == noise.findings


def test_judge_equals_its_formula() -> None:
    carries = np.array([[True, False, False, True]])
    plausible = np.array([[0.02, 0.8, 0.1, 0.5]], dtype=np.float32)
    relatives = [np.array([1, 2]), np.array([0, 2]), np.array([0, 1]), np.array([], dtype=np.int64)]
    judged = judge(carries, plausible, relatives, share=0.2)
    odds = 0.1 / 0.8 * (0.8 + 0.001) / ((0.02 + 0.01) * 2)
    missing = 0.2 / 0.8 * 0.8 / 0.2 * (1 + 0.5 / ((0.02 + 0.01) * 2))
    assert judged.wrong[0].tolist() == pytest.approx([odds / (1 + odds), 0, 0, 0])
    assert judged.missing[0, 1] == pytest.approx(missing / (1 + missing))
    assert judged.missing[0, [0, 3]].tolist() == [0, 0]
    weights = judged.weights(NoiseThresholds(least_weight=0.3))
    assert weights[0, 0] == pytest.approx(0.3 + 0.7 / (1 + odds))
    assert weights[0, 3] == 1


def case(number: int, *texts: str, patient: str = "", codes: tuple[str, ...] = ("I10",), when: str = "") -> Encounter:
    notes = tuple(Note(f"n{number}-{i}", text) for i, text in enumerate(texts))
    golds = tuple(GoldCode(code, "icd10cm") for code in codes)
    return Encounter(f"e{number}", notes, golds, patient or f"p{number}", metadata={"discharge_date": when})


def test_copies_and_boilerplate_are_found_and_nothing_else(wordings: Wordings) -> None:
    copied = "The wound on the left heel was cleaned and dressed by the nurse again."
    shared = "Please call the office if anything else should worry you at all."
    own = [case(i, f"Visit number {i} went rather well for this one. {shared}") for i in range(6)]
    first = case(10, copied, "Something new happened on the second day of the stay.", patient="p", when="2101-01-01")
    second = case(9, f"Today nothing was different from before in any way. {copied}", patient="p", when="2102-01-01")
    corpus = Corpus("made", ("icd10cm",), (*own, second, first))
    options = replace(OPTIONS, duplicates=DuplicateRule(far_from_codes=0.9))
    found = find_noise(corpus, wordings, options, silent).duplicates
    text = {n.note_id: n.text for e in corpus for n in e.notes}
    copies = [one for one in found if one.kind == "copy"]
    assert [(one.encounter_id, text[one.note_id][slice(*one.span)]) for one in copies] == [("e9", copied[:-1])]
    assert [(one.source_note_id, one.source_span) for one in copies] == [("n10-0", Span(0, len(copied) - 1))]
    rest = [one for one in found if one.kind == "boilerplate"]
    assert {one.encounter_id for one in rest} == {f"e{i}" for i in range(6)}
    assert {text[one.note_id][slice(*one.span)] for one in rest} == {shared[:-1]}


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet="abc de\n", min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5),
)
def test_dropping_moves_offsets_rightly(text: str, cuts: list[tuple[int, int]], marks: list[tuple[int, int]]) -> None:
    def valid(pairs: list[tuple[int, int]]) -> list[Span]:
        return [Span(a, b) for a, b in pairs if a < b <= len(text)]

    evidence = tuple(Evidence("n", (span,)) for span in valid(marks))
    encounter = Encounter("e", (Note("n", text),), (GoldCode("I10", "icd10cm", evidence),))
    gone = [any(a <= i < b for a, b in valid(cuts)) for i in range(len(text))]
    cleaned, kept, lost = drop_spans(encounter, {"n": valid(cuts)})
    assert cleaned.notes[0].text == "".join(c for c, is_gone in zip(text, gone, strict=True) if not is_gone)
    assert cleaned.codes is not None
    moved = cleaned.codes[0].evidence
    assert lost == len(evidence) - len(moved)
    assert len(moved) == sum(not any(gone[one.start : one.end]) for one in evidence)
    whole = [one for one in evidence if not any(gone[one.start : one.end])]
    for old, new in zip(whole, moved, strict=True):
        assert cleaned.notes[0].text[new.start : new.end] == text[old.start : old.end]
    for piece in kept:
        back = [piece.to_original(i) for i in range(len(cleaned.notes[0].text))]
        assert back == [i for i, is_gone in enumerate(gone) if not is_gone]


def test_a_span_outside_is_told_without_text() -> None:
    with pytest.raises(CorpusError, match=r"^\[e1\]: a span to drop lies outside of the encounter's notes$"):
        drop_spans(case(1, "short"), {"n1-0": [Span(0, 99)]})


def test_measures_do_what_they_say_and_no_more(planted: tuple[Corpus, PlantedNoise], noise: Noise) -> None:
    corpus = planted[0]
    assert apply_measures(corpus, noise, Measures()).corpus == corpus
    cleaned = apply_measures(corpus, noise, Measures(drop_implausible=True, add_missing=True))
    before = {(e.encounter_id, code) for e in corpus for code in e.code_set}
    after = {(e.encounter_id, code) for e in cleaned.corpus for code in e.code_set}
    assert before - after == {(f.encounter_id, f.code) for f in noise.findings if f.kind == "implausible"}
    assert after - before == {(f.encounter_id, f.code) for f in noise.findings if f.kind == "missing"}
    cut = apply_measures(corpus, noise, Measures(drop_duplicates=True))
    assert cut.dropped_chunks == len(noise.duplicates) > 0
    old = {n.note_id: n.text for e in corpus for n in e.notes}
    new = {n.note_id: n.text for e in cut.corpus for n in e.notes}
    for one in cut.kept:
        assert new[one.note_id] == "".join(old[one.note_id][a:b] for a, b in one.spans)
    assert {name for name in old if old[name] != new[name]} == {one.note_id for one in cut.kept}


@pytest.mark.parametrize(
    ("encounters", "message"),
    [
        ((), "no encounter has a code; there is nothing to clean"),
        ((case(1, "text", codes=()),), "no encounter has a code; there is nothing to clean"),
        ((case(1, "a"), case(1, "b")), "[e1]: two encounters have this id; give each its own"),
        (
            (case(1, "a", patient="p"), case(2, "b", patient="p")),
            "all encounters are of one patient; codes are judged by other patients', so two are needed",
        ),
    ],
)
def test_bad_corpora_are_told(encounters: tuple[Encounter, ...], message: str, wordings: Wordings) -> None:
    with pytest.raises(CorpusError) as told:
        find_noise(Corpus("made", ("icd10cm",), encounters), wordings, OPTIONS, silent)
    assert str(told.value) == message


def test_bad_options_are_told() -> None:
    for make, message in (
        (lambda: NoiseThresholds(share=0), "NoiseThresholds: share: 0 is not in (0, 0.9]"),
        (lambda: NoiseThresholds(missing=1), "NoiseThresholds: missing: 1 is not in (0, 1)"),
        (lambda: NoiseThresholds(least_weight=2), "NoiseThresholds: least_weight: 2 is not between 0 and 1"),
        (lambda: DuplicateRule(similarity=0), "DuplicateRule: similarity: 0 is not in (0, 1]"),
        (lambda: CleaningConfig(encoders=("a", "a")), "encoders: name at least one, and none twice"),
        (lambda: CleaningConfig(folds=1), "CleaningConfig: folds: 1 is below 2"),
    ):
        with pytest.raises(ConfigError) as told:
            make()
        assert str(told.value) == message
