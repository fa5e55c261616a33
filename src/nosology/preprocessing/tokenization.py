"""Encounter -> token ids for a neural model, each token with its characters in the original note.

Notes of an encounter are joined in order. Three tokenizers stand behind one protocol: words of a vocabulary
(``word_tokenizer``), trained sub-words and a pretrained model's own sub-words (``subword_tokenizer``). Each is kept as
one JSON file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from nosology.errors import ModelError
from nosology.types import Encounter, Evidence, Note, Span

Ints = NDArray[np.int32]

_FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedEncounter:
    """The tokens of all notes of an encounter, in order; arrays are int32, one entry a token.

    Args:
        encounter_id: the encounter's id.
        note_ids: of its notes.
        token_ids: what a model reads.
        starts, ends: half-open characters in the token's note; equal for a mark that stands for no text.
        notes: the index of the token's note in ``note_ids``.
        dropped: tokens cut off at the end, because the encounter is longer than was asked for.
    """

    encounter_id: str
    note_ids: tuple[str, ...]
    token_ids: Ints
    starts: Ints
    ends: Ints
    notes: Ints
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.token_ids)

    def evidence(self, token: int) -> Evidence:
        """The characters of one token."""
        return Evidence(self.note_ids[self.notes[token]], (Span(int(self.starts[token]), int(self.ends[token])),))

    def tokens_of(self, evidence: Evidence) -> Ints:
        """The tokens that an evidence touches, rising; none if all of it was cut off or lies between tokens."""
        if evidence.note_id not in self.note_ids:
            return np.zeros(0, dtype=np.int32)
        inside = self.notes == self.note_ids.index(evidence.note_id)
        touched = np.zeros(len(self), dtype=np.bool_)
        for part in evidence.parts:
            touched |= (self.starts < part.end) & (self.ends > part.start) & (self.starts < self.ends)
        return np.flatnonzero(inside & touched).astype(np.int32)


class Tokenizer(Protocol):
    """Turns encounters into token ids. Ids run from 0 to ``vocabulary_size`` - 1."""

    @property
    def vocabulary_size(self) -> int:
        """Rows that an embedding of its ids needs."""
        ...

    @property
    def pad_id(self) -> int:
        """What fills a batch behind the end of a note."""
        ...

    def encode(self, encounter: Encounter, max_tokens: int | None = None) -> TokenizedEncounter:
        """The tokens of an encounter, the first ``max_tokens`` of them."""
        ...

    def encode_many(
        self, encounters: Iterable[Encounter], max_tokens: int | None = None
    ) -> Iterator[TokenizedEncounter]:
        """The same for many, as they come."""
        ...

    def state(self) -> dict[str, object]:
        """Plain JSON values that ``load_tokenizer`` makes the tokenizer of again; ``kind`` says which it is."""
        ...


@dataclass(slots=True)
class TruncationCounts:
    """What was cut off while encounters were read.

    Args:
        encounters: read.
        truncated: of these, cut off.
        empty: of these, without any token.
        tokens: kept.
        dropped: cut off.
    """

    encounters: int = 0
    truncated: int = 0
    empty: int = 0
    tokens: int = 0
    dropped: int = 0

    def add(self, tokens: TokenizedEncounter) -> None:
        """Count one more encounter."""
        self.encounters += 1
        self.truncated += tokens.dropped > 0
        self.empty += len(tokens) == 0
        self.tokens += len(tokens)
        self.dropped += tokens.dropped

    def describe(self) -> str:
        """One line for people."""
        share = self.dropped / max(self.tokens + self.dropped, 1)
        return (
            f"{self.encounters:,} encounters, {self.tokens:,} tokens; {self.truncated:,} encounters cut "
            f"({share:.1%} of all tokens), {self.empty:,} without a token"
        )


def join_notes(
    encounter: Encounter, notes: Sequence[tuple[Ints, Ints, Ints]], max_tokens: int | None
) -> TokenizedEncounter:
    """Put the tokens of an encounter's notes behind one another and cut them.

    Args:
        encounter: whose notes they are.
        notes: ids, starts and ends of each note.
        max_tokens: the most to keep; ``None`` keeps all.
    """
    sizes = [len(ids) for ids, _, _ in notes]
    ids, starts, ends = (
        np.concatenate([np.zeros(0, dtype=np.int32), *(note[part] for note in notes)]) for part in range(3)
    )
    numbers = np.repeat(np.arange(len(notes), dtype=np.int32), sizes)
    kept = len(ids) if max_tokens is None else min(max_tokens, len(ids))
    note_ids = tuple(note.note_id for note in encounter.notes)
    return TokenizedEncounter(
        encounter.encounter_id, note_ids, ids[:kept], starts[:kept], ends[:kept], numbers[:kept], len(ids) - kept
    )


def texts_of(notes: Iterable[Note]) -> list[str]:
    """The notes' texts, of equal length, without lone surrogates, which have no UTF-8."""
    return [_without_surrogates(note.text) for note in notes]


def _without_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    return text


# --- files ----------------------------------------------------------------------------------------------------------


def fingerprint(tokenizer: Tokenizer) -> str:
    """A hash of everything that decides which ids a text gets."""
    return _hash(tokenizer.state())


def _hash(state: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def save_tokenizer(tokenizer: Tokenizer, path: str | Path) -> None:
    """Write a tokenizer as JSON; a reader never sees half a file."""
    state = tokenizer.state()
    content = {"format": _FORMAT, "fingerprint": _hash(state), "tokenizer": state}
    target = Path(path)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, target)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read what ``save_tokenizer`` wrote.

    Raises:
        ModelError: the file is missing, damaged, changed, or of another version.
    """
    state = _read_state(Path(path))
    try:
        return _of_state(state)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ModelError("damaged: not a tokenizer of this version; save the model again", path=path) from None


def _read_state(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found, stored, state = content["format"], content["fingerprint"], content["tokenizer"]
    except OSError as error:
        raise ModelError(f"cannot read the tokenizer: {error.strerror}", path=path) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelError("damaged: not a tokenizer; save the model again", path=path) from None
    if found != _FORMAT:
        raise ModelError(f"tokenizer of format {found}, expected {_FORMAT}; save the model again", path=path)
    if not isinstance(state, dict) or _hash(cast(dict[str, Any], state)) != stored:
        raise ModelError("the tokenizer does not match its fingerprint: the file was changed", path=path)
    return cast(dict[str, Any], state)


def _of_state(state: Mapping[str, Any]) -> Tokenizer:
    from nosology.preprocessing.subword_tokenizer import SubwordTokenizer
    from nosology.preprocessing.word_tokenizer import WordTokenizer

    match state["kind"]:
        case "words":
            return WordTokenizer.from_state(state)
        case "subwords":
            return SubwordTokenizer.from_state(state)
        case other:
            raise ValueError(other)
