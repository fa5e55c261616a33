"""An experiment's files: tables for people, papers and programs, and plots; each whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from nosology.experiments.claims import claims_markdown
from nosology.experiments.clock import duration
from nosology.experiments.runner import Results
from nosology.experiments.table_formats import to_csv, to_latex, to_markdown
from nosology.whole_files import writing_file


def write_results(results: Results, folder: Path) -> list[Path]:
    """Write ``results.md``, ``.tex``, ``.csv`` and ``.json``.

    Args:
        results: what was found.
        folder: where to; must exist.

    Returns:
        The files.
    """
    texts = {
        "results.md": page_of(results),
        "results.tex": to_latex(results.tables),
        "results.csv": to_csv(results.tables),
        "results.json": json.dumps(results.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }
    for name, text in texts.items():
        with writing_file(folder / name) as path:
            path.write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def page_of(results: Results) -> str:
    """The experiment in Markdown: question, tables, runs."""
    request = results.request
    sizes = "; ".join(
        f"{one.corpus}: {one.train:,} encounters to learn from, {one.scored:,} scored" for one in results.scores
    )
    return f"""# {results.experiment.title}

{results.experiment.question} Size `{request.size}`, seeds {", ".join(map(str, request.seeds))}. {sizes}.

{to_markdown(results.tables)}
{claims_markdown(results.claims, request.plan.level)}{_areas(results)}## Runs

Training is wall time, lowest to highest seed, on a machine that may have been busy. The config hash is of the recipe
and the first seed, the data hash of all encounters.

{_runs(results)}
{_choices(results)}{_remarks(results)}
Made by `nosology experiment {request.name} --size {request.size} --seeds {",".join(map(str, request.seeds))}`.
"""


def _areas(results: Results) -> str:
    rows = [
        f"| {one.corpus}: {method} | {micro:.3f} | {macro:.3f} |"
        for one in results.scores
        for method, (micro, macro) in one.areas.items()
    ]
    if not rows:
        return ""
    head = ["## Areas under the ROC curve", "", "| run | micro | macro |", "| --- | ---: | ---: |"]
    note = "Means over seeds. A code that a list leaves out counts as scored below all that are listed."
    return "\n".join([*head, *rows, "", note, "", ""])


def _runs(results: Results) -> str:
    rows = [
        "| run | training | coding, notes/s | threshold | config | data |",
        "| --- | ---: | ---: | ---: | --- | --- |",
    ]
    for arm in results.arms:
        facts = [run.facts for run in results.runs[arm.name]]
        cells = [
            f"{arm.corpus}: {arm.method}",
            _range([duration(one.train_seconds) for one in sorted(facts, key=lambda one: one.train_seconds)]),
            _range([f"{one.notes_per_second:.0f}" for one in sorted(facts, key=lambda one: one.notes_per_second)]),
            _range([f"{one.threshold:.3f}" for one in sorted(facts, key=lambda one: one.threshold)]),
            f"`{facts[0].config[:12]}`",
            f"`{facts[0].data[:12]}`",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _choices(results: Results) -> str:
    if not results.chosen:
        return ""
    lines = list[str]()
    for arm in results.arms:
        values = ", ".join(f"`{key}` {value}" for key, value in results.chosen.get(arm.name, {}).items())
        lines += [f"* {arm.corpus}: {arm.method}: {values}"] if values else []
    return "\n" + "\n".join(["Chosen by micro-F1 on a fifth of the training split:", "", *lines]) + "\n"


def _remarks(results: Results) -> str:
    """What methods say of their training with the first seed."""
    lines = [
        f"* {arm.corpus}: {arm.method}: {remark}"
        for arm in results.arms
        for remark in results.runs[arm.name][0].facts.remarks
    ]
    return "\n" + "\n".join(["Of the trainings with the first seed:", "", *lines]) + "\n" if lines else ""


def _range(ordered: list[str]) -> str:
    return ordered[0] if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"
