"""Trains a neural coder: ``Trainer(tokenizer, labels).fit(model, train, dev, config, folder)``.

Run again after a stop of any kind, ``fit`` goes on from the newest checkpoint, and ends with the weights that the
uninterrupted run ends with: on CPU bit for bit, with the same number of threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from nosology.config.trainer import TrainerConfig
from nosology.errors import ConfigError, CorpusError
from nosology.evaluation.alignment import checked_encounters
from nosology.losses.base import Loss
from nosology.preprocessing.batching import EncodedEncounters, encode_encounters, without_empty
from nosology.preprocessing.tokenization import Tokenizer, TruncationCounts, fingerprint
from nosology.training.checkpoints import CheckpointStore, Position, Validation, only_run_in
from nosology.training.dry_run import DryRun, measure
from nosology.training.loop import Plans, Progress, Run, RunData
from nosology.training.objective import LabelObjective, LossFunction, Objective, TrainedModel, binary_cross_entropy
from nosology.training.optimizers import enable_gradient_checkpointing
from nosology.training.processes import kept_generators, open_accelerator
from nosology.training.schedules import best_at
from nosology.training.tracking import open_trackers
from nosology.training.validation import Judge
from nosology.training.weights import load_weights
from nosology.types import Encounter


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training came to.

    Args:
        metric: the figure that decided.
        best: its best value on dev; ``None`` without dev.
        best_step: the update after which it was reached; the last without dev.
        threshold: score from which a code counted as assigned at the best validation; ``None`` without dev.
        steps: updates made.
        stopped_early: dev did not improve any more.
        history: every validation.
        train_counts, dev_counts: what was read and cut off.
        weights: the file of the weights that the model now has, for ``load_weights``.
    """

    metric: str
    best: float | None
    best_step: int
    threshold: float | None
    steps: int
    stopped_early: bool
    history: tuple[Validation, ...]
    train_counts: TruncationCounts
    dev_counts: TruncationCounts
    weights: Path


@dataclass(frozen=True, slots=True, eq=False)
class Trainer:
    """What every training of a label space shares.

    Args:
        tokenizer: the model's.
        labels: the code of each of the model's columns.
        loss: of the labels; see ``LossFunction``.
        objective: all terms of the loss, where ``loss``, the head's own and supervised attention do not do; takes the
            place of ``loss``.
        about: what else decides what is learnt, in words: a run goes on with what it began with only.
    """

    tokenizer: Tokenizer
    labels: Sequence[str]
    loss: LossFunction = binary_cross_entropy
    objective: Objective | None = field(default=None)
    about: str = ""

    def fit(
        self,
        model: nn.Module,
        train: Sequence[Encounter],
        dev: Sequence[Encounter] | None,
        config: TrainerConfig,
        folder: str | Path,
        *,
        resume: bool = True,
        progress: Progress | None = None,
    ) -> TrainResult:
        """Train a model; at the end it has the weights of the best validation, or the last ones without dev.

        Args:
            model: ``CodingModel``, or any module that gives ``HeadOutput`` for a ``Batch``.
            train: coded encounters; those without a token are left out and counted.
            dev: coded encounters to choose by, or ``None``.
            config: how.
            folder: of the run: checkpoints and figures. Several processes share it.
            resume: go on where a run of this folder stopped; otherwise start over.
            progress: told what is being done and the share of it that is done.

        Raises:
            ConfigError: an option does not fit the model, the device or the figures.
            CorpusError: nothing to learn from.
            ModelError: the folder holds a run that began otherwise, or is damaged.
            TrainingError: the loss is no number any more, or memory ran out.
        """
        tell = progress or _silent
        data = self._read(train, dev, config, tell)
        self._check(model, data, config)
        accelerator = open_accelerator(config)
        tell = tell if accelerator.is_main_process else _silent
        plans = Plans(config, data.train, config.accumulation * accelerator.num_processes)
        store = CheckpointStore(Path(folder), self._identity(model, data, config, accelerator.num_processes))
        with kept_generators(), _held(accelerator, Path(folder)):
            _tidy(accelerator, store, resume)
            position = self._run(model, data, config, plans, accelerator, store, Path(folder), tell)
        return _result(position, data, config, plans, store)

    def dry_run(
        self, model: nn.Module, train: Sequence[Encounter], dev: Sequence[Encounter] | None, config: TrainerConfig
    ) -> DryRun:
        """What ``fit`` would take: parameters, memory, steps, time; a few steps are timed, the model stays as it is.

        Raises:
            As ``fit``.
        """
        data = self._read(train, dev, config, _silent)
        self._check(model, data, config)
        accelerator = open_accelerator(config)
        with kept_generators():
            return measure(self._trained(model, config), data, config, accelerator)

    def _run(
        self,
        model: nn.Module,
        data: RunData,
        config: TrainerConfig,
        plans: Plans,
        accelerator: Any,
        store: CheckpointStore,
        folder: Path,
        tell: Progress,
    ) -> Position:
        kept = store.newest()
        snapshot = None if kept is None else store.read(kept)
        if snapshot is None or not snapshot.position.finished:
            run = Run(self._trained(model, config), data, config, plans, accelerator, store, tell)
            if snapshot is not None and kept is not None:
                run.restore(snapshot, kept.path)
            settings, main = asdict(config), accelerator.is_main_process
            trackers = open_trackers(folder, config, run.position.step, settings) if main else []
            try:
                run.train(trackers)
            finally:
                for tracker in trackers:
                    tracker.close()
                accelerator.free_memory()
        kept = store.newest()
        assert kept is not None
        load_weights(model, store.best_weights(kept))
        return store.read(kept).position

    def _trained(self, model: nn.Module, config: TrainerConfig) -> TrainedModel:
        return TrainedModel(model, self.objective or LabelObjective(self.loss, config.evidence_weight))

    def _read(
        self, train: Sequence[Encounter], dev: Sequence[Encounter] | None, config: TrainerConfig, tell: Progress
    ) -> RunData:
        tell("reading notes", 0.0)
        with_evidence = config.evidence_weight > 0 or self.objective is not None
        coded = [encounter for encounter in train if encounter.codes is not None]
        if not coded:
            raise CorpusError("no coded encounter to learn from; train on a split that people have coded")
        encoded = without_empty(self._encode(coded, config, with_evidence))
        if not dev:
            return RunData(encoded, None, None, len(self.labels))
        counts = np.bincount(encoded.labels.values, minlength=len(self.labels)).tolist()
        train_counts = {code: count for code, count in zip(self.labels, counts, strict=True) if count}
        judge = Judge(checked_encounters(dev), self.labels, train_counts, config.threshold)
        return RunData(encoded, self._encode(dev, config, False), judge, len(self.labels))

    def _encode(self, encounters: Sequence[Encounter], config: TrainerConfig, with_evidence: bool) -> EncodedEncounters:
        return encode_encounters(
            encounters, self.tokenizer, self.labels, max_tokens=config.max_tokens, with_evidence=with_evidence
        )

    def _check(self, model: nn.Module, data: RunData, config: TrainerConfig) -> None:
        """What is cheap to find before long work."""
        if len(set(self.labels)) != len(self.labels) or not self.labels:
            raise ConfigError("the label list is empty or names a code twice; give each column its own code")
        count = getattr(model, "label_count", None)
        if isinstance(count, int) and count != len(self.labels):
            raise ConfigError(f"the model scores {count} labels, the label list has {len(self.labels)}")
        if not len(data.train.labels.values):
            raise CorpusError("no training encounter carries a code of the label list; is it another code system's?")
        _check_vocabulary(model, self.tokenizer)
        if data.judge is not None:
            data.judge.check_metric(config.metric)
        if config.gradient_checkpointing:
            enable_gradient_checkpointing(model)

    def _identity(self, model: nn.Module, data: RunData, config: TrainerConfig, processes: int) -> dict[str, Any]:
        shapes = [f"{name} {tuple(tensor.shape)} {tensor.dtype}" for name, tensor in model.state_dict().items()]
        own = self.objective or self.loss
        told = own.identity() if isinstance(own, Loss) else _name(own)
        return {
            "labels": f"{len(self.labels)} labels, {_hash(self.labels)}",
            "tokenizer": fingerprint(self.tokenizer),
            "train": data.train.fingerprint(),
            "dev": "none" if data.dev is None else data.dev.fingerprint(),
            "model": _hash(shapes),
            "objective": f"{told}; {self.about}" if self.about else told,
            "batches_per_step": config.accumulation * processes,
            "config": asdict(config),
        }


def _name(function: object) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def _silent(stage: str, share: float) -> None:
    """Progress for nobody."""


def _hash(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _check_vocabulary(model: nn.Module, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer with more ids than any embedding of the model has rows."""
    rows = [module.num_embeddings for module in model.modules() if isinstance(module, nn.Embedding)]
    if rows and tokenizer.vocabulary_size > max(rows):
        raise ConfigError(
            f"the tokenizer does not match the model: it has {tokenizer.vocabulary_size:,} ids, the model's embedding "
            f"{max(rows):,} rows; use the tokenizer that the model was made with"
        )


def _held(accelerator: Any, folder: Path) -> Any:
    """The first process holds the folder for all."""
    from contextlib import nullcontext

    return only_run_in(folder) if accelerator.is_main_process else nullcontext()


def _tidy(accelerator: Any, store: CheckpointStore, resume: bool) -> None:
    if accelerator.is_main_process:
        if not resume:
            store.clear()
        store.clean()
    accelerator.wait_for_everyone()


def _result(
    position: Position, data: RunData, config: TrainerConfig, plans: Plans, store: CheckpointStore
) -> TrainResult:
    kept = store.newest()
    assert kept is not None
    history = position.history
    best = history[best_at(config.metric, [entry.metric for entry in history])] if history else None
    return TrainResult(
        config.metric,
        None if best is None else best.metric,
        position.step if best is None else best.step,
        None if best is None else best.threshold,
        position.step,
        position.step < plans.total_steps,
        history,
        data.train.counts,
        TruncationCounts() if data.dev is None else data.dev.counts,
        store.best_weights(kept),
    )
