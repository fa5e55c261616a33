"""Seeds on the command line: whole numbers joined by commas."""

from __future__ import annotations

from nosology.errors import ConfigError


def parse_seeds(text: str) -> tuple[int, ...]:
    """The numbers of ``0,1,2``.

    Raises:
        ConfigError: something else stands there.
    """
    try:
        return tuple(int(one) for one in text.split(","))
    except ValueError:
        raise ConfigError(f"--seeds {text!r}: expected whole numbers joined by commas, as in 0,1,2") from None
