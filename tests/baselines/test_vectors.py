"""TF-IDF vectors against scikit-learn's, and that nothing goes over a sentence's end."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from nosology.baselines.vectors import TfidfVectors, mentions_of
from nosology.knowledge.stream import TokenStream, build_stream
from nosology.ranking.source import TrainingSet
from nosology.types import Encounter, Note
from tiny_corpus import make_corpus, training_set


def grams(stream: TokenStream, longest: int) -> list[str]:
    """Every n-gram of words inside sentences, in words."""
    found = list[str]()
    for first in range(len(stream)):
        for last in range(first, min(first + longest, len(stream))):
            if stream.sentence_list[first] == stream.sentence_list[last]:
                found.append(" ".join(stream.words[first : last + 1]))
    return found


@pytest.mark.parametrize("longest", [1, 2, 3])
@pytest.mark.parametrize("least", [1, 2, 4])
def test_values_are_scikit_learns(longest: int, least: int) -> None:
    training = training_set(make_corpus(20).encounters)
    streams = [example.stream for example in training.examples]
    matrix = TfidfVectors.fit(training, longest, least)[1]
    other = TfidfVectorizer(analyzer=lambda stream: grams(stream, longest), sublinear_tf=True, min_df=least)
    expected = other.fit_transform(streams)
    assert matrix.shape == expected.shape
    same = [np.sort(matrix[row].data) - np.sort(expected[row].data) for row in range(len(streams))]
    assert max(float(np.abs(one).max()) for one in same) < 1e-12
    assert np.allclose((matrix @ matrix.T).toarray(), (expected @ expected.T).toarray())


def test_an_encounter_reads_as_it_was_fitted() -> None:
    training = training_set(make_corpus(12).encounters)
    vectors, matrix = TfidfVectors.fit(training, 2, 2)
    for row, example in enumerate(training.examples):
        vector = vectors.read(example.stream)
        np.testing.assert_array_equal(vector.columns, matrix[row].indices)
        np.testing.assert_allclose(vector.values, matrix[row].data)


def test_a_part_counts_only_its_own_encounters() -> None:
    training = training_set(make_corpus(12).encounters)
    TfidfVectors.fit(training, 2, 2)
    part = training.part([0, 3, 5, 7])
    shared, matrix = TfidfVectors.fit(part, 2, 2)
    fresh, expected = TfidfVectors.fit(TrainingSet(part.examples), 2, 2)
    assert len(shared.keys) == len(fresh.keys)
    np.testing.assert_allclose((matrix @ matrix.T).toarray(), (expected @ expected.T).toarray())


def test_mentions_stand_where_the_words_are() -> None:
    training = training_set(make_corpus(40).encounters)
    vectors, _ = TfidfVectors.fit(training, 2, 1)
    notes = (Note("a", "Known pneumonia. Known osteoporosis"), Note("b", "pneumonia again"))
    stream = build_stream(Encounter("e", notes))
    vector = vectors.read(stream)
    shares = {"X": [(int(column), 1.0) for column in vector.columns]}
    found = mentions_of(stream, vector, shares)["X"]
    assert {mention.expression for mention in found} >= {"known pneumonia", "pneumonia", "known", "osteoporosis"}
    for mention in found:
        assert [stream.words[index] for index in mention.words] == mention.expression.split()
        assert all(later - earlier == 1 for earlier, later in pairwise(mention.words))
        assert len({stream.sentence_list[index] for index in mention.words}) == 1


@pytest.mark.parametrize("text", ["", "…", "zzz qqq"])
def test_an_encounter_without_known_words_is_the_zero_vector(text: str) -> None:
    vectors, _ = TfidfVectors.fit(training_set(make_corpus(6).encounters), 2, 2)
    vector = vectors.read(build_stream(Encounter("e", (Note("a", text),))))
    assert len(vector.columns) == len(vector.values) == len(vector.occurrences) == 0
