"""Predictions files read line by line: the same judgements as from objects, and every fault with its file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.errors import CorpusError, PredictionsError
from nosology.evaluation import (
    PredictionsHeader,
    evaluate_judged,
    iter_predictions,
    judge_file,
    judge_predictions,
    read_header,
    read_predictions,
    write_predictions,
)
from nosology.evaluation.prediction_lines import parse_line, parse_scores
from nosology.types import CodedEncounter, Encounter, GoldCode, Note, SuggestedCode

CODES = ["I10", "R52", "E11.9", "J45", "Z99"]


def encounter(index: int, *codes: str) -> Encounter:
    return Encounter(f"e{index}", (Note(f"n{index}", "text"),), tuple(GoldCode(c, "icd10cm") for c in codes))


ENCOUNTERS = [encounter(0, "I10", "R52"), encounter(1), encounter(2, "J45")]


def line(key: object, *codes: tuple[object, object, object]) -> str:
    rows = [{"code": c, "probability": p, "assigned": a} for c, p, a in codes]
    return json.dumps({"id": key, "codes": rows})


GOOD = [
    line("e2", ("J45", 0.9, True), ("I10", 0.1, False)),
    line("e0", ("I10", 1, True), ("R52", 0.25, False), ("Z99", 0.25, False)),
    line("e1"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "p.jsonl"


def put(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def message(path: Path, **options: object) -> str:
    with pytest.raises(PredictionsError) as caught:
        judge_file(path, ENCOUNTERS, **options)  # type: ignore[arg-type]
    return str(caught.value).replace(str(path), "FILE")


def test_it_judges_as_objects_are_judged(path: Path) -> None:
    put(path, *GOOD)
    counts = {"E11.9": 4, "I10": 2}
    streamed = judge_file(path, ENCOUNTERS, train_counts=counts)
    whole = judge_predictions(ENCOUNTERS, read_predictions(path), train_counts=counts)
    assert streamed.encounter_ids == whole.encounter_ids
    assert set(streamed.labels) == set(whole.labels)
    figures = [evaluate_judged(judged, intervals=False, train_counts=counts).figures() for judged in (streamed, whole)]
    assert figures[0] == pytest.approx(figures[1])


codes_of_a_line = st.lists(
    st.tuples(st.sampled_from(CODES), st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.booleans()),
    max_size=5,
    unique_by=lambda row: row[0],
)


@given(codes_of_a_line)
@settings(max_examples=100, deadline=None)
def test_the_fast_way_reads_a_line_as_the_slow_one_does(rows: list[tuple[str, float, bool]]) -> None:
    text = line("e", *sorted(rows, key=lambda row: -row[1]))
    fast, slow = parse_scores(text, "f", 3), parse_line(text, "f", 3, {})
    assert fast.encounter_id == slow.encounter_id
    assert fast.codes == [one.code for one in slow.codes]
    assert fast.probabilities.tolist() == [one.probability for one in slow.codes]
    assert fast.assigned.tolist() == [one.assigned for one in slow.codes]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("{", "FILE:2: not JSON; expected one JSON object a line"),
        ("[]", "FILE:2: a line must be a JSON object with the keys id, codes"),
        ('{"id": "e0"}', "FILE:2: a line lacks 'codes'"),
        (line(3), "FILE:2: 'id' must be a string that is not empty"),
        (line("e0", ("I10", float("nan"), True)), "probability of code 'I10' is nan; it must lie in [0, 1]"),
        (line("e0", ("I10", float("inf"), True)), "probability of code 'I10' is inf; it must lie in [0, 1]"),
        (line("e0", ("I10", -0.5, True)), "FILE:2 [e0]: probability of code 'I10' is -0.5; it must lie in [0, 1]"),
        (line("e0", ("I10", 10**400, True)), "probability of code 'I10' is inf; it must lie in [0, 1]"),
        (line("e0", ("I10", True, True)), "FILE:2 [e0]: probability of code 'I10' is not a number"),
        (line("e0", ("I10", "0.5", True)), "FILE:2 [e0]: probability of code 'I10' is not a number"),
        (line("e0", ("I10", 0.5, 1)), "FILE:2 [e0]: 'assigned' of code 'I10' is neither true nor false"),
        (line("e0", ("", 0.5, True)), "FILE:2 [e0]: 'code' must be a string that is not empty"),
        (line("e0", (10, 0.5, True)), "FILE:2 [e0]: 'code' must be a string that is not empty"),
        (line("e0", ("I10", 0.5, True), ("I10", 0.4, True)), "FILE:2 [e0]: code 'I10' is listed twice"),
        (line("e0", ("I10", 0.4, True), ("R52", 0.5, True)), "code 'R52' is more probable than the one before it"),
        (line("e2"), "FILE:2 [e2]: duplicate id, first on line 1; keep one"),
        (line("e9"), "FILE:2 [e9]: no such encounter in the split evaluated; evaluate the split that was coded"),
    ],
)
def test_a_bad_line_is_told_with_its_place(path: Path, bad: str, told: str) -> None:
    assert told in message(put(path, GOOD[0], bad, GOOD[2]))


def test_gold_without_predictions_and_the_reverse(path: Path) -> None:
    put(path, GOOD[0], GOOD[1])
    assert message(path) == (
        "FILE [e1]: no predictions for 1 of 3 encounters, this one first; "
        "code the whole split (an encounter without candidates is a line with an empty list)"
    )
    put(path, *GOOD, line("e7"))
    assert message(path).startswith("FILE:4 [e7]: no such encounter")
    assert judge_file(path, ENCOUNTERS, others=["e7"]).n_encounters == 3
    assert message(put(path, "")).startswith("FILE [e0]: no predictions for 3 of 3")
    assert message(path.with_name("none")).endswith("no such file; write one with 'nosology evaluate --predictions'")
    path.write_bytes(b"")
    assert message(path) == "FILE: the file is empty; expected one JSON object a line"


def test_an_empty_split_and_one_that_nobody_coded(path: Path) -> None:
    put(path, *GOOD)
    with pytest.raises(CorpusError, match="nothing to evaluate: there is no encounter; choose a split that has some"):
        judge_file(path, [])
    with pytest.raises(CorpusError, match=r"\[e5\]: no gold codes to evaluate against \(1 of 1 encounters have none\)"):
        judge_file(path, [Encounter("e5", (Note("n", "text"),))])


def test_unknown_codes(path: Path) -> None:
    put(path, *GOOD, "")
    known = {"Z99"}.__contains__
    assert judge_file(path, ENCOUNTERS, is_known=known).n_labels == 4
    put(path, GOOD[0], line("e0", ("r52", 0.4, False)), GOOD[2])
    assert message(path, is_known=known) == (
        "FILE:2 [e0]: unknown code 'r52': no label of the corpus and in no table of its code systems; "
        "did you mean 'R52'?"
    )
    put(path, GOOD[0], line("e0", ("a patient with words", 0.4, False)), GOOD[2])
    assert "unknown code a text of 20 characters" in message(path, is_known=known)
    assert judge_file(path, ENCOUNTERS).n_labels == 4  # no table, no check


def test_the_header_says_where_predictions_come_from(path: Path) -> None:
    header = PredictionsHeader("ours", "codiesp", ("dev",), ("dev", "train"), "one threshold (0.5)")
    coded = [CodedEncounter(e.encounter_id, (SuggestedCode("I10", "", 0.5, True),)) for e in ENCOUNTERS]
    for name in ("p.jsonl", "p.jsonl.gz"):
        place = path.with_name(name)
        assert write_predictions(place, coded, header) == 3
        assert read_header(place) == header
        assert read_predictions(place).header == header
        assert [number for number, _ in iter_predictions(place)] == [2, 3, 4]
        assert judge_file(place, ENCOUNTERS).n_encounters == 3
    assert gzip.decompress(path.with_name("p.jsonl.gz").read_bytes()) == path.read_bytes()
    write_predictions(path, coded)
    assert read_header(path) is None
    assert read_predictions(path).header is None


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (
            '{"nosology_predictions": 2}',
            "FILE:1: predictions file of version 2; this nosology reads version 1; "
            "write the file again or use the nosology that wrote it",
        ),
        ('{"nosology_predictions": "x"}', 'FILE:1: predictions file of version "x"; this nosology reads version 1; '),
        ('{"nosology_predictions": 1, "splits": "dev"}', "FILE:1: header: 'splits' must be a list"),
        ('{"nosology_predictions": 1, "tuned_on": [3]}', "FILE:1: header: 'an entry of tuned_on' must be a string"),
        ('{"nosology_predictions": 1, "system": 3}', "FILE:1: header: 'system' must be a string"),
    ],
)
def test_headers_of_other_versions_and_broken_ones(path: Path, first: str, told: str) -> None:
    put(path, first, *GOOD)
    assert message(path).startswith(told)
    with pytest.raises(PredictionsError):
        read_predictions(path)


def test_a_header_stands_first_or_not_at_all(path: Path) -> None:
    put(path, GOOD[0], '{"nosology_predictions": 1}', GOOD[1])
    assert message(path) == "FILE:2: a line lacks 'id', 'codes'"


def test_an_id_may_mention_the_mark_of_a_header(path: Path) -> None:
    chosen = [Encounter("nosology_predictions", (Note("n", "text"),), ())]
    judged = judge_file(put(path, line("nosology_predictions", ("I10", 0.5, True))), chosen)
    assert np.array_equal(judged.assigned, [True])
