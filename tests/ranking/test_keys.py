"""Mined expressions: found as by a search that tries everything, and counted as by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nosology.knowledge.matching import ExactMatcher
from nosology.knowledge.stream import TokenStream, build_stream
from nosology.knowledge.vocabulary import concepts_of
from nosology.ranking.keys import (
    _REACH,
    Found,
    KeyFinder,
    KeyTable,
    Match,
    find_surfaces,
    mine,
    rarities,
    tabulate,
)
from nosology.types import Encounter, Evidence, GoldCode, Note, Span
from tiny_corpus import make_corpus, training_set

_CONCEPTS = ("alf", "bet", "gam", "delt", "epsil")
_WORDS = {"alf": "alpho", "bet": "beto", "gam": "gamo", "delt": "delto", "epsil": "epsilo"}


def _stream(*texts: str) -> TokenStream:
    return build_stream(Encounter("e", tuple(Note(f"n{i}", text) for i, text in enumerate(texts))))


def _slow(stream: TokenStream, keys: list[tuple[str, ...]], rarity: dict[str, float]) -> dict[int, set[tuple]]:
    """For each place of a key's rarest concept, the nearest place of each other one in the same note, of two as near
    the earlier."""
    found = dict[int, set[tuple]]()
    for number, key in enumerate(keys):
        rarest = max(key, key=lambda concept: (rarity.get(concept, np.inf), concept))
        places = {c: [i for i, own in enumerate(stream.concepts) if c in own] for c in key}
        for place in places[rarest]:
            own = {c: [other for other in places[c] if stream.notes[other] == stream.notes[place]] for c in key}
            if not all(own.values()):
                continue
            chosen = {place}
            for concept in set(key) - {rarest}:
                chosen.add(sorted(own[concept], key=lambda other: (abs(other - place), other))[0])
            first, last = min(chosen), max(chosen)
            if last - first <= _REACH:
                gap = sum(word not in chosen for word in range(first, last + 1))
                crossed = int(stream.sentences[last] - stream.sentences[first])
                found.setdefault(number, set()).add((tuple(sorted(chosen)), gap, crossed))
    return found


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from([*_WORDS.values(), "filler", "Zeto."]), max_size=60),
    st.lists(st.sets(st.sampled_from(_CONCEPTS), min_size=1, max_size=4), min_size=1, max_size=6, unique_by=frozenset),
    st.integers(0, 60),
)
@example([*["alpho"] * 9, "beto", "epsilo", "alpho"], [{"alf", "bet", "epsil"}], 11)  # the nearest, but another note's
def test_finds_what_a_search_of_everything_finds(words: list[str], sets: list[set[str]], cut: int) -> None:
    stream = _stream(" ".join(words[:cut]), " ".join(words[cut:]))
    keys = [tuple(sorted(key)) for key in sets]
    rarity = {concept: number / 2 for number, concept in enumerate(_CONCEPTS[:-1])}
    found = KeyFinder(keys, rarity).find(stream)
    assert {number: set(map(tuple, matches)) for number, matches in found.items()} == _slow(stream, keys, rarity)
    for matches in found.values():
        assert matches == sorted(matches, key=lambda match: (match.crossed, match.gap, match.words))


def test_words_of_the_corpus_are_the_concepts_used_here() -> None:
    assert _stream(" ".join(_WORDS.values())).concepts == [(concept,) for concept in _WORDS]


@pytest.mark.parametrize(
    ("match", "tight"),
    [(Match((0, 3), 2, 0), True), (Match((0, 4), 3, 0), False), (Match((0, 1), 0, 1), False)],
)
def test_tight_matches_have_few_foreign_words_and_one_sentence(match: Match, tight: bool) -> None:
    assert match.is_tight is tight


def test_surfaces_stand_word_for_word_in_one_sentence() -> None:
    found = find_surfaces(ExactMatcher(["alpho beto", "beto"]), _stream("Alpho beto. Alpho. Beto alpho beto."))
    assert found == {
        0: [Match((0, 1), 0, 0), Match((4, 5), 0, 0)],
        1: [Match((1,), 0, 0), Match((3,), 0, 0), Match((5,), 0, 0)],
    }


def _case(number: int, text: str, *golds: tuple[str, str]) -> Encounter:
    """An encounter whose codes are marked at the first place of some words; no words, no evidence."""
    codes = tuple(
        GoldCode(code, "x", (Evidence(f"n{number}", (Span(text.index(w), text.index(w) + len(w)),)),) if w else ())
        for code, w in golds
    )
    return Encounter(f"e{number}", (Note(f"n{number}", text),), codes)


CASES = (
    _case(0, "Has alpho beto today.", ("A", "alpho beto")),
    _case(1, "Has beto then alpho. Also gamo.", ("A", "alpho"), ("B", "gamo")),
    _case(2, "Alpho beto and gamo.", ("B", "gamo")),
    _case(3, "Only beto and a quiet and very long walk before alpho.", ("A", "")),
)


def _row(table: KeyTable, text: str) -> dict[str, object]:
    number = table.texts.index(text)
    pairs = table.pairs(number)
    return {
        "found": table.found[:, number].tolist(),
        "marked": int(table.marked[number]),
        "codes": {table.codes[int(table.pair_codes[p])]: int(table.pair_counts[p]) for p in pairs},
        "gold": {table.codes[int(table.pair_codes[p])]: table.pair_gold[:, p].tolist() for p in pairs},
    }


def test_key_statistics_by_hand() -> None:
    training = training_set(CASES)
    mined = mine(training, as_key=True)
    assert {key: dict(counter) for key, counter in mined.items()} == {
        ("alf", "bet"): {"A": 1},
        ("alf",): {"A": 1},
        ("gam",): {"B": 2},
    }
    rarity = rarities(training, as_key=True)
    assert rarity["gam"] == pytest.approx(np.log(4 / 3))
    assert rarity["alf"] == pytest.approx(np.log(4 / 5))
    finder = KeyFinder(list(mined), rarity)
    table = tabulate(training, mined, rarity, [finder.find(example.stream) for example in training.examples])
    # Case 3 holds both concepts, but too many words apart to be tight; its evidence for A is not marked.
    assert _row(table, "alf bet") == {"found": [3, 1], "marked": 1, "codes": {"A": 1}, "gold": {"A": [2, 1]}}
    assert _row(table, "alf") == {"found": [4, 0], "marked": 2, "codes": {"A": 1}, "gold": {"A": [3, 0]}}
    assert _row(table, "gam") == {"found": [2, 0], "marked": 2, "codes": {"B": 2}, "gold": {"B": [2, 0]}}
    assert table.rarity[table.texts.index("alf bet")] == pytest.approx(np.log(4 / 5) + np.log(4 / 5))


def test_surface_statistics_by_hand() -> None:
    training = training_set(CASES)
    mined = mine(training, as_key=False)
    matcher = ExactMatcher([" ".join(words) for words in mined])
    found = [find_surfaces(matcher, example.stream) for example in training.examples]
    table = tabulate(training, mined, rarities(training, as_key=False), found)
    assert _row(table, "alpho beto") == {"found": [2, 0], "marked": 1, "codes": {"A": 1}, "gold": {"A": [1, 0]}}


def test_an_expression_marked_twice_in_an_encounter_counts_once() -> None:
    text = "Alpho. Alpho again."
    spans = tuple(Evidence("n0", (span,)) for span in (Span(0, 5), Span(7, 12)))
    encounter = Encounter("e0", (Note("n0", text),), (GoldCode("A", "x", spans),))
    assert mine(training_set([encounter]), as_key=False) == {("alpho",): {"A": 1}}


def test_nothing_found_nothing_mined() -> None:
    empty: Found = {}
    assert KeyFinder([("a",)], {}).find(_stream("")) == empty
    table = tabulate(training_set(CASES), {}, {}, [empty] * 4)
    assert len(table) == 0
    assert len(KeyTable.from_state(*table.state())) == 0


def test_state_round_trip() -> None:
    training = training_set(make_corpus(6).encounters)
    mined = mine(training, as_key=True)
    finder = KeyFinder(list(mined), rarities(training, as_key=True))
    table = tabulate(training, mined, {}, [finder.find(example.stream) for example in training.examples])
    again = KeyTable.from_state(*table.state())
    assert (again.texts, again.codes) == (table.texts, table.codes)
    for name, array in table.state()[0].items():
        assert (again.state()[0][name] == array).all()


def test_a_place_in_another_note_hides_no_match() -> None:
    notes = (Note("a", "stone"), Note("b", "kidney has one big and very hard stone"))
    stream = build_stream(Encounter("e", notes))
    (renal,), (stone,) = concepts_of("kidney"), concepts_of("stone")
    found = KeyFinder([(renal, stone)], {renal: 5.0, stone: 1.0}).find(stream)
    assert [match.words for match in found[0]] == [(1, 8)]
