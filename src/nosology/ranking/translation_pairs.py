"""What translations are learnt from: phrases in the notes' language beside English terms of the same code."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from nosology.knowledge.term_index import TermIndex, term_concepts
from nosology.knowledge.translation import Phrase
from nosology.ranking.source import TrainingExample

_TERMS_PER_PHRASE = 4


def translation_pairs(
    examples: Iterable[TrainingExample], index: TermIndex, label_of: Mapping[str, str]
) -> Counter[tuple[Phrase, Phrase]]:
    """Evidence with a term of its code, and terms of other languages than English with English ones of their code.

    Args:
        examples: training encounters, of one language.
        index: terms of all codes.
        label_of: by code, the label that its terms stand for; codes without one are left out.

    Returns:
        How often each pair was met: the concepts of a phrase in the notes' language, those of an English term.
    """
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
