"""Notes as chunks: sentences, long ones cut into windows, each with its place and with what it affirms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nosology.errors import ConfigError
from nosology.knowledge.stream import TokenStream
from nosology.preprocessing.assertion import PRECEDENCE
from nosology.types import Assertion

Ints = NDArray[np.int64]

LEAST_WORDS = 4
_OF_NOW = np.array([assertion in (Assertion.PRESENT, Assertion.POSSIBLE) for assertion in PRECEDENCE])


@dataclass(frozen=True, slots=True, eq=False)
class Chunks:
    """Every chunk of some encounters, in reading order; arrays are int64 and hold one entry a chunk.

    Args:
        texts: distinct texts, in normalised words.
        text: which of ``texts`` the chunk is.
        affirmed: which of ``texts`` is left of it without the words that the note denies, or says of the family, of
            the past or of what might be; -1 where nothing is left.
        encounter: position of its encounter, rising.
        note: position of its note in the encounter.
        starts, ends: half-open characters in the original note.
    """

    texts: tuple[str, ...] = field(repr=False)
    text: Ints
    affirmed: Ints
    encounter: Ints
    note: Ints
    starts: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.text)

    def bounds(self, encounters: int) -> Ints:
        """Chunks of encounter ``i`` are ``bounds[i]`` to ``bounds[i + 1]``."""
        return np.searchsorted(self.encounter, np.arange(encounters + 1)).astype(np.int64)


def cut_into_chunks(streams: Sequence[TokenStream], *, max_words: int = 60) -> Chunks:
    """Cut notes into sentences, and those of more than ``max_words`` words into windows that overlap by half.

    Raises:
        ConfigError: too few words a chunk.
    """
    if max_words < LEAST_WORDS:
        raise ConfigError(f"chunks of {max_words} words are too short to mean anything; take at least {LEAST_WORDS}")
    number_of = dict[str, int]()
    rows = list[tuple[int, ...]]()
    for position, stream in enumerate(streams):
        every = np.arange(len(stream), dtype=np.int64)
        now = _OF_NOW[stream.assertions(every, every)].tolist()
        starts, ends = stream.bound_lists
        for first, last in _windows(stream, max_words):
            words = stream.words[first:last]
            said = [word for word, is_now in zip(words, now[first:last], strict=True) if is_now]
            text = number_of.setdefault(" ".join(words), len(number_of))
            affirmed = number_of.setdefault(" ".join(said), len(number_of)) if said else -1
            rows.append((text, affirmed, position, stream.note_list[first], starts[first], ends[last - 1]))
    return Chunks(tuple(number_of), *np.array(rows, dtype=np.int64).reshape(-1, 6).T.copy())


def _windows(stream: TokenStream, max_words: int) -> Iterator[tuple[int, int]]:
    """Half-open ranges of words."""
    bounds = [0, *(np.flatnonzero(np.diff(stream.sentences)) + 1).tolist(), len(stream)]
    for first, end in pairwise(bounds):
        if end - first <= max_words:
            if end > first:
                yield first, end
            continue
        step = max_words // 2
        for start in range(first, end - step, step):
            yield start, min(start + max_words, end)
