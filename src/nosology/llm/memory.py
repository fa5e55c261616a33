"""What a language model takes on a GPU before its first note, and what would fit where it doesn't.

    full tuning    16 bytes a weight: fp32 weight, gradient, two moments of AdamW
    LoRA            2 bytes (bf16), 4 (fp32) or 0.56 (NF4 with its scales) a frozen weight, 16 a weight that learns

Activations come on top; ``Trainer.dry_run`` measures them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nosology.config.llm import FullTuningConfig, LoraConfig, TuningConfig
from nosology.errors import ConfigError
from nosology.llm.lora import TrainableShare, predict_share, shapes_of, share_of

_LEARNING_BYTES = 16.0
_FROZEN_BYTES = {"fp32": 4.0, "bf16": 2.0, "four_bit": 0.56}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to tune a model.

    Args:
        name: as a person would set it.
        bytes_needed: on the GPU, without activations.
    """

    name: str
    bytes_needed: float


def bytes_needed(share: TrainableShare, frozen: str) -> float:
    """Without activations.

    Args:
        share: what learns.
        frozen: how the other weights are held: "fp32", "bf16" or "four_bit".
    """
    return share.learning * _LEARNING_BYTES + (share.total - share.learning) * _FROZEN_BYTES[frozen]


def check_memory(config: Any, tuning: TuningConfig, free_bytes: int) -> None:
    """Refuse a model that cannot fit, before its weights are loaded.

    Args:
        config: of transformers.
        tuning: of the recipe.
        free_bytes: of the GPU.

    Raises:
        ConfigError: it cannot; says what would.
    """
    model = shapes_of(config)
    lora = tuning if isinstance(tuning, LoraConfig) else LoraConfig()
    share = predict_share(model, lora)
    ways = [
        Way("full tuning", bytes_needed(share_of(model), "fp32")),
        Way('[tuning] kind = "lora"', bytes_needed(share, "bf16")),
        Way("the same with four_bit = true", bytes_needed(share, "four_bit")),
    ]
    chosen = ways[0 if isinstance(tuning, FullTuningConfig) else 2 if tuning.four_bit else 1]
    if chosen.bytes_needed <= free_bytes:
        return
    fitting = [way for way in ways if way.bytes_needed <= free_bytes]
    told = ", or ".join(f"{way.name} ({_size(way.bytes_needed)})" for way in fitting) or "a smaller model"
    raise ConfigError(
        f"too little GPU memory: {chosen.name} takes {_size(chosen.bytes_needed)} before its first note, "
        f"{_size(free_bytes)} are free; would fit: {told}"
    )


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"
