"""Weights as safetensors: written once where modules share them, read only into the module they were made for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from nosology.errors import ModelError
from nosology.whole_files import writing_file

_SHOWN = 3


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write parameters and buffers, whole or not at all.

    Raises:
        ConfigError: the place cannot be written.
    """
    with writing_file(path) as building:
        save_tensors(weights_of(model), building)


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Read what ``save_weights`` wrote into a model of the same shape.

    Raises:
        ModelError: the file is missing or damaged, or is another model's: says how they differ.
    """
    put_weights(model, load_tensors(path), path)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, whole even where each process holds a part; shared ones once, on the CPU."""
    return {name: whole(tensor) for name, tensor in _unshared(model)}


def put_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Copy weights into a model.

    Args:
        model: changed in place.
        tensors: what ``weights_of`` gave.
        path: where they came from, for the message.

    Raises:
        ModelError: names or shapes differ.
    """
    own = dict(_unshared(model))
    problem = _difference({name: tuple(t.shape) for name, t in own.items()}, tensors)
    if problem:
        raise ModelError(f"the weights are another model's: {problem}; use the settings it was trained with", path=path)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(placed(tensors[name], tensor))


def _unshared(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    seen = set[int]()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield name, tensor


def _difference(own: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor]) -> str:
    shapes = [
        f"{name} is {list(tensors[name].shape)} there, {list(shape)} here"
        for name, shape in own.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    if shapes:
        return "; ".join(shapes[:_SHOWN])
    lacking, strange = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    parts = [f"it lacks {', '.join(lacking[:_SHOWN])}"] if lacking else []
    return " and ".join(parts + ([f"it has {', '.join(strange[:_SHOWN])}"] if strange else []))


# --- tensors --------------------------------------------------------------------------------------------------------


def whole(tensor: Tensor) -> Tensor:
    """A tensor with all its parts, on the CPU, apart from the graph; every process must ask."""
    full = getattr(tensor.detach(), "full_tensor", None)
    return (tensor.detach() if full is None else cast(Tensor, full())).cpu()


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, laid out as another one is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    moved = tensor.to(device=like.device, dtype=like.dtype)
    if isinstance(like, DTensor):
        return distribute_tensor(moved, like.device_mesh, like.placements)
    return moved


def save_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Write tensors to one safetensors file."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, str(path))


def load_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read what ``save_tensors`` wrote; runs no code from the file.

    Raises:
        ModelError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return cast(dict[str, Any], load_file(str(path)))
    except FileNotFoundError:
        raise ModelError("is missing from the model; train it again", path=path) from None
    except (SafetensorError, OSError, ValueError):
        raise ModelError("damaged: not a safetensors file; train the model again", path=path) from None
