"""Pieces of formulas that stay finite for any logit and cost little: autograd's own for these are slow on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def softplus(logits: Tensor) -> Tensor:
    """log(1 + e^z) = -log(1 - p); of -z it is -log p."""
    return functional.softplus(logits)


def power(base: Tensor, exponent: float) -> Tensor:
    """``base ** exponent`` for a base of 0 or more, by products for small whole exponents; 0 ** 0 is 1."""
    match exponent:
        case 0:
            return torch.ones_like(base)
        case 1:
            return base
        case 2:
            return base * base
        case 3:
            return base * base * base
        case 4:
            squared = base * base
            return squared * squared
        case _:
            # Of a base of 0 the gradient of a power below 1 is infinite, and times 0 no number.
            return base.clamp(min=torch.finfo(base.dtype).tiny) ** exponent if exponent < 1 else base**exponent


def shifted(logits: Tensor, margin: float) -> Tensor:
    """p_m = max(p - m, 0)."""
    probabilities = torch.sigmoid(logits)
    return torch.relu(probabilities - margin) if margin else probabilities


def negative_log(shifted_probabilities: Tensor, logits: Tensor, margin: float) -> Tensor:
    """-log(1 - p_m)."""
    return -torch.log1p(-shifted_probabilities) if margin else softplus(logits)


def power_weights(base: Tensor, exponent: Tensor) -> Tensor:
    """``base ** exponent`` without gradient, for exponents above 0; a base of 0 gives 0."""
    return torch.exp(exponent * torch.log(base.detach()))
