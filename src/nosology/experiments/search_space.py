"""What a search may change: arms, each with fixed keys of the recipe and keys to be chosen.

    [arms.logistic.fixed]
    "model.kind" = "tfidf"

    [arms.logistic.space]
    "model.strength" = { low = 0.1, high = 1000.0, log = true }
    "model.words" = [1, 2, 3]

A list is a choice; ``low`` and ``high`` are a range, of whole numbers if both are, evenly or on a logarithmic scale.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nosology.config import Recipe, read_toml
from nosology.errors import ConfigError
from nosology.experiments.overrides import override

if TYPE_CHECKING:
    from optuna import Trial

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values."""

    values: tuple[Value, ...]

    def suggest(self, trial: Trial, key: str) -> Value:
        return cast(Value, trial.suggest_categorical(key, self.values))

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that show whether the whole may stand in a recipe."""
        return self.values


@dataclass(frozen=True, slots=True)
class Range:
    """A number from ``low`` to ``high``, both included."""

    low: int | float
    high: int | float
    log: bool = False

    def suggest(self, trial: Trial, key: str) -> Value:
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(key, self.low, self.high, log=self.log)
        return trial.suggest_float(key, float(self.low), float(self.high), log=self.log)

    @property
    def ends(self) -> tuple[Value, ...]:
        return (self.low, self.high)


@dataclass(frozen=True, slots=True)
class SearchArm:
    """A way to go: what is fixed, and what is chosen.

    Args:
        name: in the file.
        fixed: keys of the recipe and their values.
        space: keys of the recipe and what may stand there.
    """

    name: str
    fixed: Mapping[str, Value]
    space: Mapping[str, Choice | Range]

    def recipe(self, base: Recipe, chosen: Mapping[str, Value]) -> Recipe:
        """The recipe of a trial.

        Raises:
            ConfigError: it is not one.
        """
        return override(base, {**self.fixed, **chosen}, f"arm {self.name!r}")

    def check(self, base: Recipe) -> None:
        """Try both ends of every range and each choice, the other keys at their first.

        Raises:
            ConfigError: a value that the recipe refuses.
        """
        first = {key: options.ends[0] for key, options in self.space.items()}
        self.recipe(base, first)
        for key, options in self.space.items():
            for value in options.ends:
                self.recipe(base, {**first, key: value})


def read_space(path: Path, base: Recipe, chosen: Collection[str] = ()) -> tuple[SearchArm, ...]:
    """Read a search space and try it on a recipe.

    Args:
        path: a TOML file.
        base: the recipe that is searched around.
        chosen: names of the arms wanted; empty for all.

    Raises:
        ConfigError: the file is not one, an arm is unknown, or the recipe refuses a value.
    """
    content = read_toml(path)
    tables = content.get("arms")
    if set(content) != {"arms"} or not isinstance(tables, dict) or not tables:
        raise ConfigError(f"{path}: expected tables [arms.NAME.space], and [arms.NAME.fixed] where keys are fixed")
    arms = {name: _arm(path, name, values) for name, values in cast(dict[str, object], tables).items()}
    unknown = [name for name in chosen if name not in arms]
    if unknown:
        raise ConfigError(f"{path}: no arm {unknown[0]!r}; there are: {', '.join(arms)}")
    wanted = tuple(arm for name, arm in arms.items() if not chosen or name in chosen)
    for arm in wanted:
        try:
            arm.check(base)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
    return wanted


def describe_space(arms: Sequence[SearchArm]) -> str:
    """The arms as text that differs wherever they do."""
    plain = [
        [arm.name, dict(arm.fixed), {key: [type(one).__name__, str(one)] for key, one in arm.space.items()}]
        for arm in arms
    ]
    return json.dumps(plain, sort_keys=True)


def _arm(path: Path, name: str, values: object) -> SearchArm:
    where = f"{path}: [arms.{name}]"
    if not isinstance(values, dict) or not set(cast(dict[str, object], values)) <= {"fixed", "space"}:
        raise ConfigError(f"{where}: holds [fixed] and [space] and nothing else")
    tables = cast(dict[str, object], values)
    fixed, space = _table(where, tables, "fixed"), _table(where, tables, "space")
    if not space:
        raise ConfigError(f"{where}: has no [space]; name at least one key to choose")
    twice = sorted(set(fixed) & set(space))
    if twice:
        raise ConfigError(f"{where}: {twice[0]} is fixed and chosen; leave one out")
    for key, value in fixed.items():
        _check_value(f"{where} fixed {key}", value)
    options = {key: _options(f"{where} space {key}", value) for key, value in space.items()}
    return SearchArm(name, cast(Mapping[str, Value], fixed), options)


def _table(where: str, tables: Mapping[str, object], name: str) -> dict[str, object]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{where} {name}: expected a table")
    return cast(dict[str, object], table)


def _options(where: str, value: object) -> Choice | Range:
    if isinstance(value, list):
        values = cast(list[object], value)
        if not values:
            raise ConfigError(f"{where}: an empty list leaves no choice")
        for one in values:
            _check_value(where, one)
        return Choice(tuple(cast(list[Value], values)))
    if isinstance(value, dict):
        return _range(where, cast(dict[str, object], value))
    raise ConfigError(f'{where}: expected a list, or {{ low = .., high = .. }}; is "{where.split()[-1]}" in quotes?')


def _range(where: str, table: Mapping[str, object]) -> Range:
    low, high, log = table.get("low"), table.get("high"), table.get("log", False)
    if not set(table) <= {"low", "high", "log"}:
        raise ConfigError(f'{where}: expected low, high and log only; is "{where.split()[-1]}" in quotes?')
    if type(low) not in (int, float) or type(high) not in (int, float) or type(log) is not bool:
        raise ConfigError(f"{where}: low and high must be numbers, log true or false")
    lowest, highest = cast(float, low), cast(float, high)
    if not lowest < highest or (log and lowest <= 0):
        raise ConfigError(f"{where}: low must be below high, and above 0 on a logarithmic scale")
    return Range(lowest, highest, log)


def _check_value(where: str, value: object) -> None:
    if type(value) not in (bool, int, float, str):
        raise ConfigError(f"{where}: a value must be a number, a string, true or false")
