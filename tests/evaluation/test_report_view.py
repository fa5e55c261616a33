"""The terminal view of a report: fits the terminal, shows the report's own numbers, survives the smallest reports."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console

from nosology.cli.report_view import render_report
from nosology.evaluation import BootstrapPlan, EvaluationReport, evaluate
from nosology.types import CodedEncounter, Corpus, Encounter, Evidence, GoldCode, Note, Span, SuggestedCode

SPAN = (Evidence("e0", (Span(0, 4),)),)


def encounter(index: int, *codes: str) -> Encounter:
    gold = tuple(GoldCode(code, "icd10cm" if "." in code or len(code) == 3 else "icd10pcs", SPAN) for code in codes)
    service = {"service": "cardiology"} if index else {}
    return Encounter(f"e{index}", (Note(f"e{index}", "text " * (index + 1)),), gold, f"a{index}", "dev", service)


def coded(index: int, *codes: tuple[str, float]) -> CodedEncounter:
    return CodedEncounter(f"e{index}", tuple(SuggestedCode(c, "", p, p >= 0.5, SPAN) for c, p in codes))


ENCOUNTERS = [encounter(0, "I10", "BW24"), encounter(1, "R52", "E11.9"), encounter(2, "J45")]
PREDICTIONS = [
    coded(0, ("I10", 0.93), ("BW24", 0.71), ("R52", 0.2)),
    coded(1, ("R52", 0.64), ("I10", 0.55), ("E11.9", 0.31)),
    coded(2),
]


def make(
    encounters: Sequence[Encounter] = ENCOUNTERS,
    predictions: Sequence[CodedEncounter] = PREDICTIONS,
    *,
    name: str = "codiesp",
    train_counts: Mapping[str, int] | None = None,
    intervals: bool = True,
    by: Sequence[str] = ("band",),
    hierarchy: bool = False,
) -> EvaluationReport:
    corpus = Corpus(name, ("icd10cm", "icd10pcs"), tuple(encounters))
    plan = BootstrapPlan(replicates=50)
    chosen = [one for one in by if one != "band" or train_counts is not None]
    return evaluate(
        corpus, predictions, train_counts=train_counts, plan=plan, intervals=intervals, by=chosen, hierarchy=hierarchy
    )


def shown(report: EvaluationReport, width: int = 80) -> str:
    stream = io.StringIO()
    render_report(report, Console(file=stream, width=width, force_terminal=False), reliability=True)
    return stream.getvalue()


def row(text: str, first: str) -> list[str]:
    return next(line.removeprefix(first).split() for line in text.splitlines() if line.startswith(first + " "))


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_none_is_cut(width: int) -> None:
    by = ("band", "system", "length", "service", "chapter")
    text = shown(make(train_counts={"I10": 12345, "R52": 3}, by=by, hierarchy=True), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    cut = [line.split("…")[0] for line in text.splitlines() if "…" in line]
    assert all("-" in title for title in cut)  # titles of chapters may be shortened, numbers may not


def test_the_numbers_are_those_of_the_report() -> None:
    report = make(train_counts={"I10": 12, "R52": 3})
    text = shown(report)
    micro, interval = report.assignment.micro, report.intervals["micro_f1"]
    assert row(text, "micro") == [
        *(f"{value:.3f}" for value in (micro.precision, micro.recall, micro.f1)),
        f"{interval.low:.3f}", "to", f"{interval.high:.3f}",
    ]  # fmt: skip
    assert row(text, "MAP")[0] == f"{report.ranking.map:.3f}"
    assert row(text, "recall")[3] == f"{report.ranking.candidate_recall:.3f}"
    assert row(text, "never")[:3] == ["3", "3", "1"]  # BW24, E11.9, J45; one assigned
    assert row(text, "2-4")[3:] == ["1.000", "1.000", "1.000", "1.000"]
    assert row(text, "1")[3:] == ["-", "-", "-", "-"]
    assert report.codiesp is not None
    assert report.codiesp.diagnoses is not None
    assert row(text, "D, diagnoses")[0] == f"{report.codiesp.diagnoses.mean_average_precision:.3f}"
    assert row(text, "0.9 to 1.0") == ["1", "93.0", "%", "100.0", "%"]
    assert "3 encounters of 3 articles" in text


def test_parts_that_a_report_lacks_are_not_shown() -> None:
    text = shown(make(name="tabular", intervals=False))
    assert "CodiEsp" not in text
    assert "seen in training" not in text
    assert "interval" not in text.lower()
    assert "3 encounters of 3 groups" in text


def test_nothing_is_shown_that_was_not_asked_for() -> None:
    stream = io.StringIO()
    render_report(make(train_counts={"I10": 12}, by=()), Console(file=stream, width=80, force_terminal=False))
    text = stream.getvalue()
    for title in ("By how often", "By chapter", "Wrong codes", "Probabilities"):
        assert title not in text
    assert len(text.splitlines()) <= 45  # about one screen


def test_parts_and_hierarchy_when_asked_for() -> None:
    text = shown(make(train_counts={"I10": 12}, by=("system", "length", "service", "chapter"), hierarchy=True))
    assert row(text, "diagnoses (icd10cm)")[:4] == ["4", "0.667", "0.500", "0.571"]
    assert row(text, "procedures (icd10pcs)")[:4] == ["1", "1.000", "1.000", "1.000"]
    assert row(text, "cardiology")[:1] == ["2"]
    assert row(text, "unknown")[:1] == ["1"]
    assert row(text, "1 to 1 words")[0] == "1"
    assert row(text, "I00-I99")[-8] == "1"
    assert row(text, "other chapter than any gold code")[:3] == ["1", "100.0", "%"]
    assert "with credit for ancestors: P " in text


def test_how_codes_were_assigned_is_told() -> None:
    report = evaluate(ENCOUNTERS, PREDICTIONS, decisions="one threshold (0.500), tuned on dev")
    assert "Codes assigned by one threshold (0.500), tuned on dev." in shown(report)


def test_wide_terminals_get_bars() -> None:
    report = make(train_counts={"I10": 12})
    assert "█" not in shown(report, 80)
    assert "█" in shown(report, 120)


def test_the_smallest_report_is_shown() -> None:
    text = shown(make([encounter(0)], [coded(0)], train_counts={}))
    assert "1 encounter of 1 article" in text
    assert row(text, "micro")[:3] == ["0.000", "0.000", "0.000"]


def test_it_prints_to_standard_output_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    render_report(make())
    assert "Assigned codes" in capsys.readouterr().out
