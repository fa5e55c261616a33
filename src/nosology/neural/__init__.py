"""Neural coders among the other methods: a network as a predictor of its own, or as one more source of candidates."""

from __future__ import annotations

from importlib.util import find_spec

from nosology.errors import MissingExtraError

_PACKAGES = ("torch", "transformers", "accelerate", "safetensors", "tokenizers", "jaxtyping")


def require_neural() -> None:
    """Check that networks can run here; imports none of what they need.

    Raises:
        MissingExtraError: a package of the extra "neural" is not installed.
    """
    if not has_neural():
        raise MissingExtraError("a network", "neural")


def has_neural() -> bool:
    """Whether the extra "neural" is installed; imports none of it."""
    return all(find_spec(package) is not None for package in _PACKAGES)
