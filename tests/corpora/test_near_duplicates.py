"""Near duplicates against the plain definition: sets of shingles, every pair."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.corpora.near_duplicates import NearDuplicates, find_near_duplicates
from nosology.errors import ConfigError

pytest.importorskip("polars")


def in_batches(texts: Sequence[str], size: int = 7) -> Callable[[], Iterator[Sequence[str]]]:
    return lambda: (texts[start : start + size] for start in range(0, len(texts), size))


def shingles(text: str, width: int = 5) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return frozenset(tuple(words[i : i + width]) for i in range(len(words) - width + 1))


def slow_pairs(texts: Sequence[str], threshold: float) -> dict[tuple[int, int], float]:
    sets = [shingles(text) for text in texts]
    alike = {
        (i, j): len(sets[i] & sets[j]) / len(sets[i] | sets[j])
        for j in range(len(texts))
        for i in range(j)
        if sets[i] and sets[j]
    }
    return {pair: value for pair, value in alike.items() if value >= threshold}


def found_pairs(found: NearDuplicates) -> dict[tuple[int, int], float]:
    return {(pair.first, pair.second): pair.jaccard for pair in found.pairs}


def made_up(count: int, seed: int, words: int = 300) -> list[str]:
    rng = random.Random(seed)
    vocabulary = [f"word{i}" for i in range(800)]
    return [" ".join(rng.choices(vocabulary, k=rng.randint(words // 2, words))) for _ in range(count)]


def copied_forward(text: str, changes: int, seed: int) -> str:
    rng, words = random.Random(seed), text.split()
    for _ in range(changes):
        words[rng.randrange(len(words))] = f"new{rng.random()}"
    return " ".join(words)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_every_pair_that_the_definition_gives_is_found(threshold: float) -> None:
    originals = made_up(120, seed=1)
    copies = [copied_forward(text, changes=number % 12, seed=number) for number, text in enumerate(originals[:80])]
    texts = originals + [copy for number, copy in enumerate(copies) if number % 12]
    assert found_pairs(find_near_duplicates(in_batches(texts), threshold=threshold)) == pytest.approx(
        slow_pairs(texts, threshold)
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=14).map(" ".join), max_size=10), st.integers(1, 4))
def test_nothing_is_found_that_the_definition_does_not_give(texts: list[str], size: int) -> None:
    expected = slow_pairs(texts, 0.6)
    for pair, alike in found_pairs(find_near_duplicates(in_batches(texts, size), threshold=0.6)).items():
        assert alike == pytest.approx(expected[pair])


def test_identical_notes_are_paired_with_the_first_and_case_does_not_matter() -> None:
    text = made_up(1, seed=2)[0]
    found = find_near_duplicates(in_batches([text, "short note", text.upper(), text.replace(" ", " - ")]))
    assert [(p.first, p.second, p.jaccard) for p in found.pairs] == [(0, 2, 1.0), (0, 3, 1.0)]
    assert (found.notes, found.too_short) == (4, 1)


def test_many_alike_notes_do_not_take_quadratic_time_and_are_told() -> None:
    base = made_up(1, seed=3, words=200)[0]
    texts = [copied_forward(base, 1, seed) for seed in range(700)]
    started = time.process_time()
    found = find_near_duplicates(in_batches(texts, 100), threshold=0.7)
    assert time.process_time() - started < 20
    assert found.large_buckets > 0
    assert {one for pair in found.pairs for one in (pair.first, pair.second)} == set(range(700))


def test_no_notes_and_one_note() -> None:
    assert find_near_duplicates(in_batches([])) == NearDuplicates(0, 0, (), 0)
    assert find_near_duplicates(in_batches(["a single note of some six words"])).pairs == ()
    assert find_near_duplicates(in_batches(["", "   "])) == NearDuplicates(2, 2, (), 0)


@pytest.mark.parametrize(("threshold", "words"), [(0.1, 5), (1.1, 5), (0.8, 0)])
def test_options_are_checked(threshold: float, words: int) -> None:
    with pytest.raises(ConfigError, match=r"near duplicates need a threshold in \[0.3, 1\]"):
        find_near_duplicates(in_batches(["a"]), threshold=threshold, shingle_words=words)
