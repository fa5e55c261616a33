"""Many strings as two arrays, decoded one at a time when asked for; opens at once, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray


class StringTable(Sequence[str]):
    """An immutable sequence of strings.

    Args:
        blob: their UTF-8 bytes, one after the other.
        ends: where each one ends in ``blob``, rising.
    """

    def __init__(self, blob: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        if len(ends) and (int(ends[-1]) != len(blob) or bool(np.any(np.diff(ends, prepend=0) < 0))):
            raise ValueError("the ends of the strings do not fit their bytes")
        self.blob = blob
        self.ends = ends

    @classmethod
    def of(cls, strings: Iterable[str]) -> StringTable:
        """A table of these strings, in their order."""
        encoded = [string.encode() for string in strings]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), np.cumsum(lengths))

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        start = self.ends[index - 1] if index else 0
        return self.blob[start : self.ends[index]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        data = self.blob.tobytes()
        start = 0
        for end in self.ends.tolist():
            yield data[start:end].decode()
            start = end
