"""How a training runs; recipes hold these options, so they live with the recipe's other sections."""

from __future__ import annotations

from nosology.config.trainer import MAY_CHANGE, TrainerConfig

__all__ = ["MAY_CHANGE", "TrainerConfig"]
