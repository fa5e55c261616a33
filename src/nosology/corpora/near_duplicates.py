"""Notes that are almost the same, as copy-forward makes them: MinHash finds candidates, exact Jaccard decides.

A note is the set of its shingles (runs of ``shingle_words`` words, case folded). One pass hashes every shingle once
into one of ``_BINS`` bins and keeps the least hash a bin (one-permutation hashing; empty bins borrow from others).
Notes that agree in a whole band of bins are candidates; candidates whose signatures agree too seldom are dropped; for
the others a second pass computes the Jaccard similarity of their sets of 64-bit shingle hashes exactly.

Reference: Broder, 1997, "On the resemblance and containment of documents"; Li, Owen and Zhang, 2012, "One Permutation
Hashing", arXiv:1208.1259; Shrivastava, 2017, "Optimal Densification for Fast and Accurate Minwise Hashing",
arXiv:1703.04664.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nosology.errors import ConfigError

Hashes = NDArray[np.uint64]
Progress = Callable[[str, float], None]

_BINS = 128
_EMPTY = np.uint64(2**64 - 1)
_WORD = r"\w+"
# The chance that a pair at the threshold becomes a candidate is at least this.
_RECALL = 0.99
# Signature agreement has a standard deviation of at most 0.045 over 128 bins: four of them below the threshold.
_SLACK = 0.18
# In a bucket of more notes than this, each is compared with its neighbours and the first, not with every other.
_LARGE_BUCKET = 300
_NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two notes of the same corpus, by their positions in reading order.

    Args:
        first, second: positions, ``first`` before ``second``.
        jaccard: shared shingles over all shingles of the two.
    """

    first: int
    second: int
    jaccard: float


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """What was found.

    Args:
        notes: notes compared.
        too_short: notes with fewer words than one shingle, left out.
        pairs: near duplicates, the most alike first; identical notes are paired with the first of them only.
        large_buckets: groups of alike notes too large to compare every pair in; more pairs may be in there.
    """

    notes: int
    too_short: int
    pairs: tuple[NearDuplicate, ...]
    large_buckets: int


def find_near_duplicates(
    open_notes: Callable[[], Iterator[Sequence[str]]],
    *,
    threshold: float = 0.8,
    shingle_words: int = 5,
    progress: Progress | None = None,
) -> NearDuplicates:
    """Find the pairs of notes whose Jaccard similarity is at least ``threshold``.

    Args:
        open_notes: opens the texts as batches (lists of strings or polars series); called twice, same order.
        threshold: least similarity, in [0.3, 1].
        shingle_words: words a shingle.
        progress: told what is being done.

    Raises:
        ConfigError: a threshold outside its range, or no word in a shingle.
        MissingExtraError: polars is not installed.
    """
    if not 0.3 <= threshold <= 1 or shingle_words < 1:
        raise ConfigError("near duplicates need a threshold in [0.3, 1] and shingles of at least one word")
    tell = progress or silent
    tell("hashing the notes", -1.0)
    signatures, sizes = _signatures(open_notes(), shingle_words)
    representative, exact = _identical(signatures, sizes)
    candidates, large = _candidates(signatures, np.flatnonzero(representative), threshold)
    wanted = np.unique(np.concatenate([candidates.ravel(), exact.ravel()]))
    tell(f"comparing {len(candidates) + len(exact):,} pairs", -1.0)
    sets = _sets(open_notes(), shingle_words, wanted)
    compared = ((a, b, _jaccard(sets[a], sets[b])) for a, b in np.vstack([exact, candidates]).tolist())
    pairs = sorted(
        (NearDuplicate(a, b, alike) for a, b, alike in compared if alike >= threshold),
        key=lambda pair: (-pair.jaccard, pair.first, pair.second),
    )
    return NearDuplicates(len(sizes), int(np.sum(sizes == 0)), tuple(pairs), large)


def silent(stage: str, fraction: float) -> None:
    """Progress that nobody watches."""


def _shingles(texts: Any, width: int) -> tuple[Hashes, NDArray[np.int64]]:
    """The hash of every shingle of a batch, and the note in the batch that it is of."""
    from nosology.corpora.statistics.table import import_polars

    polars = import_polars()
    words = polars.Series(texts, dtype=polars.String).str.to_lowercase().str.extract_all(_WORD)
    lengths = words.list.len().to_numpy().astype(np.int64)
    hashes: Hashes = words.explode(empty_as_null=False).hash(seed=0).to_numpy()
    note = np.repeat(np.arange(len(lengths)), lengths)
    if len(hashes) < width:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    count = len(hashes) - width + 1
    mixed = np.zeros(count, dtype=np.uint64)
    for offset in range(width):  # a polynomial of the words' hashes: order matters
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + hashes[offset : offset + count]
    inside = note[:count] == note[width - 1 :]
    return _scrambled(mixed[inside]), note[:count][inside]


def _scrambled(values: Hashes) -> Hashes:
    """The finaliser of splitmix64: every bit of the input moves every bit of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _signatures(batches: Iterator[Any], width: int) -> tuple[Hashes, NDArray[np.int64]]:
    """One row of bins a note, and how many shingles it has (0: too short)."""
    rows: list[Hashes] = []
    sizes: list[NDArray[np.int64]] = []
    for texts in batches:
        hashes, note = _shingles(texts, width)
        least = np.full(len(texts) * _BINS, _EMPTY, dtype=np.uint64)
        np.minimum.at(least, note * _BINS + (hashes % np.uint64(_BINS)).astype(np.int64), hashes)
        rows.append(_densified(least.reshape(len(texts), _BINS)))
        sizes.append(np.bincount(note, minlength=len(texts)))
    if not rows:
        return np.empty((0, _BINS), dtype=np.uint64), np.empty(0, dtype=np.int64)
    return np.vstack(rows), np.concatenate(sizes)


def _densified(bins: Hashes) -> Hashes:
    """Empty bins take the value of a full one, chosen by the bin alone, so that alike notes choose alike."""
    empty = bins == _EMPTY
    hopeless = empty.all(axis=1)
    attempt = 0
    while (left := empty & ~hopeless[:, None]).any():
        attempt += 1
        source = _scrambled(np.arange(_BINS, dtype=np.uint64) * np.uint64(1_000_003) + np.uint64(attempt))
        borrowed = bins[:, (source % np.uint64(_BINS)).astype(np.int64)]
        bins = np.where(left, np.where(borrowed == _EMPTY, _EMPTY, borrowed), bins)
        empty = bins == _EMPTY
    return bins


def _identical(signatures: Hashes, sizes: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The first of each group with one signature, and the pairs of every other with that first."""
    keys = [row.tobytes() if size else b"" for row, size in zip(signatures, sizes.tolist(), strict=True)]
    first: dict[bytes, int] = {}
    representative = np.zeros(len(keys), dtype=np.bool_)
    pairs: list[tuple[int, int]] = []
    for position, key in enumerate(keys):
        if not key:
            continue
        start = first.setdefault(key, position)
        representative[position] = start == position
        if start != position:
            pairs.append((start, position))
    return representative, np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _candidates(signatures: Hashes, notes: NDArray[np.int64], threshold: float) -> tuple[NDArray[np.int64], int]:
    """Pairs that agree in a band and, over the whole signature, nearly as often as the threshold asks."""
    rows = _rows_a_band(threshold)
    found: list[NDArray[np.int64]] = []
    large = 0
    for start in range(0, _BINS - rows + 1, rows):
        band = signatures[notes, start : start + rows]
        key = np.zeros(len(notes), dtype=np.uint64)
        for column in range(rows):
            key = _scrambled(key + band[:, column])
        pairs, cut = _bucket_pairs(key, notes)
        large += cut
        found.append(_likely(pairs, signatures, threshold))
    pairs = np.vstack(found) if found else np.empty((0, 2), dtype=np.int64)
    return np.unique(pairs, axis=0), large


def _rows_a_band(threshold: float) -> int:
    """The longest band that a pair at the threshold still shares with enough chance: ``1 - (1 - t^r)^(bins/r)``."""
    good = [rows for rows in range(1, 33) if 1 - (1 - threshold**rows) ** (_BINS // rows) >= _RECALL]
    return max(good)


def _bucket_pairs(key: Hashes, notes: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    order = np.argsort(key, kind="stable")
    bounds = np.flatnonzero(np.diff(key[order])) + 1
    large = 0
    pairs: list[NDArray[np.int64]] = []
    for bucket in np.split(notes[order], bounds):
        size = len(bucket)
        if size < 2:
            continue
        if size <= _LARGE_BUCKET:
            first, second = np.triu_indices(size, k=1)
        else:
            large += 1
            first, second = _near_in_bucket(size)
        pairs.append(np.column_stack([bucket[first], bucket[second]]))
    return (np.vstack(pairs) if pairs else np.empty((0, 2), dtype=np.int64)), large


def _near_in_bucket(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    steps = [(np.arange(size - step), np.arange(step, size)) for step in range(1, _NEIGHBOURS + 1)]
    steps.append((np.zeros(size - 1, dtype=np.int64), np.arange(1, size)))
    return np.concatenate([a for a, _ in steps]), np.concatenate([b for _, b in steps])


def _likely(pairs: NDArray[np.int64], signatures: Hashes, threshold: float) -> NDArray[np.int64]:
    kept = [
        part[np.mean(signatures[part[:, 0]] == signatures[part[:, 1]], axis=1) >= threshold - _SLACK]
        for part in np.array_split(pairs, max(1, len(pairs) // 50_000))
    ]
    return np.sort(np.vstack(kept), axis=1)


def _sets(batches: Iterator[Any], width: int, wanted: NDArray[np.int64]) -> dict[int, Hashes]:
    """The distinct shingle hashes of the wanted notes."""
    sets: dict[int, Hashes] = {}
    start = 0
    for texts in batches:
        inside = wanted[(wanted >= start) & (wanted < start + len(texts))] - start
        if len(inside):
            chosen = [texts[int(one)] for one in inside]
            hashes, note = _shingles(chosen, width)
            parts = np.split(hashes, np.searchsorted(note, np.arange(1, len(chosen))))
            sets |= {start + int(one): np.unique(part) for one, part in zip(inside, parts, strict=True)}
        start += len(texts)
    return sets


def _jaccard(first: Hashes, second: Hashes) -> float:
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)
