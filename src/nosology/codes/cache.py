"""Where indexes are kept, and how they get there whole: built in a temporary file, then moved into place."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

# Raise when the columns or the contents of an index change: older files are then simply not found.
SCHEMA_VERSION = 4


def cache_dir() -> Path:
    """``NOSOLOGY_CACHE``, else ``XDG_CACHE_HOME/nosology``, else ``~/.cache/nosology``; if unwritable, a private
    folder under the system's temporary directory."""
    for candidate in _candidates():
        if _is_writable(candidate):
            return candidate
    return Path(tempfile.mkdtemp(prefix="nosology-"))


def cache_key(files: Iterable[Path]) -> str:
    """A short hash of the schema version and of the source files' names and sizes.

    The names carry the editions' dates and the sizes change with any edit, so no package metadata need be read.
    """
    digest = hashlib.sha256(f"schema {SCHEMA_VERSION}".encode())
    for path in files:
        digest.update(f"\n{path.name} {path.stat().st_size}".encode())
    return digest.hexdigest()[:12]


def open_or_build(path: Path, write: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """Open a finished index, or build it first; a damaged file is replaced.

    Two processes that build at once write two temporary files with the same content; the later move wins.
    """
    connection = _open_whole(path)
    if connection is not None:
        return connection
    build(path, write)
    return open_readonly(path)


def build(path: Path, write: Callable[[sqlite3.Connection], None]) -> None:
    """Write an index to ``path``; a reader sees the whole new file or what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        connection = sqlite3.connect(name, isolation_level=None)
        try:
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;")
            write(connection)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
        finally:
            connection.close()
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def open_readonly(path: Path) -> sqlite3.Connection:
    """Open an index that nobody will change; threads may share the connection (SQLite serialises them)."""
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    return sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)


def _open_whole(path: Path) -> sqlite3.Connection | None:
    """The index if it is there and not visibly damaged: right schema, and as long as its header says."""
    if not path.is_file():
        return None
    connection = open_readonly(path)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        if version == SCHEMA_VERSION and pages * page_bytes == path.stat().st_size and pages > 1:
            return connection
    except sqlite3.DatabaseError:
        pass
    connection.close()
    return None


def _candidates() -> tuple[Path, ...]:
    own = os.environ.get("NOSOLOGY_CACHE", "")
    if own:
        chosen = Path(own)
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        chosen = (Path(base) if base else Path.home() / ".cache") / "nosology"
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    return chosen, Path(tempfile.gettempdir()) / f"nosology-{owner}"


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # In a shared temporary directory another user could have made the folder first: never trust that one.
        own = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid() or os.environ.get("NOSOLOGY_CACHE")
        return bool(own) and os.access(folder, os.W_OK)
    except OSError:
        return False
