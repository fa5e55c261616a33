"""Exponential moving average of weights (Polyak and Juditsky 1992): steadier on dev than the weights of any one step.

average <- d average + (1 - d) weight,  d = min(decay, (1 + t) / (10 + t)) after update t
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nosology.training.weights import placed, whole


class WeightAverage:
    """The average of a model's parameters; buffers are the model's own.

    Args:
        model: whose parameters are averaged, after it was wrapped for several processes.
        decay: d, in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model, self._decay = model, decay
        self._averages = {name: _local(parameter).clone() for name, parameter in model.named_parameters()}

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Take in the weights after an update, counted from 0."""
        decay = min(self._decay, (1 + updates) / (10 + updates))
        averages = list(self._averages.values())
        weights = [_local(parameter) for parameter in self._model.parameters()]
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight, 1.0 - decay)

    @contextmanager
    def swapped_in(self) -> Generator[None, None, None]:
        """The model has the averages for weights inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._model.named_parameters():
            own, average = _local(parameter), self._averages[name]
            kept = own.clone()
            own.copy_(average)
            average.copy_(kept)

    def state(self) -> dict[str, Tensor]:
        """Whole averages by name."""
        with self.swapped_in():
            return {name: whole(parameter).clone() for name, parameter in self._model.named_parameters()}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what ``state`` gave."""
        for name, parameter in self._model.named_parameters():
            self._averages[name].copy_(_local(placed(tensors[name], parameter)))


def _local(tensor: Any) -> Tensor:
    """The part that this process holds."""
    bare = tensor.detach()
    return bare.to_local() if hasattr(bare, "to_local") else bare
