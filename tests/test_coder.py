"""The pipeline end to end on a hand-made corpus: fit, code, save, load; spans, several notes, abstention, seeds."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nosology.coder import Coder
from nosology.errors import CorpusError
from nosology.ranked import RankedCandidates
from nosology.types import CodedEncounter, Corpus, Encounter, GoldCode, Note
from tiny_corpus import WORDINGS, make_corpus, make_encounter, make_recipe, run_python, without_evidence

NEW = [make_encounter(number) for number in range(50, 62)]


@pytest.fixture(scope="session")
def coder() -> Coder:
    return Coder.fit(make_corpus(), make_recipe())


@pytest.fixture(scope="session")
def folder(coder: Coder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    coder.save(path)
    return path


def _f1(coded: Sequence[CodedEncounter]) -> float:
    pairs = [({code.code for code in found.assigned}, e.code_set) for found, e in zip(coded, NEW, strict=True)]
    hits = sum(len(said & gold) for said, gold in pairs)
    return 2 * hits / sum(len(said) + len(gold) for said, gold in pairs)


def test_codes_new_notes(coder: Coder) -> None:
    assert _f1(list(coder.code_many(NEW))) > 0.9


def test_learns_without_evidence_too() -> None:
    corpus = make_corpus(40)
    bare = corpus.with_encounters([without_evidence(encounter) for encounter in corpus])
    found = Coder.fit(bare, make_recipe())
    assert _f1([found.code(encounter) for encounter in NEW]) > 0.6


def test_candidates_fall_in_probability_and_say_what_they_are(coder: Coder) -> None:
    for encounter in NEW:
        coded = coder.code(encounter)
        assert coded.encounter_id == encounter.encounter_id
        probabilities = [code.probability for code in coded.codes]
        assert probabilities == sorted(probabilities, reverse=True)
        assert all(0.0 <= probability <= 1.0 for probability in probabilities)
        assert len({code.code for code in coded.codes}) == len(coded.codes)
        assert all(code.evidence and code.expressions for code in coded.assigned)
        known = {code.code: (code.system, code.description) for code in coded.codes}
        assert known.get("I10", ("icd10cm", "Essential (primary) hypertension")) == (
            "icd10cm",
            "Essential (primary) hypertension",
        )


def test_evidence_of_assigned_codes_is_a_wording_of_theirs(coder: Coder) -> None:
    hits, shown = 0, 0
    for encounter in NEW:
        text = encounter.notes[0].text
        for code in coder.code(encounter).assigned:
            first = code.evidence[0]
            assert first.note_id == encounter.notes[0].note_id
            shown += 1
            hits += any(
                text[first.start : first.end] in wording or wording in text[first.start : first.end]
                for wording in WORDINGS[code.code]
            )
    assert hits / shown > 0.9


def test_denied_codes_are_less_probable(coder: Coder) -> None:
    known = {code.code: code.probability for code in coder.code("Known pneumonia. Treated for anemia at home.").codes}
    denied = {code.code: code.probability for code in coder.code("No pneumonia. Treated for anemia at home.").codes}
    assert denied["J18.9"] < known["J18.9"]


# --- texts of every kind --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("before", ["", "Ñandú ½ ﬁn é — ", "\ufeff", "𝐁old 🏥 ", "\x00\x00", "\r\n\r\n\t"])
def test_offsets_are_those_of_the_text_as_it_was_given(coder: Coder, form: str, before: str) -> None:
    text = unicodedata.normalize(form, f"{before}Known pneumoniá. Treated for type 2 diabetés at home.")
    found = {code.code: code for code in coder.code(text).codes}
    for code, wording in (("J18.9", "pneumoniá"), ("E11.9", "diabetés")):
        spans = [text[part.start : part.end] for e in found[code].evidence for part in e.parts]
        assert any(unicodedata.normalize("NFC", span).endswith(wording) for span in spans)


@pytest.mark.parametrize("text", ["", " ", "\n\t \n", "\x00", "...", "\ud800", "\u200b", "—"])
def test_a_note_without_words_has_no_codes(coder: Coder, text: str) -> None:
    assert coder.code(text) == CodedEncounter("note", (), abstained=True)


def test_an_encounter_without_notes_has_no_codes(coder: Coder) -> None:
    assert coder.code(Encounter("e", ())).codes == ()


def test_text_note_and_encounter_are_coded_alike(coder: Coder) -> None:
    note = NEW[0].notes[0]
    as_text, as_note, as_encounter = coder.code(note.text), coder.code(note), coder.code(NEW[0])
    assert as_note.encounter_id == note.note_id
    assert as_encounter.encounter_id == NEW[0].encounter_id
    assert [(c.code, c.probability) for c in as_text.codes] == [(c.code, c.probability) for c in as_encounter.codes]
    assert as_note.codes == as_encounter.codes


def test_evidence_of_several_notes_lies_in_the_note_it_names(coder: Coder) -> None:
    notes = (Note("a", "Known pneumonia."), Note("empty", ""), Note("b", "And later: Treated for anemia at home."))
    found = {code.code: code for code in coder.code(Encounter("e", notes)).codes}
    texts = {note.note_id: note.text for note in notes}
    for code, note_id, word in (("J18.9", "a", "pneumonia"), ("D64.9", "b", "anemia")):
        first = found[code].evidence[0]
        assert first.note_id == note_id
        assert texts[note_id][first.start : first.end] == word


@pytest.mark.parametrize("language", ["es", "de", ""])
def test_notes_of_other_languages_are_coded_without_complaint(coder: Coder, language: str) -> None:
    coded = coder.code(Note("n", "Paciente con diabetes.", language=language))
    assert "E11.9" in {code.code for code in coded.codes}


def test_the_time_for_a_note_grows_with_its_length_and_no_faster(coder: Coder) -> None:
    """Two megabytes take about ten times as long as a tenth of them: nothing in coding is quadratic."""

    def seconds(text: str) -> float:
        begin = time.process_time()
        assert coder.code(text).codes
        return time.process_time() - begin

    block = " ".join(make_encounter(number).notes[0].text for number in range(200))
    tenth = block * (200_000 // len(block))
    seconds(block)
    assert seconds(tenth * 10) < 25 * seconds(tenth) + 2.0


# --- decisions ------------------------------------------------------------------------------------------------------


def test_the_threshold_of_the_recipe_comes_first() -> None:
    strict = Coder.fit(make_corpus(), make_recipe(threshold=0.999))
    lax = Coder.fit(make_corpus(), make_recipe(threshold=0.001))
    assert (strict.threshold, lax.threshold) == (0.999, 0.001)
    for encounter in NEW[:3]:
        assert all(code.probability >= 0.999 for code in strict.code(encounter).assigned)
        assert all(code.assigned == (code.probability >= 0.001) for code in lax.code(encounter).codes)
        assert all(code.evidence for code in lax.code(encounter).assigned)


def test_abstains_where_nothing_reaches_the_floor(coder: Coder) -> None:
    shy = replace(coder, recipe=make_recipe(abstain_below=1.0), threshold=0.0)
    coded = shy.code("Known pneumonia.")
    assert coded.abstained
    assert coded.codes
    assert coded.assigned == ()
    bold = replace(coder, recipe=make_recipe(abstain_below=0.0))
    assert not bold.code("Known pneumonia.").abstained
    assert not bold.code("").abstained


# --- what it learns from --------------------------------------------------------------------------------------------


def test_an_uncoded_encounter_is_left_out(coder: Coder) -> None:
    uncoded = Encounter("u", (Note("u", "Known pneumonia."),), None, "patient-u")
    corpus = make_corpus()
    again = Coder.fit(corpus.with_encounters([uncoded, *corpus.encounters]), make_recipe())
    assert again.facts == coder.facts
    assert [again.code(encounter) for encounter in NEW] == [coder.code(encounter) for encounter in NEW]


def test_facts_count_what_it_learnt_from(coder: Coder) -> None:
    corpus, facts = make_corpus(), coder.facts
    golds = [code for encounter in corpus for code in encounter.code_set]
    assert (facts.encounters, facts.groups, facts.gold) == (24, 12, len(golds))
    assert facts.labels == len(set(golds)) == len(coder.label_counts)
    assert facts.once == sum(golds.count(code) == 1 for code in set(golds))
    assert coder.label_counts == {code: golds.count(code) for code in sorted(set(golds))}
    assert facts.candidate_recall > 0.9
    assert facts.f1 == pytest.approx(2 * facts.precision * facts.recall / (facts.precision + facts.recall))
    assert (facts.splits, facts.systems, facts.language) == (("train",), ("icd10cm",), "en")


def test_codes_seen_in_no_training_note_can_be_assigned() -> None:
    found = Coder.fit(make_corpus(12), make_recipe(code_tables=True))
    coded = found.code(
        "Known pneumonia. Acute pancreatitis without necrosis, unspecified cause. Gout of the left knee."
    )
    unseen = {code.code for code in coded.codes} - set(found.label_counts)
    assert unseen & {"K85.90", "M10.9", "M10.062"}
    for code in coded.codes:
        assert code.system == "icd10cm"
        assert code.description


def test_a_code_that_no_table_has_is_learnt_like_any_other() -> None:
    corpus = make_corpus()
    renamed = [
        replace(e, codes=tuple(replace(g, code="OWN-1", system="own") if g.code == "I10" else g for g in e.codes or ()))
        for e in corpus
    ]
    found = Coder.fit(Corpus("tiny", ("icd10cm", "own"), tuple(renamed)), make_recipe())
    coded = {code.code: code for code in found.code("Known hypertension.").codes}
    assert coded["OWN-1"].assigned
    assert coded["OWN-1"].description == ""


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_loaded_model_says_exactly_what_the_fitted_one_says(coder: Coder, folder: Path) -> None:
    loaded = Coder.from_pretrained(folder)
    assert [loaded.code(encounter) for encounter in NEW] == [coder.code(encounter) for encounter in NEW]
    assert loaded.recipe == coder.recipe
    assert loaded.facts == coder.facts
    assert loaded.threshold == coder.threshold
    assert loaded.label_counts == coder.label_counts
    assert list(loaded.knowledge) == list(coder.knowledge)


def test_a_loaded_model_saves_the_same_files(folder: Path, tmp_path: Path) -> None:
    Coder.from_pretrained(folder).save(tmp_path / "again")
    first, second = (json.loads((path / "config.json").read_text())["files"] for path in (folder, tmp_path / "again"))
    different = {name for name in first if not name.endswith(".npz") and first[name] != second.get(name)}
    assert set(first) == set(second)
    assert different == set()


def test_sources_come_back_in_the_order_of_their_features(coder: Coder, tmp_path: Path) -> None:
    """The ranker knows features by place: a model of procedures, whose sources are more, was garbled once."""
    own = coder.predictor
    assert isinstance(own, RankedCandidates)
    assert len(own.generator.sources) > 1
    turned = replace(own.generator, sources=own.generator.sources[::-1])
    other = replace(coder, predictor=replace(own, generator=turned))
    other.save(tmp_path / "model")
    loaded = Coder.from_pretrained(tmp_path / "model")
    assert [loaded.code(encounter) for encounter in NEW] == [other.code(encounter) for encounter in NEW]
    assert [loaded.code(encounter) for encounter in NEW] != [coder.code(encounter) for encounter in NEW]


def test_the_folder_holds_plain_files_only(folder: Path) -> None:
    assert {path.suffix for path in folder.iterdir()} <= {".npz", ".json", ".toml", ".md"}
    for path in folder.glob("*.npz"):
        assert b"pickle" not in path.read_bytes()[:2000]


def test_the_model_card_tells_what_it_was_trained_on(coder: Coder, folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# tiny\n")
    assert "24 encounters" in card
    assert f"micro-F1 {coder.facts.f1:.3f}" in card
    assert "mined evidence" in card


_HEAVY = """
import sys
from nosology.coder import Coder
coder = Coder.from_pretrained(sys.argv[1])
coded = coder.code("Known pneumonia. Treated for anemia at home.")
assert coded.assigned
print(sorted({name.split(".")[0] for name in sys.modules} & {"sklearn", "scipy", "lightgbm", "pandas", "torch"}))
"""


def test_coding_needs_no_heavy_package(folder: Path) -> None:
    assert run_python(_HEAVY, str(folder)) == "[]\n"


_FIT = """
import hashlib, json, sys
from tiny_corpus import make_corpus, make_encounter, make_recipe
from nosology.coder import Coder
coder = Coder.fit(make_corpus(16), make_recipe(), seed=int(sys.argv[1]))
coded = [code for n in range(50, 56) for code in coder.code(make_encounter(n)).codes]
found = [(code.code, code.probability, code.evidence, code.expressions) for code in coded]
coder.save(sys.argv[2])
files = json.load(open(sys.argv[2] + "/config.json"))["files"]
print(hashlib.sha256(repr((found, coder.threshold)).encode()).hexdigest())
print(sorted((name, record["sha256"]) for name, record in files.items() if name.endswith(".json")))
"""


def test_same_seed_same_model_whatever_the_order_of_hashes(tmp_path: Path) -> None:
    first = run_python(_FIT, "3", str(tmp_path / "a"), hash_seed=1)
    assert run_python(_FIT, "3", str(tmp_path / "b"), hash_seed=2) == first
    assert run_python(_FIT, "4", str(tmp_path / "c"), hash_seed=1).splitlines()[0] != first.splitlines()[0]


def test_a_fit_after_other_threads_have_run_does_not_hang(tmp_path: Path) -> None:
    """Its forked processes would wait for threads that OpenMP had in the parent."""
    script = (
        "import numpy as np\n"
        "from sklearn.ensemble import HistGradientBoostingClassifier\n"
        "HistGradientBoostingClassifier(max_iter=3).fit(np.arange(400.0).reshape(-1, 1), np.arange(400) % 2)\n"
        "from tiny_corpus import make_corpus, make_recipe\n"
        "from nosology.coder import Coder\n"
        "print(Coder.fit(make_corpus(8), make_recipe()).facts.encounters)\n"
    )
    assert run_python(script, threads="2") == "8\n"


def test_gold_codes_of_a_note_need_no_evidence_in_it() -> None:
    """Evidence between words, or of a note that the encounter has not, marks nothing and breaks nothing."""
    corpus = make_corpus(12)
    odd = replace(corpus.encounters[0], codes=(*(corpus.encounters[0].codes or ()), GoldCode("Z99.89", "icd10cm")))
    found = Coder.fit(corpus.with_encounters([odd, *corpus.encounters[1:]]), make_recipe())
    assert found.label_counts["Z99.89"] == 1


def test_two_encounters_of_one_id_are_refused() -> None:
    corpus = make_corpus(4)
    twice = corpus.with_encounters([*corpus.encounters, corpus.encounters[0]])
    with pytest.raises(CorpusError, match="two encounters have this id; give each its own"):
        Coder.fit(twice, make_recipe())
