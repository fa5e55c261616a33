"""Figures of dev from streamed scores: the highest of each encounter are kept, never encounters x labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nosology.calibration import best_threshold
from nosology.errors import ConfigError
from nosology.evaluation import evaluate_judged
from nosology.evaluation.judgements import Judgements, judge
from nosology.preprocessing.batching import BatchSize, EncodedEncounters, collate, plan_reading
from nosology.training.objective import to_batch
from nosology.types import Encounter


@dataclass(frozen=True, slots=True, eq=False)
class TopScores:
    """The highest scores of some encounters.

    Args:
        rows: their rows, rising; encounters without a token are none of them.
        labels: label numbers, best first; int64 ``[row, top]``.
        scores: of these labels, in [0, 1]; float64 ``[row, top]``.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]


@torch.no_grad()
def score_top(model: nn.Module, encoded: EncodedEncounters, size: BatchSize, top: int, accelerator: Any) -> TopScores:
    """Score encounters, each process a part of them.

    Args:
        model: a ``TrainedModel``, wrapped or not; put into evaluation mode and back.
        encoded: encounters.
        size: of a batch.
        top: scores kept of each.
        accelerator: this process's.
    """
    batches = plan_reading(encoded.tokens.lengths, size)
    rank, world = accelerator.process_index, accelerator.num_processes
    rounds = -(-len(batches) // world)
    own = sum(len(rows) for rows in batches[rank::world])
    was_training = model.training
    model.eval()
    try:
        kept = _nothing(own, top)
        done = 0
        for turn in range(rounds):
            mine = turn * world + rank
            rows = batches[min(mine, len(batches) - 1)]
            with accelerator.autocast():
                part = _score_batch(model, encoded, rows, top, accelerator.device)
            if turn == 0:
                kept = _nothing(own, part[1].shape[1])
            if mine >= len(batches):
                continue  # another process has one batch more; all must run the model as often
            # Results have their place beforehand: made one by one among large logits they would split the heap, and
            # memory would grow as if all logits were kept.
            for column, found in zip(kept, part, strict=True):
                column[done : done + len(rows)] = found
            done += len(rows)
        return _sorted(*(_gathered(column, accelerator) for column in kept))
    finally:
        model.train(was_training)


def _nothing(rows: int, top: int) -> tuple[Tensor, Tensor, Tensor]:
    """Room for row numbers, labels and scores."""
    return torch.zeros(rows, dtype=torch.int64), torch.zeros(rows, top, dtype=torch.int64), torch.zeros(rows, top)


def _score_batch(
    model: nn.Module, encoded: EncodedEncounters, rows: NDArray[np.int64], top: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    logits = cast(Tensor, model(to_batch(collate(encoded, rows), device))["logits"]).float()
    best = torch.topk(logits, min(top, logits.shape[1]), dim=1)
    return torch.from_numpy(rows), best.indices.cpu(), torch.sigmoid(best.values).cpu()


def _gathered(column: Tensor, accelerator: Any) -> NDArray[Any]:
    """The values of all processes, which may have different numbers of rows."""
    if accelerator.num_processes == 1:
        return column.numpy()
    count = torch.tensor([len(column)], device=accelerator.device)
    counts = cast(Tensor, accelerator.gather(count)).tolist()
    padded = torch.zeros(max(counts), *column.shape[1:], dtype=column.dtype, device=accelerator.device)
    padded[: len(column)] = column.to(accelerator.device)
    everything = cast(Tensor, accelerator.gather(padded)).cpu().split(max(counts))
    return torch.cat([part[:kept] for part, kept in zip(everything, counts, strict=True)]).numpy()


def _sorted(rows: NDArray[Any], labels: NDArray[Any], scores: NDArray[Any]) -> TopScores:
    order = np.argsort(rows)
    return TopScores(rows[order].astype(np.int64), labels[order].astype(np.int64), scores[order].astype(np.float64))


# --- figures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """What scores are compared with.

    Args:
        encounters: dev, coded by people.
        labels: of the model's columns.
        train_counts: training encounters with each label.
        threshold: from which a score counts as assigned; ``None``: that of the highest micro-F1.
    """

    encounters: Sequence[Encounter]
    labels: Sequence[str]
    train_counts: Mapping[str, int]
    threshold: float | None = None

    def figures(self, found: TopScores) -> tuple[dict[str, float], float]:
        """Every figure of the evaluation report, and the threshold used."""
        judged = self._judged(found)
        threshold = self.threshold
        if threshold is None:
            threshold = best_threshold(judged.score, judged.is_gold, len(judged.gold_label))
        judged = judged.assigning_from(np.full(judged.n_labels, threshold))
        report = evaluate_judged(judged, self.encounters, train_counts=self.train_counts, intervals=False)
        return report.figures(), threshold

    def check_metric(self, metric: str) -> None:
        """Refuse a metric that the report does not have.

        Raises:
            ConfigError: lists close names.
        """
        nothing = TopScores(np.zeros(0, np.int64), np.zeros((0, 1), np.int64), np.zeros((0, 1)))
        known = sorted(self.figures(nothing)[0])
        if metric not in known:
            near = get_close_matches(metric, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}"
            raise ConfigError(f"metric {metric!r} is no figure of the evaluation report; {hint}")

    def _judged(self, found: TopScores) -> Judgements:
        columns = {code: column for column, code in enumerate(self.labels)}
        for code in sorted({code for encounter in self.encounters for code in encounter.code_set}):
            columns.setdefault(code, len(columns))
        gold = [(row, columns[code]) for row, e in enumerate(self.encounters) for code in sorted(e.code_set)]
        pairs = np.array(gold, dtype=np.int64).reshape(-1, 2)
        return judge(
            tuple(encounter.encounter_id for encounter in self.encounters),
            tuple(columns),
            candidates=(np.repeat(found.rows, found.labels.shape[1]), found.labels.reshape(-1)),
            score=found.scores.reshape(-1),
            assigned=np.zeros(found.labels.size, dtype=np.bool_),
            gold=(pairs[:, 0], pairs[:, 1]),
        )
