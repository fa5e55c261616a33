"""Candidates from titles and terms: codes whose words a note has, in part and in any order, in its language or another.

Reaches codes that no training encounter carries. A window of a note covers a term by the rarity of the term's concepts
that its words mean; in a note of another language than the terms, translations learnt from the training evidence, and
likeness of spelling, tell what a word may mean.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.base import Expression, Source
from nosology.knowledge.stream import TokenStream
from nosology.knowledge.term_index import IDLE, SIDES, TermIndex
from nosology.knowledge.translation import Cognates, Meanings, learn_translations
from nosology.preprocessing.assertion import PRECEDENCE
from nosology.ranking.categories import CATEGORY, number_categories
from nosology.ranking.detector import SpanDetector
from nosology.ranking.label_forms import candidate_labels
from nosology.ranking.postings import Postings
from nosology.ranking.source import Arrays, Mention, SourceOutput, TrainingSet
from nosology.ranking.term_matches import (
    Matches,
    agreement,
    explained,
    first_of_each,
    gaps,
    match_sets,
    rivals,
    sides_of_windows,
)
from nosology.ranking.translation_pairs import translation_pairs
from nosology.ranking.windows import Cover, Readings, TermCover, Windows, cut_windows
from nosology.types import Assertion

FEATURES = (
    *("score", "coverage", "mass", "rank", "window_rank", "window_share", "windows", "matched", "size"),
    *("missing", "explained", "explained_elsewhere", "side", "category_rivals", "category_share", "seen"),
    *("log_category", "log_parent", "sharers", "least_chance", "mean_chance", "exact", "gap", "position"),
    *("negated", "uncertain", "worth", "peak"),
)
_SHARED_INDEX = "retrieval.index"
_PARENT = 5
_LEAST_RARITY = 0.3
_BOOST = 1.5
"""IBM model 1 spreads what a word means over all words of a title: the likeliest means more than its probability."""
_REMEMBERED = 200_000
"""Words whose meanings are kept; a service that runs for months meets ever new ones."""
_RANK_OF = {assertion: rank for rank, assertion in enumerate(PRECEDENCE)}
_PRESENT, _NEGATED = _RANK_OF[Assertion.PRESENT], _RANK_OF[Assertion.NEGATED]


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """How candidates are found.

    Args:
        unseen: candidates a note that no training encounter carries, at most.
        seen: candidates a note that training encounters carry, at most.
        per_window: terms a window, at most.
        window: content words of a window.
        stride: content words from one window to the next.
    """

    unseen: int = 40
    seen: int = 40
    per_window: int = 12
    window: int = 14
    stride: int = 7


class _Hits(NamedTuple):
    """Candidates, the best first: arrays ``[hit]``.

    Args:
        covers: the entry in the covers.
        labels: the label.
        sides: how well sides agree.
        score: coverage and rarity by agreement.
    """

    covers: NDArray[np.int64]
    labels: NDArray[np.int64]
    sides: NDArray[np.float64]
    score: NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class RetrievalSource:
    """Terms of all codes, and what the words of notes may mean.

    Args:
        options: how candidates are found.
        concepts: of the terms, sorted.
        cover: the terms as sets of concepts, weighted by rarity.
        wordings: a term of each set.
        codes: every label that it can give, sorted.
        labels_of_sets: the labels of each set (columns), with the sides that they name (values).
        counts: training encounters with each of their codes.
        translations: by a word's concept, concepts of terms.
        detector: tells which words look like evidence; ``None`` where no evidence was there to learn it from.
    """

    options: RetrievalOptions
    concepts: list[str]
    cover: TermCover
    wordings: list[str]
    codes: list[str]
    labels_of_sets: Postings
    counts: dict[str, int]
    translations: dict[str, Meanings]
    detector: SpanDetector | None = None
    _number_of: dict[str, int] = field(init=False, repr=False)
    _cognates: Cognates = field(init=False, repr=False)
    _known: dict[tuple[str, ...], tuple[list[int], list[float]]] = field(init=False, repr=False)
    _seen: NDArray[np.bool_] = field(init=False, repr=False)
    _relatives: Counter[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        relatives = Counter[str]()
        for code, count in self.counts.items():
            relatives[code[:CATEGORY]] += count
            relatives[f"{code[:_PARENT]}*"] += count
        object.__setattr__(self, "_number_of", {concept: number for number, concept in enumerate(self.concepts)})
        object.__setattr__(self, "_cognates", Cognates(self.concepts))
        object.__setattr__(self, "_known", dict[tuple[str, ...], tuple[list[int], list[float]]]())
        object.__setattr__(self, "_seen", np.array([code in self.counts for code in self.codes], dtype=np.bool_))
        object.__setattr__(self, "_relatives", relatives)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"retrieval_{name}" for name in FEATURES)

    @staticmethod
    def fit(
        training: TrainingSet,
        terms: Iterable[Expression],
        options: RetrievalOptions | None = None,
        detector: SpanDetector | None = None,
    ) -> RetrievalSource | None:
        """Choose the labels that training makes plausible, and learn translations from its evidence.

        Args:
            training: coded encounters, with evidence or without.
            terms: titles and terms of every code of the encounters' systems, in any language. They are parsed at the
                first fit of a cross-fitting; the later ones must be given the same.
            options: how candidates are found.
            detector: of evidence words, fitted on the same encounters.

        Returns:
            The source; ``None`` if no term stands for a plausible label.
        """
        index = RetrievalSource.prepare(training, terms)
        counts = Counter(code for example in training.examples for code in example.code_set)
        label_of = candidate_labels(index.systems, counts)
        entries = _label_entries(index, label_of)
        if not entries:
            return None
        sets = sorted({owner for owner, _ in entries})
        codes = sorted({label for _, label in entries})
        return RetrievalSource(
            options or RetrievalOptions(),
            index.concepts,
            _cover(index, np.array(sets, dtype=np.int64)),
            [index.wordings[number] for number in sets],
            codes,
            _label_postings(entries, sets, codes),
            dict(sorted(counts.items())),
            learn_translations(translation_pairs(training.examples, index, label_of)),
            detector,
        )

    @staticmethod
    def prepare(training: TrainingSet, terms: Iterable[Expression]) -> TermIndex:
        """Parse the terms; the fits of a cross-fitting share what comes of it."""
        index = training.shared.get(_SHARED_INDEX)
        if not isinstance(index, TermIndex):
            index = training.shared[_SHARED_INDEX] = TermIndex.build(terms)
        return index

    @property
    def labels(self) -> Sequence[str]:
        return self.codes

    def mined(self) -> Iterator[tuple[str, str, Source]]:
        """Nothing: its expressions are those that it was given."""
        return iter(())

    def candidates(self, stream: TokenStream) -> SourceOutput:
        content = [index for index, concepts in enumerate(stream.concepts) if not IDLE.issuperset(concepts)]
        readings = self._read(stream, content)
        windows = cut_windows(stream.sentences[content], self.options.window, self.options.stride)
        cover = self.cover.best(readings, windows, self.options.per_window)
        if not len(cover.sets):
            return SourceOutput([], np.zeros((0, len(FEATURES)), dtype=np.float32), {})
        hits = self._choose(sides_of_windows(stream, content, windows), cover)
        sets, own = cover.sets[hits.covers], cover.windows[hits.covers]
        of_hits = Windows(windows.starts[own], windows.ends[own])
        matches = match_sets(sets, self.cover.by_set, of_hits, readings, content)
        codes = [self.codes[label] for label in hits.labels.tolist()]
        strengths = 0.1 * cover.coverage[hits.covers] * matches.least
        rows = zip(codes, matches.word_tuples(), strengths.tolist(), sets.tolist(), strict=True)
        mentions = {code: [Mention(words, strength, self.wordings[own])] for code, words, strength, own in rows}
        return SourceOutput(codes, self._describe(stream, codes, cover, hits, matches), mentions)

    def _read(self, stream: TokenStream, content: list[int]) -> Readings:
        words, known = stream.concepts, self._known
        meanings = [known.get(words[index]) or self._learn_meanings(words[index]) for index in content]
        places = np.arange(len(content)).repeat([len(numbers) for numbers, _ in meanings])
        concepts = np.array(list(chain.from_iterable([numbers for numbers, _ in meanings])), np.int64)
        return Readings(places, concepts, np.array(list(chain.from_iterable([own for _, own in meanings])), np.float64))

    def _learn_meanings(self, concepts: tuple[str, ...]) -> tuple[list[int], list[float]]:
        """What a word of these concepts may mean: itself, its translations, or else what is spelt like it; kept."""
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        chances = defaultdict[int, float](float)
        for concept in concepts:
            for other, chance in self._meanings_of(concept):
                number = self._number_of.get(other)
                if number is not None:
                    chances[number] = max(chances[number], chance)
        numbers = sorted(chances)
        meanings = self._known[concepts] = numbers, [chances[number] for number in numbers]
        return meanings

    def _meanings_of(self, concept: str) -> Iterator[tuple[str, float]]:
        if concept in SIDES:
            return
        if concept in self._number_of:
            yield concept, 1.0
        else:
            yield from self._cognates.of(concept)
        for other, chance in self.translations.get(concept, ()):
            yield other, min(1.0, _BOOST * chance)

    def _choose(self, named: NDArray[np.int64], cover: Cover) -> _Hits:
        """The best labels by score and agreement of sides, those seen in training and others apart.

        Args:
            named: bits of the sides that each window names.
            cover: the best sets of each window.
        """
        best = first_of_each(cover.sets, np.lexsort((cover.windows, -cover.score, cover.sets)))
        owners, labels, sides = self.labels_of_sets.gather(cover.sets[best])
        sides = sides.astype(np.int64)
        covers = best[owners]
        sided = np.bincount(owners, weights=sides > 0, minlength=len(best))[owners] > 0
        agreed = agreement(sides, named[cover.windows[covers]], sided)
        score = cover.score[covers] * agreed
        chosen = first_of_each(labels, np.lexsort((covers, -score, labels)))
        chosen = chosen[np.lexsort((labels[chosen], -score[chosen]))]
        seen = self._seen[labels[chosen]]
        kept = np.where(seen, np.cumsum(seen) <= self.options.seen, np.cumsum(~seen) <= self.options.unseen)
        chosen = chosen[kept]
        return _Hits(covers[chosen], labels[chosen].astype(np.int64), agreed[chosen], score[chosen])

    def _describe(
        self, stream: TokenStream, codes: list[str], cover: Cover, hits: _Hits, matches: Matches
    ) -> NDArray[np.float32]:
        covers, categories = hits.covers, number_categories(codes)
        sets, coverage = cover.sets[covers], cover.coverage[covers]
        between = gaps(matches, stream)
        assertions = stream.assertions(matches.first, matches.last)
        columns = (
            hits.score,
            coverage,
            cover.mass[covers],
            np.arange(len(codes)),
            cover.ranks[covers],
            cover.shares[covers],
            np.bincount(cover.sets, minlength=int(sets.max(initial=0)) + 1)[sets],
            matches.sizes,
            self.cover.by_set.pointers[sets + 1] - self.cover.by_set.pointers[sets],
            self.cover.totals[sets] - cover.mass[covers],
            *explained(matches, categories),
            hits.sides,
            *rivals(categories, hits.score),
            self._seen[hits.labels],
            *self._log_counts(codes),
            self.labels_of_sets.pointers[sets + 1] - self.labels_of_sets.pointers[sets],
            matches.least,
            matches.mean,
            (coverage > 1.0 - 1e-6) & (matches.least == 1.0) & (between == 0),
            between,
            matches.first / len(stream),
            assertions == _NEGATED,
            (assertions != _NEGATED) & (assertions != _PRESENT),
            *matches.mean_and_most(self._worth(stream)),
        )
        features = np.empty((len(codes), len(FEATURES)), dtype=np.float32)
        for number, column in enumerate(columns):
            features[:, number] = column
        return features

    def _worth(self, stream: TokenStream) -> NDArray[np.float64]:
        return np.zeros(len(stream)) if self.detector is None else self.detector.probabilities(stream)

    def _log_counts(self, codes: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of training codes of the same category, and of those that share one more character."""
        category = np.array([self._relatives[code[:CATEGORY]] for code in codes])
        parent = np.array([self._relatives[f"{code[:_PARENT]}*"] for code in codes])
        return np.log1p(category), np.log1p(parent)

    def state(self) -> tuple[Arrays, dict[str, list[str]]]:
        options = self.options
        flat = [(word, other, chance) for word, found in self.translations.items() for other, chance in found]
        arrays: Arrays = {
            "options": np.array(
                [options.unseen, options.seen, options.per_window, options.window, options.stride], dtype=np.int64
            ),
            "counts": np.array(list(self.counts.values()), dtype=np.int64),
            "chances": np.array([chance for _, _, chance in flat], dtype=np.float64),
        }
        for name, part in self._parts().items():
            arrays |= {f"{name}.{key}": value for key, value in part.state().items()}
        names = list[str]()
        if self.detector is not None:
            found, strings = self.detector.state()
            arrays |= {f"detector.{key}": value for key, value in found.items()}
            names = strings["names"]
        return arrays, {
            "detector.names": names,
            "concepts": self.concepts,
            "wordings": self.wordings,
            "codes": self.codes,
            "counted": list(self.counts),
            "words": [word for word, _, _ in flat],
            "meanings": [other for _, other, _ in flat],
        }

    def _parts(self) -> dict[str, Postings]:
        return {"by_set": self.cover.by_set, "by_concept": self.cover.by_concept, "labels": self.labels_of_sets}

    @staticmethod
    def from_state(arrays: Arrays, strings: dict[str, list[str]]) -> RetrievalSource:
        def part(name: str) -> Arrays:
            return {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}

        detector = part("detector")
        translations = defaultdict[str, list[tuple[str, float]]](list)
        chances = arrays["chances"].astype(np.float64).tolist()
        for word, other, chance in zip(strings["words"], strings["meanings"], chances, strict=True):
            translations[word].append((other, chance))
        return RetrievalSource(
            RetrievalOptions(*arrays["options"].astype(np.int64).tolist()),
            strings["concepts"],
            TermCover(Postings.from_state(part("by_set")), Postings.from_state(part("by_concept"))),
            strings["wordings"],
            strings["codes"],
            Postings.from_state(part("labels")),
            dict(zip(strings["counted"], arrays["counts"].astype(np.int64).tolist(), strict=True)),
            {word: tuple(found) for word, found in translations.items()},
            SpanDetector.from_state(detector, {"names": strings["detector.names"]}) if detector else None,
        )


def _label_entries(index: TermIndex, label_of: Mapping[str, str]) -> dict[tuple[int, str], int]:
    """(set, label) -> the sides that the label's terms name."""
    entries = dict[tuple[int, str], int]()
    for owner, code, sides in zip(index.owners.tolist(), index.codes, index.sides.tolist(), strict=True):
        label = label_of.get(code)
        if label is not None:
            entries[owner, label] = entries.get((owner, label), sides) | sides
    return entries


def _cover(index: TermIndex, sets: NDArray[np.int64]) -> TermCover:
    """The chosen sets, their concepts weighted by how rare they are among them."""
    lengths = np.diff(index.pointers)[sets]
    pointers = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.repeat(index.pointers[sets] - pointers[:-1], lengths) + np.arange(int(pointers[-1]))
    columns = index.columns[places]
    holders = np.bincount(columns, minlength=len(index.concepts))
    rarity = np.maximum(np.log((len(sets) + 1) / (holders + 1)), _LEAST_RARITY)
    return TermCover.of(pointers, columns, rarity)


def _label_postings(entries: Mapping[tuple[int, str], int], sets: list[int], codes: list[str]) -> Postings:
    row_of = {number: row for row, number in enumerate(sets)}
    number_of = {code: number for number, code in enumerate(codes)}
    rows = sorted((row_of[owner], number_of[label], sides) for (owner, label), sides in entries.items())
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    counts = np.bincount(table[:, 0], minlength=len(sets))
    return Postings(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        table[:, 1].astype(np.int32),
        table[:, 2].astype(np.float32),
        len(codes),
    )
