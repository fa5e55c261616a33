"""Which words are worth a code? A linear model of evidence words, learnt from the spans that people marked.

The probability that word ``i`` lies in an evidence span is ``sigmoid(b + sum of the weights of its features)``. A
feature is a property of the word (itself, its skeleton, beginnings and endings), of a neighbour, of a pair of
neighbours, or of its place. Weights of one word's own properties add up to one number a word, so that prediction looks
up a few numbers a word instead of two dozen.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from itertools import product
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from nosology.array_runs import run_starts
from nosology.knowledge.stream import TokenStream
from nosology.knowledge.vocabulary import skeleton
from nosology.ranking.source import Arrays, TrainingSet
from nosology.types import GoldCode

_EDGE = "<edge>"
_OFFSETS = (-2, -1, 1, 2)
_NEGATIONS = frozenset(
    ["no", "sin", "niega", "ausencia", "ni", "tampoco", "negativo", "negativa", "descarta", "not", "without", "denies"]
)
_NEGATION_REACH = 6
_OPENERS = re.compile(r"[,(]")
_PARTS = 5
"""Parts of an encounter of the same length: where a word stands in it."""
_CASES = ("", "capital", "upper")
_OPENINGS = ("", "first", "after comma or bracket")
_NEGATING = ("", *sorted(_NEGATIONS))
_STEPS = 150
"""Steps of L-BFGS; by then the held-out F1 of words no longer moves, though the loss still does."""
_LEAST_COUNT = 2
_REMEMBERED = 200_000
"""Words whose sums of weights are kept; a service that reads notes for months must not grow with them."""


@lru_cache(maxsize=200_000)
def _own_features(word: str) -> tuple[str, ...]:
    shape = skeleton(word)
    kind = "digits" if word[0].isdigit() else f"length {min(len(word), 8)}"
    beginnings = (f"< {word[:4]}", f"< {word[:6]}")
    endings = (f"> {word[-3:]}", f"> {word[-4:]}", f"> {word[-5:]}")
    return (f"w {word}", f"s {shape}", *beginnings, *endings, kind)


@lru_cache(maxsize=400_000)
def _neighbour_features(word: str, offset: int) -> tuple[str, ...]:
    if word == _EDGE or abs(offset) == 2:
        return (f"{offset} s {skeleton(word) if word != _EDGE else word}",)
    return (f"{offset} s {skeleton(word)}", f"{offset} > {word[-4:]}")


def _pair_features(shapes: list[str], index: int) -> tuple[str, str, str]:
    """``shapes`` has two edges before the first word: word ``index`` is ``shapes[index + 2]``."""
    before, own, after = shapes[index + 1], shapes[index + 2], shapes[index + 3]
    return f"p {before} {own}", f"n {own} {after}", f"pp {shapes[index]} {before}"


def _places(stream: TokenStream) -> NDArray[np.int64]:
    """Where each word stands, as a position in ``_place_features()``."""
    count = len(stream)
    parts = _PARTS * np.arange(count) // max(1, count)
    cases = (parts * len(_CASES) + _cases(stream)) * len(_OPENINGS)
    return (cases + _openings(stream)) * len(_NEGATING) + _negations(stream)


@cache
def _place_features() -> list[tuple[str, ...]]:
    """The features of every place: the part of the encounter, case, opening, and the negation shortly before it."""
    kinds = product(range(_PARTS), _CASES, _OPENINGS, _NEGATING)
    return [
        (f"place {part}", *filter(None, (case, opening)), *((f"negated {negation}",) if negation else ()))
        for part, case, opening, negation in kinds
    ]


def _cases(stream: TokenStream) -> NDArray[np.int64]:
    texts = [document.note.text for document in stream.documents]
    words = zip(stream.note_list, *stream.bound_lists, strict=True)
    upper, capital = _CASES.index("upper"), _CASES.index("capital")
    cases = [
        (upper if texts[note][start:end].isupper() else capital) if texts[note][start].isupper() else 0
        for note, start, end in words
    ]
    return np.array(cases, dtype=np.int64)


def _openings(stream: TokenStream) -> NDArray[np.int64]:
    """Whether a word is the first of its sentence, or follows a comma or bracket."""
    marked = np.zeros(len(stream), dtype=np.bool_)
    for number, document in enumerate(stream.documents):
        lower, upper = np.searchsorted(stream.notes, [number, number + 1])
        marks = np.array([mark.start() for mark in _OPENERS.finditer(document.note.text)], dtype=np.int64)
        before = np.searchsorted(marks, stream.ends[lower : upper - 1])
        marked[lower + 1 : upper] = np.searchsorted(marks, stream.starts[lower + 1 : upper]) > before
    openings = np.where(marked, _OPENINGS.index("after comma or bracket"), 0)
    openings[run_starts(stream.sentences)] = _OPENINGS.index("first")
    return openings


def _negations(stream: TokenStream) -> NDArray[np.int64]:
    """The negating word shortly before each word, in its sentence."""
    found = np.zeros(len(stream), dtype=np.int64)
    for index in [index for index, word in enumerate(stream.words) if word in _NEGATIONS]:
        reached = slice(index + 1, index + 1 + _NEGATION_REACH)
        inside = stream.sentences[reached] == stream.sentences[index]
        found[reached][inside] = _NEGATING.index(stream.words[index])
    return found


def _features(stream: TokenStream) -> Iterable[list[str]]:
    words = [_EDGE, _EDGE, *stream.words, _EDGE, _EDGE]
    shapes = [_EDGE, _EDGE, *map(skeleton, stream.words), _EDGE, _EDGE]
    of_places = _place_features()
    for index, place in enumerate(_places(stream).tolist()):
        row = [*_own_features(stream.words[index]), *_pair_features(shapes, index), *of_places[place]]
        for offset in _OFFSETS:
            row += _neighbour_features(words[index + 2 + offset], offset)
        yield row


class _Design:
    """The features of every word of the training encounters as numbers, made once for all fits."""

    def __init__(self) -> None:
        self.names = dict[str, int]()
        self.rows = dict[str, tuple[NDArray[np.int32], NDArray[np.int64]]]()

    def of(self, stream: TokenStream) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Feature numbers of all words in a row, and how many each word has."""
        known = self.rows.get(stream.encounter_id)
        if known is None:
            listed = list(_features(stream))
            names = self.names
            numbers = [names.setdefault(name, len(names)) for row in listed for name in row]
            counts = np.array([len(row) for row in listed], dtype=np.int64)
            known = self.rows[stream.encounter_id] = (np.array(numbers, dtype=np.int32), counts)
        return known


class _WordWeights:
    """What words add by themselves; computed when a word is first met, and kept. Threads may share it."""

    def __init__(self, weight_of: dict[str, float], shape_of: dict[str, int]) -> None:
        self._weight_of, self._shape_of = weight_of, shape_of
        self._number_of = dict[str, int]()
        self._weights = np.zeros((1024, 1 + len(_OFFSETS)))
        self._shapes = np.zeros(1024, dtype=np.int64)
        self._lock = Lock()

    def look_up(self, words: list[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Weights ``[word, 5]`` and the numbers that ``_PairWeights`` gives to the words' skeletons.

        The weights are what a word adds to itself, and to the words that it stands 2 before, 1 before, 1 after and 2
        after.
        """
        with self._lock:
            if len(self._number_of) >= _REMEMBERED:
                self._number_of.clear()
            numbers = list(map(self._number_of.get, words))
            if None in numbers:
                numbers = [self._number_of[word] if word in self._number_of else self._learn(word) for word in words]
            rows = np.array(numbers, dtype=np.int64)
            return self._weights[rows], self._shapes[rows]

    def _learn(self, word: str) -> int:
        number = self._number_of[word] = len(self._number_of)
        if number == len(self._shapes):
            self._weights = np.concatenate([self._weights, np.zeros_like(self._weights)])
            self._shapes = np.concatenate([self._shapes, np.zeros_like(self._shapes)])
        weight = self._weight_of.get
        own = 0.0 if word == _EDGE else sum(weight(name, 0.0) for name in _own_features(word))
        beside = (sum(weight(name, 0.0) for name in _neighbour_features(word, offset)) for offset in _OFFSETS)
        self._weights[number] = (own, *beside)
        shape = word if word == _EDGE else skeleton(word)
        self._shapes[number] = self._shape_of.get(shape, len(self._shape_of))
        return number


@dataclass(frozen=True, eq=False, repr=False)
class _PairWeights:
    """What two words in a row add to the second, to the first, and to the word after them.

    Args:
        number_of: a number for every skeleton that is in a pair.
        keys: the pairs, rising: the first's number times (one more than there are numbers), plus the second's.
        values: ``[pair, 3]``; the last row, of no pair, is 0.
    """

    number_of: dict[str, int]
    keys: NDArray[np.int64]
    values: NDArray[np.float64]

    @staticmethod
    def of(weight_of: dict[str, float]) -> _PairWeights:
        named = [(_PAIR_KINDS.index(parts[0]), *parts[1:], weight) for parts, weight in _pairs_of(weight_of)]
        number_of = dict[str, int]()
        for _, first, second, _ in named:
            number_of.setdefault(first, len(number_of))
            number_of.setdefault(second, len(number_of))
        width = len(number_of) + 1
        flat = np.array([number_of[first] * width + number_of[second] for _, first, second, _ in named], dtype=np.int64)
        keys, rows = np.unique(flat, return_inverse=True)
        values = np.zeros((len(keys) + 1, len(_PAIR_KINDS)))
        for row, (kind, _, _, weight) in zip(rows.tolist(), named, strict=True):
            values[row, kind] = weight
        return _PairWeights(number_of, keys, values)

    def weights(self, shapes: NDArray[np.int64]) -> NDArray[np.float64]:
        """``[pair, 3]`` for all words in a row."""
        if not len(self.keys):
            return np.zeros((len(shapes) - 1, len(_PAIR_KINDS)))
        wanted = shapes[:-1] * (len(self.number_of) + 1) + shapes[1:]
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return self.values[np.where(self.keys[places] == wanted, places, -1)]


_PAIR_KINDS = ("p", "n", "pp")


def _pairs_of(weight_of: dict[str, float]) -> Iterator[tuple[list[str], float]]:
    for name, weight in weight_of.items():
        parts = name.split(" ")
        if len(parts) == 3 and parts[0] in _PAIR_KINDS:
            yield parts, weight


@dataclass(frozen=True, eq=False, repr=False)
class SpanDetector:
    """The fitted linear model.

    Args:
        names: features, in the order of ``weights``.
        weights: float32 ``[feature]``.
        bias: the intercept.
    """

    names: list[str]
    weights: NDArray[np.float32]
    bias: float
    _weight_of: dict[str, float] = field(init=False, repr=False)
    _last: list[tuple[TokenStream, NDArray[np.float64]]] = field(
        init=False, repr=False, default_factory=list[tuple[TokenStream, NDArray[np.float64]]]
    )

    @staticmethod
    def fit(training: TrainingSet) -> SpanDetector | None:
        """Learn from evidence spans; ``None`` where the training encounters have none."""
        labels = [evidence_words(example.stream, example.codes) for example in training.examples]
        marked = np.concatenate(labels) if labels else np.zeros(0, dtype=np.bool_)
        if not marked.any():
            return None
        from scipy import sparse
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        design = SpanDetector.prepare(training)
        rows = [design.of(example.stream) for example in training.examples]
        columns = np.concatenate([numbers for numbers, _ in rows])
        pointers = np.concatenate([[0], np.cumsum(np.concatenate([counts for _, counts in rows]))])
        counts = np.bincount(columns, minlength=len(design.names))
        kept = np.flatnonzero(counts >= _LEAST_COUNT)
        if marked.all() or not len(kept):  # nothing to tell apart, or nothing to tell it by
            odds = (marked.sum() + 0.5) / ((~marked).sum() + 0.5)
            return SpanDetector([], np.zeros(0, dtype=np.float32), float(np.log(odds)))
        matrix = sparse.csr_matrix(
            (np.ones(len(columns), dtype=np.float32), columns, pointers), shape=(len(pointers) - 1, len(design.names))
        )[:, kept]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(max_iter=_STEPS).fit(matrix, marked)
        weights = model.coef_[0].astype(np.float32)
        telling = np.flatnonzero(np.abs(weights) > 1e-3)
        every = list(design.names)
        return SpanDetector([every[kept[number]] for number in telling], weights[telling], float(model.intercept_[0]))

    @staticmethod
    def prepare(training: TrainingSet) -> _Design:
        """Number the features of all encounters; the fits of a cross-fitting share the numbers."""
        design = training.shared.setdefault("detector", _Design())
        assert isinstance(design, _Design)
        if any(gold.evidence for example in training.examples for gold in example.codes):
            for example in training.examples:
                design.of(example.stream)
        return design

    def __post_init__(self) -> None:
        table = dict(zip(self.names, self.weights.tolist(), strict=True))
        object.__setattr__(self, "_weight_of", table)

    def probabilities(self, stream: TokenStream) -> NDArray[np.float64]:
        """How likely each word is evidence: float64 ``[word]``; the last stream's are kept, since two sources ask."""
        known = self._last[0] if self._last else None
        if known is None or known[0] is not stream:
            known = stream, self._compute(stream)
            self._last[:] = [known]
        return known[1]  # not self._last: another thread may have put its own stream there

    def _compute(self, stream: TokenStream) -> NDArray[np.float64]:
        if len(stream) == 0:
            return np.zeros(0)
        of_word, shapes = self._words.look_up([_EDGE, _EDGE, *stream.words, _EDGE, _EDGE])
        of_pair = self._pairs.weights(shapes)
        count = len(stream)
        totals = self.bias + of_word[2 : count + 2, 0]
        for column, offset in enumerate(_OFFSETS, 1):
            totals += of_word[2 + offset : count + 2 + offset, column]
        totals += of_pair[1 : count + 1, 0] + of_pair[2 : count + 2, 1] + of_pair[:count, 2]
        totals += self._of_places.take(_places(stream))
        return 1.0 / (1.0 + np.exp(-np.clip(totals, -30.0, 30.0)))

    @cached_property
    def _pairs(self) -> _PairWeights:
        return _PairWeights.of(self._weight_of)

    @cached_property
    def _words(self) -> _WordWeights:
        return _WordWeights(self._weight_of, self._pairs.number_of)

    @cached_property
    def _of_places(self) -> NDArray[np.float64]:
        return np.array([sum(self._weight_of.get(name, 0.0) for name in names) for names in _place_features()])

    def state(self) -> tuple[Arrays, dict[str, list[str]]]:
        return {"weights": self.weights, "bias": np.array([self.bias])}, {"names": self.names}

    @staticmethod
    def from_state(arrays: Arrays, strings: dict[str, list[str]]) -> SpanDetector:
        return SpanDetector(strings["names"], arrays["weights"].astype(np.float32), float(arrays["bias"][0]))


def evidence_words(stream: TokenStream, codes: Iterable[GoldCode]) -> NDArray[np.bool_]:
    """Which words lie in an evidence span: bool ``[word]``."""
    marked = np.zeros(len(stream), dtype=np.bool_)
    for gold in codes:
        for evidence in gold.evidence:
            marked[stream.indices_of(evidence)] = True
    return marked
