"""A model is a folder: plain files (TOML, JSON, npz without pickle) and a ``config.json`` that holds their hashes.

    config.json    format version, nosology version, when it was made, SHA-256 and size of every other file
    recipe.toml, README.md (the model card), and whatever else the coder writes

A folder is built beside its final place and renamed into it, so that a stop at any moment leaves either the old model
or the new one, never half of one.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import time
import uuid
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from nosology import __version__
from nosology.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "nosology-model"
FORMAT_VERSION = 1
CONFIG_NAME = "config.json"

_BUILDING = ".building-"
_REPLACED = ".replaced-"
_STALE_SECONDS = 6 * 3600
_AGAIN = "copy the model again or train it again"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What a model folder's ``config.json`` says of one file.

    Args:
        size_bytes: the file's length.
        sha256: of its bytes, in lower-case hexadecimal.
    """

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model folder whose files are all there and unchanged since they were written.

    Args:
        path: the folder.
        nosology_version: of the package that wrote it.
        created: when, ISO 8601 in UTC.
        hints: what else the writer left for the command line, e.g. where the corpus was.
        files: every file but ``config.json``, by its path inside the folder (with ``/``).
    """

    path: Path
    nosology_version: str
    created: str
    hints: Mapping[str, str]
    files: Mapping[str, FileRecord]

    def file(self, name: str) -> Path:
        """The path of a file that ``config.json`` lists.

        Raises:
            ModelError: the model has no such file.
        """
        if name not in self.files:
            raise ModelError(f"this model has no {name}; train it again", path=self.path)
        return self.path / name


# --- writing --------------------------------------------------------------------------------------------------------


@contextmanager
def writing_model_folder(
    path: str | Path, *, overwrite: bool = False, hints: Mapping[str, str] | None = None
) -> Generator[Path, None, None]:
    """Build a model folder; it appears at ``path``, whole, when the block ends, and not at all if the block fails.

    Args:
        path: where the model goes. May be an empty folder.
        overwrite: replace a model folder that is there. A folder of anything else is never replaced.
        hints: small strings kept in ``config.json``.

    Yields:
        An empty folder beside ``path``, to write the model's files into.

    Raises:
        ModelError: ``path`` holds something that must not be replaced, or cannot be written.
    """
    target = Path(path).absolute()
    check_model_target(target, overwrite=overwrite)
    with _telling_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _restore_or_clean(target)
        building = _sibling(target, _BUILDING)
        building.mkdir()
    try:
        yield building
        with _telling_write_errors(target):
            _write_config(building, hints or {})
            _sync_tree(building)
            check_model_target(target, overwrite=overwrite)
            _put_in_place(building, target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def check_model_target(path: str | Path, *, overwrite: bool) -> None:
    """Refuse a place where a model must not be written; call it before long work.

    Raises:
        ModelError: a file, a folder that holds something other than a model, or a model without ``overwrite``.
    """
    target = Path(path)
    if not target.is_dir():
        if target.exists() or target.is_symlink():
            raise ModelError("is a file, not a folder; choose another place for the model", path=target)
        return
    if not any(target.iterdir()):
        return
    if not is_model_folder(target):
        raise ModelError("holds something that is not a nosology model; choose another place", path=target)
    if not overwrite:
        raise ModelError("holds a model already; choose another place, or pass --overwrite", path=target)


def is_model_folder(path: Path) -> bool:
    """Whether the folder's ``config.json`` says that this package wrote it (whole or not)."""
    try:
        return _read_json(path / CONFIG_NAME).get("format") == FORMAT
    except ModelError:
        return False


@contextmanager
def _telling_write_errors(target: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        raise ModelError(f"cannot be written ({error.strerror}); choose another place", path=target) from error


def _sibling(target: Path, mark: str) -> Path:
    return target.parent / f".{target.name}{mark}{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _siblings(target: Path, mark: str) -> list[Path]:
    return sorted(target.parent.glob(f".{_glob_literal(target.name)}{mark}*"))


def _glob_literal(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _restore_or_clean(target: Path) -> None:
    """Undo what a run that was killed left behind: bring back a model it had moved aside, drop its half-built one."""
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


def _write_config(folder: Path, hints: Mapping[str, str]) -> None:
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    records = {name: _record(folder / name) for name in names}
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "nosology_version": __version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "hints": dict(hints),
        "files": {name: {"size_bytes": r.size_bytes, "sha256": r.sha256} for name, r in records.items()},
    }
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _record(path: Path) -> FileRecord:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileRecord(path.stat().st_size, digest)


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


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


# --- reading --------------------------------------------------------------------------------------------------------


def open_model_folder(path: str | Path) -> ModelFolder:
    """Check a model folder: right kind and version, every file there, of the right size and hash.

    Raises:
        ModelError: what is wrong with it and what to do.
    """
    folder = Path(path)
    if not folder.is_dir():
        kind = "is a file, not a model folder" if folder.exists() else "no such model folder"
        raise ModelError(f"{kind}; `nosology train` makes one", path=folder)
    if not (folder / CONFIG_NAME).is_file():
        raise ModelError(f"not a model folder: it has no {CONFIG_NAME}; `nosology train` makes one", path=folder)
    model = _parse_config(folder, _read_json(folder / CONFIG_NAME))
    for name, record in model.files.items():
        _verify(folder / name, record)
    return model


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", path=path) from None
    except (ValueError, RecursionError):
        raise ModelError(f"truncated or damaged: not JSON; {_AGAIN}", path=path) from None
    if not isinstance(content, dict):
        raise ModelError(f"damaged: not a JSON object; {_AGAIN}", path=path)
    return cast(dict[str, Any], content)


def _parse_config(folder: Path, config: Mapping[str, Any]) -> ModelFolder:
    path = folder / CONFIG_NAME
    if config.get("format") != FORMAT:
        raise ModelError("not a nosology model; `nosology train` makes one", path=path)
    _check_version(config, path)
    try:
        files = {_safe_name(n): FileRecord(int(r["size_bytes"]), str(r["sha256"])) for n, r in config["files"].items()}
        hints = {str(key): str(value) for key, value in config["hints"].items()}
        return ModelFolder(folder, str(config["nosology_version"]), str(config["created"]), hints, files)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ModelError(f"damaged: a key is missing or wrong; {_AGAIN}", path=path) from None


def _check_version(config: Mapping[str, Any], path: Path) -> None:
    version = config.get("format_version")
    if version == FORMAT_VERSION:
        return
    written_by = f"written by nosology {config.get('nosology_version', 'of unknown version')}"
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelError(
            f"format version {version} is newer than this nosology {__version__} reads ({FORMAT_VERSION}), "
            f"{written_by}; upgrade nosology",
            path=path,
        )
    raise ModelError(
        f"format version {version} is older than this nosology {__version__} reads ({FORMAT_VERSION}), "
        f"{written_by}; train the model again, or use that version",
        path=path,
    )


def _safe_name(name: str) -> str:
    """``name``, unless it would lead out of the folder."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name or not parts.parts:
        raise ValueError(name)
    return name


def _verify(path: Path, record: FileRecord) -> None:
    try:
        found = _record(path)
    except FileNotFoundError:
        raise ModelError(f"is missing from the model; {_AGAIN}", path=path) from None
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", path=path) from None
    if found.size_bytes != record.size_bytes:
        kind = "truncated" if found.size_bytes < record.size_bytes else "changed since it was written"
        raise ModelError(
            f"{kind}: {found.size_bytes} bytes instead of {record.size_bytes}; {_AGAIN}",
            path=path,
        )
    if found.sha256 != record.sha256:
        raise ModelError(
            f"its SHA-256 is {found.sha256[:12]}… instead of {record.sha256[:12]}…, so it was changed or damaged; "
            + _AGAIN,
            path=path,
        )


# --- arrays ---------------------------------------------------------------------------------------------------------


def save_arrays(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays to one ``.npz``, without pickle.

    Raises:
        ValueError: an array holds Python objects.
    """
    import numpy as np

    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"array {name!r} holds Python objects; store plain numbers or fixed-width strings")
    with Path(path).open("wb") as stream:
        np.savez(stream, **dict[str, Any](arrays))


def load_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read what ``save_arrays`` wrote.

    Raises:
        ModelError: the file is missing, damaged, or holds pickled objects.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise ModelError(f"is missing from the model; {_AGAIN}", path=path) from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError):
        raise ModelError(f"damaged: not an array file; {_AGAIN}", path=path) from None
