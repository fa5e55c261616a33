"""What the labels are like: how often a code occurs, how many a document has, which go together, in which chapters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nosology.codes import SYSTEMS, CodeSystem, FrequencyBands, open_code_system
from nosology.corpora.statistics.table import CorpusTable, Ints

QUANTILES = (10, 25, 50, 75, 90, 99, 100)


@dataclass(frozen=True, slots=True)
class FrequencyStatistics:
    """How occurrences spread over the codes of one system, or of all.

    Args:
        system: the system's name, or "all".
        codes: distinct codes.
        occurrences: (document, code) pairs.
        once: codes in a single document; ``at_most_twice`` those in one or two.
        under_ten: codes in fewer than ten documents.
        top_50_share: share of the occurrences that the 50 most frequent codes hold.
        top_tenth_share: share that the most frequent tenth of the codes holds.
        quantiles: documents a code, at each percentage of ``QUANTILES``.
        most_frequent: the most frequent code.
    """

    system: str
    codes: int
    occurrences: int
    once: int
    at_most_twice: int
    under_ten: int
    top_50_share: float
    top_tenth_share: float
    quantiles: tuple[float, ...]
    most_frequent: str


@dataclass(frozen=True, slots=True)
class BandRow:
    """Codes of one frequency band.

    Args:
        band: its name, in training documents (all documents where there is no training split).
        codes: codes in the band.
        occurrences: how often they occur in the whole corpus.
        share: of all occurrences.
    """

    band: str
    codes: int
    occurrences: int
    share: float


@dataclass(frozen=True, slots=True)
class CodePair:
    """Two codes of the same documents.

    Args:
        first, second: the codes, ``first`` the more frequent one.
        first_title, second_title: what they mean, empty if no table has it.
        documents: with both.
        lift: how many times as often as if they were independent.
        pmi: its binary logarithm.
    """

    first: str
    second: str
    first_title: str
    second_title: str
    documents: int
    lift: float
    pmi: float


@dataclass(frozen=True, slots=True)
class Cooccurrence:
    """Which codes go together.

    Args:
        pairs: distinct pairs of codes that share a document.
        frequent: the pairs in most documents.
        strongest: the pairs of the highest lift, among those in at least ``least_documents`` documents.
        least_documents: see above.
    """

    pairs: int
    frequent: tuple[CodePair, ...]
    strongest: tuple[CodePair, ...]
    least_documents: int


@dataclass(frozen=True, slots=True)
class ChapterRow:
    """Occurrences in one chapter of one system.

    Args:
        system: the code system.
        chapter: its range or letter; empty for codes that no table has.
        title: of the chapter.
        codes: distinct codes of the corpus in it.
        occurrences: (document, code) pairs.
        share: of the system's occurrences.
    """

    system: str
    chapter: str
    title: str
    codes: int
    occurrences: int
    share: float


class CodeTitles:
    """Titles and chapters of codes; codes of a system without a table have none."""

    def __init__(self) -> None:
        self._tables: dict[str, CodeSystem] = {}

    def title(self, code: str, system: str) -> str:
        """The code's title, empty if no table has it."""
        table = self._table(system)
        return "" if table is None else table.description(code)

    def chapter(self, code: str, system: str) -> str:
        """The topmost heading above the code, empty if no table has it."""
        table = self._table(system)
        above = () if table is None else table.ancestors(code)
        return above[-1] if above else ""

    def _table(self, system: str) -> CodeSystem | None:
        if system in SYSTEMS and system not in self._tables:
            self._tables[system] = open_code_system(system)
        return self._tables.get(system)


def frequency_statistics(table: CorpusTable) -> tuple[FrequencyStatistics, ...]:
    """Per code system, and for all where there are several."""
    counts = table.counts()
    codes, systems = np.array(table.codes, dtype=object), np.array(table.systems, dtype=object)
    names = sorted(set(table.systems))
    rows = [_frequency(name, counts[systems == name], codes[systems == name]) for name in names]
    return (*rows, _frequency("all", counts, codes)) if len(names) > 1 else tuple(rows)


def _frequency(system: str, counts: Ints, codes: NDArray[np.object_]) -> FrequencyStatistics:
    falling = np.sort(counts)[::-1]
    total = int(counts.sum())
    return FrequencyStatistics(
        system=system,
        codes=len(counts),
        occurrences=total,
        once=int(np.sum(counts == 1)),
        at_most_twice=int(np.sum(counts <= 2)),
        under_ten=int(np.sum(counts < 10)),
        top_50_share=float(falling[:50].sum() / total),
        top_tenth_share=float(falling[: -(-len(counts) // 10)].sum() / total),
        quantiles=tuple(float(one) for one in np.percentile(counts, QUANTILES)),
        most_frequent=str(codes[int(np.argmax(counts))]),
    )


def band_rows(table: CorpusTable, bands: FrequencyBands) -> tuple[BandRow, ...]:
    """Codes and occurrences by band of training frequency."""
    counts = table.counts()
    trained = table.counts(table.in_split("train")) if "train" in table.split_names() else counts
    band = bands.bands_of(trained)
    codes = np.bincount(band, minlength=len(bands))
    occurrences = np.bincount(band, weights=counts, minlength=len(bands)).astype(np.int64)
    total = max(int(counts.sum()), 1)
    rows = zip(bands.names, codes.tolist(), occurrences.tolist(), strict=True)
    return tuple(BandRow(name, number, times, times / total) for name, number, times in rows)


def cardinality(table: CorpusTable) -> Ints:
    """Codes of each coded document."""
    return np.diff(table.indptr)[table.coded]


def cooccurrence(table: CorpusTable, titles: CodeTitles, top: int = 10) -> Cooccurrence:
    """Count pairs of codes of the same document: the sparse matrix of labels, transposed, times itself.

    Lift is ``n * n_ab / (n_a * n_b)`` over ``n`` coded documents, pointwise mutual information its binary logarithm.

    Reference: Church and Hanks, 1990, "Word association norms, mutual information, and lexicography", equation 1.
    """
    from scipy import sparse

    shape = (len(table), len(table.codes))
    ones = np.ones(len(table.indices), dtype=np.int32)
    matrix = sparse.csr_array((ones, table.indices, table.indptr), shape=shape)
    upper = sparse.triu(matrix.T @ matrix, k=1).tocoo()
    first, second, together = upper.coords[0], upper.coords[1], upper.data.astype(np.int64)
    counts = table.counts()
    documents = max(int(table.coded.sum()), 1)
    lift = documents * together / (counts[first].astype(np.float64) * counts[second])
    least = max(3, min(50, documents // 1000))

    def pair(position: int) -> CodePair:
        a, b = sorted((int(first[position]), int(second[position])), key=lambda one: (-counts[one], one))
        return CodePair(
            table.codes[a],
            table.codes[b],
            titles.title(table.codes[a], table.systems[a]),
            titles.title(table.codes[b], table.systems[b]),
            int(together[position]),
            float(lift[position]),
            float(np.log2(lift[position])),
        )

    frequent = np.lexsort((-lift, -together))[:top]
    supported = np.flatnonzero(together >= least)
    strongest = supported[np.lexsort((-together[supported], -lift[supported]))[:top]]
    return Cooccurrence(len(together), tuple(map(pair, frequent)), tuple(map(pair, strongest)), least)


def chapter_rows(table: CorpusTable, titles: CodeTitles) -> tuple[ChapterRow, ...]:
    """Occurrences by chapter, in the order of systems and chapters; codes that no table has come last."""
    counts = table.counts()
    grouped: dict[tuple[str, str], list[int]] = {}
    totals: Counter[str] = Counter()
    for position, (code, system) in enumerate(zip(table.codes, table.systems, strict=True)):
        grouped.setdefault((system, titles.chapter(code, system)), []).append(position)
        totals[system] += int(counts[position])
    rows = [
        ChapterRow(
            system,
            chapter,
            titles.title(chapter, system) if chapter else "",
            len(positions),
            times := int(counts[positions].sum()),
            times / totals[system],
        )
        for (system, chapter), positions in grouped.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.system, not row.chapter, row.chapter)))
