"""Numbers: predictions files, metrics by name, parts of the data, intervals, paired tests, CodiEsp's own scores."""

from nosology.evaluation.alignment import count_codes, judge_file, judge_predictions
from nosology.evaluation.comparison import Comparison, compare_systems
from nosology.evaluation.draws import BootstrapPlan
from nosology.evaluation.figures import averaged_names, figure_replicates, pooled_names
from nosology.evaluation.judgements import Judgements, judge_codes, judge_dense
from nosology.evaluation.metrics import MacroDefinition, Scores
from nosology.evaluation.parts import Parting
from nosology.evaluation.predictions import (
    Predictions,
    PredictionsHeader,
    PredictionsWriter,
    iter_predictions,
    read_header,
    read_predictions,
    write_predictions,
)
from nosology.evaluation.report import EvaluationReport, evaluate, evaluate_judged
from nosology.evaluation.seeds import SeedSummary, aggregate_seeds
from nosology.evaluation.subsets import Subset
from nosology.evaluation.uncertainty import Interval, score_intervals

__all__ = [
    "BootstrapPlan",
    "Comparison",
    "EvaluationReport",
    "Interval",
    "Judgements",
    "MacroDefinition",
    "Parting",
    "Predictions",
    "PredictionsHeader",
    "PredictionsWriter",
    "Scores",
    "SeedSummary",
    "Subset",
    "aggregate_seeds",
    "averaged_names",
    "compare_systems",
    "count_codes",
    "evaluate",
    "evaluate_judged",
    "figure_replicates",
    "iter_predictions",
    "judge_codes",
    "judge_dense",
    "judge_file",
    "judge_predictions",
    "pooled_names",
    "read_header",
    "read_predictions",
    "score_intervals",
    "write_predictions",
]
