"""Where a prepared or simulated corpus may be put."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from nosology.errors import CorpusError
from nosology.whole_files import building_folder, telling_write_errors


@contextmanager
def building_corpus_folder(path: Path, is_ours: Callable[[Path], bool]) -> Generator[Path, None, None]:
    """Build a folder that appears at its place whole, or not at all.

    Args:
        path: the final place; an empty folder or one that ``is_ours`` is replaced, anything else refused.
        is_ours: whether a folder may be replaced.

    Yields:
        An empty folder to write into.

    Raises:
        CorpusError: the place holds something else, or the disk refuses (full, read-only).
    """
    with (
        building_folder(path, check=lambda target: check_folder_target(target, is_ours), error=CorpusError) as folder,
        telling_write_errors(path, CorpusError),
    ):
        yield folder


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
