"""The contract of every predictor: what the coder may rely on, whichever model the recipe names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nosology.coder import Coder
from nosology.config import (
    CalibrationConfig,
    ModelConfig,
    NeighboursConfig,
    PriorConfig,
    Recipe,
    SimulatedConfig,
    TfidfConfig,
    TrainingConfig,
    load_recipe,
    to_toml,
)
from nosology.errors import ConfigError, ModelError
from nosology.knowledge.stream import build_stream
from nosology.shipped_recipes import shipped_recipes
from nosology.types import CodedEncounter, Corpus, Encounter, GoldCode, Note
from predictor_contract import assert_keeps_contract
from tiny_corpus import make_corpus, make_encounter, make_recipe, run_python

NEW = [make_encounter(number) for number in range(50, 62)]
KINDS = ("ranker", "prior", "tfidf", "neighbours")
READING = ("ranker", "tfidf", "neighbours")
_MODELS: dict[str, ModelConfig] = {
    "prior": PriorConfig(),
    "tfidf": TfidfConfig(strength=30.0),
    "neighbours": NeighboursConfig(neighbours=5),
}


def recipe_of(kind: str) -> Recipe:
    if kind == "ranker":
        return make_recipe()
    calibration = CalibrationConfig(abstain_below=0.0 if kind == "prior" else 0.1)
    training = TrainingConfig(folds=3)
    return Recipe(SimulatedConfig(), kind, calibration=calibration, training=training, model=_MODELS[kind])


@pytest.fixture(scope="session")
def coders() -> dict[str, Coder]:
    return {kind: Coder.fit(make_corpus(40), recipe_of(kind)) for kind in KINDS}


def _f1(coder: Coder) -> float:
    pairs = [({code.code for code in coder.code(one).assigned}, one.code_set) for one in NEW]
    hits = sum(len(said & gold) for said, gold in pairs)
    return 2 * hits / sum(len(said) + len(gold) for said, gold in pairs)


def test_reading_beats_not_reading(coders: dict[str, Coder]) -> None:
    scores = {kind: _f1(coder) for kind, coder in coders.items()}
    assert scores["ranker"] > scores["tfidf"] > scores["prior"] > 0.3, scores


def test_the_nearest_neighbour_of_a_training_note_is_itself() -> None:
    corpus = make_corpus(24)
    coder = Coder.fit(corpus, replace(recipe_of("neighbours"), model=NeighboursConfig(neighbours=1)))
    for encounter in corpus:
        assert {code.code for code in coder.code(encounter).codes} == encounter.code_set


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_finite_and_codes_distinct(kind: str, coders: dict[str, Coder]) -> None:
    assert_keeps_contract(coders[kind].predictor, NEW)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_says_the_same(kind: str, coders: dict[str, Coder], tmp_path: Path) -> None:
    coder = coders[kind]
    coder.save(tmp_path / "model")
    loaded = Coder.from_pretrained(tmp_path / "model")
    assert [loaded.code(one) for one in NEW] == [coder.code(one) for one in NEW]
    assert (loaded.recipe, loaded.facts, loaded.threshold) == (coder.recipe, coder.facts, coder.threshold)
    assert loaded.label_counts == coder.label_counts
    assert loaded.predictor.labels == coder.predictor.labels
    assert list(loaded.knowledge) == list(coder.knowledge)
    assert {path.suffix for path in (tmp_path / "model").iterdir()} <= {".npz", ".json", ".toml", ".md"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", " \n", "...", "\x00", "\ud800"])
def test_a_note_without_words_has_no_codes(kind: str, text: str, coders: dict[str, Coder]) -> None:
    abstained = kind != "prior"
    assert coders[kind].code(text) == CodedEncounter("note", (), abstained=abstained)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_words_are_no_evidence(kind: str, coders: dict[str, Coder]) -> None:
    coded = coders[kind].code("Zzyzx qwertz, xylophon fjord.")
    assert all(not code.evidence for code in coded.codes)


@pytest.mark.parametrize("kind", READING)
def test_evidence_lies_in_its_note(kind: str, coders: dict[str, Coder]) -> None:
    first, empty, second = (
        Note("a", "Ñandú ½. Known pneumonia."),
        Note("b", ""),
        Note("c", "Treated for anemia at home."),
    )
    coded = coders[kind].code(Encounter("e", (first, empty, second)))
    texts = {note.note_id: note.text for note in (first, empty, second)}
    shown = [(code, evidence) for code in coded.codes for evidence in code.evidence]
    assert shown
    for code, evidence in shown:
        assert code.expressions
        for part in evidence.parts:
            words = texts[evidence.note_id][part.start : part.end]
            assert words == words.strip()
            assert words
    known = {code.code: [texts[e.note_id][e.start : e.end] for e in code.evidence] for code in coded.codes}
    assert any("pneumonia" in words for words in known["J18.9"])
    assert any("anemia" in words for words in known["D64.9"])


@pytest.mark.parametrize("kind", READING)
def test_every_assigned_code_of_a_note_read_has_evidence(kind: str, coders: dict[str, Coder]) -> None:
    assigned = [code for encounter in NEW for code in coders[kind].code(encounter).assigned]
    assert assigned
    assert sum(bool(code.evidence) for code in assigned) / len(assigned) > 0.95


def _one_label(corpus: Corpus) -> list[Encounter]:
    only = (GoldCode("I10", "icd10cm"),)
    return [replace(e, codes=only if number % 2 else ()) for number, e in enumerate(corpus)]


def _same_everywhere(corpus: Corpus) -> list[Encounter]:
    return [replace(e, codes=(GoldCode("I10", "icd10cm"),)) for e in corpus]


def _two_notes_without_words(corpus: Corpus) -> list[Encounter]:
    first, second, *others = corpus.encounters
    return [replace(e, notes=(Note(e.notes[0].note_id, ""),)) for e in (first, second)] + others


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [_one_label, _same_everywhere, _two_notes_without_words])
def test_odd_corpora_can_be_learnt(kind: str, change: Callable[[Corpus], list[Encounter]], tmp_path: Path) -> None:
    corpus = make_corpus(12)
    coder = Coder.fit(corpus.with_encounters(change(corpus)), recipe_of(kind))
    coder.save(tmp_path / "model")
    loaded = Coder.from_pretrained(tmp_path / "model")
    for encounter in NEW[:3]:
        coded = coder.code(encounter)
        assert coded == loaded.code(encounter)
        assert all(np.isfinite(code.probability) for code in coded.codes)


@pytest.mark.parametrize("kind", KINDS)
def test_the_threshold_of_the_recipe_comes_first(kind: str) -> None:
    recipe = recipe_of(kind)
    lax = replace(recipe, calibration=replace(recipe.calibration, threshold=0.001))
    coder = Coder.fit(make_corpus(12), lax)
    assert coder.threshold == 0.001
    assert all(code.assigned == (code.probability >= 0.001) for code in coder.code(NEW[0]).codes)


@pytest.mark.parametrize("kind", ["prior", "tfidf", "neighbours"])
def test_candidates_are_as_many_as_asked_for(kind: str) -> None:
    recipe = recipe_of(kind)
    coder = Coder.fit(make_corpus(16), replace(recipe, model=replace(recipe.model, candidates=3)))
    assert all(len(coder.code(one).codes) <= 3 for one in NEW)
    assert max(len(coder.code(one).codes) for one in NEW) == 3


def test_the_prior_is_the_share_of_encounters(coders: dict[str, Coder]) -> None:
    corpus = make_corpus(40)
    found = coders["prior"].predictor.predict(build_stream(NEW[0]))
    for code, score in zip(found.codes, found.scores.tolist(), strict=True):
        assert score == sum(code in encounter.code_set for encounter in corpus) / 40
    assert list(found.scores) == sorted(found.scores, reverse=True)


def test_neighbours_vote_by_cosine(coders: dict[str, Coder]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    def grams(encounter: Encounter) -> list[str]:
        stream = build_stream(encounter)
        pairs = [
            f"{a} {b}"
            for a, b, s, t in zip(
                stream.words, stream.words[1:], stream.sentence_list, stream.sentence_list[1:], strict=False
            )
            if s == t
        ]
        return [*stream.words, *pairs]

    corpus = make_corpus(40)
    vectors = TfidfVectorizer(analyzer=grams, sublinear_tf=True, min_df=2)
    train = vectors.fit_transform(corpus.encounters)
    for encounter in NEW[:4]:
        cosines = (train @ vectors.transform([encounter]).T).toarray().ravel()
        nearest = np.argsort(-cosines, kind="stable")[:5]
        votes = dict[str, float]()
        for row in nearest:
            for code in corpus.encounters[row].code_set:
                votes[code] = votes.get(code, 0.0) + cosines[row] / cosines[nearest].sum()
        found = coders["neighbours"].predictor.predict(build_stream(encounter))
        assert dict(zip(found.codes, found.scores.tolist(), strict=True)) == pytest.approx(votes, rel=1e-5)


_HEAVY = """
import sys
from nosology.coder import Coder
coder = Coder.from_pretrained(sys.argv[1])
assert coder.code("Known pneumonia. Treated for anemia at home.").codes
print(sorted({name.split(".")[0] for name in sys.modules} & {"sklearn", "scipy", "pandas", "torch"}))
"""


@pytest.mark.parametrize("kind", ["tfidf", "neighbours"])
def test_coding_needs_no_heavy_package(kind: str, coders: dict[str, Coder], tmp_path: Path) -> None:
    coders[kind].save(tmp_path / "model")
    assert run_python(_HEAVY, str(tmp_path / "model")) == "[]\n"


@pytest.mark.parametrize("kind", ["prior", "tfidf", "neighbours"])
def test_the_same_seed_gives_the_same_model(kind: str, coders: dict[str, Coder]) -> None:
    again = Coder.fit(make_corpus(40), recipe_of(kind))
    assert [again.code(one) for one in NEW] == [coders[kind].code(one) for one in NEW]


@pytest.mark.parametrize("kind", ["prior", "tfidf", "neighbours"])
def test_the_card_names_the_method_and_no_note_text(kind: str, coders: dict[str, Coder], tmp_path: Path) -> None:
    coders[kind].save(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "(a baseline" in card
    assert "haemoglobin" not in card
    assert "haemoglobin" not in repr(coders[kind]) + repr(coders[kind].predictor)


def test_a_model_of_another_kind_than_its_recipe_says_is_refused(coders: dict[str, Coder], tmp_path: Path) -> None:
    odd = replace(coders["tfidf"], recipe=recipe_of("neighbours"))
    odd.save(tmp_path / "model")
    with pytest.raises(ModelError, match=r"this model has no neighbours\.npz; train it again"):
        Coder.from_pretrained(tmp_path / "model")


# --- recipes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("[ranker]\nboosting_trees = 3", "[ranker]"),
        ("[candidates]\nseen = 3", "[candidates]"),
        ("[knowledge]\ncode_tables = false", "[knowledge]"),
        ("[calibration]\nfolds = 3", "[calibration] folds"),
        ("[calibration]\nunseen_precision = 0.3", "[calibration] unseen_precision"),
    ],
)
def test_a_key_that_a_baseline_does_not_read_is_refused(section: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text(f'[corpus]\nreader = "simulated"\n[model]\nkind = "tfidf"\n{section}\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_recipe(file)
    assert str(caught.value) == f"{file}: {said}: read by the model 'ranker' only, not by 'tfidf'; leave out"


@pytest.mark.parametrize("name", sorted(name for name in shipped_recipes() if name.split("_")[0] in KINDS))
def test_shipped_baselines_load_and_write_back(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(shipped_recipes()[name])
    assert recipe.model.kind == name.split("_")[0]
    file = tmp_path / "r.toml"
    file.write_text(to_toml(recipe), encoding="utf-8")
    assert load_recipe(file) == recipe
