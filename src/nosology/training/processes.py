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

from nosology.config.trainer import TrainerConfig
from nosology.errors import ConfigError, MissingExtraError
from nosology.training.objective import TrainedModel


def open_accelerator(config: TrainerConfig) -> Any:
    """This process's accelerator; device, number of processes and precision come from it.

    Parts of the model are shared by ``share``, on every device: accelerate's own FSDP leaves a model whole on CPUs.

    Raises:
        ConfigError: the device lacks what was asked for.
        MissingExtraError: accelerate is not installed.
    """
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
        from accelerate.state import AcceleratorState
    except ModuleNotFoundError:
        raise MissingExtraError("training a neural model", "neural") from None
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        raise ConfigError('launch without --use_fsdp, and set distributed = "fsdp" in the recipe instead')
    AcceleratorState._reset_state()  # pyright: ignore[reportPrivateUsage]  # else a second run has the first's precision
    copies = DistributedDataParallelKwargs(find_unused_parameters=True, gradient_as_bucket_view=True)
    return Accelerator(cpu=config.device == "cpu", mixed_precision=_precision(config), kwargs_handlers=[copies])


def _precision(config: TrainerConfig) -> str:
    on_gpu = config.device == "auto" and torch.cuda.is_available()
    if config.mixed_precision == "auto":
        return "bf16" if on_gpu and torch.cuda.is_bf16_supported() else "no"
    if config.mixed_precision == "fp16" and not on_gpu:
        raise ConfigError('mixed_precision = "fp16" needs a GPU; use "no", or "auto"')
    if config.mixed_precision == "fp16" and config.distributed == "fsdp":
        raise ConfigError('mixed_precision = "fp16" does not go with distributed = "fsdp"; use "bf16"')
    return config.mixed_precision


def share(accelerator: Any, model: TrainedModel, config: TrainerConfig) -> nn.Module:
    """The model as this process computes with it: alone, a copy, or a part of every parameter (FSDP2)."""
    if config.distributed == "ddp" or accelerator.num_processes == 1:
        return accelerator.prepare(model)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    model.to(accelerator.device)
    blocks = set(block_names(model))
    for module in [module for module in model.modules() if type(module).__name__ in blocks]:
        fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def block_names(model: nn.Module) -> list[str]:
    """Classes of repeated blocks that its transformers name and have; FSDP gathers them one by one."""
    present = {type(module).__name__ for module in model.modules()}
    named = {name for module in model.modules() for name in getattr(module, "_no_split_modules", None) or ()}
    return sorted(named & present)


@contextmanager
def adding_up(accelerator: Any, model: nn.Module, *, last: bool) -> Generator[None, None, None]:
    """Gradients of the block are exchanged between processes only in the last batch of a step."""
    from torch.distributed.fsdp import FSDPModule

    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
        yield
    elif last:
        yield
    else:
        with accelerator.no_sync(model):
            yield


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
