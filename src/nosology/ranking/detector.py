"""Which words are worth a code? A linear model of evidence words, learnt from the spans that people marked.

The probability that word ``i`` lies in an evidence span is ``sigmoid(b + sum of the weights of its features)``. A
feature is a property of the word (itself, its skeleton, beginnings and endings), of a neighbour, of a pair of
neighbours, or of its place. Weights of one word's own properties add up to one number a word, so that prediction looks
up a few numbers a word instead of two dozen.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

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
_PLACES = 5
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


def _place_features(stream: TokenStream) -> list[list[str]]:
    """Upper case, punctuation before the word, a negation before it, and how far into the encounter it stands."""
    length = max(1, len(stream))
    found = list[list[str]]()
    sentences, notes, words = stream.sentence_list, stream.note_list, stream.words
    last_negation = -_NEGATION_REACH - 1
    previous_end = 0
    starts, ends = stream.starts.tolist(), stream.ends.tolist()
    for index in range(len(stream)):
        text = stream.documents[notes[index]].note.text
        first = index == 0 or sentences[index] != sentences[index - 1]
        if first:
            last_negation = -_NEGATION_REACH - 1
        here = [f"place {_PLACES * index // length}"]
        if text[starts[index] : starts[index] + 1].isupper():
            here.append("upper" if text[starts[index] : ends[index]].isupper() else "capital")
        if first:
            here.append("first")
        elif _OPENERS.search(text[previous_end : starts[index]]):
            here.append("after comma or bracket")
        if index - last_negation <= _NEGATION_REACH:
            here.append(f"negated {words[last_negation]}")
        if words[index] in _NEGATIONS:
            last_negation = index
        previous_end = ends[index]
        found.append(here)
    return found


def _features(stream: TokenStream) -> Iterable[list[str]]:
    words = [_EDGE, _EDGE, *stream.words, _EDGE, _EDGE]
    shapes = [_EDGE, _EDGE, *map(skeleton, stream.words), _EDGE, _EDGE]
    places = _place_features(stream)
    for index in range(len(stream)):
        row = [*_own_features(stream.words[index]), *_pair_features(shapes, index), *places[index]]
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
    _of_words: dict[str, tuple[float, ...]] = field(
        init=False, repr=False, default_factory=dict[str, tuple[float, ...]]
    )
    _last: list[tuple[TokenStream, NDArray[np.float64]]] = field(
        init=False, repr=False, default_factory=list[tuple[TokenStream, NDArray[np.float64]]]
    )
    _of_pairs: dict[tuple[str, str], tuple[float, float, float]] = field(
        init=False, repr=False, default_factory=dict[tuple[str, str], tuple[float, float, float]]
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
        padded = [_EDGE, _EDGE, *stream.words, _EDGE, _EDGE]
        of_word = np.array([self._word_weights(word) for word in padded])
        of_pair = np.array([self._pair_weights(pair) for pair in pairwise(padded)])
        count = len(stream)
        totals = self.bias + of_word[2 : count + 2, 0]
        for column, offset in enumerate(_OFFSETS, 1):
            totals += of_word[2 + offset : count + 2 + offset, column]
        totals += of_pair[1 : count + 1, 0] + of_pair[2 : count + 2, 1] + of_pair[:count, 2]
        weight = self._weight_of.get
        totals += [sum(weight(name, 0.0) for name in places) for places in _place_features(stream)]
        return 1.0 / (1.0 + np.exp(-np.clip(totals, -30.0, 30.0)))

    def _word_weights(self, word: str) -> tuple[float, ...]:
        """What a word adds to itself, and to the words that it stands 2 before, 1 before, 1 after, 2 after."""
        known = self._of_words.get(word)
        if known is None:
            if len(self._of_words) >= _REMEMBERED:
                self._of_words.clear()
            weight = self._weight_of.get
            own = 0.0 if word == _EDGE else sum(weight(name, 0.0) for name in _own_features(word))
            beside = (sum(weight(name, 0.0) for name in _neighbour_features(word, offset)) for offset in _OFFSETS)
            known = self._of_words[word] = (own, *beside)
        return known

    def _pair_weights(self, pair: tuple[str, str]) -> tuple[float, float, float]:
        """What two words in a row add to the second, to the first, and to the word after them."""
        known = self._of_pairs.get(pair)
        if known is None:
            if len(self._of_pairs) >= _REMEMBERED:
                self._of_pairs.clear()
            before, after = (word if word == _EDGE else skeleton(word) for word in pair)
            weight = self._weight_of.get
            known = (
                weight(f"p {before} {after}", 0.0),
                weight(f"n {before} {after}", 0.0),
                weight(f"pp {before} {after}", 0.0),
            )
            self._of_pairs[pair] = known
        return known

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
