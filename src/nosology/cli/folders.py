"""Folders that a command fills."""

from __future__ import annotations

from pathlib import Path

from nosology.errors import ConfigError


def make_folder(folder: Path) -> Path:
    """The folder, made with those above it if it is not there.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from error
    return folder
