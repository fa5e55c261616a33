"""What the splits are like: sizes, patients in two of them, codes that training never sees, how alike they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.corpora.statistics.table import CorpusTable, Ints

TRAIN = "train"


@dataclass(frozen=True, slots=True)
class SplitStatistics:
    """One split.

    Args:
        name: of the split.
        documents: in it.
        groups: patients, where they are known.
        codes: distinct codes.
        occurrences: (document, code) pairs.
        mean_codes: codes a coded document.
        absent_codes: its codes that training never sees.
        absent_share: share of its occurrences that carry such a code.
        absent_documents: documents with at least one such code.
        divergence: Jensen-Shannon divergence of its code frequencies from the whole corpus's, in bits.
    """

    name: str
    documents: int
    groups: int
    codes: int
    occurrences: int
    mean_codes: float
    absent_codes: int
    absent_share: float
    absent_documents: int
    divergence: float


@dataclass(frozen=True, slots=True)
class Leakage:
    """Patients in more than one split.

    Args:
        groups: how many.
        documents: of theirs.
        examples: the first of them.
        known: whether the corpus says which patient a document is of, at all.
    """

    groups: int
    documents: int
    examples: tuple[str, ...]
    known: bool


def split_statistics(table: CorpusTable) -> tuple[SplitStatistics, ...]:
    """One row a split; none for a corpus without splits."""
    whole = table.counts()
    trained = table.counts(table.in_split(TRAIN)) if TRAIN in table.split_names() else None
    return tuple(_split(table, name, whole, trained) for name in table.split_names())


def _split(table: CorpusTable, name: str, whole: Ints, trained: Ints | None) -> SplitStatistics:
    inside = table.in_split(name)
    counts = table.counts(inside)
    absent = (counts > 0) & (trained == 0) if trained is not None else np.zeros(len(counts), dtype=np.bool_)
    entries = inside[table.document_of] & absent[table.indices]
    groups = {table.groups[i] for i in np.flatnonzero(inside)} - {""}
    total = int(counts.sum())
    return SplitStatistics(
        name,
        int(inside.sum()),
        len(groups),
        int(np.sum(counts > 0)),
        total,
        total / max(int((inside & table.coded).sum()), 1),
        int(absent.sum()),
        float(entries.sum() / max(total, 1)),
        len(np.unique(table.document_of[entries])),
        _divergence(counts, whole),
    )


def leakage(table: CorpusTable, examples: int = 3) -> Leakage:
    """Find patients with documents in more than one split; documents without a split do not count."""
    splits_of: dict[str, set[str]] = {}
    for group, split in zip(table.groups, table.splits, strict=True):
        if group and split:
            splits_of.setdefault(group, set()).add(split)
    leaking = sorted(group for group, splits in splits_of.items() if len(splits) > 1)
    inside = set(leaking)
    documents = sum(group in inside and bool(split) for group, split in zip(table.groups, table.splits, strict=True))
    return Leakage(len(leaking), documents, tuple(leaking[:examples]), any(table.groups))


def _divergence(counts: Ints, whole: Ints) -> float:
    """Jensen-Shannon divergence between two frequency tables: 0 where they are alike, 1 bit with nothing shared."""
    p, q = counts.astype(np.float64), whole.astype(np.float64)
    if not p.sum() or not q.sum():
        return 0.0
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return float((_relative(p, middle) + _relative(q, middle)) / 2)


def _relative(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    there = p > 0
    return float(np.sum(p[there] * np.log2(p[there] / q[there])))
