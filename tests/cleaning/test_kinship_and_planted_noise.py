"""Relatives of labels, and mistakes planted among them."""

from __future__ import annotations

from random import Random

import pytest

from nosology.codes.kinship import Kinship
from nosology.corpora.simulated import SimulatedConfig, simulate_corpus
from nosology.corpora.simulation.noise import plant_noise
from nosology.errors import ConfigError, CorpusError
from nosology.types import Corpus, Encounter, Note


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return simulate_corpus(SimulatedConfig(n_admissions=60, n_codes=300, seed=3))


def test_relatives_are_the_nearest_labels_in_the_hierarchy() -> None:
    kinship = Kinship([(code, "icd10cm") for code in ("E11.65", "E11.649", "E11.9", "E10.9", "I10", "S72.001A")])
    assert kinship.nearest("E11.65") == ("E11.649",)
    assert kinship.nearest("E11.65", outside=["E11.649"]) == ("E11.9",)
    assert kinship.nearest("E11.9") == ("E11.649", "E11.65")
    assert kinship.nearest("E10.9") == ("E11.649", "E11.65", "E11.9")  # the block E08-E13
    assert kinship.nearest("I10") == ()  # alone in its chapter
    assert kinship.nearest("Z99.9") == ()  # no label
    assert kinship.shares_category("E11.65", "E11.9")
    assert not kinship.shares_category("E11.65", "E10.9")


def test_a_system_of_ones_own_goes_by_the_beginnings_of_codes() -> None:
    kinship = Kinship([("ab1", "own"), ("ab2", "own"), ("ac1", "own"), ("ab3", "other")])
    assert kinship.nearest("ab1") == ("ab2",)
    assert kinship.nearest("ac1") == ("ab1", "ab2")
    assert kinship.nearest("ab3") == ()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_the_truth_is_what_parts_the_two_corpora(corpus: Corpus, share: float) -> None:
    noisy, noise = plant_noise(corpus, share, seed=1)
    before = {(e.encounter_id, code) for e in corpus for code in e.code_set}
    after = {(e.encounter_id, code) for e in noisy for code in e.code_set}
    assert before - after == noise.missing
    assert after - before == noise.wrong
    assert len(noise.swaps) + len(noise.drops) == round(share * len(before))
    assert abs(len(noise.swaps) - len(noise.drops)) <= 1
    assert [e.notes for e in noisy] == [e.notes for e in corpus]
    assert all(len(e.codes or ()) == len(e.code_set) for e in noisy)  # no code twice


def test_swaps_stay_in_the_family_and_keep_evidence(corpus: Corpus) -> None:
    noisy, noise = plant_noise(corpus, 0.3, seed=2)
    kinship = Kinship((gold.code, gold.system) for e in corpus for gold in e.codes or ())
    old = {e.encounter_id: {gold.code: gold for gold in e.codes or ()} for e in corpus}
    new = {e.encounter_id: {gold.code: gold for gold in e.codes or ()} for e in noisy}
    for swap in noise.swaps:
        assert new[swap.encounter_id][swap.wrong_code].evidence == old[swap.encounter_id][swap.true_code].evidence
    first = [s for s in noise.swaps if kinship.nearest(s.true_code, old[s.encounter_id]) != ()]
    assert len(first) == len(noise.swaps)


def test_neither_order_nor_a_second_run_changes_what_is_planted(corpus: Corpus) -> None:
    shuffled = list(corpus)
    Random(5).shuffle(shuffled)
    noisy, noise = plant_noise(corpus, 0.2, seed=4)
    again, same = plant_noise(corpus.with_encounters(shuffled), 0.2, seed=4)
    assert noise == same
    assert {e.encounter_id: e for e in noisy} == {e.encounter_id: e for e in again}
    assert plant_noise(corpus, 0.2, seed=5)[1] != noise


def test_bad_input_is_told(corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match=r"^share of planted noise = 1.5 is not in \[0, 1\]$"):
        plant_noise(corpus, 1.5, seed=0)
    bare = Corpus("bare", ("icd10cm",), (Encounter("a", (Note("n", "text"),)),))
    with pytest.raises(CorpusError, match=r"^no encounter has a code; there is nothing to plant noise into$"):
        plant_noise(bare, 0.1, seed=0)
