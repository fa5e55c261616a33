"""Detected spans -> the known expressions most like them: candidates for wordings that nobody has marked before.

A span and an expression are bags of concepts and of four-letter pieces of words, weighted by rarity; their likeness is
the cosine. The expressions most like a span vote for their codes with likeness to the fourth power.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.stream import TokenStream
from nosology.knowledge.vocabulary import concepts_of, ignored_words
from nosology.ranking.evidence_features import Reading
from nosology.ranking.keys import Found, KeyTable
from nosology.ranking.source import Arrays, Mention

_THRESHOLDS = (0.15, 0.25, 0.35, 0.5)
"""Runs of words above each of these are spans; the lower ones give longer spans."""
_WIDEST_GAP = 2
_NEAR_GAP = 3
_NEIGHBOURS = 12
_LEAST_LIKENESS = 0.3
_PIECE_WEIGHT = 0.7
_UNKNOWN_RARITY = 6.0
_SPANS_AT_ONCE = 256
_REMEMBERED = 200_000
"""Words whose vectors are kept; a service that reads notes for months must not grow with them."""

FEATURES = (
    "likeness", "worth", "peak", "rank", "vote", "words", "voters",
    "likeness_x_worth", "vote_x_worth", "vote_rank", "spans", "most_likeness", "most_vote",
)  # fmt: skip


class Link(NamedTuple):
    """A code reached from a detected span.

    Args:
        likeness: cosine of the span and the code's nearest expression, less where that stands for other codes, too.
        worth, peak: mean and highest probability of the detector over the span.
        rank: of the code among the span's codes, 0 the first.
        vote: the code's part of the votes.
        words: length of the span.
        voters: expressions of the code among the neighbours.
    """

    likeness: float
    worth: float
    peak: float
    rank: float
    vote: float
    words: float
    voters: float


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
    _vectors: dict[str, list[tuple[int, float]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_number_of", {name: number for number, name in enumerate(self.features)})
        object.__setattr__(self, "_vectors", dict[str, list[tuple[int, float]]]())

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

    def link(self, reading: Reading, found: Found) -> tuple[dict[str, list[Link]], dict[str, list[Mention]]]:
        """Codes reached from the spans that the detector and the key matches point out.

        Args:
            reading: the encounter.
            found: matches of the keys.
        """
        spans = _spans(reading, found)
        links, mentions = defaultdict[str, list[Link]](list), defaultdict[str, list[Mention]](list)
        if not spans or not self.features:
            return links, mentions
        for (first, last), row in self._rows(reading.stream, spans):
            worth = reading.worth[first : last + 1]
            words = tuple(range(first, last + 1))
            for code, link in self._vote(row, float(worth.mean()), float(worth.max()), len(words)):
                links[code].append(link)
                strength = 0.5 * link.likeness * link.vote * link.worth
                mentions[code].append(Mention(words, strength, reading.stream.surface(first, last)))
        return links, mentions

    def _rows(
        self, stream: TokenStream, spans: list[tuple[int, int]]
    ) -> Iterator[tuple[tuple[int, int], NDArray[np.float64]]]:
        """Each span with its cosines ``[expression]``; some spans at a time, whatever the length of the note."""
        if len(self._vectors) > _REMEMBERED:
            self._vectors.clear()
        for start in range(0, len(spans), _SPANS_AT_ONCE):
            part = spans[start : start + _SPANS_AT_ONCE]
            yield from zip(part, self._likeness(stream, part), strict=True)

    def _likeness(self, stream: TokenStream, spans: list[tuple[int, int]]) -> NDArray[np.float64]:
        """Cosines ``[span, expression]``."""
        owners, numbers, weights = list[int](), list[int](), list[float]()
        for owner, (first, last) in enumerate(spans):
            vector = defaultdict[int, float](float)
            unknown = 0.0
            for word in stream.words[first : last + 1]:
                for number, weight in self._word_vector(word, stream.language):
                    if number >= 0:
                        vector[number] += weight
                    else:
                        unknown += weight * weight
            norm = math.sqrt(sum(weight * weight for weight in vector.values()) + unknown) or 1.0
            owners += [owner] * len(vector)
            numbers += vector.keys()
            weights += [weight / norm for weight in vector.values()]
        starts = self.pointers[np.array(numbers, dtype=np.int64)]
        lengths = self.pointers[np.array(numbers, dtype=np.int64) + 1] - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(lengths) else lengths
        places = np.repeat(starts - offsets, lengths) + np.arange(int(lengths.sum()))
        width = len(self.table)
        cells = np.repeat(np.array(owners, dtype=np.int64), lengths) * width + self.expressions[places]
        products = np.repeat(np.array(weights), lengths) * self.weights[places]
        totals = np.bincount(cells, weights=products, minlength=len(spans) * width)
        return totals.astype(np.float64, copy=False).reshape(len(spans), width)

    def _word_vector(self, word: str, language: str) -> list[tuple[int, float]]:
        known = self._vectors.get(word)
        if known is None:
            vector = _vector([word], self.concepts, language)
            known = [(self._number_of.get(name, -1), weight) for name, weight in vector.items()]
            self._vectors[word] = known
        return known

    def _vote(self, row: NDArray[np.float64], worth: float, peak: float, words: int) -> list[tuple[str, Link]]:
        table = self.table
        count = min(_NEIGHBOURS, len(row))
        nearest = np.argpartition(-row, count - 1)[:count]
        best, votes, voters = defaultdict[int, float](float), defaultdict[int, float](float), defaultdict[int, int](int)
        for number in nearest.tolist():
            likeness = float(row[number])
            if likeness < _LEAST_LIKENESS:
                continue
            pairs = table.votes(number)
            total = sum(times for _, times in pairs)
            for code, times in pairs:
                best[code] = max(best[code], likeness * math.sqrt(times / total))
                votes[code] += likeness**4 * times
                voters[code] += 1
        everything = sum(votes.values())
        ordered = sorted(votes, key=lambda code: (-votes[code], code))
        return [
            (table.codes[code], Link(best[code], worth, peak, rank, votes[code] / everything, words, voters[code]))
            for rank, code in enumerate(ordered)
        ]

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


def summarise(links: list[Link]) -> list[float]:
    """All ways to one code as one row: the best by likeness, the best by votes, and the most of each."""
    best = max(links, key=lambda link: (link.likeness * link.worth, link))
    elected = max(links, key=lambda link: (link.vote * link.worth, link))
    return [
        *best,
        best.likeness * best.worth,
        elected.vote * elected.worth,
        elected.rank,
        len(links),
        max(link.likeness for link in links),
        max(link.vote for link in links),
    ]
