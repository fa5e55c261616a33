"""What a training would take, before it is started: parameters, memory, steps and time, some of it measured."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from nosology.config.trainer import TrainerConfig
from nosology.preprocessing.batching import PaddedBatch, collate, plan_reading
from nosology.training.failures import telling_memory
from nosology.training.loop import Plans, RunData
from nosology.training.objective import TrainedModel, to_batch, to_targets
from nosology.training.optimizers import build_optimizer
from nosology.training.processes import seed_batch

_TIMED = 3  # batches of the first epoch, beside the longest


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a training would take.

    Args:
        parameters, trainable: of the model.
        encounters, tokens: of training, after cutting.
        cut: training encounters that were cut off.
        steps_per_epoch, steps: updates.
        weights_bytes, gradients_bytes, optimizer_bytes, averages_bytes: by the parameters' number.
        activations_bytes: measured on the longest batch: what is kept for the backward pass.
        seconds_per_step, seconds: of an update, and of all with reading dev; from a few batches timed now, twice.
        tokens_per_second: in training.
        more: lines for people about what else it takes.
    """

    parameters: int
    trainable: int
    encounters: int
    tokens: int
    cut: int
    steps_per_epoch: int
    steps: int
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    averages_bytes: int
    activations_bytes: int
    seconds_per_step: float
    seconds: float
    tokens_per_second: float
    more: tuple[str, ...] = ()

    @property
    def memory_bytes(self) -> int:
        """All parts together, without PyTorch itself and the corpus."""
        fixed = self.weights_bytes + self.gradients_bytes + self.optimizer_bytes + self.averages_bytes
        return fixed + self.activations_bytes

    def describe(self) -> str:
        """A few lines for people."""
        parts = ("weights", "gradients", "optimizer", "averages", "activations")
        memory = ", ".join(f"{name} {_size(getattr(self, f'{name}_bytes'))}" for name in parts)
        return "\n".join(
            (
                f"parameters  {self.parameters:,}, of which {self.trainable:,} learn",
                f"encounters  {self.encounters:,} of {self.tokens:,} tokens; {self.cut:,} cut off",
                f"memory      {_size(self.memory_bytes)}: {memory}",
                f"steps       {self.steps:,} ({self.steps_per_epoch:,} an epoch)",
                f"time        about {duration(self.seconds)} if dev never ends it early "
                f"({self.seconds_per_step:.3g} s a step, {self.tokens_per_second:,.0f} tokens/s)",
                *self.more,
            )
        )


def measure(model: TrainedModel, data: RunData, config: TrainerConfig, accelerator: Any) -> DryRun:
    """Count, and time a few batches on a copy of the model.

    Args:
        model: stays as it is.
        data, config: of the training.
        accelerator: this process's.

    Raises:
        TrainingError: the longest batch does not fit into memory.
    """
    plans = Plans(config, data.train, config.accumulation * accelerator.num_processes)
    plan = plans.epoch(0)
    probe = _Probe(copy.deepcopy(model), data, config, accelerator)
    lengths = data.train.tokens.lengths
    longest = collate(data.train, plan_reading(lengths, plans.size)[0])
    activations = probe.activations(longest)
    batches = [collate(data.train, rows) for step in plan.steps for rows in step[:1]][:_TIMED]
    at_first, per_token = probe.seconds_per_token(batches), probe.seconds_per_token(batches)
    update = probe.update_seconds()
    padded = sum(len(rows) * int(lengths[rows].max()) for step in plan.steps for rows in step)
    step = per_token * padded / max(1, len(plan)) / accelerator.num_processes + update
    sizes = [p.numel() * p.element_size() for p in model.parameters()]
    learning = [p.numel() * p.element_size() for p in model.parameters() if p.requires_grad]
    validating = _validation_seconds(data, config, plans, per_token)
    return DryRun(
        parameters=sum(p.numel() for p in model.parameters()),
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        encounters=len(data.train),
        tokens=int(lengths.sum()),
        cut=data.train.counts.truncated,
        steps_per_epoch=len(plan),
        steps=plans.total_steps,
        weights_bytes=sum(sizes),
        gradients_bytes=sum(learning),
        optimizer_bytes=2 * sum(learning),
        averages_bytes=sum(sizes) if config.averaging else 0,
        activations_bytes=activations,
        seconds_per_step=step,
        # A frozen encoder that remembers what it read is slow on the first epoch alone.
        seconds=step * plans.total_steps + validating + max(0.0, at_first - per_token) * padded,
        tokens_per_second=float(lengths.sum()) / max(1, len(plan)) / max(step, 1e-9),
    )


def _validation_seconds(data: RunData, config: TrainerConfig, plans: Plans, per_token: float) -> float:
    """A forward pass is taken for a third of an update."""
    if data.dev is None:
        return 0.0
    every = config.validation_steps or max(1, len(plans.epoch(0)))
    return plans.total_steps / every * float(data.dev.tokens.lengths.sum()) * per_token / 3.0


class _Probe:
    """Runs batches through a model that may be spoilt."""

    def __init__(self, model: TrainedModel, data: RunData, config: TrainerConfig, accelerator: Any) -> None:
        self._data, self._config, self._accelerator = data, config, accelerator
        self._model = model.to(accelerator.device).train()

    def _backward(self, padded: PaddedBatch) -> None:
        device = self._accelerator.device
        seed_batch(self._config.seed, 0, 0)
        with telling_memory(self._config, padded.mask.size, len(padded.rows)), self._accelerator.autocast():
            targets = to_targets(padded, self._data.n_labels, device)
            terms = cast(dict[str, Tensor], self._model(to_batch(padded, device), targets))
            cast(Tensor, sum(terms.values())).backward()

    def activations(self, padded: PaddedBatch) -> int:
        """Bytes that the forward pass keeps for the backward pass, each storage counted once."""
        own = {tensor.untyped_storage().data_ptr() for tensor in self._model.state_dict().values()}
        kept = dict[int, int]()

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            self._backward(padded)
        return sum(kept.values())

    def seconds_per_token(self, batches: list[PaddedBatch]) -> float:
        """Forward and backward, by padded token."""
        began = self._now()
        for padded in batches:
            self._backward(padded)
        return (self._now() - began) / max(1, sum(padded.mask.size for padded in batches))

    def update_seconds(self) -> float:
        """One step of the optimiser; the second, for the first makes its state."""
        optimizer = build_optimizer(self._model.model, self._config)
        optimizer.step()
        began = self._now()
        optimizer.step()
        return self._now() - began

    def _now(self) -> float:
        if self._accelerator.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def _size(number: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if number >= scale:
            return f"{number / scale:.1f} {unit}"
    return f"{number / 1e3:.1f} kB"


def duration(seconds: float) -> str:
    """Seconds for people, roughly."""
    minutes = seconds / 60
    if minutes < 2:
        return f"{seconds:.0f} seconds"
    return f"{minutes / 60:.1f} hours" if minutes >= 90 else f"{minutes:.0f} minutes"
