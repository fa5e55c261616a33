"""Answers kept on disk: what was asked once costs nothing again, and a run that was killed goes on where it stopped.

A file's name is a hash, and says nothing of a note; its content is the model's answer, which may quote one: folder and
files are readable by their owner only.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nosology.codes.cache import cache_dir
from nosology.errors import ConfigError
from nosology.whole_files import writing_file

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class AnswerCache:
    """A folder of answers.

    Args:
        folder: exists.
    """

    folder: Path

    @staticmethod
    def open(path: str | None) -> AnswerCache:
        """The cache in a folder, which is made where it is missing; ``None``: the package's own.

        Raises:
            ConfigError: the folder cannot be made.
        """
        folder = cache_dir() / "endpoint" if path is None else Path(path)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be made ({error.strerror}); choose another cache") from error
        return AnswerCache(folder)

    def read(self, request: object) -> Any:
        """The answer to a request; ``None`` if there is none, or its file is damaged."""
        try:
            kept = json.loads(self._file(request).read_bytes())
        except (OSError, ValueError):
            return None
        return kept.get("answer") if isinstance(kept, dict) else None

    def write(self, request: object, answer: object) -> None:
        """Keep an answer, whole or not at all."""
        with writing_file(self._file(request)) as building:
            descriptor = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump({"answer": answer}, file)

    def _file(self, request: object) -> Path:
        text = json.dumps([_FORMAT, request], sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
