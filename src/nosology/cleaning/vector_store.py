"""Vectors of texts on disk: computed once, read through a memory map, and taken up again where a run was stopped.

A store holds ``vectors.f16`` (rows of float16) and ``keys.bin`` (16 bytes of BLAKE2 a row) in a folder named after the
encoder. Rows are appended, vectors first: what a stopped run wrote of an unfinished batch is cut off by the next one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nosology.cleaning.text_encoders import TextEncoder
from nosology.errors import ConfigError

Vectors = NDArray[np.float16]
Progress = Callable[[str, float], None]

_KEY_BYTES = 16
_TEXTS_A_BATCH = 1024
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


def encode_texts(encoder: TextEncoder, texts: Sequence[str], cache: Path | None, tell: Progress) -> Vectors:
    """The vector of every text; float16 ``[text, size]``.

    Args:
        encoder: makes the vectors that are not known.
        texts: no text twice.
        cache: the folder of all stores; ``None``, or an encoder without a key: nothing is kept.
        tell: told what is being done and the share of it that is done.

    Raises:
        ConfigError: the cache cannot be written.
    """
    if cache is None or not encoder.key:
        parts = [part for part, _ in _encoded(encoder, texts, tell)]
        return np.concatenate([np.zeros((0, encoder.size), dtype=np.float16), *parts])
    store = _Store(cache / "text-vectors" / f"{_safe(encoder.key)}-{_digest(encoder.key).hex()[:8]}", encoder.size)
    keys = [_digest(text) for text in texts]
    try:
        known = store.open()
        new = [row for row, key in enumerate(keys) if key not in known]
        for part, rows in _encoded(encoder, [texts[row] for row in new], tell):
            store.append(part, [keys[new[row]] for row in rows])
        known = store.open()
    except OSError as error:
        raise ConfigError(f"{cache}: cannot keep vectors there ({error.strerror}); name another --cache") from error
    return store.rows([known[key] for key in keys])


def _encoded(encoder: TextEncoder, texts: Sequence[str], tell: Progress) -> Iterator[tuple[Vectors, range]]:
    for start in range(0, len(texts), _TEXTS_A_BATCH):
        part = texts[start : start + _TEXTS_A_BATCH]
        yield encoder.encode(part).astype(np.float16), range(start, start + len(part))
        tell("reading sentences", (start + len(part)) / len(texts))


class _Store:
    """One encoder's files; one process writes at a time.

    Args:
        folder: made if it is not there.
        size: width of a vector.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._vectors, self._keys, self._size = folder / "vectors.f16", folder / "keys.bin", size

    def open(self) -> dict[bytes, int]:
        """The row of each key; rows of an unfinished batch are cut off."""
        self._vectors.parent.mkdir(parents=True, exist_ok=True)
        for path in (self._vectors, self._keys):
            path.touch()
        width = 2 * self._size
        rows = min(self._keys.stat().st_size // _KEY_BYTES, self._vectors.stat().st_size // width)
        os.truncate(self._keys, rows * _KEY_BYTES)
        os.truncate(self._vectors, rows * width)
        blob = self._keys.read_bytes()
        return {blob[row * _KEY_BYTES : (row + 1) * _KEY_BYTES]: row for row in range(rows)}

    def append(self, vectors: Vectors, keys: Sequence[bytes]) -> None:
        """Add rows: the keys last, since they make the rows count."""
        for path, blob in ((self._vectors, vectors.tobytes()), (self._keys, b"".join(keys))):
            with path.open("ab") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())

    def rows(self, wanted: Sequence[int]) -> Vectors:
        """Some rows, through a memory map."""
        if not wanted:
            return np.zeros((0, self._size), dtype=np.float16)
        every = np.memmap(self._vectors, dtype=np.float16, mode="r").reshape(-1, self._size)
        return np.asarray(every[np.array(wanted, dtype=np.int64)])


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()


def _safe(name: str) -> str:
    return _UNSAFE.sub("-", name).strip("-.")[-40:]
