"""Recipes with some of their keys changed: what the arms of an experiment and the trials of a search differ in."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import cast

from nosology.config import Recipe, dataclass_from_mapping, to_toml
from nosology.errors import ConfigError

_TAGS = {"corpus": "reader", "model": "kind"}
"""The key that chooses a section's kind: with another kind, none of the old one's keys are kept."""


def override(recipe: Recipe, changes: Mapping[str, object], where: str) -> Recipe:
    """The recipe with other values.

    Args:
        recipe: what is changed.
        changes: by dotted key, e.g. ``{"model.words": 1, "training.folds": 5}``.
        where: whose changes these are, for messages.

    Raises:
        ConfigError: everything that is wrong with the changed recipe.
    """
    values = tomllib.loads(to_toml(recipe))
    for table, tag in _TAGS.items():
        kind = changes.get(f"{table}.{tag}")
        if kind is not None and values[table][tag] != kind:
            values[table] = {tag: kind}
    for key, value in changes.items():
        _set(values, key, value, where)
    return dataclass_from_mapping(Recipe, values, where)


def _set(values: dict[str, object], key: str, value: object, where: str) -> None:
    *tables, name = key.split(".")
    table = values
    for part in tables:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{where}: {key}: {part} is a value, not a table")
        table = cast(dict[str, object], inner)
    table[name] = value
