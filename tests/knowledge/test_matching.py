"""Exact matching: agreement with a slow oracle, word and sentence bounds, selection, state."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from ahocorasick_rs import AhoCorasick, MatchKind
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.knowledge.matching import ExactMatcher, MatchArrays, select_longest
from nosology.knowledge.stream import build_stream
from nosology.types import Encounter, Note

WORDS = st.sampled_from(["a", "b", "ab", "ba", "é", "肺"])
TEXTS = st.lists(WORDS, max_size=25)
PATTERNS = st.lists(st.lists(WORDS, min_size=1, max_size=4).map(" ".join), max_size=12, unique=True)


def triples(matches: MatchArrays) -> list[tuple[int, int, int]]:
    return list(matches)


def oracle(patterns: list[str], words: list[str]) -> list[tuple[int, int, int]]:
    found = [
        (index, first, first + len(pattern.split()) - 1)
        for first in range(len(words))
        for index, pattern in enumerate(patterns)
        if words[first : first + len(pattern.split())] == pattern.split()
    ]
    return sorted(found, key=lambda match: match[1:])


def restored(matcher: ExactMatcher) -> ExactMatcher:
    return ExactMatcher.from_state(*matcher.state())


@given(PATTERNS, TEXTS)
@settings(max_examples=150, deadline=None)
def test_every_match_and_no_other_is_found_by_the_automaton_and_by_hashes(patterns: list[str], words: list[str]):
    built = ExactMatcher(patterns)
    looking_up = restored(built)
    looking_up._words_left = 10**9  # never build
    expected = oracle(patterns, words)
    assert triples(built.find_words(words)) == expected
    assert triples(looking_up.find_words(words)) == expected
    assert "_automaton" not in vars(looking_up)


@given(PATTERNS, TEXTS)
@settings(max_examples=60, deadline=None)
def test_the_words_of_a_match_are_its_pattern(patterns: list[str], words: list[str]):
    for index, first, last in ExactMatcher(patterns).find_words(words):
        assert " ".join(words[first : last + 1]) == patterns[index]


@given(PATTERNS, TEXTS)
@settings(max_examples=100, deadline=None)
def test_selected_matches_are_leftmost_longest_and_never_overlap(patterns: list[str], words: list[str]):
    every = triples(ExactMatcher(patterns).find_words(words))
    chosen = triples(select_longest(ExactMatcher(patterns).find_words(words)))
    assert set(chosen) <= set(every)
    assert all(one[2] < other[1] for one, other in pairwise(chosen))
    for _, first, last in every:  # whatever was left out overlaps something at least as good
        assert any(
            (kept_first < first <= kept_last) or (kept_first == first and kept_last >= last)
            for _, kept_first, kept_last in chosen
        )


def test_equal_hashes_are_told_apart_by_their_words():
    # crc32 of these two words is the same.
    assert [triple[0] for triple in restored(ExactMatcher(["codding", "x"])).find_words(["gnu", "codding"])] == [0]
    assert not len(restored(ExactMatcher(["plumless"])).find_words(["buckeroo"]))


def test_a_saved_matcher_builds_its_automaton_once_enough_text_has_come():
    matcher = restored(ExactMatcher([f"word{number}" for number in range(100)]))
    answers = [triples(matcher.find_words(["word7", "other"] * 10)) for _ in range(4)]
    assert "_automaton" in vars(matcher)
    assert all(answer == answers[0] for answer in answers)


def test_filtering_leftmost_longest_afterwards_would_lose_matches():
    """Why matching is padded and overlapping, and selection comes last."""
    text = "acute kidney injury chronic"
    substrings = AhoCorasick(["kidney injury chron", "kidney injury"], matchkind=MatchKind.LeftmostLongest)
    bounded = [
        match for match in substrings.find_matches_as_indexes(text) if text[match[2] : match[2] + 1] in ("", " ")
    ]
    assert bounded == []  # the longest ends inside a word, and hides the one that does not
    padded = AhoCorasick([" acute ", " kidney "], matchkind=MatchKind.LeftmostLongest)
    assert len(padded.find_matches_as_indexes(f" {text} ")) == 1  # the second needs the space of the first
    matcher = ExactMatcher(["kidney injury chron", "kidney injury", "acute", "kidney"])
    assert triples(select_longest(matcher.find_words(text.split()))) == [(2, 0, 0), (1, 1, 2)]


def encounter(*texts: str) -> Encounter:
    return Encounter("e", tuple(Note(f"n{number}", text) for number, text in enumerate(texts)))


def test_a_match_never_crosses_a_sentence_or_a_note():
    matcher = ExactMatcher(["renal failure", "chest pain"])
    assert len(matcher.find(build_stream(encounter("He has renal failure. No chest pain today.")))) == 2
    assert not len(matcher.find(build_stream(encounter("The scan was renal. Failure to thrive was noted."))))
    assert not len(matcher.find(build_stream(encounter("He felt his chest", "pain was denied"))))


def test_a_match_leads_back_to_the_original_text():
    text = "Sufre de NEUMONÍA-bilateral ﬁbrosa y fiebre."
    stream = build_stream(encounter(text))
    ((_, first, last),) = ExactMatcher(["neumonia bilateral fibrosa"]).find(stream)
    (span,) = stream.evidence(first, last).parts
    assert text[span.start : span.end] == "NEUMONÍA-bilateral ﬁbrosa"


@pytest.mark.parametrize("pattern", ["", " ", "two  spaces", " before", "after ", "tab\tbed"])
def test_patterns_that_could_never_match_are_refused(pattern: str):
    with pytest.raises(ValueError, match="pattern 1 is empty or not words joined by single spaces"):
        ExactMatcher(["fine", pattern])


def test_a_pattern_given_twice_is_refused():
    with pytest.raises(ValueError, match="a pattern is there twice"):
        ExactMatcher(["fever", "cough", "fever"])


def test_no_patterns_or_no_words_give_no_matches():
    assert not len(ExactMatcher([]).find_words(["fever"]))
    assert not len(ExactMatcher(["fever"]).find(build_stream(encounter(""))))
    assert not len(restored(ExactMatcher([])).find_words(["fever"]))
    assert not len(select_longest(ExactMatcher([]).find_words(["fever"])))


def test_a_state_that_does_not_fit_together_is_refused():
    arrays, strings = ExactMatcher(["fever", "cough"]).state()
    with pytest.raises(ValueError, match="differ in length"):
        ExactMatcher.from_state(arrays | {"hashes": np.zeros(1, dtype=np.uint64)}, strings)
    with pytest.raises(ValueError, match="do not fit their bytes"):
        ExactMatcher.from_state(arrays | {"pattern_bytes": np.zeros(3, dtype=np.uint8)}, strings)
