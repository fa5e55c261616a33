"""Order-free n-grams as numbers: against sets of concepts read with loops."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.knowledge.grams import LONGEST, GramReader
from nosology.knowledge.stream import TokenStream, build_stream
from nosology.types import Encounter, Note

_WORDS = ("alpha", "beto", "gammu", "nefritis", "of", "delt", "epsilo")


def _stream(*texts: str) -> TokenStream:
    return build_stream(Encounter("e", tuple(Note(f"n{i}", text) for i, text in enumerate(texts))))


def _reader(stream: TokenStream) -> GramReader:
    return GramReader(sorted(stream.positions))


def _slow(stream: TokenStream, vocabulary: set[str]) -> list[tuple[frozenset[str], int, int]]:
    """Every n-gram with its first and last word: runs of 1 to 4 concepts, and pairs 2 or 3 concepts apart."""
    row = [(concept, word) for word, concepts in enumerate(stream.concepts) for concept in concepts]
    shapes = [range(size) for size in range(1, LONGEST + 1)] + [(0, 2), (0, 3)]
    found = []
    for shape in shapes:
        for start in range(len(row)):
            places = [start + step for step in shape]
            if places[-1] >= len(row):
                continue
            concepts = [row[place][0] for place in places]
            first, last = row[places[0]][1], row[places[-1]][1]
            inside = stream.sentences[first] == stream.sentences[last]
            if inside and len(set(concepts)) == len(concepts) and vocabulary.issuperset(concepts):
                found.append((frozenset(concepts), first, last))
    return found


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from([*_WORDS, "Xyz."]), max_size=25), st.sampled_from([None, "alpha"]))
def test_reads_what_loops_read(words: list[str], unknown: str | None) -> None:
    stream = _stream(" ".join(words))
    vocabulary = set(stream.positions) - {concept for concept in stream.positions if unknown and concept in unknown}
    reader = GramReader(sorted(vocabulary))
    grams = reader.read(stream)
    expected = _slow(stream, vocabulary)
    assert sorted(zip(grams.keys.tolist(), grams.first.tolist(), grams.last.tolist(), strict=True)) == sorted(
        (reader.key(tuple(concepts)), first, last) for concepts, first, last in expected
    )
    assert sorted(grams.sizes.tolist()) == sorted(len(concepts) for concepts, _, _ in expected)


def test_the_order_of_words_means_nothing() -> None:
    reader = GramReader(["a", "b", "c", "d"])
    keys = {reader.key(order) for order in permutations("abcd")}
    assert len(keys) == 1
    assert reader.key(("b", "a", "a")) == reader.key(("a", "b"))


def test_no_n_gram_with_an_unknown_concept() -> None:
    reader = GramReader(["a", "b"])
    assert reader.key(("a", "z")) is None
    assert reader.key(()) is None


def test_different_sets_have_different_numbers() -> None:
    """All sets of 1 to 3 of 120 concepts, and some of 4: 350,000 numbers, none twice."""
    names = [f"c{number:03}" for number in range(120)]
    reader = GramReader(names)
    keys = [reader.key(chosen) for size in (1, 2, 3) for chosen in combinations(names, size)]
    keys += [reader.key(chosen) for chosen in combinations(names[:40], 4)]
    assert len(set(keys)) == len(keys)


def test_no_n_gram_leaves_its_sentence_or_note() -> None:
    stream = _stream("Alpha beto. Gammu delt.", "Epsilo alpha.")
    reader = _reader(stream)
    grams = reader.read(stream)
    assert (stream.sentences[grams.first] == stream.sentences[grams.last]).all()
    assert (stream.notes[grams.first] == stream.notes[grams.last]).all()
    assert len(grams.keys) == 6 + 3
    assert reader.key(("bet", "gam")) not in grams.keys.tolist()


@pytest.mark.parametrize("text", ["", "alpha", "alpha beto", "of of of", "alpha alpha alpha alpha alpha"])
def test_short_texts(text: str) -> None:
    stream = _stream(text)
    grams = _reader(stream).read(stream)
    assert len(grams.keys) == len(grams.first) == len(grams.last) == len(grams.sizes)
    assert len(np.unique(grams.keys)) == {"": 0, "alpha beto": 3, "of of of": 0}.get(text, 1)
