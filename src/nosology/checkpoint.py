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
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from nosology import __version__
from nosology.errors import ModelError
from nosology.whole_files import building_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "nosology-model"
FORMAT_VERSION = 1
CONFIG_NAME = "config.json"

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
    with building_folder(
        path,
        check=lambda target: check_model_target(target, overwrite=overwrite),
        error=ModelError,
        finish=lambda building: _write_config(building, hints or {}),
    ) as building:
        yield building


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
