"""Tokenized encounters in flat arrays, and the order in which a training reads them.

A plan of an epoch depends on nothing but lengths, seed and epoch: a run that was stopped finds its place again by
counting steps. Batches hold notes of like length and at most so many tokens, padding included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from nosology.errors import ConfigError, CorpusError
from nosology.preprocessing.tokenization import TokenizedEncounter, Tokenizer, TruncationCounts
from nosology.types import Encounter

Ints = NDArray[np.int64]

_POOL = 64  # batches' worth of shuffled notes that are sorted by length together


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Rows of different lengths behind one another.

    Args:
        values: the rows' values; int32.
        bounds: row ``i`` is ``values[bounds[i] : bounds[i + 1]]``; int64 ``[row + 1]``.
    """

    values: NDArray[np.int32]
    bounds: Ints

    @staticmethod
    def of(rows: Sequence[NDArray[np.int32]]) -> Ragged:
        """Put rows behind one another."""
        bounds = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return Ragged(np.concatenate([np.zeros(0, dtype=np.int32), *rows]).astype(np.int32), bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.values[self.bounds[row] : self.bounds[row + 1]]

    @property
    def lengths(self) -> Ints:
        """Values of each row."""
        return np.diff(self.bounds)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedEncounters:
    """Encounters ready to be learnt from: about four bytes a token, whatever the number of labels.

    Args:
        encounter_ids: row names.
        tokens: token ids.
        labels: label numbers that each carries, rising.
        certainties: of each of these, in the order of ``labels.values``; float32.
        evidence: label and token numbers in turn, of every token that people marked for a label; empty rows where
            nothing was marked or evidence was not asked for.
        pad_id: what fills batches.
        counts: what was cut off.
        other_codes: gold codes outside the label list.
    """

    encounter_ids: tuple[str, ...]
    tokens: Ragged
    labels: Ragged
    certainties: NDArray[np.float32]
    evidence: Ragged
    pad_id: int
    counts: TruncationCounts = field(default_factory=TruncationCounts)
    other_codes: int = 0

    def __len__(self) -> int:
        return len(self.encounter_ids)

    def fingerprint(self) -> str:
        """A hash of ids, tokens, labels, their certainties and evidence."""
        digest = sha256("\n".join(self.encounter_ids).encode("utf-8", "surrogatepass"))
        for part in (self.tokens, self.labels, self.evidence):
            digest.update(part.values.tobytes())
            digest.update(part.bounds.tobytes())
        digest.update(self.certainties.tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True, eq=False)
class PaddedBatch:
    """Some encounters side by side.

    Args:
        rows: their rows in the ``EncodedEncounters``.
        token_ids: int64 ``[batch, token]``; ``token`` is the longest of them.
        mask: true where a real token stands.
        label_rows, label_columns: where the dense targets are not 0.
        label_certainties: what they are there; float32.
        evidence: row, label, token of every marked token; int64 ``[mark, 3]``.
    """

    rows: Ints
    token_ids: Ints
    mask: NDArray[np.bool_]
    label_rows: Ints
    label_columns: Ints
    label_certainties: NDArray[np.float32]
    evidence: Ints

    @property
    def real_tokens(self) -> int:
        """Tokens without padding."""
        return int(self.mask.sum())


def encode_encounters(
    encounters: Iterable[Encounter],
    tokenizer: Tokenizer,
    labels: Sequence[str],
    *,
    max_tokens: int | None = None,
    with_evidence: bool = False,
) -> EncodedEncounters:
    """Tokenize encounters and number their codes.

    Args:
        encounters: read once; those without a code or without a token stay.
        tokenizer: what cuts notes into tokens.
        labels: the label of each column.
        max_tokens: tokens kept of an encounter; ``None``: all.
        with_evidence: also find the tokens that evidence marks.

    Raises:
        CorpusError: two encounters have one id.
    """
    columns = {code: column for column, code in enumerate(labels)}
    counts, other = TruncationCounts(), 0
    ids, tokens, marks = dict[str, None](), list[NDArray[np.int32]](), list[NDArray[np.int32]]()
    targets, certainties = list[NDArray[np.int32]](), list[float]()
    waiting = list(encounters)
    for encounter, found in zip(waiting, tokenizer.encode_many(waiting, max_tokens), strict=True):
        if encounter.encounter_id in ids:
            raise CorpusError("two encounters have this id; give each its own", record_id=encounter.encounter_id)
        ids[encounter.encounter_id] = None
        counts.add(found)
        tokens.append(found.token_ids)
        known = {columns[gold.code]: gold.certainty for gold in encounter.codes or () if gold.code in columns}
        other += len(encounter.code_set) - len(known)
        targets.append(np.array(sorted(known), dtype=np.int32))
        certainties += [known[column] for column in sorted(known)]
        marks.append(_marks(encounter, found, columns) if with_evidence else np.zeros(0, dtype=np.int32))
    return EncodedEncounters(
        tuple(ids),
        Ragged.of(tokens),
        Ragged.of(targets),
        np.array(certainties, dtype=np.float32),
        Ragged.of(marks),
        tokenizer.pad_id,
        counts,
        other,
    )


def _marks(encounter: Encounter, tokens: TokenizedEncounter, columns: dict[str, int]) -> NDArray[np.int32]:
    pairs = sorted(
        {
            (columns[gold.code], token)
            for gold in encounter.codes or ()
            if gold.code in columns
            for evidence in gold.evidence
            for token in tokens.tokens_of(evidence).tolist()
        }
    )
    return np.array(pairs, dtype=np.int32).reshape(-1)


def collate(encoded: EncodedEncounters, rows: Ints) -> PaddedBatch:
    """Pad some encounters to the longest of them.

    Raises:
        CorpusError: there is no encounter, or none has a token.
    """
    lengths = encoded.tokens.lengths[rows]
    if not len(rows) or not lengths.max():
        first = encoded.encounter_ids[rows[0]] if len(rows) else None
        raise CorpusError("an empty batch: no encounter with a token; leave out empty notes", record_id=first)
    mask = np.arange(lengths.max()) < lengths[:, None]
    token_ids = np.full(mask.shape, encoded.pad_id, dtype=np.int64)
    token_ids[mask] = np.concatenate([encoded.tokens[row] for row in rows])
    label_rows = np.repeat(np.arange(len(rows)), encoded.labels.lengths[rows])
    label_columns = np.concatenate([encoded.labels[row] for row in rows]).astype(np.int64)
    bounds = encoded.labels.bounds
    certainties = np.concatenate([encoded.certainties[bounds[row] : bounds[row + 1]] for row in rows])
    marks = [encoded.evidence[row].reshape(-1, 2) for row in rows]
    places = np.repeat(np.arange(len(rows)), [len(part) for part in marks])
    evidence = np.column_stack([places, np.concatenate(marks)]).astype(np.int64)
    return PaddedBatch(rows, token_ids, mask, label_rows, label_columns, certainties, evidence)


# --- plans ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BatchSize:
    """How big a batch may be.

    Args:
        tokens: the most tokens, padding included; one longer encounter is a batch of its own.
        encounters: the most encounters.
    """

    tokens: int
    encounters: int

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.encounters < 1:
            raise ConfigError("a batch holds at least one token and one encounter; raise tokens_per_batch")


@dataclass(frozen=True, slots=True, eq=False)
class EpochPlan:
    """The batches of one epoch, in steps: the batches of a step add up to one update of the weights.

    Args:
        steps: for each step its batches, each an array of rows; all but the last have ``batches_per_step`` of them.
    """

    steps: tuple[tuple[Ints, ...], ...]

    def __len__(self) -> int:
        return len(self.steps)


def plan_epoch(
    lengths: Ints, size: BatchSize, *, batches_per_step: int, seed: int, epoch: int, rows: Ints | None = None
) -> EpochPlan:
    """Shuffle encounters into batches of like length; depends on its arguments alone.

    The batches of a step are of like length, too, so that no process waits for another.

    Args:
        lengths: tokens of each encounter; those of 0 are left out.
        size: of a batch.
        batches_per_step: batches that add up to one update: processes x accumulation.
        seed, epoch: of the order.
        rows: the encounters of this epoch, some of them several times; ``None``: each once.
    """
    random = np.random.default_rng([seed, epoch])
    rows = np.arange(len(lengths)) if rows is None else rows
    order = random.permutation(rows[lengths[rows] > 0])
    pool = max(1, size.encounters * _POOL)
    steps, left = list[tuple[Ints, ...]](), list[Ints]()
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        batches = _cut(part[np.argsort(-lengths[part], kind="stable")], lengths, size)
        whole = len(batches) - len(batches) % batches_per_step
        steps += _grouped(batches[:whole], batches_per_step)
        left += batches[whole:]
    full = len(left) - len(left) % batches_per_step
    steps += _grouped(left[:full], batches_per_step)
    mixed = [steps[number] for number in random.permutation(len(steps))]
    return EpochPlan((*mixed, *_grouped(left[full:], batches_per_step)))


def _grouped(batches: list[Ints], together: int) -> list[tuple[Ints, ...]]:
    return [tuple(batches[at : at + together]) for at in range(0, len(batches), together)]


def plan_reading(lengths: Ints, size: BatchSize) -> list[Ints]:
    """Batches for reading every encounter with a token once, longest first; then the rest is quick to estimate."""
    rows = np.flatnonzero(lengths > 0)
    return _cut(rows[np.argsort(-lengths[rows], kind="stable")], lengths, size)


def _cut(rows: Ints, lengths: Ints, size: BatchSize) -> list[Ints]:
    """Rows of falling length into batches."""
    batches, start = list[Ints](), 0
    while start < len(rows):
        room = max(1, min(size.encounters, size.tokens // int(lengths[rows[start]])))
        batches.append(rows[start : start + room])
        start += room
    return batches


def without_empty(encoded: EncodedEncounters) -> EncodedEncounters:
    """The encounters that have a token.

    Raises:
        CorpusError: none has.
    """
    kept: list[int] = np.flatnonzero(encoded.tokens.lengths > 0).tolist()
    if not kept:
        raise CorpusError("no encounter has a token: all notes are empty, or the tokenizer knows none of their words")
    if len(kept) == len(encoded):
        return encoded
    parts = (encoded.tokens, encoded.labels, encoded.evidence)
    tokens, labels, evidence = (Ragged.of([part[row] for row in kept]) for part in parts)
    ids = tuple(encoded.encounter_ids[row] for row in kept)
    bounds = encoded.labels.bounds
    certainties = np.concatenate([encoded.certainties[bounds[row] : bounds[row + 1]] for row in kept])
    return replace(encoded, encounter_ids=ids, tokens=tokens, labels=labels, certainties=certainties, evidence=evidence)
