"""The association source: what it learns from whole notes, and its numbers by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nosology.knowledge.stream import TokenStream, build_stream
from nosology.ranking import association_counts
from nosology.ranking.association import FEATURES, AssociationOptions, AssociationSource
from nosology.types import Encounter, GoldCode, Note
from tiny_corpus import training_set

_NOTES = (
    ("Zwicky plumbum seen at home", ("A10",)),
    ("Zwicky plumbum twice, krypton", ("A10", "B20")),
    ("Rest at home", ()),
    ("Krypton at night", ("B20",)),
    ("Krypton and plumbum", ("B20",)),
    ("Rest and diet", ()),
)


def _stream(text: str, number: int = 99) -> TokenStream:
    return build_stream(Encounter(f"e{number}", (Note(f"n{number}", text),)))


TRAINING = training_set(
    [
        Encounter(f"e{n}", (Note(f"n{n}", text),), tuple(GoldCode(code, "x") for code in codes))
        for n, (text, codes) in enumerate(_NOTES)
    ]
)


@pytest.fixture(scope="module")
def source() -> AssociationSource:
    return AssociationSource.fit(TRAINING, {}, AssociationOptions())


def _row(source: AssociationSource, text: str, code: str) -> dict[str, float]:
    output = source.candidates(_stream(text))
    return dict(zip(FEATURES, output.features[output.codes.index(code)].tolist(), strict=True))


def test_known_n_grams_stand_in_two_notes_or_more(source: AssociationSource) -> None:
    known = {int(key) for key in source.keys}
    for text, holders in (("zwicky", 2), ("plumbum", 3), ("krypton", 3), ("zwicky plumbum", 2), ("seen", 0)):
        concepts = tuple(c for own in _stream(text).concepts for c in own)
        key = source.reader.key(concepts)
        assert (key in known) == (holders > 0)
        if holders:
            assert source.holders[np.searchsorted(source.keys, np.uint64(key))] == holders


def test_the_sum_is_of_log_odds_of_not_being_triggered(source: AssociationSource) -> None:
    stream = _stream("zwicky plumbum")
    dense = np.zeros((len(source.keys), len(source.codes)))
    owners, columns, values = source.triggers.gather(np.arange(len(source.keys)))
    dense[owners, columns] = values
    held = np.isin(source.keys, source.reader.read(stream).keys)
    triggers = dense[held, source.codes.index("A10")]
    found = _row(source, "zwicky plumbum", "A10")
    assert found["sum"] == pytest.approx(-np.log1p(-triggers).sum(), rel=1e-5)
    assert found["max"] == pytest.approx(triggers.max())
    assert found["rank"] == 0
    assert found["rival"] == 1


def test_of_n_grams_as_strong_the_first_is_the_strongest(source: AssociationSource) -> None:
    held = np.arange(len(source.keys))
    dense = np.zeros((len(held), len(source.codes)))
    owners, columns, values = source.triggers.gather(held)
    values = np.where(values > 0.3, np.float32(0.5), values)  # so that there are some as strong
    dense[owners, columns] = values
    even = replace(source.triggers, values=values)
    level = source._level(even, held)
    assert any((column == column.max()).sum() > 1 for column in dense.T)
    assert level.most.tolist() == dense.max(0).tolist()
    assert level.best.tolist() == dense.argmax(0).tolist()


def test_words_that_go_with_a_code_bring_it(source: AssociationSource) -> None:
    assert source.candidates(_stream("krypton")).codes[0] == "B20"
    assert source.candidates(_stream("zwicky")).codes[0] == "A10"


def test_denied_words_are_told_from_others(source: AssociationSource) -> None:
    assert _row(source, "There is krypton.", "B20")["best_negated"] == 0.0
    assert _row(source, "There is no krypton.", "B20")["best_negated"] == 1.0


def test_no_more_candidates_than_asked_for() -> None:
    few = AssociationSource.fit(TRAINING, {}, AssociationOptions(candidates=1))
    assert len(few.candidates(_stream("krypton zwicky plumbum")).codes) == 1


def test_a_term_of_a_rare_code_pulls_its_word_towards_it() -> None:
    plain = AssociationSource.fit(TRAINING, {}, AssociationOptions())
    pulled = AssociationSource.fit(TRAINING, {"A10": [_stream("plumbum").concepts[0]]}, AssociationOptions())
    assert _row(pulled, "plumbum", "A10")["max"] > 1.2 * _row(plain, "plumbum", "A10")["max"]
    assert _row(pulled, "plumbum", "A10")["plain_sum"] == pytest.approx(_row(plain, "plumbum", "A10")["plain_sum"])


def test_mentions_are_the_words_of_the_n_gram(source: AssociationSource) -> None:
    stream = _stream("Some rest, then krypton")
    mentions = source.candidates(stream).mentions["B20"]
    assert {stream.surface(m.words[0], m.words[-1]) for m in mentions} >= {"krypton"}
    assert all(mention.expression == stream.surface(mention.words[0], mention.words[-1]) for mention in mentions)


def test_rarer_n_grams_go_where_there_would_be_too_many_triples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words of three notes only, then: one of two notes brings four triples more than there may be."""
    monkeypatch.setattr(association_counts, "_MOST_TRIPLES", 8)
    few = AssociationSource.fit(TRAINING, {}, AssociationOptions())
    assert len(few.keys) > 0
    assert few.holders.min() >= 3


def test_words_of_later_notes_join_what_is_shared() -> None:
    """A fit on some notes prepares n-grams; a later fit on more of them knows the words of all."""
    training = training_set(
        [Encounter(e.stream.encounter_id, (e.stream.documents[0].note,), e.codes) for e in TRAINING.examples]
    )
    AssociationSource.fit(training.part([2, 3, 5]), {}, AssociationOptions())
    later = AssociationSource.fit(training, {}, AssociationOptions())
    assert later.candidates(_stream("zwicky plumbum")).codes[0] == "A10"
    assert set(later.reader.concepts) == {c for e in training.examples for c in e.stream.positions}
