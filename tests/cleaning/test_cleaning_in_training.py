"""``[cleaning]`` of a recipe: what is learnt from is cleaned, what is scored is not; planted noise of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from nosology.cleaning import training
from nosology.cleaning.applying import apply_measures
from nosology.cleaning.findings import Judgement
from nosology.cleaning.noise import CodeFinding, Noise
from nosology.cleaning.training import clean_for_training
from nosology.coder import Coder
from nosology.config import CleaningConfig, Measures, PriorConfig, Recipe, SimulatedConfig, load_recipe
from nosology.corpora import open_corpus
from nosology.corpora.prepared import read_prepared, write_prepared
from nosology.errors import ConfigError
from nosology.experiments.overrides import override
from nosology.preprocessing.batching import collate, encode_encounters, without_empty
from nosology.preprocessing.word_tokenizer import WordTokenizer
from nosology.shipped_recipes import find_recipe
from nosology.types import Corpus, Encounter, GoldCode, Note, Span

RECIPE = Recipe(SimulatedConfig(), model=PriorConfig())
CODES = ("I10", "E11.9", "E11.65")


def corpus_of(count: int) -> Corpus:
    notes = [
        Note(f"n{i}", f"Patient {'with diabetes' if i % 2 else 'without complaints'} today.") for i in range(count)
    ]
    golds = [tuple(GoldCode(code, "icd10cm") for code in CODES[: 1 + i % 3]) for i in range(count)]
    return Corpus(
        "made", ("icd10cm",), tuple(Encounter(f"e{i}", (notes[i],), golds[i], f"p{i}", "train") for i in range(count))
    )


def finding(encounter: str, code: str, kind: Literal["implausible", "missing"], probability: float) -> CodeFinding:
    return CodeFinding(encounter, code, "icd10cm", kind, probability, 0.1, "", "", Span(0, 0))


def noise_of(findings: tuple[CodeFinding, ...], weights: Mapping[tuple[str, str], float]) -> Noise:
    nothing = np.zeros((0, 0), dtype=np.float32)
    return Noise((), (), Judgement(nothing, nothing), nothing, findings, (), weights)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Corpus]:
    """A search that always finds E11.9 of e1 wrong and E11.65 of e0 missing; lists what was looked through."""
    asked = list[Corpus]()

    def find(corpus: Corpus, wordings: object, config: CleaningConfig, tell: object, cache: object) -> Noise:
        asked.append(corpus)
        weights = {(one.encounter_id, code): 1.0 for one in corpus for code in one.code_set} | {("e1", "E11.9"): 0.44}
        findings = (finding("e0", "E11.65", "missing", 0.7123), finding("e1", "E11.9", "implausible", 0.8))
        return noise_of(findings, weights)

    monkeypatch.setattr(training, "find_noise", find)
    monkeypatch.setattr(training, "_LATEST", {})
    return asked


def cleaned(corpus: Corpus, *measures: str) -> tuple[Corpus, str]:
    config = CleaningConfig(measures=Measures(**dict.fromkeys(measures, True)))
    recipe = load_recipe(find_recipe("losses_linear"))
    return clean_for_training(corpus, replace(recipe, cleaning=config), lambda stage, share: None)


def certainties(corpus: Corpus) -> dict[tuple[str, str], float]:
    return {(one.encounter_id, gold.code): gold.certainty for one in corpus for gold in one.codes or ()}


def test_measures_reach_what_is_learnt_from(found: list[Corpus]) -> None:
    corpus = corpus_of(6)
    before = certainties(corpus)
    assert clean_for_training(corpus, RECIPE, lambda stage, share: None) == (corpus, "")
    dropped, told = cleaned(corpus, "drop_implausible")
    assert certainties(dropped) == {pair: 1.0 for pair in before if pair != ("e1", "E11.9")}
    assert told == "1 codes dropped"
    weighed, told = cleaned(corpus, "weigh", "add_missing")
    assert certainties(weighed) == before | {("e1", "E11.9"): 0.44, ("e0", "E11.65"): 0.712}
    assert told == "1 codes added, 2 codes less certain than 0.9"
    assert len(found) == 1  # measures change nothing about what is found
    cleaned(corpus_of(5), "weigh")
    assert len(found) == 2


def test_the_coder_learns_the_cleaned_codes_and_says_so(found: list[Corpus]) -> None:
    config = CleaningConfig(measures=Measures(drop_implausible=True, add_missing=True))
    coder = Coder.fit(corpus_of(6), replace(RECIPE, cleaning=config))
    assert dict(coder.label_counts) == {"I10": 6, "E11.9": 3, "E11.65": 3}
    assert coder.training_remarks == ("cleaned before training: 1 codes dropped, 1 codes added",)
    assert dict(Coder.fit(corpus_of(6), RECIPE).label_counts) == {"I10": 6, "E11.9": 4, "E11.65": 2}


def test_certainties_become_targets_and_outlive_a_prepared_folder(found: list[Corpus], tmp_path: Path) -> None:
    from nosology.training.objective import to_targets

    weighed, _ = cleaned(corpus_of(6), "weigh", "add_missing")
    write_prepared(tmp_path / "weighed", weighed)
    assert read_prepared(tmp_path / "weighed") == weighed
    empty = Encounter("none", (Note("x", ""),), (GoldCode("I10", "icd10cm", certainty=0.2),))
    encounters = [empty, *weighed]
    tokenizer = WordTokenizer.fit(encounters, least_notes=1)
    encoded = without_empty(encode_encounters(encounters, tokenizer, CODES))
    targets = to_targets(collate(encoded, np.array([1, 0, 2])), len(CODES), "cpu").labels
    expected = [[1.0, 0.44, 0.0], [1.0, 0.0, 0.712], [1.0, 1.0, 1.0]]
    assert targets.tolist() == pytest.approx(np.array(expected, dtype=np.float32))
    plain = without_empty(encode_encounters([empty, *corpus_of(6)], tokenizer, CODES))
    assert encoded.fingerprint() != plain.fingerprint()  # another run, not one to go on with


@pytest.mark.parametrize(
    ("recipe", "changes", "message"),
    [
        ("tfidf_simulated", {"cleaning.measures.weigh": True}, "learnt by the model 'neural' only, not by 'tfidf'"),
        ("simulated", {"cleaning.measures.weigh": True}, "learnt by the model 'neural' only, not by 'ranker'"),
        ("simulated", {"cleaning.synonyms": 2}, "[cleaning] takes no measure; set one of drop_duplicates"),
        (
            "losses_linear",
            {"cleaning.measure.weigh": True},
            "measure: unknown key (did you mean 'measures'?)",
        ),
    ],
)
def test_what_does_not_fit_is_named(recipe: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        override(load_recipe(find_recipe(recipe)), changes, "here")
    assert message in str(error.value)


def test_a_recipe_plants_noise_into_train_alone() -> None:
    true = open_corpus(config := SimulatedConfig(encounters=60, codes=100, seed=4))
    noisy = open_corpus(replace(config, noise=0.3))
    assert [one.encounter_id for one in noisy] == [one.encounter_id for one in true]
    changed = {a.split for a, b in zip(true, noisy, strict=True) if a != b}
    assert changed == {"train"}
    before, after = (certainties(one.split("train")).keys() for one in (true, noisy))
    planted = round(0.3 * len(before))
    assert len(before - after) == planted
    assert len(after - before) == planted - planted // 2


def test_nothing_found_leaves_nothing_changed(found: list[Corpus]) -> None:
    corpus = corpus_of(6)
    done = apply_measures(corpus, noise_of((), {}), Measures(True, True, True, True))
    assert done.corpus == corpus
    assert done.summary == "nothing to clean"
