"""How near each encounter's notes come to what each code is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.cleaning.chunks import Chunks
from nosology.knowledge.wordings import Wordings

Ints = NDArray[np.int64]
Progress = Callable[[str, float], None]

_ENCOUNTERS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Descriptions:
    """What the codes are called.

    Args:
        texts: the distinct texts.
        rows: places in ``texts``, code after code.
        bounds: those of code ``i`` are ``rows[bounds[i] : bounds[i + 1]]``; none is empty.
    """

    texts: tuple[str, ...]
    rows: Ints
    bounds: Ints


def describe_codes(codes: Sequence[str], wordings: Wordings, synonyms: int) -> Descriptions:
    """Titles and, up to ``synonyms`` in all, other wordings of each code."""
    number_of = dict[str, int]()
    named = [wordings.synonyms(code, synonyms) for code in codes]
    rows = [number_of.setdefault(text, len(number_of)) for texts in named for text in texts]
    bounds = np.cumsum([0, *(len(texts) for texts in named)])
    return Descriptions(tuple(number_of), np.array(rows, dtype=np.int64), bounds.astype(np.int64))


def best_similarities(
    chunks: Chunks,
    encounters: int,
    chunk_vectors: NDArray[np.float16],
    descriptions: Descriptions,
    description_vectors: NDArray[np.float16],
    tell: Progress,
) -> NDArray[np.float16]:
    """The highest cosine between what an encounter affirms and what a code is called.

    Args:
        chunks: of the encounters.
        encounters: how many there are.
        chunk_vectors: of ``chunks.texts``.
        descriptions: of the codes.
        description_vectors: of ``descriptions.texts``.
        tell: told how far it is.

    Returns:
        ``[encounter, code]``; -1 where the encounter affirms nothing.
    """
    found = np.full((encounters, len(descriptions.bounds) - 1), -1.0, dtype=np.float16)
    bounds = chunks.bounds(encounters)
    for start in range(0, encounters, _ENCOUNTERS_AT_ONCE):
        stop = min(start + _ENCOUNTERS_AT_ONCE, encounters)
        place = np.arange(bounds[start], bounds[stop])
        place = place[chunks.affirmed[place] >= 0]
        if len(place):
            texts, of = np.unique(chunks.affirmed[place], return_inverse=True)
            alike = _by_code(chunk_vectors[texts], descriptions, description_vectors)
            owners, first = np.unique(chunks.encounter[place], return_index=True)
            ends = np.append(first[1:], len(place))
            for owner, begin, end in zip(owners.tolist(), first.tolist(), ends.tolist(), strict=True):
                found[owner] = alike[np.unique(of[begin:end])].max(axis=0)
        tell("comparing notes and codes", stop / encounters)
    return found


def best_chunk(
    chunks: Chunks,
    chunk_vectors: NDArray[np.float16],
    descriptions: Descriptions,
    description_vectors: NDArray[np.float16],
    bounds: Ints,
    encounter: int,
    code: int,
) -> int:
    """The chunk that comes nearest to a code, the first of several; -1 where the encounter affirms nothing."""
    place = np.arange(bounds[encounter], bounds[encounter + 1])
    place = place[chunks.affirmed[place] >= 0]
    if not len(place):
        return -1
    own = descriptions.rows[descriptions.bounds[code] : descriptions.bounds[code + 1]]
    texts = chunk_vectors[chunks.affirmed[place]].astype(np.float32)
    alike = (texts @ description_vectors[own].astype(np.float32).T).max(axis=1)
    return int(place[int(np.argmax(alike))])


def _by_code(
    texts: NDArray[np.float16], descriptions: Descriptions, vectors: NDArray[np.float16]
) -> NDArray[np.float32]:
    """Of each text, the highest similarity to any wording of each code; float32 ``[text, code]``."""
    alike = texts.astype(np.float32) @ vectors.astype(np.float32).T
    return np.maximum.reduceat(alike[:, descriptions.rows], descriptions.bounds[:-1], axis=1)
