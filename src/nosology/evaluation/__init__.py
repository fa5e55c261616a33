"""Numbers: predictions files, metrics by name, frequency bands, bootstrap intervals, CodiEsp's official scores."""

from nosology.evaluation.bootstrap import BootstrapPlan
from nosology.evaluation.judgements import Judgements, judge_codes, judge_dense
from nosology.evaluation.metrics import MacroDefinition, Scores
from nosology.evaluation.predictions import (
    Predictions,
    PredictionsWriter,
    iter_predictions,
    read_predictions,
    write_predictions,
)
from nosology.evaluation.report import EvaluationReport, count_codes, evaluate, judge_predictions
from nosology.evaluation.uncertainty import Difference, Interval, paired_differences, score_intervals

__all__ = [
    "BootstrapPlan",
    "Difference",
    "EvaluationReport",
    "Interval",
    "Judgements",
    "MacroDefinition",
    "Predictions",
    "PredictionsWriter",
    "Scores",
    "count_codes",
    "evaluate",
    "iter_predictions",
    "judge_codes",
    "judge_dense",
    "judge_predictions",
    "paired_differences",
    "read_predictions",
    "score_intervals",
    "write_predictions",
]
