"""Looks through a corpus for copied text, codes that are likely wrong, and codes that are likely missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nosology.cleaning.chunks import Chunks, cut_into_chunks
from nosology.cleaning.duplicates import find_duplicates
from nosology.cleaning.findings import Judgement, judge
from nosology.cleaning.label_model import cross_fitted_logits
from nosology.cleaning.plausibility import Evidence, plausibilities
from nosology.cleaning.similarity import Descriptions, best_chunk, best_similarities, describe_codes
from nosology.cleaning.text_encoders import open_text_encoder
from nosology.cleaning.vector_store import encode_texts
from nosology.codes.kinship import Kinship
from nosology.config.cleaning import CleaningConfig, DuplicateRule, NoiseThresholds
from nosology.errors import CorpusError
from nosology.knowledge.stream import build_stream
from nosology.knowledge.wordings import Wordings
from nosology.types import Corpus, Encounter, Span

Progress = Callable[[str, float], None]

_LEAST_GROUPS = 2
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class CodeFinding:
    """A code that is likely wrong, or likely missing.

    Args:
        encounter_id, code, system: what it is about.
        kind: "implausible" stands there, "missing" does not.
        probability: that it is wrong, or that it should stand there.
        plausibility: that the code stands there, judged by everything but its own entry.
        relative: the relative that it may have replaced, or that may have replaced it; empty for none.
        note_id, span: the words that come nearest to what the code is called; empty where nothing is affirmed.
    """

    encounter_id: str
    code: str
    system: str
    kind: Literal["implausible", "missing"]
    probability: float
    plausibility: float
    relative: str
    note_id: str
    span: Span


@dataclass(frozen=True, slots=True)
class DuplicateFinding:
    """A chunk that says nothing new.

    Args:
        encounter_id, note_id, span: where it stands.
        kind: "copy" of an earlier chunk of the patient, or "boilerplate".
        source_note_id, source_span: what it copies; empty and ``None`` for boilerplate.
    """

    encounter_id: str
    note_id: str
    span: Span
    kind: Literal["copy", "boilerplate"]
    source_note_id: str = ""
    source_span: Span | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """What was found.

    Args:
        encounter_ids, codes: row and column names of the arrays, sorted.
        judgement: of every pair.
        plausible: float32 ``[encounter, code]``.
        findings: codes, the surest first.
        duplicates: in reading order.
        weights: by encounter and code, of every code that stands there.
    """

    encounter_ids: tuple[str, ...]
    codes: tuple[str, ...]
    judgement: Judgement
    plausible: NDArray[np.float32]
    findings: tuple[CodeFinding, ...]
    duplicates: tuple[DuplicateFinding, ...]
    weights: Mapping[tuple[str, str], float]


def find_noise(
    corpus: Corpus, wordings: Wordings, options: CleaningConfig, tell: Progress, cache: Path | None = None
) -> Noise:
    """Look through the coded encounters of a corpus; their order does not matter.

    Memory grows with encounters times codes, about 100 bytes for each pair.

    Args:
        corpus: what to look through; marked evidence is not read.
        wordings: what codes are called.
        options: how; its measures are not read.
        tell: told what is being done and the share of it that is done.
        cache: a folder that keeps vectors of sentences; ``None``: nowhere.

    Raises:
        ConfigError: an encoder that is not there, or an option out of range.
        CorpusError: nothing to look through.
        MissingExtraError: a network, and the extra "neural" is not installed.
    """
    encounters = sorted((one for one in corpus if one.codes is not None), key=lambda one: one.encounter_id)
    system_of = {gold.code: gold.system for one in encounters for gold in one.codes or ()}
    _check(encounters, system_of)
    codes = sorted(system_of)
    tell("reading notes", -1.0)
    streams = [build_stream(one) for one in encounters]
    chunks = cut_into_chunks(streams, max_words=options.max_words)
    described = describe_codes(codes, wordings, options.synonyms)
    groups, folds = _groups_and_folds(encounters, options.folds)
    spaces = [_Space.of(name, chunks, described, cache, tell) for name in options.encoders]
    similarity = tuple(space.similarities(len(encounters), tell).astype(np.float32) for space in spaces)
    carries = _carries(encounters, codes)
    kinship = Kinship(system_of.items())
    column = {code: number for number, code in enumerate(codes)}
    relatives = [np.array([column[other] for other in kinship.nearest(code)], dtype=np.int64) for code in codes]
    logits = cross_fitted_logits(streams, carries, folds, tell)
    evidence = Evidence(carries, similarity, logits, folds, groups, relatives)
    plausible = plausibilities(evidence, options.seed, tell)
    judgement = judge(carries, plausible, relatives, options.thresholds.share)
    weights = judgement.weights(options.thresholds)
    maker = _Maker(encounters, codes, system_of, carries, plausible, judgement, relatives, spaces[0])
    return Noise(
        tuple(one.encounter_id for one in encounters),
        tuple(codes),
        judgement,
        plausible,
        tuple(maker.findings(options.thresholds)),
        tuple(_duplicates(encounters, spaces[0], groups, options.duplicates)),
        {(encounters[r].encounter_id, codes[c]): float(weights[r, c]) for r, c in np.argwhere(carries).tolist()},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Space:
    """Notes and descriptions as one encoder sees them."""

    chunks: Chunks
    descriptions: Descriptions
    chunk_vectors: NDArray[np.float16]
    description_vectors: NDArray[np.float16]

    @staticmethod
    def of(name: str, chunks: Chunks, described: Descriptions, cache: Path | None, tell: Progress) -> _Space:
        encoder = open_text_encoder(name, [*chunks.texts, *described.texts])
        texts = list(dict.fromkeys([*chunks.texts, *described.texts]))
        vectors = encode_texts(encoder, texts, cache, tell)
        row = {text: number for number, text in enumerate(texts)}
        own = np.array([row[text] for text in described.texts], dtype=np.int64)
        return _Space(chunks, described, vectors[: len(chunks.texts)], vectors[own])

    def similarities(self, encounters: int, tell: Progress) -> NDArray[np.float16]:
        parts = self.chunks, encounters, self.chunk_vectors, self.descriptions, self.description_vectors
        return best_similarities(*parts, tell)

    def nearest_description(self) -> NDArray[np.float32]:
        """Of each text, the highest similarity to anything that any code is called."""
        names = self.description_vectors.astype(np.float32).T
        starts = range(0, len(self.chunk_vectors), _ROWS_AT_ONCE)
        parts = (self.chunk_vectors[start : start + _ROWS_AT_ONCE].astype(np.float32) for start in starts)
        return np.concatenate([np.zeros(0, dtype=np.float32), *((part @ names).max(axis=1) for part in parts)])


@dataclass(frozen=True, slots=True, eq=False)
class _Maker:
    """Makes findings of arrays."""

    encounters: Sequence[Encounter]
    codes: Sequence[str]
    system_of: Mapping[str, str]
    carries: NDArray[np.bool_]
    plausible: NDArray[np.float32]
    judgement: Judgement
    relatives: Sequence[NDArray[np.int64]]
    space: _Space

    def findings(self, thresholds: NoiseThresholds) -> list[CodeFinding]:
        """The surest first; equally sure ones by encounter and code."""
        wrong = np.argwhere(self.carries & (self.judgement.wrong >= thresholds.implausible))
        missing = np.argwhere(~self.carries & (self.judgement.missing >= thresholds.missing))
        bounds = self.space.chunks.bounds(len(self.encounters))
        found = [self._finding(row, column, bounds) for row, column in (*wrong.tolist(), *missing.tolist())]
        return sorted(found, key=lambda one: (-one.probability, one.encounter_id, one.code))

    def _finding(self, row: int, column: int, bounds: NDArray[np.int64]) -> CodeFinding:
        stands = bool(self.carries[row, column])
        chosen = self.judgement.wrong if stands else self.judgement.missing
        space, encounter = self.space, self.encounters[row]
        vectors = space.chunk_vectors, space.descriptions, space.description_vectors
        chunk = best_chunk(space.chunks, *vectors, bounds, row, column)
        note, span = ("", Span(0, 0)) if chunk < 0 else _place(encounter, space.chunks, chunk)
        return CodeFinding(
            encounter.encounter_id,
            self.codes[column],
            self.system_of[self.codes[column]],
            "implausible" if stands else "missing",
            float(chosen[row, column]),
            float(self.plausible[row, column]),
            self._relative(row, column, stands),
            note,
            span,
        )

    def _relative(self, row: int, column: int, stands: bool) -> str:
        """The likeliest relative that does not stand there, or the least likely one that does."""
        others = self.relatives[column]
        others = others[self.carries[row, others] != stands]
        if not len(others):
            return ""
        plausible = self.plausible[row, others]
        return self.codes[int(others[int(np.argmax(plausible if stands else -plausible))])]


def _check(encounters: Sequence[Encounter], system_of: Mapping[str, str]) -> None:
    if not encounters or not system_of:
        raise CorpusError("no encounter has a code; there is nothing to clean")
    seen = set[str]()
    for one in encounters:
        if one.encounter_id in seen:
            raise CorpusError("two encounters have this id; give each its own", record_id=one.encounter_id)
        seen.add(one.encounter_id)
    groups = {one.group_id or one.encounter_id for one in encounters}
    if len(groups) < _LEAST_GROUPS:
        raise CorpusError("all encounters are of one patient; codes are judged by other patients', so two are needed")


def _groups_and_folds(encounters: Sequence[Encounter], folds: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The patient of each encounter as a number, and its fold: patients dealt out in the order of a hash of their
    ids, so that neither the order of encounters nor how ids are numbered matters."""
    names = [one.group_id or one.encounter_id for one in encounters]
    order = sorted(set(names), key=lambda name: blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest())
    number = {name: place for place, name in enumerate(order)}
    groups = np.array([number[name] for name in names], dtype=np.int64)
    return groups, groups % min(folds, len(order))


def _carries(encounters: Sequence[Encounter], codes: Sequence[str]) -> NDArray[np.bool_]:
    column = {code: number for number, code in enumerate(codes)}
    carries = np.zeros((len(encounters), len(codes)), dtype=np.bool_)
    for row, one in enumerate(encounters):
        carries[row, [column[code] for code in one.code_set]] = True
    return carries


def _duplicates(
    encounters: Sequence[Encounter], space: _Space, groups: NDArray[np.int64], rule: DuplicateRule
) -> list[DuplicateFinding]:
    chunks = space.chunks
    order = sorted(range(len(encounters)), key=lambda row: _when(encounters[row]))
    found = find_duplicates(chunks, space.chunk_vectors, groups, space.nearest_description(), rule, order)
    result = list[DuplicateFinding]()
    for chunk in np.flatnonzero(found.all).tolist():
        encounter, source = encounters[int(chunks.encounter[chunk])], int(found.copied_from[chunk])
        place = _place(encounter, chunks, chunk)
        if source < 0:
            result.append(DuplicateFinding(encounter.encounter_id, *place, "boilerplate"))
        else:
            origin = _place(encounters[int(chunks.encounter[source])], chunks, source)
            result.append(DuplicateFinding(encounter.encounter_id, *place, "copy", *origin))
    return result


def _when(encounter: Encounter) -> tuple[str, str]:
    """Dates as text sort by time; where there are none, ids decide."""
    return encounter.metadata.get("discharge_date", ""), encounter.encounter_id


def _place(encounter: Encounter, chunks: Chunks, chunk: int) -> tuple[str, Span]:
    note = encounter.notes[int(chunks.note[chunk])]
    return note.note_id, Span(int(chunks.starts[chunk]), int(chunks.ends[chunk]))
