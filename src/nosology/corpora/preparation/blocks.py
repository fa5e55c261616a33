"""A raw file as a stream of decompressed blocks, hashed on the way, read one block ahead of who uses it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from nosology.corpora.preparation.manifest import FileFacts
from nosology.errors import CorpusError

BLOCK_BYTES = 8 << 20
_GZIP_READ_BYTES = 1 << 20
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_AGAIN = "download it again"

Item = TypeVar("Item")


class HashedFile:
    """The bytes of a ``.csv`` or ``.csv.gz`` file, once; ``facts`` holds its length and hash afterwards.

    Args:
        path: the file.
        progress: called with the number of bytes read from the disk, each time some are.
    """

    def __init__(self, path: Path, progress: Callable[[int], None] | None = None) -> None:
        self.path = path
        self._progress = progress
        self._digest = hashlib.sha256()
        self._bytes = 0

    @property
    def facts(self) -> FileFacts:
        """Length and SHA-256 of what has been read; of the whole file once ``blocks`` is used up."""
        return FileFacts(self._bytes, self._digest.hexdigest())

    def blocks(self) -> Iterator[bytes]:
        """The decompressed content in blocks.

        Raises:
            CorpusError: the file cannot be read, or its gzip stream is damaged or cut short.
        """
        try:
            with self.path.open("rb") as stream:
                yield from ahead(self._inflated(stream) if self._is_gzip() else self._read(stream, BLOCK_BYTES))
        except FileNotFoundError:
            raise CorpusError("no such file; check the path", path=self.path) from None
        except OSError as error:
            raise CorpusError(f"cannot be read ({error.strerror}); check its permissions", path=self.path) from None

    def _is_gzip(self) -> bool:
        return self.path.suffix.lower() == ".gz"

    def _read(self, stream: BinaryIO, size: int) -> Iterator[bytes]:
        while block := stream.read(size):
            self._digest.update(block)
            self._bytes += len(block)
            if self._progress is not None:
                self._progress(len(block))
            yield block

    def _inflated(self, stream: BinaryIO) -> Iterator[bytes]:
        parts, held = list[bytes](), 0
        inflater, inside = zlib.decompressobj(_GZIP_OR_ZLIB), True
        for block in self._read(stream, _GZIP_READ_BYTES):
            while block:
                part, inside = self._inflate(inflater, block), True
                parts.append(part)
                held += len(part)
                block = b""
                if inflater.eof:  # a gzip file may hold several streams one after another, then zeros
                    block, inside = inflater.unused_data.lstrip(b"\0"), False
                    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
            if held >= BLOCK_BYTES:
                yield b"".join(parts)
                parts, held = [], 0
        yield b"".join(parts)
        if inside:
            raise CorpusError(f"the gzip file is cut short after {self._bytes} bytes; {_AGAIN}", path=self.path)

    def _inflate(self, inflater: Any, block: bytes) -> bytes:
        try:
            return inflater.decompress(block)
        except zlib.error:
            problem = f"the gzip file is damaged near byte {self._bytes}; {_AGAIN}"
        raise CorpusError(problem, path=self.path)


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The items, the next one being made in another thread while this one is used."""
    done = object()
    pool = ThreadPoolExecutor(1)
    try:
        coming = pool.submit(next, items, done)
        while (item := coming.result()) is not done:
            coming = pool.submit(next, items, done)
            yield cast(Item, item)
    finally:
        # Not waited for: after an error the garbage collector may end this generator in any thread, one that is just
        # being started among them, and to join another thread there can wait for ever.
        pool.shutdown(wait=False, cancel_futures=True)
