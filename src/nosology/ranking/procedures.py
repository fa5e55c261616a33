"""What the words of evidence say of procedures: which operation, on which body site, and how such a code goes on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nosology.ranking.detector import evidence_words
from nosology.ranking.postings import Postings
from nosology.ranking.source import TrainingExample, TrainingSet
from nosology.types import GoldCode

_SYSTEM = "icd10pcs"
STEM = 4
"""Characters that say the operation and the body part."""
_LEAST_OPERATION = 0.2
_LEAST_SITE = 0.15
_LEAST_SHARE = 0.15
_MEANINGS = 3
"""Operations, and sites, that one word may stand for."""

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
    if len(code) < STEM:
        return None
    return Parts(code[0] + code[2], code[:2] + code[3])


def stem_of(parts: Parts) -> str:
    """The first four characters of a code with this operation on this site."""
    return parts.site[:2] + parts.operation[1] + parts.site[2]


@dataclass(frozen=True, eq=False, repr=False)
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


def learn(training: TrainingSet, accept: Accept | None) -> tuple[Words, Completions] | None:
    """Count the procedure codes of marked words.

    Args:
        training: coded encounters.
        accept: whether a code that no training encounter has may be given; without it every one may.

    Returns:
        ``None`` where no ICD-10-PCS code has evidence.
    """
    counts = _count(training)
    if not counts.holders:
        return None
    operations = sorted({parts.operation for parts in counts.parts})
    sites = sorted({parts.site for parts in counts.parts})
    return _learn_words(counts, operations, sites), _complete(counts.codes, operations, sites, accept)


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
        of_operation.append(
            _meanings(((operation_of[p.operation], n) for p, n in own.items()), total, _LEAST_OPERATION)
        )
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
    by_stem, usual = _continuations(codes)
    rows = np.full((len(operations), len(sites)), -1, dtype=np.int64)
    continued, seen = list[list[tuple[str, float]]](), list[int]()
    for (first, operation), (second, site) in product(enumerate(operations), enumerate(sites)):
        stem = stem_of(Parts(operation, site))
        ending, share = usual[operation]
        if site[0] != operation[0]:
            continue
        if stem in by_stem:
            options = _likely(by_stem[stem])
        elif accept is None or accept(stem + ending):
            options = [(stem + ending, share)]
        else:
            continue
        rows[first, second] = len(continued)
        continued.append(options)
        seen.append(by_stem[stem].total() if stem in by_stem else 0)
    known = sorted({code for options in continued for code, _ in options})
    number_of = {code: number for number, code in enumerate(known)}
    shares = _postings([[(number_of[code], share) for code, share in options] for options in continued], len(known))
    counts = np.array([codes[code] for code in known], dtype=np.float64)
    return Completions(known, counts, rows, np.array(seen, dtype=np.float64), shares)


def _continuations(codes: Counter[str]) -> tuple[dict[str, Counter[str]], dict[str, tuple[str, float]]]:
    """The codes of each stem, and each operation's most usual ending with its share."""
    by_stem, endings = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)
    for code, count in codes.items():
        parts = parts_of(code)
        if parts is not None:
            by_stem[stem_of(parts)][code] += count
            endings[parts.operation][code[STEM:]] += count
    usual = dict[str, tuple[str, float]]()
    for operation, own in endings.items():
        ending = min(own, key=lambda candidate: (-own[candidate], candidate))
        usual[operation] = (ending, own[ending] / own.total())
    return dict(by_stem), usual


def _likely(counts: Counter[str]) -> list[tuple[str, float]]:
    """The codes of a stem that are common enough, at least its commonest."""
    least = min(_LEAST_SHARE * counts.total(), max(counts.values()))
    return sorted((code, count / counts.total()) for code, count in counts.items() if count >= least)


def _postings(rows: list[list[tuple[int, float]]], width: int) -> Postings:
    pointers = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    columns = np.array([column for row in rows for column, _ in row], dtype=np.int32)
    values = np.array([value for row in rows for _, value in row], dtype=np.float32)
    return Postings(pointers, columns, values, width)
