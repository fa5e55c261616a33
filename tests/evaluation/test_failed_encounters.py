"""Encounters that could not be coded: marked in every file of predictions, and counted."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from nosology.cli.note_json import json_line
from nosology.cli.report_view import render_report
from nosology.evaluation import evaluate, iter_predictions, read_predictions, write_predictions
from nosology.evaluation.alignment import judge_file, judge_predictions
from nosology.evaluation.report import EvaluationReport, evaluate_judged
from nosology.types import CodedEncounter, Encounter, GoldCode, Note, SuggestedCode

ENCOUNTERS = [
    Encounter(name, (Note(name, "Fever."),), (GoldCode("R50.9", "icd10cm"),)) for name in ("good", "silent", "bad")
]
CODED = [
    CodedEncounter("good", (SuggestedCode("R50.9", "", 0.9, True),)),
    CodedEncounter("silent", ()),
    CodedEncounter("bad", (), failed="500 Internal Server Error"),
]


def shown(report: EvaluationReport) -> str:
    page = StringIO()
    render_report(report, Console(file=page, width=120))
    return page.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_predictions(tmp_path / "p.jsonl", CODED)
    return tmp_path / "p.jsonl"


def test_the_reason_is_kept_in_the_line(file: Path) -> None:
    assert list(read_predictions(file)) == CODED
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line.get("failed") for line in lines] == [None, None, "500 Internal Server Error"]
    assert json.loads(json_line(CODED[2])) == {
        **{"id": "bad", "abstained": False, "failed": "500 Internal Server Error", "codes": []}
    }
    assert "failed" not in json.loads(json_line(CODED[1]))


@pytest.mark.parametrize("kept", [True, 1, None, ["x"], ""])
def test_what_other_systems_keep_there_is_passed_over(kept: object, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps({"id": "good", "codes": [], "failed": kept}) + "\n")
    assert [coded.failed for _, coded in iter_predictions(tmp_path / "p.jsonl")] == [""]
    assert judge_file(tmp_path / "p.jsonl", ENCOUNTERS[:1]).failed == frozenset()


def test_reports_count_them_however_they_are_read(file: Path) -> None:
    held = judge_predictions(ENCOUNTERS, CODED)
    streamed = judge_file(file, ENCOUNTERS)
    assert held.failed == streamed.failed == {"bad"}
    assert held.select_encounters(np.array([True, False, True])).failed == {"bad"}
    assert held.select_encounters(np.array([True, True, False])).failed == frozenset()
    for report in (evaluate(ENCOUNTERS, CODED), evaluate_judged(streamed, ENCOUNTERS)):
        assert (report.counts.encounters_failed, report.counts.encounters_without_assignment) == (1, 2)
        assert "Failed, and scored as without codes: 1 encounter; code again" in shown(report)
    assert "Failed" not in shown(evaluate(ENCOUNTERS[:2], CODED[:2]))
