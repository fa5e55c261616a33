"""Bootstrap replicates of the scores that sum over encounters."""

from __future__ import annotations

from nosology.evaluation.draws import BootstrapPlan, Draw, draw_groups
from nosology.evaluation.figures import figure_replicates
from nosology.evaluation.judgements import Floats, Judgements

__all__ = ["BootstrapPlan", "Draw", "draw_groups", "pooled_replicates"]

_POOLED = {
    "micro_precision": "micro.precision",
    "micro_recall": "micro.recall",
    "micro_f1": "micro.f1",
    "map": "map",
    "candidate_recall": "candidate_recall",
}


def pooled_replicates(judged: Judgements, draw: Draw) -> dict[str, Floats]:
    """Micro precision, recall and F1, MAP and candidate recall in each replicate."""
    found = figure_replicates(judged, draw, _POOLED.values())
    return {name: found[figure] for name, figure in _POOLED.items()}
