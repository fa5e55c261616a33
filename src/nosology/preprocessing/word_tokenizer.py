"""Words of a vocabulary as tokens, as CAML, MultiResCNN and LAAT read notes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nosology.errors import ConfigError, CorpusError
from nosology.preprocessing.tokenization import Ints, TokenizedEncounter, join_notes
from nosology.types import Encounter

PAD, UNKNOWN = "<pad>", "<unk>"
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False, repr=False)
class WordTokenizer:
    """Runs of letters, digits and underscores; what the vocabulary lacks is one unknown word.

    With ``lower`` and ``drop_numbers`` it reads as CAML does (Mullenbach et al. 2018, section 4.1): lower case, tokens
    without any letter left out.

    Args:
        words: the vocabulary; a word's id is its position. The first is padding, the second the unknown word.
        lower: words are compared in lower case.
        drop_numbers: words of digits alone are left out.
    """

    words: tuple[str, ...]
    lower: bool = True
    drop_numbers: bool = True
    _ids: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        if self.words[:2] != (PAD, UNKNOWN):
            raise ConfigError(f"a vocabulary begins with {PAD} and {UNKNOWN}; make it with WordTokenizer.fit")
        ids = {word: position for position, word in enumerate(self.words)}
        if len(ids) != len(self.words):
            raise ConfigError("a word stands twice in the vocabulary; keep one")
        object.__setattr__(self, "_ids", ids)

    @staticmethod
    def fit(
        encounters: Iterable[Encounter],
        *,
        least_notes: int = 3,
        most_words: int | None = None,
        lower: bool = True,
        drop_numbers: bool = True,
    ) -> WordTokenizer:
        """Count words and keep those of several encounters, the most frequent first.

        Args:
            encounters: the training encounters.
            least_notes: encounters that must hold a word.
            most_words: the most words to keep, padding and the unknown word not counted; ``None``: all.
            lower, drop_numbers: as above.

        Raises:
            CorpusError: no word is left.
        """
        counts: Counter[str] = Counter()
        for encounter in encounters:
            counts.update({w for note in encounter.notes for w, _, _ in _words(note.text, lower, drop_numbers)})
        kept = [(word, count) for word, count in counts.items() if count >= least_notes]
        if not kept:
            raise CorpusError(
                f"no word stands in {least_notes} or more of the training encounters; lower least_notes or give more"
            )
        ordered = sorted(kept, key=lambda item: (-item[1], item[0]))[:most_words]
        return WordTokenizer((PAD, UNKNOWN, *(word for word, _ in ordered)), lower, drop_numbers)

    @property
    def vocabulary_size(self) -> int:
        return len(self.words)

    @property
    def pad_id(self) -> int:
        return 0

    @property
    def unknown_id(self) -> int:
        """The id of every word that the vocabulary lacks."""
        return 1

    def encode(self, encounter: Encounter, max_tokens: int | None = None) -> TokenizedEncounter:
        return join_notes(encounter, [self._read(note.text) for note in encounter.notes], max_tokens)

    def encode_many(
        self, encounters: Iterable[Encounter], max_tokens: int | None = None
    ) -> Iterator[TokenizedEncounter]:
        return (self.encode(encounter, max_tokens) for encounter in encounters)

    def _read(self, text: str) -> tuple[Ints, Ints, Ints]:
        found, ids = list(_words(text, self.lower, self.drop_numbers)), self._ids
        rows = [(ids.get(word, 1), start, end) for word, start, end in found]
        columns = np.array(rows, dtype=np.int32).reshape(-1, 3).T
        return columns[0], columns[1], columns[2]

    def state(self) -> dict[str, object]:
        return {
            "kind": "words",
            "lower": self.lower,
            "drop_numbers": self.drop_numbers,
            "words": list(self.words),
        }

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> WordTokenizer:
        """Make it of what ``state`` gave."""
        words: Sequence[object] = state["words"]
        return WordTokenizer(tuple(str(word) for word in words), bool(state["lower"]), bool(state["drop_numbers"]))


def _words(text: str, lower: bool, drop_numbers: bool) -> Iterator[tuple[str, int, int]]:
    """Words with their characters in ``text``; lowered one by one, since lower case may be longer."""
    for match in _WORD.finditer(text):
        word = match[0]
        if drop_numbers and word.isnumeric():
            continue
        start, end = match.span()
        yield word.lower() if lower else word, start, end
