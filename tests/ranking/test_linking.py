"""Likeness of spans and expressions against dense vectors."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from nosology.knowledge.stream import build_stream
from nosology.ranking import linking
from nosology.ranking.evidence_features import Reading
from nosology.ranking.keys import KeyFinder, KeyTable, mine, rarities, tabulate
from nosology.ranking.linking import FEATURES, Linker, _nearest, _runs, _vector
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


def _slowly(linker: Linker, table: KeyTable, reading: Reading, spans: list[tuple[int, int]]) -> dict[str, list[float]]:
    """Votes of each span's nearest expressions, and the best of each code, in plain loops: by code, its features."""
    links = defaultdict[str, list[tuple[float, ...]]](list)
    for (first, last), row in zip(spans, linker._likeness(reading.stream, spans), strict=True):
        nearest = sorted((-value, number) for number, value in enumerate(row.tolist()) if value >= 0.3)[:12]
        best, votes, voters = defaultdict[str, float](float), defaultdict[str, float](float), Counter[str]()
        for value, number in nearest:
            entry = table.entry(number)
            pairs = [(table.codes[code], times) for code, times in zip(entry.codes, entry.times, strict=True)]
            total = sum(times for _, times in pairs)
            for code, times in pairs:
                best[code] = max(best[code], -value * math.sqrt(times / total))
                votes[code] += value**4 * times
                voters[code] += 1
        worth = reading.worth[first : last + 1]
        for rank, code in enumerate(sorted(votes, key=lambda code: (-votes[code], code))):
            share = votes[code] / sum(votes.values())
            links[code].append((best[code], worth.mean(), worth.max(), rank, share, last + 1 - first, voters[code]))
    return {code: _summary(found) for code, found in links.items()}


def _summary(found: list[tuple[float, ...]]) -> list[float]:
    best = max(found, key=lambda link: (round(link[0] * link[1], 12), link))
    elected = max(found, key=lambda link: (round(link[4] * link[1], 12), link))
    most = max(link[0] for link in found), max(link[4] for link in found)
    return [*best, best[0] * best[1], elected[4] * elected[1], elected[3], len(found), *most]


@pytest.mark.parametrize("number", [81, 83, 91])
def test_links_equal_those_of_plain_loops(linker: Linker, table: KeyTable, number: int) -> None:
    stream = build_stream(make_encounter(number))
    worth = np.random.default_rng(number).uniform(0.01, 1, len(stream))
    reading = Reading(stream, worth)
    linked, expected = linker.link(reading, {}), _slowly(linker, table, reading, linking._spans(reading, {}))
    assert sorted(linked.codes) == sorted(expected)
    assert expected
    for code, row in zip(linked.codes, linked.features.tolist(), strict=True):
        assert dict(zip(FEATURES, row, strict=True)) == pytest.approx(
            dict(zip(FEATURES, expected[code], strict=True))
        ), code


def test_many_spans_give_what_they_give_some_at_a_time(linker: Linker, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = build_stream(make_encounter(80))
    reading = Reading(stream, np.linspace(0.01, 1, len(stream)))
    spans = [(first, last) for first in range(len(stream)) for last in range(first, min(first + 4, len(stream)))]
    whole = linker._links(reading, spans)
    monkeypatch.setattr(linking, "_SPANS_AT_ONCE", 7)
    for one, other in zip(whole, linker._links(reading, spans), strict=True):
        assert one == pytest.approx(other)


@given(npst.arrays(np.float64, (3, 30), elements=st.floats(0, 1)))
def test_nearest_are_the_first_of_a_full_sort(likeness: np.ndarray) -> None:
    owners, numbers, values = _nearest(likeness)
    expected = [
        (span, number, value)
        for span, row in enumerate(likeness.tolist())
        for value, number in sorted(((v, n) for n, v in enumerate(row) if v >= 0.3), key=lambda p: (-p[0], p[1]))[:12]
    ]
    assert list(zip(owners.tolist(), numbers.tolist(), values.tolist(), strict=True)) == expected


def test_links_a_wording_that_nobody_marked(linker: Linker) -> None:
    stream = build_stream(Encounter("e", (Note("n", "Known hypertensive pressure."),)))
    linked = linker.link(Reading(stream, np.array([0.0, 0.9, 0.8])), {})
    best = linked.codes[int(np.argmax(linked.features[:, FEATURES.index("most_likeness")]))]
    assert best == "I10"
    assert all(mention.words == (1, 2) for mention in linked.mentions[best])
    likeness, votes = (linked.features[:, FEATURES.index(name)] for name in ("most_likeness", "most_vote"))
    assert ((likeness > 0.0) & (likeness <= 1.0 + 1e-9)).all()
    assert ((votes > 0.0) & (votes <= 1.0 + 1e-9)).all()
    assert (linked.features[:, FEATURES.index("words")] == 2).all()


def test_every_linked_code_keeps_its_strongest_mention(linker: Linker) -> None:
    stream = build_stream(make_encounter(83))
    reading = Reading(stream, np.linspace(0.01, 1, len(stream)))
    linked = linker.link(reading, {})
    assert linked.codes
    for code, row in zip(linked.codes, linked.features.tolist(), strict=True):
        assert 1 <= len(linked.mentions[code]) <= row[FEATURES.index("spans")]


def test_votes_of_a_span_add_up_to_one(linker: Linker) -> None:
    stream = build_stream(Encounter("e", (Note("n", "high blood pressure"),)))
    links = linker._links(Reading(stream, np.array([0.5, 0.5, 0.5])), [(0, 2), (1, 2)])
    for span in (0, 1):
        votes = links.vote[links.spans == span].tolist()
        assert votes
        assert sum(votes) == pytest.approx(1.0)
        assert votes == sorted(votes, reverse=True)


def test_runs_go_over_stop_words_but_over_no_sentence() -> None:
    stream = build_stream(Encounter("e", (Note("n", "loss of the hearing. Pain quickly gone"),)))
    worth = np.array([0.9, 0.0, 0.0, 0.8, 0.7, 0.1, 0.6])
    assert _runs(Reading(stream, worth), 0.5) == [(0, 3), (4, 4), (6, 6)]


def test_no_span_no_link(linker: Linker) -> None:
    stream = build_stream(Encounter("e", (Note("n", ""),)))
    linked = linker.link(Reading(stream, np.zeros(0)), {})
    assert not linked.codes
    assert linked.features.shape == (0, len(FEATURES))
    assert not linked.mentions


def test_state_round_trip(linker: Linker, table: KeyTable) -> None:
    again = Linker.from_state(table, *linker.state())
    stream = build_stream(make_encounter(82))
    reading = Reading(stream, np.linspace(0, 1, len(stream)))
    one, other = again.link(reading, {}), linker.link(reading, {})
    assert one.codes == other.codes
    assert one.mentions == other.mentions
    assert (one.features == other.features).all()
