"""Normalised text for matching, with an exact way back to the original characters.

Nearly every character folds to exactly one character (lower case, no accent, plain hyphen, quote and space), so the
offsets of the normalised text are those of the original and no map is kept. Where a character vanishes (combining
mark, soft hyphen, zero-width character) or grows (ß, ligatures), the result carries a map.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nosology.types import Span

_SENTINEL = "\uffff"  # a noncharacter: marks what does not fold one to one; in a text it folds to a space
_LATIN1_SENTINEL = 0  # NUL folds to a space, so that byte is free to mark ß, æ and the soft hyphen
_QUOTES = dict.fromkeys("‘’‚‛′‵´`ʼʹˈ", "'") | dict.fromkeys("“”„‟«»″‶〝〞", '"')
_DASHES = dict.fromkeys("−⁃˗", "-")
_LETTERS = {"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
# Not "º" -> "o": "nº" (number) would read as the word "no".
_SIGNS = {"º": "°", "ª": "a", "⁄": "/", "∕": "/", "…": ".", "・": "·", "∙": "·"}
_SPECIAL = _QUOTES | _DASHES | _LETTERS | _SIGNS
_SPACE_CATEGORIES = frozenset({"Cc", "Cs", "Zs", "Zl", "Zp"})
# What de-identification leaves behind, e.g. [**Hospital1 18**]; bounded, so that unclosed marks cost linear time.
_DEIDENTIFIED = re.compile(r"\[\*\*.{0,200}?\*\*\]", re.DOTALL)


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _fold_once(character: str) -> str:
    """One character folded; its parts may need folding again."""
    special = _SPECIAL.get(character)
    if special is not None:
        return special
    category = unicodedata.category(character)
    if category in _SPACE_CATEGORIES or character == _SENTINEL:
        return " "
    if category == "Cf" or unicodedata.combining(character):
        return ""
    if category == "Pd":
        return "-"
    plain = "".join(c for c in unicodedata.normalize("NFKD", character.casefold()) if not unicodedata.combining(c))
    plain = unicodedata.normalize("NFC", plain)
    if len(plain) == 1 or plain.isalpha():
        return plain
    lowered = character.lower()
    return lowered if len(lowered) == 1 else character


def fold_character(character: str) -> str:
    """What one character becomes: usually one character, none for marks, several for ligatures."""
    folded = _fold_once(character)
    for _ in range(8):  # until stable; Unicode needs two rounds at most
        again = "".join(_fold_once(c) for c in folded)
        if again == folded:
            break
        folded = again
    return folded


class _FoldTable(dict[int, str]):
    """A ``str.translate`` table that works out each character when it first meets it."""

    def __missing__(self, code_point: int) -> str:
        folded = fold_character(chr(code_point))
        self[code_point] = folded
        return folded


class _OneToOneTable(dict[int, str]):
    """The same folds, with the sentinel for every character that does not become exactly one."""

    def __missing__(self, code_point: int) -> str:
        folded = _FOLD[code_point]
        self[code_point] = one = folded if len(folded) == 1 and chr(code_point) != _SENTINEL else _SENTINEL
        return one


class _WordTable(dict[int, str]):
    """Letters and digits stay, every other character becomes a space."""

    def __missing__(self, code_point: int) -> str:
        character = chr(code_point)
        self[code_point] = kept = character if character.isalnum() else " "
        return kept


_FOLD = _FoldTable()
_ONE_TO_ONE = _OneToOneTable()
_WORDS = _WordTable()


def _latin1_byte(code_point: int) -> int:
    folded = _FOLD[code_point]
    return ord(folded) if len(folded) == 1 and ord(folded) < 256 else _LATIN1_SENTINEL


_LATIN1 = bytes(_latin1_byte(code_point) for code_point in range(256))
_LATIN1_WORDS = bytes(code_point if chr(code_point).isalnum() else 32 for code_point in range(256))


@dataclass(frozen=True, slots=True, eq=False)
class NormalisedText:
    """Text ready for matching, and the way back.

    Args:
        text: the normalised text.
        original_length: characters in the original.
        offsets: ``None`` where both texts have the same positions; else one row per normalised character: the start
            and end of the original characters it stands for (combining marks belong to the letter before them).
    """

    text: str = field(repr=False)
    original_length: int
    offsets: NDArray[np.int64] | None = field(default=None, repr=False)

    def to_original(self, start: int, end: int) -> Span:
        """The original characters behind ``text[start:end]``, half-open."""
        if self.offsets is None:
            return Span(start, end)
        if start >= end:
            here = int(self.offsets[start, 0]) if start < len(self.offsets) else self.original_length
            return Span(here, here)
        return Span(int(self.offsets[start, 0]), int(self.offsets[end - 1, 1]))

    def to_original_arrays(
        self, starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``to_original`` for many non-empty spans at once."""
        if self.offsets is None:
            return starts, ends
        return self.offsets[starts, 0], self.offsets[ends - 1, 1]

    def to_normalised(self, start: int, end: int) -> Span:
        """The normalised characters that stand for any part of the original ``[start, end)``."""
        starts, ends = self.to_normalised_arrays(np.array([start]), np.array([end]))
        return Span(int(starts[0]), int(ends[0]))

    def to_normalised_arrays(
        self, starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``to_normalised`` for many spans at once."""
        if self.offsets is None:
            return starts, ends
        first = np.searchsorted(self.offsets[:, 1], starts, side="right")
        last = np.searchsorted(self.offsets[:, 0], ends, side="left")
        return first, np.maximum(first, last)


def normalise(text: str) -> NormalisedText:
    """Fold case, accents, hyphens, quotes, white space and control characters; blank de-identification marks.

    Idempotent. White space and control characters (NUL included) become one space each, line ends too.

    Args:
        text: any text.

    Returns:
        The normalised text; ``offsets`` is ``None`` unless some character vanished or became several.
    """
    folded = _fold_one_to_one(text)
    if folded is not None:
        return NormalisedText(_blank_deidentified(folded), len(text))
    return NormalisedText(_blank_deidentified(text.translate(_FOLD)), len(text), _offsets(text))


def blank_punctuation(text: str) -> str:
    """Every character that is neither a letter nor a digit made a space; as long as ``text``."""
    if text.isascii():
        return text.encode("ascii").translate(_LATIN1_WORDS).decode("ascii")
    return text.translate(_WORDS)


def _fold_one_to_one(text: str) -> str | None:
    """The folded text where every character becomes exactly one, else ``None``."""
    try:
        folded_bytes = text.encode("latin-1").translate(_LATIN1)
    except UnicodeEncodeError:
        folded = text.translate(_ONE_TO_ONE)
        return None if _SENTINEL in folded else folded
    if _LATIN1_SENTINEL in folded_bytes:
        folded = text.translate(_ONE_TO_ONE)  # "µ" folds to a letter outside Latin-1, which is still one to one
        return None if _SENTINEL in folded else folded
    return folded_bytes.decode("latin-1")


def _blank_deidentified(text: str) -> str:
    return _DEIDENTIFIED.sub(_blank, text) if "[**" in text else text


def _offsets(text: str) -> NDArray[np.int64]:
    """Start and end of the original characters behind each normalised character."""
    code_points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    widths = np.ones(len(code_points), dtype=np.int64)
    is_mark = np.zeros(len(code_points), dtype=np.bool_)
    beyond = np.flatnonzero(code_points > 127)  # ASCII folds one to one
    distinct, which = np.unique(code_points[beyond], return_inverse=True)
    widths[beyond] = np.array([len(_FOLD[int(c)]) for c in distinct], dtype=np.int64)[which]
    is_mark[beyond] = np.array([unicodedata.combining(chr(c)) > 0 for c in distinct], dtype=np.bool_)[which]
    indices = np.arange(len(code_points), dtype=np.int64)
    # The end of a letter lies after the combining marks that follow it.
    unmarked = np.where(is_mark, len(code_points), indices)
    following = np.append(np.minimum.accumulate(unmarked[::-1])[::-1][1:], len(code_points))
    return np.column_stack((np.repeat(indices, widths), np.repeat(following, widths)))
