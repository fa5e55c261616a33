"""An evaluation report as tables for a terminal: what the coder assigns, how it ranks, and where it is weak.

Everything fits 80 columns; wider terminals get bars. What was not asked for is left out: scores by band, chapter and
the like, the hierarchy, the reliability of probabilities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from nosology.cli.report_cells import bar, interval, nested_bar, percent, plain_table, plural, score
from nosology.cli.report_parts import hierarchy_tables, parts_table

if TYPE_CHECKING:
    from nosology.evaluation.area_metrics import Bounded
    from nosology.evaluation.bands import BandScores
    from nosology.evaluation.codiesp import RankedScores
    from nosology.evaluation.metrics import Scores
    from nosology.evaluation.report import EvaluationReport
    from nosology.evaluation.uncertainty import Interval

_WIDE = 100  # columns from which bars are shown
_SHOWN_CUTOFFS = (5, 8, 15)
_CORPUS_TITLES = {"codiesp": "CodiEsp", "simulated": "Simulated notes"}
_GROUP_NOUNS = {"codiesp": "article", "simulated": "patient"}
_SYSTEM_TITLES = {"icd10cm": "diagnoses", "icd10pcs": "procedures"}
_MACRO_TITLES = {
    "labels_in_split": "macro, codes in the split",
    "labels_seen_or_predicted": "macro, codes seen or assigned",
    "all_labels": "macro, all codes",
    "caml": "macro, as CAML",
}


def render_report(report: EvaluationReport, console: Console | None = None, *, reliability: bool = False) -> None:
    """Print a report.

    Args:
        report: what ``evaluate`` returned; its parts and hierarchy are shown if it has them.
        console: where to, standard output by default; its width decides how much is shown.
        reliability: also show whether probabilities mean what they say.
    """
    console = console or Console()
    wide = console.width >= _WIDE
    parts: list[RenderableType] = [_assigned(report), _ranking(report)]
    if report.codiesp is not None:
        parts.append(_codiesp(report))
    for by in dict.fromkeys(part.by for part in report.parts):
        if by == "band" and report.bands is not None:
            parts.append(_bands(report.bands, wide=wide))
        else:
            chosen = [part for part in report.parts if part.by == by]
            parts.append(parts_table(by, chosen, _level(report), console.width))
    if report.hierarchy is not None:
        parts += hierarchy_tables(report.hierarchy, console.width)
    parts += [_reliability(report, wide=wide)] if reliability else []
    parts.append(_footnote(report))
    console.print(_summary(report))
    for part in parts:
        console.print()
        console.print(part)


def _summary(report: EvaluationReport) -> Panel:
    counts = report.counts
    line = Text.assemble(
        ("micro-F1 ", "dim"), (score(report.assignment.micro.f1), "bold green"), "   ",
        ("MAP ", "dim"), (score(report.ranking.map), "bold green"), "   ",
        ("found among candidates ", "dim"), (percent(report.ranking.candidate_recall), "bold"),
    )  # fmt: skip
    size = f"{plural(counts.encounters, 'encounter')} of {plural(counts.groups, _group_noun(report))}"
    listed = plural(counts.candidates, "candidate")
    pairs = f"{plural(counts.gold, 'gold code')}, {counts.assigned:,} assigned, {listed}"
    return Panel(Group(line, Text(f"{size}\n{pairs}", style="dim")), title=_title(report), title_align="left")


def _title(report: EvaluationReport) -> Text:
    corpus = _CORPUS_TITLES.get(report.corpus, report.corpus) or "Evaluation"
    return Text(" · ".join([corpus, *([", ".join(report.splits)] if report.splits else [])]), style="bold")


def _assigned(report: EvaluationReport) -> Table:
    table = plain_table("Assigned codes", "average", "P", "R", "F1", _level(report))
    assignment = report.assignment
    _add_scores(table, "micro", assignment.micro, report.intervals.get("micro_f1"), style="bold")
    for name, title in _MACRO_TITLES.items():
        _add_scores(table, title, assignment.macro[name], report.intervals.get(f"macro_f1_{name}"))
    _add_scores(table, "weighted by code", assignment.weighted, None)
    _add_scores(table, "per encounter", assignment.sample, None)
    table.caption = (
        f"accuracy (Jaccard) micro {score(assignment.micro_accuracy)}, macro {score(assignment.macro_accuracy)} · "
        f"exact match {percent(assignment.exact_match)} · encounters with a code {percent(assignment.coverage)}"
    )
    return table


def _add_scores(table: Table, name: str, scores: Scores, found: Interval | None, style: str = "") -> None:
    row = (name, score(scores.precision), score(scores.recall), score(scores.f1), interval(found))
    table.add_row(*row, style=style)


def _ranking(report: EvaluationReport) -> Table:
    ranking = report.ranking
    cutoffs = _SHOWN_CUTOFFS
    table = plain_table("Ranking of candidates", "", *(f"@{k}" for k in cutoffs), "whole list", _level(report))
    precision, recall, ndcg = ranking.precision_at, ranking.recall_at, ranking.ndcg_at
    found = report.intervals.get("candidate_recall")
    none = [""] * len(cutoffs)
    table.add_row("MAP", *none, score(ranking.map), interval(report.intervals.get("map")), style="bold")
    table.add_row("precision", *(score(precision[k]) for k in cutoffs), "", "")
    table.add_row("recall", *(score(recall[k]) for k in cutoffs), score(ranking.candidate_recall), interval(found))
    table.add_row("nDCG", *(score(ndcg[k]) for k in cutoffs), "", "")
    table.add_row("R-precision", *none, score(ranking.r_precision), "")
    areas = f"AUC micro {_area(ranking.micro_auc)}, macro {_area(ranking.macro_auc)}"
    unlisted = "; codes not listed count as below all listed ones, in brackets what is possible"
    table.caption = areas + (unlisted if "(" in areas else "")
    return table


def _area(area: Bounded) -> str:
    possible = f" ({area.low:.3f} to {area.high:.3f})" if area.high - area.low >= 0.0005 else ""
    return score(area.value) + possible


def _bands(bands: tuple[BandScores, ...], *, wide: bool) -> Table:
    headings = ["seen in training", "codes", "gold", "assigned", "P", "R", "F1", "found"]
    table = plain_table("By how often a code was seen in training", *headings)
    if wide:
        table.add_column("R within found", justify="left", no_wrap=True)
    for band in bands:
        scores = band.micro
        numbers = [f"{band.labels:,}", f"{band.gold:,}", f"{band.assigned:,}"]
        measured = [score(scores.precision) if band.assigned else "-"]
        measured += [score(value) if band.gold else "-" for value in (scores.recall, scores.f1, band.candidate_recall)]
        bar = [nested_bar(scores.recall, band.candidate_recall)] if wide else []
        table.add_row("never" if band.band == "0" else band.band, *numbers, *measured, *bar)
    table.caption = "P, R, F1 pooled over the codes of a row; found: share of gold codes among the candidates"
    return table


def _codiesp(report: EvaluationReport) -> Table:
    table = plain_table("CodiEsp, official definitions", "track", "MAP", "MAP as scripted", "P", "R", "F1")
    scores = report.codiesp
    if scores is None:
        return table
    for name, track in (("D, diagnoses", scores.diagnoses), ("P, procedures", scores.procedures)):
        if track is not None:
            table.add_row(name, *_track_cells(track))
    if scores.explained is not None:
        systems = " and ".join(_SYSTEM_TITLES[system] for system in scores.explained_systems)
        found = scores.explained
        table.add_row(f"X, {systems}", "", "", *(score(v) for v in (found.precision, found.recall, found.f1)))
    table.caption = "no list of valid codes applied; as scripted: mean over documents with predictions"
    return table


def _track_cells(track: RankedScores) -> list[str]:
    micro = track.micro
    values = (track.mean_average_precision, track.mean_average_precision_as_scripted)
    return [score(value) for value in (*values, micro.precision, micro.recall, micro.f1)]


def _reliability(report: EvaluationReport, *, wide: bool) -> Table:
    calibration = report.calibration
    table = plain_table("Probabilities", "claimed", "candidates", "mean claimed", "in fact gold")
    if wide:
        table.add_column("", justify="left", no_wrap=True)
    for row in calibration.bins:
        if row.candidates:
            cells = [f"{row.low:.1f} to {row.high:.1f}", f"{row.candidates:,}", percent(row.mean_probability)]
            cells_of_bar = [Text(bar(row.gold_share), style="green")] if wide else []
            table.add_row(*cells, percent(row.gold_share), *cells_of_bar)
    table.caption = (
        f"expected calibration error {score(calibration.expected_calibration_error)} · "
        f"Brier score {score(calibration.brier)}, over listed candidates"
    )
    return table


def _footnote(report: EvaluationReport) -> Text:
    plan, counts = report.bootstrap, report.counts
    lines = [f"Codes assigned by {report.decisions}."] if report.decisions else []
    lines += [
        f"All codes: the {counts.label_space:,} that training, gold or assignments mention; "
        f"{counts.labels_in_split:,} of them are in the split."
    ]
    if counts.encounters_failed:
        lines.append(
            f"Failed, and scored as without codes: {plural(counts.encounters_failed, 'encounter')}; code again for "
            "figures of the coder alone."
        )
    if plan is not None:
        lines.append(
            f"Intervals: {100 * plan.level:g} %, over {plural(counts.groups, _group_noun(report))}; macro averages by "
            f"jackknife, all others by bootstrap ({plan.replicates:,} replicates, seed {plan.seed})."
        )
    return Text("\n".join(lines), style="dim")


def _group_noun(report: EvaluationReport) -> str:
    return _GROUP_NOUNS.get(report.corpus, "group")


def _level(report: EvaluationReport) -> str:
    return "" if report.bootstrap is None else f"{100 * report.bootstrap.level:g} % interval"
