"""The tree of errors: what users see when an input, a model folder or an option is wrong.

Every message is one line: what was wrong with the values, where (file, line, id), and what to do. No message ever
holds note text. The command line turns a ``NosologyError`` into that line and exit code 2.

    NosologyError
    ├── ConfigError        a recipe or an option: unknown key, wrong type, value out of range
    ├── DataError          something a user gave us to read
    │   ├── CorpusError    a corpus folder or file: missing, empty, wrong layout, broken row
    │   ├── CodeError      a code or a code system: unknown, malformed, no table for that date
    │   └── PredictionsError  a predictions file: not JSON lines, unknown encounter, duplicate id
    ├── ModelError         a model folder: missing, truncated, other version, hash does not match
    └── MissingExtraError  an optional dependency is not installed; names the install line
"""

from __future__ import annotations

from pathlib import Path


class NosologyError(Exception):
    """Base of every error that a user can cause and mend."""


class ConfigError(NosologyError):
    """A recipe or an option is wrong."""


class DataError(NosologyError):
    """Something a user gave us to read is wrong; says where.

    Args:
        problem: what is wrong and what to do, in one sentence without note text.
        path: the file, if there is one.
        line: the 1-based line (or row) in that file.
        record_id: the encounter, note or code at fault.
    """

    def __init__(
        self, problem: str, *, path: str | Path | None = None, line: int | None = None, record_id: str | None = None
    ) -> None:
        self.problem = problem
        self.path = None if path is None else str(path)
        self.line = line
        self.record_id = record_id
        where = [] if self.path is None else [self.path + (f":{line}" if line is not None else "")]
        if self.path is None and line is not None:
            where.append(f"line {line}")
        if record_id is not None:
            where.append(f"[{record_id}]")
        super().__init__(": ".join([" ".join(where), problem] if where else [problem]))


class CorpusError(DataError):
    """A corpus folder or file is wrong."""


class CodeError(DataError):
    """A code or a code system is wrong."""


class PredictionsError(DataError):
    """A predictions file is wrong."""


class ModelError(DataError):
    """A model folder is wrong."""


class MissingExtraError(NosologyError):
    """An optional dependency is missing.

    Args:
        feature: what needs it, for the message.
        extra: the extra of this package that installs it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional part: pip install 'nosology[{extra}]'")
        self.extra = extra
