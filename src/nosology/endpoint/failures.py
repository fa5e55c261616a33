"""What goes wrong with a server. No message holds what was sent or answered: either could be note text."""

from __future__ import annotations

from nosology.errors import NosologyError


class EndpointError(NosologyError):
    """The server cannot be used at all: refused host, wrong key or path, nothing but failures."""


class RequestFailedError(EndpointError):
    """One request got no usable answer, after all retries; others may.

    Args:
        reason: what happened, in a few words.
        attempts: how often it was tried.
    """

    def __init__(self, reason: str, attempts: int) -> None:
        times = "once" if attempts == 1 else f"{attempts} times"
        super().__init__(f"the endpoint gave no usable answer ({reason}; tried {times})")
        self.reason = reason
