"""Counting what the association source learns from: n-grams of training notes, codes, and the terms of codes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.grams import GramReader, Grams
from nosology.ranking.source import TrainingSet

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Terms = Mapping[str, Iterable[tuple[str, ...]]]
"""By code, the concepts of each of its titles and terms."""

_MOST_TRIPLES = 30_000_000
"""More (note, code, n-gram) triples than this would not fit into memory: rarer n-grams are left out until they do."""
_MOST_HOLDERS = 0.3
_SURE = 0.3


class _Prepared(NamedTuple):
    reader: GramReader
    grams: dict[str, Grams]


def read_all(training: TrainingSet) -> tuple[GramReader, list[Grams]]:
    """The n-grams of every training note; read once for all fits, because they depend on the texts alone.

    Notes that an earlier fit has not met add their concepts behind the known ones, so that what was read stays valid.
    """
    prepared = training.shared.get("grams")
    if not isinstance(prepared, _Prepared):
        prepared = _Prepared(GramReader([]), {})
    unread = [example.stream for example in training.examples if example.stream.encounter_id not in prepared.grams]
    if unread:
        new = {concept for stream in unread for concept in stream.positions}.difference(prepared.reader.concepts)
        prepared = _Prepared(GramReader([*prepared.reader.concepts, *sorted(new)]), prepared.grams)
        training.shared["grams"] = prepared
    for stream in unread:
        prepared.grams[stream.encounter_id] = prepared.reader.read(stream)
    return prepared.reader, [prepared.grams[example.stream.encounter_id] for example in training.examples]


def choose_grams(read: list[Grams], labels: NDArray[np.float64], training: TrainingSet) -> NDArray[np.uint64]:
    """N-grams of at least two notes and not of too many; more notes, where there would be too many triples."""
    held = [np.unique(grams.keys) for grams in read]
    keys, inverse, holders = np.unique(
        np.concatenate(held) if held else np.zeros(0, dtype=np.uint64), return_inverse=True, return_counts=True
    )
    triples = np.bincount(inverse, weights=np.repeat(labels, [len(own) for own in held]), minlength=len(keys))
    allowed = holders <= max(10.0, _MOST_HOLDERS * len(training.examples))
    least = 2
    while triples[allowed & (holders >= least)].sum() > _MOST_TRIPLES:
        least += 1
    return keys[allowed & (holders >= least)]


def _numbers(keys: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where each of ``wanted`` stands in the rising ``keys``; those that are not there are left out."""
    if len(keys) == 0:
        return np.zeros(0, dtype=np.int64)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return places[keys[places] == wanted]


def presence_matrix(read: list[Grams], keys: NDArray[np.uint64]) -> csr_matrix:
    from scipy.sparse import csr_matrix as sparse

    columns = [_numbers(keys, np.unique(grams.keys)) for grams in read]
    pointers = np.concatenate([[0], np.cumsum([len(column) for column in columns])])
    joined = np.concatenate(columns) if columns else np.zeros(0, dtype=np.int64)
    return sparse((np.ones(len(joined), dtype=np.float32), joined, pointers), shape=(len(read), len(keys)))


def label_matrix(code_sets: Iterable[Iterable[str]], codes: list[str]) -> csr_matrix:
    from scipy.sparse import csr_matrix as sparse

    number_of = {code: number for number, code in enumerate(codes)}
    rows = [sorted(number_of[code] for code in code_set) for code_set in code_sets]
    pointers = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    columns = np.array([column for row in rows for column in row], dtype=np.int64)
    return sparse((np.ones(len(columns), dtype=np.float32), columns, pointers), shape=(len(rows), len(codes)))


def likeness_of_terms(
    reader: GramReader, keys: NDArray[np.uint64], codes: list[str], terms: Terms, training: TrainingSet
) -> csr_matrix:
    """1 where an n-gram is a term of a code; in part where it is a large part of one (by rarity): ``[gram, code]``."""
    from itertools import combinations

    from scipy.sparse import csr_matrix as sparse

    holders = Counter(concept for example in training.examples for concept in example.stream.positions)
    total = len(training.examples)
    best = defaultdict[tuple[int, int], float](float)
    known = {int(key): number for number, key in enumerate(keys.tolist())}
    for column, code in enumerate(codes):
        for term in terms.get(code, ()):
            weights = {concept: np.log((total + 1) / (holders[concept] + 0.5)) for concept in term}
            ranked = sorted(weights, key=lambda concept: (-weights[concept], concept))[:6]
            everything = sum(weights.values())
            for size in range(1, min(4, len(ranked)) + 1):
                for subset in combinations(ranked, size):
                    part = sum(weights[concept] for concept in subset)
                    alike = 2 * part / (part + everything)
                    gram = known.get(reader.key(subset) or -1) if alike > 0.3 else None
                    if gram is not None and alike > best[gram, column]:
                        best[gram, column] = float(alike)
    rows = np.array([gram for gram, _ in best], dtype=np.int64)
    columns = np.array([column for _, column in best], dtype=np.int64)
    values = np.array(list(best.values()), dtype=np.float64)
    return sparse((values, (rows, columns)), shape=(len(keys), len(codes)))


def inverse_frequencies(
    read: list[Grams], keys: NDArray[np.uint64], holders: NDArray[np.int64], total: int
) -> NDArray[np.float64]:
    """log(N / n) of single concepts; 0 of longer n-grams, which say the same words again."""
    single = np.zeros(len(keys), dtype=np.bool_)
    for grams in read:
        single[_numbers(keys, grams.keys[grams.sizes == 1])] = True
    return np.where(single, np.log(total / np.maximum(holders, 1)), 0.0)


def surest_wordings(
    training: TrainingSet, read: list[Grams], keys: NDArray[np.uint64], codes: list[str], triggers: csr_matrix
) -> tuple[list[str], list[str]]:
    """The surest (n-gram, code) pairs, each n-gram in the words of the first note that has it."""
    entries = triggers.tocoo()
    if not len(keys):
        return [], []
    sure = entries.data >= _SURE
    is_wanted = np.zeros(len(keys) + 1, dtype=np.bool_)
    is_wanted[entries.row[sure]] = True
    words = dict[int, str]()
    for example, grams in zip(training.examples, read, strict=True):
        numbers = np.minimum(np.searchsorted(keys, grams.keys), len(keys) - 1)
        for place in np.flatnonzero(is_wanted[numbers] & (keys[numbers] == grams.keys)).tolist():
            words.setdefault(int(numbers[place]), example.stream.surface(grams.first[place], grams.last[place]))
    pairs = sorted(
        {(words[row], codes[column]) for row, column in zip(entries.row[sure], entries.col[sure], strict=True)}
    )
    return [text for text, _ in pairs], [code for _, code in pairs]


def unit_rows(matrix: csr_matrix) -> csr_matrix:
    from scipy.sparse import csr_matrix as sparse
    from scipy.sparse import diags

    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scaled = diags(1.0 / np.maximum(norms, 1e-9)) @ matrix
    result = sparse(scaled)
    result.eliminate_zeros()
    return result
