"""How a training runs: every option of the loop, with its unit and its rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from nosology.config.rules import Section, above, at_least, between, not_empty, rule
from nosology.errors import ConfigError

Schedule = Literal["linear", "cosine", "constant", "plateau"]
Sampling = Literal["plain", "repeat_factor", "class_balanced"]


@dataclass(frozen=True, slots=True)
class TrainerConfig(Section):
    """How a neural model is trained.

    Args:
        epochs: passes through the training encounters, at most.
        max_steps: updates of the weights, at most; left out, as many as the epochs have.
        learning_rate: of AdamW, at its highest.
        encoder_learning_rate: the same for the parameters of ``encoder``; left out, ``learning_rate``.
        weight_decay: of matrices; vectors (biases, norms) have none.
        schedule: how the rate goes on after the warm-up: down to 0 along a line or a cosine, constant, or by
            ``plateau_factor`` whenever dev has not improved.
        warmup_steps: updates in which the rate rises from 0.
        plateau_factor: what the rate is multiplied by after each validation without a new best, for "plateau".
        tokens_per_batch: tokens a batch, padding included, at most.
        encounters_per_batch: encounters a batch, at most.
        sampling: which encounters an epoch reads: each once ("plain"); those with rare codes oftener
            ("repeat_factor"); or as many as there are, each drawn by a code first, all codes alike ("class_balanced").
        repeat_threshold: t, for "repeat_factor": encounters are repeated max(1, sqrt(t / f)) times, with f the share of
            encounters that carry their rarest code.
        accumulation: batches a process adds up for one update.
        max_tokens: tokens read of an encounter; the rest is cut off, counted and told.
        clip_norm: gradients are scaled down to this norm; 0 leaves them alone.
        averaging: decay of the moving average of the weights that is validated and kept; 0 keeps the weights.
        mixed_precision: "auto" is bf16 on a GPU that has it, and full precision elsewhere.
        gradient_checkpointing: compute activations again instead of keeping them; encoders of transformers alone.
        compile: hand the model to torch.compile.
        distributed: how several processes share the model: copies ("ddp") or parts ("fsdp").
        device: "auto" takes an accelerator where there is one.
        metric: the figure of dev that decides, by its name in the evaluation report.
        patience: validations without a new best before training stops; 0 never stops early.
        validation_steps: updates between validations; 0: at the end of each epoch.
        validation_top: highest scores of each dev encounter that are kept and judged.
        threshold: score from which a code counts as assigned in validation; left out, that of the highest micro-F1.
        evidence_weight: weight of the loss that holds attention to evidence that people marked; 0 leaves it out.
        checkpoint_steps: updates between checkpoints, beside those at validations.
        log_steps: updates between lines in the log.
        tracking: where figures also go: "tensorboard", "mlflow"; both write into the run's folder.
        seed: of order and dropout.
    """

    epochs: int = field(default=20, metadata=between(1, 10_000))
    max_steps: int | None = field(
        default=None, metadata=rule(lambda value: None if value is None or value >= 1 else f"{value!r} is below 1")
    )
    learning_rate: float = field(default=1e-3, metadata=above(0))
    encoder_learning_rate: float | None = field(
        default=None, metadata=rule(lambda value: None if value is None or value > 0 else f"{value!r} is not above 0")
    )
    weight_decay: float = field(default=0.01, metadata=at_least(0))
    schedule: Schedule = "linear"
    warmup_steps: int = field(default=0, metadata=at_least(0))
    plateau_factor: float = field(default=0.9, metadata=between(0.01, 1))
    tokens_per_batch: int = field(default=32_768, metadata=at_least(1))
    encounters_per_batch: int = field(default=16, metadata=at_least(1))
    sampling: Sampling = "plain"
    repeat_threshold: float = field(default=0.001, metadata=between(0, 1))
    accumulation: int = field(default=1, metadata=at_least(1))
    max_tokens: int = field(default=4000, metadata=at_least(1))
    clip_norm: float = field(default=1.0, metadata=at_least(0))
    averaging: float = field(
        default=0.0, metadata=rule(lambda value: None if 0 <= value < 1 else f"{value!r} is not in [0, 1)")
    )
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    gradient_checkpointing: bool = False
    compile: bool = False
    distributed: Literal["ddp", "fsdp"] = "ddp"
    device: Literal["auto", "cpu"] = "auto"
    metric: str = field(default="micro.f1", metadata=not_empty())
    patience: int = field(default=5, metadata=at_least(0))
    validation_steps: int = field(default=0, metadata=at_least(0))
    validation_top: int = field(default=200, metadata=at_least(1))
    threshold: float | None = field(
        default=None, metadata=rule(lambda value: None if value is None or 0 <= value <= 1 else "is not in [0, 1]")
    )
    evidence_weight: float = field(default=0.0, metadata=at_least(0))
    checkpoint_steps: int = field(default=500, metadata=at_least(1))
    log_steps: int = field(default=10, metadata=at_least(1))
    tracking: tuple[Literal["tensorboard", "mlflow"], ...] = ()
    seed: int = field(default=0, metadata=at_least(0))

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.max_steps is not None and self.warmup_steps >= self.max_steps:
            raise ConfigError(f"warmup_steps {self.warmup_steps} leaves no step of max_steps {self.max_steps}")

    def changed(self, names: Sequence[str]) -> list[str]:
        """Which of these options are not as they are by default."""
        return [name for name in names if getattr(self, name) != type(self).__dataclass_fields__[name].default]


VALIDATING = ("metric", "patience", "validation_steps", "validation_top", "threshold")
"""Options of validation, which a training without dev encounters has none of."""

MAY_CHANGE = ("log_steps", "checkpoint_steps", "tracking")
"""What a run that goes on may have otherwise than before: nothing that its weights depend on."""
