"""Pretrained word vectors -> the first rows of an embedding: word2vec, GloVe and fastText files, text or binary.

    word2vec text, fastText .vec   a line "words dimension", then "word v1 v2 ..." a line
    GloVe text                     the same without the first line
    word2vec .bin                  the first line, then word, space, float32 values
    fastText .bin                  a whole model; a word's vector is the mean of its own row and its character n-grams'

Files are read as streams and big matrices are mapped, so memory grows with the vocabulary asked for, not with the file.
"""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from nosology.errors import DataError

Floats = NDArray[np.float32]

_FASTTEXT_MAGIC = 793712314
_FASTTEXT_VERSION = 12
_LONGEST_WORD = 10_000  # bytes; a longer one means that the file is no such file
_SENTENCE_END = "</s>"  # has no n-grams
_FNV_OFFSET, _FNV_PRIME = 2166136261, 16777619
_NOT_VECTORS = "not a file of word vectors (word2vec, GloVe or fastText, text or binary, .gz or plain)"


@dataclass(frozen=True, slots=True, eq=False)
class WordVectors:
    """One row a word of a vocabulary.

    Args:
        matrix: float32 ``[word, dimension]``; zeros for words without a vector.
        found: which words have one.
    """

    matrix: Floats
    found: NDArray[np.bool_]

    @property
    def coverage(self) -> float:
        """The share of words with a vector."""
        return float(self.found.mean()) if len(self.found) else 0.0

    def initial(self, seed: int, *, pad_id: int = 0) -> Floats:
        """Rows to start an embedding from: words without a vector get normal noise as wide as the others' values.

        Args:
            seed: of the noise.
            pad_id: the row that stays zero.
        """
        spread = float(self.matrix[self.found].std()) if self.found.any() else 0.1
        noise = np.random.default_rng(seed).normal(0.0, spread, self.matrix.shape).astype(np.float32)
        rows = np.where(self.found[:, None], self.matrix, noise)
        rows[pad_id] = 0.0
        return rows


def read_word_vectors(path: str | Path, words: Sequence[str]) -> WordVectors:
    """Read the vectors of some words; the format is told from the file itself.

    A word that the file writes in capitals alone is found too, where the vocabulary has it in lower case.

    Args:
        path: the file.
        words: the vocabulary, e.g. ``WordTokenizer.words``.

    Raises:
        DataError: the file is missing, cut off, or no such file.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path=file) from None
    if len(start) == 8 and struct.unpack("<ii", start) == (_FASTTEXT_MAGIC, _FASTTEXT_VERSION):
        return _FastText.open(file).vectors_of(words)
    rows = _Rows(words)
    try:
        with _open(file) as stream:
            _read_rows(stream, rows, file)
    except (OSError, EOFError) as error:
        raise DataError(f"cannot be read to its end ({type(error).__name__}); get it again", path=file) from None
    return rows.result(file)


def _open(file: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(file)) if file.suffix == ".gz" else file.open("rb")


class _Rows:
    """Collects the vectors of words asked for; exact spelling wins over lower-cased."""

    def __init__(self, words: Sequence[str]) -> None:
        self._ids = {word: row for row, word in enumerate(words)}
        self._exact = np.zeros(len(words), dtype=np.bool_)
        self._found = np.zeros(len(words), dtype=np.bool_)
        self._matrix: Floats | None = None

    def wants(self, word: str) -> int | None:
        """The row that a word's vector belongs in, if any."""
        row = self._ids.get(word)
        if row is not None:
            return None if self._exact[row] else row
        row = self._ids.get(word.lower())
        return None if row is None or self._found[row] else row

    def put(self, row: int, word: str, vector: Floats) -> None:
        """Keep a vector."""
        if self._matrix is None:
            self._matrix = np.zeros((len(self._found), len(vector)), dtype=np.float32)
        self._matrix[row] = vector
        self._found[row] = True
        self._exact[row] = word in self._ids

    def result(self, file: Path) -> WordVectors:
        """What was found."""
        if self._matrix is None:
            raise DataError("has no vector for any word of the vocabulary; is it of another language?", path=file)
        return WordVectors(self._matrix, self._found)


# --- word2vec and GloVe ---------------------------------------------------------------------------------------------


def _read_rows(stream: IO[bytes], rows: _Rows, file: Path) -> None:
    first = stream.readline(1 << 20)
    header = _header(first)
    if header is None:
        values = first.split()
        if len(values) < 3 or not first.endswith(b"\n"):
            raise DataError(_NOT_VECTORS, path=file, line=1)
        _read_text(io.BytesIO(first), rows, len(values) - 1, file, 1)
        _read_text(stream, rows, len(values) - 1, file, 2)
        return
    count, size = header
    head = stream.read(_LONGEST_WORD + 4 * size + 1)
    rest = _Joined(head, stream)
    if _looks_like_text(head, size):
        _read_text(rest, rows, size, file, 2)
    else:
        _read_binary(rest, rows, count, size, file)


def _header(line: bytes) -> tuple[int, int] | None:
    parts = line.split()
    if len(parts) == 2 and all(part.isdigit() for part in parts) and 0 < int(parts[1]) < 100_000:
        return int(parts[0]), int(parts[1])
    return None


def _looks_like_text(head: bytes, size: int) -> bool:
    """The first line after the header is a word and that many numbers."""
    values = head.split(b"\n", 1)[0].split()[-size:]
    try:
        return len(values) == size and all(np.isfinite(float(value)) for value in values)
    except ValueError:
        return False


class _Joined:
    """A stream whose first bytes have been read already."""

    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head, self._stream = io.BytesIO(head), stream

    def read(self, size: int) -> bytes:
        first = self._head.read(size)
        return first if len(first) == size else first + self._stream.read(size - len(first))

    def __iter__(self) -> Iterator[bytes]:
        for line in self._head:
            yield line if line.endswith(b"\n") else line + self._stream.readline()
        yield from self._stream


def _read_text(stream: _Joined | IO[bytes], rows: _Rows, size: int, file: Path, first_line: int) -> None:
    for number, line in enumerate(stream, first_line):
        word, *values = line.rstrip().rsplit(b" ", size)
        if not word and not values:
            continue
        name = word.decode("utf-8", "replace").strip()
        row = rows.wants(name)
        if row is None:
            continue
        try:
            vector = np.array(values, dtype=np.float32)
        except ValueError:
            vector = np.zeros(0, dtype=np.float32)
        if len(vector) != size or not np.isfinite(vector).all():
            raise DataError(
                f"not a word and {size} numbers; the file is damaged or of mixed formats", path=file, line=number
            )
        rows.put(row, name, vector)


def _read_binary(stream: _Joined, rows: _Rows, count: int, size: int, file: Path) -> None:
    for number in range(count):
        word = _binary_word(stream, file, number)
        values = stream.read(4 * size)
        if len(values) < 4 * size:
            raise DataError(f"cut off after {number:,} of {count:,} words; get it again", path=file)
        row = rows.wants(word)
        if row is not None:
            rows.put(row, word, np.frombuffer(values, dtype="<f4"))


def _binary_word(stream: _Joined, file: Path, number: int) -> str:
    letters = bytearray()
    while (letter := stream.read(1)) not in (b" ", b""):
        letters += letter
        if len(letters) > _LONGEST_WORD:
            raise DataError(_NOT_VECTORS, path=file)
    if not letter:
        raise DataError(f"cut off after {number:,} words; get it again", path=file)
    return letters.lstrip(b"\n").decode("utf-8", "replace")


# --- fastText models ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _FastText:
    """An unquantised fastText model: words, character n-grams, and their rows."""

    rows: Mapping[str, int]
    n_words: int
    shortest: int
    longest: int
    buckets: int
    matrix: Floats

    @staticmethod
    def open(file: Path) -> _FastText:
        """Read the dictionary and map the matrix."""
        try:
            return _open_fasttext(file)
        except (struct.error, ValueError, OSError):
            raise DataError("a damaged or cut-off fastText model; get it again", path=file) from None

    def vectors_of(self, words: Sequence[str]) -> WordVectors:
        matrix = np.zeros((len(words), self.matrix.shape[1]), dtype=np.float32)
        found = np.zeros(len(words), dtype=np.bool_)
        for number, word in enumerate(words):
            rows = self._rows_of(word)
            if rows:
                matrix[number] = self.matrix[rows].mean(axis=0, dtype=np.float64)
                found[number] = matrix[number].any()
        return WordVectors(matrix, found)

    def _rows_of(self, word: str) -> list[int]:
        own = self.rows.get(word)
        if word == _SENTENCE_END and own is not None:
            return [own]
        grams = [self.n_words + _fnv(gram) % self.buckets for gram in self._grams(f"<{word}>")]
        return grams if own is None else [own, *grams]

    def _grams(self, word: str) -> Iterator[str]:
        """Character n-grams in fastText's order; single brackets are left out."""
        if self.longest == 0 or self.buckets == 0:
            return
        for start in range(len(word)):
            for size in range(1, self.longest + 1):
                end = start + size
                if end > len(word):
                    break
                at_edge = size == 1 and (start == 0 or end == len(word))
                if size >= self.shortest and not at_edge:
                    yield word[start:end]


def _fnv(gram: str) -> int:
    """32-bit FNV-1a of the bytes; fastText reads them as signed, so those from 128 on come with their sign."""
    value = _FNV_OFFSET
    for byte in gram.encode("utf-8", "surrogatepass"):
        value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * _FNV_PRIME) & 0xFFFFFFFF
    return value


def _open_fasttext(file: Path) -> _FastText:
    with file.open("rb") as stream:

        def unpack(layout: str) -> tuple[int, ...]:
            return struct.unpack(f"<{layout}", stream.read(struct.calcsize(f"<{layout}")))

        stream.seek(8)
        numbers = unpack("12i")
        buckets, shortest, longest = numbers[8], numbers[9], numbers[10]
        unpack("d")
        size, n_words, _ = unpack("3i")
        _, pruned = unpack("2q")
        rows = dict[str, int]()
        for number in range(size):
            word = _null_ended(stream)
            _, kind = unpack("qb")
            if kind == 0:
                rows[word] = number
        if pruned > 0 or unpack("?")[0]:
            raise DataError("a quantised fastText model (.ftz); give the full model (.bin)", path=file)
        height, width = unpack("2q")
        offset = stream.tell()
    matrix = np.memmap(file, dtype="<f4", mode="r", offset=offset, shape=(height, width))
    return _FastText(rows, n_words, shortest, longest, buckets if height > n_words else 0, matrix)


def _null_ended(stream: IO[bytes]) -> str:
    letters = bytearray()
    while (letter := stream.read(1)) != b"\0":
        if not letter or len(letters) > _LONGEST_WORD:
            raise ValueError("no end")
        letters += letter
    return letters.decode("utf-8", "replace")
