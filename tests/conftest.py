"""Fixtures for every area: where real data lies, if it lies anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder that NOSOLOGY_DATA names; tests that need real data skip without it."""
    value = os.environ.get("NOSOLOGY_DATA", "")
    if not value:
        pytest.skip("NOSOLOGY_DATA is not set: real data is not at hand")
    if not Path(value).is_dir():
        pytest.skip(f"NOSOLOGY_DATA names {value}, which is not a folder")
    return Path(value)


@pytest.fixture(scope="session")
def codiesp_dir(data_dir: Path) -> Path:
    """The CodiEsp release inside ``data_dir``."""
    folder = data_dir / "codiesp"
    if not (folder / "train").is_dir():
        pytest.skip("NOSOLOGY_DATA has no codiesp/train")
    return folder
