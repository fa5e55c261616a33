"""For every area: where real data lies, if anywhere; shapes of tensors are checked; no example has a deadline."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes tells how busy the machine is, not whether the property holds.
settings.register_profile("whatever the load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("whatever the load")

if find_spec("jaxtyping") and find_spec("beartype"):
    import jaxtyping

    # Here, not beside the tests of networks: whichever area imports these modules first, they are checked.
    jaxtyping.install_import_hook(
        ["nosology.encoders", "nosology.heads", "nosology.model", "nosology.builders"], "beartype.beartype"
    )


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
