"""Files and folders that appear whole at their final place, or not at all.

What is written is built beside its place and renamed into it: a stop at any moment leaves the old one or the new one.
What a killed run left behind is dropped, or put back, by the next run that writes to the same place.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from nosology.errors import ConfigError, CorpusError, ModelError

_BUILDING = ".building-"
_REPLACED = ".replaced-"
_STALE_SECONDS = 6 * 3600

PlaceError = type[CorpusError] | type[ModelError]


@contextmanager
def building_folder(
    path: str | Path, *, check: Callable[[Path], None], error: PlaceError, finish: Callable[[Path], None] | None = None
) -> Generator[Path, None, None]:
    """Build a folder beside its final place and rename it there when the block ends without an error.

    Args:
        path: the final place. What stands there is replaced, if ``check`` lets it.
        check: refuses a place that must not be replaced; called before and after the block.
        error: what a refusal of the disk (full, read-only) becomes.
        finish: writes what can only be written last, such as hashes.

    Yields:
        An empty folder to write into.

    Raises:
        PlaceError: the place holds something else, or cannot be written.
    """
    target = Path(path).absolute()
    check(target)
    building = _sibling(target, _BUILDING)
    try:
        with telling_write_errors(target, error):
            target.parent.mkdir(parents=True, exist_ok=True)
            _clean_behind_the_killed(target)
            building.mkdir()
        yield building
        with telling_write_errors(target, error):
            if finish is not None:
                finish(building)
            for written in (*building.rglob("*"), building):
                _sync(written)
            check(target)
            _put_in_place(building, target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


@contextmanager
def telling_write_errors(path: Path, error: PlaceError) -> Generator[None, None, None]:
    """Tell what the disk says (full, read-only, not permitted) as an error that names ``path``."""
    try:
        yield
    except OSError as refusal:
        reason = os.strerror(refusal.errno) if refusal.errno else "the disk refused"
        raise error(f"cannot be written ({reason}); make room or choose another place", path=path) from refusal


@contextmanager
def writing_file(path: str | Path) -> Generator[Path, None, None]:
    """Write one file whole or not at all: the block writes to the path it gets, which is renamed at its end.

    Args:
        path: the file's final place; an old file there is replaced.

    Raises:
        ConfigError: the place cannot be written; told before the block runs where it can be known.
    """
    target = Path(path)
    check_file_target(target)
    building = _sibling(target.absolute(), _BUILDING)
    try:
        yield building
        _sync(building)
        building.replace(target)
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written ({error.strerror}); choose another place") from error
    finally:
        with suppress(OSError):
            building.unlink(missing_ok=True)


def drop_unfinished(folder: Path) -> None:
    """Remove files that killed runs had begun to write in a folder."""
    for path in folder.glob(f".*{_BUILDING}*"):
        if path.is_file() and _is_stale(path):
            path.unlink(missing_ok=True)


def check_file_target(path: str | Path) -> None:
    """Refuse a place where a file cannot be written; call it before long work.

    Raises:
        ConfigError: the place is a folder, or lies in none.
    """
    target = Path(path)
    if target.is_dir():
        raise ConfigError(f"{target}: is a folder; name a file")
    if not target.absolute().parent.is_dir():
        raise ConfigError(f"{target}: its folder does not exist; make it first")
    if not os.access(target.absolute().parent, os.W_OK):
        raise ConfigError(f"{target}: its folder cannot be written; choose another place")


def _sibling(target: Path, mark: str) -> Path:
    return target.parent / f".{target.name}{mark}{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _siblings(target: Path, mark: str) -> list[Path]:
    literal = "".join(f"[{char}]" if char in "*?[" else char for char in target.name)
    return sorted(target.parent.glob(f".{literal}{mark}*"))


def _clean_behind_the_killed(target: Path) -> None:
    """Bring back a folder that a killed run had moved aside, drop its half-built one."""
    replaced = _siblings(target, _REPLACED)
    if replaced and not target.exists():
        replaced[-1].rename(target)
        replaced = replaced[:-1]
    for folder in [*replaced, *(p for p in _siblings(target, _BUILDING) if _is_stale(p))]:
        shutil.rmtree(folder, ignore_errors=True)


def _is_stale(folder: Path) -> bool:
    """No process that could still be writing it: its writer has gone, or it is hours old (another machine's)."""
    writer = folder.name.rsplit("-", 2)[1]
    if writer.isdigit() and not _is_running(int(writer)):
        return True
    with suppress(OSError):
        return time.time() - folder.stat().st_mtime > _STALE_SECONDS
    return False


def _is_running(process_id: int) -> bool:
    if os.name != "posix":  # os.kill(pid, 0) would end the process on Windows
        return True
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync(path: Path) -> None:
    """Ask the disk to keep what was written; folders cannot be asked on every system."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def _put_in_place(building: Path, target: Path) -> None:
    if not target.exists():
        building.rename(target)
    else:
        replaced = _sibling(target, _REPLACED)
        target.rename(replaced)
        try:
            building.rename(target)
        except BaseException:
            replaced.rename(target)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
    _sync(target.parent)
