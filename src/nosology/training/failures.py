"""What stops a training, told so that a person knows what to change."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from nosology.config.trainer import TrainerConfig
from nosology.errors import NosologyError

_SHOWN = 8
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate")


class TrainingError(NosologyError):
    """A training cannot go on; its last checkpoint stays."""


def not_finite(
    what: str, value: float, step: int, epoch: int, encounter_ids: Sequence[str], config: TrainerConfig
) -> TrainingError:
    """The loss or the gradient is no number any more.

    Args:
        what: "loss", "gradient".
        value: what it became.
        step, epoch: where, both counted from 1.
        encounter_ids: of the batch (or, for a gradient, of all batches of the step).
        config: what can be changed.
    """
    shown = ", ".join(encounter_ids[:_SHOWN])
    more = f" and {len(encounter_ids) - _SHOWN} more" if len(encounter_ids) > _SHOWN else ""
    precise = '; set mixed_precision = "no"' if config.mixed_precision in ("fp16", "auto") else ""
    clip = f"lower clip_norm ({config.clip_norm:g})" if config.clip_norm else "set clip_norm = 1.0"
    return TrainingError(
        f"the {what} became {value} at step {step} (epoch {epoch}), encounters {shown}{more}: lower learning_rate "
        f"({config.learning_rate:g}), lengthen warmup_steps ({config.warmup_steps}), {clip}{precise}; the last "
        "checkpoint stays, but another setting needs another folder"
    )


@contextmanager
def telling_memory(config: TrainerConfig, tokens: int, encounters: int) -> Generator[None, None, None]:
    """Turn a lack of memory into a line that says which option to change.

    Args:
        config: what can be changed.
        tokens, encounters: size of the batch that did not fit.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(_memory_line(config, tokens, encounters)) from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch's says that memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(part in text for part in _OUT_OF_MEMORY)


def _memory_line(config: TrainerConfig, tokens: int, encounters: int) -> str:
    knobs = list[str]()
    if encounters > 1:
        knobs.append(f"halve tokens_per_batch ({config.tokens_per_batch}) and double accumulation")
    else:
        knobs.append(f"lower max_tokens ({config.max_tokens})")
    if not config.gradient_checkpointing:
        knobs.append("set gradient_checkpointing = true (encoders of transformers)")
    if config.averaging:
        knobs.append("set averaging = 0")
    return f"out of memory at a batch of {encounters} encounters, {tokens:,} tokens: " + ", or ".join(knobs)
