"""Procedure codes put together from an operation word and a body-site word, also codes never seen.

An ICD-10-PCS code says what was done and where in characters of their own: ``0TT1`` is section 0 (surgery), body system
T (urinary), operation T (resection), body part 1 (left kidney). Evidence tells which operations and which sites a word
has stood for; a note that has "excised" close to "left kidney" proposes ``0TT1`` whether or not anybody wrote it so
before. How such a stem goes on (approach, device, qualifier) is what the training labels make of it, or of the
operation where they do not have the stem.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.base import Source
from nosology.knowledge.stream import TokenStream
from nosology.preprocessing.assertion import PRECEDENCE
from nosology.ranking.detector import evidence_words
from nosology.ranking.postings import Postings
from nosology.ranking.source import Arrays, Mention, SourceOutput, TrainingExample, TrainingSet
from nosology.types import Assertion, GoldCode

FEATURES = (
    *("score", "any", "operation", "site", "distance", "same_word", "same_sentence", "share", "ways", "position"),
    *("operation_count", "site_count", "operation_marked", "site_marked", "seen", "stem_seen", "negated", "rank"),
    *("rival", "length"),
)
_SYSTEM = "icd10pcs"
_STEM = 4
"""Characters that say the operation and the body part."""
_QUOTA = 50
_REACH = 28
_REACH_NEXT = 14
"""Words between operation and site, inside one sentence and from one sentence to the next."""
_LEAST_OPERATION = 0.2
_LEAST_SITE = 0.15
_LEAST_SHARE = 0.15
_MEANINGS = 3
"""Operations, and sites, that one word may stand for."""
_HALF_LIFE = 14.0
_MENTIONS = 6

Accept = Callable[[str], bool]


class Parts(NamedTuple):
    """What a procedure code says apart from approach, device and qualifier.

    Args:
        operation: section and root operation (imaging: root type).
        site: section, body system and body part (imaging: body region).
    """

    operation: str
    site: str


def parts_of(code: str) -> Parts | None:
    """Take an ICD-10-PCS code apart; ``None`` for one too short to name a body part."""
    if len(code) < _STEM:
        return None
    return Parts(code[0] + code[2], code[:2] + code[3])


def stem_of(parts: Parts) -> str:
    """The first four characters of a code with this operation on this site."""
    return parts.site[:2] + parts.operation[1] + parts.site[2]


@dataclass(frozen=True, eq=False)
class Words:
    """Concepts, with what each has stood for in evidence.

    Args:
        concepts: sorted.
        counts: (encounter, code) pairs with the concept in the evidence; float64 ``[concept]``.
        marked: the part of the encounters with the concept where it lies in evidence; float64 ``[concept]``.
        operations, sites: ``[concept, operation]`` and ``[concept, site]``, the part of ``counts`` with each.
    """

    concepts: list[str]
    counts: NDArray[np.float64]
    marked: NDArray[np.float64]
    operations: Postings
    sites: Postings


@dataclass(frozen=True, eq=False)
class Completions:
    """The codes that an operation on a site may become.

    Args:
        codes: every code that can be given, sorted.
        counts: training encounters with each code, 0 for a composed one; float64 ``[code]``.
        rows: the row of ``shares`` for ``[operation, site]``, -1 where there is none; int64.
        seen: training encounters with each row's stem; float64 ``[row]``.
        shares: ``[row, code]``, how probable each code is given the stem.
    """

    codes: list[str]
    counts: NDArray[np.float64]
    rows: NDArray[np.int64]
    seen: NDArray[np.float64]
    shares: Postings


class _Pairs(NamedTuple):
    """Operation words next to site words, one entry a reading of a pair as a code; arrays ``[entry]``.

    Args:
        code: its number.
        score: the product of all parts' probabilities, less for words further apart.
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

    def at(self, entries: NDArray[np.int64] | NDArray[np.bool_]) -> _Pairs:
        return _Pairs(*(column[entries] for column in self))


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
        counts = _count(training)
        if not counts.holders:
            return None
        operations = sorted({parts.operation for parts in counts.parts})
        sites = sorted({parts.site for parts in counts.parts})
        completions = _complete(counts.codes, operations, sites, accept)
        return CompositionSource(_learn_words(counts, operations, sites), completions, quota)

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
        return _Pairs(
            codes.astype(np.int64),
            operation * site * shares * near,
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
        number_of: dict[str, int] = self._number_of  # type: ignore[attr-defined]
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
        completions = Completions(
            strings["codes"], numbers("code_counts"), rows, numbers("seen"), postings("shares")
        )
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
    categories = [codes[code][: _STEM - 1] for code in top.code.tolist()]
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


@dataclass(frozen=True, slots=True)
class _Counts:
    """What the training encounters say.

    Args:
        words: by concept and part (an operation or a site), (encounter, code) pairs.
        totals: the same by concept.
        holders: encounters with each concept that was ever in evidence; ``marked``: encounters where it was.
        parts: of every training code.
        codes: training encounters with each code.
    """

    words: dict[str, Counter[Parts]]
    totals: Counter[str]
    holders: Counter[str]
    marked: Counter[str]
    parts: set[Parts]
    codes: Counter[str]


def _count(training: TrainingSet) -> _Counts:
    words = defaultdict[str, Counter[Parts]](Counter)
    totals, marked, codes = Counter[str](), Counter[str](), Counter[str]()
    for example in training.examples:
        own = [(gold, parts) for gold in example.codes if (parts := _procedure(gold)) is not None]
        codes.update({gold.code for gold, _ in own})
        for gold, parts in own:
            for concept in _evidence_concepts(example, gold):
                words[concept][parts] += 1
                totals[concept] += 1
        marked.update({concept for gold, _ in own for concept in _evidence_concepts(example, gold)})
    holders = Counter(
        concept for example in training.examples for concept in example.stream.positions if concept in words
    )
    known = {parts for code in codes if (parts := parts_of(code)) is not None}
    return _Counts(dict(words), totals, holders, marked, known, codes)


def _procedure(gold: GoldCode) -> Parts | None:
    return parts_of(gold.code) if gold.system == _SYSTEM else None


def _evidence_concepts(example: TrainingExample, gold: GoldCode) -> set[str]:
    marked = np.flatnonzero(evidence_words(example.stream, [gold]))
    return {concept for index in marked.tolist() for concept in example.stream.concepts[index]}


def _learn_words(counts: _Counts, operations: list[str], sites: list[str]) -> Words:
    concepts = sorted(counts.words)
    of_operation, of_site = list[list[tuple[int, float]]](), list[list[tuple[int, float]]]()
    operation_of = {operation: number for number, operation in enumerate(operations)}
    site_of = {site: number for number, site in enumerate(sites)}
    for concept in concepts:
        own, total = counts.words[concept], counts.totals[concept] + 0.5
        of_operation.append(_meanings(((operation_of[p.operation], n) for p, n in own.items()), total, _LEAST_OPERATION))
        of_site.append(_meanings(((site_of[p.site], n) for p, n in own.items()), total, _LEAST_SITE))
    return Words(
        concepts,
        np.array([counts.totals[concept] for concept in concepts], dtype=np.float64),
        np.array([counts.marked[concept] / counts.holders[concept] for concept in concepts], dtype=np.float64),
        _postings(of_operation, len(operations)),
        _postings(of_site, len(sites)),
    )


def _meanings(seen: Iterable[tuple[int, int]], total: float, least: float) -> list[tuple[int, float]]:
    """The commonest parts that a concept stood for and how often, as a part of ``total``."""
    counts = Counter[int]()
    for part, count in seen:
        counts[part] += count
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MEANINGS]
    return sorted((part, count / total) for part, count in ranked if count / total >= least)


def _complete(codes: Counter[str], operations: list[str], sites: list[str], accept: Accept | None) -> Completions:
    by_stem, by_operation = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)
    for code, count in codes.items():
        parts = parts_of(code)
        if parts is not None:
            by_stem[stem_of(parts)][code] += count
            by_operation[parts.operation][code[_STEM:]] += count
    rows = np.full((len(operations), len(sites)), -1, dtype=np.int64)
    continued = list[list[tuple[str, float]]]()
    seen = list[int]()
    for first, operation in enumerate(operations):
        ending = min(by_operation[operation].items(), key=lambda item: (-item[1], item[0]))
        usual = ending[1] / by_operation[operation].total()
        for second, site in enumerate(sites):
            if site[0] != operation[0]:
                continue
            stem = stem_of(Parts(operation, site))
            composed = stem + ending[0]
            if stem in by_stem:
                options = _likely(by_stem[stem])
            else:
                options = [(composed, usual)] if accept is None or accept(composed) else []
            if options:
                rows[first, second] = len(continued)
                continued.append(options)
                seen.append(by_stem[stem].total() if stem in by_stem else 0)
    known = sorted({code for options in continued for code, _ in options})
    number_of = {code: number for number, code in enumerate(known)}
    shares = _postings([[(number_of[code], share) for code, share in options] for options in continued], len(known))
    counts = np.array([codes[code] for code in known], dtype=np.float64)
    return Completions(known, counts, rows, np.array(seen, dtype=np.float64), shares)


def _likely(counts: Counter[str]) -> list[tuple[str, float]]:
    total = counts.total()
    return sorted((code, count / total) for code, count in counts.items() if count / total >= _LEAST_SHARE)


def _postings(rows: list[list[tuple[int, float]]], width: int) -> Postings:
    pointers = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    columns = np.array([column for row in rows for column, _ in row], dtype=np.int32)
    values = np.array([value for row in rows for _, value in row], dtype=np.float32)
    return Postings(pointers, columns, values, width)
