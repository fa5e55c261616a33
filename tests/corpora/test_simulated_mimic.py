"""A simulated MIMIC-III as the corpus of a recipe."""

from __future__ import annotations

import pytest

pytest.importorskip("pyarrow", reason="the extra 'data' is not installed")

from nosology.config import SimulatedMimic3Config
from nosology.corpora import open_corpus
from nosology.corpora.simulated_mimic import first_words
from nosology.types import Encounter, Evidence, GoldCode, Note, Span


def test_it_is_made_the_same_again_and_shorter_on_request() -> None:
    whole = open_corpus(SimulatedMimic3Config(admissions=60))
    assert whole == open_corpus(SimulatedMimic3Config(admissions=60))
    assert whole != open_corpus(SimulatedMimic3Config(admissions=60, seed=1))
    assert {encounter.split for encounter in whole} == {"train", "dev", "test"}
    short = open_corpus(SimulatedMimic3Config(admissions=60, words=100))
    for one, other in zip(short, whole, strict=True):
        assert [gold.code for gold in one.codes or ()] == [gold.code for gold in other.codes or ()]
        for cut, note in zip(one.notes, other.notes, strict=True):
            assert note.text.startswith(cut.text)
            assert len(cut.text.split()) == min(100, len(note.text.split()))


def test_the_fifty_commonest_codes_or_all() -> None:
    fifty, everything = (
        {gold.code for encounter in open_corpus(config) for gold in encounter.codes or ()}
        for config in (SimulatedMimic3Config(admissions=60), SimulatedMimic3Config(admissions=60, variant="full"))
    )
    assert len(fifty) == 50
    assert fifty < everything


def test_evidence_that_is_cut_off_is_left_out() -> None:
    near, far = Evidence("n", (Span(4, 9),)), Evidence("n", (Span(0, 3), Span(10, 14)))
    encounter = Encounter("e", (Note("n", "The heart  beat stops"),), (GoldCode("I46.9", "icd10cm", (near, far)),))
    cut = first_words(encounter, 2)
    assert cut.notes[0].text == "The heart"
    assert cut.codes == (GoldCode("I46.9", "icd10cm", (near,)),)
    assert first_words(encounter, 4) == encounter
    assert first_words(Encounter("e", encounter.notes), 2).codes is None
