"""The trie of answers against plain enumeration."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.errors import ConfigError
from nosology.llm.trie import CodeTrie, allowed_tokens_function

END = 99
ITEMS = [(1, 2), (1, 2, 3), (4,), (1, 5)]


def written(trie: CodeTrie, state=None) -> list[tuple[int, ...]]:
    """Every answer, by trying every token that is allowed."""
    state = trie.start if state is None else state
    if state.done:
        return [()]
    found = list[tuple[int, ...]]()
    for token in trie.allowed(state):
        found += [(token, *rest) for rest in written(trie, trie.advance(state, token))]
    return found


def spelt(places: tuple[int, ...], items, separator) -> tuple[int, ...]:
    tokens = list[int]()
    for place in places:
        tokens += [*(separator if tokens else ()), *items[place]]
    return (*tokens, END)


@pytest.mark.parametrize("separator", [(7,), (7, 8), (7, 1, 8)])
@pytest.mark.parametrize("in_order", [True, False])
def test_exactly_the_valid_answers_can_be_written(separator: tuple[int, ...], in_order: bool) -> None:
    choose = combinations if in_order else permutations
    places = range(len(ITEMS))
    wanted = [spelt(chosen, ITEMS, separator) for size in range(5) for chosen in choose(places, size)]
    found = written(CodeTrie(ITEMS, separator, END, in_order=in_order))
    assert sorted(found) == sorted(wanted)
    assert len(set(found)) == len(found)


@settings(max_examples=30, deadline=None)
@given(st.sets(st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3), st.booleans())
def test_any_small_code_set(items: set[tuple[int, ...]], in_order: bool) -> None:
    listed = sorted(items)
    choose = combinations if in_order else permutations
    sizes = range(len(listed) + 1)
    wanted = [spelt(chosen, listed, (7,)) for size in sizes for chosen in choose(range(len(listed)), size)]
    assert sorted(written(CodeTrie(listed, (7,), END, in_order=in_order))) == sorted(wanted)


def test_states_know_their_codes() -> None:
    trie = CodeTrie(ITEMS, (7, 8), END, in_order=False)
    state = trie.start
    for token in (4, 7, 8, 1, 2, END):
        assert token in trie.allowed(state)
        state = trie.advance(state, token)
    assert state.done
    assert state.codes == (2, 0)


def test_as_a_function_of_transformers() -> None:
    trie = CodeTrie(ITEMS, (7,), END, in_order=True)
    allowed = allowed_tokens_function(trie, 2)
    assert sorted(allowed(0, [0, 0])) == [1, 4, END]
    assert sorted(allowed(0, [0, 0, 1, 2])) == [3, 7, END]
    assert allowed(0, [0, 0, 4, 7, 1]) == [5]  # places 0 and 1 have passed
    assert allowed(0, [0, 0, 4, 7, 6]) == [END]  # not an answer
    assert allowed(0, [0, 0, 4, END]) == [END]  # done


@pytest.mark.parametrize(
    ("items", "separator", "message"),
    [
        ([(1, 2), (1, 2)], (7,), "two codes of the label list the same tokens"),
        ([(1,), ()], (7,), "two codes of the label list the same tokens"),
        ([(1,), (1, 7)], (7,), "cannot tell where a code ends"),
        ([(1,), (END,)], (7,), "cannot tell where a code ends"),
        ([(1,)], (END,), "cannot tell where a code ends"),
    ],
)
def test_codes_that_cannot_be_told_apart(items, separator, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CodeTrie(items, separator, END, in_order=True)
