"""Dataclasses as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast


def to_toml(section: object) -> str:
    """A dataclass as TOML: ``dataclass_from_mapping`` reads it back equal. Fields that are ``None`` are left out."""
    return "\n".join(_table_lines("", _plain(section))).strip() + "\n"


def _plain(section: object) -> dict[str, object]:
    return {item.name: getattr(section, item.name) for item in fields(cast(Any, section))}


def _table_lines(path: str, values: Mapping[str, object]) -> list[str]:
    lines = [f"[{path}]"] if path else []
    tables = dict[str, Mapping[str, object]]()
    for key, value in values.items():
        if is_dataclass(value):
            tables[key] = _plain(value)
        elif isinstance(value, Mapping):
            tables[key] = cast(Mapping[str, object], value)
        elif value is not None:
            lines.append(f"{_toml_key(key)} = {_toml_value(value)}")
    for key, table in tables.items():
        lines += ["", *_table_lines(f"{path}.{_toml_key(key)}" if path else _toml_key(key), table)]
    return lines


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_string(key)


def _toml_string(text: str) -> str:
    # JSON's escapes are TOML's, but TOML also forbids a bare DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _toml_string(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, cast(Sequence[object], value)))}]"
    raise TypeError(f"TOML has no place for a {type(value).__name__}")
