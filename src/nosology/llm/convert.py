"""Older weights into safetensors: flax's msgpack (ClinicalT5) and PyTorch's ``.bin``, without running their code.

A ``.bin`` is a pickle: it is read with ``weights_only``, which makes tensors and nothing else. msgpack holds numbers
and bytes alone. Names and layouts of flax become PyTorch's:

    kernel (2-d)  -> weight, transposed       kernel (3-d, convolution) -> weight, axes reversed
    embedding     -> weight                   scale -> weight           everything else keeps its name
"""

from __future__ import annotations

import json
import pickle
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nosology.encoders.transformer import without_progress_bar
from nosology.errors import MissingExtraError, ModelError
from nosology.llm.loading import give_own_output, kind_of
from nosology.whole_files import building_folder

FLAX, TORCH = "flax_model.msgpack", "pytorch_model.bin"
_INDEX = ".index.json"
_NDARRAY, _SCALAR = 1, 3
_CHUNKED = "__msgpack_chunked_array__"
_RENAMED = {"kernel": "weight", "embedding": "weight", "scale": "weight"}
_LEFT_OUT = (r"rotary_emb\.inv_freq$",)
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion came to.

    Args:
        source: the format that was read: "flax" or "torch".
        tensors, weights: how many.
        has_tokenizer: whether a tokenizer came along.
    """

    source: str
    tensors: int
    weights: int
    has_tokenizer: bool


def convert(source: str | Path, target: str | Path) -> Converted:
    """Write a model folder of older weights anew, with ``model.safetensors`` and a fast tokenizer.

    Args:
        source: a folder with ``config.json`` and ``flax_model.msgpack`` or ``pytorch_model.bin`` (or their shards).
        target: the folder to make; must not exist.

    Raises:
        ModelError: no such weights, damaged ones, or weights of another model than ``config.json`` says.
        MissingExtraError: msgpack is not installed.
    """
    folder = Path(source)
    kind, files = _weight_files(folder)
    tensors = _read_flax(files) if kind == "flax" else _read_torch(files)
    with building_folder(target, check=_check_target, error=ModelError) as building:
        model = _model_of(folder, tensors)
        with without_progress_bar():
            model.save_pretrained(building)
        has_tokenizer = _bring_tokenizer(folder, building)
    return Converted(kind, len(tensors), sum(tensor.numel() for tensor in tensors.values()), has_tokenizer)


def _check_target(path: Path) -> None:
    if path.exists():
        raise ModelError("exists already; name a new folder", path=path)


def _weight_files(folder: Path) -> tuple[str, list[Path]]:
    if not (folder / "config.json").is_file():
        raise ModelError("is no folder with a config.json; download the whole model", path=folder)
    for kind, name in (("flax", FLAX), ("torch", TORCH)):
        if (folder / name).is_file():
            return kind, [folder / name]
        if (folder / f"{name}{_INDEX}").is_file():
            return kind, _shards(folder / f"{name}{_INDEX}")
    raise ModelError(f"holds neither {FLAX} nor {TORCH}: nothing to convert", path=folder)


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError):
        raise ModelError("damaged: not an index of weights", path=index) from None
    files = [index.parent / Path(name).name for name in names]
    for file in files:
        if not file.is_file():
            raise ModelError("is named by the index and missing; download the whole model", path=file)
    return files


# --- PyTorch --------------------------------------------------------------------------------------------------------


def _read_torch(files: Sequence[Path]) -> dict[str, Tensor]:
    tensors = dict[str, Tensor]()
    for file in files:
        try:
            read = torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
            raise ModelError(
                f"no plain tensors ({type(error).__name__}): damaged, or it holds code, which never runs",
                path=file,
            ) from None
        if not isinstance(read, Mapping) or not all(isinstance(value, Tensor) for value in read.values()):
            raise ModelError("holds something else than tensors by name", path=file)
        tensors |= cast(dict[str, Tensor], dict(cast(Any, read)))
    return tensors


# --- flax -----------------------------------------------------------------------------------------------------------


def _read_flax(files: Sequence[Path]) -> dict[str, Tensor]:
    tensors = dict[str, Tensor]()
    for file in files:
        try:
            tensors |= dict(_as_torch(path, value) for path, value in _named(_unchunked(_unpack(file))))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"damaged: not flax's msgpack ({type(error).__name__})", path=file) from None
    return tensors


def _unpack(file: Path) -> Any:
    try:
        import msgpack  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtraError("reading flax weights", "llm") from None
    limit = 2**31 - 1
    return msgpack.unpackb(
        file.read_bytes(),
        ext_hook=_extension,
        raw=False,
        strict_map_key=False,
        max_ext_len=limit,
        max_bin_len=limit,
        max_str_len=limit,
    )


def _extension(code: int, data: bytes) -> Any:
    """flax.serialization's own types: arrays and NumPy scalars as (shape, type, bytes)."""
    import msgpack  # pyright: ignore[reportMissingImports]

    if code not in (_NDARRAY, _SCALAR):
        raise ValueError(f"type {code}")
    shape, kind, content = msgpack.unpackb(data, raw=True)
    return _array(tuple(shape), kind.decode() if isinstance(kind, bytes) else kind, content)


def _array(shape: tuple[int, ...], kind: str, content: bytes) -> Tensor | NDArray[Any]:
    if kind == "bfloat16":
        bits = np.frombuffer(content, dtype=np.int16).reshape(shape)
        return torch.from_numpy(bits.copy()).view(torch.bfloat16)
    return np.frombuffer(content, dtype=np.dtype(kind)).reshape(shape).copy()


def _unchunked(tree: Any) -> Any:
    """Arrays of more than a gigabyte come in chunks."""
    if not isinstance(tree, dict):
        return tree
    branch = cast(dict[str, Any], tree)
    if _CHUNKED not in branch:
        return {key: _unchunked(value) for key, value in branch.items()}
    shape, chunks = branch["shape"], branch["chunks"]
    parts = [torch.as_tensor(chunks[str(number)]).reshape(-1) for number in range(len(chunks))]
    return torch.cat(parts).reshape([int(shape[str(number)]) for number in range(len(shape))])


def _named(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Leaves with their paths; a tree of nothing but ``params`` is that."""
    if not isinstance(tree, dict):
        yield path, tree
        return
    branch = cast(dict[str, Any], tree)
    if not path and set(branch) == {"params"}:
        branch = cast(dict[str, Any], branch["params"])
    for key, value in branch.items():
        yield from _named(value, (*path, str(key)))


def _as_torch(path: Sequence[str], value: Any) -> tuple[str, Tensor]:
    """A leaf by PyTorch's name and in its layout."""
    tensor = value if isinstance(value, Tensor) else torch.as_tensor(value)
    *before, last = path
    if last == "kernel":
        tensor = tensor.permute(*reversed(range(tensor.dim())))
    return ".".join((*before, _RENAMED.get(last, last))), tensor.contiguous()


# --- into a model ---------------------------------------------------------------------------------------------------


def _model_of(folder: Path, tensors: Mapping[str, Tensor]) -> Any:
    """The model that ``config.json`` describes, with these weights and no others."""
    from transformers import AutoConfig

    try:
        config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError("transformers cannot read its config.json", path=folder) from error
    model = kind_of(config).from_config(config)
    model.to(_precision(tensors))
    if _parts_output(model, tensors):
        give_own_output(model)
    own: dict[str, Tensor] = model.state_dict(keep_vars=True)
    _check_names(model, own, tensors, folder)
    model.load_state_dict({name: value for name, value in tensors.items() if name in own}, strict=False)
    return model


def _parts_output(model: Any, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a model that was made with shared word vectors is given two different ones."""
    words = model.get_input_embeddings().weight
    names = [name for name, value in model.state_dict(keep_vars=True).items() if value is words and name in tensors]
    return any(not torch.equal(tensors[name], tensors[names[0]]) for name in names[1:])


def _precision(tensors: Mapping[str, Tensor]) -> torch.dtype:
    """That of most weights."""
    counts = Counter[torch.dtype]()
    for tensor in tensors.values():
        if tensor.is_floating_point():
            counts[tensor.dtype] += tensor.numel()
    return counts.most_common(1)[0][0] if counts else torch.float32


def _check_names(model: Any, own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Every weight is given, by one of its names where several share it; what older versions also kept may be there."""
    given = {id(own[name]) for name in tensors if name in own}
    ignored = [*_LEFT_OUT, *(getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ())]
    problems = {
        "lack": [name for name, value in own.items() if id(value) not in given],
        "hold, as strangers,": [
            name for name in tensors if name not in own and not any(re.search(one, name) for one in ignored)
        ],
        "have another shape for": [name for name in tensors if name in own and own[name].shape != tensors[name].shape],
    }
    for told, names in problems.items():
        if names:
            shown = ", ".join(sorted(names)[:_SHOWN])
            raise ModelError(f"the weights are of another model than its config.json: they {told} {shown}", path=folder)


def _bring_tokenizer(folder: Path, building: Path) -> bool:
    """Write the tokenizer in its fast form, whatever form it has; ``False`` where the folder has none to read."""
    from transformers import AutoTokenizer

    with suppress(OSError, ValueError, KeyError, ImportError, AttributeError):
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, use_fast=True)
        tokenizer.save_pretrained(building)
    return (building / "tokenizer.json").is_file()
