"""Procedure codes put together from an operation word and a body-site word, also codes never seen.

An ICD-10-PCS code says what was done and where in characters of their own: ``0TT1`` is section 0 (surgery), body system
T (urinary), operation T (resection), body part 1 (left kidney). Evidence tells which operations and which sites a word
has stood for; a note that has "excised" close to "left kidney" proposes ``0TT1`` whether or not anybody wrote it so
before. How such a stem goes on (approach, device, qualifier) is what the training labels make of it, or of the
operation where they do not have the stem.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.base import Source
from nosology.knowledge.stream import TokenStream
from nosology.preprocessing.assertion import PRECEDENCE
from nosology.ranking.postings import Postings
from nosology.ranking.procedures import STEM, Accept, Completions, Words, learn
from nosology.ranking.source import Arrays, Mention, SourceOutput, TrainingSet
from nosology.types import Assertion

FEATURES = (
    *("score", "any", "operation", "site", "distance", "same_word", "same_sentence", "share", "ways", "position"),
    *("operation_count", "site_count", "operation_marked", "site_marked", "seen", "stem_seen", "negated", "rank"),
    *("rival", "length"),
)
_QUOTA = 50
_REACH = 28
_REACH_NEXT = 14
"""Words between operation and site, inside one sentence and from one sentence to the next."""
_HALF_LIFE = 14.0
_MENTIONS = 6


class _Pairs(NamedTuple):
    """Operation words next to site words, one entry a reading of a pair as a code; arrays ``[entry]``.

    Args:
        code: its number.
        score: the product of all parts' probabilities, less for words further apart or seldom marked.
        operation_word, site_word: word indices.
        operation_concept, site_concept: concept numbers.
        operation, site, share: the parts' probabilities.
        row: of ``Completions.shares``.
    """

    code: NDArray[np.int64]
    score: NDArray[np.float64]
    operation_word: NDArray[np.int64]
    site_word: NDArray[np.int64]
    operation_concept: NDArray[np.int64]
    site_concept: NDArray[np.int64]
    operation: NDArray[np.float64]
    site: NDArray[np.float64]
    share: NDArray[np.float64]
    row: NDArray[np.int64]

    def at(self, entries: NDArray[np.int64]) -> _Pairs:
        """Some of the entries, in their order."""
        return _Pairs(
            self.code[entries],
            self.score[entries],
            self.operation_word[entries],
            self.site_word[entries],
            self.operation_concept[entries],
            self.site_concept[entries],
            self.operation[entries],
            self.site[entries],
            self.share[entries],
            self.row[entries],
        )


@dataclass(frozen=True, eq=False)
class CompositionSource:
    """Combines words for operations with words for body sites into ICD-10-PCS codes.

    Args:
        words: what concepts stand for.
        completions: what becomes of an operation on a site.
        quota: candidates a note, at most.
    """

    words: Words
    completions: Completions
    quota: int = _QUOTA
    _number_of: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        number_of = {concept: number for number, concept in enumerate(self.words.concepts)}
        object.__setattr__(self, "_number_of", number_of)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"composition_{name}" for name in FEATURES)

    @property
    def labels(self) -> list[str]:
        return self.completions.codes

    def mined(self) -> Iterator[tuple[str, str, Source]]:
        """Nothing: a word pair is no expression that stands in a note as it is."""
        return iter(())

    @staticmethod
    def fit(training: TrainingSet, accept: Accept | None = None, quota: int = _QUOTA) -> CompositionSource | None:
        """Learn from evidence which operations and sites words stand for.

        Args:
            training: coded encounters.
            accept: whether a code that no training encounter has may be given; without it every one may.
            quota: candidates a note, at most.

        Returns:
            ``None`` where no ICD-10-PCS code has evidence.
        """
        learnt = learn(training, accept)
        return None if learnt is None else CompositionSource(*learnt, quota)

    def candidates(self, stream: TokenStream) -> SourceOutput:
        pairs = self._pairs(stream)
        order = np.lexsort((pairs.site_word, pairs.operation_word, -pairs.score, pairs.code))
        pairs = pairs.at(order)
        first = np.flatnonzero(np.diff(pairs.code, prepend=-1))
        chosen = np.lexsort((pairs.code[first], -pairs.score[first]))[: self.quota]
        best = first[chosen]
        codes = [self.completions.codes[code] for code in pairs.code[best].tolist()]
        if not codes:
            return SourceOutput([], np.zeros((0, len(FEATURES)), dtype=np.float32), {})
        bounds = np.append(first, len(pairs.code))
        features = self._describe(pairs, best, bounds[chosen + 1] - best, stream)
        return SourceOutput(codes, features, _mentions(codes, pairs, best, bounds[chosen + 1], stream))

    def _pairs(self, stream: TokenStream) -> _Pairs:
        """Every reading of an operation word and a site word nearby as a code."""
        words, concepts = self._known(stream)
        owners, operations, chances = self.words.operations.gather(concepts)
        others, sites, site_chances = self.words.sites.gather(concepts)
        left, right = _neighbours(words[owners], words[others])
        rows = self.completions.rows[operations[left], sites[right]]
        near = _nearness(words[owners[left]], words[others[right]], stream)
        kept = np.flatnonzero((rows >= 0) & (near > 0))
        left, right, rows, near = left[kept], right[kept], rows[kept], near[kept]
        entries, codes, shares = self.completions.shares.gather(rows)
        left, right, rows, near = left[entries], right[entries], rows[entries], near[entries]
        operation, site = chances[left].astype(np.float64), site_chances[right].astype(np.float64)
        trust = np.sqrt(self.words.marked)
        return _Pairs(
            codes.astype(np.int64),
            operation * site * shares * near * trust[concepts[owners[left]]] * trust[concepts[others[right]]],
            words[owners[left]],
            words[others[right]],
            concepts[owners[left]],
            concepts[others[right]],
            operation,
            site,
            shares.astype(np.float64),
            rows,
        )

    def _known(self, stream: TokenStream) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The words that have stood for something, rising, and their concept numbers."""
        number_of = self._number_of
        places = sorted(
            (place, number_of[concept])
            for concept, own in stream.positions.items()
            if concept in number_of
            for place in own
        )
        table = np.array(places, dtype=np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def _describe(
        self, pairs: _Pairs, best: NDArray[np.int64], ways: NDArray[np.int64], stream: TokenStream
    ) -> NDArray[np.float32]:
        """float32 ``[candidate, feature]`` of the best entry of each candidate and of all its entries together."""
        top, words, completions = pairs.at(best), self.words, self.completions
        owner = np.full(int(pairs.code.max()) + 1, -1, dtype=np.int64)
        owner[top.code] = np.arange(len(best))
        candidate = owner[pairs.code]
        inside = candidate >= 0
        missed = np.log1p(-np.minimum(pairs.score[inside], 0.99))
        together = 1 - np.exp(np.bincount(candidate[inside], weights=missed, minlength=len(best)))
        sentences = stream.sentences
        columns = (
            top.score,
            together,
            top.operation,
            top.site,
            np.abs(top.operation_word - top.site_word),
            top.operation_word == top.site_word,
            sentences[top.operation_word] == sentences[top.site_word],
            top.share,
            ways,
            np.minimum(top.operation_word, top.site_word) / max(1, len(stream)),
            words.counts[top.operation_concept],
            words.counts[top.site_concept],
            words.marked[top.operation_concept],
            words.marked[top.site_concept],
            completions.counts[top.code],
            completions.seen[top.row],
            _negated(top, stream),
            np.arange(len(best)),
            _rivals(top, completions.codes),
            [len(completions.codes[code]) for code in top.code.tolist()],
        )
        return np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)

    def state(self) -> tuple[Arrays, dict[str, list[str]]]:
        words, completions = self.words, self.completions
        arrays: Arrays = {
            "counts": words.counts,
            "marked": words.marked,
            "code_counts": completions.counts,
            "rows": completions.rows,
            "seen": completions.seen,
            "quota": np.array([self.quota], dtype=np.int64),
        }
        postings = {"operations": words.operations, "sites": words.sites, "shares": completions.shares}
        for name, part in postings.items():
            arrays |= {f"{name}.{key}": value for key, value in part.state().items()}
        return arrays, {"concepts": words.concepts, "codes": completions.codes}

    @staticmethod
    def from_state(arrays: Arrays, strings: dict[str, list[str]]) -> CompositionSource:
        def postings(name: str) -> Postings:
            own = {key: value for key, value in arrays.items() if key.startswith(f"{name}.")}
            return Postings.from_state({key.removeprefix(f"{name}."): value for key, value in own.items()})

        def numbers(name: str) -> NDArray[np.float64]:
            return arrays[name].astype(np.float64, copy=False)

        words = Words(
            strings["concepts"], numbers("counts"), numbers("marked"), postings("operations"), postings("sites")
        )
        rows = arrays["rows"].astype(np.int64, copy=False)
        completions = Completions(strings["codes"], numbers("code_counts"), rows, numbers("seen"), postings("shares"))
        return CompositionSource(words, completions, int(arrays["quota"].astype(np.int64)[0]))


def _neighbours(
    operation_words: NDArray[np.int64], site_words: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Entries of both lists (each rising) within reach of each other."""
    lower = np.searchsorted(site_words, operation_words - _REACH)
    upper = np.searchsorted(site_words, operation_words + _REACH, side="right")
    lengths = upper - lower
    before = np.concatenate([[0], np.cumsum(lengths)])
    right = np.repeat(lower - before[:-1], lengths) + np.arange(int(before[-1]))
    return np.repeat(np.arange(len(operation_words)), lengths), right


def _nearness(
    operation_words: NDArray[np.int64], site_words: NDArray[np.int64], stream: TokenStream
) -> NDArray[np.float64]:
    """1 for the same word, halving every few words, 0 out of reach."""
    distance = np.abs(operation_words - site_words)
    crossed = np.abs(stream.sentences[operation_words] - stream.sentences[site_words])
    reachable = (crossed == 0) | ((crossed == 1) & (distance <= _REACH_NEXT))
    return np.where(reachable, 0.5 ** (distance / _HALF_LIFE), 0.0)


def _negated(top: _Pairs, stream: TokenStream) -> NDArray[np.float64]:
    """How many of both words are negated: 0, 0.5 or 1."""
    places = np.concatenate([top.operation_word, top.site_word])
    negated = stream.assertions(places, places) == PRECEDENCE.index(Assertion.NEGATED)
    return negated.reshape(2, -1).mean(axis=0)


def _rivals(top: _Pairs, codes: list[str]) -> NDArray[np.float64]:
    """Each candidate's score as a part of the highest of the same section, system and operation."""
    highest = defaultdict[str, float](float)
    categories = [codes[code][: STEM - 1] for code in top.code.tolist()]
    for category, score in zip(categories, top.score.tolist(), strict=True):
        highest[category] = max(highest[category], score)
    return top.score / np.maximum([highest[category] for category in categories], 1e-9)


def _mentions(
    codes: list[str], pairs: _Pairs, first: NDArray[np.int64], end: NDArray[np.int64], stream: TokenStream
) -> dict[str, list[Mention]]:
    """The strongest word pairs of each candidate; ``pairs`` has them from ``first`` to ``end``, the best first."""
    found = dict[str, list[Mention]]()
    for code, start, stop in zip(codes, first.tolist(), end.tolist(), strict=True):
        strengths = dict[tuple[int, ...], float]()
        for entry in range(start, stop):
            both = {int(pairs.operation_word[entry]), int(pairs.site_word[entry])}
            strengths.setdefault(tuple(sorted(both)), float(pairs.score[entry]))
            if len(strengths) == _MENTIONS:
                break
        found[code] = [
            Mention(words, strength, " ".join(stream.words[word] for word in words))
            for words, strength in strengths.items()
        ]
    return found
