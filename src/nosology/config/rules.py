"""What a value of a section must be: rules in the metadata of a field, held in Python and in TOML alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from typing import Any, cast

from nosology.errors import ConfigError

Check = Callable[[Any], str | None]

_CHECK = "check"


def rule(check: Check) -> dict[str, Check]:
    """Metadata for a dataclass field: ``check`` returns what is wrong with a value, or ``None``."""
    return {_CHECK: check}


def between(low: float, high: float) -> dict[str, Check]:
    """The value lies in ``[low, high]``."""
    return rule(lambda value: None if low <= value <= high else f"{value!r} is not between {low} and {high}")


def at_least(low: float) -> dict[str, Check]:
    """The value is ``low`` or more."""
    return rule(lambda value: None if value >= low else f"{value!r} is below {low}")


def above(low: float) -> dict[str, Check]:
    """The value is more than ``low``."""
    return rule(lambda value: None if value > low else f"{value!r} is not above {low}")


def not_empty() -> dict[str, Check]:
    """The string or list holds something."""
    return rule(lambda value: None if len(value) > 0 else "is empty")


class Section:
    """Base of every section: a value that breaks its field's rule is refused however the section is made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        problems = list[str]()
        for item in fields(cast(Any, self)):
            problem = broken_rule(item, getattr(self, item.name))
            if problem is not None:
                problems.append(f"{item.name}: {problem}")
        if problems:
            raise ConfigError(summary(type(self).__name__, problems))


def broken_rule(item: Field[Any], value: object) -> str | None:
    """What is wrong with a field's value by its rule, or ``None``."""
    check = item.metadata.get(_CHECK)
    return None if check is None else check(value)


def summary(where: str, problems: Sequence[str]) -> str:
    """All problems of one place in one line."""
    count = "" if len(problems) == 1 else f"{len(problems)} problems: "
    return f"{where}: {count}{'; '.join(problems)}"
