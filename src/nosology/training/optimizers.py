"""AdamW over a model's parameters: matrices decay, vectors do not, the encoder may learn at a rate of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from nosology.config.trainer import TrainerConfig
from nosology.errors import ConfigError


def build_optimizer(model: nn.Module, config: TrainerConfig) -> torch.optim.AdamW:
    """The optimiser of the parameters that learn.

    Raises:
        ConfigError: none learns.
    """
    groups = dict[tuple[bool, bool], list[nn.Parameter]]()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            in_encoder = name.split(".", 1)[0] == "encoder"
            groups.setdefault((in_encoder, parameter.dim() > 1), []).append(parameter)
    if not groups:
        raise ConfigError("no parameter learns: the whole model is frozen; leave its head free")
    rates = {True: config.encoder_learning_rate or config.learning_rate, False: config.learning_rate}
    listed: list[dict[str, Any]] = [
        {
            "params": parameters,
            "weight_decay": config.weight_decay if matrices else 0.0,
            "lr": rates[in_encoder],
            "highest": rates[in_encoder],
        }
        for (in_encoder, matrices), parameters in sorted(groups.items())
    ]
    return torch.optim.AdamW(listed, fused=True)


def set_rate(optimizer: Any, share: float) -> None:
    """Set every group's rate to a share of its highest."""
    for group in optimizer.param_groups:
        group["lr"] = group["highest"] * share


def enable_gradient_checkpointing(model: nn.Module) -> None:
    """Let every transformer inside compute its activations again.

    Raises:
        ConfigError: there is none that can.
    """
    parts = [module for module in model.modules() if getattr(module, "supports_gradient_checkpointing", False)]
    if not parts:
        raise ConfigError("gradient_checkpointing needs a transformer as encoder; leave it off for this model")
    for part in parts:
        old: Any = getattr(part, "gradient_checkpointing_enable", None)
        new: Any = getattr(part, "activation_checkpointing_enable", None)
        (new or old)()
