"""Candidates from what the whole note says: n-grams that go with codes, and training notes like this one.

Needs no marked evidence: where a corpus has none (MIMIC, CodiEsp in English), this is what finds the words of a code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from nosology.array_runs import run_starts
from nosology.knowledge.association import AssociationPlan, associate
from nosology.knowledge.base import Source
from nosology.knowledge.grams import GramReader, Grams
from nosology.knowledge.stream import TokenStream
from nosology.preprocessing.assertion import PRECEDENCE
from nosology.ranking.association_counts import (
    Terms,
    choose_grams,
    inverse_frequencies,
    label_matrix,
    likeness_of_terms,
    presence_matrix,
    read_all,
    surest_wordings,
    unit_rows,
)
from nosology.ranking.categories import CATEGORY
from nosology.ranking.postings import Postings
from nosology.ranking.source import Arrays, Mention, SourceOutput, TrainingSet
from nosology.types import Assertion

FEATURES = (
    *("sum", "max", "grams", "rank", "plain_sum", "category_sum", "category_max", "category_grams", "category_part"),
    *("neighbours", "centroid", "best_trigger_share", "best_holders", "best_size", "best_count", "best_position"),
    *("best_negated", "best_conditional", "rival"),
)
_NEIGHBOURS = 25
_NOTABLE = 0.03
_MENTIONED = 0.01
_MENTIONS = 6


class _Level(NamedTuple):
    """What the n-grams of a note say of each code (or category): arrays ``[code]``."""

    total: NDArray[np.float64]
    most: NDArray[np.float64]
    grams: NDArray[np.float64]
    best: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AssociationOptions:
    """How the source is fitted.

    Args:
        plan: priors of the code level.
        candidates: how many a note, at most.
    """

    plan: AssociationPlan = field(default_factory=AssociationPlan)
    candidates: int = 60


@dataclass(frozen=True, eq=False, repr=False)
class AssociationSource:
    """Trigger probabilities of n-grams for codes and categories, and the training notes as TF-IDF vectors.

    Args:
        reader: reads n-grams.
        keys: the known n-grams, rising; uint64 ``[gram]``.
        holders: training notes with each; int64 ``[gram]``.
        codes, categories: columns of the matrices.
        triggers: ``[gram, code]``; ``plain`` the same without the terms' prior; ``by_category`` for categories.
        together: notes with both, ``[gram, code]``, for the pairs in ``triggers``.
        notes: unit TF-IDF vectors, ``[gram, training note]``; ``note_codes``: ``[training note, code]``.
        centroids: ``[gram, code]``.
        idf: of single concepts, 0 for other n-grams; float64 ``[gram]``.
        texts, text_codes: wordings of the surest n-grams, and the code that each triggers.
        candidate_count: candidates a note, at most.
    """

    reader: GramReader
    keys: NDArray[np.uint64]
    holders: NDArray[np.int64]
    codes: list[str]
    categories: list[str]
    triggers: Postings
    plain: Postings
    by_category: Postings
    together: Postings
    notes: Postings
    note_codes: Postings
    centroids: Postings
    idf: NDArray[np.float64]
    texts: list[str]
    text_codes: list[str]
    candidate_count: int
    _category_of: NDArray[np.int64] = field(init=False, repr=False)
    _strongest: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        number_of = {category: number for number, category in enumerate(self.categories)}
        category_of = np.array([number_of[code[:CATEGORY]] for code in self.codes], dtype=np.int64)
        owners, _, values = self.triggers.gather(np.arange(len(self.keys)))
        strongest = np.zeros(len(self.keys))
        np.maximum.at(strongest, owners, values)
        object.__setattr__(self, "_category_of", category_of)
        object.__setattr__(self, "_strongest", strongest)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"association_{name}" for name in FEATURES)

    @staticmethod
    def fit(training: TrainingSet, terms: Terms, options: AssociationOptions) -> AssociationSource:
        """Learn from encounters and their codes.

        Args:
            training: coded encounters.
            terms: of the code tables and term lists; pulls n-grams towards the codes that they name.
            options: how.
        """
        from scipy.sparse import csr_matrix as sparse

        reader, read = read_all(training)
        codes = sorted({code for example in training.examples for code in example.code_set})
        categories = sorted({code[:CATEGORY] for code in codes})
        labels = label_matrix([example.code_set for example in training.examples], codes)
        groups = label_matrix(
            [{code[:CATEGORY] for code in example.code_set} for example in training.examples], categories
        )
        keys = choose_grams(read, np.asarray(labels.sum(axis=1)).ravel(), training)
        presence = presence_matrix(read, keys)
        holders = np.asarray(presence.sum(axis=0), dtype=np.int64).ravel()
        likeness = likeness_of_terms(reader, keys, codes, terms, training)
        triggers = associate(presence, labels, likeness, options.plan)
        plain = associate(presence, labels, None, AssociationPlan(trials=3.0, successes=0.0))
        by_category = associate(presence, groups, None, AssociationPlan(trials=5.0, successes=0.0))
        together = (presence.T @ labels).tocsr().multiply(triggers > 0).tocsr()
        idf = inverse_frequencies(read, keys, holders, len(training.examples))
        vectors = unit_rows(presence.multiply(idf).tocsr())
        centroids = unit_rows((labels.T @ vectors).tocsr()).T.tocsr()
        return AssociationSource(
            reader,
            keys,
            holders,
            codes,
            categories,
            Postings.of(triggers),
            Postings.of(plain),
            Postings.of(by_category),
            Postings.of(together),
            Postings.of(sparse(vectors.T)),
            Postings.of(labels),
            Postings.of(centroids),
            idf,
            *surest_wordings(training, read, keys, codes, triggers),
            options.candidates,
        )

    @staticmethod
    def prepare(training: TrainingSet) -> None:
        """Read the n-grams of all encounters; the fits of a cross-fitting share them."""
        read_all(training)

    def candidates(self, stream: TokenStream) -> SourceOutput:
        grams = self.reader.read(stream)
        order = np.argsort(grams.keys)  # rising keys are looked up much faster
        wanted = grams.keys.take(order)
        places = np.minimum(np.searchsorted(self.keys, wanted), max(0, len(self.keys) - 1))
        found = np.flatnonzero(self.keys[places] == wanted) if len(self.keys) else np.zeros(0, dtype=np.int64)
        known, numbers = order[found], places[found]
        held = numbers[run_starts(numbers)]
        level = self._level(self.triggers, held)
        neighbours, centroid = self._alike(held)
        category_of = self._category_of
        upper = self._level(self.by_category, held)
        score = level.total + 0.3 * neighbours + 0.02 * upper.total[category_of]
        mentioned = np.flatnonzero(score > _MENTIONED)
        chosen = mentioned[np.argsort(-score[mentioned], kind="stable")[: self.candidate_count]]
        occurrences = _Occurrences.of(numbers, grams, known)
        best = _describe_best(occurrences, level.best[chosen], stream)
        plain = self.plain.combine(held, np.ones(len(held)))
        columns = (
            level.total[chosen],
            level.most[chosen],
            level.grams[chosen],
            _places(level.total)[chosen],
            plain[chosen],
            upper.total[category_of[chosen]],
            upper.most[category_of[chosen]],
            upper.grams[category_of[chosen]],
            level.total[chosen] / np.maximum(upper.total[category_of[chosen]], 1e-6),
            neighbours[chosen],
            centroid[chosen],
            *self._best_gram(level, chosen),
            *best,
            self._conditional(level.best[chosen], chosen),
            _rival(level.total, category_of, chosen),
        )
        features = np.empty((len(chosen), len(FEATURES)), dtype=np.float32)
        for number, column in enumerate(columns):
            features[:, number] = column
        mentions = self._mentions(occurrences, held, chosen, stream)
        return SourceOutput([self.codes[code] for code in chosen.tolist()], features, mentions)

    def _level(self, triggers: Postings, held: NDArray[np.int64]) -> _Level:
        owners, columns, values = triggers.gather(held)
        total = np.bincount(columns, weights=-np.log1p(-values.astype(np.float64)), minlength=triggers.width)
        grams = np.bincount(columns, weights=values > _NOTABLE, minlength=triggers.width)
        most, best = np.zeros(triggers.width), np.full(triggers.width, -1, dtype=np.int64)
        np.maximum.at(most, columns, values)
        # Where several n-grams are as strong, the first stays: it is written last.
        strongest = np.flatnonzero(values == most[columns])[::-1]
        best[columns[strongest]] = held[owners[strongest]]
        return _Level(total.astype(np.float64), most, grams.astype(np.float64), best)

    def _alike(self, held: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Votes of the nearest training notes, and the cosine with each code's mean note: ``[code]`` each."""
        weights = self.idf[held]
        weights = weights / max(1e-9, float(np.sqrt((weights**2).sum())))
        likeness = self.notes.combine(held, weights)
        nearest = np.argsort(-likeness, kind="stable")[:_NEIGHBOURS]
        votes = likeness[nearest] ** 2
        neighbours = self.note_codes.combine(nearest, votes / max(1e-9, float(votes.sum())))
        return neighbours, self.centroids.combine(held, weights)

    def _best_gram(self, level: _Level, chosen: NDArray[np.int64]) -> list[NDArray[np.float64]]:
        """Of each code's strongest n-gram: its part of the n-gram's strongest code, and the notes that hold it."""
        strongest = self._strongest
        best = level.best[chosen]
        found = best >= 0
        share = np.where(found, level.most[chosen] / np.maximum(strongest[best], 1e-9), 0.0)
        return [share, np.where(found, self.holders[best], 0)]

    def _conditional(self, best: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """The share of training notes with the strongest n-gram that carry the code (smoothed)."""
        found = np.zeros(len(chosen))
        owners, columns, values = self.together.gather(np.maximum(best, 0))
        hit = columns == chosen[owners]
        found[owners[hit]] = values[hit]
        return np.where(best >= 0, found / (self.holders[best] + 2.0), 0.0)

    def _mentions(
        self, occurrences: _Occurrences, held: NDArray[np.int64], chosen: NDArray[np.int64], stream: TokenStream
    ) -> dict[str, list[Mention]]:
        """Where the strongest n-grams of each candidate stand."""
        owners, columns, values = self.triggers.gather(held)
        position = np.full(self.triggers.width, -1, dtype=np.int64)
        position[chosen] = np.arange(len(chosen))
        good = np.flatnonzero((position[columns] >= 0) & (values > _NOTABLE))
        good = good[np.argsort(-values[good], kind="stable")]
        lower, upper = occurrences.ranges(held[owners[good]])
        columns, values = columns[good].tolist(), values[good].tolist()
        firsts, lasts = occurrences.first.tolist(), occurrences.last.tolist()
        found = defaultdict[str, list[Mention]](list)
        for column, value, start, end in zip(columns, values, lower.tolist(), upper.tolist(), strict=True):
            own = found[self.codes[column]]
            if len(own) >= _MENTIONS:
                continue
            for first, last in zip(firsts[start:end], lasts[start:end], strict=True):
                own.append(Mention(tuple(range(first, last + 1)), 0.3 * value, stream.surface(first, last)))
        return dict(found)

    @property
    def labels(self) -> list[str]:
        return self.codes

    def mined(self) -> Iterator[tuple[str, str, Source]]:
        """Words that trigger a code with a notable probability."""
        for text, code in zip(self.texts, self.text_codes, strict=True):
            yield text, code, Source.MINED_ASSOCIATION

    def state(self) -> tuple[Arrays, dict[str, list[str]]]:
        arrays: Arrays = {"keys": self.keys, "holders": self.holders, "idf": self.idf}
        arrays["candidates"] = np.array([self.candidate_count], dtype=np.int64)
        for name in _MATRICES:
            part = cast(Postings, getattr(self, name)).state()
            arrays |= {f"{name}.{key}": value for key, value in part.items()}
        strings = {"concepts": self.reader.concepts, "codes": self.codes, "categories": self.categories}
        strings |= {"texts": self.texts, "text_codes": self.text_codes}
        return arrays, strings

    @staticmethod
    def from_state(arrays: Arrays, strings: dict[str, list[str]]) -> AssociationSource:
        matrices = {
            name: Postings.from_state(
                {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}
            )
            for name in _MATRICES
        }
        return AssociationSource(
            GramReader(strings["concepts"]),
            arrays["keys"].astype(np.uint64, copy=False),
            arrays["holders"].astype(np.int64, copy=False),
            strings["codes"],
            strings["categories"],
            idf=arrays["idf"].astype(np.float64, copy=False),
            texts=strings["texts"],
            text_codes=strings["text_codes"],
            candidate_count=int(arrays["candidates"].astype(np.int64)[0]),
            **matrices,
        )


_MATRICES = ("triggers", "plain", "by_category", "together", "notes", "note_codes", "centroids")


@dataclass(frozen=True, eq=False)
class _Occurrences:
    """Known n-grams of a note, one entry an occurrence, by n-gram and place: int64 ``[occurrence]`` each."""

    numbers: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @staticmethod
    def of(numbers: NDArray[np.int64], grams: Grams, known: NDArray[np.int64]) -> _Occurrences:
        """The known ones of the n-grams that were read.

        Args:
            numbers: of the known ones.
            grams: all that were read.
            known: which of them are known.
        """
        order = np.lexsort((grams.last[known], grams.first[known], numbers))
        chosen = known[order]
        return _Occurrences(
            numbers[order],
            grams.first[chosen].astype(np.int64, copy=False),
            grams.last[chosen].astype(np.int64, copy=False),
            grams.sizes[chosen].astype(np.int64, copy=False),
        )

    def ranges(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The half-open ranges of some n-grams."""
        return np.searchsorted(self.numbers, numbers), np.searchsorted(self.numbers, numbers, side="right")


def _describe_best(
    occurrences: _Occurrences, best: NDArray[np.int64], stream: TokenStream
) -> list[NDArray[np.float64]]:
    """Of each candidate's strongest n-gram: concepts, occurrences, first position, share of negated occurrences."""
    columns = np.zeros((4, len(best)))
    found = np.flatnonzero(best >= 0)
    if not len(found):
        return list(columns)
    lower, upper = occurrences.ranges(best[found])
    negated = stream.assertions(occurrences.first, occurrences.last) == PRECEDENCE.index(Assertion.NEGATED)
    before = np.concatenate([[0], np.cumsum(negated)])
    columns[0, found] = occurrences.sizes[lower]
    columns[1, found] = upper - lower
    columns[2, found] = occurrences.first[lower] / max(1, len(stream))
    columns[3, found] = (before[upper] - before[lower]) / (upper - lower)
    return list(columns)


def _places(totals: NDArray[np.float64]) -> NDArray[np.int64]:
    """The place of each code when the highest sum comes first: ``[code]``."""
    order = np.argsort(-totals, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


def _rival(
    totals: NDArray[np.float64], category_of: NDArray[np.int64], chosen: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Each candidate's sum as a share of the highest in its category."""
    highest = np.zeros(int(category_of.max(initial=0)) + 1)
    np.maximum.at(highest, category_of, totals)
    return totals[chosen] / np.maximum(highest[category_of[chosen]], 1e-6)
