"""The predictions file: written and read back, every fault named with file, line and id, nothing half done."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.errors import PredictionsError
from nosology.evaluation.predictions import (
    PredictionsWriter,
    check_coded,
    iter_predictions,
    read_predictions,
    write_predictions,
)
from nosology.types import CodedEncounter, Evidence, Span, SuggestedCode


def coded(encounter_id: str, *codes: tuple[str, float, bool]) -> CodedEncounter:
    return CodedEncounter(encounter_id, tuple(SuggestedCode(c, "", p, a) for c, p, a in codes))


@st.composite
def spans(draw: st.DrawFn) -> Evidence:
    cuts = sorted(draw(st.sets(st.integers(0, 9999), min_size=2, max_size=6)))
    parts = tuple(Span(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False))
    return Evidence(draw(st.text(min_size=1, max_size=5)), parts)


@st.composite
def coded_encounters(draw: st.DrawFn) -> CodedEncounter:
    codes = draw(st.lists(st.text(min_size=1, max_size=6), unique=True, max_size=5))
    probabilities = sorted((draw(st.floats(0, 1)) for _ in codes), reverse=True)
    suggested = (
        SuggestedCode(code, "", p, draw(st.booleans()), tuple(draw(st.lists(spans(), max_size=2))))
        for code, p in zip(codes, probabilities, strict=True)
    )
    return CodedEncounter(draw(st.text(min_size=1, max_size=8)), tuple(suggested), failed=draw(st.text(max_size=3)))


@given(st.lists(coded_encounters(), min_size=1, max_size=4, unique_by=lambda c: c.encounter_id), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, encounters: list[CodedEncounter], compressed: bool
) -> None:
    path = tmp_path_factory.mktemp("p") / ("p.jsonl.gz" if compressed else "p.jsonl")
    assert write_predictions(path, iter(encounters)) == len(encounters)
    read = read_predictions(path)
    assert list(read) == encounters
    assert read.lines == tuple(range(1, len(encounters) + 1))


def test_layout_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    evidence = (Evidence("n1", (Span(3, 9),)), Evidence("n2", (Span(0, 4), Span(10, 12))))
    write_predictions(path, [CodedEncounter("é1", (SuggestedCode("I10", "icd10cm", 0.5, True, evidence, ("hta",)),))])
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "id": "é1",
        "codes": [
            {
                "code": "I10",
                "probability": 0.5,
                "assigned": True,
                "evidence": [
                    {"note_id": "n1", "start": 3, "end": 9},
                    {"note_id": "n2", "start": 0, "end": 12, "parts": [[0, 4], [10, 12]]},
                ],
            }
        ],
    }


def entry(**changes: object) -> dict[str, object]:
    return {"code": "I10", "probability": 0.5, "assigned": True, "evidence": []} | changes


def line_with(*codes: dict[str, object]) -> str:
    return json.dumps({"id": "e2", "codes": list(codes)})


def span(**changes: object) -> dict[str, object]:
    return entry(evidence=[{"note_id": "n", "start": 1, "end": 5} | changes])


FAULTS = [
    ("{", "", "not JSON; expected one JSON object a line"),
    ("[1]", "", "a line must be a JSON object with the keys id, codes"),
    ("{}", "", "a line lacks 'id', 'codes'"),
    ('{"id": "e2"}', "", "a line lacks 'codes'"),
    ('{"id": 3, "codes": []}', "", "'id' must be a string that is not empty"),
    ('{"id": "e2", "codes": {}}', " [e2]", "'codes' must be a list"),
    ('{"id": "e1", "codes": []}', " [e1]", "duplicate id, first on line 1; keep one"),
    (line_with({"code": "I10"}), " [e2]", "an entry of 'codes' lacks 'probability', 'assigned'"),
    (line_with(entry(code="")), " [e2]", "'code' must be a string that is not empty"),
    (line_with(entry(probability="0.5")), " [e2]", "probability of code 'I10' is not a number"),
    (line_with(entry(probability=True)), " [e2]", "probability of code 'I10' is not a number"),
    (
        line_with(entry(probability=float("nan"))),
        " [e2]",
        "probability of code 'I10' is nan; it must lie in [0, 1]",
    ),
    (
        line_with(entry(probability=float("inf"))),
        " [e2]",
        "probability of code 'I10' is inf; it must lie in [0, 1]",
    ),
    (line_with(entry(probability=1.5)), " [e2]", "probability of code 'I10' is 1.5; it must lie in [0, 1]"),
    (line_with(entry(probability=-0.1)), " [e2]", "probability of code 'I10' is -0.1; it must lie in [0, 1]"),
    (line_with(entry(probability=10**400)), " [e2]", "probability of code 'I10' is inf; it must lie in [0, 1]"),
    (line_with(entry(assigned=1)), " [e2]", "'assigned' of code 'I10' is neither true nor false"),
    (line_with(entry(), entry()), " [e2]", "code 'I10' is listed twice; list each code once"),
    (
        line_with(entry(), entry(code="R52", probability=0.6)),
        " [e2]",
        "code 'R52' is more probable than the one before it; list the most probable first",
    ),
    (line_with(entry(evidence={})), " [e2]", "evidence of code 'I10': 'evidence' must be a list"),
    (
        line_with(entry(evidence=[{"start": 1, "end": 2}])),
        " [e2]",
        "evidence of code 'I10': a span lacks 'note_id'",
    ),
    (line_with(span(start=-1)), " [e2]", "evidence of code 'I10': 'start' and 'end' must be whole numbers, 0 or more"),
    (line_with(span(end=2.5)), " [e2]", "evidence of code 'I10': 'start' and 'end' must be whole numbers, 0 or more"),
    (line_with(span(end=1)), " [e2]", "evidence of code 'I10': 'start' (1) must be below 'end' (1)"),
    (line_with(span(parts=[])), " [e2]", "evidence of code 'I10': 'parts' must begin at 'start' and finish at 'end'"),
    (
        line_with(span(parts=[[1, 2], [3, 4]])),
        " [e2]",
        "evidence of code 'I10': 'parts' must begin at 'start' and finish at 'end'",
    ),
    (
        line_with(span(parts=[[1, 4], [3, 5]])),
        " [e2]",
        "evidence of code 'I10': 'parts' must be sorted and must not overlap",
    ),
    (
        line_with(span(parts=[[1, 3, 5]])),
        " [e2]",
        "evidence of code 'I10': an entry of 'parts' must be [start, end]",
    ),
    (line_with(span(parts=[7])), " [e2]", "evidence of code 'I10': an entry of 'parts' must be a list"),
]


@pytest.mark.parametrize(("line", "where", "problem"), FAULTS)
def test_a_faulty_line_is_named(tmp_path: Path, line: str, where: str, problem: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "e1", "codes": []}\n\n' + line + "\n", encoding="utf-8")
    with pytest.raises(PredictionsError) as caught:
        read_predictions(path)
    assert str(caught.value) == f"{path}:3{where}: {problem}"
    assert "\n" not in str(caught.value)


def test_a_text_in_the_wrong_place_is_not_quoted(tmp_path: Path) -> None:
    canary = "the patient's canary"
    path = tmp_path / "p.jsonl"
    for bad in (canary, json.dumps(canary), json.dumps({"id": "e", "codes": [{"note": canary}]}), f'{{"id": "{canary}'):
        path.write_text(bad, encoding="utf-8")
        with pytest.raises(PredictionsError) as caught:
            read_predictions(path)
        assert canary not in str(caught.value)


def test_missing_empty_undecodable_and_truncated_files(tmp_path: Path) -> None:
    missing, empty, latin, cut = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl.gz"))
    empty.write_bytes(b"")
    latin.write_bytes(b'{"id": "e1", "codes": []}\n{"id": "\xe9", "codes": []}\n')
    cut.write_bytes(gzip.compress(b'{"id": "e1", "codes": []}\n' * 50)[:-12])
    messages = {}
    for path in (missing, empty, latin, cut, tmp_path):
        with pytest.raises(PredictionsError) as caught:
            read_predictions(path)
        messages[path] = str(caught.value)
    assert messages[missing] == f"{missing}: no such file; write one with 'nosology evaluate --predictions'"
    assert messages[empty] == f"{empty}: the file is empty; expected one JSON object a line"
    assert "not UTF-8; save the file as UTF-8" in messages[latin]
    assert messages[cut].startswith(f"{cut}")
    assert messages[tmp_path] == f"{tmp_path}: cannot be read (Is a directory)"


def test_blank_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('\n{"id": "a", "codes": []}\n\n{"id": "b", "codes": []}\n', encoding="utf-8")
    assert [(line, c.encounter_id) for line, c in iter_predictions(path)] == [(2, "a"), (4, "b")]


def test_reading_is_lazy(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "a", "codes": []}\nnot json\n', encoding="utf-8")
    stream = iter_predictions(path)
    assert next(stream)[1].encounter_id == "a"
    with pytest.raises(PredictionsError, match=r":2: not JSON"):
        next(stream)


class Interrupted(BaseException):
    """Stands for a key press or a kill."""


@pytest.mark.parametrize("failure", [Interrupted, ValueError])
def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "p.jsonl"
    write_predictions(path, [coded("old")])
    before = path.read_bytes()

    def write_and_fail() -> None:
        with PredictionsWriter(path) as writer:
            writer.write(coded("new", ("I10", 0.9, True)))
            assert path.read_bytes() == before
            raise failure

    with pytest.raises(failure):
        write_and_fail()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.jsonl"]


def test_the_writer_refuses_what_the_reader_would(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with pytest.raises(PredictionsError) as caught:
        write_predictions(path, [coded("a", ("I10", 0.2, False), ("R52", 0.9, True))])
    assert str(caught.value) == (
        f"{path} [a]: code 'R52' is more probable than the one before it; list the most probable first"
    )
    with pytest.raises(PredictionsError, match=r"\[a\]: duplicate id; write it once"):
        write_predictions(path, [coded("a"), coded("a")])
    assert list(tmp_path.iterdir()) == []


def test_writing_where_nothing_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "p.jsonl"
    with pytest.raises(PredictionsError) as caught:
        write_predictions(path, [coded("a")])
    assert str(caught.value) == f"{path}: cannot be written (No such file or directory)"
    with pytest.raises(PredictionsError, match="the writer is closed"):
        PredictionsWriter(tmp_path / "p.jsonl").write(coded("a"))


def test_equal_probabilities_may_come_in_any_order() -> None:
    check_coded(coded("a", ("R52", 0.5, True), ("I10", 0.5, False)))
