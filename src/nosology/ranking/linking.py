"""Detected spans -> the known expressions most like them: candidates for wordings that nobody has marked before.

A span and an expression are bags of concepts and of four-letter pieces of words, weighted by rarity; their likeness is
the cosine. The expressions most like a span vote for their codes with likeness to the fourth power.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.array_runs import ranges, run_ends, run_lengths, run_starts
from nosology.knowledge.stream import TokenStream
from nosology.knowledge.vocabulary import concepts_of, ignored_words
from nosology.ranking.evidence_features import Reading
from nosology.ranking.keys import Found, KeyTable
from nosology.ranking.source import Arrays, Mention, SourceOutput

_THRESHOLDS = (0.15, 0.25, 0.35, 0.5)
"""Runs of words above each of these are spans; the lower ones give longer spans."""
_WIDEST_GAP = 2
_NEAR_GAP = 3
_NEIGHBOURS = 12
_LEAST_LIKENESS = 0.3
_PIECE_WEIGHT = 0.7
_UNKNOWN_RARITY = 6.0
_NOTABLE = 0.1
"""Weaker links of a code than this are kept only as its strongest: no reason to show, no claim to words."""
_SPANS_AT_ONCE = 256
_REMEMBERED = 200_000
"""Words whose vectors are kept; a service that reads notes for months must not grow with them."""

FEATURES = (
    "likeness", "worth", "peak", "rank", "vote", "words", "voters",
    "likeness_x_worth", "vote_x_worth", "vote_rank", "spans", "most_likeness", "most_vote",
)  # fmt: skip


class _WordVector(NamedTuple):
    """A word's features that the index has, with their weights, and the squared weights of those that it has not."""

    features: NDArray[np.int64]
    weights: NDArray[np.float64]
    unknown: float


class Links(NamedTuple):
    """Codes reached from detected spans, one entry a (span, code), by span: arrays ``[link]``.

    Args:
        spans: which span.
        codes: positions in the table's codes.
        likeness: cosine of the span and the code's nearest expression, less where that stands for other codes, too.
        worth, peak: mean and highest probability of the detector over the span.
        rank: of the code among the span's codes, 0 the first.
        vote: the code's part of the votes.
        words: length of the span.
        voters: expressions of the code among the neighbours.
    """

    spans: NDArray[np.int64]
    codes: NDArray[np.int64]
    likeness: NDArray[np.float64]
    worth: NDArray[np.float64]
    peak: NDArray[np.float64]
    rank: NDArray[np.int64]
    vote: NDArray[np.float64]
    words: NDArray[np.int64]
    voters: NDArray[np.int64]

    @property
    def columns(self) -> tuple[NDArray[np.generic], ...]:
        """What describes a link, without whose it is."""
        return self[2:]


@lru_cache(maxsize=400_000)
def _pieces(word: str) -> tuple[str, ...]:
    bounded = f"^{word}$"
    return tuple(bounded[start : start + 4] for start in range(max(1, len(bounded) - 3)))


@dataclass(frozen=True, eq=False, repr=False)
class Linker:
    """An inverted index of expressions by concepts and pieces of words.

    Args:
        table: the expressions; its ``texts`` are keys.
        concepts: rarity of every concept.
        features: concepts ("c ...") and pieces of the index.
        pointers, expressions, weights: postings: feature ``f`` is in ``expressions[pointers[f]:pointers[f + 1]]``.
    """

    table: KeyTable
    concepts: dict[str, float]
    features: list[str]
    pointers: NDArray[np.int64]
    expressions: NDArray[np.int64]
    weights: NDArray[np.float64]
    _number_of: dict[str, int] = field(init=False, repr=False)
    _shares: NDArray[np.float64] = field(init=False, repr=False)
    _vectors: dict[str, _WordVector] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_number_of", {name: number for number, name in enumerate(self.features)})
        counts, pointers = self.table.pair_counts, self.table.pointers
        totals = np.add.reduceat(counts, pointers[:-1]) if len(self.table) else counts
        object.__setattr__(self, "_shares", np.sqrt(counts / np.repeat(totals, np.diff(pointers))))
        object.__setattr__(self, "_vectors", dict[str, _WordVector]())

    @staticmethod
    def build(table: KeyTable, phrases: list[list[str]], concepts: dict[str, float], language: str) -> Linker:
        """Index each expression by one of its wordings.

        Args:
            table: the expressions.
            phrases: a wording of each, in words.
            concepts: rarity of every concept.
            language: ISO 639-1, for the stop words.
        """
        vectors = [_vector(words, concepts, language) for words in phrases]
        features = sorted({name for vector in vectors for name in vector})
        number_of = {name: number for number, name in enumerate(features)}
        rows = list[tuple[int, int, float]]()
        for expression, vector in enumerate(vectors):
            norm = math.sqrt(sum(weight * weight for weight in vector.values())) or 1.0
            rows += [(number_of[name], expression, weight / norm) for name, weight in vector.items()]
        rows.sort()
        counts = np.bincount(np.array([row[0] for row in rows], dtype=np.int64), minlength=len(features))
        return Linker(
            table,
            concepts,
            features,
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.array([row[1] for row in rows], dtype=np.int64),
            np.array([row[2] for row in rows], dtype=np.float64),
        )

    def link(self, reading: Reading, found: Found) -> SourceOutput:
        """Codes reached from the spans that the detector and the key matches point out, sorted as in the table.

        Args:
            reading: the encounter.
            found: matches of the keys.
        """
        spans = _spans(reading, found)
        if not spans or not self.features:
            return SourceOutput([], np.zeros((0, len(FEATURES)), dtype=np.float32), {})
        links = self._links(reading, spans)
        return SourceOutput(*_summarise(links, self.table.codes), self._mentions(reading.stream, spans, links))

    def _mentions(self, stream: TokenStream, spans: list[tuple[int, int]], links: Links) -> dict[str, list[Mention]]:
        words = [tuple(range(first, last + 1)) for first, last in spans]
        surfaces = [stream.surface(first, last) for first, last in spans]
        strengths = 0.5 * links.likeness * links.vote * links.worth
        most = np.zeros(len(self.table.codes))
        np.maximum.at(most, links.codes, strengths)
        kept = np.flatnonzero((strengths > _NOTABLE) | (strengths == most[links.codes]))
        columns = (links.spans[kept], links.codes[kept], strengths[kept])
        mentions = defaultdict[str, list[Mention]](list)
        for span, code, strength in zip(*(column.tolist() for column in columns), strict=True):
            mentions[self.table.codes[code]].append(Mention(words[span], strength, surfaces[span]))
        return dict(mentions)

    def _links(self, reading: Reading, spans: list[tuple[int, int]]) -> Links:
        """The links of all spans; some spans at a time, whatever the length of the note."""
        if len(self._vectors) > _REMEMBERED:
            self._vectors.clear()
        parts = list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]()
        for start in range(0, len(spans), _SPANS_AT_ONCE):
            owners, numbers, likeness = _nearest(self._likeness(reading.stream, spans[start : start + _SPANS_AT_ONCE]))
            parts.append((owners + start, numbers, likeness))
        owners, numbers, likeness = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        bounds = np.array(spans, dtype=np.int64)
        sums = np.concatenate([[0.0], np.cumsum(reading.worth)])
        edges = bounds + np.array([0, 1])
        words = edges[:, 1] - edges[:, 0]
        worth = (sums[edges[:, 1]] - sums[edges[:, 0]]) / words
        peak = np.maximum.reduceat(np.append(reading.worth, 0.0), edges.ravel())[::2]
        chosen, codes, best, votes, voters, rank = self._vote(owners, numbers, likeness)
        return Links(chosen, codes, best, worth[chosen], peak[chosen], rank, votes, words[chosen], voters)

    def _vote(
        self, owners: NDArray[np.int64], numbers: NDArray[np.int64], likeness: NDArray[np.float64]
    ) -> tuple[
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.int64],
        NDArray[np.int64],
    ]:
        """The codes of each span's neighbours: span, code, best likeness, part of the votes, voters, rank.

        Args:
            owners: the span of each neighbour.
            numbers: the neighbour's expression.
            likeness: of both.
        """
        table = self.table
        starts = table.pointers[numbers]
        lengths = table.pointers[numbers + 1] - starts
        pairs = ranges(starts, lengths)
        likeness = np.repeat(likeness, lengths)
        width = len(table.codes)
        cells, inverse = np.unique(np.repeat(owners, lengths) * width + table.pair_codes[pairs], return_inverse=True)
        best = np.zeros(len(cells))
        np.maximum.at(best, inverse, likeness * self._shares[pairs])
        votes = np.bincount(inverse, weights=likeness**4 * table.pair_counts[pairs], minlength=len(cells))
        voters = np.bincount(inverse, minlength=len(cells))
        spans, codes = cells // width, cells % width
        order = np.lexsort((codes, -votes, spans))
        spans, codes, votes = spans[order], codes[order], votes[order]
        firsts = run_starts(spans)
        sizes = run_lengths(firsts, len(spans))
        totals = np.repeat(np.add.reduceat(votes, firsts) if len(firsts) else votes, sizes)
        return (
            spans,
            codes,
            best[order],
            votes / totals,
            voters[order],
            np.arange(len(spans)) - np.repeat(firsts, sizes),
        )

    def _likeness(self, stream: TokenStream, spans: list[tuple[int, int]]) -> NDArray[np.float64]:
        """Cosines ``[span, expression]``."""
        vectors = [self._word_vector(word, stream.language) for a, b in spans for word in stream.words[a : b + 1]]
        lengths = np.array([last + 1 - first for first, last in spans], dtype=np.int64)
        sizes = np.array([len(vector.features) for vector in vectors], dtype=np.int64)
        owner_of_word = np.repeat(np.arange(len(spans)), lengths)
        owners = np.repeat(owner_of_word, sizes)
        features = np.concatenate([vector.features for vector in vectors])
        weights = np.concatenate([vector.weights for vector in vectors])
        owners, features, weights = _summed(owners, features, weights, len(spans))
        unknown = np.bincount(owner_of_word, weights=[vector.unknown for vector in vectors], minlength=len(spans))
        norms = np.sqrt(np.bincount(owners, weights=weights**2, minlength=len(spans)) + unknown)
        norms[norms == 0.0] = 1.0
        starts = self.pointers[features]
        counts = self.pointers[features + 1] - starts
        places = ranges(starts, counts)
        products = np.repeat(weights / norms[owners], counts) * self.weights[places]
        columns = len(self.table)
        totals = np.bincount(
            np.repeat(owners * columns, counts) + self.expressions[places], products, len(spans) * columns
        )
        return totals.astype(np.float64, copy=False).reshape(len(spans), columns)

    def _word_vector(self, word: str, language: str) -> _WordVector:
        known = self._vectors.get(word)
        if known is None:
            vector = _vector([word], self.concepts, language)
            pairs = [(self._number_of[name], weight) for name, weight in vector.items() if name in self._number_of]
            unknown = sum(weight**2 for name, weight in vector.items() if name not in self._number_of)
            features = np.array([number for number, _ in pairs], dtype=np.int64)
            known = _WordVector(features, np.array([weight for _, weight in pairs], dtype=np.float64), unknown)
            self._vectors[word] = known
        return known

    def state(self) -> tuple[Arrays, dict[str, list[str]]]:
        arrays: Arrays = {
            "pointers": self.pointers,
            "expressions": self.expressions,
            "weights": self.weights,
            "rarity": np.array(list(self.concepts.values()), dtype=np.float64),
        }
        return arrays, {"features": self.features, "concepts": list(self.concepts)}

    @staticmethod
    def from_state(table: KeyTable, arrays: Arrays, strings: dict[str, list[str]]) -> Linker:
        rarity = dict(zip(strings["concepts"], arrays["rarity"].astype(np.float64).tolist(), strict=True))
        return Linker(
            table,
            rarity,
            strings["features"],
            arrays["pointers"].astype(np.int64),
            arrays["expressions"].astype(np.int64),
            arrays["weights"].astype(np.float64),
        )


def _vector(words: list[str], concepts: dict[str, float], language: str) -> dict[str, float]:
    """Concepts ("c ...") with their rarity; pieces share the rarity of their word."""
    vector = defaultdict[str, float](float)
    ignored = ignored_words(language)
    for word in words:
        if word in ignored:
            continue
        meanings = concepts_of(word)
        for concept in meanings:
            vector[f"c {concept}"] += concepts.get(concept, _UNKNOWN_RARITY)
        pieces = _pieces(word)
        share = _PIECE_WEIGHT * max(concepts.get(concept, _UNKNOWN_RARITY) for concept in meanings)
        for piece in pieces:
            vector[piece] += share / math.sqrt(len(pieces))
    return vector


def _summed(
    owners: NDArray[np.int64], features: NDArray[np.int64], weights: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Each (owner, feature) once, rising, with the sum of its weights; none of weight 0.

    A table of the few features that one note has is small enough to sum in, which spares sorting the pairs.

    Args:
        owners, features, weights: of each part of a sum.
        count: of owners.
    """
    met = np.unique(features)
    table = np.bincount(owners * len(met) + np.searchsorted(met, features), weights, count * len(met))
    cells = np.flatnonzero(table)
    return cells // max(1, len(met)), met[cells % max(1, len(met))], table[cells].astype(np.float64, copy=False)


def _spans(reading: Reading, found: Found) -> list[tuple[int, int]]:
    spans = {
        (match.words[0], match.words[-1])
        for matches in found.values()
        for match in matches
        if match.crossed == 0 and match.gap <= _NEAR_GAP
    }
    for threshold in _THRESHOLDS:
        spans.update(_runs(reading, threshold))
    return sorted(spans)


def _runs(reading: Reading, threshold: float) -> list[tuple[int, int]]:
    """Maximal runs of likely words inside a sentence; up to two stop words may lie between two of them."""
    stream = reading.stream
    ignored = ignored_words(stream.language)
    sentences = stream.sentence_list
    runs = list[tuple[int, int]]()
    for index in np.flatnonzero(reading.worth >= threshold).tolist():
        if runs:
            first, last = runs[-1]
            between = stream.words[last + 1 : index]
            if sentences[last] == sentences[index] and len(between) <= _WIDEST_GAP and ignored.issuperset(between):
                runs[-1] = (first, index)
                continue
        runs.append((index, index))
    return runs


def _nearest(
    likeness: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The expressions most like each span, the nearest first: span, expression, likeness.

    Args:
        likeness: ``[span, expression]``.
    """
    width = likeness.shape[1]
    cells = np.flatnonzero(likeness >= _LEAST_LIKENESS)
    owners, numbers, values = cells // width, cells % width, likeness.ravel()[cells]
    order = np.lexsort((numbers, -values, owners))
    owners = owners[order]
    firsts = run_starts(owners)
    place = np.arange(len(owners)) - np.repeat(firsts, run_lengths(firsts, len(owners)))
    kept = order[place < _NEIGHBOURS]
    return cells[kept] // width, numbers[kept], values[kept]


def _summarise(links: Links, codes: list[str]) -> tuple[list[str], NDArray[np.float32]]:
    """All ways to each code as one row: the best by likeness, the best by votes, and the most of each."""
    if not len(links.codes):
        return [], np.zeros((0, len(FEATURES)), dtype=np.float32)
    likely, elected = links.likeness * links.worth, links.vote * links.worth
    # Ties are parted by the links' other values, so that the row does not depend on the order of the spans.
    even = np.lexsort(tuple(reversed(links.columns)))
    best = even[np.lexsort((likely[even], links.codes[even]))]
    lasts = run_ends(links.codes[best])
    best = best[lasts]
    chosen = even[np.lexsort((elected[even], links.codes[even]))[lasts]]
    by_code = np.argsort(links.codes, kind="stable")
    firsts = np.concatenate([[0], lasts[:-1] + 1])
    features = np.column_stack(
        [
            *(column[best] for column in links.columns),
            likely[best],
            elected[chosen],
            links.rank[chosen],
            lasts + 1 - firsts,
            np.maximum.reduceat(links.likeness[by_code], firsts),
            np.maximum.reduceat(links.vote[by_code], firsts),
        ]
    )
    return [codes[code] for code in links.codes[best].tolist()], features.astype(np.float32)
