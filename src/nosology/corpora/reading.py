"""What every reader shares: strict decoding, and one place that decides whether a bad record stops the reading."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from nosology.errors import ConfigError, CorpusError
from nosology.types import SkippedRecord, Span

OnError = Literal["raise", "skip"]

# Ids and codes have no white space and are short; anything else in their place may be note text:
# no message shows it.
_SHOWABLE = re.compile(r"[\w.:/+#@-]{1,64}")
_MAX_PATH = 512


class Problems:
    """Raises each problem, or keeps it as a skipped record.

    Args:
        on_error: "raise" stops at the first problem; "skip" collects them in ``skipped``.
    """

    def __init__(self, on_error: OnError) -> None:
        if on_error not in get_args(OnError):
            raise ConfigError(f"unknown on_error {on_error!r}; choose from {', '.join(get_args(OnError))}")
        self.on_error: OnError = on_error
        self.skipped: list[SkippedRecord] = []

    def report(self, error: CorpusError) -> None:
        """Raise ``error``, or note it and let the reading go on."""
        if self.on_error == "raise":
            raise error
        self.skipped.append(SkippedRecord(str(error)))

    def guard(self) -> _Guard:
        """A block whose ``CorpusError``s are reported; after a skipped one, reading goes on behind the block."""
        return _Guard(self)


class _Guard:
    # A class, because type checkers see only in ``-> bool`` that the block may end early.
    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, CorpusError) or self._problems.on_error == "raise":
            return False
        self._problems.report(error)
        return True


def shown(value: str) -> str | None:
    """``value`` where it looks like an id or a code, ``None`` where it could be note text."""
    return value if _SHOWABLE.fullmatch(value) else None


def is_folder(path: Path) -> bool:
    """Whether the path is a folder rather than a file.

    Raises:
        CorpusError: there is neither.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # also a name too long, or with a NUL
        raise CorpusError("no such file or folder; check the path", path=_short(path)) from None
    return stat.S_ISDIR(mode)


def _short(path: Path) -> Path | None:
    """The path for a message, unless it is so long that someone has passed a note instead."""
    return path if len(str(path)) <= _MAX_PATH and "\n" not in str(path) else None


def read_bytes(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        CorpusError: the file is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CorpusError("no such file; check the path", path=path) from None
    except IsADirectoryError:
        raise CorpusError("is a folder where a file is expected; check the path", path=path) from None
    except OSError as error:
        raise CorpusError(f"cannot be read ({error.strerror}); check its permissions", path=path) from None


def decode(data: bytes, path: Path, *, line: int | None = None, offset: int = 0, record_id: str | None = None) -> str:
    """Decode UTF-8 strictly; a byte order mark at the start of the file is not part of the text.

    Args:
        data: the bytes.
        path: the file, for the message.
        line: the 1-based line where ``data`` starts; ``None`` leaves lines out of the message.
        offset: the position of ``data`` in the file, for the message.
        record_id: the id of what is read, for the message.

    Raises:
        CorpusError: bytes that are not UTF-8; names the byte offset.
    """
    if offset == 0 and data.startswith(b"\xef\xbb\xbf"):
        data, offset = data[3:], 3
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        at = None if line is None else line + data.count(b"\n", 0, error.start)
        problem = f"byte {offset + error.start} is not UTF-8; convert the file to UTF-8"
    raise CorpusError(problem, path=path, line=at, record_id=record_id)


def read_note_text(path: Path, *, record_id: str | None = None) -> str:
    """The text of a note's file; raises like ``read_bytes`` and ``decode_note``."""
    return decode_note(read_bytes(path), path, record_id=record_id)


def decode_note(data: bytes, path: Path, *, record_id: str | None = None) -> str:
    """The text of a note from its bytes, line ends as they are.

    Args:
        data: the bytes, from a file or from standard input.
        path: where they come from, for the message.
        record_id: the note's id, for the message.

    Raises:
        CorpusError: not UTF-8, empty, or with a NUL byte.
    """
    nul = data.find(b"\0")
    if nul >= 0:
        problem = f"byte {nul} is NUL, so this is not a plain text file; export the note again as UTF-8 text"
        raise CorpusError(problem, path=path, record_id=record_id)
    text = decode(data, path, record_id=record_id)
    if not text.strip():
        raise CorpusError("the note is empty; fill it or remove the file", path=path, record_id=record_id)
    return text


def is_encodable(text: str) -> bool:
    """Whether the text can be written as UTF-8: it holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of an unquoted tab-separated file with their 1-based lines; blank lines are passed over.

    Raises:
        CorpusError: missing, not UTF-8, or without any row.
    """
    # Only "\n" ends a row: str.splitlines would also break at U+0085 and U+2028 inside a field.
    lines = decode(read_bytes(path), path, line=1).split("\n")
    if not any(line.strip() for line in lines):
        raise CorpusError("the file is empty; get it again from the release", path=path)
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, line.rstrip("\r").split("\t")


def merged_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The spans sorted, parts of no length dropped, overlapping parts merged; parts that only touch stay apart.

    >>> merged_spans([Span(8, 12), Span(3, 3), Span(0, 4), Span(2, 6)])
    (Span(start=0, end=6), Span(start=8, end=12))
    """
    merged: list[Span] = []
    for span in sorted(spans):
        if span.start == span.end:
            continue
        if merged and span.start < merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return tuple(merged)
