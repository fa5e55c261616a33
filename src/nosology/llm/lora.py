"""Adapters beside frozen weights, by peft: how many weights will learn, before anything is loaded.

learning = sum over adapted layers of rank (in + out)      ratio = learning / (all weights + learning)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from nosology.config.llm import LoraConfig
from nosology.errors import ConfigError

_USUAL = (("q", "v"), ("q_proj", "v_proj"), ("query", "value"), ("qkv_proj",), ("c_attn",), ("query_key_value",))


@dataclass(frozen=True, slots=True)
class TrainableShare:
    """How much of a language model learns.

    Args:
        learning: weights that learn.
        total: weights of the model, adapters included.
    """

    learning: int
    total: int

    @property
    def ratio(self) -> float:
        """Between 0 and 1."""
        return self.learning / self.total

    def describe(self) -> str:
        return f"{self.learning:,} of {self.total:,} weights learn ({self.ratio:.2%})"


def predict_share(model: nn.Module, config: LoraConfig) -> TrainableShare:
    """What ``attach`` will come to, from shapes alone; the model may be on the meta device (``shapes_of``).

    Raises:
        ConfigError: no layer has such a name; lists those that there are.
    """
    adapted = _adapted(model, config)
    learning = sum(config.rank * sum(shape) for shape in adapted.values())
    return TrainableShare(learning, sum(value.numel() for value in model.parameters()) + learning)


def share_of(model: nn.Module) -> TrainableShare:
    """What learns of a model as it is."""
    learning = sum(value.numel() for value in model.parameters() if value.requires_grad)
    return TrainableShare(learning, sum(value.numel() for value in model.parameters()))


def attach(model: nn.Module, config: LoraConfig) -> nn.Module:
    """Freeze a model and put adapters into it, in place; they start as nothing, and learn in fp32.

    Raises:
        ConfigError: no layer has such a name; lists those that there are.
    """
    from peft import LoraConfig as PeftConfig
    from peft import inject_adapter_in_model

    targets = sorted(_adapted(model, config))
    model.requires_grad_(False)
    peft = PeftConfig(
        r=config.rank, lora_alpha=cast(Any, config.alpha), lora_dropout=config.dropout, target_modules=targets
    )
    adapted = inject_adapter_in_model(peft, model)
    for value in adapted.parameters():
        if value.requires_grad:
            value.data = value.data.float()
    return adapted


def shapes_of(config: Any) -> nn.Module:
    """A model of a transformers configuration without any memory for its weights."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        return kind.from_config(config)


def _adapted(model: nn.Module, config: LoraConfig) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of each layer that gets an adapter, by its whole name."""
    layers = {
        name: (int(cast(Any, part).in_features), int(cast(Any, part).out_features))
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear)
    }
    wanted = config.targets or _usual_targets(layers)
    found = {name: shape for name, shape in layers.items() if _ends(name, wanted)}
    missing = [target for target in wanted if not any(_ends(name, [target]) for name in layers)]
    if missing or not found:
        there = ", ".join(sorted({name.rpartition(".")[2] for name in layers}))
        raise ConfigError(f"targets of LoRA that match no linear layer: {', '.join(missing)}; there are: {there}")
    return found


def _usual_targets(layers: dict[str, tuple[int, int]]) -> Sequence[str]:
    """The query and value projections, by the names that they have in this model."""
    for names in _USUAL:
        if all(any(_ends(layer, [name]) for layer in layers) for name in names):
            return names
    there = ", ".join(sorted({name.rpartition(".")[2] for name in layers}))
    raise ConfigError(f"this model has no query and value projections by a usual name; set targets to some of: {there}")


def _ends(name: str, targets: Sequence[str]) -> bool:
    return any(name == target or name.endswith(f".{target}") for target in targets)
