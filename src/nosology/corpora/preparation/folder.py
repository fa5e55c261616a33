"""A folder that appears whole at its final place or not at all; the old one stays until the new one is complete."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from nosology.errors import CorpusError

_BUILDING = ".building-"
_REPLACED = ".replaced-"


@contextmanager
def building_folder(path: Path, is_ours: Callable[[Path], bool]) -> Generator[Path, None, None]:
    """Build a folder beside its final place and rename it there when the block ends without an error.

    Args:
        path: the final place; an empty folder or one that ``is_ours`` is replaced, anything else refused.
        is_ours: whether a folder may be replaced.

    Yields:
        An empty folder to write into.

    Raises:
        CorpusError: the place holds something else, or the disk refuses (full, read-only).
    """
    target = path.absolute()
    check_folder_target(target, is_ours)
    building = target.parent / f".{target.name}{_BUILDING}{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        with telling_write_errors(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            _clean_behind_the_killed(target)
            building.mkdir()
        yield building
        with telling_write_errors(path):
            _sync_tree(building)
            check_folder_target(target, is_ours)
            _put_in_place(building, target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


@contextmanager
def telling_write_errors(path: Path) -> Generator[None, None, None]:
    """Tell what the disk says (full, read-only, not permitted) as a ``CorpusError`` that names ``path``."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "the disk refused"
        raise CorpusError(f"cannot be written ({reason}); make room or choose another place", path=path) from error


def check_folder_target(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Refuse a place where the folder must not go; call it before long work.

    Raises:
        CorpusError: a file, or a folder that holds something else.
    """
    if path.is_dir():
        if any(path.iterdir()) and not is_ours(path):
            raise CorpusError("holds something that is not a prepared corpus; choose another place", path=path)
    elif path.exists() or path.is_symlink():
        raise CorpusError("is a file, not a folder; choose another place", path=path)


def _put_in_place(building: Path, target: Path) -> None:
    if not target.exists():
        building.rename(target)
        return
    replaced = target.parent / building.name.replace(_BUILDING, _REPLACED)
    target.rename(replaced)
    try:
        building.rename(target)
    except BaseException:
        replaced.rename(target)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _clean_behind_the_killed(target: Path) -> None:
    """Drop what a run that was killed half-built, and bring back a folder it had moved aside."""
    for mark in (_REPLACED, _BUILDING):
        for folder in sorted(target.parent.glob(f".{_literal(target.name)}{mark}*")):
            if _is_running(folder.name.rsplit("-", 2)[1]):
                continue
            if mark == _REPLACED and not target.exists():
                folder.rename(target)
            else:
                shutil.rmtree(folder, ignore_errors=True)


def _literal(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _is_running(process: str) -> bool:
    if os.name != "posix" or not process.isdigit():  # os.kill(pid, 0) would end the process on Windows
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync_tree(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
