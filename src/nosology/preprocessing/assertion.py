"""Is a mention there, denied, doubtful, past, a relative's or only imagined? Cues and their scopes, from data files.

A cue ("denies", "se descartó") opens a scope over the words after it, before it, or both. The scope ends with the
sentence, at a semicolon, at a terminator ("but", "pero"), at the cue's own limit of words, when a parenthesis it was
opened in closes, and at a comma unless the words after it still belong to the cue's list. Pseudo-cues ("no increase",
"sin embargo") are longer phrases that hide the cues inside them.

Choices: "unlikely" and "improbable" negate; "rule out PE", said of a plan, is possible; "compatible con" and
"consistent with" report a finding and change nothing; the words under a family history header are a relative's.

Reference: Harkema et al., ConText (2009), doi:10.1016/j.jbi.2009.05.002.
Differs from it: commas are looked at, one mention gets one status by precedence, cues may chain ("no history of").
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from re import compile as compile_pattern
from typing import Any

import numpy as np
from ahocorasick_rs import AhoCorasick, MatchKind
from numpy.typing import NDArray

from nosology.errors import ConfigError
from nosology.preprocessing.documents import Document
from nosology.preprocessing.languages import expand_alternatives, read_data_file, words_of
from nosology.types import Assertion

PRECEDENCE = (
    Assertion.PRESENT,
    Assertion.HISTORICAL,
    Assertion.POSSIBLE,
    Assertion.HYPOTHETICAL,
    Assertion.FAMILY,
    Assertion.NEGATED,
)
"""Assertions by rising precedence; ``AssertionEngine.classify_arrays`` returns positions in this tuple."""

_RANK = {assertion: rank for rank, assertion in enumerate(PRECEDENCE)}
_EVERY_CATEGORY = frozenset(PRECEDENCE)
_PUNCTUATION = compile_pattern(r"[,;()]")
_DEFAULT_WORDS = 40


@dataclass(frozen=True, slots=True)
class Cue:
    """What a phrase does to the words around it; pseudo-cues do nothing.

    Args:
        category: what it says of the mentions in its scope; ``None`` for terminators and pseudo-cues.
        forward: its scope lies after it.
        backward: its scope lies before it.
        max_words: the longest scope.
        commas: "pass" goes on after a comma; "stop" ends there; "list" goes on as far as a conjunction shows a list.
        ends: categories whose scopes end at this phrase.
        after_comma: it counts only right after a comma.
    """

    category: Assertion | None = None
    forward: bool = False
    backward: bool = False
    max_words: int = _DEFAULT_WORDS
    commas: str = "pass"
    ends: frozenset[Assertion] = frozenset()
    after_comma: bool = False


@dataclass(frozen=True, slots=True)
class CueMatch:
    """A cue in a document: words ``start`` to ``end`` of ``Document.words``, half-open."""

    cue: Cue
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scope:
    """Words ``start`` to ``end`` of a document that a cue speaks of."""

    category: Assertion
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Breaks:
    """Where scopes may end: sorted indices of the word after each break."""

    segments: list[int]  # sentences and semicolons
    commas: list[int]
    depths: list[int]  # of each word: how many parentheses are open


class AssertionEngine:
    """Finds the assertion of mentions in documents of one language.

    Args:
        cues: phrases as space-joined normalised words, and what each does.
        conjunctions: words that show, after a comma, that a forward list is still going on ("or", "ni").
        list_ends: words that close a list read backwards ("and", "y").
    """

    def __init__(self, cues: dict[str, list[Cue]], conjunctions: frozenset[str], list_ends: frozenset[str]):
        phrases = list(cues)
        self._by_phrase = list(cues.values())
        # A terminator alone takes no words away from the cues: "he has" must not hide "has no".
        self._takes_words = [any(not cue.ends for cue in meanings) for meanings in cues.values()]
        self._lengths = [phrase.count(" ") + 1 for phrase in phrases]
        self._automaton = AhoCorasick([f" {phrase} " for phrase in phrases], matchkind=MatchKind.Standard)
        self._conjunctions = conjunctions
        self._list_ends = list_ends

    @staticmethod
    def for_language(language: str) -> AssertionEngine:
        """The engine of a language, built once.

        Raises:
            ConfigError: no cues for that language.
        """
        return _engine(language)

    def classify(self, document: Document, spans: Sequence[tuple[int, int]]) -> list[Assertion]:
        """The assertion of each span.

        Args:
            document: a document in this engine's language.
            spans: half-open, in original offsets; any order.
        """
        if not spans:
            return []
        bounds = np.array(spans, dtype=np.int64)
        return [PRECEDENCE[rank] for rank in self.classify_arrays(document, bounds[:, 0], bounds[:, 1])]

    def classify_arrays(
        self, document: Document, starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.int8]:
        """``classify`` without objects: positions in ``PRECEDENCE`` for spans in original offsets."""
        starts, ends = document.normalised.to_normalised_arrays(starts, ends)
        first = np.searchsorted(document.token_ends, starts, side="right")
        last = np.searchsorted(document.token_starts, ends, side="left")
        return self.classify_words(document, first, np.maximum(last, first + 1))

    def classify_words(self, document: Document, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int8]:
        """The fastest path: mentions as half-open ranges of ``Document.words``."""
        return ranks_within(self.reach(document), first, last)

    def reach(self, document: Document) -> NDArray[np.int64]:
        """Where the furthest scope of each assertion ends that has begun at or before a word: ``[rank, word + 1]``."""
        # One more than there are words: a mention without words may come after the last one.
        reach = np.zeros((len(PRECEDENCE), len(document.words) + 1), dtype=np.int64)
        for scope in self.scopes(document):
            own = reach[_RANK[scope.category]]
            own[scope.start] = max(own[scope.start], scope.end)
        return np.maximum.accumulate(reach, axis=1)

    def scopes(self, document: Document) -> list[Scope]:
        """Every scope in a document, sections included; mentions lie in a scope with all their words."""
        matches = self._find_cues(document)
        scopes = list(_section_scopes(document))
        if matches:
            breaks = _find_breaks(document)
            matches = [match for match in matches if not match.cue.after_comma or _has(breaks.commas, match.start)]
            for index in range(len(matches)):
                scopes.extend(self._scopes_of(document, matches, index, breaks))
        return scopes

    def _find_cues(self, document: Document) -> list[CueMatch]:
        """Cues from left to right, the longest where several start at one word; none overlap."""
        words = document.words
        if not words:
            return []
        positions = list(accumulate([len(word) + 1 for word in words], initial=0))
        found: list[tuple[int, int, int]] = []
        for pattern, position, _ in self._automaton.find_matches_as_indexes(f" {' '.join(words)} ", overlapping=True):
            found.append((bisect_left(positions, position), -self._lengths[pattern], pattern))
        found.sort()
        return list(self._select(found))

    def _select(self, found: list[tuple[int, int, int]]) -> Iterator[CueMatch]:
        """Cues that overlap no earlier cue, and terminators that do not start inside one ("no presenta")."""
        chosen, free = -1, 0
        for start, length, pattern in found:
            takes = start >= free and self._takes_words[pattern]
            if takes:
                chosen, free = start, start - length
            for cue in self._by_phrase[pattern]:
                if takes or (cue.ends and (start >= free or start == chosen)):
                    yield CueMatch(cue, start, start - length)

    def _scopes_of(self, document: Document, matches: list[CueMatch], index: int, breaks: _Breaks) -> Iterator[Scope]:
        match = matches[index]
        category = match.cue.category
        if category is None:
            return
        if match.cue.forward:
            end = self._forward_end(document, matches, index, breaks)
            if end > match.end:
                yield Scope(category, match.end, end)
        if match.cue.backward:
            start = self._backward_start(document, matches, index, breaks)
            if start < match.start:
                yield Scope(category, start, match.start)

    def _forward_end(self, document: Document, matches: list[CueMatch], index: int, breaks: _Breaks) -> int:
        match, cue = matches[index], matches[index].cue
        end = min(match.end + cue.max_words, len(document.words), _next(breaks.segments, match.end - 1))
        end = _closing(breaks.depths, match.start, end)
        for place in range(index + 1, len(matches)):
            later = matches[place]
            if later.start >= end:
                break
            if later.start >= match.end and _ends_scope(later, match, breaks):
                end = later.start
        if cue.commas != "pass":
            end = self._list_end(document.words, match, end, breaks)
        return end

    def _list_end(self, words: list[str], match: CueMatch, end: int, breaks: _Breaks) -> int:
        """Where a forward scope ends that passes commas only inside a list."""
        listed = match.end
        if match.cue.commas == "list":
            conjunctions = (i for i in range(end - 1, match.end - 1, -1) if words[i] in self._conjunctions)
            listed = next(conjunctions, match.end)
        return min(end, _next(breaks.commas, listed))

    def _backward_start(self, document: Document, matches: list[CueMatch], index: int, breaks: _Breaks) -> int:
        match, cue = matches[index], matches[index].cue
        start = max(match.start - cue.max_words, _previous(breaks.segments, match.start), 0)
        for place in range(index - 1, -1, -1):
            earlier = matches[place]
            if earlier.end <= start:
                break
            if earlier.end <= match.start and _ends_scope(earlier, match, breaks):
                start = earlier.end
        comma = _previous(breaks.commas, match.start)
        last_item = document.words[max(comma, start) : match.start]
        in_list = cue.commas == "list" and any(word in self._list_ends for word in last_item)
        if cue.commas == "pass" or in_list:
            return start
        return max(start, comma)


def ranks_within(reach: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int8]:
    """Positions in ``PRECEDENCE`` of mentions, half-open ranges of words, given how far scopes reach.

    A mention has an assertion if one of its scopes has begun by the first word and goes on to the end of the last one.
    """
    ranks = np.zeros(len(first), dtype=np.int8)
    for rank in range(1, len(PRECEDENCE)):
        ranks[reach[rank].take(first) >= last] = rank
    return ranks


def _ends_scope(other: CueMatch, match: CueMatch, breaks: _Breaks) -> bool:
    """Does another cue end this one's scope: a terminator, or a new subject after a comma?"""
    if match.cue.category in other.cue.ends:
        # A verb right after its cue belongs to it: "if she has", "tampoco presenta".
        return other.start != match.end or other.cue.ends == _EVERY_CATEGORY
    if other.cue.category is None or other.cue.category is match.cue.category or other.start < match.end:
        return False
    return other.cue.forward and _has(breaks.commas, other.start)


def _has(indices: list[int], value: int) -> bool:
    place = bisect_left(indices, value)
    return place < len(indices) and indices[place] == value


def _next(indices: list[int], value: int) -> int:
    """The first break after ``value``, or beyond every word."""
    place = bisect_right(indices, value)
    return indices[place] if place < len(indices) else 1 << 60


def _previous(indices: list[int], value: int) -> int:
    """The last break at or before ``value``, 0 if there is none."""
    place = bisect_right(indices, value)
    return indices[place - 1] if place else 0


def _closing(depths: list[int], start: int, end: int) -> int:
    """The first word before ``end`` that lies outside the parenthesis of the word ``start``, or ``end``."""
    depth = depths[start]
    return next((index for index in range(start + 1, end) if depths[index] < depth), end)


def _find_breaks(document: Document) -> _Breaks:
    token_starts = document.token_starts
    found = [(match[0], match.start()) for match in _PUNCTUATION.finditer(document.normalised.text)]
    places = np.searchsorted(token_starts, [position for _, position in found]).tolist()
    words: dict[str, list[int]] = {",": [], ";": [], "(": [], ")": []}
    for (mark, _), place in zip(found, places, strict=True):
        words[mark].append(place)
    starts = np.array([sentence.start for sentence in document.sentences], dtype=np.int64)
    sentences = np.searchsorted(token_starts, document.normalised.to_normalised_arrays(starts, starts)[0])
    segments = sorted({*words[";"], *sentences.tolist()})
    count = len(document.words) + 1
    steps = [0] * count
    for mark, step in (("(", 1), (")", -1)):
        for place in words[mark]:
            steps[place] += step
    return _Breaks(segments, words[","], list(accumulate(steps)))


def _section_scopes(document: Document) -> Iterator[Scope]:
    """What stands under a family history header is a relative's."""
    for section in document.sections:
        if section.name == "family_history":
            start, end = document.normalised.to_normalised(section.body_start, section.end)
            first, last = np.searchsorted(document.token_starts, (start, end))
            yield Scope(Assertion.FAMILY, int(first), int(last))


@cache
def _engine(language: str) -> AssertionEngine:
    data = read_data_file("assertion", language)
    cues: dict[str, list[Cue]] = {}
    for row in data["cue"]:
        _add(cues, row["phrases"], _cue(row, language))
    for row in data["terminator"]:
        ends = frozenset(Assertion(name) for name in row["ends"]) if "ends" in row else _EVERY_CATEGORY
        _add(cues, row["phrases"], Cue(ends=ends, after_comma=bool(row.get("after_comma", False))))
    for row in data["pseudo"]:
        _add(cues, row["phrases"], Cue())
    lists = data["lists"]
    return AssertionEngine(cues, frozenset(lists["forward"]), frozenset(lists["backward"]))


def _cue(row: dict[str, Any], language: str) -> Cue:
    direction, commas = str(row["direction"]), str(row.get("commas", "list"))
    if direction not in ("forward", "backward", "both") or commas not in ("pass", "stop", "list"):
        raise ConfigError(f"assertion cues ({language}): direction {direction!r} or commas {commas!r} is not known")
    return Cue(
        Assertion(row["category"]),
        forward=direction != "backward",
        backward=direction != "forward",
        max_words=int(row.get("max_words", _DEFAULT_WORDS)),
        commas=commas,
    )


def _add(cues: dict[str, list[Cue]], phrases: list[str], cue: Cue) -> None:
    """Adds a row's phrases; one phrase may do several things, but not the same thing with two limits."""
    for phrase in phrases:
        for wording in expand_alternatives(phrase):
            words = " ".join(words_of(wording))
            others = cues.setdefault(words, [])
            if any(_conflict(cue, other) for other in others):
                raise ConfigError(f"assertion cues: {words!r} is listed twice, with different limits")
            if cue not in others:
                others.append(cue)


def _conflict(cue: Cue, other: Cue) -> bool:
    if cue == other or cue.category is None or other.category is None:
        return False
    return (cue.forward and other.forward) or (cue.backward and other.backward)
