"""Candidates from evidence: expressions that people marked in training notes, found again, word for word or nearly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from nosology.knowledge.base import Source
from nosology.knowledge.matching import ExactMatcher
from nosology.knowledge.stream import TokenStream
from nosology.knowledge.tolerant import TypoIndex
from nosology.knowledge.vocabulary import concepts_of, key_of
from nosology.ranking import evidence_features, linking
from nosology.ranking.detector import SpanDetector
from nosology.ranking.evidence_features import Reading
from nosology.ranking.keys import Found, KeyFinder, KeyTable, find_surfaces, mine, mined_phrases, rarities, tabulate
from nosology.ranking.linking import Linker
from nosology.ranking.source import Arrays, SourceOutput, TrainingSet, join

FEATURES = (
    *(f"surface_{name}" for name in evidence_features.FEATURES),
    *(f"key_{name}" for name in evidence_features.FEATURES),
    *(f"link_{name}" for name in linking.FEATURES),
)


@dataclass(frozen=True, eq=False)
class MentionSource:
    """Finds mined expressions, exactly and by their concepts, and links what looks like evidence to the nearest ones.

    Args:
        detector: tells which words look like evidence.
        surfaces: expressions as exact words.
        keys: expressions as sets of concepts.
        linker: finds the keys most like a span.
        word_counts: training encounters with each word, sorted; a word that none has may be a misspelt one.
    """

    detector: SpanDetector
    surfaces: KeyTable
    keys: KeyTable
    linker: Linker
    word_counts: dict[str, int] = field(repr=False)
    _matcher: ExactMatcher = field(init=False, repr=False)
    _finder: KeyFinder = field(init=False, repr=False)
    _typos: TypoIndex = field(init=False, repr=False)

    def __post_init__(self) -> None:
        matcher = ExactMatcher(self.surfaces.texts)
        finder = KeyFinder([tuple(text.split()) for text in self.keys.texts], self.linker.concepts)
        object.__setattr__(self, "_matcher", matcher)
        object.__setattr__(self, "_finder", finder)
        marked = {word for text in self.surfaces.texts for word in text.split()}
        counts = {word: self.word_counts.get(word, 1) for word in sorted(marked)}
        object.__setattr__(self, "_typos", TypoIndex(counts, self.word_counts.keys()))

    @property
    def feature_names(self) -> tuple[str, ...]:
        return FEATURES

    @staticmethod
    def fit(training: TrainingSet) -> MentionSource | None:
        """Mine evidence and count how far it can be trusted; ``None`` where the training encounters have none."""
        detector = SpanDetector.fit(training)
        if detector is None:
            return None
        mined = mine(training, as_key=False)
        rarity = rarities(training, as_key=False)
        matcher = ExactMatcher([" ".join(words) for words in mined])
        found = [find_surfaces(matcher, example.stream) for example in training.examples]
        surfaces = tabulate(training, mined, rarity, found)
        mined = mine(training, as_key=True)
        rarity = rarities(training, as_key=True)
        finder = KeyFinder(list(mined), rarity)
        keys = tabulate(training, mined, rarity, [finder.find(example.stream) for example in training.examples])
        language = training.examples[0].stream.language
        linker = Linker.build(keys, _shortest_wordings(training, keys), rarity, language)
        counts = Counter(word for example in training.examples for word in set(example.stream.words))
        return MentionSource(detector, surfaces, keys, linker, dict(sorted(counts.items())))

    def candidates(self, stream: TokenStream) -> SourceOutput:
        reading = Reading(stream, self.detector.probabilities(stream))
        found_keys = self._finder.find(stream, self._positions(stream))
        levels = [(self.surfaces, find_surfaces(self._matcher, stream)), (self.keys, found_keys)]
        described = [_describe(table, found, reading) for table, found in levels]
        return join([*described, self.linker.link(reading, found_keys)])

    def _positions(self, stream: TokenStream) -> dict[str, list[int]]:
        """Where each concept stands, misspelt words taken for the marked words that they were meant to be."""
        known = self.word_counts
        corrected = [
            (index, correction)
            for index, word in enumerate(stream.words)
            if word not in known and (correction := self._typos.correct(word)) is not None
        ]
        if not corrected:
            return stream.positions
        positions = dict(stream.positions)
        for index, correction in corrected:
            for concept in concepts_of(correction):
                positions[concept] = sorted({*positions.get(concept, ()), index})
        return positions

    @property
    def labels(self) -> list[str]:
        return self.surfaces.codes

    def mined(self) -> Iterator[tuple[str, str, Source]]:
        """Every wording that people marked, with each code it stood for."""
        for number, text in enumerate(self.surfaces.texts):
            for pair in self.surfaces.pairs(number):
                yield text, self.surfaces.codes[int(self.surfaces.pair_codes[pair])], Source.MINED_EVIDENCE

    def state(self) -> tuple[Arrays, dict[str, list[str]]]:
        arrays: Arrays = {}
        strings = dict[str, list[str]]()
        for name, part in self._parts().items():
            part_arrays, part_strings = part.state()
            arrays |= {f"{name}.{key}": value for key, value in part_arrays.items()}
            strings |= {f"{name}.{key}": value for key, value in part_strings.items()}
        arrays["word_counts"] = np.array(list(self.word_counts.values()), dtype=np.int64)
        strings["words"] = list(self.word_counts)
        return arrays, strings

    def _parts(self) -> dict[str, SpanDetector | KeyTable | Linker]:
        return {"detector": self.detector, "surfaces": self.surfaces, "keys": self.keys, "linker": self.linker}

    @staticmethod
    def from_state(arrays: Arrays, strings: dict[str, list[str]]) -> MentionSource:
        def part(name: str) -> tuple[Arrays, dict[str, list[str]]]:
            cut = len(name) + 1
            return (
                {key[cut:]: value for key, value in arrays.items() if key.startswith(f"{name}.")},
                {key[cut:]: value for key, value in strings.items() if key.startswith(f"{name}.")},
            )

        keys = KeyTable.from_state(*part("keys"))
        return MentionSource(
            SpanDetector.from_state(*part("detector")),
            KeyTable.from_state(*part("surfaces")),
            keys,
            Linker.from_state(keys, *part("linker")),
            dict(zip(strings["words"], arrays["word_counts"].astype(np.int64).tolist(), strict=True)),
        )


def _shortest_wordings(training: TrainingSet, keys: KeyTable) -> list[list[str]]:
    """For each key, the shortest words that it was mined from."""
    shortest = dict[str, list[str]]()
    for example in training.examples:
        for words, _ in mined_phrases(example):
            text = " ".join(key_of(words, example.stream.language))
            if text not in shortest or (len(words), words) < (len(shortest[text]), shortest[text]):
                shortest[text] = words
    return [shortest[text] for text in keys.texts]


def _describe(table: KeyTable, found: Found, reading: Reading) -> SourceOutput:
    """What the expressions of one kind say of each of their codes."""
    inside = evidence_features.nested(table.texts, found)
    reasons = evidence_features.hits_by_code(table, found, reading, inside)
    rows = [evidence_features.summarise(hit for hit, _ in own) for own in reasons.values()]
    mentions = {code: evidence_features.mentions_of(own, found, reading.stream) for code, own in reasons.items()}
    features = np.array(rows, dtype=np.float32).reshape(len(rows), len(evidence_features.FEATURES))
    return SourceOutput(list(reasons), features, mentions)
