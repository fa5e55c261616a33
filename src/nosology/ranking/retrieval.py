"""Candidates from titles and terms: codes whose words a note has, in part and in any order, in its language or another.

Reaches codes that no training encounter carries. A window of a note covers a term by the rarity of the term's concepts
that its words mean; in a note of another language than the terms, translations learnt from the training evidence, and
likeness of spelling, tell what a word may mean.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.knowledge.base import Expression, Source
from nosology.knowledge.stream import TokenStream
from nosology.knowledge.term_index import BILATERAL, IDLE, LEFT, RIGHT, SIDES, TermIndex, term_concepts
from nosology.knowledge.translation import Cognates, Meanings, Phrase, learn_translations
from nosology.preprocessing.assertion import PRECEDENCE
from nosology.ranking.detector import SpanDetector
from nosology.ranking.label_forms import candidate_labels
from nosology.ranking.postings import Postings
from nosology.ranking.source import Arrays, Mention, SourceOutput, TrainingExample, TrainingSet
from nosology.ranking.windows import Cover, Readings, TermCover, Windows, cut_windows
from nosology.types import Assertion

FEATURES = (
    *("score", "coverage", "mass", "rank", "window_rank", "window_share", "windows", "matched", "size"),
    *("missing", "explained", "explained_elsewhere", "side", "category_rivals", "category_share", "seen"),
    *("log_category", "log_parent", "sharers", "least_chance", "mean_chance", "exact", "gap", "position"),
    *("negated", "uncertain", "worth", "peak"),
)
_SHARED_INDEX = "retrieval.index"
_CATEGORY, _PARENT = 3, 5
_SIDE_REACH = 4
_LEAST_RARITY = 0.3
_BOOST = 1.5
"""IBM model 1 spreads what a word means over all words of a title: the likeliest means more than its probability."""
_TERMS_PER_PHRASE = 4
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


class _Hit(NamedTuple):
    """A candidate: its entry in the covers, its set, its label, how well sides agree, and its score."""

    cover: int
    label: int
    side: float
    score: float


class _Match(NamedTuple):
    """The words of a window that speak for a set, rising, and how surely each of its concepts is meant."""

    words: tuple[int, ...]
    chances: tuple[float, ...]


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
    _known: dict[tuple[str, ...], list[tuple[int, float]]] = field(init=False, repr=False)
    _seen: NDArray[np.bool_] = field(init=False, repr=False)
    _relatives: Counter[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        relatives = Counter[str]()
        for code, count in self.counts.items():
            relatives[code[:_CATEGORY]] += count
            relatives[f"{code[:_PARENT]}*"] += count
        object.__setattr__(self, "_number_of", {concept: number for number, concept in enumerate(self.concepts)})
        object.__setattr__(self, "_cognates", Cognates(self.concepts))
        object.__setattr__(self, "_known", dict[tuple[str, ...], list[tuple[int, float]]]())
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
            learn_translations(_pairs(training.examples, index, label_of)),
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
        note = _Note(stream, content, windows, readings)
        hits = self._choose(note, cover)
        matches = self._match(note, cover, hits)
        features = self._describe(note, cover, hits, matches)
        codes = [self.codes[hit.label] for hit in hits]
        expressions = [self.wordings[int(cover.sets[hit.cover])] for hit in hits]
        rows = zip(codes, hits, matches, expressions, strict=True)
        mentions = {
            code: [Mention(match.words, 0.1 * float(cover.coverage[hit.cover]) * min(match.chances), expression)]
            for code, hit, match, expression in rows
        }
        return SourceOutput(codes, features, mentions)

    def _read(self, stream: TokenStream, content: list[int]) -> Readings:
        places, concepts, chances = list[int](), list[int](), list[float]()
        for place, index in enumerate(content):
            for concept, chance in self._meanings(stream.concepts[index]):
                places.append(place)
                concepts.append(concept)
                chances.append(chance)
        return Readings(np.array(places, np.int64), np.array(concepts, np.int64), np.array(chances, np.float64))

    def _meanings(self, concepts: tuple[str, ...]) -> list[tuple[int, float]]:
        """What a word of these concepts may mean: itself, its translations, or else what is spelt like it."""
        known = self._known.get(concepts)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            chances = defaultdict[int, float](float)
            for concept in concepts:
                for other, chance in self._meanings_of(concept):
                    number = self._number_of.get(other)
                    if number is not None:
                        chances[number] = max(chances[number], chance)
            known = self._known[concepts] = sorted(chances.items())
        return known

    def _meanings_of(self, concept: str) -> Iterator[tuple[str, float]]:
        if concept in SIDES:
            return
        if concept in self._number_of:
            yield concept, 1.0
        else:
            yield from self._cognates.of(concept)
        for other, chance in self.translations.get(concept, ()):
            yield other, min(1.0, _BOOST * chance)

    def _choose(self, note: _Note, cover: Cover) -> list[_Hit]:
        """The best labels by score and agreement of sides, those seen in training and others apart."""
        best = _first_of_each(cover.sets, np.lexsort((cover.windows, -cover.score, cover.sets)))
        owners, labels, sides = self.labels_of_sets.gather(cover.sets[best])
        sides = sides.astype(np.int64)
        covers = best[owners]
        named = note.sides_of_windows()[cover.windows[covers]]
        sided = np.bincount(owners, weights=sides > 0, minlength=len(best))[owners] > 0
        agreement = _agreement(sides, named, sided)
        score = cover.score[covers] * agreement
        chosen = _first_of_each(labels, np.lexsort((covers, -score, labels)))
        chosen = chosen[np.lexsort((labels[chosen], -score[chosen]))]
        seen = self._seen[labels[chosen]]
        kept = np.where(seen, np.cumsum(seen) <= self.options.seen, np.cumsum(~seen) <= self.options.unseen)
        return [
            _Hit(int(covers[entry]), int(labels[entry]), float(agreement[entry]), float(score[entry]))
            for entry in chosen[kept].tolist()
        ]

    def _match(self, note: _Note, cover: Cover, hits: list[_Hit]) -> list[_Match]:
        known = dict[int, _Match]()
        for number in {hit.cover for hit in hits}:
            begin, end = self.cover.by_set.pointers[cover.sets[number] : cover.sets[number] + 2].tolist()
            known[number] = note.match(int(cover.windows[number]), self.cover.by_set.columns[begin:end].tolist())
        return [known[hit.cover] for hit in hits]

    def _describe(self, note: _Note, cover: Cover, hits: list[_Hit], matches: list[_Match]) -> NDArray[np.float32]:
        covers = np.array([hit.cover for hit in hits], dtype=np.int64)
        sets = cover.sets[covers]
        score = np.array([hit.score for hit in hits])
        codes = [self.codes[hit.label] for hit in hits]
        sizes = np.diff(self.cover.by_set.pointers)[sets]
        words = np.array([len(match.words) for match in matches])
        least = np.array([min(match.chances) for match in matches])
        gaps = np.array([note.gap(match.words) for match in matches])
        coverage = cover.coverage[covers]
        first = np.array([match.words[0] for match in matches], dtype=np.int64)
        last = np.array([match.words[-1] for match in matches], dtype=np.int64)
        assertions = note.stream.assertions(first, last)
        explained, elsewhere = _explained(codes, matches)
        rivals, shares = _rivals(codes, score)
        worth = self._worth(note.stream)
        seen = self._seen[[hit.label for hit in hits]]
        return np.column_stack(
            [
                score,
                coverage,
                cover.mass[covers],
                np.arange(len(hits)),
                cover.ranks[covers],
                cover.shares[covers],
                np.bincount(cover.sets, minlength=int(sets.max()) + 1)[sets],
                words,
                sizes,
                self.cover.totals[sets] - cover.mass[covers],
                explained,
                elsewhere,
                [hit.side for hit in hits],
                rivals,
                shares,
                seen,
                *self._log_counts(codes),
                np.diff(self.labels_of_sets.pointers)[sets],
                least,
                [sum(match.chances) / len(match.chances) for match in matches],
                (coverage > 1.0 - 1e-6) & (least == 1.0) & (gaps == 0),
                gaps,
                first / len(note.stream),
                assertions == _NEGATED,
                (assertions != _NEGATED) & (assertions != _PRESENT),
                [float(worth[list(match.words)].mean()) for match in matches],
                [float(worth[list(match.words)].max()) for match in matches],
            ]
        ).astype(np.float32)

    def _worth(self, stream: TokenStream) -> NDArray[np.float64]:
        return np.zeros(len(stream)) if self.detector is None else self.detector.probabilities(stream)

    def _log_counts(self, codes: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of training codes of the same category, and of those that share one more character."""
        category = np.array([self._relatives[code[:_CATEGORY]] for code in codes])
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


def _pairs(
    examples: Iterable[TrainingExample], index: TermIndex, label_of: Mapping[str, str]
) -> Counter[tuple[Phrase, Phrase]]:
    """Evidence with a term of its code, and terms of other languages than English with English ones of their code."""
    sets = _sets_of_labels(index, label_of)
    pairs = Counter[tuple[Phrase, Phrase]]()
    for example in examples:
        for gold in example.codes:
            targets = [index.key(number) for number in sets.get(gold.code, ())[:1]]
            for evidence in gold.evidence:
                words = [example.stream.words[place] for place in example.stream.indices_of(evidence)]
                phrase = term_concepts(words, example.stream.language)
                pairs.update((phrase, target) for target in targets)
    language = next((example.stream.language for example in examples), "en")
    if language != "en":
        pairs.update(_bilingual_pairs(index, language, index.keys_of_codes()))
    return pairs


def _sets_of_labels(index: TermIndex, label_of: Mapping[str, str]) -> dict[str, list[int]]:
    """By label, its sets that have English terms, the most complete first."""
    found = defaultdict[str, set[int]](set)
    for owner, code in zip(index.owners.tolist(), index.codes, strict=True):
        if code in label_of and "en" in index.languages[owner]:
            found[label_of[code]].add(owner)
    lengths = np.diff(index.pointers).tolist()
    return {label: sorted(sets, key=lambda number: (-lengths[number], number)) for label, sets in found.items()}


def _bilingual_pairs(
    index: TermIndex, language: str, sets_of_codes: Mapping[str, list[int]]
) -> Iterator[tuple[Phrase, Phrase]]:
    for sets in sets_of_codes.values():
        foreign = [number for number in sets if language in index.languages[number]]
        english = [number for number in sets if "en" in index.languages[number]]
        for number in foreign:
            for other in english[:_TERMS_PER_PHRASE]:
                yield index.key(number), index.key(other)


@dataclass(frozen=True, eq=False)
class _Note:
    """An encounter's content words in their windows."""

    stream: TokenStream
    content: list[int]
    windows: Windows
    readings: Readings
    _meant: dict[int, dict[int, tuple[float, int]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_meant", dict[int, dict[int, tuple[float, int]]]())

    def sides_of_windows(self) -> NDArray[np.int64]:
        """Bits of the sides that each window names."""
        concepts = self.stream.concepts
        bits = np.array([sum(SIDES.get(concept, 0) for concept in concepts[index]) for index in self.content], np.int64)
        before = np.array([np.concatenate([[0], np.cumsum(bits & side > 0)]) for side in (RIGHT, LEFT, BILATERAL)])
        counts = before[:, self.windows.ends] - before[:, self.windows.starts]
        return np.array([RIGHT, LEFT, BILATERAL]) @ (counts > 0)

    def match(self, window: int, concepts: list[int]) -> _Match:
        """The surest words of a window for these concepts."""
        meant = self._meanings_in(window)
        found = [meant[concept] for concept in concepts if concept in meant]
        return _Match(tuple(sorted({word for _, word in found})), tuple(-chance for chance, _ in found))

    def _meanings_in(self, window: int) -> dict[int, tuple[float, int]]:
        """By concept, minus its highest chance and the first word that has it."""
        known = self._meant.get(window)
        if known is None:
            places, concepts, chances = self.readings
            first, after = np.searchsorted(places, [self.windows.starts[window], self.windows.ends[window]]).tolist()
            known = dict[int, tuple[float, int]]()
            for entry in range(first, after):
                concept, meaning = int(concepts[entry]), (-float(chances[entry]), self.content[int(places[entry])])
                if concept not in known or meaning < known[concept]:
                    known[concept] = meaning
            self._meant[window] = known
        return known

    def gap(self, words: tuple[int, ...]) -> int:
        """Content words between the first and the last of some words, not counting them."""
        inside = range(words[0] + 1, words[-1])
        return sum(bool(self.stream.concepts[index]) and index not in words for index in inside)


def _first_of_each(values: NDArray[np.int64] | NDArray[np.int32], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first of each value in an order by value."""
    return order[np.flatnonzero(np.diff(values[order], prepend=-1))]


def _agreement(own: NDArray[np.int64], named: NDArray[np.int64], sided: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How well a code's sides fit those that a window names.

    Args:
        own: bits of the code's sides.
        named: bits of the window's.
        sided: whether other codes of the same term have sides.
    """
    both = named & (RIGHT | LEFT) == (RIGHT | LEFT)
    agrees = ((own & named) > 0) | ((own == BILATERAL) & both)
    disagrees = (named > 0) & ~agrees
    of_sided = np.where(agrees, 1.0, np.where(disagrees, 0.4, 0.5))
    without = np.where(sided & (named > 0), 0.8, 1.0)
    return np.where(own > 0, of_sided, without)


def _explained(codes: list[str], matches: list[_Match]) -> tuple[list[float], list[float]]:
    """The share of each candidate's words that better ones have; and better ones of other categories only."""
    users = defaultdict[int, set[str]](set)
    explained, elsewhere = list[float](), list[float]()
    for code, match in zip(codes, matches, strict=True):
        category = code[:_CATEGORY]
        explained.append(sum(bool(users[word]) for word in match.words) / len(match.words))
        elsewhere.append(sum(bool(users[word] - {category}) for word in match.words) / len(match.words))
        for word in match.words:
            users[word].add(category)
    return explained, elsewhere


def _rivals(codes: list[str], score: NDArray[np.float64]) -> tuple[list[int], list[float]]:
    """How many better candidates a category has, and a candidate's score by that of the best one."""
    best, met = dict[str, float](), Counter[str]()
    rivals, shares = list[int](), list[float]()
    for code, own in zip(codes, score.tolist(), strict=True):
        category = code[:_CATEGORY]
        rivals.append(met[category])
        shares.append(own / best.setdefault(category, own))
        met[category] += 1
    return rivals, shares
