"""``nosology evaluate``: a model and a coded corpus in, figures out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nosology.cli.data import OnError


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Where the corpus lies; where it was at training otherwise."),
    ] = None,
    split: Annotated[str, typer.Option(metavar="SPLITS", help="Splits to score, joined by +; or all.")] = "dev",
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write all figures as JSON.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the predictions, one JSON object a line.")
    ] = None,
    bands: Annotated[str, typer.Option(help="Frequency bands of the table: codiesp or published.")] = "codiesp",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap intervals.")] = 0,
    on_error: Annotated[OnError, typer.Option(help="At a broken record: stop, or skip and count it.")] = OnError.RAISE,
) -> None:
    """Score a model on a corpus that people have coded.

    Examples:

    \b
      nosology evaluate model --split dev
      nosology evaluate model --split dev --json report.json --predictions dev.jsonl
    """
    from nosology.checkpoint import check_file_target, writing_file
    from nosology.cli.data import choose_splits, read_corpus, recipe_with_data
    from nosology.cli.progress import tracked
    from nosology.cli.report_view import render_report
    from nosology.coder import Coder
    from nosology.codes.frequency import FrequencyBands
    from nosology.evaluation import BootstrapPlan, write_predictions
    from nosology.evaluation import evaluate as score

    named_bands = FrequencyBands.named(bands)
    for file in (json, predictions):
        if file is not None:
            check_file_target(file)
    coder = Coder.from_pretrained(model)
    corpus = choose_splits(read_corpus(recipe_with_data(coder.recipe, data), on_error), split)
    coded = list(tracked(coder.code_many(corpus), "coding", len(corpus)))
    if predictions is not None:
        write_predictions(predictions, coded)
    report = score(corpus, coded, train_counts=coder.label_counts, bands=named_bands, plan=BootstrapPlan(seed=seed))
    if json is not None:
        with writing_file(json) as path:
            path.write_text(report.to_json() + "\n", encoding="utf-8")
    render_report(report)
