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
    return Encounter(f"e{index}", (Note(f"e{index}", "text " * 9),), gold, f"a{index}", "dev")


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
) -> EvaluationReport:
    corpus = Corpus(name, ("icd10cm", "icd10pcs"), tuple(encounters))
    plan = BootstrapPlan(replicates=50)
    return evaluate(corpus, predictions, train_counts=train_counts, plan=plan, intervals=intervals)


def shown(report: EvaluationReport, width: int = 80) -> str:
    stream = io.StringIO()
    render_report(report, Console(file=stream, width=width, force_terminal=False))
    return stream.getvalue()


def row(text: str, first: str) -> list[str]:
    return next(line.removeprefix(first).split() for line in text.splitlines() if line.startswith(first + " "))


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_none_is_cut(width: int) -> None:
    text = shown(make(train_counts={"I10": 12345, "R52": 3}), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "…" not in text


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
