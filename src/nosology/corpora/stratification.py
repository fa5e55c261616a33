"""A split of our own: no patient in two splits, and every code spread over the splits as the fractions ask.

Iterative stratification takes the rarest code first, while there is still room to place it, and gives each of its
patients to the split that lacks that code most.

Reference: Sechidis, Tsoumakas and Vlahavas, 2011, "On the Stratification of Multi-label Data", algorithm 1,
doi:10.1007/978-3-642-23808-6_10.

Differs from the paper: what is placed is a group (a patient) with all its documents, the largest of a code first; the
rarest code is the one with the fewest groups left; a split that has its share of documents takes no more (the paper's
sizes drift by some per cent where many codes are rare), and none stays empty. For a code of more than 20 documents,
splits that lack it almost alike (within 0.4 of the square root of its documents) count as alike, and all the group's
codes decide: the paper lets the rarest decide alone, which leaves frequent codes no better spread than by chance. A
lazy heap finds the rarest code, so that the work is O(n log n) in the number of (group, code) pairs.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.corpora.splits import check_fractions, check_group_count, group_of
from nosology.errors import CorpusError
from nosology.types import Encounter

Ints = NDArray[np.int64]

# Measured on MIMIC-III's label frequencies (benchmarks/stats.py): strict up to this many documents, then this slack.
_RARE = 20
_SLACK = 0.4


def stratified_split(
    groups: Sequence[str], indptr: Ints, indices: NDArray[np.int32], fractions: Mapping[str, float], seed: int
) -> NDArray[np.int8]:
    """Assign every document to a split: groups are never parted, the codes of each split are as alike as can be.

    Args:
        groups: the group (patient) of each document.
        indptr: where each document's labels begin in ``indices``; one more than there are documents.
        indices: the label columns of document 0, then of document 1, ...
        fractions: the share of each split by name, above 0, with sum 1.
        seed: breaks ties; same seed, same splits, whatever the order of the documents.

    Returns:
        The split of each document: its number in the order of ``fractions``.

    Raises:
        ConfigError: fractions that are not above 0 or do not sum to 1.
        CorpusError: fewer groups than splits, or a label matrix that does not fit the documents.
    """
    check_fractions(fractions)
    _check_matrix(len(groups), indptr, indices)
    names, members = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    check_group_count(len(names), len(fractions))
    table = _label_table(members, len(names), indptr, indices, np.random.default_rng(seed))
    splits = _Filling(table, np.bincount(members), np.array(list(fractions.values()))).run()
    return np.array(splits, dtype=np.int8)[members]


def stratified_encounters(
    encounters: Sequence[Encounter], fractions: Mapping[str, float], seed: int
) -> tuple[Encounter, ...]:
    """Like ``grouped_split``, with the codes spread evenly, too; encounters without codes only fill the sizes.

    Args:
        encounters: what to split; their present splits are ignored.
        fractions: the share of each split by name, above 0, with sum 1.
        seed: breaks ties.

    Returns:
        The encounters in the same order with ``split`` set.

    Raises:
        ConfigError: fractions that are not above 0 or do not sum to 1.
        CorpusError: fewer groups than splits.
    """
    codes = [sorted({(gold.system, gold.code) for gold in one.codes or ()}) for one in encounters]
    column = {code: position for position, code in enumerate(sorted({code for row in codes for code in row}))}
    indptr = np.cumsum([0, *map(len, codes)], dtype=np.int64)
    indices = np.array([column[code] for row in codes for code in row], dtype=np.int32)
    chosen = stratified_split([group_of(one) for one in encounters], indptr, indices, fractions, seed)
    names = list(fractions)
    return tuple(replace(one, split=names[split]) for one, split in zip(encounters, chosen, strict=True))


def _check_matrix(documents: int, indptr: Ints, indices: NDArray[np.int32]) -> None:
    if len(indptr) != documents + 1:
        raise CorpusError(f"the label matrix has {len(indptr) - 1} rows for {documents} documents; give one row each")
    if indptr[0] != 0 or indptr[-1] != len(indices) or np.any(np.diff(indptr) < 0):
        raise CorpusError("the rows of the label matrix do not cover its entries; build it again")
    if len(indices) and int(indices.min()) < 0:
        raise CorpusError("a label column is below 0; number the labels from 0")


class _Table(NamedTuple):
    """Which labels a group's documents carry, and which groups a label has.

    Args:
        of_group: per group, its label columns and in how many of its documents each stands.
        of_label: per label, its groups, those with most documents of it first.
        totals: per label, its documents.
        rank: per label, its place among labels that are equally rare.
        order: the groups, seeded.
    """

    of_group: list[tuple[list[int], list[int]]]
    of_label: list[list[int]]
    totals: Ints
    rank: list[int]
    order: list[int]


def _label_table(
    members: Ints, n_groups: int, indptr: Ints, indices: NDArray[np.int32], rng: np.random.Generator
) -> _Table:
    n_labels = int(indices.max()) + 1 if len(indices) else 0
    documents = np.repeat(np.arange(len(members)), np.diff(indptr))
    pairs = np.unique(documents * max(n_labels, 1) + indices)  # a document counts a label once
    document, label = np.divmod(pairs, max(n_labels, 1))
    keys, counts = np.unique(members[document] * max(n_labels, 1) + label, return_counts=True)
    group, label = np.divmod(keys, max(n_labels, 1))
    shuffled = rng.permutation(n_groups)
    place = np.empty(n_groups, dtype=np.int64)
    place[shuffled] = np.arange(n_groups)
    by_label = np.lexsort((place[group], -counts, label))
    return _Table(
        list(zip(_parts(label, group, n_groups), _parts(counts, group, n_groups), strict=True)),
        _parts(group[by_label], label[by_label], n_labels),
        np.bincount(label, weights=counts, minlength=n_labels).astype(np.int64),
        rng.permutation(n_labels).tolist(),
        shuffled.tolist(),
    )


def _parts(values: Ints, owner: Ints, n_owners: int) -> list[list[int]]:
    """The values of each owner; ``owner`` is sorted."""
    bounds = np.searchsorted(owner, np.arange(n_owners + 1))
    everything = values.tolist()
    return [everything[start:end] for start, end in pairwise(bounds.tolist())]


class _Filling:
    """The splits while groups come in; plain lists, because they are read and written one number at a time."""

    def __init__(self, table: _Table, sizes: Ints, shares: NDArray[np.float64]) -> None:
        self._table = table
        self._shares: list[float] = shares.tolist()
        self._sizes: list[int] = sizes.tolist()
        self._split_of = [-1] * len(table.of_group)
        self._unplaced = len(table.of_group)
        self._empty = set(range(len(shares)))
        # Documents that each split still lacks, and, of each label, those it lacks and those not placed yet.
        self._lacking_documents: list[float] = (shares * sizes.sum()).tolist()
        self._lacking: list[list[float]] = [(share * table.totals).tolist() for share in shares]
        self._left: list[int] = table.totals.tolist()
        self._slack: list[float] = np.where(table.totals > _RARE, _SLACK * np.sqrt(table.totals), 0.0).tolist()
        scale = np.sqrt(np.maximum(shares * (1 - shares), 1e-9)[:, None] * np.maximum(table.totals, 1))
        self._weight: list[list[float]] = (1 / scale).tolist()
        self._rarest = _RarestFirst([len(groups) for groups in table.of_label], table.rank)

    def run(self) -> list[int]:
        """The split of each group."""
        split_of = self._split_of
        while (label := self._rarest.pop()) is not None:
            for group in self._table.of_label[label]:
                if split_of[group] < 0:
                    self._place(group, self._neediest(group, label))
        for group in sorted(self._table.order, key=self._sizes.__getitem__, reverse=True):
            if split_of[group] < 0:
                self._place(group, max(self._allowed(), key=lambda one: (self._lacking_documents[one], -one)))
        return split_of

    def _allowed(self) -> Sequence[int]:
        """Splits that lack documents; only the empty ones when no more groups are left than there are of those."""
        if len(self._empty) >= self._unplaced:
            return sorted(self._empty)
        return [split for split, lacking in enumerate(self._lacking_documents) if lacking > 0]

    def _neediest(self, group: int, label: int) -> int:
        allowed = self._allowed()
        most = max(self._lacking[split][label] for split in allowed)
        near = [split for split in allowed if self._lacking[split][label] >= most - self._slack[label]]
        if self._slack[label] and len(near) > 1:
            return max(near, key=lambda one: (self._need(one, group), -one))
        return max(near, key=lambda one: (self._lacking_documents[one], -one))

    def _need(self, split: int, group: int) -> float:
        """How far the split lies behind in the group's labels: the sum of ``(lacking - share * left) / sd``."""
        lacking, weight, share, left = self._lacking[split], self._weight[split], self._shares[split], self._left
        labels, _ = self._table.of_group[group]
        return sum((lacking[label] - share * left[label]) * weight[label] for label in labels)

    def _place(self, group: int, split: int) -> None:
        self._split_of[group] = split
        self._unplaced -= 1
        self._empty.discard(split)
        self._lacking_documents[split] -= self._sizes[group]
        lacking, left = self._lacking[split], self._left
        labels, counts = self._table.of_group[group]
        for label, count in zip(labels, counts, strict=True):
            lacking[label] -= count
            left[label] -= count
        self._rarest.took(labels)


class _RarestFirst:
    """The label with the fewest groups left: a heap that keeps outdated entries and passes over them.

    An entry is one whole number, ``groups left * labels + rank``: ties go by rank, and comparing numbers is quick.
    """

    def __init__(self, left: list[int], rank: list[int]) -> None:
        self._left = left
        self._rank = rank
        self._label_at = [0] * len(rank)
        for label, position in enumerate(rank):
            self._label_at[position] = label
        self._heap = [count * len(rank) + rank[label] for label, count in enumerate(left) if count]
        heapq.heapify(self._heap)

    def took(self, labels: Sequence[int]) -> None:
        """A group with these labels has been placed."""
        left, rank, heap, n_labels = self._left, self._rank, self._heap, len(self._rank)
        for label in labels:
            left[label] -= 1
            if left[label]:
                heapq.heappush(heap, left[label] * n_labels + rank[label])

    def pop(self) -> int | None:
        """The rarest label that has groups left, ``None`` when none has."""
        while self._heap:
            count, position = divmod(heapq.heappop(self._heap), len(self._rank))
            label = self._label_at[position]
            if self._left[label] == count:
                return label
        return None
