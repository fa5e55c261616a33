"""The coder of kind "endpoint" against a real server process: as every predictor, and where the server fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import Serve, Served

from nosology.cli.main import run
from nosology.coder import Coder
from nosology.codes.titles import TitleTable
from nosology.config import (
    CalibrationConfig,
    EndpointConfig,
    EndpointModelConfig,
    KnowledgeConfig,
    Recipe,
    SimulatedConfig,
    TabularConfig,
    TrainingConfig,
    load_recipe,
    to_toml,
)
from nosology.endpoint.failures import EndpointError
from nosology.endpoint.passes import Shot, ask_to_choose, ask_to_verify, read_choice, read_verdicts
from nosology.endpoint.predictor import EndpointPredictor, score_of
from nosology.endpoint.quotes import find_quote
from nosology.endpoint.shots import ShotPool
from nosology.errors import ConfigError
from nosology.knowledge.stream import build_stream
from nosology.shipped_recipes import shipped_recipes
from nosology.types import Corpus, Encounter, GoldCode, Note
from predictor_contract import assert_keeps_contract
from tiny_corpus import make_encounter, training_set

TITLES = {
    "I10": "hypertension",
    "E11.9": "diabetes mellitus",
    "J18.9": "pneumonia",
    "D64.9": "anemia",
    "M81.0": "osteoporosis",
    "I50.9": "heart failure",
    "N18.9": "chronic kidney disease",
    "K35.80": "acute appendicitis",
}
CANARY = "mrssmithcanary"


def own_corpus(size: int) -> Corpus:
    """The tiny corpus, of a code system of its own."""
    made = (make_encounter(number) for number in range(size))
    encounters = tuple(
        replace(one, codes=tuple(replace(gold, system="own") for gold in one.codes or ())) for one in made
    )
    return Corpus("tiny", ("own",), encounters)


@pytest.fixture
def recipe_for(tmp_path: Path) -> Any:
    """Makes recipes that ask a server, with a small table of titles."""
    table = tmp_path / "titles.csv"
    rows = [f"{code},{title}," for code, title in TITLES.items()]
    table.write_text("\n".join(["code,description,parent", *rows]) + "\n", encoding="utf-8")

    def make(served: Served, shots: int = 0, calibrated: int = 12, characters: int = 24_000, **options: Any) -> Recipe:
        endpoint = EndpointConfig(
            **{"url": served.url, "cache": str(tmp_path / "cache"), "backoff_seconds": 0.0, "retries": 0} | options
        )
        model = EndpointModelConfig(
            shots=shots, calibration_encounters=calibrated, note_characters=characters, endpoint=endpoint
        )
        return Recipe(
            TabularConfig(path=str(tmp_path / "notes.csv"), system="own"),
            knowledge=KnowledgeConfig(code_table=table.name),
            calibration=CalibrationConfig(threshold=0.5, abstain_below=0.1),
            training=TrainingConfig(folds=2),
            model=model,
        )

    return make


NEW = [make_encounter(number) for number in range(50, 58)]


def predictor_of(coder: Coder) -> EndpointPredictor:
    assert isinstance(coder.predictor, EndpointPredictor)
    return coder.predictor


def test_it_codes_with_quotes_as_evidence(serve: Serve, recipe_for: Any) -> None:
    coder = Coder.fit(own_corpus(24), recipe_for(serve()))
    note = Note("n", f"{CANARY}. Known HYPERTENSION. No pneumonia. Treated for diabetes\nmellitus at home.")
    coded = coder.code(Encounter("e", (note,)))
    assigned = {code.code: [note.text[e.start : e.end] for e in code.evidence] for code in coded.assigned}
    assert assigned == {"I10": ["Known HYPERTENSION"], "E11.9": ["Treated for diabetes\nmellitus at home"]}
    below = {code.code: code.probability for code in coded.codes if not code.assigned}
    assert below["J18.9"] < min(code.probability for code in coded.assigned)


def test_scores_keep_the_contract(serve: Serve, recipe_for: Any) -> None:
    predictor = predictor_of(Coder.fit(own_corpus(24), recipe_for(serve())))
    assert_keeps_contract(predictor, NEW)


@pytest.mark.parametrize("shots", [0, 2])
def test_a_loaded_model_says_the_same_and_asks_nothing_twice(
    shots: int, serve: Serve, recipe_for: Any, tmp_path: Path
) -> None:
    served = serve()
    coder = Coder.fit(own_corpus(24), recipe_for(served, shots))
    coder.save(tmp_path / "model")
    said = [coder.code(one) for one in NEW]
    loaded = Coder.from_pretrained(tmp_path / "model")
    served.stop()
    assert [loaded.code(one) for one in NEW] == said
    assert predictor_of(loaded).client.usage.requests == 0
    assert loaded.training_remarks == coder.training_remarks
    assert {path.suffix for path in (tmp_path / "model").iterdir()} <= {".npz", ".json", ".toml", ".md"}


def test_zero_shot_models_hold_no_note(serve: Serve, recipe_for: Any, tmp_path: Path) -> None:
    made = own_corpus(24)
    notes = tuple(replace(one, notes=(replace(one.notes[0], text=f"{one.notes[0].text} {CANARY}"),)) for one in made)
    for shots in (0, 1):
        folder = tmp_path / f"model-{shots}"
        Coder.fit(made.with_encounters(notes), recipe_for(serve(), shots)).save(folder)
        held = [file.name for file in folder.iterdir() if file.suffix == ".json" and CANARY in file.read_text()]
        assert bool(held) == bool(shots)


def test_few_shots_are_those_most_like_the_note() -> None:
    texts = {"a": "fever and cough", "b": "broken hip after a fall", "c": "fever, cough and sputum"}
    encounters = [Encounter(name, (Note(name, text),), (GoldCode("I10", "own"),)) for name, text in texts.items()]
    uncoded = Encounter("d", (Note("d", "fever cough sputum"),), ())
    pool = ShotPool.fit(training_set([*encounters, uncoded]), characters=10)
    stream = build_stream(Encounter("q", (Note("q", "cough with sputum and fever"),)))
    assert [shot.text for shot in pool.nearest(stream, 2)] == ["fever and ", "fever, cou"]
    assert [shot.text for shot in pool.nearest(stream, 1)] == ["fever, cou"]
    assert pool.nearest(build_stream(Encounter("z", (Note("z", "zzyzx"),))), 3) == []
    assert "fever" not in repr(pool.nearest(stream, 1))


def test_examples_are_shown_with_their_quotes_and_lend_their_codes(serve: Serve, recipe_for: Any) -> None:
    served = serve()
    coder = Coder.fit(own_corpus(24), recipe_for(served, shots=1))
    before = len(served.requests)
    coder.code("Patient with infection of the lung. Diet as tolerated, walks daily.")
    question = served.requests[before]["body"]["messages"][1]["content"]
    assert question.startswith("Example 1, a note that people coded:\n")
    assert 'J18.9: pneumonia (quote: "infection of the lung")' in question
    listed = question.partition("Candidate codes:\n")[2].partition("\n\nClinical note:\n")[0]
    assert "- J18.9: pneumonia" in listed.splitlines()


@pytest.mark.parametrize("fault", ["500", "text", "400", "slow"])
def test_a_note_that_fails_is_marked_and_the_others_go_on(fault: str, serve: Serve, recipe_for: Any) -> None:
    served = serve({"when": CANARY, "do": fault})
    coder = Coder.fit(own_corpus(24), recipe_for(served, timeout_seconds=1.5))
    bad = Encounter("bad", (Note("bad", f"{CANARY}. Known hypertension."),))
    first, failed, last = coder.code_many([NEW[0], bad, NEW[1]])
    assert failed.codes == ()
    assert failed.abstained
    assert first.codes
    assert last.codes
    remark = coder.coding_remark or ""
    assert failed.failed
    assert remark.startswith(f"1 of 3 notes failed at the endpoint and have no codes: bad ({failed.failed}); ")
    assert (first.failed, last.failed) == ("", "")
    assert "run again to ask for them alone; endpoint: " in remark
    assert CANARY not in remark


def test_encounters_that_fail_are_left_out_of_calibration(serve: Serve, recipe_for: Any) -> None:
    faulty = serve(["ok", "ok", "500"])
    coder = Coder.fit(own_corpus(24), recipe_for(faulty, cache=str(faulty.log.parent / "other")))
    (remark, _) = coder.training_remarks
    assert remark.startswith("1 of 12 notes failed at the endpoint")
    assert coder.facts.f1 > 0.5


def test_note_after_note_that_fails_ends_the_run(serve: Serve, recipe_for: Any) -> None:
    served = serve(["500"] * 100)
    message = (
        "the endpoint failed on 3 notes in a row, the last time with 500 Internal Server Error; "
        "check the server and run again: what was answered is kept"
    )
    with pytest.raises(EndpointError) as caught:
        Coder.fit(own_corpus(24), recipe_for(served, failures_in_a_row=3))
    assert str(caught.value) == message
    with pytest.raises(EndpointError, match="failed on all notes: 500 Internal Server Error"):
        Coder.fit(own_corpus(24), recipe_for(served, failures_in_a_row=100))


def test_a_long_note_is_cut_and_told(serve: Serve, recipe_for: Any) -> None:
    served = serve()
    coder = Coder.fit(own_corpus(24), recipe_for(served, characters=1000))
    before = len(served.requests)
    coder.code("Known anemia. " + "Walks daily. " * 200 + "Known osteoporosis.")
    note = served.requests[before]["body"]["messages"][1]["content"].partition("\n\nClinical note:\n")[2]
    assert len(note) == 1000
    remark = coder.coding_remark or ""
    assert remark.startswith(
        "1 of 1 notes were longer than note_characters = 1000: the end was cut off, never the candidates; "
    )


def test_only_so_many_encounters_are_asked_about(serve: Serve, recipe_for: Any) -> None:
    served = serve()
    Coder.fit(own_corpus(24), recipe_for(served, calibrated=3))
    names = [request["body"]["response_format"]["json_schema"]["name"] for request in served.requests]
    assert names.count("choice") == 3
    assert names.count("verification") <= 3


def test_without_titles_there_is_nothing_to_choose_from(serve: Serve, recipe_for: Any) -> None:
    bare = replace(recipe_for(serve()), knowledge=KnowledgeConfig())
    with pytest.raises(ConfigError, match="chooses among codes with titles or terms, and no label has any"):
        Coder.fit(own_corpus(24), bare)


def test_from_the_command_line(
    serve: Serve, recipe_for: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = serve()
    made = own_corpus(24).encounters
    rows = [f'{one.encounter_id},"{one.notes[0].text}",{";".join(sorted(one.code_set))}' for one in made]
    (tmp_path / "notes.csv").write_text("\n".join(["id,text,codes", *rows]) + "\n", encoding="utf-8")
    recipe = recipe_for(served)
    corpus = TabularConfig(path=str(tmp_path / "notes.csv"), system="own", encounter_id="id")
    (tmp_path / "recipe.toml").write_text(to_toml(replace(recipe, corpus=corpus)), encoding="utf-8")
    out = str(tmp_path / "model")
    assert run(["train", str(tmp_path / "recipe.toml"), "--train-on", "all", "--out", out]) == 0
    assert "endpoint: " in capsys.readouterr().err
    (tmp_path / "note.txt").write_text("Known hypertension.", encoding="utf-8")
    assert run(["code", out, str(tmp_path / "note.txt"), "--json"]) == 0
    shown = capsys.readouterr()
    assert '"I10"' in shown.out
    assert "endpoint: 2 requests" in shown.err


# --- pieces ---------------------------------------------------------------------------------------------------------


def test_scores_follow_their_formula() -> None:
    assert score_of(1.0, None, False) == pytest.approx(0.025)
    assert score_of(1.0, 0.8, True) == pytest.approx(0.025 + 0.76)
    assert score_of(1.0, 0.8, False) == pytest.approx(0.025 + 0.38)


def test_a_refuted_code_scores_below_one_not_chosen_and_that_below_one_believed() -> None:
    for r in (0.5, 1.0, 50.0):
        rising = [score_of(r, b, True) for b in (0.0, 0.1, 0.49, None, 0.5, 1.0)]
        assert rising == sorted(set(rising))
        assert rising[-1] <= 1.0


def test_choices_are_candidates_each_once() -> None:
    pairs = [("I10", "a"), ("X", "b"), ("I10", "c")]
    answer = {"codes": [{"code": code, "quote": quote} for code, quote in pairs]}
    assert read_choice(["I10", "J18.9"])(answer) == {"I10": "a"}
    assert read_choice(["I10"])({"codes": []}) == {}


_BAD_ROWS: list[Any] = [{}, ["I10"], [{"code": "I10"}], [{"code": 1, "quote": ""}], None]


@pytest.mark.parametrize("answer", [None, [], {}, *({"codes": rows} for rows in _BAD_ROWS)])
def test_other_choices_are_refused(answer: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        read_choice(["I10"])(answer)


def test_verdicts_become_belief() -> None:
    rows = [("A", True, 100), ("B", True, 0), ("C", False, 100), ("D", False, 40), ("E", True, 250), ("X", True, 9)]
    answer = {"verdicts": [{"code": c, "documented": d, "confidence": n} for c, d, n in rows]}
    assert read_verdicts("ABCDEF")(answer) == {"A": 1.0, "B": 0.5, "C": 0.0, "D": 0.3, "E": 1.0, "F": 0.5}


@pytest.mark.parametrize("confidence", [None, "90", True, float("nan"), float("inf")])
def test_other_verdicts_are_refused(confidence: Any) -> None:
    answer = {"verdicts": [{"code": "A", "documented": True, "confidence": confidence}]}
    with pytest.raises((ValueError, TypeError, KeyError)):
        read_verdicts("A")(answer)


def test_a_quote_is_found_whatever_its_case_and_accents() -> None:
    notes = (Note("a", "Fiebre. Neumonía  basal,\nderecha."), Note("b", "Neumonia basal derecha"))
    stream = build_stream(Encounter("e", notes))
    assert find_quote(stream, "NEUMONIA basal derecha!") == [(1, 2, 3), (4, 5, 6)]
    assert find_quote(stream, "derecha neumonia") == []  # from one note into the next
    for quote in ("", "...", "neumonia derecha", "Fiebre " * 41):
        assert find_quote(stream, quote) == []


def test_messages_name_codes_without_titles_and_keep_quotes_on_one_line() -> None:
    titles = TitleTable([("A1", "own", "asthma")])
    system, user = ask_to_choose(["A1", "B2"], "text", titles, [Shot("old", (("A1", ""),))])
    assert (system.role, user.role) == ("system", "user")
    assert user.text == (
        "Example 1, a note that people coded:\nold\nIts codes:\n- A1: asthma\n\n"
        "Candidate codes:\n- A1: asthma\n- B2: B2\n\nClinical note:\ntext"
    )
    _, user = ask_to_verify({"A1": "short\n of breath"}, "text", titles)
    assert user.text == 'Chosen codes:\n- A1: asthma (quote: "short of breath")\n\nClinical note:\ntext'
    assert "text" not in repr(user)


def test_the_shipped_recipe_is_private_and_zero_shot(tmp_path: Path) -> None:
    recipe = load_recipe(shipped_recipes()["endpoint_zero_shot"])
    model = recipe.model
    assert isinstance(model, EndpointModelConfig)
    assert (model.shots, model.endpoint.allow_public) == (0, False)
    (tmp_path / "again.toml").write_text(to_toml(recipe), encoding="utf-8")
    assert load_recipe(tmp_path / "again.toml") == recipe


def test_term_lists_are_read_but_what_is_mined_is_not() -> None:
    model = EndpointModelConfig()
    Recipe(SimulatedConfig(), knowledge=KnowledgeConfig(term_lists=("terms.tsv",)), model=model)
    with pytest.raises(ConfigError, match=r"\[knowledge\]: read by the model 'ranker' only, not by 'endpoint'"):
        Recipe(SimulatedConfig(), knowledge=KnowledgeConfig(mined_evidence=False), model=model)


def test_no_answer_of_the_server_is_repeated_in_an_error(serve: Serve, recipe_for: Any) -> None:
    served = serve({"when": CANARY, "do": "401"})
    coder = Coder.fit(own_corpus(24), recipe_for(served))
    with pytest.raises(EndpointError) as caught:
        coder.code(f"{CANARY}. Known hypertension.")
    assert CANARY not in str(caught.value)
    assert json.dumps(str(caught.value)).isascii()
    assert np.isfinite(coder.threshold)
