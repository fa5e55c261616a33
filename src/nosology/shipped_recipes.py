"""Where recipes lie: a path the user gives, or the name of one that ships with the package."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import nosology
from nosology.errors import ConfigError

_NAMED = 8
"""Recipes that an error names where none comes near."""


def shipped_recipes() -> dict[str, Path]:
    """Name -> file of the recipes that came with the package (or stand in the source tree it runs from)."""
    package = Path(nosology.__file__).parent
    for folder in (package / "recipes", package.parents[1] / "recipes"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.toml"))}
    return {}


def find_recipe(recipe: str) -> Path:
    """The file that ``recipe`` names.

    Args:
        recipe: a path, or the name of a shipped recipe, with or without ``.toml``.

    Raises:
        ConfigError: neither.
    """
    path = Path(recipe)
    if path.is_file():
        return path
    shipped = shipped_recipes()
    name = recipe.removesuffix(".toml")
    if name in shipped:
        return shipped[name]
    raise ConfigError(f"{recipe}: no such recipe file, and no recipe of that name; {_hint(name, list(shipped))}")


def _hint(name: str, shipped: list[str]) -> str:
    nearest = get_close_matches(name, shipped, n=3)
    if nearest:
        return f"did you mean {' or '.join(map(repr, nearest))}?"
    more = f" and {len(shipped) - _NAMED} more" if len(shipped) > _NAMED else ""
    return f"shipped with nosology: {', '.join(shipped[:_NAMED]) or 'none'}{more}"
