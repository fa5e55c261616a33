"""Large language models as coders: they write codes, their states are read by label attention, or both at once."""

from __future__ import annotations

from importlib.util import find_spec

from nosology.errors import MissingExtraError
from nosology.neural import has_neural


def require_llm() -> None:
    """Check that language models can run here; imports none of what they need.

    Raises:
        MissingExtraError: a package of the extra "llm", or of those that it brings, is not installed.
    """
    if not has_neural() or find_spec("peft") is None:  # the extra "llm" brings what "neural" does
        raise MissingExtraError("a large language model", "llm")
