"""From TOML's plain values to dataclasses, with every problem of a file told at once."""

from __future__ import annotations

import difflib
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from nosology.config.rules import broken_rule, summary
from nosology.errors import ConfigError

SectionT = TypeVar("SectionT")

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a string in quotes"}


def read_toml(path: str | Path) -> dict[str, object]:
    """A TOML file's keys and values.

    Raises:
        ConfigError: missing, not a file, not UTF-8, or not TOML (with the line).
    """
    try:
        return tomllib.loads(Path(path).read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, not a TOML file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, NUL in the path
        reason = "not UTF-8 text; save it as UTF-8" if isinstance(error, UnicodeDecodeError) else f"not TOML: {error}"
        raise ConfigError(f"{path}: {reason}") from None


def dataclass_from_mapping(cls: type[SectionT], mapping: Mapping[str, object], where: str) -> SectionT:
    """Build a (nested) dataclass from plain values, or say everything that is wrong with them.

    Args:
        cls: a dataclass; its field types may be ``bool int float str``, ``Literal``, ``X | None``, ``tuple[X, ...]``,
            ``Mapping[str, X]``, another dataclass, or a union of dataclasses told apart by their first field, a
            ``Literal``.
        mapping: keys and values, as TOML or JSON give them.
        where: the file, for the message.

    Raises:
        ConfigError: unknown keys (with the nearest known one), missing keys, wrong types, values out of range.
    """
    problems = list[str]()
    built = _build(cls, mapping, "", problems)
    if problems:
        raise ConfigError(summary(where, problems))
    return cast(SectionT, built)


class _Bad:
    """Stands for a value that has already been complained about."""


_BAD = _Bad()


def _build(cls: type[Any], mapping: Mapping[str, object], table: str, problems: list[str]) -> object:
    hints = _hints(cls)
    known = {item.name: item for item in fields(cls)}
    for key in mapping:
        if key not in known:
            problems.append(f"{_at(table, key)}: unknown key{_nearest(key, known)}")
    values = dict[str, object]()
    for name, item in known.items():
        if name in mapping:
            values[name] = _read_field(item, hints[name], mapping[name], table, problems)
        elif item.default is MISSING and item.default_factory is MISSING:
            problems.append(f"{_at(table, name)}: is missing")
            values[name] = _BAD
    return _BAD if _BAD in values.values() else _construct(cls, values, table, problems)


def _construct(cls: type[Any], values: Mapping[str, object], table: str, problems: list[str]) -> object:
    """Make the section; what its own ``__post_init__`` says of several fields together is one more problem."""
    try:
        return cls(**values)
    except ConfigError as error:
        problems.append(f"[{table}]: {error}" if table else str(error))
        return _BAD


def _read_field(item: Field[Any], hint: object, value: object, table: str, problems: list[str]) -> object:
    path = f"{table}.{item.name}" if table else item.name
    converted = _convert(value, hint, path, problems)
    if converted is _BAD:
        return _BAD
    problem = broken_rule(item, converted)
    if problem is not None:
        problems.append(f"{_at(table, item.name)}: {problem}")
        return _BAD
    return converted


def _convert(value: object, hint: Any, path: str, problems: list[str]) -> object:
    """``value`` as the type ``hint`` wants it, or ``_BAD`` and a line in ``problems``."""
    origin = get_origin(hint)
    if origin is Literal:
        return _convert_literal(value, get_args(hint), path, problems)
    if origin in (Union, types.UnionType):
        return _convert_union(value, [arg for arg in get_args(hint) if arg is not type(None)], path, problems)
    if origin is tuple:
        return _convert_list(value, get_args(hint)[0], path, problems)
    if origin in (dict, Mapping):
        return _convert_table(value, get_args(hint)[1], path, problems)
    if is_dataclass(hint):
        if not _is_table(value, path, problems):
            return _BAD
        return _build(cast(type[Any], hint), cast(Mapping[str, object], value), path, problems)
    return _convert_scalar(value, hint, path, problems)


def _convert_scalar(value: object, hint: type, path: str, problems: list[str]) -> object:
    if type(value) is hint:
        return value
    if hint is float and type(value) is int:
        return float(value)
    hint_to_quote = "; write it in quotes" if hint is str and type(value) in (int, float) else ""
    problems.append(f"{_dotted(path)}: expected {_NAMES[hint]}, got {_kind(value)}{hint_to_quote}")
    return _BAD


def _convert_literal(value: object, choices: Sequence[object], path: str, problems: list[str]) -> object:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    listed = ", ".join(repr(choice) for choice in choices)
    nearest = _nearest(value, [c for c in choices if isinstance(c, str)]) if isinstance(value, str) else ""
    problems.append(f"{_dotted(path)}: expected one of {listed}, got {_kind(value)}{nearest}")
    return _BAD


def _convert_union(value: object, members: list[Any], path: str, problems: list[str]) -> object:
    if len(members) == 1:
        return _convert(value, members[0], path, problems)
    if not all(is_dataclass(member) for member in members):
        raise TypeError(f"{path}: a union must be of dataclasses, or of one type and None")
    if not _is_table(value, path, problems):
        return _BAD
    mapping = cast(Mapping[str, object], value)
    tag = fields(members[0])[0].name
    by_tag = {get_args(_hints(member)[tag])[0]: member for member in members}
    if tag not in mapping:
        problems.append(f"{_at(path, tag)}: is missing; one of {', '.join(map(repr, by_tag))}")
        return _BAD
    chosen = _convert_literal(mapping[tag], list(by_tag), f"{path}.{tag}", problems)
    return _BAD if chosen is _BAD else _build(by_tag[chosen], mapping, path, problems)


def _convert_list(value: object, hint: object, path: str, problems: list[str]) -> object:
    if not isinstance(value, list | tuple):
        problems.append(f"{_dotted(path)}: expected a list, got {_kind(value)}")
        return _BAD
    items = cast(Sequence[object], value)
    converted = [_convert(item, hint, f"{path}[{index}]", problems) for index, item in enumerate(items)]
    return _BAD if _BAD in converted else tuple(converted)


def _convert_table(value: object, hint: object, path: str, problems: list[str]) -> object:
    if not _is_table(value, path, problems):
        return _BAD
    mapping = cast(Mapping[str, object], value)
    converted = {key: _convert(item, hint, f"{path}.{key}", problems) for key, item in mapping.items()}
    return _BAD if _BAD in converted.values() else converted


def _is_table(value: object, path: str, problems: list[str]) -> bool:
    if isinstance(value, Mapping):
        return True
    problems.append(f"{_dotted(path)}: expected a table [{path}], got {_kind(value)}")
    return False


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return get_type_hints(cls)


def _at(table: str, key: str) -> str:
    return f"[{table}] {key}" if table else key


def _dotted(path: str) -> str:
    table, _, key = path.rpartition(".")
    return _at(table, key)


def _nearest(key: str, known: Mapping[str, object] | Sequence[str]) -> str:
    matches = difflib.get_close_matches(key, list(known), n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else f"; known: {', '.join(known)}" if known else ""


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    shown = repr(value)
    return shown if len(shown) <= 60 else f"a {type(value).__name__}"
