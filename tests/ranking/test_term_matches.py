"""Words that speak for terms, rivals and claims, each against plain loops."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nosology.ranking.categories import CATEGORY, number_categories
from nosology.ranking.competition import competition
from nosology.ranking.postings import Postings
from nosology.ranking.source import Mention
from nosology.ranking.term_matches import Matches, explained, match_sets, rivals
from nosology.ranking.windows import Readings, Windows

CODES = st.lists(
    st.sampled_from([f"{letter}{n}.{m}" for letter in "AB" for n in (10, 11) for m in range(4)]), unique=True
)


@pytest.mark.parametrize("seed", range(20))
def test_the_surest_word_of_a_window_speaks_for_each_concept(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words, concepts = int(rng.integers(1, 12)), 6
    content = np.sort(rng.choice(40, words, replace=False)).tolist()
    entries = sorted({(int(rng.integers(words)), int(rng.integers(concepts))) for _ in range(2 * words)})
    chances = rng.choice([0.25, 0.5, 1.0], len(entries))
    meanings = [(place, concept, chance) for (place, concept), chance in zip(entries, chances, strict=True)]
    places, meant = (np.array(column, dtype=np.int64) for column in zip(*entries, strict=True))
    sets = [np.flatnonzero(rng.random(concepts) < 0.5) for _ in range(8)]
    pointers = np.concatenate([[0], np.cumsum([len(one) for one in sets])]).astype(np.int64)
    columns = np.concatenate(sets).astype(np.int32)
    by_set = Postings(pointers, columns, np.ones(len(columns), np.float32), concepts)
    chosen, starts, ends, expected = [], [], [], []
    for number, one in enumerate(sets):
        start, end = sorted(rng.choice(words + 1, 2, replace=False).tolist())
        best = [
            min(((-c, p) for p, m, c in meanings if m == concept and start <= p < end), default=None)
            for concept in one.tolist()
        ]
        found = [pair for pair in best if pair is not None]
        if found:
            chosen.append(number)
            starts.append(start)
            ends.append(end)
            sure = [-chance for chance, _ in found]
            expected.append((tuple(sorted({content[p] for _, p in found})), min(sure), sum(sure) / len(sure)))
    windows = Windows(np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64))
    matches = match_sets(np.array(chosen, dtype=np.int64), by_set, windows, Readings(places, meant, chances), content)
    assert matches.word_tuples() == [words for words, _, _ in expected]
    assert matches.least.tolist() == pytest.approx([least for _, least, _ in expected])
    assert matches.mean.tolist() == pytest.approx([mean for _, _, mean in expected])


@given(CODES, st.data())
@settings(max_examples=60)
def test_explained_words_and_rivals_equal_plain_loops(codes: list[str], data: st.DataObject) -> None:
    own = [sorted(data.draw(st.sets(st.integers(0, 6), min_size=1, max_size=4))) for _ in codes]
    score = np.sort(np.array([data.draw(st.floats(0.1, 5)) for _ in codes]))[::-1]
    pointers = np.concatenate([[0], np.cumsum([len(words) for words in own])]).astype(np.int64)
    words = np.array([word for one in own for word in one], dtype=np.int64)
    categories = number_categories(codes)
    matches = Matches(pointers, words, np.ones(len(codes)), np.ones(len(codes)))
    users, met, best = defaultdict[int, set[str]](set), Counter[str](), dict[str, float]()
    expected = []
    for code, one, value in zip(codes, own, score.tolist(), strict=True):
        category = code[:CATEGORY]
        by_any, by_others = sum(bool(users[w]) for w in one), sum(bool(users[w] - {category}) for w in one)
        expected.append(
            (by_any / len(one), by_others / len(one), met[category], value / best.setdefault(category, value))
        )
        met[category] += 1
        for word in one:
            users[word].add(category)
    found = list(zip(*explained(matches, categories), *rivals(categories, score), strict=True))
    assert np.array(found).ravel() == pytest.approx(np.array(expected).ravel())


def _claims_of(code: str, mention: Mention, mentions: dict[str, list[Mention]]) -> list[float]:
    """What others claim of a mention's words, by plain loops."""
    by_word, same, other, longer = list[float](), 0.0, 0.0, 0.0
    for word in mention.words:
        most = 0.0
        for rival, found in mentions.items():
            claims = [(m.strength, len(m.words)) for m in found if word in m.words]
            if rival == code or not claims or max(claims)[0] <= 0.1:
                continue
            strength, length = max(claims)
            most = max(most, strength)
            if rival[:3] == code[:3]:
                same = max(same, strength)
            else:
                other = max(other, strength)
            longer = max(longer, strength) if length > len(mention.words) else longer
        by_word.append(most)
    claimed, free = sum(s >= 0.25 for s in by_word), sum(s <= 0.1 for s in by_word)
    mean = sum(by_word) / len(by_word)
    return [mention.strength, max(by_word), mean, other, same, claimed / len(by_word), free, longer]


@given(CODES, CODES, st.data())
@settings(max_examples=60)
def test_competition_equals_plain_loops(codes: list[str], claimants: list[str], data: st.DataObject) -> None:
    strength = st.sampled_from([0.05, 0.1, 0.2, 0.25, 0.3, 0.7])
    words = st.sets(st.integers(0, 5), min_size=1, max_size=3).map(lambda found: tuple(sorted(found)))
    mention = st.builds(Mention, words, strength, st.just("x"))
    mentions = {code: data.draw(st.lists(mention, max_size=4)) for code in claimants}
    rows = competition(codes, mentions)
    for code, row in zip(codes, rows.tolist(), strict=True):
        found = mentions.get(code)
        own = max(found, key=lambda m: (m.strength, m.words)) if found else None
        expected = _claims_of(code, own, mentions) if own else [0.0] * 8
        assert row == pytest.approx(expected, abs=1e-6)
