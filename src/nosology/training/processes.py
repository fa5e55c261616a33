"""How the processes of a training share work, through accelerate: one process, copies (DDP) or parts (FSDP)."""

from __future__ import annotations

import os
import random
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from nosology.errors import ConfigError, MissingExtraError
from nosology.training.objective import TrainedModel
from nosology.training.settings import TrainerConfig


def open_accelerator(config: TrainerConfig, model: nn.Module) -> Any:
    """This process's accelerator; device, number of processes and precision come from it.

    Args:
        config: precision, kind of sharing, device.
        model: whose repeated blocks FSDP shares one by one.

    Raises:
        ConfigError: the device lacks what was asked for.
        MissingExtraError: accelerate is not installed.
    """
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
        from accelerate.state import AcceleratorState
    except ModuleNotFoundError:
        raise MissingExtraError("training a neural model", "neural") from None
    AcceleratorState._reset_state()  # pyright: ignore[reportPrivateUsage]  # else a second run has the first's precision
    copies = DistributedDataParallelKwargs(find_unused_parameters=True, gradient_as_bucket_view=True)
    return Accelerator(
        cpu=config.device == "cpu",
        mixed_precision=_precision(config),
        fsdp_plugin=_fsdp(model) if config.distributed == "fsdp" and _world_size() > 1 else None,
        kwargs_handlers=[copies],
    )


def _world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _precision(config: TrainerConfig) -> str:
    on_gpu = config.device == "auto" and torch.cuda.is_available()
    if config.mixed_precision == "auto":
        return "bf16" if on_gpu and torch.cuda.is_bf16_supported() else "no"
    if config.mixed_precision == "fp16" and not on_gpu:
        raise ConfigError('mixed_precision = "fp16" needs a GPU; use "no", or "auto"')
    return config.mixed_precision


def _fsdp(model: nn.Module) -> Any:
    from accelerate import FullyShardedDataParallelPlugin

    blocks = block_names(model)
    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        reshard_after_forward=True,
        auto_wrap_policy="transformer_based_wrap" if blocks else "no_wrap",
        transformer_cls_names_to_wrap=blocks or None,
        cpu_ram_efficient_loading=False,
        state_dict_type="SHARDED_STATE_DICT",
    )


def block_names(model: nn.Module) -> list[str]:
    """Classes of repeated blocks that its transformers name and have."""
    present = {type(module).__name__ for module in model.modules()}
    named = {name for module in model.modules() for name in getattr(module, "_no_split_modules", None) or ()}
    return sorted(named & present)


def prepare(accelerator: Any, model: TrainedModel, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
    """Wrap model and optimiser for this accelerator's processes and precision."""
    return accelerator.prepare(model, optimizer)


def drop_gathered(model: nn.Module) -> None:
    """Let FSDP forget weights that it gathered for reading, because they are about to change."""
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


# --- random numbers -------------------------------------------------------------------------------------------------


def seed_batch(seed: int, step: int, number: int) -> None:
    """Seed every generator for one batch of one step, whatever came before and whichever process reads it."""
    state = np.random.SeedSequence([seed, step, number]).generate_state(2)
    value = int(state[0]) << 31 ^ int(state[1])
    torch.manual_seed(value)
    random.seed(value)
    np.random.seed(int(state[0]))


@contextmanager
def kept_generators() -> Generator[None, None, None]:
    """The generators after the block are as they were before it."""
    own, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(own)
            np.random.set_state(numpy_state)
