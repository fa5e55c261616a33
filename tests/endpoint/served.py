"""A running chat server, and what it was asked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Served:
    """A running server.

    Args:
        process: its own.
        url: with ``/v1``.
        log: a line of JSON a request.
    """

    process: subprocess.Popen[str]
    url: str
    log: Path

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


Serve = Callable[..., Served]
