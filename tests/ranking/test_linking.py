"""Likeness of spans and expressions against dense vectors."""

from __future__ import annotations

import numpy as np
import pytest

from nosology.knowledge.stream import build_stream
from nosology.ranking import linking
from nosology.ranking.evidence_features import Reading
from nosology.ranking.keys import KeyFinder, KeyTable, mine, rarities, tabulate
from nosology.ranking.linking import Linker, _runs, _vector, summarise
from nosology.types import Encounter, Note
from tiny_corpus import make_corpus, make_encounter, training_set

TRAINING = training_set(make_corpus(16).encounters)
RARITY = rarities(TRAINING, as_key=True)


@pytest.fixture(scope="module")
def table() -> KeyTable:
    mined = mine(TRAINING, as_key=True)
    finder = KeyFinder(list(mined), RARITY)
    return tabulate(TRAINING, mined, RARITY, [finder.find(example.stream) for example in TRAINING.examples])


@pytest.fixture(scope="module")
def linker(table: KeyTable) -> Linker:
    return Linker.build(table, [text.split() for text in table.texts], RARITY, "en")


def _cosine(first: list[str], second: list[str]) -> float:
    left, right = _vector(first, RARITY, "en"), _vector(second, RARITY, "en")
    names = sorted({*left, *right})
    a, b = (np.array([vector.get(name, 0.0) for name in names]) for vector in (left, right))
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))


def test_likeness_is_the_cosine_of_dense_vectors(linker: Linker, table: KeyTable) -> None:
    stream = build_stream(Encounter("e", (Note("n", "chronic renal insuficiency, a kidney qwerty hypertensive of 7"),)))
    spans = [(0, 2), (0, len(stream) - 1), (4, 5), (1, 1), (7, 7)]
    found = linker._likeness(stream, spans)
    for row, (first, last) in enumerate(spans):
        expected = [_cosine(stream.words[first : last + 1], text.split()) for text in table.texts]
        assert found[row] == pytest.approx(expected, abs=1e-9)


def test_many_spans_give_what_they_give_one_by_one(linker: Linker, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = build_stream(make_encounter(80))
    spans = [(first, last) for first in range(len(stream)) for last in range(first, min(first + 4, len(stream)))]
    whole = linker._likeness(stream, spans)
    monkeypatch.setattr(linking, "_SPANS_AT_ONCE", 7)
    for number, (span, row) in enumerate(linker._rows(stream, spans)):
        assert span == spans[number]
        assert row == pytest.approx(whole[number])


def test_links_a_wording_that_nobody_marked(linker: Linker) -> None:
    stream = build_stream(Encounter("e", (Note("n", "Known hypertensive pressure."),)))
    links, mentions = linker.link(Reading(stream, np.array([0.0, 0.9, 0.8])), {})
    best = max(links, key=lambda code: summarise(links[code])[0])
    assert best == "I10"
    assert all(mention.words == (1, 2) for mention in mentions[best])
    for found in links.values():
        for link in found:
            assert link.likeness / 0.3 >= 0.3 or link.likeness <= 1.0 + 1e-9
            assert 0.0 < link.vote <= 1.0
            assert link.words == 2


def test_votes_of_a_span_add_up_to_one(linker: Linker) -> None:
    stream = build_stream(Encounter("e", (Note("n", "high blood pressure"),)))
    row = linker._likeness(stream, [(0, 2)])[0]
    votes = [link.vote for _, link in linker._vote(row, 0.5, 0.5, 3)]
    assert votes
    assert sum(votes) == pytest.approx(1.0)
    assert votes == sorted(votes, reverse=True)


def test_runs_go_over_stop_words_but_over_no_sentence() -> None:
    stream = build_stream(Encounter("e", (Note("n", "loss of the hearing. Pain quickly gone"),)))
    worth = np.array([0.9, 0.0, 0.0, 0.8, 0.7, 0.1, 0.6])
    assert _runs(Reading(stream, worth), 0.5) == [(0, 3), (4, 4), (6, 6)]


def test_no_span_no_link(linker: Linker) -> None:
    stream = build_stream(Encounter("e", (Note("n", ""),)))
    links, mentions = linker.link(Reading(stream, np.zeros(0)), {})
    assert not links
    assert not mentions


def test_state_round_trip(linker: Linker, table: KeyTable) -> None:
    again = Linker.from_state(table, *linker.state())
    stream = build_stream(make_encounter(82))
    reading = Reading(stream, np.linspace(0, 1, len(stream)))
    assert again.link(reading, {}) == linker.link(reading, {})
