"""Texts put aside on the disk while the notes of an admission are brought together, so that memory stays small."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nosology.corpora.preparation.layout import import_arrow


class TextSpill:
    """A file of texts without separators; where each lies is known to who put it there.

    Args:
        path: a new file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._path = path
        self._end = 0

    def append(self, texts: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Put an arrow array of strings at the end; returns where each starts and its length, in bytes."""
        offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
        offsets = offsets.astype(np.int64)
        if len(texts):
            self._file.write(memoryview(texts.buffers()[2])[offsets[0] : offsets[-1]])
        starts = offsets[:-1] - offsets[0] + self._end
        self._end += int(offsets[-1] - offsets[0])
        return starts, np.diff(offsets)

    def take(self, starts: Sequence[int], lengths: Sequence[int]) -> Any:
        """The texts at these places, as an arrow array of strings."""
        arrow, _ = import_arrow()
        self._file.flush()
        handle = self._file.fileno()
        data = b"".join(os.pread(handle, length, start) for start, length in zip(starts, lengths, strict=True))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return arrow.StringArray.from_buffers(len(lengths), arrow.py_buffer(offsets), arrow.py_buffer(data))

    def remove(self) -> None:
        """Close and delete the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)
