"""Texts -> vectors of length 1 whose dot product is their similarity, by a network or by letters alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, cast
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from nosology.errors import ConfigError

Vectors = NDArray[np.float32]

LEXICAL = "lexical"
_SIZE = 1024
_GRAM = 4
_BLOCK = 4096
_WORD = re.compile(r"\w+")


class TextEncoder(Protocol):
    """Makes vectors of texts; a text's vector depends on that text alone."""

    @property
    def key(self) -> str:
        """Names what vectors depend on beside the text; equal keys give equal vectors, empty: not worth keeping."""
        ...

    @property
    def size(self) -> int:
        """Width of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One row a text, of length 1, or 0 where the text says nothing; float32 ``[text, size]``."""
        ...


def open_text_encoder(name: str, texts: Sequence[str]) -> TextEncoder:
    """The encoder of a name.

    Args:
        name: "lexical", which needs no network; "minilm", a folder, or owner/name on the model hub.
        texts: what the lexical encoder counts its words in.

    Raises:
        ConfigError: there is no such encoder.
        MissingExtraError: a network, and the extra "neural" is not installed.
    """
    if name == LEXICAL:
        return LexicalEncoder.fit(texts)
    if not name.strip():
        raise ConfigError(f"an encoder needs a name: {LEXICAL}, minilm, a folder, or owner/name on the model hub")
    from nosology.neural import require_neural

    require_neural()
    from nosology.neural.sentence_vectors import SentenceEncoder

    return SentenceEncoder(name)


@dataclass(frozen=True, eq=False, repr=False)
class LexicalEncoder:
    """Words and runs of four letters, weighted by how rare they are, hashed into 1,024 signed places.

    Reference: Weinberger et al., 2009, "Feature Hashing for Large Scale Multitask Learning", arXiv:0902.2206.

    Args:
        idf: weight of each part of a word; parts that are not there weigh ``unknown``.
        unknown: weight of a part that no text has.
    """

    idf: dict[str, float]
    unknown: float
    key: str = field(default="", init=False)
    size: int = field(default=_SIZE, init=False)

    @staticmethod
    def fit(texts: Sequence[str]) -> LexicalEncoder:
        """Count in how many of some texts each part stands."""
        holders = Counter(part for text in texts for part in {p for word in _words(text) for p in _parts(word)})
        many = 1.0 + len(texts)
        return LexicalEncoder(
            {part: float(np.log(many / (1.0 + count)) + 0.1) for part, count in holders.items()},
            float(np.log(many) + 0.1),
        )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See ``TextEncoder``."""
        from scipy.sparse import csr_matrix

        rows = [self._row(text) for text in texts]
        bounds = np.cumsum([0, *(len(row) for row in rows)])
        places = np.array([place for row in rows for place in row], dtype=np.int64)
        values = np.array([value for row in rows for value in row.values()], dtype=np.float32)
        matrix: Any = csr_matrix((values, places, bounds), shape=(len(texts), _SIZE))
        return unit_rows(cast(Vectors, matrix.toarray()))

    def _row(self, text: str) -> dict[int, float]:
        found = dict[int, float]()
        for word in _words(text):
            for part in _parts(word):
                place, sign = _place(part)
                found[place] = found.get(place, 0.0) + sign * self.idf.get(part, self.unknown)
        return found


def unit_rows(vectors: Vectors) -> Vectors:
    """Rows of length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0.0, lengths, 1.0)).astype(np.float32)


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(_WORD.findall(text.lower())))


@cache
def _parts(word: str) -> tuple[str, ...]:
    """The word, and its runs of letters: what ``appendic`` shares with ``appendicitis``."""
    framed = f"<{word}>"
    return (word, *dict.fromkeys(framed[start : start + _GRAM] for start in range(max(0, len(framed) - _GRAM + 1))))


@cache
def _place(part: str) -> tuple[int, float]:
    number = crc32(part.encode())
    return number % _SIZE, 1.0 if number & (1 << 20) else -1.0
