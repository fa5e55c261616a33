"""``nosology evaluate``: a model, or the predictions of any system, and a coded corpus in; figures out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nosology.cli.data import OnError


class Kind(StrEnum):
    """What has a threshold of its own."""

    GLOBAL = "global"
    BANDS = "bands"
    LABELS = "labels"


def evaluate(
    model: Annotated[Path | None, typer.Argument(metavar="MODEL", help="A model folder; or give --from.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Score this predictions file instead of a model.")
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(metavar="RECIPE", help="The recipe whose corpus FILE is about; with --from.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Where the corpus lies; where it was at training otherwise."),
    ] = None,
    split: Annotated[str, typer.Option(metavar="SPLITS", help="Splits to score, joined by +; or all.")] = "dev",
    train_split: Annotated[
        str, typer.Option(metavar="SPLITS", help="Splits whose code counts make the bands; with --from.")
    ] = "train",
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="WHAT", help="Also by: band, chapter, block, system, length, or a column; repeatable."),
    ] = None,
    reliability: Annotated[
        bool, typer.Option("--reliability", help="Show whether probabilities mean what they say.")
    ] = False,
    hierarchy: Annotated[
        bool, typer.Option("--hierarchy", help="Credit ancestors; show where wrong codes diverge, confused siblings.")
    ] = False,
    bands: Annotated[str, typer.Option(help="Frequency bands: codiesp or published.")] = "codiesp",
    tune_threshold: Annotated[
        str | None, typer.Option(metavar="SPLITS", help="Choose thresholds on these splits by micro-F1.")
    ] = None,
    cross_fit: Annotated[
        int | None, typer.Option(min=2, metavar="FOLDS", help="Choose thresholds on the other folds of the split.")
    ] = None,
    threshold_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take thresholds that --save-thresholds wrote.")
    ] = None,
    thresholds: Annotated[Kind, typer.Option(help="What has a threshold of its own.")] = Kind.GLOBAL,
    shrinkage: Annotated[
        float, typer.Option(min=0, help="Encounters at which a code's own threshold weighs half; with labels.")
    ] = 20.0,
    save_thresholds: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the thresholds chosen by --tune-threshold.")
    ] = None,
    allow_tuned_on: Annotated[
        bool, typer.Option("--allow-tuned-on", help="Score thresholds on the split they were tuned on all the same.")
    ] = False,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write all figures as JSON.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the predictions, one JSON object a line.")
    ] = None,
    unknown_codes: Annotated[
        OnError, typer.Option(help="At a predicted code that no table knows: stop, or skip the check; with --from.")
    ] = OnError.RAISE,
    replicates: Annotated[int, typer.Option(min=0, help="Bootstrap replicates of the intervals; 0 for none.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the intervals and of --cross-fit.")] = 0,
    on_error: Annotated[OnError, typer.Option(help="At a broken record: stop, or skip and count it.")] = OnError.RAISE,
) -> None:
    """Score a model, or a predictions file of any system, on a corpus that people have coded.

    A predictions file has one JSON object a line, the most probable code first:

    \b
      {"id": "e1", "codes":
        [{"code": "I10", "probability": 0.93, "assigned": true}]}

    Thresholds chosen on a split are not scored on it, unless --allow-tuned-on says so.

    Examples:

    \b
      nosology evaluate model --split dev
      nosology evaluate model --split dev --json report.json --predictions dev.jsonl
      nosology evaluate model --split test --by chapter --by length --hierarchy
      nosology evaluate --from theirs.jsonl --corpus codiesp_d_es --data codiesp
      nosology evaluate --from both.jsonl --corpus mimic3.toml --split test \\
          --tune-threshold dev --thresholds labels
    """
    from nosology.cli.data import choose_splits
    from nosology.cli.evaluated import Choice, Wanted, decide, open_source, write_decided
    from nosology.cli.report_view import render_report
    from nosology.codes.frequency import FrequencyBands
    from nosology.evaluation import BootstrapPlan
    from nosology.evaluation.parts import check_parts
    from nosology.evaluation.report import evaluate_judged
    from nosology.whole_files import check_file_target, writing_file

    named_bands = FrequencyBands.named(bands)
    for file in (json, predictions, save_thresholds):
        if file is not None:
            check_file_target(file)
    wanted = Wanted(model, source, corpus, data, train_split, on_error, check_codes=unknown_codes is OnError.RAISE)
    choice = Choice(
        tune_threshold, cross_fit, threshold_file, thresholds.value, shrinkage, save_thresholds, allow_tuned_on, seed
    )
    opened = open_source(wanted)
    evaluated = choose_splits(opened.corpus, split)
    check_parts(by or (), evaluated.encounters)
    decided = decide(opened, evaluated, choice, named_bands)
    if predictions is not None:
        write_decided(predictions, opened, evaluated, decided)
    report = evaluate_judged(
        decided.judged,
        evaluated,
        train_counts=opened.train_counts,
        bands=named_bands,
        plan=BootstrapPlan(replicates=max(replicates, 1), seed=seed),
        intervals=replicates > 0,
        by=tuple(dict.fromkeys(by or ())),
        hierarchy=hierarchy,
        tables=opened.own_tables(),
        decisions=decided.how,
        codiesp=decided.codiesp,
    )
    if json is not None:
        with writing_file(json) as path:
            path.write_text(report.to_json() + "\n", encoding="utf-8")
    render_report(report, reliability=reliability)
